"""Days and instants as people type them."""

from datetime import UTC, date, datetime

import pytest

from mic_mail.cli.date_args import read_day, read_instant
from mic_mail.errors import BadInput


def test_both_forms() -> None:
    """As letters write a day, and as programs do; an instant is the ministry's unless it says its offset."""
    assert read_day(" 31/08/2026 ") == read_day("2026-08-31") == date(2026, 8, 31)
    at = datetime(2026, 8, 31, 1, 30, tzinfo=UTC)
    for text in ("31/08/2026 08:30", "2026-08-31T08:30", "2026-08-31 08:30:00", "2026-08-31T01:30Z", "2026-08-31T08:30+07:00"):
        assert read_instant(text) == at
    assert read_instant("31/08/2026") == datetime(2026, 8, 30, 17, tzinfo=UTC)


@pytest.mark.parametrize("text", ["31/12/9999", "01/01/0001", "0001-01-01", "01/01/1944", "2200-01-01", "31/02/2026", "nay"])
def test_days_that_nobody_means(text: str) -> None:
    """A year that is a slip of the fingers is refused before it becomes a fact, a day that does not exist too."""
    with pytest.raises(BadInput):
        read_day(text)
    with pytest.raises(BadInput):
        read_instant(text)


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00+14:00", "31/12/9999 23:59"])
def test_instants_that_nobody_means(text: str) -> None:
    """With an offset or a time as well."""
    with pytest.raises(BadInput):
        read_instant(text)
