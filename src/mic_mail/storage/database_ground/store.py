"""One account of the database, as its rules see it (`Store`): a generation of a mailbox (generations.py)."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from mic_mail.storage.changes.default_folders import make_default_folders
from mic_mail.storage.database_ground.bodies import MessageBody, StagedBody, open_message
from mic_mail.storage.database_ground.marks import HeldMarks, is_marked
from mic_mail.storage.database_ground.names import NO_MODSEQ_MARK, RowNames
from mic_mail.storage.database_ground.segments import SegmentRows
from mic_mail.storage.database_ground.texts_due import TextsDue
from mic_mail.storage.errors import AccountGone, Unavailable
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.rows import (
    AccountRow,
    FolderRow,
    account_and_folder_of,
    ask_account_and_folder,
    write_account,
)
from mic_mail.storage.index.statements import Connection, Cursor
from mic_mail.storage.index.view_cache import NewestView
from mic_mail.storage.maildir.maildir import NameSource
from mic_mail.storage.store import SharedResources, Store, Write


@dataclass(frozen=True, slots=True)
class DatabaseResources(SharedResources):
    """Resources that all accounts of a process share on this ground."""

    database: Database
    names: NameSource
    texts_due: TextsDue


class DatabaseStore(Store):
    """One generation of a mailbox in one process; safe from several threads.

    Its account is there, or was: what finds it no longer current raises `AccountGone`.
    """

    shared: DatabaseResources

    def __init__(
        self,
        account_id: int,
        mailbox_id: int,
        shared: DatabaseResources,
        anew: "Callable[[], DatabaseStore] | None" = None,
    ) -> None:
        """`account_id` is the number of the generation, which observers of `mailbox_id` do not know.

        `anew` returns the store of the generation that is current by now; None where that does not matter.
        """
        self.account_id = account_id
        self.mailbox_id = mailbox_id
        self.shared = shared
        self.clock = shared.clock
        self.settings = shared.settings
        self.search = SegmentRows(account_id, shared.database)
        self.names_due = False
        self._anew = anew

    # The index

    def reading(self) -> AbstractContextManager[PostgresqlConnection]:
        return self.shared.database.reading()

    def snapshot(self) -> AbstractContextManager[PostgresqlConnection]:
        return self.shared.database.snapshot()

    @contextmanager
    def writing(
        self, folder_id: int = 0, *, patience: float | None = None, sync: bool = True, adds: bool = False
    ) -> Iterator[Write]:
        """Run one change, durable with its COMMIT; `OutcomeUnknown` where nobody can tell whether that succeeded."""
        with self._held(folder_id, patience) as (connection, asked):
            account, folder = account_and_folder_of(asked)
            assert account is not None, "its row is locked"
            write = Write(self, connection, account, folder, names=RowNames(connection, self.account_id), mark=0)
            yield write
            write.save_rows()
        if write.took_modseq:
            self.shared.texts_due.changed(self.mailbox_id, write.account.modseq)
            self.shared.on_change(self.mailbox_id, write.account.modseq)

    @contextmanager
    def _held(self, folder_id: int, patience: float | None) -> Iterator[tuple[PostgresqlConnection, Cursor]]:
        """Hold the account; one that was freed, and has its number again, is a new one from now on."""

        def ask(connection: PostgresqlConnection) -> Cursor:
            return ask_account_and_folder(connection, self.account_id, folder_id)

        with ExitStack() as stack:
            try:
                held = stack.enter_context(self.shared.database.changing_asked(self.account_id, ask, patience))
            except AccountGone:
                if self._anew is None or self._anew().account_id != self.account_id:
                    raise
                held = stack.enter_context(self.shared.database.changing_asked(self.account_id, ask, patience))
            yield held

    def recovers_from(self, error: Unavailable) -> bool:
        """Have the next use ask for the generation that is current."""
        if isinstance(error, AccountGone) and self._anew is not None:
            self._anew()
            return True
        return False

    def ready(self) -> None: ...

    def ensure_open(self) -> None: ...

    def make(self, connection: Connection) -> None:
        """Make the account with its default folders in an open transaction."""
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

    def has_mark(self, name: str) -> bool:
        with self.reading() as connection:
            return is_marked(connection, self.account_id, name)

    @contextmanager
    def marking(self, what: str) -> Iterator[HeldMarks]:
        """Hold the marks of the mailbox, whichever of its generations is current: a restore hands them on."""
        with self.shared.database.marking(self.mailbox_id) as connection:
            marks = HeldMarks(self.shared.database, connection, self.account_id)
            yield marks
            are_lost = marks.are_lost()
        if are_lost:
            marks.put_again()

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
