"""The store as the doors and services see it: `MailStore` gives accounts, an `Account` does everything to one mailbox.

All calls block and may come from any thread; writers wait for the account's lock, at most `StorageSettings.lock_seconds`, then
raise `Unavailable`. What returns is durable: files, UIDs and folders through a power loss, flags through a crash
(UIDs of messages in waves: see journal.py and decision 0014).
`on_change(account_id, modseq)` is called after each durable change, in the thread that made it; it must not block.
Folder names are checked and brought to NFC here; everything after `folder(name)` goes by `folder_id`.
"""

import contextlib
import ctypes
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mic_mail.clock import Clock
from mic_mail.errors import MicMailError
from mic_mail.storage import (
    annotating,
    exchange,
    expunge,
    foldernews,
    folders,
    graves,
    quota,
    reader,
    repair,
    seen,
    staging,
    sweep,
    transfer,
)
from mic_mail.storage import backup as copies
from mic_mail.storage.changemarks import CHANGE_MARKS, ChangeMarks
from mic_mail.storage.flags import flush_names, store_flags
from mic_mail.storage.foreign import despite_loss
from mic_mail.storage.index import translated
from mic_mail.storage.journal import Berth, Journal, Journaled
from mic_mail.storage.lending import Lent, lend
from mic_mail.storage.maildir import NameSource
from mic_mail.storage.opening import open_store
from mic_mail.storage.ordering import Ordered, orderings
from mic_mail.storage.polling import poll, unmoved
from mic_mail.storage.publish import publish
from mic_mail.storage.reader import MessageFile
from mic_mail.storage.replacing import drop_unfinished
from mic_mail.storage.replay import Replay, recover, settle_left_behind
from mic_mail.storage.store import OnChange, Shared, Store
from mic_mail.storage.syncing import SharedSync
from mic_mail.storage.textindex.cache import SearchCache
from mic_mail.storage.textsearch import indexing, lookup, scan
from mic_mail.storage.textsearch.indexing import Visited
from mic_mail.storage.types import (
    ALL_FLAGS,
    AccountRef,
    Annotation,
    Changes,
    Column,
    CopyResult,
    Delivery,
    ExpungeResult,
    FlagOperation,
    FolderInfo,
    FolderNews,
    FolderView,
    LookedUp,
    Published,
    Quota,
    RepairReport,
    Staged,
    StorageSettings,
    StoreResult,
    TextTest,
    Tombstone,
)
from mic_mail.storage.views import ViewCache

T = TypeVar("T")


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def _written_at(path: str) -> float:
    """Seconds since the epoch; 0 if there is no such file."""
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


class _Telling:
    """Tells the observers of changes: at once, or all together at the end of a block; notes them for who asks."""

    def __init__(self, tell: OnChange) -> None:
        self._tell = tell
        self._here = threading.local()

    def changed(self, account_id: int, modseq: int) -> None:
        noted: list[tuple[int, int]] | None = getattr(self._here, "noted", None)
        if noted is not None:
            noted.append((account_id, modseq))
        held: dict[int, int] | None = getattr(self._here, "held", None)
        if held is None:
            self._tell(account_id, modseq)
        else:
            held[account_id] = modseq

    @contextlib.contextmanager
    def noting(self) -> Iterator[list[tuple[int, int]]]:
        """The changes of this thread in the block, as they are told: (account, MODSEQ)."""
        noted: list[tuple[int, int]] = []
        self._here.noted = noted
        try:
            yield noted
        finally:
            self._here.noted = None

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        held = self._here.held = {}
        try:
            yield
        finally:
            self._here.held = None
            for account_id, modseq in held.items():
                self._tell(account_id, modseq)


_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""glibc's: what sixteen threads have freed stays in their arenas else, most of what was closed."""


__all__ = ["Account", "MailStore", "MessageFile", "Visited"]


class MailStore:
    """All accounts below one mail root."""

    def __init__(
        self,
        mail_root: Path,
        *,
        clock: Clock,
        host: str,
        settings: StorageSettings | None = None,
        on_change: OnChange = lambda account_id, modseq: None,
    ) -> None:
        settings = settings or StorageSettings()
        self._root = mail_root
        self._stores: dict[int, Store] = {}
        """Of every account that was used: about 2 KiB each while it rests."""
        self._recent: OrderedDict[int, Store] = OrderedDict()
        """Those that may have handles, least recently used first."""
        self._lock = threading.Lock()
        self._telling = _Telling(on_change)
        self._shared = Shared(
            clock=clock,
            settings=settings,
            names=NameSource(host),
            syncs=SharedSync(),
            marks=ChangeMarks(f"{mail_root}/{CHANGE_MARKS}"),
            views=ViewCache(settings.view_cache_octets),
            searched=SearchCache(settings.search_cache_octets),
            boot_id=settings.boot_id or _boot_id(),
            on_change=self._telling.changed,
            recover=self._recover_for,
            open_store=open_store,
        )
        self._journal = Journal(str(mail_root), self._shared.boot_id, clock)
        self._recovering = threading.Lock()
        self._recovered: Replay | None = None

    def account(self, ref: AccountRef, person: str | None = None) -> "Account":
        """The account's handle: cheap, touches no disk until it is used; the store is made at first use.

        `person`: the address of who reads there, whose \\Seen may be another than that of others (seen.py); None in a personal
        account, and where nobody reads.
        """
        return Account(self, ref, person)

    def store(self, ref: AccountRef) -> Store:
        """For `Account`: the store. `rest` sees to it that not too many have handles; between two rests they may be double."""
        with self._lock:
            store = self._recent.get(ref.account_id)
            if store is not None:
                self._recent.move_to_end(ref.account_id)
                return store
            store = self._stores.get(ref.account_id)
            if store is None:
                store = self._stores[ref.account_id] = Store(ref.account_id, str(self._root / ref.home), self._shared)
            self._recent[ref.account_id] = store
            evicted = self._surplus(2 * self._shared.settings.open_accounts)
        for old in evicted:
            old.rest(math.inf)
        return store

    def _surplus(self, limit: int) -> list[Store]:
        """The least recently used ones beyond the limit, which are to give their handles back; under the lock."""
        return [self._recent.popitem(last=False)[1] for _ in range(len(self._recent) - limit)]

    def change_mark(self, account_id: int) -> int:
        """A number that stands only while nothing changes in the account; 0 if that cannot be said now. Does not block."""
        return self._shared.marks.read(account_id)

    def newest_modseq(self, ref: AccountRef) -> int:
        """For the change feed's poll: `highest_modseq` with foreign files taken in; opens nothing while no file has moved."""
        store = self._stores.get(ref.account_id)
        modseq = None if store is None else unmoved(store)
        return poll(self.store(ref)) if modseq is None else modseq

    def rest(self, idle_seconds: float) -> int:
        """Close what nobody has used for so long, or what is open beside too many others, and give its memory back.

        How many handles. Every few seconds, in a lane: closing a log of SQLite's may move it into the index, which is synced.
        """
        before = self._shared.clock.monotonic() - idle_seconds
        with self._lock:
            surplus = self._surplus(self._shared.settings.open_accounts)
            stores = list(self._stores.values())
        closed = sum(store.rest(math.inf) for store in surplus)  # a handle in use now is closed by a later one
        closed += sum(store.rest(before) for store in stores)
        if closed and _malloc_trim is not None:
            _malloc_trim(0)
        return closed

    def flush_names(self) -> None:
        """Let the names of accounts that this process changed follow their flags; call it every 2 s and at drain."""
        with self._lock:
            due = [store for store in self._stores.values() if store.names_due]
        for store in due:
            _flush_if_free(store)

    def flush_names_left(self, refs: Iterable[AccountRef], since: float) -> None:
        """The names that a killed process owed: of the accounts whose index was written after `since` (seconds, epoch)."""
        for ref in refs:
            index = f"{self._root / ref.home}/index.sqlite"
            if max(_written_at(index), _written_at(f"{index}-wal")) >= since:
                _flush_if_free(self.store(ref))

    def telling_together(self) -> contextlib.AbstractContextManager[None]:
        """Observers hear of what this thread changes in the block at its end: each time they hear costs a turn of the loop."""
        return self._telling.together()

    def noting(self) -> contextlib.AbstractContextManager[list[tuple[int, int]]]:
        """What this thread changes in the block, as (account, MODSEQ): so that a session can tell its own changes apart."""
        return self._telling.noting()

    # The journal

    def recover(self) -> Replay:
        """Before anything else after a power loss; once in a process. What the journal gave back, and where it could not."""
        return self._recover_for(None)

    def _recover_for(self, home: str | None) -> Replay:
        with self._recovering:
            if self._recovered is None or home in self._recovered.failed:
                self._recovered = recover(str(self._root), self._shared.boot_id)
            if home in self._recovered.failed:
                raise self._recovered.failed[home]
            return self._recovered

    def journal_holding(self, arrivals: Sequence[Journaled]) -> contextlib.AbstractContextManager[bool]:
        """Staged messages are durable together while the block publishes them as `journaled`; False: each needs `finish`."""
        return self._journal.holding(arrivals)

    @property
    def journal_is_full(self) -> bool:
        """Whether `settle_journal` should be called now and not only every few seconds."""
        return self._journal.is_full

    def prepare_journal(self) -> None:
        """Before messages arrive, in a lane: else the first waves go without it. `Unavailable` if that fails."""
        with translated("journal"):
            self._journal.prepare()

    def settle_journal(self) -> None:
        """Make what the journal holds durable in its own place; every few seconds, in a lane. `Unavailable` if that fails."""
        with translated("journal"):
            self._journal.settle()

    def settle_left_behind(self) -> None:
        """The same for what processes that were killed have left; at start, and when one has died."""
        with translated("journal"):
            settle_left_behind(str(self._root), self._shared.boot_id)

    def is_warm(self, ref: AccountRef) -> bool:
        """Whether the account's index is open here, so that publishing into it waits for no disk but by chance."""
        store = self._stores.get(ref.account_id)
        return store is not None and store.opened_identity is not None and not store.rests

    def drop_unfinished_restores(self, homes: Container[str]) -> None:
        """Remove what restores that were killed have left a day ago; `homes` are those of all mailboxes."""
        drop_unfinished(str(self._root), homes, self._shared.clock.now_us())

    def close(self) -> None:
        """Write pending names, settle the journal and close every index."""
        self.flush_names()
        with contextlib.suppress(OSError):  # what is not settled is replayed or settled by others
            self._journal.close()
        with self._lock:
            stores = list(self._stores.values())
            self._stores.clear()
            self._recent.clear()
        for store in stores:
            store.close()
        self._shared.marks.close()


def _flush_if_free(store: Store) -> None:
    """One account that is locked or damaged keeps no other's names back; its own stay due."""
    with contextlib.suppress(MicMailError):
        flush_names(store, None)


class Account:
    """Everything that can be done to one mailbox."""

    __slots__ = ("_mailstore", "_person", "ref")

    def __init__(self, mailstore: MailStore, ref: AccountRef, person: str | None = None) -> None:
        self._mailstore = mailstore
        self._person = person
        self.ref = ref

    @property
    def _store(self) -> Store:
        return self._mailstore.store(self.ref)

    def change_mark(self) -> int:
        """`MailStore.change_mark`. Read it before what is read of the account."""
        return self._mailstore.change_mark(self.ref.account_id)

    def noting(self, act: Callable[["Account"], T]) -> tuple[T, list[int]]:
        """What `act` gives, and the MODSEQs that it took in this account."""
        with self._mailstore.noting() as noted:
            result = act(self)
        return result, [modseq for account_id, modseq in noted if account_id == self.ref.account_id]

    # Folders
    def folders(self) -> list[FolderInfo]:
        """All folders by name, and the names that only have children (`folder_id` 0, not selectable)."""
        return folders.list_folders(self._store, self._person)

    def folder(self, name: str) -> FolderInfo:
        """One folder by name, or `NoSuchFolder`."""
        return folders.folder_info(self._store, name=folders.canonical_name(self._store, name), person=self._person)

    def folder_id(self, name: str) -> int:
        """The number of a folder, or `NoSuchFolder`."""
        return folders.folder_id(self._store, folders.canonical_name(self._store, name))

    def folder_news(self, since: int, own: Collection[int] = (), *, subscriptions: bool = False) -> FolderNews:
        """What happened to folders after MODSEQ `since`; `own`: MODSEQs of the caller's changes (`noting`)."""
        return foldernews.folder_news(self._store, since, own, subscriptions=subscriptions, person=self._person)

    def create(self, name: str, special_use: str | None = None) -> FolderInfo:
        """Make a folder and its missing parents (RFC 9051 §6.3.4)."""
        return folders.create(self._store, name, special_use)

    def rename(self, old: str, new: str) -> None:
        """With its children; INBOX keeps its place and gives its messages away (RFC 9051 §6.3.6)."""
        despite_loss(self._store, lambda: folders.rename(self._store, old, new))

    def delete(self, name: str) -> None:
        """It can be brought back for `expunge_keep_seconds`; children stay (RFC 9051 §6.3.5)."""
        despite_loss(self._store, lambda: folders.delete(self._store, name))

    def subscribe(self, name: str, subscribed: bool) -> None:
        folders.subscribe(self._store, name, subscribed)

    def subscriptions(self) -> list[str]:
        """By name; a subscription outlives its folder (RFC 9051 §6.3.7)."""
        return folders.subscriptions(self._store)

    def take_recent(self, folder_id: int) -> int:
        """SELECT of a session: the UID from which on messages are recent for it alone (RFC 3501 §2.3.2)."""
        return folders.take_recent(self._store, folder_id)

    # Reading
    def highest_modseq(self) -> int:
        """The account's newest MODSEQ: the cheap question whether anything changed."""
        return reader.highest_modseq(self._store)

    def view(self, folder_id: int) -> FolderView:
        """The folder now; shared between the sessions of a process. Takes in new foreign files first."""
        return reader.view(self._store, folder_id, self._person)

    def changes(self, folder_id: int, since_modseq: int) -> Changes:
        return reader.changes(self._store, folder_id, since_modseq, self._person)

    def news(self, folder_id: int, since_modseq: int, looked: int) -> tuple[int, FolderView | None, Changes | None]:
        """`highest_modseq`, and where that is not `looked` nor the folder's `since_modseq`, `view` and `changes` as well."""
        return reader.news(self._store, folder_id, since_modseq, looked, self._person)

    def rows(self, folder_id: int, uids: Iterable[int], columns: Sequence[Column]) -> list[tuple[Any, ...]]:
        """One tuple with exactly `columns` for each UID that exists or can still be read as a tombstone, ascending by UID.

        `flags` and `modseq` are of the common state; `view` has those that the person sees.
        """
        return reader.rows(self._store, folder_id, uids, columns)

    def paths(self, folder_id: int, uids: Iterable[int]) -> dict[int, str]:
        """Hints for `open_message`, for many messages at a time; some may be missing or wrong."""
        return reader.paths(self._store, folder_id, uids)

    def open_message(self, folder_id: int, uid: int, hint: str | None = None) -> MessageFile:
        """The message, expunged ones included while they are kept; else `NoSuchMessage`."""
        return reader.open_message(self._store, folder_id, uid, hint)

    def look_up_text(self, folder_id: int, uids: Sequence[int], wanted: Sequence[int], test: TextTest) -> LookedUp:
        """What `search.sqlite` knows of the messages at the positions `wanted` of a folder's list of UIDs; reads no message.

        Hand it the list that the sessions of a process share (`FolderView.uids`): what it finds out about it is kept.
        """
        return lookup.look_up(self._store, folder_id, uids, wanted, test)

    def orderings(self, folder_id: int, uids: Iterable[int]) -> list[Ordered]:
        """What SORT and THREAD compare, for each UID that can be read; makes and keeps what is missing: hand it slices."""
        return orderings(self._store, folder_id, uids)

    def find_text(self, folder_id: int, uids: Iterable[int], tests: Sequence[TextTest]) -> list[tuple[int, tuple[bool, ...]]]:
        """For each UID that can be read, which of the tests it passes. Reads whole messages: hand it slices.

        What was read for BODY or TEXT is left in `search.sqlite`, if that can be had at once.
        """
        return scan.find_text(self._store, folder_id, uids, tests)

    def index_text(self, visited: Visited, go_on: Callable[[], bool] = lambda: True) -> int:
        """Bring `search.sqlite` up to date if the index was written since the last visit; how many messages came in.

        For the indexer: takes no lock of the account and opens nothing of it for writing. `go_on` is asked before each batch.
        """
        store = self._store
        if not indexing.needs_visit(store, visited):
            return 0
        try:
            return indexing.visit(store, visited, go_on)
        finally:
            store.search.close()

    # Annotations (RFC 5464)
    def annotations(self, folder_id: int | None, holders: Collection[str]) -> list[Annotation]:
        """Of a folder or (None) of the account: what these holders have, "" being everybody, in order of names."""
        return annotating.annotations(self._store, folder_id, holders)

    def annotations_of_folders(self, holders: Collection[str]) -> dict[int, list[Annotation]]:
        """The same of every folder that has any, by `folder_id`."""
        return annotating.annotations_of_folders(self._store, holders)

    def annotate(
        self, folder_id: int | None, changes: Sequence[tuple[str, str, bytes | None]], uses: Sequence[str | None] = ()
    ) -> None:
        """Set (holder, name, value), None removes, and the folder's special use, if one is given: all or none.

        `AnnotationTooLong`, `TooManyAnnotations`, `UseNotAllowed`.
        """
        despite_loss(self._store, lambda: annotating.annotate(self._store, folder_id, changes, uses))

    def annotations_changed(
        self, since_modseq: int, holders: Collection[str], own: Collection[int] = (), *, until: int | None = None
    ) -> list[tuple[str, str]]:
        """(folder, entry) of what was set or removed after a MODSEQ, and not after `until`; the folder "" is the account."""
        return annotating.changed_since(self._store, since_modseq, holders, own, until=until)

    # Writing
    def stage(self) -> Staged:
        """Room for a new message; needs no lock."""
        return staging.stage(self._store)

    def stage_link(self, source: Path) -> Staged:
        """The durable file `source` (a spool entry) as a staged message: by hard link, or by a copy where linking fails."""
        return staging.stage_link(self._store, str(source))

    def has_link(self, source: Path) -> bool:
        """Whether `source` is a message here already: asked for an entry whose deliveries a lost index may have forgotten."""
        return staging.has_link(self._store, str(source))

    def publish(
        self,
        folder_id: int,
        deliveries: Sequence[Delivery],
        *,
        limit_octets: int | None = None,
        patience: float | None = None,
        journaled: bool = False,
        claim: bool = False,
    ) -> list[Published]:
        """Make deliveries visible, all or none, in order; durable on return. `OverQuota` above `limit_octets`.

        `Busy` where somebody else writes the account for longer than `patience` seconds; `journaled` inside of
        `MailStore.journal_holding`; `claim`: they are \\Recent for the caller (`take_recent`).
        """
        return despite_loss(
            self._store,
            lambda: publish(
                self._store, folder_id, deliveries, limit_octets,
                patience=patience, journaled=journaled, hold=self._hold, claim=claim, person=self._person,
            ),
        )  # fmt: skip

    def _hold(
        self, messages: Sequence[tuple[Berth, bytes]], meanwhile: Callable[[], None]
    ) -> contextlib.AbstractContextManager[bool]:
        arrivals = [Journaled.at_berth(self.ref.home, berth, octets) for berth, octets in messages]
        return self._mailstore._journal.holding(arrivals, meanwhile)

    def journal_takes(self, octets: int) -> bool:
        """Whether messages of so many octets, whole in memory, should be published with their `Delivery.octets`, unfinished."""
        return self._mailstore._journal.takes(octets)

    def store_flags(
        self,
        folder_id: int,
        uids: Iterable[int],
        operation: FlagOperation,
        flags: int,
        keywords: Sequence[str] = (),
        *,
        unchanged_since: int | None = None,
        allowed: int = ALL_FLAGS,
    ) -> StoreResult:
        """STORE: `flags` are system bits, `keywords` names; new keywords take the next free bits. Other bits than `allowed`
        stay as they are."""
        return store_flags(
            self._store, folder_id, uids, operation, flags,
            keywords=keywords, unchanged_since=unchanged_since, allowed=allowed, person=self._person,
        )  # fmt: skip

    def expunge(self, folder_id: int, uids: Iterable[int] | None = None) -> ExpungeResult:
        """EXPUNGE: every message with \\Deleted, of `uids` only where given (UID EXPUNGE)."""
        return despite_loss(self._store, lambda: expunge.expunge(self._store, folder_id, uids))

    def remove(self, folder_id: int, uids: Iterable[int]) -> ExpungeResult:
        """Expunge whatever its flags (POP3, retention, the web)."""
        return despite_loss(self._store, lambda: expunge.remove(self._store, folder_id, uids))

    def copy(
        self,
        folder_id: int,
        uids: Sequence[int],
        target_id: int,
        *,
        limit_octets: int | None = None,
        every: bool = False,
        allowed: int = ALL_FLAGS,
    ) -> CopyResult:
        """Those that are there; with `every`, all or `NoSuchMessage`. Only `allowed` flags go along."""
        return despite_loss(
            self._store,
            lambda: transfer.copy(
                self._store, folder_id, uids, target_id, limit_octets, every=every, allowed=allowed, person=self._person
            ),
        )

    def move(self, folder_id: int, uids: Iterable[int], target_id: int, *, allowed: int = ALL_FLAGS) -> CopyResult:
        return despite_loss(
            self._store,
            lambda: transfer.move(self._store, folder_id, uids, target_id, allowed=allowed, person=self._person),
        )

    def lend(
        self, to: AccountRef, folder_id: int, uids: Sequence[int], *, every: bool = False, allowed: int = ALL_FLAGS
    ) -> list[Lent]:
        """These messages staged in the account `to`, which publishes them: COPY and MOVE between accounts (lending.py)."""
        target = self._mailstore.store(to)
        return despite_loss(
            self._store,
            lambda: lend(self._store, target, folder_id, uids, every=every, allowed=allowed, person=self._person),
        )

    def exchange(
        self, folder_id: int, uid: int, target_id: int, delivery: Delivery, *, limit_octets: int | None = None
    ) -> Published:
        """REPLACE: publish a finished delivery and expunge a message, both or neither; `NoSuchMessage` if that is gone."""
        return despite_loss(
            self._store,
            lambda: exchange.exchange(
                self._store, folder_id, uid, target_id, delivery, limit_octets=limit_octets, person=self._person
            ),
        )

    # Readers
    def seen_is_each(self) -> bool:
        """Whether each person who reads here has a \\Seen of their own."""
        return seen.is_each(self._store)

    def keep_seen(self, *, each: bool, persons: Collection[str] = ()) -> bool:
        """Each has their own, `persons` from now on, others from their first look on; or all one again. False: it was so."""
        return seen.switch(self._store, each=each, persons=persons)

    def forget_reader(self, person: str) -> None:
        """Who comes back begins anew with the next look, and has then read what somebody has."""
        seen.forget(self._store, person)

    # Keeping
    def quota(self) -> Quota:
        return quota.quota(self._store)

    def recount(self) -> Quota:
        """Count anew from the rows and put the counters right."""
        return quota.recount(self._store)

    def flush_names(self, folder_id: int | None = None) -> int:
        """Let file names follow the flags; how many were renamed."""
        return flush_names(self._store, folder_id)

    def sweep(self, *, hold: bool = False) -> None:
        """The housekeeper's visit: drop what is past keeping (nothing under `hold`), flush names, checkpoint."""
        sweep.sweep(self._store, hold=hold)

    def checkpoint(self) -> None:
        """Move the index's write-ahead log into the index."""
        sweep.checkpoint(self._store)

    def tombstones(self, folder_id: int | None = None) -> list[Tombstone]:
        return graves.tombstones(self._store, folder_id)

    def undelete(self, *, folder: str | None = None, since_us: int = 0, uids: Iterable[int] | None = None) -> int:
        """Bring expunged messages back into their folders (under new UIDs); how many came."""
        return graves.undelete(self._store, folder=folder, since_us=since_us, uids=uids)

    def rescan(self) -> RepairReport:
        """Compare every folder with its files and take in what other tools did."""
        return repair.rescan(self._store)

    def repair(self, *, check: bool = False) -> RepairReport:
        """Compare index, names and sidecars; put right what differs unless `check`. A lost index was rebuilt at opening."""
        return repair.repair(self._store, check=check)

    def backup(self, target: Path, *, progress: copies.Progress = lambda done, of: None) -> None:
        """Write everything into the new folder `target`, beside running use."""
        copies.backup(self._store, target, progress)

    def restore(
        self, source: Path, *, replace: bool = False, progress: copies.Progress = lambda done, of: None
    ) -> RepairReport:
        """Put the backup `source` in place of the store; the old one stays as `<home>.replaced-<instant>`.

        A store that holds mail is replaced only if told so. The report is of the restored store.
        """
        copies.restore(self._store, source, replace=replace, progress=progress)
        return self.repair()
