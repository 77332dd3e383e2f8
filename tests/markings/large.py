"""Documents as large as the regulation lets them be (Reg. 8.3.b), of the kinds that a ministry sends.

In: what the very last line says. Out: octets.
"""

import random
from collections.abc import Callable

from markings.bombs import sheet
from markings.documents import pdf_of_pages, pptx

LINES = ["Căn cứ Nghị định số 30/2020/NĐ-CP của Chính phủ, đề nghị các đơn vị báo cáo kết quả trong quý."] * 40
OCTETS = 20_000_000


def scanned_pdf(last: str, pages: int) -> bytes:
    """Pages of text over pictures, as a scanner with text recognition writes them."""
    text = [[f"Trang {number}", *LINES] for number in range(pages)]
    text[-1].append(last)
    return pdf_of_pages(text, pictures=[random.Random(1).randbytes(OCTETS // pages - 17_000)] * pages)


def presentation(last: str) -> bytes:
    """400 slides and 40 pictures."""
    return pptx([*LINES * 40, last], pictures=[random.Random(1).randbytes(OCTETS // 40 - 5_000)] * 40)


def workbook(last: str, rows: int) -> bytes:
    """A sheet as a statistical office sends it: 130,000 rows are 50 MB of XML."""
    shared = "".join(f"<si><t>Báo cáo của đơn vị {number}</t></si>" for number in range(2_000))
    return sheet(f"{_rows(rows)}<row><c t='inlineStr'><is><t>{last}</t></is></c></row>", shared)


def _rows(many: int) -> str:
    rng = random.Random(1)
    text = '<c r="A{0}" t="s"><v>{1}</v></c>'
    figure = '<c r="B{0}"><v>{1:.6f}</v></c>'
    return "".join(
        f'<row r="{row}">{"".join(text.format(row, rng.randrange(2_000)) for _ in range(4))}'
        f"{''.join(figure.format(row, rng.random()) for _ in range(6))}</row>"
        for row in range(many)
    )


LARGE: dict[str, Callable[[str], bytes]] = {
    "20 scanned pages.pdf": lambda last: scanned_pdf(last, 20),
    "300 scanned pages.pdf": lambda last: scanned_pdf(last, 300),
    "slides.pptx": presentation,
    "10,000 rows.xlsx": lambda last: workbook(last, 10_000),
    "130,000 rows.xlsx": lambda last: workbook(last, 130_000),
}
