"""Documents as XLSX, a sheet for each table, and filled-in tables read back (ECMA-376; openpyxl).

In: a `Document`, or the octets of a file from a mail. Out: octets, or a `Sheet`. Numbers stay numbers and days stay days, so
that people can sort and sum; text is never a formula. A file from outside is bounded before it is unpacked: a small ZIP can
hold gigabytes.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from mic_mail.clock import HO_CHI_MINH
from mic_mail.documents.csv_writer import MOST_OCTETS, MOST_ROWS, sheet_of
from mic_mail.documents.document import Block, Cell, DescriptionList, Document, Sheet, Table, UnreadableSheet, display_text
from mic_mail.errors import Text

if TYPE_CHECKING:
    from openpyxl import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

MOST_UNPACKED = 64 << 20
MOST_TAGS = 500_000
"""The most tags and attributes: a form of 1,000 rows has 150,000; each costs 600 octets and 12 us."""
_PIECE = 1 << 16
MOST_COLUMNS = 100
_NO_SHEET_NAME = re.compile(r"[\[\]:*?/\\]")
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_WIDEST = 60
_WIDEST_TO_FILL_IN = 18
_ROWS_ON_PAPER = 20
_FORMATS = {datetime: "dd/mm/yyyy hh:mm", date: "dd/mm/yyyy", int: "#,##0", float: "#,##0.0"}
"""The formats of values, as in the other forms of a document; a spreadsheet puts its language's separators in."""


def write(paper: Document) -> bytes:
    """Write the whole document; text goes on the first sheet, above the first table."""
    book = _book(paper.made_at)
    sheet = book.create_sheet()
    _titles(sheet, paper)
    names: set[str] = set()
    for block in paper.blocks:
        if isinstance(block, Table):
            if names:
                sheet = book.create_sheet()
            sheet.title = _sheet_name(block.name, names)
            _table(sheet, block, block.rows or [[block.empty]])
        else:
            _words(sheet, block)
    return _octets(book)


def form(table: Table, made_at: datetime) -> bytes:
    """Write a sheet to fill in, with the heading in the first row, as `read` expects it."""
    book = _book(made_at)
    sheet = book.create_sheet(_sheet_name(table.name, set()))
    _table(sheet, table, table.rows)
    for number, column in enumerate(table.columns, start=1):
        _offer_choices(sheet, number, column.choices)
    sheet.print_options.gridLines = True
    sheet.page_setup.fitToWidth = 2  # on one page its letters would be too small to read
    sheet.print_title_cols = "A:B"
    sheet.print_area = f"A1:{sheet.cell(1, len(table.columns)).column_letter}{_ROWS_ON_PAPER}"
    return _octets(book)


def _offer_choices(sheet: "Worksheet", number: int, choices: Sequence[str]) -> None:
    """Offer a list of values in a column; others may still be written, as the reader knows more spellings."""
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    letter = get_column_letter(number)
    sheet.column_dimensions[letter].width = min(sheet.column_dimensions[letter].width, _WIDEST_TO_FILL_IN)
    if choices:
        offered = DataValidation("list", formula1=f'"{",".join(choices)}"', allow_blank=True, showErrorMessage=False)
        offered.add(f"{letter}2:{letter}{MOST_ROWS + 1}")
        sheet.add_data_validation(offered)


def _book(made_at: datetime) -> "Workbook":
    from openpyxl import Workbook

    book = Workbook()
    for sheet in book.worksheets:
        book.remove(sheet)
    book.properties.creator = "mic-mail"
    book.properties.created = book.properties.modified = made_at.astimezone(UTC).replace(tzinfo=None)
    return book


def _octets(book: "Workbook") -> bytes:
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _titles(sheet: "Worksheet", paper: Document) -> None:
    from openpyxl.styles import Font

    for text, font in ((paper.title, Font(bold=True, size=14)), (paper.subtitle, Font(italic=True)), (paper.foot, Font())):
        if text:
            sheet.append([_value(text)])
            sheet.cell(sheet.max_row, 1).font = font
    sheet.append([])


def _words(sheet: "Worksheet", block: Block) -> None:
    from openpyxl.styles import Alignment

    if isinstance(block, DescriptionList):
        if block.name:
            sheet.append([_value(block.name)])
        for name, cell in block.pairs:
            _append(sheet, [name, cell])
            sheet.cell(sheet.max_row, 2).alignment = Alignment(horizontal="left")
            _widen(sheet, 1, len(name))
            if not isinstance(cell, str):  # text runs on over empty cells; a number would be shown as ###
                _widen(sheet, 2, len(display_text(cell)))
    elif isinstance(block, str):
        sheet.append([_value(block)])
    sheet.append([])


def _append(sheet: "Worksheet", cells: Sequence[Cell]) -> None:
    from openpyxl.cell import Cell as Field

    fields = [Field(sheet, row=1, column=1, value=_value(cell)) for cell in cells]  # `append` gives them their places
    for field in fields:
        field.number_format = _FORMATS.get(type(field.value), field.number_format)
    sheet.append(fields)  # not by `sheet[row]`, which looks at every cell of the sheet


def _widen(sheet: "Worksheet", number: int, letters: int) -> None:
    """Make a column wide enough for so many letters, if it is not yet."""
    from openpyxl.utils import get_column_letter

    dimension = sheet.column_dimensions[get_column_letter(number)]
    dimension.width = max(dimension.width, min(_WIDEST, letters + 3))


def _table(sheet: "Worksheet", table: Table, rows: Sequence[Sequence[Cell]]) -> None:
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.page import PageMargins
    from openpyxl.worksheet.properties import PageSetupProperties

    sheet.append([_value(column.title) for column in table.columns])
    head = sheet.max_row
    for row in (*rows, *([table.total] if table.total is not None else [])):
        _append(sheet, row)
    for field, column in zip(sheet[head], table.columns, strict=False):
        field.font, field.fill = Font(bold=True), PatternFill("solid", start_color="DDE6F0")
        field.alignment = Alignment(horizontal="right" if column.right else "left", wrap_text=True, vertical="top")
    if table.total is not None:
        for field in sheet[sheet.max_row]:
            field.font = Font(bold=True)
    for number, column in enumerate(table.columns, start=1):
        longest = max([len(column.title), *(len(display_text(row[number - 1])) for row in table.rows)])
        _widen(sheet, number, longest)
    if table.rows:
        sheet.auto_filter.ref = f"A{head}:{get_column_letter(len(table.columns))}{head + len(table.rows)}"
    sheet.freeze_panes = f"A{head + 1}"
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A4
    sheet.page_setup.orientation = sheet.ORIENTATION_LANDSCAPE
    sheet.page_margins = PageMargins(left=0.4, right=0.4, top=0.5, bottom=0.5)
    sheet.page_setup.fitToHeight = 0  # as many pages as the rows need, each as wide as the table
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.print_title_rows = f"{head}:{head}"


def _value(cell: Cell) -> str | int | float | date | datetime | None:
    """Return a cell's value; before = stands an apostrophe, or openpyxl takes text for a formula."""
    match cell:
        case bool():
            return display_text(cell)
        case datetime():
            return cell.astimezone(HO_CHI_MINH).replace(tzinfo=None, microsecond=0)
        case str():
            text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", display_text(cell))
            return f"'{text}" if text.startswith("=") else text
        case _:
            return cell


def _sheet_name(name: str, taken: set[str]) -> str:
    """Return a unique sheet name of at most 31 letters, without forbidden ones."""
    bare = _NO_SHEET_NAME.sub(" ", name).strip("' ")[:31] or "Bảng"
    wanted, number = bare, 1
    while wanted.casefold() in taken:
        number += 1
        wanted = f"{bare[: 31 - len(str(number)) - 1]} {number}"
    taken.add(wanted.casefold())
    return wanted


# ---------------------------------------------------------------- reading


def read(octets: bytes) -> Sheet:
    """Read the first sheet as text (days as 24/11/2026, whole numbers as such); raises `UnreadableSheet`."""
    from openpyxl import load_workbook

    _bounded(octets)
    try:
        book = load_workbook(io.BytesIO(octets), read_only=True, data_only=True, keep_links=False)
        try:
            sheet = book.worksheets[0]
            rows = sheet.iter_rows(max_row=MOST_ROWS + 2, max_col=MOST_COLUMNS, values_only=True)
            return sheet_of((number, [_text(cell) for cell in row]) for number, row in enumerate(rows, start=1))
        finally:
            book.close()
    except UnreadableSheet:
        raise
    except Exception as error:  # the library raises whatever a damaged file leads it into
        raise UnreadableSheet(Text("tệp hỏng", "the file is damaged")) from error


def _bounded(octets: bytes) -> None:
    too_large = UnreadableSheet(Text("tệp quá lớn", "the file is too large"))
    if len(octets) > MOST_OCTETS:
        raise too_large
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as packed:
            parts = packed.infolist()
            if sum(part.file_size for part in parts) > MOST_UNPACKED:
                raise too_large
            tags = 0
            for part in parts:
                with packed.open(part) as file:
                    while piece := file.read(_PIECE):
                        tags += piece.count(b"<") + piece.count(b"=")
                        if tags > MOST_TAGS:
                            raise too_large
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
        raise UnreadableSheet(Text("không phải tệp XLSX", "it is not an XLSX file")) from error


def _text(cell: object) -> str:
    match cell:
        case None:
            return ""
        case datetime() if cell.time() == time():
            return f"{cell:%d/%m/%Y}"
        case datetime():
            return f"{cell:%d/%m/%Y %H:%M}"
        case date():
            return f"{cell:%d/%m/%Y}"
        case float() if cell.is_integer():
            return str(int(cell))
        case _:
            return " ".join(str(cell).split())
