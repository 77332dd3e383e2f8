"""What no process of a server may call, as the kernel would answer; and that it is so from inside."""

import itertools

import pytest

from bpf import ALLOW, AUDIT, ENOSYS, EPERM, KILL, agree_with_the_kernel, answer
from mic_mail.process import denied_calls, seccomp
from mic_mail.process.denied_calls import denying

CALLS = (
    denied_calls._NEVER,
    denied_calls._PROGRAMS,
    denied_calls._CLONE,
    denied_calls._CLONE3,
    denied_calls._SOCKET,
)
THREAD, NEW_USER, VFORK = 0x003D0F00, 0x10000011, 0x00004111
"""Flags of clone: of pthread_create, of a process in a namespace of its own, of a process."""
ORDINARY = {"x86_64": (0, 1, 9, 257, 288), "aarch64": (63, 64, 222, 56, 242)}
"""read, write, mmap, openat, accept4."""


@pytest.mark.parametrize("programs", [True, False])
@pytest.mark.parametrize("internet", [True, False])
@pytest.mark.parametrize("machine", AUDIT)
def test_each_call_has_its_answer(machine: str, programs: bool, internet: bool) -> None:
    """What takes more than a process needs is refused to all, and programs, processes and the internet to those without."""
    known = seccomp.ARCHITECTURES[machine]
    program = denying(known, programs=programs, internet=internet)

    def said(number: int, first: int = 0, audit: int = AUDIT[machine]) -> int:
        return answer(program, number, (first, 0, 0, 0, 0, 0), audit)

    assert {said(number) for number in known.numbers(denied_calls._NEVER)} == {EPERM}
    assert {said(number) for number in known.numbers(denied_calls._PROGRAMS)} == {ALLOW if programs else EPERM}
    ((clone,), (clone3,), (sockets,)) = map(known.numbers, (denied_calls._CLONE, denied_calls._CLONE3, denied_calls._SOCKET))
    assert (said(clone, THREAD), said(clone, NEW_USER), said(clone3)) == (ALLOW, EPERM, ENOSYS)
    assert said(clone, VFORK) == (ALLOW if programs else EPERM)
    assert said(sockets, 1) == ALLOW
    assert {said(sockets, family) for family in (2, 10, 16, 17)} == {ALLOW if internet else EPERM}
    assert {said(number) for number in ORDINARY[machine]} == {ALLOW}
    assert said(0, audit=0x40000003) == KILL
    assert said(0x40000000 + 101) == EPERM  # x32: ptrace once more


@pytest.mark.parametrize("machine", AUDIT)
def test_the_numbers_are_the_kernels(machine: str) -> None:
    """Each call has the number that the kernel's headers give it."""
    for calls in CALLS:
        agree_with_the_kernel(machine, calls)


def test_no_call_is_twice_on_the_lists() -> None:
    """A number that was copied wrong would be another call's."""
    for column in (0, 1):
        numbers = [call[column] for calls in CALLS for call in calls.values() if call[column] is not None]
        assert not [number for number, same in itertools.groupby(sorted(numbers)) if len(list(same)) > 1]
