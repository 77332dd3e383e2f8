"""`DatabaseMailStore` gives out the accounts of one database to a process, as `MailStore` gives out those of a machine.

All calls block and may come from any thread. `on_change(account_id, modseq)` is called after each durable change that this
process made, in the thread that made it; it must not block. What other processes change is asked for: `modseqs`.
"""

import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace

from sqlalchemy import select

from mic_mail.clock import Clock
from mic_mail.storage.change_notifier import ChangeNotifier
from mic_mail.storage.database_ground.account import DatabaseAccount
from mic_mail.storage.database_ground.store import DatabaseResources, DatabaseStore
from mic_mail.storage.fulltext.cache import SearchCache
from mic_mail.storage.index import schema
from mic_mail.storage.index.answer_rows import AnswerRows
from mic_mail.storage.index.open_folders import Presences
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.statements import SqlStatement, among, uid_list
from mic_mail.storage.index.view_cache import ViewCache
from mic_mail.storage.maildir.maildir import NameSource
from mic_mail.storage.store import OnChange
from mic_mail.storage.types import AccountRef, StorageSettings, StoreOwner

_A = schema.account.c
_MODSEQS = SqlStatement(select(_A.account_id, _A.modseq).where(among(_A.account_id)))


class DatabaseMailStore:
    """All accounts of one database."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        host: str,
        settings: StorageSettings | None = None,
        on_change: OnChange = lambda account_id, modseq: None,
    ) -> None:
        """`database` has its tables (`index.postgresql.creation`) and stays open when this is closed."""
        settings = replace(settings or StorageSettings(), search_file=False)
        self._database = database
        self._stores: dict[int, DatabaseStore] = {}
        self._lock = threading.Lock()
        self._notifier = ChangeNotifier(on_change)
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
        )

    def account(self, ref: AccountRef, person: str | None = None) -> DatabaseAccount:
        """Return the account's handle: cheap, asks nothing until used; the account is made at first use.

        `person`: the address of the reader, whose \\Seen may differ from that of others (seen.py).
        """
        return DatabaseAccount(self, ref, person)

    def account_of(self, owner: StoreOwner) -> DatabaseAccount:
        """Return the handle of a mailbox's account."""
        return DatabaseAccount(self, AccountRef.of(owner))

    def store(self, ref: AccountRef) -> DatabaseStore:
        """Return the store, for `DatabaseAccount`."""
        with self._lock:
            store = self._stores.get(ref.account_id)
            if store is None:
                store = self._stores[ref.account_id] = DatabaseStore(ref.account_id, self._shared)
            return store

    def newest_modseq(self, ref: AccountRef) -> int:
        """Return `highest_modseq`; 0 for an account that nobody has used."""
        return self.modseqs([ref.account_id]).get(ref.account_id, 0)

    def modseqs(self, account_ids: Iterable[int]) -> dict[int, int]:
        """Return the newest MODSEQ of each of these accounts that exists: one statement, however many they are."""
        with self._database.reading() as connection:
            return dict(_MODSEQS.on(connection, uids=uid_list(account_ids)).fetchall())

    def batching_notifications(self) -> AbstractContextManager[None]:
        """Notify observers of this thread's changes at the block's end: each notification costs a loop turn."""
        return self._notifier.together()

    def recording_modseqs(self) -> AbstractContextManager[list[tuple[int, int]]]:
        """Record this thread's changes in the block as (account, MODSEQ): a session knows its own by them."""
        return self._notifier.recording_modseqs()

    def close(self) -> None:
        """Forget the stores; connections are closed by their owner."""
        with self._lock:
            self._stores.clear()
