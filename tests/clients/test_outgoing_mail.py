"""Mail to other domains: submitted by an SMTP library, sent to servers elsewhere, reported on in the sender's mailbox."""

import smtplib
from pathlib import Path

import dns.resolver
import pytest

from addresses import parsed
from certificate_authority import Authority
from clients.outgoing import PASSWORD, inbox, letter, office, reports, sent_events, submit
from dns_server import name_server
from mic_mail.queue.notifications import notify_decided
from mic_mail.queue.queue import QueueEnvelope, QueueRecipient
from mic_mail.queue.recipient_log import Standing
from unit.services.queue.relay import PASSWORD as RELAY_PASSWORD
from unit.services.queue.relay import Relay
from waiting import stays, wait_for


def test_to_somebody_here_and_somebody_elsewhere(tmp_path: Path) -> None:
    """Each has it once, also who is named twice; what leaves has the trace and no Return-Path, and the log joins its steps."""
    with office(tmp_path) as (server, other):
        twice = "TTLan@mic.gov.vn, b@ONE.example, b@one.example"
        message = letter("ttlan@mic.gov.vn", "b@one.example", "c@one.example", cc=twice)
        assert submit(server, message) == {}
        (sent,) = wait_for(lambda: other.messages)
        wait_for(lambda: not server.running.context.queue.names())
        sent_events(server, 2)
        events = server.events()
        (here,) = [each for each in inbox(server, "ttlan") if each["Subject"] == "Báo cáo"]
    assert sent.startswith(b"Received: ")
    assert b"Return-Path" not in sent
    assert b"\r\n..\r\n" in sent, "stuffed"
    assert here["Return-Path"] == "<dvbe@mic.gov.vn>"
    said = b"".join(other.lines)
    assert b"MAIL FROM:<dvbe@mic.gov.vn> SIZE=" in said
    assert said.count(b"RCPT TO:<b@one.example>") == said.count(b"RCPT TO:<c@one.example>") == 1
    (accepted,) = [each for each in events if each["event"] == "message_accepted"]
    of_it = [each["event"] for each in events if each.get("trace") == accepted["trace"]]
    assert of_it.count("message_sent") == 2
    assert of_it.count("message_delivered") == 1
    assert "message_queued" in of_it


def test_what_cannot_be_delivered_comes_back(tmp_path: Path) -> None:
    """One report for those who failed, with parts for programs; none for the one who has it."""
    with office(tmp_path, {b"RCPT TO:<unknown": b"550 5.1.1 No such user here\r\n"}) as (server, other):
        submit(server, letter("unknown@one.example", "b@one.example", "x@null.example"))
        (report,) = wait_for(lambda: reports(server, "dvbe"), seconds=90)
        wait_for(lambda: not server.running.context.queue.names())
    assert len(other.messages) == 1
    assert report["Return-Path"] == "<>"
    assert report["Auto-Submitted"] == "auto-replied"
    words, status, returned = report.iter_parts()
    assert "không chuyển được" in words.get_content()
    assert "unknown@one.example: 550 5.1.1 No such user here" in words.get_content()
    assert status.get_content_type() == "message/delivery-status"
    failed = {part["Final-Recipient"]: part["Status"] for part in status.get_payload()[1:]}
    assert failed == {"rfc822; unknown@one.example": "5.1.1", "rfc822; x@null.example": "5.1.10"}
    assert returned.get_content_type() == "message/rfc822"


def test_a_server_that_answers_in_other_letters(tmp_path: Path) -> None:
    """What it said is told, in its letters to people and in ASCII to programs; no report is lost for them (Reg. 4.2)."""
    said = "550 5.1.1 Không có hộp thư này 没有 \u0300".encode() + b"\xff\r\n"
    with office(tmp_path, {b"RCPT TO:<unknown": said}) as (server, _):
        submit(server, letter("unknown@one.example"))
        (report,) = wait_for(lambda: reports(server, "dvbe"), seconds=90)
        wait_for(lambda: not server.running.context.queue.names())
        assert not [each for each in server.events() if each["event"] == "sending_failed"]
    words, status, _ = report.iter_parts()
    assert "unknown@one.example: 550 5.1.1 Không có hộp thư này 没有" in words.get_content()
    assert "unknown@one.example: 550 5.1.1 Khong co hop thu nay" in words.get_content()
    assert status.get_content_type() == "message/delivery-status"
    assert status.get_payload()[1]["Diagnostic-Code"].startswith("smtp; 550 5.1.1 Khong co hop thu nay")


@pytest.mark.clause("7.1")
def test_what_a_suspended_mailbox_has_sent_waits(tmp_path: Path) -> None:
    """What was not sent before stays in the queue, and nothing of it leaves."""
    with office(tmp_path, {b"RCPT": b"451 4.2.0 later\r\n"}) as (server, other):
        submit(server, letter("b@one.example"))
        wait_for(lambda: [line for line in other.lines if line.startswith(b"RCPT")])
        own = server.running.context.access.snapshot.resolve("dvbe@mic.gov.vn")
        (entry_id,) = server.running.context.queue.names()
        server.suspend(own)
        other.answers.clear()
        server.running.context.queue.read(entry_id).retry()
        notify_decided(server.config.run_dir, entry_id)
        waits = lambda: (other.messages, server.running.context.queue.names()) == ([b".\r\n"], [entry_id])  # noqa: E731
        stays(waits, "what was refused at RCPT, and nothing since", seconds=1)


def test_sending_can_be_paused(tmp_path: Path) -> None:
    """By the configuration, without a restart: mail is taken and waits, and goes when sending goes on."""
    with office(tmp_path) as (server, other):

        def pause(paused: bool) -> None:
            async def configure() -> None:
                settings = server.config.sending.model_copy(update={"paused": paused})
                server.running.server.configure(server.config.model_copy(update={"sending": settings}))

            server.call(configure())

        pause(True)
        submit(server, letter("b@one.example"))
        wait_for(lambda: server.running.server.report()["queued"] == 1)
        stays(lambda: (other.messages, server.running.server.report()["queued"]) == ([], 1))
        pause(False)
        wait_for(lambda: other.messages)


def test_other_name_servers_by_a_reload(tmp_path: Path) -> None:
    """Mail that leaves asks those that the configuration names now."""
    with office(tmp_path) as (server, other), name_server({("two.example", "A"): ["127.0.0.1"]}) as names:

        async def configure() -> None:
            settings = server.config.dns.model_copy(update={"nameservers": (names.place,)})
            server.running.server.configure(server.config.model_copy(update={"dns": settings}))

        server.call(configure())
        submit(server, letter("b@two.example"))
        wait_for(lambda: other.messages)


def test_a_machine_without_name_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken over by a reload: it is told, the former ones go on being asked, and what else has changed holds."""
    with office(tmp_path, sending={"paused": True}) as (server, other):
        monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", lambda self, file: _no_servers())

        async def configure() -> None:
            names = server.config.dns.model_copy(update={"nameservers": ()})
            sending = server.config.sending.model_copy(update={"paused": False})
            server.running.server.configure(server.config.model_copy(update={"dns": names, "sending": sending}))

        submit(server, letter("b@one.example"))
        server.call(configure())
        wait_for(lambda: other.messages)
        assert [event for event in server.events() if event["event"] == "resolver_missing"]
        wait_for(lambda: [event for event in server.events() if event["event"] == "resolver_missing"])


def _no_servers() -> None:
    raise dns.resolver.NoResolverConfiguration


@pytest.mark.parametrize("address", ["a@localhost", "a@[192.0.2.1]", f"a@{'x' * 64}.example"])
def test_where_there_can_be_no_domain(tmp_path: Path, address: str) -> None:
    """Refused at once."""
    with office(tmp_path) as (server, _), pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
        submit(server, letter(address))
    ((code, words),) = refusal.value.recipients.values()
    assert (code, words[:5]) == (550, b"5.1.2")


def test_all_of_it_by_a_smarthost(tmp_path: Path) -> None:
    """Signed in, under TLS, whatever the domains."""
    authority, secret = Authority(tmp_path / "ca"), tmp_path / "password"
    secret.write_text(RELAY_PASSWORD + "\n")
    secret.chmod(0o600)
    relay = Relay(context=authority.context("mx.one.example"), more=b"250-REQUIRETLS\r\n")
    how = {"smarthost": "mx.one.example:PORT", "smarthost_ca": authority.file, "smarthost_login": "ours"}
    with office(tmp_path / "data", other=relay, sending={**how, "smarthost_password": secret}) as (server, _):
        submit(server, letter("b@one.example", "c@null.example", "d@nowhere.example"))
        wait_for(lambda: relay.messages)
        wait_for(lambda: not server.running.context.queue.names())
        sent = sent_events(server, 3)
        submit(server, letter("b@one.example"), mail_options=["REQUIRETLS"])
        wait_for(lambda: len(relay.messages) == 2)
    assert relay.signed_in == ["ours"]
    assert [event["secured_by"] for event in sent] == ["name"] * 3
    first, second = [line for line in relay.lines if line.startswith(b"MAIL")]
    assert b"REQUIRETLS" not in first
    assert second.split().count(b"REQUIRETLS") == 1


def test_what_cannot_be_protected_comes_back(tmp_path: Path) -> None:
    """RFC 8689 §4.2.1, §5: with its header alone, though the whole was asked for."""
    with office(tmp_path) as (server, other):
        message = letter("b@one.example")
        message["TLS-Required"] = "No"
        submit(server, message, mail_options=["REQUIRETLS", "RET=FULL"])
        (report,) = wait_for(lambda: reports(server, "dvbe"), seconds=90)
    _, status, returned = report.iter_parts()
    assert status.get_payload()[1]["Status"] == "5.7.10"
    assert returned.get_content_type() == "text/rfc822-headers"
    assert other.messages == []


@pytest.mark.parametrize(
    ("fields", "optional"), [(["No"], True), ([" no "], True), (["Yes"], False), (["No", "No"], False), ([], False)]
)
def test_the_header_that_asks_for_less(tmp_path: Path, fields: list[str], optional: bool) -> None:
    """RFC 8689 §3: once, and with that word."""
    with office(tmp_path, {b"RCPT": b"451 4.2.0 later\r\n"}) as (server, _):
        head = "".join(f"TLS-Required:{field}\r\n" for field in fields)
        with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls()) as smtp:
            smtp.login("dvbe", PASSWORD)
            smtp.sendmail("dvbe@mic.gov.vn", ["b@one.example"], f"From: dvbe@mic.gov.vn\r\n{head}Subject: x\r\n\r\nx\r\n")
        (entry,) = wait_for(lambda: list(server.running.context.queue.entries()))
    assert entry.envelope.tls_optional is optional


def test_a_message_that_cannot_be_read_any_more(tmp_path: Path) -> None:
    """After five days its sender hears that it was not sent, without it."""
    with office(tmp_path) as (server, _):
        queue, old = server.running.context.queue, tmp_path / "old"
        old.write_bytes(b"Subject: x\r\n\r\nx\r\n")
        at_us = server.clock.now_us() - 6 * 86_400_000_000
        recipients = (QueueRecipient(parsed("b@one.example")),)
        queue.put(
            "OLD",
            old,
            QueueEnvelope(trace_id="OLD", sender=parsed("dvbe@mic.gov.vn"), recipients=recipients, accepted_at_us=at_us),
        )
        for _ in range(3):
            queue.read("OLD").tried([0], Standing.OPEN, "4.4.1 nobody", next_try_us=0)
        (queue._live / "OLD.msg").unlink()
        (queue._live / "OLD.msg").symlink_to("/proc/self/mem")
        notify_decided(server.config.run_dir, "OLD")
        (report,) = wait_for(lambda: reports(server, "dvbe"))
        wait_for(lambda: not queue.names())
    assert "Status: 5.3.0" in report.as_string()
