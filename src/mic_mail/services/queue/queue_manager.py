"""The queue manager: decides which message is tried where and when, and records the results.

In: the queue's entries, routes, connections. Out: deliveries to other servers; lines in each entry's log and events in
the mail log; calls of `report` for entries whose end or delay is to be reported, perhaps twice after a kill. An
administrator's decision takes effect before the next attempt; an attempt in progress runs to its end, and what it
delivered stays delivered. Belongs to one process's loop; files are read and written in the I/O executor.

    job        the open recipients of one entry in one domain; an attempt of it uses one connection
    served     a server answered: each recipient has its own result, and deferred ones are tried again
    trouble    no address, no connection, or no TLS where it is required: the whole job is deferred; the destination may be dead
    not asked  held, ended meanwhile, or stopped by an error in this server: nothing was learnt about the destination

A recipient that is deferred longer than `give_up_seconds` after acceptance, or after the entry was last held, fails (RFC
5321 §4.5.4.1), also if the cause is in this server. If a mailbox may not send now (Reg. 7.1, 7.2.c) its mail is
retained: it stays in the queue untried until the mailbox may send again, which `watch` reports.
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
"""The interval at which the queue is polled, with or without a notification."""
GOODBYE_SECONDS = 1.0
"""The interval at which idle connections are checked, rather than after each message."""
HELD_SECONDS = 60.0
"""The interval at which a held entry is checked, with or without a notification."""
MOST_AT_ONCE = 500
"""Entries refreshed together after a decision; other messages are sent in between."""
TOGETHER_SECONDS = 60.0
"""The time a failure waits for others of its message, so that one report covers them."""
WITHIN_US = "something in this server was in the way"
"""The text the sender of a message gets; the log has the details."""
OWN_TRIES = 3
"""Attempts below which an error in this server never fails a message.

A message may be old only because the server stood still for days.
"""
DAY = 86_400.0
NOWHERE = ""
"""The domain of a job that sends nothing: it reports and ends entries, also while sending is paused."""
_STANDINGS = {
    RecipientResult.DELIVERED: Standing.DELIVERED,
    RecipientResult.FAILED: Standing.FAILED,
    RecipientResult.DEFERRED: Standing.OPEN,
}


@dataclass(frozen=True, slots=True)
class SendingSettings:
    """The settings from the configuration and the tests."""

    own_names: frozenset[str]
    """Host names under which an MX is this server."""
    connections: ConnectionSettings
    give_up_seconds: float = 5 * DAY
    warn_seconds: float = DAY / 6
    at_once: int = 200
    to_one: int = 20
    smarthost: Smarthost | None = None
    """The relay that takes all mail, if any."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The outcome of an attempt, as far as it decides the next step."""

    end: End = End.NOT_ASKED
    wait: float = 0.0
    """Seconds until the remaining recipients are tried again."""
    was_tried: bool = False
    """Set if recipients were tried, or there were none to try; unset if they were held or already settled."""


class QueueManager:
    """The queue manager of one process."""

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
        """`may_send` returns whether mail that this mailbox submitted may leave now.

        `report` returns when the report is durable; `sign` returns the fields to put in front of a message, as in
        `DeliveryAttempt`.
        """
        self._queue = queue
        self._resolver = resolver
        self._settings = settings
        self._lanes = lanes
        self._log = log
        self._clock = clock
        self._kept_back = SuspendedMail(may_send, watch, self.on_message, log)
        self._is_paused = is_paused
        self._chance = chance or Random()  # noqa: S311 - spreads retries
        self._schedule = Schedule(most=settings.to_one, at_once=settings.at_once, chance=self._chance.random)
        self._entries: dict[str, Entry] = {}
        self._damaged: set[str] = set()
        """Unreadable entries that have been logged."""
        self._ways = Router(
            resolver, settings.own_names, self._chance.shuffle, clock, smarthost=settings.smarthost, policies=policies
        )
        self._connections = Connections(settings.connections, clock, log.event)
        self._transmission = DeliveryAttempt(self._ways, self._connections, sign, lanes, queue.binary_domains)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: set[str] = set()
        self._under_way: dict[str, set[int]] = defaultdict(set)
        """Recipients of each entry that are being tried; none of them is final."""
        self._telling = DeliveryLog(report, lambda entry_id: self._under_way.get(entry_id, ()), lanes, log)
        self._decided_meanwhile: set[str] = set()
        """Entries that got a decision while some of their recipients were being tried."""
        self._owed: set[str] = set()
        """Entries with a decision whose log could not be read; the next poll reads it."""
        self._looking = asyncio.Lock()
        self._heard: set[str] = set()
        self._hearing = False
        self._news = asyncio.Event()
        self._is_swept = False
        self._over = False

    # ------------------------------------------------------------ work

    async def run(self) -> None:
        """Send until `end` is called."""
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
        """Resolve all routes again."""
        self._ways.forget_all()

    def clock_moved(self) -> None:
        """Check certificates again after the clock was set: those of policies and of cached connections."""
        self._ways.forget_all()
        self._connections.clock_moved()

    def wake(self) -> None:
        """Wake the loop: sending was paused or resumed."""
        self._news.set()

    async def _look_if_possible(self) -> None:
        """Poll the queue; what cannot be read now may be at the next poll, and known entries go on."""
        try:
            if not self._is_swept:
                await self._lanes.io(self._queue.sweep)
                self._is_swept = True
            await self.poll()
        except OSError as error:
            self._log.event("queue_not_read", error=described(error))

    async def poll(self) -> None:
        """Read new entries, and decisions of which no notification came."""
        await self._lanes.io(self._queue.forget_ended)
        await self.decided(*self._owed.union(await self._lanes.io(self._queue.decided)))
        await self._take(await self._lanes.io(self._queue.names))

    async def _take(self, entry_ids: Iterable[str]) -> None:
        """Plan the entries that are new."""
        async with self._looking:  # two polls at the same time would both plan a new entry
            for entry_id in entry_ids:
                if entry_id in self._entries:
                    continue
                found = await self._lanes.io(self._queue.look_at, entry_id)
                if isinstance(found, Entry):
                    self._entries[entry_id] = found
                    self._plan(found)
                    self._news.set()
                elif found is not None and entry_id not in self._damaged:  # its files may be restored later
                    self._damaged.add(entry_id)
                    self._log.event("queue_entry_damaged", trace=entry_id, error=found.why)

    @property
    def waiting(self) -> int:
        """Number of messages in the queue, as of the last poll."""
        return len(self._entries)

    @property
    def under_way(self) -> int:
        """Number of attempts in progress."""
        return self._schedule.running

    @property
    def transactions(self) -> dict[str, int]:
        """Number of messages sent on new and on cached connections."""
        return dict(self._connections.used)

    def on_message(self, entry_id: str) -> None:
        """Handle a notification of a new entry or a decision, in the background; empty: of many."""
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
        except OSError as error:  # the next poll reads it
            self._log.event("queue_not_read", error=described(error))
        finally:
            self._hearing = False

    async def decided(self, *entry_ids: str) -> None:
        """Apply decisions on these entries now, not only at their next attempt."""
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
        """Forget what is cached about an entry's destinations, including DNS answers.

        An administrator who asks for a retry may have fixed the cause of the failure.
        """
        self._resolver.forget()
        for destination in {self._ways.destination(entry.envelope.recipients[place].domain) for place in entry.state.open}:
            self._ways.forget(destination)
            self._schedule.ask_again(destination)

    def _plan(self, entry: Entry) -> None:
        """Schedule the open recipients, each at its due time.

        Recipients being tried are left out: the end of their attempt schedules what is left.
        """
        jobs: dict[tuple[str, float], list[int]] = defaultdict(list)
        under_way = self._under_way.get(entry.entry_id, ())
        now, now_us = self._clock.monotonic(), self._clock.steady_us()
        for place in entry.state.open:
            if place not in under_way:
                wait = remaining(entry.state.next_tries_us[place], now_us)
                jobs[self._ways.destination(entry.envelope.recipients[place].domain), wait].append(place)
        for (domain, wait), places in jobs.items():
            self._schedule.add(Job(entry.entry_id, domain, tuple(places)), now + wait)
        if not entry.state.open or entry.state.untold:  # it is still to be ended or reported
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
        """Begin nothing more, and wait for what is in progress."""
        self._over = True
        self._news.set()
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        await self._connections.close()

    # ------------------------------------------------------------ one attempt

    async def _try(self, job: Job) -> None:
        entry, end = self._entries.get(job.entry_id), End.NOT_ASKED
        try:
            if entry is not None and job.entry_id not in self._ending:  # else it ended meanwhile
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
        """Run one attempt and all that follows from it; an internal error repeats it, as the entry is durable."""
        outcome, rest = _Outcome(), job
        try:
            try:
                outcome = await self._tried_once(entry, job)
            finally:
                self._no_longer_under_way(job)
            if self._entries.get(job.entry_id) is not entry:  # it was ended elsewhere
                return outcome.end
            left = tuple(place for place in job.places if place in entry.state.open)
            if left:
                self._again(replace(job, places=left), outcome.wait)
            rest = Job(entry.entry_id, NOWHERE, ())
            await self._go_on(entry, left, outcome)
        except Exception as error:  # noqa: BLE001 - the entry is durable, and this is tried again
            self._log.event("sending_failed", trace=entry.envelope.trace_id, domain=job.domain, **failure(error))
            self._again(rest, self._pause(entry, rest.places))
        return outcome.end

    def _no_longer_under_way(self, job: Job) -> None:
        """Release the recipients of a job."""
        if under_way := self._under_way.get(job.entry_id):
            under_way.difference_update(job.places)
            if not under_way:
                del self._under_way[job.entry_id]

    async def _tried_once(self, entry: Entry, job: Job) -> "_Outcome":
        """Try a job once and record the result of each recipient."""
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
        except Exception as error:  # noqa: BLE001 - a disk error or a defect counts as an attempt, to be reported in the end
            self._log.event("sending_failed", trace=entry.envelope.trace_id, domain=job.domain, **failure(error))
            heard = AttemptResult([Result(RecipientResult.DEFERRED, "4.3.0", WITHIN_US)] * len(places), end=End.NOT_ASKED)
        return _Outcome(heard.end, await self._write(entry, job.domain, places, heard), was_tried=True)

    async def _is_held(self, entry: Entry) -> bool:
        """Return whether an entry is held, by an administrator or with its mailbox.

        The latter is recorded, since the time for which it lasts does not count.
        """
        is_kept_back = self._kept_back.holds(entry)
        if is_kept_back != entry.state.is_kept_back:
            await self._lanes.io(entry.kept_back, is_kept_back, self._clock.steady_us())
        return is_kept_back or entry.state.hold is not Hold.NO

    # ------------------------------------------------------------ results

    async def _write(self, entry: Entry, domain: str, places: Sequence[int], heard: AttemptResult) -> float:
        """Write the results to the entry's log and the mail log; return the seconds until the next attempt.

        A deferred recipient that has waited too long fails.
        """
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
            # an ended recipient is not tried again, so a killed process's log line would be lost
            if standings != {Standing.OPEN}:
                self._log.flush()
            reason = next(iter(groups))[1]
            if standings == {Standing.DELIVERED} and entry.delivered_to_the_last(places, reason, heard.server):
                return
            not_written: SpoolUnavailable | None = None
            for (standing, reason), some in groups.items():
                due = next_try_us if standing is Standing.OPEN else 0
                try:
                    entry.tried(some, standing, reason, next_try_us=due, server=heard.server)
                except SpoolUnavailable as error:  # it counts in memory all the same, and the other results must too
                    not_written = error
            if not_written is not None:
                raise not_written

        await self._lanes.io(write_down)
        return wait

    async def _go_on(self, entry: Entry, left: Sequence[int], outcome: "_Outcome") -> None:
        """Report what is to be reported, and end the entry if no recipient is left."""
        is_late = self._clock.age_seconds(entry.envelope.accepted_at_us) >= self._settings.warn_seconds
        if outcome.was_tried and left and is_late and not entry.state.warned:
            await self._telling.warn(entry)
        if not outcome.was_tried and not left:  # a report is due, or the recipients were settled elsewhere
            await self._telling.notify_sender(entry)
        if outcome.was_tried and entry.state.open and entry.state.untold:
            self._schedule.add(Job(entry.entry_id, NOWHERE, ()), self._clock.monotonic() + TOGETHER_SECONDS)
        await self._finish(entry)

    async def _finish(self, entry: Entry) -> None:
        """If no recipient is left, notify the sender and end the entry."""
        if entry.state.open or entry.entry_id in self._under_way or entry.entry_id in self._ending:
            return
        self._ending.add(entry.entry_id)
        try:
            await self._telling.notify_sender(entry)
            if not entry.has_ended:
                await self._lanes.io(self._end, entry)
            self._telling.forget(entry)
            async with self._looking:  # a concurrent poll may still hold the name
                self._entries.pop(entry.entry_id, None)
                self._kept_back.forget(entry)
        finally:
            self._ending.discard(entry.entry_id)

    def _forget_entry(self, entry: Entry) -> None:
        """Forget an entry whose envelope is gone, which only the end of an entry does here.

        If its files are restored it is planned anew.
        """
        if entry.state.open and not entry.has_ended:
            gone = Text("có người đã xóa tệp phong bì của thư này", "somebody has removed its envelope")
            self._log.event("queue_entry_damaged", trace=entry.entry_id, error=gone)
        self._entries.pop(entry.entry_id, None)
        self._telling.forget(entry)
        self._kept_back.forget(entry)

    def _end(self, entry: Entry) -> None:
        """End the entry on disk; a process killed after this leaves nothing to be sent or reported again."""
        self._log.flush()
        entry.end()

    def _again(self, job: Job, seconds: float) -> None:
        now = self._clock.monotonic()
        self._schedule.add(job, max(now + seconds, self._schedule.silent_until(job.domain, now)))

    def _pause(self, entry: Entry, places: Sequence[int]) -> float:
        return pause(1 + max((entry.state.attempts[place] for place in places), default=0), self._chance.random)


def _refresh(entries: Iterable[Entry]) -> list[str]:
    """Refresh the entries and return the ids of those that could not be read."""
    unread = []
    for entry in entries:
        try:
            entry.refresh()
        except OSError:
            unread.append(entry.entry_id)
    return unread
