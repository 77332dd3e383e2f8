"""The SMTP transaction of a message as spool and queue store it. Plain values and their encoding."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Self

from mic_mail.mailbox_address import MailboxAddress, NullPath, ReversePath, parse_reverse_path
from mic_mail.mime.original_recipient import OriginalRecipient

FORMAT: Final = 1
"""Version of the encoding."""
REQUIRETLS = "REQUIRETLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedTransaction:
    """One message as it was submitted or received; the message itself carries the trace header."""

    _DECODERS: ClassVar[Mapping[str, Callable[[Any], object]]] = {"sender": parse_reverse_path}
    """Functions that decode the fields whose values JSON does not have."""

    trace_id: str
    sender: ReversePath
    accepted_at_us: int
    return_path_octets: int = 0
    """Length of the Return-Path line in front, which is not sent to other servers (RFC 5321 §4.4)."""
    smtputf8: bool = False
    body: str = "7BIT"
    ret: str | None = None
    envid: str | None = None
    requires_tls: bool = False
    """REQUIRETLS: relayed under TLS to verified servers that offer the same, or not at all (RFC 8689)."""
    tls_optional: bool = False
    """`TLS-Required: No`: relayed whatever the recipient domains' TLS policies say (RFC 8689)."""
    submitted_by: int = 0
    """The mailbox that signed in to send it; 0 if it came from another server or from this server itself."""

    @property
    def must_be_protected(self) -> bool:
        """Return whether it is bounced if it cannot be protected; a report is not (RFC 8689 §5)."""
        return self.requires_tls and bool(self.sender)

    def encode(self) -> bytes:
        """Encode the transaction with the fields of its subclass; addresses in canonical form."""
        return json.dumps({"format": FORMAT, **_fields_of(self)}, ensure_ascii=False, default=_plain).encode()

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Decode a transaction; raises `ValueError` for one that no version of ours has written."""
        try:
            record = json.loads(octets)
            if record.pop("format") != FORMAT:
                raise ValueError("unknown format")
            for name in record.keys() & cls._DECODERS.keys():
                record[name] = cls._DECODERS[name](record[name])
            return cls(**record)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an envelope: {error}") from error


def _plain(value: object) -> object:
    return str(value) if isinstance(value, MailboxAddress | NullPath | OriginalRecipient) else _fields_of(value)


def _fields_of(record: Any) -> dict[str, object]:
    return {each.name: getattr(record, each.name) for each in fields(record)}


def addressed(record: dict[str, Any]) -> dict[str, Any]:
    """Decode the fields of one recipient; raises `ValueError`."""
    orcpt = record.get("orcpt")
    return {
        **record,
        "address": MailboxAddress.parse(record["address"]),
        "notify": tuple(record["notify"]),
        "orcpt": OriginalRecipient.parse(orcpt) if orcpt is not None else None,
    }
