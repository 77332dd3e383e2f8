"""Records the results of delivery attempts, and reports failures and delays to the sender.

Each report is followed by a line in the entry's log, so a process killed between the two may report twice, but never
not at all. Belongs to one process's loop; files are written in the I/O executor.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from mic_mail.errors import Text
from mic_mail.process.runtime import Runtime
from mic_mail.queue.queue import QueueEntry
from mic_mail.queue.recipient_log import Standing
from mic_mail.smtpclient.attempt import AttemptResult

SUCCESS = "SUCCESS"
"""The NOTIFY keyword of a sender that wants success reports."""
_EVENTS = {
    Standing.DELIVERED: "message_sent",
    Standing.RELAYED: "message_sent",
    Standing.FAILED: "message_not_sent",
    Standing.DROPPED: "message_dropped",
    Standing.OPEN: "sending_deferred",
}


@dataclass(frozen=True, slots=True)
class FinishedRecipients:
    """Recipients of an entry that its sender is to be notified of, by index in the envelope."""

    entry: QueueEntry
    ended: tuple[int, ...]
    """Failed, or relayed to a server that sends no reports (`recipient_log.REPORTED`)."""
    late: tuple[int, ...] = ()


Reporting = Callable[[FinishedRecipients], Awaitable[None]]


class DeliveryLog:
    """Logs and reports all mail that one process sends."""

    def __init__(self, runtime: Runtime, report: Reporting, under_way: Callable[[str], Collection[int]]) -> None:
        """`report` returns when the report is durable; `under_way` returns the recipients being tried now.

        None of those is final.
        """
        self._runtime = runtime
        self._report = report
        self._under_way = under_way
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def forget(self, entry: QueueEntry) -> None:
        """Drop the lock of an entry that has ended."""
        self._locks.pop(entry.entry_id, None)

    async def warn(self, entry: QueueEntry) -> None:
        """Notify the sender of a delay, once (RFC 3461 §4.1, DELAY)."""
        async with self._locks[entry.entry_id]:
            if not entry.state.warned:
                await self._report(FinishedRecipients(entry, (), entry.state.open))
                await self._runtime.executors.io(entry.warned)

    async def notify_sender(self, entry: QueueEntry) -> None:
        """Notify the sender in one report of all recipients whose end is to be reported."""
        async with self._locks[entry.entry_id]:
            under_way = self._under_way(entry.entry_id)
            unreported = tuple(place for place in entry.state.unreported if place not in under_way)
            if unreported:
                for place in unreported:
                    is_dropped = entry.state.recipients[place].standing is Standing.DROPPED
                    if is_dropped and (decision := entry.state.dropped_by(place)):
                        self._event(
                            entry, place, Standing.DROPPED, actor=decision.actor, reason=decision.reason, clause=decision.clause
                        )
                await self._report(FinishedRecipients(entry, unreported))
                await self._runtime.executors.io(self._write_down, entry, unreported)

    def _write_down(self, entry: QueueEntry, places: Sequence[int]) -> None:
        self._runtime.log.flush()
        entry.sender_notified(places)

    def log_try(
        self, entry: QueueEntry, place: int, standing: Standing, result: AttemptResult, *, status: str, reply: Text | str
    ) -> None:
        """Log the result of an attempt for one recipient."""
        self._event(entry, place, standing, status=status, reply=reply, server=result.server, **_connection(result))

    def log_objection(self, entry: QueueEntry, domain: str, result: AttemptResult) -> None:
        """Log that the recipient domain's TLS policy was not met, whether or not the attempt went on."""
        if result.secured is not None and result.secured.objection:
            about = {"trace": entry.envelope.trace_id, "domain": domain, "server": result.server}
            self._runtime.log.event("tls_policy_failed", **about, error=result.secured.objection)

    def _event(self, entry: QueueEntry, place: int, standing: Standing, **fields: Text | str | int | None) -> None:
        self._runtime.log.event(
            _EVENTS[standing],
            trace=entry.envelope.trace_id,
            sender=entry.envelope.sender,
            recipient=entry.envelope.recipients[place].address,
            **fields,
        )


def _connection(result: AttemptResult) -> dict[str, str | int | None]:
    """Return the connection's TLS protection and its number of messages so far, if there was a connection."""
    if result.secured is None:
        return {}
    return {"tls": result.secured.protocol, "secured_by": result.secured.by, "nth_on_connection": result.nth}
