"""`DatabaseMailStore` gives out the accounts of one database to a process, as `MailStore` gives out those of a machine.

All calls block and may come from any thread. `on_change(account_id, modseq)` is called after each durable change that this
process made, in the thread that made it; it must not block. What other processes change is asked for: `modseqs`.
"""

import threading
import time
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import bindparam, select

from mic_mail.clock import Clock
from mic_mail.storage.database_ground import generations
from mic_mail.storage.database_ground.account import DatabaseAccount
from mic_mail.storage.database_ground.delete_account import drop_left_behind
from mic_mail.storage.database_ground.generations import KNOWN_SECONDS, State
from mic_mail.storage.database_ground.store import DatabaseResources, DatabaseStore
from mic_mail.storage.database_ground.texts_due import TextsDue
from mic_mail.storage.fulltext.cache import SearchCache
from mic_mail.storage.index import schema
from mic_mail.storage.index.answer_rows import AnswerRows, FolderKey
from mic_mail.storage.index.open_folders import OpenFolder, Presences
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.postgresql.hints import PostgresqlHints
from mic_mail.storage.index.statements import SqlStatement, among, uid_list
from mic_mail.storage.index.view_cache import ViewCache
from mic_mail.storage.journal.replay import Replay
from mic_mail.storage.maildir.maildir import NameSource
from mic_mail.storage.mailstore import MailStore, NoJournal, Owner
from mic_mail.storage.store import OnChange
from mic_mail.storage.types import AccountRef, AnswerRow, FolderDelta, StorageSettings

_A = schema.account.c
_G = schema.generation.c
_MODSEQS = SqlStatement(
    select(_G.mailbox_id, _A.modseq)
    .join_from(schema.generation, schema.account, _A.account_id == _G.account_id)
    .where(among(_G.mailbox_id), _G.state == bindparam("state"))
)


@dataclass(frozen=True, slots=True)
class _Known:
    """A memory of a mailbox's current generation."""

    store: DatabaseStore
    since_us: int
    """Since when: a mailbox that was freed and made again may have the number of before."""
    asked_at: float


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
        self._known: dict[int, _Known] = {}
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

    @property
    def resources(self) -> DatabaseResources:
        """Return the resources that its accounts share, for `DatabaseAccount`."""
        return self._shared

    def account(self, ref: AccountRef, person: str | None = None) -> DatabaseAccount:
        return DatabaseAccount(self, ref, person)

    def store(self, ref: AccountRef) -> DatabaseStore:
        """Return the store of a mailbox's current generation, for `DatabaseAccount`; make the first one."""
        return self.find(ref) or self._made(ref)

    def find(self, ref: AccountRef) -> DatabaseStore | None:
        """Return the same, or None where the mailbox has none."""
        now = time.monotonic()
        with self._lock:
            self.uses += 1
            known = self._known.get(ref.account_id)
        if known is not None and now < known.asked_at + KNOWN_SECONDS:
            return known.store
        with self.database.reading() as connection:
            found = generations.current(connection, ref.account_id)
        return self._learned(ref, found, now)

    def _made(self, ref: AccountRef) -> DatabaseStore:
        now, mailbox_id = time.monotonic(), ref.account_id
        with self.database.making(mailbox_id) as connection:
            found = generations.current(connection, mailbox_id)
            if found is None:
                now_us = self._shared.clock.steady_us()
                found = generations.add(connection, mailbox_id, State.CURRENT, now_us), now_us
                self._store_of(found[0], ref).make(connection)
        made = self._learned(ref, found, now)
        assert made is not None, "it has a number"
        return made

    def _store_of(self, number: int, ref: AccountRef) -> DatabaseStore:
        def anew() -> DatabaseStore:
            self.forget(ref)
            return self.store(ref)

        return DatabaseStore(number, ref.account_id, self._shared, anew)

    def _learned(self, ref: AccountRef, found: tuple[int, int] | None, asked_at: float) -> DatabaseStore | None:
        mailbox_id = ref.account_id
        with self._lock:
            known = self._known.get(mailbox_id)
            if known is not None and known.asked_at > asked_at:  # another thread has asked later
                return known.store
            if known is not None and found == (known.store.account_id, known.since_us):
                self._known[mailbox_id] = replace(known, asked_at=asked_at)
                return known.store
            store = None
            if found is not None:
                store = self._store_of(found[0], ref)
                self._known[mailbox_id] = _Known(store, found[1], asked_at)
            elif known is not None:
                del self._known[mailbox_id]
        if known is not None:
            self._forget_caches(known.store.account_id)
        return store

    def forget(self, ref: AccountRef) -> None:
        """Ask anew which generation is current, since this process has changed that."""
        with self._lock:
            known = self._known.pop(ref.account_id, None)
        if known is not None:
            self._forget_caches(known.store.account_id)

    def _forget_caches(self, account_id: int) -> None:
        self._shared.views.forget(account_id)
        self._shared.answer_rows.forget(account_id)
        self._shared.searched.forget(account_id)

    def _number(self, mailbox_id: int) -> int:
        """Return the number under which this process has things of a mailbox in memory; does not ask."""
        known = self._known.get(mailbox_id)
        return mailbox_id if known is None else known.store.account_id

    def changes_since(self, account_id: int, folder_id: int, since_modseq: int, mark: int) -> FolderDelta | None:
        return super().changes_since(self._number(account_id), folder_id, since_modseq, mark)

    def answer_rows(self, folder: FolderKey, uids: Sequence[int]) -> list[AnswerRow] | None:
        return super().answer_rows((self._number(folder[0]), *folder[1:]), uids)

    def enter(self, account_id: int, folder_id: int, *, claims: bool) -> OpenFolder:
        return super().enter(self._number(account_id), folder_id, claims=claims)

    def newest_modseqs(self, refs: Iterable[AccountRef]) -> dict[int, int]:
        """Ask for all of them in one statement."""
        mailboxes = uid_list(ref.account_id for ref in refs)
        with self.database.reading() as connection:
            return dict(_MODSEQS.on(connection, uids=mailboxes, state=State.CURRENT).fetchall())

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
            self._known.clear()
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

    # What killed processes have left

    def drop_unfinished_restores(self, homes: Container[str]) -> None:
        drop_left_behind(self.database, self._shared.clock.steady_us())
