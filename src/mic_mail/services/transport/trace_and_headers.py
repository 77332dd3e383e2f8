"""The lines in front of a message: trace lines, fields that submission adds, results of the checks.

In: an envelope and the header of its message. Out: the lines, the header as it is stored, or the `Refusal` that follows
from the header (submission) or from the checks (mail from other servers). Nothing is stored here.
"""

from collections.abc import Callable
from functools import partial

from mic_mail.clock import Clock
from mic_mail.process.executors import Executors
from mic_mail.services.settings.flowsettings import FlowSettings
from mic_mail.services.transport import author_check, trace_headers
from mic_mail.services.transport.envelope import Cause, Envelope, Refusal, Role
from mic_mail.services.transport.inbound.check_result import Source
from mic_mail.services.transport.inbound.message_checks import MessageChecks
from mic_mail.services.transport.sender_policy import SenderPolicy
from mic_mail.services.transport.transport_log import FlowLog

SMALL_HEADER_OCTETS = 8_192


class Headings:
    """The header step of the messages that one process accepts."""

    def __init__(
        self,
        settings: Callable[[], FlowSettings],
        *,
        senders: SenderPolicy,
        judging: MessageChecks,
        lanes: Executors,
        log: FlowLog,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._senders = senders
        self._judging = judging
        self._lanes = lanes
        self._log = log
        self._clock = clock

    def head(self, envelope: Envelope, results: bytes = b"") -> bytes:
        """Return the trace lines (RFC 5321 §4.4), with `results` of the checks among them."""
        stamp = trace_headers.received(envelope, self._settings().hostname, self._clock.steady_us())
        return trace_headers.return_path(envelope) + results + stamp

    async def check(self, envelope: Envelope, header: bytes) -> Refusal | bytes:
        """Return why a message with this header is refused, or the lines that submission adds to it."""
        envelope.header.message_id = trace_headers.message_id(header)
        if author_check.goes_in_a_circle(header):
            return envelope.refusal(Cause.LOOP)
        if envelope.client.role is not Role.SUBMISSION:
            return b""
        settings = self._settings()
        own, others = self._senders.own_addresses(envelope.client), self._senders.writes_as(envelope.client)
        read = partial(author_check.read, header, (*own, *others), settings.separator, addresses=bool(others))
        reading = read() if len(header) <= SMALL_HEADER_OCTETS else await self._lanes.io(read)
        envelope.header.tls_optional = reading.tls_is_optional
        envelope.header.refers_to = reading.refers_to
        objection = reading.objection
        if objection is not None:
            locked = self._senders.locked(objection.address, envelope.client) if objection.address else None
            return locked or envelope.refusal(objection.cause, address=objection.address, field=objection.field)
        # the same rights as were checked above; the end of the message checks them again
        self._senders.note_written_as(envelope, reading.written, others)
        envelope.header.message_id = envelope.header.message_id or trace_headers.own_message_id(envelope, settings.hostname)
        return trace_headers.missing(
            envelope, settings.hostname, self._clock.steady_us(), dated=reading.is_dated, identified=reading.is_identified
        )

    async def cleaned(self, envelope: Envelope, header: bytes) -> bytes:
        """Return the header without forged authentication results of this server (RFC 8601 §5)."""
        if not self._judging.has_results(header):
            return header
        # Five thousand such fields, or one of 200 KB, take 60 ms.
        is_small = len(header) <= SMALL_HEADER_OCTETS
        cleaned = self._judging.cleaned(header) if is_small else await self._lanes.io(self._judging.cleaned, header)
        if len(cleaned) != len(header):
            self._log.results_removed(envelope, len(header) - len(cleaned))
        return cleaned

    async def judge(self, envelope: Envelope, source: Source, header: bytes) -> Refusal | bytes:
        """Check a message from another server: return a refusal, or the fields to put in front of it."""
        judgement = await self._judging.judge(envelope, source, header)
        if judgement.refusal is not None:
            return judgement.refusal
        judged = envelope.judged
        judged.verdict, judged.held_for = judgement.verdict, judgement.held_for
        judged.said, judged.symbols = judgement.said, judgement.symbols
        judged.authenticates_sender = judgement.authenticates_sender
        return judgement.fields
