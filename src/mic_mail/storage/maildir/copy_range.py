"""The rest of one file behind what stands in another, by the kernel: no octet of it passes through this process."""

import errno
import os

_AT_ONCE = 1 << 30
_PIECE_OCTETS = 1 << 20
_CANNOT = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.EPERM})
"""Between some file systems, and on old kernels: then through this process, in pieces."""


def copy_rest(source: int, offset: int, target: int) -> int:
    """Append what stands in `source` from `offset` on to the file `target`, at its place; how many octets. OSError."""
    copied = 0
    while True:
        try:
            octets = os.copy_file_range(source, target, _AT_ONCE, offset + copied)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            return copied + _copy_through(source, offset + copied, target)
        if not octets:
            # Some file systems say so of what they cannot copy; where it is true this costs one look.
            return copied + _copy_through(source, offset + copied, target)
        copied += octets


def _copy_through(source: int, offset: int, target: int) -> int:
    copied = 0
    while piece := os.pread(source, _PIECE_OCTETS, offset + copied):
        view = memoryview(piece)
        while view:
            view = view[os.write(target, view) :]
        copied += len(piece)
    return copied
