"""The process as a session sees it: questions answered without waiting, by `server.ImapConnection`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from mic_mail.connection.session_core import SessionHost
from mic_mail.errors import Text
from mic_mail.services.authentication.shared_mailboxes import SharedMailbox
from mic_mail.storage.index.answer_rows import FolderKey
from mic_mail.storage.index.open_folders import OpenFolder
from mic_mail.storage.types import AccountRef, AnswerRow, FolderDelta


class ImapHost(SessionHost, Protocol):
    """Answers that a session gets from the process's memory, without waiting."""

    def quota_octets(self, mailbox_id: int) -> int | None:
        """Return the quota of a mailbox in octets; None if there is no limit."""
        ...

    def change_mark(self, mailbox_id: int) -> int:
        """Return a number that is stable only while the mailbox does not change; 0 if it is unknown now."""
        ...

    def changes_since(self, mailbox_id: int, folder_id: int, since_modseq: int, mark: int) -> FolderDelta | None:
        """Return the changes of one of its folders while its change mark is `mark`; None: ask the store."""
        ...

    def opened(self, account: AccountRef, name: str) -> FolderDelta | None:
        """Return the newest view of one of its folders, found by name; None: ask the store."""
        ...

    def enter(self, account_id: int, folder_id: int, *, claims: bool) -> OpenFolder:
        """Register the session with a folder open; the session holds the result."""
        ...

    def read_cached(self, path: str, size: int) -> bytes | None:
        """Return the octets of a message's file if the kernel has all of them in memory and there are `size`."""
        ...

    def answer_rows(self, folder: FolderKey, uids: Sequence[int]) -> list[AnswerRow] | None:
        """Return the answers about a few messages, if the process has all of them in memory."""
        ...

    def hidden(self, mailbox_id: int) -> frozenset[str]:
        """Return the capabilities, in capitals, that are hidden from this mailbox for a broken mail program."""
        ...

    def shared(self, mailbox_id: int) -> Mapping[str, SharedMailbox]:
        """Return the unit and group mailboxes its owner may use now, by their names below `Shared/`."""
        ...

    def holders(self, mailbox_id: int) -> Mapping[str, str]:
        """Return the rights of the others who may use this mailbox now, by address."""
        ...

    def alerts(self) -> Sequence[Text]:
        """Return the texts that everybody who signs in gets as ALERT now (RFC 9051 §7.1)."""
        ...
