"""Whether the machine's clock can be trusted with what cannot be undone: a mark that the housekeeper renews.

In: `<data_dir>/clock.mark` (an ISO instant, and a second one where facts were accepted that lie ahead), the clock, the facts
on record. Out: trusted or not. Once the clock is more than an hour from the mark (the server was down, or somebody set the
clock), or behind the newest fact, the mark stays as it is, and nothing is archived or freed until an operator has looked at the
clock and confirms it; facts from a clock that was ahead are then accepted up to the newest. The first mark is made without one,
as long as no mailbox was ever archived; where a mark is missing later, the newest fact stands for it. Blocking.
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
        return next(iter(self._instants()), None)

    def _instants(self) -> list[datetime]:
        """The mark, and the fact up to which those ahead were accepted; nothing where any of it cannot be read."""
        with contextlib.suppress(OSError, ValueError):
            found = [datetime.fromisoformat(line) for line in self._path.read_text().split()]
            if all(instant.tzinfo for instant in found):
                return [instant.astimezone(UTC) for instant in found]
        return []

    def is_trusted(self, snapshot: Snapshot) -> bool:
        """Whether the clock goes on from what is on record."""
        now, newest = self._clock.now(), _newest_fact(snapshot)
        marked, accepted = (*self._instants(), None, None)[:2]
        if marked is None:
            archived = any(fact.kind is FactKind.ARCHIVED for entry in snapshot for fact in entry.facts)
            marked = newest if archived else now
        return is_trusted(now, marked, FIRST_INSTANT if accepted is not None and newest <= accepted else newest)

    def renew(self, snapshot: Snapshot) -> bool:
        """Put the present instant on record if the clock is trusted; whether it is."""
        trusted = self.is_trusted(snapshot)
        if trusted:
            self._write(self._instants()[1:2])
        return trusted

    def confirm(self, newest: datetime) -> None:
        """Put the present instant on record, whatever was there, and accept the facts that lie ahead of it; `newest`: when the
        last one was recorded. From then on the clock is trusted."""
        self._write([newest] if newest > self._clock.now() else [])

    def _write(self, accepted: list[datetime]) -> None:
        lines = [f"{instant.astimezone(UTC).isoformat()}\n" for instant in (self._clock.now(), *accepted)]
        try:
            replace_durably(str(self._path), "".join(lines).encode())
        except OSError as error:
            raise Trouble(Text("Không ghi được mốc đồng hồ.", "The mark of the clock cannot be written.")) from error


def _newest_fact(snapshot: Snapshot) -> datetime:
    return max((entry.facts[-1].recorded_at for entry in snapshot if entry.facts), default=FIRST_INSTANT)
