"""One pass over a message: where its parts lie, how large they are, what is wrong with it.

In: the octets of a message in chunks of any size (`feed`). Out: a `Scan`. The result does not depend on the chunks.
Never raises, whatever the octets are; memory, parts, depth and time are bounded (`LIMITS` below); nothing is changed.
Standards: RFC 5322 (header and body), RFC 2045/2046 (MIME), RFC 2046 §5.1.1 (delimiter lines match by their beginning).
Line ends are CRLF or bare LF, also mixed; sizes are octets of the file as it is.
"""

from dataclasses import dataclass


class Part:
    """One body part; offsets count from the first octet of the message.

    `children` are the parts of a multipart, or the one enclosed message of a message/rfc822 (`is_message`).
    The header is `[header_start, body_start)` including the empty line, the body `[body_start, body_end)`.
    """

    __slots__ = (
        "body_end", "body_start", "children", "damaged", "decoded_octets", "encoding", "fields", "header_start",
        "is_attachment", "is_message", "lines", "maintype", "params", "subtype",
    )  # fmt: skip

    header_start: int
    body_start: int
    body_end: int
    lines: int
    maintype: bytes
    subtype: bytes
    params: tuple[tuple[bytes, bytes], ...]
    encoding: bytes
    decoded_octets: int
    damaged: bool
    is_attachment: bool
    is_message: bool
    fields: dict[bytes, bytes]
    children: list["Part"]


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass over a message found."""

    root: Part
    octets: int
    header: bytes
    """The raw header block with its empty line; empty when it is longer than `MAX_HEADER` (cut it out of the file then)."""
    attachment_octets: int
    has_8bit: bool
    has_nul: bool
    bare_cr: int
    bare_lf: int
    text: bytes
    """The beginning of the first text body as it lies in the message, for the preview."""
    text_part: Part | None


class Scanner:
    """Reads one message; make a new one for the next."""

    def feed(self, chunk: bytes) -> None:
        """Take the next octets."""
        raise NotImplementedError

    @property
    def attachment_octets(self) -> int:
        """Attachments so far, in decoded octets (Reg. 8.3.b); never falls while the message streams in."""
        raise NotImplementedError

    def finish(self) -> Scan:
        """The message has ended."""
        raise NotImplementedError
