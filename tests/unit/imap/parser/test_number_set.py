"""Sequence sets against plain sets of numbers."""

from array import array

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mic_mail.imap.parser.number_set import (
    SAVED_RESULT,
    STAR,
    Ranges,
    SequenceError,
    SequenceSet,
    format_ranges,
    format_set,
    intersection,
    merged,
    missing,
    parse_set,
    ranges_of,
)


@pytest.mark.parametrize(
    ("text", "ranges", "highest"),
    [
        (b"1", ((1, 1),), 1),
        (b"4294967295", ((4294967295, 4294967295),), 4294967295),
        (b"*", ((STAR, STAR),), 0),
        (b"1:*", ((1, STAR),), 1),
        (b"*:4,5:7", ((4, STAR),), 7),
        (b"2,4:7,9,12:*", ((2, 2), (4, 7), (9, 9), (12, STAR)), 12),
        (b"4:2,3,3:5", ((2, 5),), 5),
        (b"1,2,3,5", ((1, 3), (5, 5)), 5),
        (b"4294967295,*", ((4294967295, 4294967295), (STAR, STAR)), 4294967295),
        (b"*:*", ((STAR, STAR),), 0),
    ],
)
def test_parse(text: bytes, ranges: tuple[tuple[int, int], ...], highest: int) -> None:
    """RFC 9051 §9 (sequence-set): order and overlap do not matter, `2:4` is `4:2`."""
    assert parse_set(text) == SequenceSet(ranges, highest)


@pytest.mark.parametrize(
    "text",
    [b"", b"0", b"01", b"1:", b":1", b"1,", b",1", b"1,,2", b"a", b"-1", b"1 2", b"1:2:3", b"4294967296", b"9999999999",
     b"99999999999", b"$,1", b"1:$", b"1\n", "١".encode()],
)  # fmt: skip
def test_refused(text: bytes) -> None:
    """Zero, leading zeros, gaps in the syntax and numbers beyond 32 bits are no set."""
    with pytest.raises(SequenceError):
        parse_set(text)


def test_saved_result() -> None:
    """`$` is a set of its own (RFC 5182 §2.1)."""
    assert parse_set(b"$") is SAVED_RESULT


SETS = st.lists(
    st.tuples(st.one_of(st.integers(1, 60), st.just(STAR)), st.one_of(st.integers(1, 60), st.just(STAR))),
    min_size=1,
    max_size=8,
)


def written(pairs: list[tuple[int, int]]) -> bytes:
    """The pairs as a client would write them."""

    def end(number: int) -> str:
        return "*" if number == STAR else str(number)

    return ",".join(end(a) if a == b else f"{end(a)}:{end(b)}" for a, b in pairs).encode()


def spread(ranges: Ranges) -> list[int]:
    """The numbers of the ranges, one by one."""
    return [number for low, high in ranges for number in range(low, high + 1)]


def meant(pairs: list[tuple[int, int]], largest: int) -> set[int]:
    """The numbers that the pairs mean in a mailbox with this largest number, the plain way."""
    numbers: set[int] = set()
    for a, b in pairs:
        low, high = sorted((min(a, STAR) if a != STAR else largest, b if b != STAR else largest))
        numbers.update(range(low, high + 1))
    return numbers


@given(pairs=SETS, uids=st.sets(st.integers(1, 70)))
def test_uids_are_found(pairs: list[tuple[int, int]], uids: set[int]) -> None:
    """A UID set gives the messages that a plain set gives; an `n:*` beyond the end reaches back to the last (RFC 9051 §9)."""
    existing = array("I", sorted(uids))
    found = [existing[i] for span in parse_set(written(pairs)).positions_of_uids(existing) for i in span]
    assert found == (sorted(meant(pairs, existing[-1]) & uids) if uids else [])


@given(pairs=SETS, count=st.integers(0, 70))
def test_numbers_are_found_or_refused(pairs: list[tuple[int, int]], count: int) -> None:
    """A number beyond the mailbox makes the whole set wrong; else the positions are those of a plain set."""
    spans = parse_set(written(pairs)).positions_of_numbers(count)
    written_numbers = [number for pair in pairs for number in pair if number != STAR]
    if count == 0 or max(written_numbers, default=0) > count:
        assert spans is None
    else:
        assert spans is not None
        assert [i + 1 for span in spans for i in span] == sorted(meant(pairs, count))


@given(pairs=SETS, largest=st.integers(1, 70), number=st.integers(1, 70))
def test_membership(pairs: list[tuple[int, int]], largest: int, number: int) -> None:
    """`contains` agrees with the plain set on every number that there can be."""
    assume(number <= largest)
    assert parse_set(written(pairs)).contains(number, largest) == (number in meant(pairs, largest))


@given(numbers=st.sets(st.integers(1, 2000)), other=st.sets(st.integers(1, 2000)))
def test_formats_and_set_operations(numbers: set[int], other: set[int]) -> None:
    """What is written is read again; intersections and gaps are those of plain sets."""
    ascending = sorted(numbers)
    ranges = ranges_of(ascending)
    assert format_set(ascending) == format_ranges(ranges)
    if numbers:
        assert parse_set(format_set(ascending)).ranges == ranges
    assert spread(ranges) == ascending
    assert spread(intersection(ranges, ranges_of(sorted(other)))) == sorted(numbers & other)
    assert spread(missing(ranges, array("I", sorted(other)))) == sorted(numbers - other)
    assert merged([(number, number) for number in ascending]) == ranges


def test_bounded_by_what_exists() -> None:
    """A client that names four thousand million numbers costs no more than one that names two."""
    everything = parse_set(b"1:4294967295")
    assert everything.positions_of_uids(array("I", [5, 4294967295])) == [range(2)]
    assert missing(everything.ranges, [5]) == ((1, 4), (6, 4294967295))
