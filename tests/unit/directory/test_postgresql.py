"""A directory in PostgreSQL: several servers at once, and a server of the database that is away, slow or not the right one."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import Clock
from mic_mail.directory import duty_lock, postgresql
from mic_mail.directory.dry_run import rehearsal
from mic_mail.directory.duty_lock import DutyLock
from mic_mail.directory.records import AlreadyThere, MailboxRecord, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.revisions import DirectoryUnavailable
from mic_mail.errors import BadInput
from mic_mail.policy.calendar import Year
from mic_mail.policy.credentials.verifiers import Credential, ScramKeys
from mic_mail.policy.facts import Draft, FactKind, MailboxKind, first_broken
from postgresql_server import PostgresqlServer
from unit.directory.conftest import empty, url_of

pytestmark = pytest.mark.needs_tool("postgres")
DUTY = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"


@pytest.fixture
def place() -> str:
    return "postgresql"


def test_ten_servers_make_the_tables_at_once(server: PostgresqlServer, clock: Clock) -> None:
    """The first makes them, the others find them."""
    server.psql("CREATE DATABASE fresh")
    url = url_of(server).replace("/postgres?", "/fresh?")

    def migrated(_: int) -> int:
        with closing(Directory(url, clock=clock)) as directory:
            directory.migrate()
            return directory.version()

    with ThreadPoolExecutor(10) as threads:
        assert set(threads.map(migrated, range(10))) == {1}
    with closing(Directory(url_of(server).replace("/postgres?", "/template1?"), clock=clock)) as empty:
        for ask in (empty.must_be_current, lambda: empty.migrate(must_exist=True)):
            with pytest.raises(DirectoryUnavailable, match="empty"):
                ask()


def test_an_address_is_given_once_whoever_gives_it(directory: Directory, url: str, clock: Clock) -> None:
    """Ten servers issue it at the same moment; the ids of the others are not used up by what was refused."""
    record = MailboxRecord(0, MailboxKind.GROUP, "dvbe@mic.gov.vn", "mic.gov.vn/dvbe", "dvbe", 1 << 40, unit_id=1)
    barrier = threading.Barrier(10)

    def issued(_: int) -> bool:
        with closing(Directory(url, clock=clock)) as own:
            barrier.wait(60)
            try:
                own.issue_mailbox(record, Draft(FactKind.ISSUED, clock.now(), "test"))
            except AlreadyThere:
                return False
            return True

    with ThreadPoolExecutor(10) as threads:
        assert sorted(threads.map(issued, range(10))) == [False] * 9 + [True]
    assert [(each.address, each.quota_octets) for each in directory.mailboxes()] == [("dvbe@mic.gov.vn", 1 << 40)]


def test_texts_are_those_of_a_file(directory: Directory) -> None:
    """Of any length, ordered by their octets; but for U+0000, which is refused in words."""
    for symbol in ("b", "C", "Đ", "a" * 500):
        directory.add_unit(UnitRecord(0, f"X-{symbol}", "n" * 5_000))
    symbols = [unit.symbol for unit in directory.units()]
    assert symbols == sorted(symbols)
    with pytest.raises(BadInput, match="cannot store"):
        directory.add_unit(UnitRecord(0, "nul\0", "x"))


def test_a_server_that_is_stopped_and_started(directory: Directory, server: PostgresqlServer) -> None:
    """Away: temporary trouble. Back: the next question is answered, on a new connection."""
    version = directory.version()
    server.stop()
    for ask in (directory.version, directory.load_snapshot, lambda: directory.add_domain("x.vn")):
        with pytest.raises(DirectoryUnavailable, match="reached"):
            ask()
    server.start(max_connections="100")
    assert directory.version() == version
    server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'test'")
    directory.add_domain("x.vn")
    assert directory.version() == version + 1


def test_a_server_that_does_not_answer(directory: Directory, server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its machine goes on, so nothing but the time tells: the connection is given up, and another one opened."""
    version = directory.version()
    stopped = [int(pid) for pid in server.psql("SELECT pid FROM pg_stat_activity WHERE application_name = 'mic-mail'").split()]
    monkeypatch.setattr(postgresql, "_ANSWER_SECONDS", 1)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert directory.version() == version
        with directory._source.reading() as read:
            ((pid,),) = read("SELECT pg_backend_pid()")
        assert pid not in stopped
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def duties(url: str, *, count: int = 2) -> Iterator[list[DutyLock]]:
    nodes = [DutyLock(url) for _ in range(count)]
    yield nodes
    for node in nodes:
        node.close()


def test_one_node_is_on_duty(url: str, server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it ends, or its connection is lost: then it knows at its next act, and whoever asks first is on duty."""
    monkeypatch.setattr(duty_lock, "ASKED_SECONDS", 0)
    with duties(url) as (one, other):
        assert [one.take(), other.take(), one.take()] == [True, False, True]
        one.close()
        assert [other.take(), one.take()] == [True, False]
        server.psql(f"SELECT pg_terminate_backend(pid, 60000) FROM ({DUTY}) AS held")
        assert [one.take(), other.take()] == [True, False]
        server.stop()
        with pytest.raises(DirectoryUnavailable):
            other.take()
        with pytest.raises(DirectoryUnavailable):
            one.take()
        server.start(max_connections="100")
        assert [other.take(), one.take()] == [True, False]


def test_who_is_not_on_duty_asks_seldom(url: str, server: PostgresqlServer) -> None:
    """A job a second opens no connection a second."""
    count = "SELECT sessions FROM pg_stat_database WHERE datname = 'postgres'"
    with duties(url) as (one, other):
        assert [one.take(), other.take()] == [True, False]
        before = int(server.psql(count))
        assert not any(other.take() for _ in range(50))
        assert int(server.psql(count)) - before < 5  # those of psql itself


def test_a_directory_in_a_file_has_one_server(tmp_path: object) -> None:
    with duties(f"sqlite:///{tmp_path}/directory.sqlite") as (one, other):
        assert one.take()
        assert other.take()


def _filled(directory: Directory, clock: Clock) -> None:
    """With units below each other in any order, a fact chain, credentials and a notice that is void."""
    upper = directory.add_unit(UnitRecord(0, "PTTH", "Cục", None))
    lower = directory.add_unit(UnitRecord(0, "TT", "Trung tâm", upper.unit_id))
    owner = MailboxRecord(0, MailboxKind.UNIT, "tt@mic.gov.vn", "mic.gov.vn/tt", "Trung tâm", 1 << 40, unit_id=lower.unit_id)
    keys = Credential(0, "$argon2id$", ScramKeys(b"salt\0", 100_000, b"stored\xff", b"server"))
    mailbox = directory.issue_mailbox(owner, Draft(FactKind.ISSUED, clock.now(), "test", data={"tên": "Đỗ"}), credential=keys)
    directory.add_alias(mailbox.mailbox_id, "trung.tam@mic.gov.vn", Draft(FactKind.ALIAS_ADDED, clock.now(), "test"))
    directory.years.put(Year(2026, frozenset({date(2026, 9, 2)}), frozenset(), "2/TB", provisional=True))
    directory.sent.put(["a:1"], clock.now() + timedelta(days=2))
    assert directory.mend_instants_ahead(clock.now, timedelta(hours=1)).notices == 1


def test_a_directory_moves_there_and_back(directory: Directory, server: PostgresqlServer, clock: Clock, tmp_path: Path) -> None:
    """From a file into an empty database, and by a backup's way into a file again: every row, number and version."""
    files = [Directory(f"sqlite:///{tmp_path}/{name}.sqlite", clock=clock) for name in ("one", "back")]
    one, back = files
    one.migrate()
    one.add_domain("mic.gov.vn")
    one.add_unit(UnitRecord(0, "CNTT", "Vụ Công nghệ thông tin", None, "1553/QĐ-BTTTT"))
    _filled(one, clock)
    with pytest.raises(AlreadyThere, match="not empty"):
        one.copy_into(directory)
    empty(server)
    counts = one.copy_into(directory)
    assert (counts["unit"], counts["fact"], counts["void_notice"]) == (3, 2, 1)
    assert directory.copy_into(back) == counts
    for copy in (directory, back):
        assert copy.load_snapshot() == one.load_snapshot()
        assert (copy.units(), copy.addresses(), copy.version()) == (one.units(), one.addresses(), one.version())
        assert first_broken(copy.facts(1)) is None
        assert copy.add_unit(UnitRecord(0, "SAU", "Sau")).unit_id == 4
    for each in files:
        each.close()


def test_a_rehearsal_changes_nothing_there(directory: Directory, clock: Clock) -> None:
    """And one within a rehearsal nothing here."""
    _filled(directory, clock)
    before = directory.load_snapshot()
    with rehearsal(directory) as copy:
        copy.append_fact(1, Draft(FactKind.SUSPENDED, clock.now(), "test", data={"cause": "c"}))
        with rehearsal(copy) as later:
            later.add_domain("later.vn")
        assert [fact.seq for fact in copy.facts(1)] == [1, 2, 3]
        assert copy.domains() == ["mic.gov.vn"]
    assert directory.load_snapshot() == before
