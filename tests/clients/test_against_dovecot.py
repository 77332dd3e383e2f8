"""ENVELOPE and BODYSTRUCTURE beside Dovecot's, field by field.

Every message goes into a Dovecot by APPEND and is fetched back; what differs from ours must be one of the differences that
docs/decisions/0003-envelope-and-bodystructure-as-dovecot.md explains, and stands here as a rule with the same name.
MIC_MAIL_CORPUS names a folder of further messages (*.eml).
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients.dovecot import Dovecot, dovecot
from messages.hard import HARD
from messages.structures import Value, parse_value
from mic_mail.mime.imap_structure import answers_of
from mic_mail.mime.scanner import MAX_PARTS

__all__ = ["dovecot"]

pytestmark = [pytest.mark.slow, pytest.mark.needs_tool("dovecot")]

Difference = tuple[str, Value, Value]
"""Which field, ours, Dovecot's."""

ENVELOPE = ("date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id")
BASIC = ("type", "subtype", "params", "id", "description", "encoding", "octets")
ADDRESSES = ENVELOPE[2:8]


def folded(value: Value) -> Value:
    """Case and the white space that folding makes do not count."""
    if isinstance(value, bytes):
        return b" ".join(value.lower().split())
    return [folded(item) for item in value] if isinstance(value, list) else value


def octets_of(value: Value) -> bytes:
    """All strings in a value, run together."""
    if isinstance(value, list):
        return b" ".join(octets_of(item) for item in value)
    return value if isinstance(value, bytes) else (value or "").encode()


def strings_in(value: Value) -> list[bytes]:
    """All strings in a value."""
    if isinstance(value, list):
        return [string for item in value for string in strings_in(item)]
    return [value] if isinstance(value, bytes) else []


def compare_envelopes(ours: Value, theirs: Value, where: str) -> Iterator[Difference]:
    assert isinstance(ours, list)
    assert isinstance(theirs, list)
    for name, one, other in zip(ENVELOPE, ours, theirs, strict=True):
        if folded(one) != folded(other):
            yield f"{where}envelope.{name}", one, other


def children_of(body: list[Value]) -> list[Value]:
    """The parts of a multipart; none of a leaf."""
    count = next(index for index, item in enumerate(body) if not isinstance(item, list))
    return body[:count]


def compare_bodies(ours: Value, theirs: Value, where: str = "") -> Iterator[Difference]:
    assert isinstance(ours, list)
    assert isinstance(theirs, list)
    mine, others = children_of(ours), children_of(theirs)
    if len(mine) != len(others):
        yield f"{where}parts", ours, theirs
    elif mine:
        for number, (one, other) in enumerate(zip(mine, others, strict=True), 1):
            yield from compare_bodies(one, other, f"{where}{number}.")
        names = ("subtype", "params", "disposition", "language", "location")
        yield from compare_fields(names, ours[len(mine) :], theirs[len(mine) :], where)
    elif folded(ours[:2]) != folded(theirs[:2]):
        yield f"{where}type", ours, theirs
    else:
        more: tuple[str, ...] = ()
        if folded(ours[0]) == b"text":
            more = ("lines",)
        elif folded(ours[:2]) == [b"message", b"rfc822"]:
            more = ("envelope", "body", "lines")
        names = (*BASIC, *more, "md5", "disposition", "language", "location")
        yield from compare_fields(names, ours, theirs, where)


def compare_fields(names: tuple[str, ...], ours: list[Value], theirs: list[Value], where: str) -> Iterator[Difference]:
    assert len(names) == len(ours) == len(theirs)
    for name, one, other in zip(names, ours, theirs, strict=True):
        if name == "envelope":
            yield from compare_envelopes(one, other, where)
        elif name == "body":
            yield from compare_bodies(one, other, where)
        elif folded(one) != folded(other):
            yield f"{where}{name}", one, other


Rule = Callable[[str, Value, Value, bytes], bool]


def is_8bit(field: str, ours: Value, theirs: Value, message: bytes) -> bool:
    """Dovecot sends raw 8-bit where the header has it, and opens RFC 2231 into it; we send words and extended parameters."""
    return not octets_of(theirs).isascii()


def is_empty_multipart(field: str, ours: Value, theirs: Value, message: bytes) -> bool:
    """A multipart without parts: we show its text; Dovecot an empty part that nobody sent."""
    return field.endswith("parts") and isinstance(ours, list) and ours[0] == b"text" and b" 7bit 0 0" in octets_of(theirs)


def is_odd_boundary(field: str, ours: Value, theirs: Value, message: bytes) -> bool:
    """Boundaries against RFC 2046: empty (none to us), ending in space (cut off), over 80 octets (Dovecot cuts them)."""
    boundaries = re.findall(rb'boundary="([^"\r\n]*)"', message)
    return field.endswith("parts") and any(not found or found.endswith(b" ") or len(found) > 80 for found in boundaries)


def is_beyond_limits(field: str, ours: Value, theirs: Value, message: bytes) -> bool:
    """Dovecot reads 100 levels and 10,000 parts, we 40 and 1,000; both show what is beyond as application/octet-stream."""
    if not field.endswith("parts") or not isinstance(ours, list):
        return False
    return ours[0] == b"application" or len(children_of(ours)) == MAX_PARTS - 1


def is_type_in_nonsense(field: str, ours: Value, theirs: Value, message: bytes) -> bool:
    """A Content-Type that cannot be read: text/plain (RFC 2045 §5.2); Dovecot shows empty strings, or half of it."""
    return field.endswith("type") and isinstance(theirs, list) and b"" in theirs[:2]


def is_encoded_message(field: str, ours: Value, theirs: Value, message: bytes) -> bool:
    """A message/rfc822 in base64: octets to us; Dovecot reads the base64 as a header."""
    return (
        field.endswith("type")
        and octets_of(ours).startswith(b"application octet-stream")
        and octets_of(theirs).startswith(b"message rfc822")
    )


def is_unquoted_parameter(field: str, ours: Value, theirs: Value, message: bytes) -> bool:
    """A parameter without the quotes that it needs: we read to the semicolon, Dovecot to the first special or space."""
    pairs = [(one, other) for one in strings_in(ours) for other in strings_in(theirs) if other and one.startswith(other)]
    at_special = any(re.match(rb"[=?/:()<>@,\[\] ]", one[len(other) :]) for one, other in pairs)
    return field.endswith(("params", "disposition", "parts")) and at_special


def is_half_opened_parameter(field: str, ours: Value, theirs: Value, message: bytes) -> bool:
    """Parameters of RFC 2231 in ASCII: we give what they stand for, Dovecot leaves some of them escaped or cut."""
    return field.endswith(("params", "disposition")) and b"*=" in message and b"%" in octets_of(theirs)


def is_encoding_in_nonsense(field: str, ours: Value, theirs: Value, message: bytes) -> bool:
    """A Content-Transfer-Encoding with something after it: we take the token before a semicolon, Dovecot gives 7bit."""
    return field.endswith("encoding") and b"%b;" % octets_of(ours) in message.lower()


def is_line_end_of_epilogue(field: str, ours: Value, theirs: Value, message: bytes) -> bool:
    """The line end before an outer delimiter is its own; Dovecot counts it to a message whose last part ended before."""
    step = {"octets": (1, 2), "lines": (1,)}.get(field.rpartition(".")[2], ())
    return isinstance(ours, str) and isinstance(theirs, str) and int(theirs) - int(ours) in step


def is_odd_address(field: str, ours: Value, theirs: Value, message: bytes) -> bool:
    """Address lists that break the grammar: both servers guess, and mark or drop what they cannot use."""
    marks = (b"SYNTAX_ERROR", b"MISSING_MAILBOX", b"MISSING_DOMAIN")
    return field.rpartition(".")[2] in ADDRESSES and any(mark in octets_of(value) for mark in marks for value in (ours, theirs))


EXPLAINED: dict[str, Rule] = {
    "7-bit answers": is_8bit,
    "multipart without parts": is_empty_multipart,
    "odd boundary": is_odd_boundary,
    "beyond the limits": is_beyond_limits,
    "unreadable type": is_type_in_nonsense,
    "message in base64": is_encoded_message,
    "unreadable encoding": is_encoding_in_nonsense,
    "line end before an outer delimiter": is_line_end_of_epilogue,
    "address list that is none": is_odd_address,
    "parameter without its quotes": is_unquoted_parameter,
    "extended parameter in ASCII": is_half_opened_parameter,
}


class Peer:
    """A Dovecot that says how it sees a message."""

    def __init__(self, dovecot: Dovecot) -> None:
        self._session = dovecot.session()
        self._session.select("INBOX")
        self._count = 0

    def answers(self, message: bytes) -> tuple[Value, Value] | None:
        """ENVELOPE and BODYSTRUCTURE; None for a message that it does not take."""
        if self._session.append("INBOX", None, None, message)[0] != "OK":
            return None
        self._count += 1
        self._session.noop()
        status, parts = self._session.fetch(str(self._count), "(ENVELOPE BODYSTRUCTURE)")
        assert status == "OK"
        answer = b"".join(part[0] + b"\r\n" + part[1] if isinstance(part, tuple) else part for part in parts if part)
        value = parse_value(re.sub(rb"^\d+ ", b"", answer))
        assert isinstance(value, list)
        found = dict(zip(value[::2], value[1::2], strict=True))  # type: ignore[arg-type] # names are atoms
        return found["ENVELOPE"], found["BODYSTRUCTURE"]

    def close(self) -> None:
        self._session.logout()


def differences(peer: Peer, message: bytes) -> list[Difference] | None:
    """Every difference that no rule explains; None where Dovecot has another message than we have."""
    if re.search(rb"\r(?!\n)|\0", message):
        return None  # its Maildir does not keep such octets
    theirs = peer.answers(message)
    if theirs is None:
        return None
    ours = answers_of(message)
    found = [
        *compare_envelopes(parse_value(ours.envelope), theirs[0], ""),
        *compare_bodies(parse_value(ours.bodystructure), theirs[1]),
    ]
    return [difference for difference in found if not any(rule(*difference, message) for rule in EXPLAINED.values())]


def with_crlf(message: bytes) -> bytes:
    """Dovecot counts sizes as if every line end were CRLF."""
    return re.sub(rb"\r?\n", b"\r\n", message)


def test_hard_messages(dovecot: Dovecot) -> None:
    """Our own hard messages have the answers that Dovecot gives, but for what is explained."""
    peer = Peer(dovecot)
    unexplained = {name: differences(peer, with_crlf(message)) for name, message in HARD.items() if message}
    peer.close()
    assert {name: found for name, found in unexplained.items() if found} == {}


@pytest.mark.timeout(600)
def test_corpus(dovecot: Dovecot) -> None:
    """So have all messages of the corpus."""
    folder = os.environ.get("MIC_MAIL_CORPUS")
    if not folder:
        pytest.skip("MIC_MAIL_CORPUS names no folder of messages")
    files = sorted(Path(folder).glob("*.eml"))
    assert files, folder
    peer = Peer(dovecot)
    unexplained = {file.name: differences(peer, with_crlf(file.read_bytes())) for file in files}
    peer.close()
    assert {name: found for name, found in unexplained.items() if found} == {}
