"""The directory in its database: what it holds to, and what a snapshot sees of it."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, IntegrityError

from mic_mail.directory import postgresql
from mic_mail.directory.engine import connect, writing
from mic_mail.directory.records import AlreadyThere, MailboxRecord, NotFound, PersonRecord, Superseded, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.revisions import DirectoryUnavailable
from mic_mail.directory.snapshot import AliasEntry
from mic_mail.log.error_fields import failure
from mic_mail.policy.credentials.verifiers import Credential, ScramKeys
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Draft, FactKind, Level, first_broken
from mic_mail.policy.lifecycle import FactsUnreadable, decide
from population import transfer
from unit.directory.conftest import is_being_changed

SCRAM = ScramKeys(b"salt", 100_000, b"stored", b"server")


def _draft(clock, kind=FactKind.QUOTA_SET, **data):
    return Draft(kind, clock.now(), "test", data=data)


def test_empty_directory(directory):
    """A fresh directory has its domain and nobody in it."""
    snapshot = directory.load_snapshot()
    assert len(snapshot) == 0
    assert snapshot.domains == {"mic.gov.vn"}
    assert snapshot.version == directory.version()


def test_migrating_twice_changes_nothing(directory):
    """Every start may migrate; a directory of this version stays as it is."""
    version = directory.version()
    directory.migrate()
    directory.must_be_current()
    assert directory.version() == version


@pytest.mark.clause("2.6")
def test_units_people_and_their_mailboxes(directory, clock):
    """What goes in comes out; symbols are found in any case and are unique."""
    unit = directory.unit("cntt")
    person = PersonRecord(0, "Đỗ Văn Bê", unit.unit_id, "Chuyên viên", Level.DIVISION, Employment.CIVIL_SERVANT)
    stored = directory.add_person(person)
    assert directory.person(stored.person_id) == stored
    assert [p.full_name for p in directory.people(unit.unit_id)] == ["Đỗ Văn Bê"]
    with pytest.raises(AlreadyThere):
        directory.add_unit(UnitRecord(0, "cntt", "Khác"))
    for missing in (lambda: directory.unit("X"), lambda: directory.person(99), lambda: directory.mailbox("x@mic.gov.vn")):
        with pytest.raises(NotFound):
            missing()


def test_snapshot_holds_everything_a_door_needs(directory, issue, clock):
    """Address, alias, verifiers, facts, quota and last use of a mailbox are in its entry."""
    mailbox = issue(credential=Credential(0, "argon", SCRAM))
    directory.add_alias(mailbox.mailbox_id, "BE.DO@mic.gov.vn", _draft(clock, FactKind.ALIAS_ADDED))
    directory.touch_activity(mailbox.mailbox_id, clock.now())
    snapshot = directory.load_snapshot()
    entry = snapshot.entry(mailbox.mailbox_id)
    assert snapshot.find("dvbe@mic.gov.vn") is entry
    assert snapshot.find("be.do@mic.gov.vn") == AliasEntry("be.do@mic.gov.vn", mailbox.mailbox_id)
    assert snapshot.resolve("be.do@mic.gov.vn") is entry
    assert snapshot.find("nobody@mic.gov.vn") is None
    assert entry.addresses == ("dvbe@mic.gov.vn", "be.do@mic.gov.vn")
    assert entry.credential == Credential(1, "argon", SCRAM)
    assert [fact.kind for fact in entry.facts] == [FactKind.ISSUED, FactKind.ALIAS_ADDED]
    assert entry.last_activity == clock.now()
    assert entry.owner.name == "Vụ Công nghệ thông tin"
    assert directory.entry(mailbox.mailbox_id) == entry


def test_secrets_are_not_printed():
    """No verifier appears in the text form of anything that may be logged."""
    shown = repr(Credential(3, "$argon2id$secret", ScramKeys(b"SALT", 1, b"STORED", b"SERVER")))
    assert not any(word in shown for word in ("secret", "SALT", "STORED", "SERVER"))


def test_an_error_of_the_database_tells_no_secret(tmp_path):
    """What was to be stored is not in its text, which stands in the log of a defect."""
    with connect(f"sqlite:///{tmp_path}/d").begin() as connection:
        connection.execute(text("CREATE TABLE kept (argon2 TEXT PRIMARY KEY)"))
        insert = text("INSERT INTO kept VALUES (:argon2)")
        connection.execute(insert, {"argon2": "$argon2id$secret"})
        with pytest.raises(IntegrityError) as error:
            connection.execute(insert, {"argon2": "$argon2id$secret"})
    assert "secret" not in failure(error.value)["error"] + failure(error.value)["where"]


def test_increment_reads_only_what_changed(directory, issue, clock):
    """A reload shares every entry that did not change and gives back the same snapshot when nothing did."""
    first, second = issue("dvbe"), issue("ttlan")
    before = directory.load_snapshot()
    assert directory.load_snapshot(before) is before
    directory.append_fact(first.mailbox_id, _draft(clock))
    after = directory.load_snapshot(before)
    assert after.version > before.version
    assert after.fact_seq > before.fact_seq
    assert after.entry(second.mailbox_id) is before.entry(second.mailbox_id)
    assert len(after.entry(first.mailbox_id).facts) == 2
    assert len(before.entry(first.mailbox_id).facts) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda d, m, c: d.append_fact(m, _draft(c)),
        lambda d, m, c: d.set_quota(m, 2 << 30, _draft(c)),
        lambda d, m, c: d.set_credential(m, Credential(0, "x")),
        lambda d, m, c: d.add_alias(m, "x@mic.gov.vn", _draft(c)),
        lambda d, m, c: d.touch_activity(m, c.now()),
        lambda d, m, c: d.hide_capabilities(m, frozenset({"IDLE"})),
    ],
)
def test_every_change_reaches_a_reload(directory, issue, clock, change):
    """Whatever changes about a mailbox raises the version, and an incremental reload equals a full one."""
    mailbox = issue()
    before = directory.load_snapshot()
    change(directory, mailbox.mailbox_id, clock)
    after = directory.load_snapshot(before)
    assert after.version == directory.version() > before.version
    assert after.entry(mailbox.mailbox_id) != before.entry(mailbox.mailbox_id)
    full = directory.load_snapshot()
    assert dict(after.entries) == dict(full.entries)
    assert dict(after.addresses) == dict(full.addresses)


def test_removed_alias_leads_nowhere_and_stays_taken(directory, issue, clock):
    """Reg. 5.4.a: a former address is never given to another mailbox; its own may take it up again."""
    first, second = issue("dvbe"), issue("ttlan")
    directory.add_alias(first.mailbox_id, "old@mic.gov.vn", _draft(clock))
    before = directory.load_snapshot()
    directory.remove_alias(first.mailbox_id, "old@mic.gov.vn", _draft(clock))
    assert directory.load_snapshot(before).find("old@mic.gov.vn") is None
    with pytest.raises(AlreadyThere):
        directory.add_alias(second.mailbox_id, "old@mic.gov.vn", _draft(clock))
    with pytest.raises(AlreadyThere):
        issue("old")
    directory.add_alias(first.mailbox_id, "old@mic.gov.vn", _draft(clock))
    assert directory.mailbox("old@mic.gov.vn") == first
    with pytest.raises(NotFound):
        directory.remove_alias(first.mailbox_id, "dvbe@mic.gov.vn", _draft(clock))


def test_refused_change_leaves_nothing(directory, issue, clock):
    """A change that is refused in the middle leaves no fact, no address and no new version behind."""
    first, second = issue("dvbe"), issue("ttlan")
    version = directory.version()
    with pytest.raises(AlreadyThere):
        directory.add_alias(second.mailbox_id, "dvbe@mic.gov.vn", _draft(clock))
    assert directory.version() == version
    assert len(directory.facts(second.mailbox_id)) == 1
    assert first_broken(directory.facts(first.mailbox_id)) is None


def test_chain_in_the_database(directory, issue, clock):
    """Facts that were stored and read again are the ones that were recorded, Vietnamese and microseconds included."""
    mailbox = issue()
    clock.move_to(clock.now() + timedelta(microseconds=123_457))
    recorded = directory.append_facts(
        mailbox.mailbox_id,
        [_draft(clock, octets=1, previous=None), Draft(FactKind.SUSPENDED, clock.now(), "Đỗ", "vì thế", "1/QĐ")],
    )
    stored = directory.facts(mailbox.mailbox_id)
    assert stored[1:] == recorded
    assert first_broken(stored) is None


def test_facts_cannot_be_changed_or_deleted(directory, issue, url):
    """The database itself refuses to touch a recorded fact."""
    issue()
    engine = connect(url)
    for statement in ("UPDATE fact SET reason = 'x'", "DELETE FROM fact"):
        with engine.connect() as connection, pytest.raises(DatabaseError, match="only ever appended"):
            connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize(
    "damage", ["kind = 'suspend'", "data = '{'", "data = '[1]'", "effective_at = 'today'", f"recorded_at = {1 << 62}"]
)
def test_a_damaged_fact_is_found_and_hides_no_other_mailbox(damage, directory, issue, clock, url, place):
    """Its chain breaks there and nothing is decided from it; all others are read as ever, and the next fact is recorded."""
    damaged, whole = issue(), issue("ttlan")
    directory.append_fact(damaged.mailbox_id, _draft(clock, FactKind.SUSPENDED, cause="c"))
    if place == "postgresql" and "today" in damage:
        pytest.skip("a column of numbers holds no text there")
    with connect(url).begin() as connection:
        untie = "SET LOCAL session_replication_role = replica" if place == "postgresql" else "DROP TRIGGER fact_no_update"
        connection.execute(text(untie))
        connection.execute(text(f"UPDATE fact SET {damage} WHERE mailbox_id = {damaged.mailbox_id} AND seq = 2"))
    snapshot = directory.load_snapshot()
    entry = snapshot.entry(damaged.mailbox_id)
    assert (first_broken(entry.facts), first_broken(snapshot.entry(whole.mailbox_id).facts)) == (2, None)
    with pytest.raises(FactsUnreadable):
        decide(entry.kind, entry.facts, clock.now())
    assert directory.append_fact(damaged.mailbox_id, _draft(clock)).seq == 3


def test_superseded(directory, issue, clock):
    """A change that was decided on older facts than there are now is not recorded."""
    mailbox = issue()
    directory.append_fact(mailbox.mailbox_id, _draft(clock), after=1)
    with pytest.raises(Superseded):
        directory.append_fact(mailbox.mailbox_id, _draft(clock), after=1)
    with pytest.raises(Superseded):
        directory.set_credential(mailbox.mailbox_id, Credential(0, "x"), _draft(clock), after=1)
    assert directory.entry(mailbox.mailbox_id).credential is None


def test_credentials_count_their_versions(directory, issue):
    """Each new password has a higher version, so that caches of the old one forget it."""
    mailbox = issue()
    assert directory.set_credential(mailbox.mailbox_id, Credential(0, "one")).version == 1
    assert directory.set_credential(mailbox.mailbox_id, Credential(0, "two", SCRAM)) == Credential(2, "two", SCRAM)


def test_activity_is_written_once_a_day(directory, issue, clock):
    """Use is recorded by the day of Ho Chi Minh City; more of the same day, or of an earlier one, writes nothing."""
    mailbox = issue()
    start = clock.now()  # 09:00
    assert directory.touch_activity(mailbox.mailbox_id, start)
    version = directory.version()
    assert not directory.touch_activity(mailbox.mailbox_id, start + timedelta(hours=14, minutes=59))
    assert not directory.touch_activity(mailbox.mailbox_id, start - timedelta(days=3))
    assert directory.version() == version
    assert directory.touch_activity(mailbox.mailbox_id, start + timedelta(hours=15))
    assert directory.entry(mailbox.mailbox_id).last_activity == start + timedelta(hours=15)


def test_transfer_touches_each_mailbox_of_the_person(directory, clock):
    """Reg. 6.4.b: the fact of a transfer stands in the chain of the person's mailbox."""
    new = directory.add_unit(UnitRecord(0, "KHTC", "Vụ Kế hoạch"))
    unit = directory.unit("CNTT")
    person = directory.add_person(PersonRecord(0, "Đỗ Văn Bê", unit.unit_id, "", None, Employment.OFFICIAL))
    record = MailboxRecord(0, "personal", "dvbe@mic.gov.vn", "mic.gov.vn/dvbe", "Bê", 1 << 30, person_id=person.person_id)
    mailbox = directory.issue_mailbox(record, _draft(clock, FactKind.ISSUED))
    transfer(directory, person, new)
    assert directory.person(person.person_id).unit_id == new.unit_id
    assert [fact.kind for fact in directory.facts(mailbox.mailbox_id)] == [FactKind.ISSUED, FactKind.TRANSFERRED]


def test_many_writers_make_one_chain(directory, issue, clock, url):
    """Eight threads with directories of their own append to one chain; every fact has its number and the chain holds."""
    mailbox = issue()

    def append() -> None:
        mine = Directory(url, clock=clock)
        for _ in range(10):
            mine.append_fact(mailbox.mailbox_id, _draft(clock))
        mine.close()

    threads = [threading.Thread(target=append) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    facts = directory.facts(mailbox.mailbox_id)
    assert len(facts) == 81
    assert first_broken(facts) is None


def test_locked_database_is_a_temporary_trouble(directory, issue, clock, url, monkeypatch):
    """A database that stays locked is told as trouble that passes, never as a refusal or a traceback of the driver."""
    mailbox = issue()
    monkeypatch.setattr("mic_mail.directory.connection.BUSY_MILLISECONDS", 50)
    monkeypatch.setitem(postgresql._SESSION, "lock_timeout", 50)
    impatient = Directory(url, clock=clock)
    with writing(connect(url)) as holder:
        holder.execute(text("UPDATE revision SET version = version"))
        with pytest.raises(DirectoryUnavailable):
            impatient.append_fact(mailbox.mailbox_id, _draft(clock))
        assert len(impatient.load_snapshot()) == 1  # readers do not wait for writers
    impatient.append_fact(mailbox.mailbox_id, _draft(clock))
    impatient.close()


def test_a_file_that_is_no_database_is_a_temporary_trouble(tmp_path, clock):
    """Whatever is wrong with the file, callers get the one error that they are prepared for."""
    (tmp_path / "directory.sqlite").write_bytes(b"not a database at all " * 500)
    directory = Directory(f"sqlite:///{tmp_path / 'directory.sqlite'}", clock=clock)
    with pytest.raises(DirectoryUnavailable):
        directory.version()


def test_a_unit_below_none_is_not_added(directory):
    """The unit above has to be on record; else the answer names it, and nothing is changed."""
    version = directory.version()
    with pytest.raises(NotFound, match="no unit 77"):
        directory.add_unit(UnitRecord(0, "P9", "Phòng 9", 77))
    assert directory.version() == version


def test_a_change_that_can_never_be_made_is_tried_once(directory):
    """A row that refers to nothing is a defect, and is not told as another's change; one that is taken is tried again."""
    for statement, error, tries in (
        ("INSERT INTO unit (symbol, name, parent_id) VALUES ('X', 'X', 77)", IntegrityError, 1),
        ("INSERT INTO revision SELECT * FROM revision", DirectoryUnavailable, 8),
    ):
        made = []

        def work(session, statement=statement, made=made):
            made.append(statement)
            session.execute(text(statement))

        with pytest.raises(error):
            directory._tables.change(work)
        assert len(made) == tries, statement


def test_the_clock_by_which_instants_lie_ahead_is_read_within_the_change(directory, clock, issue):
    """No use can be recorded between a reading and the repair: it would be taken for one that lies ahead."""
    used_at = clock.now() + timedelta(hours=1)
    directory.touch_activity(issue().mailbox_id, used_at)

    def present():
        yield clock.now()  # before the change: is anything ahead at all?
        assert is_being_changed(directory)
        yield used_at

    assert not any(directory.mend_instants_ahead(present().__next__, timedelta(0)))
