"""The keys of SEARCH as a tree (RFC 9051 §6.4.4): made by the parser, evaluated by `search_match`.

The parser bounds the depth: ORs are flattened, NOT NOT cancels, parentheses nest to a limit. Texts are `str`, decoded
from the charset that the client named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Literal

from mic_mail.imap.parser.number_set import SequenceSet
from mic_mail.storage.types import TextTest

CHARSETS = {
    b"US-ASCII": "ascii",
    b"UTF-8": "utf-8",
    b"ISO-8859-1": "latin-1",
    b"WINDOWS-1252": "cp1252",
    b"WINDOWS-1258": "cp1258",  # Vietnamese, in old Windows programs
}
"""The charsets of search texts, with Python's names for them."""


@dataclass(frozen=True, slots=True)
class All:
    """Every message; SAVEDATESUPPORTED too, since all mailboxes store save dates (RFC 8514 §4.3)."""


@dataclass(frozen=True, slots=True)
class And:
    """All of the keys hold."""

    keys: "tuple[SearchKey, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the keys holds; nested ORs are flattened."""

    keys: "tuple[SearchKey, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The key does not hold."""

    key: "SearchKey"


@dataclass(frozen=True, slots=True)
class HasFlag:
    """A system flag, by its bit."""

    bit: int


@dataclass(frozen=True, slots=True)
class HasKeyword:
    """A keyword; compared without regard to case."""

    keyword: str


@dataclass(frozen=True, slots=True)
class Recent:
    """RECENT of RFC 3501 §6.4.4; NEW is And(Recent, Not \\Seen), OLD is Not(Recent)."""


class DateOf(Enum):
    """The instants that date keys compare; only the calendar date counts (RFC 9051 §6.4.4)."""

    INTERNAL = "internal"
    SENT = "sent"
    SAVED = "saved"  # RFC 8514 §4.3


class DateComparison(Enum):
    """The comparisons of date keys."""

    BEFORE = "before"
    ON = "on"
    SINCE = "since"


@dataclass(frozen=True, slots=True)
class DateKey:
    """BEFORE, ON, SINCE, SENTBEFORE, SAVEDBEFORE and the others."""

    of: DateOf
    order: DateComparison
    day: date


@dataclass(frozen=True, slots=True)
class Age:
    """OLDER (age >= seconds) and YOUNGER (age <= seconds), RFC 5032."""

    older: bool
    seconds: int


@dataclass(frozen=True, slots=True)
class Size:
    """LARGER and SMALLER: RFC822.SIZE above or below this many octets."""

    larger: bool
    octets: int


@dataclass(frozen=True, slots=True)
class InSet:
    """A sequence set, or UID and a set; `$` is a set with `saved`."""

    messages: SequenceSet
    by_uid: bool


@dataclass(frozen=True, slots=True)
class ModSeq:
    """MODSEQ of at least this value (RFC 7162 §3.1.5).

    `entry` is as written: one MODSEQ per message serves for all entries.
    """

    modseq: int
    entry: str = ""


@dataclass(frozen=True, slots=True)
class ObjectId:
    """EMAILID and THREADID (RFC 8474 §6), by the column of the index."""

    column: Literal["email_id", "thread_id"]
    value: str


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """FUZZY (RFC 6203 §3): the key, matched as `imap.commands.fuzzy` defines."""

    key: "SearchKey"


SearchKey = (
    All | And | Or | Not | HasFlag | HasKeyword | Recent | DateKey | Age | Size | InSet | ModSeq | TextTest | ObjectId | Fuzzy
)
"""Any search key.

HEADER, BODY and TEXT are a `TextTest`, whose field is in lower case. FROM, TO, CC, BCC and SUBJECT are tests of the header
fields of these names.
"""


def nodes(key: SearchKey) -> Iterator[SearchKey]:
    """Yield all keys of a tree, also the AND, OR, NOT and FUZZY above others."""
    pending = [key]
    while pending:
        node = pending.pop()
        yield node
        match node:
            case And(keys) | Or(keys):
                pending += reversed(keys)
            case Not(inner) | Fuzzy(inner):
                pending.append(inner)
