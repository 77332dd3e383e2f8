"""What a reader of HTML sees, however damaged it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.mime.html import declared_charset, visible_lines, visible_text


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("hóa <b>đơn</b>", "hóa đơn"),
        ("h<b>ó</b>a", "hóa"),
        ("nghi<wbr>ệp <o:p>a</o:p>b", "nghiệp ab"),
        ("<p>một</p><p>hai", "một hai"),
        ("một<br>hai<BR/>ba", "một hai ba"),
        ("<td>1</td><td>2</td>", "1 2"),
        ("a<script>x<b>y</script>z", "az"),
        ("a<script>'</scripty>'</script >b", "ab"),
        ("a<STYLE type=x>p{}</Style>b", "ab"),
        ("a<style>b", "a"),
        ("a<!-- b -- <p>c --->d", "ad"),
        ("a<!-- b", "a"),
        ("a<![endif]>b<?xml x?>c<!DOCTYPE html>d", "abcd"),
        ("3 < 5 > 4 <3", "3 < 5 > 4 <3"),
        ("x</b", "x"),
        ("<a href='>'>t</a>", "t"),
        ('<a title = "a > b">t</a>', "t"),
        ('<td width=5">text</td>', "text"),
        ("<a href=x'y>t</a> it's", "t it's"),
        ("&lt;b&gt; &#7885; &#x1ECD; &amp &nbsp;k", "<b> ọ ọ & k"),
        ("&#99999999999999999999;&#xD800;&bogus;&", "\ufffd\ufffd&bogus;&"),
        ("&#" + "9" * 5_000 + ";", "\ufffd" + "9" * 4_968 + ";"),
    ],
)
def test_what_is_seen(source: str, seen: str) -> None:
    """Tags within a line do not part letters, blocks do; scripts, styles and comments are not seen; a `<` before no letter is
    text; what is not closed runs to the end, as in browsers."""
    assert " ".join(visible_text(source).split()) == seen


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("<tr><td>a</td> <td>b</td></tr>c", ["a\tb\t", "c"]),
        ("<tr> <td><p>a</p>\n<p>b</p> </td>\n<td> <p>c</p></td></tr>", [" ", "a", " ", "b\tc\t"]),
        ("a<td> </td> </td>\n</td>b", ["a\t\t\tb"]),
        ("<p> a </p> b", ["", " a ", " b"]),
    ],
)
def test_lines_that_are_seen(source: str, lines: list[str]) -> None:
    """Cells of a row are parted by tabs, without the blanks and line ends around them."""
    assert visible_lines(source).splitlines() == lines


@pytest.mark.parametrize(
    "piece",
    ["<a", "<!--", "<!-", "<script>", "<script></", '<a "', "<a ='", "<a=\"<a='", "</", "<", "<a=", "&#9", "&a", "<!", "--"],
)
def test_no_source_takes_more_than_linear_time(piece: str) -> None:
    """Four million characters of what looks like the beginning of something: looked at twice, each would take hours."""
    visible_text(piece * (4_000_000 // len(piece)))


@given(st.text(st.sampled_from("<>/!-=\"' abscriptyle&#;x1"), max_size=200))
def test_nothing_is_refused(source: str) -> None:
    """Text or not, it is read."""
    visible_text(source)


@pytest.mark.parametrize(
    ("raw", "charset"),
    [
        (b"<html><head><META charset=windows-1258>", "windows-1258"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=utf-8">', "utf-8"),
        (b"<p>charset=utf-8", ""),
        (b" " * 2_000 + b"<meta charset=utf-8>", ""),
    ],
)
def test_a_page_may_say_its_charset(raw: bytes, charset: str) -> None:
    """In its first 1,024 octets (WHATWG HTML §4.2.5.4)."""
    assert declared_charset(raw) == charset
