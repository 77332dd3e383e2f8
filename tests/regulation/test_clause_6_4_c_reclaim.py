"""Reg. 6.4.c on a running server: a leaver is warned, the mailbox reclaimed, archived, freed; and had back at each step."""

import smtplib
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Draft, Fact, FactKind, MailboxKind
from mic_mail.policy.reclamation import ReclaimStage
from mic_mail.services.mailboxes.clock_trust import ClockMark
from mic_mail.services.mailboxes.legal_holds import Holds
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle, NotAllowed
from mic_mail.services.mailboxes.reclamation import CLOCK, Reclaimed, Reclaiming
from mic_mail.services.mailboxes.reclamation_job import ReclaimRounds
from mic_mail.services.notifications.lifecycle_notices import LifeNotices
from regulation.reclaimed_mailbox import CENTRE, Ministry, issue_again, local, reclaim


@pytest.fixture
def ministry(serve: Callable[..., MailServer]) -> Ministry:
    return Ministry(serve)


def test_clause_6_4_c_the_whole_way(ministry: Ministry) -> None:
    """Locked, warned 30, 14, 7 and 1 days ahead, reclaimed, archived, kept 30 days, freed; then brought back."""
    told, coming = ["Chức năng gửi thư bị khóa"], "Hộp thư sẽ bị thu hồi sau ngày 28/02/2027"
    ministry.until("2026-08-30 10:00")
    for day in ("01-29", "01-30", "02-15", "02-16", "02-22", "02-27 12:00", "02-28"):  # six months end with 28/02/2027
        ministry.until(f"2027-{day}")
        told += [coming] if day in {"01-30", "02-15", "02-22", "02-28"} else []
        assert ministry.letters(ministry.leaver) == told, day
    ministry.until("2027-03-01 01:00")
    with smtplib.SMTP(ministry.server.host, ministry.server.ports["smtp"]) as client:
        client.ehlo()
        client.mail("a@example.org")
        assert client.rcpt("dvbe@mic.gov.vn")[0] == 550
    assert ministry.facts()[-1] is FactKind.ARCHIVED
    assert len(ministry.archives) == 1
    archive = ministry.server.config.server.data_dir / "archive"
    assert [path.stat().st_mode & 0o777 for path in (archive, archive / "mic.gov.vn")] == [0o700, 0o700]
    assert ministry.letters(ministry.unit) == [
        "Hộp thư dvbe@mic.gov.vn đã bị thu hồi",
        "Dữ liệu hộp thư dvbe@mic.gov.vn đã được lưu trữ",
    ]
    ministry.until("2027-03-31 23:30")
    assert ministry.account.exists
    ministry.until("2027-04-01 01:00")
    assert ministry.facts()[-1] is FactKind.FREED
    assert not ministry.account.exists
    assert len(ministry.archives) == 1
    assert ministry.letters(ministry.unit)[-1] == "Hộp thư dvbe@mic.gov.vn đã được xóa khỏi máy chủ"

    assert ministry.reclaiming.bring_back(ministry.leaver, CENTRE) is not None
    issue_again(ministry, bring_back=lambda _: None)
    ministry.server.refresh()
    subjects = [str(message["Subject"]) for message in ministry.messages(ministry.leaver)]
    assert subjects[0] == "một"
    assert len(subjects) == 6
    assert not [
        event for event in ministry.server.events() if event["event"] in {"duty_failed", "visit_failed", "notice_failed"}
    ]


def test_clause_6_4_c_issued_again_before_it_is_freed(ministry: Ministry) -> None:
    """Until it is freed an issue undoes everything: the mail is there, and no round touches it any more."""
    reclaim(ministry)
    assert ministry.reclaiming.bring_back(ministry.leaver, CENTRE) is None
    issue_again(ministry)
    ministry.until("2027-04-10 01:00")
    assert ministry.facts()[-1] is FactKind.ISSUED
    assert str(ministry.messages(ministry.leaver)[0]["Subject"]) == "một"
    ministry.deliver("hai")


def test_clause_6_4_c_what_is_held_is_not_freed(ministry: Ministry) -> None:
    """A legal hold or a running handover keeps the mailbox, whatever the clock says, also from an operator."""
    reclaim(ministry)
    context = ministry.server.running.context
    directory = ministry.server.population.directory
    held = Reclaiming(directory, context.store, ministry.server.config, ministry.clock)
    directory.append_fact(ministry.leaver.mailbox_id, Draft(FactKind.HANDOVER_BEGUN, ministry.clock.now(), "mai"))
    ministry.server.move_clock_to(local("2027-04-02 00:00"))
    for origin in (CENTRE, CLOCK):
        with pytest.raises(NotAllowed) as refusal:
            held.free(held.of(ministry.leaver), origin, clock_trusted=True)
        assert "under a legal hold" in str(refusal.value)
    assert ministry.account.exists


def test_clause_9_2_a_legal_hold_keeps_a_reclaimed_mailbox(ministry: Ministry) -> None:
    """Put on while its days run: no round frees it, the Centre is told why; once it is lifted the next round does."""
    reclaim(ministry)
    population, context = ministry.server.population, ministry.server.running.context
    population._past.move_to(ministry.clock.now())
    holds = Holds(population.directory, context.store, ministry.clock)
    holds.hold(ministry.leaver, CENTRE)
    ministry.server.refresh()
    ministry.until("2027-04-02 00:00")
    assert FactKind.FREED not in ministry.facts()
    assert ministry.account.exists
    assert "Chưa xóa được hộp thư dvbe@mic.gov.vn" in ministry.letters(ministry.support)
    population._past.move_to(ministry.clock.now())
    holds.release(ministry.leaver, CENTRE)
    ministry.server.refresh()
    ministry.until("2027-04-02 01:00")
    assert not ministry.account.exists


def test_clause_9_2_a_legal_hold_that_comes_while_the_mailbox_is_deleted(
    ministry: Ministry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded as freed, it stays nevertheless, and the Centre is told; once the hold is lifted the next round deletes it."""
    reclaim(ministry)
    population, context, free = ministry.server.population, ministry.server.running.context, Reclaiming.free
    holds = Holds(population.directory, context.store, ministry.clock)

    def held(self: Reclaiming, found: Reclaimed, *words: Any, **named: Any) -> Fact | None:
        fact = free(self, found, *words, **named)
        population._past.move_to(ministry.clock.now())
        holds.hold(ministry.leaver, CENTRE)
        return fact

    monkeypatch.setattr(Reclaiming, "free", held)
    ministry.until("2027-04-01 01:00")
    assert ministry.facts()[-2:] == [FactKind.FREED, FactKind.HELD]
    assert ministry.account.exists
    assert ministry.letters(ministry.support).count("Chưa xóa được hộp thư dvbe@mic.gov.vn") == 1
    population._past.move_to(ministry.clock.now())
    holds.release(ministry.leaver, CENTRE)
    ministry.server.refresh()
    ministry.until("2027-04-01 01:10")
    assert not ministry.account.exists


def test_clause_6_4_c_a_clock_that_jumped_frees_nothing(ministry: Ministry) -> None:
    """A server with a clock far ahead refuses mail, as the clock says, and destroys nothing until somebody confirms."""
    reclaim(ministry)
    ministry.server.set_clock_to(local("2037-01-01 00:00"))
    for _ in range(3):
        ministry.server.housekeep()
        ministry.server.refresh()
    assert FactKind.FREED not in ministry.facts()
    assert ministry.account.exists
    assert "Đồng hồ máy chủ cần được xác nhận" in ministry.letters(ministry.support)
    command = ManualClock(ministry.clock.now())  # as of a process that begins now
    by_hand = Reclaiming(ministry.server.population.directory, ministry.store, ministry.server.config, command)
    found = by_hand.of(ministry.leaver)
    by_hand.free(found, CENTRE, clock_trusted=False)  # with its document
    by_hand.finish(found.entry)
    assert not ministry.account.exists


def test_clause_6_4_c_a_clock_that_jumps_within_a_round(ministry: Ministry) -> None:
    """It was trusted when the round began: what is reclaimed, archived or due by a step after that is let be."""
    dissolved, later = (ministry.server.issue(name, kind=MailboxKind.UNIT) for name in ("nhom", "nhom2"))
    reclaim(ministry)
    ministry.until("2027-03-25")
    directory, context, config = ministry.server.population.directory, ministry.server.running.context, ministry.server.config
    accounts = MailboxLifecycle(directory, config, ministry.clock)
    accounts.reclaim(dissolved, CENTRE)
    ministry.server.refresh()
    ministry.until("2027-03-25 01:00")
    accounts.note_absence(later, date(2027, 3, 26), date(2027, 3, 27), CENTRE)
    directory.append_fact(later.mailbox_id, Draft(FactKind.RECLAIMED, local("2027-04-20"), "test"))
    ministry.server.move_clock_to(local("2027-04-01 01:00"))
    ministry.clock_is_right()
    before = [directory.facts(each.mailbox_id) for each in (dissolved, later)]
    assert before[0][-1].kind is FactKind.ARCHIVED

    async def refresh() -> None:
        ministry.clock.set_to(local("2027-06-01"))

    notices = LifeNotices(context.runtime, directory, lambda: context.usage.notices)
    rounds = ReclaimRounds(context.runtime, directory, context.store, notices, refresh=refresh)
    ministry.server.call(rounds.run_once())
    assert ministry.clock.now() == local("2027-06-01")
    assert ministry.facts()[-1] is FactKind.FREED
    assert [directory.facts(each.mailbox_id) for each in (dissolved, later)] == before


def test_clause_6_4_c_a_fact_from_a_clock_that_was_ahead(ministry: Ministry) -> None:
    """Who confirms the clock accepts the facts that lie ahead, and no others: the rounds go on, and stop at the next jump."""
    directory, now, year = ministry.server.population.directory, ministry.clock.now(), timedelta(days=365)
    ahead = Directory(directory.url, clock=ManualClock(now + year))
    ahead.append_fact(ministry.unit.mailbox_id, Draft(FactKind.PASSWORD_SET, now + year, "test"))
    mark = ClockMark(ministry.server.config.state_dir, ministry.clock)
    assert not mark.renew(directory.load_snapshot())
    mark.confirm(directory.newest_fact())
    for minutes in range(0, 180, 30):
        ministry.clock.move_to(now + timedelta(minutes=minutes))
        assert mark.renew(directory.load_snapshot())
    ministry.clock.set_to(now + timedelta(days=200))
    assert not mark.is_trusted(directory.load_snapshot())
    mark.confirm(directory.newest_fact())
    assert mark.is_trusted(directory.load_snapshot())
    further = Directory(directory.url, clock=ManualClock(now + 2 * year))
    further.append_fact(ministry.unit.mailbox_id, Draft(FactKind.PASSWORD_SET, now + 2 * year, "test"))
    assert not mark.is_trusted(directory.load_snapshot())
    further.close()
    ahead.close()


def test_clause_6_4_c_without_warnings_nothing_is_freed(ministry: Ministry) -> None:
    """A mailbox that was due while the server was down was warned of by nobody: it waits, and the Centre is told, once."""
    ministry.until("2027-03-02 00:00")
    ministry.until("2027-04-03 00:00")
    assert ministry.facts()[-1] is FactKind.ARCHIVED
    assert ministry.letters(ministry.support).count("Chưa xóa được hộp thư dvbe@mic.gov.vn") == 1
    with pytest.raises(BadInput, match="document"):
        ministry.reclaiming.free(ministry.reclaiming.of(ministry.leaver), ActContext("quản trị"), clock_trusted=True)
    ministry.reclaiming.free(ministry.reclaiming.of(ministry.leaver), CENTRE, clock_trusted=True)
    assert ministry.facts()[-1] is FactKind.FREED


def test_clause_6_4_c_reopened_by_a_correction(ministry: Ministry) -> None:
    """A corrected day opens the mailbox again; what comes meanwhile is in the archive that is made anew."""
    reclaim(ministry)
    correction = Draft(FactKind.LEAVE_CORRECTED, local("2026-10-01 00:00"), "test", "", "2/QĐ", {"level": "division"})
    ministry.server.population._past.move_to(ministry.clock.now())
    ministry.server.population.directory.append_fact(ministry.leaver.mailbox_id, correction)
    ministry.server.refresh()
    ministry.deliver("hai")
    ministry.until("2027-04-02 00:40")  # the corrected leave is due on that day
    found = ministry.reclaiming.of(ministry.leaver)
    assert found.way.stage is ReclaimStage.ARCHIVED
    assert found.way.archived is not None
    assert found.way.archived.data["messages"] == len(ministry.messages(ministry.leaver))
    assert ministry.facts().count(FactKind.ARCHIVED) == 2
