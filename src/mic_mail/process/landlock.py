"""Landlock: restrict the files, TCP ports and processes that the calling process may reach.

In: `Rules`, an allow-list. Out: the ABI version in force. See landlock(7); Linux 5.19 or newer. A restriction is permanent for
the process and everything it forks or executes; another call can only add restrictions. Descriptors that are already open go on
working, whatever the rules say: pass those on first. Call it while the process has one thread: other threads would stay
unrestricted.

Not covered by the kernel: sockets below a path (their modes decide), UDP, `stat` and `chmod`. Nothing here needs a privilege.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

OLDEST_ABI: Final = 2
"""ABI 1 forbids every rename into another folder, and each delivery needs one."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_CREATE_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2
_PR_SET_NO_NEW_PRIVS: Final = 38
_NET_SINCE, _SCOPES_SINCE = 4, 6
_CONNECT_TCP: Final = 2
_BIND_AND_CONNECT: Final = 3
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 3

# linux/landlock.h: LANDLOCK_ACCESS_FS_*
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK, _TRUNCATE = 1 << 6, 1 << 11, 1 << 14
_ALL_SINCE: Final = ((1, (1 << 13) - 1), (2, 1 << 13), (3, _TRUNCATE), (5, 1 << 15))
"""The ABI version that introduced each set of rights."""
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15
"""The rights that apply to files; the others apply to folders only."""
_READING: Final = _EXECUTE | _READ_FILE | _READ_DIR
_WRITING: Final = ~(_EXECUTE | _MAKE_CHAR | _MAKE_BLOCK)
"""All rights except executing files and creating devices: a device made by root could be the disk."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The paths and ports that may be reached; everything else is denied. A folder includes all below it."""

    read: Iterable[Path] = ()
    """Paths to read and execute."""
    write: Iterable[Path] = ()
    """Paths to read, write, create, rename and remove; nothing is executed and no device is created there."""
    listed: Iterable[Path] = ()
    """Folders whose entries may be listed, and nothing else."""
    connect: frozenset[int] | None = frozenset()
    """TCP ports to connect to; None: any.

    No port may be bound either way: listening sockets are passed on.
    """


@cache
def abi() -> int:
    """Return the Landlock ABI version of this kernel; 0 where it has none or it is disabled."""
    return max(0, _call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION))


def forbid_new_privileges() -> bool:
    """Set PR_SET_NO_NEW_PRIVS: no program executed from now on gains privileges. Return whether it is set."""
    return bool(ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def restrict(rules: Rules) -> int:
    """Put the rules in force; return the ABI version, 0 where the kernel lacks it. OSError where it fails."""
    version = abi()
    write = tuple(rules.write)
    if version < (OLDEST_ABI if write else 1):
        return 0
    forbid_new_privileges()
    handled = sum(rights for since, rights in _ALL_SINCE if since <= version)
    net = 0 if version < _NET_SINCE else _BIND_AND_CONNECT if rules.connect is not None else 1
    scoped = _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if version >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", handled, net, scoped)[
        : 8 if version < _NET_SINCE else 16 if version < _SCOPES_SINCE else 24
    ]
    ruleset = _checked(_call(_CREATE_RULESET, attributes, len(attributes), 0))
    try:
        for paths, rights in ((rules.read, _READING), (write, _WRITING), (rules.listed, _READ_DIR)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        if net & _CONNECT_TCP:
            for port in rules.connect or ():
                _checked(_call(_ADD_RULE, ruleset, _RULE_NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port), 0))
        _checked(_call(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: Path, rights: int) -> None:
    """Allow a path. One that does not exist stays denied, even if it is created later."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _OF_FILES
        _checked(_call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, fd), 0))
    finally:
        os.close(fd)


def _call(number: int, *arguments: bytes | int | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    found: int = libc.syscall(ctypes.c_long(number), *given)
    return found


def _checked(found: int) -> int:
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock: {os.strerror(number)}")
    return found
