"""What spool and queue keep of the SMTP transaction in which a message came. Plain values."""

from dataclasses import dataclass


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
    submitted_by: int = 0
    """The mailbox that signed in to send it; 0: it came from elsewhere, or from the server itself."""
