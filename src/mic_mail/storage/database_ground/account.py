"""All operations on one mailbox of the database, for the holder of its account from the `DatabaseMailStore`."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from mic_mail.storage.account_rules import AccountRules, StoreProvider
from mic_mail.storage.changes import retention
from mic_mail.storage.changes.verify_rows import verify_rows
from mic_mail.storage.database_ground.bodies import verify_bodies
from mic_mail.storage.database_ground.store import DatabaseStore
from mic_mail.storage.index.rows import read_account
from mic_mail.storage.reads.sort_keys import Ordered
from mic_mail.storage.types import AccountRef, LookedUp, Quota, RepairReport, TextTest


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

    # Reading: text and sort keys are not kept beside the messages yet, so that each search reads them

    def read_message(self, hint: str, size: int) -> bytes | None:
        """Return None: no hint leads to a message here; `open_message` follows."""
        return None

    def look_up_text(self, folder_id: int, uids: Sequence[int], wanted: bytes, test: TextTest) -> LookedUp:
        return LookedUp.nothing(len(uids))

    def indexed_orderings(self, folder_id: int, uids: Iterable[int]) -> list[Ordered]:
        return []

    # Retention

    def quota_at_rest(self) -> Quota:
        """Return the quota without making an account."""
        with self._store.shared.database.reading() as connection:
            row = read_account(connection, self.ref.account_id)
        return Quota(row.octets, row.messages) if row is not None else Quota(0, 0)

    def sweep(self, *, keep: bool = False, trusted: bool = True) -> None:
        """Remove what is past retention; nothing without a `trusted` clock. What `keep` or a hold protects stays."""
        if trusted:
            for _ in retention.let_go(self._store, self._store.clock.steady_us(), keep=keep):
                pass  # nothing of a folder is left but its rows

    def repair(self, *, check: bool = False) -> RepairReport:
        """Compare rows with each other; put right what differs unless `check`."""
        with self._store.writing() as write:
            findings = [*verify_rows(write, check=check), *verify_bodies(write)]
            return RepairReport(findings, write.count_folders(), write.account.messages, write.account.octets)
