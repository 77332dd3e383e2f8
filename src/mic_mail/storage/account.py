"""All operations on one mailbox of this machine, for the holder of its `Account` from the `MailStore`.

What is the same on every ground is in `AccountRules`; this adds the journal, the search file, and all that maintains files. A
change is durable when the call returns: files, UIDs and folders through a power loss, flags through a crash (for the UIDs of
messages in batches see journal.py and decision 0014).

Most methods are functions of `changes`, `reads`, `search`, `maintenance` and `backup` over the account's `LocalStore`; they are
documented there.
"""

import contextlib
import functools
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from mic_mail.storage.account_rules import AccountRules, StoreProvider, despite_full_disk
from mic_mail.storage.backup import backup as _backup
from mic_mail.storage.backup.delete_account import free, is_left
from mic_mail.storage.backup.files import copy_tree
from mic_mail.storage.changes import seen, staging
from mic_mail.storage.changes.delivered_file import is_delivered
from mic_mail.storage.changes.flags_in_names import flush_names
from mic_mail.storage.changes.seen_sidecars import write_out
from mic_mail.storage.changes.staging import StagedFile
from mic_mail.storage.durable_by_journal import FileNames
from mic_mail.storage.errors import NothingSetAside, Unavailable
from mic_mail.storage.index.connection import translated
from mic_mail.storage.journal.frames import ExpungedFrame, Journaled, MessageLocation
from mic_mail.storage.journal.journal import TOMBSTONE_OCTETS, Journal, RevokeFrame
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.swap_store import replaced_beside
from mic_mail.storage.maintenance import repair as _repair
from mic_mail.storage.maintenance import sweep as _sweep
from mic_mail.storage.message_names import parse_name
from mic_mail.storage.reads.open_message import MessageFile, open_message, read_message
from mic_mail.storage.reads.quota_at_rest import quota_at_rest
from mic_mail.storage.search import local_indexing
from mic_mail.storage.types import AccountRef, Progress, Ready, RepairReport, SweptState

T = TypeVar("T")
P = ParamSpec("P")


def _operation(function: Callable[Concatenate[LocalStore, P], T]) -> Callable[Concatenate["Account", P], T]:
    """Make a method of a function over the account's store."""

    @functools.wraps(function)
    def method(account: "Account", /, *args: P.args, **named: P.kwargs) -> T:
        return function(account._store, *args, **named)

    return method


class LocalStoreProvider(StoreProvider, Protocol):
    """The part of the `MailStore` that an account needs."""

    @property
    def journal(self) -> Journal: ...

    def store(self, ref: AccountRef) -> LocalStore:
        """Return the account's store; do not hold it beyond a call, since it may be closed."""
        ...


class Account(AccountRules):
    """All operations on one mailbox."""

    __slots__ = ()
    _mailstore: LocalStoreProvider

    @property
    def _store(self) -> LocalStore:
        return self._mailstore.store(self.ref)

    # Reading
    read_message = staticmethod(read_message)

    @despite_full_disk
    def open_message(self, folder_id: int, uid: int, hint: str | None = None) -> MessageFile:
        """Return an open file of a message (open_message.py)."""
        return open_message(self._store, folder_id, uid, hint)

    index_text = _operation(local_indexing.index_text)

    # Writing
    def stage(self) -> StagedFile:
        """Open a staging file for a new message; needs no lock."""
        return staging.stage(self._store)

    stage_link = _operation(staging.stage_link)
    is_delivered = _operation(is_delivered)

    def _hold(
        self, messages: Sequence[tuple[MessageLocation, bytes]], meanwhile: Callable[[], None]
    ) -> contextlib.AbstractContextManager[RevokeFrame | None]:
        arrivals = [Journaled.at_location(self.ref.home, location, octets) for location, octets in messages]
        return self._mailstore.journal.holding(arrivals, meanwhile)

    def journal_takes(self, octets: int) -> bool:
        """Return whether messages of `octets` in all should be published unfinished, as `Delivery.octets`."""
        return self._mailstore.journal.takes(octets)

    def _remember(self, mailbox_id: str, names: Sequence[FileNames]) -> bool:
        journal = self._mailstore.journal
        if not journal.takes(TOMBSTONE_OCTETS * len(names)):
            return False
        if not all(parse_name(name).uid for name, _ in names):
            return False  # another message may come under the name of one without a UID in it
        home = self.ref.home
        return journal.remembers([ExpungedFrame(home, mailbox_id, name, expunged_as) for name, expunged_as in names])

    # Readers
    def keep_seen(self, *, each: bool, persons: Collection[str] = ()) -> bool:
        """Give each reader, `persons` from now on, an own \\Seen, or all one; False if it was so already."""
        store = self._store
        is_changed = seen.switch(store, each=each, persons=persons)
        if is_changed:
            with contextlib.suppress(Unavailable):  # sidecars stay pending
                write_out(store)
        return is_changed

    # Retention
    quota_at_rest = _operation(quota_at_rest)

    # Maintenance
    flush_names = despite_full_disk(_operation(flush_names))

    @despite_full_disk
    def sweep(self, *, keep: bool = False, trusted: bool = True) -> SweptState:
        return _sweep.sweep(self._store, keep=keep, trusted=trusted)

    checkpoint = despite_full_disk(_operation(_sweep.checkpoint))
    rescan = _operation(_repair.rescan)
    repair = _operation(_repair.repair)
    backup = _operation(_backup.backup)
    has_more_than = _operation(_backup.has_more)
    has_all_of = _operation(_backup.has_all)
    free = _operation(free)

    def set_aside(self) -> list[str]:
        home = self._store.paths.home
        return [self.ref.home + path.removeprefix(home) for path in replaced_beside(home)]

    def copy_set_aside(self, name: str, target: Path) -> None:
        with translated("copying"):
            copy_tree(Path(self._path_of(name)), target)

    def drop_set_aside(self, name: str, must_be_allowed: Callable[[], None]) -> None:
        path = self._path_of(name)
        with self._store.marking("deleting what was set aside") if self._store.exists else contextlib.nullcontext():
            must_be_allowed()
        with translated("deleting what was set aside"):
            shutil.rmtree(path)

    def _path_of(self, name: str) -> str:
        if name not in self.set_aside():
            raise NothingSetAside(name)
        return self._store.paths.home + name.removeprefix(self.ref.home)

    @property
    def exists(self) -> bool:
        return self._store.exists

    @property
    def is_left(self) -> bool:
        return is_left(self._store.paths.home)

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
        store = self._store

        def named(path: str) -> None:
            ready(self.ref.home + path.removeprefix(store.paths.home))

        _backup.restore(store, source, replace=replace, moved=moved, failover=failover, progress=progress, ready=named)
        return self.repair()
