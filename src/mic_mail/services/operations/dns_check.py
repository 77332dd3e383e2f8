"""The check of the DNS: each record that `dns_records` wants is looked up and judged.

In: a resolver, the wanted records. Out: a `Finding` for each, in the same order. A record that an administrator may set
differently (the policies of SPF and DMARC) is right where it can be parsed; any other has to match. All queries run in
parallel; a silent name server costs one time limit, not one for each.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.errors import Text
from mic_mail.mime.dkim import is_testing, says_the_same
from mic_mail.net.dns import DnsUnavailable, NoSuchName, Resolver
from mic_mail.services.operations.dns_records import Kind, Wanted

_VERSION = {
    Kind.SPF: re.compile(r"v=spf1(?: |$)", re.IGNORECASE),
    Kind.DMARC: re.compile(r"v\s*=\s*DMARC1\s*(?:;|$)"),
    Kind.TLS_REPORTS: re.compile(r"v=TLSRPTv1\s*;"),
}
"""The beginning of a text of each kind (RFC 7208 §4.5, RFC 7489 §6.4, RFC 8460 §3)."""
_DMARC_POLICY = re.compile(r";\s*p\s*=\s*(?:none|quarantine|reject)\s*(?:;|$)", re.IGNORECASE)


class Verdict(StrEnum):
    """The verdict on one record."""

    OK = "ok"
    MISSING = "missing"
    DIFFERS = "differs"
    """The record has other content: worse than none."""
    SEVERAL = "several"
    """More than one record where only one is allowed: then none of them is valid."""
    INSECURE = "insecure"
    """The record is right and cannot be trusted: the zone is not signed."""
    UNKNOWN = "unknown"
    """No name server answered."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One record and the DNS's answer."""

    wanted: Wanted
    verdict: Verdict
    found: tuple[str, ...]
    remark: Text | None = None

    @property
    def is_fault(self) -> bool:
        """True if an administrator has to act."""
        if self.verdict in (Verdict.DIFFERS, Verdict.SEVERAL):
            return True
        return self.verdict is not Verdict.OK and self.wanted.need == "required"


async def check(resolver: Resolver, records: Sequence[Wanted], host: str) -> list[Finding]:
    """Check `records` in the DNS; `host` is this server's name."""
    return list(await asyncio.gather(*(_one(resolver, wanted, host) for wanted in records)))


async def _one(resolver: Resolver, wanted: Wanted, host: str) -> Finding:
    try:
        return await _CHECKS.get(wanted.kind, _text)(resolver, wanted, host)
    except NoSuchName:
        return Finding(wanted, Verdict.MISSING, ())
    except DnsUnavailable as error:
        return Finding(wanted, Verdict.UNKNOWN, (), error.text)


async def _host(resolver: Resolver, wanted: Wanted, host: str) -> Finding:
    addresses = (await resolver.addresses(host)).values
    return Finding(wanted, Verdict.OK if addresses else Verdict.MISSING, addresses)


async def _reverse(resolver: Resolver, wanted: Wanted, host: str) -> Finding:
    """Check that each address leads back to the name, and the name to it (RFC 1912 §2.1)."""
    addresses = (await resolver.addresses(host)).values
    if not addresses:
        return Finding(wanted, Verdict.MISSING, ())
    names = await asyncio.gather(*(_names_of(resolver, address) for address in addresses))
    shown = tuple(f"{address}: {', '.join(found) or '-'}" for address, found in zip(addresses, names, strict=True))
    if all(host in found for found in names):
        return Finding(wanted, Verdict.OK, shown)
    return Finding(wanted, Verdict.DIFFERS if any(names) else Verdict.MISSING, shown)


async def _names_of(resolver: Resolver, address: str) -> tuple[str, ...]:
    try:
        return (await resolver.names_of(address)).values
    except NoSuchName:
        return ()


async def _mx(resolver: Resolver, wanted: Wanted, host: str) -> Finding:
    """Check that this server is the most preferred MX, or one of them.

    An equal or less preferred peer (a relay, a backup) is the administrator's choice.
    """
    found = await resolver.mx(wanted.name)
    shown = tuple(f"{mx.preference} {mx.host}." for mx in found.values)
    if not found.values:
        return Finding(wanted, Verdict.MISSING, ())
    best = min(mx.preference for mx in found.values)
    ours = any(mx.host == host for mx in found.values if mx.preference == best)
    return Finding(wanted, Verdict.OK if ours else Verdict.DIFFERS, shown)


async def _text(resolver: Resolver, wanted: Wanted, _host_name: str) -> Finding:
    texts = (await resolver.txt(wanted.name)).values
    of_this_kind = tuple(text for text in texts if _VERSION[wanted.kind].match(text))
    if len(of_this_kind) != 1:
        return Finding(wanted, Verdict.SEVERAL if of_this_kind else Verdict.MISSING, of_this_kind)
    if wanted.kind is Kind.DMARC and not _DMARC_POLICY.search(of_this_kind[0]):
        return Finding(wanted, Verdict.DIFFERS, of_this_kind, Text("không có p=", "it has no p="))
    return Finding(wanted, Verdict.OK, of_this_kind)


async def _dkim(resolver: Resolver, wanted: Wanted, _host_name: str) -> Finding:
    """Check that the record is equivalent and the only one.

    Of several a verifier may take any (RFC 6376 §3.6.2.2).
    """
    assert wanted.key is not None
    texts = (await resolver.txt(wanted.name)).values
    if len(texts) != 1:
        return Finding(wanted, Verdict.SEVERAL if texts else Verdict.MISSING, texts)
    if not says_the_same(texts[0], wanted.key.record):
        return Finding(wanted, Verdict.DIFFERS, texts)
    testing = Text("t=y: nơi nhận xem như chưa ký", "t=y: others treat it as unsigned") if is_testing(texts[0]) else None
    return Finding(wanted, Verdict.OK, texts, testing)


async def _dane(resolver: Resolver, wanted: Wanted, host: str) -> Finding:
    """Check the TLSA records (RFC 7672 §3).

    If there are records and none matches, senders that obey them deliver nothing.
    """
    found = await resolver.tlsa(host, 25)
    shown = tuple(f"{each.usage} {each.selector} {each.matching} {each.data.hex()}" for each in found.values)
    if not shown:
        return Finding(wanted, Verdict.MISSING, ())
    if wanted.value not in shown:
        return Finding(wanted, Verdict.DIFFERS, shown)
    return Finding(wanted, Verdict.OK if found.secure else Verdict.INSECURE, shown)


async def _service(resolver: Resolver, wanted: Wanted, _host_name: str) -> Finding:
    found = await resolver.srv(wanted.name)
    shown = tuple(f"{each.priority} {each.weight} {each.port} {each.target}." for each in found.values)
    if not shown:
        return Finding(wanted, Verdict.MISSING, ())
    port_and_host = wanted.value.split(" ", 2)[2]
    fits = all(each.split(" ", 2)[2] == port_and_host for each in shown)
    return Finding(wanted, Verdict.OK if fits else Verdict.DIFFERS, shown)


async def _alias(resolver: Resolver, wanted: Wanted, host: str) -> Finding:
    """Check that the name has an alias or addresses, all of them this server's."""
    addresses = (await resolver.addresses(wanted.name)).values
    if not addresses:
        return Finding(wanted, Verdict.MISSING, ())
    own = (await resolver.addresses(host)).values
    return Finding(wanted, Verdict.OK if set(addresses) <= set(own) else Verdict.DIFFERS, addresses)


_CHECKS = {
    Kind.ALIAS: _alias,
    Kind.HOST: _host,
    Kind.REVERSE: _reverse,
    Kind.MX: _mx,
    Kind.DANE: _dane,
    Kind.DKIM: _dkim,
    Kind.SERVICE: _service,
}
