"""Files of a source on the local disk: opened so that no link leads out of it, read in parts.

A link, a pipe or a device is no message; unreadable files are skipped and reported, and never end an import. The
source's owner may change it while it is read, so the kernel is asked for the real path of an open file: a folder just
replaced by a link leads to nobody else's mail.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from io import FileIO
from typing import BinaryIO

from mic_mail.errors import Text, in_ascii
from mic_mail.i18n.os_errors import reason as system_reason
from mic_mail.services.importers.content import has_only_crlf, parts_with_crlf, with_crlf
from mic_mail.services.importers.source import CHUNK_OCTETS, Chunks, FolderClosed, Skip, SourceFailed, unreadable

HELD_OCTETS = 1 << 20
"""Messages up to this size are read whole."""
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file that was read."""

    content: bytes | Chunks
    changed_at_us: int


class LedAway(OSError):
    """The path leads out of its source."""


def open_below(root: str, path: str) -> int:
    """Open a file below `root`, which is a real path; OSError where there is none."""
    fd = os.open(path, _OPEN)
    real = os.readlink(f"/proc/self/fd/{fd}")
    if real != root and not real.startswith(f"{root.rstrip('/')}/"):
        os.close(fd)
        raise LedAway(errno.ELOOP, os.strerror(errno.ELOOP))
    return fd


def read(root: str, path: str) -> FileContent | Skip:
    """Return the file as a message with CRLF, or why it is none; `FileNotFoundError` where it is gone."""
    try:
        fd = open_below(root, path)
    except FileNotFoundError:
        raise
    except LedAway:
        return Skip.NOT_A_FILE
    except OSError:
        return Skip.NOT_A_FILE if os.path.islink(path) else Skip.UNREADABLE
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return Skip.NOT_A_FILE
        changed = found.st_mtime_ns // 1000
        with open(fd, "rb", closefd=False) as file:
            if found.st_size <= HELD_OCTETS:
                return FileContent(with_crlf(file.read(HELD_OCTETS)), changed)
            is_crlf = has_only_crlf(_parts_of(file))  # read whole here, where an unreadable file is only skipped
        parts = partial(_raw_parts, root, path)
        return FileContent(parts if is_crlf else lambda: parts_with_crlf(parts()), changed)
    except OSError:
        return Skip.UNREADABLE
    finally:
        os.close(fd)


def _parts_of(file: BinaryIO | FileIO) -> Iterator[bytes]:
    while part := file.read(CHUNK_OCTETS):
        yield part


def _raw_parts(root: str, path: str) -> Iterator[bytes]:
    try:
        with open(open_below(root, path), "rb", buffering=0) as file:
            yield from _parts_of(file)
    except OSError as error:
        why = system_reason(error)
        raise SourceFailed(
            Text(f"Nguồn không đọc được nữa: {why.vi}.", f"The source can no longer be read: {why.en}.")
        ) from error


def entries(path: str) -> list[os.DirEntry[str]]:
    """Return a folder's entries by name, none where it is missing; `FolderClosed` if it is unreadable."""
    try:
        with os.scandir(path) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise closed(path, error) from error


def closed(path: str, error: OSError) -> FolderClosed:
    """Return the error for a folder of the source that cannot be read; the others can."""
    shown, why = text_of(path), system_reason(error)
    return FolderClosed(Text(f"Không đọc được “{shown}”: {why.vi}.", f"{in_ascii(shown)} cannot be read: {why.en}."))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether the entry is a folder itself, not a link to one."""
    return entry.is_dir(follow_symlinks=False)


def must_be_readable(path: str, *, folder: bool) -> None:
    """Refuse a source that does not exist, or that the server's account may not read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (os.O_DIRECTORY if folder else os.O_NONBLOCK))
        try:
            is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        finally:
            os.close(fd)
    except OSError as error:
        raise unreadable(path, system_reason(error)) from error
    if not (folder or is_file):
        raise unreadable(path, Text("không phải tệp thông thường", "not a regular file"))


def text_of(name: str) -> str:
    """Return a name on disk as text; bytes that are not UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
