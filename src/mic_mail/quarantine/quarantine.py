"""The quarantine: accepted messages from outside, held until the Centre decides or they expire.

In: the record of a message and its octets. Out: records that survive `kill -9`; `message_store` describes the files. The
states of a record, which also holds who decided, why and when:

    HELD -> RELEASED (by a person at the Centre) -> DELIVERED (it is in the spool)
    HELD -> DROPPED;   HELD, not decided in time -> EXPIRED

The message is removed with DELIVERED, DROPPED and EXPIRED; the record stays `RECORD_SECONDS` longer, to answer questions
about it. Blocking; no clock: instants are passed in, in microseconds. Never here: the text of a message, except its
subject.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.quarantine.message_store import MessageStore, OfficerDecision, decoded
from mic_mail.quarantine.record_place import RecordPlace
from mic_mail.queue.spool import Spool, SpoolEnvelope

RECORD_SECONDS = 30 * 86_400
"""Retention of a record after its end; the logs keep it for longer."""


class QuarantineState(LabelledEnum):
    """The state of a record."""

    HELD = "held", "đang giữ", "held"
    RELEASED = "released", "được cho chuyển", "released"
    DELIVERED = "delivered", "đã chuyển vào hộp thư", "delivered"
    DROPPED = "dropped", "đã hủy", "dropped"
    EXPIRED = "expired", "hết hạn giữ", "expired"


WITH_MESSAGE = frozenset({QuarantineState.HELD, QuarantineState.RELEASED})
"""States in which the message is stored."""


class Reason(LabelledEnum):
    """The reason why a message is held."""

    SPAM = "spam", "thư rác", "spam"
    MALWARE = "malware", "mã độc", "malware"
    NOT_SCANNED = "not-scanned", "chưa quét được mã độc", "not scanned"


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """The data of one message."""

    held_id: str
    state: QuarantineState
    reason: Reason
    at_us: int
    """Time of arrival."""
    expires_at_us: int
    sender: str
    recipients: tuple[str, ...]
    mailboxes: tuple[int, ...]
    """The mailboxes it is for."""
    peer: str
    what: str
    """The malware's name, or Rspamd's action and score."""
    symbols: tuple[str, ...] = ()
    """Rspamd's symbols with their scores."""
    subject: str = ""
    author: str = ""
    message_id: str = ""
    octets: int = 0
    digest: str = ""
    """SHA-256 of the stored message."""
    told: tuple[int, ...] = ()
    """Mailboxes whose owner was notified."""
    told_at_us: int = 0
    decided: OfficerDecision | None = None
    teach: bool = False
    """Set if the person who released it said that it was no spam."""
    slip: str = ""
    """The spool envelope in its encoded form."""

    @property
    def envelope(self) -> SpoolEnvelope:
        """The spool envelope for a release."""
        return SpoolEnvelope.decode(self.slip.encode())


class Quarantine(MessageStore[QuarantineRecord]):
    """All records of one place; several processes may use it."""

    def __init__(self, place: Path | RecordPlace) -> None:
        super().__init__(place, partial(decoded, QuarantineRecord, state=QuarantineState, reason=Reason), WITH_MESSAGE)

    def _unknown(self, held_id: str) -> BadInput:
        return BadInput(
            Text(f"Khu cách ly không có thư mã “{held_id}”.", f"No quarantined message {in_ascii(held_id)}."),
            remedy=Text("Xem `mic-mail quarantine list`.", "See `mic-mail quarantine list`."),
        )

    # ------------------------------------------------------------ decisions

    def release(self, held_id: str, word: OfficerDecision, *, teach: bool = False) -> QuarantineRecord:
        """Decide that the message is delivered."""
        return self._decide(held_id, QuarantineState.RELEASED, word, teach=teach)

    def drop(self, held_id: str, word: OfficerDecision) -> QuarantineRecord:
        """Decide that nobody gets the message."""
        return self._decide(held_id, QuarantineState.DROPPED, word)

    def expire(self, held_id: str) -> QuarantineRecord:
        """Record that nobody decided in time."""
        return self._decide(held_id, QuarantineState.EXPIRED, None)

    def must_be_open(self, record: QuarantineRecord) -> None:
        """Raise `Refused` if the record is decided."""
        if record.state is not QuarantineState.HELD:
            raise Refused(
                Text(f"Thư {record.held_id} đang ở trạng thái “{record.state}”.", f"{record.held_id} is {record.state}."),
                clause="4.2",
                remedy=Text("Chỉ quyết định được về thư còn giữ.", "Only a held message can be released or dropped."),
            )

    def _decide(
        self, held_id: str, state: QuarantineState, word: OfficerDecision | None, *, teach: bool = False
    ) -> QuarantineRecord:
        self.record(held_id)  # before anything is made: of an unknown id there may be no place
        with self.place.changing(held_id) as change:
            record = self._decoded(held_id, change.read())
            self.must_be_open(record)
            changed = replace(record, state=state, decided=word, teach=teach)
            self._put(change, changed)
            return changed

    # ------------------------------------------------------------ the housekeeper

    def hand_over(self, record: QuarantineRecord, spool: Spool, now_us: int) -> bool:
        """Spool a released message under its id, once, to be filed as ham; return False if it was altered."""
        slip = replace(
            record.envelope, attempts=0, next_try_us=0, accepted_at_us=now_us, arrived_at_us=record.at_us, verdict=""
        )
        return self._into_spool(record, spool, slip)

    def settled(self, record: QuarantineRecord) -> None:
        """Record the delivery: the message is removed, the record stays for a while."""
        self._end(record, QuarantineState.DELIVERED)

    def lost(self, record: QuarantineRecord) -> None:
        """Record that the stored message is not what came, so that nobody gets it."""
        self._end(record, QuarantineState.DROPPED)

    def _end(self, record: QuarantineRecord, state: QuarantineState) -> None:
        with self.place.changing(record.held_id) as change:
            self._put(change, replace(self._found(change) or record, state=state))

    def mark_notified(self, held_id: str, mailbox_id: int, at_us: int) -> None:
        """Record that the owner of that mailbox was notified."""
        with self.place.changing(held_id) as change:
            record = self._found(change)
            if record is not None and mailbox_id not in record.told:
                self._put(change, replace(record, told=(*record.told, mailbox_id), told_at_us=max(record.told_at_us, at_us)))
