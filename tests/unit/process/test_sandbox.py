"""The filter of system calls as the kernel would run it, and what is left where a kernel or a container refuses parts."""

import ctypes
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf import ALLOW, AUDIT, EPERM, KILL, agree_with_the_kernel
from bpf import answer as answer_of
from mic_mail.process import sandbox, seccomp
from mic_mail.process.protection import Protection
from mic_mail.process.sandbox import seccomp_filter

PROCESS = 4711


def verdict(machine: str, number: int, arguments: tuple[int, ...] = (0,) * 6, audit: int | None = None) -> int:
    """What the filter answers to one call."""
    program = seccomp_filter(machine, PROCESS)
    assert program is not None
    return answer_of(program, number, arguments, audit or AUDIT[machine])


CALLS = (sandbox._ALLOWED, sandbox._DEADLY, sandbox._MEMORY, sandbox._OWN, sandbox._ABORT)


@pytest.mark.parametrize("machine", AUDIT)
def test_each_call_has_its_answer(machine: str) -> None:
    """What is on the list is allowed, what is deadly kills, on both machines."""
    column = list(AUDIT).index(machine)
    for calls, answer in ((sandbox._ALLOWED, ALLOW), (sandbox._DEADLY, KILL)):
        for name, numbers in calls.items():
            if (number := numbers[column]) is not None:
                assert verdict(machine, number) == answer, name


@pytest.mark.parametrize("machine", AUDIT)
def test_calls_that_depend_on_what_they_ask_for(machine: str) -> None:
    """Memory is given but not to run; limits are its own, and so is the signal with which it aborts."""
    column = list(AUDIT).index(machine)
    for numbers in sandbox._MEMORY.values():
        assert verdict(machine, numbers[column] or 0, (0, 4096, 3, 0, 0, 0)) == ALLOW
        assert verdict(machine, numbers[column] or 0, (0, 4096, 5, 0, 0, 0)) == EPERM
    for calls, own in ((sandbox._OWN, 0), (sandbox._ABORT, PROCESS)):
        for numbers in calls.values():
            assert verdict(machine, numbers[column] or 0, (own, 1, 6, 0, 0, 0)) == ALLOW
            assert verdict(machine, numbers[column] or 0, (1, 1, 6, 0, 0, 0)) == EPERM


@given(st.sampled_from(list(AUDIT)), st.integers(0, (1 << 32) - 1))
def test_any_other_call_is_refused(machine: str, number: int) -> None:
    """Nothing is allowed by oversight: not what kernels of tomorrow add, and not the numbers of x32."""
    column = list(AUDIT).index(machine)
    known = {numbers[column] for calls in CALLS for numbers in calls.values()}
    assert number in known or verdict(machine, number) == EPERM


def test_another_machine_is_none() -> None:
    """Calls under the numbers of another architecture (32-bit) kill; a machine that is not known has no filter."""
    assert verdict("x86_64", 0, audit=0x40000003) == KILL
    assert seccomp_filter("riscv64", 1) is None


@pytest.mark.parametrize("machine", AUDIT)
def test_the_numbers_are_the_kernels(machine: str) -> None:
    """Each call has the number that the kernel's headers give it."""
    for calls in CALLS:
        agree_with_the_kernel(machine, calls)


REFUSED = """
import ctypes, dataclasses, json, os, sys
from mic_mail.process import sandbox, seccomp
known = seccomp.here()
numbers = json.loads(sys.argv[1])
steps = [(0x20, 0, 0, 0)]
for number in numbers:
    steps += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 38)]
octets = b"".join(seccomp.INSTRUCTION.pack(*step) for step in [*steps, (0x06, 0, 0, 0x7FFF0000)])
program = seccomp._Program(len(octets) // 8, octets)
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
assert libc.syscall(known.seccomp, 1, 0, ctypes.byref(program)) == 0
protection = sandbox.enter()
can = []
for name, act in {"fork": lambda: os.fork() or os._exit(0), "open": lambda: os.open("/", 0)}.items():
    try:
        act()
        can.append(name)
    except OSError:
        pass
print(json.dumps([dataclasses.asdict(protection), can]))
"""
"""A process in a container that answers ENOSYS (38) to some calls."""


@pytest.mark.skipif(bool(sandbox.available().missing), reason="this kernel has not all that it takes")
@pytest.mark.parametrize("refused", ["seccomp", "landlock", "both"])
def test_what_a_container_refuses_is_missing_and_the_rest_is_in_force(refused: str) -> None:
    """A process is closed in as far as it goes, and says what it is without."""
    number = seccomp.ARCHITECTURES[platform.machine()].seccomp
    numbers = {"seccomp": [number], "landlock": [444], "both": [number, 444]}[refused]
    done = subprocess.run([sys.executable, "-c", REFUSED, json.dumps(numbers)], capture_output=True, text=True, check=False)
    if refused == "landlock":
        assert done.returncode == -31  # SIGSYS: the filter stands, and a fork is deadly
        return
    told, can = json.loads(done.stdout)
    protection = Protection(**told)
    assert protection.missing == (["seccomp"] if refused == "seccomp" else ["landlock", "seccomp"])
    assert protection.no_new_privs
    assert protection.unprivileged
    assert "fork" not in can  # as nobody: root would have passed the limit
    assert ("open" in can) is (refused == "both")


def test_what_is_available_is_asked_without_entering() -> None:
    """The question changes nothing in who asks."""
    no_new_privs = ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)  # PR_GET_NO_NEW_PRIVS
    before = Path("/proc/self/status").read_text()
    assert sandbox.available().no_new_privs
    for line in ("NoNewPrivs:", "Seccomp:"):
        assert next(each for each in before.splitlines() if each.startswith(line)) in Path("/proc/self/status").read_text()
    assert os.listdir("/")
    assert ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) == no_new_privs
