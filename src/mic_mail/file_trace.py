"""Traces of files: metadata that change with the content, so that unchanged files are not read again."""

import os
from pathlib import Path


def trace_of(path: str | Path) -> tuple[int, ...]:
    """Return what changes with each change of a file, or of the names in a folder; empty if it cannot be read.

    Two changes within one tick of the file system's clock (4 ms) may leave the same trace.
    """
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
