"""The working calendar as the Centre enters it: prefilled, mended, signed, counted by (Reg. 7.3.b, 10.3, 12.4)."""

import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.directory.repository import Directory
from mic_mail.policy import calendar_file
from mic_mail.policy.calendar import SATURDAY, Year
from mic_mail.services.operations.working_calendar import prefill
from regulation.console import Console


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    """A fresh server."""
    return Console(tmp_path_factory.mktemp("calendar")).init()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Directory]:
    """The directory of a server that was made at the end of 2025, and began its year 2026."""
    directory = Directory(f"sqlite:///{tmp_path}/directory.sqlite")
    directory.migrate()
    assert prefill(directory, date(2025, 12, 1)) == [2024, 2025, 2026]
    yield directory
    directory.close()


ANNOUNCED_2026 = """
year = 2026
document = "Thông báo 9441/TB-BNV"
off = ["01/01/2026", "02/01/2026", "16/02/2026", "17/02/2026", "18/02/2026", "19/02/2026", "20/02/2026", "27/04/2026",
       "30/04/2026", "01/05/2026", "31/08/2026", "01/09/2026", "02/09/2026"]
worked = ["10/01/2026", "22/08/2026"]
"""


def test_what_is_expected_is_marked_so(console: Console) -> None:
    """A library's guess can be entered as it is, and counts as one until the announcement replaces it."""
    console.done("calendar", "prefill", "2027")
    path = console.folder / "2027.toml"
    path.write_text(console.out)
    assert tomllib.loads(console.out)["provisional"] is True
    assert "dự kiến" in console.out
    console.done("calendar", "set", path, "--actor", "lan")
    (year,) = console.json("calendar", "show", "2027")
    assert year["provisional"] is True
    assert "2027-01-01" in year["off"]
    console.done("calendar", "set", path, "--document", "1/TB")
    assert console.json("calendar", "show", "2027")[0]["provisional"] is False


@pytest.mark.clause("7.3.b")
def test_terms_count_by_what_was_entered(console: Console) -> None:
    """The Centre's own examples; a year that nobody entered counts weekends alone, and says so."""
    assert console.json("calendar", "count", "13/02/2019", "1") == {
        "start": "2019-02-13", "days": 1, "due": "2019-02-14", "known": False, "expected": False,
    }  # fmt: skip
    path = console.folder / "2026.toml"
    path.write_text(ANNOUNCED_2026)
    console.done("calendar", "set", path)
    for start, days, due in (("31/12/2025", 1, "2026-01-05"), ("13/02/2026", 2, "2026-02-24"), ("28/08/2026", 2, "2026-09-04")):
        assert console.json("calendar", "count", start, days)["due"] == due


@pytest.mark.clause("7.3.b", "10.3", "12.4")
@pytest.mark.parametrize(
    ("start", "days", "due"),
    [
        (date(2025, 12, 31), 1, date(2026, 1, 5)),
        (date(2026, 1, 9), 1, date(2026, 1, 10)),
        (date(2025, 4, 25), 1, date(2025, 4, 26)),
        (date(2026, 2, 13), 1, date(2026, 2, 23)),
        (date(2026, 2, 13), 2, date(2026, 2, 24)),
        (date(2026, 8, 21), 1, date(2026, 8, 22)),
        (date(2026, 8, 28), 2, date(2026, 9, 4)),
        (date(2026, 11, 23), 2, date(2026, 11, 26)),
    ],
)
def test_a_fresh_server_knows_the_days_off_that_are_expected(fresh: Directory, start: date, days: int, due: date) -> None:
    """The examples of working days hold on a server on which nobody has entered a calendar, exchanged days among them."""
    calendar = fresh.years.working_days()
    assert calendar.after(start, days) == due
    assert start.year in calendar.expected


@pytest.mark.clause("10.3")
def test_a_downtime_is_announced_before_the_days_off(fresh: Directory) -> None:
    """A stop on 24/02/2026 has to be announced by 11/02/2026: the days of Tết count for nothing."""
    assert fresh.years.working_days().before(date(2026, 2, 24), 3) == date(2026, 2, 11)


def test_what_the_centre_entered_is_never_replaced(fresh: Directory) -> None:
    """A year on record stays as it is, and each missing year around a day is put once."""
    mine = Year(2027, frozenset({date(2027, 3, 1)}), document="1/TB")
    fresh.years.put(mine)
    assert prefill(fresh, date(2027, 6, 1)) == [2028]
    assert prefill(fresh, date(2027, 6, 1)) == []
    assert mine in fresh.years.all()


def test_an_expected_year_is_confirmed_by_its_document(console: Console) -> None:
    """The days stay, the document is on record, and nothing is confirmed without one, or that is not on record."""
    year = console.json("calendar", "show")[0]["year"]  # the last one, which no other test enters
    console.refused("calendar", "confirm", year, code=2)
    console.refused("calendar", "confirm", "2199", "--document", "1/TB", code=2)
    (before,) = console.json("calendar", "show", year)
    assert before["provisional"] is True
    console.done("calendar", "confirm", year, "--document", "12/TB-BNV", "--actor", "lan")
    assert console.json("calendar", "show", year) == [before | {"provisional": False, "document": "12/TB-BNV"}]


def test_the_days_of_a_year_are_listed(console: Console) -> None:
    """Each day off and each one worked instead, what it is called, and whether the calendar is expected or announced."""

    def days() -> dict[str, dict[str, object]]:
        return {row["day"]: row for row in console.json("calendar", "list", "2028")}

    path = console.folder / "2028.toml"
    path.write_text('year = 2028\nprovisional = true\noff = ["01/05/2028", "02/05/2028"]\nworked = ["06/05/2028"]\n')
    console.refused("calendar", "list", "2028", says="calendar set 2028.toml", code=2)
    console.done("calendar", "set", path)
    assert [(day, row["kind"], row["state"], row["document"]) for day, row in days().items()] == [
        ("2028-05-01", "off", "expected", None),
        ("2028-05-02", "off", "expected", None),
        ("2028-05-06", "worked", "expected", None),
    ]
    assert days()["2028-05-01"]["name"] == {"vi": "Ngày Quốc tế Lao động", "en": "International Labor Day"}
    assert "calendar confirm" in console.err
    console.done("calendar", "confirm", "2028", "--document", "7/TB")
    assert {(row["state"], row["document"]) for row in days().values()} == {("confirmed", "7/TB")}
    assert "calendar confirm" not in console.err
    console.done("--lang", "vi", "calendar", "list", "2028")
    for word in ("01/05/2028", "thứ hai", "nghỉ", "làm bù", "chính thức", "7/TB"):
        assert word in console.out


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("year = ", "TOML"),
        ("off = []", "year"),
        ("year = 2026\nof = []", "of"),
        ('year = 2026\ndocument = "1"\noff = ["01/01/2027"]', "2026"),
        ('year = 2026\ndocument = "1"\nworked = ["12/01/2026"]', "weekend"),
        ('year = 2026\ndocument = "1"\noff = ["10/01/2026"]\nworked = ["10/01/2026"]', "as off and as worked"),
        ('year = 2026\ndocument = "1"\noff = ["31/02/2026"]', "day"),
        ('year = 2026\ndocument = "1"\noff = "01/01/2026"', "lists"),
        ("year = 2026\nprovisional = false", "document"),
        ('year = true', "year"),
    ],
)  # fmt: skip
def test_what_makes_no_calendar_is_refused(console: Console, text: str, why: str) -> None:
    """With what is wrong, and nothing is entered."""
    path = console.folder / "bad.toml"
    path.write_text(text)
    console.done("calendar", "show", "--json")
    before = console.out
    console.refused("--lang", "en", "calendar", "set", path, says=why, code=2)
    console.done("calendar", "show", "--json")
    assert console.out == before


@given(
    st.sets(st.dates(date(2026, 1, 1), date(2026, 12, 31))),
    st.none() | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))),
)
def test_a_file_says_what_was_written(days: set[date], document: str | None) -> None:
    """Any days, any document."""
    off = frozenset(day for day in days if day.weekday() < SATURDAY)
    year = Year(2026, off, frozenset(days - off), document or None, provisional=not document)
    assert calendar_file.read(calendar_file.write(year, {day: str(day) for day in days}), None) == year


def test_files_that_cannot_be_read(console: Console, tmp_path: Path) -> None:
    """A missing file and one that is no text."""
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    for name in ("x", "missing"):
        console.refused("calendar", "set", tmp_path / name, code=2)
