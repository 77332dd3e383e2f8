"""What counts as an attachment, and how much (Reg. 8.3.b)."""

import binascii
import os
import quopri
import re
from collections.abc import Callable

import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.hard import HARD, HEAD, HTML, IMAGE, PDF, PLAIN, crlf, lines_of_base64, multipart, part, uuencoded
from messages.scans import cut_at, leaves, scan
from mic_mail.mime import attachment_size as meter_module
from mic_mail.mime.attachment_size import Base64Meter, UuMeter, meter_for
from mic_mail.mime.encodings import decode
from mic_mail.mime.scanner import Scanner

FILE = os.urandom(10_000)
FULL_LINES = 10_000 // 57
BINARY = part("application/octet-stream", lines_of_base64(FILE), "base64")
TEXT_FILE = part("text/plain", b"x" * 100, "", "Content-Disposition: attachment\n")


def octets(message: bytes) -> int:
    return scan(message).attachment_octets


COUNTED = {
    "a plain message has none": (PLAIN, 0),
    "nor has HTML": (HTML, 0),
    "a message that is a file is one": (BINARY, 10_000),
    "text and a file": (multipart("b", PLAIN, BINARY), 10_000),
    "two files": (multipart("b", PLAIN, BINARY, BINARY), 20_000),
    "both faces of an alternative are bodies": (multipart("b", PLAIN, HTML, subtype="alternative"), 0),
    "a third face is not": (multipart("b", PLAIN, HTML, HTML, subtype="alternative"), 183),
    "inline images count": (multipart("b", HTML, IMAGE, subtype="related"), 1024),
    "as deep as they lie": (
        multipart("x", multipart("a", PLAIN, multipart("r", HTML, IMAGE, subtype="related"), subtype="alternative"), BINARY),
        11_024,
    ),
    "text that says it is a file": (TEXT_FILE, 100),
    "text with a file name": (part('text/plain; name="a.txt"', b"x" * 100), 100),
    "text with an encoded file name": (part("text/plain; name*=utf-8''%E1%BA%A3", b"x" * 100), 100),
    "inline text with a file name": (
        part("text/plain", b"x" * 100, "", 'Content-Disposition: inline; filename="a"\n'),
        100,
    ),
    "inline text without": (part("text/plain", b"x" * 100, "", "Content-Disposition: inline\n"), 0),
    "only the first text of a mixed message": (multipart("b", PLAIN, BINARY, PLAIN), 10_000 + 118),
    "a file before the text": (multipart("b", BINARY, PLAIN), 10_000),
    "a calendar": (multipart("b", PLAIN, part("text/calendar", b"c" * 50), subtype="alternative"), 50),
    "S/MIME signature": (
        multipart("b", PLAIN, part("application/pkcs7-signature", lines_of_base64(FILE), "base64"), subtype="signed"),
        10_000,
    ),
    "S/MIME, enveloped": (part("application/pkcs7-mime", lines_of_base64(FILE), "base64"), 10_000),
    "leaves of an attached message, once": (
        multipart("b", PLAIN, part("message/rfc822", HEAD + multipart("i", PLAIN, BINARY))),
        10_118,
    ),
    "an attached message in base64": (multipart("b", PLAIN, part("message/rfc822", lines_of_base64(FILE), "base64")), 10_000),
    "a multipart that has no parts": (crlf("Content-Type: multipart/mixed; boundary=b\n\n") + b"x" * 500, 500),
    "a multipart without a boundary": (crlf("Content-Type: multipart/mixed\n\n") + b"x" * 500, 500),
    "neither preamble nor epilogue": (multipart("b", PLAIN, preamble=b"x" * 99 + b"\r\n", epilogue=b"\r\nxyz"), 0),
}


@given(
    st.lists(st.sampled_from([b"AAAA", b"Yg", b"a", b"\r\n", b" ", b"-", b"\0", b"\xff", b"+/9z"]), max_size=40), st.booleans()
)
def test_the_fast_decoder_decodes_like_the_usual_one(pieces: list[bytes], ends: bool) -> None:
    """What the meter of base64 hands it, digits and anything else with padding at the end alone."""

    def decoded(decode: Callable[[bytes], bytes]) -> bytes | None:
        try:
            return decode(b"".join(pieces) + (b"==" if ends else b""))
        except binascii.Error:
            return None

    assert decoded(pybase64.b64decode) == decoded(binascii.a2b_base64)


LINES_OF_BASE64 = [
    b"QUJD" * 19 + b"\r\n",
    b"QUJD" * 19 + b"\n",
    b"QUI=\r\n",
    b"QUJDQ\r\n",
    b"--b\r\n",
    b"QU D\r\n",
    b"\r\n",
    b"\0UJD\r\n",
]


@given(st.lists(st.sampled_from(LINES_OF_BASE64), max_size=6), st.booleans())
def test_what_the_fast_lane_passes_over_is_digits_in_lines(lines: list[bytes], in_text: bool) -> None:
    """Nothing that a delimiter could be made of, and line ends are what they are said to be."""
    octets = b"".join(lines)
    known = meter_for(b"base64", UuMeter() if in_text else None).feed(octets)
    if known is not None:
        size, ends = known
        assert re.fullmatch(rb"([A-Za-z0-9+/]+\r?\n)+", octets[:size])
        assert ends == (octets[:size].count(b"\n"), octets[:size].count(b"\r"), octets[:size].count(b"\r\n"))


def test_even_lines_of_base64_take_the_fast_lane() -> None:
    """All but the last, shorter one."""
    assert Base64Meter().feed(lines_of_base64(FILE)) == (FULL_LINES * 78, (FULL_LINES,) * 3)


@pytest.mark.parametrize("what", COUNTED)
def test_what_counts(what: str) -> None:
    """Every leaf counts in decoded octets, but the first text and the first HTML of each alternative, related, and message."""
    body, expected = COUNTED[what]
    assert octets(HEAD + body) == expected


ENCODED = {
    "7bit": (b"x" * 300, "7bit", 300),
    "8bit": (b"\xc4\x91" * 150, "8bit", 300),
    "binary": (bytes(300), "binary", 300),
    "an encoding nobody knows": (b"x" * 300, "x-pack", 300),
    "base64 in lines of 76": (lines_of_base64(bytes(300), 76), "base64", 300),
    "base64 in lines of 60": (lines_of_base64(bytes(300), 60), "base64", 300),
    "base64 in one line": (lines_of_base64(bytes(300), 400), "base64", 300),
    "base64 with blanks": (b"  QUJD\tQUJD \r\n\r\n", "base64", 6),
    "base64 without padding": (b"QUI", "base64", 2),
    "BASE64 in capitals": (b"QUJD", "BASE64", 3),
    "base64, damaged by a sign": (b"QUJD!QUJD", "base64", 9),
    "base64, damaged by octets after its end": (b"QUI=QUJD", "base64", 8),
    "base64, damaged by a lone digit": (b"QUJDQ", "base64", 5),
    "base64 with a footer": (b"QUJD\r\n-- \r\nfooter", "base64", 17),
    "quoted-printable": (b"=C4=91=\r\nx=3D\r\ny", "quoted-printable", 7),
    "quoted-printable with LF": (b"=C4=91=\nx\ny", "quoted-printable", 5),
    "quoted-printable that ends softly": (b"x=\r\n", "quoted-printable", 1),
    "quoted-printable that ends in a lone sign": (b"x=3D\r\ny=", "quoted-printable", 5),
    "quoted-printable with white space at the ends of lines": (b"x  \r\ny\t", "quoted-printable", 4),
    "quoted-printable, damaged": (b"x=3Dy=ZZ", "quoted-printable", 8),
}


@pytest.mark.parametrize("what", ENCODED)
@pytest.mark.parametrize("line_end", [b"", b"\r\n"], ids=["at the end of the message", "before a delimiter"])
def test_decoded_sizes(what: str, line_end: bytes) -> None:
    """Attachments count decoded; damaged encodings count as they are; the line end of a delimiter never counts."""
    raw, encoding, expected = ENCODED[what]
    leaf = part("application/octet-stream", raw, encoding)
    assert octets(HEAD + (multipart("b", leaf) if line_end else leaf)) == expected


def test_damage_is_seen_across_chunks() -> None:
    """Base64 that goes on after its padding, in a later chunk, is damaged all the same."""
    chunks = [HEAD, b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n", b"QUI=\r\n", b"QUJD\r\n"]
    assert scan(*chunks).attachment_octets == 12
    assert scan(*chunks[:3]).attachment_octets == 2


def test_uuencode_inside_text_counts() -> None:
    """A uuencoded file in a text body counts with its decoded size; text around it does not."""
    assert octets(HEAD + part("text/plain", b"xem:\r\n" + uuencoded(FILE) + b"\r\nhet\r\n" + uuencoded(bytes(77)))) == 10_077


def test_uuencode_with_stripped_spaces_counts() -> None:
    """Old gateways cut trailing spaces, and encoders wrote space for zero."""
    body = uuencoded(bytes(450)).replace(b"`", b" ").replace(b" \r\n", b"\r\n")
    lines = [line.rstrip() if number % 2 else line for number, line in enumerate(body.split(b"\r\n"))]
    assert octets(HEAD + part("text/plain", b"\r\n".join(lines))) == 450


@pytest.mark.parametrize("size", [0, 44, 45, 10_000])
def test_uuencode_with_spaces_for_zeros_counts(size: int) -> None:
    """Older programs write zeros, and the line of none before the end, as spaces: nothing is damaged, nothing counts raw."""
    file = uuencoded(bytes(size)).replace(b"`", b" ")
    assert b"\r\n \r\nend" in file
    assert octets(HEAD + part("text/plain", file)) == size
    assert octets(HEAD + part("application/x", file, "x-uuencode")) == size


def test_damaged_uuencode_counts_raw() -> None:
    """What stands between begin and end and does not decode counts as it is; a file without end still counts."""
    assert octets(HEAD + part("text/plain", b"begin 644 a\r\n" + b"junk line here\r\n" * 10 + b"end\r\n")) == 160
    assert octets(HARD["uuencode without end"]) > 150


UU_LINES = st.builds(
    lambda first, rest, end: bytes([first]) + rest + end,
    st.integers(0x20, 0x61),
    st.lists(st.sampled_from(b" !A_`"), max_size=90).map(bytes),
    st.sampled_from([b"\n", b"\r\n", b" \r\n", b"\t \r\r\n"]),
)
ODD_LINES = [b"\n", b"\r\n", b"    \n", b"     \n", b" A\r\n", b"!" + b" " * 1_100 + b"\r\n", b"ende\r\n"]


def counted_line_by_line(lines: list[bytes]) -> tuple[int, bool]:
    """What a file of these lines holds, and whether it is damaged; from the first damaged line on they count as they are."""
    found, damaged = 0, False
    for line in lines:
        text = line.rstrip()
        octets = (text[0] - 0x20) & 0x3F if text else 0
        is_sound = (
            all(0x20 <= sign <= 0x60 for sign in text) and len(text) - 2 <= (octets + 2) // 3 * 4 if text else len(line) <= 5
        )
        damaged = damaged or not is_sound
        found += len(line) if damaged else octets
    return found, damaged


@given(st.lists(st.one_of(UU_LINES, st.sampled_from(ODD_LINES)), max_size=12), st.integers(0, 12))
def test_lines_of_every_length_count_as_one_by_one(lines: list[bytes], cut: int) -> None:
    """All that are sound are taken at once, as are all behind one that is not; wherever the piece ends."""
    found, damaged = counted_line_by_line(lines)
    meter = UuMeter()
    for piece in (b"begin 644 a\r\n", b"".join(lines[:cut]), b"".join(lines[cut:]), b"end\r\nxin chao\r\n"):
        meter.feed(piece)
    assert (meter.found, meter.octets(0, 0)) == (found, found)
    assert (meter.octets(1 << 30, 0) == 1 << 30) is damaged


@given(st.binary(max_size=300), st.integers(1, 45))
def test_what_is_encoded_is_what_counts(content: bytes, width: int) -> None:
    """Lines as `binascii` makes them, of whatever length a program prefers."""
    lines = [binascii.b2a_uu(content[at : at + width]) for at in range(0, len(content), width)]
    meter = UuMeter(whole=True)
    meter.feed(b"begin 644 a\n" + b"".join(lines) + b" \nend\n")
    meter.finish()
    assert (meter.found, meter.octets(1 << 30, 0)) == (len(content),) * 2


HOSTILE_LINES = [b"!\r\n", b"!AA\r\n", b"!\r\r\n", b"\r\n", b" A\r\n", b"`\r\n", b"a\r\n", b"ende\r\n"]


@pytest.mark.parametrize("begin", [b"begin 644 a\r\n", b"begin-base64 644 a\r\n"])
@pytest.mark.parametrize("line", HOSTILE_LINES)
def test_millions_of_short_lines_are_no_work(begin: bytes, line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has one thread for this: they are taken at once, not one by one for ten seconds."""
    looked_at: list[int] = []

    class Lines:
        def match(self, piece: bytes, pos: int) -> re.Match[bytes] | None:
            looked_at.append(pos)
            return re.compile(rb"[^\n]*+\n?").match(piece, pos)

    monkeypatch.setattr(meter_module, "_LINE", Lines())
    UuMeter().feed(begin + line * 50_000)
    assert len(looked_at) <= 1


def test_words_that_look_like_uuencode_do_not_count() -> None:
    """`begin` in prose, without a mode, begins nothing."""
    assert octets(HEAD + part("text/plain", b"begin the day\r\nbegin 64 and\r\n begin 644 x\r\nM" + b"x" * 60 + b"\r\n")) == 0


@pytest.mark.parametrize("encoding", ["x-uuencode", "uuencode", "X-UUE"])
def test_a_uuencoded_leaf_counts_decoded(encoding: str) -> None:
    """No encoding of MIME, but one that programs decode; a text with it is a file too, and the next text the body."""
    file = uuencoded(FILE)
    leaf = part("application/octet-stream", file, encoding)
    assert octets(HEAD + leaf) == octets(HEAD + multipart("b", PLAIN, leaf)) == 10_000
    assert octets(HEAD + part("text/plain", b"\r\n" + file + b" \r\n", encoding)) == 10_000
    assert octets(HEAD + multipart("b", part("text/plain", file, encoding), PLAIN)) == 10_000
    assert [leaf.decoded_octets for leaf in leaves(scan(HEAD + leaf).root)] == [len(file)], "BINARY does not decode it"


DAMAGED = {
    "text before it": b"Xem tep:\r\n" + uuencoded(FILE),
    "text behind it": uuencoded(FILE) + b"--\r\nfooter\r\n",
    "a line that does not decode": uuencoded(FILE).replace(b"\r\nM", b"\r\nx", 1),
    "no beginning": uuencoded(FILE).partition(b"\n")[2],
    "no end": uuencoded(FILE)[: -len(b"end\r\n")],
    "something else": b"x" * 10_000,
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_uuencoded_leaf_counts_raw(what: str) -> None:
    """As with every other encoding."""
    assert octets(HEAD + part("application/octet-stream", DAMAGED[what], "x-uuencode")) == len(DAMAGED[what])


def quoted(text: bytes) -> bytes:
    return quopri.encodestring(text.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


BODIES = {
    "base64": lambda text: part("text/plain", lines_of_base64(text), "base64"),
    "base64 in lines of 77": lambda text: part("text/plain", lines_of_base64(text, 77), "base64"),
    "base64 in one line": lambda text: part("text/plain", lines_of_base64(text, 1 << 20), "base64"),
    "base64, its end cut off": lambda text: part("text/plain", lines_of_base64(text).rstrip(b"\r\n="), "base64"),
    "quoted-printable": lambda text: part("text/html", quoted(text), "quoted-printable"),
    "as it is": lambda text: part("text/plain", text, "7bit"),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("before", [b"", b"xem:\r\n", b"x" * 5_000 + b"\r\n"])
def test_uuencode_counts_under_the_encoding_of_a_text_body(body: str, before: bytes) -> None:
    """Programs look for files in what they show, whatever it travelled in; text around it still does not count."""
    for text in (before + uuencoded(FILE) + b"het\r\n", before + uuencoded(FILE).rstrip()):
        leaf = BODIES[body](text)
        assert octets(HEAD + leaf) == octets(HEAD + multipart("b", leaf, subtype="alternative")) == 10_000
    assert octets(HEAD + BODIES[body](before + b"begin the day\r\n" * 100)) == 0


def test_a_uuencoded_file_may_have_no_name_and_may_be_in_base64() -> None:
    """POSIX uuencode -m ends with ====; where the name is missing, decoders take one of their own."""
    digits = lines_of_base64(FILE, 60)
    assert octets(HEAD + part("text/plain", b"xem:\r\nbegin-base64 644 a\r\n" + digits + b"====\r\nhet\r\n")) == 10_000
    assert octets(HEAD + part("text/plain", uuencoded(FILE).replace(b" du-lieu.bin", b""))) == 10_000
    assert octets(HEAD + part("application/x", b"begin-base64 0644 a\r\n" + digits + b"====\r\n", "x-uuencode")) == 10_000


TEXTS = st.lists(
    st.sampled_from(
        [b"begin 644 a\r\n", b"begin 644\n", b"begin-base64 644 a\r\n", b"M" + b"A" * 60 + b"\r\n", b"#AAAA\r\n", b"end\r\n",
         b"====\r\n", b"QUI\r\n", b"QUI=\r\n", b"\r\n", b"xin chao\r\n", b" " * 5_000, b"y" * 5_000, b"=3D=\r\n", b"begin",
         b" 644 a", b"M"]
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(
    TEXTS,
    st.sampled_from(["7bit", "base64", "quoted-printable", "x-uuencode"]),
    st.booleans(),
    st.sampled_from([60, 61, 76, 9_000]),
    st.lists(st.integers(0, 100_000), max_size=6),
)
def test_what_is_uuencoded_counts_the_same_in_all_chunks(
    text: bytes, encoding: str, encoded: bool, columns: int, cuts: list[int]
) -> None:
    """However a message arrives; and what has been counted is never taken back."""
    body = lines_of_base64(text, columns) if encoded else text
    message = HEAD + multipart("b", part("text/plain", body, encoding), PDF)
    scanner = Scanner()
    counts = [0]
    for chunk in cut_at(message, cuts):
        scanner.feed(chunk)
        counts.append(scanner.attachment_octets)
    counts.append(scanner.finish().attachment_octets)
    assert counts == sorted(counts)
    assert counts[-1] == octets(message)


def test_the_limit_is_exact() -> None:
    """20 MiB in two attachments count as 20,971,520 octets, not one more or less."""
    first, second = bytes(12_345_678), bytes(20 * 1024 * 1024 - 12_345_678)
    leaves = [part("application/octet-stream", lines_of_base64(file), "base64") for file in (first, second)]
    assert octets(HEAD + multipart("b", PLAIN, *leaves)) == 20_971_520


def test_the_count_is_there_while_streaming() -> None:
    """A door can stop reading as soon as the limit is passed."""
    message = HEAD + multipart("b", PLAIN, BINARY, BINARY)
    scanner = Scanner()
    scanner.feed(message[: len(message) // 2])
    assert 9_000 < scanner.attachment_octets < 11_000
    scanner.feed(message[len(message) // 2 :])
    assert scanner.attachment_octets == 20_000
    assert scanner.finish().attachment_octets == 20_000


def test_a_pdf_in_every_message_of_ours_counts() -> None:
    """The hard messages with PDFs count them whatever surrounds them."""
    assert octets(HEAD + multipart("mix", PLAIN, PDF)) == 3009
    for name in ("preamble and epilogue", "delimiter with garbage", "delimiter in LF lines", "delimiter after a bare LF"):
        assert octets(HARD[name]) == 3009


CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([b"begin 644 a\n", b"begin-base64 644 a\n", b"end\n", b"MTU\xe1\n", b"x", b"\n"])).map(b"".join),
    st.integers(4_000, 5_000).map(lambda octets: b"x" * octets + b"\nbegin 644 a\nend\n"),
)
DAMAGE = st.sampled_from([b"", b"", b"=", b"=\r\n", b"QUJD", b"=QUJD", b"!", b"\r\n\r\n", b"Q", b"QU", b" \t"])


@given(CONTENTS, DAMAGE, st.integers(1, 400), st.lists(st.integers(0)), st.booleans())
def test_the_decoded_text_is_what_the_decoder_returns(
    content: bytes, damage: bytes, width: int, cuts: list[int], in_multipart: bool
) -> None:
    """Whatever the lines and pieces; a text with damage or with a uuencoded file is not handed on."""
    digits = pybase64.b64encode(content)
    body = b"\r\n".join(digits[at : at + width] for at in range(0, len(digits), width)) + damage
    leaf = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body
    message = leaf
    if in_multipart:
        message = b"Content-Type: multipart/mixed; boundary=b.\r\n\r\n--b.\r\n" + leaf + b"\r\n--b.--\r\n"
    texts: dict[int, bytes] = {}
    scanner = Scanner(texts)
    for piece in cut_at(message, cuts):
        scanner.feed(piece)
    (found,) = leaves(scanner.finish().root)
    raw = message[found.body_start : found.body_end]
    has_file = re.search(rb"^begin [0-7]{3,4} [^\r\n]{1,200}\r?\n", decode(raw, "base64"), re.MULTILINE) is not None
    if found.damaged or has_file:
        assert texts == {}
    for start, text in texts.items():
        assert (start, text) == (found.body_start, decode(raw, "base64"))
        assert not raw.partition(b"=")[2].strip(b"= \t\r\n")


def test_only_bodies_are_handed_on_decoded() -> None:
    """An attachment is not kept in memory a second time; nor is anything, unless it is asked for."""
    text = part("text/plain; charset=utf-8", lines_of_base64(b"Xin ch\xc3\xa0o"), "base64")
    message = multipart("b", text, BINARY)
    texts: dict[int, bytes] = {}
    scanner = Scanner(texts)
    scanner.feed(message)
    scanner.finish()
    assert list(texts.values()) == [b"Xin ch\xc3\xa0o"]
