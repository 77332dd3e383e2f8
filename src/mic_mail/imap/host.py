"""What a session asks of the process without waiting, and what its shell answers (`server.ImapConnection`)."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from mic_mail.errors import Text
from mic_mail.services.authentication.shared_mailboxes import Shared
from mic_mail.storage.types import FolderDelta


class SessionHost(Protocol):
    """What a session may ask without waiting: answers that the process has in memory."""

    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms to offer on this connection as it is now."""
        ...

    def quota_octets(self, mailbox_id: int) -> int | None:
        """How much a mailbox may hold; None if there is no limit."""
        ...

    def change_mark(self, mailbox_id: int) -> int:
        """A number that stands only while nothing changes in the mailbox; 0 if that cannot be said now."""
        ...

    def changes_since(self, mailbox_id: int, folder_id: int, since_modseq: int, mark: int) -> FolderDelta | None:
        """What happened in one of its folders, while its change mark is this one; None if the store has to be asked."""
        ...

    def hidden(self, mailbox_id: int) -> frozenset[str]:
        """Capabilities, in capitals, that this mailbox is not offered, for the sake of a broken mail program."""
        ...

    def shared(self, mailbox_id: int) -> Mapping[str, Shared]:
        """The mailboxes of units and groups that its owner may use now, by their names below `Shared/`."""
        ...

    def holders(self, mailbox_id: int) -> Mapping[str, str]:
        """Who else may use this mailbox now: rights by address."""
        ...

    def alerts(self) -> Sequence[Text]:
        """What everybody who signs in has to be told now (RFC 9051 §7.1, ALERT)."""
        ...

    def records_access(self, mailbox_id: int) -> bool:
        """Whether openings are recorded and acts named: a unit's or group's mailbox (Reg. 12.3.a)."""
        ...

    def withheld(self, mailbox_id: int) -> str:
        """The rights that nobody holds in this mailbox now: while it is handed over (Reg. 12.3.d)."""
        ...
