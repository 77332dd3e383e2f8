"""Each process notices within a second that the wall clock was set: cached answers are asked again and timers set anew, and the
clock is believed, or not yet (`docs/decisions/0094`).

A process begins with the time of the mark (`services.mailboxes.clockmark`), where the machine's clock contradicts it; after
more than an hour in which nothing ran what waits counts its age anew. A step is believed once the clock agrees with the mark,
which an operator can set (`clock confirm`), or where it has lasted for SETTLE_SECONDS and is one forward of at most
LONGEST_GAP (a machine that was paused looks like that) or back of at most CLOCK_STEP (a clock that went wrong slowly). Until
then the clock is not settled: sessions go on by the steady time, uses wait to be recorded, and jobs that act by the clock
wait (`operations.housekeeping`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import described
from mic_mail.log.maillog import MailLog
from mic_mail.policy.reclamation import CLOCK_STEP
from mic_mail.services.mailboxes.clock_trust import ClockMark

LOOK_SECONDS = 1.0
NOTICED_SECONDS = 0.5
"""Changes of the wall clock against the time since boot that are no step: rates of clocks differ, and NTP slews them."""
SETTLE_SECONDS = 3600.0
LONGEST_GAP = timedelta(days=31)


def begin_by_the_mark(state_dir: Path, clock: Clock) -> None:
    """Doubt a clock that contradicts the mark, before anything is recorded by it. Blocking."""
    mark = ClockMark(state_dir, clock)
    expected = mark.expected()
    if expected is None:
        return
    instant, is_certain = expected
    gap = clock.now() - instant
    if is_certain or not -CLOCK_STEP <= gap <= LONGEST_GAP:
        clock.accept_time(instant)
        clock.ages_from = mark.ages_from
    else:  # nothing was tried meanwhile, if the clock is right
        clock.ages_from = clock.now() if gap > CLOCK_STEP else mark.ages_from


class ClockWatcher:
    """The watch of one process; belongs to the event loop."""

    def __init__(
        self, clock: Clock, *, does_mark_agree: Callable[[], Awaitable[bool]], stepped: Callable[[], None], log: MailLog
    ) -> None:
        """`stepped` is called at each step, and when one is believed."""
        self._clock = clock
        self._does_mark_agree = does_mark_agree
        self._stepped = stepped
        self._log = log
        self._step = clock.step_seconds()
        self._since = clock.boottime()
        self._is_settled = clock.is_settled()

    async def run(self) -> None:
        """Look each second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.check()
            except (MicMailError, OSError) as error:  # the mark cannot be read now: the next look asks again
                self._log.event("errand_failed", error=described(error))

    async def check(self) -> None:
        """Notice a step, and believe one where that may be."""
        step, since_boot = self._clock.step_seconds(), self._clock.boottime()
        by = step - self._step
        if abs(by) > NOTICED_SECONDS:
            self._step, self._since = step, since_boot
            self._log.event("clock_stepped", seconds=round(by, 1), settled=self._clock.is_settled())
        if not self._clock.is_settled() and (self._has_lasted(step, since_boot) or await self._does_mark_agree()):
            self._clock.accept_time(self._clock.now())
            self._step = self._clock.step_seconds()
        if abs(by) > NOTICED_SECONDS or self._clock.is_settled() is not self._is_settled:
            self._is_settled = self._clock.is_settled()
            self._stepped()

    def _has_lasted(self, step: float, since_boot: float) -> bool:
        return -CLOCK_STEP <= timedelta(seconds=step) <= LONGEST_GAP and since_boot - self._since >= SETTLE_SECONDS
