"""Durable copies of files for a backup, with mode and time of the original.

Files that an earlier copy has are linked from it. A folder that a copy lies in is durable once `make_durable` was called for
it; `copy_tree` does that for all of its own.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from mic_mail.durable_files import make_durable, write_all
from mic_mail.storage.maildir.copy_range import copy_rest

FOLDER_MODE = 0o700


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents durably, accessible to this user alone."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
        make_durable(str(path.parent))


def copy_out(source: int, path: str, mode: int) -> None:
    """Copy the content of the open file into a new one."""
    times = os.fstat(source)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        copy_rest(source, 0, fd)
        os.utime(fd, ns=(times.st_mtime_ns, times.st_mtime_ns))
        os.fsync(fd)
    finally:
        os.close(fd)


def write_new(path: str, pieces: Iterable[bytes], size: int, mode: int, mtime_ns: int) -> bool:
    """Write a new file; return whether the pieces were of this size together."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        for piece in pieces:
            write_all(fd, piece)
        os.utime(fd, ns=(mtime_ns, mtime_ns))
        os.fsync(fd)
        return os.fstat(fd).st_size == size
    finally:
        os.close(fd)


class SizeAndTime(Protocol):
    """The part of a file's status by which a copy of it is recognised."""

    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...


def linked(earlier: str, here: SizeAndTime, path: str) -> bool:
    """Link a write-once file from an earlier copy of the same size and time; return whether there is one."""
    try:
        there = os.lstat(earlier)
        if not stat.S_ISREG(there.st_mode) or (there.st_size, there.st_mtime_ns) != (here.st_size, here.st_mtime_ns):
            return False
        os.link(earlier, path)
    except OSError:  # gone, on another disk, or linked too often
        return False
    return True


def copy_file(source: str | Path, target: str | Path, earlier: Path | None = None) -> str:
    """Copy one file, or link it to its earlier copy; return its path."""
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if earlier is None or not linked(str(earlier), os.fstat(fd), str(target)):
            copy_out(fd, str(target), stat.S_IMODE(os.fstat(fd).st_mode))
    finally:
        os.close(fd)
    return str(target)


def copy_tree(source: Path, target: Path, ignore: Callable[[Any, list[str]], set[str]] | None = None) -> None:
    """Copy a folder with all its content into a new one; `OSError`, or `shutil.Error` for several errors."""
    make_folder(target.parent)
    shutil.copytree(source, target, ignore=ignore, copy_function=copy_file)
    for folder, _, _ in os.walk(target):
        make_durable(folder)
    make_durable(str(target.parent))
