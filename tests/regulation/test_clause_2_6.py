"""Reg. 2.6: the directory lists units and people, with a mailbox and without, as an address book that programs read."""

import asyncio
from datetime import timedelta

import pytest

from mic_mail.clock import ManualClock
from mic_mail.directory.records import Employment, MailboxRecord, PersonRecord, UnitRecord
from mic_mail.policy.facts import Draft, FactKind, Level, MailboxKind
from mic_mail.process.executors import Executors
from mic_mail.services.mailboxes.address_book import AddressBookCache, make_book
from regulation.officers import officers_console
from runtimes import runtime


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    console = officers_console(tmp_path_factory.mktemp("book"))
    console.done_by("mai", "person", "add", "Ngô Quyền", "--unit", "CNTT", "--position", "Chuyên viên")
    return console


def exported(console, login, *words):
    path = console.folder / "out"
    path.unlink(missing_ok=True)  # only the Centre replaces a file
    console.done_by(login, "directory", "export", "--out", path, *words)
    return path.read_bytes().decode()


def test_clause_2_6_units_people_and_groups_are_exported(console):
    """All three forms name every unit, person and group; who has no mailbox is there without an address."""
    card = exported(console, "mai")
    assert card.count("BEGIN:VCARD") == 8
    assert "FN:Ngô Quyền\r\n" in card
    assert "EMAIL;TYPE=work;PREF=1:cntt@mic.gov.vn\r\n" in card
    assert card.count("EMAIL") == 5
    entries = exported(console, "mai", "--format", "ldif")
    assert "dn: uid=dvbe,ou=people,dc=mic,dc=gov,dc=vn\n" in entries
    assert "objectClass: inetOrgPerson\n" in entries
    assert "dn: ou=CNTT-P1,ou=units,dc=mic,dc=gov,dc=vn\n" in entries
    rows = exported(console, "mai", "--format", "csv").splitlines()
    assert len(rows) == 9
    assert sum("@" in row for row in rows) == 5
    assert "VERSION:3.0" in exported(console, "mai", "--format", "vcard3")


def test_clause_2_6_a_unit_with_what_is_below_it(console):
    """`--unit`, and for a unit's administrator always: the own unit and those below it, and no other name."""
    for login, words in (("mai", ("--unit", "cntt")), ("hoa", ())):
        card = exported(console, login, *words)
        assert {"FN:Trần Thị Lan", "FN:Vụ Công nghệ thông tin", "FN:Phòng 1"} <= set(card.split("\r\n"))
        assert "FN:Lê Hoa" not in card
        assert "Tài chính" not in card
    console.refused_by("hoa", "directory", "export", "--unit", "KHTC", code=2)


def test_clause_2_6_taking_the_directory_out_is_on_record(console):
    """An export names people: who took it, and of whom, is in the log of acts."""
    exported(console, "kiem", "--unit", "KHTC", "--format", "csv", "--reason", "in danh bạ")
    act = [act for act in console.acts if act["act"] == "directory_export"][-1]
    assert (act["actor"], act["subject"], act["format"], act["reason"]) == ("kiem", "KHTC", "csv", "in danh bạ")


# ------------------------------------------------------------ who is in it


@pytest.fixture
def ministry(tmp_path):
    """A directory to which mailboxes are issued, on a clock that moves."""
    from datetime import UTC, datetime

    from harness import config_for
    from population import migrated

    clock = ManualClock(datetime(2026, 3, 2, 2, tzinfo=UTC))
    config = config_for(tmp_path)
    directory = migrated(config.directory_url, clock)
    directory.add_domain("mic.gov.vn")
    directory.add_unit(UnitRecord(0, "CNTT", "Trung tâm Thông tin"))
    yield directory, config, clock
    directory.close()


def issue(directory, clock, name, local):
    person = directory.add_person(PersonRecord(0, name, 1, "", Level.DIVISION, Employment.CIVIL_SERVANT)).person_id
    record = MailboxRecord(
        0, MailboxKind.PERSONAL, f"{local}@mic.gov.vn", f"mic.gov.vn/{local}", name, 1 << 30, person_id=person
    )
    return directory.issue_mailbox(
        record, *(Draft(kind, clock.now(), "test") for kind in (FactKind.ISSUED, FactKind.PASSWORD_SET))
    )


def people(ministry):
    directory, config, clock = ministry
    return {card.name: card.addresses for card in make_book(directory, config, clock.now()) if card.kind == "person"}


def test_clause_2_6_the_book_tells_no_states(ministry):
    """A suspended or locked mailbox is listed like any other: mail comes to it (Reg. 7.1), and nobody sees its state."""
    directory, _, clock = ministry
    first, second = issue(directory, clock, "Đỗ Văn Bê", "dvbe"), issue(directory, clock, "Lê Hoa", "lhoa")
    before = people(ministry)
    directory.append_fact(first.mailbox_id, Draft(FactKind.SUSPENDED, clock.now(), "test", data={"cause": "c"}))
    directory.append_fact(second.mailbox_id, Draft(FactKind.SENDING_LOCKED, clock.now(), "test"))
    clock.move_to(clock.now() + timedelta(seconds=1))
    assert people(ministry) == before == {"Đỗ Văn Bê": ("dvbe@mic.gov.vn",), "Lê Hoa": ("lhoa@mic.gov.vn",)}


def test_clause_2_6_who_has_left_is_not_listed(ministry):
    """From the official day on (Reg. 6.4.c), months before the mailbox is reclaimed; before it and after a return they are."""
    directory, _, clock = ministry
    mailbox = issue(directory, clock, "Đỗ Văn Bê", "dvbe")
    day = timedelta(days=1)
    left = Draft(FactKind.LEFT, clock.now() + 10 * day, "test", data={"level": "division"})
    directory.append_fact(mailbox.mailbox_id, left)
    assert people(ministry) == {"Đỗ Văn Bê": ("dvbe@mic.gov.vn",)}
    clock.move_to(clock.now() + 11 * day)
    assert people(ministry) == {}
    directory.append_fact(mailbox.mailbox_id, Draft(FactKind.RETURNED, clock.now(), "test"))
    clock.move_to(clock.now() + day)
    assert people(ministry) == {"Đỗ Văn Bê": ("dvbe@mic.gov.vn",)}


def test_clause_2_6_nothing_in_it_hides_or_turns_around(ministry):
    """Signs that show nothing, wherever they came from: a list would show another name, a terminal do something else."""
    directory, config, clock = ministry
    unit = directory.add_unit(UnitRecord(0, "KHTC", "Vụ\nKế hoạch\u202d")).unit_id
    position = "Giám\x1b[31m đốc\u2066"
    directory.add_person(PersonRecord(0, "Lê \u202eaoH\u200b\x00", unit, position, Level.DIVISION, Employment.CIVIL_SERVANT))
    (card,) = [card for card in make_book(directory, config, clock.now()) if card.kind == "person"]
    assert (card.name, card.position, card.unit.name) == ("Lê aoH", "Giám [31m đốc", "Vụ Kế hoạch")


def test_clause_2_6_who_leaves_goes_though_a_book_could_not_be_made_at_once(ministry):
    """The first try on the day fails (no memory, say); the next search tries again, and does not wait for the next change."""
    directory, config, clock = ministry
    mailbox = issue(directory, clock, "Đỗ Văn Bê", "dvbe")
    left = Draft(FactKind.LEFT, clock.now() + timedelta(days=10), "test", data={"level": "division"})
    directory.append_fact(mailbox.mailbox_id, left)
    failing = []

    def shape(book, previous):
        if failing:
            raise failing.pop()
        return {card.name for card in book if card.kind == "person"}

    async def looks():
        executors, snapshot = Executors(), directory.load_snapshot()
        kept = AddressBookCache(
            runtime(config, clock, executors=executors, snapshot=lambda: snapshot), shape, directory=directory
        )
        try:
            seen = [await kept.current()]
            clock.move_to(clock.now() + timedelta(days=11))
            failing.append(MemoryError())
            seen.append(await kept.current())
            clock.move_to(clock.now() + timedelta(minutes=1))
            seen.append(await kept.current())
        finally:
            executors.close()
        return seen

    assert asyncio.run(looks()) == [{"Đỗ Văn Bê"}, {"Đỗ Văn Bê"}, set()]


def test_clause_2_6_a_reclaimed_address_is_not_listed(ministry):
    """It takes no mail any more; its person, who did not leave, stays."""
    directory, _, clock = ministry
    mailbox = issue(directory, clock, "Đỗ Văn Bê", "dvbe")
    directory.append_fact(mailbox.mailbox_id, Draft(FactKind.RECLAIMED, clock.now(), "test"))
    clock.move_to(clock.now() + timedelta(days=1))
    assert people(ministry) == {"Đỗ Văn Bê": ()}
