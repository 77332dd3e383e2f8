"""Who a message from another server is from, and what follows (decisions 0078, 0079): SPF, DKIM, DMARC, ARC, iprev.

In: a message that has arrived, and what was asked about its client since MAIL. Out: a `CheckResult` with our field
Authentication-Results. Belongs to the loop; what is read and reckoned is so in two threads of its own, one for small messages
and one for large ones, so that these do not keep those waiting. Who finds too many waiting there is told to come again.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import replace
from pathlib import Path
from random import randrange
from typing import TypeVar

from mic_mail.config.model import Config
from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.mailauth import authentication_results
from mic_mail.mailauth.authenticate import examine_message
from mic_mail.mailauth.dmarc import is_aligned
from mic_mail.mailauth.iprev import IprevResult
from mic_mail.mailauth.message_digest import Reading, read
from mic_mail.mailauth.result import Origin
from mic_mail.mailbox_address import MailboxAddress, ReversePath
from mic_mail.mime.addresses import parse_addresses
from mic_mail.mime.encoded_words import decode_text
from mic_mail.mime.headers import canonical, strip_comments, unfold, written_fields
from mic_mail.mime.strict_addresses import MAX_OCTETS, Ambiguous, Mailbox, addresses_in, as_seen, read_mailboxes
from mic_mail.process.executors import Executor
from mic_mail.services.transport.envelope import Cause, Envelope, Refusal
from mic_mail.services.transport.inbound.check_result import JUNK, CheckResult, ReceivedMessage, Source
from mic_mail.services.transport.inbound.client_lookups import ClientLookups
from mic_mail.services.transport.inbound.origin_rules import Act, PolicyAction, Rules, VisibleOrigin, decide
from mic_mail.storage.errors import Unavailable

T = TypeVar("T")
MOST_SMALL, MOST_LARGE = 200, 30
"""Messages in the two threads' queues, so that the last one waits some ten seconds: 50 ms for a hostile header, twice that
where its keys have 8,192 bits, half a second for 25 MB (decision 0078)."""


class Origins:
    """The check of one process."""

    def __init__(self, config: Config, domains: Callable[[], Collection[str]], roll: Callable[[int], int] = randrange) -> None:
        """`domains`: the local ones, as the directory has them now; `roll`: a number below the given one, by chance."""
        self._roll = roll
        self._domains = domains
        self._small, self._large = _Thread("origin-small", MOST_SMALL), _Thread("origin-large", MOST_LARGE)
        self.configure(config)

    def configure(self, config: Config) -> None:
        inbound = config.inbound
        self._seconds = inbound.seconds
        self._hostname = config.server.hostname
        self._rules = Rules(
            frozenset(),
            inbound.own_domain,
            inbound.dmarc,
            inbound.no_author,
            inbound.spf_fail,
            inbound.unsettled,
            frozenset(map(to_ascii, inbound.trusted_sealers)),
        )

    def close(self) -> None:
        """Nothing is judged any more."""
        for thread in (self._small, self._large):
            thread.close()

    async def judge(self, arrived: ReceivedMessage) -> CheckResult:
        envelope = arrived.envelope
        enquiry = envelope.enquiry
        if enquiry is None or not enquiry.authenticates:
            return CheckResult()
        own = frozenset(map(to_ascii, self._domains()))  # an order may add one while the server runs
        rules, hostname = replace(self._rules, own_domains=own), self._hostname
        try:
            origin, seen, iprev = await enquiry.of_message(lambda: self._examine(arrived, enquiry, rules, self._seconds))
        except Unavailable as error:
            return self._not_judged(envelope, str(error))
        ruling = decide(origin, seen, rules)
        return CheckResult(
            refusal=_refusal(ruling, envelope),
            verdict=JUNK if ruling.act is Act.JUNK else "",
            rule=ruling.rule,
            authenticates_sender=origin.authenticates(seen.sender_domain),
            fields=authentication_results.field(origin, hostname, (iprev, enquiry.address)),
            told={**origin.event(), "iprev": iprev.result},
        )

    async def _examine(
        self, arrived: ReceivedMessage, enquiry: ClientLookups, rules: Rules, seconds: float
    ) -> tuple[Origin, VisibleOrigin, IprevResult]:
        """Within the turn of its client's network, reading and all. The time for questions begins when they can be asked:
        whoever lets many wait must not pass for a DNS that is silent."""
        thread = self._small if isinstance(arrived.source, bytes) else self._large
        reading, seen = await thread.do(lambda: _look(arrived, rules.own_domains))
        deadline = asyncio.get_running_loop().time() + seconds
        origin = await examine_message(
            enquiry.owner.resolver,
            enquiry.owner.clock,
            enquiry.spf(deadline),
            reading,
            roll=self._roll(100),
            seconds=seconds,
            thread=thread.do,
        )
        return origin, seen, await enquiry.iprev(deadline)

    def _not_judged(self, envelope: Envelope, why: str) -> CheckResult:
        """More than can be looked at comes in: nothing passes for that."""
        ruling = PolicyAction(Act.LATER, "too-many", Cause.NOT_JUDGED)
        return CheckResult(refusal=_refusal(ruling, envelope), rule=ruling.rule, told={"reason": why})


class _Thread:
    """A lane whose queue is bounded; made at first use, as most processes have none."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._lane: Executor | None = None
        self._waiting = 0

    async def do(self, fn: Callable[[], T]) -> T:
        if self._waiting >= self._most:
            raise Unavailable("too many messages wait to be looked at")
        self._lane = self._lane or Executor(self._name, 1)
        self._waiting += 1
        try:
            return await self._lane.submit(fn)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        if self._lane is not None:
            self._lane.end()


def _look(arrived: ReceivedMessage, own_domains: Set[str]) -> tuple[Reading, VisibleOrigin]:
    reading = _read(arrived.source)
    return reading, visible_origin(arrived.envelope, reading, arrived.header, own_domains)


def _read(source: Source) -> Reading:
    is_aligned("a.example", "b.example")  # who asks first reads the list of suffixes: here, and never on the loop
    if isinstance(source, Path):
        with source.open("rb", buffering=0) as file:
            return read(file)
    return read(source)


def visible_origin(envelope: Envelope, reading: Reading, header: bytes, own_domains: Set[str]) -> VisibleOrigin:
    """What of the envelope and of the header matters to the rules. Pure; nothing that a stranger writes raises."""
    values = [unfold(value) for name, value in written_fields(header) if canonical(name) == b"from"]
    values += [
        decode_text(value).encode(errors="replace") for value in values if b"=?" in value
    ]  # some open encoded words wherever they stand
    values += [as_seen(value.decode(errors="replace")).encode() for value in values if not value.isascii()]
    values = [value.lower() for value in values]
    written = [*values, *map(_closed_up, _first(values, MOST_CLOSED_UP))]
    author = _author(reading.values(b"from"))
    return VisibleOrigin(
        sender_domain=_domain(envelope.sender),
        local_part=author.address.rpartition("@")[0].lower() if author else "",
        has_our_name=author is not None and _shows_ours(author, own_domains),
        names_somebody=any(b"@" in value for value in values),
        names_ours=any(_names(value, domain) for domain in own_domains for value in written)
        or not own_domains.isdisjoint(_hosts(_first(values, MAX_OCTETS))),
        is_null=not envelope.sender,
    )


def _shows_ours(author: Mailbox, own_domains: Set[str]) -> bool:
    """Also where a letter is only drawn alike, or not to be seen (`mime.mailboxes.addresses_in`)."""
    seen = {address.rpartition("@")[2] for text in author.shown for address in addresses_in(text)}
    return any(each in seen or _names(" ".join(author.shown).lower().encode(), each) for each in own_domains)


def _names(value: bytes, domain: str) -> bool:
    """Whether an address of that domain may stand there."""
    return re.search(rb"@[\s(\[]*" + re.escape(domain.encode()) + rb"(?![a-z0-9\-]|\.[a-z0-9])", value) is not None


MOST_CLOSED_UP = 64 << 10
"""Of From; and as much as an author may have is read word by word: of all of it, 200 KB, these would take 0.2 s each."""


def _closed_up(value: bytes) -> bytes:
    """Without comments, and blanks around dots: as most programs show an address in which they stand (RFC 5322 §4.4)."""
    return b" ".join(strip_comments(value).split()).replace(b" .", b".").replace(b". ", b".")


def _hosts(values: Iterable[bytes]) -> Iterator[str]:
    """The domains of the addresses that ENVELOPE shows, whatever stands around them."""
    for value in values:
        for address in parse_addresses(value):
            if address.host:
                yield address.host.rstrip(b".").decode("ascii", "replace")


def _first(values: Iterable[bytes], octets: int) -> list[bytes]:
    """So much of them."""
    found, left = [], octets
    for value in values:
        if left <= 0:
            break
        found.append(value[:left])
        left -= len(value)
    return found


def _domain(path: ReversePath) -> str:
    try:
        return to_ascii(path.domain) if isinstance(path, MailboxAddress) else ""
    except NotAName:
        return ""


def _author(values: list[bytes]) -> Mailbox | None:
    try:
        authors = read_mailboxes(values[0]) if len(values) == 1 else ()
    except Ambiguous:
        return None
    return authors[0] if len(authors) == 1 else None


def _refusal(ruling: PolicyAction, envelope: Envelope) -> Refusal | None:
    if ruling.cause is None:
        return None
    return Refusal(ruling.cause, envelope.trace_id, {"domain": ruling.domain, "field": "From"})
