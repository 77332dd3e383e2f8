"""The form in which the keywords that people write are compared and shown. Pure.

Diacritics and case are ignored. The mailed form, its table and the command line accept the same keywords (`policy.keywords`).
Blanks, hyphens and punctuation are equal: `Văn bản`, `van-ban` and `letter` are one channel.
"""

import re

from mic_mail.i18n.spoken import unaccented

_WORD = re.compile(r"[a-z0-9]+")
_BETWEEN = re.compile(r"[\s,;/]+")


def normalized(text: str) -> str:
    """Return the text in the form in which keywords are compared."""
    return " ".join(_WORD.findall(unaccented(text).lower()))


def keyword(name: str) -> str:
    """Return a name as one word of a command line: `văn bản` is `văn-bản`."""
    return _BETWEEN.sub("-", name)
