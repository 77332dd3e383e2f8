"""A fresh directory with a unit, in an SQLite file or in PostgreSQL, and a clock that the test moves."""

from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import text

from mic_mail.clock import ManualClock
from mic_mail.directory import connection, postgresql
from mic_mail.directory.engine import connect, writing
from mic_mail.directory.records import MailboxRecord, UnitRecord
from mic_mail.directory.revisions import DirectoryUnavailable
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from population import migrated
from postgresql_server import postgresql_server

START = datetime(2026, 1, 5, 2, tzinfo=UTC)


ON_BOTH = {"test_app_passwords", "test_registers", "test_repository", "test_second_factors"}
"""Modules whose tests run on both; the others are about files, or make both themselves."""


def pytest_generate_tests(metafunc):
    """Run what is said of any directory on both."""
    if "directory" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in ON_BOTH:
        in_postgresql = pytest.param("postgresql", marks=pytest.mark.needs_tool("postgres"))
        metafunc.parametrize("place", ["file", in_postgresql], indirect=True)


@pytest.fixture
def place(request):
    return getattr(request, "param", "file")


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL with the tables of a directory."""
    with postgresql_server(max_connections="100") as server:
        migrated(url_of(server), ManualClock(START)).close()
        yield server


def url_of(server):
    return f"postgresql://test@/postgres?host={server.folder}"


_EMPTY = """DO $$ DECLARE name text; BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN
        SELECT tablename FROM pg_tables WHERE schemaname = 'directory' AND tablename NOT IN ('revision', 'alembic_version')
    LOOP EXECUTE 'DELETE FROM directory.' || name; END LOOP;
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'directory'
    LOOP EXECUTE 'ALTER SEQUENCE directory.' || name || ' RESTART'; END LOOP;
    UPDATE directory.revision SET version = 1;
END $$"""


@pytest.fixture
def in_postgresql(server):
    """The URL of the directory there, which is as it was made."""
    empty(server)
    return url_of(server)


def empty(server):
    with psycopg.connect(server.connection_string, autocommit=True) as driver:
        driver.execute(_EMPTY)


@pytest.fixture
def clock():
    """Monday, 5 January 2026, 09:00 in Ho Chi Minh City."""
    return ManualClock(START)


@pytest.fixture
def url(tmp_path, place, request):
    """Where the directory lies."""
    return f"sqlite:///{tmp_path / 'directory.sqlite'}" if place == "file" else request.getfixturevalue("in_postgresql")


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


def is_being_changed(directory):
    """Whether somebody holds the directory against all other changes now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "BUSY_MILLISECONDS", 0)
        patch.setitem(postgresql._SESSION, "lock_timeout", 1)
        engine = connect(directory.url)
        try:
            with writing(engine) as held:
                held.execute(text("UPDATE revision SET version = version"))
        except DirectoryUnavailable:
            return True
        finally:
            engine.dispose()
    return False
