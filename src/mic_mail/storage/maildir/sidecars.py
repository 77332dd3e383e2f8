"""Sidecars hold what file names cannot: `.mic-folder` in each folder, `.mic-account` in each account.

Both are JSON and replaced durably. Where each reader has their own \\Seen, `.mic-seen.<address>` beside `.mic-folder` holds one
reader's; like flags in file names it follows the index and is not synced (seen_sidecars.py).

With these, the names and the messages, `repair` rebuilds the index. The marks are high-water marks, written *before* a number
above them is used, in steps of `MARK_STEP`. After a power loss or a lost index numbering continues above the mark, so no UID
and no MODSEQ ever means two things. Where a full disk has no space for a new `.mic-account`, its MODSEQ mark is written in
place. A damaged sidecar reads as None, and `repair` reports it. OSError is raised only where the process lacks descriptors or
memory at the moment: continuing without the data of a good sidecar would overwrite it.
"""

import errno
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Self
from urllib.parse import quote

from mic_mail.durable_files import make_durable, replace_durably

MARK_STEP = 1_000
FOLDER_SIDECAR = ".mic-folder"
ACCOUNT_SIDECAR = ".mic-account"
SEEN_SIDECAR = ".mic-seen."
_MAX_PERSON_OCTETS = 160
_PASSES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_SECTOR_OCTETS = 512
_MARK = re.compile(rb'\{\n "account_id": [0-9]+,\n "modseq_mark":( ?[0-9]+),\n')
_OBJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class FolderSidecar:
    name: str
    mailbox_id: str
    uidvalidity: int
    uidnext_mark: int
    keywords: tuple[str, ...] = ()
    special_use: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    folder_id: int = 0
    """Its number in the index; 0: not recorded.

    Sessions that have the folder open use that number, also after the index is rebuilt.
    """
    version: int = 1

    @classmethod
    def read(cls, folder_path: str) -> Self | None:
        fields = _read(f"{folder_path}/{FOLDER_SIDECAR}")
        try:
            return cls(
                name=str(fields["name"]),
                mailbox_id=_object_id(fields["mailbox_id"]),
                uidvalidity=_number(fields["uidvalidity"]),
                uidnext_mark=_number(fields["uidnext_mark"]),
                keywords=_strings(fields["keywords"]),
                special_use=None if fields["special_use"] is None else str(fields["special_use"]),
                metadata=_mapping(fields.get("metadata")),
                folder_id=_number(fields.get("folder_id", 0)),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def write(self, folder_path: str) -> None:
        _write(f"{folder_path}/{FOLDER_SIDECAR}", asdict(self))


@dataclass(frozen=True, slots=True)
class AccountSidecar:
    account_id: int
    modseq_mark: int
    uidvalidity_next: int
    subscriptions: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    readers: tuple[str, ...] | None = None
    """Addresses of readers with their own \\Seen; None: it is one for all."""
    version: int = 1

    @classmethod
    def read(cls, maildir_path: str) -> Self | None:
        fields = _read(f"{maildir_path}/{ACCOUNT_SIDECAR}")
        try:
            return cls(
                account_id=_number(fields["account_id"]),
                modseq_mark=_number(fields["modseq_mark"]),
                uidvalidity_next=_number(fields["uidvalidity_next"]),
                subscriptions=_strings(fields["subscriptions"]),
                metadata=_mapping(fields.get("metadata")),
                readers=None if fields.get("readers") is None else _strings(fields["readers"]),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def write(self, maildir_path: str) -> None:
        _write(f"{maildir_path}/{ACCOUNT_SIDECAR}", asdict(self))


def write_mark_in_place(maildir_path: str, mark: int) -> bool:
    """Overwrite the digits of the account's MODSEQ mark durably, which takes no disk space.

    False where the number does not fit. A power loss leaves the old number or the new one, since they lie in a first sector,
    which a disk writes whole. The name is synced too: the caller that found no space to replace the file may have come as far
    as that.
    """
    try:
        fd = os.open(f"{maildir_path}/{ACCOUNT_SIDECAR}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        found = _MARK.match(os.pread(fd, _SECTOR_OCTETS, 0))
        if found is None or len(str(mark)) > len(found[1]):
            return False
        os.pwrite(fd, b"%*d" % (len(found[1]), mark), found.start(1))
        os.fdatasync(fd)
    finally:
        os.close(fd)
    make_durable(maildir_path)
    return True


@dataclass(frozen=True, slots=True)
class SeenSidecar:
    """The messages that one reader has seen in the folder with this id."""

    person: str
    mailbox_id: str
    seen: Sequence[tuple[int, int]]
    """Ranges of UIDs, ascending. They may include UIDs that no longer exist."""
    version: int = 1

    @classmethod
    def read(cls, folder_path: str, person: str) -> Self | None:
        fields = _read(seen_path(folder_path, person))
        try:
            ranges = fields["seen"]
            if not isinstance(ranges, list) or fields["person"] != person:
                return None
            pairs = [(_number(low), _number(high)) for low, high in ranges]
            return cls(person, _object_id(fields["mailbox_id"]), pairs)
        except (KeyError, TypeError, ValueError):
            return None

    def write(self, folder_path: str) -> None:
        """Write the sidecar: readers see the old or the new one; a power loss may leave neither."""
        path = seen_path(folder_path, self.person)
        staging = f"{path}.{os.getpid()}.tmp"
        with open(staging, "wb") as file:
            file.write(json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        os.rename(staging, path)


def seen_path(folder_path: str, person: str) -> str:
    """Return the path of a reader's sidecar; an address may hold anything but NUL."""
    name = quote(person, safe="@+")
    if len(name) > _MAX_PERSON_OCTETS:
        name = sha256(person.encode()).hexdigest()
    return f"{folder_path}/{SEEN_SIDECAR}{name}"


def _read(path: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read())
        json.dumps(value, ensure_ascii=False).encode()  # an escaped half of a surrogate pair passes for text until it is stored
    except OSError as error:
        if error.errno in _PASSES:
            raise
        return {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _write(path: str, fields: dict[str, object]) -> None:
    replace_durably(path, json.dumps(fields, ensure_ascii=False, indent=1).encode() + b"\n")


def _object_id(value: object) -> str:
    """Return a valid object id (RFC 8474 §4.1), else raise ValueError: it names a directory and goes to clients."""
    if not isinstance(value, str) or _OBJECT_ID.fullmatch(value) is None:
        raise ValueError(value)
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError(value)
    return value


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(value)
    return tuple(value)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
