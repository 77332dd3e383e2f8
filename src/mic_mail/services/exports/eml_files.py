"""Messages as files outside the store: common parts of content (Reg. 4.3) and records (11.4) exports."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from unicodedata import normalize

from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.storage.errors import NoSuchFolder
from mic_mail.storage.mailstore import Account
from mic_mail.storage.reads.reader import MessageFile
from mic_mail.storage.types import FolderInfo

CHUNK_OCTETS = 1 << 20
ROWS_AT_ONCE = 500
"""Rows of the index read together."""
_UNSAFE = re.compile(r"[^\w-]+")
_LONGEST_NAME = 60

Progress = Callable[[int], None]
"""Called with the number of messages written."""


class Summed:
    """A file that tracks its size and digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sum = sha256()
        self.octets = 0

    def write(self, octets: bytes) -> None:
        self._file.write(octets)
        self._sum.update(octets)
        self.octets += len(octets)

    @property
    def digest(self) -> str:
        return self._sum.hexdigest()


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file readable by its owner only, durable when the block has been left.

    Raises `FileExistsError` where it exists.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        yield file
        file.flush()
        os.fsync(fd)


def folders_of(account: Account, name: str | None) -> list[FolderInfo]:
    """Return the folder of that name, or all that can hold messages; `BadInput` for an unknown name."""
    if name is None:
        return [info for info in account.folders() if info.selectable]
    try:
        return [account.folder(name)]
    except NoSuchFolder as error:
        raise BadInput(Text(f"Hộp thư không có thư mục “{name}”.", f"The mailbox has no folder {in_ascii(name)}.")) from error


def copy_message(message: MessageFile, file: BinaryIO) -> Summed:
    """Copy a message octet for octet as it is stored, a megabyte at a time; no flag changes."""
    copy = Summed(file)
    while octets := message.pread(copy.octets, CHUNK_OCTETS):
        copy.write(octets)
    return copy


def safe_name(name: str) -> str:
    """Return a folder's name as part of a path: letters, digits, `-` and `_`.

    The original name is in the manifest.
    """
    return _UNSAFE.sub("_", normalize("NFC", name))[:_LONGEST_NAME].strip("_") or "_"


def message_id_text(message_id: object) -> str | None:
    """Return a Message-ID of the index as text."""
    if isinstance(message_id, bytes):
        return message_id.decode("utf-8", "backslashreplace")
    return message_id if isinstance(message_id, str) else None


def iso(moment: object) -> str | None:
    """Return a day or an instant in the format of manifests."""
    isoformat = getattr(moment, "isoformat", None)
    return None if isoformat is None else str(isoformat())


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
