"""Messages as files outside the store: common parts of content (Reg. 4.3) and records (11.4) exports."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO
from unicodedata import normalize

from mic_mail.errors import BadInput, Text, Trouble, in_ascii
from mic_mail.i18n.os_errors import reason as system_reason
from mic_mail.storage.errors import NoSuchFolder, NoSuchMessage
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import Column, FolderInfo

CHUNK_OCTETS = 1 << 20
ROWS_AT_ONCE = 500
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
    """Open a new private file, durable when the block has been left; `FileExistsError`."""
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


def copy_message(account: Account, folder_id: int, uid: int, path: Path) -> Summed | None:
    """Copy a message octet for octet as it is stored, durably; no flag changes.

    Replaces what an interrupted run left. None: the message was removed for good before it could be opened.
    """
    try:
        message = account.open_message(folder_id, uid)
    except NoSuchMessage:
        return None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with message, private_file(path) as file:
        copy = Summed(file)
        while octets := message.pread(copy.octets, CHUNK_OCTETS):
            copy.write(octets)
        return copy


def rows_of(account: Account, folder_id: int, uids: Sequence[int], columns: Sequence[Column]) -> Iterator[Sequence[Any]]:
    """Yield the index rows of these messages, some at a time."""
    for start in range(0, len(uids), ROWS_AT_ONCE):
        yield from account.rows(folder_id, uids[start : start + ROWS_AT_ONCE], columns)


def must_be_new(target: Path) -> None:
    if os.path.lexists(target):
        raise BadInput(Text(f"“{target}” đã có.", f"{in_ascii(target)} already exists."))


@contextmanager
def errors_of(target: Path, remedy: Text) -> Iterator[None]:
    """Turn the errors of writing an export into `Trouble`."""
    try:
        yield
    except OSError as error:
        why = system_reason(error)
        raise Trouble(
            Text(f"Không ghi được “{target}”: {why.vi}.", f"{in_ascii(target)} cannot be written: {why.en}."), remedy=remedy
        ) from error


def safe_name(name: str) -> str:
    """Return a folder's name as part of a path; the original is in the manifest."""
    return _UNSAFE.sub("_", normalize("NFC", name))[:_LONGEST_NAME].strip("_") or "_"


def message_id_text(message_id: bytes | None) -> str | None:
    return None if message_id is None else message_id.decode("utf-8", "backslashreplace")


def iso(moment: date | None) -> str | None:
    """Return a day or an instant in the format of manifests."""
    return None if moment is None else moment.isoformat()
