"""Appending the rest of one file to another by the kernel, without copying through this process."""

import errno
import os

from mic_mail.durable_files import write_all

_AT_ONCE = 1 << 30
_PIECE_OCTETS = 1 << 20
_CANNOT = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.EPERM})
"""Errors between some file systems, and on old kernels; then the copy goes through this process."""


def copy_rest(source: int, offset: int, target: int) -> int:
    """Append `source` from `offset` on to the file `target`, at its position; return the octets. OSError."""
    copied = 0
    while True:
        try:
            octets = os.copy_file_range(source, target, _AT_ONCE, offset + copied)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            return copied + _copy_through(source, offset + copied, target)
        if not octets:
            # Some file systems return 0 for what they cannot copy; at a real end this costs one read.
            return copied + _copy_through(source, offset + copied, target)
        copied += octets


def _copy_through(source: int, offset: int, target: int) -> int:
    copied = 0
    while piece := os.pread(source, _PIECE_OCTETS, offset + copied):
        write_all(target, piece)
        copied += len(piece)
    return copied
