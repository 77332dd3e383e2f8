"""Growing pauses: what fails again and again is tried ever more seldom, and at once after a success."""

from datetime import UTC, datetime, timedelta

from mic_mail.clock import ManualClock
from mic_mail.process.backoff import Backoff


def test_pauses_double_up_to_an_hour_and_end_with_a_success() -> None:
    clock = ManualClock(datetime(2026, 12, 1, tzinfo=UTC))
    backoff = Backoff(clock)
    assert backoff.is_due("a")
    for seconds in (15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600):
        backoff.failed("a")
        clock.move_to(clock.now() + timedelta(seconds=seconds - 1))
        assert not backoff.is_due("a")
        assert backoff.is_due("b")
        clock.move_to(clock.now() + timedelta(seconds=1))
        assert backoff.is_due("a")
    backoff.failed("a")
    backoff.succeeded("a")
    assert backoff.is_due("a")
