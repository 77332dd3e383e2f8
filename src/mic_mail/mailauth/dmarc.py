"""What the domain in From asks for, and whether the message is its (RFC 7489; of its successor, RFC 9989, the tags np and t).

In: the fields From, what SPF and DKIM said, a resolver, a roll of the dice. Out: `DmarcResult`, always. A message whose author
cannot be read in one way, or has several domains, is `permerror`: no policy can be looked up (§6.6.1).
Belongs to a loop; bounded in time.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.mailauth.dkim_header import Dkim
from mic_mail.mailauth.dkim_verify import DkimResult
from mic_mail.mailauth.public_suffix import organizational
from mic_mail.mailauth.spf import Spf, SpfResult
from mic_mail.mime.strict_addresses import Ambiguous, read_mailboxes
from mic_mail.net.dns import DnsUnavailable, NoSuchName, Resolver

SECONDS = 20.0
LONGEST_RECORD = 4_096
_VERSION = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
"""§6.4: the letters of DMARC1 in capitals."""
_REPORTED_TO = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s,]+")


class Dmarc(StrEnum):
    """§11.2."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a result
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Policy(StrEnum):
    """What is asked for (§6.3, `p=`)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


_LESS = {Policy.REJECT: Policy.QUARANTINE, Policy.QUARANTINE: Policy.NONE, Policy.NONE: Policy.NONE}
"""§6.6.4: of messages that `pct` leaves out."""


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """§6.3, as far as a receiver decides by it."""

    policy: Policy
    subdomain_policy: Policy
    absent_policy: Policy
    """For domains below it that do not exist (RFC 9989 §4.7, `np=`)."""
    is_dkim_strict: bool = False
    is_spf_strict: bool = False
    percent: int = 100


@dataclass(frozen=True, slots=True)
class DmarcResult:
    """Of a message."""

    result: Dmarc
    domain: str = ""
    """In From, as the DNS has it; '' where it is not legible."""
    found_at: str = ""
    """Whose record it is: the domain's or its organisational domain's."""
    published: Policy = Policy.NONE
    """What the record asks for this domain."""
    disposition: Policy = Policy.NONE
    """What is to be done with this message: none where it passes, and less where `pct` leaves it out."""
    spf_aligned: bool = False
    dkim_aligned: bool = False
    """Whether it passed, for a domain that is the author's."""
    percent: int = 100
    reason: str = ""
    """In our words."""
    is_unanswered: bool = False
    """Whether the DNS did not answer for something that could have vouched for the author's domain."""

    @property
    def is_vouched(self) -> bool:
        """Whether SPF or DKIM passed for the author's domain, whatever that asks for."""
        return self.spf_aligned or self.dkim_aligned


_ASKS_NOTHING = DmarcRecord(Policy.NONE, Policy.NONE, Policy.NONE)


class NoAuthor(ValueError):
    """Why there is no one domain in From."""


def author_domain(values: Sequence[bytes]) -> str:
    """Of the fields From, as the DNS has it; raises `NoAuthor` (§6.6.1, RFC 5322 §3.6)."""
    if len(values) != 1:
        raise NoAuthor("several From" if values else "no From")
    try:
        written = {mailbox.address.rpartition("@")[2] for mailbox in read_mailboxes(values[0])}
        domains = set(map(to_ascii, written))
    except Ambiguous:
        raise NoAuthor("From cannot be read in one way") from None
    except NotAName:
        raise NoAuthor("the domain in From is no name") from None
    if any(domain.startswith("[") for domain in domains):  # RFC 5321 §4.1.3: an address is nobody's domain
        raise NoAuthor("the domain in From is no name")
    if len(domains) != 1:
        raise NoAuthor("authors of several domains" if domains else "an empty From")
    return domains.pop()


def parse_dmarc(text: str) -> DmarcRecord | None:
    """Of a record that begins as `_VERSION` says; None where it asks for nothing (§6.6.3 step 6).

    What cannot be read of the rest is as if it were not there (§6.3).
    """
    tags: dict[str, str] = {}
    for part in text[:LONGEST_RECORD].split(";")[1:]:
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip(" \t").lower(), value.strip(" \t"))
    policy = _policy(tags.get("p", ""))
    subdomain = _policy(tags["sp"]) if "sp" in tags else policy
    absent = _policy(tags["np"]) if "np" in tags else subdomain
    if policy is None or subdomain is None or absent is None:
        if not any(_REPORTED_TO.fullmatch(place.strip()) for place in tags.get("rua", "").split(",")):
            return None
        policy = subdomain = absent = Policy.NONE
    percent = "0" if tags.get("t", "n").lower() == "y" else tags.get("pct", "100")  # RFC 9989 §4.7: one level below
    return DmarcRecord(
        policy,
        subdomain,
        absent,
        tags.get("adkim", "r").lower() == "s",
        tags.get("aspf", "r").lower() == "s",
        int(percent) if re.fullmatch("[0-9]{1,2}|100", percent, re.ASCII) else 100,
    )


def _policy(text: str) -> Policy | None:
    return Policy(text.lower()) if text.lower() in list(Policy) else None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of the author's domain before the message's marks are."""

    result: DmarcResult
    record: DmarcRecord | None = None


async def ask_policy(resolver: Resolver, authors: Sequence[bytes], seconds: float = SECONDS) -> Asked:
    """Whose the message says it is, and what that domain asks for."""
    try:
        domain, organization = await asyncio.to_thread(_author, authors)
    except NoAuthor as error:
        return Asked(DmarcResult(Dmarc.PERMERROR, reason=str(error)))
    try:
        async with asyncio.timeout(seconds):
            found_at, record = await _discover(resolver, domain, organization)
    except (DnsUnavailable, TimeoutError):
        return Asked(DmarcResult(Dmarc.TEMPERROR, domain, reason="its policy could not be asked for", is_unanswered=True))
    if record is None:
        return Asked(DmarcResult(Dmarc.NONE, domain, found_at))
    return Asked(DmarcResult(Dmarc.FAIL, domain, found_at), record)


def judge_dmarc(asked: Asked, spf: SpfResult, dkim: Sequence[DkimResult], *, roll: int) -> DmarcResult:
    """Whether the message is of its author's domain, and what follows. Reads the public suffix list, if nobody has yet.

    `spf`: of MAIL FROM; `roll`: 0 to 99, by chance, for `pct`.
    """
    if not asked.result.domain:
        return asked.result
    return _judge(asked.result, asked.record or _ASKS_NOTHING, spf, dkim, roll=roll)


def _author(values: Sequence[bytes]) -> tuple[str, str]:
    """The author's domain and its organisational one: 40 ms where a thousand authors stand in From in letters beyond ASCII."""
    domain = author_domain(values)
    return domain, organizational(domain)


async def _discover(resolver: Resolver, domain: str, organization: str) -> tuple[str, DmarcRecord | None]:
    """§6.6.3: of the domain itself, else of its organisational domain; of several records none counts."""
    for name in dict.fromkeys((domain, organization)):
        try:
            texts = (await resolver.txt(f"_dmarc.{name}")).values
        except (NoSuchName, NotAName):
            continue
        records = [text for text in texts if _VERSION.match(text)]
        if records:
            record = parse_dmarc(records[0]) if len(records) == 1 else None
            if record and name != domain and not await _exists(resolver, domain, record):
                record = replace(record, subdomain_policy=record.absent_policy)
            return name, record
    return "", None


async def _exists(resolver: Resolver, domain: str, record: DmarcRecord) -> bool:
    """RFC 9989 §3.2.13, RFC 8020: a name of which there is no type at all is none. Asked where it matters."""
    if record.absent_policy is record.subdomain_policy:
        return True
    try:
        await resolver.ipv4(domain)
    except NoSuchName:
        return False
    return True


def _judge(asked: DmarcResult, record: DmarcRecord, spf: SpfResult, dkim: Sequence[DkimResult], *, roll: int) -> DmarcResult:
    """§3.1, §6.6.2."""
    spf_is_ours = is_aligned(spf.domain, asked.domain, is_strict=record.is_spf_strict)
    ours = [each for each in dkim if is_aligned(each.domain, asked.domain, is_strict=record.is_dkim_strict)]
    published = record.policy if asked.found_at == asked.domain else record.subdomain_policy
    unanswered = (spf_is_ours and spf.result is Spf.TEMPERROR) or any(each.result is Dkim.TEMPERROR for each in ours)
    said = replace(
        asked, published=published, percent=record.percent, spf_aligned=spf_is_ours and spf.result is Spf.PASS,
        dkim_aligned=any(each.counts for each in ours), is_unanswered=asked.is_unanswered or unanswered,
    )  # fmt: skip
    if asked.result is not Dmarc.FAIL:  # nothing is asked for, or that is not known
        return said
    if said.is_vouched:
        return replace(said, result=Dmarc.PASS)
    if unanswered:
        return replace(said, result=Dmarc.TEMPERROR, reason="the DNS did not answer")
    return replace(said, disposition=published if roll < record.percent else _LESS[published])


def is_aligned(name: str, domain: str, *, is_strict: bool = False) -> bool:
    """§3.1."""
    return bool(name) and (name == domain or (not is_strict and organizational(name) == organizational(domain)))
