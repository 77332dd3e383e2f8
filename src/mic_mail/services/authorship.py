"""What a message's header has to satisfy before the message may pass, and what submission adds to it.

In: the raw header and, for submission, the addresses of the mailbox that signed in. Out: an `Objection`, or the lines to be
put in front. Pure. RFC 5321 §6.3 (loops), RFC 6409 §8 (what submission may add), Reg. 4.3 (nobody writes as somebody else).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from mic_mail.mime.addresses import parse_addresses
from mic_mail.policy.sending import check_header
from mic_mail.services import trace
from mic_mail.services.envelope import Cause, Envelope

MAX_RECEIVED = 100
"""RFC 5321 §6.3: more Received lines than this are a circle."""
_RECEIVED = re.compile(rb"^received[ \t]*+:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a header does not pass; `address` is the one that is not the sender's."""

    cause: Cause
    address: str = ""


def goes_in_a_circle(header: bytes) -> bool:
    """Whether too many hops are written down. The word alone is counted first: 0.7 us for a header where the fields take 5."""
    return header.lower().count(b"received") > MAX_RECEIVED and len(_RECEIVED.findall(header)) > MAX_RECEIVED


def objection_to_author(fields: list[tuple[bytes, bytes]], own: Collection[str], separator: str) -> Objection | None:
    """Reg. 4.3: From and Sender name the mailbox itself, however often the field occurs."""
    foreign = check_header(own, addresses_of(fields, b"from"), addresses_of(fields, b"sender"), separator=separator)
    if foreign is None:
        return None
    return Objection(Cause.SENDER_NOT_YOURS, foreign.address) if foreign.address else Objection(Cause.NO_VALID_AUTHOR)


def missing_fields(fields: list[tuple[bytes, bytes]], envelope: Envelope, hostname: str, at_us: int) -> bytes:
    """Date and Message-ID, where the mail program sent none."""
    names = {name.strip() for name, _ in fields}
    return trace.missing(envelope, hostname, at_us, dated=b"date" in names, identified=b"message-id" in names)


def addresses_of(fields: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """Every address of every field called `name`; one without a domain, and a group's name, is an address of nobody."""
    return [
        f"{_text(address.mailbox)}@{_text(address.host)}"
        for field, value in fields
        if field.strip() == name
        for address in parse_addresses(value)
        if address.mailbox is not None
    ]


def _text(octets: bytes | None) -> str:
    return (octets or b"").decode("utf-8", "replace").lower()
