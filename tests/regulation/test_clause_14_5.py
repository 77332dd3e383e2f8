"""Reg. 14.5: units that still use another mail system are on a register, with the day by which they leave it (also 5.5)."""

import io
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from openpyxl import load_workbook
from pypdf import PdfReader

from mic_mail.policy.migration_plans import MigrationPlan, PlanStanding, standing
from regulation.console import Console
from regulation.officers import officers_console

pytestmark = pytest.mark.clause("14.5")


@pytest.fixture
def console(tmp_path: Path) -> Console:
    made = Console(tmp_path).init()
    for symbol, name in (("VP", "Văn phòng Bộ"), ("CVT", "Cục Viễn thông")):
        made.done("unit", "add", "--document", "1/CV", symbol, name)
        made.done("mailbox", "issue", "--document", "1/CV", "--unit", symbol)
    return made


def words_of(path: Path) -> str:
    """Of a PDF, without the places where a word may break."""
    text = "".join(page.extract_text() for page in PdfReader(path).pages)
    return " ".join(text.replace("\u200b", "").split())


def plan(console: Console, unit: str, system: str, by: str, mailboxes: str = "12") -> None:
    words = ("migration", "plan", unit, "--system", system, "--mailboxes", mailboxes, "--by", by, "--contact", "Lê Hoa")
    console.done(*words, "--document", "7/CV-CVT")


def test_a_plan_is_overdue_from_the_day_after() -> None:
    """Not on its last day; and no more once it has ended."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    open_plan = MigrationPlan(1, 1, "Zimbra", 5, date(2027, 3, 31), "", at, "mai")
    assert standing(open_plan, date(2027, 3, 31)) is PlanStanding.PLANNED
    assert standing(open_plan, date(2027, 4, 1)) is PlanStanding.OVERDUE
    done = MigrationPlan(1, 1, "Zimbra", 5, date(2027, 3, 31), "", at, "mai", None, at, "mai", done=True)
    assert standing(done, date(2030, 1, 1)) is PlanStanding.DONE


def console_day(year: int, month: int, day: int):
    from datetime import UTC, datetime

    return datetime(year, month, day, tzinfo=UTC)


def test_the_register_by_command(console: Console, tmp_path: Path) -> None:
    """Recorded, put off, overdue, done; on paper, in the census, in the report and as evidence."""
    plan(console, "CVT", "Zimbra của Cục", "31/03/2020", "120")
    plan(console, "CVT", "zimbra của cục", "30/06/2020", "100")
    plan(console, "VP", "Gmail", "31/12/2198", "3")
    found = console.json("migration", "list")
    assert [(row["unit"], row["standing"], row["times_replaced"], row["mailboxes"]) for row in found] == [
        ("CVT", "overdue", 1, 100), ("VP", "planned", 0, 3),
    ]  # fmt: skip
    assert [row["unit"] for row in console.json("migration", "list", "--overdue")] == ["CVT"]
    assert [row["standing"] for row in console.json("migration", "list", "--all")] == ["replaced", "overdue", "planned"]
    evidence = {each["what"]["en"]: each for each in console.json("regulation", "show", "14.5")["evidence"]}
    assert evidence["units that still use another system"]["count"] == 2
    assert evidence["overdue migration plans"]["overdue"]
    for name in ("register.pdf", "register.xlsx"):
        console.done("migration", "paper", "--out", tmp_path / name)
    text = words_of(tmp_path / "register.pdf")
    for told in ("Cục Viễn thông", "quá hạn", "30/06/2020", "Lê Hoa", "khoản 5 Điều 14"):
        assert told in text
    book = load_workbook(io.BytesIO((tmp_path / "register.xlsx").read_bytes()))
    assert any("Chưa chuyển xong" in sheet.title for sheet in book)
    console.done("census", "make", "--unit", "CVT", "--out", tmp_path / "census")
    pdf = next((tmp_path / "census").glob("*.pdf"))
    assert "100 hộp thư" in words_of(pdf)
    console.done("report", "usage", "--out", tmp_path / "usage.xlsx")
    assert any("hệ thống khác" in sheet.title for sheet in load_workbook(tmp_path / "usage.xlsx"))
    assert console.run("migration", "done", "2") == 2, "nothing ends without its document"
    console.done("migration", "done", "2", "--document", "9/BC-CVT")
    console.refused("migration", "done", "2", "--document", "9/BC-CVT")
    console.refused("migration", "done", "77", "--document", "x", code=2)
    assert [row["unit"] for row in console.json("migration", "list")] == ["VP"]


def test_plans_that_make_no_sense(console: Console) -> None:
    """Are not recorded."""
    for option, value in (
        ("--system", " "), ("--mailboxes", "-1"), ("--mailboxes", "99999999"), ("--by", "31/02/2027"), ("--by", "31/03/0027"),
    ):  # fmt: skip
        given = {"--system": "Zimbra", "--mailboxes": "1", "--by": "31/03/2027", option: value}
        assert console.run("migration", "plan", "VP", *(part for pair in given.items() for part in pair)) == 2, option
    assert console.json("migration", "list") == []


def test_a_unit_sees_its_own_plan(tmp_path: Path) -> None:
    """Its administrator reads it, and only the Centre records (6.1)."""
    officers = officers_console(tmp_path)
    for unit in ("CNTT", "KHTC"):
        words = ("migration", "plan", unit, "--system", "Zimbra", "--mailboxes", "1", "--by", "31/03/2027")
        officers.done_by("mai", *words)
        officers.refused_by("hoa", *words)
    assert [row["unit"] for row in officers.json_by("hoa", "migration", "list")] == ["CNTT"]
    assert len(officers.json_by("kiem", "migration", "list")) == 2


@pytest.mark.clause("5.5")
def test_an_old_address_is_kept(tmp_path: Path) -> None:
    """As it is, marked as imported, with a first password; what is issued anew still follows the rule and never collides."""
    console = Console(tmp_path).init()
    console.done("unit", "add", "--document", "1/CV", "CNTT", "Vụ Công nghệ thông tin")
    for name in ("Đỗ Văn Bê", "Đinh Vũ Bê", "Trần Thị Lan"):
        console.done("person", "add", name, "--unit", "CNTT")
    words = ("import", "address", "Be_Do.2009@mic.gov.vn", "--person", "1")
    assert console.run(*words) == 2, "nothing without its document"
    made = console.json(*words, "--document", "3/YC")
    assert made["address"] == "be_do.2009@mic.gov.vn"
    shown = console.json("mailbox", "show", "be_do.2009@mic.gov.vn")
    assert [fact["kind"] for fact in shown["facts"]] == ["imported", "password_reset"]
    assert "password_due" in shown["states"]
    assert shown["older_address"] is True
    console.done("import", "address", "dvbe@mic.gov.vn", "--person", "3", "--document", "3/YC")
    assert console.run("mailbox", "issue", "--document", "1/CV", "--person", "2") == 1, (
        "the address is somebody's, whose name it does not fit"
    )
    assert (
        console.json("mailbox", "issue", "--document", "1/CV", "--person", "2", "--address", "bedv")["address"]
        == "bedv@mic.gov.vn"
    )
    assert console.json("import", "address", "vp+thu@mic.gov.vn", "--unit", "CNTT", "--document", "3/YC")["mailbox_id"]
    for local in ("a..b", "../x", "a/b", "", "a b", ".a", "x@y"):
        wrong = f"{local}@mic.gov.vn"
        assert console.run("import", "address", wrong, "--person", "2", "--document", "3/YC") in {1, 2}, wrong
    console.refused("import", "address", "khac@mic.gov.vn", "--person", "1", "--document", "3/YC")
    console.refused("import", "address", "bedv@mic.gov.vn", "--unit", "CNTT", "--document", "3/YC")
    evidence = console.json("regulation", "show", "5.5")["evidence"]
    assert any(each["count"] == 3 for each in evidence), json.dumps(evidence)
