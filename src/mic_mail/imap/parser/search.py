"""SEARCH: its arguments and their parser.

RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5032, RFC 7162 §3.1.5, RFC 8474 §6, RFC 8514 §4.3, RFC 5267 §4, RFC 5465 §7, RFC 9394
§4, RFC 6203 §7.

`program` reads `[CHARSET c] key *(SP key)`; SORT and THREAD (`sort`) share the part behind the charset. KEYS has one row per
search key. Chains of OR and of NOT, of any length, are read in a loop and flattened. Other nesting (parentheses, OR below a
NOT) costs stack, here and in the evaluation of the tree, and is refused beyond MAX_DEPTH.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from mic_mail.imap.parser.command import MessageArguments
from mic_mail.imap.parser.fetch import fetch_items
from mic_mail.imap.parser.fetch_items import FetchItem
from mic_mail.imap.parser.lexer import Cursor, Fault
from mic_mail.imap.parser.number_set import Partial
from mic_mail.imap.parser.search_keys import (
    CHARSETS,
    Age,
    All,
    And,
    DateComparison,
    DateKey,
    DateOf,
    Fuzzy,
    HasFlag,
    HasKeyword,
    InSet,
    ModSeq,
    Not,
    ObjectId,
    Or,
    Recent,
    SearchKey,
    Size,
    nodes,
)
from mic_mail.storage.types import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, TextTest


@dataclass(frozen=True, slots=True)
class Search(MessageArguments):
    """SEARCH (RFC 9051 §6.4.4).

    `returns` is None without RETURN (RFC 4731), else the options' names; `RETURN ()` is ALL. `key` is None for an unknown
    charset: that is NO, not a syntax error. SORT, THREAD and ESEARCH are searches too (`sort`).
    """

    key: SearchKey | None
    returns: frozenset[str] | None = None
    foreign_charset: bool = False
    """True if a charset was named that is neither UTF-8 nor US-ASCII."""
    partial: Partial | None = None
    """The range of PARTIAL, if that is among `returns`."""
    update_items: tuple[FetchItem, ...] = ()
    """Items to fetch of new messages that match, for UPDATE (RFC 5465 §7)."""

    @property
    def keeps_numbers(self) -> bool:
        """True also for a UID SEARCH whose criteria hold message numbers (RFC 7162 §3.2.10.2) or are unread."""
        return self.key is None or self.uses_numbers

    @property
    def uses_numbers(self) -> bool:
        """True if numbers occur in its criteria or responses; `$` stands for UIDs."""
        return not self.by_uid or (
            self.key is not None
            and any(isinstance(key, InSet) and not key.by_uid and not key.messages.saved for key in nodes(self.key))
        )


MAX_DEPTH = 64
"""Most levels of parentheses, and of ORs behind a NOT or FUZZY, in each other."""
_RETURNS = {b"MIN", b"MAX", b"ALL", b"COUNT", b"SAVE", b"CONTEXT", b"UPDATE", b"RELEVANCY", b"PARTIAL"}
"""Options of RETURN (RFC 4731 §3.1, RFC 5182, RFC 5267 §4, RFC 6203 §4)."""

KeyParser = Callable[[Cursor, str], SearchKey]
"""Reads the argument of a key, its text in this charset."""


def search(cursor: Cursor, *, by_uid: bool) -> Search:
    returns, partial, items = return_options(cursor)
    key, charset = program(cursor)
    check_relevancy(key, returns)
    foreign = charset != "utf-8"
    return Search(by_uid, key, returns, foreign_charset=foreign, partial=partial, update_items=items)


class Returns(NamedTuple):
    """The options of RETURN (None: without RETURN), and the arguments of PARTIAL and UPDATE."""

    options: frozenset[str] | None = None
    partial: Partial | None = None
    update_items: tuple[FetchItem, ...] = ()


def return_options(cursor: Cursor) -> Returns:
    """Parse `RETURN (...)` and the space behind it, if it is next."""
    if not word_is(cursor, b"RETURN"):
        return Returns()
    cursor.space()
    found = _return_options(cursor)
    cursor.space()
    return found


def check_relevancy(key: SearchKey | None, returns: frozenset[str] | None, *, sorted_by_it: bool = False) -> None:
    """Refuse RELEVANCY without a FUZZY key (RFC 6203 §4, §6)."""
    if (
        key is not None
        and (sorted_by_it or "RELEVANCY" in (returns or ()))
        and not any(isinstance(node, Fuzzy) for node in nodes(key))
    ):
        raise Fault(b"RELEVANCY needs a FUZZY key")


def program(cursor: Cursor) -> tuple[SearchKey | None, str | None]:
    """Parse the keys; return them and the codec of their texts, or two None for an unknown charset.

    Keys in an unknown charset cannot be read. Without a charset text is UTF-8, of which US-ASCII is a part (RFC 9051 §6.4.4).
    """
    if not word_is(cursor, b"CHARSET"):
        return _all_of(cursor, "utf-8", 0, cursor.at_end), "utf-8"
    cursor.space()
    return program_in_charset(cursor)


def program_in_charset(cursor: Cursor) -> tuple[SearchKey | None, str | None]:
    """Parse `charset key *(SP key)`, as in SORT and THREAD (RFC 5256 §5, search-criteria)."""
    charset = _charset(cursor)
    if charset is None:
        cursor.skip_rest()
        return None, None
    cursor.space()
    return _all_of(cursor, charset, 0, cursor.at_end), charset


def word_is(cursor: Cursor, word: bytes) -> bool:
    """Skip `word` if it is next."""
    stop = cursor.position + len(word)
    if cursor.data[cursor.position : stop].upper() != word or cursor.data[stop : stop + 1] not in {b" ", b""}:
        return False
    cursor.position = stop
    return True


def _return_options(cursor: Cursor) -> Returns:
    """Parse the list of RETURN (RFC 4731 §3.1): an empty list means ALL.

    One PARTIAL or ALL at most (RFC 5267 §4.4). CONTEXT announces more searches of these keys (RFC 5267 §4.2); it is ignored,
    since nothing here would be faster for it.
    """
    options: set[str] = set()
    partial: Partial | None = None
    items: tuple[FetchItem, ...] = ()
    for _ in cursor.listed():
        name = cursor.word()
        if name not in _RETURNS:
            raise Fault(b"Unknown option")
        if name == b"PARTIAL":
            cursor.space()
            if partial is not None:
                raise Fault(b"One PARTIAL only")
            partial = cursor.partial()
        if name == b"UPDATE" and (cursor.at(b"(") or cursor.another(b"(")):  # RFC 5465 §7; its grammar has no space
            items = fetch_items(cursor)
        if name != b"CONTEXT":
            options.add(name.decode("ascii"))
    if {"PARTIAL", "ALL"} <= options:
        raise Fault(b"PARTIAL and ALL exclude each other")
    return Returns(frozenset(options or {"ALL"}), partial, items)


def _charset(cursor: Cursor) -> str | None:
    """Return the codec of a charset; None for an unknown one."""
    codec = CHARSETS.get(cursor.astring().upper())
    return "utf-8" if codec == "ascii" else codec


# ------------------------------------------------------------------ the tree


def _all_of(cursor: Cursor, charset: str, depth: int, finished: Callable[[], bool]) -> SearchKey:
    keys = [_key(cursor, charset, depth)]
    while not finished():
        cursor.space()
        if finished():
            break
        keys.append(_key(cursor, charset, depth))
    different = tuple(dict.fromkeys(keys))
    return different[0] if len(different) == 1 else And(different)


def _key(cursor: Cursor, charset: str, depth: int) -> SearchKey:
    """Parse one key, with the NOTs and FUZZYs in front of it.

    NOT NOT cancels; FUZZY in front of a NOT is moved behind it.
    """
    negated = fuzzy = False
    while True:
        if word_is(cursor, b"NOT"):
            negated = not negated
        elif word_is(cursor, b"FUZZY"):
            fuzzy = True
        else:
            break
        cursor.space()
    key = _positive(cursor, charset, depth)
    if fuzzy:
        key = Fuzzy(key)
    return Not(key) if negated else key


def _positive(cursor: Cursor, charset: str, depth: int) -> SearchKey:
    octet = cursor.data[cursor.position : cursor.position + 1]
    if octet == b"(":
        return _group(cursor, charset, depth)
    if octet and octet in b"0123456789*$":
        return InSet(cursor.sequence_set(), by_uid=False)
    name = cursor.word()
    if name == b"OR":
        return _either(cursor, charset, depth)
    if (key := _KEYS.get(name)) is not None:
        return key
    parser = _PARSERS.get(name)
    if parser is None:
        raise Fault(b"Unknown search key")
    cursor.space()
    return parser(cursor, charset)


def _group(cursor: Cursor, charset: str, depth: int) -> SearchKey:
    cursor.take(b"(")
    cursor.skip_spaces()
    key = _all_of(cursor, charset, _deeper(depth), lambda: cursor.at(b")"))
    if not cursor.take(b")"):
        raise Fault(b"Syntax error: parenthesis expected")
    return key


def _deeper(depth: int) -> int:
    if depth == MAX_DEPTH:
        raise Fault(b"Search keys are nested too deeply")
    return depth + 1


def _either(cursor: Cursor, charset: str, depth: int) -> SearchKey:
    """Parse `OR a OR b OR c d`, and `OR OR a b c`: one OR of all operands, for any shape of the tree."""
    keys: list[SearchKey] = []
    depth, wanted = _deeper(depth), 2
    while wanted:
        cursor.space()
        if word_is(cursor, b"OR"):
            wanted += 1
        else:
            keys.append(_key(cursor, charset, depth))
            wanted -= 1
    return Or(tuple(dict.fromkeys(keys)))


# ------------------------------------------------------------------ keys


def _day(of: DateOf, order: DateComparison, cursor: Cursor, _charset: str) -> SearchKey:
    return DateKey(of, order, cursor.date())


def _keyword(cursor: Cursor, _charset: str) -> SearchKey:
    return HasKeyword(cursor.atom().decode("ascii"))


def _string(cursor: Cursor, charset: str) -> str:
    """Parse a text in the charset that the client named."""
    octets = cursor.astring()
    try:
        return octets.decode(charset)
    except UnicodeDecodeError:
        raise Fault(b"Text is not in its charset") from None


def _field(name: str, cursor: Cursor, charset: str) -> SearchKey:
    return TextTest("HEADER", _string(cursor, charset), name)


def _header(cursor: Cursor, charset: str) -> SearchKey:
    name = cursor.astring().decode("utf-8", "replace").lower()
    cursor.space()
    return _field(name, cursor, charset)


def _text(kind: Literal["BODY", "TEXT"], cursor: Cursor, charset: str) -> SearchKey:
    return TextTest(kind, _string(cursor, charset))


def _object(column: Literal["email_id", "thread_id"], cursor: Cursor, _charset: str) -> SearchKey:
    """Parse an object id (RFC 8474 §7); case matters. A malformed identifier matches nothing."""
    return ObjectId(column, cursor.astring().decode("utf-8", "replace"))


def _modseq(cursor: Cursor, _charset: str) -> SearchKey:
    entry = ""
    if cursor.at(b'"'):
        entry = cursor.astring().decode("utf-8", "replace")
        if not entry.startswith("/flags/"):
            raise Fault(b"Unknown metadata entry")
        cursor.space()
        if cursor.word() not in {b"PRIV", b"SHARED", b"ALL"}:
            raise Fault(b"Unknown metadata type")
        cursor.space()
    return ModSeq(cursor.number64(), entry)


_BITS = {b"ANSWERED": ANSWERED, b"DELETED": DELETED, b"DRAFT": DRAFT, b"FLAGGED": FLAGGED, b"SEEN": SEEN}
_KEYS: dict[bytes, SearchKey] = {
    b"ALL": All(),
    b"RECENT": Recent(),
    b"NEW": And((Recent(), Not(HasFlag(SEEN)))),  # RFC 3501 §6.4.4
    b"OLD": Not(Recent()),
    b"SAVEDATESUPPORTED": All(),
    **{name: HasFlag(bit) for name, bit in _BITS.items()},
    **{b"UN" + name: Not(HasFlag(bit)) for name, bit in _BITS.items()},
}
"""The keys without an argument."""

_DATES = {b"": DateOf.INTERNAL, b"SENT": DateOf.SENT, b"SAVED": DateOf.SAVED}
_PARSERS: dict[bytes, KeyParser] = {
    b"KEYWORD": _keyword,
    b"UNKEYWORD": lambda cursor, charset: Not(_keyword(cursor, charset)),
    **{
        prefix + order.name.encode("ascii"): partial(_day, of, order)
        for prefix, of in _DATES.items()
        for order in DateComparison
    },
    b"LARGER": lambda cursor, _: Size(True, cursor.number64()),
    b"SMALLER": lambda cursor, _: Size(False, cursor.number64()),
    b"OLDER": lambda cursor, _: Age(True, cursor.number(at_least=1)),  # seconds, not zero (RFC 5032 §3)
    b"YOUNGER": lambda cursor, _: Age(False, cursor.number(at_least=1)),
    b"UID": lambda cursor, _: InSet(cursor.sequence_set(), by_uid=True),
    b"MODSEQ": _modseq,
    b"HEADER": _header,
    b"FROM": partial(_field, "from"),
    b"TO": partial(_field, "to"),
    b"CC": partial(_field, "cc"),
    b"BCC": partial(_field, "bcc"),
    b"SUBJECT": partial(_field, "subject"),
    b"BODY": partial(_text, "BODY"),
    b"TEXT": partial(_text, "TEXT"),
    b"EMAILID": partial(_object, "email_id"),
    b"THREADID": partial(_object, "thread_id"),
}
