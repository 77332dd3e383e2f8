"""Reads and stats of files that are in the kernel's caches, for callers that must not wait for a disk.

openat2(2) with RESOLVE_CACHED opens a file only if its path can be followed in memory, and preadv2(2) with RWF_NOWAIT copies
octets only from the page cache. O_NOATIME leaves the time of access alone: to change it could wait for the file system's
journal. All three are refused somewhere (older kernels, other file systems, files of another owner), and then the caller reads
the file in an executor, as it does where something is not cached.
"""

import ctypes
import errno
import os
import struct

_OPENAT2 = 437
"""The call's number, the same on all architectures (Linux 5.6)."""
_AT_FDCWD = -100
_RESOLVE_CACHED = 0x20
"""Linux 5.12."""
_OPEN_HOW = struct.pack("=QQQ", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOATIME, 0, _RESOLVE_CACHED)
_FIND_HOW = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_CACHED)
"""Finds an inode, which is in memory with its name, and opens nothing."""
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.E2BIG})

_syscall = ctypes.PyDLL(None, use_errno=True).syscall  # PyDLL: the interpreter lock is not worth releasing for 2 us
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
_syscall.restype = ctypes.c_long


class CachedReader:
    """Reads small files without waiting, as long as the kernel supports that."""

    def __init__(self) -> None:
        self._opens = True

    def read(self, path: str, size: int) -> bytes | None:
        """Return the octets of a file of exactly `size` octets; None where that is not known from memory. Never waits."""
        fd = self._open(path, _OPEN_HOW)
        if fd < 0:
            return None
        octets = bytearray(size + 1)  # one more shows that nothing follows
        try:
            taken = os.preadv(fd, [octets], 0, os.RWF_NOWAIT)
        except OSError:  # not in the page cache, or a file system that has no such reads
            return None
        finally:
            os.close(fd)
        return bytes(memoryview(octets)[:size]) if taken == size else None

    def stat(self, path: str) -> os.stat_result | None:
        """Return the state of a file or folder; None where it is not known from memory, or there is none. Never waits."""
        fd = self._open(path, _FIND_HOW)
        if fd < 0:
            return None
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def _open(self, path: str, how: bytes) -> int:
        if not self._opens:
            return -1
        fd: int = _syscall(_OPENAT2, _AT_FDCWD, os.fsencode(path), how, len(how))
        if fd < 0:
            self._opens = ctypes.get_errno() not in _UNSUPPORTED
        return fd
