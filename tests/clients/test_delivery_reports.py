"""What a sender hears of mail to mailboxes of this server: delivered, late, given up (RFC 3461, 3464; Reg. 4.2)."""

import smtplib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from clients.outgoing import PASSWORD, inbox, letter, office, reports, submit
from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.policy.facts import FactKind
from mic_mail.queue.spool import SpoolEnvelope
from mic_mail.storage.types import AccountRef
from population import draft
from unit.smtpclient.server import Server
from waiting import wait_for

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
WITH_DSN = b"250-mx.example\r\n250-PIPELINING\r\n250-DSN\r\n250 SIZE 1000000\r\n"
TTLAN, HTNAM = "ttlan@mic.gov.vn", "htnam@mic.gov.vn"
BIG = b"From: a@one.example\r\nSubject: =?utf-8?q?B=C3=A1o_c=C3=A1o?=\r\nMessage-ID: <1@one.example>\r\n\r\n" + b"x\r\n" * 1000


def hand_in(server: MailServer, sender: str, recipients: Sequence[tuple[str, str]], octets: bytes = BIG, *options: str) -> None:
    """As another server does, without a word of its size."""
    with smtplib.SMTP(server.host, server.ports["smtp"], "mx.one.example", timeout=20) as client:
        client.ehlo()
        assert client.mail(sender, list(options))[0] == 250
        for address, notify in recipients:
            assert client.rcpt(address, [notify] if notify else [])[0] == 250
        assert client.data(octets)[0] == 250


def settled(server: MailServer) -> None:
    server.call(server.running.context.mailflow.settle())


def slips(server: MailServer) -> list[SpoolEnvelope]:
    settled(server)
    spool = server.running.context.spool
    return [envelope for name in spool.names() if (envelope := spool.read(name)) is not None]


def per_recipient(report: EmailMessage) -> list[dict[str, str]]:
    _, status, _ = report.iter_parts()
    return [dict(part.items()) for part in status.get_payload()[1:]]


def per_message(report: EmailMessage) -> dict[str, str]:
    _, status, _ = report.iter_parts()
    return dict(status.get_payload()[0].items())


def words(report: EmailMessage) -> str:
    first, *_ = report.iter_parts()
    return str(first.get_content()).replace("\r\n", "\n")


def events(server: MailServer, name: str) -> list[dict[str, Any]]:
    server.running.context.log.flush()
    return [event for event in server.events() if event["event"] == name]


def wait_until(server: MailServer, instant: datetime) -> None:
    server.move_clock_to(instant)
    server.housekeep()
    settled(server)


# ---------------------------------------------------------------- delivered


def test_delivered_within_the_house(tmp_path: Path) -> None:
    """RFC 3461 §5.2.5: to who asked for it, with ENVID and ORCPT, and of the message its header alone (§4.3)."""
    with office(tmp_path, confirms=True) as (server, other):
        submit(server, letter(TTLAN), options=["NOTIFY=FAILURE"])
        asked = ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Lan+2Ba@mic.gov.vn"]
        submit(server, letter(TTLAN), options=asked, mail_options=["RET=FULL", "ENVID=QQ+2B1"])
        (report,) = wait_for(lambda: reports(server, "dvbe"))
        settled(server)
        assert len([each for each in inbox(server, "ttlan") if each["Subject"] == "Báo cáo"]) == 2
        (sent,) = events(server, "report_sent")
        accepted = events(server, "message_accepted")[-1]
        assert slips(server) == []
    assert (report["Return-Path"], report["Auto-Submitted"]) == ("<>", "auto-replied")
    assert per_message(report)["Original-Envelope-Id"] == "QQ+1"
    (told,) = per_recipient(report)
    assert (told["Action"], told["Status"][0]) == ("delivered", "2")
    assert (told["Final-Recipient"], told["Original-Recipient"]) == (f"rfc822; {TTLAN}", "rfc822; Lan+a@mic.gov.vn")
    assert "đã được chuyển vào hộp thư của: ttlan@mic.gov.vn" in words(report)
    assert list(report.iter_parts())[2].get_content_type() in {"text/rfc822-headers", "message/global-headers"}
    assert (sent["trace"], sent["action"], sent["recipients"]) == (accepted["trace"], "delivered", [TTLAN])
    assert other.messages == []


def test_delivered_to_who_is_elsewhere(tmp_path: Path) -> None:
    """By the queue, from the null sender, NOTIFY=NEVER; nothing of those for whom it was not asked."""
    with office(tmp_path, confirms=True, other=Server(WITH_DSN)) as (server, other):
        hand_in(server, "a@one.example", [(TTLAN, "NOTIFY=SUCCESS"), ("dvbe@mic.gov.vn", "")])
        (report,) = wait_for(lambda: other.messages)
        wait_for(lambda: not server.running.context.queue.names())
        assert slips(server) == []
        (queued,) = events(server, "report_queued")
    lines = b"\n".join(other.lines)
    assert b"MAIL FROM:<> " in lines
    assert b"RCPT TO:<a@one.example> NOTIFY=NEVER" in lines
    assert report.count(b"Action: delivered") == 1
    assert b"Final-Recipient: rfc822; ttlan@mic.gov.vn" in report
    assert b"Return-Path" not in report
    assert (queued["reader"], queued["recipients"]) == ("a@one.example", [TTLAN])


def test_strangers_are_confirmed_nothing_unless_that_is_wanted(tmp_path: Path) -> None:
    """Whoever is named as the sender has perhaps not written: other servers are not offered DSN."""
    with office(tmp_path) as (server, other):
        hand_in(server, "a@one.example", [(TTLAN, "NOTIFY=SUCCESS")])
        settled(server)
        assert server.running.context.queue.names() == []
        with smtplib.SMTP(server.host, server.ports["smtp"], "mx.one.example", timeout=20) as client:
            client.ehlo()
            assert "dsn" not in client.esmtp_features
    assert other.messages == []


def test_in_letters_beyond_ascii(tmp_path: Path) -> None:
    """RFC 6533: to a sender and of a header that are; whoever has an ASCII address gets seven bits, whatever the header is."""
    server_elsewhere = Server(WITH_DSN.replace(b"250-DSN", b"250-DSN\r\n250-8BITMIME\r\n250-SMTPUTF8"))
    raw = "Subject: Báo cáo\r\nX-Odd: ".encode() + b"\xff\xfe\r\nFrom: a@one.example\r\n\r\nx\r\n"
    with office(tmp_path, confirms=True, other=server_elsewhere) as (server, other):
        hand_in(server, "a@one.example", [(TTLAN, "NOTIFY=SUCCESS")], raw)
        wait_for(lambda: len(other.messages) == 1)
        with smtplib.SMTP(server.host, server.ports["smtp"], "mx.one.example", timeout=20) as client:
            client.ehlo()
            client.command_encoding = "utf-8"
            assert client.mail("bê@one.example", ["SMTPUTF8"])[0] == 250
            assert client.rcpt(TTLAN, ["NOTIFY=SUCCESS", "ORCPT=utf-8;l\\x{E1}n@mic.gov.vn"])[0] == 250
            assert client.data(raw)[0] == 250
        wait_for(lambda: len(other.messages) == 2)
        wait_for(lambda: not server.running.context.queue.names())
    first, second = other.messages
    assert first.isascii()
    assert "RCPT TO:<bê@one.example> NOTIFY=NEVER".encode() in other.lines
    assert [line.count(b"SMTPUTF8") for line in other.lines if line.startswith(b"MAIL")] == [0, 1]
    assert first.count(b"message/delivery-status") == 1
    assert b"multipart/report" in second


def test_each_address_of_one_mailbox_is_told_of(tmp_path: Path) -> None:
    """The mailbox has it once."""
    with office(tmp_path, confirms=True) as (server, _):
        server.issue("nvhung", aliases=["hung"], password=PASSWORD)
        both = [("nvhung@mic.gov.vn", "NOTIFY=NEVER"), ("hung@mic.gov.vn", "NOTIFY=SUCCESS")]
        hand_in(server, "dvbe@mic.gov.vn", both)
        (report,) = wait_for(lambda: reports(server, "dvbe"))
        assert len([each for each in inbox(server, "nvhung") if each["Message-ID"] == "<1@one.example>"]) == 1
    assert [told["Final-Recipient"] for told in per_recipient(report)] == ["rfc822; hung@mic.gov.vn"]


def test_nobody_is_told(tmp_path: Path) -> None:
    """Neither the null sender nor an address here that nobody has; each has come in all the same."""
    with office(tmp_path, confirms=True) as (server, other):
        for sender in ("", "nobody@mic.gov.vn"):
            hand_in(server, sender, [(TTLAN, "NOTIFY=SUCCESS")])
        assert slips(server) == []
        assert len([each for each in inbox(server, "ttlan") if each["Message-ID"] == "<1@one.example>"]) == 2
        assert server.running.context.queue.names() == []
        assert [event["sender"] for event in events(server, "report_without_reader")] == ["nobody@mic.gov.vn"]
    assert other.messages == []


def test_a_mailbox_that_is_full_is_said_at_once(tmp_path: Path) -> None:
    """Whoever asks for a report hears 452 as all others do, and nothing waits."""
    with office(tmp_path, confirms=True) as (server, _):
        server.issue("htnam", quota_octets=2000)
        for octets in (BIG, BIG + b"x\r\n" * 200_000):
            with smtplib.SMTP(server.host, server.ports["smtp"], timeout=20) as client:
                client.ehlo()
                client.mail("a@one.example")
                assert client.rcpt(HTNAM, ["NOTIFY=SUCCESS"])[0] == 250
                assert client.data(octets)[0] == 452
        assert slips(server) == []
        assert slips(server) == []


# ---------------------------------------------------------------- late, given up


@pytest.mark.clause("4.2")
@pytest.mark.parametrize("sender", ["dvbe@mic.gov.vn", "a@one.example"])
def test_a_full_mailbox(tmp_path: Path, sender: str) -> None:
    """A full mailbox: once when it is late, once more at its end, to whoever sent it; the other recipient has it at once."""
    with office(tmp_path, confirms=True, other=Server(WITH_DSN), clock=ManualClock(NOW)) as (server, other):
        server.issue("htnam", quota_octets=2000)
        is_here = sender.startswith("dvbe")

        def arrived() -> int:
            return len(reports(server, "dvbe")) if is_here else len(other.messages)

        hand_in(server, sender, [(TTLAN, ""), (HTNAM, "ORCPT=rfc822;Nam@mic.gov.vn")], BIG, "ENVID=E1", "RET=FULL")
        wait_until(server, NOW + timedelta(hours=3, minutes=59))
        assert (arrived(), len(slips(server))) == (0, 1)
        for hours in (5, 6, 30):
            wait_until(server, NOW + timedelta(hours=hours))
            wait_for(lambda: arrived() == 1)
        assert [slip.warned for slip in slips(server)] == [True]
        wait_until(server, NOW + timedelta(days=4, hours=23))
        assert arrived() == 1
        wait_until(server, NOW + timedelta(days=5, hours=1))
        wait_for(lambda: arrived() == 2)
        assert slips(server) == []
        assert slips(server) == []
        (ended,) = events(server, "delivery_given_up")
        assert (ended["mailbox"], ended["recipient"], ended["reason"]) == (HTNAM, HTNAM, "OverQuota")
        if is_here:
            late, failed = reports(server, "dvbe")
    if not is_here:
        first, second = other.messages
        assert first.count(b"Action: delayed") == second.count(b"Action: failed") == 1
        assert b"Will-Retry-Until: " in first
        assert b"NOTIFY=NEVER" in b"\n".join(other.lines)
        return
    assert "Thư chưa chuyển được vì hộp thư htnam@mic.gov.vn đã hết dung lượng; hệ thống sẽ thử lại đến " in words(late)
    assert "Hệ thống đã ngừng thử; đề nghị liên hệ người nhận bằng phương thức khác." in words(failed)
    for report, action, status in ((late, "delayed", "4.2.2"), (failed, "failed", "5.2.2")):
        (told,) = per_recipient(report)
        assert (told["Action"], told["Status"], told["Original-Recipient"]) == (action, status, "rfc822; Nam@mic.gov.vn")
        assert per_message(report)["Original-Envelope-Id"] == "E1"
    returned = [list(report.iter_parts())[2].get_content_type() for report in (late, failed)]
    assert returned == ["text/rfc822-headers", "message/rfc822"]


def test_who_asked_for_nothing_hears_nothing(tmp_path: Path) -> None:
    """NOTIFY=NEVER, and SUCCESS alone: the end is in the log; who asked for FAILURE hears that alone."""
    with office(tmp_path, confirms=True, clock=ManualClock(NOW)) as (server, _):
        for local in ("htnam", "pqkhanh", "lthoa"):
            server.issue(local, quota_octets=2000)
        asked = [(HTNAM, "NOTIFY=NEVER"), ("pqkhanh@mic.gov.vn", "NOTIFY=SUCCESS"), ("lthoa@mic.gov.vn", "NOTIFY=FAILURE")]
        hand_in(server, "dvbe@mic.gov.vn", asked)
        wait_until(server, NOW + timedelta(hours=5))
        assert reports(server, "dvbe") == []
        wait_until(server, NOW + timedelta(days=5, hours=1))
        (report,) = reports(server, "dvbe")
        assert len(events(server, "delivery_given_up")) == 3
    assert [told["Final-Recipient"] for told in per_recipient(report)] == ["rfc822; lthoa@mic.gov.vn"]


def test_a_mailbox_that_cannot_be_written(tmp_path: Path) -> None:
    """Another text, and another code."""
    with office(tmp_path, confirms=True, clock=ManualClock(NOW)) as (server, _):
        mailbox = server.issue("htnam")
        account = server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        account.folder("INBOX")
        settled(server)
        tmp = server.config.mail_root / mailbox.home / "Maildir" / "tmp"
        for path in tmp.glob("*"):
            path.unlink()
        tmp.rmdir()
        tmp.write_text("damaged")
        hand_in(server, "dvbe@mic.gov.vn", [(TTLAN, ""), (HTNAM, "")])
        wait_until(server, NOW + timedelta(hours=5))
        (late,) = reports(server, "dvbe")
        wait_until(server, NOW + timedelta(days=5, hours=1))
        failed = reports(server, "dvbe")[1]
    assert "vì lý do kỹ thuật tại máy chủ; hệ thống sẽ thử lại đến" in words(late)
    assert "vì lý do kỹ thuật tại máy chủ. Hệ thống đã ngừng thử" in words(failed)
    assert [per_recipient(report)[0]["Status"] for report in (late, failed)] == ["4.3.0", "5.4.7"]


@pytest.mark.clause("7.1")
def test_what_a_suspended_mailbox_has_sent_neither_warns_nor_ends(tmp_path: Path) -> None:
    """It waits for a restore, however long (decision 0061)."""
    with office(tmp_path, confirms=True, clock=ManualClock(NOW)) as (server, _):
        server.issue("htnam", quota_octets=2000)
        with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls()) as client:
            client.login("dvbe", PASSWORD)
            client.mail("dvbe@mic.gov.vn")
            assert [client.rcpt(address)[0] for address in (TTLAN, HTNAM)] == [250, 250]
            assert client.data(BIG.replace(b"a@one.example", b"dvbe@mic.gov.vn"))[0] == 250
        assert [slip.attempts for slip in slips(server)] == [1]
        server.suspend(server.running.context.access.snapshot.resolve("dvbe@mic.gov.vn"))
        for days in (1, 6, 20):
            wait_until(server, NOW + timedelta(days=days))
        (slip,) = slips(server)
        assert (slip.warned, slip.attempts) == (False, 1)
        assert events(server, "delivery_given_up") == events(server, "report_sent") == []


def test_room_before_the_end(tmp_path: Path) -> None:
    """Who was warned and asked for it hears of the delivery."""
    with office(tmp_path, confirms=True, clock=ManualClock(NOW)) as (server, _):
        full = server.issue("htnam", quota_octets=2000)
        hand_in(server, "dvbe@mic.gov.vn", [(TTLAN, ""), (HTNAM, "NOTIFY=SUCCESS,DELAY,FAILURE")])
        wait_until(server, NOW + timedelta(hours=5))
        server.population.directory.set_quota(
            full.mailbox_id, 1 << 30, draft(FactKind.QUOTA_SET, server.clock.now(), octets=str(1 << 30))
        )
        server.refresh()
        wait_until(server, NOW + timedelta(hours=7))
        assert [per_recipient(report)[0]["Action"] for report in reports(server, "dvbe")] == ["delayed", "delivered"]
        assert slips(server) == []


def test_a_report_waits_for_its_reader(tmp_path: Path) -> None:
    """A sender whose own mailbox is damaged has his report once that is put right."""
    with office(tmp_path, confirms=True, clock=ManualClock(NOW)) as (server, _):
        home = server.config.mail_root / "mic.gov.vn/dvbe/Maildir"
        server.running.context.store.account(
            AccountRef(server.running.context.access.snapshot.resolve("dvbe@mic.gov.vn").mailbox_id, "mic.gov.vn/dvbe")
        ).folder("INBOX")
        tmp = home / "tmp"
        tmp.rename(home / "aside")
        tmp.write_text("damaged")
        hand_in(server, "dvbe@mic.gov.vn", [(TTLAN, "NOTIFY=SUCCESS")])
        assert slips(server) == []
        assert events(server, "report_waits")
        tmp.unlink()
        (home / "aside").rename(tmp)
        wait_until(server, NOW + timedelta(minutes=10))
        assert len(reports(server, "dvbe")) == 1
        wait_until(server, NOW + timedelta(minutes=20))
        assert len(reports(server, "dvbe")) == 1
        assert slips(server) == []
