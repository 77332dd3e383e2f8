"""Reg. 4.3: whom a mailbox may write as. Only its own addresses, in the envelope and in the header.

In: the mailbox's own addresses, the envelope sender, the addresses of the header fields and those in the words beside them.
Out: what is wrong, or None.
Whether the mailbox may send at all is `lifecycle.decide`; this is asked after it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.policy.addresses import candidates

CLAUSE = "4.3"
MAX_AUTHORS = 16
"""More From addresses than this is no letter of one mailbox."""


class Place(StrEnum):
    """Where an address stands that is not the mailbox's own."""

    ENVELOPE = "envelope"
    FROM = "From"
    SENDER = "Sender"
    RESENT_FROM = "Resent-From"
    RESENT_SENDER = "Resent-Sender"
    NAME = "name"
    """Beside an address, in words."""


MOST = {Place.SENDER: 1, Place.RESENT_SENDER: 1}
"""RFC 5322 §3.6.2 and §3.6.6: one mailbox; the other fields may name as many as `MAX_AUTHORS`."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """An address that the mailbox may not write as; an empty address: the field has none, or too many."""

    place: Place
    address: str
    clause: str = CLAUSE


def owns(own: Collection[str], address: str, *, separator: str = "+") -> bool:
    """Whether `address` is one of `own` (lower case), with or without a detail behind `separator`."""
    return any(candidate in own for candidate in candidates(address, separator))


def check_envelope(own: Collection[str], sender: str, *, separator: str = "+") -> Foreign | None:
    """The envelope sender. The null sender is everybody's: notifications have it (RFC 8098 §3)."""
    if sender and not owns(own, sender, separator=separator):
        return Foreign(Place.ENVELOPE, sender)
    return None


def check_header(
    own: Collection[str], fields: Sequence[tuple[Place, Sequence[str]]], *, separator: str = "+"
) -> Foreign | None:
    """From, Sender and their Resent- kin, each field with its addresses. Every one of them has to be the mailbox itself: a
    co-author whom nobody asked is a forged one, and who sends a message again writes in its own name (RFC 5322 §3.6.6).

    Stricter than RFC 5322 §3.6.2, which lets a Sender write for several authors; Reg. 4.3 does not.
    """
    if all(place is not Place.FROM for place, _ in fields):
        return Foreign(Place.FROM, "")
    for place, addresses in fields:
        if not 0 < len(addresses) <= MOST.get(place, MAX_AUTHORS):
            return Foreign(place, "")
        for address in addresses:
            if not owns(own, address, separator=separator):
                return Foreign(place, address)
    return None


def check_names(own: Collection[str], shown: Iterable[str], *, separator: str = "+") -> Foreign | None:
    """The addresses that stand in display names and comments: many programs show those, and the true address nowhere."""
    for address in shown:
        if not owns(own, address, separator=separator):
            return Foreign(Place.NAME, address)
    return None
