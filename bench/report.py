"""`docs/performance.md` from the kept results: `python bench/report.py`. `run.py` does it after each run.

The prose is `performance.md` beside this file, in which `{{table NAME}}` stands for the rows of that table, `{{machine}}` for
what most rows were measured on and `{{sources}}` for where each row of another run comes from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import results
from rows import ADDRESS_BOOK, SOAK, WEEK, WORKS
from servers import IN_DATABASE, MIC_MAIL, NAMES
from work import Row, Work

TEMPLATE = Path(__file__).with_name("performance.md")
TABLE = re.compile(r"\{\{table (\w+)\}\}")
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"


def text(kept: Sequence[results.Results]) -> str:
    """The document, of results with the newest first."""
    sources: list[results.Results] = []
    made = TABLE.sub(lambda match: table(match[1], kept, sources), TEMPLATE.read_text())
    return made.replace("{{machine}}", machine(kept)).replace("{{sources}}", _listed(sources))


def table(name: str, kept: Sequence[results.Results], sources: list[results.Results]) -> str:
    """The rows of one table; a row of another run than most says which."""
    works = [work for work in (*WORKS, ADDRESS_BOOK, SOAK, WEEK) if work.table == name]
    assert works, name
    peers = [peer for peer in NAMES if peer != MIC_MAIL and any(peer in work.servers for work in works)]
    head = ["Work", "mic-mail", *(NAMES[peer] for peer in peers), "asked for", "reached"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for work in works:
        lines += [_line(work, row, peers, kept, sources) for row in work.rows]
    return "\n".join(lines)


def _line(work: Work, row: Row, peers: Sequence[str], kept: Sequence[results.Results], sources: list[results.Results]) -> str:
    of = results.newest(f"{work.name}.{row.figure}", kept)
    found: dict[str, Any] = of["rows"][f"{work.name}.{row.figure}"] if of else {"servers": {}, "ratios": {}}
    mark = ""
    if of is not None and of is not main_of(kept):
        if of not in sources:
            sources.append(of)
        mark = f" [{sources.index(of) + 1}]"
    cells = []
    for name in (MIC_MAIL, *peers):
        cell = _figure(found["servers"].get(name), row.unit)
        if name in found["ratios"]:
            cell += f" ({_times(found['ratios'][name])})"
        cells.append(cell)
    return f"| {row.text}{mark} | {' | '.join(cells)} | {_asked(row)} | {_reached(row, found)} |"


def _figure(found: dict[str, float] | None, unit: str) -> str:
    if not found:
        return "-"
    value = found["median"]
    if unit == "s" and value < 1:
        value, unit = value * 1000, "ms"
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return shown + ("" if not unit else unit if unit[0] == "%" else "/s" if unit.endswith("/s") else f" {unit}")


def _times(value: float) -> str:
    return f"{value:,.0f} x" if value >= 20 else f"{value:.2g} x"


def _asked(row: Row) -> str:
    asked = [f"{_times(value)} {NAMES[peer]}" for peer, value in row.times.items()]
    if row.most is not None:
        asked.append(f"at most {row.most:g}{'' if row.unit == '%' else ' '}{row.unit}".strip())
    return ", ".join(asked)


def _reached(row: Row, found: dict[str, Any]) -> str:
    """Whether ours is as asked; nothing where nothing is asked, or a peer was not there."""
    verdicts = [found["ratios"][peer] >= value for peer, value in row.times.items() if peer in found["ratios"]]
    ours = found["servers"].get(MIC_MAIL) or found["servers"].get(IN_DATABASE)
    if row.most is not None and ours:
        verdicts.append(ours["median"] <= row.most)
    return "" if not verdicts else "yes" if all(verdicts) else "in part" if any(verdicts) else "**no**"


def main_of(kept: Sequence[results.Results]) -> results.Results:
    """The newest results of a run that did most of the works, or the newest of all."""
    most = max(len(each["rows"]) for each in kept)
    return next(each for each in kept if len(each["rows"]) > most / 2)


def machine(kept: Sequence[results.Results]) -> str:
    """What most rows were measured on, of which commit and when."""
    if not kept:
        return "Nothing has been measured yet."
    now = main_of(kept)
    on, of = now["machine"], now["versions"]
    peers = ", ".join(f"{name.capitalize()} {version}" for name, version in of.items() if name != "python")
    return (
        f"Measured on {now['at']} at commit `{now['commit']}`: {on['cores']} cores ({on['cpu']}), {on['memory_gib']} GiB, "
        f"Linux {on['kernel']}, {on['file_system']}; load average before the run {now['load_before']}. "
        f"Python {of['python']}; {peers}. Medians of {now['runs']} runs."
    )


def _listed(sources: Sequence[results.Results]) -> str:
    lines = [
        f"[{number}] {of['at']}, commit `{of['commit']}`, Python {of['versions']['python']}, load average {of['load_before']}"
        for number, of in enumerate(sources, 1)
    ]
    return "\n".join(f"- {line}" for line in lines) or "All rows are of that run."


def write() -> None:
    """Make the document anew."""
    DOCUMENT.write_text(text(results.kept()))


if __name__ == "__main__":
    write()
