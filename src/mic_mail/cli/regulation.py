"""`mic-mail regulation list|show`: the clauses, what this server does about each, and the settings that read them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.frame import Frame, frame
from mic_mail.cli.options import JsonOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.errors import MicMailError, Text, in_ascii
from mic_mail.i18n.citations import clause as cite
from mic_mail.policy.catalogue import Clause, Standing
from mic_mail.policy.clauses import CLAUSES, clause

app = typer.Typer(help=say("Quy chế và việc thi hành.", "The regulation and how it is obeyed."), no_args_is_help=True)

STANDINGS: Mapping[str, Text] = {
    Standing.ENFORCED: Text("đã thi hành", "enforced"),
    Standing.PARTLY: Text("một phần", "partly"),
    Standing.LATER: Text("để sau", "later"),
    Standing.PEOPLE: Text("do con người", "people"),
}
COLUMNS = (
    Column("id", "Điểm, khoản", "Clause"),
    Column("standing", "Thi hành", "Obeyed", names=STANDINGS),
    Column("text", "Quy định", "What it says"),
    Column("does", "Máy chủ làm gì", "What the server does"),
    Column("settings", "Cấu hình", "Settings", json_only=True),
    Column("reading", "Cách hiểu mặc định", "Default reading", json_only=True),
    Column("test", "Kiểm thử", "Test", json_only=True),
)
ONE = (
    Column("id", "Điểm, khoản", "Clause"),
    Column("cited_as", "Cách dẫn", "Cited as"),
    *(replace(column, json_only=False) for column in COLUMNS[1:]),
)


@app.command("list", help=say("Liệt kê các điều khoản.", "List the clauses."))
def list_clauses(
    ctx: typer.Context,
    standing: Annotated[
        Standing | None, typer.Option("--standing", help=say("Chỉ mức thi hành này.", "Only those of this standing."))
    ] = None,
    as_json: JsonOption = False,
) -> None:
    wanted = (row for row in CLAUSES.values() if standing is None or row.standing is standing)
    output.listing(COLUMNS, _rows(wanted), as_json=as_json, title=_decision(frame(ctx)))


@app.command(help=say("Xem một điều khoản, ví dụ 6.4.c.", "Show one clause, e.g. 6.4.c."))
def show(
    clause_id: Annotated[str, typer.Argument(metavar="ID", help=say("Điều.Khoản.Điểm", "Article.Clause.Point"))],
    as_json: JsonOption = False,
) -> None:
    output.record(ONE, next(_rows(iter((clause(clause_id),)))), as_json=as_json)


def _decision(here: Frame) -> Text | None:
    """The decision that binds this server, where there is a configuration that names it."""
    try:
        number = here.config.regulation.decision_no
    except MicMailError:  # the clauses can be read on a machine without a server
        return None
    return Text(f"Quyết định số {number}", f"Decision no. {in_ascii(number)}") if number else None


def _rows(clauses: Iterator[Clause]) -> Iterator[Row]:
    for row in clauses:
        yield {
            "id": row.id,
            "cited_as": cite(row.id),
            "standing": row.standing.value,
            "text": row.text,
            "does": row.does,
            "settings": row.settings or None,
            "reading": row.reading,
            "test": row.test,
        }
