"""The content of a document before it is a file: a report, a census, minutes to sign.

In Vietnamese, in the form of official letters. In: words, numbers, days. Out: values that `pdf`, `html`, `xlsx` and
`csv_writer` write alike, so that the formats of one document do not differ in content. The head is that of administrative
documents (Decree 30/2020/NĐ-CP, appendix I). Pure.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TypeVar
from unicodedata import normalize

from mic_mail.clock import HO_CHI_MINH
from mic_mail.errors import BadInput, Text
from mic_mail.i18n.dates import instant

T = TypeVar("T")

Cell = str | int | float | bool | date | datetime | None
"""The content of a table field; an instant is shown in Ho Chi Minh City's time."""

NATION = "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM"
MOTTO = "Độc lập - Tự do - Hạnh phúc"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    right: bool = False
    """Set for numbers and the like, which are aligned to the right."""
    wide: int = 1
    """The column's share of the remaining width; 0: no more than its content needs."""
    choices: Sequence[str] = ()
    """The usual values of a column that is filled in, offered as a list."""


Columns = Sequence[tuple[Column, Callable[[T], Cell]]]
"""Columns, each with the function that takes its cell from an item."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a heading, each with as many cells as there are columns."""

    name: str
    """The heading; also the name of its sheet."""
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] | None = None
    """A last row with totals."""
    empty: str = "Không có."
    """The text shown if there are no rows."""
    chart: int | None = None
    """The column whose numbers are also drawn as bars above the rows, named by the first column."""

    @classmethod
    def of(cls, name: str, items: Iterable[T], columns: Columns[T], *, empty: str = "Không có.") -> "Table":
        """Return a table with a row for each item."""
        rows = [[cell(item) for _, cell in columns] for item in items]
        return cls(name, [column for column, _ in columns], rows, empty=empty)

    @property
    def drawn(self) -> str:
        """The title of the column that the bars draw."""
        return "" if self.chart is None else self.columns[self.chart].title

    @property
    def bars(self) -> list[tuple[str, float, str]]:
        """The label, length from 0 to 1, and number of each bar; none without a chart, or with zeros only."""
        if self.chart is None:
            return []
        numbers = [float(value) if isinstance(value := row[self.chart], int | float) else 0.0 for row in self.rows]
        longest = max(numbers, default=0.0)
        if longest <= 0:
            return []
        return [
            (display_text(row[0]), number / longest, display_text(row[self.chart]))
            for row, number in zip(self.rows, numbers, strict=True)
        ]

    def __post_init__(self) -> None:
        for row in (*self.rows, *((self.total,) if self.total is not None else ())):
            if len(row) != len(self.columns):
                raise ValueError(f"{self.name}: {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True, slots=True)
class DescriptionList:
    """Pairs of a name and a value: "Hộp thư: cntt@mic.gov.vn"."""

    pairs: Sequence[tuple[str, Cell]]
    name: str = ""
    """The heading."""


Block = str | Table | DescriptionList
"""A paragraph, a table, a list of pairs."""


@dataclass(frozen=True, slots=True)
class SignatureBlock:
    """A signature: the office, and the signer's name if known."""

    office: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """One document."""

    title: str
    subtitle: str
    made_at: datetime
    """Aware; its day appears in the head."""
    blocks: Sequence[Block]
    issuer: tuple[str, str]
    """The superior body and the issuing one."""
    place: str
    number: str = ""
    signatures: Sequence[SignatureBlock] = ()
    foot: str = ""
    """The foot of each page: a digest, the clause that the document follows."""

    @property
    def tables(self) -> list[Table]:
        return [block for block in self.blocks if isinstance(block, Table)]


def display_text(cell: Cell) -> str:
    """Return a field as people read it: 24/11/2026, instants to the minute, dots between thousands; NFC."""
    match cell:
        case None:
            return ""
        case bool():
            return "có" if cell else "không"
        case int():
            return f"{cell:,}".replace(",", ".")
        case float():
            return f"{cell:,.1f}".translate(_VIETNAMESE_NUMBER)
        case datetime():
            return f"{cell.astimezone(HO_CHI_MINH):%d/%m/%Y %H:%M}"
        case date():
            return f"{cell:%d/%m/%Y}"
        case str():
            return normalize("NFC", cell)


def labelled_text(cell: Cell) -> str:
    """Return a value for a line beside its name.

    An instant is in the form of official letters, "09 giờ 05 phút ngày 26/11/2026".
    """
    return instant(cell).vi if isinstance(cell, datetime) else display_text(cell)


_VIETNAMESE_NUMBER = str.maketrans(",.", ".,")


def day_of(paper: Document) -> str:
    """Return the line of place and day: "Hà Nội, ngày 24 tháng 11 năm 2026"."""
    day = paper.made_at.astimezone(HO_CHI_MINH).date()
    written = f"{day.day:02}" if day.day < 10 else str(day.day)
    month = f"{day.month:02}" if day.month < 3 else str(day.month)
    return f"{paper.place}, ngày {written} tháng {month} năm {day.year}"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table read from somebody else's file: a heading and rows of text, without empty rows."""

    heading: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...] = field(default=())
    """Each with its row number in the file, counted from 1 with the heading."""


class UnreadableSheet(BadInput):
    """The file is no table, or too large."""

    def __init__(self, why: Text) -> None:
        super().__init__(
            Text(f"Không đọc được bảng: {why.vi}.", f"The table cannot be read: {why.en}."),
            remedy=Text("Dùng tệp XLSX hoặc CSV (UTF-8) theo mẫu.", "Use an XLSX or CSV (UTF-8) file made from the form."),
        )
