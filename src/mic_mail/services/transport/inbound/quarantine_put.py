"""Putting a message into quarantine in place of its mailboxes (Reg. 4.2, decision 0081): durable before anybody says `250`.

In: an envelope for whose message a check has said why it is held, the message with our lines in front. Out: a record of
`outbound.quarantine`, and an event; `StoreFull` where there is none. Blocks; who has to be told later is `quarantining`'s.
"""

from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.log.maillog import MailLog
from mic_mail.mime import headers
from mic_mail.mime.encoded_words import decode_text
from mic_mail.policy.transliteration import excerpt
from mic_mail.quarantine.quarantine import Quarantine, Reason, Record, State
from mic_mail.queue.spool import SpoolEnvelope
from mic_mail.services.transport.envelope import Envelope

HEADER_OCTETS = 262_144
"""Of a subject or an author, in characters."""


class QuarantineWriter:
    """The way into the quarantine, of one process."""

    def __init__(self, config: Config, log: MailLog, clock: Clock) -> None:
        self._quarantine = Quarantine(config.quarantine_dir)
        self._log = log
        self._clock = clock
        self.configure(config)

    def configure(self, config: Config) -> None:
        """A reload."""
        self._settings = config.quarantine

    def hold(self, envelope: Envelope, source: bytes | Path, slip: SpoolEnvelope) -> None:
        """Take the message in under its own reference."""
        judged, now_us = envelope.judged, self._clock.steady_us()
        header = _header_of(source)
        record = Record(
            held_id=envelope.trace_id,
            state=State.HELD,
            reason=Reason(judged.held_for),
            at_us=now_us,
            expires_at_us=now_us + int(self._settings.keep * 1_000_000),
            sender=str(envelope.sender),
            recipients=tuple(str(recipient.address) for recipient in envelope.recipients),
            mailboxes=tuple(dict.fromkeys(target.mailbox_id for target in slip.targets if target.mailbox_id)),
            peer=envelope.client.peer.address,
            what=judged.said,
            symbols=judged.symbols,
            subject=_header_text(header, b"subject"),
            author=_header_text(header, b"from"),
            message_id=envelope.header.message_id or "",
            slip=slip.encode().decode(),
        )
        kept = self._quarantine.keep(record, source, room_octets=self._settings.space)
        self._log.event(
            "message_quarantined",
            trace=envelope.trace_id,
            clause="4.2",
            reason=kept.reason,
            what=kept.what,
            sender=kept.sender,
            recipients=list(kept.recipients),
            message_id=envelope.header.message_id,
            octets=kept.octets,
            digest=kept.digest,
            peer=kept.peer,
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
