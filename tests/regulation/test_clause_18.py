"""Reg. 18: problems are told to the Centre, which collects them for the leadership."""

from datetime import UTC, datetime, timedelta

import pytest
from pypdf import PdfReader

from mic_mail.policy.requests import Filing, Request, RequestChannel, RequestKind, RequestState
from mic_mail.services.reports.problems import Timeliness, answered
from mic_mail.services.requests.register import Due
from regulation.console import Console


def test_clause_18_problems_are_collected(tmp_path) -> None:
    """By any way, agreed to, settled with a result; listed by kind, and counted among today's evidence."""
    console = Console(tmp_path).init()
    console.done("unit", "add", "--document", "1/CV", "CNTT", "Vụ CNTT")
    words = ("request", "add", "problem", "--unit", "CNTT", "--asked-by", "Hoa")
    console.refused(*words, "--channel", "telephone", code=2)  # of what?
    assert "18" in console.err
    number = str(console.json(*words, "--channel", "telephone", "--note", "Thư đến chậm")["request_id"])
    console.done("request", "approve", number)
    assert console.json("request", "list", "--state", "approved")[0]["subject"] == "Thư đến chậm"
    console.refused("request", "done", number, "--result", " ", code=2)
    console.done("request", "done", number, "--result", "Đã tăng số tiến trình")
    shown = console.json("regulation", "show", "18")
    assert any(finding["what"]["en"] == "problems reported" and finding["count"] == 1 for finding in shown["evidence"])
    (problem,) = console.json("request", "list", "--kind", "problem")
    assert problem["state"] == "done"
    assert console.json("request", "show", number)["result"] == "Đã tăng số tiến trình"


def a_ministry(folder):
    """Two units, a mailbox in the first."""
    console = Console(folder).init()
    for words in (
        ("unit", "add", "--document", "1/CV", "CNTT", "Vụ CNTT"),
        ("unit", "add", "--document", "1/CV", "KHTC", "Vụ KHTC"),
        ("person", "add", "Đỗ Văn Bê", "--unit", "CNTT"),
        ("mailbox", "issue", "--document", "1/CV", "--person", "1"),
    ):
        console.done(*words)
    return console


def test_clause_18_the_leadership_gets_a_paper(tmp_path):
    """By unit and state, how many were answered in time, every one with its result; as PDF, XLSX and HTML alike."""
    console = a_ministry(tmp_path)
    for unit, received, note in (
        ("CNTT", "02/11/2026 08:00", "Thư đến chậm"),
        ("CNTT", "03/11/2026 08:00", "Không mở được tệp <b>kèm</b>"),
        ("KHTC", "04/11/2026 08:00", "Không gửi được"),
        ("KHTC", "04/05/2026 08:00", "Chuyện đã cũ"),
    ):
        words = ("request", "add", "problem", "--unit", unit, "--asked-by", "Hoa", "--channel", "telephone")
        console.done(*words, "--received", received, "--note", note)
    console.done("request", "done", "1", "--result", "Đã tăng số tiến trình")
    console.done("request", "refuse", "2", "--reason", "Tệp hỏng")
    span = ("--from", "01/11/2026", "--until", "30/11/2026")
    page = tmp_path / "vm.html"
    console.done("report", "problems", *span, "--out", page)
    text = page.read_text()
    for said in (
        "Thư đến chậm",
        "Đã tăng số tiến trình",
        "Không gửi được",
        "Số vướng mắc tiếp nhận",
        "Điều 18",
        "&lt;b&gt;kèm",
    ):
        assert said in text
    assert "Chuyện đã cũ" not in text
    assert "<b>kèm" not in text
    console.done("report", "problems", *span, "--unit", "KHTC", "--out", page)
    assert "Thư đến chậm" not in page.read_text()
    for name in ("vm.pdf", "vm.xlsx"):
        console.done("report", "problems", *span, "--out", tmp_path / name)
        assert (tmp_path / name).stat().st_size > 2_000
    shown = console.json("regulation", "show", "18")["evidence"]
    assert [each["count"] for each in shown if each["what"]["en"] == "collections of problems made"] == [4]


@pytest.mark.parametrize(
    ("state", "handled", "overdue", "stands"),
    [
        (RequestState.DONE, 1, False, Timeliness.IN_TIME),
        (RequestState.REFUSED, 3, False, Timeliness.LATE),
        (RequestState.OPEN, None, False, Timeliness.WAITING),
        (RequestState.APPROVED, None, True, Timeliness.OVERDUE),
        (RequestState.WITHDRAWN, 9, False, Timeliness.WITHDRAWN),
    ],
)
def test_clause_18_answered_in_time(state, handled, overdue, stands):
    """By its deadline; what waits is no answer."""
    day = datetime(2026, 11, 2, tzinfo=UTC)
    at = None if handled is None else day + timedelta(days=handled)
    filing = Filing(RequestKind.PROBLEM, RequestChannel.LETTER, "Hoa", 1, day)
    request = Request(1, filing, state, "mai", day, handled_at=at)
    assert answered(Due(request, day + timedelta(days=2), overdue)) is stands


@pytest.mark.clause("14.3", "14.6")
def test_what_a_unit_disputes_is_linked_to_the_line_of_its_list(tmp_path):
    """Both ways, by address or by name; the next paper says what became of it. What is about no line is linked to none."""
    console = a_ministry(tmp_path)
    console.done("census", "make", "--unit", "CNTT", "--out", tmp_path)
    words = ("request", "add", "correction", "--unit", "CNTT", "--asked-by", "Hoa", "--channel", "telephone", "--note")
    by_address = console.json(*words, "Chức vụ: Phó Vụ trưởng", "--address", "dvbe")
    by_name = console.json(*words, "Đã chuyển đi", "--name", "Đỗ Văn Bê")
    about_none = console.json(*words, "Thiếu người mới", "--name", "Lê Hoa")
    assert [
        each["census_line"] and each["census_line"]["vi"].partition(": ")[2] for each in (by_address, by_name, about_none)
    ] == [
        "Đỗ Văn Bê",
        "Đỗ Văn Bê",
        None,
    ]
    (line,) = console.json("census", "show", "CNTT")
    assert line["requests"] == [str(by_address["request_id"]), str(by_name["request_id"])]
    console.done("request", "done", by_address["request_id"], "--result", "Đã sửa chức vụ")
    console.done("census", "make", "--unit", "CNTT", "--out", tmp_path)
    (paper,) = tmp_path.glob("*-cntt.pdf")
    text = "".join(page.extract_text() for page in PdfReader(paper).pages)
    for said in ("IV. Đề nghị sửa của đơn vị", "Đã sửa chức vụ", "Đã chuyển đi", "đang chờ"):
        assert said in text
    assert "Thiếu người mới" not in text
