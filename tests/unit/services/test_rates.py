"""How many recipients a mailbox writes to in an hour."""

from hypothesis import given
from hypothesis import strategies as st

from mic_mail.services.rates import HourlyRate


def test_a_mailbox_waits_until_its_hour_has_passed() -> None:
    """What is refused is not counted, other mailboxes go on, and after the seconds that were said there is room."""
    rate = HourlyRate()
    assert [rate.take(1, 3, 30.0 + second) for second in range(3)] == [0.0] * 3
    wait = rate.take(1, 3, 100.0)
    assert 3_600.0 - 70.0 <= wait <= 3_660.0
    assert rate.take(2, 3, 100.0) == 0.0
    assert rate.take(1, 3, 100.0 + wait - 1) == 1.0
    assert rate.take(1, 3, 100.0 + wait) == 0.0


def test_a_limit_that_changes_holds_at_once() -> None:
    """What was counted stays counted at a reload."""
    rate = HourlyRate()
    assert [rate.take(1, 5, 0.0) for _ in range(4)] == [0.0] * 4
    assert rate.take(1, 3, 1.0) > 0
    assert rate.take(1, 5, 1.0) == 0.0


@given(st.lists(st.floats(0, 400), max_size=200), st.integers(1, 20))
def test_no_hour_sees_more_than_the_limit(pauses: list[float], limit: int) -> None:
    """Wherever the hour begins; and nobody waits longer than an hour and a minute."""
    rate = HourlyRate()
    now, taken = 0.0, []
    for pause in pauses:
        now += pause
        wait = rate.take(1, limit, now)
        assert 0.0 <= wait <= 3_660.0
        if not wait:
            taken.append(now)
    for begin in taken:
        assert sum(begin <= instant < begin + 3_600.0 for instant in taken) <= limit


def test_the_table_is_bounded() -> None:
    """Of more mailboxes than it may hold, those that sent last are remembered."""
    rate = HourlyRate(capacity=10)
    for mailbox_id in range(100):
        rate.take(mailbox_id, 1, float(mailbox_id))
    assert len(rate) == 10
    assert rate.take(99, 1, 100.0) > 0
