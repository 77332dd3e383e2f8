"""Reg. 6.4.c: the level of a position. A position that the table does not know is asked for, never guessed.

In: the position as the personnel decision words it, and what the Centre has entered. Out: a `Level`, or None.
Titles are compared word by word: a title covers the positions that begin with it, and of several titles the longest counts.
Where the level depends on what somebody is the head of, the title says it: the Chánh Văn phòng Bộ is a department leader; a
Chánh Văn phòng alone, or one of a Cục, is not known.
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
    "staff",
)
Table = Mapping[str, Level | None]
"""Title, as `title_of` writes it -> level; None: the Centre has said that it is not known."""
BUILT_IN: Table = {**dict.fromkeys(_DEPARTMENT, Level.DEPARTMENT), **dict.fromkeys(_DIVISION, Level.DIVISION)}
"""What holds where the Centre has entered nothing else."""
_ACTING = ("quyền ", "q ", "phụ trách ")
"""Who acts in a position leaves it with that position's level."""


def level_of(position: str, entered: Table | None = None) -> Level | None:
    """The level of `position`; `entered` comes before what is built in."""
    table, title = {**BUILT_IN, **(entered or {})}, title_of(position)
    without = next((title.removeprefix(acting) for acting in _ACTING if title.startswith(acting)), None)
    for words in (title.split(), (without or "").split()):
        for end in range(len(words), 0, -1):
            if (known := " ".join(words[:end])) in table:
                return table[known]
    return None


def title_of(text: str) -> str:
    """A title as the table holds and compares it: in lower case, words parted by single blanks, without points and commas."""
    return " ".join(re.sub(r"[.,;]", " ", normalize("NFC", text).casefold()).split())
