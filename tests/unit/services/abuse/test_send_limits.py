"""How much a mailbox may send in an hour and in a day."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mic_mail.process.send_counters import Amounts, SendCounters
from mic_mail.queue.sent_amounts import SentAmounts
from mic_mail.services.abuse.send_limits import Ceilings, LimitReached, SendLimits, uses
from mic_mail.services.abuse.shared_counters import SharedCounters

NOW = 1_764_000_000.0
PLENTY = Amounts(1_000_000, 1_000_000, 1 << 50)
ONE = Amounts(1, 1, 10)


class NobodyElse(SentAmounts):
    """The amounts of other nodes, which have sent nothing."""

    def __init__(self) -> None: ...


@pytest.fixture(params=["files", "shared"])
def rates(request: pytest.FixtureRequest, tmp_path: Path) -> SendLimits:
    """The counts of one machine; and those of a node between two exchanges."""
    return SendLimits(SendCounters(tmp_path, "w") if request.param == "files" else SharedCounters(NobodyElse()))


@pytest.mark.parametrize(
    ("hour", "day", "what", "span"),
    [
        (Amounts(3, 99, 999), PLENTY, "messages", "hour"),
        (Amounts(99, 3, 999), PLENTY, "recipients", "hour"),
        (Amounts(99, 99, 30), PLENTY, "octets", "hour"),
        (PLENTY, Amounts(3, 99, 999), "messages", "day"),
        (PLENTY, Amounts(99, 3, 999), "recipients", "day"),
        (PLENTY, Amounts(99, 99, 30), "octets", "day"),
    ],
)
def test_each_limit(rates: SendLimits, hour: Amounts, day: Amounts, what: str, span: str) -> None:
    """Three pass, the fourth does not and is not counted; other mailboxes go on; when it was said there is room again."""
    ceilings = Ceilings(hour, day)
    assert [rates.take(1, ONE, ceilings, NOW + second) for second in range(3)] == [None] * 3
    full = rates.take(1, ONE, ceilings, NOW + 10)
    assert full is not None
    assert (full.what, full.span, full.limit) == (what, span, getattr(hour if span == "hour" else day, what))
    seconds = 3_600 if span == "hour" else 86_400
    assert NOW + seconds <= full.room_at <= NOW + seconds * 26 / 24
    assert rates.take(2, ONE, ceilings, NOW) is None
    assert rates.full(1, ONE, ceilings, full.room_at - 1) == full
    assert rates.take(1, ONE, ceilings, full.room_at) is None


def test_the_limit_that_lasts_longest_is_named(rates: SendLimits) -> None:
    """Who has used up hour and day hears of the day."""
    ceilings = Ceilings(Amounts(1, 99, 999), Amounts(1, 99, 999))
    rates.take(1, ONE, ceilings, NOW)
    full = rates.take(1, ONE, ceilings, NOW)
    assert full is not None
    assert full.span == "day"


def test_a_message_that_is_larger_than_the_limit(rates: SendLimits) -> None:
    """One passes where nothing else was sent: it must not be kept out for good; the next one waits."""
    ceilings = Ceilings(Amounts(99, 99, 5), PLENTY)
    assert rates.take(1, ONE, ceilings, NOW) is None
    assert isinstance(rates.take(1, ONE, ceilings, NOW), LimitReached)


def test_what_is_given_back(rates: SendLimits) -> None:
    """A message that was refused in the end leaves no trace."""
    ceilings = Ceilings(Amounts(1, 99, 999), PLENTY)
    assert rates.take(1, ONE, ceilings, NOW) is None
    rates.give_back(1, ONE, NOW + 5)
    assert rates.take(1, ONE, ceilings, NOW + 6) is None


def test_it_is_given_back_where_it_was_counted(rates: SendLimits) -> None:
    """Not where something else was counted since: an hour that begins between the two sees no more than its limit."""
    ceilings = Ceilings(Amounts(2, 99, 999), PLENTY)
    assert rates.take(1, ONE, ceilings, NOW + 299) is None
    assert rates.take(1, ONE, ceilings, NOW + 301) is None
    rates.give_back(1, ONE, NOW + 299)
    assert rates.take(1, ONE, ceilings, NOW + 302) is None
    assert rates.take(1, ONE, ceilings, NOW + 3_900) is not None


def test_what_is_given_back_too_late(rates: SendLimits) -> None:
    """Its slot tells of another time by then, and stays as it is."""
    ceilings = Ceilings(Amounts(2, 99, 999), PLENTY)
    assert rates.take(1, ONE, ceilings, NOW) is None
    assert rates.take(1, ONE, ceilings, NOW + 3_900) is None
    rates.give_back(1, ONE, NOW)
    assert rates.take(1, ONE, ceilings, NOW + 3_901) is None
    assert rates.take(1, ONE, ceilings, NOW + 3_902) is not None


def test_a_limit_that_changes_holds_at_once(rates: SendLimits) -> None:
    """What was counted stays counted at a reload."""
    wide, narrow = Ceilings(PLENTY, Amounts(5, 99, 999)), Ceilings(PLENTY, Amounts(3, 99, 999))
    assert [rates.take(1, ONE, wide, NOW) for _ in range(4)] == [None] * 4
    assert rates.take(1, ONE, narrow, NOW) is not None
    assert rates.take(1, ONE, wide, NOW) is None


def test_how_much_was_tried(rates: SendLimits) -> None:
    """What was taken and what was refused, within the hour."""
    ceilings = Ceilings(Amounts(2, 2, 999), PLENTY)
    for _ in range(2):
        rates.take(1, ONE, ceilings, NOW)
    assert rates.refused(1, 1, 0, NOW) == Amounts(3, 2, 20)
    assert rates.refused(1, 0, 1, NOW) == Amounts(3, 3, 20)


def test_what_is_shown(tmp_path: Path) -> None:
    """Six rows: each limit and what of it is taken."""
    counts = SendCounters(tmp_path, "w")
    ceilings = Ceilings(Amounts(2, 3, 40), Amounts(5, 6, 70))
    SendLimits(counts).take(1, Amounts(2, 1, 10), ceilings, NOW)
    found = [(use.what, use.span, use.taken, use.limit, use.is_full) for use in uses(counts.sums(1, NOW), ceilings)]
    assert found == [
        ("messages", "hour", 2, 2, True),
        ("recipients", "hour", 1, 3, False),
        ("octets", "hour", 10, 40, False),
        ("messages", "day", 2, 5, False),
        ("recipients", "day", 1, 6, False),
        ("octets", "day", 10, 70, False),
    ]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(0, 900), max_size=120), st.integers(1, 20))
def test_no_hour_sees_more_than_the_limit(tmp_path: Path, pauses: list[float], limit: int) -> None:
    """Wherever the hour begins; and nobody waits longer than an hour and five minutes."""
    for old in tmp_path.iterdir():
        old.unlink()
    rates = SendLimits(SendCounters(tmp_path, "w"))
    ceilings = Ceilings(Amounts(limit, 10_000, 1 << 40), PLENTY)
    now, taken = NOW, []
    for pause in pauses:
        now += pause
        full = rates.take(1, Amounts(1, 0, 1), ceilings, now)
        if full is None:
            taken.append(now)
        else:
            assert now < full.room_at <= now + 3_900
    for begin in taken:
        assert sum(begin <= instant < begin + 3_600.0 for instant in taken) <= limit
