"""Raw headers: what is cut out of them, and the parameters that stand in them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.hard import HARD
from messages.scans import scan
from mic_mail.mime.headers import cut, field, fields, parse_parameters, strip_comments

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
        assert cut(header, [b"subject"]) == b"Subject: x" + line_end + b"\r\n"
        assert cut(header, [b"subject"], others=True) == line_end.join([b"Subject", b"Subject  ", b"", b""])


@pytest.mark.parametrize("others", [False, True])
def test_nothing_left_is_an_empty_line(others: bool) -> None:
    """A header without such fields answers its empty line (RFC 9051 §6.4.5.1)."""
    assert cut(b"From: a\r\n\r\n", [b"from"] if others else [b"to"], others=others) == b"\r\n"
    assert cut(b"", [b"to"], others=others) == b"\r\n"


def test_lf_headers_keep_their_line_ends() -> None:
    """Fields of an imported message keep the bare LF that they have."""
    header = HEADER.replace(b"\r\n", b"\n")
    assert cut(header, [b"subject"]) == b"SUBJECT: one\n two\nSubject : three\n\r\n"
    assert cut(header, [b"none"], others=True) == header


@pytest.mark.parametrize("name", HARD)
def test_named_and_others_are_the_whole_header(name: str) -> None:
    """No octet of a header is in both answers or in none."""
    header = scan(HARD[name]).header
    names = [b"subject", b"content-type", b"x-filler"]
    without_end = re.sub(rb"(^|\n)\r?\n\Z", rb"\1", header)
    both = sorted(cut(header, names)[:-2].splitlines() + cut(header, names, others=True).splitlines())
    assert both == sorted([*without_end.splitlines(), b""])


@given(st.binary(max_size=200))
def test_any_octets_can_be_cut(header: bytes) -> None:
    """No header is too broken to be asked for."""
    for others in (False, True):
        assert cut(header, [b"a", b""], others=others).endswith(b"\n")
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
    b'a; b="c" d; e=f': (b"a", [(b"b", b"c d"), (b"e", b"f")]),
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
