"""DNS lookups about a client, started while it still sends.

A `ClientLookups` ends with its connection. Concurrency is bounded per process; lookups beyond the bound wait, and a
message whose lookups got no turn by its end is refused temporarily, so nothing passes because of load.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from mic_mail.clock import Clock
from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.filters import dnsbl
from mic_mail.filters.dnsbl import DnsblResult, look_up
from mic_mail.mailauth.authenticate import ClientResults, examine_client
from mic_mail.mailauth.iprev import Iprev, IprevResult, check_iprev
from mic_mail.mailauth.spf import Identity, Spf, SpfClient, SpfResult
from mic_mail.mailbox_address import MailboxAddress, ReversePath
from mic_mail.net.connection_limits import network_of
from mic_mail.net.dns import Resolver
from mic_mail.process.executors import TimedSemaphore
from mic_mail.storage.errors import Overloaded, Unavailable

T = TypeVar("T")
AT_ONCE, AT_ONCE_OF_NETWORK = 400, 100
"""Concurrent lookups of one process, and of clients in one network (/24, /64); each uses a few sockets."""
MOST_WAITING = 4_096
PATIENCE_SECONDS = 20.0
MOST_WAITED_SECONDS = 1.0
"""The longest queueing after which a missing answer counts as a slow DNS, and not as too much load."""


class FairTurns:
    """Bounds concurrent lookups in all and per network: a slow client delays only its own network."""

    def __init__(self) -> None:
        self._all = TimedSemaphore(AT_ONCE, MOST_WAITING)
        self._networks: dict[str, TimedSemaphore] = {}

    async def within(self, network: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Run `ask` in its turn; raises `Unavailable` if the turn does not come."""
        mine = self._networks.setdefault(network, TimedSemaphore(AT_ONCE_OF_NETWORK, MOST_WAITING))
        try:
            await mine.acquire(PATIENCE_SECONDS)
            try:
                await self._all.acquire(PATIENCE_SECONDS)
                try:
                    return await ask()
                finally:
                    self._all.release()
            finally:
                mine.release()
        finally:  # also if no slot came: the last one given back may have gone to a caller that was cancelled
            if not mine.callers and self._networks.get(network) is mine:
                del self._networks[network]


@dataclass(eq=False)
class LookupService:
    """The lookups of one process."""

    resolver: Resolver
    clock: Clock
    hostname: str
    authenticates: bool
    """Set if SPF and iprev are looked up."""
    refusing: tuple[str, ...] = ()
    """The DNS blocklists whose clients are refused."""
    putting_aside: tuple[str, ...] = ()
    """The DNS blocklists whose clients' mail goes to Junk."""
    unusable: Callable[[str, str], None] = lambda zone, why: None
    """Called with a list whose answers cannot be trusted, and why."""
    clients: FairTurns = field(default_factory=FairTurns)
    """Turns of the lookups about a client, begun at MAIL."""
    messages: FairTurns = field(default_factory=FairTurns)
    """Turns of the lookups about a complete message."""

    def of(self, address: str) -> "ClientLookups":
        """Return the lookups for a connection from this address."""
        return ClientLookups(self, address)


class ClientLookups:
    """The lookups about one connection."""

    def __init__(self, owner: LookupService, address: str) -> None:
        self.owner = owner
        self.authenticates = owner.authenticates
        self.address = address
        self.network = network_of(address)
        self._about: tuple[str, ReversePath] | None = None
        self._spf: asyncio.Task[ClientResults] | None = None
        self._iprev: asyncio.Task[IprevResult] | None = None
        self._listings: asyncio.Task[DnsblResult] | None = None
        self._waited: float | None = None
        """Seconds before the turn of `_spf` came; None while it has not."""
        self._listed_by = 0.0
        self._has_reported = False

    def begin(self, helo: str, sender: ReversePath) -> None:
        """Start the lookups at MAIL; those of the last message that would be the same are reused."""
        owner = self.owner
        if self._listings is None and (zones := owner.refusing + owner.putting_aside):
            self._listed_by = asyncio.get_running_loop().time() + dnsbl.SECONDS + 1
            self._listings = self._start(lambda: look_up(owner.resolver, self.address, zones))
        if not self.authenticates:
            return
        if self._iprev is None:
            self._iprev = self._start(lambda: check_iprev(owner.resolver, self.address))
        if self._about == (helo, sender) and self._spf is not None and not _has_failed(self._spf):
            return
        self._stop(self._spf)
        self._about = (helo, sender)
        self._waited, asked_at = None, asyncio.get_running_loop().time()
        client = SpfClient(self.address, helo, owner.hostname)

        async def examine() -> ClientResults:
            self._waited = asyncio.get_running_loop().time() - asked_at
            return await examine_client(owner.resolver, owner.clock, client, sender)

        self._spf = self._start(examine)

    async def of_message(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Run lookups about a message of this client; raises `Unavailable` if the turn does not come."""
        return await self.owner.messages.within(self.network, ask)

    async def spf(self, deadline: float) -> ClientResults:
        """Return the SPF results of MAIL FROM and HELO.

        They are `temperror` from `deadline` (the loop's time) on. Raises `Unavailable` if the lookup could not be made,
        or waited so long for its turn that no time was left. That is not a silent DNS, and a client that causes many
        lookups must not be treated as if it were.
        """
        assert self._about is not None, "MAIL was said"
        helo, sender = self._about
        found = await _result(self._spf, deadline)
        if found is not None:
            return found
        if self._waited is None or self._waited > MOST_WAITED_SECONDS:
            raise Overloaded("too many ask")
        late = SpfResult(
            Spf.TEMPERROR,
            Identity.MAIL_FROM,
            _name(sender.domain if isinstance(sender, MailboxAddress) else helo),
            "not answered in time",
        )
        return late, None

    async def iprev(self, deadline: float) -> IprevResult:
        """Return the iprev result (RFC 8601 §3); no message is refused for it."""
        try:
            found = await _result(self._iprev, deadline)
        except Unavailable:
            found = None
        return found or IprevResult(Iprev.TEMPERROR)

    async def listings(self) -> DnsblResult:
        """Return the lists that the client is on; one that has not answered in time does not count."""
        if self._listings is None:
            return DnsblResult()
        try:
            found = await _result(self._listings, self._listed_by)
        except Unavailable:
            found = None
        found = found or DnsblResult(unanswered=self.owner.refusing + self.owner.putting_aside)
        for zone, why in () if self._has_reported else found.unusable:
            self.owner.unusable(zone, why)
        self._has_reported = True
        return found

    async def refusing_list(self) -> str | None:
        """Return the list for which the client's mail is refused, or None."""
        found = await self.listings() if self.owner.refusing else DnsblResult()
        return next((zone for zone in found.zones if zone in self.owner.refusing), None)

    def close(self) -> None:
        """Cancel the lookups; the connection has ended."""
        self._stop(self._spf)
        self._stop(self._iprev)
        self._stop(self._listings)

    def _start(self, ask: Callable[[], Awaitable[T]]) -> "asyncio.Task[T]":
        task = asyncio.get_running_loop().create_task(self.owner.clients.within(self.network, ask))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # retrieve it, in case nobody waits for it
        return task

    def _stop(self, task: "asyncio.Task[T] | None") -> None:
        if task is not None:
            task.cancel()


def _name(domain: str) -> str:
    try:
        return to_ascii(domain)
    except NotAName:
        return ""


def _has_failed(task: "asyncio.Task[T]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _result(task: "asyncio.Task[T] | None", deadline: float) -> T | None:
    """Return the result, or None if it is not there by `deadline`. Waiting cancels nothing."""
    assert task is not None, "it was begun"
    await asyncio.wait([task], timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
    if not task.done():
        return None
    if task.cancelled():
        raise Unavailable("the connection has ended")
    return task.result()
