"""Decoding parts for BINARY: whole or in pieces, damaged or not."""

import base64
import quopri

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from messages.hard import lines_of_base64
from mic_mail.mime.encodings import decode, decoder_for

NOISE = st.lists(
    st.sampled_from(
        [b"QUJD", b"QQ==", b"=", b"\r\n", b"\n", b"=C4", b"=\r\n", b"=\r", b"!", b" ", b"A", b"\xff", b"\t", b" " * 600]
    )
).map(b"".join)


@given(st.binary(), st.integers(1, 100))
def test_base64_comes_back(content: bytes, columns: int) -> None:
    """What was encoded is decoded, whatever the line length."""
    assert decode(lines_of_base64(content, columns), "base64") == content


MANY = bytes(range(256)) * 200


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b" \r\n"])
@pytest.mark.parametrize("columns", [76, 64, 4, 5, 998, 10_000])
@pytest.mark.parametrize("damage", [b"", b"!", b"\r\n", b"A", b"=", b"QQ==\r\n"])
def test_much_base64(columns: int, line_end: bytes, damage: bytes) -> None:
    """Even lines are decoded faster, and to the same: up to the first padding, whatever is no digit."""
    digits = base64.b64encode(MANY)
    raw = line_end.join(digits[at : at + columns] for at in range(0, len(digits), columns)) + line_end
    raw = raw[:40_000] + damage + raw[40_000:]
    known = bytes(octet for octet in raw.partition(b"=")[0] if octet not in b"!\r\n ")
    for size in (len(raw), 10_000, 9_999):
        decoder = decoder_for("base64")
        pieces = [decoder.feed(raw[at : at + size]) for at in range(0, len(raw), size)]
        content = b"".join([*pieces, decoder.finish()])
        kept = known[: len(known) - (len(known) % 4 == 1)]
        assert content == base64.b64decode(kept + b"=" * (-len(kept) % 4))


@given(st.binary().filter(lambda content: b"\r\n" not in content))  # it writes all line ends like the first
def test_quoted_printable_comes_back(content: bytes) -> None:
    """What the standard library encodes is decoded."""
    assert decode(quopri.encodestring(content, quotetabs=True), "quoted-printable") == content


@given(NOISE, st.sampled_from(["base64", "quoted-printable", "7bit", "x-none"]), st.lists(st.integers(0, 1500), max_size=5))
@example(b"=\r\t\n", "quoted-printable", [3])
@example(b"=\r\t\r\n", "quoted-printable", [3, 4])
def test_pieces_decode_as_the_whole(raw: bytes, encoding: str, cuts: list[int]) -> None:
    """A part that is read in slices gives the octets that it gives at once, and nothing is too damaged."""
    places = [0, *sorted(cuts), len(raw)]
    decoder = decoder_for(encoding)
    pieces = [decoder.feed(raw[start:end]) for start, end in zip(places, [*places[1:], len(raw)], strict=True) if start < end]
    assert b"".join([*pieces, decoder.finish()]) == decode(raw, encoding)


DAMAGED = {
    (b"QUJD!QU*JD\r\n", "base64"): b"ABCABC",
    (b"QUI=QUJD", "base64"): b"AB",
    (b"QUJDQ", "base64"): b"ABC",
    (b"QUI", "base64"): b"AB",
    (b"a=ZZb=", "quoted-printable"): b"a=ZZb",
    (b"a==41", "quoted-printable"): b"a=A",
    (b"a=\rb", "quoted-printable"): b"a=\rb",
    (b"a=c4=91", "Quoted-Printable"): b"a\xc4\x91",
    (b"a=3D", "x-none"): b"a=3D",
    (b"a  \r\nb\t\nc= \r\nd \t", "quoted-printable"): b"a\r\nb\ncd",
    (b"a =20\r\n = \r\n \r\n= ", "quoted-printable"): b"a  \r\n \r\n",
    (b" " * 2000 + b"\r\n" + b" " * 900 + b"\r\n", "quoted-printable"): b" " * 2000 + b"\r\n\r\n",
}


@pytest.mark.parametrize(("raw", "encoding"), DAMAGED)
def test_damage_is_passed_over(raw: bytes, encoding: str) -> None:
    """What does not decode is skipped in base64 and stands for itself in quoted-printable."""
    assert decode(raw, encoding) == DAMAGED[raw, encoding]


def test_white_space_is_held_until_its_line_ends() -> None:
    """A run of blanks that comes in pieces is still at the end of its line, or in the middle of it."""
    for end, expected in ((b"\r\nb", b"a\r\nb"), (b"b", b"a" + b" " * 100 + b"b"), (b"", b"a")):
        decoder = decoder_for("quoted-printable")
        assert b"".join([decoder.feed(b"a" + b" " * 50), decoder.feed(b" " * 50 + end), decoder.finish()]) == expected


def test_the_encoding_may_be_written_in_capitals() -> None:
    """Encodings are case-insensitive (RFC 2045 §6.1)."""
    assert decode(base64.b64encode(b"abc"), "BASE64") == b"abc"
