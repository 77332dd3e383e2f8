"""A process that reads hostile input closes itself in: no file, no socket, no child, no other process, for good.

In: nothing; `enter` is called once, after all imports and with every descriptor open that will ever be needed. Out: a
`Protection`, which says what is in force: a kernel, a container or an account may refuse parts, and the rest is entered all the
same. For processes of one thread (prctl(2), seccomp(2), landlock(7), setrlimit(2)).

    no_new_privs  no program can give it rights (and seccomp needs it)
    unprivileged  a process of root becomes nobody, without groups
    limits        no child (RLIMIT_NPROC, which root would pass), no file that grows, no core
    landlock      no path can be opened, no TCP port reached, no process outside signalled (as far as the kernel's version goes)
    seccomp       system calls by an allow-list; what a reader of documents never does kills the process, the rest gives EPERM

The account has to be left before the filter forbids it. Own code and no library (docs/dependencies.md): pyseccomp has had no
release since 2021 and needs libseccomp, the packages for Landlock are young; what is needed of both is a table and four calls.
"""

import contextlib
import ctypes
import os
import platform
import resource
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from struct import Struct

NOBODY = 65534

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_GET_ACTION_AVAIL = 1, 2
_LANDLOCK_CREATE_RULESET_VERSION = 1
_SYS_LANDLOCK_CREATE_RULESET, _SYS_LANDLOCK_RESTRICT_SELF = 444, 446
"""The same on all architectures."""

_FILE_RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))
"""From which version on Landlock knows how many rights on files (linux/landlock.h)."""
_TCP_RIGHTS, _TCP_SINCE = 0b11, 4
"""bind, connect."""
_SCOPES, _SCOPES_SINCE = 0b11, 6
"""Abstract sockets and signals stay among processes of this domain."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What holds a process in; for the log and `mic-mail status`."""

    no_new_privs: bool = False
    unprivileged: bool = False
    """It has not the rights of root."""
    landlock: int = 0
    """The version of Landlock; 0: the kernel has none."""
    seccomp: bool = False

    @property
    def in_force(self) -> list[str]:
        """What is in force, by name; Landlock with its version."""
        held = [name for name in self.__slots__ if getattr(self, name)]
        return [f"landlock {self.landlock}" if name == "landlock" else name for name in held]

    @property
    def missing(self) -> list[str]:
        """The names of what is not in force."""
        return [name for name in self.__slots__ if not getattr(self, name)]


@dataclass(frozen=True, slots=True)
class _Architecture:
    """How one machine numbers its system calls."""

    audit: int
    """AUDIT_ARCH (linux/audit.h)."""
    seccomp: int
    column: int
    """In the tables below."""


_ARCHITECTURES = {"x86_64": _Architecture(0xC000003E, 317, 0), "aarch64": _Architecture(0xC00000B7, 277, 1)}

_Calls = Mapping[str, tuple[int | None, int | None]]
"""Names of system calls, and their numbers by column."""

_ALLOWED: _Calls = {
    # octets of what is open
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "preadv2": (327, 286),
    "lseek": (8, 62),
    "close": (3, 57),
    "fstat": (5, 80),
    "fcntl": (72, 25),
    "poll": (7, None),
    "ppoll": (271, 73),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    # memory
    "brk": (12, 214),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    # clocks and chance
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "getrandom": (318, 278),
    # itself
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "setrlimit": (160, 164),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "arch_prctl": (158, None),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "membarrier": (324, 283),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
_DEADLY: _Calls = {
    "open": (2, None),
    "creat": (85, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "fork": (57, None),
    "vfork": (58, None),
    "clone": (56, 220),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "kill": (62, 129),
    "tkill": (200, 130),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
}
_MEMORY: _Calls = {"mmap": (9, 222), "mprotect": (10, 226)}
"""Allowed for what is not to be run: code of its own is how a hole becomes a foothold."""
_OWN: _Calls = {"prlimit64": (302, 261)}
"""Allowed about itself (process 0)."""
_ABORT: _Calls = {"tgkill": (234, 131)}
"""Allowed to itself: how abort(3) ends."""

# linux/filter.h, linux/seccomp.h
_INSTRUCTION = Struct("=HBBI")
_LOAD, _RETURN = 0x20, 0x06
_JUMP_EQUAL, _JUMP_ANY_BIT = 0x15, 0x45
_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_EPERM = 1
_NUMBER, _ARCH = 0, 4
_PROT_EXEC = 4


def _argument(position: int) -> int:
    """The offset of the lower half of an argument in `struct seccomp_data`; both architectures are little-endian."""
    return 16 + 8 * position


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def seccomp_filter(machine: str, process_id: int) -> bytes | None:
    """The filter as the kernel takes it, for one process; None for a machine whose system calls are not known here."""
    known = _ARCHITECTURES.get(machine)
    if known is None:
        return None

    def numbers(calls: Iterable[tuple[int | None, int | None]]) -> list[int]:
        return [number for call in calls if (number := call[known.column]) is not None]

    steps = [(_LOAD, 0, 0, _ARCH), (_JUMP_EQUAL, 1, 0, known.audit), (_RETURN, 0, 0, _KILL_PROCESS), (_LOAD, 0, 0, _NUMBER)]
    for calls, action in ((_ALLOWED, _ALLOW), (_DEADLY, _KILL_PROCESS)):
        for number in numbers(calls.values()):
            steps += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, action)]
    for calls, position, test, value, allowed in (
        (_MEMORY, 2, _JUMP_ANY_BIT, _PROT_EXEC, False),
        (_OWN, 0, _JUMP_EQUAL, 0, True),
        (_ABORT, 0, _JUMP_EQUAL, process_id, True),
    ):
        when, else_ = (_ALLOW, _ERRNO | _EPERM) if allowed else (_ERRNO | _EPERM, _ALLOW)
        for number in numbers(calls.values()):
            steps += [
                (_JUMP_EQUAL, 0, 4, number),
                (_LOAD, 0, 0, _argument(position)),
                (test, 0, 1, value),
                (_RETURN, 0, 0, when),
                (_RETURN, 0, 0, else_),
            ]
    steps.append((_RETURN, 0, 0, _ERRNO | _EPERM))
    return b"".join(_INSTRUCTION.pack(*step) for step in steps)


def enter() -> Protection:
    """Close this process in, as far as the machine allows."""
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privs = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    unprivileged = _leave_root()
    _limit()
    landlock = _restrict_files(libc) if no_new_privs else 0
    seccomp = no_new_privs and _filter_calls(libc)
    return Protection(no_new_privs, unprivileged, landlock, seccomp)


def available() -> Protection:
    """What `enter` would bring here, as far as that can be asked without entering."""
    libc = ctypes.CDLL(None, use_errno=True)
    known = _ARCHITECTURES.get(platform.machine())
    action = ctypes.c_uint32(_KILL_PROCESS)
    seccomp = known is not None and libc.syscall(known.seccomp, _SECCOMP_GET_ACTION_AVAIL, 0, ctypes.byref(action)) == 0
    return Protection(True, True, _landlock_version(libc), seccomp)


def _leave_root() -> bool:
    """Whether the process is without the rights of root, by now."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # a user namespace may not have that account
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    return os.geteuid() != 0


def _limit() -> None:
    for what in (resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(what, (0, 0))


def _landlock_version(libc: ctypes.CDLL) -> int:
    return max(0, int(libc.syscall(_SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION)))


def _restrict_files(libc: ctypes.CDLL) -> int:
    """The version of Landlock that is in force: all that it knows is forbidden, and no rule allows anything."""
    version = _landlock_version(libc)
    if not version:
        return 0
    rights = next((1 << count) - 1 for since, count in reversed(_FILE_RIGHTS) if version >= since)
    told = [rights, _TCP_RIGHTS if version >= _TCP_SINCE else 0, _SCOPES if version >= _SCOPES_SINCE else 0]
    attributes = (ctypes.c_uint64 * len(told))(*told)
    ruleset = libc.syscall(_SYS_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(ctypes.sizeof(attributes)), 0)
    if ruleset < 0:
        return 0
    try:
        return version if libc.syscall(_SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _filter_calls(libc: ctypes.CDLL) -> bool:
    known = _ARCHITECTURES.get(platform.machine())
    octets = seccomp_filter(platform.machine(), os.getpid())
    if known is None or octets is None or sys.byteorder != "little":
        return False
    program = _Program(len(octets) // _INSTRUCTION.size, octets)
    return bool(libc.syscall(known.seccomp, _SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(program)) == 0)
