"""The housekeeper's mark by which the clock is trusted with irreversible acts. Blocking.

In: `<state_dir>/clock.mark` (an ISO instant; the boot and the seconds since it; the newest accepted fact that lies ahead;
the instant from which ages count, after a believed step), the clock, the facts on record. Out: trusted or not. Within
one boot only a step of the clock is doubted; after another boot it is unknown how long the machine was off. Once the
clock is more than an hour from the mark, or behind the newest fact, the mark stays as it is, and nothing is archived or
freed until an operator has confirmed the clock. The first mark needs no confirmation, as long as no mailbox was ever
archived; where a mark is missing later, the newest fact stands for it.
"""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mic_mail.clock import STEP_SECONDS, Clock
from mic_mail.directory.snapshot import Snapshot
from mic_mail.durable_files import replace_durably
from mic_mail.errors import Text, Trouble
from mic_mail.policy.calendar import FIRST_INSTANT
from mic_mail.policy.facts import FactKind
from mic_mail.policy.reclamation import CLOCK_STEP, is_trusted

RENEWED_SECONDS = 600.0
_BOOT, _AGES = "boot=", "ages="


@dataclass(frozen=True, slots=True)
class _Mark:
    at: datetime
    accepted: datetime | None = None
    boot: tuple[str, float] | None = None
    ages_from: datetime | None = None
    """`Clock.ages_from`, for processes that start later."""


class ClockMark:
    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._path = state_dir / "clock.mark"
        self._clock = clock

    def read(self) -> datetime | None:
        """Return the last recorded instant; None: there is no mark, or it is unreadable."""
        mark = self._read()
        return None if mark is None else mark.at

    def _read(self) -> _Mark | None:
        with contextlib.suppress(OSError, ValueError):
            words = self._path.read_text().split()
            at, *accepted = [datetime.fromisoformat(word) for word in words if not word.startswith((_BOOT, _AGES))]
            boots = [word.removeprefix(_BOOT).rsplit("@", 1) for word in words if word.startswith(_BOOT)]
            boot = next(((boot_id, float(seconds)) for boot_id, seconds in boots), None)
            ages = [datetime.fromisoformat(word.removeprefix(_AGES)) for word in words if word.startswith(_AGES)]
            if at.tzinfo and all(instant.tzinfo for instant in (*accepted, *ages)):
                return _Mark(
                    at.astimezone(UTC),
                    next((each.astimezone(UTC) for each in accepted), None),
                    boot,
                    next((each.astimezone(UTC) for each in ages), None),
                )
        return None

    @property
    def ages_from(self) -> datetime | None:
        mark = self._read()
        return None if mark is None else mark.ages_from

    def expected(self) -> tuple[datetime, bool] | None:
        """Return the present instant by the mark, and whether that is certain.

        It is certain if the machine has not been booted since; else the present is no earlier than this. None: there is no
        mark.
        """
        mark = self._read()
        return None if mark is None else self._expected(mark)

    def _expected(self, mark: _Mark) -> tuple[datetime, bool]:
        if mark.boot is None or mark.boot[0] != self._clock.boot_id:
            return mark.at, False
        return mark.at + timedelta(seconds=self._clock.boottime() - mark.boot[1]), True

    def contradiction(self) -> timedelta | None:
        """Return how far the clock differs from what is certain in this boot, if by more than an hour."""
        expected = self.expected()
        if expected is None or not expected[1]:
            return None
        differs = self._clock.now() - expected[0]
        return differs if abs(differs) > CLOCK_STEP else None

    def is_trusted(self, snapshot: Snapshot) -> bool:
        """Return whether the clock is consistent with the mark and the facts on record."""
        now, newest, mark = self._clock.now(), _newest_fact(snapshot), self._read()
        if mark is None:
            archived = any(fact.kind is FactKind.ARCHIVED for entry in snapshot for fact in entry.facts)
            return is_trusted(now, newest if archived else now, newest)
        are_accepted = mark.accepted is not None and newest <= mark.accepted
        return is_trusted(now, self._expected(mark)[0], FIRST_INSTANT if are_accepted else newest)

    def agrees(self, snapshot: Snapshot) -> bool:
        """Return whether the mark confirms the present time: to the minute within one boot, else roughly."""
        expected = self.expected()
        if expected is None:
            return False
        instant, is_certain = expected
        differs = abs(self._clock.now() - instant).total_seconds() > STEP_SECONDS
        return self.is_trusted(snapshot) and not (is_certain and differs)

    def renew(self, snapshot: Snapshot) -> bool:
        """Record the present instant if the clock is trusted and settled; return whether it is trusted."""
        trusted = self.is_trusted(snapshot)
        if trusted and self._clock.is_settled():
            mark = self._read()
            self._write(None if mark is None else mark.accepted, self._clock.ages_from)
        return trusted

    def confirm(self, newest: datetime) -> None:
        """Record the present instant unconditionally, and accept the facts that lie ahead of it.

        `newest`: when the last fact was recorded. From then on the clock is trusted.
        """
        now, expected = self._clock.now(), self.expected()
        is_step = expected is not None and abs(now - expected[0]) > CLOCK_STEP
        self._write(newest if newest > now else None, now if is_step else self.ages_from)

    def _write(self, accepted: datetime | None, ages_from: datetime | None) -> None:
        lines = [f"{self._clock.now().isoformat()}\n", f"{_BOOT}{self._clock.boot_id}@{self._clock.boottime()}\n"]
        if accepted is not None:
            lines.append(f"{accepted.astimezone(UTC).isoformat()}\n")
        if ages_from is not None:
            lines.append(f"{_AGES}{ages_from.astimezone(UTC).isoformat()}\n")
        try:
            replace_durably(str(self._path), "".join(lines).encode())
        except OSError as error:
            raise Trouble(Text("Không ghi được mốc đồng hồ.", "The last recorded time cannot be written.")) from error


def _newest_fact(snapshot: Snapshot) -> datetime:
    return max((entry.facts[-1].recorded_at for entry in snapshot if entry.facts), default=FIRST_INSTANT)
