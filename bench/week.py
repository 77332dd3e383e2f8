"""A week at rest by a moved clock: does anything restart, fail or grow, and is done what is due each hour and day?

    python bench/week.py [--days 7] [--speed 100] [--folder DIR] [--ports-from 19000] [--tiny]

Runs `mic-mail demo` under libfaketime (package faketime), so that all its clocks and timers go `--speed` times as fast: a week
takes 100 minutes. An hour of the server's time sees one message and one reader. The machine has to be quiet: at 100 times a
process that is silent for 0.6 s counts as hung. Ends with 1 where a process failed or was started again, a message or a duty is
missing, or memory (by more than `GROWTH`) has grown since the first seventh of the time, or descriptors since its first third.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import smtplib
import statistics
import sys
import tempfile
import time
from contextlib import closing, suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import results
from measure import ImapClient, cpu_seconds, memory_kib, tree
from rows import WEEK
from servers import MIC_MAIL, PASSWORD, Server, start_ours
from soak import failures

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
DAY_SECONDS = 86_400
LOOKS = 168
"""One an hour of a week."""
GROWTH = 1.05
RENEWED = timedelta(minutes=20)
"""Twice the time after which the housekeeper writes its mark of the clock anew."""
HOUR = timedelta(hours=1)
MESSAGE = "From: a@example.net\r\nTo: u0@bench.test\r\nSubject: hour {}\r\n\r\nxin chao\r\n"


def faster(speed: float) -> dict[str, str]:
    """The environment of a server whose wall clock, monotonic clock and waits go `speed` times as fast.

    Times of files stay the kernel's: the server compares them with each other, and sets some of them itself.
    """
    return {"LD_PRELOAD": str(LIBRARY), "FAKETIME": f"+0 x{speed:g}", "FAKETIME_DISABLE_SHM": "1", "NO_FAKE_STAT": "1"}


def look(server: Server) -> tuple[float, int]:
    """MiB (Pss) and descriptors of all processes."""
    open_files = 0
    for pid in tree(server.pids):
        with suppress(OSError):  # it has ended
            open_files += len(os.listdir(f"/proc/{pid}/fd"))
    return memory_kib(server.pids) / 1024, open_files


def staying(server: Server) -> dict[str, int]:
    """The processes that always run, when all are ready or a minute has passed; others come and go with their work."""
    end = time.monotonic() + 60
    while not all(each["ready"] for each in server.processes() or [{"ready": False}]) and time.monotonic() < end:
        time.sleep(0.2)
    return {each["name"]: each["pid"] for each in server.processes() if each["name"].startswith(("worker", "house"))}


def use(server: Server, number: int) -> int:
    """Deliver a message and count all of them; return 1 where that fails or one is missing."""
    try:
        with smtplib.SMTP("127.0.0.1", server.smtp, timeout=60) as client:
            client.sendmail("a@example.net", [server.user % 0], MESSAGE.format(number))
        with closing(ImapClient(server.imap)) as reader:
            _, _, answer = reader.login(server.user % 0, PASSWORD).command("SELECT INBOX", keep=True)
    except (OSError, EOFError, RuntimeError) as error:
        print(f"not used: {error!r}")
        return 1
    there = re.search(rb"\* (\d+) EXISTS", answer)  # the server's own notices are among them
    return int(there is None or int(there[1]) < number)


def left_out(folder: Path) -> list[str]:
    """What `app/scheduled_jobs.py` has due each ten minutes, hour and day and leaves a mark, and was not done."""
    events = [json.loads(line) for part in (folder / "log").glob("*.jsonl") for line in part.read_bytes().split(b"\n")[:-1]]
    instants = [datetime.fromisoformat(each["at"]) for each in events]
    anchors = [each for each in events if each["event"] == "log_anchored"]
    points = sorted([min(instants), *(datetime.fromisoformat(each["at"]) for each in anchors), max(instants)])
    missing = [f"no anchor from {one} to {other}" for one, other in pairwise(points) if other - one > 1.5 * HOUR]
    closed = max((each["closes"][1] for each in anchors if each["closes"]), default="")
    days = {instant.date() for instant in instants if instant.date() < (max(instants) - 1.5 * HOUR).date()}
    missing += [f"{day} is not closed" for day in sorted(days) if day.isoformat() > closed]
    marked = datetime.fromisoformat((folder / "state" / "clock.mark").read_text().split()[0])
    return missing + [f"the clock was last marked at {marked}"] * (max(instants) - marked > RENEWED)


def run(server: Server, days: float, looks: int, speed: float) -> dict[str, float]:
    """Let the time pass, and return the figures."""
    pids, began, cpu, lost, seen = staying(server), time.monotonic(), cpu_seconds(server.pids), 0, list[tuple[float, int]]()
    for number in range(1, looks + 1):
        time.sleep(max(0.0, began + number * days * DAY_SECONDS / looks / speed - time.monotonic()))
        seen.append(look(server))
        lost += use(server, number)
        print(f"{number * days * 24 / looks:6.1f} h  {seen[-1][0]:6.1f} MiB  {seen[-1][1]} descriptors", flush=True)
    some = max(1, looks // 28)
    first_mib, _ = zip(*seen[looks // 7 - some : looks // 7], strict=True)
    last_mib, last_open = zip(*seen[-some:], strict=True)
    first_open = [descriptors for _, descriptors in seen[: max(1, looks // 3)]]
    failed, undone = failures(server), left_out(Path(server.status).parents[1])
    moved = [name for name, pid in staying(server).items() if pids.get(name) != pid and name in pids]
    print("failed:", dict(failed) or "nothing", "\nstarted again:", moved or "none", "\nleft out:", undone or "nothing")
    return {
        "failed": failed.total() + len(moved) + lost,
        "undone": len(undone),
        "pss_mib": statistics.mean(last_mib),
        "growth": 100 * statistics.mean(last_mib) / statistics.mean(first_mib),
        "descriptors": max(last_open) - max(first_open),
        "cpu_s": cpu_seconds(server.pids) - cpu,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=7, help="results of fewer than seven are not kept")
    parser.add_argument("--speed", type=float, default=100)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--ports-from", type=int, default=19000)
    parser.add_argument("--tiny", action="store_true", help="only see that it still runs")
    arguments = parser.parse_args()
    if LIBRARY is None:
        sys.exit("libfaketime is not installed (package faketime)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server ends with this program
    days, looks, speed = (0.0007, 7, 2.0) if arguments.tiny else (arguments.days, LOOKS, arguments.speed)
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="mic-mail-week-"))
    folder.mkdir(parents=True, exist_ok=True)
    server = start_ours(folder / "server", arguments.ports_from, users=20, environment=faster(speed))
    try:
        figures = run(server, days, looks, speed)
    finally:
        server.stop()
    print("  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    if days >= 7:
        print(f"results: {results.keep(WEEK, {MIC_MAIL: [figures]})}")
    grown = not arguments.tiny and (figures["growth"] > 100 * GROWTH or figures["descriptors"] > 0)
    sys.exit(int(grown or figures["failed"] > 0 or figures["undone"] > 0))


if __name__ == "__main__":
    main()
