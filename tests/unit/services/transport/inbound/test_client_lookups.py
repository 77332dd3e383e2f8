"""Who asks at once, and who waits: slow names of one network keep nobody else waiting."""

import asyncio

import pytest

from addresses import parsed
from mic_mail.clock import SystemClock
from mic_mail.mailauth.iprev import Iprev
from mic_mail.mailauth.spf import Spf
from mic_mail.net.dns import Resolver
from mic_mail.services.transport.inbound import client_lookups
from mic_mail.services.transport.inbound.client_lookups import AT_ONCE, AT_ONCE_OF_NETWORK, FairTurns, LookupService
from mic_mail.storage.errors import Unavailable


class Slow:
    """Questions that are answered when somebody says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.now = asyncio.Event()

    async def ask(self) -> str:
        self.asked += 1
        await self.now.wait()
        return "answered"


async def quick() -> str:
    return "quick"


async def test_a_network_with_slow_names_keeps_only_itself_waiting() -> None:
    turns, slow = FairTurns(), Slow()
    tasks = [asyncio.create_task(turns.within("192.0.2", slow.ask)) for _ in range(3 * AT_ONCE_OF_NETWORK)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert slow.asked == AT_ONCE_OF_NETWORK
    async with asyncio.timeout(5):
        assert await turns.within("198.51.100", quick) == "quick"
    slow.now.set()
    assert set(await asyncio.gather(*tasks)) == {"answered"}
    assert turns._networks == {}


async def test_nothing_passes_because_many_ask() -> None:
    """Whose turn has not come is told to come again; that the DNS did not answer is said only of what was asked."""
    resolver = Resolver(["127.0.0.1:9"], seconds=5)
    owner, slow = LookupService(resolver, SystemClock(), "mail.mic.gov.vn", authenticates=True), Slow()
    tasks = [asyncio.create_task(owner.clients.within("192.0.2", slow.ask)) for _ in range(AT_ONCE_OF_NETWORK)]
    await asyncio.sleep(0)
    late, free = owner.of("192.0.2.1"), owner.of("198.51.100.1")
    for one in (late, free):
        one.begin("x.example", parsed("a@One.example"))
    now = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await late.spf(now + 0.1)
    (mail_from, helo) = await free.spf(now + 0.1)
    assert (mail_from.result, mail_from.domain, helo) == (Spf.TEMPERROR, "one.example", None)
    assert (await late.iprev(now)).result is Iprev.TEMPERROR
    for one in (late, free):
        one.close()
    slow.now.set()
    await asyncio.gather(*tasks)


async def test_whoever_gets_a_late_turn_has_not_been_answered_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that comes just before the time is over leaves nothing to ask in: that is not the DNS's silence either."""
    monkeypatch.setattr(client_lookups, "MOST_WAITED_SECONDS", 0.05)
    owner, slow = (
        LookupService(Resolver(["127.0.0.1:9"], seconds=5), SystemClock(), "mail.mic.gov.vn", authenticates=True),
        Slow(),
    )
    tasks = [asyncio.create_task(owner.clients.within("192.0.2", slow.ask)) for _ in range(AT_ONCE_OF_NETWORK)]
    await asyncio.sleep(0)
    late = owner.of("192.0.2.1")
    late.begin("x.example", parsed("a@one.example"))
    await asyncio.sleep(0.1)  # twice as long as anybody may wait
    slow.now.set()
    await asyncio.gather(*tasks)
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await late.spf(asyncio.get_running_loop().time() + 0.05)
    late.close()


async def test_so_many_at_once_of_all_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then who comes waits, and hears that it was too long; whoever is cancelled gives his turn back."""
    monkeypatch.setattr(client_lookups, "PATIENCE_SECONDS", 0.05)
    turns, slow = FairTurns(), Slow()
    tasks = [asyncio.create_task(turns.within(f"192.0.{number}", slow.ask)) for number in range(AT_ONCE)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert slow.asked == AT_ONCE
    with pytest.raises(Unavailable):
        await turns.within("198.51.100", quick)
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    assert await turns.within("198.51.100", quick) == "quick"
    slow.now.set()
    await asyncio.gather(*tasks[1:])
    assert turns._networks == {}


async def test_nothing_is_kept_of_a_network_whose_last_caller_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the turn came to that caller just as it was cancelled."""
    monkeypatch.setattr(client_lookups, "AT_ONCE_OF_NETWORK", 1)
    turns, loop = FairTurns(), asyncio.get_running_loop()

    async def ask() -> str:
        await asyncio.sleep(0.01)  # the second waits for its turn
        loop.call_soon(second.cancel)  # runs after the turn was handed on, and before `second` goes on
        return "answered"

    first, second = asyncio.create_task(turns.within("192.0.2", ask)), asyncio.create_task(turns.within("192.0.2", quick))
    await asyncio.wait([first, second])
    assert (first.result(), second.cancelled()) == ("answered", True)
    assert turns._networks == {}
