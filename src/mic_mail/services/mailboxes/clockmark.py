"""Whether the machine's clock can be trusted with what cannot be undone: a mark that the housekeeper renews.

In: `<data_dir>/clock.mark` (one ISO instant), the clock, the facts on record. Out: trusted or not. Once the clock is more than
an hour from the mark (the server was down, or somebody set the clock), or behind the newest fact, the mark stays as it is, and
nothing is archived or freed until an operator has looked at the clock and confirms it. The first mark is made without one, as
long as no mailbox was ever archived; where a mark is missing later, the newest fact stands for it. Blocking.
"""

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import Snapshot
from mic_mail.errors import Text, Trouble
from mic_mail.policy.calendar import FIRST_INSTANT
from mic_mail.policy.facts import FactKind
from mic_mail.policy.reclaiming import is_trusted
from mic_mail.storage.maildir import replace_durably

RENEWED_SECONDS = 600.0


class ClockMark:
    """The mark of one server."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._path = data_dir / "clock.mark"
        self._clock = clock

    def read(self) -> datetime | None:
        """The last instant on record; None: there is no mark, or none that can be read."""
        with contextlib.suppress(OSError, ValueError):
            marked = datetime.fromisoformat(self._path.read_text().strip())
            return marked.astimezone(UTC) if marked.tzinfo else None
        return None

    def is_trusted(self, snapshot: Snapshot) -> bool:
        """Whether the clock goes on from what is on record."""
        now, marked = self._clock.now(), self.read()
        newest = max((entry.facts[-1].recorded_at for entry in snapshot if entry.facts), default=FIRST_INSTANT)
        if marked is None:
            archived = any(fact.kind is FactKind.ARCHIVED for entry in snapshot for fact in entry.facts)
            marked = newest if archived else now
        return is_trusted(now, marked, newest)

    def renew(self, snapshot: Snapshot) -> bool:
        """Put the present instant on record if the clock is trusted; whether it is."""
        trusted = self.is_trusted(snapshot)
        if trusted:
            self.confirm()
        return trusted

    def confirm(self) -> None:
        """Put the present instant on record, whatever was there."""
        try:
            replace_durably(str(self._path), self._clock.now().astimezone(UTC).isoformat().encode() + b"\n")
        except OSError as error:
            raise Trouble(Text("Không ghi được mốc đồng hồ.", "The mark of the clock cannot be written.")) from error
