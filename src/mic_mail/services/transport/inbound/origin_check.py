"""Origin check: who a message from another server is from, and what follows from it.

Decisions 0078, 0079; SPF, DKIM, DMARC, ARC, iprev. Parsing and cryptography run in two threads of their own, one for
small and one for large messages, so that large ones do not delay small ones. A message that finds too many waiting is
refused temporarily.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import replace
from pathlib import Path
from random import randrange
from typing import TypeVar

from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.mailauth import authentication_results
from mic_mail.mailauth.authenticate import examine_message
from mic_mail.mailauth.dmarc import is_aligned
from mic_mail.mailauth.iprev import IprevResult
from mic_mail.mailauth.message_digest import DigestedMessage, read
from mic_mail.mailauth.result import Origin
from mic_mail.mailbox_address import MailboxAddress, ReversePath
from mic_mail.mime.addresses import parse_addresses
from mic_mail.mime.encoded_words import decode_text
from mic_mail.mime.headers import canonical, strip_comments, unfold, written_fields
from mic_mail.mime.strict_addresses import MAX_OCTETS, Ambiguous, Author, addresses_in, as_seen, read_mailboxes
from mic_mail.process.executors import Executor
from mic_mail.process.runtime import Runtime
from mic_mail.services.transport.check import ReceivedMessage, Source
from mic_mail.services.transport.envelope import JUNK, Cause, CheckResult, Envelope, InboundAction, Refusal
from mic_mail.services.transport.inbound.client_lookups import ClientLookups
from mic_mail.services.transport.inbound.origin_rules import OriginRules, PolicyAction, VisibleOrigin, decide
from mic_mail.storage.errors import Overloaded, Unavailable

T = TypeVar("T")
MOST_SMALL, MOST_LARGE = 200, 30
"""Bounds on the queues of the two threads, so that the last message waits about ten seconds.

A hostile header takes 50 ms, twice that if its keys have 8,192 bits; 25 MB take half a second (decision 0078).
"""


class OriginCheck:
    """The origin check of one process."""

    def __init__(self, runtime: Runtime, roll: Callable[[int], int] = randrange) -> None:
        """`roll` returns a random number below its argument."""
        self._runtime = runtime
        self._roll = roll
        self._small, self._large = _Thread("origin-small", MOST_SMALL), _Thread("origin-large", MOST_LARGE)
        self.apply_reload()

    def apply_reload(self) -> None:
        config = self._runtime.config()
        inbound = config.inbound
        self._seconds = inbound.seconds
        self._hostname = config.server.hostname
        self._rules = OriginRules(
            frozenset(),
            inbound.own_domain,
            inbound.dmarc,
            inbound.no_author,
            inbound.spf_fail,
            inbound.unsettled,
            frozenset(map(to_ascii, inbound.trusted_sealers)),
        )

    def close(self) -> None:
        """Stop the threads."""
        for thread in (self._small, self._large):
            thread.close()

    async def check(self, arrived: ReceivedMessage) -> CheckResult:
        envelope = arrived.envelope
        lookups = envelope.lookups
        if lookups is None or not lookups.authenticates:
            return CheckResult()
        own = frozenset(map(to_ascii, self._runtime.snapshot().domains))  # a command may add one while the server runs
        rules, hostname = replace(self._rules, own_domains=own), self._hostname
        try:
            origin, visible, iprev = await lookups.of_message(lambda: self._examine(arrived, lookups, rules, self._seconds))
        except Unavailable as error:
            return self._not_judged(envelope, str(error))
        action = decide(origin, visible, rules)
        return CheckResult(
            refusal=_refusal(action, envelope),
            verdict=JUNK if action.act is InboundAction.JUNK else "",
            rule=action.rule,
            authenticates_sender=origin.authenticates(visible.sender_domain),
            fields=authentication_results.field(origin, hostname, (iprev, lookups.address)),
            log_fields={**origin.event(), "iprev": iprev.result},
        )

    async def _examine(
        self, arrived: ReceivedMessage, lookups: ClientLookups, rules: OriginRules, seconds: float
    ) -> tuple[Origin, VisibleOrigin, IprevResult]:
        """Examine a message, parsing included, within its network's turn.

        The time limit of the lookups starts when they can be made: a client that makes many wait must not pass for a
        silent DNS.
        """
        thread = self._small if isinstance(arrived.source, bytes) else self._large
        message, visible = await thread.do(lambda: _look(arrived, rules.own_domains))
        deadline = asyncio.get_running_loop().time() + seconds
        origin = await examine_message(
            lookups.owner.resolver,
            lookups.owner.clock,
            lookups.spf(deadline),
            message,
            roll=self._roll(100),
            seconds=seconds,
            thread=thread.do,
        )
        return origin, visible, await lookups.iprev(deadline)

    def _not_judged(self, envelope: Envelope, why: str) -> CheckResult:
        """Refuse temporarily when more messages come in than can be checked; none passes unchecked."""
        action = PolicyAction(InboundAction.LATER, "too-many", Cause.NOT_JUDGED)
        return CheckResult(refusal=_refusal(action, envelope), rule=action.rule, log_fields={"reason": why})


class _Thread:
    """An executor with a bounded queue, created at first use, as most processes need none."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._executor: Executor | None = None
        self._waiting = 0

    async def do(self, fn: Callable[[], T]) -> T:
        if self._waiting >= self._most:
            raise Overloaded("too many messages wait to be looked at")
        self._executor = self._executor or Executor(self._name, 1)
        self._waiting += 1
        try:
            return await self._executor.submit(fn)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        if self._executor is not None:
            self._executor.end()


def _look(arrived: ReceivedMessage, own_domains: Set[str]) -> tuple[DigestedMessage, VisibleOrigin]:
    message = _read(arrived.source)
    return message, visible_origin(arrived.envelope, message, arrived.header, own_domains)


def _read(source: Source) -> DigestedMessage:
    is_aligned("a.example", "b.example")  # the first call loads the public suffix list: here, never on the loop
    if isinstance(source, Path):
        with source.open("rb", buffering=0) as file:
            return read(file)
    return read(source)


def visible_origin(envelope: Envelope, message: DigestedMessage, header: bytes, own_domains: Set[str]) -> VisibleOrigin:
    """Return the parts of the envelope and the header that the rules use. Pure; never raises."""
    values = [unfold(value) for name, value in written_fields(header) if canonical(name) == b"from"]
    values += [
        decode_text(value).encode(errors="replace") for value in values if b"=?" in value
    ]  # some programs decode encoded words wherever they stand
    values += [as_seen(value.decode(errors="replace")).encode() for value in values if not value.isascii()]
    values = [value.lower() for value in values]
    written = [*values, *map(_closed_up, _first(values, MOST_CLOSED_UP))]
    author = _author(message.values(b"from"))
    return VisibleOrigin(
        sender_domain=_domain(envelope.sender),
        local_part=author.address.rpartition("@")[0].lower() if author else "",
        has_our_name=author is not None and _shows_ours(author, own_domains),
        names_somebody=any(b"@" in value for value in values),
        names_ours=any(_names(value, domain) for domain in own_domains for value in written)
        or not own_domains.isdisjoint(_hosts(_first(values, MAX_OCTETS))),
        is_null=not envelope.sender,
    )


def _shows_ours(author: Author, own_domains: Set[str]) -> bool:
    """Return whether the displayed name contains an address of ours, or one that looks like it."""
    visible = {address.rpartition("@")[2] for text in author.shown for address in addresses_in(text)}
    return any(each in visible or _names(" ".join(author.shown).lower().encode(), each) for each in own_domains)


def _names(value: bytes, domain: str) -> bool:
    """Return whether `value` may contain an address of that domain."""
    return re.search(rb"@[\s(\[]*" + re.escape(domain.encode()) + rb"(?![a-z0-9\-]|\.[a-z0-9])", value) is not None


MOST_CLOSED_UP = 64 << 10
"""Octets of From that are also searched without comments; all of a From of 200 KB would take 0.2 s."""


def _closed_up(value: bytes) -> bytes:
    """Return `value` without comments and blanks around dots, as most programs show it."""
    return b" ".join(strip_comments(value).split()).replace(b" .", b".").replace(b". ", b".")


def _hosts(values: Iterable[bytes]) -> Iterator[str]:
    """Yield the domains of the addresses that IMAP ENVELOPE shows, whatever stands around them."""
    for value in values:
        for address in parse_addresses(value):
            if address.host:
                yield address.host.rstrip(b".").decode("ascii", "replace")


def _first(values: Iterable[bytes], octets: int) -> list[bytes]:
    """Return the values up to `octets` in all."""
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


def _author(values: list[bytes]) -> Author | None:
    try:
        authors = read_mailboxes(values[0]) if len(values) == 1 else ()
    except Ambiguous:
        return None
    return authors[0] if len(authors) == 1 else None


def _refusal(action: PolicyAction, envelope: Envelope) -> Refusal | None:
    return None if action.cause is None else envelope.refusal(action.cause, domain=action.domain, field="From")
