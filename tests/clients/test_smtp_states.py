"""Every row of the table of states at the SMTP door, asked through smtplib (Reg. 6.4.c, 7.1, 7.3.c, 8.3)."""

import smtplib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from clients.smtp_sessions import _plain, letter, mx, received_by, submission
from harness import MailServer, english
from mic_mail.clock import ManualClock
from mic_mail.policy.facts import FactKind
from mic_mail.policy.lifecycle import LifecycleSettings
from mic_mail.services.mailboxes.consistency_check import inspect
from mic_mail.services.transport.incoming_message import SMALL_OCTETS, IncomingMessage
from population import credential, draft

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
MONTH_AGO = NOW - timedelta(days=25)


@pytest.fixture
def server(serve: Callable[..., MailServer]) -> MailServer:
    """The population of the demonstration, one mailbox in each state."""
    server = serve(clock=ManualClock(NOW))
    server.issue("dvbe")
    server.issue("ttlan")
    server.issue("nvhung", facts=[draft(FactKind.LEFT, MONTH_AGO, level="division")])
    server.issue("pqkhanh", facts=[draft(FactKind.SUSPENDED, MONTH_AGO, cause="c")])
    server.issue("lthoa", facts=[draft(FactKind.PASSWORD_RESET, MONTH_AGO)])
    server.issue("vdminh", issued_days_ago=400, facts=[draft(FactKind.LEFT, NOW - timedelta(days=300), level="division")])
    server.issue("htnam", quota_octets=2000)
    return server


@pytest.mark.parametrize("local", ["dvbe", "nvhung", "pqkhanh", "lthoa"])
def test_who_receives(server: MailServer, local: str) -> None:
    """Active, send-locked, suspended (Reg. 7.1) and due for a new password: all receive."""
    with mx(server) as client:
        client.send_message(letter("a@a.example", f"{local}@mic.gov.vn"))
    assert len(received_by(server, local)) == 1


@pytest.mark.parametrize(
    ("local", "code", "enhanced"), [("vdminh", 550, b"5.2.1"), ("nobody", 550, b"5.1.1"), ("htnam", 452, b"4.2.2")]
)
def test_who_does_not_receive(server: MailServer, local: str, code: int, enhanced: bytes) -> None:
    """Reclaimed (Reg. 6.4.c) and never existed are final, over quota (Reg. 8.3.b) is temporary; the reference is in the log."""
    with mx(server) as client:
        if local == "htnam":
            client.send_message(letter("a@a.example", f"{local}@mic.gov.vn"))
        client.mail("a@a.example", ["size=1900"])
        got, text = client.rcpt(f"{local}@mic.gov.vn")
    assert (got, text[:5]) == (code, enhanced)
    reference = text.decode().rpartition("reference ")[2].rstrip(".")
    server.stop()
    refused = [event for event in server.events() if event["event"] == "recipient_refused"]
    assert [event["trace"] for event in refused] == [reference]


def test_a_mailbox_that_fills_up_with_the_message_itself(server: MailServer) -> None:
    """What was not certain at RCPT is refused at the end of the message with the same code; nothing is kept."""
    with mx(server) as client:
        client.mail("a@a.example")
        client.rcpt("htnam@mic.gov.vn")
        code, text = client.data(b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" * 1500)
    assert (code, text[:5]) == (452, b"4.2.2")
    assert received_by(server, "htnam") == []
    assert not list((server.config.mail_root / "mic.gov.vn/htnam/Maildir/tmp").iterdir())


def test_full_mailboxes_can_be_refused_for_good(serve: Callable[..., MailServer]) -> None:
    """The setting `quota.over`: 552 5.2.2 and no retry."""
    server = serve({"quota": {"over": "permanent"}}, clock=ManualClock(NOW))
    server.issue("htnam", quota_octets=10)
    with mx(server) as client:
        client.mail("a@a.example", ["size=1900"])
        code, text = client.rcpt("htnam@mic.gov.vn")
    assert (code, text[:5]) == (552, b"5.2.2")


def test_an_active_mailbox_sends(server: MailServer) -> None:
    """Both doors; the recipient has it, From is untouched."""
    for door in ("submission", "submissions"):
        with submission(server, "dvbe", door=door) as client:
            client.send_message(letter("Đỗ Văn Bê <dvbe@mic.gov.vn>", "ttlan@mic.gov.vn"))
    assert len(received_by(server, "ttlan")) == 2


def test_a_send_locked_mailbox_signs_in_and_is_told_at_mail(server: MailServer) -> None:
    """Reg. 6.4.c: 550 5.7.1 with the clause, where mail programs show the words; sign-in itself works."""
    with submission(server, "nvhung") as client:
        code, text = client.mail("nvhung@mic.gov.vn")
    assert code == 550
    assert text.startswith(b"5.7.1 ")
    assert b"Reg. 6.4.c" in text


@pytest.mark.parametrize(
    ("local", "code", "enhanced"), [("pqkhanh", 525, b"5.7.13"), ("lthoa", 534, b"5.7.9"), ("vdminh", 535, b"5.7.8")]
)
def test_who_cannot_sign_in(server: MailServer, local: str, code: int, enhanced: bytes) -> None:
    """Suspended (Reg. 7.1) and due for a new password (Reg. 7.3.c) are told after the right password; reclaimed is unknown."""
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused, submission(server, local):
        pass
    assert (refused.value.smtp_code, refused.value.smtp_error[: len(enhanced)]) == (code, enhanced)
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused, submission(server, local, "wrong"):
        pass
    assert refused.value.smtp_code == 535


def test_a_suspension_stops_an_open_session(server: MailServer) -> None:
    """Reg. 7.1: the next MAIL of a session that signed in before is refused; a message that is on its way as well."""
    mailbox = server.running.context.access.snapshot.resolve("dvbe@mic.gov.vn")
    with submission(server, "dvbe") as client:
        client.mail("dvbe@mic.gov.vn")
        client.rcpt("ttlan@mic.gov.vn")
        server.record(mailbox, draft(FactKind.SUSPENDED, NOW, cause="c"))
        code, _ = client.data(b"From: dvbe@mic.gov.vn\r\n\r\nx\r\n")
        assert code == 525
        assert client.mail("dvbe@mic.gov.vn")[0] == 525
    assert received_by(server, "ttlan") == []


def test_a_changed_password_stops_an_open_session(server: MailServer) -> None:
    """Whoever knew the old one sends nothing more: 530 5.7.0 at the next MAIL and for a message that is on its way. With the
    new one the same connection goes on."""
    mailbox = server.running.context.access.snapshot.resolve("dvbe@mic.gov.vn")
    with submission(server, "dvbe") as client:
        client.mail("dvbe@mic.gov.vn")
        client.rcpt("ttlan@mic.gov.vn")
        changed = draft(FactKind.PASSWORD_SET, NOW)
        server.population.directory.set_credential(mailbox.mailbox_id, credential("ngựa pin kẹp ghim"), changed)
        server.refresh()
        code, text = client.data(b"From: dvbe@mic.gov.vn\r\n\r\nx\r\n")
        assert (code, english(text)[:38]) == (530, b"5.7.0 The password was changed; sign i")
        assert client.mail("dvbe@mic.gov.vn")[0] == 530
        assert client.docmd("AUTH", "PLAIN " + _plain("dvbe@mic.gov.vn", "ngựa pin kẹp ghim"))[0] == 235
        client.mail("dvbe@mic.gov.vn")
        client.rcpt("ttlan@mic.gov.vn")
        assert client.data(b"From: dvbe@mic.gov.vn\r\n\r\ny\r\n")[0] == 250
    assert len(received_by(server, "ttlan")) == 1


@pytest.mark.parametrize(("kind", "clause"), [(FactKind.RECLAIMED, b"Reg. 6.2"), (FactKind.LEFT, b"Reg. 6.4.c")])
def test_a_reclaimed_recipient_is_refused_by_the_clause_that_reclaimed_it(
    server: MailServer, kind: FactKind, clause: bytes
) -> None:
    """On the unit's request (Reg. 6.2) or by the term of a leaver (6.4.c): each is told as it is."""
    mailbox = server.issue("bedv", issued_days_ago=400)
    server.record(mailbox, draft(kind, NOW - timedelta(days=300), **({"level": "division"} if kind is FactKind.LEFT else {})))
    server.move_clock_to(NOW + timedelta(days=30))
    with mx(server) as client:
        client.mail("a@a.example")
        code, text = client.rcpt("bedv@mic.gov.vn")
    assert (code, text[:5], clause in text) == (550, b"5.2.1", True), text


def test_a_damaged_record_closes_one_mailbox_for_the_time_being(server: MailServer) -> None:
    """It may have been a suspension: try later, and never a word about the others. `directory check` names it."""
    directory = server.running.context.directory
    damaged = directory.mailbox("dvbe@mic.gov.vn")
    with submission(server, "dvbe") as sender, mx(server) as client:
        server.record(damaged, draft(FactKind.QUOTA_SET, NOW, octets=1 << 30, previous=1 << 30))
        with create_engine(server.config.directory_url).begin() as connection:
            connection.execute(text("DROP TRIGGER fact_no_update"))
            connection.execute(text(f"UPDATE fact SET kind = 'x' WHERE mailbox_id = {damaged.mailbox_id}"))
        server.record(damaged, draft(FactKind.QUOTA_SET, NOW, octets=1 << 30, previous=1 << 30))
        assert sender.mail("dvbe@mic.gov.vn")[0] == 451
        client.mail("a@a.example")
        answers = [client.rcpt(f"{local}@mic.gov.vn")[0] for local in ("dvbe", "ttlan", "postmaster")]
    assert answers == [451, 250, 250]
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused, submission(server, "dvbe"):
        pass
    assert refused.value.smtp_code == 454
    found = inspect(directory.load_snapshot(), server.config.mail_root, NOW, LifecycleSettings(), "dvbe@mic.gov.vn")
    kinds = {disagreement.kind for disagreement in found if disagreement.subject == "dvbe@mic.gov.vn"}
    assert kinds >= {"chain_broken", "unreadable_facts", "support_receives_nothing"}


def test_the_clock_alone_reclaims_a_mailbox(server: MailServer) -> None:
    """Reg. 6.4.c: six months after the official date the address is 550 5.2.1, without anybody doing anything."""
    with mx(server) as client:
        client.mail("a@a.example")
        assert client.rcpt("nvhung@mic.gov.vn")[0] == 250
        server.move_clock_to(NOW + timedelta(days=190))
        assert client.rcpt("nvhung@mic.gov.vn")[0] == 550


def test_a_full_mailbox_still_sends(server: MailServer) -> None:
    """The table of states: over quota refuses inbound mail only."""
    with submission(server, "htnam") as client:
        client.send_message(letter("htnam@mic.gov.vn", "ttlan@mic.gov.vn", body="x" * 5000))
    assert len(received_by(server, "ttlan")) == 1


def test_submission_adds_what_is_missing_in_front_and_nothing_else(server: MailServer) -> None:
    """RFC 6409 §8.2, §8.3: Date and Message-ID where there is none; every octet of the message stays, Bcc too."""
    bare = b"From: dvbe@mic.gov.vn\r\nBcc: ttlan@mic.gov.vn\r\n\r\nx\r\n"
    with submission(server, "dvbe") as client:
        client.sendmail("dvbe@mic.gov.vn", "ttlan@mic.gov.vn", bare)
        client.sendmail("dvbe@mic.gov.vn", "ttlan@mic.gov.vn", b"Date: x\r\nMessage-ID: <y@z>\r\n" + bare)
    plain, whole = received_by(server, "ttlan")
    head = plain.removesuffix(bare)
    assert plain.endswith(bare)
    assert head.count(b"\r\nDate: Tue, 24 Nov 2026 16:00:00 +0700\r\n") == 1
    assert head.count(b"\r\nMessage-ID: <") == 1
    assert b"Date:" not in whole[: whole.index(b"Date: x")]
    assert whole.count(b"Message-ID:") == 1


def test_a_long_header_that_comes_in_crumbs_is_not_read_again_for_each(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The author has to be known before the first octet is written; looking for the header's end takes linear time."""
    joined = 0
    take_buffer = IncomingMessage._take_buffer

    def counted(self: IncomingMessage) -> bytes:
        nonlocal joined
        octets = take_buffer(self)
        joined += len(octets)
        return octets

    monkeypatch.setattr(IncomingMessage, "_take_buffer", counted)
    begin = b"From: dvbe@mic.gov.vn\r\nX-Long: " + b"x" * SMALL_OCTETS
    with submission(server, "dvbe") as client:
        client.mail("dvbe@mic.gov.vn")
        client.rcpt("ttlan@mic.gov.vn")
        assert client.sock is not None
        client.sock.sendall(b"BDAT %d\r\n" % len(begin) + begin + b"BDAT 1\r\nx" * 500 + b"BDAT 5 LAST\r\n\r\n\r\nx")
        assert [client.getreply()[0] for _ in range(502)] == [250] * 502
    assert received_by(server, "ttlan")[0].endswith(begin + b"x" * 500 + b"\r\n\r\nx")
    assert joined < 10 * SMALL_OCTETS


@pytest.mark.parametrize(("octets", "code"), [(200_000, 250), (262_000, 250), (263_000, 552)])
def test_how_long_a_header_may_be(server: MailServer, octets: int, code: int) -> None:
    """256 KiB, since its author has to be known before the first octet is written; what is below arrives as it is."""
    message = b"From: dvbe@mic.gov.vn\r\n" + b"X-Long: 0123456789\r\n" * (octets // 20) + b"\r\n" + b"x" * 200_000 + b"\r\n"
    with submission(server, "dvbe") as client:
        client.mail("dvbe@mic.gov.vn")
        client.rcpt("ttlan@mic.gov.vn")
        assert client.data(message)[0] == code
    assert [file.endswith(message) for file in received_by(server, "ttlan")] == ([True] if code == 250 else [])


def test_the_trace_header(server: MailServer) -> None:
    """RFC 5321 §4.4: Return-Path first, then Received with the client, the protocol, TLS, the reference of the reply."""
    with mx(server) as client:
        client.starttls(context=None)
        client.ehlo("client.example")
        client.mail("a@a.example")
        client.rcpt("dvbe+x@mic.gov.vn")
        _, reply = client.data(b"Subject: x\r\n\r\nx\r\n")
    reference = reply.decode().rpartition("reference ")[2].rstrip(".")
    (message,) = received_by(server, "dvbe")
    lines = message.decode().split("\r\n")
    assert lines[0] == "Return-Path: <a@a.example>"
    assert lines[1] == "Received: from client.example ([127.0.0.1])"
    assert lines[2].startswith("\tby mail.mic.gov.vn with ESMTPS (TLSv1.3 ")
    assert lines[3] == f"\tid {reference} for <dvbe+x@mic.gov.vn>;"
    assert lines[4] == "\tTue, 24 Nov 2026 16:00:00 +0700"
    assert lines[5:] == ["Subject: x", "", "x", ""]


def test_one_message_for_several_names_of_one_mailbox_comes_once(server: MailServer) -> None:
    """Two details of one mailbox are one delivery; every recipient hears 250."""
    with mx(server) as client:
        refused: dict[str, Any] = client.sendmail(
            "a@a.example", ["dvbe@mic.gov.vn", "dvbe+x@mic.gov.vn"], b"Subject: x\r\n\r\nx\r\n"
        )
    assert refused == {}
    assert len(received_by(server, "dvbe")) == 1


def test_a_mailbox_that_writes_to_too_many_waits(serve: Callable[..., MailServer]) -> None:
    """A stolen password floods nobody: 450 4.7.1 beyond the hour's recipients, logged; mail that arrives is not counted."""
    clock = ManualClock(NOW)
    server = serve({"limits": {"recipients_per_hour": 10}}, clock=clock)
    server.issue("dvbe")
    server.issue("ttlan")

    def recipients(client: smtplib.SMTP) -> list[tuple[int, bytes]]:
        client.mail("dvbe@mic.gov.vn")
        return [client.rcpt("ttlan@mic.gov.vn") for _ in range(6)]

    with submission(server, "dvbe") as client, submission(server, "ttlan") as other, mx(server) as stranger:
        first, second = recipients(client), client.rset() and recipients(client)
        assert [code for code, _ in first + second] == [250] * 10 + [450] * 2
        assert english(second[-1][1]).startswith(b"4.7.1 Your mailbox has written to 10 recipients within an hour")
        other.mail("ttlan@mic.gov.vn")
        assert other.rcpt("dvbe@mic.gov.vn")[0] == 250
        assert [code for code, _ in recipients(stranger)] == [250] * 6
        server.move_clock_to(NOW + timedelta(minutes=65))
        assert client.rcpt("ttlan@mic.gov.vn")[0] == 250
    server.stop()
    refused = [event for event in server.events() if event["event"] == "recipient_refused"]
    assert [event["reason"] for event in refused] == ["sending-rate"] * 2
    assert refused[-1]["trace"] == second[-1][1].rpartition(b" ")[2].decode()
    assert refused[-1]["login"] == "dvbe@mic.gov.vn"


def test_postmaster_is_somebody_always(server: MailServer) -> None:
    """RFC 5321 §4.5.1, also where nobody has given the address to a mailbox."""
    with mx(server) as client:
        assert client.sendmail("a@a.example", ["postmaster@mic.gov.vn"], b"Subject: x\r\n\r\nx\r\n") == {}
