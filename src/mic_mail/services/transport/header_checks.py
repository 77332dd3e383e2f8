"""The header of a message: its checks, the header as it is stored, and the lines in front of it."""

from collections.abc import Mapping
from functools import partial

from mic_mail.process.runtime import Runtime
from mic_mail.services.transport import author_check, trace_headers, transport_log
from mic_mail.services.transport.check import MaybeRefusal
from mic_mail.services.transport.envelope import Cause, Envelope, Refusal
from mic_mail.services.transport.inbound.message_checks import MessageChecks
from mic_mail.services.transport.incoming_message import EMPTY_LINE, IncomingMessage
from mic_mail.services.transport.sender_policy import SenderPolicy

SMALL_HEADER_OCTETS = 8_192


class HeaderChecks:
    """The header step of the messages that one process accepts."""

    def __init__(self, runtime: Runtime, senders: SenderPolicy, results: MessageChecks) -> None:
        self._runtime = runtime
        self._senders = senders
        self._results = results

    @property
    def _hostname(self) -> str:
        return self._runtime.config().server.hostname

    def front(self, envelope: Envelope) -> bytes:
        """Return the lines in front: trace lines, results of the checks, fields that submission adds."""
        stamp = trace_headers.received(envelope, self._hostname, self._runtime.clock.steady_us())
        return trace_headers.return_path(envelope) + envelope.checked.fields + stamp + envelope.header.added

    def check_loop(self, envelope: Envelope, header: bytes) -> Refusal | None:
        """Refuse a header that has passed too many servers; note its Message-ID."""
        envelope.header.message_id = trace_headers.message_id(header)
        return envelope.refusal(Cause.LOOP) if author_check.goes_in_a_circle(header) else None

    def check_author(self, envelope: Envelope, header: bytes) -> MaybeRefusal:
        """Check the author of a submitted header, and note the fields to add."""
        own, others = self._senders.own_addresses(envelope.client), self._senders.writes_as(envelope.client)
        read = partial(
            author_check.read, header, (*own, *others), self._runtime.config().smtp.subaddress, addresses=bool(others)
        )
        if len(header) <= SMALL_HEADER_OCTETS:
            return self._objection(envelope, read(), others)

        async def beside_the_loop() -> Refusal | None:
            return self._objection(envelope, await self._runtime.executors.io(read), others)

        return beside_the_loop()

    def _objection(self, envelope: Envelope, header: author_check.SubmittedHeader, others: Mapping[str, int]) -> Refusal | None:
        facts, hostname = envelope.header, self._hostname
        facts.tls_optional = header.tls_is_optional
        facts.refers_to = header.refers_to
        objection = header.objection
        if objection is not None:
            locked = self._senders.locked(objection.address, envelope.client) if objection.address else None
            return locked or envelope.refusal(objection.cause, address=objection.address, field=objection.field)
        # the same rights as were checked above; the end of the message checks them again
        self._senders.note_written_as(envelope, header.written, others)
        facts.message_id = facts.message_id or trace_headers.own_message_id(envelope, hostname)
        facts.added = trace_headers.missing(
            envelope, hostname, self._runtime.clock.steady_us(), dated=header.is_dated, identified=header.is_identified
        )
        return None

    async def settle(self, message: IncomingMessage) -> None:
        """Note the header as it is stored; put the lines in front of a submitted message."""
        assert message.header is not None
        envelope = message.envelope
        message.stored_header = EMPTY_LINE if message.begins_with_blank else await self._cleaned(envelope, message.header)
        if envelope.is_submitted:
            message.put_in_front(self.front(envelope))

    async def _cleaned(self, envelope: Envelope, header: bytes) -> bytes:
        """Return the header without forged authentication results of this server (RFC 8601 §5)."""
        if not self._results.has_results(header):
            return header
        # Five thousand such fields, or one of 200 KB, take 60 ms.
        is_small = len(header) <= SMALL_HEADER_OCTETS
        cleaned = self._results.cleaned(header) if is_small else await self._runtime.executors.io(self._results.cleaned, header)
        if len(cleaned) != len(header):
            transport_log.results_removed(self._runtime.log, envelope, len(header) - len(cleaned))
        return cleaned
