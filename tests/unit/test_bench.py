"""The table of what `make bench` measures, its results and `docs/performance.md`, without measuring anything."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import report
import results
import run
from delivery import Turn
from free_ports import free_base
from rows import ADDRESS_BOOK, SOAK, WEEK, WORKS
from servers import DOVECOT, MIC_MAIL, Server
from work import TINY, Bench, Row, Work, all_rows, ratio

ROOT = Path(__file__).parents[2]
EVERYTHING = (*WORKS, ADDRESS_BOOK, SOAK, WEEK)


def kept(ratios: dict[str, dict[str, float]], **more: Any) -> results.Results:
    """Results with these ratios by row and peer; ours always has a figure."""
    rows = {
        name: {"servers": {"mic-mail": {"runs": [1.0], "median": 1.0}}, "ratios": by_peer} for name, by_peer in ratios.items()
    }
    made = {"at": "2026-12-01 10:00", "commit": "abc", "sizes": "full", "runs": 1, "peers": ["dovecot", "cyrus"], "rows": rows}
    return {**made, **more}


def test_the_results_of_a_row() -> None:
    """The newest, but of one commit those of the most runs."""
    short, long = kept({"a": {}}, commit="new"), kept({"a": {}}, commit="new", runs=3)
    older, without = kept({"a": {}}, commit="old", runs=9), kept({"b": {}}, commit="newest", runs=9)
    assert results.newest("a", [without, short, long, older]) is long
    assert results.newest("a", [without, kept({"a": {}}, commit="newer"), long]) is not long
    assert results.newest("c", [without, short]) is None


def test_each_row_has_a_name_and_a_place() -> None:
    """No two rows share a name, each table of the document is of some work, and fifteen or more rows are checked."""
    rows = all_rows(EVERYTHING)
    assert len(rows) == sum(len(work.rows) for work in EVERYTHING)
    template = report.TEMPLATE.read_text()
    assert {work.table for work in EVERYTHING} == set(report.TABLE.findall(template))
    assert sum(row.checked for _, row in rows.values()) >= 15
    assert all(set(row.times) <= set(work.servers) for work, row in rows.values())


def test_the_document_is_made_of_the_kept_results() -> None:
    """No figure in it is typed by hand: `python bench/report.py` makes it anew."""
    assert report.DOCUMENT.read_text() == report.text(results.kept())


@pytest.mark.parametrize(
    ("unit", "ours", "theirs", "times"),
    [("messages/s", 400, 200, 2.0), ("ms", 2, 4, 2.0), ("MiB", 4, 2, 0.5), ("", 10, 0, None), ("s", 0, 1, None)],
)
def test_how_many_times_as_good(unit: str, ours: float, theirs: float, times: float | None) -> None:
    """Of a rate more is better, of all else less; beside nothing there is no ratio."""
    assert ratio(Row("work", "figure", unit), ours, theirs) == times


def test_medians_and_ratios_of_a_run() -> None:
    """Of three turns the middle one counts; a figure that only ours has gives no ratio."""
    work = Work("append", "imap", None, (Row("APPEND", "per_s", "messages/s"), Row("lag", "lag", "ms")))
    rows = results.summary(
        work, {"mic-mail": [{"per_s": each, "lag": 1} for each in (90, 300, 310)], "dovecot": [{"per_s": 600}], "cyrus": []}
    )
    assert rows["append.per_s"] == {
        "servers": {"mic-mail": {"runs": [90, 300, 310], "median": 300}, "dovecot": {"runs": [600], "median": 600}},
        "ratios": {"dovecot": 0.5},
    }
    assert rows["append.lag"]["ratios"] == {}


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ({"a": {"dovecot": 1.6, "cyrus": 0.9}}, []),
        ({"a": {"dovecot": 1.4, "cyrus": 0.9}}, ["a: 1.40 x dovecot, was 2.00 x in 2026-12-01 10:00 abc"]),
        ({"a": {"dovecot": 2.5}}, ["a: not measured beside cyrus"]),
        ({}, ["a: not measured beside cyrus", "a: not measured beside dovecot"]),
    ],
)
def test_a_ratio_that_fell(now: dict[str, dict[str, float]], found: list[str]) -> None:
    """By more than a quarter since the newest results that have the row; a row that fails to be measured is told too."""
    before = [kept({"b": {"dovecot": 9}}), kept({"a": {"dovecot": 2, "cyrus": 1}}), kept({"a": {"dovecot": 8}})]
    assert sorted(results.fallen(kept(now), before, ["a", "c"])) == found


def test_a_peer_that_is_not_installed_is_not_compared() -> None:
    """Its ratios of another machine say nothing here."""
    assert results.fallen(kept({"a": {"cyrus": 1}}, peers=["cyrus"]), [kept({"a": {"dovecot": 2, "cyrus": 1}})], ["a"]) == []


@pytest.mark.parametrize(("second", "found"), [(1.9, []), (1.2, ["a.s: 1.20 x dovecot, was 2.00 x in 2026-12-01 10:00 abc"])])
def test_a_ratio_has_fallen_when_it_does_so_twice(tmp_path: Path, second: float, found: list[str]) -> None:
    """One work is done once more, by other servers, and its second figures count; a work whose ratio stands is done once."""
    turns: list[tuple[str, Bench]] = []

    def turn_of(name: str, *seconds: float) -> Turn:
        def turn(bench: Bench, server: Server) -> dict[str, float]:
            turns.append((name, bench))
            return {"s": 1 if server.name == MIC_MAIL else seconds[starts.index(bench)]}

        return turn

    row, both = Row("a work", "s", "s", checked=True), (MIC_MAIL, DOVECOT)
    works = [Work("a", "large", turn_of("a", 1.3, second), (row,), both), Work("b", "large", turn_of("b", 2), (row,), both)]
    starts: list[Bench] = []

    @contextmanager
    def start() -> Iterator[Bench]:
        starts.append(Bench(tmp_path, TINY, {name: Server(name, []) for name in both}, 0))
        yield starts[-1]

    before = [kept({"a.s": {"dovecot": 2}, "b.s": {"dovecot": 2}})]
    done = kept({}, peers=[DOVECOT], failed={})
    with start() as bench:
        run.do(done, works, bench, 1)
    assert run.do_again(done, before, works, start, 1) == found
    assert turns == [("a", starts[0]), ("a", starts[0]), ("b", starts[0]), ("b", starts[0]), ("a", starts[1]), ("a", starts[1])]


def test_a_row_of_another_run_says_so() -> None:
    """The document names the run of each row that most rows are not of."""
    machine = {"cores": 2, "cpu": "x", "memory_gib": 4, "kernel": "6", "file_system": "ext4"}
    names = list(all_rows(WORKS))
    more = {"machine": machine, "load_before": 0.1, "versions": {"python": "3.13.5", "cyrus": "3.10"}, "runs": 3}
    newest = kept({names[0]: {}}, **more | {"at": "2026-12-03 10:00", "commit": "new"})
    whole = kept({name: {} for name in names[:-1]}, **more | {"at": "2026-12-02 10:00", "commit": "whole"})
    oldest = kept({name: {} for name in names}, **more | {"commit": "old"})
    made = report.text([newest, whole, oldest])
    assert "Measured on 2026-12-02 10:00 at commit `whole`" in made
    assert [line for line in made.splitlines() if line.startswith("- [")] == [
        "- [1] 2026-12-03 10:00, commit `new`, Python 3.13.5, load average 0.1",
        "- [2] 2026-12-01 10:00, commit `old`, Python 3.13.5, load average 0.1",
    ]
    assert made.count(" [1] |") == made.count(" [2] |") == 1


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.needs_tool("gcc")
def test_each_work_still_runs(tmp_path: Path) -> None:
    """With a handful of messages and clients, on our own server, without peers."""
    command = [sys.executable, str(ROOT / "bench" / "run.py"), "--tiny", "--no-peers", "--runs", "1"]
    command += ["--folder", str(tmp_path / "bench"), "--ports-from", str(free_base(5))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.needs_tool("faketime")
def test_the_week_still_runs(tmp_path: Path) -> None:
    """A minute of it, at twice the speed, in which nothing fails and nothing is left out."""
    command = [sys.executable, str(ROOT / "bench" / "week.py"), "--tiny"]
    command += ["--folder", str(tmp_path / "week"), "--ports-from", str(free_base(1))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
