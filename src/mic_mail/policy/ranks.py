"""Reg. 6.4.c: which of the two ranks a position is. A position that the map does not know is asked for, never guessed.

In: the position as the personnel decision words it, and further entries from the settings. Out: a `Level`, or None.
Where it decides what somebody is the head of, the title has to say it: the Chánh Văn phòng Bộ is a department leader; a
Chánh Văn phòng alone, or one of a Cục, is not known.
"""

from collections.abc import Mapping
from unicodedata import normalize

from mic_mail.policy.facts import Level

_ANYTHING = ("",)

# title -> what has to follow it
_DEPARTMENT: Mapping[str, tuple[str, ...]] = {
    "bộ trưởng": _ANYTHING,
    "thứ trưởng": _ANYTHING,
    "tổng cục trưởng": _ANYTHING,
    "phó tổng cục trưởng": _ANYTHING,
    "vụ trưởng": _ANYTHING,
    "phó vụ trưởng": _ANYTHING,
    "cục trưởng": _ANYTHING,
    "phó cục trưởng": _ANYTHING,
    "viện trưởng": _ANYTHING,
    "phó viện trưởng": _ANYTHING,
    "chánh văn phòng": ("bộ",),
    "phó chánh văn phòng": ("bộ",),
    "chánh thanh tra": ("bộ",),
    "phó chánh thanh tra": ("bộ",),
}
_DIVISION: Mapping[str, tuple[str, ...]] = {
    "trưởng phòng": _ANYTHING,
    "phó trưởng phòng": _ANYTHING,
    "phó phòng": _ANYTHING,
    "trưởng ban": _ANYTHING,
    "phó trưởng ban": _ANYTHING,
    "chuyên viên": _ANYTHING,
    "thanh tra viên": _ANYTHING,
    "kế toán viên": _ANYTHING,
    "kỹ sư": _ANYTHING,
    "cán sự": _ANYTHING,
    "nhân viên": _ANYTHING,
    "văn thư": _ANYTHING,
    "lưu trữ viên": _ANYTHING,
    "lái xe": _ANYTHING,
    "staff": _ANYTHING,
}
RANKS = {
    **dict.fromkeys(_DEPARTMENT.items(), Level.DEPARTMENT),
    **dict.fromkeys(_DIVISION.items(), Level.DIVISION),
}
_ACTING = ("quyền ", "q. ", "q.", "phụ trách ")
"""Who acts in a position leaves it with that position's rank."""


def level_of(position: str, more: Mapping[str, Level] | None = None) -> Level | None:
    """The rank of `position`; `more` maps whole positions and comes first."""
    wanted = _plain(position)
    for whole, level in (more or {}).items():
        if _plain(whole) == wanted:
            return level
    for acting in _ACTING:
        wanted = wanted.removeprefix(acting)
    for (title, followers), level in RANKS.items():
        rest = wanted.removeprefix(title)
        if rest != wanted and rest[:1] in {"", " ", ","} and rest.strip(" ,").startswith(followers):
            return level
    return None


def _plain(text: str) -> str:
    return " ".join(normalize("NFC", text).casefold().split())
