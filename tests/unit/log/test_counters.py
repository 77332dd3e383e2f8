"""What happened since an instant, counted from segments in one pass."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.log import counters as module
from mic_mail.log.counters import EventCounts, count_events
from mic_mail.log.maillog import MailLog

MIDNIGHT = datetime(2026, 11, 23, 17, tzinfo=UTC)
"""00:00 of 24/11 in Ho Chi Minh City."""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    """Puts an event into the log of `tmp_path` at an instant."""

    def put(at: datetime, event: str, **fields: object) -> None:
        log = MailLog(tmp_path, "worker0", clock=ManualClock(at), threaded=False)
        log.event(event, **fields)
        log.close()

    return put


def test_the_day_begins_at_local_midnight(tmp_path: Path, write: Callable[..., None]) -> None:
    """In a segment that was begun on the UTC day before as well."""
    write(datetime(2026, 11, 23, 16, 59, 59, tzinfo=UTC), "report_sent", trace="1")
    write(MIDNIGHT, "report_sent", trace="2")
    write(datetime(2026, 11, 24, 9, tzinfo=UTC), "report_sent", trace="3")
    assert count_events(tmp_path, MIDNIGHT).events == {"report_sent": 2}


def test_who_signed_in_and_who_sent(tmp_path: Path, write: Callable[..., None]) -> None:
    """By door, without TLS, by login; mail from elsewhere has no sender of ours, whatever stands in its fields."""
    at = datetime(2026, 11, 24, 1, tzinfo=UTC)
    for door, tls in (("imaps", "TLSv1.3"), ("imap", None), ("pop3s", "TLSv1.2")):
        write(at, "signed_in", mailbox="a@mic.gov.vn", door=door, mechanism="PLAIN", tls=tls, peer="192.0.2.1")
    write(at, "message_accepted", sender="a@mic.gov.vn", octets=1, login="a@mic.gov.vn", written_as=None)
    write(at, "message_accepted", sender='x","login":"b@mic.gov.vn', octets=1, login=None, written_as=None)
    write(at, "connection_closed", peer='{"at":"2026-11-24T01:00:00.0Z","n":1,"event":"signed_in","door":"imap"}')
    found = count_events(tmp_path, MIDNIGHT)
    assert (found.doors, found.in_the_clear) == ({"imaps": 1, "imap": 1, "pop3s": 1}, 1)
    assert found.senders == {"a@mic.gov.vn": 1}
    assert found.events == {"signed_in": 3, "message_accepted": 2}


def test_damaged_and_unfinished_lines_are_left_out(
    tmp_path: Path, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the pieces that are read are cut."""
    at = datetime(2026, 11, 24, 1, tzinfo=UTC)
    for number in range(5):
        write(at, "report_sent", trace=str(number), recipients=["x" * 40])
    segment = next(tmp_path.glob("*.jsonl"))
    line = segment.read_bytes()
    segment.write_bytes(b'{"at":"2026-11-24T01:0\n' + line + line[:-1])
    for octets in (7, 100, len(line), 1 << 20):
        monkeypatch.setattr(module, "READ_OCTETS", octets)
        assert count_events(tmp_path, MIDNIGHT).events == {"report_sent": 5}, octets


def test_no_log_is_nothing(tmp_path: Path) -> None:
    """A folder that is not there yet."""
    assert count_events(tmp_path / "missing", MIDNIGHT) == EventCounts()
