"""The public keys of signers, asked of the DNS (RFC 6376 §3.6.2.2, §6.1.2). Belongs to a loop.

In: names. Out: for each the keys of its records, or why there are none: `temperror` where nobody answered.
"""

import asyncio
from collections.abc import Iterable, Mapping

from mic_mail.domain_name import NotAName
from mic_mail.mailauth.dkim_header import Dkim, PublicKey, Unusable, parse_key
from mic_mail.mailauth.message_digest import MOST_SIGNATURES
from mic_mail.net.dns import DnsUnavailable, NoSuchName, Resolver

SECONDS = 20.0
MOST_NAMES = 64
"""Ten signatures and fifty ARC sets, which nearly always name a few keys again and again."""
MOST_RECORDS = 4
"""Of a name; a verifier may take any."""
MOST_KEYS = 2
"""In them: the old one and the new. Each is tried with each signature, and there may be seventy."""
AT_ONCE = MOST_SIGNATURES
"""The keys of all signatures are asked for from the beginning: else slow names in front of somebody's name would keep its
answer away, and what its owner disowns would count as not answered."""

Keys = Mapping[str, tuple[PublicKey, ...] | Unusable]


async def fetch_keys(resolver: Resolver, names: Iterable[str], seconds: float = SECONDS) -> Keys:
    """Of each name, in time."""
    wanted = list(dict.fromkeys(names))[:MOST_NAMES]
    found: dict[str, tuple[PublicKey, ...] | Unusable] = {
        name: Unusable(Dkim.TEMPERROR, "its key was not there in time") for name in wanted
    }
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with turns:
            found[name] = await _keys(resolver, name)

    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*map(one, wanted))
    except TimeoutError:
        pass
    return found


async def _keys(resolver: Resolver, name: str) -> tuple[PublicKey, ...] | Unusable:
    try:
        records = (await resolver.txt(name)).values
    except DnsUnavailable:
        return Unusable(Dkim.TEMPERROR, "the DNS did not answer")
    except (NoSuchName, NotAName):
        records = ()
    keys: list[PublicKey] = []
    fault = Unusable(Dkim.PERMERROR, "there is no key")
    for record in sorted(records)[:MOST_RECORDS]:  # the same ones each time, in whatever order they come
        try:
            keys.append(parse_key(record))
        except Unusable as error:
            fault = error
    return tuple(keys[:MOST_KEYS]) or fault
