"""All checks of one message in order: what can be asked at once is. Belongs to a loop; arithmetic is done in a thread.

In: who is at the other end, the reverse-path, a message's `Reading` (`reading.read`, blocking, in a thread of the caller's).
Out: `Origin`, always, and no later than a minute.
"""

import asyncio

from mic_mail.checks.origin import arc, dkimcheck
from mic_mail.checks.origin.arc import ArcResult, check_arc
from mic_mail.checks.origin.dkimcheck import DkimResult, check_dkim
from mic_mail.checks.origin.dmarc import Dmarc, DmarcResult, check_dmarc
from mic_mail.checks.origin.keys import Keys, fetch_keys
from mic_mail.checks.origin.reading import Reading
from mic_mail.checks.origin.spf import Client, SpfResult, check_helo, check_mail_from
from mic_mail.checks.origin.verdict import Origin
from mic_mail.clock import Clock
from mic_mail.net.dns import Resolver


async def examine(resolver: Resolver, clock: Clock, client: Client, sender: str, reading: Reading, *, roll: int) -> Origin:
    """`sender`: the reverse-path, '' where it is null; `roll`: 0 to 99, by chance, for DMARC's `pct`."""
    (mail_from, helo), keys = await asyncio.gather(
        examine_client(resolver, clock, client, sender),
        fetch_keys(resolver, [*dkimcheck.key_names(reading), *arc.key_names(reading)]),
    )
    now = clock.now_us() // 1_000_000
    signed, chain = await asyncio.to_thread(_verify, reading, keys, now)
    if reading.fault:
        found = DmarcResult(Dmarc.PERMERROR, reason=reading.fault)
    else:
        found = await check_dmarc(resolver, reading.values(b"from"), mail_from, signed, roll=roll)
    return Origin(mail_from, helo, signed, found, chain, reading.untried, reading.fault)


async def examine_client(resolver: Resolver, clock: Clock, client: Client, sender: str) -> tuple[SpfResult, SpfResult | None]:
    """SPF of MAIL FROM and of HELO, which can be known before the message is there; of a null reverse-path they are one."""
    if not sender:
        return await check_mail_from(resolver, clock, client, sender), None
    return await asyncio.gather(check_mail_from(resolver, clock, client, sender), check_helo(resolver, clock, client))


def _verify(reading: Reading, keys: Keys, now: int) -> tuple[tuple[DkimResult, ...], ArcResult]:
    return check_dkim(reading, keys, now), check_arc(reading, keys, now)
