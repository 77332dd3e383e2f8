"""Lines, dots and tops: for any octets and any way to cut them the same, and what the RFC says."""

from hypothesis import given
from hypothesis import strategies as st

from mic_mail.mime.dot_stuffing import Stuffing
from mic_mail.pop3.line_buffer import MAX_LINE_OCTETS, MAX_SKIPPED_OCTETS, LineFault, Lines
from mic_mail.pop3.top import Top

OCTETS = st.one_of(
    st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"a", b"STAT", b"\0", b"\xff"]), max_size=40).map(b"".join),
    st.binary(max_size=100),
)
CUTS = st.lists(st.integers(0, 120), max_size=8).map(sorted)


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    return [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]


def lines_of(fed: list[bytes]) -> list[bytes | LineFault]:
    lines, found = Lines(), []
    for piece in fed:
        lines.feed(piece)
        while (line := lines.next()) is not None:
            found.append(line)
            if line is LineFault.ENDLESS:
                return found
    return found


@given(OCTETS, CUTS)
def test_lines_are_the_same_for_every_cut(octets: bytes, cuts: list[int]) -> None:
    """Each line up to CRLF or LF, once, in order."""
    whole = lines_of([octets])
    assert lines_of(pieces(octets, cuts)) == whole
    assert whole == [line.removesuffix(b"\r") for line in octets.split(b"\n")[:-1]]


def test_a_line_that_is_too_long_costs_one_answer_and_no_memory() -> None:
    """However it comes, the one behind it is heard, and what is thrown away is not kept."""
    long = b"x" * (MAX_LINE_OCTETS + 1) + b"\r\nSTAT\r\n"
    assert lines_of([long]) == [LineFault.TOO_LONG, b"STAT"]
    assert lines_of([bytes([octet]) for octet in long]) == [LineFault.TOO_LONG, b"STAT"]
    longest = b"x" * MAX_LINE_OCTETS
    for fed in ([longest + b"\r\nSTAT\r\n"], [longest, b"\r", b"\nSTAT\r\n"], [longest + b"\r", b"\nSTAT\r\n"]):
        assert lines_of(fed) == [longest, b"STAT"]
    lines = Lines()
    for _ in range(10):
        lines.feed(b"x" * 4096)
        assert lines.next() is None
        assert lines.buffered <= MAX_LINE_OCTETS + 4096


def test_a_line_without_an_end_is_the_end() -> None:
    """In one piece or in many, with what would be its end or without; nothing is heard behind it."""
    endless = b"x" * (MAX_SKIPPED_OCTETS + 1)
    for fed in ([endless], [endless + b"\r\nSTAT\r\n"], [b"x" * 1000] * 100, [endless[:-1], b"x\r\n"]):
        assert lines_of(fed) == [LineFault.ENDLESS]
    lines = Lines()
    lines.feed(endless)
    lines.next()
    lines.feed(b"STAT\r\n")
    assert (lines.next(), lines.buffered) == (LineFault.ENDLESS, 0)


def stuffed(fed: list[bytes]) -> bytes:
    stuffing = Stuffing()
    return b"".join([stuffing.feed(piece) for piece in fed]) + stuffing.end()


def unstuffed(wire: bytes, *, line_end: bytes) -> tuple[bytes, bytes]:
    """The message and what is behind it, as a client reads it that ends lines so."""
    message = b""
    while True:
        line, end, wire = wire.partition(line_end)
        assert end, "the response does not end"
        if line.removesuffix(b"\r") == b"." if line_end == b"\n" else line == b".":
            return message, wire
        message += line.removeprefix(b".") + end


@given(OCTETS, CUTS)
def test_a_message_comes_back_from_its_dots(octets: bytes, cuts: list[int]) -> None:
    """For every cut the same; a client that ends lines at LF has every octet, one that ends them at CRLF finds the same end."""
    wire = stuffed(pieces(octets, cuts))
    assert wire == stuffed([octets])
    message, behind = unstuffed(wire + b"+OK\r\n", line_end=b"\n")
    assert behind == b"+OK\r\n"
    assert message == octets + (b"" if octets.endswith(b"\r\n") or not octets else b"\r\n")
    strictly, behind = unstuffed(wire + b"+OK\r\n", line_end=b"\r\n")
    assert behind == b"+OK\r\n"
    if b"\n" not in octets.replace(b"\r\n", b""):
        assert strictly == message


def top_of(fed: list[bytes], lines: int) -> bytes:
    top, shown = Top(lines), b""
    for piece in fed:
        taken = top.take(piece)
        shown += piece[:taken]
        assert top.over or taken == len(piece)
    return shown


def plain_top(octets: bytes, lines: int) -> bytes:
    """RFC 1939 §7 on a whole message."""
    all_lines = octets.split(b"\n")
    all_lines = [line + b"\n" for line in all_lines[:-1]] + all_lines[-1:]
    empty = next((at for at, line in enumerate(all_lines) if line in (b"\n", b"\r\n")), len(all_lines))
    return b"".join(all_lines[: empty + 1 + lines])


@given(OCTETS, CUTS, st.integers(0, 6))
def test_top_shows_the_header_and_so_many_lines(octets: bytes, cuts: list[int], lines: int) -> None:
    """Also where the header never ends, or the body has fewer lines."""
    assert top_of(pieces(octets, cuts), lines) == plain_top(octets, lines)
