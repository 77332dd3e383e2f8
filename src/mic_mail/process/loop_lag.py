"""Measure how late the event loop runs, and log the commands behind long pauses.

While there is work, a heartbeat every 20 ms measures how late it comes. Protocol servers call `note` when a command starts and
`measure_client` when a client connects or sends; all others that begin work on the loop call `measure` (0.1 µs each). After an
interval without any, and a second after the last client, the heartbeat rests, so that an idle process sleeps. The heartbeats
that a rest has left out are counted as punctual when it ends, and when the counts are read: shares and differences of the
counts mean the same as if it had never rested.

A pause above the threshold is logged with the commands noted since the last heartbeat, but within `REPEAT_SECONDS` only if it
is longer than the one logged before: on an overloaded machine the log would hold little else. The counts have every pause; they
feed `status`, the metrics and the benchmarks.
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from mic_mail.log.maillog import MailLog

HEARTBEAT_SECONDS = 0.02
CLIENT_BEATS = 50
"""Heartbeats that follow the input of a client.

A TLS handshake comes after it, and has work for the loop which no protocol sees.
"""
REPEAT_SECONDS = 10.0
BOUNDS_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class LoopLag:
    """The loop's lateness; create it in the running loop, `start` it, `close` it."""

    def __init__(self, log: MailLog, threshold_seconds: float = 0.05) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = log
        self.threshold_seconds = threshold_seconds
        self._recent: deque[str] = deque(maxlen=8)
        self._beats_due = 0
        """Heartbeats that follow even if no more work begins."""
        self._is_resting = False
        self._counted_until = 0.0
        """The time of the loop up to which the present rest is counted."""
        self._counts = [0] * (len(BOUNDS_MS) + 1)
        self.worst_ms = 0.0
        self.sum_ms = 0.0
        self._logged_ms = 0.0
        self._repeat_at = 0.0
        """The time of the loop from which a pause is logged even if it is not longer than `_logged_ms`."""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start measuring; nothing is measured before."""
        self._schedule()

    def note(self, command: str) -> None:
        """Note a command that begins on the loop now, for the log, and measure."""
        self._recent.append(command)
        if self._is_resting:
            self._end_rest()

    def measure(self) -> None:
        """Measure the loop's lateness now, since work begins on it."""
        self._beats_due = self._beats_due or 1
        if self._is_resting:
            self._end_rest()

    def measure_client(self) -> None:
        """Measure the loop's lateness for a second, since a client connects or sends."""
        self._beats_due = CLIENT_BEATS
        if self._is_resting:
            self._end_rest()

    def _schedule(self) -> None:
        due = self._loop.time() + HEARTBEAT_SECONDS
        self._timer = self._loop.call_at(due, self._beat, due)

    def _beat(self, due: float) -> None:
        now = self._loop.time()
        late = now - due
        late_ms = late * 1000
        self._counts[bisect_left(BOUNDS_MS, late_ms)] += 1
        self.worst_ms = max(self.worst_ms, late_ms)
        self.sum_ms += late_ms
        if late > self.threshold_seconds and (late_ms > self._logged_ms or now >= self._repeat_at):
            self._logged_ms, self._repeat_at = late_ms, now + REPEAT_SECONDS
            self._log.event("loop_lagged", ms=round(late_ms, 1), commands=list(self._recent))
        if self._recent or self._beats_due:
            self._recent.clear()
            self._beats_due = max(0, self._beats_due - 1)
            self._schedule()
        else:
            self._timer, self._is_resting, self._counted_until = None, True, now

    def _end_rest(self) -> None:
        self._count_rest()
        self._is_resting = False
        self._schedule()

    def _count_rest(self) -> None:
        """Count the heartbeats that the present rest has left out until now."""
        if self._is_resting:
            left_out = int((self._loop.time() - self._counted_until) / HEARTBEAT_SECONDS)
            self._counts[0] += left_out
            self._counted_until += left_out * HEARTBEAT_SECONDS

    @property
    def counts(self) -> Sequence[int]:
        """The number of heartbeats by lateness: one for each of BOUNDS_MS, and one for later heartbeats."""
        self._count_rest()
        return tuple(self._counts)

    @property
    def beats(self) -> dict[str, int]:
        """The same counts by bound in milliseconds, not cumulative; "more": later than all bounds."""
        return dict(zip((*(f"{bound:g}" for bound in BOUNDS_MS), "more"), self.counts, strict=True))

    def report(self) -> dict[str, object]:
        """Return the numbers for `mic-mail status` and the metrics."""
        counts = self.counts
        return {
            "lag_ms": {
                "p50": quantile_ms(counts, 0.5),
                "p99": quantile_ms(counts, 0.99),
                "worst": round(self.worst_ms, 1),
            },
            "lag_beats": self.beats,
            "lag_sum_ms": round(self.sum_ms, 1),
        }

    def close(self) -> None:
        self._count_rest()
        self._is_resting = False
        if self._timer is not None:
            self._timer.cancel()


def quantile_ms(counts: Sequence[int], share: float) -> float:
    """Return the bound below which `share` of the heartbeats came; the largest bound for those beyond it."""
    wanted, seen = share * sum(counts), 0
    for bound, count in zip(BOUNDS_MS, counts, strict=False):
        seen += count
        if seen >= wanted:
            return bound
    return BOUNDS_MS[-1]
