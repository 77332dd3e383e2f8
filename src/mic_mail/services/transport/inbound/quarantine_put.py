"""Puts a message into quarantine instead of its mailboxes (Reg. 4.2, decision 0081)."""

from pathlib import Path

from mic_mail.mime import headers
from mic_mail.mime.encoded_words import decode_text
from mic_mail.policy.naming.transliteration import excerpt
from mic_mail.process.runtime import Runtime
from mic_mail.quarantine.quarantine import Quarantine, QuarantineRecord, QuarantineState, Reason
from mic_mail.queue.spool import SpoolEnvelope
from mic_mail.services.transport.envelope import Envelope

HEADER_OCTETS = 262_144
"""Octets read from the message to find its header."""


class QuarantineWriter:
    """Writes messages into the quarantine for one process."""

    def __init__(self, runtime: Runtime, quarantine: Quarantine) -> None:
        self._runtime = runtime
        self._quarantine = quarantine

    def hold(self, envelope: Envelope, source: bytes | Path, spool_envelope: SpoolEnvelope) -> None:
        """Quarantine the message under its trace id."""
        checked, now_us = envelope.checked, self._runtime.clock.steady_us()
        header = _header_of(source)
        record = QuarantineRecord(
            held_id=envelope.trace_id,
            state=QuarantineState.HELD,
            reason=Reason(checked.held_for),
            at_us=now_us,
            expires_at_us=now_us + int(self._runtime.config().quarantine.keep * 1_000_000),
            sender=str(envelope.sender),
            recipients=tuple(str(recipient.address) for recipient in envelope.recipients),
            mailboxes=tuple(dict.fromkeys(target.mailbox_id for target in spool_envelope.targets if target.mailbox_id)),
            peer=envelope.client.peer.address,
            what=checked.finding,
            symbols=checked.symbols,
            subject=_header_text(header, b"subject"),
            author=_header_text(header, b"from"),
            message_id=envelope.header.message_id or "",
            slip=spool_envelope.encode().decode(),
        )
        record = self._quarantine.keep(record, source, room_octets=self._runtime.config().quarantine.space)
        self._runtime.log.event(
            "message_quarantined",
            trace=envelope.trace_id,
            clause="4.2",
            reason=record.reason,
            what=record.what,
            sender=record.sender,
            recipients=list(record.recipients),
            message_id=envelope.header.message_id,
            octets=record.octets,
            digest=record.digest,
            peer=record.peer,
        )


def _header_of(source: bytes | Path) -> bytes:
    if isinstance(source, bytes):
        octets = source[:HEADER_OCTETS]
    else:
        with open(source, "rb", buffering=0) as file:
            octets = file.read(HEADER_OCTETS)
    return octets.partition(b"\r\n\r\n")[0]


def _header_text(header: bytes, name: bytes) -> str:
    return excerpt(decode_text(headers.field(header, name) or b""))
