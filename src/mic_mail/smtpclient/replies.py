"""Parse replies of other mail servers from octets in pieces of any size. Pure.

In: `feed`. Out: `next_reply`, or None while more is needed; `BadReply` for anything that is not SMTP (RFC 5321 §4.2). The
length of a line, the number of lines and unread octets are bounded: a server that floods is disconnected. Before TLS begins,
`is_empty` shows whether anything is left over, as that was sent in plain text (RFC 3207 §4.2).
"""

import re
from dataclasses import dataclass

from mic_mail.errors import Text, Trouble, in_ascii

LONGEST_LINE = 2_048
"""Octets; RFC 5321 §4.5.3.1.5 has 512, but longer harmless lines occur."""
MOST_LINES = 200
MOST_UNREAD = 256 << 10
MOST_TOLD = 1_000
"""Characters of a reply kept in logs, queue and reports.

A reply comes from an untrusted server and must not outgrow the message.
"""
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f]+")


class BadReply(Trouble):
    """The other side does not speak SMTP."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, its lines without codes."""

    code: int
    lines: tuple[str, ...]
    enhanced: str | None = None
    """Enhanced status code (RFC 3463) of the first line, if its class matches the code."""

    @property
    def is_positive(self) -> bool:
        """True if the command is done; 354 is not, as it asks for more (RFC 5321 §4.2.1)."""
        return self.code < 300

    @property
    def is_permanent(self) -> bool:
        return self.code >= 500

    @property
    def text(self) -> str:
        """The reply for people and for DSNs: one line, with code and status (RFC 3464 §2.3.6)."""
        return shortened(self.whole)

    @property
    def whole(self) -> str:
        """The same text without a length limit."""
        words = " ".join(self.lines)
        return f"{self.code} {self.enhanced} {words}" if self.enhanced is not None else f"{self.code} {words}"


def shortened(text: str) -> str:
    """Return a reply, cut to the length that is kept."""
    return text if len(text) <= MOST_TOLD else f"{text[:MOST_TOLD]}..."


class Replies:
    """Octets and replies that arrived from one server and are not consumed yet."""

    __slots__ = ("_code", "_lines", "_octets")

    def __init__(self) -> None:
        self._octets = b""
        self._lines: list[str] = []
        self._code = 0

    @property
    def is_empty(self) -> bool:
        """True if nothing is left over, not even half a reply."""
        return not self._octets and not self._lines

    def feed(self, octets: bytes) -> None:
        """Take received octets."""
        self._octets += octets
        if len(self._octets) > MOST_UNREAD:
            raise BadReply(Text("trả lời nhiều hơn những gì được hỏi", "unsolicited data"))

    def next_reply(self) -> Reply | None:
        """Return the next complete reply."""
        while True:
            line, end, rest = self._octets.partition(b"\n")
            if not end:
                if len(self._octets) > LONGEST_LINE:
                    raise BadReply(Text("dòng trả lời không kết thúc", "an endless line"))
                return None
            self._octets = rest
            if self._take(line.removesuffix(b"\r")):
                return self._whole()

    def _take(self, line: bytes) -> bool:
        """Take a line; return whether it is the last of its reply."""
        found = _LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
        if found is None:
            shown = in_ascii(repr(line[:80]))
            raise BadReply(Text(f"không phải câu trả lời: {shown}", f"not a reply: {shown}"))
        code = int(found[1])
        if self._lines and code != self._code:
            raise BadReply(
                Text(
                    f"một câu trả lời có dòng mã {self._code} và dòng mã {code}",
                    f"lines of {self._code} and of {code} in one reply",
                )
            )
        if len(self._lines) >= MOST_LINES:
            raise BadReply(Text("câu trả lời không kết thúc", "an endless reply"))
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
