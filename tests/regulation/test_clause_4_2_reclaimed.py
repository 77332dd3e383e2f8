"""Reg. 4.2, 6.2, 6.4.c: what was taken in for a mailbox that is reclaimed before it comes there ends with a word about it."""

import email
import email.policy
import os
import smtplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from addresses import parsed
from harness import MailServer, without_reference
from mic_mail.clock import ManualClock
from mic_mail.mailbox_address import parse_reverse_path
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.policy.lifecycle import FactsUnreadable
from mic_mail.queue.spool import SpoolEnvelope, SpoolTarget
from mic_mail.services.transport.incoming_message import SMALL_OCTETS
from mic_mail.storage.types import INBOX, AccountRef
from regulation.quarantine_server import WHY, QuarantineServer
from regulation.reclaimed_mailbox import Ministry, reclaim
from regulation.secrecy_setup import MARKED, SecrecyConsole, reference, submit

pytestmark = pytest.mark.clause("4.2", "6.2", "6.4.c")
SMALL = b"From: dvbe@mic.gov.vn\r\nSubject: tin\r\n\r\nx\r\n"
LARGE = SMALL + b"0123456789\r\n" * (SMALL_OCTETS // 10)
NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
STRANGER, PASSWORD = "a@example.org", "mat khau 2026 dung de thu"


class Mail:
    """A server, and what waits in its spool."""

    def __init__(self, server: MailServer) -> None:
        self.server = server
        self._waiting = 0

    def wait(self, sender: str, *mailboxes: Any, verdict: str = "") -> Path:
        """A message that was taken in for them and could not be delivered; its file."""
        self._waiting += 1
        name, spool = f"1K000000000WAITS{self._waiting}", self.server.running.context.spool
        draft, front = spool.draft(name), f"Return-Path: <{sender}>\r\n".encode()
        draft.write(front + SMALL)
        targets = tuple(SpoolTarget(mailbox.mailbox_id, parsed(mailbox.address)) for mailbox in mailboxes)
        now_us = self.server.clock.now_us()
        entry = draft.commit(
            SpoolEnvelope(
                trace_id=name,
                sender=parse_reverse_path(sender),
                targets=targets,
                accepted_at_us=now_us,
                return_path_octets=len(front),
                verdict=verdict,
            )
        )
        entry.release()
        return Path(entry.path)

    def take_up(self) -> None:
        """The spool's round, and all that follows from it."""

        async def take_up() -> None:
            await self.server.running.context.mailflow.recover()
            await self.server.running.context.mailflow.settle()

        self.server.call(take_up())

    def events(self, name: str) -> list[dict[str, Any]]:
        self.server.running.context.log.flush()
        return [event for event in self.server.events() if event.get("event") == name]

    @property
    def given_up(self) -> list[tuple[str, str]]:
        return [(event["mailbox"], event["reason"]) for event in self.events("delivery_given_up")]

    @property
    def left(self) -> list[str]:
        """In the spool."""
        return [path.name for path in self.server.config.spool_dir.rglob("*.env")]

    def messages(self, mailbox: Any) -> list[EmailMessage]:
        self.server.call(self.server.running.context.mailflow.settle())
        account = self.server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        view, found = account.view(account.folder(INBOX).folder_id), []
        for uid in view.uids:
            with account.open_message(view.info.folder_id, uid) as message:
                found.append(email.message_from_bytes(message.pread(0, message.size), policy=email.policy.default))
        return found  # type: ignore[return-value]

    def subjects(self, mailbox: Any) -> list[str]:
        return [str(message["Subject"]).split(" / ")[0] for message in self.messages(mailbox)]

    def reclaim(self, mailbox: Any) -> None:
        """On request, now."""
        self.server.record(mailbox, Draft(FactKind.RECLAIMED, self.server.clock.now(), "test", "", "1/CV"))


@pytest.fixture
def mail(serve: Callable[..., MailServer]) -> Mail:
    return Mail(serve(clock=ManualClock(NOW)))


@contextmanager
def unreadable(server: MailServer, mailbox: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As long as it lasts nothing can be decided from the mailbox's record."""
    decisions = server.running.context.access.decisions
    known = decisions.of

    def of(entry: Any, now: Any = None) -> Any:
        if entry.mailbox_id == mailbox.mailbox_id:
            raise FactsUnreadable
        return known(entry, now)

    with monkeypatch.context() as patch:
        patch.setattr(decisions, "of", of)
        yield


# ---------------------------------------------------------------- from the spool


def test_clause_4_2_what_waited_until_its_mailbox_was_freed(serve: Callable[..., MailServer]) -> None:
    """It is not put into a mailbox that is not there any more; its sender hears so, and the other recipient has it."""
    ministry = Ministry(serve)
    mail = Mail(ministry.server)
    reclaim(ministry)
    ministry.until("2027-04-01 01:00")
    assert not ministry.home.exists()
    told = len(mail.messages(ministry.unit))
    mail.wait("cntt@mic.gov.vn", ministry.leaver, ministry.support)
    mail.take_up()
    assert not ministry.home.exists()
    assert mail.left == []
    assert mail.given_up == [("dvbe@mic.gov.vn", "reclaimed")]
    assert mail.subjects(ministry.support)[-1] == "tin"
    (report,) = mail.messages(ministry.unit)[told:]
    words, status, _ = report.iter_parts()
    assert "dvbe@mic.gov.vn đã được thu hồi theo" in words.get_content()
    assert "6.4.c" in words.get_content()
    (recipient,) = status.get_payload()[1:]
    assert (recipient["Final-Recipient"], recipient["Action"], recipient["Status"]) == (
        "rfc822; dvbe@mic.gov.vn",
        "failed",
        "5.2.1",
    )
    ministry.server.housekeep()
    assert not [event for event in mail.events("message_delivered") if event["mailbox"] == "dvbe@mic.gov.vn"][1:]


def test_clause_4_2_who_hears_of_it(mail: Mail) -> None:
    """At once, however young the message is; neither the null sender nor who is named by junk; the log says it each time."""
    sender, gone = mail.server.issue("dvbe"), mail.server.issue("ttlan")
    mail.reclaim(gone)
    for by, verdict in (("", ""), (sender.address, "junk"), (sender.address, "")):
        mail.wait(by, gone, verdict=verdict)
    mail.take_up()
    assert mail.given_up == [("ttlan@mic.gov.vn", "reclaimed-on-request")] * 3
    assert mail.subjects(sender) == ["Thư không chuyển được: hộp thư đã thu hồi"]
    assert mail.left == []


def test_clause_4_2_what_had_come_before_the_reclaim(mail: Mail) -> None:
    """Whoever delivered it was killed before he could write that down: its sender is not told that it did not come."""
    sender, gone = mail.server.issue("dvbe"), mail.server.issue("ttlan")
    message = mail.wait(sender.address, gone)
    assert mail.subjects(gone) == []
    os.link(message, mail.server.config.mail_root / gone.home / "Maildir/cur/1764212400.M1P1_1.mx,S=80:2,")
    mail.reclaim(gone)
    mail.take_up()
    assert (mail.given_up, mail.left, mail.subjects(sender)) == ([], [], [])
    assert [event["mailbox"] for event in mail.events("delivery_found")] == ["ttlan@mic.gov.vn"]


def test_clause_4_2_a_record_that_cannot_be_read_ends_nothing(mail: Mail, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail waits, and whoever hands in more is told to come again; nobody hears that the mailbox is gone."""
    sender, other, damaged = (mail.server.issue(local) for local in ("dvbe", "nvhung", "ttlan"))
    mail.wait(sender.address, damaged)
    with unreadable(mail.server, damaged, monkeypatch):
        mail.take_up()
        assert len(mail.left) == 1
        assert [event["reason"] for event in mail.events("delivery_deferred")] == ["unavailable"]
    with (
        handed_in(mail.server, STRANGER, other, damaged) as both,
        handed_in(mail.server, STRANGER, damaged) as one,
        unreadable(mail.server, damaged, monkeypatch),
    ):
        assert one.data(SMALL)[0] == 451
        assert both.data(SMALL)[0] == 250
        assert mail.subjects(other) == ["tin"]
        assert len(mail.left) == 2
    mail.server.move_clock_to(mail.server.clock.now() + timedelta(hours=1))
    mail.take_up()
    assert (mail.left, mail.given_up, mail.subjects(damaged), mail.subjects(sender)) == ([], [], ["tin", "tin"], [])


def test_clause_7_1_a_suspended_mailbox_receives(mail: Mail) -> None:
    """Also what waited, and what was named before."""
    mailbox = mail.server.issue("dvbe")
    mail.wait(STRANGER, mailbox)
    with handed_in(mail.server, STRANGER, mailbox) as client:
        mail.server.suspend(mailbox)
        assert client.data(SMALL)[0] == 250
    mail.take_up()
    assert (mail.subjects(mailbox), mail.left, mail.given_up) == (["tin", "tin"], [], [])


# ---------------------------------------------------------------- at the end of the message


@contextmanager
def handed_in(server: MailServer, sender: str, *mailboxes: Any, signed_in: bool = False) -> Iterator[smtplib.SMTP]:
    """A transaction whose recipients were taken."""
    connect = partial(smtplib.SMTP, server.host, server.ports["smtp"])
    if signed_in:
        connect = partial(smtplib.SMTP_SSL, "localhost", server.ports["submissions"], context=server.tls())
    with connect(timeout=20) as client:
        client.ehlo()
        if signed_in:
            client.login("dvbe", PASSWORD)
        assert client.mail(sender)[0] == 250
        for mailbox in mailboxes:
            assert client.rcpt(mailbox.address)[0] == 250
        yield client


@pytest.mark.parametrize("octets", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("signed_in", [False, True], ids=["mx", "submission"])
@pytest.mark.parametrize("count", [1, 2])
def test_clause_6_2_reclaimed_between_rcpt_and_the_end_of_the_message(
    mail: Mail, octets: bytes, signed_in: bool, count: int
) -> None:
    """Refused as RCPT would have refused it, and nothing of it stays."""
    mail.server.issue("dvbe", password=PASSWORD)
    gone = [mail.server.issue(local) for local in ("ttlan", "nvhung")[:count]]
    with handed_in(mail.server, "dvbe@mic.gov.vn", *gone, signed_in=signed_in) as client:
        for mailbox in gone:
            mail.reclaim(mailbox)
        code, said = client.data(octets)
        assert (code, said[:5]) == (550, b"5.2.1")
        assert b"ttlan@mic.gov.vn" in said
        client.mail("dvbe@mic.gov.vn")
        again = client.rcpt("ttlan@mic.gov.vn")
        assert (again[0], without_reference(again[1])) == (code, without_reference(said))
    assert [mail.subjects(mailbox) for mailbox in gone] == [[]] * count
    assert mail.events("message_accepted") == mail.events("message_delivered") == []
    assert not [path for path in mail.server.config.spool_dir.rglob("*") if path.is_file()]
    assert not list(mail.server.config.mail_root.glob("*/*/Maildir/tmp/*"))


@pytest.mark.parametrize("octets", [SMALL, LARGE], ids=["small", "large"])
def test_clause_4_2_one_of_two_reclaimed_before_the_end_of_the_message(mail: Mail, octets: bytes) -> None:
    """It is taken for the other one, and its sender hears who does not have it."""
    sender, other, gone = (mail.server.issue(local, password=PASSWORD) for local in ("dvbe", "nvhung", "ttlan"))
    with handed_in(mail.server, sender.address, other, gone, signed_in=True) as client:
        mail.reclaim(gone)
        assert client.data(octets)[0] == 250
    assert mail.subjects(other) == ["tin"]
    assert mail.subjects(gone) == []
    assert mail.given_up == [("ttlan@mic.gov.vn", "reclaimed-on-request")]
    assert mail.subjects(sender) == ["Thư không chuyển được: hộp thư đã thu hồi"]
    assert mail.left == []


# ---------------------------------------------------------------- what was kept back


def test_clause_4_2_what_is_in_quarantine_for_a_reclaimed_mailbox(tmp_path: Path) -> None:
    """No letter is put there; what is released does not come there, and its sender hears so."""
    site = QuarantineServer(tmp_path)
    try:
        mail = Mail(site.server)
        first = site.keep("dvbe", sender="ttlan@mic.gov.vn")
        mail.reclaim(site.people["dvbe"])
        site.pass_(days=1)
        assert site.messages("dvbe") == []
        site.console.done("quarantine", "release", first, *WHY)
        site.pass_(hours=1)
        assert mail.given_up == [("dvbe@mic.gov.vn", "reclaimed-on-request")]
        assert mail.subjects(site.people["ttlan"]) == ["Thư không chuyển được: hộp thư đã thu hồi"]
        assert site.messages("dvbe") == []
    finally:
        site.server.stop()


def test_clause_4_2_what_was_held_for_its_marking(
    mail_server: MailServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Released when its sender is reclaimed, too: it waits as all that such a mailbox has sent, and no letter is put there."""
    mail, secrecy = Mail(mail_server), SecrecyConsole(mail_server, tmp_path, capsys)
    people = [mail_server.running.context.access.snapshot.resolve(f"{local}@mic.gov.vn") for local in ("dvbe", "ttlan")]
    held = reference(submit(mail_server, MARKED["subject"])[1])
    assert secrecy("ask", held, "--reason", "nhầm")[0] == 0
    assert secrecy("release", held, "--reason", "đã kiểm tra", as_="binh")[0] == 0
    mail.reclaim(people[1])
    mail.reclaim(people[0])
    mail_server.housekeep()
    assert [mail.subjects(mailbox) for mailbox in people] == [[], []]
    assert (len(mail.left), len(mail.events("delivery_held")), mail.given_up) == (1, 1, [])  # decision 0061
