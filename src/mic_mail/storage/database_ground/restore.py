"""Restore of a mailbox of the database, from a backup of either ground.

The backup is written as another generation of the mailbox (generations.py), in many short transactions: it may take hours, and
nobody sees it. One short change then puts it in the place of the current generation, which is set aside. A kill before that
leaves what was there, and rows that the housekeeper removes.

UIDs given out since the backup must not mean other messages: numbering goes on above those of the generation that is
replaced, or, where there is none, every folder gets a new UIDVALIDITY. All messages get a MODSEQ above all known ones, so that
clients ask again. Where the backup is the last state of a mailbox that has moved, all numbers stay as they are.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from mic_mail.errors import Text
from mic_mail.storage.backup.format import (
    FAILOVER_MODSEQS,
    FAILOVER_UIDS,
    FAILOVER_UIDVALIDITIES,
    old_account,
    read_manifest,
    reading_backup,
    size_of,
)
from mic_mail.storage.changes.legal_hold import Mark
from mic_mail.storage.changes.verify_rows import verify_rows
from mic_mail.storage.database_ground import generations
from mic_mail.storage.database_ground.backup import COPIED, TableCopy
from mic_mail.storage.database_ground.bodies import PIECE_OCTETS, write_body
from mic_mail.storage.database_ground.generations import KNOWN_SECONDS, State
from mic_mail.storage.database_ground.marks import is_marked, put_mark
from mic_mail.storage.database_ground.names import NO_MODSEQ_MARK, NO_UID_MARK
from mic_mail.storage.database_ground.store import DatabaseResources, DatabaseStore
from mic_mail.storage.errors import Frozen, NotPermitted, Unavailable
from mic_mail.storage.index import schema
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.rows import AccountRow, FolderRow, read_account, read_all_folders, write_account, write_folder
from mic_mail.storage.index.statements import Connection, SqlStatement, keyed_by
from mic_mail.storage.maildir.maildir import AccountPaths
from mic_mail.storage.types import AccountRef, Progress, Ready, RepairFinding

_ROWS_AT_ONCE = 500
_OCTETS_AT_ONCE = 8 << 20
"""Size from which on a transaction has enough; it holds at least one message."""
_MODSEQS_AHEAD = 1 << 20
"""So many changes of the mailbox may come while it is restored."""
_ROW_OCTETS = 1_000

_M = schema.message.c
_E = schema.email.c
_O = schema.ordering.c
_COPIES = {table.name: TableCopy(table) for table in COPIED}
_CONTENT = SqlStatement(select(schema.email).where(keyed_by(_E, "email")))
_PLAIN = ("account", "folder", "tombstone", "delivery", "subscription", "reader", "seen", "seen_tally")
"""Tables whose rows are copied as they are, in this order: the tallies that triggers make of `seen` come last."""

Step = tuple[int, Callable[[PostgresqlConnection], None]]
"""Octets that it sends, and what writes them."""


@dataclass
class _Restored:
    """A generation that is being made, and what it lacks."""

    number: int
    ref: AccountRef
    shared: DatabaseResources
    modseq: int
    """The MODSEQ of all messages; 0: that of the backup."""
    failover: bool = False
    findings: list[RepairFinding] = field(default_factory=list)


def restore(
    current: DatabaseStore | None,
    shared: DatabaseResources,
    ref: AccountRef,
    source: Path,
    *,
    replace: bool,
    moved: bool,
    failover: bool,
    progress: Progress,
    ready: Ready,
) -> tuple[list[RepairFinding], int]:
    """Put the backup `source` in the place of `current`; return the messages that it lacks, and the MODSEQ then."""
    messages = read_manifest(source)
    with reading_backup(source) as index:
        now_us = shared.clock.steady_us()
        before = None if current is None else _account_of(current)
        if before is not None and before.messages and not replace:
            raise NotPermitted(_HAS_MAIL)
        backed_up = read_account(index, old_account(index))
        assert backed_up is not None
        backed_up_modseq = backed_up.modseq + (FAILOVER_MODSEQS if failover else 0)
        modseq = 0 if moved else max(backed_up_modseq, before.modseq + _MODSEQS_AHEAD if before else 0) + 1
        with shared.database.transaction() as connection:
            number = generations.add(connection, ref.account_id, State.RESTORING, now_us)
        restored = _Restored(number, ref, shared, modseq, failover)
        try:
            steps = _steps(restored, index, old_account(index), AccountPaths(str(source)))
            for done, _ in enumerate(_write_in_batches(restored, steps), 1):
                progress(done, messages)
            if restored.findings:
                _count_again(restored)
            account = _put_in_place(restored, now_us, replace=replace, ready=ready)
        except BaseException:
            _give_up(restored)
            raise
    time.sleep(KNOWN_SECONDS)
    return restored.findings, account.modseq


_HAS_MAIL = Text("Hộp thư đang có thư.", "The mailbox is not empty.")


def _account_of(store: DatabaseStore) -> AccountRow | None:
    with store.reading() as connection:
        return read_account(connection, store.account_id)


# Making the generation


def _write_in_batches(restored: _Restored, steps: Iterator[Step | None]) -> Iterator[None]:
    """Write all steps in short transactions; None among them stands for a message that is complete, and is passed on."""
    for first in steps:
        complete = 0
        with _writing(restored) as connection:
            rows = octets = 0
            for step in itertools.chain([first], steps):
                if step is None:
                    complete += 1
                else:
                    step[1](connection)
                    rows, octets = rows + 1, octets + step[0]
                if rows >= _ROWS_AT_ONCE or octets >= _OCTETS_AT_ONCE:
                    break
        yield from itertools.repeat(None, complete)


@contextmanager
def _writing(restored: _Restored) -> Iterator[PostgresqlConnection]:
    with restored.shared.database.transaction() as connection:
        generations.must_stay(connection, restored.number, State.RESTORING)
        yield connection


def _steps(restored: _Restored, index: Connection, owner: int, paths: AccountPaths) -> Iterator[Step | None]:
    """Yield all that has to be written: contents with their messages first, then what is rows alone."""
    known: set[int] = set()
    put_off: list[dict[str, Any]] = []
    folders = {row.folder_id: row for row in read_all_folders(index, owner)}
    for message in _rows(index, "message", owner):
        folder = folders[message["folder_id"]]
        email_pk, path = message["email_pk"], f"{paths.folder(folder.directory)}/cur/{message['name']}"
        if email_pk not in known:
            if size_of(path) != message["size"]:
                put_off.append(message)
                continue
            known.add(email_pk)
            yield from _content(restored, index, owner, email_pk, path)
        yield _message(restored, message)
        yield None
    for message in put_off:  # the same content may have come with another message
        if message["email_pk"] in known:
            yield _message(restored, message)
            yield None
        else:
            folder = folders[message["folder_id"]]
            restored.findings.append(RepairFinding("message-gone", folder.name, f"uid {message['uid']}"))
    for name in ("ordering", *_PLAIN):
        for row in _rows(index, name, owner):
            if name != "ordering" or row["email_pk"] in known:
                yield _row(restored, name, row)


def _rows(index: Connection, table: str, owner: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table in a backup, one by one."""
    copy = _COPIES[table]
    for row in copy.all_rows.on(index, account=owner):
        yield copy.named([row])[0]


def _row(restored: _Restored, table: str, row: dict[str, Any]) -> Step:
    insert, values = _COPIES[table].insert, row | {"account_id": restored.number}
    return _ROW_OCTETS, lambda connection: insert.on_each(connection, [values])


def _message(restored: _Restored, row: dict[str, Any]) -> Step:
    return _row(restored, "message", row | {"modseq": restored.modseq} if restored.modseq else row)


def _content(restored: _Restored, index: Connection, owner: int, email_pk: int, path: str) -> Iterator[Step]:
    row = _CONTENT.on(index, account=owner, email=email_pk).fetchone()
    [values] = _COPIES["email"].named([row])
    yield _row(restored, "email", values)

    def write(connection: PostgresqlConnection) -> None:
        write_body(connection, restored.number, email_pk, _pieces(path))

    yield os.stat(path).st_size, write


def _pieces(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        octets = file.read(PIECE_OCTETS)
        yield octets
        while octets := file.read(PIECE_OCTETS):
            yield octets


def _count_again(restored: _Restored) -> None:
    """Put the counters right where a message could not be restored."""
    store = DatabaseStore(restored.number, restored.ref.account_id, restored.shared)
    with store.writing() as write:
        for _ in verify_rows(write, check=False):
            pass  # the missing messages are told instead


# Putting it in its place


def _put_in_place(restored: _Restored, now_us: int, *, replace: bool, ready: Ready) -> AccountRow:
    """Let the generation be the current one, under the lock of the one before; return its account."""
    number, mailbox_id = restored.number, restored.ref.account_id
    with restored.shared.database.making(mailbox_id) as connection:
        generations.wait_for_record(connection)
        generations.lock(connection, number)
        account = read_account(connection, number)
        assert account is not None, "its row is locked"
        found = generations.current(connection, mailbox_id)
        before: AccountRow | None = None
        folders: dict[str, FolderRow] = {}
        if found is not None:
            generations.lock(connection, found[0])
            before = read_account(connection, found[0])
            assert before is not None, "its row is locked"
            _must_be_replaceable(connection, before, restored, replace=replace)
            if is_marked(connection, before.account_id, Mark.HOLD):
                put_mark(connection, number, Mark.HOLD)
            folders = {folder.mailbox_id: folder for folder in read_all_folders(connection, before.account_id)}
        generations.must_stay(connection, number, State.RESTORING)
        for folder in _set_numbers(restored, account, before, read_all_folders(connection, number), folders):
            write_folder(connection, folder)
        write_account(connection, account)
        connection.settle()  # nothing of it can fail after the record
        ready(generations.name_of_replaced(restored.ref.home, now_us))
        if before is not None:
            generations.retire(connection, before.account_id, State.REPLACED, now_us)
        generations.move(connection, number, State.RESTORING, State.CURRENT, now_us)
    return account


def _must_be_replaceable(connection: Connection, before: AccountRow, restored: _Restored, *, replace: bool) -> None:
    if is_marked(connection, before.account_id, Mark.FROZEN):
        raise Frozen
    if before.messages and not replace:
        raise NotPermitted(_HAS_MAIL)
    if restored.modseq and before.modseq >= restored.modseq:
        raise Unavailable(f"account {before.account_id} has had too many changes while it was restored")


def _set_numbers(
    restored: _Restored,
    account: AccountRow,
    before: AccountRow | None,
    folders: list[FolderRow],
    replaced: dict[str, FolderRow],
) -> list[FolderRow]:
    """Give account and folders numbers above everything given out, unless the mailbox has moved; return the folders."""
    account.modseq_mark = NO_MODSEQ_MARK
    now = restored.shared.clock.steady_us() // 1_000_000
    if before is not None:
        if before.modseq < account.modseq:  # it was used elsewhere since: what was given out there is not known
            replaced = {}
        account.uidvalidity_next = max(account.uidvalidity_next, before.uidvalidity_next)
        account.folder_next = max(account.folder_next, before.folder_next)  # a session may have a folder of that number open
    if restored.failover:
        account.uidvalidity_next = max(account.uidvalidity_next, now) + FAILOVER_UIDVALIDITIES
    for folder in folders:
        folder.uidnext_mark, folder.directory = NO_UID_MARK, ""
        if not restored.modseq:
            continue
        known = replaced.get(folder.mailbox_id)
        if restored.failover:
            folder.uidnext = max(folder.uidnext, known.uidnext if known is not None else 0) + FAILOVER_UIDS
        elif known is not None and known.uidvalidity == folder.uidvalidity:
            folder.uidnext = max(folder.uidnext, known.uidnext)
        else:
            folder.uidvalidity = max(account.uidvalidity_next, now)
            account.uidvalidity_next = folder.uidvalidity + 1
        account.modseq = folder.highest_modseq = folder.expunge_floor = restored.modseq
    return folders


def _give_up(restored: _Restored) -> None:
    """Remove what was made of a generation, unless it may have become the current one."""
    database, now_us = restored.shared.database, restored.shared.clock.steady_us()
    with contextlib.suppress(Unavailable):  # the housekeeper does it
        with database.transaction() as connection:
            is_given_up = generations.move(connection, restored.number, State.RESTORING, State.FREED, now_us)
        if is_given_up:
            generations.remove(database, restored.number)
