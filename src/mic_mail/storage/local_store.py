"""One account's store on one machine: its paths, lock, index and search file.

`LocalStore` is what the modules of this ground work with: Maildir, journal, maintenance, backup. The operations that rules ask
of it are added by `local_ground.LocalGround`, since they are functions of those modules.
"""

import contextlib
import os
import sqlite3
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType

from mic_mail.durable_files import make_durable, replace_durably
from mic_mail.storage.fulltext.file import SearchFile
from mic_mail.storage.index.change_marks import ChangeMarks
from mic_mail.storage.index.connection import Index, translated
from mic_mail.storage.maildir.account_lock import AccountLock
from mic_mail.storage.maildir.group_fsync import SharedSync
from mic_mail.storage.maildir.maildir import AccountPaths, NameSource
from mic_mail.storage.reserve import Reserve, Reserves
from mic_mail.storage.store import SharedResources, Store


@dataclass(frozen=True, slots=True)
class Polled:
    """The account's MODSEQ, and the state of its files at that time (reads/modseq_poll.py)."""

    modseq: int
    watched: tuple[str, ...]
    traces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LocalResources(SharedResources):
    """Resources that all accounts of a process share on this ground."""

    names: NameSource
    syncs: SharedSync
    marks: ChangeMarks
    boot_id: str
    recover: Callable[[str], object]
    """Replays the journal for this home, once in a process; called before its store is opened.

    After a power loss it restores what the journal holds (journal/replay.py). Raises OSError where that failed.
    """
    reserves: Reserves
    names_due: set["LocalStore"] = field(default_factory=set)
    """The stores in which this process has changed flags whose file names are not renamed yet."""


_TRANSLATED = translated("reading the index")


class _Reading(AbstractContextManager[sqlite3.Connection]):
    __slots__ = ("_reading",)

    def __init__(self, reading: AbstractContextManager[sqlite3.Connection]) -> None:
        self._reading = reading

    def __enter__(self) -> sqlite3.Connection:
        with _TRANSLATED:
            return self._reading.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with _TRANSLATED:
            self._reading.__exit__(kind, error, trace)
        _TRANSLATED.__exit__(kind, error, trace)


class LocalStore(Store):
    """The files of one account, and this process's connections to them."""

    shared: LocalResources
    search: SearchFile

    def __init__(self, account_id: int, home: str, shared: LocalResources) -> None:
        self.account_id = account_id
        self.paths = AccountPaths(home)
        self.shared = shared
        self.clock = shared.clock
        self.settings = shared.settings
        self.lock = AccountLock(
            self.paths.lock,
            shared.settings.lock_seconds,
            entered=self._entered,
            leaving=partial(shared.marks.end, account_id),
        )
        self.index = Index(self.paths.index, synchronous=shared.settings.synchronous, clock=shared.clock, leaves_log=True)
        self.search = SearchFile(self.paths.search, account_id, shared.clock)
        self.mark_to_come = 0
        """The account's change mark after the lock is released (change_marks.py); for the holder of the lock."""
        self.opening = threading.Lock()
        self.opened_identity: int | None = None
        """Inode of the index that was found good; None before the first use."""
        self.names_put_off = 0
        """Rounds in succession that the background flush of names ended early, for other writers."""
        self.polled: Polled | None = None
        """The last answer to the change feed; valid while no watched file has changed."""

    @property
    def reserve(self) -> Reserve:
        """The reserve for removals on the file system of this account."""
        return self.shared.reserves.of(self.paths.home)

    def require_room(self) -> None:
        self.reserve.require_whole()

    @property
    def names_due(self) -> bool:
        """True if this process has changed flags whose files are not renamed yet."""
        return self in self.shared.names_due

    @names_due.setter
    def names_due(self, is_due: bool) -> None:
        (self.shared.names_due.add if is_due else self.shared.names_due.discard)(self)

    def change_mark(self) -> int:
        """Return a number that changes with each change of the account, 0 if it is unknown. Does not block."""
        return self.shared.marks.read(self.account_id)

    def hint_prefix(self, directory: str) -> str:
        """Return what makes, before a message's name, the path by which it can probably be opened."""
        return f"{self.paths.cur(directory)}/"

    @property
    def exists(self) -> bool:
        """True once the store was made, whether or not its index is there."""
        return os.path.isdir(self.paths.maildir)

    @contextlib.contextmanager
    def marking(self, what: str) -> Iterator["LocalStore"]:
        """Hold the account's lock without a change; errors say `what` was done."""
        self.ready()
        with translated(what), self.lock.held():
            yield self

    def has_mark(self, name: str) -> bool:
        """Return whether a mark lies beside the index (`legal_hold.Mark`); OSError where that is unknown."""
        try:
            os.lstat(self.paths.mark(name))
        except FileNotFoundError:
            return False
        return True

    def put_mark(self, name: str) -> None:
        replace_durably(self.paths.mark(name), b"")

    def remove_mark(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.paths.mark(name))
            make_durable(self.paths.home)

    def _entered(self) -> None:
        self.mark_to_come = self.shared.marks.begin(self.account_id)

    @abstractmethod
    def open(self) -> None:
        """Make, migrate, rebuild or reconcile the store at its first use, without the lock."""

    def ready(self) -> None:
        """Open the store unless it is open and sound; one stat where it is."""
        if not self.is_ready:
            self.open()

    @property
    def is_ready(self) -> bool:
        return self.opened_identity is not None and not self.index.doubtful and self.opened_identity == self.index.identity()

    def ensure_open(self) -> None:
        """Open the store unless this process has done so before; its folders exist from then on."""
        if self.opened_identity is None:
            self.open()

    def reading(self) -> "_Reading":
        """Return a reader of the index that raises the store's errors; each statement sees the newest commit."""
        self.ready()
        return _Reading(self.index.reading())

    def snapshot(self) -> "_Reading":
        """Return the same; all its statements see one commit. Keep it short, for checkpoints."""
        self.ready()
        return _Reading(self.index.snapshot())

    @property
    def rests(self) -> bool:
        """Return whether no handle of the index is open, except those that a thread is using."""
        return self.index.rests

    @property
    def is_closed(self) -> bool:
        """Return whether `rest` has nothing to close, except what a thread is using."""
        return self.index.rests and self.search.rests

    def rest(self, before: float, readers_before: float | None = None) -> int:
        """Close the handles unused since `before`, readers those unused since `readers_before`; return how many.

        The store stays open: the next use only reconnects (0.3 ms). The writer's log is synced, or moved into the index by
        SQLite, so this belongs in an executor. Only idle readers are closed. The writer is closed, together with the lock's
        descriptor, only while no thread holds the lock.

        From then on nothing holds the index's inode, so another index may get the same inode number. That is safe: the folders
        of a rebuilt index have an `expunge_floor` above every MODSEQ known here, and those of a mailbox that was deleted and
        issued again have other UIDVALIDITYs, so no view of the old index is built upon.
        """
        self.search.rest(before)
        closed = self.index.rest_readers(before if readers_before is None else readers_before)
        if self.index.writer_rests(before) and self.lock.close(self.index.rest_writer):
            closed += 1
        return closed

    def close(self) -> None:
        """Close the descriptors; those in use close when they return. The store reopens at its next use."""
        self.search.close()
        self.index.close_readers()
        if self.lock.close(self.index.close_writer):
            self.opened_identity = None
