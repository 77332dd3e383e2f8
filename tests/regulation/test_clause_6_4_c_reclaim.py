"""Reg. 6.4.c on a running server: a leaver is warned, the mailbox reclaimed, archived, freed; and had back at each step."""

import email
import email.policy
import imaplib
import shutil
import smtplib
import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from harness import MailServer
from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput
from mic_mail.policy.facts import Draft, Fact, FactKind, Level, MailboxKind
from mic_mail.policy.lifecycle import LifecycleSettings, State, decide
from mic_mail.policy.reclamation import ReclaimStage, course
from mic_mail.services.mailboxes.clock_trust import ClockMark
from mic_mail.services.mailboxes.credentials import ActContext
from mic_mail.services.mailboxes.issue import Issuing, Request
from mic_mail.services.mailboxes.legal_holds import Holds
from mic_mail.services.mailboxes.lifecycle_actions import BringBack, InArchive, MailboxLifecycle, NotAllowed
from mic_mail.services.mailboxes.reclamation import ASIDE, CLOCK, ArchiveDamaged, Reclaimed, Reclaiming
from mic_mail.services.mailboxes.reclamation_job import ReclaimRounds
from mic_mail.services.notifications.lifecycle_notices import LifeNotices
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import INBOX, AccountRef, StorageSettings
from population import PASSWORD, credential

CENTRE = ActContext("quản trị", "theo đề nghị", "12/CV-CNTT")


def local(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=HO_CHI_MINH).astimezone(UTC)


class Ministry:
    """A server on a moved clock, with the mailboxes of the Centre, of a unit, and of someone who leaves on 31/08/2026."""

    def __init__(self, serve: Callable[..., MailServer]) -> None:
        self.clock = ManualClock(local("2026-08-30 09:00"))
        self.server = serve(clock=self.clock)
        self.support = self.server.issue("support", kind=MailboxKind.GROUP, name="Trung tâm Thông tin")
        self.unit = self.server.issue("cntt", kind=MailboxKind.UNIT, name="Vụ CNTT")
        self.leaver = self.server.issue("dvbe", name="Đỗ Văn Bê")
        self.deliver("một")
        self.server.record(self.leaver, Draft(FactKind.LEFT, self.clock.now(), "test", "", "1/QĐ", {"level": "division"}))
        for mailbox in (self.leaver, self.unit, self.support):
            self.server.population.directory.touch_activity(mailbox.mailbox_id, local("2026-12-20"))

    @property
    def reclaiming(self) -> Reclaiming:
        return Reclaiming(self.server.population.directory, self.store, self.server.config, self.clock)

    @property
    def store(self) -> MailStore:
        return self.server.running.context.store

    def deliver(self, subject: str, to: str = "dvbe") -> None:
        with smtplib.SMTP(self.server.host, self.server.ports["smtp"]) as client:
            client.sendmail("a@example.org", [f"{to}@mic.gov.vn"], f"Subject: {subject}\r\n\r\nx\r\n".encode())

    def until(self, moment: str) -> None:
        """The clock has come to `moment` by itself, so its mark was renewed all the time; the housekeeper looks twice."""
        self.server.move_clock_to(local(moment))
        self.clock_is_right()
        for _ in range(2):
            self.server.housekeep()
            self.server.refresh()

    def clock_is_right(self) -> None:
        (self.server.config.state_dir / "clock.mark").write_text(self.clock.now().isoformat())

    def letters(self, mailbox: Any) -> list[str]:
        """The Vietnamese subjects of what the server wrote into a mailbox, oldest first."""
        return [str(letter["Subject"]).split(" / ")[0] for letter in self.messages(mailbox) if letter["Auto-Submitted"]]

    def messages(self, mailbox: Any) -> list[EmailMessage]:
        account = self.server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        view = account.view(account.folder(INBOX).folder_id)
        found = []
        for uid in view.uids:
            message = account.open_message(view.info.folder_id, uid)
            parsed = email.message_from_bytes(message.pread(0, message.size), policy=email.policy.default)
            message.close()
            assert isinstance(parsed, EmailMessage)
            found.append(parsed)
        return found

    def facts(self) -> list[FactKind]:
        return [fact.kind for fact in self.server.population.directory.facts(self.leaver.mailbox_id)]

    @property
    def home(self) -> Any:
        return self.server.config.mail_root / "mic.gov.vn/dvbe"

    def lose_home(self) -> None:
        """In one step, as the server may still write there."""
        self.home.rename(self.server.config.server.data_dir / "lost")

    @property
    def archives(self) -> list[str]:
        root = self.server.config.server.data_dir / "archive/mic.gov.vn/dvbe"
        return sorted(path.name for path in root.iterdir()) if root.is_dir() else []


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
    assert ministry.home.is_dir()
    ministry.until("2027-04-01 01:00")
    assert ministry.facts()[-1] is FactKind.FREED
    assert not ministry.home.exists()
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


def issue_again(ministry: Ministry, *, bring_back: Callable[[MailboxRecord], Fact | None] | None = None) -> None:
    server = ministry.server
    issuing = Issuing(server.population.directory, server.config, ministry.clock, credential)
    ministry.server.population._past.move_to(ministry.clock.now())
    issuing.issue_again(ministry.leaver, PASSWORD, Request(CENTRE), bring_back=bring_back)


def reclaim(ministry: Ministry) -> None:
    """The leaver's mailbox is warned of, reclaimed and archived."""
    for moment in ("2027-02-28", "2027-03-01 01:00"):
        ministry.until(moment)


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
    assert ministry.home.is_dir()


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
    assert ministry.home.is_dir()
    assert "Chưa xóa được hộp thư dvbe@mic.gov.vn" in ministry.letters(ministry.support)
    population._past.move_to(ministry.clock.now())
    holds.release(ministry.leaver, CENTRE)
    ministry.server.refresh()
    ministry.until("2027-04-02 01:00")
    assert not ministry.home.exists()


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
    assert ministry.home.is_dir()
    assert ministry.letters(ministry.support).count("Chưa xóa được hộp thư dvbe@mic.gov.vn") == 1
    population._past.move_to(ministry.clock.now())
    holds.release(ministry.leaver, CENTRE)
    ministry.server.refresh()
    ministry.until("2027-04-01 01:10")
    assert not ministry.home.exists()


def test_clause_6_4_c_a_clock_that_jumped_frees_nothing(ministry: Ministry) -> None:
    """A server with a clock far ahead refuses mail, as the clock says, and destroys nothing until somebody confirms."""
    reclaim(ministry)
    ministry.server.set_clock_to(local("2037-01-01 00:00"))
    for _ in range(3):
        ministry.server.housekeep()
        ministry.server.refresh()
    assert FactKind.FREED not in ministry.facts()
    assert ministry.home.is_dir()
    assert "Đồng hồ máy chủ cần được xác nhận" in ministry.letters(ministry.support)
    command = ManualClock(ministry.clock.now())  # as of a process that begins now
    by_hand = Reclaiming(ministry.server.population.directory, ministry.store, ministry.server.config, command)
    found = by_hand.of(ministry.leaver)
    by_hand.free(found, CENTRE, clock_trusted=False)  # with its document
    by_hand.finish(found.entry)
    assert not ministry.home.exists()


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


def freed(ministry: Ministry) -> MailboxLifecycle:
    """The leaver's mailbox is deleted from the server."""
    reclaim(ministry)
    ministry.until("2027-04-01 01:00")
    assert ministry.facts()[-1] is FactKind.FREED
    assert not ministry.home.exists()
    ministry.server.population._past.move_to(ministry.clock.now())
    return MailboxLifecycle(ministry.server.population.directory, ministry.server.config, ministry.clock)


@pytest.mark.parametrize("how", ["withdrawn", "corrected"])
def test_clause_6_4_c_a_freed_mailbox_opens_with_its_mail(ministry: Ministry, how: str) -> None:
    """The leave was a mistake, or its term the longer one: the old mail is back, what comes afterwards stays too."""
    accounts = freed(ministry)

    def told(bring_back: BringBack | None) -> None:
        if how == "withdrawn":
            accounts.withdraw_leave(ministry.leaver, CENTRE, bring_back=bring_back)
        else:
            day = date(2026, 8, 31)
            accounts.correct_leave(ministry.leaver, day, Level.DEPARTMENT, None, CENTRE, bring_back=bring_back)

    with pytest.raises(InArchive) as refusal:
        told(None)
    assert "restore-reclaimed" in str(refusal.value.remedy)
    assert accounts.state_of(ministry.leaver).states == {State.RECLAIMED}
    ministry.reclaiming.bring_back(ministry.leaver, CENTRE)  # and killed before the leave was recorded
    ministry.until("2027-04-01 01:10")
    assert accounts.state_of(ministry.leaver).states == {State.RECLAIMED}
    told(lambda: ministry.reclaiming.bring_back(ministry.leaver, CENTRE))
    ministry.server.refresh()
    assert accounts.state_of(ministry.leaver).states == ({State.ACTIVE} if how == "withdrawn" else {State.SEND_LOCKED})
    ministry.deliver("hai")
    ministry.until("2027-04-01 01:20")
    subjects = [str(message["Subject"]) for message in ministry.messages(ministry.leaver)]
    assert subjects[0] == "một"
    assert "hai" in subjects
    assert ministry.facts()[-2] is FactKind.UNARCHIVED
    if how == "corrected":  # its own term ends a year after the leave, and all of it is archived
        ministry.until("2027-08-31")
        ministry.until("2027-09-01 01:00")
        archived = ministry.reclaiming.of(ministry.leaver).way.archived
        assert archived is not None
        assert archived.data["messages"] == len(ministry.messages(ministry.leaver))


def test_clause_6_4_c_a_freed_mailbox_keeps_its_archive_when_its_day_moves(ministry: Ministry) -> None:
    """Reclaimed by the corrected day as well: nothing is archived anew, and the mail can be had back."""
    accounts = freed(ministry)
    accounts.correct_leave(ministry.leaver, date(2026, 9, 20), None, None, CENTRE)
    ministry.server.refresh()
    assert accounts.state_of(ministry.leaver).states == {State.RECLAIMED}
    ministry.until("2027-04-01 01:20")
    assert ministry.facts().count(FactKind.ARCHIVED) == 1
    assert ministry.reclaiming.of(ministry.leaver).way.stage is ReclaimStage.FREED
    assert ministry.reclaiming.bring_back(ministry.leaver, CENTRE) is not None
    assert str(ministry.messages(ministry.leaver)[0]["Subject"]) == "một"


def test_clause_6_4_c_no_calendar_opens_a_freed_mailbox(ministry: Ministry) -> None:
    """Days of rest that make a term end later leave it reclaimed, with its archive, until its mail is back."""
    freed(ministry)
    facts, now = ministry.server.population.directory.facts(ministry.leaver.mailbox_id), ministry.clock.now()
    for opens in (date(2027, 3, 2), date(2027, 5, 1)):
        settings = LifecycleSettings(rest_day=lambda day, opens=opens: day < opens - timedelta(days=1))
        reason = decide(MailboxKind.PERSONAL, facts, now, settings=settings).reason(State.RECLAIMED)
        assert reason is not None, opens
        assert course(facts, reason.since).stage is ReclaimStage.FREED, opens


def test_clause_6_4_c_what_no_archive_has_is_not_deleted(ministry: Ministry) -> None:
    """Messages in a mailbox that is freed on record stay (the directory may be an old one), and the Centre is told."""
    freed(ministry)
    Notices(ministry.server.running.context.store, ministry.server.config, ministry.clock).welcome(ministry.leaver)
    for moment in ("01:10", "01:20"):
        ministry.until(f"2027-04-01 {moment}")
        assert len(ministry.messages(ministry.leaver)) == 1
    assert ministry.letters(ministry.support).count("Chưa xóa được hộp thư dvbe@mic.gov.vn") == 1


def test_clause_6_4_c_what_no_archive_has_lies_aside(ministry: Ministry) -> None:
    """It is not mixed up with what comes back from the archive, and the fact says where it lies; also after a kill."""
    freed(ministry)
    Notices(ministry.server.running.context.store, ministry.server.config, ministry.clock).welcome(ministry.leaver)
    fact = ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    assert fact is not None
    aside = ministry.server.config.mail_root / (fact.text(ASIDE) or "")
    assert aside.name.startswith("dvbe.replaced-")
    assert len(list((aside / "Maildir/cur").iterdir())) == 1
    assert str(ministry.messages(ministry.leaver)[0]["Subject"]) == "một"
    ministry.clock.move_to(ministry.clock.now() + timedelta(minutes=1))
    assert ministry.reclaiming.bring_back(ministry.leaver, CENTRE) == fact
    ministry.clock.move_to(ministry.clock.now() + timedelta(minutes=1))
    ministry.lose_home()  # as if the kill had come before anything was in its place
    store = MailStore(ministry.server.config.mail_root, clock=ministry.clock, host="test")
    Notices(store, ministry.server.config, ministry.clock).welcome(ministry.leaver)
    store.close()
    again = ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    assert again is not None
    assert again.text(ASIDE) not in {None, fact.text(ASIDE)}


def test_clause_6_4_c_brought_back_again_it_is_believed(ministry: Ministry) -> None:
    """While the last step fails, each further try finds the mail in its place: no copy of it, and nothing lies aside."""
    freed(ministry)
    fact = ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    before, beside = len(ministry.messages(ministry.leaver)), sorted(ministry.home.parent.iterdir())
    Notices(ministry.server.running.context.store, ministry.server.config, ministry.clock).welcome(ministry.leaver)
    for _ in range(3):
        ministry.clock.move_to(ministry.clock.now() + timedelta(minutes=1))
        assert ministry.reclaiming.bring_back(ministry.leaver, CENTRE) == fact
        assert sorted(ministry.home.parent.iterdir()) == beside
    assert len(ministry.messages(ministry.leaver)) == before + 1


def test_clause_6_4_c_brought_back_again_where_something_is_missing(ministry: Ministry) -> None:
    """A store that lacks a message of the archive is not believed, though it has another; without the archive that ends it."""
    freed(ministry)
    ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    before = len(ministry.messages(ministry.leaver))
    next((ministry.home / "Maildir/cur").iterdir()).unlink()
    Notices(ministry.server.running.context.store, ministry.server.config, ministry.clock).welcome(ministry.leaver)
    ministry.clock.move_to(ministry.clock.now() + timedelta(minutes=1))
    fact = ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    assert fact is not None
    assert fact.text(ASIDE) is not None
    assert len(ministry.messages(ministry.leaver)) == before
    next((ministry.home / "Maildir/cur").iterdir()).unlink()
    name = damage(ministry)
    shutil.rmtree(ministry.reclaiming.root / name)
    with pytest.raises(ArchiveDamaged):
        ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    ministry.reclaiming.drop(ministry.leaver, name, CENTRE)
    issue_again(ministry)
    assert len(ministry.messages(ministry.leaver)) == before - 1


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_clause_6_4_c_mail_that_is_back_needs_no_archive(ministry: Ministry, how: str) -> None:
    """The archive fails once the mail is in its place: the mailbox is issued with it, and only then the archive is dropped."""
    freed(ministry)
    fact = ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    name = damage(ministry)
    if how == "gone":
        shutil.rmtree(ministry.reclaiming.root / name)
    with pytest.raises(NotAllowed) as refusal:
        ministry.reclaiming.drop(ministry.leaver, name, CENTRE)
    assert "restore-reclaimed" in str(refusal.value.remedy)
    assert ministry.reclaiming.bring_back(ministry.leaver, CENTRE) == fact
    issue_again(ministry, bring_back=lambda _: fact)
    ministry.server.refresh()
    assert str(ministry.messages(ministry.leaver)[0]["Subject"]) == "một"
    ministry.reclaiming.drop(ministry.leaver, name, CENTRE)
    assert ministry.archives == []


def damage(ministry: Ministry) -> str:
    """The one archive cannot be read any more; its name."""
    (name,) = ministry.archives
    index = ministry.server.config.server.data_dir / "archive/mic.gov.vn/dvbe" / name / "index.sqlite"
    with sqlite3.connect(index) as pages:
        (size,) = pages.execute("PRAGMA page_size").fetchone()
        (at,) = pages.execute("SELECT rootpage FROM sqlite_master WHERE name = 'email'").fetchone()
    pages.close()
    with index.open("r+b") as file:
        file.seek((at - 1) * size)
        file.write(b"\xff" * size)
    return f"mic.gov.vn/dvbe/{name}"


def test_clause_6_4_c_a_damaged_archive_is_said_to_be_so(ministry: Ministry) -> None:
    """Nothing is recorded, and the refusal names the way on: without the archive an empty mailbox can be issued."""
    freed(ministry)
    name = damage(ministry)
    with pytest.raises(ArchiveDamaged) as refusal:
        ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    assert "damaged" in str(refusal.value)
    assert "archive drop" in str(refusal.value.remedy)
    assert ministry.facts()[-1] is FactKind.FREED
    ministry.reclaiming.drop(ministry.leaver, name, CENTRE)
    issue_again(ministry)


@pytest.mark.parametrize("how", ["issued", "withdrawn"])
def test_clause_6_4_c_an_archive_that_fails_on_the_way_back_is_no_dead_end(ministry: Ministry, how: str) -> None:
    """Killed while the mail came back, and the archive is damaged by then: dropped by a document, it stands in nobody's way."""
    accounts = freed(ministry)
    ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    ministry.lose_home()  # the kill came before anything was in its place
    name = damage(ministry)
    with pytest.raises(ArchiveDamaged):
        ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    ministry.reclaiming.drop(ministry.leaver, name, CENTRE)
    assert ministry.reclaiming.of(ministry.leaver).way.stage is ReclaimStage.DROPPED
    if how == "issued":
        issue_again(ministry)
        return
    accounts.withdraw_leave(ministry.leaver, CENTRE)
    assert accounts.state_of(ministry.leaver).states == {State.ACTIVE}
    entry = ministry.server.population.directory.entry(ministry.leaver.mailbox_id)
    assert course(entry.facts, ministry.clock.now()).stage is ReclaimStage.RECLAIMED  # the next time everything begins anew


def test_clause_6_4_c_deleted_after_a_restart_of_the_machine(ministry: Ministry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Power fails between the record and the deletion: the next boot raises the mailbox's numbers, and it is deleted."""
    monkeypatch.setattr(Reclaiming, "finish", lambda self, entry: True)
    reclaim(ministry)
    ministry.until("2027-04-01 01:00")
    monkeypatch.undo()
    assert ministry.facts()[-1] is FactKind.FREED
    assert ministry.home.is_dir()
    directory = ministry.server.population.directory
    store = MailStore(
        ministry.server.config.mail_root, clock=ministry.clock, host="test", settings=StorageSettings(boot_id="another boot")
    )
    reclaiming = Reclaiming(directory, store, ministry.server.config, ministry.clock)
    assert reclaiming.finish(directory.entry(ministry.leaver.mailbox_id))
    store.close()
    assert not ministry.home.exists()


def test_clause_6_4_c_opened_again_although_the_record_is_ahead(ministry: Ministry) -> None:
    """A fact from a clock that was years ahead: a leave that is withdrawn opens the mailbox now, not in those years."""
    accounts = freed(ministry)
    directory, now = ministry.server.population.directory, ministry.clock.now()
    ahead = Directory(directory.url, clock=ManualClock(now + timedelta(days=1000)))
    ahead.append_fact(ministry.leaver.mailbox_id, Draft(FactKind.QUOTA_SET, now, "test", "", None, {"octets": 1 << 30}))
    ahead.close()
    accounts.withdraw_leave(ministry.leaver, CENTRE, bring_back=lambda: ministry.reclaiming.bring_back(ministry.leaver, CENTRE))
    assert accounts.state_of(ministry.leaver).states == {State.ACTIVE}


def test_clause_6_4_c_no_issue_without_the_mail(ministry: Ministry) -> None:
    """A freed mailbox is not issued empty while its archive is there, nor while its mail is coming back."""
    freed(ministry)
    for moment in ("01:10", "01:20"):
        with pytest.raises(InArchive):
            issue_again(ministry)
        ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
        ministry.until(f"2027-04-01 {moment}")
    assert FactKind.ISSUED not in ministry.facts()[1:]


def test_clause_6_4_c_archives_go_by_a_document_only(ministry: Ministry) -> None:
    """An archive is dropped by a document, never while it is the only safety of a mailbox that is still to be freed."""
    reclaim(ministry)
    (name,) = (
        fact.text("archive") or "" for fact in ministry.reclaiming.of(ministry.leaver).entry.facts if fact.text("archive")
    )
    with pytest.raises(NotAllowed):
        ministry.reclaiming.drop(ministry.leaver, name, CENTRE)
    ministry.until("2027-04-01 01:00")
    with pytest.raises(BadInput, match="document"):
        ministry.reclaiming.drop(ministry.leaver, name, ActContext("quản trị", "hết hạn"))
    ministry.reclaiming.drop(ministry.leaver, name, CENTRE)
    assert ministry.archives == []
    with pytest.raises(NotAllowed):
        ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    issue_again(ministry)  # an empty one
    ministry.server.refresh()
    ministry.deliver("ba")
    assert [str(message["Subject"]) for message in ministry.messages(ministry.leaver)] == ["ba"]


def test_clause_6_4_c_a_client_of_the_old_mailbox_begins_anew(ministry: Ministry) -> None:
    """Issued again after it and its archive are gone: other UIDVALIDITY, so that no mail program shows what is gone."""
    before = status(ministry)
    reclaim(ministry)
    ministry.until("2027-04-01 01:00")
    ministry.reclaiming.drop(ministry.leaver, f"mic.gov.vn/dvbe/{ministry.archives[0]}", CENTRE)
    issue_again(ministry)
    ministry.server.record(ministry.leaver, Draft(FactKind.PASSWORD_SET, ministry.clock.now(), "person"))
    assert status(ministry) != before


def status(ministry: Ministry) -> bytes:
    client = imaplib.IMAP4_SSL(ministry.server.host, ministry.server.ports["imaps"], ssl_context=ministry.server.tls())
    client.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
    answer: bytes = client.status("INBOX", "(UIDVALIDITY)")[1][0]
    client.logout()
    return answer
