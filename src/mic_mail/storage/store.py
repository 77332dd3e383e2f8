"""One account's store, opened: its paths, its lock, its index, and what the process shares with other accounts.

`Store` knows no rules. The rooms beside it (publish, flags, expunge, transfer, folders, reader ...) are functions over a
`Store`.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mic_mail.clock import Clock
from mic_mail.storage.fulltext.cache import SearchCache
from mic_mail.storage.fulltext.file import SearchFile
from mic_mail.storage.index.change_marks import ChangeMarks
from mic_mail.storage.index.connection import Index
from mic_mail.storage.index.open_folders import Presences
from mic_mail.storage.index.view_cache import ViewCache
from mic_mail.storage.maildir.account_lock import AccountLock
from mic_mail.storage.maildir.group_fsync import SharedSync
from mic_mail.storage.maildir.maildir import NameSource, Place
from mic_mail.storage.reserve import Reserve, Reserves
from mic_mail.storage.types import StorageSettings

OnChange = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Polled:
    """The account's MODSEQ, and how its files looked then (modseq_poll.py)."""

    modseq: int
    watched: tuple[str, ...]
    traces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all accounts of a process use together."""

    clock: Clock
    settings: StorageSettings
    names: NameSource
    syncs: SharedSync
    marks: ChangeMarks
    views: ViewCache
    presences: Presences
    searched: SearchCache
    boot_id: str
    on_change: OnChange
    recover: Callable[[str], object]
    """Before the store of this home is opened: gives back what the journal holds since a power loss (replay.py), once in a
    process; raises OSError where that failed."""
    reserves: Reserves
    open_store: Callable[["Store"], None]
    """Makes, migrates, rebuilds or reconciles a store at its first use (open.py); called without the lock."""


class Store:
    """One account in one process; safe from several threads."""

    def __init__(self, account_id: int, home: str, shared: Shared) -> None:
        self.account_id = account_id
        self.place = Place(home)
        self.shared = shared
        self.clock = shared.clock
        self.settings = shared.settings
        self.lock = AccountLock(
            self.place.lock,
            shared.settings.lock_seconds,
            entered=self._entered,
            leaving=partial(shared.marks.end, account_id),
        )
        self.index = Index(self.place.index, synchronous=shared.settings.synchronous, clock=shared.clock)
        self.search = SearchFile(self.place.search, account_id, shared.clock)
        self.mark_to_come = 0
        """For the holder of the lock: the account's change mark from when the lock is given back (change_marks.py)."""
        self.opening = threading.Lock()
        self.opened_identity: int | None = None
        """Inode of the index that was found good; None before the first use."""
        self.names_due = False
        """Some file name lags behind its flags, by this process's doing."""
        self.polled: Polled | None = None
        """The last answer to the change feed that still stands if no file has moved."""

    @property
    def reserve(self) -> Reserve:
        """The room for removals on the file system of this account."""
        return self.shared.reserves.of(self.place.home)

    def _entered(self) -> None:
        self.mark_to_come = self.shared.marks.begin(self.account_id)

    def ready(self) -> None:
        """Open the store unless it is open and sound; one stat where it is. Somebody may have replaced the index (`repair`)."""
        if not self.is_ready:
            self.shared.open_store(self)

    @property
    def is_ready(self) -> bool:
        return self.opened_identity is not None and not self.index.doubtful and self.opened_identity == self.index.identity()

    def ensure_open(self) -> None:
        """Open the store unless this process has: its folders are there then, whatever became of the index since."""
        if self.opened_identity is None:
            self.shared.open_store(self)

    @property
    def rests(self) -> bool:
        """Whether no handle is open now, but for those that some thread is using."""
        return self.index.rests

    def rest(self, before: float) -> int:
        """Close the handles that nobody has used since `before`; how many.

        The store stays open: the next use only connects again (0.3 ms). The last process to close a WAL moves it into the index
        (SQLite does), so this belongs in a lane. A reader in use is not on the list of idle ones; the writer goes, with the
        lock's descriptor, only while no thread has the lock. Nothing holds the file's inode then, and an index made anew may
        get its number: its folders have an `expunge_floor` above all MODSEQs known here, so no view of the old is built upon.
        """
        self.search.rest(before)
        closed = self.index.rest_readers(before)
        if self.index.writer_rests(before) and self.lock.close(self.index.close_writer):
            closed += 1
        return closed

    def close(self) -> None:
        """Give descriptors back; those in use close when they return. The store opens again at its next use."""
        self.search.close()
        self.index.close_readers()
        if self.lock.close(self.index.close_writer):
            self.opened_identity = None
