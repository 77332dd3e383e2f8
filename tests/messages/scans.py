"""Ways to look at scans."""

from itertools import pairwise

from mic_mail.mime.scanner import Scanner
from mic_mail.mime.structure import Part, Scan


def scan(*chunks: bytes) -> Scan:
    """The scan of a message that arrives in these chunks."""
    scanner = Scanner()
    for chunk in chunks:
        scanner.feed(chunk)
    return scanner.finish()


def cut_at(message: bytes, cuts: list[int]) -> list[bytes]:
    """The message in pieces."""
    places = [0, *sorted(cut % (len(message) + 1) for cut in cuts), len(message)]
    return [message[start:end] for start, end in pairwise(places)]


def leaves(part: Part) -> list[Part]:
    """Parts without parts, in reading order."""
    return [leaf for child in part.children for leaf in leaves(child)] if part.children else [part]


def tree(part: Part) -> tuple[object, ...]:
    """Everything that is known of a part and those in it, for comparison."""
    return (
        part.header_start,
        part.body_start,
        part.body_end,
        part.lines,
        part.maintype,
        part.subtype,
        tuple(part.params),
        part.encoding,
        part.decoded_octets,
        part.damaged,
        part.is_attachment,
        part.is_message,
        tuple(part.fields.items()),
        tuple(tree(child) for child in part.children),
    )


def everything(found: Scan) -> tuple[object, ...]:
    """A scan as a value."""
    return (
        tree(found.root),
        found.octets,
        found.header,
        found.attachment_octets,
        found.bare_cr,
        found.bare_lf,
        found.text,
        found.text_part and found.text_part.header_start,
    )
