"""SORT, THREAD, ESEARCH and CANCELUPDATE: their arguments and the parsers of these.

RFC 5256 §5, RFC 5957 §5, RFC 5267 §5, RFC 7377 §4, RFC 6203 §7.
"""

from dataclasses import dataclass
from enum import Enum

from mic_mail.imap.parser.command import Arguments
from mic_mail.imap.parser.lexer import Cursor, Fault
from mic_mail.imap.parser.search import Search, check_relevancy, program, program_in_charset, return_options, word_is


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

    criteria: tuple[Criterion, ...] = ()


@dataclass(frozen=True, slots=True)
class Thread(Search):
    """THREAD (RFC 5256 §3)."""

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
class SearchSource:
    """One source, with its mailboxes where it names some."""

    reach: Reach
    mailboxes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MultiSearch(Search):
    """ESEARCH (RFC 7377): `by_uid` is always set; without sources it searches the selected mailbox."""

    sources: tuple[SearchSource, ...] = (SearchSource(Reach.SELECTED),)

    @property
    def searches_selected(self) -> bool:
        """True if `selected` is among the sources, which requires a selected mailbox."""
        return any(source.reach is Reach.SELECTED for source in self.sources)


@dataclass(frozen=True, slots=True)
class CancelUpdate(Arguments):
    """CANCELUPDATE: no more updates for the searches with these tags (RFC 5267 §4.3.5)."""

    tags: tuple[bytes, ...]


MAX_CANCELLED = 100
_SORT_KEYS = {key.value: key for key in SortKey}
_ALGORITHMS = {algorithm.value: algorithm for algorithm in ThreadAlgorithm}
_REACHES = {reach.value: reach for reach in Reach}
_NAMING = {Reach.SUBTREE, Reach.SUBTREE_ONE, Reach.MAILBOXES}


def sort(cursor: Cursor, *, by_uid: bool) -> Sort:
    returns, partial, items = return_options(cursor)
    criteria = _criteria(cursor)
    cursor.space()
    key, charset = program_in_charset(cursor)
    check_relevancy(key, returns, sorted_by_it=any(criterion.key is SortKey.RELEVANCY for criterion in criteria))
    foreign = charset != "utf-8"
    return Sort(by_uid, key, returns, foreign_charset=foreign, partial=partial, update_items=items, criteria=criteria)


def _criteria(cursor: Cursor) -> tuple[Criterion, ...]:
    """Parse the sort criteria in order.

    A repeated key is dropped: it decides nothing, as it only compares equals of its first occurrence.
    """
    found: dict[SortKey, Criterion] = {}
    for _ in cursor.listed():
        name = cursor.word()
        reverse = name == b"REVERSE"
        if reverse:
            cursor.space()
            name = cursor.word()
        key = _SORT_KEYS.get(name)
        if key is None:
            raise Fault(b"Unknown sort criterion")
        found.setdefault(key, Criterion(key, reverse))
    if not found:
        raise Fault(b"No sort criterion")
    return tuple(found.values())


def thread(cursor: Cursor, *, by_uid: bool) -> Thread:
    algorithm = _ALGORITHMS.get(cursor.word())
    if algorithm is None:
        raise Fault(b"Unknown threading algorithm")
    cursor.space()
    key, charset = program_in_charset(cursor)
    return Thread(by_uid, key, foreign_charset=charset != "utf-8", algorithm=algorithm)


def multi_search(cursor: Cursor) -> MultiSearch:
    sources: tuple[SearchSource, ...] = (SearchSource(Reach.SELECTED),)
    if word_is(cursor, b"IN"):
        cursor.space()
        sources = _sources(cursor)
        cursor.space()
    returns, partial, items = return_options(cursor)
    returns = frozenset({"ALL"}) if returns is None else returns
    if "SAVE" in returns and any(source.reach is not Reach.SELECTED for source in sources):
        raise Fault(b"SAVE is for the selected mailbox only")  # RFC 7377 §2.2
    key, charset = program(cursor)
    check_relevancy(key, returns)
    foreign = charset != "utf-8"
    return MultiSearch(True, key, returns, foreign_charset=foreign, partial=partial, update_items=items, sources=sources)


def _sources(cursor: Cursor) -> tuple[SearchSource, ...]:
    """Parse `(mailboxes "a" subtree ("b" "c") personal)`; no scope options are defined."""
    found: dict[SearchSource, None] = {}
    for _ in cursor.listed():
        reach = _REACHES.get(cursor.word())
        if reach is None:
            raise Fault(b"Unknown source")
        names: list[str] = []
        if reach in _NAMING:
            cursor.space()
            names = [cursor.mailbox() for _ in cursor.listed()] if cursor.at(b"(") else [cursor.mailbox()]
            if not names:
                raise Fault(b"No mailbox")
        found.setdefault(SearchSource(reach, tuple(dict.fromkeys(names))))
    if not found:
        raise Fault(b"No source")
    return tuple(found)


def cancel_update(cursor: Cursor) -> CancelUpdate:
    """Parse CANCELUPDATE; unquoted tags are accepted."""
    tags: list[bytes] = []
    for _ in cursor.remaining():
        if len(tags) == MAX_CANCELLED:
            raise Fault(b"Too many tags")
        tags.append(cursor.astring())
    return CancelUpdate(tuple(tags))
