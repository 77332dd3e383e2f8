"""How much of a message TOP shows (RFC 1939 §7): the end of the header, and of so many lines of the body. Pure; any pieces."""


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
