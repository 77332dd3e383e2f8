"""Every 6 months each unit lists who uses mailboxes, sees what changed since the last list, and confirms it (also 14.3)."""

import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook
from pypdf import PdfReader

from harness import config_for
from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.directory.records import NotFound, UnitRecord
from mic_mail.documents import pdf, xlsx
from mic_mail.policy.calendar import add_months
from mic_mail.policy.census import (
    Census,
    CensusLine,
    CensusStanding,
    Group,
    changes,
    decode,
    due_at,
    encode,
    last_before,
    period_of,
    standing,
)
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.services.reports.census import Censuses
from mic_mail.storage.local_mailstore import LocalMailStore
from population import Population
from regulation.console import Console

JANUARY = datetime(2027, 1, 5, 2, tzinfo=UTC)
JULY = datetime(2027, 7, 6, 2, tzinfo=UTC)
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
lines = st.builds(
    CensusLine,
    st.sampled_from(Group),
    st.integers(1, 9).map("person:{}".format),
    words,
    words,
    words,
    st.lists(st.sampled_from(["active", "suspended"]), max_size=2).map(tuple),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 40),
    words,
)
listed = st.lists(lines, max_size=9, unique_by=lambda line: line.key).map(tuple)


@given(listed, listed)
def test_changes_are_exactly_what_differs(before: tuple[CensusLine, ...], now: tuple[CensusLine, ...]) -> None:
    """Whoever applies them to the old list has the new one, but for usage; the way back is the opposite."""
    found = changes(before, now)
    there = {line.key: line for line in before}
    for change in found:
        if change.what == "went":
            del there[change.line.key]
        else:
            assert (change.what == "altered") == (change.line.key in there)
            there[change.line.key] = change.line

    def kept(every: dict[str, CensusLine]) -> dict[str, CensusLine]:
        return {key: replace(line, used_octets=0, group=Group.PERSON) for key, line in every.items()}

    assert kept(there) == kept({line.key: line for line in now})
    assert changes(now, now) == []
    assert len(changes(now, before)) == len(found)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", "Khác", True), ("position", "Khác", True), ("address", "khac@mic.gov.vn", True), ("keepers", "x@y", True),
        ("states", ("suspended",), True), ("quota_octets", 1, True), ("used_octets", 1, False),
    ],
)  # fmt: skip
def test_each_field_alone_is_a_change(field: str, value: object, told: bool) -> None:
    """But for how much is used, which always is another."""
    line = CensusLine(Group.PERSON, "person:1", "Đỗ Văn Bê", "Chuyên viên", "dvbe@mic.gov.vn", ("active",), 1 << 30, 0, "")
    found = changes([line], [replace(line, **{field: value})])  # type: ignore[arg-type]
    assert [[name for name, _, _ in change.fields] for change in found] == ([[field]] if told else [])


@given(listed)
def test_a_list_is_read_back_as_it_was(these: tuple[CensusLine, ...]) -> None:
    """So that "since the last" is exact years later."""
    assert decode(encode(these)) == these


@given(st.dates(date(2020, 1, 1), date(2099, 12, 31)), st.sets(st.integers(1, 12), min_size=1))
def test_each_day_is_in_one_period(day: date, months: set[int]) -> None:
    """It began on the first of a month of the setting, on or before the day, and no later one has begun."""
    period = period_of(day, tuple(months))
    assert period.day == 1
    assert period.month in months
    assert period <= day
    later = add_months(period, 1)
    while later <= day:
        assert later.month not in months
        later = add_months(later, 1)


def test_who_has_not_confirmed_is_overdue() -> None:
    """From the end of the month on; not a unit that had no mailbox when the period began; a list alone is no confirmation."""
    period = date(2027, 1, 1)
    before, within = datetime(2026, 5, 1, tzinfo=UTC), datetime(2027, 1, 15, tzinfo=UTC)
    made = Census(1, 1, period, within, "lan", ())
    last = due_at(period) - timedelta(microseconds=1)
    assert last.astimezone(HO_CHI_MINH).date() == date(2027, 1, 31)
    assert standing(period, [made], before, last) is CensusStanding.WAITING
    assert standing(period, [made], before, due_at(period)) is CensusStanding.OVERDUE
    assert standing(period, [], within, due_at(period)) is CensusStanding.NOT_YET
    assert standing(period, [], None, due_at(period)) is CensusStanding.NOT_YET
    confirmed = replace(made, confirmed_at=within, document="1/BC")
    assert standing(period, [made, confirmed], before, due_at(period)) is CensusStanding.CONFIRMED


def test_what_was_signed_is_compared_with() -> None:
    """Before a newer list that nobody signed; never one of the same period."""
    at = JANUARY
    signed = Census(1, 1, date(2026, 7, 1), at, "lan", (), at, "lan", "1/BC")
    drafts = [Census(2, 1, date(2026, 7, 1), at + timedelta(days=1), "lan", ()), Census(3, 1, date(2027, 1, 1), at, "lan", ())]
    assert last_before([signed, *drafts], date(2027, 1, 1)) == signed
    assert last_before(drafts, date(2027, 1, 1)) == drafts[0]
    assert last_before(drafts, date(2026, 7, 1)) is None


class Ministry:
    """A directory and a store, at a clock that is moved."""

    def __init__(self, folder: Path) -> None:
        self.config = config_for(folder)
        folder.mkdir(exist_ok=True)
        self.clock = ManualClock(JANUARY)
        self.population = Population(self.config.directory_url, self.clock)
        self.directory = self.population.directory
        self.store = LocalMailStore(self.config.mail_root, clock=self.clock, host="test")

    @property
    def unit(self) -> UnitRecord:
        return self.population.unit()

    def censuses(self) -> Censuses:
        return Censuses(self.directory, self.store, self.config, self.clock)


@pytest.fixture
def ministry(tmp_path: Path) -> Ministry:
    return Ministry(tmp_path / "data")


@pytest.mark.clause("14.3")
def test_half_a_year_on_paper(ministry: Ministry) -> None:
    """What was issued and renamed in between stands there, what was reclaimed does not; the papers say what the record says."""
    bee = ministry.population.issue("dvbe", name="Đỗ Văn Bê")
    ministry.population.issue("ttlan", name="Trần Thị Lan")
    leaver = ministry.population.issue("pvdung", name="Phạm Văn Dũng")
    ministry.population.issue("cntt", name="Trung tâm Thông tin", kind=MailboxKind.UNIT)
    nhom = ministry.population.issue("nhom", name="Nhóm cũ", kind=MailboxKind.GROUP)
    first = ministry.censuses().make(ministry.unit, "lan")
    assert ministry.censuses().before(ministry.unit) is None
    assert [line.name for line in first.lines] == [
        "Đỗ Văn Bê", "Phạm Văn Dũng", "Trần Thị Lan", "Trung tâm Thông tin", "Nhóm cũ",
    ]  # fmt: skip
    ministry.directory.censuses.confirm(ministry.unit.unit_id, first.period, actor="lan", document="1/BC", at=JANUARY)

    ministry.clock.move_to(JULY)
    ministry.population.issue("nvc", name="Nguyễn Văn Cường", issued_days_ago=10)
    ministry.population.record(leaver, Draft(FactKind.LEFT, JANUARY, "test", data={"level": "division", "cause": "retired"}))
    for reclaimed in (bee, nhom):
        ministry.population.record(reclaimed, Draft(FactKind.RECLAIMED, JULY, "test"))
    censuses = ministry.censuses()
    second = censuses.make(ministry.unit, "lan")
    assert second.period == date(2027, 7, 1)
    before = censuses.before(ministry.unit)
    assert before is not None
    assert (before.census_id, before.document) == (first.census_id, "1/BC")
    found = {(each.what, each.line.address) for each in changes(before.lines, second.lines)}
    assert ("came", "nvc@mic.gov.vn") in found
    assert ("altered", "") in found, "reclaimed on request: the person stays, without a mailbox"
    assert {("went", "pvdung@mic.gov.vn"), ("went", "nhom@mic.gov.vn")} <= found, "reclaimed"
    paper = censuses.paper_of(ministry.unit, second)
    text = " ".join(
        "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.write(paper))).pages).replace("\u200b", "").split()
    )
    for words_there in (
        "Nguyễn Văn Cường",
        "3, trong đó 2 có hộp thư",
        "bản thống kê ngày 05/01/2027",
        second.digest,
        "chưa có hộp thư",
    ):
        assert words_there in text
    assert paper.issuer == (ministry.config.regulation.ministry, ministry.unit.name), "the unit signs it"
    assert "đã thu hồi" not in text
    book = load_workbook(io.BytesIO(xlsx.write(paper)))
    assert [sheet.title for sheet in book][1:] == [
        "II. Hộp thư của đơn vị và nhóm",
        "III. Thay đổi so với kỳ trước",
        "IV. Đề nghị sửa của đơn vị",
    ]
    roll_up = censuses.roll_up()
    assert roll_up.tables[0].total is not None
    assert list(roll_up.tables[0].total[2:5]) == [3, 2, 1]


def test_a_confirmation_needs_a_list(ministry: Ministry) -> None:
    """Of this period; and what was confirmed first stays so."""
    ministry.population.issue("dvbe")
    unit, period = ministry.unit.unit_id, date(2027, 1, 1)
    with pytest.raises(NotFound):
        ministry.directory.censuses.confirm(unit, period, actor="lan", document="1/BC", at=JANUARY)
    ministry.censuses().make(ministry.unit, "lan")
    for document in ("1/BC", "2/BC"):
        assert ministry.directory.censuses.confirm(unit, period, actor="lan", document=document, at=JANUARY).document == "1/BC"


def test_by_command(tmp_path: Path) -> None:
    """Made as files, confirmed by a document, listed as such; a unit without a list cannot confirm one."""
    console = Console(tmp_path).init()
    for symbol, name in (("VP", "Văn phòng Bộ"), ("PTTH&TTĐT", "Cục Phát thanh, truyền hình")):
        console.done("unit", "add", "--document", "1/CV", symbol, name)
        console.done("mailbox", "issue", "--unit", symbol, "--document", "1/YC")
    assert console.run("census", "confirm", "VP", "--document", "1/BC") == 2, "nothing is listed yet"
    folder = tmp_path / "papers"
    console.done("census", "make", "--out", folder)
    names = sorted(path.name.partition("-")[2].partition("-")[2] for path in folder.iterdir())
    assert names == sorted(f"{stem}.{kind}" for stem in ("vp", "ptth_ttdt", "tong-hop") for kind in ("pdf", "xlsx"))
    assert all(path.stat().st_size > 1000 for path in folder.iterdir())
    console.refused("census", "confirm", "VP", code=2)
    console.done("census", "confirm", "VP", "--document", "1/BC-VP", "--actor", "lan")
    found = {each["unit"]: each for each in console.json("census", "list")}
    assert (found["VP"]["standing"], found["VP"]["document"]) == ("confirmed", "1/BC-VP")
    assert found["PTTH&TTĐT"]["standing"] == "not_yet"
    assert [line["address"] for line in console.json("census", "show", "VP")] == ["vp@mic.gov.vn"]
    evidence = console.json("regulation", "show", "14.6")["evidence"]
    assert evidence[0]["count"] == 1
    assert console.json("census", "show", "VP", "--changes") == []
    console.done("person", "add", "Đỗ Văn Bê", "--unit", "VP", "--document", "2/YC")
    changed = console.json("census", "show", "VP", "--changes")
    assert [(each["what"], each["name"]) for each in changed] == [("came", "Đỗ Văn Bê")]
    console.done("--lang", "en", "census", "show", "PTTH&TTĐT", "--changes")
    assert "The unit has no earlier signed list" in console.err
