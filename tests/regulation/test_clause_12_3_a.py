"""A unit's mailbox is opened at least three times each working day by who is in charge of it: what counts, and who is told."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import MailServer
from mic_mail.directory.snapshot import Entry
from mic_mail.policy.calendar import WorkingDays
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.downtime import Downtime
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.policy.unit_mail.opening_windows import (
    Charge,
    Circumstances,
    Closure,
    Counts,
    Opening,
    OpeningTable,
    OpeningWindow,
    Shut,
    WindowOutcome,
    counts,
    working_days,
)
from mic_mail.services.unit_mail.openings import Openings, unit_mailboxes
from regulation.inbox import letters
from regulation.unit_mail_setup import CNTT, DVBE, MONDAY, TTLAN, UnitMailServer, at, shown

ONE = timedelta(days=1)
WINDOWS = (OpeningWindow(time(7, 30), time(9)), OpeningWindow(time(10, 30), time(12)), OpeningWindow(time(16), time(17, 30)))
DAYS = [MONDAY + ONE * n for n in range(3)]


@pytest.fixture
def unit_mail(serve: Callable[..., MailServer], tmp_path: Path) -> UnitMailServer:
    return UnitMailServer(serve, tmp_path)


def report(unit_mail: UnitMailServer, *words: str, runs_on: bool = True) -> list[dict[str, object]]:
    """`report openings` of cntt@ over Monday to Wednesday, by a server that has run since then or has not."""
    if runs_on:
        unit_mail.runs_on()
    span = ("--from", MONDAY.isoformat(), "--until", DAYS[-1].isoformat())
    found: list[dict[str, object]] = unit_mail.console.json("report", "openings", "--mailbox", CNTT, *span, *words)
    return found


def verdicts(rows: list[dict[str, object]]) -> list[str]:
    return [str(row["verdict"]) for row in rows]


# ---------------------------------------------------------------- by sessions


def test_one_session_that_stays_open_all_day_counts_in_each_window(unit_mail: UnitMailServer) -> None:
    """SELECT once; what is fetched in each window counts there, to the minute at its edges; STATUS and IDLE count nowhere."""
    unit_mail.put(unit_mail.cntt, b"From: a@b\r\n\r\nx\r\n")
    client = unit_mail.sign_in()
    unit_mail.move_to(MONDAY, "07:26")
    client.select("Shared/cntt")
    unit_mail.move_to(MONDAY, "07:30")  # four minutes later: in the window
    client.fetch("1", "(BODY[])")
    client.fetch("1", "(FLAGS)")
    unit_mail.move_to(MONDAY, "11:59")
    client.fetch("1", "(FLAGS)")
    unit_mail.move_to(MONDAY, "12:00")  # the window is over
    client.fetch("1", "(FLAGS)")
    unit_mail.move_to(MONDAY, "16:10")
    client.status("Shared/cntt", "(UNSEEN)")
    client.noop()
    unit_mail.opened(4)
    rows = report(unit_mail)
    assert verdicts(rows) == ["opened", "opened", *["missed"] * 7]
    first, second = rows[:2]
    assert [(shown(str(r["opened_at"])), r["opened_by"]) for r in (first, second)] == [
        (f"{MONDAY:%d/%m/%Y} 07:30", DVBE),
        (f"{MONDAY:%d/%m/%Y} 11:59", DVBE),
    ]
    assert [event["how"] for event in unit_mail.opened(4)] == ["select", "fetch", "fetch", "fetch"]


def test_who_counts(unit_mail: UnitMailServer) -> None:
    """The keeper, the mailbox's own password; a substitute on the named days alone. Others are told, and do not count."""
    unit_mail.move_to(MONDAY, "08:00")
    unit_mail.sign_in(CNTT).select("INBOX")
    unit_mail.server.allow(unit_mail.cntt, unit_mail.ttlan, "substitute", until=DAYS[1].isoformat())
    lan = unit_mail.sign_in(TTLAN)
    unit_mail.move_to(MONDAY, "11:00")
    lan.select("Shared/cntt")
    unit_mail.move_to(DAYS[1], "08:00")
    lan.select("Shared/cntt")
    unit_mail.server.deny(unit_mail.cntt, unit_mail.dvbe)
    unit_mail.server.allow(unit_mail.cntt, unit_mail.ttlan, "keeper")
    unit_mail.move_to(DAYS[2], "08:00")
    unit_mail.server.allow(unit_mail.cntt, unit_mail.dvbe, "keeper")  # and lan is nothing any more
    unit_mail.sign_in(DVBE).select("Shared/cntt")
    unit_mail.opened(4)
    rows = report(unit_mail)
    assert [row["opened_by"] for row in rows if row["verdict"] == "opened"] == [CNTT, TTLAN, TTLAN, DVBE]
    assert [str(row["day"]) for row in rows if row["verdict"] == "opened"] == [
        day.isoformat() for day in (MONDAY, MONDAY, DAYS[1], DAYS[2])
    ]


def test_any_poll_counts_where_the_setting_says_so(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """`unit.openings.counts = "poll"`: STATUS, NOOP in the open mailbox; else a look by a program is none."""
    unit_mail = UnitMailServer(serve, tmp_path, {"unit": {"openings": {"counts": "poll"}}})
    client = unit_mail.sign_in()
    unit_mail.move_to(MONDAY, "08:00")
    client.status("Shared/cntt", "(UNSEEN)")
    client.status("Shared/cntt", "(UNSEEN)")
    client.status("INBOX", "(UNSEEN)")
    client.select("Shared/cntt")
    unit_mail.move_to(MONDAY, "11:00")
    client.noop()
    unit_mail.move_to(MONDAY, "16:05")
    client.xatom("LIST", '"" "Shared/*" RETURN (STATUS (UNSEEN))')
    assert [event["how"] for event in unit_mail.opened(4)] == ["poll", "select", "poll", "poll"]
    assert verdicts(report(unit_mail))[:4] == ["opened", "opened", "opened", "missed"]
    assert [counts(how, Counts.READ) for how in ("select", "fetch", "retr", "pop3", "poll")] == [True] * 3 + [False] * 2


def test_what_nobody_could_help_is_explained(unit_mail: UnitMailServer) -> None:
    """Downtime, suspension; days of rest are left out; before the log begins nothing is known."""
    directory = unit_mail.server.population.directory
    directory.downtimes.add(
        Downtime(0, at(MONDAY, "08:30"), at(MONDAY, "10:00"), "điện", "1", True, at(MONDAY, "08:30"), "mai")
    )
    unit_mail.move_to(DAYS[1], "09:30")
    unit_mail.server.record(unit_mail.cntt, Draft(FactKind.SUSPENDED, at(DAYS[1], "09:30"), "test", data={"cause": "c"}))
    rows = report(unit_mail)
    assert [(row["verdict"], row["why"]) for row in rows] == [
        ("shut", "downtime"), ("missed", None), ("missed", None),
        ("missed", None), ("shut", "suspended"), ("shut", "suspended"),
        *[("shut", "suspended")] * 3,
    ]  # fmt: skip
    before = (MONDAY - ONE * 7).isoformat()
    week = unit_mail.console.json("report", "openings", "--mailbox", CNTT, "--from", before, "--until", MONDAY.isoformat())
    assert {(row["verdict"], row["why"]) for row in week[:-3]} == {("shut", "unlogged")}
    assert len(week) == 3 * 6, "the week-end is left out"


def test_before_the_first_line_of_the_log_nothing_is_missed(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """A server that was first started on Monday at noon, or whose older log is past keeping, knows nothing of the morning."""
    unit_mail = UnitMailServer(serve, tmp_path, begins="11:00")
    unit_mail.move_to(MONDAY, "16:05")
    unit_mail.sign_in().select("Shared/cntt")
    unit_mail.opened(1)
    assert [(row["verdict"], row["why"]) for row in report(unit_mail)[:4]] == [
        ("shut", "unlogged"), ("shut", "unlogged"), ("opened", None), ("missed", None),
    ]  # fmt: skip


def test_days_on_which_the_server_did_not_run_are_not_missed(unit_mail: UnitMailServer) -> None:
    """A running server writes some lines each hour; of a day without any nobody knows."""
    unit_mail.move_to(DAYS[2], "08:00")
    unit_mail.sign_in().select("Shared/cntt")
    unit_mail.opened(1)
    rows = report(unit_mail, runs_on=False)
    assert [row["why"] for row in rows] == [*[None] * 3, *["unlogged"] * 3, *[None] * 3]
    assert verdicts(rows) == [*["missed"] * 3, *["shut"] * 3, "opened", "missed", "missed"]


def test_while_the_server_is_down_nothing_is_missed(unit_mail: UnitMailServer) -> None:
    """Asked of a server that has been down since Monday: no log says what nobody did on the days since then."""
    unit_mail.move_to(MONDAY, "08:00")
    unit_mail.sign_in().select("Shared/cntt")
    unit_mail.opened(1)
    unit_mail.server.stop()
    assert [(row["verdict"], row["why"]) for row in report(unit_mail, runs_on=False)] == [
        ("opened", None), ("missed", None), ("missed", None), *[("shut", "unlogged")] * 6,
    ]  # fmt: skip


def test_a_damaged_record_is_no_reproach(unit_mail: UnitMailServer) -> None:
    """It lets nobody in, so nobody has missed anything."""
    unit_mail.server.record(unit_mail.cntt, Draft(FactKind.SUSPENDED, at(MONDAY, "07:00"), "test", data={"cause": "?"}))
    assert [(row["verdict"], row["why"]) for row in report(unit_mail)[:3]] == [("shut", "unreadable")] * 3


def test_reports_and_papers(unit_mail: UnitMailServer, tmp_path: Path) -> None:
    """Figures by mailbox, files of every kind, what is refused, and the evidence of the clause."""
    unit_mail.move_to(MONDAY, "08:00")
    unit_mail.console.done("alias", "add", DVBE, "do.van.be@mic.gov.vn")  # a keeper is one person under any number of addresses
    unit_mail.sign_in().select("Shared/cntt")
    unit_mail.opened(1)
    unit_mail.runs_on()
    span = ("--from", MONDAY.isoformat(), "--until", MONDAY.isoformat())
    (row,) = unit_mail.console.json("report", "openings", *span)
    assert (row["mailbox"], row["keepers"], row["due"], row["opened"], row["missed"]) == (CNTT, [DVBE], 3, 1, 2)
    assert row["share"] == 33.3
    unit_mail.console.installed = True
    assert [row] == unit_mail.console.json("report", "openings", "--unit", "CNTT", *span)
    unit_mail.console.installed = False
    for name in ("x.pdf", "x.xlsx", "x.html", "x.csv"):
        unit_mail.console.done("report", "openings", *span, "--out", tmp_path / name)
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF-")
    told = (tmp_path / "x-2.csv").read_text("utf-8-sig")
    assert told.splitlines()[1] == f"{MONDAY:%d/%m/%Y},08:00 {DVBE},không mở,không mở,"
    unit_mail.console.refused("report", "openings", "--mailbox", DVBE, *span, says="Reg. 12.3.a", code=2)
    unit_mail.console.refused("report", "openings", "--mailbox", CNTT, "--unit", "CNTT", code=2)
    found = unit_mail.console.json("regulation", "show", "12.3.a")["evidence"]
    assert [finding["count"] for finding in found] == [1, 1, 1]
    assert found[-1]["overdue"] is True
    assert CNTT in json.dumps(found)


def test_the_keeper_is_told_once_a_week(unit_mail: UnitMailServer) -> None:
    """In the own mailbox, on the week's first working day, whatever is restarted; nobody where every window was opened."""
    client = unit_mail.sign_in()
    for day in (MONDAY + ONE * n for n in range(5)):
        for clock in ("08:00", "11:00", "16:30"):
            unit_mail.move_to(day, clock)
            if (day, clock) != (DAYS[1], "11:00"):
                client.select("Shared/cntt")
    unit_mail.opened(14)
    before = len(letters(unit_mail.server, "dvbe"))
    sunday, monday = MONDAY + ONE * 6, MONDAY + ONE * 7
    for day, clock in ((sunday, "10:00"), (monday, "05:30"), (monday, "08:00"), (monday, "08:30")):
        unit_mail.move_to(day, clock)
        unit_mail.server.housekeep()
    told = letters(unit_mail.server, "dvbe")
    assert len(told) == before + 1
    assert f"- {DAYS[1]:%d/%m/%Y}: 10:30 - 12:00." in told[-1]
    assert CNTT in told[-1]


@pytest.mark.parametrize("kind", [FactKind.SUSPENDED, FactKind.RECLAIMED])
def test_a_keeper_who_cannot_read_it_is_not_told(unit_mail: UnitMailServer, kind: FactKind) -> None:
    """A suspended or reclaimed mailbox shows it to nobody (7.1, 6.4.c): it is told in the unit's own mailbox."""
    unit_mail.move_to(MONDAY + ONE * 2, "10:00")
    unit_mail.server.record(unit_mail.dvbe, Draft(kind, at(MONDAY + ONE * 2, "10:00"), "test", data={"cause": "c"}))
    before = [len(letters(unit_mail.server, name)) for name in ("dvbe", "cntt")]
    unit_mail.move_to(MONDAY + ONE * 7, "08:00")
    unit_mail.server.housekeep()
    assert [text for text in letters(unit_mail.server, "dvbe")[before[0] :] if f"{MONDAY:%d/%m/%Y}: 07:30" in text] == []
    assert [text for text in letters(unit_mail.server, "cntt")[before[1] :] if f"- {MONDAY:%d/%m/%Y}: 07:30" in text]


# ---------------------------------------------------------------- by rule

NOON = datetime(2026, 11, 16, 5, tzinfo=UTC)
people = st.sampled_from(["keeper", "substitute", "own", "other"])
openings = st.builds(
    Opening, st.integers(0, 5 * 24 * 60).map(lambda minute: at(date(2026, 11, 14), "00:00") + timedelta(minutes=minute)), people
)
charges = [
    Charge("keeper", at(date(2026, 11, 1), "00:00"), None),
    Charge("substitute", at(date(2026, 11, 16), "00:00"), at(date(2026, 11, 17), "00:00")),
]
closures = [Closure(Shut.SUSPENDED, at(date(2026, 11, 17), "11:00"), at(date(2026, 11, 17), "13:00"))]


@given(st.lists(openings, max_size=30), st.integers(0, 5 * 24 * 60), st.randoms())
def test_each_window_of_each_working_day_as_one_would_by_hand(these: list[Opening], now: int, random: object) -> None:
    """Whatever the order of the events; days of rest do not appear; the first opening that counts is the one that is told."""
    facts = Circumstances(frozenset({"own"}), charges, closures)
    first, last = date(2026, 11, 14), date(2026, 11, 18)
    clock = at(first, "00:00") + timedelta(minutes=now)
    tally = OpeningTable(working_days(first, last, WorkingDays(off=frozenset({date(2026, 11, 18)}))), WINDOWS, facts)
    random.shuffle(these)  # type: ignore[attr-defined]
    for opening in these:
        tally.add(opening)
    cells = tally.cells(clock)
    assert [cell.day.day for cell in cells] == [16, 16, 16, 17, 17, 17]
    for cell in cells:
        inside = [o for o in these if o.at.astimezone().timestamp() >= cell.window.on(cell.day)[0].timestamp()]
        inside = [o for o in inside if o.at < cell.window.on(cell.day)[1]]
        counting = [o for o in inside if o.actor in {"keeper", "own"} or (o.actor == "substitute" and cell.day.day == 16)]
        assert (cell.first.at if cell.first else None) == min((o.at for o in counting), default=None)
        assert {o.actor for o in cell.others} == {o.actor for o in inside} - {o.actor for o in counting}
        if counting:
            assert cell.verdict is WindowOutcome.OPENED
        elif (cell.day.day, cell.window) == (17, WINDOWS[1]):
            assert cell.verdict is WindowOutcome.SHUT
        else:
            assert cell.verdict is (WindowOutcome.PENDING if clock < cell.window.on(cell.day)[1] else WindowOutcome.MISSED)


def test_the_log_is_read_alike_with_an_index_and_without(unit_mail: UnitMailServer) -> None:
    """Of one mailbox by its name, of all by the event."""
    for clock in ("08:00", "11:00", "16:30"):
        unit_mail.move_to(MONDAY, clock)
        unit_mail.sign_in().select("Shared/cntt")
    unit_mail.opened(3)
    found = []
    for _ in range(2):
        context = unit_mail.server.running.context
        snapshot = context.directory.load_snapshot()
        finder = Openings(snapshot, (), context.config, context.clock)
        entries: list[Entry] = unit_mailboxes(snapshot)
        for named in (entries, entries * 2):
            attended = finder.of(named, DateRange(MONDAY, MONDAY))[-1]
            found.append([cell.first for cell in attended.cells])
        unit_mail.server.housekeep()
    assert found[0] == found[1] == found[2] == found[3]
    assert all(found[0])
