"""Killed at any step of a delivery of junk to two mailboxes: what was found out about it before 250 is not forgotten.

As in `test_delivery_kills`; the name server that the checks ask lives in the parent.
"""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from addresses import parsed
from dns_server import NameServer, name_server
from faults.killed_delivery import ACKNOWLEDGED, CLIENT, SECRET, killed_delivery, prepare
from harness import config_for, files_in
from mic_mail.app.context import ServerContext, open_context
from mic_mail.clock import SystemClock
from mic_mail.config.model import Config
from mic_mail.services.transport.envelope import Accepted, Envelope, Recipient
from mic_mail.services.transport.incoming_message import IncomingMessage
from mic_mail.storage.types import AccountRef

ZONE = {
    ("one.example", "TXT"): ['"v=spf1 -all"'],
    ("_dmarc.one.example", "TXT"): ['"v=DMARC1; p=quarantine"'],
    ("example", "TXT"): ['"x"'],
}
FORGED = b"Authentication-Results: mail.mic.gov.vn; dmarc=pass\r\n"
HEADER = b"From: lan@one.example\r\nSubject: x\r\n\r\n"


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with name_server(ZONE) as one:
        yield one


async def take_in(context: ServerContext, octets: int) -> bool:
    """Forged, for both; its sender wants to hear of it."""
    recipients = tuple(
        Recipient(parsed(mailbox.address), (mailbox.mailbox_id,), notify=frozenset({"SUCCESS"}))
        for mailbox in context.access.snapshot
    )
    lookups = context.mailflow.begin_lookups(CLIENT)
    assert lookups is not None
    lookups.begin("client.example", parsed("lan@one.example"))
    reception = IncomingMessage(Envelope("TRACE", CLIENT, parsed("lan@one.example"), recipients, lookups=lookups))
    for part in (FORGED + HEADER, b"x\r\n" * (octets // 3)):
        await context.mailflow.write(reception, part)
    return isinstance(await context.mailflow.finish(reception), Accepted)


def look(config: Config) -> list[list[tuple[str, tuple[str, ...], bytes]]]:
    """After recovery: of each mailbox its messages, by folder, with keywords and octets. Nobody was told of any."""

    async def after() -> list[list[tuple[str, tuple[str, ...], bytes]]]:
        context = await open_context(config, SystemClock(), "after", secret=SECRET)
        try:
            await context.mailflow.recover()
            await context.mailflow.settle()
            found = []
            for mailbox in context.access.snapshot:
                account = context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
                found.append([each for folder in account.folders() for each in _messages(account, folder)])
            return found
        finally:
            await context.close()

    found = asyncio.run(after())
    assert [*files_in(config.spool_dir), *files_in(config.queue_dir)] == []
    return found


def _messages(account: Any, folder: Any) -> Iterator[tuple[str, tuple[str, ...], bytes]]:
    view = account.view(folder.folder_id)
    for uid in view.uids:
        with account.open_message(folder.folder_id, uid) as message:
            yield folder.name, tuple(account.folder(folder.name).keywords), message.pread(0, 1 << 22)


def judged(folder: Path, names: NameServer) -> Config:
    """A data folder of a server that judges its clients."""
    prepare(folder)
    return config_for(folder, {"dns": {"nameservers": (names.place,)}, "inbound": {"trusted_networks": ()}})


def whole(octets: int) -> bytes:
    return HEADER + b"x\r\n" * (octets // 3)


def check(config: Config, octets: int, step: int, *, acknowledged: bool) -> None:
    mailboxes = look(config)
    assert [len(messages) for messages in mailboxes] in ([0, 0], [1, 1]), f"killed at step {step}"
    for messages in mailboxes:
        assert messages or not acknowledged, f"lost at step {step}"
        for name, keywords, stored in messages:
            assert (name, "$Junk" in keywords) == ("Junk", True), f"its verdict was forgotten at step {step}"
            assert stored.endswith(whole(octets)), f"changed at step {step}"
            head = stored.removesuffix(whole(octets))
            assert head.count(b"Authentication-Results: mail.mic.gov.vn;") == 1, f"its results were forgotten at step {step}"
            assert b"dmarc=fail" in head


@pytest.mark.parametrize(("octets", "first"), [(300, 9), (200_000, 13)], ids=["small", "streamed"])
def test_a_kill_behind_the_promise(memory: Path, names: NameServer, octets: int, first: int) -> None:
    """About the first step that is behind it: which one that is depends on when the log is written."""
    for step in range(first, first + 20, 2):
        config = judged(memory / str(step), names)
        delivery = killed_delivery(config, step, lambda context: take_in(context, octets))
        acknowledged = delivery.said == ACKNOWLEDGED
        check(config, octets, step, acknowledged=acknowledged)
        assert delivery.killed, "nobody was killed"
        if acknowledged:
            return
    raise AssertionError("nothing was promised")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("octets", [300, 200_000], ids=["small", "streamed"])
def test_a_kill_at_any_step(memory: Path, names: NameServer, octets: int) -> None:
    killed, step, seen = True, 0, 0
    while killed:
        step += 1
        config = judged(memory / str(step), names)
        delivery = killed_delivery(config, step, lambda context: take_in(context, octets))
        killed, acknowledged = delivery.killed, delivery.said == ACKNOWLEDGED
        check(config, octets, step, acknowledged=acknowledged)
        seen += acknowledged
        shutil.rmtree(memory / str(step))
    assert step > 15
    assert seen > 5
