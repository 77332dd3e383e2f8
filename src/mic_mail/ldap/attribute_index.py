"""Index all values of one attribute for searches at the speed of memory.

In: values and the entries that have them. Out: sets of entries as the bits of a number, found by generators that yield
regularly, so that nothing else waits. Pure. Equal values are stored once; each is a line of one long text, as it is and
without diacritics. As in SEARCH of IMAP (docs/decisions/0024), a query without diacritics finds values with and without
them, a query with any only values that have them. 2,000 names: `*bê*` takes 0.1 ms, `*n*`, which most names have, 2 ms
(`bench/directory.py`).
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from itertools import accumulate, chain

from mic_mail.mime.text_folding import SearchValue, fold, words

AttributeSearch = Generator[None, None, int]
"""A search of one attribute: yields to let others run, returns the entries found."""

HITS_AT_ONCE = 500
_LINES_AT_ONCE = 4000
_LONG_PIECE = 200
"""Characters of a long piece of a query; normalising the longest takes a good part of a millisecond."""


def bits(entries: Iterable[int], size: int) -> int:
    """Return a set of entries as a number."""
    octets = bytearray(size // 8 + 1)
    for entry in entries:
        octets[entry >> 3] |= 1 << (entry & 7)
    return int.from_bytes(octets, "little")


def members(found: int) -> Iterable[int]:
    """Return the entries of such a number, in order."""
    for place, octet in enumerate(found.to_bytes((found.bit_length() + 7) // 8, "little")):
        if octet:
            for bit in range(8):
                if octet >> bit & 1:
                    yield place * 8 + bit


class _Lines:
    """Values, one a line."""

    __slots__ = ("starts", "text")

    def __init__(self, lines: list[str]) -> None:
        self.text = "\n".join(["", *lines, ""])
        self.starts = array("L", [1])
        at = 1
        for line in lines:
            at += len(line) + 1
            self.starts.append(at)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def line(self, number: int) -> str:
        return self.text[self.starts[number] : self.starts[number + 1] - 1]

    def hits(self, initial: str, between: list[str], final: str) -> Generator[None, None, list[int]]:
        """Return the lines that begin with `initial`, contain `between` in this order, and end in `final`.

        The pieces do not overlap.
        """
        pieces = [f"\n{initial}" if initial else "", *between, f"{final}\n" if final else ""]
        anchor = max(pieces, key=len)  # lines are found by the longest piece and then compared in full
        alone = sum(map(bool, pieces)) == 1
        found: list[int] = []
        text, starts, at, seen = self.text, self.starts, 0, 0
        while (at := text.find(anchor, at)) >= 0:
            number = bisect_right(starts, at + (anchor[0] == "\n")) - 1
            if alone or _fits(self.line(number), initial, between, final):
                found.append(number)
            at = starts[number + 1] - 1
            seen += 1
            if seen % HITS_AT_ONCE == 0:
                yield
        return found

    def where(self, holds: Callable[[str], bool]) -> Generator[None, None, list[int]]:
        found: list[int] = []
        for number in range(len(self)):
            if holds(self.line(number)):
                found.append(number)
            if number % _LINES_AT_ONCE == _LINES_AT_ONCE - 1:
                yield
        return found


def _fits(line: str, initial: str, between: list[str], final: str) -> bool:
    if not line.startswith(initial):
        return False
    at = len(initial)
    for piece in between:
        place = line.find(piece, at)
        if place < 0:
            return False
        at = place + len(piece)
    return line.endswith(final) and len(line) - len(final) >= at


class AttributeColumn:
    """The values of one attribute."""

    __slots__ = ("_begins", "_exact", "_folded", "_holders", "_size", "present")

    def __init__(self, holders: Mapping[str, Sequence[int]], size: int) -> None:
        """Take the entries of each normalised value (`dn.same`); `size`: the number of entries."""
        values = list(holders)
        self._size = size
        self._holders = array("L", chain.from_iterable(holders.values()))  # the entries of a value are adjacent
        self._begins = array("L", accumulate(map(len, holders.values()), initial=0))
        self._exact = _Lines(values)
        plain = [fold(value) for value in values]
        self._folded = self._exact if plain == values else _Lines(plain)
        self.present = bits(self._holders, size)

    def _entries(self, lines: Iterable[int]) -> int:
        holders, begins = self._holders, self._begins
        return bits(chain.from_iterable(holders[begins[line] : begins[line + 1]] for line in lines), self._size)

    def _lines(self, *, folded: bool) -> _Lines:
        return self._folded if folded else self._exact

    def equal(self, value: str, *, approximately: bool = False) -> AttributeSearch:
        """Find the entries with this value; `approximately`: without regard to diacritics."""
        text = " ".join(words(value))
        text = fold(text) if approximately else text
        lines = self._lines(folded=fold(text) == text)
        return self._entries((yield from lines.hits(f"{text}\n", [], "")))

    def containing(self, initial: str, between: Iterable[str], final: str) -> AttributeSearch:
        """Find the entries with a value that has the pieces in this order; empty pieces are ignored."""
        first = SearchValue.of(initial).text.lstrip(" ")
        last = SearchValue.of(final).text.rstrip(" ")
        folded = fold(first) == first and fold(last) == last
        inner: list[str] = []
        for one in between:
            if piece := SearchValue.of(one).text:
                inner.append(piece)
                folded = folded and fold(piece) == piece
            if len(one) >= _LONG_PIECE:
                yield
        if not (first or inner or last):
            return self.present
        return self._entries((yield from self._lines(folded=folded).hits(first, inner, last)))

    def ordered(self, value: str, *, at_least: bool) -> AttributeSearch:
        """Find entries with a value from this one on (`at_least`) or up to it, compared without diacritics.

        RFC 4517 §4.2.12.
        """
        text = fold(" ".join(words(value)))
        found = yield from self._folded.where(lambda line: line >= text if at_least else line <= text)
        return self._entries(found)
