"""Raw headers: what is cut out of them, and the parameters that stand in them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_growth import assert_linear
from messages.hard import HARD
from messages.scans import scan
from mic_mail.mime.headers import cut, field, fields, parse_parameters, strip_comments, whole

HEADER = (
    b"Received: from a\r\n\tby b;\r\n Tue, 24 Nov 2026 09:30:00 +0700\r\n"
    b"From: a@b.vn\r\nSUBJECT: one\r\n two\r\nSubject : three\r\nnot a field\r\nX-From: x\r\nFrom: c@d.vn\r\n\r\n"
)


def test_fields_are_cut_out_as_they_stand() -> None:
    """HEADER.FIELDS: every field of a name, in order, with its folds, its case and its spaces; then the empty line."""
    expected = b"From: a@b.vn\r\nSUBJECT: one\r\n two\r\nSubject : three\r\nFrom: c@d.vn\r\n\r\n"
    assert cut(HEADER, [b"subject", b"from", b"date"]) == expected


def test_fields_not_named_are_the_rest() -> None:
    """HEADER.FIELDS.NOT: everything else, also what is no field."""
    expected = b"Received: from a\r\n\tby b;\r\n Tue, 24 Nov 2026 09:30:00 +0700\r\nnot a field\r\nX-From: x\r\n\r\n"
    assert cut(HEADER, [b"subject", b"from"], others=True) == expected


def test_a_name_without_a_colon_is_no_field() -> None:
    """A line that is only a name is not cut out with the fields of that name."""
    for line_end in (b"\r\n", b"\n"):
        header = line_end.join([b"Subject", b"Subject  ", b"Subject: x", b"", b""])
        assert cut(header, [b"subject"]) == line_end.join([b"Subject: x", b"", b""])
        assert cut(header, [b"subject"], others=True) == line_end.join([b"Subject", b"Subject  ", b"", b""])


@pytest.mark.parametrize("others", [False, True])
def test_nothing_left_is_an_empty_line(others: bool) -> None:
    """A header without such fields answers its empty line (RFC 9051 §6.4.5.1)."""
    assert cut(b"From: a\r\n\r\n", [b"from"] if others else [b"to"], others=others) == b"\r\n"
    assert cut(b"\r\n", [b"to"], others=others) == b"\r\n"


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\n"])
def test_no_empty_line_is_made_up(end: bytes) -> None:
    """RFC 9051 §6.4.5.1: a message that has no body and no empty line has none in any fetch of its header."""
    header = b"From: a\r\nSubject: x" + end
    assert cut(header, [b"subject"]) == b"Subject: x" + end
    assert cut(header, [b"from"], others=True) == b"Subject: x" + end
    assert cut(header, [b"from"]) == b"From: a\r\n"
    assert cut(header, [b"to"]) == cut(b"", [b"to"]) == cut(b"", [b"to"], others=True) == b""


@given(st.binary(max_size=60))
def test_the_whole_fields_at_the_beginning(header: bytes) -> None:
    """Of a header that is too long the last line may be cut in its midst; the empty line is there all the same."""
    found = whole(b"From: a\r\n" + header)
    assert found.startswith(b"From: a\r\n")
    assert cut(found, [b"none"]) == b"\r\n"


def test_lf_headers_keep_their_line_ends() -> None:
    """Fields of an imported message keep the bare LF that they have."""
    header = HEADER.replace(b"\r\n", b"\n")
    assert cut(header, [b"subject"]) == b"SUBJECT: one\n two\nSubject : three\n\n"
    assert cut(header, [b"none"], others=True) == header


@pytest.mark.parametrize("name", HARD)
def test_named_and_others_are_the_whole_header(name: str) -> None:
    """No octet of a header is in both answers or in none."""
    header = scan(HARD[name]).header
    names = [b"subject", b"content-type", b"x-filler"]
    end = re.search(rb"(?:^|\n)(\r?\n)\Z", header)
    named, others = cut(header, names), cut(header, names, others=True)
    both = named.removesuffix(end[1] if end else b"").splitlines(keepends=True) + others.splitlines(keepends=True)
    assert sorted(both) == sorted(header.splitlines(keepends=True))


@given(st.binary(max_size=200))
def test_any_octets_can_be_cut(header: bytes) -> None:
    """No header is too broken to be asked for; what is cut out of it stands in it."""
    for others in (False, True):
        found = cut(header, [b"a", b""], others=others)
        assert all(line in header for line in found.split(b"\n"))
    fields(header)


def test_values_are_unfolded() -> None:
    """RFC 5322 §2.2.3: unfolding takes the line ends out, nothing else."""
    assert field(HEADER, b"subject") == b"one two"
    assert field(HEADER, b"received") == b"from a\tby b; Tue, 24 Nov 2026 09:30:00 +0700"
    assert field(HEADER, b"date") is None


PARAMETERS = {
    b"text/plain": (b"text/plain", []),
    b"text/plain;": (b"text/plain", []),
    b'a; B="c d"; e=f': (b"a", [(b"b", b"c d"), (b"e", b"f")]),
    b"a;\r\n b=c;\r\n\td=e": (b"a", [(b"b", b"c"), (b"d", b"e")]),
    b'a; b="c;d\\"e\\\\"': (b"a", [(b"b", b'c;d"e\\')]),
    b'a; b="not closed; c=d': (b"a", [(b"b", b"not closed; c=d")]),
    b"a; b=----=_Part_1.2; c=d": (b"a", [(b"b", b"----=_Part_1.2"), (b"c", b"d")]),
    b"a; b=c d.pdf; e=f": (b"a", [(b"b", b"c d.pdf"), (b"e", b"f")]),
    b"a; b = c ; d= e": (b"a", [(b"b", b"c"), (b"d", b"e")]),
    b"a (x;y); b=c (z)": (b"a", [(b"b", b"c")]),
    b"a; b; =c; ;; d=e": (b"a", [(b"d", b"e")]),
    b"a; b=c; b=d": (b"a", [(b"b", b"c")]),
    b"; b=c": (b"", [(b"b", b"c")]),
    b"a; b*0=c; b*1=d": (b"a", [(b"b", b"cd")]),
    b"a; b*1=d; b*0=c": (b"a", [(b"b", b"cd")]),
    b"a; b*=us-ascii'en'c%20d": (b"a", [(b"b", b"c d")]),
    b"a; b*=utf-8''%C4%91": (b"a", [(b"b*", b"utf-8''%C4%91")]),
    b"a; b*0*=utf-8'vi'%C4%91; b*1=%20; b*2*=%20": (b"a", [(b"b*", b"utf-8''%C4%91%2520%20")]),
    b"a; b*=%C4%91": (b"a", [(b"b*", b"''%C4%91")]),
    b'a; b=""': (b"a", [(b"b", b"")]),
    b'a; b="c" d; e=f': (b"a", [(b"b", b"c"), (b"e", b"f")]),
    b"a; b=\xc4\x91": (b"a", [(b"b", b"\xc4\x91")]),
}


@pytest.mark.parametrize("value", PARAMETERS, ids=repr)
def test_parameters(value: bytes) -> None:
    """Parameters as the book has them, and as mailers write them."""
    assert parse_parameters(value) == PARAMETERS[value]


@given(
    st.lists(st.sampled_from([b";", b"=", b'"', b"\\", b"(", b")", b"a", b"*0", b"*", b"%4", b" ", b"\r\n ", b"\xff"])).map(
        b"".join
    )
)
def test_any_octets_have_parameters(value: bytes) -> None:
    """No value is too broken to be read."""
    parse_parameters(value)
    strip_comments(value)


def test_parameters_far_away_are_not_looked_for() -> None:
    """A message may have a thousand parts with 64 KB of them each."""
    near, far = (b"attachment;" + b'"" ' * count + b"; filename=a.txt" for count in (2_000, 3_000))
    assert parse_parameters(near)[1] == [(b"filename", b"a.txt")]
    assert parse_parameters(far)[1] == []


def test_comments_nest() -> None:
    """RFC 5322 §3.2.2: comments nest, and quotes protect parentheses outside them."""
    assert strip_comments(b'a (b (c\\) d) e) "f (g)" h') == b'a  "f (g)" h'
    assert strip_comments(b"a (never closed") == b"a"


@pytest.mark.parametrize(
    ("value", "kind", "parameters"),
    [
        (b"application/pdf; name=Invoice_(302).pdf", b"application/pdf", {b"name": b"Invoice_(302).pdf"}),
        (b"attachment; filename=a (1).pdf; size=3", b"attachment", {b"filename": b"a (1).pdf", b"size": b"3"}),
        (b"attachment; filename=(1).pdf", b"attachment", {b"filename": b"(1).pdf"}),
        (b"attachment; filename=a(1", b"attachment", {b"filename": b"a(1"}),
        (b"attachment; filename=a.pdf (a scan); size=3", b"attachment", {b"filename": b"a.pdf", b"size": b"3"}),
        (b"attachment; filename*0=Invoice_(30; filename*1=2).pdf", b"attachment", {b"filename": b"Invoice_(302).pdf"}),
        (b"text/plain (text; plain); name=a(1).pdf", b"text/plain", {b"name": b"a(1).pdf"}),
        (b"text/plain; charset=us-ascii(Plain text)", b"text/plain", {b"charset": b"us-ascii"}),
        (b"text/plain; charset=us-ascii (Plain text)", b"text/plain", {b"charset": b"us-ascii"}),
        (rb"text/plain; charset=\"us-ascii\"", b"text/plain", {b"charset": b"us-ascii"}),
        (rb"text/plain; charset=\"us-ascii\"; format=flowed", b"text/plain", {b"charset": b"us-ascii", b"format": b"flowed"}),
        (rb"text/plain; charset=\"us-ascii", b"text/plain", {b"charset": b"us-ascii"}),
        (rb'text/plain; name= "\\\"x" (c)', b"text/plain", {b"name": rb"\"x"}),  # quoted by the book: its backslash is meant
        (rb"attachment; filename=a\"b\".pdf", b"attachment", {b"filename": rb"a\"b\".pdf"}),
    ],
)
def test_parameters_as_people_mean_them(value: bytes, kind: bytes, parameters: dict[bytes, bytes]) -> None:
    """Parentheses in a file name without quotes are letters of it, comments elsewhere (RFC 2045 §5.1); quotes that were escaped
    although nothing quotes them are quotes."""
    assert parse_parameters(value) == (kind, list(parameters.items()))


@pytest.mark.parametrize(
    ("value", "parameters"),
    [
        (b'text/plain; charset="us-ascii" foo', {b"charset": b"us-ascii"}),
        (b'text/plain; charset="us-ascii"foo; format=flowed', {b"charset": b"us-ascii", b"format": b"flowed"}),
        (b'text/plain; charset="us-ascii" "x"; format=flowed', {b"charset": b"us-ascii", b"format": b"flowed"}),
        (b'text/plain; charset="us-ascii" a=b', {b"charset": b"us-ascii"}),
        (b'text/plain; charset = (c) "us-ascii" (d) e (f; g); format=flowed', {b"charset": b"us-ascii", b"format": b"flowed"}),
        (b'attachment; filename="a;b.pdf".exe; size=3', {b"filename": b"a;b.pdf", b"size": b"3"}),
        (b'attachment; filename=""x; size=3', {b"filename": b"", b"size": b"3"}),
        (b'attachment; filename=a "b" c; size=3', {b"filename": b"a b c", b"size": b"3"}),
    ],
)
def test_what_follows_a_quoted_string_is_no_part_of_it(value: bytes, parameters: dict[bytes, bytes]) -> None:
    """A value is one token or one quoted string (RFC 2045 §5.1): the rest up to the semicolon is dropped, the next is read."""
    assert parse_parameters(value)[1] == list(parameters.items())


@pytest.mark.parametrize("piece", [b"(", b"()", b" (", b"(;", b"a(b)", b'\\"', b"name=("])
def test_odd_parameters_take_time_as_they_are_long(piece: bytes) -> None:
    """Whatever a parameter is made of, no octet is looked at again and again."""
    assert_linear(lambda octets: (b"attachment; filename=" + piece * octets)[:octets], parse_parameters, (1_000, 8_000))
