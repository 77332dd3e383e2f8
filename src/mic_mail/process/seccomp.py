"""System call filters: how a filter program is built and put in force (seccomp(2), x86-64 and arm64).

In: steps, which a caller makes from calls by name. Out: the program in the kernel's format; whether it is in force. A filter is
permanent, for the process and everything it forks or executes. The caller sets PR_SET_NO_NEW_PRIVS first.
"""

import ctypes
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct

Calls = Mapping[str, tuple[int | None, int | None]]
"""Names of system calls, and their numbers by `Architecture.column`."""
Step = tuple[int, int, int, int]

SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_SPEC_ALLOW = 1 << 2
"""SECCOMP_FILTER_FLAG_SPEC_ALLOW: keep speculative execution as it is.

Kernels before 5.16 would restrict it for a filtered process, which costs some percent.
"""

# linux/filter.h, linux/seccomp.h
INSTRUCTION = Struct("=HBBI")
LOAD, RETURN = 0x20, 0x06
JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT = 0x15, 0x35, 0x45
KILL_PROCESS, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NUMBER, _ARCH = 0, 4


@dataclass(frozen=True, slots=True)
class Architecture:
    """The system call numbers of one machine architecture."""

    audit: int
    """AUDIT_ARCH (linux/audit.h)."""
    seccomp: int
    column: int
    """Its column in tables of calls."""

    def numbers(self, calls: Calls) -> list[int]:
        """Return the numbers of these calls, without those that the machine lacks."""
        return [number for call in calls.values() if (number := call[self.column]) is not None]


ARCHITECTURES = {"x86_64": Architecture(0xC000003E, 317, 0), "aarch64": Architecture(0xC00000B7, 277, 1)}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def argument(position: int) -> int:
    """Return the offset of the lower half of an argument in `struct seccomp_data` (little-endian)."""
    return 16 + 8 * position


def beginning(known: Architecture) -> list[Step]:
    """Return steps that kill on calls by another architecture's numbers, then load the call's number."""
    return [(LOAD, 0, 0, _ARCH), (JUMP_EQUAL, 1, 0, known.audit), (RETURN, 0, 0, KILL_PROCESS), (LOAD, 0, 0, _NUMBER)]


def answered(numbers: Iterable[int], action: int) -> list[Step]:
    """Return steps that apply `action` to these calls, whatever their arguments."""
    return [step for number in numbers for step in ((JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, action))]


def answered_by(numbers: Iterable[int], position: int, test: tuple[int, int], when: int, otherwise: int) -> list[Step]:
    """Return steps that decide these calls by a test of one argument: a jump and its value."""
    jump, value = test
    return [
        step
        for number in numbers
        for step in (
            (JUMP_EQUAL, 0, 4, number),
            (LOAD, 0, 0, argument(position)),
            (jump, 0, 1, value),
            (RETURN, 0, 0, when),
            (RETURN, 0, 0, otherwise),
        )
    ]


def packed(steps: Sequence[Step]) -> bytes:
    """Return the program in the kernel's format."""
    return b"".join(INSTRUCTION.pack(*step) for step in steps)


def here() -> Architecture | None:
    """Return the architecture of this machine; None where its calls are not known."""
    return ARCHITECTURES.get(platform.machine()) if sys.byteorder == "little" else None


def put_in_force(program: bytes, *, speculates: bool = False) -> bool:
    """Put the filter in force; return whether it is. Never with `speculates` where foreign code may run."""
    known = here()
    if known is None:
        return False
    given = _Program(len(program) // INSTRUCTION.size, program)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.syscall(known.seccomp, SET_MODE_FILTER, _SPEC_ALLOW if speculates else 0, ctypes.byref(given)) == 0)


def is_available() -> bool:
    """Return whether the kernel supports filters, as far as that can be known without applying one."""
    known = here()
    action = ctypes.c_uint32(KILL_PROCESS)
    libc = ctypes.CDLL(None, use_errno=True)
    return known is not None and libc.syscall(known.seccomp, _GET_ACTION_AVAIL, 0, ctypes.byref(action)) == 0
