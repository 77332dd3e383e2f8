"""Sending what waits in the queue: the one place that knows which message is tried where, and what became of it.

In: the queue's entries, routes, connections. Out: deliveries elsewhere; lines in each entry's log and events in the mail log;
and for each entry that has come to its end with somebody to be told, or is late, a call of `report`, perhaps twice after a
kill. Belongs to one process's loop; files are read and written in the io lane.

    a job      the open recipients of one entry in one domain; a try of it uses one connection
    served     a server answered, whatever it said: each recipient has its own word, deferred ones are tried again
    trouble    no address, no connection, no TLS where it has to be: all of the job are deferred, the destination may be dead

What is deferred for longer than `give_up_seconds` since it was accepted has failed (RFC 5321 §4.5.4.1). A mailbox that may not
send now (Reg. 7.1, 7.2.c) has its mail held: it stays in the queue, untried, until it may again.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from mic_mail.clock import Clock
from mic_mail.log.failures import failure
from mic_mail.log.maillog import MailLog
from mic_mail.net.dns import DnsUnavailable, Resolver
from mic_mail.outbound.assurance import By, Secured, Terms
from mic_mail.outbound.commands import Addressee, Sending
from mic_mail.outbound.connections import Connections, ConnectionSettings
from mic_mail.outbound.destinations import End, Job, Schedule, pause
from mic_mail.outbound.peer import Fate, Peer, PeerTrouble, Result, Step
from mic_mail.outbound.policies import Policies
from mic_mail.outbound.queue import Entry, Hold, Queue, Standing
from mic_mail.outbound.routing import NoRoute
from mic_mail.outbound.smarthost import Smarthost
from mic_mail.outbound.ways import Ways
from mic_mail.process.lanes import Lanes

PIECE_OCTETS = 64 << 10
LOOK_SECONDS = 20.0
"""The queue is looked at so often, hint or no hint."""
HELD_SECONDS = 60.0
"""How soon a held entry is looked at again."""
SUCCESS = "SUCCESS"
"""What NOTIFY says of who wants to hear of a delivery too."""
TOGETHER_SECONDS = 60.0
"""So long a failure waits for others of its message, which one report tells of."""
DAY = 86_400.0
_STANDINGS = {Fate.DELIVERED: Standing.DELIVERED, Fate.FAILED: Standing.FAILED, Fate.DEFERRED: Standing.OPEN}


@dataclass(frozen=True, slots=True)
class SendingSettings:
    """What the configuration and the tests say."""

    own_names: frozenset[str]
    """Under which exchangers are this server."""
    connections: ConnectionSettings
    give_up_seconds: float = 5 * DAY
    warn_seconds: float = DAY / 6
    at_once: int = 200
    to_one: int = 20
    smarthost: Smarthost | None = None
    """Takes all of it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the sender of an entry has to hear of: places in its envelope, with the last word on each."""

    entry: Entry
    ended: tuple[int, ...]
    """Failed, or handed to a server that sends no reports (`queue.REPORTED`)."""
    late: tuple[int, ...] = ()


Reporting = Callable[[Told], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was said of some recipients of an entry."""

    results: Sequence[Result]
    """One for each."""
    server: str | None = None
    """Who said it; None: nobody could be spoken to."""
    reports: bool = True
    """Whether that server tells the sender itself what he wants to know (RFC 3461)."""
    secured: Secured | None = None
    """What the connection was like."""


class Senders:
    """All that one process sends."""

    def __init__(
        self,
        queue: Queue,
        resolver: Resolver,
        settings: SendingSettings,
        *,
        lanes: Lanes,
        log: MailLog,
        clock: Clock,
        may_send: Callable[[int], bool],
        report: Reporting,
        policies: Policies | None = None,
        chance: Random | None = None,
    ) -> None:
        """`may_send`: whether what this mailbox has submitted may leave now; `report` returns when the word is durable."""
        self._queue = queue
        self._resolver = resolver
        self._settings = settings
        self._lanes = lanes
        self._log = log
        self._clock = clock
        self._may_send = may_send
        self._report = report
        self._chance = chance or Random()  # noqa: S311 - spreads pauses
        self._schedule = Schedule(most=settings.to_one, at_once=settings.at_once, chance=self._chance.random)
        self._entries: dict[str, Entry] = {}
        self._ways = Ways(
            resolver, settings.own_names, self._chance.shuffle, clock, smarthost=settings.smarthost, policies=policies
        )
        self._connections = Connections(settings.connections, clock, log.event)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: set[str] = set()
        self._telling: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._looking = asyncio.Lock()
        self._heard: set[str] = set()
        self._hearing = False
        self._news = asyncio.Event()
        self._over = False

    # ------------------------------------------------------------ work

    async def run(self) -> None:
        """Send until `end`."""
        await self._lanes.io(self._queue.sweep)
        await self.look()
        looked = self._clock.monotonic()
        while not self._over:
            self._news.clear()
            now = self._clock.monotonic()
            while (job := self._schedule.next(now)) is not None:
                self._start(job)
            await self._connections.close_idle()
            due = self._schedule.due()
            wait = LOOK_SECONDS if due is None else min(LOOK_SECONDS, max(0.01, due - now))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()
            if self._clock.monotonic() - looked >= LOOK_SECONDS:
                looked = self._clock.monotonic()
                await self.look()

    async def look(self) -> None:
        """There may be new entries."""
        await self._take(await self._lanes.io(self._queue.names))

    async def _take(self, entry_ids: Iterable[str]) -> None:
        """Plan those that are new."""
        async with self._looking:  # two who look at once would each plan what is new
            for entry_id in entry_ids:
                if entry_id not in self._entries and (entry := await self._lanes.io(self._queue.read, entry_id)) is not None:
                    self._entries[entry_id] = entry
                    self._plan(entry, entry.state.next_try_us)
                    self._news.set()

    @property
    def waiting(self) -> int:
        """Messages in the queue, as far as it was looked at."""
        return len(self._entries)

    @property
    def under_way(self) -> int:
        """Tries that go on now."""
        return self._schedule.running

    def hear(self, entry_id: str) -> None:
        """There is a new entry, or somebody has decided something of one; in the background."""
        self._heard.add(entry_id)
        if not self._hearing and not self._over:
            self._hearing = True
            self._start_errand(self._take_up_heard())

    async def _take_up_heard(self) -> None:
        try:
            while self._heard and not self._over:
                heard, self._heard = self._heard, set()
                for entry_id in heard & self._entries.keys():
                    await self.decided(entry_id)
                await self._take(heard)
        except OSError as error:  # the next look comes to it
            self._log.event("queue_not_read", error=str(error))
        finally:
            self._hearing = False

    async def decided(self, entry_id: str) -> None:
        """Somebody has said something of this entry: it counts from now on, and not from the next try on."""
        entry = self._entries.get(entry_id)
        if entry is not None:
            waited = self._schedule.remove(entry_id)
            await self._lanes.io(entry.refresh)
            if waited or not entry.state.open:  # else a try is under way, which looks anew at its end
                self._plan(entry, entry.state.next_try_us)
            self._news.set()

    def _plan(self, entry: Entry, at_us: int) -> None:
        domains: dict[str, list[int]] = defaultdict(list)
        for place in entry.state.open:
            domains[self._ways.destination(entry.envelope.recipients[place].domain)].append(place)
        due = self._clock.monotonic() + max(0.0, (at_us - self._clock.now_us()) / 1_000_000)
        for domain, places in domains.items():
            self._schedule.add(Job(entry.entry_id, domain, tuple(places)), due)
        if not domains or entry.state.untold:  # its end is left to do, or a report
            self._schedule.add(Job(entry.entry_id, "", ()), due)

    def _start(self, job: Job) -> None:
        self._start_errand(self._try(job))

    def _start_errand(self, errand: Awaitable[None]) -> None:
        async def run() -> None:
            await errand

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Begin nothing more; what is under way has its end."""
        self._over = True
        self._news.set()
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        await self._connections.close()

    # ------------------------------------------------------------ one try

    async def _try(self, job: Job) -> None:
        entry, end = self._entries.get(job.entry_id), End.SERVED
        if entry is None or job.entry_id in self._ending:  # it has come to its end meanwhile
            self._schedule.done(job, end, self._clock.monotonic())
            return
        try:
            end = await self._tried(entry, job)
        except Exception as error:  # noqa: BLE001 - the entry is durable: it is tried again
            self._log.event("sending_failed", trace=entry.envelope.trace_id, domain=job.domain, **failure(error))
            self._again(job, self._pause(entry, job.places))
        finally:
            self._schedule.done(job, end, self._clock.monotonic())
            self._news.set()

    async def _tried(self, entry: Entry, job: Job) -> End:
        if not await self._lanes.io(entry.refresh):
            return End.SERVED
        places = tuple(place for place in job.places if place in entry.state.open)
        if not places:
            await self._tell_sender(entry)
            await self._finish(entry)
            return End.SERVED
        if entry.state.hold is not Hold.NO or (entry.envelope.submitted_by and not self._may_send(entry.envelope.submitted_by)):
            self._again(replace(job, places=places), HELD_SECONDS)
            return End.SERVED
        try:
            heard = await self._send(entry, job.domain, places)
        except NoRoute as error:
            await self._write(entry, job, places, _Heard([Result(Fate.FAILED, error.status, error.text.en)] * len(places)))
            return End.SERVED
        except (PeerTrouble, DnsUnavailable) as error:
            text = error.text if isinstance(error, PeerTrouble) else error.text.en
            if entry.envelope.must_be_protected and isinstance(error, PeerTrouble) and error.lasting is not None:
                await self._write(entry, job, places, _Heard([Result(Fate.FAILED, error.lasting, text)] * len(places)))
                return End.SERVED
            status = "4.4.3" if isinstance(error, DnsUnavailable) else _STATUS.get(error.step, "4.4.2")
            await self._write(entry, job, places, _Heard([Result(Fate.DEFERRED, status, text)] * len(places)))
            return End.TROUBLE
        await self._write(entry, job, places, heard)
        return End.SERVED

    async def _send(self, entry: Entry, domain: str, places: Sequence[int]) -> _Heard:
        """The word on each, and who said it; the last trouble where nobody could be spoken to."""
        trouble: PeerTrouble | None = None
        way = await self._ways.to(domain)
        for host in way.hosts:
            for address in host.addresses:
                try:
                    return await self._send_to(address, self._ways.terms(way, host, entry.envelope), entry, places)
                except PeerTrouble as error:
                    if error.step is Step.END:  # it may have been taken: another server would make two of it
                        raise
                    if error.step is Step.TLS:
                        self._ways.forget(domain)
                    trouble = error.beside(trouble)
        raise trouble or PeerTrouble(Step.CONNECT, "no address")

    async def _send_to(self, address: str, terms: Terms, entry: Entry, places: Sequence[int]) -> _Heard:
        while (peer := self._connections.kept(address, terms)) is not None:
            try:
                return await self._hear(address, terms, peer, entry, places)
            except PeerTrouble as error:
                if error.step is Step.END:
                    raise
        return await self._hear(address, terms, await self._connections.new(address, terms), entry, places)

    async def _hear(self, address: str, terms: Terms, peer: Peer, entry: Entry, places: Sequence[int]) -> _Heard:
        results = await self._in_parts(peer, entry, places)
        reports = peer.offer.has("DSN")
        await self._connections.give_back(address, terms, peer)
        if all(self._ways.asks_for_sign_in(result) for result in results):
            raise PeerTrouble(Step.AUTH, results[0].text)
        return _Heard(results, terms.host, reports, peer.secured)

    async def _in_parts(self, peer: Peer, entry: Entry, places: Sequence[int]) -> list[Result]:
        """Those for whom there was no room in a transaction have the next one, at once (RFC 5321 §4.5.3.1.10)."""
        results = await self._over_peer(peer, entry, places)
        while any(result.fate is Fate.DELIVERED for result in results) and not peer.is_over:
            left = [number for number, result in enumerate(results) if result.is_one_too_many]
            try:
                more = await self._over_peer(peer, entry, [places[number] for number in left]) if left else []
            except Exception:  # noqa: BLE001 - whatever it is: what the others have is not in doubt, and these come again
                break
            for number, result in zip(left, more, strict=True):
                results[number] = result
            if len([result for result in more if result.is_one_too_many]) >= len(left):
                break
        return results

    async def _over_peer(self, peer: Peer, entry: Entry, places: Sequence[int]) -> list[Result]:
        envelope = entry.envelope
        size = (await self._lanes.io(entry.path.stat)).st_size - envelope.return_path_octets
        sending = Sending(
            envelope.sender,
            size,
            envelope.body,
            envelope.smtputf8,
            envelope.ret,
            envelope.envid,
            requires_tls=envelope.requires_tls and peer.secured.by is not By.NONE,
        )
        recipients = [envelope.recipients[place] for place in places]
        addressees = [Addressee(each.address, each.notify, each.orcpt) for each in recipients]
        try:
            async with contextlib.aclosing(self._pieces(entry)) as pieces:
                return await peer.send(sending, addressees, pieces)
        except BaseException:  # a disk that cannot be read, too: half a message must not look like a whole one
            peer.abort()
            raise

    async def _pieces(self, entry: Entry) -> AsyncGenerator[bytes]:
        file = await self._lanes.io(lambda: open(entry.path, "rb", buffering=0))  # noqa: SIM115 - closed below
        try:
            await self._lanes.io(file.seek, entry.envelope.return_path_octets)
            while octets := await self._lanes.io(file.read, PIECE_OCTETS):
                yield octets
        finally:
            file.close()

    # ------------------------------------------------------------ what became of it

    async def _write(self, entry: Entry, job: Job, places: Sequence[int], heard: _Heard) -> None:
        """Into the entry's log, and the mail log; what is deferred comes again, or has waited for too long."""
        if heard.secured is not None and heard.secured.objection:
            about = {"trace": entry.envelope.trace_id, "domain": job.domain, "server": heard.server}
            self._log.event("tls_policy_failed", **about, error=heard.secured.objection)
        too_late = self._age(entry) >= self._settings.give_up_seconds
        wait = self._pause(entry, places)
        next_try_us = self._clock.now_us() + int(wait * 1_000_000)
        groups: dict[tuple[Standing, str], list[int]] = defaultdict(list)
        for place, result in zip(places, heard.results, strict=True):
            standing = _STANDINGS[result.fate]
            status, text = result.status, result.text
            if standing is Standing.DELIVERED and not heard.reports and SUCCESS in entry.envelope.recipients[place].notify:
                standing = Standing.RELAYED
            if standing is Standing.OPEN and too_late:
                standing, status = Standing.FAILED, "5.4.7"
            groups[standing, f"{status} {text}"].append(place)
            self._tell(entry, place, standing, status=status, reply=text, server=heard.server, **_protection(heard))
        for (standing, reason), some in groups.items():
            due = next_try_us if standing is Standing.OPEN else 0
            await self._lanes.io(partial(entry.tried, some, standing, reason, next_try_us=due, server=heard.server))
        left = tuple(place for place in places if place in entry.state.open)
        if left:
            self._again(replace(job, places=left), wait)
            await self._warn(entry)
        if entry.state.open and entry.state.untold:
            self._schedule.add(Job(entry.entry_id, "", ()), self._clock.monotonic() + TOGETHER_SECONDS)
        await self._finish(entry)

    async def _warn(self, entry: Entry) -> None:
        """Once, when it is late (RFC 3461 §4.1, DELAY)."""
        if not entry.state.warned and self._age(entry) >= self._settings.warn_seconds:
            await self._report(Told(entry, (), entry.state.open))
            await self._lanes.io(entry.warned)

    async def _tell_sender(self, entry: Entry) -> None:
        """Of those whose end has to be told of, in one report."""
        async with self._telling[entry.entry_id]:
            untold = entry.state.untold
            if untold:
                await self._report(Told(entry, untold))
                await self._lanes.io(entry.told, untold)

    async def _finish(self, entry: Entry) -> None:
        """Where nobody is left, the sender is told, and the entry ends."""
        if entry.state.open or entry.entry_id in self._ending:
            return
        self._ending.add(entry.entry_id)
        try:
            await self._tell_sender(entry)
            await self._lanes.io(entry.end)
            self._telling.pop(entry.entry_id, None)
            async with self._looking:  # who looks now may have the name still
                self._entries.pop(entry.entry_id, None)
        finally:
            self._ending.discard(entry.entry_id)

    def _again(self, job: Job, seconds: float) -> None:
        now = self._clock.monotonic()
        self._schedule.add(job, max(now + seconds, self._schedule.silent_until(job.domain, now)))

    def _pause(self, entry: Entry, places: Sequence[int]) -> float:
        return pause(1 + max((entry.state.attempts[place] for place in places), default=0), self._chance.random)

    def _age(self, entry: Entry) -> float:
        return (self._clock.now_us() - entry.envelope.accepted_at_us) / 1_000_000

    def _tell(self, entry: Entry, place: int, standing: Standing, **said: str | None) -> None:
        self._log.event(
            _EVENTS[standing],
            trace=entry.envelope.trace_id,
            sender=entry.envelope.sender,
            recipient=entry.envelope.recipients[place].address,
            **said,
        )


def _protection(heard: _Heard) -> dict[str, str | None]:
    """How the message was secured on its way, where there was one."""
    return {} if heard.secured is None else {"tls": heard.secured.protocol, "secured_by": heard.secured.by}


_EVENTS = {
    Standing.DELIVERED: "message_sent",
    Standing.RELAYED: "message_sent",
    Standing.FAILED: "message_not_sent",
    Standing.OPEN: "sending_deferred",
}
_STATUS = {Step.CONNECT: "4.4.1", Step.TLS: "4.7.5", Step.AUTH: "4.7.8"}
"""RFC 3463: no answer from host; cryptographic failure; credentials. Else 4.4.2, bad connection."""
