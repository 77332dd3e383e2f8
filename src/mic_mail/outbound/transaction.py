"""What spool and queue keep of the SMTP transaction in which a message came. Plain values."""

from dataclasses import dataclass

REQUIRETLS = "REQUIRETLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One message as it was handed in; the message itself carries the trace header."""

    trace_id: str
    sender: str
    """Empty for the null reverse-path."""
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
