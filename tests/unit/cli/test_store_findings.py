"""`mic-mail mailbox rescan` and `repair` count what they find by folder and kind; `--list` shows each finding."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mic_mail.cli import output
from mic_mail.cli.commands.mailbox_store import FINDINGS, _ByKind
from mic_mail.cli.output import Row
from mic_mail.storage.types import RepairFinding
from regulation.console import Console, made

MESSAGE = b"From: a@a.example\r\nSubject: x\r\n\r\nx\r\n"


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return made(tmp_path)


def put(console: Console, count: int, folder: str = "") -> str:
    """Message files by another tool; the address of their mailbox."""
    (mailbox,) = console.json("mailbox", "list")
    address = mailbox["address"]
    local, _, domain = address.partition("@")
    new = console.folder / "data" / "mail" / domain / local / "Maildir" / folder / "new"
    assert new.is_dir()
    for number in range(count):
        (new / f"1700000000.{number}.other").write_bytes(MESSAGE)
    return str(address)


def test_findings_are_counted(console: Console) -> None:
    """One row for each folder and kind, with one of them as an example; repair counts as rescan does."""
    address = put(console, 30)
    put(console, 5, ".Sent")
    for words in (("repair", "--check"), ("rescan",)):
        console.run("mailbox", *words, address, "--json")
        rows = json.loads(console.out)
        assert sorted((row["folder"], row["kind"], row["count"]) for row in rows) == [
            ("INBOX", "message-found", 30),
            ("Sent", "message-found", 5),
        ]
        assert all(row["example"] for row in rows)
        assert "35 findings" in console.err
    assert console.json("mailbox", "repair", "--check", address) == []


def test_each_finding_is_listed_where_that_is_asked_for(console: Console) -> None:
    """A line each, its cells parted by tabs, or one JSON array."""
    address = put(console, 30)
    console.refused("mailbox", "repair", "--check", "--list", address, "--json")
    rows = json.loads(console.out)
    assert [set(row) for row in rows] == [{"address", "folder", "kind", "detail"}] * 30
    assert len({row["detail"] for row in rows}) == 30
    console.done("mailbox", "rescan", "--list", address)
    lines = [line.split("\t") for line in console.out.splitlines()]
    assert [line[:3] for line in lines] == [[address, "INBOX", "message found"]] * 30
    assert console.json("mailbox", "rescan", "--list", address) == []


def test_what_is_counted_holds_no_row_for_each() -> None:
    """As many rows as there are folders and kinds, however many findings there are."""
    found = _ByKind("a@mic.gov.vn")
    for number in range(10_000):
        found.print_row(RepairFinding("message-gone", f"folder {number % 3}", f"file {number}"))
    assert [(row["folder"], row["count"], row["example"]) for row in found.rows()] == [
        ("folder 0", 3_334, "file 0"),
        ("folder 1", 3_333, "file 1"),
        ("folder 2", 3_333, "file 2"),
    ]


def test_lines_are_written_as_their_rows_come(capsys: pytest.CaptureFixture[str]) -> None:
    """The first is out before the second is asked for, and no name can make a line of its own."""

    def rows() -> Iterator[Row]:
        yield {"address": "a@mic.gov.vn", "folder": "x\ny", "kind": "message-gone", "detail": "1\t2"}
        assert capsys.readouterr().out.count("\n") == 1
        yield {"address": "a@mic.gov.vn", "folder": "INBOX", "kind": "counters", "detail": ""}

    output.lines(FINDINGS, rows())
    assert capsys.readouterr().out.split("\t")[1] == "INBOX"
