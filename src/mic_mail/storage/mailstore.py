"""`MailStore` gives out accounts to servers and services, whatever ground they lie on.

Each ground has its own: `local_mailstore` on the files of one machine, `database_ground.mailstore` in PostgreSQL.

Calls block unless said otherwise, and may come from any thread. `on_change(account_id, modseq)` is called after each durable
change that this process made, in the thread that made it; it must not block.

What only files need does nothing on another ground: the journal, names of files, what a dead process has left.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

from mic_mail.storage.account_rules import AccountRules as Account
from mic_mail.storage.change_notifier import ChangeNotifier
from mic_mail.storage.hints import Hints
from mic_mail.storage.index.answer_rows import FolderKey
from mic_mail.storage.index.open_folders import OpenFolder
from mic_mail.storage.journal.frames import Frame
from mic_mail.storage.journal.journal import RevokeFrame
from mic_mail.storage.journal.replay import Replay
from mic_mail.storage.store import OnChange, SharedResources
from mic_mail.storage.types import AccountRef, AnswerRow, FolderDelta, StoreOwner

__all__ = ["Account", "BatchJournal", "MailStore"]

Owner = TypeVar("Owner", bound=StoreOwner)


class BatchJournal(Protocol):
    """Makes messages that come together durable at once (journal.py)."""

    @property
    def is_begun(self) -> bool: ...

    @property
    def is_full(self) -> bool: ...

    @property
    def is_settled(self) -> bool: ...

    def holding(
        self, arrivals: Sequence[Frame], meanwhile: Callable[[], None] | None = None
    ) -> AbstractContextManager[RevokeFrame | None]:
        """Make messages durable while they are published; None where each must be made durable by itself."""
        ...


class NoJournal:
    """The journal of a ground where a change is durable by its own COMMIT."""

    is_begun = False
    is_full = False
    is_settled = True

    def holding(
        self, arrivals: Sequence[Frame], meanwhile: Callable[[], None] | None = None
    ) -> AbstractContextManager[RevokeFrame | None]:
        if meanwhile is not None:
            meanwhile()
        return nullcontext()


class MailStore(ABC):
    """All accounts of one ground, for one process."""

    journal: BatchJournal
    hints: Hints | None = None
    """Hints to other servers about changes; None where no other has these mailboxes."""
    uses: int = 0
    """The number of uses of stores, so that `rest` is called only after a use."""
    _shared: SharedResources

    def __init__(self, on_change: OnChange) -> None:
        self._notifier = ChangeNotifier(on_change)

    @abstractmethod
    def account(self, ref: AccountRef, person: str | None = None) -> Account:
        """Return the account's handle: cheap, touches nothing until used.

        `person`: the address of the reader, whose \\Seen may differ from that of others (seen.py); None in a personal account,
        and where nobody reads.
        """

    def account_of(self, owner: StoreOwner) -> Account:
        """Return the handle of a mailbox's account."""
        return self.account(AccountRef.of(owner))

    # What this process has in memory; none of it blocks

    def change_mark(self, account_id: int) -> int:
        """Return a number that changes with each change of the account, 0 if it is unknown. Does not block."""
        return 0

    def changes_since(self, account_id: int, folder_id: int, since_modseq: int, mark: int) -> FolderDelta | None:
        """Return a folder's changes after `since_modseq`, as far as this process has them in memory.

        `since_modseq` is the folder's HIGHESTMODSEQ, and `mark` the account's change mark now. The result is the same for every
        reader. Does not block.
        """
        return self._shared.views.changes_since(account_id, folder_id, since_modseq, mark)

    def opened(self, ref: AccountRef, name: str) -> FolderDelta | None:
        """Return what `Account.opened` does, as far as this process and the kernel have it in memory. Does not block."""
        return None

    def answer_rows(self, folder: FolderKey, uids: Sequence[int]) -> list[AnswerRow] | None:
        """Return the answers about a few messages, if this process has all of them in memory. Does not block."""
        return self._shared.answer_rows.get(folder, uids)

    def enter(self, account_id: int, folder_id: int, *, claims: bool) -> OpenFolder:
        """Register a session with a folder open, as `Account.enter`. Does not block."""
        return self._shared.presences.enter(account_id, folder_id, claims=claims)

    def read_cached(self, hint: str, size: int) -> bytes | None:
        """Return a whole message by its hint, where the kernel has it in memory. Does not block."""
        return None

    def is_warm(self, ref: AccountRef) -> bool:
        """Return whether publishing to the account rarely waits for a disk now. Does not block."""
        return True

    # Changes

    @abstractmethod
    def newest_modseqs(self, refs: Iterable[AccountRef]) -> Mapping[int, int]:
        """Return the newest MODSEQ of each of these accounts by its id; those that cannot be read now are omitted."""

    def batching_notifications(self) -> AbstractContextManager[None]:
        """Notify observers of this thread's changes at the block's end: each notification costs a loop turn."""
        return self._notifier.together()

    def recording_modseqs(self) -> AbstractContextManager[list[tuple[int, int]]]:
        """Record this thread's changes in the block as (account, MODSEQ): a session knows its own by them."""
        return self._notifier.recording_modseqs()

    @abstractmethod
    def change_marks(self) -> object:
        """Return a value that differs after a change of any account of which this process may not know."""

    def text_mark(self, account_id: int) -> int:
        """Return a number that differs after a change of the account by this server, for its indexer. Does not block."""
        return self.change_mark(account_id)

    def with_text_due(self, owners: Sequence[Owner]) -> Sequence[Owner]:
        """Return those whose accounts an indexer has to visit, as far as that is known without a look at each."""
        return owners

    # Rest and end

    @abstractmethod
    def rest(self, idle_seconds: float) -> int:
        """Close what was not used for so long; return how much. May sync: needs an executor."""

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Return whether nothing is open that `rest` would close."""

    @abstractmethod
    def close(self) -> None:
        """Complete what is pending and close everything."""

    # Files: their names, their journal, and what a dead process has left of both

    @property
    @abstractmethod
    def has_names_due(self) -> bool:
        """Return whether `flush_names` has something to do. Does not block."""

    @abstractmethod
    def flush_names(self, *, gives_way: bool = False) -> None:
        """Rename files of accounts whose flags this process changed."""

    @abstractmethod
    def flush_names_left(self, refs: Iterable[AccountRef], since: float) -> None:
        """Rename files that a killed process left pending, in accounts written after `since` (epoch seconds)."""

    @abstractmethod
    def recover(self) -> Replay:
        """Bring back after a power loss what was durable in the journal alone, before all else; return what came of it."""

    @abstractmethod
    def prepare_journal(self) -> None:
        """Prepare the journal in an executor, before messages arrive, or raise `Unavailable`."""

    @abstractmethod
    def settle_journal(self) -> None:
        """Make what the journal holds durable in its own place, or raise `Unavailable`."""

    @abstractmethod
    def settle_left_behind(self) -> None:
        """Settle the journals that killed processes left; at start, and when a process has died."""

    @abstractmethod
    def drop_unfinished_restores(self, homes: Container[str]) -> None:
        """Remove what killed restores left a day ago; `homes` are those of all mailboxes."""
