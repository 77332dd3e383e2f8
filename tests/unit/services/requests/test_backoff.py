"""When something that failed is tried again."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mic_mail.policy.requests import LONGEST_PAUSE, is_due

SINCE = datetime(2026, 11, 26, 3, tzinfo=UTC)
spans = st.timedeltas(timedelta(0), timedelta(days=40))


@given(spans, spans)
def test_after_as_long_again_and_never_later_than_an_hour(waited: timedelta, since_then: timedelta) -> None:
    """At once after the first try; then seldom, and for ever."""
    tried = SINCE + waited
    assert is_due(SINCE, tried, tried + since_then) is (since_then >= min(waited, LONGEST_PAUSE))
    assert is_due(SINCE, SINCE, SINCE)


@given(spans, st.timedeltas(timedelta(microseconds=1), timedelta(days=4000)))
def test_a_clock_that_was_set_back_keeps_nothing_waiting(waited: timedelta, back: timedelta) -> None:
    """What was tried at an instant that is still to come is tried now."""
    assert is_due(SINCE, SINCE + waited, SINCE + waited - back)
