"""What arrives at a unit's mailbox is passed on to the document system: marked from any program, the rest listed."""

import smtplib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.smtp_sessions import submission
from harness import MailServer
from mic_mail import modified_utf7
from mic_mail.policy.calendar import WorkingDays
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.policy.unit_mail.document_handoff import HandoffMark, HandoffMessage, age, due_at, waiting
from mic_mail.policy.unit_mail.reply_deadlines import IncomingMail
from mic_mail.services.unit_mail.document_handoff import PassedOn, Pending
from regulation.inbox import letters
from regulation.unit_mail_setup import CNTT, DVBE, MONDAY, UnitMailServer, at, letter

ONE = timedelta(days=1)
FOLDER = f'"Shared/cntt/{modified_utf7.encode("Đã chuyển QLVB").decode()}"'


@pytest.fixture
def unit_mail(serve: Callable[..., MailServer], tmp_path: Path) -> UnitMailServer:
    unit_mail = UnitMailServer(serve, tmp_path)
    unit_mail.move_to(MONDAY, "09:00")
    return unit_mail


def pending(unit_mail: UnitMailServer) -> list[Pending]:
    context = unit_mail.server.running.context
    snapshot = context.directory.load_snapshot()
    return PassedOn(context.store, context.config).pending(
        snapshot.entries[unit_mail.cntt.mailbox_id], snapshot, unit_mail.server.clock.now()
    )


def subjects(unit_mail: UnitMailServer) -> list[str]:
    return [each.subject for each in pending(unit_mail)]


def test_a_keeper_marks_from_any_program(unit_mail: UnitMailServer) -> None:
    """A keyword, a Thunderbird tag, a move or a copy into the folder; what is taken back waits again; who did is on record."""
    for number in range(1, 6):
        unit_mail.put(unit_mail.cntt, letter(number))
    client = unit_mail.sign_in()
    client.create(FOLDER)
    client.select("Shared/cntt")
    assert subjects(unit_mail) == [f"Thu so {number}" for number in range(1, 6)]
    client.store("1", "+FLAGS", "($PassedOn)")
    client.store("2", "+FLAGS.SILENT", "(passedon)")
    client.copy("3", FOLDER)
    client.uid("MOVE", "4", FOLDER)
    assert subjects(unit_mail) == ["Thu so 5"]
    client.store("1", "-FLAGS", "($PassedOn)")
    assert subjects(unit_mail) == ["Thu so 1", "Thu so 5"]
    client.store("4", "+FLAGS", r"(\Seen other)")
    client.logout()
    unit_mail.server.stop()  # what is on record is written
    events = [event for event in unit_mail.server.events() if event.get("event") == "messages_passed_on"]
    assert [(event["mailbox"], event["actor"], event["uids"]) for event in events] == [(CNTT, DVBE, "1"), (CNTT, DVBE, "2")]


def test_what_is_nothing_to_pass_on(unit_mail: UnitMailServer) -> None:
    """Automatic mail, notices of the server, the mailbox's own, junk, what was thrown away; and what came 90 days ago."""
    unit_mail.put(unit_mail.cntt, letter(1, header="Auto-Submitted: auto-generated\r\n"))
    unit_mail.put(unit_mail.cntt, letter(2, CNTT, "a@mof.gov.vn"))
    unit_mail.put(unit_mail.cntt, letter(3), folder="Junk")
    unit_mail.put(unit_mail.cntt, letter(4), folder="Trash")
    unit_mail.put(unit_mail.cntt, letter(5), folder="Drafts")
    unit_mail.put(unit_mail.cntt, letter(6), folder="Archive")
    unit_mail.put(unit_mail.cntt, letter(7, to="nhom@mic.gov.vn"))
    assert sorted(subjects(unit_mail)) == ["Thu so 6", "Thu so 7"]
    unit_mail.move_to(MONDAY + ONE * 91, "09:00")
    assert subjects(unit_mail) == []


def test_mail_from_outside_in_the_mailbox_s_own_name_is_passed_on_too(unit_mail: UnitMailServer) -> None:
    """It came, whoever wrote it; what the mailbox did send itself is none."""
    with smtplib.SMTP("localhost", unit_mail.server.ports["smtp"], timeout=10) as client:
        client.sendmail(CNTT, [CNTT], letter(1, CNTT, CNTT))
    with submission(unit_mail.server, "cntt") as client:
        client.sendmail(CNTT, [CNTT], letter(2, CNTT, CNTT))
    assert subjects(unit_mail) == ["Thu so 1"]


def test_deadlines_and_ages(unit_mail: UnitMailServer) -> None:
    """The end of office hours of the next working day; ages in working days."""
    unit_mail.put(unit_mail.cntt, letter(1))
    unit_mail.move_to(MONDAY + ONE * 4, "18:00")
    unit_mail.put(unit_mail.cntt, letter(2))
    unit_mail.move_to(MONDAY + ONE * 7, "08:00")
    first, second = pending(unit_mail)
    assert (first.due_at, first.age) == (at(MONDAY + ONE, "17:30"), 5)
    assert (second.due_at, second.age) == (at(MONDAY + ONE * 7, "17:30"), 1)


def test_the_mailbox_is_reminded_once_a_week(unit_mail: UnitMailServer) -> None:
    """Of what is overdue, with its subjects, in the mailbox itself; never of what is marked."""
    unit_mail.put(unit_mail.cntt, letter(1))
    unit_mail.put(unit_mail.cntt, letter(2), keywords=("$PassedOn",))
    for days, clock in ((0, "18:00"), (7, "08:00"), (7, "12:00"), (8, "08:00")):
        unit_mail.move_to(MONDAY + ONE * days, clock)
        unit_mail.server.housekeep()
    told = [text for text in letters(unit_mail.server, "cntt") if "hệ thống quản lý văn bản" in text]
    assert len(told) == 1
    assert f"- {MONDAY:%d/%m/%Y} 09:00, từ a@mof.gov.vn: Thu so 1." in told[0]
    assert "Thu so 2" not in told[0]
    unit_mail.move_to(MONDAY + ONE * 14, "08:00")
    unit_mail.server.housekeep()
    assert len([text for text in letters(unit_mail.server, "cntt") if "hệ thống quản lý văn bản" in text]) == 2


def test_by_command(unit_mail: UnitMailServer, tmp_path: Path) -> None:
    """Figures of all, deadlines of one, never a subject; marked by Message-ID with a document; files; evidence."""
    for number in (1, 2, 3):
        unit_mail.put(unit_mail.cntt, letter(number))
    unit_mail.put(unit_mail.cntt, letter(1), folder="Archive")
    console = unit_mail.console
    (row,) = console.json("report", "passed-on")
    assert (row["mailbox"], row["waiting"], row["late"]) == (CNTT, 3, 3)
    rows = console.json("report", "passed-on", "--mailbox", CNTT)
    assert [each["message_id"] for each in rows] == ["<1@x>", "<2@x>", "<3@x>"]
    assert "Thu so" not in console.out
    console.done("mailbox", "mark-passed-on", CNTT, "<1@x>", "3@x", "--document", "9/QLVB")
    assert [each["message_id"] for each in console.json("report", "passed-on", "--mailbox", CNTT)] == ["<2@x>"]
    console.refused("mailbox", "mark-passed-on", CNTT, "<2@x>", "<9@x>", "--document", "9/QLVB", says="<9@x>", code=2)
    assert console.json("report", "passed-on") == []
    console.refused("mailbox", "mark-passed-on", DVBE, "<2@x>", "--document", "1", code=2)
    unit_mail.put(unit_mail.cntt, letter(4))
    for name in ("x.pdf", "x.xlsx", "x.html", "x.csv"):
        words = ("report", "passed-on", "--unit", "CNTT", "--out", str(tmp_path / name))
        console.done(*words)
    assert CNTT in (tmp_path / "x-1.csv").read_text("utf-8-sig")
    assert console.json("regulation", "show", "12.3.c")["evidence"][0]["count"] == 0


def test_nothing_is_marked_where_nothing_can_be(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """Of a mailbox that was freed no store is made anew; without a keyword the messages are not said to be missing."""
    unit_mail = UnitMailServer(serve, tmp_path, {"unit": {"passed_on": {"keywords": []}}})
    khtc = unit_mail.server.issue("khtc", kind=MailboxKind.UNIT)
    unit_mail.server.record(khtc, Draft(FactKind.FREED, at(MONDAY, "07:00"), "test"))
    unit_mail.put(unit_mail.cntt, letter(1))
    unit_mail.console.refused("mailbox", "mark-passed-on", khtc.address, "<1@x>", "--document", "9/QLVB")
    assert not (unit_mail.server.config.mail_root / khtc.home).exists()
    unit_mail.console.refused(
        "mailbox", "mark-passed-on", CNTT, "<1@x>", "--document", "9/QLVB", says="unit.passed_on.keywords", code=2
    )


def test_the_settings_choose_the_mark(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """Other keywords, another folder with those below it, none at all."""
    passed_on = {"keywords": ["QLVB"], "folder": "Archive", "days": 3}
    unit_mail = UnitMailServer(serve, tmp_path, {"unit": {"passed_on": passed_on}})
    unit_mail.put(unit_mail.cntt, letter(1), folder="Archive")
    unit_mail.account(unit_mail.cntt).create("Archive/2026")
    unit_mail.put(unit_mail.cntt, letter(2), folder="Archive/2026")
    unit_mail.put(unit_mail.cntt, letter(3), keywords=("qlvb",))
    unit_mail.put(unit_mail.cntt, letter(4), keywords=("$PassedOn",))
    (one,) = pending(unit_mail)
    assert (one.subject, one.due_at) == ("Thu so 4", at(MONDAY + ONE * 3, "17:30"))
    assert not HandoffMark(frozenset(), "").is_folder("INBOX")


# ---------------------------------------------------------------- by rule

OWN = frozenset({CNTT})
FRIDAY = datetime(2026, 11, 20, 2, tzinfo=UTC)
LETTER = IncomingMail("<1@x>", "a@mof.gov.vn", OWN, frozenset(), FRIDAY, is_marked=False, is_automatic=False)
arrivals = st.builds(
    HandoffMessage,
    st.builds(
        replace,
        st.just(LETTER),
        message_id=st.sampled_from(["", "<1@x>", "<2@x>"]),
        sender=st.sampled_from(["a@mof.gov.vn", CNTT]),
        received_at=st.integers(0, 9).map(lambda hours: FRIDAY + timedelta(hours=hours)),
        is_automatic=st.booleans(),
    ),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(arrivals, max_size=8))
def test_one_copy_that_is_marked_is_enough(these: list[HandoffMessage]) -> None:
    """Each message waits once, since its first copy came; in whatever order they are read."""
    found = waiting(these, OWN)
    done = {each.message.message_id for each in these if each.passed_on}
    asked = [each for each in these if each.counts and not each.passed_on and not each.message.is_automatic]
    asked = [each for each in asked if each.message.sender != CNTT]
    named = {each.message.message_id for each in asked if each.message.message_id} - done
    assert sorted(each.message_id for each in found if each.message_id) == sorted(named)
    assert sum(not each.message_id for each in found) == sum(not each.message.message_id for each in asked)
    for each in found:
        if each.message_id:
            assert each.received_at == min(a.message.received_at for a in asked if a.message.message_id == each.message_id)
    assert len(waiting(these[::-1], OWN)) == len(found)


@given(st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.integers(0, 40), st.integers(0, 5))
def test_days_are_counted_one_by_one(came: date, later: int, days: int) -> None:
    """A deadline is never on a day of rest, nor before the message came; an age counts the working days between."""
    calendar = WorkingDays(off=frozenset({date(2026, 4, 30), date(2026, 5, 1)}))
    received = at(came, "10:00")
    message = replace(LETTER, received_at=received)
    due = due_at(message, calendar, days, time(17, 30))
    local = due.astimezone(at(came, "00:00").tzinfo)
    assert due > received
    on = came
    between = []
    while on < came + ONE * later:
        on += ONE
        between.append(on)
    assert age(received, at(came + ONE * later, "09:00"), calendar) == sum(not calendar.is_rest(day) for day in between)
    assert not calendar.is_rest((local + timedelta(hours=7)).date())
