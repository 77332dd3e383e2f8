"""Line ends are counted right wherever they are, and the fast look at even lines never takes anything else for one."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.mime import line_endings
from mic_mail.mime.line_endings import even_lines, has_bare, line_ends

PIECES = [b"\r", b"\n", b"\r\n", b"a", b"abc\r\n", b"\0", b"\xff", b"x" * 90 + b"\r\n", b"\r\n" * 1_200, b"y" * 2_500]
OCTETS = st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join)


@given(OCTETS)
def test_line_ends_are_counted(octets: bytes) -> None:
    """Bare ones and pairs, in long lines and in nothing but line ends."""
    assert line_ends(octets) == (octets.count(b"\n"), octets.count(b"\r"), octets.count(b"\r\n"))


@given(OCTETS)
def test_a_bare_line_end_is_found(octets: bytes) -> None:
    """Whatever stands around it."""
    assert has_bare(octets) == (re.search(rb"\r(?!\n)|(?<!\r)\n", octets) is not None)


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*PIECES, b"A" * 75 + b"\r\n", b"B" * 76 + b"\n"]), max_size=6), st.data())
def test_a_bare_line_end_is_found_among_even_lines(around: list[bytes], data: st.DataObject) -> None:
    """Before, behind and between lines of base64, and in place of any of their octets."""
    length = data.draw(st.sampled_from([1, 2, 3, 78]))
    lines = bytearray((b"QUJD" * 19)[: max(0, length - 2)] + b"\r\n"[-length:]) * (20_000 // length)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(lines) - 3))
        lines[at : at + 1] = data.draw(st.sampled_from(PIECES))
    cut = data.draw(st.integers(0, len(around)))
    octets = b"".join((*around[:cut], lines, *around[cut:]))
    assert has_bare(octets) == (re.search(rb"\r(?!\n)|(?<!\r)\n", octets) is not None)


def test_even_lines_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a message that is mostly base64, the octets before and behind the even lines alone."""
    counted: list[int] = []
    count = line_endings.line_ends
    monkeypatch.setattr(line_endings, "line_ends", lambda octets: counted.append(len(octets)) or count(octets))
    lines = (b"QUJD" * 19 + b"\r\n") * 1_300
    assert not has_bare(b"To: a@b.vn\r\n\r\n" + lines + b"QUI=\r\n")
    assert sum(counted) < 300
    assert has_bare(b"To: a@b.vn\r\n\r\n" + lines + b"QUI=\n")


LINES = st.lists(st.sampled_from([b"abc\r\n", b"abcd\n", b"ab\r\n", b"a\r", b"\r\n", b"\n"]), max_size=8).map(b"".join)


@given(LINES)
def test_even_lines_are_what_they_seem(octets: bytes) -> None:
    """Where the lines hold no line end themselves, what is said of their ends is what counting says."""
    found = even_lines(octets)
    if found is not None:
        content, size, ends = found
        beginning = octets[:size]
        assert len(content) == size - ends[0] - ends[1]
        if b"\r" not in content and b"\n" not in content:
            assert ends == (beginning.count(b"\n"), beginning.count(b"\r"), beginning.count(b"\r\n"))
            assert content == beginning.replace(b"\r", b"").replace(b"\n", b"")


def test_lines_of_base64_are_even() -> None:
    """But for the last one, whichever line end they have."""
    full, last = b"QUJD" * 19, b"QUI="
    assert even_lines((full + b"\r\n") * 5 + last + b"\r\n\r\n") == (full * 5, 390, (5, 5, 5))
    assert even_lines((full + b"\n") * 5 + last + b"\n") == (full * 5, 385, (5, 0, 0))
    assert even_lines((full + b"\r\n") * 5 + (full + b"\n") * 5) is None
    assert even_lines(full) is None
