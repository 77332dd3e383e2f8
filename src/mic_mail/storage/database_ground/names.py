"""What a change makes of names and bodies where both are rows: it writes bodies; all else is in the rows of the index."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import cast

from mic_mail.storage.database_ground.bodies import StagedBody, StagingFile, read_body, write_body
from mic_mail.storage.database_ground.marks import is_marked
from mic_mail.storage.delivery import Arrival
from mic_mail.storage.durable_by_journal import Hold, Remember
from mic_mail.storage.index.rows import AccountRow, FolderRow, MessageRow
from mic_mail.storage.index.statements import Connection
from mic_mail.storage.message_names import expunged_name
from mic_mail.storage.store import Store

NO_UID_MARK = 1 << 32
"""The UID mark of each folder, which no UID reaches: a COMMIT that was answered is never lost here."""
NO_MODSEQ_MARK = (1 << 63) - 1
"""The MODSEQ mark of each account, likewise."""


class RowNames:
    """The operations of one change; no name leads to anything, and a copy or a move is a matter of rows alone."""

    def __init__(self, connection: Connection, account_id: int) -> None:
        self._connection = connection
        self._account_id = account_id
        self._copies: StagingFile | None = None
        """The content of all copies that the change stages in another account."""

    # Messages

    def place(
        self, folder: FolderRow, arrivals: Sequence[Arrival], now_us: int, hold: Hold, meanwhile: Callable[[], None]
    ) -> list[str]:
        """Write the bodies of deliveries; there are no hints."""
        meanwhile()
        for each in arrivals:
            staged = cast("StagedBody", each.delivery.staged)
            write_body(self._connection, self._account_id, each.email_pk, staged.pieces())
        return [""] * len(arrivals)

    def sync(self, folder: FolderRow) -> None: ...

    def present(self, folder: FolderRow, rows: Sequence[MessageRow]) -> list[MessageRow]:
        return list(rows)

    def copy(self, source: FolderRow, target: FolderRow, names: Sequence[tuple[str, str]]) -> None: ...

    def move(self, source: FolderRow, target: FolderRow, names: Sequence[tuple[str, str]]) -> None: ...

    def stage_copy(self, folder: FolderRow, row: MessageRow, target: Store) -> StagedBody:
        """Stage a message in another account: its own body, since this one may be removed at any time."""
        staged = cast("StagedBody", target.stage())
        self._copies = self._copies or StagingFile()
        staged.share(self._copies)
        for octets in read_body(self._connection, self._account_id, row.email_pk, row.size):
            staged.write(octets)
        return staged

    def expunge(self, folder: FolderRow, going: Sequence[MessageRow], remember: Remember | None = None) -> dict[int, str]:
        return {row.uid: expunged_name(folder.mailbox_id, row.name) for row in going}

    def forget(self, names: Iterable[str]) -> None: ...

    def restorable(self, names: Iterable[str]) -> Collection[str]:
        return set(names)

    def restore(self, messages: Sequence[tuple[str, FolderRow, str]]) -> None: ...

    # Folders

    def make_folder(self, folder: FolderRow) -> None: ...

    def is_taken(self, name: str) -> bool:
        return False

    def rename_folders(self, folders: Sequence[FolderRow]) -> None: ...

    def delete_folder(self, folder: FolderRow) -> None: ...

    def is_restorable(self, folder: FolderRow) -> bool:
        return True

    def restore_folder(self, folder: FolderRow) -> None: ...

    # Readers

    def forget_reader(self, folders: Iterable[FolderRow], person: str) -> None: ...

    def forget_readers(self, folder: FolderRow) -> None: ...

    # Sidecars and marks of numbers

    def rewrite_account_sidecar(self) -> None: ...

    def rewrite_folder_sidecar(self, folder_id: int) -> None: ...

    def write_account_sidecar(self) -> None: ...

    def uid_mark(self, uidnext: int) -> int:
        return NO_UID_MARK

    def highest_uidnext(self, folder: FolderRow) -> int:
        """Return the row's own: no COMMIT is lost, and the mark is a number that none reaches."""
        return folder.uidnext

    def highest_modseq(self, account: AccountRow) -> int:
        """Return the row's own, likewise."""
        return account.modseq

    def write_uid_mark(self, folder: FolderRow) -> None: ...

    def write_modseq_mark(self) -> None: ...

    # Marks of the account

    def has_mark(self, name: str) -> bool:
        return is_marked(self._connection, self._account_id, name)
