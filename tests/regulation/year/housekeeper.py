"""The housekeeper of the simulated ministry: a process of its own that can be killed in the middle of a round.

As a program (`python -m regulation.year.housekeeper CONFIG DUTY...`) it reads instants, one a line; at each it does once what a
server's housekeeper does again and again, but for the duties named, and prints a line.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from random import Random

from mic_mail.app.context import ServerContext, open_context
from mic_mail.app.scheduled_jobs import for_itself, for_the_server
from mic_mail.clock import ManualClock
from mic_mail.config.load import load
from mic_mail.services.operations.jobs import JobRunner

VISITS = ("sweep", "rescan", "replies", "passed_on", "openings")
"""Duties that open every mailbox. They have tests of their own; for thousands of people they would take most of the year."""
TESTS = Path(__file__).parents[2]
LONGEST_SECONDS = 0.3
"""Within so long after it was told a round is killed: most are at work then."""


class Keeper:
    """The process, and who kills it."""

    def __init__(self, config: Path, rng: Random, *, without: Sequence[str] = ()) -> None:
        """`without`: duties that are left out."""
        self._config = config
        self._without = without
        self._chance = rng
        self._process: subprocess.Popen[str] | None = None
        self._next = self._start()
        """Stands by for when the first is killed: to start takes a second."""
        self._begun: datetime | None = None
        self.kills = 0

    def begin(self, instant: datetime, *, killed: bool) -> None:
        """Keep house at this instant; where it is killed, the next process does it again."""
        if killed:
            self._tell(instant)
            self._kill_soon()
        self._tell(instant)
        self._begun = instant

    def finish(self) -> None:
        """Wait until what was begun is done."""
        if self._begun is None:
            return
        assert self._process is not None
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer == "done\n", f"the housekeeper said {answer!r} at {self._begun}"
        self._begun = None

    def _tell(self, instant: datetime) -> None:
        if self._process is None:
            self._process, self._next = self._next, self._start()
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "ready\n"
        assert self._process.stdin is not None
        self._process.stdin.write(f"{instant.isoformat()}\n")
        self._process.stdin.flush()

    def _start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "regulation.year.housekeeper", str(self._config), *self._without]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=TESTS)

    def _kill_soon(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(self._chance.uniform(0, LONGEST_SECONDS))
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.wait(10)
        self._process = None
        self.kills += 1

    def stop(self) -> None:
        """As the end of its input would."""
        if self._process is not None:
            self._process.communicate(timeout=30)
            self._process = None
        self._next.kill()
        self._next.communicate(timeout=30)


async def _keep(path: Path, *without: str) -> None:
    print("ready", flush=True)
    clock = ManualClock(datetime.fromisoformat(await _line()))
    context = await open_context(load(path), clock, "housekeeper", secret=os.urandom(32))
    duties = JobRunner(
        [duty for duty in (*for_itself(context), *for_the_server(context)) if duty.name not in without],
        context.log,
        context.clock,
    )
    while True:
        await _round(context, duties)
        print("done", flush=True)
        if not (line := await _line()):
            break
        clock.move_to(datetime.fromisoformat(line))
    await context.close()


async def _round(context: ServerContext, duties: JobRunner) -> None:
    context.access.clock_moved()
    await context.access.refresh()
    # As a server's processes write all day: a week without a line up to now is one that nobody can judge (`Shut.UNLOGGED`).
    context.log.event("process_ready", process="housekeeper")
    context.log.flush()
    await duties.run_once()


async def _line() -> str:
    return (await asyncio.to_thread(sys.stdin.readline)).strip()


if __name__ == "__main__":
    asyncio.run(_keep(Path(sys.argv[1]), *sys.argv[2:]))
