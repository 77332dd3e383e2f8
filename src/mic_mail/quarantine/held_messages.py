"""Messages that were refused because of a marking, kept so that a mistaken refusal can be made good; and what came in marked.

In: the record of a message, and for one that was going out its octets. Out: records that survive `kill -9`; how they lie on
the disk stands in `keeping`. Of what came in nothing is held but the record. The states a record goes through:

    HELD -> ASKED (one person says why) -> RELEASED (another one agrees) -> SUBMITTED (it is in the spool)
    HELD, ASKED -> DISCARDED;   FLAGGED, of what came in: nothing is held but the record

Blocking; no clock: instants are passed in, in microseconds. Never here: what the message says.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.policy.two_persons import Hand, must_be_two
from mic_mail.quarantine.message_store import MessageStore, Word, decoded
from mic_mail.queue.spool import Spool, SpoolEnvelope


class State(StrEnum):
    """Where a record stands."""

    HELD = "held"
    ASKED = "asked"
    RELEASED = "released"
    SUBMITTED = "submitted"
    DISCARDED = "discarded"
    FLAGGED = "flagged"


NOBODY = Hand()
OPEN = frozenset({State.HELD, State.ASKED})
"""Somebody can still decide about these."""
UNDECIDED = OPEN | {State.RELEASED}
"""These have their message."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one marked message."""

    held_id: str
    state: State
    at_us: int
    expires_at_us: int
    sender: str
    login: str | None
    """Who had signed in; None for what came from outside."""
    recipients: tuple[str, ...]
    octets: int
    digest: str
    """SHA-256 of the message as it is kept."""
    degree: str
    where: tuple[str, ...]
    asked: Word | None = None
    decided: Word | None = None
    told: bool = False
    """Whoever has to know by mail has been written to."""
    slip: str = ""
    """The envelope, as the spool writes it."""

    @property
    def envelope(self) -> SpoolEnvelope:
        """To whom it was going."""
        return SpoolEnvelope.decode(self.slip.encode())


class Held(MessageStore[Record]):
    """All records below one folder; several processes at once."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, partial(decoded, Record, state=State), UNDECIDED)

    def _unknown(self, held_id: str) -> BadInput:
        return BadInput(
            Text(f"Không có thư nào được giữ với mã “{held_id}”.", f"No message is held under {in_ascii(held_id)}."),
            remedy=Text("Xem `mic-mail secrecy list`.", "See `mic-mail secrecy list`."),
        )

    def flag(self, record: Record) -> bool:
        """Keep the record of a marked message that came in; False if it is on record already."""
        self._make()
        with self._locked():
            if self._path(record.held_id).exists():
                return False
            self._put(record)
        return True

    # ------------------------------------------------------------ deciding

    def ask(self, held_id: str, word: Word) -> Record:
        """Somebody says that the refusal was a mistake."""
        return self._decide(held_id, {State.HELD}, lambda record: replace(record, state=State.ASKED, asked=word))

    def release(self, held_id: str, word: Word, sender: Hand = NOBODY) -> Record:
        """Somebody else agrees: it will be submitted. Reg. 4.1, 4.3: never the one who asked, nor who had sent it (`sender`:
        the person whose mailbox it came from)."""

        def released(record: Record) -> Record:
            assert record.asked is not None
            login = record.login or ""
            must_be_two(record.asked.hand, word.hand, others=(sender, Hand(login, login.partition("@")[0])), clause="4.1")
            return replace(record, state=State.RELEASED, decided=word)

        return self._decide(held_id, {State.ASKED}, released)

    def discard(self, held_id: str, word: Word) -> Record:
        """The refusal was right, or nobody wants it any more."""
        return self._decide(held_id, OPEN, lambda record: replace(record, state=State.DISCARDED, decided=word))

    def _decide(self, held_id: str, before: Collection[State], change: Callable[[Record], Record]) -> Record:
        with self._locked():
            record = self.record(held_id)
            if record.state not in before:
                raise Refused(
                    Text(f"Thư {held_id} đang ở trạng thái “{record.state}”.", f"{held_id} is {record.state}."),
                    clause="4.1",
                    remedy=Text(
                        "Thứ tự: ask, rồi người khác release; hoặc discard.",
                        "First ask, then another one releases; or discard.",
                    ),
                )
            changed = change(record)
            self._put(changed)
            return changed

    # ------------------------------------------------------------ the housekeeper

    def hand_over(self, record: Record, spool: Spool) -> bool:
        """Put a released message into the spool, under its own id and with its envelope; there already, it is left alone.

        False: what is kept is not what was refused, and is not sent.
        """
        # It was refused before: what is given up and when counts from the release.
        accepted_at_us = record.decided.at_us if record.decided else record.envelope.accepted_at_us
        slip = replace(record.envelope, attempts=0, next_try_us=0, accepted_at_us=accepted_at_us)
        return self._into_spool(record, spool, slip)

    def settled(self, record: Record) -> None:
        """What was decided has been done: the message goes, the record stays until its day."""
        with self._locked():
            state = State.SUBMITTED if record.state is State.RELEASED else record.state
            self._put(replace(record, state=state, told=True))
