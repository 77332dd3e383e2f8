"""The store as the doors and services see it: `MailStore` gives accounts, an `Account` does everything to one mailbox.

All calls block and may come from any thread; writers wait for the account's lock, at most `StorageSettings.lock_seconds`, then
raise `Unavailable`. What returns is durable as DESIGN says: files, UIDs and folders through a power loss, flags through a crash.
`on_change(account_id, modseq)` is called after each durable change, in the thread that made it; it must not block.
Folder names are checked and brought to NFC here; everything after `folder(name)` goes by `folder_id`.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.storage.types import (
    AccountRef,
    Changes,
    Column,
    CopyResult,
    Delivery,
    ExpungeResult,
    FlagOperation,
    FolderInfo,
    FolderView,
    Published,
    Quota,
    RepairReport,
    Staged,
    StorageSettings,
    StoreResult,
    TextTest,
    Tombstone,
)

OnChange = Callable[[int, int], None]


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
        raise NotImplementedError

    def account(self, ref: AccountRef) -> "Account":
        """The account's handle: cheap, touches no disk until it is used; the store is made at first use."""
        raise NotImplementedError

    def close(self) -> None:
        """Write pending names, checkpoint and close every index."""
        raise NotImplementedError


class MessageFile:
    """An open message: stays readable whatever happens to its name. Use as a context manager or `close` it."""

    fd: int
    size: int

    def pread(self, offset: int, length: int) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Account:
    """Everything that can be done to one mailbox."""

    # Folders
    def folders(self) -> list[FolderInfo]:
        """All folders by name, and the names that only have children (`folder_id` 0, not selectable)."""
        raise NotImplementedError

    def folder(self, name: str) -> FolderInfo:
        """One folder by name, or `NoSuchFolder`; takes in what other Maildir tools have put into `new/`."""
        raise NotImplementedError

    def folder_by_id(self, folder_id: int) -> FolderInfo:
        raise NotImplementedError

    def create(self, name: str, special_use: str | None = None) -> FolderInfo:
        """Make a folder and its missing parents (RFC 9051 §6.3.4)."""
        raise NotImplementedError

    def rename(self, old: str, new: str) -> None:
        """With its children; INBOX keeps its place and gives its messages away (RFC 9051 §6.3.6)."""
        raise NotImplementedError

    def delete(self, name: str) -> None:
        """It can be brought back for `expunge_keep_seconds`; children stay (RFC 9051 §6.3.5)."""
        raise NotImplementedError

    def subscribe(self, name: str, subscribed: bool) -> None:
        raise NotImplementedError

    def subscriptions(self) -> list[str]:
        """By name; a subscription outlives its folder (RFC 9051 §6.3.7)."""
        raise NotImplementedError

    # Reading
    def highest_modseq(self) -> int:
        """The account's newest MODSEQ: the cheap question whether anything changed."""
        raise NotImplementedError

    def view(self, folder_id: int) -> FolderView:
        """The folder now; shared between the sessions of a process. Takes in new foreign files first."""
        raise NotImplementedError

    def changes(self, folder_id: int, since_modseq: int) -> Changes:
        raise NotImplementedError

    def rows(self, folder_id: int, uids: Iterable[int], columns: Sequence[Column]) -> list[tuple[object, ...]]:
        """One tuple with exactly `columns` for each UID that exists or can still be read as a tombstone, ascending by UID."""
        raise NotImplementedError

    def open_message(self, folder_id: int, uid: int) -> MessageFile:
        """The message, expunged ones included while they are kept; else `NoSuchMessage`."""
        raise NotImplementedError

    def find_text(self, folder_id: int, uids: Iterable[int], tests: Sequence[TextTest]) -> list[tuple[int, tuple[bool, ...]]]:
        """For each UID that can be read, which of the tests it passes. Reads whole messages: hand it slices."""
        raise NotImplementedError

    # Writing
    def stage(self) -> Staged:
        """Room for a new message; needs no lock."""
        raise NotImplementedError

    def stage_link(self, source: Path) -> Staged:
        """The durable file `source` (a spool entry) as a staged message: by hard link, or by a copy where linking fails."""
        raise NotImplementedError

    def publish(self, folder_id: int, deliveries: Sequence[Delivery], *, limit_octets: int | None = None) -> list[Published]:
        """Make finished deliveries visible, all or none, in order; durable on return. `OverQuota` above `limit_octets`."""
        raise NotImplementedError

    def store_flags(
        self,
        folder_id: int,
        uids: Iterable[int],
        operation: FlagOperation,
        flags: int,
        keywords: Sequence[str] = (),
        *,
        unchanged_since: int | None = None,
    ) -> StoreResult:
        """STORE: `flags` are system bits, `keywords` names; new keywords take the next free bits."""
        raise NotImplementedError

    def expunge(self, folder_id: int, uids: Iterable[int] | None = None) -> ExpungeResult:
        """EXPUNGE: every message with \\Deleted, of `uids` only where given (UID EXPUNGE)."""
        raise NotImplementedError

    def remove(self, folder_id: int, uids: Iterable[int]) -> ExpungeResult:
        """Expunge whatever its flags (POP3, retention, the web)."""
        raise NotImplementedError

    def copy(self, folder_id: int, uids: Iterable[int], target_id: int, *, limit_octets: int | None = None) -> CopyResult:
        raise NotImplementedError

    def move(self, folder_id: int, uids: Iterable[int], target_id: int) -> CopyResult:
        raise NotImplementedError

    # Keeping
    def quota(self) -> Quota:
        raise NotImplementedError

    def recount(self) -> Quota:
        """Count anew from the rows and put the counters right."""
        raise NotImplementedError

    def flush_names(self, folder_id: int | None = None) -> int:
        """Let file names follow the flags; how many were renamed."""
        raise NotImplementedError

    def look_for_foreign(self, folder_id: int | None = None) -> bool:
        """Take in what other tools put into `new/` (one stat a folder when nothing did); True if anything came."""
        raise NotImplementedError

    def sweep(self) -> None:
        """The housekeeper's visit: drop what is past keeping, flush names, checkpoint."""
        raise NotImplementedError

    def tombstones(self, folder_id: int | None = None) -> list[Tombstone]:
        raise NotImplementedError

    def undelete(self, *, folder: str | None = None, since_us: int = 0, uids: Iterable[int] | None = None) -> int:
        """Bring expunged messages back into their folders (under new UIDs); how many came."""
        raise NotImplementedError

    def rescan(self) -> RepairReport:
        """Compare every folder with its files and take in what other tools did."""
        raise NotImplementedError

    def repair(self, *, check: bool = False) -> RepairReport:
        """Compare index, names and sidecars; put right what differs unless `check`. Rebuilds a lost index from the store alone."""
        raise NotImplementedError

    def backup(self, target: Path) -> None:
        raise NotImplementedError
