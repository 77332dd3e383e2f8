"""The inventory of a mailbox at one moment: each folder, each message with the digest of its octets.

In: an account in which nothing is expunged. Out: a file named by the handover's number and its own digest. Blocking:
commands only. Every message is read, in pieces; at most one folder's list is in memory.

The moment is when the folders' lists are taken, together, before anything is read: a later message has a UID of
`uidnext` or above, and is no part of it. The file is JSON in UTF-8, a line each:

    {"inventory": 1, "mailbox": ..., "mailbox_id": ..., "handover": ..., "taken_at": ...}
    {"folder": name, "id": MAILBOXID, "uidvalidity": ..., "uidnext": ..., "messages": ..., "octets": ..., "marked": ...,
     "unreadable": ..., "oldest": ..., "newest": ..., "digest": ...}
    [uid, octets, received, SHA-256 or null where it cannot be read, EMAILID, Message-ID]        of each message in that folder

A folder's digest is SHA-256 of its messages' digests in hexadecimal, sorted, a line each; so anybody can compute it
from the files alone: `sha256sum cur/* | cut -c1-64 | LC_ALL=C sort | sha256sum`. It does not depend on UIDs, flags or
names.
"""

import errno
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from mic_mail.clock import instant_of
from mic_mail.durable_files import make_durable
from mic_mail.errors import Text, Trouble
from mic_mail.i18n.os_errors import reason as system_reason
from mic_mail.services.exports.eml_files import Summed
from mic_mail.storage.errors import NoSuchMessage, Unavailable
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import DELETED, Column, FolderView

FOLDER = "handovers"
READ_OCTETS = 1 << 20
_FOLDER_LINE = '{"folder":'
_AT_ONCE = 500
_VERSION = 1
_UNREADABLE = frozenset({errno.EIO, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ESPIPE, errno.ENXIO})
"""The errors of a file that is damaged or was put there by others; any other may go away in a moment."""
_KEYS = {"name": "folder", "mailbox_id": "id"}
"""The keys in a folder's line that differ from the names in `InventoriedFolder`."""
_COLUMNS: tuple[Column, ...] = ("uid", "size", "internaldate_us", "email_id", "message_id")

Progress = Callable[[int, int], None]
"""Called with the number of messages done and the total."""


def no_progress(done: int, of: int) -> None:
    """Report no progress."""


class InventoryDamaged(Trouble):
    """The inventory's file is missing, or differs from what was recorded."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            Text(
                f"Bản kiểm kê {path.name} bị mất hoặc đã bị thay đổi.",
                f"The inventory {path.name} is missing or differs from the record.",
            ),
            remedy=Text("Lấy lại tệp từ bản sao lưu.", "Restore the file from a backup."),
        )
        self.path = path


@dataclass(frozen=True, slots=True)
class InventoriedMessage:
    uid: int
    octets: int
    received_us: int
    digest: str | None
    """SHA-256 in hexadecimal; None: it could not be read then."""
    email_id: str
    message_id: str

    @property
    def received_at(self) -> datetime:
        return instant_of(self.received_us)


@dataclass(frozen=True, slots=True)
class InventoriedFolder:
    name: str
    mailbox_id: str
    uidvalidity: int
    uidnext: int
    messages: int
    octets: int
    marked: int
    """The number marked \\Deleted: the next EXPUNGE after the handover removes them."""
    unreadable: int
    oldest: datetime | None
    newest: datetime | None
    digest: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """The folders of a mailbox at one moment."""

    mailbox: str
    mailbox_id: int
    handover: int
    taken_at: datetime
    folders: tuple[InventoriedFolder, ...]

    @property
    def messages(self) -> int:
        return sum(folder.messages for folder in self.folders)

    @property
    def octets(self) -> int:
        return sum(folder.octets for folder in self.folders)

    @property
    def unreadable(self) -> int:
        return sum(folder.unreadable for folder in self.folders)


def digest_of(digests: Iterable[str]) -> str:
    total = sha256()
    for each in sorted(digests):
        total.update(each.encode("ascii") + b"\n")
    return total.hexdigest()


def take(
    account: Account, place: Path, *, mailbox: str, handover: int, now: datetime, progress: Progress = no_progress
) -> tuple[Inventory, str]:
    """Read everything and write the file into the folder `place`, atomically.

    Returns the inventory and the file's digest. Concurrent counts write a file each, since it is named by its digest.
    `Trouble`: it cannot be written.
    """
    try:
        return _taken(account, place, mailbox=mailbox, handover=handover, now=now, progress=progress)
    except OSError as error:
        why = system_reason(error)
        raise Trouble(
            Text(f"Không ghi được bản kiểm kê: {why.vi}.", f"The inventory cannot be written: {why.en}."),
            remedy=Text(
                "Sửa xong thì chạy lại; hộp thư vẫn được giữ nguyên.",
                "Correct that and run the command again; the mailbox stays frozen.",
            ),
        ) from error


def _taken(
    account: Account, place: Path, *, mailbox: str, handover: int, now: datetime, progress: Progress
) -> tuple[Inventory, str]:
    views = [account.view(folder.folder_id) for folder in account.folders() if folder.selectable]
    of, done = sum(len(view.uids) for view in views), 0
    head = {"inventory": _VERSION, "mailbox": mailbox, "mailbox_id": account.ref.account_id, "handover": handover}
    folders: list[InventoriedFolder] = []
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = place / f".{handover}.{secrets.token_hex(8)}"
    try:
        with open(fresh, "wb") as file:
            written = Summed(file)
            written.write(_line({**head, "taken_at": _instant(now)}))
            for view in views:
                messages: list[InventoriedMessage] = []
                for message in read_messages(account, view.info.folder_id, view.uids):
                    messages.append(message)
                    done += 1
                    progress(done, of)
                folder = _folder(view, messages)
                folders.append(folder)
                written.write(_line(_folder_line(folder)))
                for each in messages:
                    written.write(_line(astuple(each)))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(fresh, 0o440)
        os.replace(fresh, place / file_name(handover, written.digest))
        make_durable(str(place))
    finally:
        fresh.unlink(missing_ok=True)
    return Inventory(mailbox, account.ref.account_id, handover, now, tuple(folders)), written.digest


def file_name(handover: int, digest: str) -> str:
    return f"{handover}-{digest[:16]}.jsonl"


def tidy(place: Path) -> None:
    """Remove the temporary files of killed counts."""
    for left in place.glob(".*"):
        left.unlink(missing_ok=True)


def read_messages(account: Account, folder_id: int, uids: Sequence[int]) -> Iterator[InventoriedMessage]:
    """Yield these messages as they are now, each read whole; those no longer in the index are omitted."""
    for start in range(0, len(uids), _AT_ONCE):
        some = list(uids[start : start + _AT_ONCE])
        paths = account.paths(folder_id, some)
        for uid, size, received_us, email_id, message_id in account.rows(folder_id, some, _COLUMNS):
            digest = digest_of_message(account, folder_id, uid, paths.get(uid))
            yield InventoriedMessage(uid, size, received_us, digest, email_id, message_id.decode("utf-8", "replace"))


def digest_of_message(account: Account, folder_id: int, uid: int, path: str | None) -> str | None:
    """Return the SHA-256 of a message's octets; None: its file is missing or unreadable."""
    try:
        with account.open_message(folder_id, uid, path) as file:
            total, at = sha256(), 0
            while octets := file.pread(at, READ_OCTETS):
                total.update(octets)
                at += len(octets)
            return total.hexdigest()
    except NoSuchMessage:
        return None
    except Unavailable as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _UNREADABLE:
            return None
        raise


def read_head(path: Path, digest: str) -> Inventory:
    """Return the folders of an inventory that matches the recorded digest; else `InventoryDamaged`."""
    head: dict[str, Any] = {}
    folders: list[InventoriedFolder] = []
    for line in _lines(path, digest):
        if line.startswith(_FOLDER_LINE):
            folders.append(_read_folder(json.loads(line)))
        elif not head:
            head = json.loads(line)
    try:
        taken_at = datetime.fromisoformat(head["taken_at"])
        return Inventory(head["mailbox"], head["mailbox_id"], head["handover"], taken_at, tuple(folders))
    except (KeyError, ValueError) as error:
        raise InventoryDamaged(path) from error


def read_folders(path: Path, digest: str) -> Iterator[tuple[InventoriedFolder, list[InventoriedMessage]]]:
    """Yield each folder with its messages; `InventoryDamaged` before the first where the file differs."""
    folder: InventoriedFolder | None = None
    messages: list[InventoriedMessage] = []
    for line in _lines(path, digest):
        if line.startswith("["):
            messages.append(InventoriedMessage(*json.loads(line)))
        elif line.startswith(_FOLDER_LINE):
            if folder is not None:
                yield folder, messages
            folder, messages = _read_folder(json.loads(line)), []
    if folder is not None:
        yield folder, messages


def _lines(path: Path, digest: str) -> Iterator[str]:
    try:
        with open(path, "rb") as file:
            total = sha256()
            while octets := file.read(READ_OCTETS):
                total.update(octets)
            if total.hexdigest() != digest:
                raise InventoryDamaged(path)
            file.seek(0)
            for line in file:
                yield line.decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InventoryDamaged(path) from error


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _folder(view: FolderView, messages: Sequence[InventoriedMessage]) -> InventoriedFolder:
    readable = [message.digest for message in messages if message.digest is not None]
    times = [message.received_at for message in messages]
    return InventoriedFolder(
        name=view.info.name,
        mailbox_id=view.info.mailbox_id,
        uidvalidity=view.info.uidvalidity,
        uidnext=view.info.uidnext,
        messages=len(messages),
        octets=sum(message.octets for message in messages),
        marked=sum(1 for flags in view.flags if flags & DELETED),
        unreadable=len(messages) - len(readable),
        oldest=min(times, default=None),
        newest=max(times, default=None),
        digest=digest_of(readable),
    )


def _folder_line(folder: InventoriedFolder) -> dict[str, object]:
    return {
        _KEYS.get(name, name): _instant(value) if isinstance(value, datetime) else value
        for name, value in asdict(folder).items()
    }


def _read_folder(line: dict[str, Any]) -> InventoriedFolder:
    fields = {name: line[_KEYS.get(name, name)] for name in InventoriedFolder.__slots__}
    times = {name: fields[name] and datetime.fromisoformat(fields[name]) for name in ("oldest", "newest")}
    return InventoriedFolder(**{**fields, **times})


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds")
