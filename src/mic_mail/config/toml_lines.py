"""The line of each key in a TOML file, so that a mistake can be shown with its line.

`tomllib` returns values without places. `locate` reads places and ignores values: it follows table headers, dotted keys, arrays
of tables, and strings or arrays over several lines, in a file that `tomllib` has accepted. A key without a place of its own
(inside an inline table) gets the line of the nearest key above it.
"""

import re
from collections.abc import Sequence

Place = tuple[str | int, ...]

_BARE_OR_QUOTED = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = rf"{_BARE_OR_QUOTED}(?:\s*\.\s*{_BARE_OR_QUOTED})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_KEY})\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_KEY})\s*=")
_PART = re.compile(_BARE_OR_QUOTED)
_TOKEN = re.compile(r'"""|\'\'\'|"(?:[^"\\]|\\.)*"|\'[^\']*\'|[\[\]{}#]')


def _parts(key: str) -> Place:
    return tuple(part.strip("\"'") for part in _PART.findall(key))


def _rest_open(line: str, depth: int, quote: str) -> tuple[int, str]:
    """Follow brackets and triple quotes through a line.

    Return the depth and the open triple quote (or '') at its end.
    """
    at = 0
    while at < len(line):
        if quote:
            end = line.find(quote, at)
            if end < 0:
                return depth, quote
            at, quote = end + 3, ""
            continue
        token = _TOKEN.search(line, at)
        if token is None or token[0] == "#":
            return depth, ""
        at = token.end()
        if token[0] in ('"""', "'''"):
            quote = token[0]
        else:
            depth += (token[0] in "[{") - (token[0] in "]}")
    return depth, quote


def locate(text: str) -> dict[Place, int]:
    """Return the line (from 1) of every table and key of a TOML text."""
    places: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    depth, quote = 0, ""
    for number, line in enumerate(text.split("\n"), 1):  # split as TOML does: not at U+0085
        if depth or quote:
            depth, quote = _rest_open(line, depth, quote)
        elif header := _HEADER.match(line):
            table = _parts(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            places.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            places.setdefault((*table, *_parts(assignment[1])), number)
            depth, quote = _rest_open(line[assignment.end() :], 0, "")
    return places


def line_of(places: dict[Place, int], loc: Sequence[str | int]) -> int:
    """Return the line of `loc` or of the nearest table around it; 1 where nothing of it is in the file."""
    for length in range(len(loc), 0, -1):
        if (line := places.get(tuple(loc[:length]))) is not None:
            return line
    return 1
