"""Command lines: found at every split, bounded, and never ended by anything but CRLF."""

from hypothesis import given
from hypothesis import strategies as st

from mic_mail.smtp.line_buffer import LineBuffer, LineFault


def lines_of(pieces: list[bytes], *, max_octets: int = 20, repair_lf: bool = False) -> list[bytes | LineFault]:
    buffer = LineBuffer(max_octets, repair_lf=repair_lf)
    found: list[bytes | LineFault] = []
    for piece in pieces:
        buffer.feed(piece)
        while (line := buffer.next_line()) is not None:
            found.append(line)
    return found


def test_lines_in_order() -> None:
    """Several commands in one packet come out one by one, an empty line is an empty line."""
    assert lines_of([b"EHLO x\r\n\r\nQUIT\r\nrest"]) == [b"EHLO x", b"", b"QUIT"]


def test_a_bare_line_end_is_no_line_end() -> None:
    """RFC 5321 §2.3.8: LF alone, CR inside and NUL are refused; with repair LF ends a line."""
    assert lines_of([b"NOOP\nRCPT TO:<a>\r\n"])[0] is LineFault.BARE
    assert lines_of([b"NO\rOP\r\n"]) == [LineFault.BARE]
    assert lines_of([b"NO\0OP\r\n"]) == [LineFault.BARE]
    assert lines_of([b"NOOP\nQUIT\r\n"], repair_lf=True) == [b"NOOP", b"QUIT"]


def test_a_line_without_end_is_thrown_away_as_it_comes() -> None:
    """Bounded memory: a megabyte without a line end leaves an octet behind, and is reported once."""
    buffer = LineBuffer(20)
    for _ in range(1000):
        buffer.feed(b"x" * 1000)
        assert buffer.next_line() is None
        assert len(buffer) <= 1
    buffer.feed(b"\r")
    assert buffer.next_line() is None
    buffer.feed(b"\nNOOP\r\n")
    assert buffer.next_line() is LineFault.TOO_LONG
    assert buffer.next_line() == b"NOOP"


def test_the_end_of_a_line_that_was_thrown_away_is_no_command() -> None:
    """Also where LF alone ends a line: what a long line ended with is not told from a command otherwise."""
    assert lines_of([b"x" * 30, b"NOOP\nQUIT\n"], repair_lf=True) == [LineFault.TOO_LONG, b"QUIT"]
    assert lines_of([b"x" * 30 + b"\r", b"\nQUIT\n"], repair_lf=True) == [LineFault.TOO_LONG, b"QUIT"]


@given(st.lists(st.sampled_from([b"a", b"\r\n", b"\r", b"\n", b"x" * 15, b"\0"]), max_size=25).map(b"".join), st.data())
def test_every_split_gives_the_same_lines(octets: bytes, data: st.DataObject) -> None:
    """Lines depend on the octets, never on the packets (a bare LF ends the conversation, so up to the first one)."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    pieces = [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    whole, split = lines_of([octets]), lines_of(pieces)
    if LineFault.BARE in whole:
        whole = whole[: whole.index(LineFault.BARE) + 1]
        split = split[: len(whole)]
    assert split == whole


def test_the_octets_behind_a_command_can_be_taken_as_they_are() -> None:
    """BDAT takes exactly its octets, DATA everything; commands go on behind them."""
    buffer = LineBuffer(100)
    buffer.feed(b"BDAT 3\r\nabcNOOP\r\n")
    assert buffer.next_line() == b"BDAT 3"
    assert buffer.take(3) == b"abc"
    assert buffer.next_line() == b"NOOP"
    assert buffer.take() == b""
