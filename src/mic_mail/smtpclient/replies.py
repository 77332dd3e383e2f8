"""Replies of other mail servers out of octets in pieces of any size. Pure.

In: `feed`. Out: `next_reply`, or None while more is needed; `BadReply` for what no SMTP server says (RFC 5321 §4.2). Bounded in
the length of a line, in lines, and in octets that nobody has asked for: a server that floods is hung up on. Whether anything is
left over is asked before TLS begins: what came before it was sent in the open (RFC 3207 §4.2).
"""

import re
from dataclasses import dataclass

LONGEST_LINE = 2_048
"""RFC 5321 §4.5.3.1.5 has 512; what is longer and harmless is seen."""
MOST_LINES = 200
MOST_UNREAD = 256 << 10
MOST_TOLD = 1_000
"""Characters of a reply that logs, queue and reports keep: what a stranger says of a message must not outgrow it."""
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f]+")


class BadReply(Exception):
    """The other side does not speak SMTP."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, its lines without codes."""

    code: int
    lines: tuple[str, ...]
    enhanced: str | None = None
    """RFC 3463, as the first line has it, if its class is that of the code."""

    @property
    def is_positive(self) -> bool:
        """The command is done. 354 is no such reply: it asks for more (RFC 5321 §4.2.1)."""
        return self.code < 300

    @property
    def is_permanent(self) -> bool:
        return self.code >= 500

    @property
    def text(self) -> str:
        """As a person reads it, and a DSN quotes it: in one line, with code and status (RFC 3464 §2.3.6)."""
        return shortened(self.whole)

    @property
    def whole(self) -> str:
        """The same at any length."""
        words = " ".join(self.lines)
        return f"{self.code} {self.enhanced} {words}" if self.enhanced is not None else f"{self.code} {words}"


def shortened(text: str) -> str:
    """As much of a reply as is kept."""
    return text if len(text) <= MOST_TOLD else f"{text[:MOST_TOLD]}..."


class Replies:
    """What has arrived from one server and is not used yet."""

    __slots__ = ("_code", "_lines", "_octets")

    def __init__(self) -> None:
        self._octets = b""
        self._lines: list[str] = []
        self._code = 0

    @property
    def is_empty(self) -> bool:
        """Nothing is left over, not even half a reply."""
        return not self._octets and not self._lines

    def feed(self, octets: bytes) -> None:
        """Take what has arrived."""
        self._octets += octets
        if len(self._octets) > MOST_UNREAD:
            raise BadReply("more than anybody has asked for")

    def next_reply(self) -> Reply | None:
        """The next one that is whole."""
        while True:
            line, end, rest = self._octets.partition(b"\n")
            if not end:
                if len(self._octets) > LONGEST_LINE:
                    raise BadReply("a line without end")
                return None
            self._octets = rest
            if self._take(line.removesuffix(b"\r")):
                return self._whole()

    def _take(self, line: bytes) -> bool:
        """Whether this line is the last of its reply."""
        found = _LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
        if found is None:
            raise BadReply(f"no reply: {line[:80]!r}")
        code = int(found[1])
        if self._lines and code != self._code:
            raise BadReply(f"lines of {self._code} and of {code} in one reply")
        if len(self._lines) >= MOST_LINES:
            raise BadReply("a reply without end")
        self._code = code
        self._lines.append(_UNPRINTABLE.sub(" ", (found[3] or b"").decode("utf-8", "replace")).strip())
        return found[2] != b"-"

    def _whole(self) -> Reply:
        code, lines, self._lines = self._code, self._lines, []
        found = _ENHANCED.match(lines[0])
        if found is None or found[1][0] != str(code)[0]:
            return Reply(code, tuple(lines))
        enhanced = found[1]
        return Reply(code, tuple(line.removeprefix(enhanced).lstrip() for line in lines), enhanced)
