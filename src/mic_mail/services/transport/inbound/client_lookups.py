"""What is asked of the DNS about a client while it still talks: so that the end of a message need not wait for it.

In: connections of other servers, and the MAIL of each message. Out: an `ClientLookups` for each connection, whose answers are
there or come in time; ended with the connection. Belongs to the loop. Bounded: so many enquiries at once in a process, the
others wait for their turn, and who has none by the end of his message is told to come again (nothing passes because many ask).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from mic_mail.clock import Clock
from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.filters import dnsbl
from mic_mail.filters.dnsbl import Listings, look_up
from mic_mail.mailauth.authenticate import ClientResults, examine_client
from mic_mail.mailauth.iprev import Iprev, IprevResult, check_iprev
from mic_mail.mailauth.spf import Client, Identity, Spf, SpfResult
from mic_mail.mailbox_address import MailboxAddress, ReversePath
from mic_mail.net.connection_limits import network_of
from mic_mail.net.dns import Resolver
from mic_mail.process.executors import Turns
from mic_mail.storage.errors import Unavailable

T = TypeVar("T")
AT_ONCE, AT_ONCE_OF_NETWORK = 400, 100
"""Enquiries of one process, and of those about clients of one network (/24, /64); each keeps a socket or a few."""
MOST_WAITING = 4_096
PATIENCE_SECONDS = 20.0
MOST_WAITED_SECONDS = 1.0
"""Who has waited longer for a turn, and has no answer in time, was kept from it by others."""


class FairTurns:
    """So many at once, and so many of one network: who is slow, or has slow names, keeps only his neighbours waiting."""

    def __init__(self) -> None:
        self._all = Turns(AT_ONCE, MOST_WAITING)
        self._networks: dict[str, Turns] = {}

    async def within(self, network: str, ask: Callable[[], Awaitable[T]]) -> T:
        """`Unavailable` where the turn does not come."""
        mine = self._networks.setdefault(network, Turns(AT_ONCE_OF_NETWORK, MOST_WAITING))
        await mine.take(PATIENCE_SECONDS)
        try:
            await self._all.take(PATIENCE_SECONDS)
            try:
                return await ask()
            finally:
                self._all.give_back()
        finally:
            mine.give_back()
            if mine.idle(AT_ONCE_OF_NETWORK) and self._networks.get(network) is mine:
                del self._networks[network]


class Enquiries:
    """Those of one process."""

    def __init__(
        self,
        resolver: Resolver,
        clock: Clock,
        hostname: str,
        *,
        authenticates: bool,
        refusing: Sequence[str] = (),
        putting_aside: Sequence[str] = (),
        unusable: Callable[[str, str], None] = lambda zone, why: None,
    ) -> None:
        """`authenticates`: whether it is asked who mail is from; `refusing`, `putting_aside`: lists of machines that send spam,
        by what is done then; `unusable` hears of those that cannot be believed, and why."""
        self.refusing, self.putting_aside = tuple(refusing), tuple(putting_aside)
        self.unusable = unusable
        self.authenticates = authenticates
        self.resolver = resolver
        self.clock = clock
        self.hostname = hostname
        self.clients, self.messages = FairTurns(), FairTurns()
        """Of what is asked about a client since MAIL, and about a message that is complete."""

    def of(self, address: str) -> "ClientLookups":
        """A connection from there."""
        return ClientLookups(self, address)


class ClientLookups:
    """About one connection."""

    def __init__(self, all_of_them: Enquiries, address: str) -> None:
        self.owner = all_of_them
        self.authenticates = all_of_them.authenticates
        self.address = address
        self.network = network_of(address)
        self._about: tuple[str, ReversePath] | None = None
        self._spf: asyncio.Task[ClientResults] | None = None
        self._iprev: asyncio.Task[IprevResult] | None = None
        self._listings: asyncio.Task[Listings] | None = None
        self._waited: float | None = None
        """Seconds before the turn of `_spf` came; None: it has not come."""
        self._listed_by = 0.0
        self._has_told = False

    def begin(self, helo: str, sender: ReversePath) -> None:
        """MAIL. What was asked for the last one and is the same stands."""
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
        client = Client(self.address, helo, owner.hostname)

        async def examine() -> ClientResults:
            self._waited = asyncio.get_running_loop().time() - asked_at
            return await examine_client(owner.resolver, owner.clock, client, sender)

        self._spf = self._start(examine)

    async def of_message(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask about a message of this client; `Unavailable` where the turn does not come."""
        return await self.owner.messages.within(self.network, ask)

    async def spf(self, deadline: float) -> ClientResults:
        """Of MAIL FROM and HELO; `temperror` from `deadline` on (the loop's time). `Unavailable`: it could not be asked at all,
        or had to wait so long for its turn that no time was left. That is not the DNS's silence: whoever lets many ask must not
        pass for it."""
        assert self._about is not None, "MAIL was said"
        helo, sender = self._about
        found = await _result(self._spf, deadline)
        if found is not None:
            return found
        if self._waited is None or self._waited > MOST_WAITED_SECONDS:
            raise Unavailable("too many ask")
        late = SpfResult(
            Spf.TEMPERROR,
            Identity.MAIL_FROM,
            _name(sender.domain if isinstance(sender, MailboxAddress) else helo),
            "not answered in time",
        )
        return late, None

    async def iprev(self, deadline: float) -> IprevResult:
        """RFC 8601 §3; nobody is sent away for it."""
        try:
            found = await _result(self._iprev, deadline)
        except Unavailable:
            found = None
        return found or IprevResult(Iprev.TEMPERROR)

    async def listings(self) -> Listings:
        """On which lists the client is; of those that have not answered in time it is on none, nor where nobody could ask."""
        if self._listings is None:
            return Listings()
        try:
            found = await _result(self._listings, self._listed_by)
        except Unavailable:
            found = None
        found = found or Listings(unanswered=self.owner.refusing + self.owner.putting_aside)
        for zone, why in () if self._has_told else found.unusable:
            self.owner.unusable(zone, why)
        self._has_told = True
        return found

    async def refusing_list(self) -> str | None:
        """The list because of which the client's mail is refused."""
        found = await self.listings() if self.owner.refusing else Listings()
        return next((zone for zone in found.zones if zone in self.owner.refusing), None)

    def close(self) -> None:
        """The connection has ended."""
        self._stop(self._spf)
        self._stop(self._iprev)
        self._stop(self._listings)

    def _start(self, ask: Callable[[], Awaitable[T]]) -> "asyncio.Task[T]":
        task = asyncio.get_running_loop().create_task(self.owner.clients.within(self.network, ask))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, should nobody wait for it
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
    """None where it is not there by then; nobody is cancelled by waiting for it."""
    assert task is not None, "it was begun"
    await asyncio.wait([task], timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
    if not task.done():
        return None
    if task.cancelled():
        raise Unavailable("the connection has ended")
    return task.result()
