"""Killed at any step of a delivery that is to be reported: the message and its report are there once each.

As in `test_delivery_kills`, a child is killed before its n-th call that changes a file. What it had put into the queue is
sent, and gone, before anybody looks again.
"""

import asyncio
import re
import shutil
import smtplib
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from addresses import parsed
from faults.killed_delivery import ACKNOWLEDGED, CLIENT, SECRET, killed_delivery, prepare
from harness import ProcessServer, files_in
from kills import Ended, die_before, in_child
from mic_mail.app.context import ServerContext, open_context
from mic_mail.clock import SystemClock
from mic_mail.config.model import Config
from mic_mail.services.transport.envelope import Accepted, Envelope, Recipient
from mic_mail.services.transport.incoming_message import IncomingMessage
from waiting import wait_for

HEADER = b"From: a@a.example\r\nSubject: x\r\n\r\n"


async def take_in(context: ServerContext, sender: str) -> bool:
    """One message for ttlan, whose sender wants to hear of it."""
    (ttlan,) = (mailbox for mailbox in context.access.snapshot if mailbox.address.startswith("ttlan"))
    recipient = Recipient(parsed(ttlan.address), (ttlan.mailbox_id,), notify=frozenset({"SUCCESS"}))
    reception = IncomingMessage(Envelope("TRACE", CLIENT, parsed(sender), (recipient,)))
    await context.mailflow.write(reception, HEADER + b"x\r\n")
    return isinstance(await context.mailflow.finish(reception), Accepted)


def sent(config: Config) -> int:
    """Whoever sends is quick: how many reports were in the queue, which is empty now."""

    async def send() -> int:
        context = await open_context(config, SystemClock(), "sender", secret=SECRET)
        try:
            context.queue.sweep()
            entries = list(context.queue.entries())
            for entry in entries:
                assert (str(entry.envelope.sender), entry.envelope.recipients[0].notify) == ("", ("NEVER",))
                assert b"Action: delivered" in entry.path.read_bytes()
                entry.end()
            return len(entries)
        finally:
            await context.close()

    return asyncio.run(send())


async def recover(config: Config, step: int = 0) -> None:
    context = await open_context(config, SystemClock(), "after", secret=SECRET)
    try:
        if step:
            die_before(step)
        for _ in range(2):
            await context.mailflow.recover()
            await context.mailflow.settle()
    finally:
        await context.close()


def messages(config: Config, local: str) -> int:
    return len(list((config.mail_root / "mic.gov.vn" / local / "Maildir").glob("cur/*")))


def killed_at(config: Config, step: int, sender: str) -> Ended:
    """The end of a child that takes the message in and delivers it."""
    return killed_delivery(config, step, lambda context: take_in(context, sender))


def look(config: Config, sender: str, acknowledged: bool) -> int:
    """After recovery; how many reports there are."""
    count = sent(config)
    asyncio.run(recover(config))
    count += sent(config) + messages(config, "dvbe")
    assert files_in(config.spool_dir) == []
    assert files_in(config.queue_dir) == []
    assert messages(config, "ttlan") == count, sender
    assert count == 1 or not acknowledged
    return count


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sender", ["dvbe@mic.gov.vn", "a@one.example"])
def test_a_kill_at_any_step(memory: Path, sender: str) -> None:
    """Wherever the sender is, he hears once of what was delivered once."""
    killed, step, reported = True, 0, 0
    while killed:
        step += 1
        config = prepare(memory / str(step))
        delivery = killed_at(config, step, sender)
        killed = delivery.killed
        count = look(config, sender, delivery.said == ACKNOWLEDGED)
        assert count <= 1, step
        reported += count
        shutil.rmtree(memory / str(step))
    assert count == 1
    assert reported > 10


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sender", ["dvbe@mic.gov.vn", "a@one.example"])
def test_killed_again_while_it_is_taken_up(memory: Path, sender: str) -> None:
    """Once as soon as the report is made and not noted, then at each step of what comes after a restart."""

    first, killed = 0, True
    while killed:  # until a report lies there and its entry does not know it
        first += 1
        config = prepare(memory / f"first{first}")
        killed = killed_at(config, first, sender).killed
        if list(config.spool_dir.glob("owed/*.env")) and list(config.spool_dir.glob("live/*.env")):
            break
    assert killed
    again = 0
    while killed:
        again += 1
        config = prepare(memory / str(again))
        killed_at(config, first, sender)
        killed = in_child(lambda say: asyncio.run(recover(config, again))).killed  # noqa: B023 - called at once
        assert look(config, sender, acknowledged=True) == 1, again
        shutil.rmtree(memory / str(again))


def hand_in(server: ProcessServer, names: list[str], acknowledged: list[str]) -> None:
    """One message after the other, until the server is gone."""
    try:
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], "mx.example", timeout=10) as client:
            client.ehlo()
            for name in names:
                client.mail("dvbe@mic.gov.vn")
                client.rcpt("ttlan@mic.gov.vn", ["NOTIFY=SUCCESS"])
                code, _ = client.data(f"From: dvbe@mic.gov.vn\r\nMessage-ID: <{name}@x>\r\n\r\nx\r\n".encode())
                if code == 250:
                    acknowledged.append(name)
    except (OSError, smtplib.SMTPException):
        pass


def named(config: Config, local: str, field: bytes) -> Counter[str]:
    """How often each message is named by a field of what lies in a mailbox."""
    files = (config.mail_root / "mic.gov.vn" / local / "Maildir").glob("cur/*")
    found = (re.search(rb"^" + field + rb": <(.*)@x>", path.read_bytes(), re.MULTILINE) for path in files)
    return Counter(match[1].decode() for match in found if match)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_everything_is_killed(serve_processes: Callable[..., ProcessServer]) -> None:
    """All processes, again and again, with four connections at work: one report of each message that has come in."""
    server = serve_processes({"process": {"workers": 2}, "smtp": {"confirms": True}})
    for local in ("dvbe", "ttlan"):
        server.population.issue(local)
    acknowledged: list[str] = []
    for kill in range(6):
        server.start()
        threads = [
            threading.Thread(target=hand_in, args=(server, [f"{kill}-{part}-{n}" for n in range(2_000)], acknowledged))
            for part in range(4)
        ]
        for thread in threads:
            thread.start()
        wanted = len(acknowledged) + 10 + 5 * kill
        wait_for(lambda wanted=wanted: len(acknowledged) >= wanted)  # type: ignore[misc]
        server.kill()
        for thread in threads:
            thread.join(20)
    server.start()
    wait_for(lambda: not files_in(server.config.spool_dir))
    came, told = named(server.config, "ttlan", b"Message-ID"), named(server.config, "dvbe", b"In-Reply-To")
    assert came == told
    assert set(came.values()) == {1}
    assert set(acknowledged) <= set(came)
