"""Everything that can be done to one mailbox, for whoever was given its `Account` by the `MailStore`.

All calls block and may come from any thread; writers wait for the account's lock, at most `StorageSettings.lock_seconds`, then
raise `Unavailable`. What returns is durable: files, UIDs and folders through a power loss, flags through a crash
(UIDs of messages in waves: see journal.py and decision 0014).
Folder names are checked and brought to NFC here; everything after `folder(name)` goes by `folder_id`.
"""

import contextlib
import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from mic_mail.storage.backup import backup as copies
from mic_mail.storage.backup import delete_account
from mic_mail.storage.changes import copy_move, expunge, folders, legal_hold, metadata, quota, replace, seen, staging, undelete
from mic_mail.storage.changes.expunge import TombstoneRow
from mic_mail.storage.changes.flags import flush_names, store_flags
from mic_mail.storage.changes.legal_hold import Mark
from mic_mail.storage.changes.publish import publish
from mic_mail.storage.changes.undelete import MessageOutcome
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.index.open_folders import OpenFolder
from mic_mail.storage.journal.frames import ExpungedFrame, Journaled, MessageLocation
from mic_mail.storage.journal.journal import GRAVE_OCTETS, Journal, RevokeFrame
from mic_mail.storage.maintenance import repair, sweep
from mic_mail.storage.maintenance.external_changes import despite_loss
from mic_mail.storage.reads import folder_changes, reader
from mic_mail.storage.reads.cross_account import StagedCopy, stage_copies
from mic_mail.storage.reads.reader import MessageFile
from mic_mail.storage.reads.sort_keys import Ordered, orderings
from mic_mail.storage.search import indexer, lookup, scan, sort_values
from mic_mail.storage.search.indexer import Visited
from mic_mail.storage.store import Store
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
    FolderChanges,
    FolderDelta,
    FolderInfo,
    FolderView,
    LookedUp,
    Published,
    Quota,
    RepairReport,
    Staged,
    StoreResult,
    TellFinding,
    TextTest,
    Tombstone,
)

T = TypeVar("T")
P = ParamSpec("P")


def despite_full_disk(
    method: Callable[Concatenate["Account", P], T],
) -> Callable[Concatenate["Account", P], T]:
    """Let a method give up the reserve where it finds no room, and run it again (reserve.py).

    For what removes mail or changes its flags, and for what a session asks before it can. A method that fails must leave
    nothing behind.
    """

    @functools.wraps(method)
    def twice(account: "Account", /, *args: P.args, **named: P.kwargs) -> T:
        try:
            return method(account, *args, **named)
        except Unavailable as error:
            if not account._store.reserve.frees_space(error):
                raise
        return method(account, *args, **named)

    return twice


class StoreProvider(Protocol):
    """What an account needs of the `MailStore` that gave it."""

    @property
    def journal(self) -> Journal: ...

    def store(self, ref: AccountRef) -> Store:
        """Not to be held beyond a call: it may have given its handles back."""
        ...

    def recording_modseqs(self) -> contextlib.AbstractContextManager[list[tuple[int, int]]]:
        """What this thread changes in the block, as (account, MODSEQ)."""
        ...


class Account:
    """Everything that can be done to one mailbox."""

    __slots__ = ("_mailstore", "_person", "ref")

    def __init__(self, mailstore: StoreProvider, ref: AccountRef, person: str | None = None) -> None:
        self._mailstore = mailstore
        self._person = person
        self.ref = ref

    @property
    def _store(self) -> Store:
        return self._mailstore.store(self.ref)

    def change_mark(self) -> int:
        """A number that stands only while nothing changes here; 0: not known now. Read it before what it vouches for."""
        return self._store.shared.marks.read(self.ref.account_id)

    def recording_modseqs(self, act: Callable[["Account"], T]) -> tuple[T, list[int]]:
        """What `act` gives, and the MODSEQs that it took in this account."""
        with self._mailstore.recording_modseqs() as noted:
            result = act(self)
        return result, [modseq for account_id, modseq in noted if account_id == self.ref.account_id]

    # Folders
    def folders(self) -> list[FolderInfo]:
        """All folders by name, and the names that only have children (`folder_id` 0, not selectable)."""
        return self.listing()[0]

    @despite_full_disk
    def listing(self) -> tuple[list[FolderInfo], set[str]]:
        """`folders`, and the names of `subscriptions`, of the same instant."""
        return folders.list_folders(self._store, self._person)

    @despite_full_disk
    def folder(self, name: str) -> FolderInfo:
        """One folder by name, or `NoSuchFolder`."""
        return folders.folder_info(self._store, name=folders.canonical_name(self._store, name), person=self._person)

    @despite_full_disk
    def folder_id(self, name: str) -> int:
        """The number of a folder, or `NoSuchFolder`."""
        return folders.folder_id(self._store, folders.canonical_name(self._store, name))

    @despite_full_disk
    def folder_changes(self, since: int, own: Collection[int] = (), *, subscriptions: bool = False) -> FolderChanges:
        """What happened to folders after MODSEQ `since`; `own`: MODSEQs of the caller's changes (`noting`)."""
        return folder_changes.folder_changes(self._store, since, own, subscriptions=subscriptions, person=self._person)

    def create(self, name: str, special_use: str | None = None) -> FolderInfo:
        """Make a folder and its missing parents (RFC 9051 §6.3.4)."""
        return folders.create(self._store, name, special_use)

    def rename(self, old: str, new: str) -> None:
        """With its children; INBOX keeps its place and gives its messages away (RFC 9051 §6.3.6)."""
        despite_loss(self._store, lambda: folders.rename(self._store, old, new))

    @despite_full_disk
    def delete(self, name: str) -> None:
        """It can be brought back for `expunge_keep_seconds`; children stay (RFC 9051 §6.3.5)."""
        despite_loss(self._store, lambda: folders.delete(self._store, name))

    def subscribe(self, name: str, subscribed: bool) -> None:
        folders.subscribe(self._store, name, subscribed)

    def subscriptions(self) -> list[str]:
        """By name; a subscription outlives its folder (RFC 9051 §6.3.7)."""
        return folders.subscriptions(self._store)

    def enter(self, folder_id: int, *, claims: bool) -> OpenFolder:
        """To be held by a session as long as it has the folder open; `claims`: new messages can be \\Recent to it."""
        return self._store.shared.presences.enter(self.ref.account_id, folder_id, claims=claims)

    def take_recent(self, folder_id: int, until: int | None = None) -> int:
        """SELECT of a session: the UID from which on messages (below `until`, where given) are recent for it alone
        (RFC 3501 §2.3.2)."""
        return folders.take_recent(self._store, folder_id, until)

    # Reading
    @despite_full_disk
    def highest_modseq(self) -> int:
        """The account's newest MODSEQ: the cheap question whether anything changed."""
        return reader.highest_modseq(self._store)

    @despite_full_disk
    def view(self, folder_id: int) -> FolderView:
        """The folder now; shared between the sessions of a process. Takes in new foreign files first."""
        return reader.view(self._store, folder_id, self._person)[1]

    @despite_full_disk
    def opened(self, name: str) -> tuple[int, FolderView]:
        """`highest_modseq` and, of the same instant, the `view` of a folder by name, or `NoSuchFolder`."""
        return reader.view(self._store, self.folder_id(name), self._person)

    @despite_full_disk
    def changes(self, folder_id: int, since_modseq: int) -> Changes:
        return reader.changes(self._store, folder_id, since_modseq, self._person)

    @despite_full_disk
    def folder_delta(self, folder_id: int, since_modseq: int, looked: int) -> FolderDelta:
        """`highest_modseq`, where that is not `looked` `view` as well, and where that is not as of `since_modseq` `changes`."""
        return reader.folder_delta(self._store, folder_id, since_modseq, looked, self._person)

    @despite_full_disk
    def rows(self, folder_id: int, uids: Iterable[int], columns: Sequence[Column]) -> list[tuple[Any, ...]]:
        """One tuple with exactly `columns` for each UID that exists or can still be read as a tombstone, ascending by UID.

        `flags` and `modseq` are of the common state; `view` has those that the person sees.
        """
        return reader.rows(self._store, folder_id, uids, columns)

    @despite_full_disk
    def paths(self, folder_id: int, uids: Iterable[int]) -> dict[int, str]:
        """Hints for `open_message`, for many messages at a time; some may be missing or wrong."""
        return reader.paths(self._store, folder_id, uids)

    def read_message(self, hint: str, size: int) -> bytes | None:
        """All octets of a message, if there are `size` of them and it lies where `paths` said; else None: `open_message`."""
        return reader.read_message(hint, size)

    @despite_full_disk
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

    def indexed_orderings(self, folder_id: int, uids: Iterable[int]) -> list[Ordered]:
        """What `orderings` would say of those messages for which `search.sqlite` has it ready; 3 us each."""
        return sort_values.indexed(self._store, folder_id, uids)

    def find_text(self, folder_id: int, uids: Iterable[int], tests: Sequence[TextTest]) -> list[tuple[int, tuple[bool, ...]]]:
        """For each UID that can be read, which of the tests it passes. Reads whole messages: hand it slices.

        What was read for BODY or TEXT is left in `search.sqlite`, if that can be had at once.
        """
        return scan.find_text(self._store, folder_id, uids, tests)

    def index_text(self, visited: Visited, go_on: Callable[[], bool] = lambda: True) -> int:
        """Bring `search.sqlite` up to date if the index was written since the last visit; how many messages came in.

        For the indexer: takes no lock of the account and opens nothing of it for writing. `go_on` is asked before each batch.
        `Unavailable`, `DiskFull`: come again later.
        """
        store = self._store
        if not indexer.needs_visit(store, visited):
            return 0
        try:
            return indexer.visit(store, visited, go_on)
        finally:
            store.search.close()

    # Annotations (RFC 5464)
    def annotations(self, folder_id: int | None, holders: Collection[str]) -> list[Annotation]:
        """Of a folder or (None) of the account: what these holders have, "" being everybody, in order of names."""
        return metadata.annotations(self._store, folder_id, holders)

    def annotations_of_folders(self, holders: Collection[str]) -> dict[int, list[Annotation]]:
        """The same of every folder that has any, by `folder_id`."""
        return metadata.annotations_of_folders(self._store, holders)

    def annotate(
        self, folder_id: int | None, changes: Sequence[tuple[str, str, bytes | None]], uses: Sequence[str | None] = ()
    ) -> None:
        """Set (holder, name, value), None removes, and the folder's special use, if one is given: all or none.

        `AnnotationTooLong`, `TooManyAnnotations`, `UseNotAllowed`.
        """
        despite_loss(self._store, lambda: metadata.annotate(self._store, folder_id, changes, uses))

    def annotations_changed(
        self, since_modseq: int, holders: Collection[str], own: Collection[int] = (), *, until: int | None = None
    ) -> list[tuple[str, str]]:
        """(folder, entry) of what was set or removed after a MODSEQ, and not after `until`; the folder "" is the account."""
        return metadata.changed_since(self._store, since_modseq, holders, own, until=until)

    # Writing
    def stage(self) -> Staged:
        """Room for a new message; needs no lock."""
        return staging.stage(self._store)

    def stage_link(self, source: Path) -> Staged:
        """The durable file `source` (a spool entry) as a staged message: by hard link, or by a copy where linking fails."""
        return staging.stage_link(self._store, str(source))

    def is_delivered(self, source: Path) -> bool:
        """Whether `source` is a message here already: asked for an entry whose deliveries a lost index may have forgotten."""
        return staging.is_delivered(self._store, str(source))

    def publish(
        self,
        folder_id: int,
        deliveries: Sequence[Delivery],
        *,
        limit_octets: int | None = None,
        patience: float | None = None,
        journaled: bool = False,
        claim: bool = False,
        tell: bool = False,
    ) -> list[Published]:
        """Make deliveries visible, all or none, in order; durable on return. `OverQuota` above `limit_octets`.

        `Busy` where somebody else writes the account for longer than `patience` seconds; `journaled` inside of
        `MailStore.journal_holding`; `claim`: they are \\Recent for the caller (`take_recent`); `tell`: `Published.made`.
        """
        return despite_loss(
            self._store,
            lambda: publish(
                self._store, folder_id, deliveries, limit_octets,
                patience=patience, journaled=journaled, hold=self._hold, claim=claim, tell=tell, person=self._person,
            ),
        )  # fmt: skip

    def _hold(
        self, messages: Sequence[tuple[MessageLocation, bytes]], meanwhile: Callable[[], None]
    ) -> contextlib.AbstractContextManager[RevokeFrame | None]:
        arrivals = [Journaled.at_location(self.ref.home, berth, octets) for berth, octets in messages]
        return self._mailstore.journal.holding(arrivals, meanwhile)

    def journal_takes(self, octets: int) -> bool:
        """Whether messages of so many octets, whole in memory, should be published with their `Delivery.octets`, unfinished."""
        return self._mailstore.journal.takes(octets)

    @despite_full_disk
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

    @despite_full_disk
    def expunge(self, folder_id: int, uids: Iterable[int] | None = None) -> ExpungeResult:
        """EXPUNGE: every message with \\Deleted, of `uids` only where given (UID EXPUNGE)."""
        return despite_loss(self._store, lambda: expunge.expunge(self._store, folder_id, uids, self._remember))

    def _remember(self, graves: Sequence[TombstoneRow]) -> bool:
        journal = self._mailstore.journal
        if not journal.takes(GRAVE_OCTETS * len(graves)):
            return False
        return journal.remembers([ExpungedFrame(self.ref.home, each.mailbox_id, each.name, each.buried) for each in graves])

    @despite_full_disk
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
            lambda: copy_move.copy(
                self._store, folder_id, uids, target_id, limit_octets, every=every, allowed=allowed, person=self._person
            ),
        )

    @despite_full_disk
    def move(self, folder_id: int, uids: Iterable[int], target_id: int, *, allowed: int = ALL_FLAGS) -> CopyResult:
        return despite_loss(
            self._store,
            lambda: copy_move.move(self._store, folder_id, uids, target_id, allowed=allowed, person=self._person),
        )

    def stage_copies(
        self, to: AccountRef, folder_id: int, uids: Sequence[int], *, every: bool = False, allowed: int = ALL_FLAGS
    ) -> list[StagedCopy]:
        """These messages staged in the account `to`, which publishes them: COPY and MOVE between accounts
        (cross_account.py)."""
        target = self._mailstore.store(to)
        return despite_loss(
            self._store,
            lambda: stage_copies(self._store, target, folder_id, uids, every=every, allowed=allowed, person=self._person),
        )

    def exchange(
        self, folder_id: int, uid: int, target_id: int, delivery: Delivery, *, limit_octets: int | None = None
    ) -> Published:
        """REPLACE: publish a finished delivery and expunge a message, both or neither; `NoSuchMessage` if that is gone."""
        return despite_loss(
            self._store,
            lambda: replace.exchange(
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

    def forget_readers_but(self, persons: Collection[str]) -> list[str]:
        """The same of all who are none of `persons`; their addresses."""
        return seen.forget_all_but(self._store, persons)

    # Keeping
    @despite_full_disk
    def quota(self) -> Quota:
        return quota.quota(self._store)

    def quota_at_rest(self) -> Quota:
        """For a look at thousands of accounts: nothing is made, and opened only where that is needed to know."""
        return quota.quota_at_rest(self._store)

    def recount(self) -> Quota:
        """Count anew from the rows and put the counters right."""
        return quota.recount(self._store)

    @despite_full_disk
    def flush_names(self, folder_id: int | None = None) -> int:
        """Let file names follow the flags; how many were renamed."""
        return flush_names(self._store, folder_id)

    @despite_full_disk
    def sweep(self, *, keep: bool = False, trusted: bool = True) -> None:
        """The housekeeper's visit: drop what is past keeping, unless it is to `keep` or held; flush names, checkpoint.

        Unless the clock is `trusted` nothing is past anything.
        """
        sweep.sweep(self._store, keep=keep, trusted=trusted)

    def is_held(self) -> bool:
        """Whether nothing here may be destroyed (legal_hold.py)."""
        return legal_hold.is_held(self._store)

    def has_hold_mark(self) -> bool:
        """Whether that is so by `keep_everything`."""
        return legal_hold.is_on(self._store, Mark.HOLD)

    def keep_everything(self, record: Callable[[], T]) -> T:
        """From now on nothing is destroyed; `record` puts that on record, under the account's lock."""
        return legal_hold.put_on(self._store, Mark.HOLD, record)

    def let_go(self, record: Callable[[], tuple[T, bool]]) -> T:
        """What `record` gives first; the mark goes, unless it says second that something is still to be kept."""
        return legal_hold.take_off(self._store, Mark.HOLD, record)

    def is_frozen(self) -> bool:
        """Whether nothing may be expunged, moved, renamed or deleted here (legal_hold.py)."""
        return legal_hold.is_on(self._store, Mark.FROZEN)

    def must_not_be_frozen(self) -> None:
        """`Frozen` if that is so, before anything is done that ends in it; whoever then does it is asked again."""
        legal_hold.must_not_be_frozen(self._store)

    def freeze(self, record: Callable[[], T]) -> T:
        """From now on it is so; `record` puts that on record, under the account's lock."""
        return legal_hold.put_on(self._store, Mark.FROZEN, record)

    def thaw(self, record: Callable[[], tuple[T, bool]]) -> T:
        """As `let_go`."""
        return legal_hold.take_off(self._store, Mark.FROZEN, record)

    @despite_full_disk
    def checkpoint(self) -> None:
        """Move the index's write-ahead log into the index."""
        sweep.checkpoint(self._store)

    def tombstones(self, folder_id: int | None = None) -> list[Tombstone]:
        return undelete.tombstones(self._store, folder_id)

    def message_outcomes(self, mailbox_id: str, uids: Iterable[int]) -> dict[int, MessageOutcome]:
        """What became of messages that are in this folder no more, as far as the index knows."""
        return undelete.message_outcomes(self._store, mailbox_id, uids)

    def undelete(self, *, folder: str | None = None, since_us: int = 0, uids: Iterable[int] | None = None) -> int:
        """Bring expunged messages back into their folders (under new UIDs); how many came."""
        return undelete.undelete(self._store, folder=folder, since_us=since_us, uids=uids)

    def rescan(self, *, tell: TellFinding | None = None) -> RepairReport:
        """Compare every folder with its files and take in what other tools did; `tell` hears of each finding at once."""
        return repair.rescan(self._store, tell)

    def repair(self, *, check: bool = False, tell: TellFinding | None = None) -> RepairReport:
        """Compare index, names and sidecars; put right what differs unless `check`. A lost index was rebuilt at opening."""
        return repair.repair(self._store, check=check, tell=tell)

    def backup(self, target: Path, *, earlier: Path | None = None, progress: copies.Progress = lambda done, of: None) -> None:
        """Write everything into the new folder `target`, beside running use; what `earlier` has is linked from there."""
        copies.backup(self._store, target, progress, earlier)

    def restore(
        self,
        source: Path,
        *,
        replace: bool = False,
        progress: copies.Progress = lambda done, of: None,
        ready: copies.Ready = lambda aside: None,
    ) -> RepairReport:
        """Put the backup `source` in place of the store; the old one stays as `<home>.replaced-<instant>`.

        A store that holds mail is replaced only if told so. The report is of the restored store.
        """
        copies.restore(self._store, source, replace=replace, progress=progress, ready=ready)
        return self.repair()

    def has_more_than(self, source: Path) -> bool:
        """Whether a message is here that the backup `source` does not have."""
        return copies.has_more(self._store, source)

    def has_all_of(self, source: Path) -> bool:
        """Whether every message is here that lies in the backup `source`, also in one that is damaged."""
        return copies.has_all(self._store, source)

    def free(self, still: Callable[[], bool]) -> bool:
        """Delete everything, unless `still`, asked under the lock, says no; True if nothing is left. Repeatable."""
        return delete_account.free(self._store, still)
