"""The chain of facts: what its hash covers, and that a change anywhere shows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unicodedata import normalize

import pytest

from mic_mail.policy.facts import Draft, FactKind, encode, first_broken, known_at, record, recorded_ahead

AT = datetime(2026, 1, 1, tzinfo=UTC)


def _chain(length):
    facts = []
    for number in range(length):
        draft = Draft(FactKind.QUOTA_SET, AT, "Đỗ", "vì thế", "1/QĐ", {"octets": number, "note": None, "yes": True})
        facts.append(
            record(draft, mailbox_id=7, previous=facts[-1] if facts else None, recorded_at=AT + timedelta(days=number))
        )
    return facts


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 9},
        {"kind": FactKind.RESTORED},
        {"effective_at": AT + timedelta(microseconds=1)},
        {"recorded_at": AT},
        {"actor": "x"},
        {"reason": ""},
        {"document": None},
        {"data": {"octets": 3}},
        {"mailbox_id": 8},
        {"digest": bytes(32)},
    ],
)
def test_every_member_is_covered(change):
    """Whatever is altered in a fact, the chain breaks at it and not before."""
    facts = _chain(5)
    facts[3] = replace(facts[3], **change)
    assert first_broken(facts) == 4


def test_missing_and_swapped_facts():
    """A fact that is gone or out of order breaks the chain; an empty chain is whole."""
    facts = _chain(4)
    assert first_broken(facts[1:]) == 1
    assert first_broken([facts[0], facts[2], facts[1], facts[3]]) == 2
    assert first_broken([]) is None


def test_encoding_is_canonical():
    """The same fact in another Unicode form, time zone or order of data has the same octets: written out once for all."""
    draft = Draft(FactKind.ISSUED, AT, normalize("NFD", "Đỗ"), data={"b": 1, "a": normalize("NFD", "ế")})
    fact = record(draft, mailbox_id=1, previous=None, recorded_at=AT.astimezone())
    assert (
        encode(fact)
        == (
            '{"actor":"Đỗ","data":{"a":"ế","b":1},"document":null,"effective_at":"2026-01-01T00:00:00.000000+00:00","encoding":1,'
            '"kind":"issued","mailbox_id":1,"reason":"","recorded_at":"2026-01-01T00:00:00.000000+00:00","seq":1}'
        ).encode()
    )
    assert fact.digest.hex() == "3effb738468619bf887f35515f7185a0f2646bb18fa2e93c37721dcbcf7bce9c"


def test_clock_that_runs_back():
    """Recording times never fall, even when the machine's clock does; what the clock said is kept, and under the hash."""
    facts = _chain(3)
    late = record(Draft(FactKind.RESTORED, AT, "x"), mailbox_id=7, previous=facts[-1], recorded_at=AT - timedelta(days=9))
    assert late.recorded_at == facts[-1].recorded_at
    assert late.clocked_at == AT - timedelta(days=9)
    assert [fact.clocked_at for fact in facts] == [fact.recorded_at for fact in facts]
    assert first_broken([*facts, late]) is None
    assert first_broken([*facts, replace(late, data={})]) == 4
    assert known_at([*facts, late], AT) == (facts[0], late)


def test_known_at():
    """As known then: what was on record by that instant, to the microsecond."""
    facts = _chain(3)
    assert known_at(facts, facts[1].recorded_at) == tuple(facts[:2])
    assert known_at(facts, facts[1].recorded_at - timedelta(microseconds=1)) == (facts[0],)


def test_what_was_recorded_ahead():
    """By a clock that was ahead: of now, or of a fact that followed, also once that time has come; a minute is no step."""
    minute, facts = timedelta(minutes=1), _chain(3)
    now = facts[-1].recorded_at
    assert recorded_ahead(facts, now, minute) == []
    assert recorded_ahead(facts, now - minute, minute) == []
    assert recorded_ahead(facts, AT + timedelta(hours=1), minute) == facts[1:]
    late = record(Draft(FactKind.RESTORED, AT, "x"), mailbox_id=7, previous=facts[-1], recorded_at=AT + timedelta(hours=1))
    assert recorded_ahead([*facts, late], now + timedelta(days=9), minute) == facts[1:]
