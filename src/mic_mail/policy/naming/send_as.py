"""The sender addresses that a mailbox may use: only its own, in envelope and header (Reg. 4.3).

In: the mailbox's own addresses, the envelope sender, the addresses of the header fields and those in the words beside them.
Out: the offending address, or None. Whether the mailbox may send at all is decided before, by `lifecycle.decide`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.policy.naming.addresses import candidates

CLAUSE = "4.3"
MAX_AUTHORS = 16
"""The most From addresses a message may have."""


class AddressPlace(StrEnum):
    """The place of an address that is not the mailbox's own."""

    ENVELOPE = "envelope"
    FROM = "From"
    SENDER = "Sender"
    RESENT_FROM = "Resent-From"
    RESENT_SENDER = "Resent-Sender"
    NAME = "name"
    """In the words beside an address."""


MOST = {AddressPlace.SENDER: 1, AddressPlace.RESENT_SENDER: 1}
"""The most addresses of a field: RFC 5322 §3.6.2 and §3.6.6 allow one; other fields `MAX_AUTHORS`."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """An address that the mailbox may not use.

    An empty address: the field has none, or too many.
    """

    place: AddressPlace
    address: str
    clause: str = CLAUSE


def owns(own: Collection[str], address: str, *, separator: str = "+") -> bool:
    """Return whether `address` is one of `own` (lower case), with or without a detail after `separator`."""
    return any(candidate in own for candidate in candidates(address, separator))


def check_envelope(own: Collection[str], sender: str, *, separator: str = "+") -> Foreign | None:
    """Check the envelope sender; the null sender is free to all, for notifications (RFC 8098 §3)."""
    if sender and not owns(own, sender, separator=separator):
        return Foreign(AddressPlace.ENVELOPE, sender)
    return None


def check_header(
    own: Collection[str], fields: Sequence[tuple[AddressPlace, Sequence[str]]], *, separator: str = "+"
) -> Foreign | None:
    """Check From, Sender and their Resent- variants, each field with its addresses.

    Each must be the mailbox itself: a co-author who was not asked is forged, and a message that is sent again is sent in one's
    own name (RFC 5322 §3.6.6). This is stricter than RFC 5322 §3.6.2, which lets a Sender write for several authors; Reg. 4.3
    does not.
    """
    if all(place is not AddressPlace.FROM for place, _ in fields):
        return Foreign(AddressPlace.FROM, "")
    for place, addresses in fields:
        if not 0 < len(addresses) <= MOST.get(place, MAX_AUTHORS):
            return Foreign(place, "")
        for address in addresses:
            if not owns(own, address, separator=separator):
                return Foreign(place, address)
    return None


def check_names(own: Collection[str], shown: Iterable[str], *, separator: str = "+") -> Foreign | None:
    """Check the addresses in display names and comments.

    Many programs show those, and the true address nowhere.
    """
    for address in shown:
        if not owns(own, address, separator=separator):
            return Foreign(AddressPlace.NAME, address)
    return None
