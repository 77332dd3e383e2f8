"""Messages as lines that end with a dot alone: what DATA sends (RFC 5321 §4.5.2) and POP3 answers (RFC 1939 §3). Pure.

`Stuffing` puts a second dot in front of every line that begins with one, and ends the message; pieces of any size. Nothing else
is changed. A line also begins behind a lone LF: what SMTP brought has none, but a user may have put such a message there by
IMAP, and many programs and servers end lines at LF, so a dot that stood alone behind it would end the message within itself.
"""

END = b".\r\n"
"""The last line."""


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
        """What ends the message; also the line, where the message does not."""
        return END if self._tail == b"\r\n" else b"\r\n" + END
