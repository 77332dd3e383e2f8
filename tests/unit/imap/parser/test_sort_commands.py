"""SORT, THREAD, ESEARCH, CANCELUPDATE and the newer return options, as clients write them, against their values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.imap.command_table import GRAMMAR
from mic_mail.imap.parser.command import Arguments, Command
from mic_mail.imap.parser.events import BadLine, Event
from mic_mail.imap.parser.fetch import Fetch
from mic_mail.imap.parser.fetch_items import Datum
from mic_mail.imap.parser.number_set import Partial, format_in_order, parse_set
from mic_mail.imap.parser.reader import Limits, Reader
from mic_mail.imap.parser.search import Search
from mic_mail.imap.parser.search_keys import All, And, Fuzzy, HasFlag, InSet, Not
from mic_mail.imap.parser.sort import (
    CancelUpdate,
    Criterion,
    MultiSearch,
    Reach,
    SearchSource,
    Sort,
    SortKey,
    Thread,
    ThreadAlgorithm,
)
from mic_mail.storage.types import TextTest

SUBJECT = (Criterion(SortKey.SUBJECT),)


def read(line: bytes) -> Arguments | Event:
    """The arguments of a command, or what comes in its place."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(line + b"\r\n")
    event = reader.next()
    return event.arguments if isinstance(event, Command) else event


COMMANDS: list[tuple[bytes, Arguments]] = [
    # RFC 5256 §3, §5
    (b"a sort (subject) utf-8 all", Sort(False, All(), criteria=SUBJECT)),
    (b'a UID SORT (SUBJECT) "us-ascii" ALL', Sort(True, All(), criteria=SUBJECT)),
    (
        b"a SORT (Reverse Date cc REVERSE size) UTF-8 ALL",
        Sort(
            False,
            All(),
            criteria=(Criterion(SortKey.DATE, reverse=True), Criterion(SortKey.CC), Criterion(SortKey.SIZE, reverse=True)),
        ),
    ),
    (b"a SORT (SUBJECT REVERSE SUBJECT SUBJECT) UTF-8 ALL", Sort(False, All(), criteria=SUBJECT)),
    (b"a SORT (SUBJECT) KOI8-R TEXT x", Sort(False, None, foreign_charset=True, criteria=SUBJECT)),
    (b"a SORT (SUBJECT) ISO-8859-1 ALL", Sort(False, All(), foreign_charset=True, criteria=SUBJECT)),
    (b"a THREAD references UTF-8 ALL", Thread(False, All(), algorithm=ThreadAlgorithm.REFERENCES)),
    (b"a UID THREAD ORDEREDSUBJECT UTF-8 ALL", Thread(True, All(), algorithm=ThreadAlgorithm.ORDEREDSUBJECT)),
    # RFC 5267
    (b"a SORT RETURN () (SUBJECT) UTF-8 ALL", Sort(False, All(), frozenset({"ALL"}), criteria=SUBJECT)),
    (
        b"a SORT RETURN (UPDATE PARTIAL 1:5 CONTEXT) (SUBJECT) UTF-8 ALL",
        Sort(False, All(), frozenset({"UPDATE", "PARTIAL"}), partial=Partial(1, 5), criteria=SUBJECT),
    ),
    (b"a SEARCH RETURN (CONTEXT) ALL", Search(False, All(), frozenset({"ALL"}))),
    (b"a SEARCH RETURN (UPDATE) ALL", Search(False, All(), frozenset({"UPDATE"}))),
    (
        b"a UID SEARCH RETURN (UPDATE (UID FLAGS) COUNT) ALL",
        Search(True, All(), frozenset({"UPDATE", "COUNT"}), update_items=(Datum.UID, Datum.FLAGS)),
    ),
    (
        b"a SORT RETURN (UPDATE(ENVELOPE)) (SUBJECT) UTF-8 ALL",
        Sort(False, All(), frozenset({"UPDATE"}), update_items=(Datum.ENVELOPE,), criteria=SUBJECT),
    ),
    (b'a CANCELUPDATE "B01" "B 2" c', CancelUpdate((b"B01", b"B 2", b"c"))),
    # RFC 9394
    (b"a SEARCH RETURN (PARTIAL -1:-100) ALL", Search(False, All(), frozenset({"PARTIAL"}), partial=Partial(-1, -100))),
    (
        b"a UID FETCH 1:9 (UID) (PARTIAL 500:400)",
        Fetch(True, parse_set(b"1:9"), (Datum.UID,), partial=Partial(500, 400)),
    ),
    # RFC 6203
    (b"a SEARCH FUZZY TEXT x", Search(False, Fuzzy(TextTest("TEXT", "x")))),
    (b"a SEARCH FUZZY NOT FUZZY UNSEEN", Search(False, Not(Fuzzy(Not(HasFlag(8)))))),
    (
        b"a SEARCH RETURN (RELEVANCY ALL) FUZZY (SUBJECT x SEEN) 1",
        Search(
            False,
            And((Fuzzy(And((TextTest("HEADER", "x", "subject"), HasFlag(8)))), InSet(parse_set(b"1"), by_uid=False))),
            frozenset({"RELEVANCY", "ALL"}),
        ),
    ),
    # RFC 7377
    (b"a ESEARCH ALL", MultiSearch(True, All(), frozenset({"ALL"}))),
    (
        b'a ESEARCH IN (mailboxes "folder1" subtree (b c b) Subtree-One d personal) RETURN (COUNT) ALL',
        MultiSearch(
            True,
            All(),
            frozenset({"COUNT"}),
            sources=(
                SearchSource(Reach.MAILBOXES, ("folder1",)),
                SearchSource(Reach.SUBTREE, ("b", "c")),
                SearchSource(Reach.SUBTREE_ONE, ("d",)),
                SearchSource(Reach.PERSONAL),
            ),
        ),
    ),
    (
        b"a ESEARCH IN (inboxes inboxes) CHARSET UTF-8 ALL",
        MultiSearch(True, All(), frozenset({"ALL"}), sources=(SearchSource(Reach.INBOXES),)),
    ),
]


@pytest.mark.parametrize(("line", "command"), COMMANDS, ids=[line.decode() for line, _ in COMMANDS])
def test_commands(line: bytes, command: Arguments) -> None:
    """Each rule of the syntax gives its value."""
    assert read(line) == command


@pytest.mark.parametrize(
    "line",
    [
        b"SORT",
        b"SORT SUBJECT UTF-8 ALL",
        b"SORT () UTF-8 ALL",
        b"SORT (COLOUR) UTF-8 ALL",
        b"SORT (REVERSE) UTF-8 ALL",
        b"SORT (REVERSE REVERSE DATE) UTF-8 ALL",
        b"SORT (SUBJECT) UTF-8",
        b"SORT (SUBJECT) UTF-8 ALL)",
        b"SORT (RELEVANCY) UTF-8 TEXT x",
        b"SORT RETURN (RELEVANCY) (SUBJECT) UTF-8 ALL",
        b"THREAD",
        b"THREAD JWZ UTF-8 ALL",
        b"THREAD REFERENCES ALL",
        b"SEARCH RETURN (PARTIAL) ALL",
        b"SEARCH RETURN (PARTIAL 1) ALL",
        b"SEARCH RETURN (PARTIAL 0:1) ALL",
        b"SEARCH RETURN (PARTIAL 1:-1) ALL",
        b"SEARCH RETURN (PARTIAL 1:*) ALL",
        b"SEARCH RETURN (PARTIAL -0:-1) ALL",
        b"SEARCH RETURN (PARTIAL 1:4294967296) ALL",
        b"SEARCH RETURN (PARTIAL 1:2 ALL) ALL",
        b"SEARCH RETURN (PARTIAL 1:2 PARTIAL 1:2) ALL",
        b"SEARCH RETURN (RELEVANCY) ALL",
        b"SEARCH RETURN (UPDATE ()) ALL",
        b"SEARCH RETURN (UPDATE (NONSENSE)) ALL",
        b"SEARCH FUZZY",
        b"FETCH 1 (UID) (PARTIAL 1:2)",
        b"UID FETCH 1 (UID) (PARTIAL 1:2 PARTIAL 1:2)",
        b"ESEARCH",
        b"ESEARCH IN () ALL",
        b"ESEARCH IN (mailboxes) ALL",
        b"ESEARCH IN (mailboxes ()) ALL",
        b"ESEARCH IN (selected-delayed) ALL",
        b"ESEARCH IN personal ALL",
        b"ESEARCH IN (personal) RETURN (SAVE) ALL",
        b"CANCELUPDATE",
        b"CANCELUPDATE " + b" ".join([b'"t"'] * 101),
    ],
)
def test_what_is_bad(line: bytes) -> None:
    """What breaks a rule is BAD, with the tag of its command; THREAD without a charset names one that is not known."""
    event = read(b"a " + line)
    if isinstance(event, Thread):
        assert event.key is None
        return
    assert isinstance(event, BadLine), event
    assert (event.tag, event.status) == (b"a", b"BAD")


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 12), st.booleans())
def test_parts_of_results(first: int, second: int, count: int, from_the_end: bool) -> None:
    """PARTIAL names results by their place, from either end, in either order; those that are not there are left out."""
    results = list(range(count))
    sign = -1 if from_the_end else 1
    low, high = min(first, second), max(first, second)
    if from_the_end:
        expected = [results[-place] for place in range(high, low - 1, -1) if place <= count]
    else:
        expected = [results[place - 1] for place in range(low, high + 1) if place <= count]
    assert results[Partial(sign * first, sign * second).within(count)] == expected


@pytest.mark.parametrize(
    ("numbers", "written"),
    [([], b""), ([3], b"3"), ([3, 4, 5], b"3:5"), ([5, 4, 3], b"5,4,3"), ([2, 3, 1, 4, 5], b"2:3,1,4:5")],
)
def test_sets_in_an_order(numbers: list[int], written: bytes) -> None:
    """RFC 5267 §3.2: ranges only where numbers go up."""
    assert format_in_order(numbers) == written
