"""Dot-stuff messages for DATA (RFC 5321 §4.5.2) and POP3 responses (RFC 1939 §3). Pure.

`Stuffing` doubles the dot at the start of each line and ends the message; pieces may have any size. Nothing else is changed. A
line also begins after a bare LF. SMTP lets none in, but a user may have appended such a message by IMAP, and many programs and
servers end lines at LF, so that a single dot after it would end the message early.
"""

END = b".\r\n"
"""The last line."""


class Stuffing:
    """Dot-stuffs one outgoing message."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the last two octets

    def feed(self, octets: bytes) -> bytes:
        """Return these octets as they are sent."""
        stuffed = octets.replace(b"\n.", b"\n..")
        if self._tail.endswith(b"\n") and octets.startswith(b"."):
            stuffed = b"." + stuffed
        self._tail = octets[-2:] if len(octets) > 1 else (self._tail + octets)[-2:]
        return stuffed

    def end(self) -> bytes:
        """Return the terminator, preceded by CRLF where the message does not end with one."""
        return END if self._tail == b"\r\n" else b"\r\n" + END
