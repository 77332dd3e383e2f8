"""All operations on one mailbox of the database, for the holder of its account from the `DatabaseMailStore`."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mic_mail.storage.account_rules import AccountRules, StoreProvider
from mic_mail.storage.changes import retention
from mic_mail.storage.changes.verify_rows import verify_rows
from mic_mail.storage.database_ground import indexing
from mic_mail.storage.database_ground.bodies import verify_bodies
from mic_mail.storage.database_ground.store import DatabaseStore
from mic_mail.storage.delivery import StagedContent
from mic_mail.storage.errors import NotInDatabase, of_os_error
from mic_mail.storage.index.rows import read_account
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.types import AccountRef, Progress, Quota, Ready, RepairReport, SweptState, TellFinding


class DatabaseStoreProvider(StoreProvider, Protocol):
    """The part of the `DatabaseMailStore` that an account needs."""

    def store(self, ref: AccountRef) -> DatabaseStore:
        """Return the account's store."""
        ...


class DatabaseAccount(AccountRules):
    """All operations on one mailbox."""

    __slots__ = ()
    _mailstore: DatabaseStoreProvider

    @property
    def _store(self) -> DatabaseStore:
        return self._mailstore.store(self.ref)

    # Reading

    def read_message(self, hint: str, size: int) -> bytes | None:
        """Return None: no hint leads to a message here; `open_message` follows."""
        return None

    def index_text(self, visited: Visited, go_on: Callable[[], bool] = lambda: True) -> int:
        return indexing.index_text(self._store, visited, go_on)

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

    # Retention

    def quota_at_rest(self) -> Quota:
        """Return the quota without making an account."""
        with self._store.shared.database.reading() as connection:
            row = read_account(connection, self.ref.account_id)
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
        raise NotInDatabase("backup")

    def has_more_than(self, source: Path) -> bool:
        raise NotInDatabase("comparison with a backup")

    def has_all_of(self, source: Path) -> bool:
        raise NotInDatabase("comparison with a backup")

    def free(self, still: Callable[[], bool]) -> bool:
        raise NotInDatabase("freeing")

    def restore(
        self,
        source: Path,
        *,
        replace: bool = False,
        progress: Progress = lambda done, of: None,
        ready: Ready = lambda aside: None,
    ) -> RepairReport:
        raise NotInDatabase("restoring")
