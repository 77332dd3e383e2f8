"""Messages as multi-line responses (RFC 1939 §3), and how much of one TOP shows. Pure; pieces of any size.

`Stuffing` puts a second dot in front of every line that begins with one, and ends the response. Nothing else of a message is
changed. A line also begins behind a lone LF: what SMTP brought has none, but a user may have put such a message there by IMAP,
and most mail programs end lines at LF, so a dot that stood alone behind it would end the response within the message.
`Top` finds the end of the header and of so many lines of the body.
"""

END = b".\r\n"
"""The last line of a multi-line response."""


class Stuffing:
    """One message on its way out."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the last two octets

    def feed(self, octets: bytes) -> bytes:
        """These octets as they go on the wire."""
        stuffed = octets.replace(b"\n.", b"\n..")
        if self._tail.endswith(b"\n") and octets.startswith(b"."):
            stuffed = b"." + stuffed
        self._tail = octets[-2:] if len(octets) > 1 else (self._tail + octets)[-2:]
        return stuffed

    def end(self) -> bytes:
        """What ends the response; also the line, where the message does not."""
        return END if self._tail == b"\r\n" else b"\r\n" + END


class Top:
    """The header, the empty line and `lines` lines of the body (RFC 1939 §7)."""

    __slots__ = ("_head", "_in_header", "_lines", "over")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._in_header = True
        self._head = b""  # how the present line begins: two octets tell whether it is empty
        self.over = False
        """Nothing more belongs to it."""

    def take(self, octets: bytes) -> int:
        """How many of the next octets belong to it."""
        at = 0
        while not self.over:
            end = octets.find(b"\n", at)
            if end < 0:
                self._head = (self._head + octets[at : at + 2])[:2]
                return len(octets)
            if self._in_header:
                self._in_header = (self._head + octets[at : min(at + 2, end)])[:2] not in (b"", b"\r")
                self._head = b""
            else:
                self._lines -= 1
            self.over = not self._in_header and self._lines <= 0
            at = end + 1
        return at
