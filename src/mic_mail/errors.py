"""What can go wrong, as values that a door can put on its wire and the command line can show to a person.

    MicMailError
      Refused        a rule says no; permanent until a fact changes           exit 1
      BadInput       what was asked makes no sense                            exit 2
      Trouble        the rule would say yes, the machine cannot now; try later exit 3

Each carries its text in Vietnamese and English, the clause that it rests on (if any), and what to do. Whether a failure is
temporary is its class, never its text. Subclasses live beside the code that raises them.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence for people, in both languages; `en` is ASCII, so that it can stand in any protocol reply.

    It may name what others wrote, as a folder, a unit or a server's answer: what of that is no ASCII is escaped here, so that
    no answer is lost for a letter.
    """

    vi: str
    en: str

    def __post_init__(self) -> None:
        if not self.en.isascii():
            object.__setattr__(self, "en", self.en.encode("ascii", "backslashreplace").decode("ascii"))

    def __str__(self) -> str:
        return self.en


def in_ascii(value: object) -> str:
    """A name or a path for the English half of a `Text`: other letters, and what a terminal obeys, as Python escapes them.

    Who shows the sentence where every letter can be shown gives it to `as_written`.
    """
    return ascii(str(value))[1:-1]


_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def as_written(english: str) -> str:
    """`english` with the letters that `in_ascii` took out of its names; what shows nothing, or is obeyed, stays escaped."""
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
    """A rule forbids it; `clause` names the rule where it is the regulation's."""

    exit_code = 1


class BadInput(MicMailError):
    """The request itself is wrong: an unknown address, a date that does not exist, a malformed file."""

    exit_code = 2


class Trouble(MicMailError):
    """Temporary: disk full, lock or database not available, a peer that does not answer."""

    exit_code = 3
    detail = ""
    """Where and why, in the machine's words: for the log and whoever runs the server, never for a client."""
