"""SEARCH without text against a plain evaluation, message by message; text keys asked for only where they decide."""

import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.clock import HO_CHI_MINH
from mic_mail.imap.commands.search_match import Columns, MatchMasks, TextScanResult, mask_of, match, positions, text_keys
from mic_mail.imap.parser.number_set import SAVED_RESULT, parse_set
from mic_mail.imap.parser.search_keys import (
    Age,
    All,
    And,
    DateComparison,
    DateKey,
    DateOf,
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
)
from mic_mail.storage.types import TextTest

NOW = 1_700_000_000


@dataclass(frozen=True)
class Message:
    """One message of the model."""

    flags: int = 0
    size: int = 0
    modseq: int = 1
    internal: int = NOW
    sent: int | None = None
    saved: int | None = None
    recent: bool = False
    email_id: str = "M1"
    texts: frozenset[str] = frozenset()


def columns_of(messages: Sequence[Message], saved_uids: Sequence[int] = ()) -> Columns:
    """The columns of messages whose UIDs are 10, 20, 30..."""

    names = {DateOf.INTERNAL: "internal", DateOf.SENT: "sent", DateOf.SAVED: "saved"}
    return Columns(
        uids=[10 * (i + 1) for i in range(len(messages))],
        flags=[message.flags for message in messages],
        modseqs=[message.modseq for message in messages],
        sizes=[message.size for message in messages],
        keywords={"$junk": 32},
        recent=mask_of([i for i, message in enumerate(messages) if message.recent], len(messages)),
        saved_uids=saved_uids,
        now=NOW,
        zone=HO_CHI_MINH,
        instants={of: [getattr(message, name) for message in messages] for of, name in names.items()},
        identifiers={"email_id": [message.email_id for message in messages], "thread_id": [None for _ in messages]},
    )


def evaluated(key: SearchKey, columns: Columns, answers: Mapping[TextTest, TextScanResult]) -> MatchMasks:
    """Without its pauses."""
    evaluation = match(key, columns, answers)
    while True:
        try:
            next(evaluation)
        except StopIteration as end:
            return cast("MatchMasks", end.value)


def found(key: SearchKey, messages: Sequence[Message], saved_uids: Sequence[int] = ()) -> list[int]:
    """The positions of a search that needs no text."""
    verdict = evaluated(key, columns_of(messages, saved_uids), {})
    assert verdict.undecided == 0
    return positions(verdict.certain, len(messages))


def at(text: str) -> int:
    """Seconds of an instant in Vietnam's time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=HO_CHI_MINH).timestamp())


DAYS = [
    Message(internal=at(text))
    for text in ("2026-01-31T23:59:59", "2026-02-01T00:00:00", "2026-02-01T23:59:59", "2026-02-02T00:00:00")
]
FEBRUARY = date(2026, 2, 1)


@pytest.mark.parametrize(
    ("order", "expected"),
    [(DateComparison.BEFORE, [0]), (DateComparison.ON, [1, 2]), (DateComparison.SINCE, [1, 2, 3])],
    ids=str,
)
def test_days_are_whole_days_of_the_server(order: DateComparison, expected: list[int]) -> None:
    """RFC 9051 §6.4.4: only the date counts, not the time; the day is the one that INTERNALDATE shows."""
    assert found(DateKey(DateOf.INTERNAL, order, FEBRUARY), DAYS) == expected


def test_sent_and_saved_dates() -> None:
    """The day of a Date is the one that is written, by UTC; a message without a save date matches no save date."""
    midnight = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp())
    messages = [
        Message(internal=at("2026-02-01T12:00:00"), sent=midnight - 86_400),
        Message(internal=at("2026-01-01T12:00:00"), sent=midnight, saved=at("2026-02-01T00:00:00")),
    ]
    assert found(DateKey(DateOf.SENT, DateComparison.ON, FEBRUARY), messages) == [1]
    assert found(DateKey(DateOf.SAVED, DateComparison.ON, FEBRUARY), messages) == [1]
    assert found(DateKey(DateOf.SAVED, DateComparison.BEFORE, date(9999, 12, 31)), messages) == [1]
    assert found(DateKey(DateOf.INTERNAL, DateComparison.SINCE, date(1, 1, 1)), messages) == [0, 1]
    assert found(All(), messages) == [0, 1]


def test_age_includes_its_boundary() -> None:
    """RFC 5032 §3: OLDER and YOUNGER count from the moment of the search."""
    messages = [Message(internal=NOW - 61), Message(internal=NOW - 60), Message(internal=NOW - 59)]
    assert found(Age(True, 60), messages) == [0, 1]
    assert found(Age(False, 60), messages) == [1, 2]


def test_columns() -> None:
    """Sizes compare strictly, MODSEQ does not (RFC 7162 §3.1.5), keywords ignore case, identifiers do not."""
    messages = [Message(size=10, modseq=5, flags=32, email_id="Ma"), Message(size=11, modseq=6, recent=True)]
    assert found(Size(True, 10), messages) == [1]
    assert found(Size(False, 11), messages) == [0]
    assert found(ModSeq(6), messages) == [1]
    assert found(HasKeyword("$JUNK"), messages) == [0]
    assert found(HasKeyword("unknown"), messages) == []
    assert found(Not(HasKeyword("unknown")), messages) == [0, 1]
    assert found(Recent(), messages) == [1]
    assert found(ObjectId("email_id", "Ma"), messages) == [0]
    assert found(ObjectId("email_id", "MA"), messages) == []
    assert found(ObjectId("thread_id", "T"), messages) == []


def test_sets() -> None:
    """Numbers, UIDs and `$`; what is not there is not found (Dovecot takes such numbers in SEARCH too)."""
    messages = [Message()] * 3
    assert found(InSet(parse_set(b"2:*"), by_uid=False), messages) == [1, 2]
    assert found(InSet(parse_set(b"5:20,99"), by_uid=True), messages) == [0, 1]
    assert found(InSet(SAVED_RESULT, by_uid=False), messages, saved_uids=[20, 25]) == [1]
    assert found(InSet(parse_set(b"4,9:10"), by_uid=False), messages) == []
    assert found(InSet(parse_set(b"2:9"), by_uid=False), messages) == [1, 2]
    assert found(InSet(parse_set(b"9:*"), by_uid=False), messages) == [2]


def test_an_empty_mailbox() -> None:
    """Nothing is found in nothing."""
    assert found(Not(HasFlag(8)), []) == []
    assert found(Or((All(), InSet(parse_set(b"1:*"), by_uid=True))), []) == []


# ------------------------------------------------------------------ trees with text, against the plain way

TEXTS: list[TextTest] = [TextTest("HEADER", "x", "subject"), TextTest("BODY", "y"), TextTest("TEXT", "z")]
LEAVES: list[SearchKey] = [
    All(), HasFlag(1), HasFlag(8), HasKeyword("$Junk"), Size(True, 5), ModSeq(3), InSet(parse_set(b"10:20"), by_uid=True),
    *TEXTS,
]  # fmt: skip
TREES: Any = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.builds(
        Message,
        flags=st.integers(0, 63),
        size=st.integers(0, 10),
        modseq=st.integers(1, 6),
        texts=st.frozensets(st.sampled_from("xyz")),
    ),
    max_size=6,
)


def holds(key: SearchKey, message: Message, uid: int) -> bool:
    """The plain way: one message, one key."""
    match key:
        case Not(inner):
            return not holds(inner, message, uid)
        case And(keys):
            return all(holds(part, message, uid) for part in keys)
        case Or(keys):
            return any(holds(part, message, uid) for part in keys)
        case TextTest("HEADER", value, _) | TextTest("BODY", value) | TextTest("TEXT", value):
            return value in message.texts
        case HasFlag(bit):
            return bool(message.flags & bit)
        case HasKeyword():
            return bool(message.flags & 32)
        case Size(True, octets):
            return message.size > octets
        case ModSeq(modseq):
            return message.modseq >= modseq
        case InSet():
            return 10 <= uid <= 20
        case _:
            return True


@settings(deadline=None)
@given(key=TREES, messages=MESSAGES)
def test_trees_with_text(key: SearchKey, messages: list[Message]) -> None:
    """Asking the text keys one after the other, each only for messages that are still undecided, gives the plain answer.

    On the way nothing is certain that does not hold, and nothing impossible that does.
    """
    count = len(messages)
    columns = columns_of(messages)
    expected = [i for i, message in enumerate(messages) if holds(key, message, columns.uids[i])]
    answers: dict[TextTest, TextScanResult] = {}
    verdict = evaluated(key, columns, answers)
    scans = text_keys(key)
    for scan in scans:
        assert set(positions(verdict.certain, count)) <= set(expected) <= set(positions(verdict.possible, count))
        if not verdict.undecided:
            break
        asked = positions(verdict.undecided, count)
        hits = [i for i in asked if scan.value in messages[i].texts]
        answers[scan] = TextScanResult(verdict.undecided, mask_of(hits, count))
        verdict = evaluated(key, columns, answers)
    assert verdict.undecided == 0
    assert positions(verdict.certain, count) == expected


def test_text_keys_come_cheapest_first() -> None:
    """Headers are looked at before bodies, and a key that stands twice is scanned once."""
    subject, body, text = TEXTS
    assert text_keys(And((text, Not(body), Or((subject, body))))) == [subject, body, text]


def test_text_is_not_scanned_where_a_flag_decides() -> None:
    """`UNSEEN BODY x` opens no message that was seen."""
    messages = [Message(flags=8), Message()]
    verdict = evaluated(And((Not(HasFlag(8)), TextTest("BODY", "x"))), columns_of(messages), {})
    assert positions(verdict.undecided, 2) == [1]


@pytest.mark.parametrize(("join", "key"), [(Or, Size(True, 10)), (And, Size(False, 10))])
def test_a_wide_tree_holds_no_more_masks_than_it_is_deep(join: type[Or | And], key: SearchKey) -> None:
    """Hundreds of keys side by side that all have to be looked at, of 20,000 messages: a few masks of 20 KB at a time, and a
    pause behind each key."""
    columns = columns_of([*[Message()] * 20_000, Message(size=20)])
    evaluation, pauses = match(join((key,) * 400), columns, {}), 0
    tracemalloc.start()
    try:
        while True:
            next(evaluation)
            pauses += 1
    except StopIteration as end:
        found: MatchMasks = end.value
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found.undecided == 0
    assert pauses == 400
    assert peak < 1_000_000


def test_a_day_in_another_zone() -> None:
    """The zone is an argument: in UTC the same instant is on another day."""
    columns = replace(columns_of([Message(internal=at("2026-02-01T03:00:00"))]), zone=UTC)
    verdict = evaluated(DateKey(DateOf.INTERNAL, DateComparison.ON, FEBRUARY - timedelta(days=1)), columns, {})
    assert positions(verdict.certain, 1) == [0]
