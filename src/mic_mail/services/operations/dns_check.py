"""The check of the DNS: each record that `dns_records` wants is looked up and judged.

In: a resolver, the expected records. Out: a `RecordCheck` for each, in the same order. A record that an administrator may set
differently (the policies of SPF and DMARC) is right where it can be parsed; any other has to match. All queries run in
parallel; a silent name server costs one time limit, not one for each.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mic_mail.errors import Text
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.mailauth.dkim_header import matching_key
from mic_mail.net.dns import DnsUnavailable, NoSuchName, Resolver
from mic_mail.services.operations.dns_records import ExpectedRecord, RecordKind

_VERSION = {
    RecordKind.SPF: re.compile(r"v=spf1(?: |$)", re.IGNORECASE),
    RecordKind.DMARC: re.compile(r"v\s*=\s*DMARC1\s*(?:;|$)"),
    RecordKind.TLS_REPORTS: re.compile(r"v=TLSRPTv1\s*;"),
}
"""The beginning of a text of each kind (RFC 7208 §4.5, RFC 7489 §6.4, RFC 8460 §3)."""
_DMARC_POLICY = re.compile(r";\s*p\s*=\s*(?:none|quarantine|reject)\s*(?:;|$)", re.IGNORECASE)


class RecordState(LabelledEnum):
    OK = "ok", "đúng", "ok"
    MISSING = "missing", "thiếu", "missing"
    DIFFERS = "differs", "khác", "differs"
    """The record has other content: worse than none."""
    SEVERAL = "several", "nhiều hơn một", "several"
    """More than one record where only one is allowed: then none of them is valid."""
    INSECURE = "insecure", "chưa ký DNSSEC", "not signed"
    """The record is right and cannot be trusted: the zone is not signed."""
    UNKNOWN = "unknown", "chưa tra được", "no answer"


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """One record and the DNS's answer."""

    expected: ExpectedRecord
    verdict: RecordState
    found: tuple[str, ...]
    remark: Text | None = None

    @property
    def is_fault(self) -> bool:
        """True if an administrator has to act."""
        if self.verdict in (RecordState.DIFFERS, RecordState.SEVERAL):
            return True
        return self.verdict is not RecordState.OK and self.expected.need == "required"


async def check(resolver: Resolver, records: Sequence[ExpectedRecord], host: str) -> list[RecordCheck]:
    """Check `records` in the DNS; `host` is this server's name."""
    return list(await asyncio.gather(*(_one(resolver, expected, host) for expected in records)))


Answer = tuple[RecordState, tuple[str, ...]]
"""The verdict on what was found, and what was found; nothing: the record is missing."""


async def _one(resolver: Resolver, expected: ExpectedRecord, host: str) -> RecordCheck:
    try:
        verdict, found = await _CHECKS.get(expected.kind, _text)(resolver, expected, host)
    except NoSuchName:
        return RecordCheck(expected, RecordState.MISSING, ())
    except DnsUnavailable as error:
        return RecordCheck(expected, RecordState.UNKNOWN, (), error.text)
    return RecordCheck(expected, verdict if found else RecordState.MISSING, found, _remark(expected, found))


def _remark(expected: ExpectedRecord, found: tuple[str, ...]) -> Text | None:
    if len(found) != 1:
        return None
    if expected.kind is RecordKind.DMARC and not _DMARC_POLICY.search(found[0]):
        return Text("không có p=", "it has no p=")
    if expected.key is not None and (key := matching_key(found[0], expected.key.record)) is not None and key.is_testing:
        return Text("t=y: nơi nhận xem như chưa ký", "t=y: others treat it as unsigned")
    return None


async def _host(resolver: Resolver, expected: ExpectedRecord, host: str) -> Answer:
    return RecordState.OK, (await resolver.addresses(host)).values


async def _reverse(resolver: Resolver, expected: ExpectedRecord, host: str) -> Answer:
    """Check that each address leads back to the name, and the name to it (RFC 1912 §2.1)."""
    addresses = (await resolver.addresses(host)).values
    names = await asyncio.gather(*(_names_of(resolver, address) for address in addresses))
    shown = tuple(f"{address}: {', '.join(found) or '-'}" for address, found in zip(addresses, names, strict=True))
    if all(host in found for found in names):
        return RecordState.OK, shown
    return RecordState.DIFFERS if any(names) else RecordState.MISSING, shown


async def _names_of(resolver: Resolver, address: str) -> tuple[str, ...]:
    try:
        return (await resolver.names_of(address)).values
    except NoSuchName:
        return ()


async def _mx(resolver: Resolver, expected: ExpectedRecord, host: str) -> Answer:
    """Check that this server is the most preferred MX, or one of them.

    An equal or less preferred peer (a relay, a backup) is the administrator's choice.
    """
    found = (await resolver.mx(expected.name)).values
    best = min((mx.preference for mx in found), default=0)
    is_ours = any(mx.host == host for mx in found if mx.preference == best)
    return RecordState.OK if is_ours else RecordState.DIFFERS, tuple(f"{mx.preference} {mx.host}." for mx in found)


async def _text(resolver: Resolver, expected: ExpectedRecord, host: str) -> Answer:
    texts = tuple(text for text in (await resolver.txt(expected.name)).values if _VERSION[expected.kind].match(text))
    if len(texts) > 1:
        return RecordState.SEVERAL, texts
    fits = expected.kind is not RecordKind.DMARC or all(map(_DMARC_POLICY.search, texts))
    return RecordState.OK if fits else RecordState.DIFFERS, texts


async def _dkim(resolver: Resolver, expected: ExpectedRecord, host: str) -> Answer:
    """Check for one equivalent record: of several a verifier may take any (RFC 6376 §3.6.2.2)."""
    assert expected.key is not None
    texts = (await resolver.txt(expected.name)).values
    if len(texts) > 1:
        return RecordState.SEVERAL, texts
    fits = all(matching_key(text, expected.key.record) is not None for text in texts)
    return RecordState.OK if fits else RecordState.DIFFERS, texts


async def _dane(resolver: Resolver, expected: ExpectedRecord, host: str) -> Answer:
    """Check the TLSA records (RFC 7672 §3): where none matches, senders that obey them deliver nothing."""
    found = await resolver.tlsa(host, 25)
    shown = tuple(f"{each.usage} {each.selector} {each.matching} {each.data.hex()}" for each in found.values)
    if expected.value not in shown:
        return RecordState.DIFFERS, shown
    return RecordState.OK if found.secure else RecordState.INSECURE, shown


async def _service(resolver: Resolver, expected: ExpectedRecord, host: str) -> Answer:
    found = (await resolver.srv(expected.name)).values
    fits = all(f"{each.port} {each.target}." == expected.value.split(" ", 2)[2] for each in found)
    shown = tuple(f"{each.priority} {each.weight} {each.port} {each.target}." for each in found)
    return RecordState.OK if fits else RecordState.DIFFERS, shown


async def _alias(resolver: Resolver, expected: ExpectedRecord, host: str) -> Answer:
    addresses = (await resolver.addresses(expected.name)).values
    if not addresses:
        return RecordState.MISSING, ()
    own = (await resolver.addresses(host)).values
    return RecordState.OK if set(addresses) <= set(own) else RecordState.DIFFERS, addresses


_CHECKS = {
    RecordKind.ALIAS: _alias,
    RecordKind.HOST: _host,
    RecordKind.REVERSE: _reverse,
    RecordKind.MX: _mx,
    RecordKind.DANE: _dane,
    RecordKind.DKIM: _dkim,
    RecordKind.SERVICE: _service,
}
