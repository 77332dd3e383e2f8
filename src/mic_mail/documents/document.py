"""What a paper says, before it is a file: a report, a census, minutes to sign. In Vietnamese, as official letters are.

In: words, numbers, days. Out: values that `pdf`, `html`, `sheets` and `plain` write alike, so that no two forms of one paper
differ in what they say. The head is that of administrative documents (Decree 30/2020/NĐ-CP, appendix I). Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from unicodedata import normalize

from mic_mail.clock import HO_CHI_MINH
from mic_mail.errors import BadInput, Text
from mic_mail.i18n.dates import instant

Cell = str | int | float | bool | date | datetime | None
"""What stands in a field of a table; an instant is shown in Ho Chi Minh City's time."""

NATION = "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM"
MOTTO = "Độc lập - Tự do - Hạnh phúc"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    right: bool = False
    """Numbers and the like."""
    wide: int = 1
    """How much of the width that is left it takes, beside the others; 0: no more than its content needs."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a heading; the number of cells is that of the columns."""

    name: str
    """The heading; also the name of its sheet."""
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] | None = None
    """A last row that sums up."""
    empty: str = "Không có."
    """What stands there if there are no rows."""
    chart: int | None = None
    """The column whose numbers are also drawn as bars above the rows, named by the first column."""

    @property
    def drawn(self) -> str:
        """What the bars count: the title of their column."""
        return "" if self.chart is None else self.columns[self.chart].title

    @property
    def bars(self) -> list[tuple[str, float, str]]:
        """Label, length from 0 to 1 and number of each bar; none where there is no chart, or only zeros."""
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
class Terms:
    """Pairs of what and how: "Hộp thư: cntt@mic.gov.vn"."""

    pairs: Sequence[tuple[str, Cell]]
    name: str = ""
    """The heading."""


Block = str | Table | Terms
"""A paragraph, a table, a list of pairs."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signs: the office, and the name where it is known."""

    office: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """One paper."""

    title: str
    subtitle: str
    made_at: datetime
    """Aware; the day stands in the head."""
    blocks: Sequence[Block]
    issuer: tuple[str, str]
    """The superior body and the one that issues it."""
    place: str
    number: str = ""
    signatures: Sequence[Signature] = ()
    foot: str = ""
    """At the foot of each page: a digest, the clause it follows."""

    @property
    def tables(self) -> list[Table]:
        return [block for block in self.blocks if isinstance(block, Table)]


def display_text(cell: Cell) -> str:
    """A field as people read it: NFC, days as 24/11/2026, instants to the minute, numbers with dots between thousands."""
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


def told(cell: Cell) -> str:
    """A value beside its name, in a line of its own: an instant as offices write it, "09 giờ 05 phút ngày 26/11/2026"."""
    return instant(cell).vi if isinstance(cell, datetime) else display_text(cell)


_VIETNAMESE_NUMBER = str.maketrans(",.", ".,")


def day_of(paper: Document) -> str:
    """The line of place and day: "Hà Nội, ngày 24 tháng 11 năm 2026"."""
    day = paper.made_at.astimezone(HO_CHI_MINH).date()
    written = f"{day.day:02}" if day.day < 10 else str(day.day)
    month = f"{day.month:02}" if day.month < 3 else str(day.month)
    return f"{paper.place}, ngày {written} tháng {month} năm {day.year}"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table that came from somebody else's file: a heading and rows of text, empty rows left out."""

    heading: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...] = field(default=())
    """With the number of the row in the file, as people count, the heading being one of them."""


class UnreadableSheet(BadInput):
    """A file that is no table, or too much of one."""

    def __init__(self, why: Text) -> None:
        super().__init__(
            Text(f"Không đọc được bảng: {why.vi}.", f"The table cannot be read: {why.en}."),
            remedy=Text("Dùng tệp XLSX hoặc CSV (UTF-8) theo mẫu.", "Use an XLSX or CSV (UTF-8) file after the form."),
        )
