"""`DatabaseMailStore` gives out the accounts of one database to a process, as `MailStore` gives out those of a machine.

All calls block and may come from any thread. `on_change(account_id, modseq)` is called after each durable change that this
process made, in the thread that made it; it must not block. What other processes change is asked for: `modseqs`.
"""

import threading
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from sqlalchemy import select

from mic_mail.clock import Clock
from mic_mail.storage.database_ground.account import DatabaseAccount
from mic_mail.storage.database_ground.store import DatabaseResources, DatabaseStore
from mic_mail.storage.database_ground.texts_due import TextsDue
from mic_mail.storage.fulltext.cache import SearchCache
from mic_mail.storage.index import schema
from mic_mail.storage.index.answer_rows import AnswerRows
from mic_mail.storage.index.open_folders import Presences
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.postgresql.hints import PostgresqlHints
from mic_mail.storage.index.statements import SqlStatement, among, uid_list
from mic_mail.storage.index.view_cache import ViewCache
from mic_mail.storage.journal.replay import Replay
from mic_mail.storage.maildir.maildir import NameSource
from mic_mail.storage.mailstore import MailStore, NoJournal, Owner
from mic_mail.storage.store import OnChange
from mic_mail.storage.types import AccountRef, StorageSettings

_A = schema.account.c
_MODSEQS = SqlStatement(select(_A.account_id, _A.modseq).where(among(_A.account_id)))


class DatabaseMailStore(MailStore):
    """All accounts of one database."""

    journal = NoJournal()
    _shared: DatabaseResources

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        host: str,
        changes: Path,
        settings: StorageSettings | None = None,
        on_change: OnChange = lambda account_id, modseq: None,
    ) -> None:
        """`database` has its tables (`index.postgresql.creation`); `changes` is a file of this server (texts_due.py)."""
        super().__init__(on_change)
        settings = settings or StorageSettings()
        self.database = database
        self.hints = PostgresqlHints(database)
        self._stores: dict[int, DatabaseStore] = {}
        self._lock = threading.Lock()
        self._shared = DatabaseResources(
            clock=clock,
            settings=settings,
            views=ViewCache(settings.view_cache_octets),
            answer_rows=AnswerRows(),
            presences=Presences(),
            searched=SearchCache(settings.search_cache_octets),
            on_change=self._notifier.changed,
            database=database,
            names=NameSource(host),
            texts_due=TextsDue(database, changes, clock),
        )

    def account(self, ref: AccountRef, person: str | None = None) -> DatabaseAccount:
        return DatabaseAccount(self, ref, person)

    def store(self, ref: AccountRef) -> DatabaseStore:
        """Return the store, for `DatabaseAccount`."""
        with self._lock:
            self.uses += 1
            store = self._stores.get(ref.account_id)
            if store is None:
                store = self._stores[ref.account_id] = DatabaseStore(ref.account_id, self._shared)
            return store

    def newest_modseqs(self, refs: Iterable[AccountRef]) -> dict[int, int]:
        """Ask for all of them in one statement."""
        with self.database.reading() as connection:
            return dict(_MODSEQS.on(connection, uids=uid_list(ref.account_id for ref in refs)).fetchall())

    def change_marks(self) -> bytes:
        """Return octets that differ after each change by this server."""
        return self._shared.texts_due.marks()

    def text_mark(self, account_id: int) -> int:
        return self._shared.texts_due.mark(account_id)

    def with_text_due(self, owners: Sequence[Owner]) -> Sequence[Owner]:
        due = self._shared.texts_due.due([owner.mailbox_id for owner in owners])
        return [owner for owner in owners if owner.mailbox_id in due]

    def rest(self, idle_seconds: float) -> int:
        """Close connections: each has a process of the server to itself."""
        return self.database.rest(self._shared.clock.monotonic() - idle_seconds)

    @property
    def is_closed(self) -> bool:
        return not self.database.is_open

    def close(self) -> None:
        """Forget the stores and close all connections."""
        with self._lock:
            self._stores.clear()
        self.database.close()

    # What only files need

    @property
    def has_names_due(self) -> bool:
        return False

    def flush_names(self, *, gives_way: bool = False) -> None: ...

    def flush_names_left(self, refs: Iterable[AccountRef], since: float) -> None: ...

    def recover(self) -> Replay:
        return Replay()

    def prepare_journal(self) -> None: ...

    def settle_journal(self) -> None: ...

    def settle_left_behind(self) -> None: ...

    def drop_unfinished_restores(self, homes: Container[str]) -> None: ...
