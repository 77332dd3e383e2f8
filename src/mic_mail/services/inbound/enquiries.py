"""What is asked of the DNS about a client while it still talks: so that the end of a message need not wait for it.

In: connections of other servers, and the MAIL of each message. Out: an `Enquiry` for each connection, whose answers are there
or come in time; ended with the connection. Belongs to the loop. Bounded: so many enquiries at once in a process, the others
wait for their turn, and who has none by the end of his message is told to come again (nothing passes because many ask).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

from mic_mail.checks.origin.examining import ClientResults, examine_client
from mic_mail.checks.origin.iprev import Iprev, IprevResult, check_iprev
from mic_mail.checks.origin.spf import Client, Identity, Spf, SpfResult
from mic_mail.clock import Clock
from mic_mail.net.dns import Resolver
from mic_mail.process.lanes import Turns
from mic_mail.storage.errors import Unavailable

T = TypeVar("T")
AT_ONCE = 256
"""Enquiries of one process; each keeps a socket or a few."""
MOST_WAITING = 4_096
PATIENCE_SECONDS = 20.0


class Enquiries:
    """Those of one process."""

    def __init__(self, resolver: Resolver, clock: Clock, hostname: str, *, authenticates: bool) -> None:
        """`authenticates`: whether it is asked who mail is from."""
        self.authenticates = authenticates
        self.resolver = resolver
        self.clock = clock
        self.hostname = hostname
        self.turns = Turns(AT_ONCE, MOST_WAITING)

    def of(self, address: str) -> "Enquiry":
        """A connection from there."""
        return Enquiry(self, address)

    async def in_turn(self, ask: Callable[[], Awaitable[T]]) -> T:
        """`Unavailable` where its turn does not come."""
        await self.turns.take(PATIENCE_SECONDS)
        try:
            return await ask()
        finally:
            self.turns.give_back()


class Enquiry:
    """About one connection."""

    def __init__(self, all_of_them: Enquiries, address: str) -> None:
        self.owner = all_of_them
        self.authenticates = all_of_them.authenticates
        self.address = address
        self._about: tuple[str, str] | None = None
        self._spf: asyncio.Task[ClientResults] | None = None
        self._iprev: asyncio.Task[IprevResult] | None = None

    def begin(self, helo: str, sender: str) -> None:
        """MAIL: `sender` is the reverse-path, '' where it is null. What was asked for the last one and is the same stands."""
        owner = self.owner
        if not self.authenticates:
            return
        if self._iprev is None:
            self._iprev = _start(owner.in_turn(lambda: check_iprev(owner.resolver, self.address)))
        if self._about == (helo, sender) and self._spf is not None and not _has_failed(self._spf):
            return
        self._stop(self._spf)
        self._about = (helo, sender)
        client = Client(self.address, helo, owner.hostname)
        self._spf = _start(owner.in_turn(lambda: examine_client(owner.resolver, owner.clock, client, sender)))

    async def spf(self, deadline: float) -> ClientResults:
        """Of MAIL FROM and HELO; `temperror` from `deadline` on (the loop's time). `Unavailable`: it could not be asked."""
        assert self._about is not None, "MAIL was said"
        sender = self._about[1]
        found = await _result(self._spf, deadline)
        if found is not None:
            return found
        late = SpfResult(
            Spf.TEMPERROR,
            Identity.MAIL_FROM,
            sender.rpartition("@")[2] if sender.isascii() else "",
            "not answered in time",
        )
        return late, None

    async def iprev(self, deadline: float) -> IprevResult:
        """RFC 8601 §3."""
        return await _result(self._iprev, deadline) or IprevResult(Iprev.TEMPERROR)

    def close(self) -> None:
        """The connection has ended."""
        for task in (self._spf, self._iprev):
            self._stop(task)

    def _stop(self, task: "asyncio.Task[T] | None") -> None:
        if task is not None:
            task.cancel()


def _start(asking: Coroutine[object, object, T]) -> "asyncio.Task[T]":
    task = asyncio.get_running_loop().create_task(asking)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, should nobody wait for it
    return task


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
