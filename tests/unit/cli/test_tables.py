"""Tables as a person sees them: within the width of the terminal or of COLUMNS, and never a broken address."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime

import pytest

from mic_mail.cli import output
from mic_mail.cli.output import Column, Part
from mic_mail.cli.table_layout import column_widths
from mic_mail.errors import Text
from mic_mail.i18n.language import Language

ADDRESSES = ("dvbe@mic.gov.vn", "phatthanhtruyenhinh@mic.gov.vn")
PROGRAM = (
    f"ADDRESSES = {ADDRESSES!r}"
    """
from mic_mail.cli import output
from mic_mail.cli.output import Column
from mic_mail.i18n.language import Language
output.settle(Language.VI)
columns = [
    Column("address", "Địa chỉ", "Address"), Column("owner", "Chủ", "Owner"), Column("state", "Trạng thái", "State"),
    Column("octets", "Dung lượng", "Size", right=True, size=True), Column("until", "Thay đổi tới", "Until"),
]
owner, state = "Cục Phát thanh, truyền hình và thông tin điện tử", "đang hoạt động, phải đổi mật khẩu"
rows = [
    {"address": address, "owner": owner, "state": state, "octets": 3 << 29, "until": "01/03/2027"}
    for address in ADDRESSES
]
output.listing(columns, rows, as_json=False)
output.record(columns, rows[1], as_json=False)
"""
)


def _environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    return {**kept, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1", "TERM": "xterm", **more}


def _at_a_terminal(width: int) -> str:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=slave, stdout=slave, env=_environment()) as process:
        os.close(slave)
        told = b""
        try:
            while piece := os.read(master, 1 << 16):
                told += piece
        except OSError:  # EIO: the other end is closed
            pass
        os.close(master)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", told.decode()).replace("\r\n", "\n")


def _piped(**environment: str) -> str:
    run = [sys.executable, "-c", PROGRAM]
    return subprocess.run(run, stdout=subprocess.PIPE, env=_environment(**environment), check=True, encoding="utf-8").stdout


def _holds(told: str, width: int) -> None:
    lines = told.splitlines()
    assert max(map(len, lines)) <= width, told
    for address in ADDRESSES:
        assert any(address in line for line in lines), told
    for word in ("Địa", "Chủ", "Dung", "1,5 GB", "01/03/2027"):
        assert word in told


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_fits_the_terminal(width: int) -> None:
    """At a terminal no line is wider than it, and every address stands whole in one line."""
    _holds(_at_a_terminal(width), width)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_in_a_pipe_fits_columns(width: int) -> None:
    """A table that is piped keeps to COLUMNS where that is set."""
    _holds(_piped(COLUMNS=str(width)), width)


def test_a_table_in_a_pipe_without_columns_has_one_line_a_row() -> None:
    """Where neither a terminal nor COLUMNS says how wide it may be, a filter of lines sees whole rows."""
    told = _piped()
    for address in ADDRESSES:
        (line,) = [line for line in told.splitlines() if address in line and "│" in line]
        assert "Cục Phát thanh, truyền hình và thông tin điện tử" in line
        assert "đang hoạt động, phải đổi mật khẩu" in line


def test_a_row_that_cannot_fit_is_a_record() -> None:
    """Where the longest words have no room beside each other each row becomes lines of heading and value."""
    assert "│" in _piped(COLUMNS="120")
    assert "│" not in _piped(COLUMNS="40")


def test_a_name_between_colons_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A subject or a folder may look like the code of an emoji, in a line, a note, a table and a record."""
    name, columns = "Tổ :smile: 12:star:30", [Column("name", "Tên", "Name")]
    output.line(name)
    output.note(name, name)
    output.listing(columns, [{"name": name}], as_json=False)
    output.record(columns, {"name": name}, as_json=False)
    shown = capsys.readouterr()
    assert (shown.out.count(name), shown.err.count(name)) == (3, 1)


def test_a_record_shows_what_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty value of a record has a dash, as one that is not known, and a part stands apart from the record."""
    columns = (Column("clause", "By", "By"), Column("used", "Last used", "Last used"))
    part = Part("lag", (Column("worst", "Worst", "Worst"),), ({"worst": 302.0}, {"worst": 0.5}), title=Text("Lag", "Lag"))
    output.record(columns, {"clause": "", "used": None}, part, as_json=False)
    record, _, table = capsys.readouterr().out.partition("\n\n")
    assert record.splitlines() == ["By         -", "Last used  -"]
    assert [line.strip("│ ") for line in table.splitlines() if "│" in line] == ["302", "0.5"]
    assert table.startswith("Lag")


@pytest.mark.parametrize("language", Language)
def test_a_day_is_one_word_in_both_languages(
    language: Language, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table has the form of an instant for it, which no narrow column breaks into two lines."""
    monkeypatch.setattr(output._Speech, "language", language)
    columns = [Column("day", "Ngày", "Day"), Column("at", "Lúc", "At")]
    at = datetime(2026, 9, 30, 3, tzinfo=UTC)
    output.listing(columns, [{"day": at.date(), "at": at}], as_json=False)
    [row] = [line for line in capsys.readouterr().out.splitlines() if "30" in line]
    assert row.replace("│", " ").split() == ["30/09/2026", "30/09/2026", "10:00"]


def test_a_list_without_rows_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list is told apart from a command that prints nothing, also where its headings have no room."""
    columns = [Column(f"c{number}", "Heading", "Heading") for number in range(4)]
    for width, wanted in (("80", "Heading"), ("20", output.spoken("Không có mục nào.", "No entries."))):
        monkeypatch.setenv("COLUMNS", width)
        output.listing(columns, [], as_json=False)
        assert wanted in capsys.readouterr().out


def test_rows_have_room_before_headings() -> None:
    """A heading takes its lines once, a value those of its row."""
    rows = [["Entered by the Centre", "Level"], ["no", "department level and above"]]
    assert column_widths(rows, 45) == [12, 26]
    assert column_widths(rows, 60) == [21, 26]
    assert column_widths(rows[:1], 60) == [21, 5]
    assert column_widths(rows, 20) is None
