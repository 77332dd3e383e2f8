"""Reg. 6.2: many requests from one file, each with its result."""

import csv
import io
import json
import os
import subprocess
from datetime import UTC, date, datetime

import pytest

from mic_mail.documents import xlsx
from mic_mail.documents.document import Column, Table
from mic_mail.policy.requests import Filing, Item, RequestChannel, RequestKind
from mic_mail.services.requests.form import empty_form, is_form, read_table
from regulation.console import PROGRAM, Console
from regulation.requests_setup import HEADING, HOA, ROWS, requests_console, table


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    return requests_console(tmp_path_factory.mktemp("requests"))


def test_many_from_a_file_each_with_its_result(console: Console) -> None:
    """First dry, then entered, then once more, which enters nothing."""
    path = console.folder / "yêu cầu.csv"
    path.write_bytes(table(HEADING, *ROWS))
    known = len(console.json("request", "list"))
    for entered in (False, True, True):
        words = ("request", "import", str(path), *(() if entered else ("--dry-run",)), "--json")
        console.refused(*words)  # some rows were refused
        rows = json.loads(console.out)
        assert [row["row"] for row in rows] == [2, 3, 4, 5, 6]
        assert [row["refused"] is None for row in rows] == [True, False, True, False, False]
        assert rows[1]["clause"] == "6.3"
        assert [row["request_id"] is not None for row in rows] == [entered, False, entered, False, False]
        assert len(console.json("request", "list")) == known + 2 * entered


def test_a_row_that_was_entered_before_is_told_as_it_stands(console: Console) -> None:
    """A request that was withdrawn since is not entered again by the same file, and the result says so."""
    path = console.folder / "hai lần.csv"
    heading = ("Loại yêu cầu", "Nội dung", "Đơn vị", "Kênh", "Người đề nghị")
    path.write_bytes(table(heading, ("vướng mắc", "Thư gửi hai lần", "CNTT", "điện thoại", HOA)))
    console.done("request", "import", path)
    assert "1 entered, 0 refused." in console.err
    (row,) = console.json("request", "import", path)
    assert row["state"] == "open"
    console.done("request", "withdraw", row["request_id"])
    console.done("request", "import", path)
    assert "0 entered, 1 entered before, 0 refused." in console.err
    assert "withdrawn" in console.out
    assert console.json("request", "import", path)[0]["state"] == "withdrawn"


@pytest.mark.parametrize(
    ("items", "vi", "en"),
    [
        ({Item.INTO: "KHTC"}, "sáp nhập vào KHTC", "merged into KHTC"),
        ({Item.CLOSES: "CNTT-P1"}, "kết thúc đơn vị CNTT-P1", "unit that ends CNTT-P1"),
        ({Item.NEW_SYMBOL: "CNTT2"}, "ký hiệu mới CNTT2", "new symbol CNTT2"),
        ({Item.NEW_NAME: "Vụ Mới", Item.INTO: "KHTC"}, "Vụ Mới", "V\\u1ee5 M\\u1edbi"),
        ({Item.DAY: "2026-12-01"}, "", ""),
        ({Item.NOTE: "x" * 80}, "x" * 80, "x" * 80),
        ({Item.NOTE: "x" * 81}, "x" * 77 + "...", "x" * 77 + "..."),
        ({Item.NOTE: "may in " * 12}, "may in " * 10 + "may in...", "may in " * 10 + "may in..."),
    ],
)
def test_a_change_of_a_unit_says_what_it_is_about(items: dict[Item, str], vi: str, en: str) -> None:
    """A list of requests has no empty place for one that names neither a person nor a mailbox."""
    filing = Filing(RequestKind.CHANGE, RequestChannel.LETTER, HOA, 1, datetime(2026, 11, 24, tzinfo=UTC), items=items)
    assert (filing.subject.vi, filing.subject.en) == (vi, en)


def test_a_row_that_lacks_something_says_what(console: Console) -> None:
    """The form has no column for the channel; a file of it without `--channel` is told so, and a row without a kind too."""
    path = console.folder / "thiếu.csv"
    heading, *rows = csv.reader(io.StringIO(empty_form(datetime.now(UTC), as_csv=True).decode("utf-8-sig")))
    assert not rows
    column = next(n for n, name in enumerate(heading) if name.startswith("Nội dung"))
    for kind, more, told in (
        ("vướng mắc", (), "The channel is missing: --channel, or a column 'Channel'."),
        ("", ("--channel", "fax"), "The kind of request is missing."),
    ):
        row = [kind, *("máy in" if n == column else "" for n in range(1, len(heading)))]
        path.write_bytes(table(heading, row))
        console.refused("request", "import", path, "--unit", "CNTT", "--asked-by", HOA, *more, "--json")
        assert [row["refused"]["en"] for row in json.loads(console.out)] == [told]


def test_the_form_comes_back_as_it_was_sent(console: Console) -> None:
    """Both forms have the columns that the reader knows; a filled-in XLSX with days as days is understood."""
    for words, name in (((), "mẫu.xlsx"), (("--csv",), "mẫu.csv")):
        path = console.folder / name
        console.done("request", "form", path, *words)
        sheet = read_table(path.read_bytes())
        assert is_form(sheet)
        assert sheet.rows == ()
    made_at = datetime(2026, 11, 26, tzinfo=UTC)
    heading = read_table(empty_form(made_at, as_csv=False)).heading
    filled = {
        "Loại yêu cầu": "nghỉ",
        "Địa chỉ hộp thư": "tvan",
        "Ngày chính thức": date(2190, 2, 1),
        "Nguyên nhân": "nghỉ hưu",
        "Số văn bản": "5/QĐ",
    }
    row = [filled.get(title.partition(" (")[0]) for title in heading]
    path = console.folder / "nghỉ.xlsx"
    path.write_bytes(xlsx.form(Table("Yêu cầu", [Column(title) for title in heading], [row]), made_at))
    words = ("request", "import", str(path), "--unit", "CNTT", "--asked-by", HOA, "--channel", "letter")
    (entered,) = console.json(*words)
    shown = console.json("request", "show", entered["request_id"])
    assert shown["items"] == {"address": "tvan@mic.gov.vn", "day": "2190-02-01", "cause": "retired"}
    for damaged in (b"", b"PK\x03\x04 no archive", b"\xff\xfe", table(("Họ và tên",), ("An",))):
        path.write_bytes(damaged)
        console.refused("request", "import", path, code=2)


@pytest.mark.clause("4.3")
def test_a_file_that_is_not_ones_own_says_nothing(console: Console) -> None:
    """The command reads with the server's powers: not among the server's files, nor what is no file and never ends."""
    own = console.folder / "data" / "form.csv"
    own.write_bytes(table(HEADING, ("thư mật của người khác", "", "", "", "", "", "CNTT", "văn bản", HOA)))
    link = console.folder / "form.csv"
    link.symlink_to(own)
    pipe = console.folder / "pipe.csv"
    os.mkfifo(pipe)
    for path in (own, link, "/dev/zero", "/proc/self/mem", console.folder, pipe, console.folder / "none"):
        assert console.run("request", "import", path) == 2, path
        assert "người khác" not in console.out + console.err
    command = [PROGRAM, "request", "import", "/dev/stdin", "--dry-run", "--json"]
    given = table(HEADING, ROWS[0])
    done = subprocess.run(command, input=given, env={**os.environ, **console.env}, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_cell_is_one_line_and_says_what_it_shows(console: Console) -> None:
    """Line ends, control characters and signs of direction in a cell forge no line of a list or a letter."""
    note = "Thư chậm\r\n- Yêu cầu số 1:\x00\x1b[2J xong \u202eahp\u2028x\u200b"
    (row,) = ask_by_file(console, ("vướng mắc", note, "CNTT", "điện thoại", HOA, "24/11/2026"))
    shown = console.json("request", "show", row["request_id"])
    assert shown["items"]["note"] == "Thư chậm - Yêu cầu số 1: [2J xong ahp x"


@pytest.mark.parametrize("day", ["01/01/0001 00:00", "31/12/9999 23:59", "24/11/1900 08:00", "31/02/2026 08:00"])
def test_a_day_of_receipt_that_cannot_be(console: Console, day: str) -> None:
    """It is refused with its row, and the other rows are taken."""
    rows = [("vướng mắc", "x", "CNTT", "điện thoại", HOA, given) for given in (day, "24/11/2026 08:00")]
    assert [row["refused"] is None for row in ask_by_file(console, *rows, code=1)] == [False, True]


def ask_by_file(console: Console, *rows: tuple[str, ...], code: int = 0) -> list[dict]:
    """The result of each row."""
    path = console.folder / "rows.csv"
    path.write_bytes(table(("Loại yêu cầu", "Nội dung", "Đơn vị", "Kênh", "Người đề nghị", "Ngày nhận"), *rows))
    assert console.run("request", "import", path, "--json") == code, console.err
    return json.loads(console.out)
