"""A directory in a fresh SQLite file, with a unit, and a clock that the test moves."""

from datetime import UTC, datetime

import pytest

from mic_mail.clock import ManualClock
from mic_mail.directory.records import MailboxRecord, UnitRecord
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from population import migrated

START = datetime(2026, 1, 5, 2, tzinfo=UTC)


@pytest.fixture
def clock():
    """Monday, 5 January 2026, 09:00 in Ho Chi Minh City."""
    return ManualClock(START)


@pytest.fixture
def url(tmp_path):
    """Where the directory lies."""
    return f"sqlite:///{tmp_path / 'directory.sqlite'}"


@pytest.fixture
def directory(url, clock):
    """Migrated, with the domain mic.gov.vn and the unit CNTT."""
    directory = migrated(url, clock)
    directory.add_domain("mic.gov.vn")
    directory.add_unit(UnitRecord(0, "CNTT", "Vụ Công nghệ thông tin", None, "1553/QĐ-BTTTT"))
    yield directory
    directory.close()


@pytest.fixture
def issue(directory, clock):
    """Issues a group's mailbox with a given local part."""

    def make(local="dvbe", **changes):
        record = MailboxRecord(0, MailboxKind.GROUP, f"{local}@mic.gov.vn", f"mic.gov.vn/{local}", local, 1 << 30, unit_id=1)
        return directory.issue_mailbox(record, Draft(FactKind.ISSUED, clock.now(), "test"), **changes)

    return make
