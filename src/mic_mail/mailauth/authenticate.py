"""Run all checks of one message, concurrently where possible.

Belongs to a loop; arithmetic runs in a thread.
In: the pending results about the client, a message's `Reading` (`message_digest.read`, blocking, in a thread of the
caller's).
Out: `Origin`, always. The wait for the DNS is bounded by `seconds`, a minute by default.
"""

import asyncio
from collections.abc import Awaitable, Callable

from mic_mail.clock import Clock
from mic_mail.mailauth import arc, dkim_verify
from mic_mail.mailauth.arc import ArcResult, check_arc
from mic_mail.mailauth.dkim_dns import Keys, fetch_keys
from mic_mail.mailauth.dkim_verify import DkimResult, check_dkim
from mic_mail.mailauth.dmarc import SECONDS, Asked, Dmarc, DmarcResult, ask_policy, judge_dmarc
from mic_mail.mailauth.message_digest import Reading
from mic_mail.mailauth.result import Origin
from mic_mail.mailauth.spf import Client, SpfResult, check_helo, check_mail_from
from mic_mail.mailbox_address import ReversePath
from mic_mail.net.dns import Resolver

ClientResults = tuple[SpfResult, SpfResult | None]
"""SPF results of MAIL FROM and of HELO; the latter is None where both are the same check."""
Thread = Callable[[Callable[[], Origin]], Awaitable[Origin]]
"""Runs arithmetic outside the loop."""


async def examine(
    resolver: Resolver, clock: Clock, client: Client, sender: ReversePath, reading: Reading, *, roll: int
) -> Origin:
    """Check a message and its client.

    `sender`: the reverse-path, '' where it is null; `roll`: 0 to 99, random, for DMARC's `pct`.
    """
    about_client = examine_client(resolver, clock, client, sender)
    return await examine_message(resolver, clock, about_client, reading, roll=roll)


async def examine_message(
    resolver: Resolver,
    clock: Clock,
    about_client: Awaitable[ClientResults],
    reading: Reading,
    *,
    roll: int,
    seconds: float = SECONDS,
    thread: Thread = asyncio.to_thread,
) -> Origin:
    """Check a message whose client checks are already running; `seconds` bounds the questions made here."""
    client = asyncio.ensure_future(about_client)
    fetching = asyncio.ensure_future(fetch_keys(resolver, [*dkim_verify.key_names(reading), *arc.key_names(reading)], seconds))
    asking = asyncio.ensure_future(_policy(resolver, reading, seconds))
    try:
        (mail_from, helo), keys, policy = await asyncio.gather(client, fetching, asking)
    finally:
        for question in (client, fetching, asking):
            question.cancel()  # harmless where it is done; the client check may be missing, which raises
    now = clock.steady_us() // 1_000_000

    def judge() -> Origin:
        signed, chain = _verify(reading, keys, now)
        found = judge_dmarc(policy, mail_from, signed, roll=roll)
        return Origin(mail_from, helo, signed, found, chain, reading.untried, reading.fault)

    return await thread(judge)


async def examine_client(resolver: Resolver, clock: Clock, client: Client, sender: ReversePath) -> ClientResults:
    """Check SPF of MAIL FROM and of HELO, which needs no message; for a null reverse-path they are one."""
    if not sender:
        return await check_mail_from(resolver, clock, client, sender), None
    return await asyncio.gather(check_mail_from(resolver, clock, client, sender), check_helo(resolver, clock, client))


async def _policy(resolver: Resolver, reading: Reading, seconds: float) -> Asked:
    if reading.fault:
        return Asked(DmarcResult(Dmarc.PERMERROR, reason=reading.fault))
    return await ask_policy(resolver, reading.values(b"from"), seconds)


def _verify(reading: Reading, keys: Keys, now: int) -> tuple[tuple[DkimResult, ...], ArcResult]:
    return check_dkim(reading, keys, now), check_arc(reading, keys, now)
