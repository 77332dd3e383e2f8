"""`LocalMailStore` gives out the accounts of one machine (account.py).

An account is files, and an index in SQLite beside them. The store holds what accounts share: which of them are open, the
journal, and the observers.
"""

import contextlib
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Container, Iterable
from pathlib import Path

from mic_mail import heap
from mic_mail.clock import Clock
from mic_mail.errors import MicMailError
from mic_mail.storage.account import Account
from mic_mail.storage.changes.flags_in_names import flush_names
from mic_mail.storage.errors import JournalUnavailable
from mic_mail.storage.fulltext.cache import SearchCache
from mic_mail.storage.index.answer_rows import AnswerRows
from mic_mail.storage.index.change_marks import CHANGE_MARKS, ChangeMarks, read_all
from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.open_folders import Presences
from mic_mail.storage.index.view_cache import ViewCache
from mic_mail.storage.journal.journal import Journal
from mic_mail.storage.journal.replay import Replay, recover, settle_left_behind
from mic_mail.storage.local_ground import LocalGround
from mic_mail.storage.local_store import LocalResources, LocalStore
from mic_mail.storage.maildir.cached_read import CachedReader
from mic_mail.storage.maildir.group_fsync import SharedSync
from mic_mail.storage.maildir.maildir import NameSource
from mic_mail.storage.maildir.swap_store import drop_unfinished
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.maintenance.external_changes import is_known_unchanged
from mic_mail.storage.reads.modseq_poll import poll, unmoved
from mic_mail.storage.reads.reader import opened_from_memory
from mic_mail.storage.reserve import Reserves
from mic_mail.storage.store import OnChange
from mic_mail.storage.types import AccountRef, FolderDelta, StorageSettings


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def _written_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


READER_IDLE_SECONDS = 4.0
"""Seconds after which a reader is closed.

Each takes 170 KB, and reopens in 0.3 ms. Sessions that wait in IDLE need none. The writer stays for longer: a change often
follows a change, and closing it syncs the log.
"""


class LocalMailStore(MailStore):
    """All accounts below one mail root."""

    journal: Journal
    _shared: LocalResources

    def __init__(
        self,
        mail_root: Path,
        *,
        clock: Clock,
        host: str,
        settings: StorageSettings | None = None,
        on_change: OnChange = lambda account_id, modseq: None,
    ) -> None:
        super().__init__(on_change)
        settings = settings or StorageSettings()
        self._root = mail_root
        self._stores: dict[int, LocalStore] = {}
        """Stores of every account that was used: about 2 KiB each while idle."""
        self._recent: OrderedDict[int, LocalStore] = OrderedDict()
        """Stores that may have open handles, least recently used first."""
        self._lock = threading.Lock()
        self._shared = LocalResources(
            clock=clock,
            settings=settings,
            names=NameSource(host),
            syncs=SharedSync(),
            marks=ChangeMarks(f"{mail_root}/{CHANGE_MARKS}"),
            views=ViewCache(settings.view_cache_octets),
            answer_rows=AnswerRows(),
            presences=Presences(),
            searched=SearchCache(settings.search_cache_octets),
            boot_id=settings.boot_id or _boot_id(),
            on_change=self._notifier.changed,
            recover=self._recover_for,
            reserves=Reserves(str(mail_root)),
        )
        self.journal = Journal(str(mail_root), self._shared.boot_id, clock, self._shared.reserves.root)
        self._cached = CachedReader()
        self._recovering = threading.Lock()
        self._recovered: Replay | None = None

    def account(self, ref: AccountRef, person: str | None = None) -> Account:
        return Account(self, ref, person)

    def store(self, ref: AccountRef) -> LocalStore:
        """Return the store, for `Account`. `rest` limits how many have handles; in between twice as many may."""
        with self._lock:
            self.uses += 1
            store = self._recent.get(ref.account_id)
            if store is not None:
                self._recent.move_to_end(ref.account_id)
                return store
            store = self._stores.get(ref.account_id)
            if store is None:
                store = self._stores[ref.account_id] = LocalGround(ref.account_id, str(self._root / ref.home), self._shared)
            self._recent[ref.account_id] = store
            evicted = self._surplus(2 * self._shared.settings.open_accounts)
        for old in evicted:
            old.rest(math.inf)
        return store

    def _surplus(self, limit: int) -> list[LocalStore]:
        return [self._recent.popitem(last=False)[1] for _ in range(len(self._recent) - limit)]

    def change_mark(self, account_id: int) -> int:
        return self._shared.marks.read(account_id)

    def change_marks(self) -> bytes:
        """Return octets that change with each change of any account."""
        return read_all(f"{self._root}/{CHANGE_MARKS}")

    def opened(self, ref: AccountRef, name: str) -> FolderDelta | None:
        store = self._stores.get(ref.account_id)
        return (
            None
            if store is None
            else opened_from_memory(store, name, lambda known: is_known_unchanged(store, known, self._cached))
        )

    def read_cached(self, hint: str, size: int) -> bytes | None:
        return self._cached.read(hint, size)

    def newest_modseq(self, ref: AccountRef) -> int:
        """Return `highest_modseq`, after taking in foreign files; opens nothing while no file has changed."""
        store = self._stores.get(ref.account_id)
        modseq = None if store is None else unmoved(store)
        return poll(self.store(ref)) if modseq is None else modseq

    def newest_modseqs(self, refs: Iterable[AccountRef]) -> dict[int, int]:
        found = {}
        for ref in refs:
            with contextlib.suppress(Exception):  # an account that cannot be read now is polled again in two seconds
                found[ref.account_id] = self.newest_modseq(ref)
        return found

    def rest(self, idle_seconds: float) -> int:
        """Close handles idle for so long or beyond the limit; return how many. May sync: needs an executor.

        Readers are closed earlier. A handle that a thread is using is closed by a later call.
        """
        now = self._shared.clock.monotonic()
        before, readers_before = now - idle_seconds, now - min(idle_seconds, READER_IDLE_SECONDS)
        with self._lock:
            surplus = self._surplus(self._shared.settings.open_accounts)
            stores = list(self._stores.values())
        closed = sum(store.rest(math.inf) for store in surplus)
        closed += sum(store.rest(before, readers_before) for store in stores)
        if closed:  # most of their memory would stay in the arenas of sixteen threads
            heap.give_back()
        return closed

    @property
    def is_closed(self) -> bool:
        """Return whether no store has an open handle, except those that a thread is using."""
        with self._lock:
            stores = list(self._stores.values())
        return all(store.is_closed for store in stores)

    @property
    def has_names_due(self) -> bool:
        return bool(self._shared.names_due)

    def flush_names(self, *, gives_way: bool = False) -> None:
        """Rename files of accounts whose flags this process changed.

        Called at drain, and with `gives_way` every 2 s, when other writers of an account come first.
        """
        for store in tuple(self._shared.names_due):
            _flush_if_free(store, gives_way=gives_way)

    def flush_names_left(self, refs: Iterable[AccountRef], since: float) -> None:
        """Rename files that a killed process left pending, in accounts written after `since` (epoch seconds)."""
        for ref in refs:
            index = f"{self._root / ref.home}/index.sqlite"
            if max(_written_at(index), _written_at(f"{index}-wal")) >= since:
                _flush_if_free(self.store(ref))

    # The journal

    def recover(self) -> Replay:
        """Replay the journal after a power loss, before all else, once in a process; return what came of it."""
        return self._recover_for(None)

    def _recover_for(self, home: str | None) -> Replay:
        with self._recovering:
            if self._recovered is None or home in self._recovered.failed:
                self._recovered = recover(str(self._root), self._shared.boot_id)
            if home in self._recovered.failed:
                raise self._recovered.failed[home]
            return self._recovered

    def prepare_journal(self) -> None:
        """Prepare the journal in an executor, before messages arrive, or raise `Unavailable`."""
        with translated("journal", JournalUnavailable):
            self.journal.prepare()

    def settle_journal(self) -> None:
        """Make what the journal holds durable in its own place, or raise `Unavailable`.

        It runs every few seconds, in an executor.
        """
        with translated("journal", JournalUnavailable):
            self.journal.settle()

    def settle_left_behind(self) -> None:
        """Settle the journals that killed processes left; at start, and when a process has died."""
        with translated("journal", JournalUnavailable):
            settle_left_behind(str(self._root), self._shared.boot_id)

    def is_warm(self, ref: AccountRef) -> bool:
        """Return whether its index is open here."""
        store = self._stores.get(ref.account_id)
        return store is not None and store.opened_identity is not None and not store.rests

    def drop_unfinished_restores(self, homes: Container[str]) -> None:
        """Remove what killed restores left a day ago; `homes` are those of all mailboxes."""
        drop_unfinished(str(self._root), homes, self._shared.clock.now_us())

    def close(self) -> None:
        """Write pending names, settle the journal and close every index."""
        self.flush_names()
        with contextlib.suppress(OSError):  # unsettled segments are replayed, or settled by other processes
            self.journal.close()
        with self._lock:
            stores = list(self._stores.values())
            self._stores.clear()
            self._recent.clear()
        for store in stores:
            store.close()
        self._shared.marks.close()


def _flush_if_free(store: LocalStore, *, gives_way: bool = False) -> None:
    """Flush the names of one account; they stay pending where it is locked or damaged."""
    with contextlib.suppress(MicMailError):
        flush_names(store, gives_way=gives_way)
