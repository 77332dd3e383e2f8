"""Reads of files that are in the kernel's caches, for callers that must not wait for a disk.

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
        if not self._opens:
            return None
        fd = _syscall(_OPENAT2, _AT_FDCWD, os.fsencode(path), _OPEN_HOW, len(_OPEN_HOW))
        if fd < 0:
            self._opens = ctypes.get_errno() not in _UNSUPPORTED
            return None
        octets = bytearray(size + 1)  # one more shows that nothing follows
        try:
            taken = os.preadv(fd, [octets], 0, os.RWF_NOWAIT)
        except OSError:  # not in the page cache, or a file system that has no such reads
            return None
        finally:
            os.close(fd)
        return bytes(memoryview(octets)[:size]) if taken == size else None
