"""Filters of system calls as the kernel would run them (linux/filter.h; `struct seccomp_data`), and its own numbers."""

import errno
import platform
import re
from pathlib import Path

import pytest

from mic_mail.process import seccomp
from mic_mail.process.seccomp import Calls

KILL, ALLOW, EPERM, ENOSYS = 0x80000000, 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_HEADERS = {
    "x86_64": Path(f"/usr/include/{platform.machine()}-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
"""aarch64 numbers its calls as all newer architectures do."""


def answer(program: bytes, number: int, arguments: tuple[int, ...], audit: int) -> int:
    """What a filter says to one call."""
    data = number.to_bytes(4, "little") + audit.to_bytes(4, "little") + bytes(8)
    data += b"".join(argument.to_bytes(8, "little") for argument in arguments)
    steps = list(seccomp.INSTRUCTION.iter_unpack(program))
    held = at = 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        match code:
            case 0x20:
                held = int.from_bytes(data[value : value + 4], "little")
            case 0x15:
                at += if_true if held == value else if_false
            case 0x35:
                at += if_true if held >= value else if_false
            case 0x45:
                at += if_true if held & value else if_false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"no such instruction: {code}")


def agree_with_the_kernel(machine: str, calls: Calls) -> None:
    """Each call has the number that the kernel's headers give it."""
    if not _HEADERS[machine].exists():
        pytest.skip("the kernel's headers are not installed (linux-libc-dev)")
    text = _HEADERS[machine].read_text()
    defined = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    column = list(AUDIT).index(machine)
    for name, numbers in calls.items():
        if name in defined or numbers[column] is not None:
            assert numbers[column] == defined.get(name, numbers[column]), name
            assert machine == "x86_64" or name in defined or numbers[column] is None, name
