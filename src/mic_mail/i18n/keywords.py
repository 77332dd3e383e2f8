"""Keywords that people write for a code: its names in both languages, with and without diacritics, in any case. Pure.

The mailed form, its table and the command line take the same (`policy.keywords`). Blanks, hyphens and punctuation count
alike: `Văn bản`, `van-ban` and `letter` are one channel.
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
    """The text as keywords are compared."""
    return " ".join(_WORD.findall(unaccented(text).lower()))


def code_of(codes: Iterable[E], names: Mapping[E, Text], short: Mapping[Enum, tuple[str, ...]], text: str) -> E | None:
    """The code that `text` means: by itself, by its name in either language, or by a short form; None: no such code."""
    wanted = normalized(text)
    for code in codes:
        own = names.get(code)
        spellings = (str(code.value), *((own.vi, own.en) if own else ()), *short.get(code, ()))
        if wanted and any(normalized(each) == wanted for each in spellings):
            return code
    return None


def keyword(name: str) -> str:
    """A name as one word of a command line: `văn bản` is `văn-bản`."""
    return _BETWEEN.sub("-", name)
