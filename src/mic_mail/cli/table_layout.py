"""The layout of tables and records on a terminal, whose lines end at spaces only."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from mic_mail.cli import prose

_BORDER, _PADDING = 1, 3  # of a table: its left edge, and the padding of each column


def column_widths(rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Return the column widths of a table at most `room` wide, headings first; None where the words do not fit.

    Every column gets its longest word, so that no address and no command is broken. The spare width goes to the columns that
    lack least, and to headings after all other rows: a heading takes its lines once.
    """
    widths = [max(_widest(prose.words(text)) for text in column) for column in zip(*rows, strict=True)]
    spare = room - _BORDER - sum(width + _PADDING for width in widths)
    if spare < 0:
        return None
    for part in (rows[1:], rows[:1]):
        lacking = [
            max(_widest(line for row in part for line in row[place].splitlines()) - width, 0)
            for place, width in enumerate(widths)
        ]
        for position, place in enumerate(sorted(range(len(widths)), key=lacking.__getitem__)):
            more = min(lacking[place], spare // (len(widths) - position))
            widths[place] += more
            spare -= more
    return widths


def _widest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)


def print_record(console: Console, headings: Sequence[str], values: Sequence[str]) -> None:
    """Print heading and value side by side; a value whose longest word does not fit goes below its heading."""
    left = min(_widest(headings), max(console.width // 2 - 2, 1))
    for heading, value in zip(headings, values, strict=True):
        room = console.width - left - 2
        names = prose.wrapped(heading, left)
        beside = _widest(prose.words(value)) <= room and _widest(names) <= left
        texts = prose.wrapped(value, room if beside else console.width - 2)
        if not beside:
            names, texts = [*names, *[""] * len(texts)], [*[""] * len(names), *texts]
        for name, text in zip_longest(names, texts, fillvalue=""):
            gap = " " * (left - cell_len(name) + 2) if beside else "" if name else "  "
            console.print(f"[bold]{escape(name)}[/]{gap}{escape(text)}" if text else f"[bold]{escape(name)}[/]", soft_wrap=True)
