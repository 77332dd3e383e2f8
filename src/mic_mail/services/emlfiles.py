"""Messages as files outside of the store: what exports of content (Reg. 4.3) and of records (Reg. 11.4) have in common."""

import os
import re
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from unicodedata import normalize

from mic_mail.storage.reader import MessageFile

CHUNK_OCTETS = 1 << 20
_UNSAFE = re.compile(r"[^\w-]+")
_LONGEST_NAME = 60


class Summed:
    """A file that knows its size and digest."""

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


def copy_message(message: MessageFile, file: BinaryIO) -> Summed:
    """A message octet for octet as it is stored, a megabyte at a time; no flag changes."""
    copy = Summed(file)
    while octets := message.pread(copy.octets, CHUNK_OCTETS):
        copy.write(octets)
    return copy


def safe_name(name: str) -> str:
    """A folder's name as part of a path: letters, digits, `-` and `_`; the manifest has it as it is."""
    return _UNSAFE.sub("_", normalize("NFC", name))[:_LONGEST_NAME].strip("_") or "_"


def shown_id(message_id: object) -> str | None:
    """A Message-ID of the index as text."""
    if isinstance(message_id, bytes):
        return message_id.decode("utf-8", "backslashreplace")
    return message_id if isinstance(message_id, str) else None


def iso(moment: object) -> str | None:
    """A day or an instant as it is written in manifests."""
    isoformat = getattr(moment, "isoformat", None)
    return None if isoformat is None else str(isoformat())


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
