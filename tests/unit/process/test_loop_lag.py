"""Loop lag: seen, counted, and logged with what ran."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mic_mail.clock import SystemClock
from mic_mail.log.maillog import MailLog
from mic_mail.process import loop_lag
from mic_mail.process.loop_lag import BOUNDS_MS, CLIENT_BEATS, HEARTBEAT_SECONDS, LoopLag, quantile_ms
from waiting import wait_on_loop


class ManualLoop:
    """A loop's time and timers, moved by hand."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._due: list[tuple[float, Callable[[], None]]] = []
        self.wakings = 0

    def time(self) -> float:
        return self._now

    def call_at(self, due: float, callback: Callable[..., None], *arguments: Any) -> Any:
        entry = (due, lambda: callback(*arguments))
        self._due.append(entry)
        handle: Any = type("Handle", (), {"cancel": lambda _: self._due.remove(entry)})()
        return handle

    def stand(self, seconds: float) -> None:
        """Let time pass in which no timer is called."""
        self._now += seconds

    def run(self, seconds: float) -> None:
        """Let time pass, and call each timer when it is due."""
        until = self._now + seconds
        while self._due and min(self._due)[0] <= until:
            due, callback = first = min(self._due)
            self._due.remove(first)
            self._now = max(self._now, due)
            self.wakings += 1
            callback()
        self._now = max(self._now, until)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> ManualLoop:
    """Stands in for the running loop."""
    made = ManualLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


@pytest.fixture
def lag(loop: ManualLoop, tmp_path: Path) -> Iterator[LoopLag]:
    log = MailLog(tmp_path, "worker0", clock=SystemClock(), threaded=False)
    made = LoopLag(log)
    made.start()
    yield made
    made.close()
    log.close()


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
    for _ in range(50):
        lag.note("NOOP")
        await wait_on_loop(lambda: not lag._recent)
    lag.close()
    log.close()
    logged = [json.loads(line)["ms"] for path in tmp_path.glob("*.jsonl") for line in path.read_bytes().splitlines()]
    assert logged
    assert logged == sorted(logged)
    assert len(logged) < 25
    assert lag.worst_ms >= logged[-1] - 1


def test_an_idle_loop_is_not_woken(loop: ManualLoop, lag: LoopLag) -> None:
    """One heartbeat after the start, and none in the hour after it; they are counted all the same, as punctual."""
    loop.run(3600)
    assert loop.wakings == 1
    assert lag.counts[0] == sum(lag.counts) == pytest.approx(3600 / HEARTBEAT_SECONDS, abs=2)
    assert lag.report()["lag_beats"] == lag.beats
    loop.run(60)
    assert sum(lag.counts) == pytest.approx(3660 / HEARTBEAT_SECONDS, abs=2)
    assert lag.sum_ms == 0


@pytest.mark.parametrize("begin", ["note", "measure"])
def test_work_is_measured_from_its_first_moment(loop: ManualLoop, lag: LoopLag, begin: str) -> None:
    """The command that ends a rest may be the one that blocks; after the interval without work the loop rests again."""
    loop.run(60)
    rested = loop.wakings
    lag.note("FETCH") if begin == "note" else lag.measure()
    loop.stand(0.5)
    loop.run(60)
    assert lag.worst_ms == pytest.approx(480)
    assert lag.counts[BOUNDS_MS.index(500.0)] == 1
    assert loop.wakings == rested + 2
    assert sum(lag.counts) == pytest.approx((120.5 - 0.48) / HEARTBEAT_SECONDS, abs=3)


def test_what_follows_a_client_is_measured_for_a_second(loop: ManualLoop, lag: LoopLag) -> None:
    """The handshake of TLS comes a round trip after the connection, and no protocol sees it."""
    loop.run(60)
    rested = loop.wakings
    lag.measure_client()
    lag.measure()
    loop.run(0.3)
    loop.stand(0.5)
    loop.run(60)
    assert lag.worst_ms == pytest.approx(500, abs=1000 * HEARTBEAT_SECONDS)
    assert loop.wakings == rested + CLIENT_BEATS + 1


def test_while_there_is_work_each_heartbeat_is_measured(loop: ManualLoop, lag: LoopLag) -> None:
    """The shares of late heartbeats are those of a loop that never rests."""
    for round_ in range(100):
        lag.measure()
        if round_ % 10 == 9:
            loop.stand(0.05)
        loop.run(HEARTBEAT_SECONDS)
    assert loop.wakings >= 99
    assert lag.counts[BOUNDS_MS.index(50.0)] == 10


def test_a_closed_one_measures_nothing(loop: ManualLoop, lag: LoopLag) -> None:
    """Commands that end while the process drains wake nothing, neither after work nor after a rest."""
    loop.run(60)
    lag.close()
    counted = lag.counts
    lag.note("LOGOUT")
    lag.measure()
    loop.run(60)
    assert lag.counts == counted


def test_quantiles_are_bounds() -> None:
    """99 of 100 heartbeats below 2 ms and one far beyond."""
    counts = [0] * (len(BOUNDS_MS) + 1)
    counts[1], counts[-1] = 99, 1
    assert quantile_ms(counts, 0.5) == 2.0
    assert quantile_ms(counts, 0.99) == 2.0
    assert quantile_ms(counts, 0.999) == 1000.0
    assert quantile_ms([0] * len(counts), 0.5) == 1.0
