"""Messages refused for a secrecy marking, held so that a mistaken refusal can be corrected.

Also the records of marked mail that came in, of which nothing but the record is stored. In: the record of a message, and
its octets if it was going out. Out: records that survive `kill -9`; `message_store` describes the files. The states of a
record:

    HELD -> ASKED (one person says why) -> RELEASED (another one agrees) -> SUBMITTED (it is in the spool)
    HELD, ASKED -> DISCARDED;   FLAGGED, of mail that came in: only the record is stored

Blocking; no clock: instants are passed in, in microseconds. Never here: the text of a message.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.authorization.two_persons import Hand, must_be_two
from mic_mail.quarantine.message_store import MessageStore, OfficerDecision, decoded
from mic_mail.quarantine.record_place import RecordPlace
from mic_mail.queue.spool import Spool, SpoolEnvelope


class HeldState(LabelledEnum):
    """The state of a record."""

    HELD = "held", "đang giữ", "held"
    ASKED = "asked", "chờ người thứ hai", "waits for a second person"
    RELEASED = "released", "được cho chuyển", "released"
    SUBMITTED = "submitted", "đã chuyển đi", "submitted"
    DISCARDED = "discarded", "giữ nguyên từ chối", "discarded"
    FLAGGED = "flagged", "thư đến, đã báo Trung tâm", "came in, flagged"


NOBODY = Hand()
OPEN = frozenset({HeldState.HELD, HeldState.ASKED})
"""States in which a decision is still possible."""
UNDECIDED = OPEN | {HeldState.RELEASED}
"""States in which the message is stored."""


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """The data of one marked message."""

    held_id: str
    state: HeldState
    at_us: int
    expires_at_us: int
    sender: str
    login: str | None
    """The signed-in address; None for mail from outside."""
    recipients: tuple[str, ...]
    octets: int
    digest: str
    """SHA-256 of the stored message."""
    degree: str
    where: tuple[str, ...]
    asked: OfficerDecision | None = None
    decided: OfficerDecision | None = None
    told: bool = False
    """Set once the people concerned were notified by mail."""
    slip: str = ""
    """The spool envelope in its encoded form."""

    @property
    def envelope(self) -> SpoolEnvelope:
        """The spool envelope for a release."""
        return SpoolEnvelope.decode(self.slip.encode())


class HeldMessages(MessageStore[HeldRecord]):
    """All records of one place; several processes may use it."""

    def __init__(self, place: Path | RecordPlace) -> None:
        super().__init__(place, partial(decoded, HeldRecord, state=HeldState), UNDECIDED)

    def _unknown(self, held_id: str) -> BadInput:
        return BadInput(
            Text(f"Không có thư nào được giữ với mã “{held_id}”.", f"No held message {in_ascii(held_id)}."),
            remedy=Text("Xem `mic-mail secrecy list`.", "See `mic-mail secrecy list`."),
        )

    def flag(self, record: HeldRecord) -> bool:
        """Store the record of a marked message that came in; return False if it exists."""
        self.place.prepare()
        with self.place.changing(record.held_id) as change:
            if change.read() is not None:
                return False
            self._put(change, record)
        return True

    # ------------------------------------------------------------ decisions

    def ask(self, held_id: str, word: OfficerDecision) -> HeldRecord:
        """Record that somebody calls the refusal a mistake."""
        return self._decide(held_id, {HeldState.HELD}, lambda record: replace(record, state=HeldState.ASKED, asked=word))

    def release(self, held_id: str, word: OfficerDecision, sender: Hand = NOBODY) -> HeldRecord:
        """Record the agreement of a person who neither asked nor is the `sender` (Reg. 4.1, 4.3)."""

        def released(record: HeldRecord) -> HeldRecord:
            assert record.asked is not None
            login = record.login or ""
            must_be_two(record.asked.hand, word.hand, others=(sender, Hand(login, login.partition("@")[0])), clause="4.1")
            return replace(record, state=HeldState.RELEASED, decided=word)

        return self._decide(held_id, {HeldState.ASKED}, released)

    def discard(self, held_id: str, word: OfficerDecision) -> HeldRecord:
        """Record that the refusal was right, or that nobody needs the message any more."""
        return self._decide(held_id, OPEN, lambda record: replace(record, state=HeldState.DISCARDED, decided=word))

    def _decide(self, held_id: str, before: Collection[HeldState], decided: Callable[[HeldRecord], HeldRecord]) -> HeldRecord:
        self.record(held_id)  # before anything is made: of an unknown id there may be no place
        with self.place.changing(held_id) as change:
            record = self._decoded(held_id, change.read())
            if record.state not in before:
                raise Refused(
                    Text(f"Thư {held_id} đang ở trạng thái “{record.state}”.", f"{held_id} is {record.state}."),
                    clause="4.1",
                    remedy=Text(
                        "Thứ tự: ask, rồi người khác release; hoặc discard.",
                        "First ask; then another officer releases it, or discard it.",
                    ),
                )
            changed = decided(record)
            self._put(change, changed)
            return changed

    # ------------------------------------------------------------ the housekeeper

    def hand_over(self, record: HeldRecord, spool: Spool) -> bool:
        """Spool a released message under its id, once; return False if it is not the one that was refused."""
        # It was refused before, so retries and the final failure count from the release.
        accepted_at_us = record.decided.at_us if record.decided else record.envelope.accepted_at_us
        slip = replace(record.envelope, attempts=0, next_try_us=0, accepted_at_us=accepted_at_us)
        return self._into_spool(record, spool, slip)

    def settled(self, record: HeldRecord) -> None:
        """Record that the decision was carried out: the message is removed, the record stays until it expires."""
        with self.place.changing(record.held_id) as change:
            state = HeldState.SUBMITTED if record.state is HeldState.RELEASED else record.state
            self._put(change, replace(record, state=state, told=True))
