"""Rows of the index as values, and the statements that several modules of the store share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, select, update

from mic_mail.storage.errors import AccountGone
from mic_mail.storage.index import schema
from mic_mail.storage.index.statements import Connection, Cursor, RowStatement, SqlStatement, keyed_by
from mic_mail.storage.types import DELETED, SEEN, FolderInfo


@lru_cache(maxsize=512)
def _names(keywords: str) -> tuple[str, ...]:
    return tuple(json.loads(keywords))


@dataclass(slots=True)
class AccountRow:
    """The account's counters; changed only inside a critical section."""

    account_id: int
    serial: int
    modseq: int
    modseq_mark: int
    uidvalidity_next: int
    folder_next: int
    email_next: int
    octets: int
    messages: int
    boot_id: str
    metadata: str | None = None
    """Annotations as `metadata_format.pack` writes them."""
    seen_each: int = 0
    """1: every reader has their own \\Seen (seen.py), and the flag in `message` is the common state."""

    @property
    def values(self) -> tuple[Any, ...]:
        """All values, to detect changes."""
        values: tuple[Any, ...] = _ACCOUNT_VALUES(self)
        return values


@dataclass(slots=True)
class FolderRow:
    """One folder; `directory` is below `Maildir/`, also when the folder lies in `.expunged/`."""

    account_id: int
    folder_id: int
    name: str
    directory: str
    mailbox_id: str
    uidvalidity: int
    uidnext: int
    uidnext_mark: int
    highest_modseq: int
    modseq: int
    created_modseq: int
    expunge_floor: int
    messages: int
    unseen: int
    deleted: int
    octets: int
    deleted_octets: int
    recent_from: int
    special_use: str | None
    keywords: str
    new_mtime_ns: int
    deleted_at_us: int | None
    metadata: str | None = None
    """Annotations as `metadata_format.pack` writes them."""

    @property
    def key(self) -> tuple[str, int | None, str | None]:
        """The fields that seldom change and cost much to write (`_KEYED_FIELDS`)."""
        return self.name, self.deleted_at_us, self.metadata

    def count(self, flags: int, octets: int, messages: int = 1) -> None:
        """Add messages with these flags, of `octets` together, to the counters, or subtract them (both negative)."""
        self.messages += messages
        self.octets += octets
        if not flags & SEEN:
            self.unseen += messages
        if flags & DELETED:
            self.deleted += messages
            self.deleted_octets += octets

    def recount(self, old: int, new: int, messages: int, octets: int) -> None:
        """Count that so many messages, of `octets` together, have changed their flags."""
        self.unseen += messages * ((old & SEEN != 0) - (new & SEEN != 0))
        marked = (new & DELETED != 0) - (old & DELETED != 0)
        self.deleted += messages * marked
        self.deleted_octets += octets * marked

    def keyword_names(self) -> tuple[str, ...]:
        return _names(self.keywords)

    def set_keywords(self, names: Sequence[str]) -> None:
        self.keywords = json.dumps(list(names), ensure_ascii=False)

    def info(self) -> FolderInfo:
        """Return the folder with the \\Seen of its common state."""
        return FolderInfo(
            folder_id=self.folder_id,
            name=self.name,
            uidvalidity=self.uidvalidity,
            uidnext=self.uidnext,
            highest_modseq=self.highest_modseq,
            expunge_floor=self.expunge_floor,
            mailbox_id=self.mailbox_id,
            special_use=self.special_use,
            keywords=self.keyword_names(),
            recent_from=self.recent_from,
            messages=self.messages,
            unseen=self.unseen,
            deleted=self.deleted,
            size=self.octets,
            deleted_size=self.deleted_octets,
            selectable=True,
        )


class MessageRow(NamedTuple):
    """A message of a folder, with the columns that the modules that move files need."""

    uid: int
    flags: int
    size: int
    created_modseq: int
    email_pk: int
    saved_us: int
    name: str
    name_dirty: int


_A = schema.account.c
_F = schema.folder.c
_ACCOUNT_FIELDS = tuple(field.name for field in fields(AccountRow))
_ACCOUNT_VALUES = attrgetter(*_ACCOUNT_FIELDS)
_FOLDER_FIELDS = tuple(field.name for field in fields(FolderRow))
_FOLDER_COLUMNS = [_F[name] for name in _FOLDER_FIELDS]

_SELECT_ACCOUNT = SqlStatement(select(*(_A[name] for name in _ACCOUNT_FIELDS)).where(keyed_by(_A)))
_UPDATE_ACCOUNT = RowStatement(update(schema.account).where(_A.account_id == bindparam("account_id")), _ACCOUNT_FIELDS[1:])
_INSERT_ACCOUNT = RowStatement(insert(schema.account), _ACCOUNT_FIELDS)
_SELECT_FOLDER = SqlStatement(select(*_FOLDER_COLUMNS).where(keyed_by(_F, "folder")))
_SELECT_BOTH = SqlStatement(
    select(*(_A[name] for name in _ACCOUNT_FIELDS), *_FOLDER_COLUMNS)
    .select_from(
        schema.account.outerjoin(schema.folder, (_F.account_id == _A.account_id) & (_F.folder_id == bindparam("folder")))
    )
    .where(keyed_by(_A))
)
_STATE_COLUMNS = (_A.modseq, _A.seen_each, *_FOLDER_COLUMNS)
_SELECT_STATE = SqlStatement(
    select(*_STATE_COLUMNS)
    .select_from(
        schema.account.outerjoin(schema.folder, (_F.account_id == _A.account_id) & (_F.folder_id == bindparam("folder")))
    )
    .where(keyed_by(_A))
)
_SELECT_STATE_NAMED = SqlStatement(
    select(*_STATE_COLUMNS)
    .select_from(
        schema.account.outerjoin(
            schema.folder,
            (_F.account_id == _A.account_id) & (_F.name == bindparam("name")) & _F.deleted_at_us.is_(None),
        )
    )
    .where(keyed_by(_A))
)
_SELECT_LIVE = SqlStatement(select(*_FOLDER_COLUMNS).where(keyed_by(_F), _F.deleted_at_us.is_(None)).order_by(_F.name))
_SELECT_ALL = SqlStatement(select(*_FOLDER_COLUMNS).where(keyed_by(_F)).order_by(_F.folder_id))
_SELECT_NAMED = SqlStatement(select(*_FOLDER_COLUMNS).where(keyed_by(_F, "name"), _F.deleted_at_us.is_(None)))
_UPDATE_FOLDER = RowStatement(
    update(schema.folder).where(_F.account_id == bindparam("account_id"), _F.folder_id == bindparam("folder_id")),
    _FOLDER_FIELDS[2:],
)
_KEYED_FIELDS = ("name", "deleted_at_us", "metadata")
"""Fields that `write_counters` leaves out.

SQLite rewrites the page of the name index whenever one of its columns is set, changed or not; annotations may be long.
"""
_UPDATE_COUNTERS = RowStatement(
    update(schema.folder).where(_F.account_id == bindparam("account_id"), _F.folder_id == bindparam("folder_id")),
    [name for name in _FOLDER_FIELDS[2:] if name not in _KEYED_FIELDS],
)
_INSERT_FOLDER = RowStatement(insert(schema.folder), _FOLDER_FIELDS)
_S = schema.subscription.c
_SUBSCRIPTIONS = SqlStatement(select(_S.name).where(keyed_by(_S)).order_by(_S.name))


def read_account(connection: Connection, account_id: int) -> AccountRow | None:
    row = _SELECT_ACCOUNT.on(connection, account=account_id).fetchone()
    return AccountRow(*row) if row else None


def read_account_and_folder(
    connection: Connection, account_id: int, folder_id: int
) -> tuple[AccountRow | None, FolderRow | None]:
    """Read both rows in one query; the folder may be a deleted one."""
    return account_and_folder_of(ask_account_and_folder(connection, account_id, folder_id))


def ask_account_and_folder(connection: Connection, account_id: int, folder_id: int) -> Cursor:
    """Begin `read_account_and_folder`, which `account_and_folder_of` ends: it may go with other statements."""
    return _SELECT_BOTH.on(connection, account=account_id, folder=folder_id)


def account_and_folder_of(asked: Cursor) -> tuple[AccountRow | None, FolderRow | None]:
    row = asked.fetchone()
    if row is None:
        return None, None
    of_folder = row[len(_ACCOUNT_FIELDS) :]
    return AccountRow(*row[: len(_ACCOUNT_FIELDS)]), FolderRow(*of_folder) if of_folder[0] is not None else None


def read_state(connection: Connection, account_id: int, folder: int | str) -> tuple[int, int, FolderRow | None]:
    """Return the account's MODSEQ, its `seen_each`, and a folder that is not deleted, by its number or its name.

    Raises `AccountGone`.
    """
    if isinstance(folder, str):
        row = _SELECT_STATE_NAMED.on(connection, account=account_id, name=folder).fetchone()
    else:
        row = _SELECT_STATE.on(connection, account=account_id, folder=folder).fetchone()
    if row is None:
        raise AccountGone(f"account {account_id} does not exist")
    found = FolderRow(*row[2:]) if row[2] is not None else None
    return row[0], row[1], found if found is not None and found.deleted_at_us is None else None


def write_account(connection: Connection, row: AccountRow, *, new: bool = False) -> None:
    (_INSERT_ACCOUNT if new else _UPDATE_ACCOUNT).on(connection, row)


def read_folder(connection: Connection, account_id: int, folder_id: int) -> FolderRow | None:
    """Return the folder, a deleted one included."""
    row = _SELECT_FOLDER.on(connection, account=account_id, folder=folder_id).fetchone()
    return FolderRow(*row) if row else None


def read_folder_named(connection: Connection, account_id: int, name: str) -> FolderRow | None:
    row = _SELECT_NAMED.on(connection, account=account_id, name=name).fetchone()
    return FolderRow(*row) if row else None


def read_folders(connection: Connection, account_id: int) -> list[FolderRow]:
    """Return all folders that are not deleted, by name."""
    return [FolderRow(*row) for row in _SELECT_LIVE.on(connection, account=account_id)]


def read_all_folders(connection: Connection, account_id: int) -> list[FolderRow]:
    """Return all folders, deleted ones too, by age."""
    return [FolderRow(*row) for row in _SELECT_ALL.on(connection, account=account_id)]


def write_counters(connection: Connection, row: FolderRow) -> None:
    """Write a folder that is not renamed, deleted or restored: one page less than `write_folder`."""
    _UPDATE_COUNTERS.on(connection, row)


def write_folder(connection: Connection, row: FolderRow, *, new: bool = False) -> None:
    (_INSERT_FOLDER if new else _UPDATE_FOLDER).on(connection, row)


def subscribed_names(connection: Connection, account_id: int) -> tuple[str, ...]:
    return tuple(name for (name,) in _SUBSCRIPTIONS.on(connection, account=account_id))
