"""Acceptance: makes a message that passed its checks durable.

A message for one local mailbox is published straight into its store; one for several, or with recipients on other
servers, goes through one durable spool entry and is fanned out at once, to mailboxes and into the queue; one that is
held goes into quarantine. Where the queue is a database, a message enters it first, and the spool has the other recipients.
"""

import asyncio
from collections.abc import Callable

from mic_mail.mime.imap_structure import Answers, answers, answers_of
from mic_mail.mime.structure import with_head
from mic_mail.process.runtime import Runtime
from mic_mail.queue.scratch import Scratch
from mic_mail.queue.spool import SpoolDraft, SpoolEntry, SpoolEnvelope
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.transport import transport_log
from mic_mail.services.transport.check import CompleteMessage
from mic_mail.services.transport.delivery import LocalDeliverer
from mic_mail.services.transport.delivery_worker import LocalDelivery
from mic_mail.services.transport.envelope import Accepted, Envelope
from mic_mail.services.transport.inbound.quarantine_put import QuarantineWriter
from mic_mail.services.transport.incoming_message import IncomingMessage, Sink, Stream
from mic_mail.services.transport.recipient_lookup import RecipientLookup
from mic_mail.services.transport.spool_dispatch import SpoolDispatch
from mic_mail.storage.delivery import StagedContent
from mic_mail.storage.mailstore import MailStore


class Acceptance:
    """The last step of every message that one process takes; belongs to the event loop."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        store: MailStore,
        spooling: SpoolDispatch,
        delivering: LocalDeliverer,
        quarantine: QuarantineWriter,
        recipients: RecipientLookup,
        access: SignInService,
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._spooling = spooling
        self.delivering = delivering
        self._quarantine = quarantine
        self._recipients = recipients
        self._access = access
        self.tasks = delivering.tasks

    def _deliveries(self, envelope: Envelope) -> list[LocalDelivery]:
        """Return one delivery for each mailbox, however many addresses lead to it."""
        deliveries: dict[int, LocalDelivery] = {}
        for recipient in envelope.recipients:
            for mailbox_id in recipient.mailboxes:
                mailbox = self._access.snapshot.entry(mailbox_id)
                if mailbox is not None and mailbox_id not in deliveries:
                    deliveries[mailbox_id] = LocalDelivery(
                        envelope.trace_id, envelope.sender, recipient, mailbox, verdict=envelope.checked.verdict
                    )
        return list(deliveries.values())

    # ------------------------------------------------------------ files

    async def open_stream(self, envelope: Envelope) -> Stream:
        """Open a file for a large message: a scratch file until its lines in front are known."""
        opening = self._runtime.executors.io_executor.submit(
            self._opener(envelope) if envelope.is_submitted else self._spooling.scratch
        )
        try:
            return Stream(self._runtime.executors, await asyncio.shield(opening))
        except asyncio.CancelledError:
            self.tasks.start(self._discard_when_open(opening))
            raise

    def _opener(self, envelope: Envelope) -> Callable[[], SpoolDraft | StagedContent]:
        """Return the function that opens the final file of a message. Blocks."""
        deliveries = self._deliveries(envelope)

        def open_sink() -> SpoolDraft | StagedContent:
            if _is_for_one(envelope, deliveries):
                return self._store.account_of(deliveries[0].mailbox).stage()
            return self._spooling.draft(envelope.trace_id)

        return open_sink

    async def _discard_when_open(self, opening: "asyncio.Future[Sink]") -> None:
        await asyncio.wait([opening])
        if not opening.cancelled() and opening.exception() is None:  # else there is nothing to discard
            await self._runtime.executors.io(opening.result().discard)

    async def complete(self, message: IncomingMessage, front: bytes) -> CompleteMessage:
        """Return the message as it is stored, its file durable; `front` is put before mail from other servers."""
        envelope, stream, scan = message.envelope, message.stream, message.scan
        if stream is None or scan is None:
            deliveries = self._deliveries(envelope)
            octets = message.whole_with(front) if front else message.buffered
            return CompleteMessage(envelope, octets, message.octets, deliveries, not _is_for_one(envelope, deliveries))
        if front:
            await stream.replace_sink(await self._copy(message, stream.sink, front))
        sink = stream.sink
        assert not isinstance(sink, Scratch)
        answered = await self._runtime.executors.cpu(lambda: answers(with_head(scan, front) if front else scan))
        return CompleteMessage(
            envelope, sink, message.octets, self._deliveries(envelope), isinstance(sink, SpoolDraft), answered
        )

    async def _copy(self, message: IncomingMessage, scratch: Sink, front: bytes) -> Sink:
        assert isinstance(scratch, Scratch)
        assert message.header is not None
        open_sink, offset = self._opener(message.envelope), len(message.header)

        def copy() -> Sink:
            sink = open_sink()
            try:
                sink.write(front + message.stored_header)
                sink.append_rest(scratch.fd, offset)
                sink.finish()
            except BaseException:
                sink.discard()
                raise
            return sink

        return await self._runtime.executors.io(copy)

    # ------------------------------------------------------------ durable steps

    async def accept(self, message: CompleteMessage, *, passed_over: Callable[[], None]) -> Accepted:
        """Make the message durable.

        `passed_over` is called if the caller is cancelled before the turn of a small message comes.
        """
        if message.envelope.checked.held_for:
            return await self._hold(message)
        if message.goes_by_spool:
            return await self._into_spool(message)
        delivery = message.deliveries[0]
        if isinstance(message.content, bytes):
            await self.delivering.small(delivery, message.content, message.answers, passed_over=passed_over)
        else:
            assert not isinstance(message.content, SpoolDraft)
            assert message.answers is not None
            await self.delivering.staged(delivery, message.content, message.answers)
        self._recipients.grew(delivery.mailbox.mailbox_id, message.stored_octets)
        return self._accepted(message)

    async def _hold(self, message: CompleteMessage) -> Accepted:
        spool_envelope = self._spooling.spool_envelope(message.envelope, message.deliveries)
        await self._runtime.executors.io(self._quarantine.hold, message.envelope, message.source, spool_envelope)
        return self._accepted(message)

    async def _into_spool(self, message: CompleteMessage) -> Accepted:
        envelope, deliveries, content = message.envelope, message.deliveries, message.content

        spooling = self._spooling

        def commit() -> tuple[SpoolEntry | None, SpoolEnvelope | None, Answers]:
            """Return the entry in the spool, and the envelope of what went straight into the queue."""
            spool_envelope = spooling.spool_envelope(envelope, deliveries)
            if isinstance(content, bytes):
                draft = spooling.draft(envelope.trace_id)
                draft.write(content)
                answered = message.answers or answers_of(content)
            else:
                assert isinstance(content, SpoolDraft)
                assert message.answers is not None
                draft, answered = content, message.answers
            try:
                left = spooling.accept_elsewhere(draft, spool_envelope)
            except BaseException:
                draft.discard()
                raise
            if left is spool_envelope:
                return draft.commit(spool_envelope), None, answered
            if left is None:
                draft.discard()
                return None, spool_envelope, answered
            try:
                return draft.commit(left), spool_envelope, answered
            except BaseException:
                spooling.withdraw(envelope.trace_id)
                raise

        entry, queued, answered = await self._runtime.executors.io(commit)
        if queued is not None:
            spooling.has_queued(queued)
        if entry is not None:
            spooling.fan_out(entry, answered)
        for delivery in deliveries:
            self._recipients.grew(delivery.mailbox.mailbox_id, answered.size)
        return self._accepted(message)

    def _accepted(self, message: CompleteMessage) -> Accepted:
        envelope, octets = message.envelope, message.received_octets
        client = envelope.client
        if client.signed_in is not None:
            for mailbox_id in (client.signed_in.mailbox_id, *envelope.written_as):
                self._access.used(mailbox_id)
        written_as = [self._access.snapshot.entries[mailbox_id].address for mailbox_id in envelope.written_as]
        transport_log.accepted(self._runtime.log, envelope, octets, written_as)
        return Accepted(envelope.trace_id, octets)


def _is_for_one(envelope: Envelope, deliveries: list[LocalDelivery]) -> bool:
    """Return whether the message is for one local mailbox alone and needs no success report."""
    return len(deliveries) == 1 and not envelope.elsewhere and not envelope.wants_success
