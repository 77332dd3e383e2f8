"""Periodic work falls on the same instants, so that a process at rest is woken once for all of it."""

import pytest

from mic_mail.process.timer_grid import LONGEST_STEP_SECONDS, next_tick


@pytest.mark.parametrize(
    ("now", "period", "tick"),
    [
        (100.0, 5.0, 105.0),
        (100.001, 5.0, 105.0),  # what was done took a moment
        (102.4, 5.0, 105.0),
        (103.0, 5.0, 110.0),  # work that takes long pauses for half a period at least
        (99.999, 1.0, 101.0),  # a timer that came a moment early is not followed by another at once
        (100.0, 0.25, 100.25),
        (7.0, 86_400.0, 86_400.0),  # a day from now, to the minute
        (40.0, 3_600.0, 3_660.0),
    ],
)
def test_the_next_tick(now: float, period: float, tick: float) -> None:
    assert next_tick(now, period) == pytest.approx(tick)


@pytest.mark.parametrize("period", [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 600.0, 3_600.0, 86_400.0])
@pytest.mark.parametrize("now", [0.0, 0.3, 17.77, 1_234.5, 100_000.25])
def test_the_next_tick_is_a_period_away_and_on_a_whole_second(now: float, period: float) -> None:
    """Whenever it begins, so that all periods of a process meet."""
    tick = next_tick(now, period)
    step = min(period, LONGEST_STEP_SECONDS)
    assert abs(tick - now - period) <= step / 2
    assert tick % 1 == 0


def test_what_begins_at_different_instants_is_due_together() -> None:
    """Nor does it matter that one took longer than another."""
    assert {next_tick(17.0 + after, 1.0) for after in (0.0, 0.2, 0.49)} == {18.0}
    assert {next_tick(16.1, 2.0), next_tick(17.4, 1.0), next_tick(15.1, 3.0)} == {18.0}
