"""Files that survive a power loss whole, and their owner's lock.

Contents and names are fsynced. Blocking; raises OSError.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable
from pathlib import Path

_UNFINISHED = re.compile(r".+\.([0-9]+)\.tmp")
"""The temporary files of `replace_durably`, each with the process that writes it."""


def write_all(fd: int, octets: bytes | bytearray | memoryview) -> None:
    """Write all octets, however often the system takes only some."""
    view = memoryview(octets)
    while view:
        view = view[os.write(fd, view) :]


def write_durably(path: str | Path, octets: bytes | Iterable[bytes], mode: int, *, new: bool = False) -> None:
    """Write a file and fsync its content; its name is durable after `make_durable` of the folder.

    An existing file is overwritten; with `new` it is an error. After an error the file may hold a part.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_EXCL if new else os.O_TRUNC) | os.O_CLOEXEC, mode)
    try:
        for piece in (octets,) if isinstance(octets, bytes) else octets:
            write_all(fd, piece)
        os.fsync(fd)
    finally:
        os.close(fd)


def make_durable(folder: str | Path) -> None:
    """Fsync a folder, and so the names in it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_locked(path: str | Path, flags: int = os.O_RDONLY) -> int | None:
    """Open a file with its flock; None if another process holds it, or the file is gone."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def replace_durably(path: str, content: bytes) -> None:
    """Write a small file so that readers, and a power loss, leave the old or the new content.

    Temporary file, fsync, rename, directory fsync.
    """
    staging = f"{path}.{os.getpid()}.tmp"
    try:
        write_durably(staging, content, 0o640)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staging)
        raise
    os.rename(staging, path)
    make_durable(os.path.dirname(path))


def remove_unfinished(folder: str | Path) -> None:
    """Remove what processes that were killed in `replace_durably` have left in a folder.

    A temporary file whose process lives is left alone. One that cannot be removed does no harm, and stays.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            unfinished = _UNFINISHED.fullmatch(entry.name)
            if unfinished and not os.path.exists(f"/proc/{unfinished[1]}"):
                os.unlink(entry.path)
