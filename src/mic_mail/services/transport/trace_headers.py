"""Trace fields put in front of a message (RFC 5321 §4.4), and those that submission adds (RFC 6409).

Pure. A client that did not use SMTPUTF8 gets no character beyond ASCII in these lines (RFC 6531 §3.7.3).
"""

import re
from datetime import datetime
from functools import lru_cache

from mic_mail.clock import HO_CHI_MINH
from mic_mail.mime.compose import rfc_date
from mic_mail.services.transport.envelope import Envelope

_MESSAGE_ID = (b"\nMessage-ID:", b"\nMessage-Id:", b"\nmessage-id:")
"""The usual spellings; the last one is also compared without regard to case."""
_FOLDED = re.compile(rb"\r?\n(?=[ \t])")
LONGEST_MESSAGE_ID = 500


def date(at_us: int) -> str:
    """Format a date as in RFC 5322 §3.3, in the ministry's time zone."""
    return _date(at_us // 1_000_000)


@lru_cache(maxsize=4)
def _date(seconds: int) -> str:
    """Format a date; cached, as many messages come in one second."""
    return rfc_date(datetime.fromtimestamp(seconds, HO_CHI_MINH)).decode()


def return_path(envelope: Envelope) -> bytes:
    """Return the first line of a delivered message; a relayed one has none (RFC 5321 §4.4)."""
    return f"Return-Path: <{envelope.sender}>\r\n".encode()


def received(envelope: Envelope, hostname: str, at_us: int) -> bytes:
    """Return the time stamp line.

    `for` names a recipient only if there is just one, so that none is disclosed to the others (RFC 5321 §7.2).
    """
    client = envelope.client
    tls = client.peer.tls
    secured = f" ({tls.version} {tls.cipher})" if tls else ""
    to = f" for <{envelope.recipients[0].address}>" if len(envelope.recipients) == 1 else ""
    return (
        f"Received: from {client.helo or 'unknown'} ({_literal(client.peer.address)})\r\n"
        f"\tby {hostname} with {client.protocol}{secured}\r\n"
        f"\tid {envelope.trace_id}{to};\r\n"
        f"\t{date(at_us)}\r\n"
    ).encode()


def missing(envelope: Envelope, hostname: str, at_us: int, *, dated: bool, identified: bool) -> bytes:
    """Return Date and Message-ID for a mail program that sent none (RFC 6409 §8.2, §8.3).

    Nothing else is added or changed, and nothing removed but results that pretend to be ours (RFC 8601 §5). RFC 6409 §8
    allows more (Sender, Bcc, encodings), but a changed field breaks the sender's signature, and removing Bcc is the mail
    program's task (RFC 5322 §3.6.3): every one in use does it.
    """
    lines = b"" if dated else f"Date: {date(at_us)}\r\n".encode()
    return lines if identified else lines + f"Message-ID: <{own_message_id(envelope, hostname)}>\r\n".encode()


def own_message_id(envelope: Envelope, hostname: str) -> str:
    """Return the Message-ID of a message whose mail program gave none."""
    return f"{envelope.trace_id.lower()}@{hostname}"


def message_id(header: bytes) -> str | None:
    """Return the Message-ID, for the log: without angle brackets, cut at a length no real one has."""
    header = b"\n" + header
    for name in _MESSAGE_ID:
        at = header.find(name)
        if at >= 0:
            break
    else:
        at = header.lower().find(_MESSAGE_ID[-1])
        if at < 0:
            return None
    begin = at + len(name)
    end = header.find(b"\n", begin)
    if header[end + 1 : end + 2] in (b" ", b"\t"):
        folded = header[begin : begin + 2 * LONGEST_MESSAGE_ID]
        value = _FOLDED.sub(b"", folded).partition(b"\n")[0].strip()
    else:
        value = header[begin : end if end >= 0 else None].strip()
    inner = value[1:].partition(b">")[0] if value.startswith(b"<") else value
    return inner[:LONGEST_MESSAGE_ID].decode("utf-8", "replace") or None


def _literal(address: str) -> str:
    """Format an address literal (RFC 5321 §4.1.3)."""
    return f"[IPv6:{address.partition('%')[0]}]" if ":" in address else f"[{address or '0.0.0.0'}]"  # noqa: S104 - unknown
