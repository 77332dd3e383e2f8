"""What DATA cannot carry is found in pieces of any size, with the number of its line."""

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mic_mail.mime.line_limits import LONGEST_LINE, LineCheck, check_lines

PIECE = st.sampled_from([b"\r\n", b"\0", b"a", b"x" * 76 + b"\r\n", b"y" * 997, b"y" * 998, b"y" * 999])
OCTETS = st.lists(PIECE, max_size=30).map(b"".join)


@given(OCTETS, st.lists(st.integers(0, 5_000), max_size=6))
@example(b"y" * 998 + b"\r\n", [999])
@example(b"y" * 999 + b"\r\n", [500, 999, 1_000])
@example(b"a\r\n" + b"y" * 999, [3, 500])
@settings(deadline=None)
def test_any_pieces(octets: bytes, cuts: list[int]) -> None:
    """However a message is cut, the faults are those that its lines have by the definition."""
    check, places = LineCheck(), sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
    for begin, end in pairwise(places):
        check.feed(octets[begin:end])
    check.end()
    lines = octets.split(b"\r\n")
    assert check.nul == next((number for number, line in enumerate(lines, 1) if b"\0" in line), 0)
    assert check.too_long == next((number for number, line in enumerate(lines, 1) if len(line) > LONGEST_LINE), 0)
    assert (check.fault is None) == (not check.nul and not check.too_long)
    whole = check_lines(octets)
    assert (whole.nul, whole.too_long) == (check.nul, check.too_long)
