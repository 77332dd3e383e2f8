"""Sending what waits in the queue: the one place that knows which message is tried where, and what became of it.

In: the queue's entries, routes, connections. Out: deliveries elsewhere; lines in each entry's log and events in the mail log;
and for each entry that has come to its end with somebody to be told, or is late, a call of `report`, perhaps twice after a
kill. What people decide counts before the next try; a try that is under way comes to its end, and what it has delivered is
delivered. Belongs to one process's loop; files are read and written in the io lane.

    a job      the open recipients of one entry in one domain; a try of it uses one connection
    served     a server answered, whatever it said: each recipient has its own word, deferred ones are tried again
    trouble    no address, no connection, no TLS where it has to be: all of the job are deferred, the destination may be dead
    not asked  held, ended meanwhile, or stopped by something in this server: of the destination nothing was learnt

What is deferred for longer than `give_up_seconds` since it was accepted, or was held last, has failed (RFC 5321 §4.5.4.1), also
where something in this server was in the way. A mailbox that may not send now (Reg. 7.1, 7.2.c) has its mail held: it stays in
the queue, untried, until it may again, which `watch` tells.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from mic_mail.clock import Clock
from mic_mail.errors import Text
from mic_mail.log.error_fields import described, failure
from mic_mail.log.maillog import MailLog
from mic_mail.net.dns import Resolver
from mic_mail.process.executors import Executors
from mic_mail.queue.files import SpoolUnavailable
from mic_mail.queue.queue import Entry, Queue
from mic_mail.queue.recipient_log import Hold, Standing
from mic_mail.queue.scheduler import End, Job, Schedule, pause, remaining
from mic_mail.services.queue.delivery_log import SUCCESS, DeliveryLog, Reporting
from mic_mail.services.queue.suspended_mail import SuspendedMail, Watching, watch_nothing
from mic_mail.smtpclient.attempt import AttemptResult, DeliveryAttempt
from mic_mail.smtpclient.client import RecipientResult, Result
from mic_mail.smtpclient.mta_sts_cache import Policies
from mic_mail.smtpclient.pool import Connections, ConnectionSettings
from mic_mail.smtpclient.routing import Router
from mic_mail.smtpclient.smarthost import Smarthost

LOOK_SECONDS = 20.0
"""The queue is looked at so often, hint or no hint."""
GOODBYE_SECONDS = 1.0
"""Connections that are kept are looked through so often, and not for each message that has gone."""
HELD_SECONDS = 60.0
"""How soon a held entry is looked at again, whatever was heard."""
MOST_AT_ONCE = 500
"""Entries that are looked at together after a decision: other messages go on between."""
TOGETHER_SECONDS = 60.0
"""So long a failure waits for others of its message, which one report tells of."""
WITHIN_US = "something in this server was in the way"
"""What the sender of a message hears; the log has the rest."""
OWN_TRIES = 3
"""Before that nothing in this server is a reason to give up, however old a message is: it may have stood still for days."""
DAY = 86_400.0
NOWHERE = ""
"""The domain of a job that sends to nobody: reports and ends, also while sending is paused."""
_STANDINGS = {
    RecipientResult.DELIVERED: Standing.DELIVERED,
    RecipientResult.FAILED: Standing.FAILED,
    RecipientResult.DEFERRED: Standing.OPEN,
}


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
class _Outcome:
    """What a try means for what comes next."""

    end: End = End.NOT_ASKED
    wait: float = 0.0
    """Seconds until what is left is tried again."""
    was_tried: bool = False
    """Somebody was asked, or there was nobody to be asked; else they were held, or settled already."""


class QueueManager:
    """All that one process sends."""

    def __init__(
        self,
        queue: Queue,
        resolver: Resolver,
        settings: SendingSettings,
        *,
        lanes: Executors,
        log: MailLog,
        clock: Clock,
        may_send: Callable[[int], bool],
        report: Reporting,
        watch: Watching = watch_nothing,
        sign: Callable[[Entry], bytes] = lambda _: b"",
        policies: Policies | None = None,
        is_paused: Callable[[], bool] = lambda: False,
        chance: Random | None = None,
    ) -> None:
        """`may_send`: whether what this mailbox has submitted may leave now; `report` returns when the word is durable; `sign`:
        the fields in front of a message, as `DeliveryAttempt` has it."""
        self._queue = queue
        self._resolver = resolver
        self._settings = settings
        self._lanes = lanes
        self._log = log
        self._clock = clock
        self._kept_back = SuspendedMail(may_send, watch, self.on_message, log)
        self._is_paused = is_paused
        self._chance = chance or Random()  # noqa: S311 - spreads pauses
        self._schedule = Schedule(most=settings.to_one, at_once=settings.at_once, chance=self._chance.random)
        self._entries: dict[str, Entry] = {}
        self._damaged: set[str] = set()
        """Entries that cannot be read, of which the log knows."""
        self._ways = Router(
            resolver, settings.own_names, self._chance.shuffle, clock, smarthost=settings.smarthost, policies=policies
        )
        self._connections = Connections(settings.connections, clock, log.event)
        self._transmission = DeliveryAttempt(self._ways, self._connections, sign, lanes, queue.binary_domains)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: set[str] = set()
        self._under_way: dict[str, set[int]] = defaultdict(set)
        """Places of each entry that are being tried: of those nothing is final."""
        self._telling = DeliveryLog(report, lambda entry_id: self._under_way.get(entry_id, ()), lanes, log)
        self._decided_meanwhile: set[str] = set()
        """Entries of which something was decided while some of their places were being tried."""
        self._owed: set[str] = set()
        """Likewise, whose log could not be read: the next look reads it."""
        self._looking = asyncio.Lock()
        self._heard: set[str] = set()
        self._hearing = False
        self._news = asyncio.Event()
        self._is_swept = False
        self._over = False

    # ------------------------------------------------------------ work

    async def run(self) -> None:
        """Send until `end`."""
        await self._look_if_possible()
        looked = said_goodbye = self._clock.monotonic()
        while not self._over:
            self._news.clear()
            now = self._clock.monotonic()
            while (job := self._schedule.next(now, only=NOWHERE if self._is_paused() else None)) is not None:
                self._start(job)
            if now - said_goodbye >= GOODBYE_SECONDS:
                said_goodbye = now
                await self._connections.close_idle()
            due = self._schedule.due()
            wait = LOOK_SECONDS if due is None else min(LOOK_SECONDS, max(0.01, due - now))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()
            if self._clock.monotonic() - looked >= LOOK_SECONDS:
                looked = self._clock.monotonic()
                await self._look_if_possible()

    def forget_routes(self) -> None:
        """Ask anew where mail goes."""
        self._ways.forget_all()

    def clock_moved(self) -> None:
        """The clock was set: certificates are looked at anew, those of policies and those of connections that are kept."""
        self._ways.forget_all()
        self._connections.clock_moved()

    def wake(self) -> None:
        """Sending was paused, or goes on."""
        self._news.set()

    async def _look_if_possible(self) -> None:
        """What cannot be read now can perhaps at the next look: until then what is known goes on."""
        try:
            if not self._is_swept:
                await self._lanes.io(self._queue.sweep)
                self._is_swept = True
            await self.poll()
        except OSError as error:
            self._log.event("queue_not_read", error=described(error))

    async def poll(self) -> None:
        """There may be new entries, or decisions of which no word came."""
        await self._lanes.io(self._queue.forget_ended)
        await self.decided(*self._owed.union(await self._lanes.io(self._queue.decided)))
        await self._take(await self._lanes.io(self._queue.names))

    async def _take(self, entry_ids: Iterable[str]) -> None:
        """Plan those that are new."""
        async with self._looking:  # two who look at once would each plan what is new
            for entry_id in entry_ids:
                if entry_id in self._entries:
                    continue
                found = await self._lanes.io(self._queue.look_at, entry_id)
                if isinstance(found, Entry):
                    self._entries[entry_id] = found
                    self._plan(found)
                    self._news.set()
                elif found is not None and entry_id not in self._damaged:  # perhaps somebody brings its files back
                    self._damaged.add(entry_id)
                    self._log.event("queue_entry_damaged", trace=entry_id, error=found.why)

    @property
    def waiting(self) -> int:
        """Messages in the queue, as far as it was looked at."""
        return len(self._entries)

    @property
    def under_way(self) -> int:
        """Tries that go on now."""
        return self._schedule.running

    @property
    def transactions(self) -> dict[str, int]:
        """How often a message was given to a connection that was new, or kept."""
        return dict(self._connections.used)

    def on_message(self, entry_id: str) -> None:
        """There is a new entry, or somebody has decided something of one (empty: of many); in the background."""
        self._heard.add(entry_id)
        if not self._hearing and not self._over:
            self._hearing = True
            self._start_background(self._take_notified())

    async def _take_notified(self) -> None:
        try:
            while self._heard and not self._over:
                heard, self._heard = self._heard, set()
                await self.decided(*heard.union(await self._lanes.io(self._queue.decided)))
                await self._take(heard - {""})
        except OSError as error:  # the next look comes to it
            self._log.event("queue_not_read", error=described(error))
        finally:
            self._hearing = False

    async def decided(self, *entry_ids: str) -> None:
        """Somebody has said something of these entries: it counts from now on, and not from the next try on."""
        known = [self._entries[entry_id] for entry_id in entry_ids if entry_id in self._entries]
        for some in (known[at : at + MOST_AT_ONCE] for at in range(0, len(known), MOST_AT_ONCE)):
            before = [entry.state.decisions for entry in some]
            unread = await self._lanes.io(_refresh, some)
            self._owed.difference_update(entry.entry_id for entry in some)
            self._owed.update(unread)
            self._schedule.remove(*(entry.entry_id for entry in some))
            for entry, known_of in zip(some, before, strict=True):
                if entry.state.decisions != known_of and entry.state.decisions[-1].did == "retry":
                    self._reset_routing(entry)
                if entry.entry_id in self._entries:
                    self._plan(entry)
                if entry.entry_id in self._under_way:
                    self._decided_meanwhile.add(entry.entry_id)
            self._news.set()

    def _reset_routing(self, entry: Entry) -> None:
        """Who asks for a retry has perhaps put right what was in the way: what was learnt of its destinations is forgotten, and
        what the name servers have said."""
        self._resolver.forget()
        for destination in {self._ways.destination(entry.envelope.recipients[place].domain) for place in entry.state.open}:
            self._ways.forget(destination)
            self._schedule.ask_again(destination)

    def _plan(self, entry: Entry) -> None:
        """What is left to do, each when it is due, but for what is being done: at its end a try sees to what is left of it."""
        jobs: dict[tuple[str, float], list[int]] = defaultdict(list)
        under_way = self._under_way.get(entry.entry_id, ())
        now, now_us = self._clock.monotonic(), self._clock.steady_us()
        for place in entry.state.open:
            if place not in under_way:
                wait = remaining(entry.state.next_tries_us[place], now_us)
                jobs[self._ways.destination(entry.envelope.recipients[place].domain), wait].append(place)
        for (domain, wait), places in jobs.items():
            self._schedule.add(Job(entry.entry_id, domain, tuple(places)), now + wait)
        if not entry.state.open or entry.state.untold:  # its end is left to do, or a report
            self._schedule.add(Job(entry.entry_id, NOWHERE, ()), now)

    def _start(self, job: Job) -> None:
        free = tuple(place for place in job.places if place not in self._under_way.get(job.entry_id, ()))
        if free:
            self._under_way[job.entry_id].update(free)
        self._start_background(self._try(replace(job, places=free)))

    def _start_background(self, errand: Awaitable[None]) -> None:
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
        entry, end = self._entries.get(job.entry_id), End.NOT_ASKED
        try:
            if entry is not None and job.entry_id not in self._ending:  # else it has come to its end meanwhile
                end = await self._tried(entry, job)
            else:
                self._no_longer_under_way(job)
        finally:
            self._schedule.done(job, end, self._clock.monotonic())
            if job.entry_id in self._decided_meanwhile and job.entry_id not in self._under_way:
                self._decided_meanwhile.discard(job.entry_id)
                self.on_message(job.entry_id)
            self._news.set()

    async def _tried(self, entry: Entry, job: Job) -> End:
        """One try with all that follows from it. What goes wrong within us is done again: the entry is durable."""
        outcome, rest = _Outcome(), job
        try:
            try:
                outcome = await self._tried_once(entry, job)
            finally:
                self._no_longer_under_way(job)
            if self._entries.get(job.entry_id) is not entry:  # it has ended, by whomever
                return outcome.end
            left = tuple(place for place in job.places if place in entry.state.open)
            if left:
                self._again(replace(job, places=left), outcome.wait)
            rest = Job(entry.entry_id, NOWHERE, ())
            await self._go_on(entry, left, outcome)
        except Exception as error:  # noqa: BLE001 - likewise
            self._log.event("sending_failed", trace=entry.envelope.trace_id, domain=job.domain, **failure(error))
            self._again(rest, self._pause(entry, rest.places))
        return outcome.end

    def _no_longer_under_way(self, job: Job) -> None:
        """Its places are given back."""
        if under_way := self._under_way.get(job.entry_id):
            under_way.difference_update(job.places)
            if not under_way:
                del self._under_way[job.entry_id]

    async def _tried_once(self, entry: Entry, job: Job) -> "_Outcome":
        """Until it is written down what became of each."""
        if not await self._lanes.io(entry.refresh):
            self._forget_entry(entry)
            return _Outcome()
        places = tuple(place for place in job.places if place in entry.state.open)
        if not places:
            return _Outcome()
        if await self._is_held(entry):
            return _Outcome(wait=HELD_SECONDS)
        try:
            heard = await self._transmission.attempt(entry, job.domain, places)
        except Exception as error:  # noqa: BLE001 - a disk or a defect: a try like others, else nobody would ever hear of it
            self._log.event("sending_failed", trace=entry.envelope.trace_id, domain=job.domain, **failure(error))
            heard = AttemptResult([Result(RecipientResult.DEFERRED, "4.3.0", WITHIN_US)] * len(places), end=End.NOT_ASKED)
        return _Outcome(heard.end, await self._write(entry, job.domain, places, heard), was_tried=True)

    async def _is_held(self, entry: Entry) -> bool:
        """By a person, or with its mailbox: that is written down, since the time for which it lasts does not count."""
        is_kept_back = self._kept_back.holds(entry)
        if is_kept_back != entry.state.is_kept_back:
            await self._lanes.io(entry.kept_back, is_kept_back, self._clock.steady_us())
        return is_kept_back or entry.state.hold is not Hold.NO

    # ------------------------------------------------------------ what became of it

    async def _write(self, entry: Entry, domain: str, places: Sequence[int], heard: AttemptResult) -> float:
        """Into the entry's log, and the mail log; what is deferred has perhaps waited for too long, else it waits so many
        seconds."""
        self._telling.log_objection(entry, domain, heard)
        is_ours = heard.end is End.NOT_ASKED
        too_late = self._clock.age_seconds(entry.free_since_us) >= self._settings.give_up_seconds
        wait = self._pause(entry, places)
        next_try_us = self._clock.steady_us() + int(wait * 1_000_000)
        groups: dict[tuple[Standing, str], list[int]] = defaultdict(list)
        for place, result in zip(places, heard.results, strict=True):
            standing = _STANDINGS[result.fate]
            status, text = result.status, result.text
            if standing is Standing.DELIVERED and not heard.reports and SUCCESS in entry.envelope.recipients[place].notify:
                standing = Standing.RELAYED
            if standing is Standing.OPEN and too_late and (not is_ours or entry.state.attempts[place] >= OWN_TRIES):
                standing, status = Standing.FAILED, "5.3.0" if is_ours else "5.4.7"
            groups[standing, f"{status} {text}"].append(place)
            self._telling.log_try(entry, place, standing, heard, status=status, reply=text)

        def write_down() -> None:
            standings = {standing for standing, _ in groups}
            if standings != {Standing.OPEN}:  # what has ended is not tried again, so nobody would tell it after a kill
                self._log.flush()
            reason = next(iter(groups))[1]
            if standings == {Standing.DELIVERED} and entry.delivered_to_the_last(places, reason, heard.server):
                return
            not_written: SpoolUnavailable | None = None
            for (standing, reason), some in groups.items():
                due = next_try_us if standing is Standing.OPEN else 0
                try:
                    entry.tried(some, standing, reason, next_try_us=due, server=heard.server)
                except SpoolUnavailable as error:  # it counts all the same, and so must the others' words
                    not_written = error
            if not_written is not None:
                raise not_written

        await self._lanes.io(write_down)
        return wait

    async def _go_on(self, entry: Entry, left: Sequence[int], outcome: "_Outcome") -> None:
        """Whoever has to hear of it hears; where nobody is left, the entry ends."""
        is_late = self._clock.age_seconds(entry.envelope.accepted_at_us) >= self._settings.warn_seconds
        if outcome.was_tried and left and is_late and not entry.state.warned:
            await self._telling.warn(entry)
        if not outcome.was_tried and not left:  # a report is due, or others have settled them
            await self._telling.notify_sender(entry)
        if outcome.was_tried and entry.state.open and entry.state.untold:
            self._schedule.add(Job(entry.entry_id, NOWHERE, ()), self._clock.monotonic() + TOGETHER_SECONDS)
        await self._finish(entry)

    async def _finish(self, entry: Entry) -> None:
        """Where nobody is left, the sender is told, and the entry ends."""
        if entry.state.open or entry.entry_id in self._under_way or entry.entry_id in self._ending:
            return
        self._ending.add(entry.entry_id)
        try:
            await self._telling.notify_sender(entry)
            if not entry.has_ended:
                await self._lanes.io(self._end, entry)
            self._telling.forget(entry)
            async with self._looking:  # who looks now may have the name still
                self._entries.pop(entry.entry_id, None)
                self._kept_back.forget(entry)
        finally:
            self._ending.discard(entry.entry_id)

    def _forget_entry(self, entry: Entry) -> None:
        """Its envelope is gone, which only the end of an entry removes here. Who brings it back sees it planned anew."""
        if entry.state.open and not entry.has_ended:
            gone = Text("có người đã xóa tệp phong bì của thư này", "somebody has removed its envelope")
            self._log.event("queue_entry_damaged", trace=entry.entry_id, error=gone)
        self._entries.pop(entry.entry_id, None)
        self._telling.forget(entry)
        self._kept_back.forget(entry)

    def _end(self, entry: Entry) -> None:
        """Whoever is killed after this leaves nothing that would be sent, and told of, once more."""
        self._log.flush()
        entry.end()

    def _again(self, job: Job, seconds: float) -> None:
        now = self._clock.monotonic()
        self._schedule.add(job, max(now + seconds, self._schedule.silent_until(job.domain, now)))

    def _pause(self, entry: Entry, places: Sequence[int]) -> float:
        return pause(1 + max((entry.state.attempts[place] for place in places), default=0), self._chance.random)


def _refresh(entries: Iterable[Entry]) -> list[str]:
    """Those that could not be read."""
    unread = []
    for entry in entries:
        try:
            entry.refresh()
        except OSError:
            unread.append(entry.entry_id)
    return unread
