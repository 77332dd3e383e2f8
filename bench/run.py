"""`make bench`: this server beside Dovecot, Postfix and Cyrus, in one run on one machine.

    python bench/run.py [--only small,office] [--runs 3] [--check] [--no-peers] [--no-keep] [--folder DIR]

Does the works of `rows.py` whose names begin with one of `--only`, each server in its turn, so that a machine that changes its
speed changes it for all; medians count. Peers run where their programs are installed (as root; `docs/development.md`,
Measuring); a missing one is said and left out. Writes the results to `bench/results/` and makes `docs/performance.md` of all
that are kept.

`--check` does the works with a checked row, compares their ratios with the last kept results, keeps nothing, and exits with 1
where one has fallen by more than a quarter, and has done so again when its work was done once more by servers started anew: one
start in some is slow by a third, in all its rows, for as long as it runs.

Each run has a folder of its own and leaves it there: ext4 passes over recently deleted inodes, some minutes long, whenever it
makes a file, so a run that began by removing the last one's mail would measure that.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import report
import results
import sessions
from rows import WORKS
from servers import NAMES, OURS, running
from work import FULL, TINY, Bench, Sizes, Work

PROGRAMS = {"imaptest": sessions.imaptest}


def chosen(only: str, *, check: bool) -> list[Work]:
    """The works of a run; one whose program is not installed is said and left out."""
    works = [work for work in WORKS if not check or any(row.checked for row in work.rows)]
    works = [work for work in works if not only or work.name.startswith(tuple(only.split(",")))]
    missing = {work.program for work in works if work.program is not None and PROGRAMS[work.program]() is None}
    for name in sorted(missing):
        print(f"without {name}: not installed", file=sys.stderr)
    return [work for work in works if work.program not in missing]


@contextmanager
def started(folder: Path, wanted: set[str], sizes: Sizes, base: int) -> Iterator[Bench]:
    """A run over servers of its own, which end with the block."""
    folder.mkdir(parents=True)
    os.chmod(folder, 0o755)
    with running(folder, wanted, sizes.users, base) as servers:
        time.sleep(sizes.settle)
        yield Bench(folder, sizes, servers, base + 4000)


def measure(bench: Bench, work: Work, runs: int) -> dict[str, list[Mapping[str, float]]]:
    """The figures of each server's turns, those of warm-ups left out."""
    assert work.turn is not None
    servers = [bench.servers[name] for name in work.servers if name in bench.servers]
    if work.prepare is not None:
        work.prepare(bench, servers)
    figures: dict[str, list[Mapping[str, float]]] = {server.name: [] for server in servers}
    for number in range(work.warm_ups + min(runs, work.most_runs)):
        for server in servers:
            found = work.turn(bench, server)
            if number >= work.warm_ups:
                figures[server.name].append(found)
    return figures


def show(work: Work, found: Mapping[str, dict[str, dict[str, dict[str, float]]]], seconds: float) -> None:
    """Print the rows of a work as they come."""
    for row in work.rows:
        each = found[f"{work.name}.{row.figure}"]
        values = "  ".join(f"{name} {figures['median']:g}" for name, figures in each["servers"].items())
        ratios = "  ".join(f"{value:.2f} x {name}" for name, value in each["ratios"].items())
        print(f"{row.text:<60} {values} {row.unit}  {ratios}", flush=True)
    print(f"    [{work.name}: {seconds:.0f} s]", flush=True)


def do(done: results.Results, works: list[Work], bench: Bench, runs: int) -> None:
    """Add the results of all works; one that fails is noted and costs no other."""
    for work in works:
        start = time.monotonic()
        try:
            rows = results.summary(work, measure(bench, work, runs))
        except Exception as error:  # noqa: BLE001  of any kind; the others are still wanted
            traceback.print_exc()
            done["failed"][work.name] = f"{type(error).__name__}: {error}"[:200]
            continue
        done["rows"] |= rows
        show(work, rows, time.monotonic() - start)
        results.write(done, bench.folder)  # what is measured is not lost with what comes after it


def do_again(
    done: results.Results,
    before: list[results.Results],
    works: list[Work],
    start: Callable[[], AbstractContextManager[Bench]],
    runs: int,
) -> list[str]:
    """The ratios that have fallen in these results, and again when `start` has started all servers anew for their works."""
    checked = [f"{work.name}.{row.figure}" for work in works for row in work.rows if row.checked]
    fallen = results.fallen(done, before, checked)
    if not fallen:
        return []
    print("\n".join(fallen), "\nonce more, by servers started anew:", flush=True)
    names = {line.partition(".")[0] for line in fallen}
    with start() as bench:
        do(done, [work for work in works if work.name in names], bench, runs)
    return results.fallen(done, before, checked)


def main() -> int:
    """Run what was asked for; 1 where a work failed or a checked ratio fell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="beginnings of the names of works")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp") / time.strftime("mic-mail-bench-%F-%H%M%S"))
    parser.add_argument("--ports-from", type=int, default=13000, help="six thousand from here on")
    parser.add_argument("--check", action="store_true", help="compare with the last kept results")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--no-keep", action="store_true", help="write no results")
    parser.add_argument("--tiny", action="store_true", help="only see that each work still runs; keep nothing")
    arguments = parser.parse_args()
    works, sizes = chosen(arguments.only, check=arguments.check), TINY if arguments.tiny else FULL
    before = results.kept()
    wanted = {name for work in works for name in work.servers} & (OURS if arguments.no_peers else NAMES.keys())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers end with this program
    with started(arguments.folder, wanted, sizes, arguments.ports_from) as bench:
        for name in sorted(wanted - bench.servers.keys()):
            print(f"without {NAMES[name]}: not installed", file=sys.stderr)
        done = results.begin(sizes.name, arguments.runs, bench.folder)
        done["peers"] = sorted(bench.servers.keys() - OURS)
        do(done, works, bench, arguments.runs)
    print(f"mail and logs are in {arguments.folder}; do not remove them within six minutes of the next run")
    if arguments.check:
        anew = partial(started, arguments.folder / "again", wanted, sizes, arguments.ports_from)
        nothing = ["there are no kept results to compare with"]
        said = do_again(done, before, works, anew, arguments.runs) if before else nothing
        print("\n".join(said) or "no ratio has fallen by more than a quarter")
        return int(bool(said or done["failed"]))
    if not (arguments.no_keep or arguments.tiny):
        print(f"results: {results.write(done)}")
        report.write()
    return int(bool(done["failed"]))


if __name__ == "__main__":
    sys.exit(main())
