"""One account of the database, as its rules see it (`Store`)."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from sqlalchemy import delete

from mic_mail.storage.changes.default_folders import make_default_folders
from mic_mail.storage.database_ground.bodies import MessageBody, StagedBody, open_message
from mic_mail.storage.database_ground.names import NO_MODSEQ_MARK, RowNames, is_marked
from mic_mail.storage.index import schema
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.rows import AccountRow, FolderRow, read_account, read_account_and_folder, write_account
from mic_mail.storage.index.statements import SqlStatement, insert, keyed_by
from mic_mail.storage.index.view_cache import NewestView
from mic_mail.storage.maildir.maildir import NameSource
from mic_mail.storage.store import SharedResources, Store, Write

_K = schema.mark.c
_PUT_MARK = SqlStatement(insert(schema.mark).on_conflict_do_nothing(), ("account_id", "name"))
_REMOVE_MARK = SqlStatement(delete(schema.mark).where(keyed_by(_K, "name")))


@dataclass(frozen=True, slots=True)
class DatabaseResources(SharedResources):
    """Resources that all accounts of a process share on this ground."""

    database: Database
    names: NameSource


class DatabaseStore(Store):
    """One account in one process; safe from several threads."""

    shared: DatabaseResources

    def __init__(self, account_id: int, shared: DatabaseResources) -> None:
        self.account_id = account_id
        self.shared = shared
        self.clock = shared.clock
        self.settings = shared.settings
        self.names_due = False
        self._opening = threading.Lock()
        self._is_open = False

    # The index

    def reading(self) -> AbstractContextManager[PostgresqlConnection]:
        self.ensure_open()
        return self.shared.database.reading()

    def snapshot(self) -> AbstractContextManager[PostgresqlConnection]:
        self.ensure_open()
        return self.shared.database.snapshot()

    @contextmanager
    def writing(
        self, folder_id: int = 0, *, patience: float | None = None, sync: bool = True, adds: bool = False
    ) -> Iterator[Write]:
        """Run one change, durable with its COMMIT; `OutcomeUnknown` where nobody can tell whether that succeeded."""
        self.ensure_open()
        with self.shared.database.changing(self.account_id, patience) as connection:
            account, folder = read_account_and_folder(connection, self.account_id, folder_id)
            assert account is not None, "its row is locked"
            write = Write(self, connection, account, folder, names=RowNames(connection, self.account_id), mark=0)
            yield write
            write.save_rows()
        if write.took_modseq:
            self.shared.on_change(self.account_id, write.account.modseq)

    def ready(self) -> None:
        """Make the account unless this process knows that it is there."""
        self.ensure_open()

    def ensure_open(self) -> None:
        if not self._is_open:
            with self._opening:
                self._make_if_missing()
                self._is_open = True

    def _make_if_missing(self) -> None:
        with self.shared.database.reading() as connection:
            if read_account(connection, self.account_id) is not None:
                return
        with self.shared.database.making(self.account_id) as connection:
            if read_account(connection, self.account_id) is None:
                account = _first_row(self.account_id)
                write_account(connection, account, new=True)
                write = Write(self, connection, account, None, names=RowNames(connection, self.account_id), mark=0)
                make_default_folders(write)
                write.save_rows()

    def change_mark(self) -> int:
        return 0

    # Messages

    def stage(self) -> StagedBody:
        return StagedBody(self.shared.names.base(self.clock.steady_us()))

    def open_message(self, folder_id: int, uid: int, hint: str | None = None) -> MessageBody:
        return open_message(self, folder_id, uid)

    def hint_prefix(self, directory: str) -> str:
        return ""

    # Marks (legal_hold.py)

    def holding(self, what: str) -> AbstractContextManager[object]:
        self.ensure_open()
        return self.shared.database.changing(self.account_id)

    def has_mark(self, name: str) -> bool:
        with self.reading() as connection:
            return is_marked(connection, self.account_id, name)

    def put_mark(self, name: str) -> None:
        """Give the account a mark in a transaction of its own: it stays if what follows fails."""
        with self.shared.database.making(self.account_id) as connection:
            _PUT_MARK.on(connection, account_id=self.account_id, name=name)

    def remove_mark(self, name: str) -> None:
        with self.shared.database.making(self.account_id) as connection:
            _REMOVE_MARK.on(connection, account=self.account_id, name=name)

    # Changes by other tools: there are none, since nothing but these rules writes the rows

    def is_unchanged(self, known: NewestView) -> bool:
        return False

    def has_changed_outside(self, folder: FolderRow) -> bool:
        return False

    def take_in(self, folder_id: int) -> None: ...


def _first_row(account_id: int) -> AccountRow:
    return AccountRow(
        account_id=account_id,
        serial=0,
        modseq=0,
        modseq_mark=NO_MODSEQ_MARK,
        uidvalidity_next=1,
        folder_next=1,
        email_next=1,
        octets=0,
        messages=0,
        boot_id="",
    )
