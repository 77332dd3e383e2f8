"""All checks of one message in order: what can be asked at once is. Belongs to a loop; arithmetic is done in a thread.

In: what was asked about the client already, a message's `Reading` (`reading.read`, blocking, in a thread of the caller's).
Out: `ActContext`, always; of the DNS nothing is waited for longer than asked, and no longer than a minute.
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
"""Of MAIL FROM and of HELO; None where they are one."""
Thread = Callable[[Callable[[], Origin]], Awaitable[Origin]]
"""Does arithmetic beside the loop."""


async def examine(
    resolver: Resolver, clock: Clock, client: Client, sender: ReversePath, reading: Reading, *, roll: int
) -> Origin:
    """`sender`: the reverse-path, '' where it is null; `roll`: 0 to 99, by chance, for DMARC's `pct`."""
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
    """Likewise, where the client is asked about already; `seconds`: for what is asked here."""
    client = asyncio.ensure_future(about_client)
    fetching = asyncio.ensure_future(fetch_keys(resolver, [*dkim_verify.key_names(reading), *arc.key_names(reading)], seconds))
    asking = asyncio.ensure_future(_policy(resolver, reading, seconds))
    try:
        (mail_from, helo), keys, policy = await asyncio.gather(client, fetching, asking)
    finally:
        for question in (client, fetching, asking):
            question.cancel()  # harmless where it is done; the client may not have been asked about, which raises
    now = clock.steady_us() // 1_000_000

    def judge() -> Origin:
        signed, chain = _verify(reading, keys, now)
        found = judge_dmarc(policy, mail_from, signed, roll=roll)
        return Origin(mail_from, helo, signed, found, chain, reading.untried, reading.fault)

    return await thread(judge)


async def examine_client(resolver: Resolver, clock: Clock, client: Client, sender: ReversePath) -> ClientResults:
    """SPF of MAIL FROM and of HELO, which can be known before the message is there; of a null reverse-path they are one."""
    if not sender:
        return await check_mail_from(resolver, clock, client, sender), None
    return await asyncio.gather(check_mail_from(resolver, clock, client, sender), check_helo(resolver, clock, client))


async def _policy(resolver: Resolver, reading: Reading, seconds: float) -> Asked:
    if reading.fault:
        return Asked(DmarcResult(Dmarc.PERMERROR, reason=reading.fault))
    return await ask_policy(resolver, reading.values(b"from"), seconds)


def _verify(reading: Reading, keys: Keys, now: int) -> tuple[tuple[DkimResult, ...], ArcResult]:
    return check_dkim(reading, keys, now), check_arc(reading, keys, now)
