"""All operations on one mailbox of the database, for the holder of its account from the `DatabaseMailStore`."""

import contextlib
import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from mic_mail.storage.account_rules import AccountRules, StoreProvider
from mic_mail.storage.changes import legal_hold, retention
from mic_mail.storage.changes.legal_hold import Mark
from mic_mail.storage.changes.verify_rows import verify_rows
from mic_mail.storage.database_ground import generations, indexing
from mic_mail.storage.database_ground.backup import backup, has_all, has_more
from mic_mail.storage.database_ground.bodies import verify_bodies
from mic_mail.storage.database_ground.delete_account import drop_replaced, is_left, remove_freed, set_aside
from mic_mail.storage.database_ground.generations import State
from mic_mail.storage.database_ground.restore import restore
from mic_mail.storage.database_ground.store import DatabaseResources, DatabaseStore
from mic_mail.storage.delivery import StagedContent
from mic_mail.storage.errors import NothingSetAside, of_os_error
from mic_mail.storage.index.open_folders import OpenFolder
from mic_mail.storage.index.rows import read_account
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.types import AccountRef, Progress, Quota, Ready, RepairReport, SweptState, TellFinding


class DatabaseStoreProvider(StoreProvider, Protocol):
    """The part of the `DatabaseMailStore` that an account needs."""

    @property
    def resources(self) -> DatabaseResources:
        """Return the resources that accounts share."""
        ...

    def store(self, ref: AccountRef) -> DatabaseStore:
        """Return the account's store."""
        ...

    def find(self, ref: AccountRef) -> DatabaseStore | None:
        """Return the same, or None where the account was not made."""
        ...

    def enter(self, account_id: int, folder_id: int, *, claims: bool) -> OpenFolder:
        """Register a session with a folder open."""
        ...

    def forget(self, ref: AccountRef) -> None:
        """Ask anew which generation is current."""
        ...


class DatabaseAccount(AccountRules):
    """All operations on one mailbox."""

    __slots__ = ()
    _mailstore: DatabaseStoreProvider

    @property
    def _store(self) -> DatabaseStore:
        return self._mailstore.store(self.ref)

    def enter(self, folder_id: int, *, claims: bool) -> OpenFolder:
        return self._mailstore.enter(self.ref.account_id, folder_id, claims=claims)

    # Reading

    def read_message(self, hint: str, size: int) -> bytes | None:
        """Return None: no hint leads to a message here; `open_message` follows."""
        return None

    def index_text(self, visited: Visited, go_on: Callable[[], bool] = lambda: True) -> int:
        store = self._mailstore.find(self.ref)
        return 0 if store is None else indexing.index_text(store, visited, go_on)

    # Writing

    def stage_link(self, source: str | Path, *, durable: bool = True) -> StagedContent:
        """Stage a copy, which the change that publishes it makes durable."""
        staged = self.stage()
        try:
            with open(source, "rb", buffering=0) as file:
                staged.append_rest(file.fileno(), 0)
            staged.finish()
        except OSError as error:
            staged.discard()
            raise of_os_error("staging", error) from error
        return staged

    def is_delivered(self, source: str | Path) -> bool:
        """Return False: the rows that know what was delivered are never behind the messages."""
        return False

    # Marks, of which an account that was not made has none

    def is_held(self) -> bool:
        return self._has(legal_hold.is_held)

    def has_hold_mark(self) -> bool:
        return self._has(partial(legal_hold.is_on, mark=Mark.HOLD))

    def is_frozen(self) -> bool:
        return self._has(partial(legal_hold.is_on, mark=Mark.FROZEN))

    def _has(self, is_marked: Callable[[DatabaseStore], bool]) -> bool:
        store = self._mailstore.find(self.ref)
        return store is not None and is_marked(store)

    # Retention

    def quota_at_rest(self) -> Quota:
        """Return the quota without making an account."""
        store = self._mailstore.find(self.ref)
        if store is None:
            return Quota(0, 0)
        with store.reading() as connection:
            row = read_account(connection, store.account_id)
        return Quota(row.octets, row.messages) if row is not None else Quota(0, 0)

    def sweep(self, *, keep: bool = False, trusted: bool = True) -> SweptState:
        """Remove what is past retention; another sweep always follows, since the change mark is unknown."""
        store = self._store
        if trusted and retention.due_us(store) < (now_us := store.clock.steady_us()):
            for _ in retention.let_go(store, now_us, keep=keep):
                pass  # nothing of a folder is left but its rows
            indexing.drop_soon(store)
        return SweptState(0, 0)

    # Maintenance

    def rescan(self, *, tell: TellFinding | None = None) -> RepairReport:
        """Return what is here: no other tool changes anything."""
        with self._store.writing() as write:
            return RepairReport([], write.count_folders(), write.account.messages, write.account.octets)

    def repair(self, *, check: bool = False, tell: TellFinding | None = None) -> RepairReport:
        """Compare rows with each other; put right what differs unless `check`."""
        with self._store.writing() as write:
            findings = [*verify_rows(write, check=check), *verify_bodies(write)]
            report = RepairReport(findings, write.count_folders(), write.account.messages, write.account.octets)
        if tell is not None:
            for finding in findings:
                tell(finding)
        return report

    def backup(self, target: Path, *, earlier: Path | None = None, progress: Progress = lambda done, of: None) -> None:
        backup(self._store, target, earlier=earlier, progress=progress)

    def has_more_than(self, source: Path) -> bool:
        return has_more(self._store, source)

    def has_all_of(self, source: Path) -> bool:
        return has_all(self._store, source)

    def set_aside(self) -> list[str]:
        return [name for name, _ in self._replaced()]

    def copy_set_aside(self, name: str, target: Path) -> None:
        backup(DatabaseStore(self._number_of(name), self.ref.account_id, self._mailstore.resources), target, is_replaced=True)

    def drop_set_aside(self, name: str, must_be_allowed: Callable[[], None]) -> None:
        number, store, database = self._number_of(name), self._mailstore.find(self.ref), self._mailstore.resources.database
        with store.marking("deleting what was set aside") if store is not None else contextlib.nullcontext():
            must_be_allowed()
            drop_replaced(database, number, self._mailstore.resources.clock.steady_us())
        generations.remove(database, number)

    def _replaced(self) -> list[tuple[str, int]]:
        with self._mailstore.resources.database.reading() as connection:
            found = generations.in_state(connection, self.ref.account_id, State.REPLACED)
        return [(generations.name_of_replaced(self.ref.home, since_us), number) for number, since_us in found]

    def _number_of(self, name: str) -> int:
        for each, number in self._replaced():
            if each == name:
                return number
        raise NothingSetAside(name)

    @property
    def exists(self) -> bool:
        return self._mailstore.find(self.ref) is not None

    @property
    def is_left(self) -> bool:
        return is_left(self._mailstore.resources.database, self.ref.account_id)

    def free(self, still: Callable[[], bool]) -> bool:
        store = self._mailstore.find(self.ref)
        if store is not None:
            if not set_aside(store, still):
                return False
            self._mailstore.forget(self.ref)
        remove_freed(self._mailstore.resources.database, self.ref.account_id)
        return True

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
        current, resources = self._mailstore.find(self.ref), self._mailstore.resources
        how = {"replace": replace, "moved": moved, "failover": failover}
        findings, modseq = restore(current, resources, self.ref, source, **how, progress=progress, ready=ready)
        self._mailstore.forget(self.ref)
        resources.texts_due.changed(self.ref.account_id, modseq)
        resources.on_change(self.ref.account_id, modseq)
        report = self.repair()
        return dataclasses.replace(report, findings=[*findings, *report.findings])
