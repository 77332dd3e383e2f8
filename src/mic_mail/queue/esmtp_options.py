"""What spool and queue keep of the SMTP transaction in which a message came. Plain values, and how they are written."""

import json
from dataclasses import dataclass, fields
from typing import Any

from mic_mail.mailbox_address import MailboxAddress, NullPath, ReversePath
from mic_mail.mime.original_recipient import OriginalRecipient

REQUIRETLS = "REQUIRETLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One message as it was handed in; the message itself carries the trace header."""

    trace_id: str
    sender: ReversePath
    accepted_at_us: int
    return_path_octets: int = 0
    """Length of the Return-Path line in front, which does not leave the house (RFC 5321 §4.4)."""
    smtputf8: bool = False
    body: str = "7BIT"
    ret: str | None = None
    envid: str | None = None
    requires_tls: bool = False
    """It leaves under TLS to known servers that promise the same, or not at all (RFC 8689, REQUIRETLS)."""
    tls_optional: bool = False
    """It leaves whatever its recipients' domains say about TLS (RFC 8689, `TLS-Required: No`)."""
    submitted_by: int = 0
    """The mailbox that signed in to send it; 0: it came from elsewhere, or from the server itself."""

    @property
    def must_be_protected(self) -> bool:
        """Whether it is bounced where it cannot be protected: not what is itself a report (RFC 8689 §5)."""
        return self.requires_tls and bool(self.sender)


def as_json(transaction: Transaction, *, version: int) -> str:
    """The transaction with all that its class adds; addresses are written in their canonical form."""
    return json.dumps({"format": version, **_fields_of(transaction)}, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, MailboxAddress | NullPath | OriginalRecipient) else _fields_of(value)


def _fields_of(record: Any) -> dict[str, object]:
    return {each.name: getattr(record, each.name) for each in fields(record)}


def addressed(record: dict[str, Any]) -> dict[str, Any]:
    """The fields of one recipient as they were before they were written; raises `ValueError`."""
    orcpt = record.get("orcpt")
    return {
        **record,
        "address": MailboxAddress.parse(record["address"]),
        "notify": tuple(record["notify"]),
        "orcpt": OriginalRecipient.parse(orcpt) if orcpt is not None else None,
    }
