"""The language that a person reads.

In: the `--lang` option and the environment. Out: a `Language`, and the side of a `Text` that it names. Both languages are
always made together (errors.Text); one is chosen only where a person reads.
"""

from collections.abc import Mapping
from enum import StrEnum

from mic_mail.errors import Text


class Language(StrEnum):
    """Vietnamese or English; the values are those of `--lang` (BCP 47)."""

    VI = "vi"
    EN = "en"


# POSIX.1-2017 §8.2: LC_ALL overrides LC_MESSAGES, which overrides LANG; an empty value counts as absent.
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")


def language_of(environ: Mapping[str, str], option: str | None = None) -> Language:
    """Return the language of `--lang` if given, otherwise of the environment.

    An environment that names none gets English (ASCII).
    """
    if option is not None:
        return Language(option)
    locale = next((environ[name] for name in _VARIABLES if environ.get(name)), "")
    return Language.VI if locale.lower().startswith("vi") else Language.EN


def in_language(text: Text, language: Language) -> str:
    """Return one side of `text`."""
    return text.vi if language is Language.VI else text.en
