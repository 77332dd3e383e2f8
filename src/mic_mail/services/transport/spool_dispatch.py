"""Spool entries: created from envelopes, dispatched to mailboxes and the queue, also after a restart.

Mail from a mailbox that is suspended or reclaimed now stays in the spool (Reg. 7.1, 7.2.c; decision 0061).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import cache
from itertools import islice
from pathlib import Path

from mic_mail.log.maillog import stamp
from mic_mail.mime.imap_structure import Answers
from mic_mail.process.runtime import Runtime
from mic_mail.queue.esmtp_options import QueuedTransaction
from mic_mail.queue.queue import Queue, QueueEnvelope, QueueRecipient
from mic_mail.queue.spool import ELSEWHERE, Spool, SpoolDraft, SpoolEntry, SpoolEnvelope, SpoolTarget
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.queue.inbound_dsn import InboundReports
from mic_mail.services.transport import trace_headers
from mic_mail.services.transport.check import MaybeRefusal
from mic_mail.services.transport.delivery import LocalDeliverer
from mic_mail.services.transport.delivery_worker import LocalDelivery
from mic_mail.services.transport.envelope import Cause, Envelope, Refusal
from mic_mail.services.transport.envelope import Recipient as LocalRecipient
from mic_mail.services.transport.incoming_message import IncomingMessage

MAX_RECOVERED = 500
"""Entries resumed in one run; each holds a file open until it is delivered."""


class SpoolDispatch:
    """Dispatches the spool entries of one process."""

    def __init__(
        self,
        runtime: Runtime,
        spool: Spool,
        queue: Queue,
        *,
        access: SignInService,
        delivering: LocalDeliverer,
        reports: InboundReports,
        queued: Callable[[str], None],
    ) -> None:
        """`queued` is called on the loop with the id of each entry that has entered the queue."""
        self._runtime = runtime
        self._spool = spool
        self.draft, self.scratch = spool.draft, spool.scratch
        self._queue = queue
        self._queued = queued
        self._access = access
        self._delivering = delivering
        self._reports = reports
        self._has_looked = False
        self._resuming = asyncio.Lock()
        self._held: set[str] = set()
        """Trace ids of entries that wait because their sender is suspended, as of the last run."""
        self._unreadable: set[str] = set()
        """Files that could not be opened, as of the last run."""

    def check_lines(self, message: IncomingMessage) -> MaybeRefusal:
        """Refuse NUL, which RFC 5322 §4 forbids, and lines that the recipients' servers do not take."""
        lines = message.lines
        if lines is None:
            return None
        if lines.nul:
            return message.envelope.refusal(Cause.NUL_OCTET, line=str(lines.nul))
        return self._check_long_line(message, lines.too_long) if lines.too_long and not message.may_be_long else None

    async def _check_long_line(self, message: IncomingMessage, number: int) -> Refusal | None:
        """Refuse lines too long for DATA unless local mailboxes and servers with BINARYMIME take them all."""
        domains = {recipient.address.domain for recipient in message.envelope.elsewhere}
        message.may_be_long = not domains or await self._runtime.executors.io(self._queue.binary_domains.include_all, domains)
        return None if message.may_be_long else message.envelope.refusal(Cause.TEXT_LINE_TOO_LONG, line=str(number))

    def spool_envelope(self, envelope: Envelope, deliveries: Sequence[LocalDelivery]) -> SpoolEnvelope:
        """Build the spool envelope of a message."""
        known = {delivery.mailbox.mailbox_id for delivery in deliveries}
        # The first address decides the folder; success reports may be wanted for the others too.
        targets = tuple(
            SpoolTarget(mailbox_id, recipient.address, recipient.detail, tuple(sorted(recipient.notify)), recipient.orcpt)
            for recipient in envelope.recipients
            for mailbox_id in recipient.mailboxes
            if mailbox_id in known
        )
        # A recipient that a mail program names in To and in Cc gets one copy on another server too.
        elsewhere = tuple(
            dict.fromkeys(
                SpoolTarget(ELSEWHERE, recipient.address, None, tuple(sorted(recipient.notify)), recipient.orcpt)
                for recipient in envelope.elsewhere
            )
        )
        return SpoolEnvelope(
            trace_id=envelope.trace_id,
            sender=envelope.sender,
            targets=targets + elsewhere,
            accepted_at_us=self._runtime.clock.steady_us(),
            return_path_octets=len(trace_headers.return_path(envelope)),
            smtputf8=envelope.smtputf8,
            body=envelope.body,
            ret="HDRS" if envelope.is_strange else envelope.ret,
            envid=envelope.envid,
            requires_tls=envelope.requires_tls,
            tls_optional=envelope.header.tls_optional and not envelope.requires_tls,  # RFC 8689 §4.1
            submitted_by=envelope.client.signed_in.mailbox_id if envelope.client.signed_in else 0,
            verdict=envelope.checked.verdict,
            may_be_reported=envelope.may_be_reported,
        )

    def fan_out(self, entry: SpoolEntry, answers: Answers | None, *, doubtful: bool = False) -> None:
        """Deliver the open targets in the background; `doubtful`: a killed process may have delivered some."""
        delivering, deliveries = self._delivering, self._deliveries_of(entry)
        step = delivering.deliver_entry(entry, deliveries, answers, send_on=self._send_on, doubtful=doubtful)
        delivering.tasks.start(step)

    def accept_elsewhere(self, draft: SpoolDraft, envelope: SpoolEnvelope) -> SpoolEnvelope | None:
        """Put a message for other servers into the queue before it is acknowledged, where any node can go on with it.

        Return what is left for the spool: the envelope as it is, where the queue is on this machine; without the targets on
        other servers; or None if there are no others. Blocking.
        """
        targets = [target for target in envelope.targets if target.mailbox_id == ELSEWHERE]
        if not targets or not self._queue.accept(envelope.trace_id, Path(draft.path), _queue_envelope(envelope, targets)):
            return envelope
        left = tuple(target for target in envelope.targets if target.mailbox_id != ELSEWHERE)
        return replace(envelope, targets=left) if left else None

    def withdraw(self, trace_id: str) -> None:
        """Take a message out of the queue again: it could not be made durable for its other recipients."""
        self._queue.withdraw(trace_id)

    def has_queued(self, envelope: SpoolEnvelope) -> None:
        """Log that a message for other servers is in the queue, and notify whoever sends."""
        addresses = [target.address for target in envelope.targets if target.mailbox_id == ELSEWHERE]
        self._runtime.log.event("message_queued", trace=envelope.trace_id, sender=envelope.sender, recipients=addresses)
        self._queued(envelope.trace_id)

    async def _send_on(self, entry: SpoolEntry) -> None:
        """Put the entry into the queue, once, for all targets on other servers."""
        envelope = entry.envelope
        targets = [target for target in entry.open_targets if target.mailbox_id == ELSEWHERE]
        queued = _queue_envelope(envelope, targets)
        await self._runtime.executors.io(self._queue.put, entry.spool_id, entry.path, queued)
        addresses = [recipient.address for recipient in queued.recipients]
        self._runtime.log.event("message_queued", trace=envelope.trace_id, sender=envelope.sender, recipients=addresses)
        self._queued(entry.spool_id)

    async def resume(self) -> int:
        """Resume the entries that earlier processes accepted and did not finish, and those that were deferred.

        The first run takes everything, since the cause of the delay may be why the server was restarted; later runs take
        what is due. Two at once would divide the entries, and each return before the other has begun with its part.
        """
        async with self._resuming:
            return await self._resume()

    async def _resume(self) -> int:
        if not self._has_looked:
            await self._runtime.executors.io(self._spool.take_in)
        await self._reports.run_once()
        now_us = self._runtime.clock.steady_us() if self._has_looked else None
        held: list[SpoolEnvelope] = []
        unreadable: list[tuple[Path, OSError]] = []
        entries = await self._runtime.executors.io(self._open, now_us, held, unreadable)
        self._has_looked = True
        self._log_held(held)
        self._log_unreadable(unreadable)
        for entry in entries:
            envelope = entry.envelope
            self._runtime.log.event(
                "message_taken_up",
                trace=envelope.trace_id,
                sender=envelope.sender,
                recipients=[target.address for target in entry.open_targets],
                attempts=envelope.attempts,
                accepted_at=stamp(envelope.accepted_at_us),
            )
            self.fan_out(entry, None, doubtful=True)
        return len(entries)

    def _open(self, now_us: int | None, held: list[SpoolEnvelope], unreadable: list[tuple[Path, OSError]]) -> list[SpoolEntry]:
        """Open at most `MAX_RECOVERED` entries, and note those whose sender may not send now. Runs in a thread."""
        is_stopped = cache(self._access.is_stopped)

        def waits(envelope: SpoolEnvelope) -> bool:
            stopped = bool(envelope.submitted_by) and is_stopped(envelope.submitted_by)
            if stopped:
                held.append(envelope)
            return stopped or not self._delivering.backoff.is_due(envelope.trace_id)

        entries: list[SpoolEntry] = []
        try:
            found = self._spool.recover(now_us, waits, lambda path, error: unreadable.append((path, error)))
            entries.extend(islice(found, MAX_RECOVERED))
        except BaseException:
            for entry in entries:
                entry.release()
            raise
        return entries

    def _log_unreadable(self, unreadable: Sequence[tuple[Path, OSError]]) -> None:
        """Log each unreadable file once per process."""
        for path, error in unreadable:
            if str(path) not in self._unreadable:
                self._runtime.log.event("spool_entry_unreadable", file=str(path), error=error.strerror)
        self._unreadable = {str(path) for path, _ in unreadable}

    def _log_held(self, held: Sequence[SpoolEnvelope]) -> None:
        """Log once per entry and process that it waits (Reg. 4.2)."""
        for envelope in held:
            if envelope.trace_id not in self._held:
                recipients = [target.address for target in envelope.targets if not target.settled]
                self._runtime.log.event("delivery_held", trace=envelope.trace_id, sender=envelope.sender, recipients=recipients)
        self._held = {envelope.trace_id for envelope in held}

    def _deliveries_of(self, entry: SpoolEntry) -> dict[int, LocalDelivery]:
        """Return the deliveries of the open targets by mailbox; the first address of a mailbox decides."""
        envelope = entry.envelope
        deliveries: dict[int, LocalDelivery] = {}
        for target in entry.open_targets:
            mailbox = self._access.snapshot.entry(target.mailbox_id)
            if mailbox is not None and mailbox.mailbox_id not in deliveries:
                deliveries[mailbox.mailbox_id] = LocalDelivery(
                    envelope.trace_id,
                    envelope.sender,
                    LocalRecipient(target.address, (target.mailbox_id,), target.detail, frozenset(target.notify), target.orcpt),
                    mailbox,
                    entry.origin(target.mailbox_id),
                    arrived_at_us=envelope.arrived_at_us or None,
                    verdict=envelope.verdict,
                )
        return deliveries


def _queue_envelope(envelope: SpoolEnvelope, targets: Sequence[SpoolTarget]) -> QueueEnvelope:
    """Return the envelope with which a message enters the queue for these targets."""
    recipients = tuple(QueueRecipient(target.address, target.notify, target.orcpt) for target in targets)
    kept = {each.name: getattr(envelope, each.name) for each in fields(QueuedTransaction)}
    return QueueEnvelope(recipients=recipients, **kept)
