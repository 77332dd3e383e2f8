"""A delivery of one message on a real data folder, by a child that is killed before its n-th call that changes a file."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from harness import config_for
from kills import Ended, Say, die_before, in_child
from mic_mail.app.context import ServerContext, open_context
from mic_mail.clock import SystemClock
from mic_mail.config.model import Config
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.process.startup import make_folders
from mic_mail.services.authentication.identity import Peer
from mic_mail.services.transport.envelope import Client, Role
from mic_mail.storage.types import AccountRef
from population import Population

SECRET = b"s" * 32
ACKNOWLEDGED = ["250"]
"""What a child says whose message was accepted."""
CLIENT = Client(Role.MX, Peer("127.0.0.1", 1, 25, "smtp", None, "session"), "client.example", "ESMTP")


def prepare(folder: Path) -> Config:
    """A data folder with the mailboxes dvbe and ttlan."""
    config = config_for(folder)
    make_folders(config)
    write_pair(config.certificate, config.key, self_signed(["localhost"], SystemClock().now()))
    population = Population(config.directory_url, SystemClock())
    for local in ("dvbe", "ttlan"):
        population.issue(local, password=None)
    population.close()
    return config


def killed_delivery(config: Config, step: int, take_in: Callable[[ServerContext], Awaitable[bool]]) -> Ended:
    """Take a message in and deliver it, in a child that dies before its `step`-th change of a file.

    `take_in` hands the message to the mail flow; True: it was acknowledged.
    """

    async def deliver(say: Say) -> None:
        context = await open_context(config, SystemClock(), "child", secret=SECRET)
        for mailbox in context.access.snapshot:  # stores are made at their first use, which is not what dies here
            context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home)).folder("INBOX")
        die_before(step)
        if await take_in(context):
            say(*ACKNOWLEDGED)
        await context.mailflow.settle()

    return in_child(lambda say: asyncio.run(deliver(say)))
