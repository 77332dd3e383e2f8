"""Results of a run as a file in `bench/results/`, which is kept in the repository: figures of each run, medians, ratios.

{"at": ..., "commit": ..., "machine": {...}, "versions": {...}, "sizes": "full", "runs": 3,
 "rows": {"append.per_s": {"servers": {"mic-mail": {"runs": [...], "median": ...}}, "ratios": {"dovecot": ...}}}}
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from servers import MIC_MAIL, OURS, versions
from work import Row, Work, ratio

FOLDER = Path(__file__).with_name("results")
MOST_LOSS = 0.25
"""A ratio that has fallen by more fails `make bench-check`."""
Results = dict[str, Any]


def machine(folder: Path) -> dict[str, Any]:
    """What figures depend on: processors, memory, kernel, and the file system of the mail."""
    cpu_info, memory_info = Path("/proc/cpuinfo").read_text(), Path("/proc/meminfo").read_text()
    names = [line.partition(":")[2].strip() for line in cpu_info.splitlines() if line.startswith("model name")]
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=False)
    return {
        "cores": os.cpu_count(),
        "cpu": names[0] if names else platform.machine(),
        "memory_gib": round(int(memory_info.split()[1]) / 2**20),
        "kernel": platform.release(),
        "file_system": kind.stdout.strip(),
    }


def commit() -> str:
    """The commit of this tree, and whether its programs differ from it."""
    said = _git("describe", "--always", "--abbrev=8", "--exclude=*")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "src", "bench/*.py", "requirements.lock")
    return (f"{said}-dirty" if changed else said) or "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=FOLDER.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def summary(work: Work, figures: Mapping[str, list[Mapping[str, float]]]) -> dict[str, Any]:
    """The rows of a work from the figures of each server's turns."""
    rows: dict[str, Any] = {}
    for row in work.rows:
        servers = {
            name: {"runs": [_rounded(turn[row.figure]) for turn in turns if row.figure in turn]}
            for name, turns in figures.items()
        }
        servers = {
            name: {**row_figures, "median": statistics.median(row_figures["runs"])}
            for name, row_figures in servers.items() if row_figures["runs"]
        }  # fmt: skip
        rows[f"{work.name}.{row.figure}"] = {"servers": servers, "ratios": _ratios(row, servers)}
    return rows


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _ratios(row: Row, servers: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    ours = servers.get(MIC_MAIL, {}).get("median", 0)
    found = {name: ratio(row, ours, each["median"]) for name, each in servers.items() if name != MIC_MAIL}
    return {name: _rounded(value) for name, value in found.items() if value is not None}


def begin(sizes: str, runs: int, folder: Path) -> Results:
    """What is known of a run before it has measured anything."""
    return {
        "at": time.strftime("%Y-%m-%d %H:%M"),
        "commit": commit(),
        "machine": machine(folder),
        "load_before": round(os.getloadavg()[0], 1),
        "versions": versions(),
        "sizes": sizes,
        "runs": runs,
        "failed": {},
        "rows": {},
    }


def write(results: Results, folder: Path = FOLDER) -> Path:
    """Keep results; the name says when and of which commit."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results['at'].replace(' ', '-').replace(':', '')}-{results['commit']}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path


def keep(work: Work, figures: Mapping[str, list[Mapping[str, float]]]) -> Path:
    """Keep the results of a program that does one work."""
    return write(begin("full", 1, FOLDER) | {"rows": summary(work, figures)})


def kept(folder: Path = FOLDER) -> list[Results]:
    """All kept results of full size, the newest first."""
    found = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return sorted((each for each in found if each["sizes"] == "full"), key=lambda each: each["at"], reverse=True)


def newest(row: str, results: Iterable[Results]) -> Results | None:
    """The newest results that have a row of ours; of several of the same commit those of the most runs."""
    having = [each for each in results if OURS & each["rows"].get(row, {}).get("servers", {}).keys()]
    return max((each for each in having if each["commit"] == having[0]["commit"]), key=lambda each: each["runs"], default=None)


def fallen(now: Results, before: Iterable[Results], rows: Iterable[str]) -> list[str]:
    """A line for each ratio of `rows` that has fallen by more than `MOST_LOSS` since the newest results that have it, and for
    each row that was not measured though a peer of it was."""
    before, found = list(before), []
    for name in rows:
        last = newest(name, before)
        was = last["rows"][name]["ratios"] if last else {}
        ratios = now["rows"].get(name, {}).get("ratios", {})
        for peer in was.keys() & now["peers"]:
            if peer not in ratios:
                found.append(f"{name}: not measured beside {peer}")
            elif ratios[peer] < was[peer] * (1 - MOST_LOSS):
                found.append(f"{name}: {ratios[peer]:.2f} x {peer}, was {was[peer]:.2f} x in {last['at']} {last['commit']}")
    return found
