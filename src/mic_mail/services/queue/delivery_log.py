"""Who hears of what became of mail: the mail log of every try and end, its sender of failures and of delays.

In: entries, places in their envelopes, what was said of those. Out: events; calls of `report`, one at a time for an entry, each
followed by a line in the entry's log, so that whoever is killed between the two may report twice and never not at all. Belongs
to one process's loop; files are written in the io lane.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from mic_mail.log.maillog import MailLog
from mic_mail.process.executors import Executors
from mic_mail.queue.queue import Entry
from mic_mail.queue.recipient_log import Standing
from mic_mail.smtpclient.attempt import AttemptResult

SUCCESS = "SUCCESS"
"""What NOTIFY says of who wants to hear of a delivery too."""
_EVENTS = {
    Standing.DELIVERED: "message_sent",
    Standing.RELAYED: "message_sent",
    Standing.FAILED: "message_not_sent",
    Standing.DROPPED: "message_dropped",
    Standing.OPEN: "sending_deferred",
}


@dataclass(frozen=True, slots=True)
class FinishedRecipients:
    """What the sender of an entry has to hear of: places in its envelope, with the last word on each."""

    entry: Entry
    ended: tuple[int, ...]
    """Failed, or handed to a server that sends no reports (`progress.REPORTED`)."""
    late: tuple[int, ...] = ()


Reporting = Callable[[FinishedRecipients], Awaitable[None]]


class DeliveryLog:
    """All that one process tells of the mail that it sends."""

    def __init__(self, report: Reporting, under_way: Callable[[str], Collection[int]], lanes: Executors, log: MailLog) -> None:
        """`report` returns when the word is durable; `under_way`: the places of an entry of which nothing is final."""
        self._report = report
        self._under_way = under_way
        self._lanes = lanes
        self._log = log
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def forget(self, entry: Entry) -> None:
        """It has come to its end."""
        self._locks.pop(entry.entry_id, None)

    async def warn(self, entry: Entry) -> None:
        """Its sender, once, of what is late (RFC 3461 §4.1, DELAY)."""
        async with self._locks[entry.entry_id]:
            if not entry.state.warned:
                await self._report(FinishedRecipients(entry, (), entry.state.open))
                await self._lanes.io(entry.warned)

    async def notify_sender(self, entry: Entry) -> None:
        """Of those whose end has to be told of, in one report."""
        async with self._locks[entry.entry_id]:
            under_way = self._under_way(entry.entry_id)
            untold = tuple(place for place in entry.state.untold if place not in under_way)
            if untold:
                for place in untold:
                    if (said := entry.state.dropped_by(place)) and entry.state.standings[place] is Standing.DROPPED:
                        self._event(entry, place, Standing.DROPPED, actor=said.actor, reason=said.reason, clause=said.clause)
                await self._report(FinishedRecipients(entry, untold))
                await self._lanes.io(self._write_down, entry, untold)

    def _write_down(self, entry: Entry, told: Sequence[int]) -> None:
        self._log.flush()
        entry.sender_notified(told)

    def log_try(self, entry: Entry, place: int, standing: Standing, heard: AttemptResult, *, status: str, reply: str) -> None:
        """What became of one recipient in a try."""
        self._event(entry, place, standing, status=status, reply=reply, server=heard.server, **_connection(heard))

    def log_objection(self, entry: Entry, domain: str, heard: AttemptResult) -> None:
        """The recipient's policy for TLS was not met, in a try that it lets go on all the same or not."""
        if heard.secured is not None and heard.secured.objection:
            about = {"trace": entry.envelope.trace_id, "domain": domain, "server": heard.server}
            self._log.event("tls_policy_failed", **about, error=heard.secured.objection)

    def _event(self, entry: Entry, place: int, standing: Standing, **said: str | int | None) -> None:
        self._log.event(
            _EVENTS[standing],
            trace=entry.envelope.trace_id,
            sender=entry.envelope.sender,
            recipient=entry.envelope.recipients[place].address,
            **said,
        )


def _connection(heard: AttemptResult) -> dict[str, str | int | None]:
    """How the message was secured on its way, and how many went that way before; where there was one."""
    if heard.secured is None:
        return {}
    return {"tls": heard.secured.protocol, "secured_by": heard.secured.by, "nth_on_connection": heard.nth}
