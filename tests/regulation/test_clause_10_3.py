"""Technical downtime is announced at least 3 working days ahead, to every mailbox; an incident needs a reason and a report."""

import imaplib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import MailServer
from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.policy.calendar import ONE_DAY, WorkingDays, local_day
from mic_mail.policy.downtime import Count, Downtime, NoticeTooShort, check, earliest_start
from mic_mail.policy.facts import Draft, FactKind
from population import PASSWORD
from regulation.console import Console
from regulation.inbox import letters

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
days = st.dates(datetime(2026, 1, 1).date(), datetime(2026, 12, 31).date())


def downtime(announced: datetime, starts: datetime, *, incident: bool = False, reason: str = "nâng cấp") -> Downtime:
    return Downtime(0, starts, starts + timedelta(hours=4), reason, "12/TB", incident, announced, "lan")


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1)), st.frozensets(days), st.frozensets(days))
def test_three_full_working_days_lie_between(announced: datetime, off: frozenset, worked: frozenset) -> None:  # type: ignore[type-arg]
    """Counted one by one, the day of notice and the day of the downtime left out; a minute sooner is refused."""
    calendar, told = WorkingDays(off, worked), announced.replace(tzinfo=HO_CHI_MINH)
    starts = earliest_start(told, calendar, Count.WORKING_DAYS)
    day, between = local_day(told) + ONE_DAY, 0
    while day < local_day(starts):
        between += not calendar.is_rest(day)
        day += ONE_DAY
    assert between == 3
    check(downtime(told, starts), calendar, Count.WORKING_DAYS)
    with pytest.raises(NoticeTooShort):
        check(downtime(told, starts - timedelta(minutes=1)), calendar, Count.WORKING_DAYS)


def test_seventy_two_hours_by_setting() -> None:
    """`maintenance.count = "hours"`: to the minute, whatever the days are."""
    check(downtime(NOW, NOW + timedelta(hours=72)), WorkingDays(), Count.HOURS)
    with pytest.raises(NoticeTooShort):
        check(downtime(NOW, NOW + timedelta(hours=71, minutes=59)), WorkingDays(), Count.HOURS)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    """A fresh server."""
    return Console(tmp_path_factory.mktemp("maintenance")).init()


def test_the_refusal_names_the_earliest_lawful_start(console: Console) -> None:
    """Nothing is on record then, but that somebody tried; an end before the start is no span."""
    console.clock = ManualClock(datetime.now(UTC))  # the day does not end meanwhile
    before = console.json("maintenance", "list")
    soon = console.clock.now().astimezone(HO_CHI_MINH) + timedelta(days=1)
    words = ("--lang", "vi", "maintenance", "announce", "--from", f"{soon:%d/%m/%Y} 08:00", "--until", f"{soon:%d/%m/%Y} 12:00")
    console.refused(*words, "--reason", "nâng cấp", "--document", "12/TB")
    earliest = earliest_start(console.clock.now(), WorkingDays(), Count.WORKING_DAYS).astimezone(HO_CHI_MINH)
    assert f"Sớm nhất là 00 giờ 00 phút ngày {earliest:%d/%m/%Y}" in console.err
    assert "khoản 3 Điều 10 Quy chế" in console.err
    assert console.json("maintenance", "list") == before
    console.refused("maintenance", "announce", "--from", "24/02/2099 08:00", "--until", "24/02/2099 07:00", code=2)


def test_an_incident_owes_a_report(console: Console) -> None:
    """No notice is asked for, but a reason; it is overdue once it is over, until a document reports it."""
    past = datetime.now(HO_CHI_MINH) - timedelta(days=1)
    words = ("maintenance", "announce", "--incident", "--from", f"{past:%d/%m/%Y} 08:00", "--until", f"{past:%d/%m/%Y} 08:30")
    console.refused(*words, code=2)
    console.done(*words, "--reason", "mất điện", "--actor", "lan")
    (one,) = console.json("maintenance", "list")
    assert one["overdue"] is True
    console.refused("maintenance", "report", "1", code=2)
    console.refused("maintenance", "report", "7", "--document", "3/BC", code=2)
    evidence = {each["what"]["en"]: each for each in console.json("regulation", "show", "10.1")["evidence"]}
    assert evidence["incidents without a report"]["overdue"] is True
    console.done("maintenance", "report", "1", "--document", "3/BC-TTTT")
    (one,) = console.json("maintenance", "list")
    assert (one["overdue"], one["report"]) == (False, "3/BC-TTTT")
    assert console.run("maintenance", "cancel", "1") == 1, "it is over"
    acts = [json.loads(line) for path in (console.folder / "data").rglob("audit-*.jsonl") for line in path.open()]
    assert {"maintenance_announce", "maintenance_announce_refused", "maintenance_report"} <= {act["act"] for act in acts}


# ---------------------------------------------------------------- told to everybody


@pytest.fixture
def server(serve: Callable[..., MailServer]) -> MailServer:
    server = serve(clock=ManualClock(NOW))
    for name in ("dvbe", "ttlan", "gone"):
        server.issue(name)
    return server


def announce(server: MailServer, **more: object) -> Downtime:
    starts = NOW + timedelta(days=7)
    drafted = Downtime(0, starts, starts + timedelta(hours=4), "nâng cấp máy chủ", "12/TB-TTTT", False, NOW, "lan")
    found = server.population.directory.downtimes.add(drafted)
    server.refresh()
    return found


def test_every_mailbox_is_told_once(server: MailServer) -> None:
    """Also one that is suspended, or issued later; not one that is reclaimed. A round again changes nothing."""
    gone = server.population.directory.mailbox("gone@mic.gov.vn")
    server.record(gone, Draft(FactKind.RECLAIMED, NOW, "test"))
    server.suspend(server.population.directory.mailbox("ttlan@mic.gov.vn"))
    announce(server)
    for _ in range(2):
        server.housekeep()
    server.issue("later")
    server.housekeep()
    for name in ("dvbe", "ttlan", "later"):
        (letter,) = (each for each in letters(server, name) if each.startswith("Thông báo tạm ngừng"))
        assert "tạm ngừng từ 09 giờ 00 phút ngày 01/12/2026 đến 13 giờ 00 phút ngày 01/12/2026" in letter
        assert "Lý do: nâng cấp máy chủ." in letter
        assert "Căn cứ: 12/TB-TTTT." in letter
    assert letters(server, "gone") == []


def test_a_kill_between_the_letter_and_its_line_tells_nobody_twice(server: MailServer) -> None:
    """The housekeeper dies after each letter in turn, before it is put down: the next one knows nothing of it."""
    announce(server)
    sent = server.running.context.directory.sent
    put = sent.put
    for _ in range(3):
        sent.put = lambda keys, at: (_ for _ in ()).throw(RuntimeError("killed"))  # type: ignore[assignment]
        server.housekeep()
        forgetful = [job for job in server.running.server.jobs._jobs if job.name == "downtimes"]
        forgetful[0].run.__self__._notified.clear()  # type: ignore[attr-defined]
    sent.put = put  # type: ignore[method-assign]
    server.housekeep()
    assert [len(letters(server, name)) for name in ("dvbe", "ttlan", "gone")] == [1, 1, 1]


def test_what_is_called_off_is_told_to_who_was_told(server: MailServer) -> None:
    """And never to who was not."""
    found = announce(server)
    server.housekeep()
    server.population.directory.downtimes.cancel(found.downtime_id, NOW)
    server.issue("later")
    for _ in range(2):
        server.housekeep()
    assert [letter.splitlines()[0].partition(" / ")[0] for letter in letters(server, "dvbe")] == [
        "Thông báo tạm ngừng hệ thống thư điện tử",
        "Hủy thông báo tạm ngừng hệ thống thư điện tử",
    ]
    assert letters(server, "later") == []


def alerts(server: MailServer) -> list[bytes]:
    """What a mail program is shown at sign-in."""
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls())
    client.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
    found = [line for line in client.untagged_responses.get("OK", []) if line.startswith(b"[ALERT]")]
    client.logout()
    return found


def test_imap_says_it_at_sign_in_until_it_is_over(server: MailServer) -> None:
    """RFC 9051 §7.1: ALERT; in English ASCII, since nobody can have enabled UTF-8 before."""
    assert alerts(server) == []
    found = announce(server)
    (alert,) = alerts(server)
    assert b"down from 1 December 2026, 09:00 to 1 December 2026, 13:00 (Reg. 10.3)" in alert
    server.move_clock_to(found.ends_at - timedelta(seconds=1))
    assert len(alerts(server)) == 1
    server.move_clock_to(found.ends_at)
    assert alerts(server) == []
