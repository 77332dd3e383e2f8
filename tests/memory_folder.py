"""Folders in memory, for stores that lose nothing with it: `kill -9` takes nothing from the page cache, and what a power cut
takes is taken by hand. On a disk a history of commands waits for the disk most of its time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_MEMORY = Path("/dev/shm")


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """One that is gone at the end; on the disk where the machine has no other."""
    with TemporaryDirectory(prefix="mic-mail-", dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        yield Path(folder)
