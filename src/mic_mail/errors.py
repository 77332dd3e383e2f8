"""Errors as values that a protocol can send and the command line can show.

    MicMailError
      Refused        a rule forbids it; permanent until a fact changes               exit 1
      BadInput       the request makes no sense                                      exit 2
      Trouble        no rule forbids it, but the machine cannot now; try later       exit 3

Each error has its text in Vietnamese and English, the clause that it rests on (if any), and what to do. Its class, never its
text, says whether a failure is temporary. Subclasses are defined beside the code that raises them.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence for people, in both languages; `en` is ASCII, to fit in any protocol reply.

    It may contain text by others, such as a folder's or a unit's name or a server's reply. Non-ASCII characters of that are
    escaped here, so that no reply is lost because of a letter.
    """

    vi: str
    en: str

    def __post_init__(self) -> None:
        if not self.en.isascii():
            object.__setattr__(self, "en", self.en.encode("ascii", "backslashreplace").decode("ascii"))

    def __str__(self) -> str:
        return self.en


def in_ascii(value: object) -> str:
    """Escape a name or a path for the English half of a `Text`.

    Non-ASCII letters and control characters are escaped as Python does. A caller that can show every letter passes the sentence
    to `as_written`.
    """
    return str(value).encode("unicode_escape").decode("ascii")


_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def as_written(english: str) -> str:
    """Restore the letters that `in_ascii` escaped in `english`.

    Invisible and control characters stay escaped.
    """
    return _ESCAPED.sub(_letter, english)


def _letter(escaped: re.Match[str]) -> str:
    code = escaped[1] or escaped[2] or escaped[3]
    if code is None:
        return "\\"
    letter = chr(int(code, 16))
    return letter if letter.isprintable() else escaped[0]


class MicMailError(Exception):
    """Base of all errors that this program raises on purpose."""

    exit_code = 3

    def __init__(self, text: Text | str, *, clause: str | None = None, remedy: Text | None = None) -> None:
        self.text = Text(text, text) if isinstance(text, str) else text
        self.clause = clause
        self.remedy = remedy
        super().__init__(self.text.en)


class Refused(MicMailError):
    """A rule forbids it; `clause` names the rule if it is one of the regulation."""

    exit_code = 1


class BadInput(MicMailError):
    """The request itself is wrong: an unknown address, a date that does not exist, a malformed file."""

    exit_code = 2


class Trouble(MicMailError):
    """A temporary failure: disk full, lock or database not available, a peer that does not answer."""

    exit_code = 3
    detail = ""
    """The place and cause in technical terms, for the log and the operator, never for a client."""
