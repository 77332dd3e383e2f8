"""Reg. 6.2: many requests are approved, refused or closed by one command, each by itself."""

import json
import re
from pathlib import Path

import pytest

from mic_mail.clock import SystemClock
from mic_mail.policy.calendar import add_days, local_day
from regulation.console import Console
from regulation.requests_setup import CLERK, HEADING, HOA, ask, table


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """A server with one unit and two people, the first of whom has a mailbox."""
    console = Console(tmp_path).init()
    console.done("unit", "add", "CNTT", "Vụ Công nghệ thông tin", "--document", "1553/QĐ-BTTTT")
    console.done("person", "add", "Trần Văn An", "--unit", "CNTT")
    console.json("mailbox", "issue", "--person", "1", "--document", "1/CV")
    return console


def many(console: Console, code: int, *words: str) -> list[dict]:
    assert console.run("request", *words, "--json") == code, console.err
    return json.loads(console.out)


def acts(console: Console) -> list[tuple[str, str]]:
    lines = [line for file in console.folder.rglob("audit-*.jsonl") for line in file.read_text().splitlines()]
    return [(each["act"], each["subject"]) for each in map(json.loads, lines) if str(each["act"]).startswith("request_")]


def shown(console: Console, number: int) -> dict:
    return console.json("request", "show", number)


def test_a_file_of_requests_is_approved_by_one_command(console: Console) -> None:
    """A result for each: new passwords once, what a rule refuses with its clause; the refused one keeps nobody back."""
    file = console.folder / "requests.csv"
    names = ("Lê Thị Bình", "Lê Thị Bình", "Phạm Minh Đức")
    file.write_bytes(
        table(HEADING, *(("cấp mới", name, "", "Chuyên viên", "công chức", "12/CV", "CNTT", "văn bản", HOA) for name in names))
    )
    filed = many(console, 0, "import", str(file))
    numbers = [str(row["request_id"]) for row in filed]
    rows = many(console, 1, "approve", *numbers, "999", numbers[0])
    assert [row["request_id"] for row in rows] == [*map(int, numbers), 999]  # the one named twice is approved once
    assert [row["address"] for row in rows] == ["ltbinh@mic.gov.vn", None, "pmduc@mic.gov.vn", None]
    assert [bool(row["password"]) for row in rows] == [True, False, True, False]
    assert rows[0]["password"] != rows[2]["password"]
    assert rows[1]["clause"] == "5.4.b"
    assert rows[3]["refused"]["en"] == "No such request: 999."
    assert "2 done, 2 not" in console.err
    assert [shown(console, number)["state"] for number in map(int, numbers)] == ["done", "open", "done"]
    assert shown(console, int(numbers[1]))["hindrance"]
    found = acts(console)
    for number in numbers:
        assert ("request_approve", f"YC-{number}") in found
    assert ("request_approve_refused", f"YC-{numbers[1]}") in found
    again = many(console, 1, "approve", *numbers)
    assert [row["before"] for row in again] == [True, None, True]
    assert not any(row["password"] for row in again)
    assert f"Request {numbers[0]} was already carried out" in console.err


def test_the_table_has_the_passwords(console: Console) -> None:
    """As people read it; all done is exit code 0."""
    numbers = [str(ask(console, "issue", "--name", name, *CLERK)) for name in ("Lê Thị Bình", "Phạm Minh Đức")]
    console.done("request", "approve", *numbers)
    rows = [line for line in console.out.splitlines() if "@mic.gov.vn" in line]
    assert len(rows) == 2
    assert "New password" in console.out
    assert "2 done, 0 not" in console.err


def test_a_rehearsal_says_what_would_be_and_changes_nothing(console: Console) -> None:
    """Namesakes of one file among them: the second would be refused, as it then is; no password is told."""
    issue = [ask(console, "issue", "--name", "Lê Thị Bình", *CLERK) for _ in range(2)]
    reset = ask(console, "reset", "--address", "tvan")
    problem = ask(console, "problem", "--note", "không mở được thư")
    numbers = [str(number) for number in (*issue, reset, problem)]
    before = {
        path: path.read_bytes() for path in (console.folder / "data").rglob("*") if path.is_file() and "audit" in path.name
    }
    states = [shown(console, int(number)) for number in numbers]
    rows = many(console, 1, "approve", *numbers, "--dry-run")
    assert [row["state"] for row in rows] == ["done", None, "done", "approved"]
    assert rows[0]["address"] == "ltbinh@mic.gov.vn"
    assert rows[1]["clause"] == "5.4.b"
    assert "password" not in rows[0]
    assert "Nothing is changed: 3 would be done, 1 would not" in console.err
    assert [shown(console, int(number)) for number in numbers] == states
    assert len(console.json("person", "list")) == 1
    assert [mailbox["address"] for mailbox in console.json("mailbox", "list")] == ["tvan@mic.gov.vn"]
    assert not [
        fact for fact in console.json("mailbox", "show", "tvan@mic.gov.vn")["facts"] if fact["kind"] == "password_reset"
    ]
    after = {path: path.read_bytes() for path in before}
    assert after == before
    assert many(console, 0, "approve", str(reset), "--dry-run")[0]["state"] == "done"  # of one alone, too
    real = many(console, 1, "approve", *numbers)
    assert [(row["state"], row["address"], row["clause"]) for row in real] == [
        (row["state"], row["address"], row["clause"]) for row in rows
    ]


@pytest.mark.clause("6.2")
def test_a_rehearsal_shows_each_row_that_would_change(console: Console) -> None:
    """Of a change from now, of one for a later day, which stays pending for the requests after it, and none of a reset."""
    console.done("unit", "add", "KTS", "Cục Kinh tế số", "--document", "1/QĐ")
    day = f"{add_days(local_day(SystemClock().now()), 30):%d/%m/%Y}"
    merger = ask(console, "change", "--into", "KTS", "--day", day, "--document", "2/QĐ")
    promotion = ask(console, "change", "--address", "tvan", "--position", "Vụ trưởng", "--document", "3/QĐ")
    reset = ask(console, "reset", "--address", "tvan")
    numbers = [str(number) for number in (merger, promotion, reset)]
    rows = many(console, 0, "approve", *numbers, "--dry-run")
    changes = [[(each["name"], each["field"], each["old"], each["new"]) for each in row["changes"]] for row in rows]
    assert ("Trần Văn An", "unit_id", "CNTT", "KTS") in changes[0]
    assert ("CNTT", "successor_id", None, "KTS") in changes[0]
    assert ("Trần Văn An", "position", "Chuyên viên", "Vụ trưởng") in changes[1]
    assert not changes[2]
    console.done("request", "approve", *numbers, "--dry-run")
    assert f"Request {merger}\n" in re.sub(r" +\n", "\n", console.out)
    assert console.json("directory", "history") == []
    assert console.json("directory", "pending") == []


@pytest.mark.parametrize(
    "option",
    [
        ("--person", "1"),
        ("--same-person",),
        ("--address", "bedv"),
        ("--level", "division"),
        ("--queued", "send"),
        ("--document", "7/KL"),
    ],
)
def test_what_belongs_to_one_person_is_for_one_request(console: Console, option: tuple[str, ...]) -> None:
    """A document that lifts one breach must not lift another, nor an address go to whoever comes first."""
    numbers = [str(ask(console, "issue", "--name", name, *CLERK)) for name in ("Lê Thị Bình", "Phạm Minh Đức")]
    for more in ((), ("--dry-run",)):
        console.refused("request", "approve", *numbers, *option, *more, says=option[0], code=2)
    assert [shown(console, int(number))["state"] for number in numbers] == ["open", "open"]
    assert len(console.json("mailbox", "list")) == 1


def test_refused_and_closed_together(console: Console) -> None:
    """`refuse` and `done` likewise; what may not follow is told, the others are decided, all on record."""
    first, second, third = (ask(console, "problem", "--note", "không mở được thư") for _ in range(3))
    words = ("refuse", str(first), "999", str(second), "--reason", "trùng")
    assert [row["state"] for row in many(console, 1, *words, "--dry-run")] == ["refused", None, "refused"]
    assert shown(console, first)["state"] == "open"
    assert [row["state"] for row in many(console, 1, *words)] == ["refused", None, "refused"]
    assert (shown(console, second)["state"], shown(console, second)["result"]) == ("refused", "trùng")
    console.done("request", "approve", third)
    words = ("done", str(first), str(third), "--result", "đã sửa")
    assert [row["state"] for row in many(console, 1, *words, "--dry-run")] == [None, "done"]
    rows = many(console, 1, *words)
    assert [row["clause"] for row in rows] == ["6.2", None]
    assert shown(console, third)["state"] == "done"
    found = acts(console)
    assert ("request_refuse", f"YC-{second}") in found
    assert ("request_done_refused", f"YC-{first}") in found
    assert ("request_done", f"YC-{third}") in found


def test_one_is_told_as_before(console: Console) -> None:
    """A record, not a table; a refusal is an error with its exit code."""
    number = ask(console, "reset", "--address", "tvan")
    approved = console.json("request", "approve", number)
    assert isinstance(approved, dict)
    assert set(approved) == {"request_id", "kind", "kind_name", "state", "state_name", "address", "password", "before"}
    console.refused("request", "approve", "999", says="No such request: 999", code=2)
    console.refused("request", "approve", code=2)
