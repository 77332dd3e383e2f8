"""Loop lag: seen, counted, and logged with what ran."""

import json
import time
from pathlib import Path

from mic_mail.clock import SystemClock
from mic_mail.log.maillog import MailLog
from mic_mail.process.loop_lag import BOUNDS_MS, LoopLag, quantile_ms
from waiting import wait_on_loop


async def test_a_pause_is_logged_with_the_commands_that_ran(tmp_path: Path) -> None:
    """Whoever blocks the loop for more than the threshold stands in the log, and only then."""
    log = MailLog(tmp_path, "worker0", clock=SystemClock(), threaded=False)
    lag = LoopLag(log, threshold_seconds=0.3)
    lag.start()
    lag.note("NOOP")
    await wait_on_loop(lambda: sum(lag.counts) >= 2)
    lag.note("UID FETCH")
    time.sleep(0.5)  # blocks the loop for longer than the threshold
    await wait_on_loop(lambda: not lag._recent)
    lag.close()
    log.close()
    events = [json.loads(line) for path in tmp_path.glob("*.jsonl") for line in path.read_bytes().splitlines()]
    [paused] = [event for event in events if event["commands"] == ["UID FETCH"]]
    assert paused["event"] == "loop_lagged"
    assert paused["ms"] >= 300
    assert lag.worst_ms >= paused["ms"] - 1
    assert sum(lag.counts) >= 3
    assert list(lag.beats.values()) == list(lag.counts)
    assert lag.beats["1000"] + lag.beats["more"] + lag.beats["500"] >= 1


def test_quantiles_are_bounds() -> None:
    """99 of 100 heartbeats below 2 ms and one far beyond."""
    counts = [0] * (len(BOUNDS_MS) + 1)
    counts[1], counts[-1] = 99, 1
    assert quantile_ms(counts, 0.5) == 2.0
    assert quantile_ms(counts, 0.99) == 2.0
    assert quantile_ms(counts, 0.999) == 1000.0
    assert quantile_ms([0] * len(counts), 0.5) == 1.0
