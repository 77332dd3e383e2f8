"""Backup of a mailbox of the database, in the format of all backups (storage.backup.format).

It runs during normal use. The rows of the index are read as of one instant, page by page; that snapshot ends before the bodies
are read, which are most of it. A body that went meanwhile, since its message was expunged and past retention, is not in the
backup.
"""

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Table, bindparam, literal_column, select, tuple_

from mic_mail.storage.backup.files import linked, write_new
from mic_mail.storage.backup.format import (
    base_of,
    drop_what_is_not_copied,
    ids_in_backup,
    messages_of,
    new_backup,
    new_index,
    write_manifest,
    write_sidecars,
)
from mic_mail.storage.database_ground import generations
from mic_mail.storage.database_ground.bodies import PIECE_OCTETS, read_piece
from mic_mail.storage.database_ground.generations import State
from mic_mail.storage.database_ground.store import DatabaseStore
from mic_mail.storage.errors import AccountGone, Unavailable
from mic_mail.storage.index import schema
from mic_mail.storage.index.reader_seen_rows import SET_TALLY
from mic_mail.storage.index.rows import read_account, read_folders
from mic_mail.storage.index.statements import Connection, SqlStatement, insert, keyed_by
from mic_mail.storage.maildir.folder_names import encode_directory
from mic_mail.storage.maildir.maildir import MESSAGE_MODE, make_folder_tree
from mic_mail.storage.message_names import email_id, name_with_flags
from mic_mail.storage.types import Progress

_PAGE = 200
"""Rows read at once."""
_M = schema.message.c
_E = schema.email.c
COPIED = tuple(table for table in schema.metadata.sorted_tables if table is not schema.seen_unwritten)
"""The tables of an index; that of sidecars that lag behind says nothing of a backup, whose sidecars are written."""


class TableCopy:
    """The statements that read a table of an account in pages, by its key, and write it elsewhere."""

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self._columns = [column.name for column in table.columns]
        key = [column for column in table.primary_key.columns if column.name != "account_id"]
        self._key = [column.name for column in key]
        all_rows = select(table).where(table.c.account_id == bindparam("account"))
        page = all_rows.order_by(*key).limit(literal_column(str(_PAGE)))
        self._first = SqlStatement(page)
        self._next = self._first
        if key:
            after = tuple_(*(bindparam(f"after_{column.name}", type_=column.type) for column in key))
            self._next = SqlStatement(page.where(tuple_(*key) > after))
        self.all_rows = SqlStatement(all_rows)
        is_tally = table is schema.seen_tally  # whose rows triggers have made by then
        self.insert = SET_TALLY if is_tally else SqlStatement(insert(table))

    def pages(self, connection: Connection, account_id: int) -> Iterator[list[dict[str, Any]]]:
        """Yield all rows of an account, as values by column."""
        statement = self._first
        after: dict[str, Any] = {}
        while rows := self.named(statement.on(connection, account=account_id, **after).fetchall()):
            yield rows
            if len(rows) < _PAGE:
                return
            statement, after = self._next, {f"after_{name}": rows[-1][name] for name in self._key}

    def named(self, rows: list[tuple[object, ...]]) -> list[dict[str, Any]]:
        return [dict(zip(self._columns, row, strict=True)) for row in rows]


_COPIES = tuple(TableCopy(table) for table in sorted(COPIED, key=lambda table: table is schema.seen_tally))
_BODIES = SqlStatement(
    select(_M.name, _M.size, _M.email_pk, _E.received_us)
    .join_from(schema.message, schema.email, (_E.account_id == _M.account_id) & (_E.email_pk == _M.email_pk))
    .where(keyed_by(_M, "folder"))
    .order_by(_M.uid)
)
_HELD = SqlStatement(
    select(_E.email_pk, _E.email_id)
    .where(keyed_by(_E), _E.refs > literal_column("0"), _E.email_pk > bindparam("after"))
    .order_by(_E.email_pk)
    .limit(literal_column("10000"))
)


def backup(
    store: DatabaseStore,
    target: Path,
    *,
    earlier: Path | None = None,
    progress: Progress = lambda done, of: None,
    is_replaced: bool = False,
) -> None:
    """Write a backup into `target`, a folder that does not exist yet; what the backup `earlier` has is linked from there.

    It is of the mailbox, or of a generation that a restore has replaced.
    """
    owner = store.mailbox_id
    with new_backup(target) as paths:
        with new_index(paths.index) as index:
            _copy_index(store, index, -store.account_id if is_replaced else store.account_id)
            drop_what_is_not_copied(index)
            account = read_account(index, owner)
            assert account is not None
            known = messages_of(earlier) if earlier is not None else {}
            messages = 0
            for folder in read_folders(index, owner):
                path = paths.folder(folder.directory)
                make_folder_tree(path)
                for _ in _copy_bodies(store, index, folder.folder_id, f"{path}/cur", known):
                    messages += 1
                    progress(messages, account.messages)
            write_sidecars(index, owner, paths)
        _must_not_be_freed(store)
        write_manifest(paths, owner, store.clock.steady_us(), messages)


def _copy_index(store: DatabaseStore, index: Connection, number: int) -> None:
    """Copy the rows as of one instant, as those of the mailbox in a store of files; its account has this number."""
    with store.shared.database.snapshot(is_long=True) as connection:
        if read_account(connection, number) is None:
            raise AccountGone(f"account {store.account_id} is not current any more")
        for copy in _COPIES:
            for rows in copy.pages(connection, number if copy.name == "account" else store.account_id):
                copy.insert.on_each(index, (_as_in_files(copy.name, row, store.mailbox_id) for row in rows))


def _as_in_files(table: str, row: dict[str, Any], owner: int) -> dict[str, Any]:
    row["account_id"] = owner
    if table == "account":
        row["modseq_mark"] = row["modseq"]
    elif table == "folder":
        row |= {"uidnext_mark": row["uidnext"], "directory": encode_directory(row["name"])}
    elif table == "message" and row["name_dirty"]:  # no file had to follow the flags
        row |= {"name": name_with_flags(row["name"], row["flags"]), "name_dirty": 0}
    return row


class _SizeAndTime(NamedTuple):
    st_size: int
    st_mtime_ns: int


def _copy_bodies(store: DatabaseStore, index: Connection, folder_id: int, path: str, known: Mapping[str, str]) -> Iterator[str]:
    for name, size, email_pk, received_us in _BODIES.on(index, account=store.mailbox_id, folder=folder_id).fetchall():
        like = _SizeAndTime(size, received_us * 1_000)
        earlier = known.get(base_of(name))
        if earlier is None or not linked(earlier, like, f"{path}/{name}"):
            with store.shared.database.reading() as connection:
                first = read_piece(connection, store.account_id, email_pk, 0)
                if first is None:
                    continue  # expunged and past retention since the index was copied: a restore leaves it out
                pieces = itertools.chain([first], _further(connection, store.account_id, email_pk, size))
                is_whole = write_new(f"{path}/{name}", pieces, size, MESSAGE_MODE, like.st_mtime_ns)
            if not is_whole:
                os.unlink(f"{path}/{name}")
                continue
        yield name


def _further(connection: Connection, account_id: int, email_pk: int, size: int) -> Iterator[bytes]:
    """Yield the pieces of a body after the first, as far as they are there."""
    for number in range(1, -(-size // PIECE_OCTETS)):
        piece = read_piece(connection, account_id, email_pk, number)
        if piece is None:
            return
        yield piece


def _must_not_be_freed(store: DatabaseStore) -> None:
    """Raise `Unavailable` where bodies were missing since the whole mailbox was being removed."""
    with store.shared.database.reading() as connection:
        states = [generations.in_state(connection, store.mailbox_id, state) for state in (State.CURRENT, State.REPLACED)]
    if all(number != store.account_id for found in states for number, _ in found):
        raise Unavailable(f"account {store.account_id} was removed during its backup")


def has_more(store: DatabaseStore, source: Path) -> bool:
    """Return whether the account holds a message, by its EMAILID, that the backup lacks."""
    known = ids_in_backup(source)
    return any(number not in known for number in _held(store))


def has_all(store: DatabaseStore, source: Path) -> bool:
    """Return whether the account has each message of the backup, by EMAILID and without the backup's index."""
    held = set(_held(store))
    return all(email_id(base) in held for base in messages_of(source))


def _held(store: DatabaseStore) -> Iterator[str]:
    after = -1
    while True:
        with store.reading() as connection:
            rows = _HELD.on(connection, account=store.account_id, after=after).fetchall()
        if not rows:
            return
        after = rows[-1][0]
        yield from (number for _, number in rows)
