"""Run all checks of one message, concurrently where possible.

Belongs to a loop; arithmetic runs in a thread.
In: the pending results about the client, a message's `DigestedMessage` (`message_digest.read`, blocking, in a thread of the
caller's).
Out: `Origin`, always. The wait for the DNS is bounded by `seconds`, a minute by default.
"""

import asyncio
from collections.abc import Awaitable, Callable

from mic_mail.clock import Clock
from mic_mail.mailauth import arc, dkim_verify
from mic_mail.mailauth.arc import check_arc
from mic_mail.mailauth.dkim_dns import fetch_keys
from mic_mail.mailauth.dkim_verify import check_dkim
from mic_mail.mailauth.dmarc import SECONDS, Dmarc, DmarcResult, PolicyLookup, ask_policy, judge_dmarc
from mic_mail.mailauth.message_digest import DigestedMessage
from mic_mail.mailauth.result import Origin
from mic_mail.mailauth.spf import SpfClient, SpfResult, check_helo, check_mail_from
from mic_mail.mailbox_address import ReversePath
from mic_mail.net.dns import Resolver

ClientResults = tuple[SpfResult, SpfResult | None]
"""SPF results of MAIL FROM and of HELO; the latter is None where both are the same check."""
Thread = Callable[[Callable[[], Origin]], Awaitable[Origin]]
"""Runs arithmetic outside the loop."""


async def examine_message(
    resolver: Resolver,
    clock: Clock,
    about_client: Awaitable[ClientResults],
    message: DigestedMessage,
    *,
    roll: int,
    seconds: float = SECONDS,
    thread: Thread = asyncio.to_thread,
) -> Origin:
    """Check a message whose client checks are already running.

    `roll`: 0 to 99, random, for DMARC's `pct`; `seconds` bounds the questions made here.
    """
    client = asyncio.ensure_future(about_client)
    fetching = asyncio.ensure_future(fetch_keys(resolver, [*dkim_verify.key_names(message), *arc.key_names(message)], seconds))
    asking = asyncio.ensure_future(_policy(resolver, message, seconds))
    try:
        (mail_from, helo), keys, policy = await asyncio.gather(client, fetching, asking)
    finally:
        for question in (client, fetching, asking):
            question.cancel()  # harmless where it is done; the client check may be missing, which raises
    now = clock.steady_us() // 1_000_000

    def judge() -> Origin:
        signed = check_dkim(message, keys, now)
        dmarc = judge_dmarc(policy, mail_from, signed, roll=roll)
        return Origin(mail_from, helo, signed, dmarc, check_arc(message, keys, now), message.untried, message.fault)

    return await thread(judge)


async def examine_client(resolver: Resolver, clock: Clock, client: SpfClient, sender: ReversePath) -> ClientResults:
    """Check SPF of MAIL FROM and of HELO without a message; for a null reverse-path ('') they are one."""
    if not sender:
        return await check_mail_from(resolver, clock, client, sender), None
    return await asyncio.gather(check_mail_from(resolver, clock, client, sender), check_helo(resolver, clock, client))


async def _policy(resolver: Resolver, message: DigestedMessage, seconds: float) -> PolicyLookup:
    if message.fault:
        return PolicyLookup(DmarcResult(Dmarc.PERMERROR, reason=message.fault))
    return await ask_policy(resolver, message.values(b"from"), seconds)
