"""`mic-mail position list|set`: the table that gives the level of a position (Reg. 6.4.c)."""

from collections.abc import Iterator
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import frame
from mic_mail.cli.directory_orders import OrderAct
from mic_mail.cli.options import JsonOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.errors import Text
from mic_mail.i18n.labels import LabelledEnum, labels
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import Level
from mic_mail.policy.naming.transliteration import alphabetical
from mic_mail.policy.ranks import BUILT_IN, title_of

app = typer.Typer(help=say("Cấp của chức danh (6.4.c).", "Levels of positions (6.4.c)."), no_args_is_help=True)


class Wanted(LabelledEnum):
    """A level, or that the title gives none."""

    DIVISION = Level.DIVISION.value, Level.DIVISION.label.vi, Level.DIVISION.label.en
    DEPARTMENT = Level.DEPARTMENT.value, Level.DEPARTMENT.label.vi, Level.DEPARTMENT.label.en
    UNKNOWN = "unknown", "hỏi từng trường hợp", "asked for"


COLUMNS = (
    Column("title", "Chức danh", "Position", names={"staff": Text("nhân viên (ghi là “staff”)", "staff")}),
    Column(
        "level", "Cấp", "Level",
        names=labels(Wanted),
    ),
    Column("entered", "Do Trung tâm ghi", "Entered by the Centre"),
    Column("people", "Số người", "People", right=True),
)  # fmt: skip


@app.command("list", help=say("Liệt kê chức danh và cấp.", "List the positions and their levels."))
@requires(Right.READ, clauses="6.4.c")
def list_positions(ctx: typer.Context, as_json: JsonOption = False) -> None:
    here = frame(ctx)
    entered = here.directory.changes.levels()
    table = {**BUILT_IN, **entered}
    held = [f"{title_of(person.position)} " for person in here.directory.people()]
    rows: Iterator[Row] = (
        {
            "title": title,
            "level": level.value if level is not None else Wanted.UNKNOWN.value,
            "entered": title in entered,
            "people": sum(position.startswith(f"{title} ") for position in held),
        }
        for title, level in sorted(table.items(), key=lambda each: alphabetical(each[0]))
    )
    output.listing(COLUMNS, rows, as_json=as_json)


@app.command(
    "set",
    help=say(
        "Ghi cấp của chức danh; cũng áp dụng cho chức danh bắt đầu như vậy, dài hơn được ưu tiên.",
        "Set the level of a title; it covers positions that begin with it, a longer title first.",
    ),
)
@requires(Right.ACT, act="position_set", clauses="6.4.c")
def set_level(
    title: Annotated[str, typer.Argument(help=say("Chức danh, ví dụ “Giám đốc Trung tâm”.", "E.g. 'Giám đốc Trung tâm'."))],
    level: Annotated[Wanted, typer.Argument(help=say("Cấp; hoặc hỏi từng trường hợp.", "unknown: the command asks."))],
    *,
    act: OrderAct,
) -> None:
    named = None if level is Wanted.UNKNOWN else Level(level.value)
    act.give(title, lambda changes, origin: changes.level(title, named, origin), level=level.value)
