"""Keywords that people write for a code: its names in both languages. Pure.

Diacritics and case are ignored. The mailed form, its table and the command line accept the same keywords (`policy.keywords`).
Blanks, hyphens and punctuation are equal: `Văn bản`, `van-ban` and `letter` are one channel.
"""

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeVar

from mic_mail.errors import Text
from mic_mail.i18n.spoken import unaccented

E = TypeVar("E", bound=Enum)

_WORD = re.compile(r"[a-z0-9]+")
_BETWEEN = re.compile(r"[\s,;/]+")


def normalized(text: str) -> str:
    """Return the text in the form in which keywords are compared."""
    return " ".join(_WORD.findall(unaccented(text).lower()))


def code_of(codes: Iterable[E], names: Mapping[E, Text], short: Mapping[Enum, tuple[str, ...]], text: str) -> E | None:
    """Return the code that `text` means; None: no such code.

    `text` is the code itself, its name in either language, or a short form.
    """
    wanted = normalized(text)
    for code in codes:
        own = names.get(code)
        spellings = (str(code.value), *((own.vi, own.en) if own else ()), *short.get(code, ()))
        if wanted and any(normalized(each) == wanted for each in spellings):
            return code
    return None


def keyword(name: str) -> str:
    """Return a name as one word of a command line: `văn bản` is `văn-bản`."""
    return _BETWEEN.sub("-", name)
