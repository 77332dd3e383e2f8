"""Folders in memory, for stores that lose nothing with it: `kill -9` takes nothing from the page cache, and what a power cut
takes is taken by hand. On a disk a history of commands waits for the disk most of its time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30
"""Octets that must be free: a server sets some aside for a full disk."""


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """One that is gone at the end; on the disk where there is little room, or no program may be started in memory."""
    with TemporaryDirectory(prefix="mic-mail-", dir=_MEMORY if _is_fit() else None) as folder:
        yield Path(folder)


def _is_fit() -> bool:
    try:
        there = os.statvfs(_MEMORY)
    except OSError:
        return False
    return not there.f_flag & os.ST_NOEXEC and there.f_bavail * there.f_frsize >= _ROOM
