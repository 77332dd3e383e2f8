"""Reg. 7.2.c: how much one mailbox may send in an hour and a day, over all connections, workers and restarts."""

import asyncio
import base64
import imaplib
import json
import smtplib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness import MailServer, ProcessServer, english
from mic_mail.cli.main import main
from mic_mail.clock import ManualClock
from mic_mail.config.manual import write
from mic_mail.errors import Text
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.process.executors import TimedSemaphore
from mic_mail.process.send_counters import SendCounters
from mic_mail.queue.errors import SpoolFull
from mic_mail.services.transport.acceptance import Acceptance
from mic_mail.services.transport.recipient_lookup import RecipientLookup
from mic_mail.services.transport.secrecy import SecrecyCheck
from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from regulation.abuse_setup import letters, suspensions
from waiting import wait_for

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
TO = "ttlan@mic.gov.vn"
LETTER = b"From: dvbe@mic.gov.vn\r\nSubject: x\r\n\r\n" + b"x" * 1_000 + b"\r\n"


_OPEN: list[smtplib.SMTP_SSL] = []


@pytest.fixture(autouse=True)
def closed(serve: object, serve_processes: object) -> Iterator[None]:
    """A server does not wait for clients when it ends."""
    yield
    while _OPEN:
        _OPEN.pop().close()


def submission(server: MailServer | ProcessServer, local: str = "dvbe") -> smtplib.SMTP_SSL:
    client = smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls(), timeout=60)
    _OPEN.append(client)
    client.ehlo()
    plain = base64.b64encode(f"\0{local}@mic.gov.vn\0{PASSWORD}".encode()).decode()
    assert client.docmd("AUTH", f"PLAIN {plain}")[0] == 235
    return client


def send(
    client: smtplib.SMTP_SSL, octets: bytes = LETTER, sender: str = "dvbe@mic.gov.vn", options: str = ""
) -> tuple[int, bytes]:
    """The first refusal, or how the message ended."""
    for line in (f"MAIL FROM:<{sender}>{options}", f"RCPT TO:<{TO}>"):
        code, text = client.docmd(line)
        if code >= 400:
            client.docmd("RSET")
            return code, text
    return client.data(octets)


def with_limits(serve: Callable[..., MailServer], **limits: object) -> MailServer:
    server = serve({"limits": limits}, clock=ManualClock(NOW))
    server.population.issue("dvbe")
    server.population.issue("cntt", kind=MailboxKind.UNIT)
    server.population.issue("support", kind=MailboxKind.GROUP)
    server.issue("ttlan")
    return server


def suspended(server: MailServer, local: str = "dvbe") -> bool:
    directory = server.population.directory
    facts = directory.facts(directory.mailbox(f"{local}@mic.gov.vn").mailbox_id)
    return any(fact.kind is FactKind.SUSPENDED for fact in facts)


@pytest.mark.clause("7.2.c")
def test_messages_of_an_hour(serve: Callable[..., MailServer]) -> None:
    """Beyond the limit MAIL hears 450 with the limit and when there is room, in either language; then there is."""
    server = with_limits(serve, messages_per_hour=10)
    client = submission(server)
    assert {send(client)[0] for _ in range(10)} == {250}
    code, text = client.docmd("MAIL FROM:<dvbe@mic.gov.vn>")
    assert code == 450
    assert english(text).startswith(b"4.7.1 Your mailbox has sent 10 messages within an hour")
    assert b"possible again from 24/11/2026 10:05" in text
    _, text = client.docmd("MAIL FROM:<dvbe@mic.gov.vn> SMTPUTF8")
    assert "đã gửi 10 thư trong một giờ".encode() in text
    server.move_clock_to(NOW + timedelta(minutes=64))
    assert client.docmd("MAIL FROM:<dvbe@mic.gov.vn>")[0] == 450
    server.move_clock_to(NOW + timedelta(minutes=65))
    assert send(client)[0] == 250
    client.close()
    server.stop()
    refused = [event for event in server.events() if event["event"] == "sender_refused"]
    assert {(event["reason"], event["limit"], event["login"]) for event in refused} == {
        ("sending-rate", "messages-hour", "dvbe@mic.gov.vn")
    }
    assert server.running.context.mailflow.limited == {"messages-hour": 3}


def test_octets(serve: Callable[..., MailServer]) -> None:
    """By SIZE at MAIL, else at the end of the message, which is not taken then and does not count."""
    server = with_limits(serve, octets_per_hour="1 MiB", octets_per_day="2 MiB")
    client = submission(server)
    large = LETTER + (b"y" * 70 + b"\r\n") * 5_000  # 360 KB: a stream
    assert [send(client, large)[0] for _ in range(2)] == [250, 250]
    code, text = client.docmd(f"MAIL FROM:<dvbe@mic.gov.vn> SIZE={len(large)}")
    assert (code, english(text)[:50]) == (450, b"4.7.1 Your mailbox has sent 1 MB within an hour, t")
    code, text = send(client, large)
    assert (code, english(text)[:50]) == (450, b"4.7.1 Your mailbox has sent 1 MB within an hour, t")
    assert send(client)[0] == 250  # a small one fits
    counts = SendCounters(server.config.sent_dir, None)
    taken = counts.sums(server.population.directory.mailbox("dvbe@mic.gov.vn").mailbox_id, NOW.timestamp()).day.total()
    assert (taken.messages, taken.recipients) == (3, 4)
    assert 2 * len(large) < taken.octets < 2 * len(large) + 2_000
    for hours in (2, 4):
        server.move_clock_to(NOW + timedelta(hours=hours))
        *codes, (code, text) = [send(client, large) for _ in range(2)]
        assert [code for code, _ in codes] == [250]
    assert (code, b"sent 2 MB within 24 hours" in text, b"25/11/2026 10:00" in text) == (450, True, True)
    assert not suspended(server)


def test_recipients_of_a_day(serve: Callable[..., MailServer]) -> None:
    """One message to very many: those within the limit stay, and the message goes to them; trying on suspends nobody."""
    server = with_limits(serve, recipients_per_hour=50, recipients_per_day=60)
    client = submission(server)
    client.docmd("MAIL FROM:<dvbe@mic.gov.vn>")
    lines = b"RCPT TO:<ttlan@mic.gov.vn>\r\n" * 60
    client.send(lines)
    assert [client.getreply()[0] for _ in range(60)] == [250] * 50 + [450] * 10
    assert client.data(LETTER)[0] == 250
    server.move_clock_to(NOW + timedelta(hours=2))
    client.docmd("MAIL FROM:<dvbe@mic.gov.vn>")
    client.send(lines * 4)
    assert [client.getreply()[0] for _ in range(240)] == [250] * 10 + [450] * 230
    assert not suspended(server)


def test_what_is_not_taken_does_not_count(serve: Callable[..., MailServer]) -> None:
    """A message that is refused for its content, and one that its sender breaks off."""
    server = with_limits(serve, messages_per_hour=10)
    client = submission(server)
    for _ in range(5):
        assert send(client, b"Subject: no author\r\n\r\nx\r\n")[0] == 550
        assert send(client, b"From: ttlan@mic.gov.vn\r\n\r\nx\r\n")[0] == 550
    client.close()
    client = submission(server)
    secret = "From: dvbe@mic.gov.vn\r\nSubject: =?utf-8?b?W03huqxUXQ==?=\r\n\r\nĐỘ MẬT: TỐI MẬT\r\n".encode()
    assert send(client, secret)[0] == 550
    assert {send(client)[0] for _ in range(10)} == {250}
    assert send(client)[0] == 450


@pytest.mark.parametrize(("owner", "look"), [(SecrecyCheck, "check"), (RecipientLookup, "_refuse_unreportable")])
def test_what_its_sender_did_not_wait_for_does_not_count(
    serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch, owner: type[object], look: str
) -> None:
    """A program that hangs up while a long look is taken at its message, and tries again, has not sent it each time."""
    server = with_limits(serve, messages_per_hour=10)
    looks: list[object] = []

    async def never_ends(*given: object) -> None:
        looks.append(given)
        await asyncio.sleep(600)

    with monkeypatch.context() as patches:
        patches.setattr(owner, look, never_ends)
        for number in range(10):
            _leave_when(server, lambda number=number: len(looks) > number)
    client = submission(server)
    assert {send(client)[0] for _ in range(10)} == {250}
    assert send(client)[0] == 450


def test_what_waits_for_its_turn_when_its_sender_leaves_does_not_count(serve: Callable[..., MailServer]) -> None:
    """It is passed over: somebody else writes the mailbox all the while."""
    server = with_limits(serve, messages_per_hour=10)
    with submission(server) as client:
        assert send(client)[0] == 250
    context = server.running.context
    ref = AccountRef.of(next(entry for entry in context.access.snapshot if entry.address == TO))
    slots = context.account_executors._slots(ref).writers
    server.call(slots.acquire(1))
    with writing(context.store.store(ref)):
        for number in range(9):
            _leave_when(
                server,
                lambda number=number: sum(map(len, context.mailflow._acceptance.delivering._queues.values())) > number,
                notify="",
            )
    server.call(_release(slots))
    client = submission(server)
    assert {send(client)[0] for _ in range(9)} == {250}
    assert send(client)[0] == 450
    assert context.store.account(ref).folder("INBOX").messages == 10


def test_what_is_not_stored_after_its_sender_has_left_does_not_count(
    serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that nobody breaks off goes on without the client, and fails."""
    server = with_limits(serve, messages_per_hour=10)
    steps: list[asyncio.Event] = []

    async def fails(*given: object) -> None:
        steps.append(asyncio.Event())
        await steps[-1].wait()
        raise SpoolFull(Text("đầy", "full"))

    async def let_go() -> None:
        for step in steps:
            step.set()
        await server.running.context.mailflow.settle()

    with monkeypatch.context() as patches:
        patches.setattr(Acceptance, "_into_spool", fails)
        for number in range(10):
            _leave_when(server, lambda number=number: len(steps) > number)
        server.call(let_go())
    client = submission(server)
    assert {send(client)[0] for _ in range(10)} == {250}
    assert send(client)[0] == 450


def _leave_when(server: MailServer, holds: Callable[[], bool], notify: str = " NOTIFY=SUCCESS") -> None:
    """Send a message, and hang up when that holds, unanswered."""
    client = submission(server)
    for line in ("MAIL FROM:<dvbe@mic.gov.vn>", f"RCPT TO:<{TO}>{notify}", "DATA"):
        client.docmd(line)
    client.send(LETTER + b".\r\n")
    wait_for(holds)
    client.close()
    wait_for(lambda: server.running.server.servers.connections["smtp"] == 0)


async def _release(slots: TimedSemaphore) -> None:
    slots.release()


@pytest.mark.clause("7.2.c")
def test_who_goes_on_is_suspended(serve: Callable[..., MailServer]) -> None:
    """By messages too: at twice the hour's limit, with the figure on record and in the letter to the Centre."""
    server = with_limits(serve, messages_per_hour=10)
    client = submission(server)
    assert [send(client)[0] for _ in range(19)] == [250] * 10 + [450] * 9
    assert not suspended(server)
    client = submission(server)  # nineteen errors, and the connection would end
    send(client)
    (fact,) = suspensions(server, "dvbe@mic.gov.vn")
    assert (fact.data["trigger"], fact.data["messages"], fact.reason) == (
        "outbound-rate", 20, "gửi quá nhiều thư trong một giờ",
    )  # fmt: skip
    assert client.docmd("MAIL FROM:<dvbe@mic.gov.vn>")[0] == 525
    server.housekeep()
    assert any("sent 20 messages within an hour" in text for text in letters(server, "support"))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"trigger": "malware"}, "sent malware and was suspended"),
        ({"trigger": "sign-in-anomaly"}, "had an abnormal sign-in and was suspended"),
        ({"trigger": "outbound-rate", "recipients": 41}, "sent mail to 41 recipients within an hour and was suspended"),
    ],
)
def test_what_the_centre_is_told(serve: Callable[..., MailServer], data: dict[str, Any], told: str) -> None:
    """Why the server suspended a mailbox by itself, in the words of what it noticed."""
    server = with_limits(serve)
    mailbox = server.population.directory.mailbox("dvbe@mic.gov.vn")
    server.record(mailbox, Draft(FactKind.SUSPENDED, NOW, "server", "", None, {"cause": "c", **data}))
    server.housekeep()
    assert any(told in text for text in letters(server, "support"))


def test_bulk_senders(serve: Callable[..., MailServer]) -> None:
    """They may send so many times as much, and are not suspended for more."""
    server = with_limits(serve, messages_per_hour=10, bulk_senders=("cntt",), bulk_times=2)
    client = submission(server, "cntt")
    letter = LETTER.replace(b"dvbe", b"cntt")
    codes = [send(client, letter, "cntt@mic.gov.vn")[0] for _ in range(30)]
    assert codes == [250] * 20 + [450] * 10
    for _ in range(3):
        client = submission(server, "cntt")
        assert {send(client, letter, "cntt@mic.gov.vn")[0] for _ in range(19)} == {450}
    assert not suspended(server, "cntt")


def test_counts_that_cannot_be_kept(serve: Callable[..., MailServer]) -> None:
    """Mail goes on; the log says once that nothing is counted."""
    server = with_limits(serve, messages_per_hour=10)
    server.config.sent_dir.rmdir()
    server.config.sent_dir.write_text("no folder")
    client = submission(server)
    assert {send(client)[0] for _ in range(12)} == {250}
    client.close()
    server.stop()
    assert [event["event"] for event in server.events()].count("sending_not_counted") == 1


def test_a_mailbox_shows_what_it_has_sent(
    serve: Callable[..., MailServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mailbox show`: of each limit what is taken; what a mail program puts into Sent is none."""
    server = with_limits(serve, messages_per_hour=10)
    client = submission(server)
    assert [send(client)[0] for _ in range(3)] == [250] * 3
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls()) as reader:
        plain = f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode()
        reader.authenticate("PLAIN", lambda _: plain)
        assert reader.append("Sent", None, None, LETTER)[0] == "OK"
    file = tmp_path / "mic-mail.toml"
    file.write_text(write(server.config))
    words = ["--config", str(file), "mailbox", "show", "dvbe@mic.gov.vn"]
    assert main([*words, "--json"], server.clock) == 0
    sent = json.loads(capsys.readouterr().out)["sent"]
    assert sent["messages_hour"] == {"taken": 3, "limit": 10}
    assert sent["recipients_day"] == {"taken": 3, "limit": 10_000}
    assert sent["octets_day"]["limit"] == 8 << 30
    assert main(["--lang", "vi", *words], server.clock) == 0
    assert "3/10 thư, 3/2000 người nhận, " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.clause("7.2.c")
def test_over_all_workers_and_a_kill(serve_processes: Callable[..., ProcessServer]) -> None:
    """Ten connections over two workers get the limit once, at once and one after another; also after everything was killed."""
    server = serve_processes(
        {"limits": {"messages_per_hour": 40, "messages_per_day": 40, "suspend_beyond": 0}, "process": {"workers": 2}}
    )
    server.population.issue("dvbe")
    server.population.issue("ttlan")
    server.start()

    clients = [submission(server) for _ in range(8)]
    while min(server.connected("smtp", len(clients))) == 0:  # on a busy machine one may be late for each of them
        clients += [submission(server) for _ in range(4)]

    def flood(client: smtplib.SMTP) -> list[int]:
        return [send(client)[0] for _ in range(100 // len(clients) + 1)]

    codes = [send(client)[0] for client in clients]  # each worker counts, whoever is late in what follows
    with ThreadPoolExecutor(len(clients)) as pool:
        codes += [code for codes in pool.map(flood, clients) for code in codes]
    assert set(codes) == {250, 450}
    assert 36 <= codes.count(250) <= 40
    while (code := send(submission(server))[0]) == 250:  # two that came for the last place were both told to wait
        codes.append(code)
    assert codes.count(250) == 40
    workers = {event["session"].partition(".")[0] for event in server.events() if event["event"] == "message_accepted"}
    files = sorted(path.name for path in server.config.sent_dir.iterdir())
    assert len(files) == 2, (workers, files)
    server.kill()
    server.start()
    assert {send(submission(server))[0] for _ in range(4)} == {450}
