"""`mic-mail position`: the table that gives the level of a position (Reg. 6.4.c)."""

from collections.abc import Iterator
from typing import Annotated

from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.directory_orders import OrderAct
from mic_mail.cli.options import Commands, argument
from mic_mail.cli.output import Column, ResultTable, Row
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import Level
from mic_mail.policy.naming.transliteration import alphabetical
from mic_mail.policy.ranks import BUILT_IN, title_of

app = Commands()


class LevelChoice(LabelledEnum):
    """A level, or that the title gives none."""

    DIVISION = Level.DIVISION.value, Level.DIVISION.label.vi, Level.DIVISION.label.en
    DEPARTMENT = Level.DEPARTMENT.value, Level.DEPARTMENT.label.vi, Level.DEPARTMENT.label.en
    UNKNOWN = "unknown", "hỏi từng trường hợp", "asked for"


COLUMNS = (
    Column("title", "Chức danh", "Position"),
    Column("level", "Cấp", "Level"),
    Column("entered", "Do Trung tâm ghi", "Entered by the Centre"),
    Column("people", "Số người", "People", right=True),
)


@app.command("Liệt kê chức danh và cấp.", "List the positions and their levels.", name="list")
@requires(Right.READ, clauses="6.4.c")
def list_positions(here: CliContext) -> ResultTable:
    entered = here.directory.changes.levels()
    table = {**BUILT_IN, **entered}
    held = [f"{title_of(person.position)} " for person in here.directory.people()]
    rows: Iterator[Row] = (
        {
            "title": title,
            "level": level or LevelChoice.UNKNOWN,
            "entered": title in entered,
            "people": sum(position.startswith(f"{title} ") for position in held),
        }
        for title, level in sorted(table.items(), key=lambda each: alphabetical(each[0]))
    )
    return ResultTable(COLUMNS, rows)


@app.command(
    "Ghi cấp của chức danh; cũng áp dụng cho chức danh bắt đầu như vậy, dài hơn được ưu tiên.",
    "Set the level of a title; it covers positions that begin with it, a longer title first.",
    name="set",
)
@requires(Right.ACT, act="position_set", clauses="6.4.c")
def set_level(
    title: Annotated[str, argument("TITLE", "Chức danh, ví dụ “Giám đốc Trung tâm”.", "E.g. 'Giám đốc Trung tâm'.")],
    level: Annotated[LevelChoice, argument("LEVEL", "Cấp; hoặc hỏi từng trường hợp.", "The level; unknown: asked each time.")],
    *,
    act: OrderAct,
) -> None:
    named = None if level is LevelChoice.UNKNOWN else Level(level.value)
    act.give(title, lambda changes, origin: changes.level(title, named, origin), level=level.value)
