"""`mic-mail regulation`: the clauses, the commands and tests of each, and the evidence today."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.authorization import open_to_all, required_right
from mic_mail.cli.context import CliContext
from mic_mail.cli.nouns import commands
from mic_mail.cli.options import Commands, JsonOption, argument, option
from mic_mail.cli.output import Column, Row, row_of
from mic_mail.errors import MicMailError, Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.i18n.clause_names import clause as cite
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.clauses import CLAUSES, Clause, ClauseStanding, clause
from mic_mail.services.compliance.collect import gather
from mic_mail.services.compliance.finding import Finding, Records

app = Commands()

COLUMNS = (
    Column("id", "Điểm, khoản", "Clause"),
    Column("standing", "Thi hành", "Obeyed"),
    Column("text", "Quy định", "What it says"),
    Column("does", "Máy chủ làm gì", "What the server does"),
    Column("reading", "Cách hiểu mặc định", "Default reading", json_only=True),
    Column("settings", "Cấu hình", "Settings"),
    Column("commands", "Lệnh", "Commands"),
    Column("tests", "Kiểm thử", "Tests"),
    Column("evidence", "Hiện nay", "Today"),
)
ONE = (
    Column("id", "Điểm, khoản", "Clause"),
    Column("cited_as", "Cách dẫn", "Cited as"),
    *(replace(column, json_only=False) for column in COLUMNS[1:]),
)


@app.command("Liệt kê các điều khoản.", "List the clauses.", name="list")
@open_to_all()
def list_clauses(
    here: CliContext,
    standing: Annotated[
        ClauseStanding | None, option("--standing", "Chỉ mức thi hành này.", "Only clauses with this status.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    wanted = [row for row in CLAUSES.values() if standing is None or row.standing is standing]
    output.listing(COLUMNS, _rows(wanted, _evidence(here), as_json=as_json), as_json=as_json, title=_decision(here))


@app.command("Xem một điều khoản, ví dụ 6.4.c.", "Show one clause, e.g. 6.4.c.")
@open_to_all()
def show(
    here: CliContext,
    clause_id: Annotated[str, argument("ID", "Điều.Khoản.Điểm", "Article.Clause.Point")],
    as_json: JsonOption = False,
) -> None:
    rows = _rows([clause(clause_id)], _evidence(here), as_json=as_json)
    output.record(ONE, next(rows), as_json=as_json)


def _decision(here: CliContext) -> Text | None:
    """Return the decision that binds this server, where a configuration names it."""
    try:
        number = here.config.regulation.decision_no
    except MicMailError:  # the clauses can be read on a machine without a server
        return None
    return Text(f"Quyết định số {number}", f"Decision no. {in_ascii(number)}") if number else None


def _evidence(here: CliContext) -> Mapping[str, Sequence[Finding]]:
    """Return today's evidence; empty without a server, and for an actor who may not read everything."""
    try:
        here.enter(here.actor(), Right.READ, whole=True)
        return gather(Records(here.directory, here.config, here.clock))
    except MicMailError:
        return {}


def clause_commands() -> Mapping[str, Sequence[str]]:
    """Return the commands that serve each clause, as they declare it, in the order of `--help`."""
    found: dict[str, list[str]] = {}
    for words, command in commands():
        required = required_right(command)
        for clause_id in required.clauses if required else ():
            found.setdefault(clause_id, []).append(words)
    return found


def clause_tests() -> Mapping[str, Sequence[str]]:
    """Return the test modules of each clause, as `tests/clauses.py` wrote them."""
    found: dict[str, list[str]] = json.loads((files("mic_mail.cli") / "clause_tests.json").read_text("utf-8"))
    return found


def _rows(clauses: Sequence[Clause], evidence: Mapping[str, Sequence[Finding]], *, as_json: bool) -> Iterator[Row]:
    all_commands, all_tests = clause_commands(), clause_tests()
    for row in clauses:
        findings = evidence.get(row.id, ())
        tests = all_tests.get(row.id, ())
        yield row_of(
            ONE,
            row,
            cited_as=cite(row.id),
            settings=row.settings or None,
            commands=all_commands.get(row.id),
            tests=tests if as_json else [PurePath(test).stem for test in tests] or None,
            evidence=[_as_data(finding) for finding in findings] if as_json else _findings_text(findings),
        )


def _findings_text(findings: Sequence[Finding]) -> Text | None:
    ordered = sorted(findings, key=lambda finding: not finding.overdue)
    sentences = [_sentence(finding) for finding in ordered]
    return Text("; ".join(each.vi for each in sentences), "; ".join(each.en for each in sentences)) if sentences else None


def _sentence(finding: Finding) -> Text:
    count = "" if finding.count is None else f"{finding.count} "
    vi, en = f"{count}{finding.what.vi}", f"{count}{finding.what.en}"
    if finding.at is not None:
        at = dates.short(finding.at)
        vi, en = f"{vi} (gần nhất {at})", f"{en} (last {at})"
    return Text(f"QUÁ HẠN: {vi}", f"OVERDUE: {en}") if finding.overdue else Text(vi, en)


def _as_data(finding: Finding) -> dict[str, object]:
    return {"what": finding.what, "count": finding.count, "at": finding.at, "overdue": finding.overdue}
