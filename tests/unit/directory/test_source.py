"""Plain SQL: the same in an SQLite file, without SQLAlchemy, and through SQLAlchemy, as in other databases."""

import contextlib
import gc
import os
import sqlite3
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from mic_mail.clock import ManualClock
from mic_mail.directory import address_book_rows, engine, repository, rows, snapshot_loader
from mic_mail.directory.connection import Rows
from mic_mail.directory.instants import to_microseconds
from mic_mail.directory.records import DoneBefore, NotFound, Superseded
from mic_mail.directory.repository import Directory
from mic_mail.directory.requests import DeferredMail
from mic_mail.directory.revisions import DirectoryUnavailable
from mic_mail.directory.sent_notices import MOST_ASKED
from mic_mail.directory.snapshot import EMPTY
from mic_mail.directory.source import MOST_IDLE, Source
from mic_mail.policy.authorization.roles import Officer, OfficerRole
from mic_mail.policy.calendar import Year
from mic_mail.policy.downtime import Downtime
from mic_mail.policy.facts import REQUEST, Draft, FactKind, first_broken

READS = {
    "snapshot": lambda read: snapshot_loader.load(read, EMPTY),
    "changed": lambda read: snapshot_loader.entry_of(read, 1),
    "facts": lambda read: snapshot_loader.facts_of(read, 1),
    "newest fact": lambda read: snapshot_loader.newest_fact(read, 1),
    "domains": rows.domains,
    "units": rows.units,
    "former symbols": lambda read: list(rows.former_symbols(read)),
    "people": rows.people,
    "people of a unit": lambda read: rows.people(read, unit_id=1),
    "mailboxes": rows.mailboxes,
    "mailboxes of a person": lambda read: rows.mailboxes(read, person_id=1, unit_id=1),
    "addresses": rows.addresses,
    "last days of aliases": rows.alias_ends,
    "officers": rows.officers,
    "years": rows.years,
    "downtimes": rows.downtimes,
    "address book": address_book_rows.load,
}


@pytest.fixture
def filled(directory, clock, issue):
    """A directory with a row of each kind."""
    mailbox = issue()
    now = clock.now()
    directory.touch_activity(mailbox.mailbox_id, now)
    directory.officers.add(Officer("mai", "Mai", OfficerRole.CENTRE, None, now, now + timedelta(days=1), "1/QĐ"))
    directory.years.put(Year(2026, frozenset({date(2026, 9, 2)}), frozenset(), "2/TB", provisional=True))
    directory.downtimes.add(Downtime(0, now, now + timedelta(hours=1), "update", None, False, now, "mai"))
    return directory


@pytest.mark.parametrize("name", READS)
def test_a_file_reads_as_through_sqlalchemy(filled: Directory, name: str) -> None:
    """Days, instants, octets and truth values are what SQLAlchemy's types made of them."""
    read = READS[name]
    with filled._source.reading() as own:
        found = read(own)
    with engine.reading(filled._engine) as connection:
        assert found == read(engine.rows_of(connection))
    assert found is not None


def test_all_statements_see_one_state(filled: Directory) -> None:
    """What is committed in between is not seen."""
    with filled._source.reading() as read:
        before = snapshot_loader.version(read)
        filled.add_domain("later.gov.vn")
        assert snapshot_loader.version(read) == before
        assert "later.gov.vn" not in rows.domains(read)
    assert filled.version() == before + 1


def test_a_connection_is_kept_and_closed(filled: Directory) -> None:
    """A poll each few seconds opens no file; a read that failed leaves no transaction behind."""
    source = Source(filled.url)
    source.must_be_current()
    (kept,) = source._idle
    with source.reading() as read, source.reading() as other:
        assert snapshot_loader.version(read) == snapshot_loader.version(other)
    assert kept in source._idle
    assert len(source._idle) == 2

    def broken(read: Rows) -> None:
        snapshot_loader.version(read)
        raise KeyError

    with pytest.raises(KeyError), source.reading() as read:
        broken(read)
    assert len(source._idle) == 1
    with pytest.raises(DirectoryUnavailable, match="reached"), source.reading() as read:
        read("SELECT * FROM nothing")
    source.close()
    assert source._idle == []


READING = """
import sys
from mic_mail.directory.repository import Directory
directory = Directory(sys.argv[1])
directory.must_be_current(), directory.migrate(must_exist=True), directory.migrate()
directory.load_snapshot(), directory.roll(), directory.officers.all(), directory.downtimes.all(), directory.years.working_days()
directory.units(), directory.people(), directory.mailboxes(), directory.addresses(), directory.newest_fact()
directory.close()
print("sqlalchemy" in sys.modules)
directory.add_domain("x.gov.vn")
print("sqlalchemy" in sys.modules)
"""


def test_only_a_change_loads_sqlalchemy(filled: Directory) -> None:
    """Of a worker's memory it is what is written to, and not shared, while statements are compiled."""
    done = subprocess.run([sys.executable, "-c", READING, filled.url], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_a_start_and_a_sign_in_need_no_engine(filled: Directory, clock: ManualClock) -> None:
    """What is asked and recorded in each start and each day is plain SQL; registers without rows are not read further."""
    own, now = Directory(filled.url, clock=clock), clock.now()
    own.sent.begin(now)
    own.sent.put(["suspended:1:2"], now)
    assert own.sent.known(["suspended:1:2", "other"]) == {"suspended:1:2"}
    assert (own.sent.origin("suspended:1:2"), own.sent.beginning("maintenance:1:"), own.sent.void()) == (
        "suspended:1:2",
        [],
        {},
    )
    own.requests.set_mark("requests", 1, 2)
    assert own.requests.mark("requests") == (1, 2)
    assert own.requests.deferred("requests") == own.requests.mail_read(now) == own.requests.pending() == []
    assert own.incidents.recent(now) == own.changes.pending() == own.changes.release_aliases(now, "clock") == []
    assert own.content.exports() == []
    version = own.version()
    assert own.mend_instants_ahead(clock.now, timedelta(0)) == (0, 0, 0)
    assert own.second_factors.mend_steps_ahead(lambda: 1, 0) == 0
    assert own.version() == version
    own.append_fact(1, Draft(FactKind.PASSWORD_SET, now, "clock"))
    assert own.touch_activity(1, now + timedelta(days=2))
    assert "engine" not in vars(own._source)
    own.close()


@pytest.fixture(params=["by sqlite3", "by SQLAlchemy"])
def either(filled: Directory, request: pytest.FixtureRequest) -> Directory:
    """A directory whose plain SQL is executed in one of two ways."""
    if request.param == "by SQLAlchemy":
        filled._source._file = None
    return filled


def test_notices_are_put_down_and_made_void(either: Directory, clock: ManualClock) -> None:
    """A repeated key keeps its time; one of a clock that was ahead counts as not sent, and has another origin."""
    sent, now = either.sent, clock.now()
    assert sent.begin(now + timedelta(days=9)) == now + timedelta(days=9)
    assert (sent.begin(now), sent.begin(now + timedelta(days=1)), sent.begun()) == (now, now, now)
    sent.put(["a%:1", "a%:2"], now)
    sent.put(["a%:2", "ab:3"], now + timedelta(days=2))
    assert sent.known([]) == set()
    assert sent.known({"a%:1", "A%:2"}) == {"a%:1"}
    assert sent.known([*(str(n) for n in range(MOST_ASKED)), "ab:3"]) == {"ab:3"}
    assert sent.beginning("a%:") == ["a%:1", "a%:2"]
    assert either.mend_instants_ahead(clock.now, timedelta(hours=1)) == (0, 0, 1)
    assert (sent.known(["ab:3"]), list(sent.void().values()), sent.origin("ab:3")) == (set(), ["ab:3"], "ab:3:again1")
    sent.void_reported(sent.void())
    assert sent.void() == {}


def test_marks_and_deferred_mail(either: Directory, clock: ManualClock) -> None:
    """Deferred messages go with the UIDVALIDITY under which they were."""
    requests, now = either.requests, clock.now()
    assert requests.mark("requests") is None
    requests.set_mark("requests", 7, 3, deferred_since=now)
    requests.set_mark("requests", 7, 4)
    assert (requests.mark("requests"), requests.deferred("requests")) == ((7, 4), [DeferredMail(3, now, now)])
    requests.set_mark("other", 8, 1)
    requests.set_mark("requests", 8, 1, deferred_since=now)
    assert (requests.mark("requests"), requests.deferred("requests")) == ((8, 1), [DeferredMail(1, now, now)])


def test_the_last_use_only_moves_on(either: Directory, clock: ManualClock) -> None:
    """Of two processes that record a use at the same time, the later use stays, and the mailbox is loaded anew."""
    before, later = either.load_snapshot(), clock.now() + timedelta(days=3)
    assert either.touch_activity(1, later)
    assert not either.touch_activity(1, later - timedelta(hours=1))
    either._tables.change_plainly(
        lambda change: change.run(repository._USED, mailbox_id=1, used_at=to_microseconds(later - timedelta(days=1)))
    )
    entry = either.load_snapshot(before).entry(1)
    assert entry is not None
    assert entry.last_activity == later
    with pytest.raises(NotFound):
        either.touch_activity(99, later)


def test_facts_are_appended_or_not_at_all(either: Directory, clock: ManualClock) -> None:
    """A refused change leaves the version as it was, and the next one finds no transaction."""
    draft, version = Draft(FactKind.PASSWORD_SET, clock.now(), "clock", data={"b": "ệ", "a": 1}), either.version()
    facts = either.append_facts(1, [draft, draft], after=1)
    assert [fact.seq for fact in facts] == [2, 3]
    assert either.facts(1)[1:] == facts
    assert first_broken(either.facts(1)) is None
    for mailbox_id, refusal in ((1, Superseded), (99, NotFound), (0, NotFound), (1 << 63, NotFound)):
        with pytest.raises(refusal):
            either.append_facts(mailbox_id, [draft], after=2)
    assert (either.version(), len(either.facts(1))) == (version + 1, 3)


def test_a_refusal_that_is_held_holds_no_lock(either: Directory, clock: ManualClock) -> None:
    """Who handles the error of a change may record something, though its traceback still holds rows that were being read."""
    first, second = (Draft(FactKind.PASSWORD_SET, clock.now(), "clock", data={REQUEST: number}) for number in (7, 8))
    either.append_facts(1, (first, second))
    with pytest.raises(DoneBefore) as refusal:  # at the first of two rows, so that the statement has not ended
        either.append_fact(1, first)
    with contextlib.closing(sqlite3.connect(either.url.removeprefix("sqlite:///"), timeout=0)) as raw:
        raw.execute("BEGIN IMMEDIATE")
    del refusal


@pytest.mark.parametrize(
    ("damage", "is_read"),
    [
        ("UPDATE fact SET digest = 'abc'", lambda entry: {fact.kind for fact in entry.facts} == {FactKind.UNREADABLE}),
        ("UPDATE credential SET scram_salt = 'abc'", lambda entry: entry.credential is None or entry.credential.scram is None),
    ],
    ids=["digest", "salt"],
)
def test_a_text_in_place_of_octets_concerns_one_mailbox(filled: Directory, damage: str, is_read: Any) -> None:
    """All others can be read, and the servers start."""
    with contextlib.closing(sqlite3.connect(filled.url.removeprefix("sqlite:///"))) as raw, raw:
        raw.execute("DROP TRIGGER fact_no_update")
        raw.execute(damage)
    entry = filled.load_snapshot().entry(1)
    assert entry is not None
    assert is_read(entry)


def test_an_open_that_fails_keeps_no_descriptor(tmp_path: Path) -> None:
    """Not even until the next garbage collection: an idle process asks each two seconds."""
    (tmp_path / "directory.sqlite").write_bytes(b"no database" * 1_000)
    source = Source(f"sqlite:///{tmp_path}/directory.sqlite")
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with pytest.raises(DirectoryUnavailable), source.reading():
                pass
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        gc.enable()


def test_reads_and_changes_are_of_one_file(tmp_path: Path) -> None:
    """Also where the way leads through a link and back."""
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    directory = Directory(f"sqlite:///{tmp_path}/link/../directory.sqlite")
    directory.migrate()
    directory.add_domain("new.vn")
    assert directory.domains() == ["new.vn"]
    directory.close()


def test_a_directory_without_a_revision(filled: Directory) -> None:
    with contextlib.closing(sqlite3.connect(filled.url.removeprefix("sqlite:///"))) as raw, raw:
        raw.execute("DELETE FROM revision")
    with pytest.raises(DirectoryUnavailable):
        filled.version()


def test_reads_at_once_leave_few_connections(filled: Directory) -> None:
    """A moment in which many threads read together does not keep a descriptor for each of them open."""
    source = Source(filled.url)
    with contextlib.ExitStack() as reads:
        for _ in range(3 * MOST_IDLE):
            [(one,)] = reads.enter_context(source.reading())("SELECT 1")
            assert one == 1
    assert len(source._idle) == MOST_IDLE
    source.close()
