"""syncfs, and the file systems on which it is reliable; the journal (journal.py) depends on it."""

import ctypes
import errno
import os

_SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
_SYNC_FILE_RANGE = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
_WRITE = 2
"""SYNC_FILE_RANGE_WRITE: begin writing, and wait for nothing."""
if _SYNC_FILE_RANGE is not None:
    _SYNC_FILE_RANGE.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
_FSTATFS = getattr(ctypes.CDLL(None, use_errno=True), "fstatfs", None)
_STATFS_OCTETS = 512
"""More than any machine's `struct statfs`, which begins with the type."""

SYNCED = frozenset(
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # XFS
        0x9123683E,  # Btrfs
        0xF2F52010,  # F2FS
        0x2FC12FC1,  # ZFS
        0x794C7630,  # overlay
        0x01021994,  # tmpfs, which a power loss takes whole
    }
)
"""Types (statfs(2)) whose syncfs waits for the disk.

FUSE returns without asking its server; network file systems differ.
"""


def sync_file_system(fd: int) -> None:
    """Sync the whole file system, syncfs(2); raise OSError also for errors since `fd` was opened."""
    if _SYNCFS is None or _SYNCFS(fd) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def begin_to_write(fd: int, offset: int, octets: int) -> None:
    """Start writing these octets, sync_file_range(2); no guarantee, so an fdatasync has to follow."""
    if _SYNC_FILE_RANGE is not None:
        _SYNC_FILE_RANGE(fd, offset, octets, _WRITE)


def file_system_type(fd: int) -> int:
    """Return the magic number of fstatfs(2); 0 where it is unknown."""
    buffer = ctypes.create_string_buffer(_STATFS_OCTETS)
    if _FSTATFS is None or _FSTATFS(fd, buffer) != 0:
        return 0
    return ctypes.c_ulong.from_buffer(buffer).value


def check_that_it_syncs(fd: int) -> None:
    """Raise OSError (EOPNOTSUPP) where syncfs proves nothing."""
    if _SYNCFS is None or file_system_type(fd) not in SYNCED:
        raise OSError(errno.EOPNOTSUPP, f"syncfs proves nothing on file systems of type {file_system_type(fd):#x}")


def note_device(devices: dict[int, int], mail_root: str, home: str) -> None:
    """Add the file system that an account lies on, by number and descriptor.

    Where the account is gone, its nearest existing parent is used: a mount point cannot be renamed. OSError where syncfs proves
    nothing.
    """
    path = f"{mail_root}/{home}/Maildir"
    fd = -1
    while fd < 0:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            path = os.path.dirname(path)
    try:
        check_that_it_syncs(fd)
        if devices.setdefault(os.fstat(fd).st_dev, fd) == fd:
            fd = -1
    finally:
        if fd >= 0:
            os.close(fd)
