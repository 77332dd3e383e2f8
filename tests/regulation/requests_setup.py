"""A server with two units that ask, their requests, and tables of requests."""

import csv
import io
from pathlib import Path

from regulation.console import Console

HOA = "Nguyễn Thị Hoa"
CLERK = ("--position", "Chuyên viên", "--employment", "công chức")


def requests_console(folder: Path) -> Console:
    """A server with two units, and one person with a mailbox in the first."""
    console = Console(folder).init()
    for symbol, name in (("CNTT", "Vụ Công nghệ thông tin"), ("PC", "Vụ Pháp chế")):
        console.done("unit", "add", symbol, name, "--document", "1553/QĐ-BTTTT")
    console.done("person", "add", "Trần Văn An", "--unit", "CNTT")
    console.json("mailbox", "issue", "--person", "1", "--document", "1/CV")
    return console


def ask(console: Console, kind: str, *more: str, unit: str = "CNTT") -> int:
    """The number of a new request."""
    words = ("request", "add", kind, "--unit", unit, "--asked-by", HOA)
    return console.json(*words, *(more if "--channel" in more else ("--document", "12/CV", *more)))["request_id"]


def facts(console: Console, address: str) -> list[dict]:
    return console.json("mailbox", "show", address)["facts"]


def table(*rows: tuple[str, ...]) -> bytes:
    """A CSV as a unit would fill it in."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8-sig")


HEADING = ("Loai yeu cau", "HỌ VÀ TÊN", "Địa chỉ hộp thư", "Chức danh", "Diện", "Số văn bản", "Đơn vị", "Kênh", "Người đề nghị")
ROWS = (
    ("Cấp mới", "Phan Văn Tú", "", "Chuyên viên", "Viên chức", "7/QĐ", "CNTT", "Văn bản", HOA),
    ("cap moi", "Phan Văn Tư", "", "Chuyên viên", "Hợp đồng", "8/QĐ", "CNTT", "văn bản", HOA),
    ("khôi phục", "", "tvan@mic.gov.vn", "", "", "", "CNTT", "điện thoại", HOA),
    ("đặt lại mật khẩu", "", "khongco", "", "", "9/CV", "CNTT", "văn bản", HOA),
    ("xin nghỉ phép", "", "tvan", "", "", "9/CV", "CNTT", "văn bản", HOA),
)
