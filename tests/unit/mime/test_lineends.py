"""Bare line ends are found wherever they are, and the fast look at base64 never takes one for a CRLF."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mic_mail.mime.lineends import all_end_in_crlf, has_bare

OCTETS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"abc\r\n", b"\0", b"\xff"]), max_size=20).map(b"".join)


@given(OCTETS)
def test_a_bare_line_end_is_found(octets: bytes) -> None:
    assert has_bare(octets) == (re.search(rb"\r(?!\n)|(?<!\r)\n", octets) is not None)


LINES = st.lists(st.sampled_from([b"abc\r\n", b"abcd\n", b"ab\r\n", b"a\r", b"\r\n"]), max_size=8).map(b"".join)


@given(LINES)
def test_the_fast_look_is_right_where_it_says_yes(window: bytes) -> None:
    if all_end_in_crlf(window, window.count(b"\n")):
        assert window.count(b"\n") == window.count(b"\r\n")


def test_the_fast_look_knows_lines_of_base64() -> None:
    full = b"QUJD" * 19 + b"\r\n"
    for window in (full * 5, full * 5 + b"QUI=\r\n"):
        assert all_end_in_crlf(window, window.count(b"\n"))
    assert not all_end_in_crlf(full * 5 + full.replace(b"\r\n", b"\r\r"), 5 + 1)
