"""The quarantine: messages from outside that were taken and not delivered, until the Centre decides or their time is over.

In: the record of a message and its octets. Out: records that survive `kill -9`; how they lie on the disk stands in `keeping`.
The states that a record goes through; who decided, why and when stands in it:

    HELD -> RELEASED (somebody of the Centre) -> DELIVERED (it is in the spool)
    HELD -> DROPPED;   HELD, nobody decided -> EXPIRED

The message goes with DELIVERED, DROPPED and EXPIRED; the record stays for `RECORD_SECONDS` more, so that who asks hears what
became of it. Blocking; no clock: instants are passed in, in microseconds. Never here: what the message says, but its subject.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.quarantine.message_store import MessageStore, Word, decoded
from mic_mail.queue.spool import Spool, SpoolEnvelope

RECORD_SECONDS = 30 * 86_400
"""How long one reads here what became of a message; the logs know it for longer."""


class State(StrEnum):
    """Where a record stands."""

    HELD = "held"
    RELEASED = "released"
    DELIVERED = "delivered"
    DROPPED = "dropped"
    EXPIRED = "expired"


WITH_MESSAGE = frozenset({State.HELD, State.RELEASED})
"""These have their message."""


class Reason(StrEnum):
    """Why a message is kept back."""

    SPAM = "spam"
    MALWARE = "malware"
    NOT_SCANNED = "not-scanned"


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one message."""

    held_id: str
    state: State
    reason: Reason
    at_us: int
    """When it came."""
    expires_at_us: int
    sender: str
    recipients: tuple[str, ...]
    mailboxes: tuple[int, ...]
    """Those that it was for."""
    peer: str
    what: str
    """The malware's name, or Rspamd's action and score."""
    symbols: tuple[str, ...] = ()
    """Rspamd's, with their scores."""
    subject: str = ""
    author: str = ""
    message_id: str = ""
    octets: int = 0
    digest: str = ""
    """SHA-256 of the message as it is kept."""
    told: tuple[int, ...] = ()
    """The mailboxes whose owner has been written to."""
    told_at_us: int = 0
    decided: Word | None = None
    teach: bool = False
    """Whoever released it said that it was no spam."""
    slip: str = ""
    """The envelope, as the spool writes it."""

    @property
    def envelope(self) -> SpoolEnvelope:
        """To whom it goes."""
        return SpoolEnvelope.decode(self.slip.encode())


class Quarantine(MessageStore[Record]):
    """All records below one folder; several processes at once."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, partial(decoded, Record, state=State, reason=Reason), WITH_MESSAGE)

    def _unknown(self, held_id: str) -> BadInput:
        return BadInput(
            Text(f"Khu cách ly không có thư mã “{held_id}”.", f"Nothing is in quarantine under {in_ascii(held_id)}."),
            remedy=Text("Xem `mic-mail quarantine list`.", "See `mic-mail quarantine list`."),
        )

    # ------------------------------------------------------------ deciding

    def release(self, held_id: str, word: Word, *, teach: bool = False) -> Record:
        """It is to be delivered."""
        return self._decide(held_id, State.RELEASED, word, teach=teach)

    def drop(self, held_id: str, word: Word) -> Record:
        """Nobody gets it."""
        return self._decide(held_id, State.DROPPED, word)

    def expire(self, held_id: str) -> Record:
        """Nobody has decided in time."""
        return self._decide(held_id, State.EXPIRED, None)

    def must_be_open(self, record: Record) -> None:
        """`Refused` if it is decided."""
        if record.state is not State.HELD:
            raise Refused(
                Text(f"Thư {record.held_id} đang ở trạng thái “{record.state}”.", f"{record.held_id} is {record.state}."),
                clause="4.2",
                remedy=Text("Chỉ quyết định được về thư còn giữ.", "Only what is held can be decided about."),
            )

    def _decide(self, held_id: str, state: State, word: Word | None, *, teach: bool = False) -> Record:
        with self._locked():
            record = self.record(held_id)
            self.must_be_open(record)
            changed = replace(record, state=state, decided=word, teach=teach)
            self._put(changed)
            return changed

    # ------------------------------------------------------------ the housekeeper

    def hand_over(self, record: Record, spool: Spool, now_us: int) -> bool:
        """Put a released message into the spool, under its own id, to be filed as no junk; there already, it is left alone.

        False: what is kept is not what came, and is not delivered.
        """
        slip = replace(
            record.envelope, attempts=0, next_try_us=0, accepted_at_us=now_us, arrived_at_us=record.at_us, verdict=""
        )
        return self._into_spool(record, spool, slip)

    def settled(self, record: Record) -> None:
        """What was decided has been done: the message goes, the record stays for a while."""
        self._end(record, State.DELIVERED)

    def lost(self, record: Record) -> None:
        """What is kept is not what came: nobody gets it."""
        self._end(record, State.DROPPED)

    def _end(self, record: Record, state: State) -> None:
        with self._locked():
            self._put(replace(self._find(record.held_id) or record, state=state))

    def mark_notified(self, held_id: str, mailbox_id: int, at_us: int) -> None:
        """The owner of that mailbox has been written to about it."""
        with self._locked():
            record = self._find(held_id)
            if record is not None and mailbox_id not in record.told:
                self._put(replace(record, told=(*record.told, mailbox_id), told_at_us=max(record.told_at_us, at_us)))
