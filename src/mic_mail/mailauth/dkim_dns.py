"""Fetch the public keys of signers from the DNS (RFC 6376 §3.6.2.2, §6.1.2). Belongs to a loop.

In: names. Out: for each the keys of its records, or the reason why there are none: `temperror` where the DNS did not
answer.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from mic_mail.domain_name import NotAName
from mic_mail.mailauth.dkim_header import Dkim, PublicKey, Unusable, parse_key
from mic_mail.mailauth.message_digest import MOST_SIGNATURES
from mic_mail.net.dns import DnsUnavailable, NoSuchName, Resolver

SECONDS = 20.0
MOST_NAMES = 64
"""Names in all: ten signatures and fifty ARC sets, which nearly always repeat a few names."""
MOST_RECORDS = 4
"""Records of a name; a verifier may use any of them."""
MOST_KEYS = 2
"""Keys of a name, the old one and the new; each is tried with up to seventy signatures."""
AT_ONCE = MOST_SIGNATURES
"""Names asked for at once, those of all signatures: slow ones must not delay the author's own."""

Keys = Mapping[str, tuple[PublicKey, ...] | Unusable]


async def fetch_keys(resolver: Resolver, names: Iterable[str], seconds: float = SECONDS) -> Keys:
    """Return the keys of each name, within `seconds`."""
    wanted = list(dict.fromkeys(names))[:MOST_NAMES]
    found: dict[str, tuple[PublicKey, ...] | Unusable] = {
        name: Unusable(Dkim.TEMPERROR, "the lookup of its key timed out") for name in wanted
    }
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with turns:
            found[name] = await _keys(resolver, name)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*map(one, wanted))
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
    for record in sorted(records)[:MOST_RECORDS]:  # sorted: the same ones each time, in any order of the answer
        try:
            keys.append(parse_key(record))
        except Unusable as error:
            fault = error
    return tuple(keys[:MOST_KEYS]) or fault
