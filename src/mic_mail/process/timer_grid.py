"""The grid of timers: periodic work of a process falls on the same instants, so that it costs one wake-up.

A process that rests is woken by its timers alone. Timers that begin at different instants wake it once each; on the grid, all
that is due in the same second is done in the same wake-up (`docs/decisions/0107`).
"""

import asyncio

LONGEST_STEP_SECONDS = 60.0
"""Seconds of the coarsest grid; longer periods begin on a whole minute when they are due."""


def next_tick(now: float, period: float) -> float:
    """Return the instant of the grid that is nearest to `now + period`, by the same clock as `now`.

    The grid are the multiples of the period, or of LONGEST_STEP_SECONDS where that is shorter. Work that takes little time is
    done once in each period; work that takes longer pauses for at least half a period.
    """
    step = min(period, LONGEST_STEP_SECONDS)
    return round((now + period) / step) * step


async def sleep_to_tick(period: float) -> None:
    """Sleep until the next instant of the grid, by the clock of the loop."""
    now = asyncio.get_running_loop().time()
    await asyncio.sleep(next_tick(now, period) - now)
