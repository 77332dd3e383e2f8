"""Sentences for a terminal: their commands are complete, and lines end at spaces only. Pure.

A sentence names a command as for the usual configuration, `mic-mail officer add`. The reader has to be able to copy it, so it
gets the options of this run, and stays on one line. So does the value of a TXT record.
"""

import re
from collections.abc import Iterable

from rich.cells import cell_len

PROGRAM = "mic-mail"

_QUOTED = r"\"[^\"]*\"|'[^']*'"
_COMMAND = re.compile(
    rf"""`[^`]*`                                            # whatever is marked as one
    | "v=[^"]*"(?:[ ]"[^"]*")*                           # the value of a TXT record, which is copied too
    | {PROGRAM}
      (?:[ ]--config[ ](?:{_QUOTED}|[^\s;,`]+))?
      (?:[ ][a-z][a-z-]*(?![\w@/=]|\.\w)){{1,3}}             # what is to be done
      (?:[ ](?:--[a-z-]+(?:[ =](?:{_QUOTED}|[^\s;,`")]+))?  # options with their values
         | {_QUOTED}
         | [A-ZĐÀ-Ý0-9][^\sa-z;,`]*(?=[\s;,`]|$)            # what is to be put in
         | [^\s;,`(]*[/@][^\s;,`]*                          # paths and addresses
      ))*
    """,
    re.VERBOSE,
)
_NAMED = re.compile(rf"\b{PROGRAM}(?= (?!--)[a-z][a-z-]*(?!\w))(?![^;,`\n]* --help)")
_INDENT = re.compile(r"\s*(?:\d+\. )?")
_BOUND = "\0"
"""Stands for a space at which no line may end; `output.visible` leaves none in a sentence."""


def completed(text: str, program: str) -> str:
    """Return `text` with `program` in each command: the name with the options of this configuration."""
    return text if program == PROGRAM else _NAMED.sub(lambda _: program, text)


def words(text: str) -> list[str]:
    """Return the pieces that `wrapped` does not break."""
    return [word.replace(_BOUND, " ") for word in _bound(text).split()]


def wrapped(text: str, width: int) -> list[str]:
    """Return `text` in lines of at most `width`; at least one line.

    A line ends at a space, and never within a command. Only a word or a command that is wider than `width` makes a wider line,
    which a terminal wraps, but copies whole. Further lines are indented like the first.
    """
    lines: list[str] = []
    for paragraph in _bound(text).splitlines() or [""]:
        lines += _paragraph(paragraph, width)
    return [line.replace(_BOUND, " ") for line in lines]


def _bound(text: str) -> str:
    return _COMMAND.sub(lambda found: found[0].replace(" ", _BOUND), text)


def _paragraph(text: str, width: int) -> Iterable[str]:
    found = _INDENT.match(text)
    first = found[0] if found else ""
    indent, current = " " * len(first), ""
    for word in text[len(first) :].split(" "):
        longer = f"{current} {word}" if current else word
        if current and len(indent) + cell_len(longer.replace(_BOUND, " ")) > width:
            yield f"{first}{current}"
            first, current = indent, word
        else:
            current = longer
    yield f"{first}{current}"
