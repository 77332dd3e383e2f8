"""The reports of the simulated ministry, made by the commands that make them, and what the naive count says of each number."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mic_mail.clock import HO_CHI_MINH
from regulation.year.centre import REASON, Centre
from regulation.year.reference_model import ONE

if TYPE_CHECKING:
    from regulation.year.ministry import Person

STATES = {
    "active": "Đang hoạt động",
    "send_locked": "Khóa chức năng gửi",
    "password_due": "Phải đổi mật khẩu",
    "suspended": "Tạm khóa",
    "reclaimed": "Đã thu hồi",
}
AHEAD_DAYS = 30


@dataclass(frozen=True)
class Month:
    """What the naive count knows of a month at its end."""

    last: date
    people: int
    states: Counter[str]
    done: Counter[str]
    """Acts, by their names in the usage report."""


class Reports:
    """What the Centre looks at in the first days of a month."""

    def __init__(self, centre: Centre, folder: Path) -> None:
        self._centre = centre
        self._folder = folder
        folder.mkdir()
        self.papers: list[Path] = []

    def of_month(self, people: Sequence["Person"], month: Month, day: date) -> None:
        """In the morning of `day`, the first or one of the first after `month`, before anything is done."""
        self._states(people, day)
        self._usage(month)
        self._due(people, day)
        if day.month in {1, 7}:
            self._census(people, day)
        self._centre.done("log", "verify")

    def _states(self, people: Sequence["Person"], day: date) -> None:
        """`mailbox list`: every mailbox and its states."""
        listed = {
            row["address"]: frozenset(row["states"]) for row in self._centre.json("mailbox", "list", "--kind", "personal")
        }
        wrong = [person.naive for person in people if listed.pop(person.address) != person.naive.states(day)]
        assert (wrong, listed) == ([], {}), (wrong[:3], listed, day)

    def _usage(self, month: Month) -> None:
        """16.2: mailboxes by state at the month's end, and what was done with them in it."""
        last = month.last
        span = ("--from", f"{last.replace(day=1):%d/%m/%Y}", "--until", f"{last:%d/%m/%Y}", *REASON)
        if last.month in {6, 12}:
            self._paper("report", "usage", *span, "--out", str(self._folder / f"{last:%Y-%m}.pdf"))
        self._centre.done("report", "usage", *span, "--out", str(self._folder / f"{last:%Y-%m}.csv"))
        kinds, acts = (list(csv.DictReader(self._sheet(last, number))) for number in (1, 2))
        expected = {"Tổng": month.people, **{name: month.states[state] for state, name in STATES.items()}}
        assert _numbers(kinds[0]) == expected, (kinds[0], expected)
        counted = {row["Nội dung"]: int(row["Số lần"]) for row in acts}
        assert {name: counted[name] for name in month.done} == month.done, (counted, month.done)

    def _sheet(self, month: date, number: int) -> list[str]:
        return (self._folder / f"{month:%Y-%m}-{number}.csv").read_text("utf-8-sig").splitlines()

    def _due(self, people: Sequence["Person"], day: date) -> None:
        """`mailbox due`: whom the clock will reclaim, and whom it will suspend for disuse, in the days to come."""
        end = day + AHEAD_DAYS * ONE
        due: dict[str, set[tuple[str, date]]] = {"reclaim": set(), "suspend": set()}
        for row in self._centre.json("mailbox", "due", "--within", str(AHEAD_DAYS)):
            if row["deed"] in due:
                due[row["deed"]].add((row["address"], _local(row["at"])))
        reclaims = {(person.address, on) for person in people if (on := person.naive.reclaimed_on()) is not None}
        reclaims = {(address, on) for address, on in reclaims if on <= end}
        assert due["reclaim"] == reclaims, (due["reclaim"] ^ reclaims, day)
        stay = [person for person in people if person.naive.leave is None and not person.naive.reclaimed]
        suspends = {(person.address, on) for person in stay if (on := person.naive.suspended_on()) is not None and on <= end}
        told = {one for one in due["suspend"] if one[0] in {person.address for person in stay}}
        assert told == suspends, (told ^ suspends, day)

    def _census(self, people: Sequence["Person"], day: date) -> None:
        """14.6: each unit's people, and who of them has a mailbox."""
        folder = self._folder / f"census-{day:%Y-%m}"
        self._centre.done("census", "make", "--out", str(folder), *REASON)
        self.papers += sorted(folder.glob("*.pdf"))
        for unit in sorted({person.unit for person in people}):
            rows = [row for row in self._centre.json("census", "show", unit) if row["group"] == "person"]
            listed = {row["address"] for row in rows if row["address"]}
            there = {person.address for person in people if person.unit == unit and not person.naive.reclaimed}
            assert listed == there, (listed ^ there, unit, day)

    def _paper(self, *words: str) -> None:
        self._centre.done(*words)
        self.papers.append(Path(words[-1]))


def _numbers(row: dict[str, Any]) -> dict[str, int]:
    return {name: int(value) for name, value in row.items() if name != "Loại hộp thư"}


def _local(instant: str) -> date:
    return datetime.fromisoformat(instant).astimezone(HO_CHI_MINH).date()
