"""A sandbox for a process that reads hostile input: no file, no socket, no child, no other process.

In: nothing; `enter` is called once, after all imports, with every descriptor open that will ever be needed. It cannot be
undone. Out: a `Protection` with what is in force: a kernel, a container or an account may refuse parts, and the others are
applied all the same. For processes of one thread (prctl(2), seccomp(2), landlock(7), setrlimit(2)).

    no_new_privs  no program can give it rights (and seccomp needs it)
    unprivileged  a process of root becomes nobody, without groups
    limits        no child (RLIMIT_NPROC, which does not bind root), no file that grows, no core
    landlock      no path can be opened, no TCP port reached, no process outside signalled (as far as the kernel's version goes)
    seccomp       system calls by an allow-list; a call that a document reader never makes kills the process, others give EPERM

The account has to be changed before the filter forbids it. This is own code and no library (docs/dependencies.md): pyseccomp
has had no release since 2021 and needs libseccomp, the packages for Landlock are young, and all that is needed of both is a
table and four calls (`process.seccomp`, `process.landlock`).
"""

import contextlib
import os
import platform
import resource

from mic_mail.process import landlock, seccomp
from mic_mail.process.landlock import Rules
from mic_mail.process.protection import Protection
from mic_mail.process.seccomp import Calls

NOBODY = 65534

_ALLOWED: Calls = {
    # octets of what is open
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
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
_DEADLY: Calls = {
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
_MEMORY: Calls = {"mmap": (9, 222), "mprotect": (10, 226)}
"""Calls allowed for memory that is not executable: own code would turn a flaw into a foothold."""
_OWN: Calls = {"prlimit64": (302, 261)}
"""Calls allowed about the process itself (process 0)."""
_ABORT: Calls = {"tgkill": (234, 131)}
"""Calls allowed to the process itself: how abort(3) ends."""

_EPERM = 1
_PROT_EXEC = 4


def seccomp_filter(machine: str, process_id: int) -> bytes | None:
    """Return the filter program for one process; None where the machine's system calls are not known here."""
    known = seccomp.ARCHITECTURES.get(machine)
    if known is None:
        return None
    refused = seccomp.ERRNO | _EPERM
    is_run, is_own, is_itself = (
        (seccomp.JUMP_ANY_BIT, _PROT_EXEC),
        (seccomp.JUMP_EQUAL, 0),
        (seccomp.JUMP_EQUAL, process_id),
    )
    steps = [
        *seccomp.beginning(known),
        *seccomp.answered(known.numbers(_ALLOWED), seccomp.ALLOW),
        *seccomp.answered(known.numbers(_DEADLY), seccomp.KILL_PROCESS),
        *seccomp.answered_by(known.numbers(_MEMORY), 2, is_run, refused, seccomp.ALLOW),
        *seccomp.answered_by(known.numbers(_OWN), 0, is_own, seccomp.ALLOW, refused),
        *seccomp.answered_by(known.numbers(_ABORT), 0, is_itself, seccomp.ALLOW, refused),
        (seccomp.RETURN, 0, 0, refused),
    ]
    return seccomp.packed(steps)


def enter() -> Protection:
    """Confine this process, as far as the machine allows."""
    no_new_privs = landlock.forbid_new_privileges()
    unprivileged = _leave_root()
    _limit()
    version = 0
    if no_new_privs:
        with contextlib.suppress(OSError):
            version = landlock.restrict(Rules())
    program = seccomp_filter(platform.machine(), os.getpid())
    is_filtered = no_new_privs and program is not None and seccomp.put_in_force(program)
    return Protection(no_new_privs, unprivileged, version, is_filtered)


def available() -> Protection:
    """Return the protections that `enter` would apply here, as far as that can be known without entering."""
    return Protection(True, True, landlock.abi(), seccomp.is_available())


def _leave_root() -> bool:
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # a user namespace may not have that account
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    return os.geteuid() != 0


def _limit() -> None:
    for what in (resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(what, (0, 0))
