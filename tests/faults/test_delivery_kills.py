"""Killed at any step of a delivery to two mailboxes: acknowledged mail is there once, the rest is whole or absent.

A child runs the real store, spool and mail flow on a data folder and is killed before its n-th call that changes a file. Then
another process recovers the spool and looks into the mailboxes.
"""

import asyncio
import shutil
from pathlib import Path

import pytest

from addresses import parsed
from faults.killed_delivery import ACKNOWLEDGED, CLIENT, SECRET, killed_delivery, prepare
from harness import files_in, read_events
from mic_mail.app.context import ServerContext, open_context
from mic_mail.clock import SystemClock
from mic_mail.config.model import Config
from mic_mail.services.transport.envelope import Accepted, Envelope, Recipient
from mic_mail.services.transport.incoming_message import IncomingMessage
from mic_mail.storage.types import AccountRef

HEADER = b"From: a@a.example\r\nSubject: x\r\n\r\n"


async def take_in(context: ServerContext, octets: int) -> bool:
    """One message for both mailboxes, as a listener hands it in; True: acknowledged."""
    mailboxes = {mailbox.address: mailbox.mailbox_id for mailbox in context.access.snapshot}
    recipients = tuple(Recipient(parsed(address), (mailbox_id,)) for address, mailbox_id in mailboxes.items())
    reception = IncomingMessage(Envelope("TRACE", CLIENT, parsed("a@a.example"), recipients))
    for part in (HEADER, b"x\r\n" * (octets // 3)):
        await context.mailflow.write(reception, part)
    return isinstance(await context.mailflow.finish(reception), Accepted)


def look(config: Config) -> list[int]:
    """After recovery: how many messages each mailbox has; index and files agree, and nothing is left over."""

    async def after() -> list[int]:
        context = await open_context(config, SystemClock(), "after", secret=SECRET)
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
    killed, step, acknowledged = True, 0, 0
    while killed:
        step += 1
        config = prepare(memory / str(step))
        delivery = killed_delivery(config, step, lambda context: take_in(context, octets))
        killed = delivery.killed
        counts = look(config)
        assert counts in ([0, 0], [1, 1]), f"killed at step {step}"
        if delivery.said == ACKNOWLEDGED:
            acknowledged += 1
            assert counts == [1, 1], f"lost at step {step}"
            told = [event for event in read_events(config.log_dir) if event.get("trace") == "TRACE"]
            whom = {event["mailbox"] for event in told if event["event"] in ("message_delivered", "delivery_found")}
            assert whom == {"dvbe@mic.gov.vn", "ttlan@mic.gov.vn"}, f"the log does not know of it, killed at step {step}"
        shutil.rmtree(memory / str(step))
    assert step > 15
    assert acknowledged > 5
