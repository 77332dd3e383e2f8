"""The output of commands: sentences in the person's language, tables for people, JSON for programs.

Results go to standard output, everything else to standard error. A listing is a list of `Column`s and rows of `{key: value}`;
the table and the JSON are made from the same rows, so they cannot differ. Values stay raw in the rows (datetime, int, bool,
None, str, tuple): the table shows them in Vietnamese form, JSON as ISO 8601 in UTC and plain numbers.
"""

import codecs
import errno
import io
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mic_mail.cli import prose, standard_output
from mic_mail.cli.table_layout import column_widths, print_record
from mic_mail.errors import MicMailError, Text, Trouble, as_written
from mic_mail.i18n import dates
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.invisible_chars import UNSEEN
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.i18n.language import Language, in_language, language_of
from mic_mail.i18n.spoken import unaccented

if TYPE_CHECKING:  # for commands that read a configuration: `--help` needs none
    from mic_mail.config.load import Mistake

Thing = Mapping[str, object]
Cell = str | int | float | bool | datetime | date | Text | None | Sequence[str] | Thing | Sequence[Thing]
Row = Mapping[str, Cell]

_PIPE_WIDTH = 1 << 16
"""The width of a table in a pipe without COLUMNS: each row is one line, as of ps and journalctl."""

_VIETNAMESE_LETTERS = "ĐđẾếỘộƯư"


class _Speech:
    """The language of this run, and the program as its reader types it."""

    language = language_of(os.environ)
    program = prose.PROGRAM


_UNACCENTED = "unaccented"
"""The codec error handler for letters that a stream cannot encode."""


def _without_marks(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return unaccented(error.object[error.start : error.end]) or "?", error.end


codecs.register_error(_UNACCENTED, _without_marks)


def _settle_streams() -> None:
    """Let letters that the terminal or file cannot encode lose their marks instead of ending the command.

    A closed stream (`>&-`) is replaced by /dev/null, before a file of ours is opened under its number.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_UNACCENTED)


def settle(language: Language) -> None:
    """Set the language of a run, and how its streams show it; called by `main.main` before any output.

    The language comes first, so that an error on the way is shown in it. It is English, which is ASCII, where Vietnamese
    letters cannot be shown; rich then draws tables in ASCII.
    """
    _Speech.language = language
    _Speech.program = prose.PROGRAM
    standard_output.begin()
    _settle_streams()
    if not all(_holds_vietnamese(stream) for stream in (sys.stdout, sys.stderr)):
        _Speech.language = Language.EN


def name_program(program: str) -> None:
    """Set how this program is called with the configuration of this run, for commands in sentences."""
    _Speech.program = program


def _holds_vietnamese(stream: TextIO) -> bool:
    try:
        _VIETNAMESE_LETTERS.encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def language() -> Language:
    return _Speech.language


BETWEEN = "\x1e"
"""The separator of the two languages of a help text."""


def say(vi: str, en: str) -> str:
    """Return both languages as the one help text that Typer takes; `typer_i18n.speak` shows one of them."""
    return f"{vi}{BETWEEN}{en}"


def spoken(vi: str, en: str) -> str:
    """Return the phrase in the language of this run; for headings and questions used nowhere else."""
    return vi if _Speech.language is Language.VI else en


def localized(text: Text) -> str:
    """Return `text` in the language of this run, its names in their own letters."""
    side = in_language(text, _Speech.language)
    return side if _Speech.language is Language.VI else as_written(side)


_RAW = re.compile(f"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{UNSEEN}]")
"""Control characters, Unicode line ends, half surrogates, and invisible characters.

With them a name from a mail could look like another one.
"""


def visible(text: str) -> str:
    """Return `text` with control and invisible characters as escapes: folders and files can have any name."""
    return _RAW.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    octet = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code  # an octet of a name that is not UTF-8
    return f"\\x{octet:02x}" if octet <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _sentence(text: Text | str) -> str:
    """Return a sentence that is safe to show, with complete commands."""
    return prose.completed(visible(localized(text) if isinstance(text, Text) else text), _Speech.program)


def _columns() -> int | None:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) > 0 else None


def _width_of(stream: TextIO) -> int | None:
    """Return COLUMNS, also for a pipe; None for a terminal, which rich asks; else the pipe width."""
    return _columns() or (None if stream.isatty() else _PIPE_WIDTH)


class _PipedConsole(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))  # rich would end the process, whatever it still has to do


def console_of(*, stderr: bool = False) -> Console:
    """Return a console for the stream as it is now (tests replace the streams between runs)."""
    stream = sys.stderr if stderr else sys.stdout
    return _PipedConsole(file=stream, width=_width_of(stream), soft_wrap=False, highlight=False, emoji=False)


def line(result: Text | str) -> None:
    """Print one line of the result: a sentence is wrapped at spaces, anything else is unchanged."""
    with standard_output.written():
        if isinstance(result, Text):
            _print_sentence(console_of(), result)
        else:
            console_of().print(escape(visible(result)), soft_wrap=True)


def note(sentence: Text | str, en: str | None = None) -> None:
    """Print one sentence beside the result: a `Text`, or its Vietnamese and its English."""
    text = Text(sentence, en) if isinstance(sentence, str) and en is not None else sentence
    with standard_output.beside():
        _print_sentence(console_of(stderr=True), text)


def failure(error: MicMailError) -> None:
    """Print an error: what, by which clause, and what to do; each mistake of a configuration."""
    with standard_output.beside():
        _print_failure(error)


def _print_failure(error: MicMailError) -> None:
    console = console_of(stderr=True)
    _print_sentence(console, error.text, label=spoken("Lỗi", "Error"), style="bold red")
    mistakes: Sequence[Mistake] = getattr(error, "mistakes", ())
    for mistake in mistakes:
        reason = (
            f"{localized(mistake.reason)} ({localized(clause(mistake.clause))})"
            if mistake.clause
            else localized(mistake.reason)
        )
        _print_sentence(console, f"  {mistake.place}: {reason}. {localized(mistake.remedy)}")
    if error.clause and not mistakes:
        _print_sentence(console, clause(error.clause), label=spoken("  Căn cứ", "  Clause"))
    if isinstance(error, Trouble) and error.detail:
        _print_sentence(console, error.detail, label=spoken("  Chi tiết", "  Details"))
    if error.remedy:
        _print_sentence(console, error.remedy, label=spoken("  Cách xử lý", "  Remedy"))


def _print_sentence(console: Console, sentence: Text | str, *, label: str = "", style: str = "") -> None:
    """Print a sentence after its label, wrapped to COLUMNS or the terminal; else in one line."""
    text = f"{label}: {_sentence(sentence)}" if label else _sentence(sentence)
    is_bounded = _columns() is not None or console.file.isatty()
    for printed in prose.wrapped(text, console.width) if is_bounded else [text]:
        shown = escape(printed)
        if style and printed.startswith(f"{label}:"):
            shown = f"[{style}]{label}:[/]{escape(printed.removeprefix(f'{label}:'))}"
        console.print(shown, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `key` in JSON, a heading for people, numbers to the right.

    `json_only` hides it from the table. `names`: the labels of its codes in the table; for a mapping, of its keys (`cause`) and
    its values (`cause=retired`). `cites`: the values are ids of clauses, cited in the usual form. `size`: octets, shown in KB,
    MB or GB. `of`: the attribute of a listed object that holds the value, if it is not called `key`; `a.b` is one of an
    attribute. The table shows the label of a `LabelledEnum`.
    """

    key: str
    vi: str
    en: str
    right: bool = False
    json_only: bool = False
    names: Mapping[Any, Text] | None = None
    cites: bool = False
    size: bool = False
    of: str = ""

    def value_of(self, item: Any) -> Any:
        """Return this column's value of an object; None where an attribute on the way is None."""
        for name in (self.of or self.key).split("."):
            if item is None:
                return None
            item = getattr(item, name)
        return item

    def display_value(self, row: Row) -> str:
        """Return this column's value in `row` as the table shows it."""
        value = row.get(self.key)
        if self.cites and isinstance(value, str | list):
            return cell([clause(str(item)) for item in ([value] if isinstance(value, str) else value)])
        if self.size and isinstance(value, int):
            return cell(dates.size(value))
        return cell(_named(value, self.names) if self.names else value)


def coded(key: str, vi: str, en: str, *, of: str = "") -> tuple[Column, Column]:
    """Return the columns of a code: JSON has it and, as `KEY_name`, its label; the table has the label."""
    return Column(key, vi, en, json_only=True, of=of), Column(f"{key}_name", vi, en, of=f"{of or key}.label")


def row_of(columns: Iterable[Column], item: object, **computed: Any) -> dict[str, Cell]:
    """Return the row of an object: its attributes by the columns, and `computed` values in place of some."""
    return {c.key: computed[c.key] if c.key in computed else c.value_of(item) for c in columns}


def _named(value: Cell, names: Mapping[Any, Text]) -> Cell:
    match value:
        case str():
            return names.get(value) or dates.readable(value)
        case Mapping():
            return {
                localized(names[key]) if key in names else key: _named_member(key, item, names) for key, item in value.items()
            }
        case _:
            return value


def _named_member(key: str, value: object, names: Mapping[Any, Text]) -> object:
    """Return a member's value in words; several codes have blanks between them, their names semicolons."""
    codes = value.split(" ") if isinstance(value, str) else [value]
    found = [names[code] for each in codes if (code := f"{key}={each}") in names]
    return "; ".join(map(localized, found)) if len(found) == len(codes) else _readable(value)


def _readable(value: object) -> object:
    return dates.readable(value) if isinstance(value, str) else value


def listing(columns: Sequence[Column], rows: Iterable[Row], *, as_json: bool, title: Text | None = None) -> None:
    """Print `rows` as a table, or with `as_json` as one JSON array of objects with the keys of `columns`."""
    if as_json:
        print_json([{c.key: row.get(c.key) for c in columns} for row in rows])
        return
    shown = [c for c in columns if not c.json_only]
    headings = [spoken(c.vi, c.en) for c in shown]
    cells = [[visible(c.display_value(row)) for c in shown] for row in rows]
    console = console_of()
    widths = column_widths([headings, *cells], console.width)
    with standard_output.written():
        if widths is None:
            _print_records(console, headings, cells, title)
            return
        table = Table(title=escape(_sentence(title)) if title else None, title_justify="left", header_style="bold")
        for column, heading, width in zip(shown, headings, widths, strict=True):
            table.add_column(escape(heading), justify="right" if column.right else "left", width=width)
        for each in cells:
            table.add_row(*(escape("\n".join(prose.wrapped(text, width))) for text, width in zip(each, widths, strict=True)))
        console.print(table)


def _print_records(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]], title: Text | None) -> None:
    """Print each row as lines of heading and value, with an empty line between two rows; without a row, a sentence."""
    if title:
        console.print(f"[italic]{escape(_sentence(title))}[/]", soft_wrap=True)
    if not rows:
        _print_sentence(console, Text("Không có mục nào.", "No entries."))
    for number, row in enumerate(rows):
        if number:
            console.print()
        print_record(console, headings, [value or "-" for value in row])


def stream(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Print `listing`'s JSON a row at a time: for more rows than memory should hold."""
    ends = "["
    for row in rows:
        values = {column.key: row.get(column.key) for column in columns}
        _write(f"{ends}\n{textwrap.indent(_json(values), '  ')}", ends=True)
        ends = ","
    _write("[]\n" if ends == "[" else "\n]\n")


def lines(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Print rows as they arrive, one a line, cells separated by tabs: for more than a table should hold."""
    shown = [column for column in columns if not column.json_only]
    for row in rows:
        _write("\t".join(visible(column.display_value(row)).replace("\n", "\\x0a") for column in shown) + "\n", ends=True)


@dataclass(frozen=True, slots=True)
class Part:
    """A table that belongs to one object: in JSON an array of the object, `key`."""

    key: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    title: Text | None = None


def record(columns: Sequence[Column], row: Row, *parts: Part, as_json: bool, title: Text | None = None) -> None:
    """Print one object: heading and value per line, then its parts that are not empty; or one JSON object."""
    if as_json:
        print_json({**{c.key: row.get(c.key) for c in columns}, **{part.key: part.rows for part in parts}})
        return
    shown = [column for column in columns if not column.json_only]
    headings, values = [spoken(c.vi, c.en) for c in shown], [visible(c.display_value(row)) for c in shown]
    with standard_output.written():
        _print_records(console_of(), headings, [values], title)
    for part in parts:
        if part.rows:
            line("")
            listing(part.columns, part.rows, as_json=False, title=part.title)


class CommandResult:
    """A result that a command returns to have it printed, by its option --json as JSON (`option_groups`)."""

    print: Callable[..., None]


class ResultTable(CommandResult):
    """The result of a command that lists rows, as `listing` prints them."""

    def __init__(self, columns: Sequence[Column], rows: Iterable[Row], *, title: Text | None = None) -> None:
        self.print = partial(listing, columns, rows, title=title)


class ResultRecord(CommandResult):
    """The result of a command that shows one object, as `record` prints it."""

    def __init__(self, columns: Sequence[Column], row: Row, *parts: Part, title: Text | None = None) -> None:
        self.print = partial(record, columns, row, *parts, title=title)


def cell(value: object) -> str:
    """Return a value as people read it in a table."""
    match value:
        case None:
            return "-"
        case bool():
            return spoken("có", "yes") if value else spoken("không", "no")
        case Text():
            return localized(value)
        case LabelledEnum():
            return localized(value.label)
        case datetime():
            return dates.short(value)
        case date():
            return dates.short_day(value)
        case float() if value.is_integer():
            return str(int(value))
        case str() | int() | float():
            return str(value)
        case Mapping():
            return ", ".join(f"{key}={cell(item)}" for key, item in value.items())
        case Iterable():
            return ", ".join(cell(item) for item in value)
        case _:
            return str(value)


def print_json(value: object) -> None:
    """Print one JSON document; letters stay letters (Reg. 13.1: Unicode) where the stream can encode them."""
    _write(_json(value) + "\n")


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=not _holds_vietnamese(sys.stdout), indent=2, default=_json_value)
    return _RAW.sub(lambda match: json.dumps(match[0])[1:-1], text)  # only inside strings, where JSON has escapes for it


def _write(text: str, *, ends: bool = False) -> None:
    with standard_output.written(ends=ends):
        sys.stdout.write(text)


def _json_value(value: object) -> object:
    match value:
        case Text():
            return {"vi": value.vi, "en": value.en}
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Mapping():
            return dict(value)
        case bytes():
            return value.hex()
        case Iterable():
            return list(value)
        case _:
            return str(value)
