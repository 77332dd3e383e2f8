"""Documents as CSV for other programs: RFC 4180, UTF-8 with a byte order mark.

Excel needs the mark to recognise UTF-8.

A field that a spreadsheet would take for a formula (it begins with = + - @, full-width or after invisible characters, or with a
tab) gets an apostrophe before it: text in a mailbox's name must not run on the reader's PC. A spreadsheet whose region
separates by semicolons splits a field at these and at line ends, quoted or not, so each such part is guarded, too. Reading
removes the apostrophes.
"""

import csv
import io
import re
from collections.abc import Iterator

from mic_mail.documents.document import Cell, Sheet, Table, UnreadableSheet, display_text
from mic_mail.errors import Text

MOST_ROWS = 20_000
MOST_OCTETS = 20 << 20
_UNSEEN = r"(?:[^\S\t\r\n]|[\x00-\x08\x0e-\x1b\x7f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\"])*"
_RUNS = rf"(?='*{_UNSEEN}[=+\-@\uff1d\uff0b\uff0d\uff20])"
"""The position before a sign that would run; apostrophes there get one more: reading removes one."""
_BEGINS = rf"(?:(?='*[\t\r])|{_RUNS})"
_FORMULA = re.compile(rf"\A{_BEGINS}|(?<=[;\t\r\n]){_RUNS}")
_GUARDED = re.compile(rf"\A'{_BEGINS}|(?<=[;\t\r\n])'{_RUNS}")


def write(table: Table) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([column.title for column in table.columns])
    for row in (*table.rows, *((table.total,) if table.total is not None else ())):
        writer.writerow([harmless(cell) for cell in row])
    return out.getvalue().encode("utf-8-sig")


def harmless(cell: Cell) -> str:
    """Return a field that no spreadsheet runs; numbers, negative ones included, are no formulas."""
    text = str(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else display_text(cell)
    return _FORMULA.sub("'", text) if isinstance(cell, str) else text


def read(octets: bytes) -> Sheet:
    """Read a table that somebody filled in; `UnreadableSheet` if it is none.

    The separator is a comma, a semicolon or a tab: Excel writes commas or semicolons by the PC's region.
    """
    if len(octets) > MOST_OCTETS:
        raise UnreadableSheet(Text("tệp quá lớn", "the file is too large"))
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableSheet(Text("không phải UTF-8", "it is not UTF-8")) from error
    heading = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=heading.count)
    try:
        return sheet_of(enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), start=1))
    except csv.Error as error:
        raise UnreadableSheet(Text("dấu nháy hoặc dòng hỏng", "a quotation mark or a line end is broken")) from error


def sheet_of(rows: Iterator[tuple[int, list[str]]]) -> Sheet:
    """Return rows as a sheet; the first row that is not empty is the heading.

    A row longer than the heading is refused; a shorter one is padded.
    """
    heading: tuple[str, ...] | None = None
    kept: list[tuple[int, tuple[str, ...]]] = []
    for number, cells in rows:
        fields = [_GUARDED.sub("", cell).strip() for cell in cells]
        while fields and not fields[-1]:
            fields.pop()
        if not fields:
            continue
        if heading is None:
            heading = tuple(fields)
            continue
        if len(fields) > len(heading):
            raise UnreadableSheet(
                Text(f"dòng {number} dài hơn dòng tiêu đề", f"row {number} has more columns than the heading")
            )
        if len(kept) == MOST_ROWS:
            raise UnreadableSheet(Text(f"quá {MOST_ROWS} dòng", f"more than {MOST_ROWS} rows"))
        kept.append((number, (*fields, *[""] * (len(heading) - len(fields)))))
    if heading is None:
        raise UnreadableSheet(Text("tệp rỗng", "it is empty"))
    return Sheet(heading, tuple(kept))
