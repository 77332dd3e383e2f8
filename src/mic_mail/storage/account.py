"""All operations on one mailbox, for the holder of its `Account` from the `MailStore`.

All calls block and may come from any thread. Writers wait for the account's lock, at most `StorageSettings.lock_seconds`, then
raise `Unavailable`. A change is durable when the call returns: files, UIDs and folders through a power loss, flags through a
crash (for the UIDs of messages in batches see journal.py and decision 0014). Folder names are checked and brought to NFC here;
everything after `folder(name)` goes by `folder_id`.
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
    """Let a method give up the reserve where it finds no space, and run it again (reserve.py).

    For methods that remove mail or change its flags, and for queries that a session needs before it can do so. A method that
    fails must leave nothing behind.
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
    """The part of the `MailStore` that an account needs."""

    @property
    def journal(self) -> Journal: ...

    def store(self, ref: AccountRef) -> Store:
        """Return the account's store; do not hold it beyond a call, since it may be closed."""
        ...

    def recording_modseqs(self) -> contextlib.AbstractContextManager[list[tuple[int, int]]]:
        """Record what this thread changes in the block, as (account, MODSEQ)."""
        ...


class Account:
    """All operations on one mailbox."""

    __slots__ = ("_mailstore", "_person", "ref")

    def __init__(self, mailstore: StoreProvider, ref: AccountRef, person: str | None = None) -> None:
        self._mailstore = mailstore
        self._person = person
        self.ref = ref

    @property
    def _store(self) -> Store:
        return self._mailstore.store(self.ref)

    def change_mark(self) -> int:
        """Return a number that stays the same only while nothing changes here; 0: not known now.

        Read it before the data that it is to confirm.
        """
        return self._store.shared.marks.read(self.ref.account_id)

    def recording_modseqs(self, act: Callable[["Account"], T]) -> tuple[T, list[int]]:
        """Run `act`; return its result and the MODSEQs that it took in this account."""
        with self._mailstore.recording_modseqs() as noted:
            result = act(self)
        return result, [modseq for account_id, modseq in noted if account_id == self.ref.account_id]

    # Folders
    def folders(self) -> list[FolderInfo]:
        """Return all folders by name, and the names that only have children.

        Names that only have children have `folder_id` 0 and are not selectable.
        """
        return self.listing()[0]

    @despite_full_disk
    def listing(self) -> tuple[list[FolderInfo], set[str]]:
        """Return `folders` and the names of `subscriptions`, of the same instant."""
        return folders.list_folders(self._store, self._person)

    @despite_full_disk
    def folder(self, name: str) -> FolderInfo:
        """Return one folder by name, or raise `NoSuchFolder`."""
        return folders.folder_info(self._store, name=folders.canonical_name(self._store, name), person=self._person)

    @despite_full_disk
    def folder_id(self, name: str) -> int:
        """Return the number of a folder, or raise `NoSuchFolder`."""
        return folders.folder_id(self._store, folders.canonical_name(self._store, name))

    @despite_full_disk
    def folder_changes(self, since: int, own: Collection[int] = (), *, subscriptions: bool = False) -> FolderChanges:
        """Return the changes of folders after MODSEQ `since`.

        `own`: MODSEQs of the caller's own changes (`recording_modseqs`).
        """
        return folder_changes.folder_changes(self._store, since, own, subscriptions=subscriptions, person=self._person)

    def create(self, name: str, special_use: str | None = None) -> FolderInfo:
        """Make a folder and its missing parents (RFC 9051 §6.3.4)."""
        return folders.create(self._store, name, special_use)

    def rename(self, old: str, new: str) -> None:
        """Rename a folder and its children.

        INBOX stays, and gives its messages to the new folder (RFC 9051 §6.3.6).
        """
        despite_loss(self._store, lambda: folders.rename(self._store, old, new))

    @despite_full_disk
    def delete(self, name: str) -> None:
        """Delete a folder; its children stay (RFC 9051 §6.3.5).

        It can be restored for `expunge_keep_seconds`.
        """
        despite_loss(self._store, lambda: folders.delete(self._store, name))

    def subscribe(self, name: str, subscribed: bool) -> None:
        folders.subscribe(self._store, name, subscribed)

    def subscriptions(self) -> list[str]:
        """Return the subscribed names in order; a subscription outlives its folder (RFC 9051 §6.3.7)."""
        return folders.subscriptions(self._store)

    def enter(self, folder_id: int, *, claims: bool) -> OpenFolder:
        """Register a session that has the folder open; the session holds the result until it closes it.

        `claims`: new messages can be \\Recent for it.
        """
        return self._store.shared.presences.enter(self.ref.account_id, folder_id, claims=claims)

    def take_recent(self, folder_id: int, until: int | None = None) -> int:
        """Claim \\Recent for a session at SELECT (RFC 3501 §2.3.2).

        Return the UID from which on messages (below `until`, if given) are recent for it alone.
        """
        return folders.take_recent(self._store, folder_id, until)

    # Reading
    @despite_full_disk
    def highest_modseq(self) -> int:
        """Return the account's newest MODSEQ: the cheap check for any change."""
        return reader.highest_modseq(self._store)

    @despite_full_disk
    def view(self, folder_id: int) -> FolderView:
        """Return the folder's current view, shared between the sessions of a process.

        Takes in new foreign files first.
        """
        return reader.view(self._store, folder_id, self._person)[1]

    @despite_full_disk
    def opened(self, name: str) -> tuple[int, FolderView]:
        """Return `highest_modseq` and, of the same instant, the `view` of a folder by name.

        Raises `NoSuchFolder`.
        """
        return reader.view(self._store, self.folder_id(name), self._person)

    @despite_full_disk
    def changes(self, folder_id: int, since_modseq: int) -> Changes:
        return reader.changes(self._store, folder_id, since_modseq, self._person)

    @despite_full_disk
    def folder_delta(self, folder_id: int, since_modseq: int, looked: int) -> FolderDelta:
        """Return `highest_modseq`; where it is not `looked` the `view` too, and its changes.

        The `changes` are given where the view is not as of `since_modseq`.
        """
        return reader.folder_delta(self._store, folder_id, since_modseq, looked, self._person)

    @despite_full_disk
    def rows(self, folder_id: int, uids: Iterable[int], columns: Sequence[Column]) -> list[tuple[Any, ...]]:
        """Return one tuple with exactly `columns` for each UID, ascending by UID.

        A UID is included if it exists or can still be read as a tombstone. `flags` and `modseq` are of the common state; `view`
        has those that the person sees.
        """
        return reader.rows(self._store, folder_id, uids, columns)

    @despite_full_disk
    def paths(self, folder_id: int, uids: Iterable[int]) -> dict[int, str]:
        """Return hints for `open_message`, for many messages at a time; some may be missing or wrong."""
        return reader.paths(self._store, folder_id, uids)

    def read_message(self, hint: str, size: int) -> bytes | None:
        """Return all octets of a message from the path that `paths` gave, or None: use `open_message`.

        None where the file is not there or does not have `size` octets.
        """
        return reader.read_message(hint, size)

    @despite_full_disk
    def open_message(self, folder_id: int, uid: int, hint: str | None = None) -> MessageFile:
        """Return the message, also an expunged one while it is retained; else `NoSuchMessage`."""
        return reader.open_message(self._store, folder_id, uid, hint)

    def look_up_text(self, folder_id: int, uids: Sequence[int], wanted: Sequence[int], test: TextTest) -> LookedUp:
        """Return what `search.sqlite` knows of messages in a folder; reads no message.

        `wanted` are positions in the folder's list of UIDs. Pass the list that the sessions of a process share
        (`FolderView.uids`): results about it are cached.
        """
        return lookup.look_up(self._store, folder_id, uids, wanted, test)

    def orderings(self, folder_id: int, uids: Iterable[int]) -> list[Ordered]:
        """Return what SORT and THREAD compare, for each UID that can be read.

        Makes and stores what is missing, so pass slices.
        """
        return orderings(self._store, folder_id, uids)

    def indexed_orderings(self, folder_id: int, uids: Iterable[int]) -> list[Ordered]:
        """Return the `orderings` that `search.sqlite` has ready; 3 us each."""
        return sort_values.indexed(self._store, folder_id, uids)

    def find_text(self, folder_id: int, uids: Iterable[int], tests: Sequence[TextTest]) -> list[tuple[int, tuple[bool, ...]]]:
        """Return, for each UID that can be read, which of the tests it passes.

        Reads whole messages, so pass slices. The text read for BODY or TEXT is left in `search.sqlite`, if that is free.
        """
        return scan.find_text(self._store, folder_id, uids, tests)

    def index_text(self, visited: Visited, go_on: Callable[[], bool] = lambda: True) -> int:
        """Bring `search.sqlite` up to date if the index was written since the last visit.

        Return how many messages were added. For the indexer: takes no lock of the account and opens nothing of it for writing.
        `go_on` is called before each batch. On `Unavailable` or `DiskFull` the caller tries again later.
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
        """Return these holders' entries of a folder or (None) of the account, by name; "": everybody's."""
        return metadata.annotations(self._store, folder_id, holders)

    def annotations_of_folders(self, holders: Collection[str]) -> dict[int, list[Annotation]]:
        """Return these holders' entries of every folder that has any, by `folder_id`."""
        return metadata.annotations_of_folders(self._store, holders)

    def annotate(
        self, folder_id: int | None, changes: Sequence[tuple[str, str, bytes | None]], uses: Sequence[str | None] = ()
    ) -> None:
        """Set (holder, name, value), where None removes, and the folder's special use if given.

        All or none. Raises `AnnotationTooLong`, `TooManyAnnotations`, `UseNotAllowed`.
        """
        despite_loss(self._store, lambda: metadata.annotate(self._store, folder_id, changes, uses))

    def annotations_changed(
        self, since_modseq: int, holders: Collection[str], own: Collection[int] = (), *, until: int | None = None
    ) -> list[tuple[str, str]]:
        """Return (folder, entry) of what was set or removed after a MODSEQ, and not after `until`.

        The folder "" is the account.
        """
        return metadata.changed_since(self._store, since_modseq, holders, own, until=until)

    # Writing
    def stage(self) -> Staged:
        """Open a staging file for a new message; needs no lock."""
        return staging.stage(self._store)

    def stage_link(self, source: Path) -> Staged:
        """Stage the durable file `source` (a spool entry) by hard link, or by copy where linking fails."""
        return staging.stage_link(self._store, str(source))

    def is_delivered(self, source: Path) -> bool:
        """Return whether `source` is a message here already.

        Asked for a spool entry whose deliveries a lost index may have forgotten.
        """
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
        """Make deliveries visible, all or none, in order; durable on return.

        Raises `OverQuota` above `limit_octets`, and `Busy` where another writer holds the account for longer than `patience`
        seconds. `journaled`: the caller is inside `MailStore.journal_holding`. `claim`: the messages are \\Recent for the
        caller (`take_recent`). `tell`: set `Published.made`.
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
        """Return whether messages of so many octets should be published unfinished.

        They are whole in memory then, as `Delivery.octets`.
        """
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
        """STORE: `flags` are system bits, `keywords` names. New keywords take the next free bits.

        Bits outside `allowed` stay as they are.
        """
        return store_flags(
            self._store, folder_id, uids, operation, flags,
            keywords=keywords, unchanged_since=unchanged_since, allowed=allowed, person=self._person,
        )  # fmt: skip

    @despite_full_disk
    def expunge(self, folder_id: int, uids: Iterable[int] | None = None) -> ExpungeResult:
        """EXPUNGE: remove every message with \\Deleted, only among `uids` if given (UID EXPUNGE)."""
        return despite_loss(self._store, lambda: expunge.expunge(self._store, folder_id, uids, self._remember))

    def _remember(self, graves: Sequence[TombstoneRow]) -> bool:
        journal = self._mailstore.journal
        if not journal.takes(GRAVE_OCTETS * len(graves)):
            return False
        return journal.remembers([ExpungedFrame(self.ref.home, each.mailbox_id, each.name, each.buried) for each in graves])

    @despite_full_disk
    def remove(self, folder_id: int, uids: Iterable[int]) -> ExpungeResult:
        """Expunge messages whatever their flags (POP3, retention, webmail)."""
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
        """Copy the messages that exist; with `every`, all or `NoSuchMessage`.

        Only `allowed` flags are copied.
        """
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
        """Stage these messages in the account `to`, which publishes them (cross_account.py).

        For COPY and MOVE between accounts.
        """
        target = self._mailstore.store(to)
        return despite_loss(
            self._store,
            lambda: stage_copies(self._store, target, folder_id, uids, every=every, allowed=allowed, person=self._person),
        )

    def exchange(
        self, folder_id: int, uid: int, target_id: int, delivery: Delivery, *, limit_octets: int | None = None
    ) -> Published:
        """REPLACE: publish a finished delivery and expunge a message, both or neither.

        Raises `NoSuchMessage` if that message is gone.
        """
        return despite_loss(
            self._store,
            lambda: replace.exchange(
                self._store, folder_id, uid, target_id, delivery, limit_octets=limit_octets, person=self._person
            ),
        )

    # Readers
    def seen_is_each(self) -> bool:
        """Return whether each person who reads here has their own \\Seen."""
        return seen.is_each(self._store)

    def keep_seen(self, *, each: bool, persons: Collection[str] = ()) -> bool:
        """Give each reader their own \\Seen, or all one again; False if it was so already.

        `persons` have their own from now on, others from their first access on.
        """
        return seen.switch(self._store, each=each, persons=persons)

    def forget_reader(self, person: str) -> None:
        """Forget a reader's \\Seen. At the next access the reader starts anew from the common state."""
        seen.forget(self._store, person)

    def forget_readers_but(self, persons: Collection[str]) -> list[str]:
        """Forget all readers except `persons`; return the addresses of those forgotten."""
        return seen.forget_all_but(self._store, persons)

    # Retention and maintenance
    @despite_full_disk
    def quota(self) -> Quota:
        return quota.quota(self._store)

    def quota_at_rest(self) -> Quota:
        """Return the quota without creating a store, and opening one only where needed.

        For a pass over thousands of accounts.
        """
        return quota.quota_at_rest(self._store)

    def recount(self) -> Quota:
        """Recount from the rows and correct the counters."""
        return quota.recount(self._store)

    @despite_full_disk
    def flush_names(self, folder_id: int | None = None) -> int:
        """Rename files whose names lag behind their flags; return how many."""
        return flush_names(self._store, folder_id)

    @despite_full_disk
    def sweep(self, *, keep: bool = False, trusted: bool = True) -> None:
        """Remove what is past retention, unless `keep` or a hold forbids it; flush names, checkpoint.

        The housekeeper calls it. Unless the clock is `trusted`, nothing counts as past retention.
        """
        sweep.sweep(self._store, keep=keep, trusted=trusted)

    def is_held(self) -> bool:
        """Return whether nothing here may be destroyed (legal_hold.py)."""
        return legal_hold.is_held(self._store)

    def has_hold_mark(self) -> bool:
        """Return whether `keep_everything` is the reason that nothing may be destroyed."""
        return legal_hold.is_on(self._store, Mark.HOLD)

    def keep_everything(self, record: Callable[[], T]) -> T:
        """Forbid all destruction from now on; `record` records that, under the account's lock."""
        return legal_hold.put_on(self._store, Mark.HOLD, record)

    def let_go(self, record: Callable[[], tuple[T, bool]]) -> T:
        """Lift `keep_everything`; return the first value of `record`.

        The mark stays where the second value of `record` says that something is still to be retained.
        """
        return legal_hold.take_off(self._store, Mark.HOLD, record)

    def is_frozen(self) -> bool:
        """Return whether nothing may be expunged, moved, renamed or deleted here (legal_hold.py)."""
        return legal_hold.is_on(self._store, Mark.FROZEN)

    def must_not_be_frozen(self) -> None:
        """Raise `Frozen` if the mailbox is frozen, before work that ends in a removal.

        The removal itself checks again.
        """
        legal_hold.must_not_be_frozen(self._store)

    def freeze(self, record: Callable[[], T]) -> T:
        """Freeze the mailbox from now on; `record` records that, under the account's lock."""
        return legal_hold.put_on(self._store, Mark.FROZEN, record)

    def thaw(self, record: Callable[[], tuple[T, bool]]) -> T:
        """Lift `freeze`, as `let_go` lifts `keep_everything`."""
        return legal_hold.take_off(self._store, Mark.FROZEN, record)

    @despite_full_disk
    def checkpoint(self) -> None:
        """Move the index's write-ahead log into the index."""
        sweep.checkpoint(self._store)

    def tombstones(self, folder_id: int | None = None) -> list[Tombstone]:
        return undelete.tombstones(self._store, folder_id)

    def message_outcomes(self, mailbox_id: str, uids: Iterable[int]) -> dict[int, MessageOutcome]:
        """Return what became of messages that left this folder, as far as the index knows."""
        return undelete.message_outcomes(self._store, mailbox_id, uids)

    def undelete(self, *, folder: str | None = None, since_us: int = 0, uids: Iterable[int] | None = None) -> int:
        """Restore expunged messages into their folders (under new UIDs); return how many."""
        return undelete.undelete(self._store, folder=folder, since_us=since_us, uids=uids)

    def rescan(self, *, tell: TellFinding | None = None) -> RepairReport:
        """Compare every folder with its files and take in what other tools did.

        `tell` gets each finding as it is found.
        """
        return repair.rescan(self._store, tell)

    def repair(self, *, check: bool = False, tell: TellFinding | None = None) -> RepairReport:
        """Compare index, names and sidecars; put right what differs unless `check`.

        A lost index was rebuilt at opening.
        """
        return repair.repair(self._store, check=check, tell=tell)

    def backup(self, target: Path, *, earlier: Path | None = None, progress: copies.Progress = lambda done, of: None) -> None:
        """Write everything into the new folder `target`, during normal use.

        Files that `earlier` has are linked from there.
        """
        copies.backup(self._store, target, progress, earlier)

    def restore(
        self,
        source: Path,
        *,
        replace: bool = False,
        progress: copies.Progress = lambda done, of: None,
        ready: copies.Ready = lambda aside: None,
    ) -> RepairReport:
        """Put the backup `source` in place of the store; return the report of the restored store.

        The old store stays as `<home>.replaced-<instant>`. A store that holds mail is replaced only with `replace`.
        """
        copies.restore(self._store, source, replace=replace, progress=progress, ready=ready)
        return self.repair()

    def has_more_than(self, source: Path) -> bool:
        """Return whether a message is here that the backup `source` does not have."""
        return copies.has_more(self._store, source)

    def has_all_of(self, source: Path) -> bool:
        """Return whether every message of the backup `source` is here, even if the backup is damaged."""
        return copies.has_all(self._store, source)

    def free(self, still: Callable[[], bool]) -> bool:
        """Delete everything, unless `still`, called under the lock, returns False. Repeatable.

        Return True if nothing is left.
        """
        return delete_account.free(self._store, still)
