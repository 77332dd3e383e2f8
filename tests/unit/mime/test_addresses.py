"""Address lists as they are, and as they should not be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_growth import assert_linear
from mic_mail.mime.addresses import MAX_ADDRESSES, Address, parse_addresses

END = Address(None, None, None, None)

LISTS = {
    b"a@b.vn": [(None, None, b"a", b"b.vn")],
    b"<a@b.vn>": [(None, None, b"a", b"b.vn")],
    b"Do Van Be <dvbe@mic.gov.vn>": [(b"Do Van Be", None, b"dvbe", b"mic.gov.vn")],
    b'"Do, Van Be" <dvbe@mic.gov.vn>, c@d.vn': [(b"Do, Van Be", None, b"dvbe", b"mic.gov.vn"), (None, None, b"c", b"d.vn")],
    b'"a \\"b\\" c" <d@e.vn>': [(b'a "b" c', None, b"d", b"e.vn")],
    b'"" <d@e.vn>': [(None, None, b"d", b"e.vn")],
    b"J. Q. Public <j@q.vn>": [(b"J. Q. Public", None, b"j", b"q.vn")],
    b"a@b.vn (Be)": [(b"Be", None, b"a", b"b.vn")],
    b"Name (comment (nested)) <a@b.vn>": [(b"Name", None, b"a", b"b.vn")],
    b'"two words"@b.vn': [(None, None, b"two words", b"b.vn")],
    b"a . b @ c . vn": [(None, None, b"a.b", b"c.vn")],
    b"a@[192.0.2.1]": [(None, None, b"a", b"[192.0.2.1]")],
    b"<@x.vn,@y.vn:a@b.vn>": [(None, b"@x.vn,@y.vn", b"a", b"b.vn")],
    b"G: a@b.vn, C <c@d.vn>;, e@f.vn": [
        (None, None, b"G", None),
        (None, None, b"a", b"b.vn"),
        (b"C", None, b"c", b"d.vn"),
        END,
        (None, None, b"e", b"f.vn"),
    ],
    b"undisclosed-recipients:;": [(None, None, b"undisclosed-recipients", None), END],
    b"G: a@b.vn": [(None, None, b"G", None), (None, None, b"a", b"b.vn"), END],
    b"=?utf-8?q?Ng,_A?= <n@a.vn>": [(b"=?utf-8?q?Ng,_A?=", None, b"n", b"a.vn")],
    b"=?utf-8?q?a?=\r\n =?utf-8?q?b?= <n@a.vn>": [(b"=?utf-8?q?a?= =?utf-8?q?b?=", None, b"n", b"a.vn")],
    "Đỗ <đỗ@bộ.vn>".encode(): [("Đỗ".encode(), None, "đỗ".encode(), "bộ.vn".encode())],
    b"test1@local>": [(None, None, b"test1", b"local")],
    b"a@b.vn>, C <c@d.vn>>, <e@f.vn": [(None, None, b"a", b"b.vn"), (b"C", None, b"c", b"d.vn"), (None, None, b"e", b"f.vn")],
    b'" a . b "@b.vn': [(None, None, b" a . b ", b"b.vn")],
    b'" ."@b.vn, <"a@b>"@c.vn>': [(None, None, b" .", b"b.vn"), (None, None, b"a@b>", b"c.vn")],
    b"Joe User joe@a.vn": [(b"Joe User", None, b"joe", b"a.vn")],
    b"<a@b.vn, c@d.vn": [(None, None, b"a", b"b.vn"), (None, None, b"c", b"d.vn")],
    b"a": [(None, None, b"a", b"MISSING_DOMAIN")],
    b"<>": [(None, None, b"MISSING_MAILBOX", b"MISSING_DOMAIN")],
    b"a@b.vn@c.vn": [(None, None, b"a", b"b.vn")],
    b"@b.vn": [(None, None, b"MISSING_MAILBOX", b"b.vn")],
    b"a@": [(None, None, b"a", b"MISSING_DOMAIN")],
    b"": [],
    b" , ,; (only a comment)": [],
    b'"not closed <a@b.vn>': [(None, None, b"not closed <a@b.vn>", b"MISSING_DOMAIN")],
}


@pytest.mark.parametrize("value", LISTS, ids=repr)
def test_lists(value: bytes) -> None:
    """Addresses by RFC 5322, its obsolete forms, and what people write."""
    assert parse_addresses(value) == LISTS[value]


@given(
    st.lists(
        st.sampled_from(
            [b"a", b"@", b"<", b">", b",", b";", b":", b'"', b"\\", b"(", b")", b"[", b" ", b".", b"=?x?q?y?=", b"\xff"]
        )
    ).map(b"".join)
)
def test_any_octets_are_a_list(value: bytes) -> None:
    """No list is too broken; groups that begin end; an address has both halves."""
    depth = 0
    for address in parse_addresses(value):
        if address.host is None:
            depth += 1 if address.mailbox is not None else -1
            assert depth in (0, 1)
        else:
            assert address.mailbox
    assert depth == 0


@pytest.mark.parametrize("piece", [b"()", b"() ", b"<", b'""'])
def test_no_list_takes_more_than_linear_time(piece: bytes) -> None:
    """A million octets that belong to one address: passed along once for each piece, they would take minutes."""

    def parse(value: bytes) -> None:
        assert len(parse_addresses(value)) == 1

    assert_linear(lambda size: piece * (size // len(piece)) + b"a@b.vn", parse, (25_000, 100_000))


def test_colons_behind_many_tokens_take_linear_time() -> None:
    """Each may begin a group, unless there is an @ before it: that is not looked for anew, which took two minutes."""

    def parse(value: bytes) -> None:
        assert len(parse_addresses(value)) == 1

    assert_linear(lambda size: b">" * size + b"@" + b":" * size, parse, (10_000, 40_000))
    assert_linear(lambda size: b"<>" * size + b"x@y" + b" : " * size, parse, (5_000, 20_000))


def test_lists_are_bounded() -> None:
    """A list without end gives a bounded answer."""
    assert len(parse_addresses(b"a@b.vn," * 10_000)) == MAX_ADDRESSES
    assert len(parse_addresses(b"(x) a@b.vn," * 10_000)) == MAX_ADDRESSES
