"""Watch for steps of the wall clock, and decide when the clock is trusted again.

Each process notices within a second that the wall clock was set: cached answers are discarded and timers set anew
(`docs/decisions/0094`).

A process starts with the time of the clock mark (`services.mailboxes.clock_trust`) where the machine's clock contradicts it.
After more than an hour in which no server ran, the age of waiting messages counts anew. A step is accepted once the clock
agrees with the mark, which an operator can set (`clock confirm`). It is also accepted where it has lasted for SETTLE_SECONDS
and is one forward of at most LONGEST_GAP (as after the pause of a machine) or back of at most CLOCK_STEP (a clock that drifted
slowly). Until then the clock is not settled: sessions go on by the steady time, last uses wait to be recorded, and jobs that
act by the clock wait (`services.operations.jobs`).
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import described
from mic_mail.log.maillog import MailLog
from mic_mail.policy.reclamation import CLOCK_STEP
from mic_mail.process.timer_grid import sleep_to_tick
from mic_mail.services.mailboxes.clock_trust import ClockMark

LOOK_SECONDS = 1.0
NOTICED_SECONDS = 0.5
"""Changes of the wall clock against the boot time that are no step.

The rates of clocks differ, and NTP slews them.
"""
SETTLE_SECONDS = 3600.0
LONGEST_GAP = timedelta(days=31)


def begin_by_the_mark(state_dir: Path, clock: Clock) -> None:
    """Replace the time of a clock that contradicts the mark, before anything is recorded by it. Blocking."""
    mark = ClockMark(state_dir, clock)
    expected = mark.expected()
    if expected is None:
        return
    instant, is_certain = expected
    gap = clock.now() - instant
    if is_certain or not -CLOCK_STEP <= gap <= LONGEST_GAP:
        clock.accept_time(instant)
        clock.ages_from = mark.ages_from
    else:  # if the clock is right, no delivery was tried meanwhile
        clock.ages_from = clock.now() if gap > CLOCK_STEP else mark.ages_from


class ClockWatcher:
    """The clock watcher of one process; belongs to the event loop."""

    def __init__(
        self, clock: Clock, *, does_mark_agree: Callable[[], Awaitable[bool]], stepped: Callable[[], None], log: MailLog
    ) -> None:
        """`stepped` is called at each step, and when a step is accepted."""
        self._clock = clock
        self._does_mark_agree = does_mark_agree
        self._stepped = stepped
        self._log = log
        self._step = clock.step_seconds()
        self._since = clock.boottime()
        self._is_settled = clock.is_settled()

    async def run(self) -> None:
        """Check each second, until cancelled."""
        while True:
            await sleep_to_tick(LOOK_SECONDS)
            try:
                await self.check()
            except (MicMailError, OSError) as error:  # the mark cannot be read now: the next check tries again
                self._log.event("errand_failed", error=described(error))

    async def check(self) -> None:
        """Notice a step, and accept it where that is allowed."""
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
