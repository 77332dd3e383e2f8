"""Loop lag: seen, counted, and logged with what ran."""

import json
import time
from pathlib import Path

import pytest

from mic_mail.clock import SystemClock
from mic_mail.log.maillog import MailLog
from mic_mail.process import loop_lag
from mic_mail.process.loop_lag import BOUNDS_MS, LoopLag, quantile_ms
from waiting import wait_on_loop


async def test_a_pause_is_logged_with_the_commands_that_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever blocks the loop for more than the threshold stands in the log, and only then."""
    log = MailLog(tmp_path, "worker0", clock=SystemClock(), threaded=False)
    monkeypatch.setattr(loop_lag, "REPEAT_SECONDS", 0.0)  # a longer pause of the machine may come first
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


async def test_an_overloaded_machine_does_not_fill_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after a logged pause only a longer one is logged; all of them are counted."""
    monkeypatch.setattr(loop_lag, "REPEAT_SECONDS", 3600.0)
    log = MailLog(tmp_path, "worker0", clock=SystemClock(), threaded=False)
    lag = LoopLag(log, threshold_seconds=0.0)  # every heartbeat comes a little late
    lag.start()
    await wait_on_loop(lambda: sum(lag.counts) >= 50)
    lag.close()
    log.close()
    logged = [json.loads(line)["ms"] for path in tmp_path.glob("*.jsonl") for line in path.read_bytes().splitlines()]
    assert logged
    assert logged == sorted(logged)
    assert len(logged) < 25
    assert lag.worst_ms >= logged[-1] - 1


def test_quantiles_are_bounds() -> None:
    """99 of 100 heartbeats below 2 ms and one far beyond."""
    counts = [0] * (len(BOUNDS_MS) + 1)
    counts[1], counts[-1] = 99, 1
    assert quantile_ms(counts, 0.5) == 2.0
    assert quantile_ms(counts, 0.99) == 2.0
    assert quantile_ms(counts, 0.999) == 1000.0
    assert quantile_ms([0] * len(counts), 0.5) == 1.0
