"""Sessions of POP3 that are counted, cut and noted: limits, the log, use of the mailbox (Reg. 7.2.a)."""

import contextlib
import poplib
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from faults.wire import Smtp
from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.policy.facts import FactKind, MailboxKind
from population import PASSWORD, draft
from waiting import wait_for

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


def sign_in(server: MailServer, local: str = "dvbe", password: str = PASSWORD) -> poplib.POP3_SSL:
    client = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=server.tls(), timeout=30)
    client.user(local)
    client.pass_(password)
    return client


def events(server: MailServer, name: str) -> list[dict[str, object]]:
    """What the log holds of a name, once there is one."""
    return wait_for(lambda: [event for event in server.events() if event["event"] == name])


def test_a_mailbox_has_so_many_sessions(serve: Callable[..., MailServer]) -> None:
    """One more than `pop3.sessions_per_mailbox` is -ERR [SYS/TEMP], never [IN-USE]; when one ends there is room again."""
    server = serve({"pop3": {"sessions_per_mailbox": 4}})
    server.issue("dvbe")
    clients = [sign_in(server) for _ in range(4)]
    with pytest.raises(
        poplib.error_proto, match=r"\[SYS/TEMP\] Hop thu co qua nhieu .* / This mailbox has too many open sessions"
    ):
        sign_in(server)
    clients[0].close()

    def has_room() -> bool:
        with contextlib.suppress(poplib.error_proto):
            sign_in(server).close()
            return True
        return False

    wait_for(has_room)
    for client in clients[1:]:
        client.quit()


def test_the_log_names_the_door(serve: Callable[..., MailServer]) -> None:
    """`signed_in` and `sign_in_refused` with door, mechanism and reference, as for every door (Reg. 8.2)."""
    server = serve({"auth": {"cleartext": True}})
    server.issue("dvbe")
    sign_in(server).quit()
    client = poplib.POP3("localhost", server.ports["pop3"], timeout=30)
    client.user("dvbe")
    with pytest.raises(poplib.error_proto) as refused:
        client.pass_("sai")
    client.close()
    [entered] = events(server, "signed_in")
    assert (entered["door"], entered["mechanism"], entered["mailbox"], entered["tls"]) == (
        "pop3s", "password", "dvbe@mic.gov.vn", "TLSv1.3",
    )  # fmt: skip
    [kept_out] = events(server, "sign_in_refused")
    assert (kept_out["door"], kept_out["reason"], kept_out["mailbox"]) == ("pop3", "wrong-credentials", "dvbe@mic.gov.vn")
    assert str(kept_out["ref"]).encode() in refused.value.args[0]
    assert not any("sai" in str(event.values()) for event in server.events())


def test_a_units_mailbox_is_opened_and_emptied_on_record(serve: Callable[..., MailServer]) -> None:
    """Reg. 12.3.a, as for IMAP: a sign-in to a unit's or group's mailbox, the first message that is read and then one in ten
    minutes, and what QUIT took away; of a person's own mailbox nothing."""
    server = serve(clock=ManualClock(NOW))
    server.issue("cntt", kind=MailboxKind.UNIT, name="Cục CNTT")
    server.issue("dvbe")
    for local in ("cntt", "dvbe"):
        with contextlib.closing(Smtp(server.ports["smtp"])) as smtp:
            for number in range(3):
                smtp.deliver([f"{local}@mic.gov.vn"], b"From: a@a.example\r\nSubject: %d\r\n\r\nx\r\n" % number)
        sign_in(server, local).quit()
        client = sign_in(server, local)
        client.retr(1)
        client.retr(2)
        server.move_clock_to(server.running.context.clock.now() + timedelta(minutes=10, seconds=1))
        client.retr(2)
        client.dele(1)
        client.dele(3)
        client.quit()
    sign_in(server, "cntt").quit()
    wanted = ["pop3", "pop3", "retr", "retr", "pop3"]
    wait_for(lambda: len(events(server, "mailbox_opened")) >= len(wanted))
    found = events(server, "mailbox_opened")
    assert [(e["mailbox"], e["actor"], e["how"]) for e in found] == [
        ("cntt@mic.gov.vn", "cntt@mic.gov.vn", how) for how in wanted
    ]
    [gone] = events(server, "messages_expunged")
    assert (gone["mailbox"], gone["folder"], gone["uids"]) == ("cntt@mic.gov.vn", "INBOX", "1,3")


def test_wrong_passwords_lock_every_door(serve: Callable[..., MailServer]) -> None:
    """Tries are counted together: after too many at POP3 the right password waits too, with [SYS/TEMP]."""
    server = serve({"auth": {"failures_per_mailbox": 3}})
    server.issue("dvbe")
    for number in range(3):
        with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
            sign_in(server, password=f"sai {number}")
    with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
        sign_in(server)


def test_fetching_is_use(serve: Callable[..., MailServer]) -> None:
    """Reg. 7.2.a: who fetches now and then is not suspended for inactivity; nor is who stays signed in and fetches."""
    server = serve(clock=ManualClock(NOW))
    server.issue("dvbe")
    server.issue("ttlan")
    Smtp(server.ports["smtp"]).deliver(["dvbe@mic.gov.vn"], b"Subject: x\r\n\r\nx\r\n")
    client = sign_in(server)
    for days in (150, 300):
        server.move_clock_to(NOW + timedelta(days=days))
        with contextlib.suppress(poplib.error_proto, OSError):  # the idle timer may have gone by
            client.close()
        client = sign_in(server)
        client.retr(1)
    with pytest.raises(poplib.error_proto, match=r"\[SYS/PERM\].*7\.2\.a"):
        sign_in(server, "ttlan")


def test_a_changed_password_cuts_the_session(serve: Callable[..., MailServer]) -> None:
    """A reset ends what the old password opened, with clause and reference."""
    server = serve(clock=ManualClock(NOW))
    mailbox = server.issue("dvbe")
    client = sign_in(server)
    server.record(mailbox, draft(FactKind.PASSWORD_RESET, NOW))
    assert client.file is not None
    assert client.file.readline().startswith(b"-ERR [SYS/PERM]")  # it is due for change (Reg. 15.2)
    assert client.file.readline() == b""
    client.close()


@pytest.mark.slow
def test_a_silent_session_is_closed_without_a_word(serve: Callable[..., MailServer]) -> None:
    """RFC 1939 §3: after `pop3.idle_seconds`, and after `pop3.sign_in_seconds` who has not signed in; nothing is said."""
    server = serve({"pop3": {"sign_in_seconds": 10}})
    server.issue("dvbe")
    with socket.create_connection((server.host, server.ports["pop3"]), timeout=60) as plain, plain.makefile("rb") as lines:
        assert lines.readline().startswith(b"+OK")
        plain.sendall(b"NOOP\r\n")
        assert lines.readline() == b"-ERR Sign in first.\r\n"
        assert lines.readline() == b""
