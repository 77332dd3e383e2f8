"""System calls that no server process makes, refused with EPERM by a seccomp filter.

In: whether the process starts programs, and whether it uses internet sockets. Out: whether the filter is in force, for the
process and everything it starts. This is a deny-list, unlike the allow-list of the document readers (`process.sandbox`): a
server of this size uses half of the kernel. Denied are the calls that go beyond what a process needs, or bypass the rules of
Landlock:

    other processes     ptrace, their memory, their descriptors
    the machine         modules, another kernel, mounts, names, clock, swap, kernel keys, hardware ports
    namespaces          where a process would be root
    ways around         io_uring (seccomp does not see what it does), files by handle, BPF, userfaultfd, devices made by name
    programs            execve, and fork except for threads; not for processes that start document readers
    the internet        sockets other than local ones; UDP, too, which Landlock does not know
"""

from mic_mail.process import seccomp
from mic_mail.process.seccomp import Architecture, Calls, Step

_NEVER: Calls = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "iopl": (172, None),
    "ioperm": (173, None),
    "setns": (308, 268),
    "unshare": (272, 97),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
}
_PROGRAMS: Calls = {"execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None)}
_CLONE: Calls = {"clone": (56, 220)}
_CLONE3: Calls = {"clone3": (435, 435)}
"""Denied with ENOSYS: a filter cannot read flags in memory, and a caller that gets ENOSYS uses clone."""
_SOCKET: Calls = {"socket": (41, 198)}

_EPERM, _ENOSYS = seccomp.ERRNO | 1, seccomp.ERRNO | 38
_OTHER_ABI = 0x40000000
"""The first number of the x32 ABI, which duplicates the same calls."""
_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020000
_AF_UNIX = 1


def denying(known: Architecture, *, programs: bool, internet: bool) -> bytes:
    """Return the filter program for an architecture."""
    steps: list[Step] = [
        *seccomp.beginning(known),
        (seccomp.JUMP_AT_LEAST, 0, 1, _OTHER_ABI),
        (seccomp.RETURN, 0, 0, _EPERM),
        *seccomp.answered(known.numbers(_NEVER), _EPERM),
        *seccomp.answered(known.numbers(_CLONE3), _ENOSYS),
    ]
    if programs:
        made = (seccomp.JUMP_ANY_BIT, _CLONE_NAMESPACES)
        steps += seccomp.answered_by(known.numbers(_CLONE), 0, made, _EPERM, seccomp.ALLOW)
    else:
        steps += seccomp.answered(known.numbers(_PROGRAMS), _EPERM)
        steps += seccomp.answered_by(known.numbers(_CLONE), 0, (seccomp.JUMP_ANY_BIT, _CLONE_THREAD), seccomp.ALLOW, _EPERM)
    if not internet:
        steps += seccomp.answered_by(known.numbers(_SOCKET), 0, (seccomp.JUMP_EQUAL, _AF_UNIX), seccomp.ALLOW, _EPERM)
    steps.append((seccomp.RETURN, 0, 0, seccomp.ALLOW))
    return seccomp.packed(steps)


def deny(*, programs: bool, internet: bool) -> bool:
    """Put the filter in force for this process, which must have one thread and no_new_privs set."""
    known = seccomp.here()
    return known is not None and seccomp.put_in_force(denying(known, programs=programs, internet=internet), speculates=True)
