"""The part table: section numbers to octets."""

import pytest
from hypothesis import given

from messages import strategies
from messages.hard import HARD, HEAD, PDF, PLAIN, multipart, part
from messages.scans import scan
from mic_mail.mime.part_table import Kind, Sections, encode

INNER = b"Subject: inner\r\n" + multipart("in", PLAIN, PDF)
TEXT_INNER = b"Subject: text\r\n" + PLAIN
MESSAGE = HEAD + multipart("out", PLAIN, part("message/rfc822", INNER), part("message/rfc822", TEXT_INNER))


def at(message: bytes, section: tuple[int, ...], kind: Kind = "") -> bytes | None:
    """What a section holds."""
    place = Sections(encode(scan(message))).locate(section, kind)
    return None if place is None else message[place[0] : place[0] + place[1]]


def body(octets: bytes) -> bytes:
    return octets.partition(b"\r\n\r\n")[2]


def header(octets: bytes) -> bytes:
    return octets[: len(octets) - len(body(octets))]


def test_the_whole_message() -> None:
    """BODY[], BODY[HEADER] and BODY[TEXT] of the message; there is no BODY[MIME]."""
    assert at(MESSAGE, ()) == MESSAGE
    assert at(MESSAGE, (), "HEADER") == header(MESSAGE)
    assert at(MESSAGE, (), "TEXT") == body(MESSAGE)
    assert at(MESSAGE, (), "MIME") is None


def test_parts_of_a_multipart() -> None:
    """BODY[1] is the first part's body, BODY[1.MIME] its header; HEADER and TEXT are for messages."""
    assert at(MESSAGE, (1,)) == body(PLAIN)
    assert at(MESSAGE, (1,), "MIME") == header(PLAIN)
    assert at(MESSAGE, (1,), "HEADER") is None
    assert at(MESSAGE, (1,), "TEXT") is None
    assert at(MESSAGE, (1, 1)) is None
    assert at(MESSAGE, (4,)) is None
    assert at(MESSAGE, (0,)) is None


def test_parts_of_an_attached_message() -> None:
    """RFC 9051 §6.4.5.1: the number of a message/rfc822 is its body's; its parts are numbered inside it."""
    assert at(MESSAGE, (2,)) == INNER
    assert at(MESSAGE, (2,), "MIME") == b"Content-Type: message/rfc822\r\n\r\n"
    assert at(MESSAGE, (2,), "HEADER") == header(INNER)
    assert at(MESSAGE, (2,), "TEXT") == body(INNER)
    assert at(MESSAGE, (2, 1)) == body(PLAIN)
    assert at(MESSAGE, (2, 2), "MIME") == header(PDF)
    assert at(MESSAGE, (3, 1)) == body(PLAIN)
    assert at(MESSAGE, (3, 2)) is None
    assert at(MESSAGE, (3, 1, 1)) is None


def test_part_1_of_a_message_that_is_not_a_multipart() -> None:
    """Every message has a part 1: the text, with the message's header as its MIME header."""
    message = HARD["plain"]
    assert at(message, (1,)) == body(message)
    assert at(message, (1,), "MIME") == header(message)
    assert at(message, (1, 1)) is None
    assert at(message, (2,)) is None


def test_a_message_whose_body_is_a_message() -> None:
    """BODY[1.HEADER] is the header inside, BODY[1.1] the text inside it."""
    message = HEAD + part("message/rfc822", TEXT_INNER)
    assert at(message, (1,)) == TEXT_INNER
    assert at(message, (1,), "HEADER") == header(TEXT_INNER)
    assert at(message, (1, 1)) == body(PLAIN)


def test_a_multipart_without_parts_is_one_part() -> None:
    """It is shown as text/plain, so BODY[1] is its text."""
    message = HARD["multipart without parts"]
    assert at(message, (1,)) == body(message)


def test_encoding_and_decoded_size() -> None:
    """BINARY and BINARY.SIZE find how a part is encoded and how large it is decoded."""
    sections = Sections(encode(scan(MESSAGE)))
    pdf = sections.part((2, 2))
    assert pdf is not None
    assert (pdf.encoding, pdf.decoded_octets) == ("base64", 3009)
    unknown = Sections(encode(scan(HARD["encoding nobody knows"]))).part((1,))
    assert unknown is not None
    assert unknown.encoding == "unknown"


@pytest.mark.parametrize("name", HARD)
def test_every_section_of_every_hard_message_lies_inside_it(name: str) -> None:
    """Whatever the message, what a section names can be read."""
    message = HARD[name]
    sections = Sections(encode(scan(message)))
    for section in ((), (1,), (2,), (1, 1), (1, 2), (2, 1), (1, 1, 1), (7,), (1000,)):
        for kind in ("", "HEADER", "TEXT", "MIME"):
            place = sections.locate(section, kind)
            assert place is None or 0 <= place[0] <= place[0] + place[1] <= len(message)


@given(strategies.anything)
def test_the_table_says_what_the_scan_says(message: bytes) -> None:
    """Every row is its part."""
    found = scan(message)
    pairs = [(Sections(encode(found)).root, found.root)]
    while pairs:
        row, this = pairs.pop()
        assert row.header == (this.header_start, this.body_start - this.header_start)
        assert row.body == (this.body_start, this.body_end - this.body_start)
        assert row.decoded_octets == this.decoded_octets
        pairs += zip(row.children, this.children, strict=True)
