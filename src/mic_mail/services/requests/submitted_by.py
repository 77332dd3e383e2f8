"""Whose mailbox a delivered message was submitted from, by what this server wrote in front of it.

In: the raw header of a stored message. Out: the envelope's sender, or whether it was submitted here at all; no: it came from
another server, or nobody can tell. Pure. Two lines stand in front of whatever the sender wrote: `Return-Path`, and a
`Received` whose `by` is this machine and whose `with` ends in A (RFC 3848) only if somebody had signed in, which the door of
other servers does not offer. Submission lets an envelope through only from an address that is the own one of who signed in,
or of a unit that lets them (Reg. 4.3, 12.3). What an outsider forges stands below our lines, and is not looked at.
"""

import re

_HEAD = re.compile(
    rb"\AReturn-Path: <(?P<sender>[^<>\r\n]*)>\r\n"
    rb"Received: from [^\r\n]+\r\n"
    rb"\tby (?P<host>\S+) with (?:UTF8SMTP|ESMTP)S?A(?: [^\r\n]*)?\r\n"
)
"""As `services.transport.trace` writes them, and nothing before them."""


def submitted_from(header: bytes, hostname: str) -> str | None:
    """The envelope's sender of a message that was submitted here; None also for a report, which has none."""
    found = _submitted(header, hostname)
    return found["sender"].decode("utf-8", "replace").lower() or None if found is not None else None


def was_submitted(header: bytes, hostname: str) -> bool:
    """Whether who had signed in here sent it, so that its From is theirs, or of a unit that lets them (Reg. 4.3, 12.3)."""
    return _submitted(header, hostname) is not None


def _submitted(header: bytes, hostname: str) -> "re.Match[bytes] | None":
    found = _HEAD.match(header)
    is_ours = found is not None and found["host"].decode("utf-8", "replace").lower() == hostname.lower()
    return found if is_ours else None
