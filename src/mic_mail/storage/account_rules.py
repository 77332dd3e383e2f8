"""The operations on one mailbox that are the same on every ground, for the holder of its account.

All calls block and may come from any thread. Writers wait for the account's lock, at most `StorageSettings.lock_seconds`, then
raise `Unavailable`. A change is durable when the call returns. Folder names are checked and brought to NFC; everything after
`folder(name)` goes by `folder_id`.

Most methods are functions of `changes`, `reads` and `search` over the account's `Store`; they are documented there.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, Self, TypeVar

from mic_mail.storage.changes import copy_move, legal_hold, metadata, publish, seen
from mic_mail.storage.changes import expunge as _expunge
from mic_mail.storage.changes import folders as _folders
from mic_mail.storage.changes import quota as _quota
from mic_mail.storage.changes import undelete as _undelete
from mic_mail.storage.changes.flags import store_flags
from mic_mail.storage.changes.legal_hold import Mark
from mic_mail.storage.changes.replace import exchange
from mic_mail.storage.delivery import Delivery, StagedContent
from mic_mail.storage.durable_by_journal import FileNames, unheld
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.index.open_folders import OpenFolder
from mic_mail.storage.journal.frames import MessageLocation
from mic_mail.storage.journal.journal import RevokeFrame
from mic_mail.storage.reads import message_rows, reader
from mic_mail.storage.reads.cross_account import StagedCopy, stage_copies
from mic_mail.storage.reads.folder_changes import folder_changes
from mic_mail.storage.reads.sort_keys import orderings
from mic_mail.storage.search import lookup, scan, sort_values
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.store import OpenMessage, Store
from mic_mail.storage.types import (
    ALL_FLAGS,
    AccountRef,
    ExpungeResult,
    FolderInfo,
    FolderView,
    Progress,
    Published,
    Quota,
    Ready,
    RepairReport,
    SweptState,
    TellFinding,
)

T = TypeVar("T")
P = ParamSpec("P")
A = TypeVar("A", bound="AccountRules")


def _operation(function: Callable[Concatenate[Store, P], T]) -> Callable[Concatenate["AccountRules", P], T]:
    """Make a method of a function over the account's store."""

    @functools.wraps(function)
    def method(account: "AccountRules", /, *args: P.args, **named: P.kwargs) -> T:
        return function(account._store, *args, **named)

    return method


def _by_person(function: Callable[Concatenate[Store, str | None, P], T]) -> Callable[Concatenate["AccountRules", P], T]:
    """Make a method of a function over the account's store and the person who uses it."""

    @functools.wraps(function)
    def method(account: "AccountRules", /, *args: P.args, **named: P.kwargs) -> T:
        return function(account._store, account._person, *args, **named)

    return method


def despite_loss(method: Callable[Concatenate[A, P], T]) -> Callable[Concatenate[A, P], T]:
    """Retry a method where another tool removes a directory or renames a file (external_changes.py)."""

    @functools.wraps(method)
    def retried(account: A, /, *args: P.args, **named: P.kwargs) -> T:
        return account._store.despite_loss(lambda: method(account, *args, **named))

    return retried


def despite_full_disk(method: Callable[Concatenate[A, P], T]) -> Callable[Concatenate[A, P], T]:
    """Let a method give up the reserve where it finds no space, and run it again (reserve.py); as after `AccountGone`.

    For methods that remove mail or change its flags, and for queries that a session needs before it can do so. A method that
    fails must leave nothing behind.
    """

    @functools.wraps(method)
    def twice(account: A, /, *args: P.args, **named: P.kwargs) -> T:
        try:
            return method(account, *args, **named)
        except Unavailable as error:
            if not account._store.recovers_from(error):
                raise
        return method(account, *args, **named)

    return twice


class StoreProvider(Protocol):
    """The part of a store of many accounts that an account needs."""

    def store(self, ref: AccountRef) -> Store:
        """Return the account's store; do not hold it beyond a call, since it may be closed."""
        ...

    def recording_modseqs(self) -> AbstractContextManager[list[tuple[int, int]]]:
        """Record what this thread changes in the block, as (account, MODSEQ)."""
        ...


class AccountRules(ABC):
    """The operations on one mailbox; the rules are the same whatever lies under them."""

    __slots__ = ("_mailstore", "_person", "ref")
    _mailstore: StoreProvider

    def __init__(self, mailstore: StoreProvider, ref: AccountRef, person: str | None = None) -> None:
        self._mailstore = mailstore
        self._person = person
        self.ref = ref

    @property
    def _store(self) -> Store:
        return self._mailstore.store(self.ref)

    def change_mark(self) -> int:
        """Return a number that changes with each change here, 0 if it is unknown. Read it before the data."""
        return self._store.change_mark()

    def recording_modseqs(self, act: Callable[[Self], T]) -> tuple[T, list[int]]:
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
    rename = despite_loss(_operation(_folders.rename))
    delete = despite_full_disk(despite_loss(_operation(_folders.delete)))
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

    @despite_full_disk
    def open_message(self, folder_id: int, uid: int, hint: str | None = None) -> OpenMessage:
        """Open a message, as `Store.open_message`."""
        return self._store.open_message(folder_id, uid, hint)

    orderings = _operation(orderings)
    indexed_orderings = _operation(sort_values.indexed)
    find_text = _operation(scan.find_text)
    look_up_text = _operation(lookup.look_up)

    # Annotations (RFC 5464)
    annotations = _operation(metadata.annotations)
    annotations_of_folders = _operation(metadata.annotations_of_folders)
    annotate = despite_loss(_operation(metadata.annotate))
    annotations_changed = _operation(metadata.changed_since)

    # Writing
    def stage(self) -> StagedContent:
        """Begin a new message; needs no lock."""
        return self._store.stage()

    @despite_loss
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
    ) -> AbstractContextManager[RevokeFrame | None]:
        """Make unfinished messages durable while they are published."""
        return unheld(messages, meanwhile)

    def journal_takes(self, octets: int) -> bool:
        """Return whether messages of `octets` in all should be published unfinished, as `Delivery.octets`."""
        return False

    store_flags = despite_full_disk(_by_person(store_flags))

    @despite_full_disk
    @despite_loss
    def expunge(self, folder_id: int, uids: Iterable[int] | None = None) -> ExpungeResult:
        """EXPUNGE: remove every message with \\Deleted, only among `uids` if given (UID EXPUNGE)."""
        return _expunge.expunge(self._store, folder_id, uids, self._remember)

    def _remember(self, mailbox_id: str, names: Sequence[FileNames]) -> bool:
        """Make the moves of expunged messages durable in another way than by their folders; False: it cannot."""
        return False

    remove = despite_full_disk(despite_loss(_operation(_expunge.remove)))
    copy = despite_loss(_by_person(copy_move.copy))
    move = despite_full_disk(despite_loss(_by_person(copy_move.move)))
    exchange = despite_loss(_by_person(exchange))

    @despite_loss
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
        return seen.switch(self._store, each=each, persons=persons)

    forget_reader = _operation(seen.forget)
    forget_readers_but = _operation(seen.forget_all_but)

    # Retention
    quota = despite_full_disk(_operation(_quota.quota))
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

    # What each ground does in its own way

    @abstractmethod
    def read_message(self, hint: str, size: int) -> bytes | None:
        """Return a whole message by its hint; None where that leads to nothing, and `open_message` has to follow."""

    @abstractmethod
    def stage_link(self, source: str | Path, *, durable: bool = True) -> StagedContent:
        """Stage the file `source`, by a link where that is possible. Unless it is `durable`, `finish` has to follow."""

    @abstractmethod
    def is_delivered(self, source: str | Path) -> bool:
        """Return whether the file `source` of a spool lies in the mailbox already, where the index might not know that."""

    @abstractmethod
    def index_text(self, visited: Visited, go_on: Callable[[], bool] = lambda: True) -> int:
        """Bring the text index up to date if that is due; return how many messages were added.

        `go_on` is called before each batch. Raises `Busy` where another server is at it.
        """

    @abstractmethod
    def quota_at_rest(self) -> Quota:
        """Return the quota without making an account."""

    @abstractmethod
    def sweep(self, *, keep: bool = False, trusted: bool = True) -> SweptState:
        """Remove what is past retention; nothing without a `trusted` clock. What `keep` or a hold protects stays."""

    @abstractmethod
    def rescan(self, *, tell: TellFinding | None = None) -> RepairReport:
        """Take in what other tools have changed; `tell` gets each finding at once."""

    @abstractmethod
    def repair(self, *, check: bool = False, tell: TellFinding | None = None) -> RepairReport:
        """Compare index and messages; put right what differs unless `check`. `tell` gets each finding at once."""

    @abstractmethod
    def backup(self, target: Path, *, earlier: Path | None = None, progress: Progress = lambda done, of: None) -> None:
        """Write a backup into `target`, a folder that does not exist yet; what `earlier` has is linked from there."""

    @abstractmethod
    def has_more_than(self, source: Path) -> bool:
        """Return whether the account holds a message, by its EMAILID, that the backup `source` lacks."""

    @abstractmethod
    def has_all_of(self, source: Path) -> bool:
        """Return whether the account has each message of the backup `source`, by EMAILID."""

    @abstractmethod
    def set_aside(self) -> list[str]:
        """Return the names of what restores have replaced, oldest first (`Ready`)."""

    @abstractmethod
    def copy_set_aside(self, name: str, target: Path) -> None:
        """Copy what a restore has replaced into `target`, a folder that does not exist yet, with a Maildir in it."""

    @abstractmethod
    def drop_set_aside(self, name: str, must_be_allowed: Callable[[], None]) -> None:
        """Remove for good what a restore has replaced, unless `must_be_allowed`, called under the lock, raises."""

    @property
    @abstractmethod
    def exists(self) -> bool:
        """Return whether the account was made; asking does not make it."""

    @property
    @abstractmethod
    def is_left(self) -> bool:
        """Return whether anything of an account that is to be freed is still there."""

    @abstractmethod
    def free(self, still: Callable[[], bool]) -> bool:
        """Delete the account unless `still`, called under its lock, returns False; True if nothing is left."""

    @abstractmethod
    def restore(
        self,
        source: Path,
        *,
        replace: bool = False,
        moved: bool = False,
        failover: bool = False,
        progress: Progress = lambda done, of: None,
        ready: Ready = lambda aside: None,
    ) -> RepairReport:
        """Put the backup `source` in place of the account; return the report of the restored one.

        One that holds mail is replaced only with `replace`; what is replaced is set aside. Numbers rise above all that were
        given out since the backup, unless the mailbox has `moved`: then nothing has used it since, and all numbers stay. With
        `failover` its machine has failed since, and what it gave out last is not known: UIDVALIDITYs stay, and all numbers rise
        by more than it can have given out (`backup.format`).
        """
