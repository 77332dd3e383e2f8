"""`mic-mail config check|show|reference`: is the file right, what holds, and what could be set."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from pydantic_core import PydanticUndefined

from mic_mail.cli import output
from mic_mail.cli.frame import frame
from mic_mail.cli.options import JsonOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.config import document
from mic_mail.config.load import ConfigErrors, Setting, load, settings
from mic_mail.config.model import Config
from mic_mail.config.problems import problems
from mic_mail.errors import Text

app = typer.Typer(help=say("Cấu hình.", "The configuration."), no_args_is_help=True)

MISTAKES = (
    Column("file", "Tệp", "File"),
    Column("line", "Dòng", "Line", right=True),
    Column("key", "Mục", "Setting"),
    Column("reason", "Lỗi", "Mistake"),
    Column("remedy", "Cách xử lý", "Remedy"),
    Column("clause", "Điều khoản", "Clause", cites=True),
)
VALUES = (
    Column("key", "Mục", "Setting"),
    Column("value", "Giá trị", "Value"),
    Column("default", "Mặc định", "Default"),
)
REFERENCE = (
    Column("key", "Mục", "Setting"),
    Column("default", "Mặc định", "Default"),
    Column("bounds", "Giới hạn", "Bounds"),
    Column("unit", "Đơn vị", "Unit", json_only=True),
    Column("meaning", "Ý nghĩa", "Meaning"),
    Column("clause", "Điều khoản", "Clause", cites=True),
    Column("reload", "Nạp lại được", "Reloads"),
)


@app.command(help=say("Kiểm tra tệp cấu hình, nêu mọi lỗi một lần.", "Check the file; all mistakes at once."))
def check(ctx: typer.Context, as_json: JsonOption = False) -> None:
    here = frame(ctx)
    try:
        config = load(here.config_path)
    except ConfigErrors as errors:
        rows: list[Row] = [
            {
                "file": str(m.file), "line": m.line, "key": m.key, "reason": m.reason, "remedy": m.remedy, "clause": m.clause,
            }
            for m in errors.mistakes
        ]  # fmt: skip
        output.listing(MISTAKES, rows, as_json=as_json)
        raise
    found = [
        {"file": str(here.config_path), "line": None, "key": p.key, "reason": p.reason, "remedy": p.remedy, "clause": None}
        for p in problems(config)
    ]
    if found or as_json:
        output.listing(MISTAKES, found, as_json=as_json)
    if found:
        raise typer.Exit(1)
    output.note(Text("Cấu hình đúng.", "The configuration is right."))


@app.command(help=say("In mọi giá trị đang có hiệu lực.", "Print every value that holds."))
def show(
    ctx: typer.Context,
    *,
    changed: Annotated[
        bool, typer.Option("--changed", help=say("Chỉ những mục khác mặc định.", "Only what differs from its default."))
    ] = False,
    as_json: JsonOption = False,
) -> None:
    config = frame(ctx).config
    rows = [_value_row(setting, value) for setting, value in _values(config) if not changed or value != setting.default]
    output.listing(VALUES, rows, as_json=as_json)


@app.command(help=say("In ý nghĩa của mọi mục cấu hình.", "Print the meaning of every setting."))
def reference(as_json: JsonOption = False) -> None:
    rows: list[Row] = [asdict(row) for row in document.reference(output.language())]
    output.listing(REFERENCE, rows, as_json=as_json)


def _values(config: Config) -> Iterator[tuple[Setting, object]]:
    """Every setting with its value; the fields of tables in arrays are part of their array's value."""
    for setting in settings():
        node: object = config
        for name in setting.key.split("."):
            node = getattr(node, name, _INSIDE_AN_ARRAY)
        if node is not _INSIDE_AN_ARRAY:
            yield setting, node


_INSIDE_AN_ARRAY = object()


def _value_row(setting: Setting, value: object) -> Row:
    return {"key": setting.key, "value": _shown(setting, value), "default": _shown(setting, setting.default)}


def _shown(setting: Setting, value: object) -> str | None:
    """A value as the file would write it; what is derived from another setting has none."""
    return None if value is None or value is PydanticUndefined else document.value(value, setting.unit)
