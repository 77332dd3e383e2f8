"""The mailbox from which a delivered message was submitted, by this server's trace lines.

In: the raw header of a stored message. Out: the envelope sender, or whether it was submitted here at all; no: it came
from another server, or that is unknown. Pure. Two lines precede everything that the sender wrote: `Return-Path`, and a
`Received` whose `by` is this machine and whose `with` ends in A (RFC 3848) only after a sign-in, which the listener for
other servers does not offer. Submission accepts an envelope sender only if it is the signed-in person's own address, or
a unit's that allows it (Reg. 4.3, 12.3). Lines that an outsider forges are below ours, and are ignored.
"""

import re

_HEAD = re.compile(
    rb"\AReturn-Path: <(?P<sender>[^<>\r\n]*)>\r\n"
    rb"Received: from [^\r\n]+\r\n"
    rb"\tby (?P<host>\S+) with (?:UTF8SMTP|ESMTP)S?A(?: [^\r\n]*)?\r\n"
)
"""The lines as `services.transport.trace_headers` writes them, and nothing before them."""


def submitted_from(header: bytes, hostname: str) -> str | None:
    """Return the envelope sender of a message submitted here; None also for a report, which has none."""
    found = _submitted(header, hostname)
    return found["sender"].decode("utf-8", "replace").lower() or None if found is not None else None


def was_submitted(header: bytes, hostname: str) -> bool:
    """Return whether a signed-in client sent the message, so that its From is permitted."""
    return _submitted(header, hostname) is not None


def _submitted(header: bytes, hostname: str) -> "re.Match[bytes] | None":
    found = _HEAD.match(header)
    is_ours = found is not None and found["host"].decode("utf-8", "replace").lower() == hostname.lower()
    return found if is_ours else None
