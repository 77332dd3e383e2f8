"""The SMTP transaction of a message as spool and queue store it. Plain values and their encoding."""

import json
from dataclasses import dataclass, fields
from typing import Any

from mic_mail.mailbox_address import MailboxAddress, NullPath, ReversePath
from mic_mail.mime.original_recipient import OriginalRecipient

REQUIRETLS = "REQUIRETLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedTransaction:
    """One message as it was submitted or received; the message itself carries the trace header."""

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


def as_json(transaction: QueuedTransaction, *, version: int) -> str:
    """Encode the transaction with the fields of its subclass; addresses in canonical form."""
    return json.dumps({"format": version, **_fields_of(transaction)}, ensure_ascii=False, default=_plain)


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
