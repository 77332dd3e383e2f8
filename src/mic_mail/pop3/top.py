"""Cut a message for TOP (RFC 1939 §7): the header and the first lines of the body.

Pure; takes pieces of any size.
"""


class Top:
    """Counter of the header, the empty line and `lines` lines of the body (RFC 1939 §7)."""

    __slots__ = ("_head", "_in_header", "_lines", "over")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._in_header = True
        self._head = b""  # the first two octets of the present line, which show whether it is empty
        self.over = False
        """True once nothing more belongs to it."""

    def take(self, octets: bytes) -> int:
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
