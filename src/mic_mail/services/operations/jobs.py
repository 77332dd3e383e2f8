"""Periodic jobs: of the housekeeper for the whole server, and of each process for itself.

A `Job` is a coroutine function with a period. `JobRunner` runs each of them periodically, one run at a time per job; a
failure is logged and the job runs again. Every job is idempotent, so a kill in the middle of it does not matter.
`run_once` runs all of them in order: for tests.

All jobs of a process begin on one grid (`process.timer_grid`), so that a process at rest wakes for all of them together. A job
that has nothing to do is left out: its `is_idle` says so on the loop, without a thread (`docs/decisions/0107`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import MicMailError
from mic_mail.log.anchor_writer import AnchorWriter
from mic_mail.log.error_fields import failure
from mic_mail.log.index_loader import drop_empty_months
from mic_mail.log.maillog import MailLog
from mic_mail.log.retention import remove_expired
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.reclamation import is_empty
from mic_mail.policy.unit_mail.handover import nothing_may_go
from mic_mail.process.runtime import Runtime
from mic_mail.process.timer_grid import sleep_to_tick
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import LEFT_TO_PEOPLE, AccountRef, SweptState

T = TypeVar("T")

UNSETTLED_SECONDS = 1.0
"""The polling interval of a job that waits for the clock to settle."""
OFF_DUTY_SECONDS = 5.0
"""That of a job which another node does, and this one as soon as that is gone."""
LONGEST_IDLE_SECONDS = 60.0
"""The longest pause of a job by `WhenChanged`.

It bounds the delay of what becomes due by time alone, and of a change that could not be seen.
"""
LONGEST_UNSWEPT_SECONDS = 86_400.0
"""The longest time for which a mailbox that does not change is not swept.

A visit finds files that no change of the index tells of.
"""
_NAMES_AN_EVENT = 200


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    seconds: float
    run: Callable[[], Awaitable[object]]
    by_clock: bool = False
    """The job notifies people or records facts by the wall clock, so it waits while that is not settled."""
    is_idle: Callable[[], bool] = lambda: False
    """Returns whether the job has nothing to do now, so that a run is left out. Cheap; called on the loop."""
    for_all_nodes: bool = False
    """The job concerns what nodes share, so the one of them does it that is on duty."""


class WhenChanged:
    """A job that runs only after something has changed on which it depends, and each `longest_seconds`.

    It runs twice after a change, since two changes within one tick of a file system's clock (4 ms) leave the same trace.
    """

    def __init__(
        self,
        run: Callable[[], Awaitable[object]],
        look: Callable[[], object],
        clock: Clock,
        *,
        longest_seconds: float = LONGEST_IDLE_SECONDS,
    ) -> None:
        """`run` returns whether something is left for the next run, which then follows in any case.

        `look` returns what the job depends on as comparable values; it is cheap, and called on the loop.
        """
        self._run = run
        self._look = look
        self._clock = clock
        self._longest_seconds = longest_seconds
        self._seen: object = None
        self._is_done = False
        self._ran_at = 0.0

    async def run_once(self) -> None:
        before, seen, ran_at = self._seen, self._look(), self._clock.monotonic()
        self._is_done, self._seen = False, seen
        is_left = await self._run()
        self._is_done, self._ran_at = not is_left and seen == before, ran_at

    def is_idle(self) -> bool:
        return self._is_done and self._clock.monotonic() - self._ran_at < self._longest_seconds and self._look() == self._seen

    def job(self, name: str, seconds: float, *, by_clock: bool = False, for_all_nodes: bool = False) -> Job:
        return Job(name, seconds, self.run_once, by_clock, self.is_idle, for_all_nodes)


async def _always() -> bool:
    return True


class JobRunner:
    """A list of jobs and the tasks that run them."""

    def __init__(
        self, jobs: Sequence[Job], log: MailLog, clock: Clock, *, is_on_duty: Callable[[], Awaitable[bool]] = _always
    ) -> None:
        """`is_on_duty` returns whether this node does now what concerns all nodes."""
        self._jobs = tuple(jobs)
        self._log = log
        self._clock = clock
        self._is_on_duty = is_on_duty
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start: each job immediately, then in its period, on the grid."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._repeat(job)) for job in self._jobs]

    async def run_once(self) -> None:
        """Run each job that is not idle."""
        for job in filter(self._may_be_done, self._jobs):
            if not self._is_idle(job) and await self._is_due_here(job):
                await self._do(job)

    async def _repeat(self, job: Job) -> None:
        while True:
            pause = job.seconds
            if not self._may_be_done(job):
                pause = UNSETTLED_SECONDS
            elif not self._is_idle(job):
                if await self._is_due_here(job):
                    await self._do(job)
                else:
                    pause = min(pause, OFF_DUTY_SECONDS)
            await sleep_to_tick(pause)

    def _is_idle(self, job: Job) -> bool:
        try:
            return job.is_idle()
        except Exception as error:  # noqa: BLE001 - as in `_do`; the job runs, since nobody knows better
            self._log.event("duty_failed", duty=job.name, **failure(error))
            return False

    def _may_be_done(self, job: Job) -> bool:
        return not job.by_clock or self._clock.is_settled()

    async def _is_due_here(self, job: Job) -> bool:
        try:
            return not job.for_all_nodes or await self._is_on_duty()
        except MicMailError:  # the directory is away: its follower logs that
            return False

    async def _do(self, job: Job) -> None:
        try:
            await job.run()
        except Exception as error:  # noqa: BLE001 - the next job must not suffer from this one's defect
            self._log.event("duty_failed", duty=job.name, **failure(error))

    async def close(self) -> None:
        """Stop the jobs; a thread that has begun finishes its work."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []


def rest_job(runtime: Runtime, store: MailStore, seconds: float, idle_seconds: float) -> Job:
    """Return the job that closes the handles of mailboxes that were not used for `idle_seconds`."""

    def rest() -> bool:
        store.rest(idle_seconds)
        return not store.is_closed

    return WhenChanged(lambda: runtime.executors.io(rest), lambda: store.uses, runtime.clock).job("rest", seconds)


class ChangedAccounts:
    """The accounts that this process changed since their last usage check (Reg. 8.3.c)."""

    def __init__(self, runtime: Runtime, store: MailStore, notices: Notices) -> None:
        self._runtime = runtime
        self._store = store
        self.notices = notices
        self._changed: set[int] = set()

    def add(self, account_id: int) -> None:
        self._changed.add(account_id)

    def is_empty(self) -> bool:
        return not self._changed

    async def run_once(self) -> None:
        """Warn of every crossing among the changed accounts.

        One that is not checked now is checked next time; one that fails, after its next change.
        """
        for account_id in tuple(self._changed):
            self._changed.discard(account_id)  # before the check: an account that changes meanwhile is checked again
            entry = self._runtime.snapshot().entry(account_id)
            if entry is None:
                continue
            try:
                await self._runtime.account_executors.read(AccountRef.of(entry), self._look, entry)
            except Exception as error:  # noqa: BLE001 - as in `Visits`
                self._runtime.log.event("visit_failed", visit="usage", mailbox=entry.address, **failure(error))

    def _look(self, entry: Entry) -> None:
        used = self._store.account_of(entry).quota().octets
        self.notices.usage(entry, used)


class Visits:
    """The housekeeper's visits to all mailboxes, one at a time, yielding to all other work."""

    def __init__(self, runtime: Runtime, store: MailStore) -> None:
        self._runtime = runtime
        self._store = store
        self._swept: dict[int, tuple[SweptState, float]] = {}
        """Each mailbox as the last sweep has left it, and when that was by the monotonic clock."""
        self._left: dict[int, Mapping[str, Sequence[str]]] = {}
        """The files left to people, by mailbox and kind, as last logged."""

    async def sweep(self, *, trusted: bool) -> None:
        """Drop what is past its retention and not held (Reg. 9.2, 12.3.d), rename files, checkpoint.

        Unless the clock is `trusted` nothing is past its retention. A mailbox that is as the last sweep has left it is left
        closed, for a day at most.
        """

        def sweep(entry: Entry) -> None:
            swept = self._store.account_of(entry).sweep(keep=nothing_may_go(entry.facts), trusted=trusted)
            self._swept[entry.mailbox_id] = swept, self._runtime.clock.monotonic()

        await self._visit("sweep", sweep, lambda entry: not self._is_swept(entry.mailbox_id))

    def _is_swept(self, mailbox_id: int) -> bool:
        """Return whether a mailbox has not changed since its last sweep, and nothing has passed its retention."""
        if mailbox_id not in self._swept:
            return False
        (swept, at), clock = self._swept[mailbox_id], self._runtime.clock
        if clock.monotonic() - at >= LONGEST_UNSWEPT_SECONDS or clock.steady_us() >= swept.due_us:
            return False
        return swept.mark != 0 and self._store.change_mark(mailbox_id) == swept.mark

    async def forget_readers(self, readers: Callable[[int], frozenset[str] | None]) -> None:
        """Drop the read marks of people who are no longer named in a unit's or group's mailbox.

        A person who is named again begins anew (decision 0035). `readers`: the identities that may have marks
        (`Sharing.readers`); called on the loop.
        """
        for entry in tuple(self._runtime.snapshot()):
            if entry.kind is not MailboxKind.PERSONAL and (named := readers(entry.mailbox_id)) is not None:
                await self._visit_one("readers", partial(self._forget_readers, named), entry)

    def _forget_readers(self, named: frozenset[str], entry: Entry) -> None:
        if gone := self._store.account_of(entry).forget_readers_but(named):
            self._runtime.log.event("readers_forgotten", mailbox=entry.address, readers=gone)

    async def rescan(self) -> None:
        """Take in the changes of other Maildir tools."""
        await self._visit("rescan", self._rescan)

    def _rescan(self, entry: Entry) -> None:
        """Rescan one mailbox; files left to people are logged once, and again when they change."""
        left: dict[str, list[str]] = {}
        for finding in self._store.account_of(entry).rescan().findings:
            if finding.kind in LEFT_TO_PEOPLE:
                left.setdefault(finding.kind, []).append(f"{finding.folder}: {finding.detail}")
        if left == self._left.get(entry.mailbox_id, {}):
            return
        self._left[entry.mailbox_id] = left
        for kind, files in left.items():
            named = files[:_NAMES_AN_EVENT]
            self._runtime.log.event("files_left", mailbox=entry.address, kind=kind, count=len(files), files=named)

    async def _visit(
        self, what: str, work: Callable[[Entry], object], is_wanted: Callable[[Entry], bool] = lambda entry: True
    ) -> None:
        for entry in filter(is_wanted, tuple(self._runtime.snapshot())):
            await self._visit_one(what, work, entry)

    async def _visit_one(self, what: str, work: Callable[[Entry], object], entry: Entry) -> None:
        known = self._runtime.snapshot().entry(entry.mailbox_id)
        if known is not None and is_empty(known.facts):  # a visit would create a new store for a freed mailbox
            return
        try:
            await self._runtime.account_executors.write(AccountRef.of(entry), work, entry)
        except Exception as error:  # noqa: BLE001 - a defect in one mailbox must not end the run for the others
            self._runtime.log.event("visit_failed", visit=what, mailbox=entry.address, **failure(error))


class LogRetention:
    """The retention of the mail log in months (Reg. 8.2); removals are themselves logged there."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def remove(self) -> None:
        """Remove log segments that are past their retention."""
        config, now = self._runtime.config(), self._runtime.clock.steady_now()
        folder, months = config.log_dir, config.log.retain_months

        def announce(names: Sequence[str]) -> None:
            AnchorWriter(folder).announce_removal(names, months, now)

        removal = await self._runtime.executors.io(lambda: remove_expired(folder, months, now, announce=announce))
        await self._runtime.executors.io(drop_empty_months, folder)
        for part in _parts(removal.removed):
            names, octets = zip(*part, strict=True)
            self._runtime.log.event("log_segments_removed", months=months, count=len(part), octets=sum(octets), segments=names)
        for failed in _parts(removal.failed):
            names, errors = zip(*failed, strict=True)
            self._runtime.log.event("log_removal_failed", count=len(failed), error=errors[0].strerror, segments=names)


def _parts(things: Sequence[T]) -> Iterator[Sequence[T]]:
    return (things[start : start + _NAMES_AN_EVENT] for start in range(0, len(things), _NAMES_AN_EVENT))
