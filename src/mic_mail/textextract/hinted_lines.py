"""Reduce a text to the lines in which a marking may stand and the lines around them, before it is decoded.

In: octets of a text in pieces of any size, in UTF-8 or in a charset of single octets that contains ASCII. Out: the octets of
some of its lines. `policy.secrecy.markings` judges them as it judges the whole text: it looks at the head of a text and at the
few lines around a degree, and counts only lines that are not blank. A text without a hint is never decoded, and one of
megabytes is never whole in memory.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from mic_mail.policy.secrecy.markings import HEAD_SEEN, LINES_AROUND, MAX_LINE
from mic_mail.textextract.limits import Budget, CannotRead
from mic_mail.textextract.result import Unread

OCTETS_A_STEP = 16
"""Octets of a searched text that count as one step."""
_STEPS_OF_A_HINT = 5
_CLOSE_OCTETS = 1_024
_MAYBE_BLANK = bytes(range(0x21)) + bytes(range(0x7F, 0x100))
"""Octets that may belong to a blank line, in any charset. A line with any other is not blank."""
_INK = re.compile(rb"[!-~]")


def whole_lines(pieces: Iterable[bytes], budget: Budget | None = None) -> Iterator[bytes]:
    """Yield the same octets in pieces that end with LF, except for the last: one piece stays one."""
    held: list[bytes] = []
    octets = 0
    coming = iter(pieces)
    piece = next(coming, b"")
    for following in coming:
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join((*held, piece[:end]))
            held.clear()
            octets = 0
        if end < len(piece):
            held.append(piece[end:])
            octets += len(piece) - end
            if budget is not None:
                budget.check_whole(octets)
        piece = following
    if held or piece:
        yield b"".join((*held, piece))


def hinted_lines(blocks: Iterable[bytes], hints: Callable[[bytes], Iterable[int]], budget: Budget) -> bytes:
    """Return the lines to judge; b"" where nothing is hinted.

    `blocks` consist of whole lines. `hints` returns the offsets in a block at which a marking may stand, in order. Raises
    `CannotRead` where they are more than `Bounds.hints`.
    """
    kept = _KeptLines()
    found = 0
    first_block: bytes | None = None  # while nothing is hinted in it: most texts have no other, and nothing of it is kept
    for number, block in enumerate(blocks):
        budget.check_time()
        budget.take_work(len(block) // OCTETS_A_STEP)
        offsets = list(islice(hints(block), budget.bounds.hints + 1 - found))
        found += len(offsets)
        if found > budget.bounds.hints:
            raise CannotRead(Unread.OVER_BOUNDS)
        if not (number or offsets) and len(block) <= budget.bounds.whole_octets:
            first_block = block
            continue
        if first_block is not None:
            kept.begin(first_block)
            kept.end()
            first_block = None
        kept.begin(block)
        budget.take_work(len(offsets) * _STEPS_OF_A_HINT)
        for first, last in _groups(offsets):
            kept.keep_around(first, last)
        kept.end()
        budget.check_whole(kept.octets())
    return b"".join(kept.pieces) if found else b""


def _groups(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of hints that lie close together: all between them is kept."""
    first = last = None
    for offset in offsets:
        if first is None or last is None:
            first = offset
        elif offset - last > _CLOSE_OCTETS:
            yield first, last
            first = offset
        last = offset
    if first is not None and last is not None:
        yield first, last


class _KeptLines:
    """The kept lines of a text: its head, and those around each hint."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._block = b""
        self._decided = 0
        """Octets of the block that are kept, or lie before kept ones."""
        self._owed = HEAD_SEEN
        """Lines that are still to be kept from the beginning of the next block on."""
        self._before: list[tuple[bytes, int]] = []
        """The last lines before the block that are not kept, of each block with their number, blank ones not counted."""

    def octets(self) -> int:
        return sum(map(len, self.pieces))

    def begin(self, block: bytes) -> None:
        self._block = block
        self._decided, self._owed = _ahead(block, 0, self._owed)
        self.pieces.append(block[: self._decided])

    def keep_around(self, first: int, last: int) -> None:
        """Keep the lines from that at the offset `first` to that at `last`, and those around them."""
        block, start = self._block, self._decided
        if first >= start:
            start, lacking = _back(block, block.rfind(b"\n", start, first) + 1 or start, start, LINES_AROUND)
            if lacking and self._decided == 0:
                self.pieces.extend(lines for lines, _ in self._before)
        end, owed = _ahead(block, block.find(b"\n", last) + 1 or len(block), LINES_AROUND)
        if end > self._decided:
            self.pieces.append(block[start:end])
            self._decided = end
        self._owed = max(self._owed, owed)

    def end(self) -> None:
        """Note the end of the block: a hint in the next one may need its last lines."""
        start, lacking = _back(self._block, len(self._block), self._decided, LINES_AROUND)
        if self._decided:
            self._before.clear()
        self._before.append((self._block[start:], LINES_AROUND - lacking))
        while sum(count for _, count in self._before[1:]) >= LINES_AROUND:
            del self._before[0]


def _ahead(block: bytes, at: int, lines: int) -> tuple[int, int]:
    """Return the offset after so many lines that are not blank, and how many the block lacks."""
    size = len(block)
    while lines and at < size:
        end = block.find(b"\n", at) + 1 or size
        if _is_not_blank(block[at : min(end, at + MAX_LINE)]):
            lines -= 1
        else:  # skip all blank lines at once: there may be millions
            ink = _INK.search(block, end)
            end = block.rfind(b"\n", end, ink.start()) + 1 or end if ink else size
        at = end
    return at, lines


def _back(block: bytes, at: int, floor: int, lines: int) -> tuple[int, int]:
    """Return the offset of so many lines before a line's beginning, not below `floor`, and how many are lacking."""
    while lines and at > floor:
        start = block.rfind(b"\n", floor, at - 1) + 1 or floor
        if _is_not_blank(block[start : min(at, start + MAX_LINE)]):
            lines -= 1
        else:
            end = floor + len(block[floor:start].rstrip(_MAYBE_BLANK))
            start = block.find(b"\n", end, start) + 1 or start if end > floor else floor
        at = start
    return at, lines


def _is_not_blank(line: bytes) -> bool:
    return bool(line.strip(_MAYBE_BLANK))
