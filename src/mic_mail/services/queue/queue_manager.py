"""The queue manager: decides which message is tried where and when.

Attempts (`services.queue.job_attempt`) begin in turns of their destinations (`queue.scheduler`). The entries are in
memory (`services.queue.active_queue`). An administrator's decision takes effect before the next attempt; an attempt in
progress runs to its end, and what it delivered stays delivered. Belongs to one process's loop.

    job        the open recipients of one entry in one domain; an attempt of it uses one connection
    served     a server answered: each recipient has its own result, and deferred ones are tried again
    trouble    no address, no connection, or no TLS where it is required: the whole job is deferred; the destination may be dead
    not asked  held, ended meanwhile, or stopped by an error in this server: nothing was learnt about the destination
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from mic_mail.log.error_fields import described, failure
from mic_mail.net.dns import Resolver
from mic_mail.process.background_tasks import BackgroundTasks
from mic_mail.process.backoff import Backoff
from mic_mail.process.runtime import Runtime
from mic_mail.queue.errors import UNREADABLE, LeaseLost, SpoolUnavailable
from mic_mail.queue.node_lease import RENEW_SECONDS, NodeLease
from mic_mail.queue.queue import Queue, QueueEntry
from mic_mail.queue.scheduler import DeliveryJob, End, Schedule, remaining
from mic_mail.services.queue.active_queue import ActiveQueue
from mic_mail.services.queue.delivery_log import DeliveryLog, Reporting
from mic_mail.services.queue.job_attempt import UNREACHABLE_SECONDS, JobAttempt, JobOutcome
from mic_mail.services.queue.suspended_mail import SuspendedMail, Watching, watch_nothing
from mic_mail.smtpclient.attempt import DeliveryAttempt
from mic_mail.smtpclient.mta_sts_cache import Policies
from mic_mail.smtpclient.pool import Connections, ConnectionSettings
from mic_mail.smtpclient.routing import Router
from mic_mail.smtpclient.smarthost import Smarthost
from mic_mail.storage.errors import Unavailable

POLL_SECONDS = 20.0
"""The interval at which the queue is polled, with or without a notification."""
IDLE_CHECK_SECONDS = 1.0
"""The interval at which idle connections are checked, rather than after each message."""
MAX_REFRESHED = 500
"""Entries refreshed together after a decision; other messages are sent in between."""
TOGETHER_SECONDS = 60.0
"""The time a failure waits for others of its message, so that one report covers them."""
DAY = 86_400.0
NOWHERE = ""
"""The domain of a job that sends nothing: it reports and ends entries, also while sending is paused."""


@dataclass(frozen=True, slots=True)
class SendingSettings:
    """The settings from the configuration and the tests."""

    own_names: frozenset[str]
    """Host names under which an MX is this server."""
    connections: ConnectionSettings
    give_up_seconds: float = 5 * DAY
    """Age at which an undelivered message fails."""
    warn_seconds: float = DAY / 6
    """Age at which its sender is notified of the delay."""
    max_attempts: int = 200
    """Attempts in progress at the same time."""
    max_attempts_per_destination: int = 20
    smarthost: Smarthost | None = None
    """The relay that takes all mail, if any."""


class QueueManager:
    """The queue manager of one process."""

    def __init__(
        self,
        runtime: Runtime,
        queue: Queue,
        resolver: Resolver,
        settings: SendingSettings,
        *,
        may_send: Callable[[int], bool],
        report: Reporting,
        watch: Watching = watch_nothing,
        sign: Callable[[QueueEntry], bytes] = lambda _: b"",
        policies: Policies | None = None,
        is_paused: Callable[[], bool] = lambda: False,
        random: Random | None = None,
    ) -> None:
        """`may_send` returns whether mail of a mailbox may leave now; `watch` notifies of a change.

        `report` returns when the report is durable; `sign` returns the fields to put in front of a message.
        """
        random = random or Random()  # noqa: S311 - spreads retries
        self._runtime = runtime
        self._queue = queue
        self._resolver = resolver
        self._is_paused = is_paused
        self._most_per_destination = settings.max_attempts_per_destination
        """In all nodes together."""
        self._schedule = Schedule(
            most=settings.max_attempts_per_destination, at_once=settings.max_attempts, random=random.random
        )
        self._active = ActiveQueue(runtime, queue)
        self._router = Router(
            resolver, settings.own_names, random.shuffle, runtime.clock, smarthost=settings.smarthost, policies=policies
        )
        self._connections = Connections(runtime, settings.connections)
        self._attempt = JobAttempt(
            runtime,
            DeliveryAttempt(self._router, self._connections, sign, runtime.executors, queue.binary_domains),
            SuspendedMail(may_send, watch, self.on_message, runtime.log),
            DeliveryLog(runtime, report, self._active.claimed),
            give_up_seconds=settings.give_up_seconds,
            warn_seconds=settings.warn_seconds,
            random=random.random,
        )
        self._tasks = BackgroundTasks()
        self._decided_meanwhile: set[str] = set()
        """Entries that got a decision while some of their recipients were being tried."""
        self._notified: set[str] = set()
        self._reads_notified = False
        self._backoff = Backoff(runtime.clock)
        """The pauses between log lines while the queue cannot be read."""
        self._failures: dict[str, int] = {}
        """The attempts of each entry that ended in a row by an error in this server."""
        self._wake_up = asyncio.Event()
        self._is_swept = False
        self._over = False
        self._keeping: asyncio.Task[None] | None = None
        """Renews the lease, where there is one."""
        self._is_settled = asyncio.Event()
        """Set once nothing more begins and nothing is in progress."""

    # ------------------------------------------------------------ work

    async def run(self) -> None:
        """Send until `end` is called."""
        if self._queue.lease is not None:
            await self._begin_lease(self._queue.lease)
        await self._poll_if_possible()
        polled = checked_idle = self._runtime.clock.monotonic()
        poll_seconds = min(POLL_SECONDS, self._queue.poll_seconds)
        while not self._over:
            self._wake_up.clear()
            now = self._runtime.clock.monotonic()
            may_begin = self._may_begin()
            while may_begin and (job := self._schedule.next(now, only=NOWHERE if self._is_paused() else None)) is not None:
                self._tasks.start(self._try(self._active.claim(job)))
            if now - checked_idle >= IDLE_CHECK_SECONDS:
                checked_idle = now
                await self._connections.close_idle()
            due = self._schedule.due() if may_begin else None
            wait = poll_seconds if due is None else min(poll_seconds, max(0.01, due - now))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake_up.wait()
            if self._runtime.clock.monotonic() - polled >= poll_seconds:
                polled = self._runtime.clock.monotonic()
                await self._poll_if_possible()
            if self._keeping is not None and self._keeping.done():
                self._keeping.result()

    async def end(self) -> None:
        """Begin nothing more, and wait for what is in progress."""
        self._over = True
        self.wake()
        await self._tasks.settle()
        await self._connections.close()
        if self._queue.lease is not None:
            await self._end_lease(self._queue.lease)

    # ------------------------------------------------------------ the lease, where several nodes send

    def _may_begin(self) -> bool:
        return self._queue.lease is None or self._queue.lease.is_held()

    async def _begin_lease(self, lease: NodeLease) -> None:
        """Renew the lease now, and from now on in the background."""
        await self._renew(lease)
        self._keeping = asyncio.get_running_loop().create_task(self._keep(lease))

    async def _keep(self, lease: NodeLease) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._is_settled.wait()
                    return
            await self._renew(lease)

    async def _end_lease(self, lease: NodeLease) -> None:
        """Give the lease back, now that no attempt is in progress which another node could repeat."""
        self._is_settled.set()
        if self._keeping is not None:
            await asyncio.wait([self._keeping])  # one thread at a time renews
        with contextlib.suppress(Unavailable):  # the lease then ends by itself
            await asyncio.to_thread(lease.end)

    async def _renew(self, lease: NodeLease) -> None:
        """Renew the lease, in a thread that waits for nothing else; where it was lost, forget what other nodes have now."""
        try:
            is_kept = await asyncio.to_thread(lease.renew)
        except Unavailable as error:
            self._log_not_read(error)
            return
        self._schedule.limit(max(1, self._most_per_destination // lease.nodes))
        if not is_kept:
            entries = self._active.clear()
            self._schedule.remove(*(entry.entry_id for entry in entries))
            for entry in entries:
                self._attempt.forget(entry)
            self._runtime.log.event("queue_lease_lost", entries=len(entries))
        self.wake()

    def wake(self) -> None:
        """Wake the loop: there are new jobs, or sending was paused or resumed."""
        self._wake_up.set()

    def forget_routes(self) -> None:
        """Resolve all routes again."""
        self._router.forget_all()

    def clock_moved(self) -> None:
        """Check certificates again after the clock was set: those of policies and of cached connections."""
        self._router.forget_all()
        self._connections.clock_moved()

    @property
    def waiting(self) -> int:
        """Number of messages in the queue, as of the last poll."""
        return len(self._active)

    @property
    def under_way(self) -> int:
        """Number of attempts in progress."""
        return self._schedule.running

    @property
    def transactions(self) -> dict[str, int]:
        """Number of messages sent on new and on cached connections."""
        return dict(self._connections.used)

    # ------------------------------------------------------------ new entries and decisions

    async def _poll_if_possible(self) -> None:
        """Poll the queue; what cannot be read now may be at the next poll, and known entries go on."""
        try:
            if not self._is_swept:
                await self._runtime.executors.io(self._queue.sweep)
                self._is_swept = True
            await self.poll()
            self._backoff.succeeded("poll")
        except UNREADABLE as error:
            self._log_not_read(error)

    def _log_not_read(self, error: OSError | Unavailable) -> None:
        """Log it in growing intervals for as long as it lasts."""
        if self._backoff.is_due("poll"):
            self._backoff.failed("poll")
            self._runtime.log.event("queue_not_read", error=described(error))

    async def poll(self) -> None:
        """Read new entries, and decisions of which no notification came."""
        names, decided = await self._runtime.executors.io(self._look)
        await self.apply_decisions(*self._active.unread.union(decided))
        await self._active.add(names, self._plan)

    def _look(self) -> tuple[list[str], list[str]]:
        """Return the entries, and those with a decision; in a thread, and one hop for an empty queue."""
        self._queue.forget_ended()
        names = self._queue.available()
        return names, self._queue.decided()  # last, since a decision is named once

    def on_message(self, entry_id: str) -> None:
        """Handle a notification of a new entry or a decision, in the background; empty: of many.

        It is a hint, whichever process or node it came from: what is missed, the next poll finds.
        """
        self._notified.add(entry_id)
        if not self._reads_notified and not self._over:
            self._reads_notified = True
            self._tasks.start(self._read_notified())

    async def _read_notified(self) -> None:
        try:
            while self._notified and not self._over:
                notified, self._notified = self._notified, set()
                await self.apply_decisions(*notified.union(await self._runtime.executors.io(self._queue.decided)))
                await self._active.add(notified - {""}, self._plan)
        except UNREADABLE as error:  # the next poll reads it
            self._log_not_read(error)
        finally:
            self._reads_notified = False

    async def apply_decisions(self, *entry_ids: str) -> None:
        """Apply decisions on these entries now, not only at their next attempt."""
        known = self._active.known(entry_ids)
        for some in (known[at : at + MAX_REFRESHED] for at in range(0, len(known), MAX_REFRESHED)):
            to_retry = await self._active.refresh(some)
            self._schedule.remove(*(entry.entry_id for entry in some))
            for entry in to_retry:
                self._reset_routing(entry)
            for entry in some:
                if entry in self._active:
                    self._plan(entry)
                if self._active.claimed(entry.entry_id):
                    self._decided_meanwhile.add(entry.entry_id)

    def _reset_routing(self, entry: QueueEntry) -> None:
        """Forget what is cached about an entry's destinations: who asks for a retry may have fixed the cause."""
        self._resolver.forget()
        for destination in {self._router.destination(entry.envelope.recipients[place].domain) for place in entry.state.open}:
            self._router.forget(destination)
            self._schedule.ask_again(destination)

    def _plan(self, entry: QueueEntry) -> None:
        """Schedule the open recipients, each at its due time, but for those that an attempt tries now."""
        jobs: dict[tuple[str, float], list[int]] = defaultdict(list)
        claimed = self._active.claimed(entry.entry_id)
        now, now_us = self._runtime.clock.monotonic(), self._runtime.clock.steady_us()
        for place in entry.state.open:
            if place in claimed:  # by an attempt that began before another node's lease, or a decision
                self._decided_meanwhile.add(entry.entry_id)
            else:
                wait = remaining(entry.state.recipients[place].next_try_us, now_us)
                jobs[self._router.destination(entry.envelope.recipients[place].domain), wait].append(place)
        for (domain, wait), places in jobs.items():
            self._schedule.add(DeliveryJob(entry.entry_id, domain, tuple(places)), now + wait)
        if not entry.state.open or entry.state.unreported:  # it is still to be ended or reported
            self._schedule.add(DeliveryJob(entry.entry_id, NOWHERE, ()), now)
        self.wake()

    # ------------------------------------------------------------ attempts

    async def _try(self, job: DeliveryJob) -> None:
        """Run one attempt of a claimed job, and schedule what it leaves."""
        entry, end = self._active.get(job.entry_id), End.NOT_ASKED
        try:
            if entry is not None:
                end = await self._try_entry(entry, job)
            else:  # it ended meanwhile
                self._active.release(job)
        finally:
            self._schedule.done(job, end, self._runtime.clock.monotonic())
            if job.entry_id in self._decided_meanwhile and not self._active.claimed(job.entry_id):
                self._decided_meanwhile.discard(job.entry_id)
                self.on_message(job.entry_id)
            self.wake()

    async def _try_entry(self, entry: QueueEntry, job: DeliveryJob) -> End:
        """Run one attempt and all that follows from it; an internal error repeats it, as the entry is durable."""
        outcome, follow_up = JobOutcome(), job
        try:
            try:
                outcome = await self._attempt.run(entry, job)
            finally:
                self._active.release(job)
            if outcome.is_gone:
                self._active.forget(entry)
            if entry not in self._active:  # it was ended elsewhere
                self._failures.pop(entry.entry_id, None)
                return outcome.end
            left = tuple(place for place in job.places if place in entry.state.open)
            if left:
                self._add(replace(job, places=left), outcome.wait)
            follow_up = DeliveryJob(entry.entry_id, NOWHERE, ())
            await self._attempt.report(entry, left, outcome)
            if outcome.was_tried and entry.state.open and entry.state.unreported:
                self._add(follow_up, TOGETHER_SECONDS)
            if self._active.may_end(entry):
                async with self._active.ending(entry):
                    await self._attempt.end(entry)
            self._failures.pop(entry.entry_id, None)
        except LeaseLost:  # another node goes on
            self._active.forget(entry)
            self._attempt.forget(entry)
        except Exception as error:  # noqa: BLE001 - the entry is durable, and this is tried again
            failures = self._failures[entry.entry_id] = self._failures.get(entry.entry_id, 0) + 1
            self._runtime.log.event("sending_failed", trace=entry.envelope.trace_id, domain=job.domain, **failure(error))
            if isinstance(error, SpoolUnavailable | Unavailable) and not entry.is_local:
                self._go_on_soon(entry, follow_up)
            else:
                self._add(follow_up, self._attempt.pause(entry, follow_up.places, failures))
        return outcome.end

    def _go_on_soon(self, entry: QueueEntry, job: DeliveryJob) -> None:
        """Go on once the database answers, which has not taken the results: they are in memory, and a poll writes them."""
        left = tuple(place for place in job.places if place in entry.state.open)
        if left:
            now_us = self._runtime.clock.steady_us()
            wait = max(remaining(entry.state.recipients[place].next_try_us, now_us) for place in left)
            self._add(replace(job, places=left), max(wait, UNREACHABLE_SECONDS))
        self._add(DeliveryJob(entry.entry_id, NOWHERE, ()), UNREACHABLE_SECONDS)

    def _add(self, job: DeliveryJob, seconds: float) -> None:
        """Schedule a job after a pause, or after the silence of its destination."""
        now = self._runtime.clock.monotonic()
        self._schedule.add(job, max(now + seconds, self._schedule.silent_until(job.domain, now)))
