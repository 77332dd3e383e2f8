"""The decoders of DATA and BDAT: every split gives the same, and nothing but CRLF.CRLF ends a message."""

import re
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.smtp.data import ChunkDecoder, DotDecoder

Decoded = tuple[bytes, bool, bytes]
"""Message, ended, rest."""
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def decode(pieces: Iterable[bytes], *, repair_lf: bool = False) -> Decoded:
    decoder = DotDecoder(repair_lf=repair_lf)
    message, rest = b"", b""
    for piece in pieces:
        if decoder.ended:
            rest += piece
        else:
            message += decoder.feed(piece)
    return message, decoder.ended, decoder.rest + rest


def reference(wire: bytes) -> Decoded | None:
    """RFC 5321 §4.5.2 read literally, line by line; None where the end never comes."""
    end = 0 if wire.startswith(b".\r\n") else wire.find(b"\r\n.\r\n") + 2
    if end == 1:
        return None
    body, rest = wire[:end], wire[end + 3 :]
    lines = [line[1:] if line.startswith(b".") else line for line in body.split(b"\r\n")]
    return b"\r\n".join(lines), True, rest


@pytest.mark.parametrize(
    ("wire", "message", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b"...\r\n.\r\n", b"..\r\n", b""),
        (b".a\r\n.\r\n", b"a\r\n", b""),
        (b"a\r\n..\r\n..b\r\n.\r\n", b"a\r\n.\r\n.b\r\n", b""),
        (b"\r\n\r\n.\r\n.\r\n", b"\r\n\r\n", b".\r\n"),
    ],
)
def test_dots(wire: bytes, message: bytes, rest: bytes) -> None:
    """RFC 5321 §4.5.2: one dot is taken from the front of a line, a dot alone ends."""
    assert decode([wire]) == (message, True, rest)


@pytest.mark.parametrize(
    "inside",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r\n.\r\r\n",
        b"\n\r.\n\r",
        b"\r\n\0.\r\n",
        b"\r\r\n.\n",
    ],
)
def test_nothing_but_crlf_dot_crlf_ends_a_message(inside: bytes) -> None:
    """Every ending that some server somewhere takes for one: here the message goes on to its true end."""
    wire = b"Subject: x\r\n\r\nfirst" + inside + b"MAIL FROM:<evil@example.org>\r\nx\r\n.\r\nNOOP\r\n"
    message, ended, rest = decode([wire])
    assert ended
    assert rest == b"NOOP\r\n"
    assert b"MAIL FROM" in message
    assert (BARE.search(message) is not None) == (b"\0" not in inside)


ALPHABET = st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"a", b"\r\n.\r\n", b"\0"])
WIRE = st.lists(ALPHABET, max_size=30).map(b"".join)


@settings(max_examples=400)
@given(WIRE, st.data())
def test_every_split_gives_what_the_whole_gives(wire: bytes, data: st.DataObject) -> None:
    """The result depends on the octets, never on how they arrived; without repair it is the RFC's own algorithm."""
    wire += b"\r\n.\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert decode(pieces) == decode([wire]) == reference(wire)
    one_by_one = [wire[i : i + 1] for i in range(len(wire))]
    assert decode(one_by_one) == decode([wire])
    assert decode(pieces, repair_lf=True) == decode([wire], repair_lf=True) == decode(one_by_one, repair_lf=True)


@given(WIRE)
def test_repair_makes_crlf_of_lf_and_changes_nothing_else(wire: bytes) -> None:
    """With the setting a bare LF is a line end inside the message; a bare CR is refused all the same."""
    wire += b"\r\n.\r\n"
    message, _, rest = decode([wire], repair_lf=True)
    strict, _, strict_rest = decode([wire])
    assert rest == strict_rest
    assert re.search(rb"(?<!\r)\n", message) is None
    if not BARE.search(strict):
        assert message == strict


def test_the_decoder_holds_back_four_octets_at_most() -> None:
    """Constant memory: what is not held back comes out at once."""
    decoder = DotDecoder()
    taken = given_out = 0
    for _ in range(1000):
        taken += 10
        given_out += len(decoder.feed(b"\r\n..a\r\n..."))
    assert taken - 2000 - given_out <= 4


@pytest.mark.parametrize("first", [b"QUJD\r\n" * 1_000, b"To: lan@mic.gov.vn.\r\n\r\n" + b"QUJD\r\n" * 1_000])
def test_octets_without_a_dot_at_a_lines_start_are_not_copied(first: bytes) -> None:
    """What has no dot at the start of a line is returned as it came, its line end included; the last piece is cut once."""
    decoder = DotDecoder()
    last = b"REVG\r\n" * 1_000
    assert decoder.feed(first) is first
    assert decoder.feed(last + b".\r\nNOOP\r\n") == last
    assert decoder.ended
    assert decoder.rest == b"NOOP\r\n"


@pytest.mark.parametrize("piece", [b"a.b\r\n..c\r\n.\r\n", b"a.b\r\n.\r\nc.\r\n.\r\n", b"a\r\n.\r\n.\r\n", b"x.\r\n.\r\n"])
def test_the_first_dot_at_a_lines_start_decides(piece: bytes) -> None:
    """A piece that ends with the mark of the end may hold doubled dots, or an earlier mark."""
    assert decode([piece]) == reference(piece)


@given(WIRE, st.data())
def test_chunks_of_any_size_are_one_message(wire: bytes, data: st.DataObject) -> None:
    """BDAT: the octets come out as they are, or with CRLF for LF; a CRLF cut in two by a chunk's end is still a CRLF."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    for repair_lf, expected in ((False, wire), (True, re.sub(rb"(?<!\r)\n", b"\r\n", wire))):
        decoder = ChunkDecoder(repair_lf=repair_lf)
        assert b"".join(decoder.feed(piece) for piece in pieces) + decoder.close() == expected
