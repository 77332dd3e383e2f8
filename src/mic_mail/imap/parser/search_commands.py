"""Commands that search like SEARCH and answer differently: SORT, THREAD, ESEARCH; and CANCELUPDATE.

Standards: RFC 5256, RFC 5957 (SORT=DISPLAY), RFC 5267 (ESORT, CONTEXT), RFC 7377 (MULTISEARCH), RFC 6203 (RELEVANCY).
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from mic_mail.imap.parser.commands import Command, Search


class SortKey(Enum):
    """Sort keys (RFC 5256 §3, RFC 5957 §4, RFC 6203 §6)."""

    ARRIVAL = b"ARRIVAL"
    CC = b"CC"
    DATE = b"DATE"
    DISPLAYFROM = b"DISPLAYFROM"
    DISPLAYTO = b"DISPLAYTO"
    FROM = b"FROM"
    RELEVANCY = b"RELEVANCY"
    SIZE = b"SIZE"
    SUBJECT = b"SUBJECT"
    TO = b"TO"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One sort key, and whether its order is reversed; ties stay in mailbox order in both cases."""

    key: SortKey
    reverse: bool = False


class ThreadAlgorithm(Enum):
    """Threading algorithms: RFC 5256 §3, and REFS, which ignores subjects."""

    ORDEREDSUBJECT = b"ORDEREDSUBJECT"
    REFERENCES = b"REFERENCES"
    REFS = b"REFS"


@dataclass(frozen=True, slots=True)
class Sort(Search):
    """SORT (RFC 5256 §3); with `returns` the extended SORT of RFC 5267 §3.

    No key of `criteria` occurs twice.
    """

    verb: ClassVar[str] = "SORT"
    criteria: tuple[Criterion, ...] = ()


@dataclass(frozen=True, slots=True)
class Thread(Search):
    """THREAD (RFC 5256 §3)."""

    verb: ClassVar[str] = "THREAD"
    algorithm: ThreadAlgorithm = ThreadAlgorithm.REFERENCES


class Reach(Enum):
    """The sources of ESEARCH (RFC 5465 §6, RFC 7377 §2.2); the last three are followed by names."""

    SELECTED = b"SELECTED"
    INBOXES = b"INBOXES"
    PERSONAL = b"PERSONAL"
    SUBSCRIBED = b"SUBSCRIBED"
    SUBTREE = b"SUBTREE"
    SUBTREE_ONE = b"SUBTREE-ONE"
    MAILBOXES = b"MAILBOXES"


@dataclass(frozen=True, slots=True)
class Source:
    """One source, with its mailboxes where it names some."""

    reach: Reach
    mailboxes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MultiSearch(Search):
    """ESEARCH (RFC 7377): `by_uid` is always set; without sources it searches the selected mailbox."""

    verb: ClassVar[str] = "ESEARCH"
    sources: tuple[Source, ...] = (Source(Reach.SELECTED),)

    @property
    def searches_selected(self) -> bool:
        """True if `selected` is among the sources, which requires a selected mailbox."""
        return any(source.reach is Reach.SELECTED for source in self.sources)


@dataclass(frozen=True, slots=True)
class CancelUpdate(Command):
    """CANCELUPDATE: no more updates for the searches with these tags (RFC 5267 §4.3.5)."""

    verb: ClassVar[str] = "CANCELUPDATE"
    tags: tuple[bytes, ...]
