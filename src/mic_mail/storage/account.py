"""All operations on one mailbox, for the holder of its `Account` from the `MailStore`.

All calls block and may come from any thread. Writers wait for the account's lock, at most `StorageSettings.lock_seconds`, then
raise `Unavailable`. A change is durable when the call returns: files, UIDs and folders through a power loss, flags through a
crash (for the UIDs of messages in batches see journal.py and decision 0014). Folder names are checked and brought to NFC;
everything after `folder(name)` goes by `folder_id`.

Most methods are functions of `changes`, `reads`, `search`, `maintenance` and `backup` over the account's `Store`; they are
documented there.
"""

import contextlib
import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from mic_mail.storage.backup import backup as _backup
from mic_mail.storage.backup.delete_account import free
from mic_mail.storage.changes import copy_move, legal_hold, metadata, publish, seen, staging
from mic_mail.storage.changes import expunge as _expunge
from mic_mail.storage.changes import folders as _folders
from mic_mail.storage.changes import quota as _quota
from mic_mail.storage.changes import undelete as _undelete
from mic_mail.storage.changes.delivered_file import is_delivered
from mic_mail.storage.changes.flags import store_flags
from mic_mail.storage.changes.flags_in_names import flush_names
from mic_mail.storage.changes.legal_hold import Mark
from mic_mail.storage.changes.replace import exchange
from mic_mail.storage.changes.seen_sidecars import write_out
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.durable_by_journal import FileNames
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.index.open_folders import OpenFolder
from mic_mail.storage.journal.frames import ExpungedFrame, Journaled, MessageLocation
from mic_mail.storage.journal.journal import TOMBSTONE_OCTETS, Journal, RevokeFrame
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maintenance import repair as _repair
from mic_mail.storage.maintenance import sweep as _sweep
from mic_mail.storage.maintenance.external_changes import despite_loss
from mic_mail.storage.message_names import parse_name
from mic_mail.storage.reads import message_rows, reader
from mic_mail.storage.reads.cross_account import StagedCopy, stage_copies
from mic_mail.storage.reads.folder_changes import folder_changes
from mic_mail.storage.reads.open_message import open_message, read_message
from mic_mail.storage.reads.quota_at_rest import quota_at_rest
from mic_mail.storage.reads.sort_keys import orderings
from mic_mail.storage.search import indexer, lookup, scan, sort_values
from mic_mail.storage.types import ALL_FLAGS, AccountRef, ExpungeResult, FolderInfo, FolderView, Published, RepairReport

T = TypeVar("T")
P = ParamSpec("P")


def _operation(function: Callable[Concatenate[LocalStore, P], T]) -> Callable[Concatenate["Account", P], T]:
    """Make a method of a function over the account's store."""

    @functools.wraps(function)
    def method(account: "Account", /, *args: P.args, **named: P.kwargs) -> T:
        return function(account._store, *args, **named)

    return method


def _by_person(function: Callable[Concatenate[LocalStore, str | None, P], T]) -> Callable[Concatenate["Account", P], T]:
    """Make a method of a function over the account's store and the person who uses it."""

    @functools.wraps(function)
    def method(account: "Account", /, *args: P.args, **named: P.kwargs) -> T:
        return function(account._store, account._person, *args, **named)

    return method


def _despite_loss(method: Callable[Concatenate["Account", P], T]) -> Callable[Concatenate["Account", P], T]:
    """Retry a method where another tool removes a directory or renames a file (external_changes.py)."""

    @functools.wraps(method)
    def retried(account: "Account", /, *args: P.args, **named: P.kwargs) -> T:
        return despite_loss(account._store, lambda: method(account, *args, **named))

    return retried


def despite_full_disk(method: Callable[Concatenate["Account", P], T]) -> Callable[Concatenate["Account", P], T]:
    """Let a method give up the reserve where it finds no space, and run it again (reserve.py).

    For methods that remove mail or change its flags, and for queries that a session needs before it can do so. A method that
    fails must leave nothing behind.
    """

    @functools.wraps(method)
    def twice(account: "Account", /, *args: P.args, **named: P.kwargs) -> T:
        try:
            return method(account, *args, **named)
        except Unavailable as error:
            if not account._store.reserve.give_up_if_full(error):
                raise
        return method(account, *args, **named)

    return twice


class StoreProvider(Protocol):
    """The part of the `MailStore` that an account needs."""

    @property
    def journal(self) -> Journal: ...

    def store(self, ref: AccountRef) -> LocalStore:
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
    def _store(self) -> LocalStore:
        return self._mailstore.store(self.ref)

    def change_mark(self) -> int:
        """Return a number that changes with each change here, 0 if it is unknown. Read it before the data."""
        return self._store.shared.marks.read(self.ref.account_id)

    def recording_modseqs(self, act: Callable[["Account"], T]) -> tuple[T, list[int]]:
        """Run `act`; return its result and the MODSEQs that it took in this account."""
        with self._mailstore.recording_modseqs() as noted:
            result = act(self)
        return result, [modseq for account_id, modseq in noted if account_id == self.ref.account_id]

    # Folders
    def folders(self) -> list[FolderInfo]:
        """Return the folders of `listing`."""
        return self.listing()[0]

    listing = despite_full_disk(_by_person(_folders.list_folders))
    folder = despite_full_disk(_by_person(_folders.folder))
    folder_id = despite_full_disk(_operation(_folders.folder_id))
    folder_changes = despite_full_disk(_by_person(folder_changes))
    create = _operation(_folders.create)
    rename = _despite_loss(_operation(_folders.rename))
    delete = despite_full_disk(_despite_loss(_operation(_folders.delete)))
    subscribe = _operation(_folders.subscribe)
    subscriptions = _operation(_folders.subscriptions)
    take_recent = _operation(_folders.take_recent)

    def enter(self, folder_id: int, *, claims: bool) -> OpenFolder:
        """Register a session with the folder open, which holds the result; with `claims` \\Recent can be its."""
        return self._store.shared.presences.enter(self.ref.account_id, folder_id, claims=claims)

    # Reading
    highest_modseq = despite_full_disk(_operation(reader.highest_modseq))

    @despite_full_disk
    def view(self, folder_id: int) -> FolderView:
        """Return the folder's current view, shared between the sessions of a process."""
        return reader.view(self._store, self._person, folder_id)[1]

    opened = despite_full_disk(_by_person(reader.opened))
    changes = despite_full_disk(_by_person(reader.changes))
    folder_delta = despite_full_disk(_by_person(reader.folder_delta))
    rows = despite_full_disk(_operation(message_rows.rows))
    answer_rows = despite_full_disk(_operation(message_rows.answer_rows))
    paths = despite_full_disk(_operation(message_rows.paths))
    read_message = staticmethod(read_message)
    open_message = despite_full_disk(_operation(open_message))
    look_up_text = _operation(lookup.look_up)
    orderings = _operation(orderings)
    indexed_orderings = _operation(sort_values.indexed)
    find_text = _operation(scan.find_text)
    index_text = _operation(indexer.index_text)

    # Annotations (RFC 5464)
    annotations = _operation(metadata.annotations)
    annotations_of_folders = _operation(metadata.annotations_of_folders)
    annotate = _despite_loss(_operation(metadata.annotate))
    annotations_changed = _operation(metadata.changed_since)

    # Writing
    stage = _operation(staging.stage)
    stage_link = _operation(staging.stage_link)
    is_delivered = _operation(is_delivered)

    @_despite_loss
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
        name: str | None = None,
        unless_use: str | None = None,
    ) -> list[Published]:
        """Make deliveries visible, all or none, in order; durable on return.

        Raises `OverQuota` above `limit_octets`, and `Busy` where another writer holds the account for longer than `patience`
        seconds. `journaled`: the caller is inside `Journal.holding`. `claim`: the messages are \\Recent for the
        caller (`take_recent`). `tell`: set `Published.made`. `name`: the folder of this name is meant, which is
        probably `folder_id`; if it is another one, there is neither `claim` nor `tell`. `unless_use`: raise
        `SpecialUseRefused` where the folder has this special use.
        """
        return publish.publish(
            self._store, self._person, folder_id, deliveries,
            limit_octets=limit_octets, patience=patience, journaled=journaled, hold=self._hold, claim=claim, tell=tell,
            name=name, unless_use=unless_use,
        )  # fmt: skip

    def _hold(
        self, messages: Sequence[tuple[MessageLocation, bytes]], meanwhile: Callable[[], None]
    ) -> contextlib.AbstractContextManager[RevokeFrame | None]:
        arrivals = [Journaled.at_location(self.ref.home, location, octets) for location, octets in messages]
        return self._mailstore.journal.holding(arrivals, meanwhile)

    def journal_takes(self, octets: int) -> bool:
        """Return whether messages of `octets` in all should be published unfinished, as `Delivery.octets`."""
        return self._mailstore.journal.takes(octets)

    store_flags = despite_full_disk(_by_person(store_flags))

    @despite_full_disk
    @_despite_loss
    def expunge(self, folder_id: int, uids: Iterable[int] | None = None) -> ExpungeResult:
        """EXPUNGE: remove every message with \\Deleted, only among `uids` if given (UID EXPUNGE)."""
        return _expunge.expunge(self._store, folder_id, uids, self._remember)

    def _remember(self, mailbox_id: str, names: Sequence[FileNames]) -> bool:
        journal = self._mailstore.journal
        if not journal.takes(TOMBSTONE_OCTETS * len(names)):
            return False
        if not all(parse_name(name).uid for name, _ in names):
            return False  # another message may come under the name of one without a UID in it
        home = self.ref.home
        return journal.remembers([ExpungedFrame(home, mailbox_id, name, expunged_as) for name, expunged_as in names])

    remove = despite_full_disk(_despite_loss(_operation(_expunge.remove)))
    copy = _despite_loss(_by_person(copy_move.copy))
    move = despite_full_disk(_despite_loss(_by_person(copy_move.move)))
    exchange = _despite_loss(_by_person(exchange))

    @_despite_loss
    def stage_copies(
        self, to: AccountRef, folder_id: int, uids: Sequence[int], *, every: bool = False, allowed: int = ALL_FLAGS
    ) -> list[StagedCopy]:
        """Stage these messages in the account `to`, for COPY and MOVE between accounts.

        That account publishes them (cross_account.py).
        """
        target = self._mailstore.store(to)
        return stage_copies(self._store, self._person, target, folder_id, uids, every=every, allowed=allowed)

    # Readers
    seen_is_each = _operation(seen.is_each)

    def keep_seen(self, *, each: bool, persons: Collection[str] = ()) -> bool:
        """Give each reader, `persons` from now on, an own \\Seen, or all one; False if it was so already."""
        store = self._store
        is_changed = seen.switch(store, each=each, persons=persons)
        if is_changed:
            with contextlib.suppress(Unavailable):  # sidecars stay pending
                write_out(store)
        return is_changed

    forget_reader = _operation(seen.forget)
    forget_readers_but = _operation(seen.forget_all_but)

    # Retention
    quota = despite_full_disk(_operation(_quota.quota))
    quota_at_rest = _operation(quota_at_rest)
    tombstones = _operation(_undelete.tombstones)
    message_outcomes = _operation(_undelete.message_outcomes)
    undelete = _operation(_undelete.undelete)
    is_held = _operation(legal_hold.is_held)
    must_not_be_frozen = _operation(legal_hold.must_not_be_frozen)

    def has_hold_mark(self) -> bool:
        """Return whether `keep_everything` is the reason that nothing may be destroyed."""
        return legal_hold.is_on(self._store, Mark.HOLD)

    def keep_everything(self, record: Callable[[], T]) -> T:
        """Forbid all destruction from now on; `record` records that, under the account's lock."""
        return legal_hold.put_on(self._store, Mark.HOLD, record)

    def let_go(self, record: Callable[[], tuple[T, bool]]) -> T:
        """Lift `keep_everything` unless `record`'s second value is true; return its first value."""
        return legal_hold.take_off(self._store, Mark.HOLD, record)

    def is_frozen(self) -> bool:
        """Return whether nothing may be expunged, moved, renamed or deleted here (legal_hold.py)."""
        return legal_hold.is_on(self._store, Mark.FROZEN)

    def freeze(self, record: Callable[[], T]) -> T:
        """Freeze the mailbox from now on; `record` records that, under the account's lock."""
        return legal_hold.put_on(self._store, Mark.FROZEN, record)

    def thaw(self, record: Callable[[], tuple[T, bool]]) -> T:
        """Lift `freeze`, as `let_go` lifts `keep_everything`."""
        return legal_hold.take_off(self._store, Mark.FROZEN, record)

    # Maintenance
    flush_names = despite_full_disk(_operation(flush_names))
    sweep = despite_full_disk(_operation(_sweep.sweep))
    checkpoint = despite_full_disk(_operation(_sweep.checkpoint))
    rescan = _operation(_repair.rescan)
    repair = _operation(_repair.repair)
    backup = _operation(_backup.backup)
    has_more_than = _operation(_backup.has_more)
    has_all_of = _operation(_backup.has_all)
    free = _operation(free)

    def restore(
        self,
        source: Path,
        *,
        replace: bool = False,
        progress: _backup.Progress = lambda done, of: None,
        ready: _backup.Ready = lambda aside: None,
    ) -> RepairReport:
        """Put the backup `source` in place of the store; return the report of the restored store.

        The old store stays as `<home>.replaced-<instant>`. A store that holds mail is replaced only with `replace`.
        """
        _backup.restore(self._store, source, replace=replace, progress=progress, ready=ready)
        return self.repair()
