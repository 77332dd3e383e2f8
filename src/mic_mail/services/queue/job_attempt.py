"""One attempt of a job: hold it, or send it, record each recipient's result, and notify the sender.

The results are in the entry's log and in the mail log when `run` returns. When the rest is tried again is for the caller
to schedule. A message changes threads twice: before it is sent, and for its results.

A recipient that is deferred longer than `give_up_seconds` after acceptance, or after the entry was last held, fails (RFC
5321 §4.5.4.1), also if the cause is in this server. If a mailbox may not send now (Reg. 7.1, 7.2.c) its mail is
retained: it stays in the queue untried.
"""

import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from mic_mail.errors import Text
from mic_mail.log.error_fields import failure
from mic_mail.process.runtime import Runtime
from mic_mail.queue.errors import SpoolUnavailable
from mic_mail.queue.queue import QueueEntry
from mic_mail.queue.recipient_log import Standing
from mic_mail.queue.scheduler import DeliveryJob, End, RandomSource, pause
from mic_mail.services.queue.delivery_log import SUCCESS, DeliveryLog
from mic_mail.services.queue.suspended_mail import SuspendedMail
from mic_mail.smtpclient.attempt import AttemptResult, DeliveryAttempt, SignedMessage
from mic_mail.smtpclient.dkim_keys import KeyUnusable
from mic_mail.smtpclient.results import RecipientResult, Result
from mic_mail.storage.errors import Unavailable

UNREACHABLE_SECONDS = 5.0
"""The pause of what could not be read since the database did not answer."""
HELD_SECONDS = 60.0
"""The interval at which a held entry is checked, with or without a notification."""
INTERNAL_ERROR = Text("máy chủ này gặp lỗi nội bộ", "this server had an internal error")
"""The text the sender of a message gets; the log has the details."""
OWN_TRIES = 3
"""Attempts below which an error in this server fails no message: it may be old because the server stood still."""
_STANDINGS = {
    RecipientResult.DELIVERED: Standing.DELIVERED,
    RecipientResult.FAILED: Standing.FAILED,
    RecipientResult.DEFERRED: Standing.OPEN,
}


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The outcome of an attempt, as far as it decides the next step."""

    end: End = End.NOT_ASKED
    wait: float = 0.0
    """Seconds until the remaining recipients are tried again."""
    was_tried: bool = False
    """Set if recipients were tried; unset if they were held or already settled."""
    is_gone: bool = False
    """Set if the entry is gone, or another node's."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An entry whose decisions were read, and its message, unless it is held, settled or gone."""

    is_gone: bool = False
    message: SignedMessage | KeyUnusable | None = None
    error: Exception | None = None
    """The error that the message has met."""

    def close(self) -> None:
        if isinstance(self.message, SignedMessage):
            self.message.close()


class JobAttempt:
    """The attempts of one process."""

    def __init__(
        self,
        runtime: Runtime,
        delivery: DeliveryAttempt,
        suspended: SuspendedMail,
        delivery_log: DeliveryLog,
        *,
        give_up_seconds: float,
        warn_seconds: float,
        random: RandomSource,
    ) -> None:
        self._runtime = runtime
        self._delivery = delivery
        self._suspended = suspended
        self._delivery_log = delivery_log
        self._give_up_seconds = give_up_seconds
        self._warn_seconds = warn_seconds
        self._random = random

    async def run(self, entry: QueueEntry, job: DeliveryJob) -> JobOutcome:
        """Try a job once and record the result of each recipient."""
        may_send = self._suspended.may_send(entry)
        if entry.is_local:
            return await self._run(entry, job, may_send=may_send)
        entry.begin_use()
        try:
            try:
                is_here = await self._runtime.executors.io(self._bring, entry, job.places, may_send=may_send)
            except Unavailable:  # the poll says so
                return JobOutcome(wait=UNREACHABLE_SECONDS)
            if not is_here:
                self._forget(entry)
                return JobOutcome(is_gone=True)
            if not entry.may_be_tried():
                return JobOutcome(wait=UNREACHABLE_SECONDS)
            return await self._run(entry, job, may_send=may_send)
        finally:
            entry.end_use()

    async def _run(self, entry: QueueEntry, job: DeliveryJob, *, may_send: bool) -> JobOutcome:
        """Try a job whose message is on this machine."""
        prepare = partial(self._prepare, may_send=may_send)
        with contextlib.closing(await self._runtime.executors.cpu(prepare, entry, job.places)) as prepared:
            if prepared.is_gone:
                self._forget(entry)
                return JobOutcome(is_gone=True)
            places = tuple(place for place in job.places if place in entry.state.open)
            if not places:
                return JobOutcome()
            if await self._is_held(entry):
                return JobOutcome(wait=HELD_SECONDS)
            retries = entry.state.retries
            try:
                result = await self._delivery.attempt(entry, job.domain, places, await self._message(entry, prepared))
            except Exception as error:  # noqa: BLE001 - a disk error or a defect counts as an attempt, to be reported in the end
                self._runtime.log.event("sending_failed", trace=entry.envelope.trace_id, domain=job.domain, **failure(error))
                results = [Result(RecipientResult.DEFERRED, "4.3.0", INTERNAL_ERROR)] * len(places)
                result = AttemptResult(results, end=End.NOT_ASKED)
        return JobOutcome(result.end, await self._record(entry, job.domain, places, result, retries), was_tried=True)

    def _prepare(self, entry: QueueEntry, places: Sequence[int], *, may_send: bool) -> _Prepared:
        """Read what was decided about an entry and, unless it has to wait, sign and open its message; in a thread."""
        if entry.is_local and not entry.refresh():  # any other has just been read
            return _Prepared(is_gone=True)
        if not _is_to_be_sent(entry, places, may_send=may_send):
            return _Prepared()
        try:
            return _Prepared(message=self._delivery.prepare(entry))
        except Exception as error:  # noqa: BLE001 - it counts as an attempt, if the entry is to be tried
            return _Prepared(error=error)

    def _bring(self, entry: QueueEntry, places: Sequence[int], *, may_send: bool) -> bool:
        """Read an entry and fetch its message, unless it has to wait; in a thread. Return False if another node has it."""
        if not entry.refresh():
            return False
        if _is_to_be_sent(entry, places, may_send=may_send):
            entry.fetch()
        return True

    async def _message(self, entry: QueueEntry, prepared: _Prepared) -> SignedMessage | KeyUnusable:
        """Return the prepared message; prepare it now if the entry was free to go only meanwhile."""
        if prepared.error is not None:
            raise prepared.error
        if prepared.message is not None:
            return prepared.message
        return await self._runtime.executors.cpu(self._delivery.prepare, entry)

    async def report(self, entry: QueueEntry, left: Sequence[int], outcome: JobOutcome) -> None:
        """Notify the sender of a delay, or of recipients settled otherwise; `left` are still open."""
        is_late = self._runtime.clock.age_seconds(entry.envelope.accepted_at_us) >= self._warn_seconds
        if outcome.was_tried and left and is_late:
            await self._delivery_log.warn(entry)
        if not outcome.was_tried and not left:
            await self._delivery_log.notify_sender(entry)

    async def end(self, entry: QueueEntry) -> None:
        """Notify the sender and end an entry on disk; nothing is sent or reported again."""
        await self._delivery_log.notify_sender(entry)
        if not entry.has_ended:
            await self._runtime.executors.io(self._remove, entry)
        self.forget(entry)

    def pause(self, entry: QueueEntry, places: Sequence[int], failures: int = 0) -> float:
        """Return the seconds until these recipients are tried again.

        `failures` counts the errors in a row that could not be recorded as attempts.
        """
        attempts = max((entry.state.recipients[place].attempts for place in places), default=0)
        return pause(max(1 + attempts, failures), self._random)

    def forget(self, entry: QueueEntry) -> None:
        """Forget an entry that this process does not send any more."""
        self._delivery_log.forget(entry)
        self._suspended.forget(entry)

    def _forget(self, entry: QueueEntry) -> None:
        """Forget an entry whose envelope is gone, which only the end of an entry does here, or that another node has."""
        if entry.is_local and entry.state.open and not entry.has_ended:
            gone = Text("có người đã xóa tệp phong bì của thư này", "its envelope file was removed")
            self._runtime.log.event("queue_entry_damaged", trace=entry.entry_id, error=gone)
        self.forget(entry)

    def _remove(self, entry: QueueEntry) -> None:
        self._runtime.log.flush()
        entry.end()

    async def _is_held(self, entry: QueueEntry) -> bool:
        """Return whether an entry is held, by an administrator or, which is recorded, with its mailbox."""
        is_suspended = self._suspended.holds(entry)
        if is_suspended != entry.state.is_kept_back:
            await self._runtime.executors.io(entry.kept_back, is_suspended, self._runtime.clock.steady_us())
        return is_suspended or entry.state.is_held

    async def _record(
        self, entry: QueueEntry, domain: str, places: Sequence[int], attempt: AttemptResult, retries: int
    ) -> float:
        """Write the results to both logs; return the seconds until the next attempt.

        A deferred recipient that has waited too long fails. `retries` had been decided when the attempt began.
        """
        self._delivery_log.log_objection(entry, domain, attempt)
        is_ours = attempt.end is End.NOT_ASKED
        too_late = self._runtime.clock.age_seconds(entry.free_since_us) >= self._give_up_seconds
        wait = self.pause(entry, places)
        next_try_us = self._runtime.clock.steady_us() + int(wait * 1_000_000)
        groups: dict[tuple[Standing, Text | str], list[int]] = defaultdict(list)
        for place, result in zip(places, attempt.results, strict=True):
            standing = _STANDINGS[result.outcome]
            status, text = result.status, result.text
            if standing is Standing.DELIVERED and not attempt.reports and SUCCESS in entry.envelope.recipients[place].notify:
                standing = Standing.RELAYED
            if standing is Standing.OPEN and too_late and (not is_ours or entry.state.recipients[place].attempts >= OWN_TRIES):
                standing, status = Standing.FAILED, "5.3.0" if is_ours else "5.4.7"
            groups[standing, _after_status(status, text)].append(place)
            self._delivery_log.log_try(entry, place, standing, attempt, status=status, reply=text)
        write = partial(self._write, next_try_us=next_try_us, server=attempt.server, retries=retries)
        await self._runtime.executors.io(write, entry, places, groups)
        return wait

    def _write(
        self,
        entry: QueueEntry,
        places: Sequence[int],
        groups: Mapping[tuple[Standing, Text | str], Sequence[int]],
        *,
        next_try_us: int,
        server: str | None,
        retries: int,
    ) -> None:
        standings = {standing for standing, _ in groups}
        # an ended recipient is not tried again, so a killed process's log line would be lost
        if standings != {Standing.OPEN}:
            self._runtime.log.flush()
        reason = next(iter(groups))[1]
        if standings == {Standing.DELIVERED} and entry.delivered_to_the_last(places, reason, server):
            return
        not_written: SpoolUnavailable | None = None
        for (standing, reason), some in groups.items():
            due = next_try_us if standing is Standing.OPEN else 0
            try:
                entry.tried(some, standing, reason, next_try_us=due, server=server, retries=retries)
            except SpoolUnavailable as error:  # it counts in memory all the same, and the other results must too
                not_written = error
        if not_written is not None:
            raise not_written


def _is_to_be_sent(entry: QueueEntry, places: Sequence[int], *, may_send: bool) -> bool:
    return may_send and not entry.state.is_held and bool(set(places).intersection(entry.state.open))


def _after_status(status: str, text: Text | str) -> Text | str:
    return Text(f"{status} {text.vi}", f"{status} {text.en}") if isinstance(text, Text) else f"{status} {text}"
