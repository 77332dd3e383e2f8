"""`mic-mail config`: check the configuration file, show the values in force, list all settings."""

from dataclasses import asdict
from typing import Annotated

from mic_mail.auth import breached_passwords
from mic_mail.cli import output
from mic_mail.cli.authorization import open_to_all
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, JsonOption, option
from mic_mail.cli.output import Column, ResultTable, Row, row_of
from mic_mail.config import manual
from mic_mail.config.load import ConfigErrors, Mistake, Setting, load, values
from mic_mail.config.preflight import Problem, problems
from mic_mail.config.schema import REQUIRED
from mic_mail.errors import Text

app = Commands()

MISTAKES = (
    Column("file", "Tệp", "File"),
    Column("line", "Dòng", "Line", right=True),
    Column("key", "Mục", "Setting"),
    Column("reason", "Lỗi", "Mistake"),
    Column("remedy", "Cách xử lý", "Remedy"),
    Column("clause", "Điều khoản", "Clause", cites=True),
)
VALUES = (Column("key", "Mục", "Setting"), Column("value", "Giá trị", "Value"), Column("default", "Mặc định", "Default"))
REFERENCE = (
    Column("key", "Mục", "Setting"),
    Column("default", "Mặc định", "Default"),
    Column("bounds", "Giới hạn", "Bounds"),
    Column("unit", "Đơn vị", "Unit", names=manual.units()),
    Column("meaning", "Ý nghĩa", "Meaning"),
    Column("clause", "Điều khoản", "Clause", cites=True),
    Column("reload", "Nạp lại được", "Reloads"),
)


@app.command("Kiểm tra tệp cấu hình, nêu mọi lỗi một lần.", "Check the file and report all mistakes.")
@open_to_all(clauses="3.1")
def check(here: CliContext, as_json: JsonOption = False) -> int:
    from mic_mail.directory.preflight import trouble_with

    path = here.config_path
    try:
        config = load(path)
    except ConfigErrors as errors:
        output.listing(MISTAKES, map(_mistake_row, errors.mistakes), as_json=as_json)
        output.note(errors.text)
        return errors.exit_code
    found = problems(config)
    trouble = trouble_with(config.directory_url, thorough=True)
    if trouble is not None:
        found.append(Problem("directory.url", trouble.text, trouble.remedy or Text("", "")))
    if config.auth.leaked_passwords is not None:
        try:
            breached_passwords.check(config.auth.leaked_passwords)
        except breached_passwords.BadList as error:
            found.append(Problem("auth.leaked_passwords", error.text, error.remedy or Text("", "")))
    if found or as_json:
        mistakes = (Mistake(path, 0, problem.key, problem.reason, problem.remedy) for problem in found)
        output.listing(MISTAKES, map(_mistake_row, mistakes), as_json=as_json)
    if found:
        return 1
    output.note("Cấu hình đúng.", "The configuration is valid.")
    return 0


def _mistake_row(mistake: Mistake) -> Row:
    return row_of(MISTAKES, mistake, file=str(mistake.file), line=mistake.line or None)


@app.command("In mọi giá trị đang có hiệu lực.", "Print every value in force.")
@open_to_all(clauses="3.2")
def show(
    here: CliContext,
    *,
    changed: Annotated[
        bool, option("--changed", "Chỉ những mục khác mặc định.", "Only what differs from its default.")
    ] = False,
) -> ResultTable:
    config = here.config
    rows = [_value_row(setting, value) for setting, value in values(config) if not changed or value != setting.default]
    return ResultTable(VALUES, rows)


@app.command("In ý nghĩa của mọi mục cấu hình.", "Print the meaning of every setting.")
@open_to_all()
def reference() -> ResultTable:
    rows: list[Row] = [asdict(row) for row in manual.reference(output.language())]
    return ResultTable(REFERENCE, rows)


def _value_row(setting: Setting, value: object) -> Row:
    return {"key": setting.key, "value": _setting_text(setting, value), "default": _setting_text(setting, setting.default)}


def _setting_text(setting: Setting, value: object) -> str | None:
    """Return a value as the file would write it; None for one that is derived from another setting."""
    return None if value is None or value is REQUIRED else manual.value(value, setting.unit)
