"""Units and individuals answer mail within 2 working days: what waits, until when, and who is reminded."""

import base64
import errno
import imaplib
import os
import smtplib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.smtp_sessions import submission
from harness import MailServer
from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.config.manual import write
from mic_mail.mime.imap_structure import answers_of
from mic_mail.policy.calendar import WorkingDays
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.unit_mail.reply_deadlines import (
    Addressed,
    IncomingMail,
    ReplySettings,
    due_at,
    is_automatic,
    owes_answer,
    unanswered,
)
from mic_mail.services.unit_mail.message_facts import PendingMessage
from mic_mail.services.unit_mail.unanswered import DUTY, Replies
from mic_mail.services.unit_mail.weekly_reminders import week_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.types import ANSWERED, AccountRef
from population import PASSWORD
from regulation.console import Console
from regulation.inbox import letters

OWN = frozenset({"dvbe@mic.gov.vn"})
FRIDAY = datetime(2026, 11, 20, 2, tzinfo=UTC)
TUESDAY_EVENING = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
"""17:30 of the 2nd working day after that Friday."""
LETTER = IncomingMail("<1@x>", "a@mof.gov.vn", OWN, frozenset(), FRIDAY, is_marked=False, is_automatic=False)


def test_the_deadline_is_the_end_of_the_second_working_day() -> None:
    """The day of receipt and days of rest are not counted."""
    assert due_at(LETTER, WorkingDays(), time(17, 30)) == TUESDAY_EVENING
    off = WorkingDays(off=frozenset({datetime(2026, 11, 24).date()}))
    assert due_at(LETTER, off, time(17, 0)) == datetime(2026, 11, 25, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "sender", "automatic"),
    [
        ({}, "a@b", False),
        ({"auto-submitted": "no"}, "a@b", False),
        ({"auto-submitted": "auto-replied; x"}, "a@b", True),
        ({"auto-submitted": "auto-generated"}, "a@b", True),
        ({"list-id": "<x>"}, "a@b", True),
        ({"list-unsubscribe": ""}, "a@b", True),
        ({"precedence": "bulk"}, "a@b", True),
        ({"precedence": "first-class"}, "a@b", False),
        ({"content-type": "multipart/report; report-type=delivery-status"}, "a@b", True),
        ({"return-path": "<>"}, "a@b", True),
        ({"return-path": "<a@b>"}, "a@b", False),
        ({}, "no-reply@b", True),
        ({}, "", True),
    ],
)
def test_nobody_answers_a_machine(fields: dict[str, str], sender: str, automatic: bool) -> None:
    """Automatic mail, lists, bulk mail, reports, senders that read nothing; a person's mail is none of them."""
    assert is_automatic(fields, sender) is automatic


def test_the_settings_choose_whose_turn_it_is() -> None:
    """Cc, bulk mail and mail of the own unit by setting; what one sends to oneself waits for nobody."""
    copied = replace(LETTER, to=frozenset({"x@y"}), cc=OWN)
    assert not owes_answer(copied, OWN, (), ReplySettings())
    assert owes_answer(copied, OWN, (), ReplySettings(addressed=Addressed.TO_AND_CC))
    automatic = replace(LETTER, is_automatic=True)
    assert not owes_answer(automatic, OWN, (), ReplySettings())
    assert owes_answer(automatic, OWN, (), ReplySettings(skip_bulk=False))
    assert owes_answer(LETTER, OWN, {LETTER.sender}, ReplySettings())
    assert not owes_answer(LETTER, OWN, {LETTER.sender}, ReplySettings(own_unit=False))
    assert not owes_answer(replace(LETTER, sender="dvbe@mic.gov.vn"), OWN, (), ReplySettings())


incoming = st.builds(
    replace,
    st.just(LETTER),
    message_id=st.sampled_from(["", "<1@x>", "<2@x>", "<3@x>"]),
    received_at=st.integers(0, 9).map(lambda hours: FRIDAY + timedelta(hours=hours)),
    is_marked=st.booleans(),
)


@given(st.lists(incoming, max_size=8), st.sets(st.sampled_from(["<1@x>", "<2@x>"])))
def test_what_is_answered_once_is_answered(these: list[IncomingMail], named: set[str]) -> None:
    """In whichever folder its copies lie; each message waits once, since its first copy came; order does not matter."""
    found = unanswered(these, OWN, (), named, ReplySettings())
    ids = {each.message_id for each in these if each.message_id}
    waiting = {one for one in ids if one not in named and not any(e.is_marked for e in these if e.message_id == one)}
    assert {each.message_id for each in found if each.message_id} == waiting
    assert len([each for each in found if each.message_id]) == len(waiting)
    assert sum(not each.message_id for each in found) == sum(not e.message_id and not e.is_marked for e in these)
    for each in found:
        if each.message_id:
            assert each.received_at == min(e.received_at for e in these if e.message_id == each.message_id)
    assert len(unanswered(these[::-1], OWN, (), named, ReplySettings())) == len(found)


# ---------------------------------------------------------------- in mailboxes


class Post:
    """A server with people, and mail put into their folders at the instants that a test names."""

    def __init__(self, server: MailServer) -> None:
        self.server = server
        self.clock = server.clock

    def put(
        self, mailbox: Any, number: int, *, folder: str = "INBOX", flags: int = 0, header: str = "",
        keywords: tuple[str, ...] = (), **names: str,
    ) -> None:  # fmt: skip
        sender, to = names.get("sender", "a@mof.gov.vn"), names.get("to", mailbox.address)
        octets = (
            f"From: {sender}\r\nTo: {to}\r\nMessage-ID: <{number}@x>\r\nSubject: Thu {number}\r\n{header}\r\nx\r\n".encode()
        )
        account = self.server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        staged = account.stage()
        staged.write(octets)
        staged.finish()
        delivery = Delivery(staged, answers_of(octets), received_at_us=self.clock.now_us(), flags=flags, keywords=keywords)
        account.publish(account.folder(folder).folder_id, [delivery])
        staged.discard()

    def waiting(self, mailbox: Any) -> list[PendingMessage]:
        context = self.server.running.context
        snapshot = context.directory.load_snapshot()
        return Replies(context.store, context.config).waiting(snapshot.entries[mailbox.mailbox_id], snapshot, self.clock.now())


@pytest.fixture
def post(serve: Callable[..., MailServer]) -> Post:
    return Post(serve(clock=ManualClock(FRIDAY)))


def test_what_waits_in_a_mailbox(post: Post) -> None:
    """Not what was answered from Sent, marked, thrown away, junk, or came by itself; nor what came more than 30 days ago."""
    bee = post.server.issue("dvbe")
    for number in (1, 2):
        post.put(bee, number)
    post.put(bee, 3, flags=ANSWERED)
    post.put(bee, 4, header="Auto-Submitted: auto-generated\r\n")
    post.put(bee, 5, folder="Trash")
    post.put(bee, 6, to="other@mic.gov.vn")
    post.put(bee, 7, keywords=("$Junk",))
    post.put(bee, 8, folder="Junk", keywords=("$Junk",))
    post.put(bee, 20, folder="Sent", sender="dvbe@mic.gov.vn", to="a@mof.gov.vn", header="References: <0@x>\r\n <2@x>\r\n")
    (one,) = post.waiting(bee)
    assert (one.subject, one.due_at) == ("Thu 1", TUESDAY_EVENING + timedelta(days=1)), "24/11 is a day off"
    post.clock.move_to(FRIDAY + timedelta(days=31))  # type: ignore[attr-defined]
    assert post.waiting(bee) == []


def test_a_keeper_answers_for_the_unit(post: Post) -> None:
    """From the own mailbox, where the answer names the unit's letter (Reg. 12.3)."""
    keeper, unit = post.server.issue("dvbe"), post.server.issue("cntt", kind=MailboxKind.UNIT)
    post.put(unit, 1)
    post.put(keeper, 9, folder="Sent", sender="dvbe@mic.gov.vn", to="a@mof.gov.vn", header="In-Reply-To: <1@x>\r\n")
    assert len(post.waiting(unit)) == 1, "he is nobody there yet"
    post.server.allow(unit, keeper, "keeper")
    assert post.waiting(unit) == []


def test_late_mailboxes_are_reminded_once_a_week(post: Post) -> None:
    """Not before the deadline, not on a day of rest, not twice after a restart, and anew next week while it is so."""
    bee, lan = post.server.issue("dvbe"), post.server.issue("ttlan")
    post.put(bee, 1)
    post.server.move_clock_to(TUESDAY_EVENING - timedelta(seconds=1))
    post.server.housekeep()
    assert len(letters(post.server, "dvbe")) == 1
    reminders = next(d for d in post.server.running.server.jobs._jobs if d.name == "replies").run.__self__  # type: ignore[attr-defined]
    expected = 1
    for moment, more in (("2026-11-29 10:00", 0), ("2026-11-30 08:00", 1), ("2026-12-01 08:00", 0), ("2026-12-07 08:00", 1)):
        post.server.move_clock_to(datetime.fromisoformat(moment).replace(tzinfo=HO_CHI_MINH))
        for _ in range(2):
            post.server.housekeep()
            reminders.forget()  # as after a restart
        expected += more
        assert len(letters(post.server, "dvbe")) == expected, moment
    letter = letters(post.server, "dvbe")[-1]
    assert "Hộp thư có 1 thư điện tử đến đã quá 02 ngày làm việc mà chưa được trả lời" in letter
    assert "- 20/11/2026 09:00, từ a@mof.gov.vn: Thu 1" in letter
    assert letters(post.server, lan.address.partition("@")[0]) == []
    assert len(post.waiting(bee)) == 1, "a reminder needs no answer"


def test_who_is_on_the_register_is_not_reminded_again(post: Post) -> None:
    """Whatever has become of the letter in the mailbox; the next week is another key."""
    bee = post.server.issue("dvbe")
    post.put(bee, 1)
    monday = datetime(2026, 11, 30, 1, tzinfo=UTC)
    post.server.population.directory.sent.put([f"{week_of(DUTY, monday)}:{bee.mailbox_id}"], monday)
    post.server.move_clock_to(monday)
    post.server.housekeep()
    assert len(letters(post.server, "dvbe")) == 1
    post.server.move_clock_to(monday + timedelta(days=7))
    post.server.housekeep()
    assert len(letters(post.server, "dvbe")) == 2


def test_a_mailbox_that_cannot_be_read_is_reminded_an_hour_later(post: Post) -> None:
    """And the others at once, who are not told twice for it."""
    bee, lan = post.server.issue("dvbe"), post.server.issue("ttlan")
    for mailbox in (bee, lan):
        post.put(mailbox, 1)
    mail = post.server.config.mail_root / bee.home
    away = mail.with_name("away")
    mail.rename(away)
    mail.write_text("in the way")
    monday = datetime(2026, 11, 30, 1, tzinfo=UTC)
    post.server.move_clock_to(monday)
    post.server.housekeep()
    assert "reminder_failed" in {event["event"] for event in post.server.events()}
    mail.unlink()
    away.rename(mail)
    for minutes, reminded in ((59, 0), (60, 1), (180, 1)):
        post.server.move_clock_to(monday + timedelta(minutes=minutes))
        post.server.housekeep()
        assert len(letters(post.server, "dvbe")) == 1 + reminded, minutes
    assert len(letters(post.server, "ttlan")) == 2


def test_one_mailbox_that_always_fails_has_no_other_read_again(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hour it alone is tried, until the week is over; then all of them are asked anew."""
    bad, *_ = (post.server.issue(name) for name in ("dvbe", "ttlan", "pqkhanh"))
    post.put(post.server.issue("nvanh"), 1)
    read: Counter[str] = Counter()
    waiting = Replies.waiting

    def look(replies: Replies, entry: Any, *more: Any) -> list[PendingMessage]:
        read[entry.address.partition("@")[0]] += 1
        if entry.mailbox_id == bad.mailbox_id:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return waiting(replies, entry, *more)

    monkeypatch.setattr(Replies, "waiting", look)
    monday = datetime(2026, 11, 30, 1, tzinfo=UTC)
    for hours in range(5):
        post.server.move_clock_to(monday + timedelta(hours=hours))
        post.server.housekeep()
    assert read == {"dvbe": 5, "ttlan": 1, "pqkhanh": 1, "nvanh": 1}
    assert len(letters(post.server, "nvanh")) == 2
    post.server.move_clock_to(monday + timedelta(days=7))
    post.server.housekeep()
    assert read == {"dvbe": 6, "ttlan": 2, "pqkhanh": 2, "nvanh": 2}


def test_a_subject_is_one_short_line_of_the_reminder(post: Post) -> None:
    """Whatever a stranger writes: else a paragraph of his would stand in a letter that the Centre signs."""
    post.server.issue("dvbe")
    said = "Hỏi.\n\nĐề nghị đổi mật khẩu tại https://example.org/\u2029Trung tâm Thông tin" + " x" * 4_000
    encoded = base64.b64encode(said.encode()).decode()
    words = "".join(f" =?utf-8?b?{encoded[at : at + 60]}?=\r\n" for at in range(0, len(encoded), 60))
    letter = f"From: a@mof.gov.vn\r\nTo: dvbe@mic.gov.vn\r\nSubject:{words}\r\nx\r\n"
    arrive(post.server, "dvbe@mic.gov.vn", letter.encode(), "a@mof.gov.vn")
    post.server.move_clock_to(datetime(2026, 11, 30, 1, tzinfo=UTC))
    post.server.housekeep()
    (line,) = (line for line in letters(post.server, "dvbe")[-1].splitlines() if "Đề nghị đổi" in line)
    assert line.startswith("- 20/11/2026 09:00, từ a@mof.gov.vn: Hỏi. Đề nghị đổi mật khẩu tại https://example.org/ Trung tâm")
    assert len(line) < 260


# ---------------------------------------------------------------- whose answer it is


def arrive(server: MailServer, to: str, octets: bytes, sender: str = "") -> None:
    """From another server, which signs in nowhere."""
    with smtplib.SMTP(server.host, server.ports["smtp"], "mx.example", timeout=10) as client:
        client.sendmail(sender, [to], octets)


def an_answer(sender: str, to: str, names: str = "<1@x>", head: str = "") -> bytes:
    """A message that says that it answers <1@x>."""
    return f"{head}From: {sender}\r\nTo: {to}\r\nMessage-ID: <a@x>\r\nIn-Reply-To: {names}\r\nSubject: a\r\n\r\nx\r\n".encode()


OWN_LINES = (
    "Return-Path: <cntt@mic.gov.vn>\r\nReceived: from x ([10.0.0.1])\r\n\tby mail.mic.gov.vn with ESMTPSA (TLSv1.3 X)\r\n"
    "\tid 01ABC for <cntt@mic.gov.vn>;\r\n\tThu, 26 Nov 2026 10:00:00 +0700\r\n"
)


@pytest.mark.parametrize("head", ["", OWN_LINES, "RECEIVED : by mail.mic.gov.vn with ESMTPSA\r\n"], ids=["", "traced", "odd"])
@pytest.mark.parametrize("kind", [MailboxKind.UNIT, MailboxKind.PERSONAL])
def test_mail_from_outside_answers_nothing_in_ones_own_name(post: Post, kind: MailboxKind, head: str) -> None:
    """Whatever it writes into From, and as whose envelope it comes: who asked has no answer."""
    own = post.server.issue("cntt", kind=kind)
    post.put(own, 1)
    for sender in ("", "cntt@mic.gov.vn", "a@mof.gov.vn"):
        arrive(post.server, own.address, an_answer("cntt@mic.gov.vn", own.address, head=head), sender)
    assert [each.subject for each in post.waiting(own)] == ["Thu 1"]


@pytest.mark.parametrize("login", ["cntt", "dvbe"])
def test_a_copy_of_what_was_submitted_here_is_an_answer(post: Post, login: str) -> None:
    """Sent by the mailbox or its keeper, with a copy to itself and none in Sent."""
    keeper, unit = post.server.issue("dvbe"), post.server.issue("cntt", kind=MailboxKind.UNIT)
    post.server.allow(unit, keeper, "keeper")
    post.put(unit, 1)
    with submission(post.server, login) as client:
        client.sendmail(f"{login}@mic.gov.vn", ["cntt@mic.gov.vn"], an_answer("cntt@mic.gov.vn", "a@mof.gov.vn"))
    assert post.waiting(unit) == []


@pytest.mark.parametrize(
    ("login", "sender", "waits"),
    [
        ("dvbe", "dvbe", {"cntt": 0, "dvbe": 0, "ttlan": 1}),
        ("dvbe", "cntt", {"cntt": 0, "dvbe": 0, "ttlan": 1}),
        ("cntt", "cntt", {"cntt": 0, "dvbe": 1, "ttlan": 1}),
        ("ttlan", "ttlan", {"cntt": 1, "dvbe": 1, "ttlan": 0}),
    ],
)
def test_what_submission_took_is_an_answer(post: Post, login: str, sender: str, waits: dict[str, int]) -> None:
    """Of whoever signed in, and of the unit as which, or by whose keeper, it was written: a POP3 user keeps no copy here."""
    bee, lan, unit = post.server.issue("dvbe"), post.server.issue("ttlan"), post.server.issue("cntt", kind=MailboxKind.UNIT)
    post.server.allow(unit, bee, "keeper")
    for mailbox in (bee, lan, unit):
        post.put(mailbox, 1)
    with submission(post.server, login) as client:
        answer = an_answer(f"{sender}@mic.gov.vn", "support@mic.gov.vn", names="<0@x>\r\n <1@x>")
        client.sendmail(f"{sender}@mic.gov.vn", [lan.address], answer)
    post.server.running.context.log.flush()
    assert {mailbox.address.partition("@")[0]: len(post.waiting(mailbox)) for mailbox in (bee, lan, unit)} == waits


def test_a_message_that_was_refused_answers_nothing(post: Post) -> None:
    """Only what the server has taken is on its way."""
    bee = post.server.issue("dvbe")
    post.put(bee, 1)
    with submission(post.server, "dvbe") as client:
        assert client.mail("dvbe@mic.gov.vn")[0] == 250
        assert client.rcpt("nobody-there@mic.gov.vn")[0] == 550
        assert client.docmd("DATA")[0] >= 500
    post.server.running.context.log.flush()
    assert len(post.waiting(bee)) == 1


@pytest.mark.parametrize("folder", ["INBOX", "Archive", "Sent"])
def test_a_copy_that_a_mail_program_keeps_is_an_answer(post: Post, folder: str) -> None:
    """In Sent or, as some are set up, beside the letter that it answers."""
    own = post.server.issue("dvbe")
    post.put(own, 1)
    with imaplib.IMAP4_SSL("localhost", post.server.ports["imaps"], ssl_context=post.server.tls(), timeout=20) as client:
        client.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
        client.append(folder, "", "", an_answer("dvbe@mic.gov.vn", "a@mof.gov.vn"))
    assert post.waiting(own) == []


@pytest.mark.clause("16.1.b")
def test_by_command(post: Post, tmp_path: Path) -> None:
    """Figures of all mailboxes or a unit's, deadlines of one; never a subject; as a file too."""
    bee = post.server.issue("dvbe")
    post.server.issue("ttlan")
    now = datetime.now(UTC)
    post.clock.move_to(now - timedelta(days=20))  # type: ignore[attr-defined]
    post.put(bee, 1)
    post.clock.move_to(now)  # type: ignore[attr-defined]
    post.put(bee, 2)
    console = Console(tmp_path)
    (tmp_path / "mic-mail.toml").write_text(write(post.server.config))
    (row,) = console.json("report", "unanswered")
    assert (row["mailbox"], row["waiting"], row["late"]) == ("dvbe@mic.gov.vn", 2, 1)
    assert [row] == console.json("report", "unanswered", "--unit", "CNTT")
    assert [each["overdue"] for each in console.json("report", "unanswered", "--mailbox", "dvbe@mic.gov.vn")] == [True, False]
    assert "Thu 1" not in console.out
    console.done("report", "unanswered", "--mailbox", "dvbe@mic.gov.vn", "--out", tmp_path / "x.pdf")
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF-")
    console.done("report", "unanswered", "--out", tmp_path / "x.html")
    assert "Giám đốc Trung tâm" not in (tmp_path / "x.html").read_text(), "a listing that nobody signs"
    console.refused("report", "unanswered", "--mailbox", "a@b", "--unit", "CNTT", code=2)
    assert console.json("regulation", "show", "12.4")["evidence"][0]["overdue"] is False
