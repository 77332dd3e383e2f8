"""The level of a position (Reg. 6.4.c). An unknown position is asked for, never guessed.

In: the position as the personnel decision words it, and the Centre's own entries. Out: a `Level`, or None. Titles are compared
word by word: a title covers the positions that begin with it, and the longest matching title counts. If the level depends on
the body that somebody heads, the title names it: the Chánh Văn phòng Bộ is a department leader; a Chánh Văn phòng alone, or one
of a Cục, is unknown.
"""

import re
from collections.abc import Mapping
from unicodedata import normalize

from mic_mail.policy.facts import Level

_DEPARTMENT = (
    "bộ trưởng",
    "thứ trưởng",
    "tổng cục trưởng",
    "phó tổng cục trưởng",
    "vụ trưởng",
    "phó vụ trưởng",
    "cục trưởng",
    "phó cục trưởng",
    "viện trưởng",
    "phó viện trưởng",
    "chánh văn phòng bộ",
    "phó chánh văn phòng bộ",
    "chánh thanh tra bộ",
    "phó chánh thanh tra bộ",
)
_DIVISION = (
    "trưởng phòng",
    "phó trưởng phòng",
    "phó phòng",
    "trưởng ban",
    "phó trưởng ban",
    "chuyên viên",
    "thanh tra viên",
    "kế toán viên",
    "kỹ sư",
    "cán sự",
    "nhân viên",
    "văn thư",
    "lưu trữ viên",
    "lái xe",
)
Table = Mapping[str, Level | None]
"""Title, as `title_of` writes it -> level; None: the Centre has marked it as unknown."""
BUILT_IN: Table = {**dict.fromkeys(_DEPARTMENT, Level.DEPARTMENT), **dict.fromkeys(_DIVISION, Level.DIVISION)}
"""The levels that hold unless the Centre has entered others."""
_ACTING = ("quyền ", "q ", "phụ trách ")
"""Prefixes of an acting position, which has that position's level."""


def level_of(position: str, entered: Table | None = None) -> Level | None:
    """Return the level of `position`; `entered` takes precedence over the built-in table."""
    table, title = {**BUILT_IN, **(entered or {})}, title_of(position)
    without = next((title.removeprefix(acting) for acting in _ACTING if title.startswith(acting)), None)
    for words in (title.split(), (without or "").split()):
        for end in range(len(words), 0, -1):
            if (known := " ".join(words[:end])) in table:
                return table[known]
    return None


def title_of(text: str) -> str:
    """Normalise a title for comparison: NFC, lower case, single blanks, no points or commas."""
    return " ".join(re.sub(r"[.,;]", " ", normalize("NFC", text).casefold()).split())
