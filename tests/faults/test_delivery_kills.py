"""Killed at any step of a delivery to two mailboxes: acknowledged mail is there once, the rest is whole or absent.

A child process runs the real rooms (store, spool, mail flow) on a data folder and is killed before its n-th call to the system
that changes a file; then the rooms are opened again, the spool is recovered, and the mailboxes are looked at.
"""

import asyncio
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from addresses import parsed
from harness import config_for, files_in, read_events
from mic_mail.app.context import ServerContext, open_context
from mic_mail.clock import SystemClock
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.process.startup import make_folders
from mic_mail.services.authentication.identity import Peer
from mic_mail.services.transport.envelope import Accepted, Client, Envelope, Recipient, Role
from mic_mail.services.transport.incoming_message import IncomingMessage
from mic_mail.storage.types import AccountRef
from population import Population

STEPS = ("rename", "fsync", "link", "unlink", "write", "copy_file_range")
MESSAGE = b"From: a@a.example\r\nSubject: x\r\n\r\n"
PEER = Peer("127.0.0.1", 1, 25, "smtp", None, "session")


def prepare(folder: Path) -> Any:
    """A data folder with two mailboxes that have been used before."""
    config = config_for(folder)
    make_folders(config)
    write_pair(config.certificate, config.key, self_signed(["localhost"], SystemClock().now()))
    population = Population(config.directory_url, SystemClock())
    for local in ("dvbe", "ttlan"):
        population.issue(local, password=None)
    population.close()
    return config


async def take_in(context: ServerContext, octets: int) -> bool:
    """One message for both mailboxes, as the door hands it in; True: acknowledged."""
    mailboxes = {mailbox.address: mailbox.mailbox_id for mailbox in context.access.snapshot}
    recipients = tuple(Recipient(parsed(address), (mailbox_id,)) for address, mailbox_id in mailboxes.items())
    client = Client(Role.MX, PEER, "client.example", "ESMTP")
    reception = IncomingMessage(Envelope("TRACE", client, parsed("a@a.example"), recipients))
    for part in (MESSAGE, b"x\r\n" * (octets // 3)):
        await context.mailflow.write(reception, part)
    return isinstance(await context.mailflow.finish(reception), Accepted)


async def child(config: Any, octets: int, step: int, say: int) -> None:
    context = await open_context(config, SystemClock(), "child", secret=b"s" * 32)
    for mailbox in context.access.snapshot:  # the stores are made at first use: that is not what is tested here
        context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home)).folder("INBOX")
    kill_before(step)
    if await take_in(context, octets):
        real_write(say, b"250")
    await context.mailflow.settle()


real_write = os.write


def kill_before(step: int) -> None:
    """Die before the `step`-th call, in whatever thread it is made."""
    count = 0

    def counted(call: Any) -> Any:
        def counting(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return counting

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


def killed(config: Any, octets: int, step: int) -> tuple[bool, bool]:
    """Whether the child came to its end, and whether it acknowledged."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            asyncio.run(child(config, octets, step, writing))
            code = 0
        except BaseException:  # noqa: BLE001 - shown; the child must never return into the test runner
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        words = said.read()
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status), words == b"250"


def look(config: Any) -> list[int]:
    """After recovery: how many messages each mailbox has; index and files agree, and nothing is left over."""

    async def after() -> list[int]:
        context = await open_context(config, SystemClock(), "after", secret=b"s" * 32)
        try:
            await context.mailflow.recover()
            await context.mailflow.settle()
            counts = []
            for mailbox in context.access.snapshot:
                account = context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
                view = account.view(account.folder("INBOX").folder_id)
                files = list((config.mail_root / mailbox.home / "Maildir" / "cur").iterdir())
                assert len(files) == len(view.uids)
                counts.append(len(view.uids))
            return counts
        finally:
            await context.close()

    counts = asyncio.run(after())
    assert files_in(config.spool_dir) == []
    return counts


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("octets", [300, 200_000], ids=["small", "streamed"])
def test_a_kill_at_any_step_of_a_delivery_to_two(memory: Path, octets: int) -> None:
    """Both mailboxes have it once, or (if it was not acknowledged) neither has it."""
    ended, step, acknowledged = False, 0, 0
    while not ended:
        step += 1
        config = prepare(memory / str(step))
        ended, said_250 = killed(config, octets, step)
        counts = look(config)
        assert counts in ([0, 0], [1, 1]), f"killed at step {step}"
        if said_250:
            acknowledged += 1
            assert counts == [1, 1], f"lost at step {step}"
            told = [event for event in read_events(config.log_dir) if event.get("trace") == "TRACE"]
            whom = {event["mailbox"] for event in told if event["event"] in ("message_delivered", "delivery_found")}
            assert whom == {"dvbe@mic.gov.vn", "ttlan@mic.gov.vn"}, f"the log does not know of it, killed at step {step}"
        shutil.rmtree(memory / str(step))
    assert step > 15
    assert acknowledged > 5
