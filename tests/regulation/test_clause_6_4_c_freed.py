"""Reg. 6.4.c: a freed mailbox is had back with its mail, from its archive, or it is said what is missing."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Draft, FactKind, Level, MailboxKind
from mic_mail.policy.lifecycle import LifecycleSettings, MailboxState, decide
from mic_mail.policy.reclamation import ReclaimStage, course
from mic_mail.services.mail_store import open_mail_store
from mic_mail.services.mailboxes.lifecycle_actions import BringBack, InArchive, NotAllowed
from mic_mail.services.mailboxes.reclamation import ASIDE, ArchiveDamaged, Reclaiming
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import StorageSettings
from regulation.reclaimed_mailbox import CENTRE, Ministry, freed, issue_again, reclaim, status


@pytest.fixture
def ministry(serve: Callable[..., MailServer]) -> Ministry:
    return Ministry(serve)


@pytest.mark.parametrize("how", ["withdrawn", "corrected"])
def test_clause_6_4_c_a_freed_mailbox_opens_with_its_mail(ministry: Ministry, how: str) -> None:
    """The leave was a mistake, or its term the longer one: the old mail is back, what comes afterwards stays too."""
    accounts = freed(ministry)

    def undo_leave(bring_back: BringBack | None) -> None:
        if how == "withdrawn":
            accounts.withdraw_leave(ministry.leaver, CENTRE, bring_back=bring_back)
        else:
            day = date(2026, 8, 31)
            accounts.correct_leave(ministry.leaver, day, Level.DEPARTMENT, None, CENTRE, bring_back=bring_back)

    with pytest.raises(InArchive) as refusal:
        undo_leave(None)
    assert "restore-reclaimed" in str(refusal.value.remedy)
    assert accounts.state_of(ministry.leaver).states == {MailboxState.RECLAIMED}
    ministry.reclaiming.bring_back(ministry.leaver, CENTRE)  # and killed before the leave was recorded
    ministry.until("2027-04-01 01:10")
    assert accounts.state_of(ministry.leaver).states == {MailboxState.RECLAIMED}
    undo_leave(lambda: ministry.reclaiming.bring_back(ministry.leaver, CENTRE))
    ministry.server.refresh()
    assert accounts.state_of(ministry.leaver).states == (
        {MailboxState.ACTIVE} if how == "withdrawn" else {MailboxState.SEND_LOCKED}
    )
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
    assert accounts.state_of(ministry.leaver).states == {MailboxState.RECLAIMED}
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
        reason = decide(MailboxKind.PERSONAL, facts, now, settings=settings).reason(MailboxState.RECLAIMED)
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


def test_clause_6_4_c_what_no_archive_has_lies_aside(ministry: Ministry, tmp_path: Path) -> None:
    """It is not mixed up with what comes back from the archive, and the fact says where it lies; also after a kill."""
    freed(ministry)
    Notices(ministry.server.running.context.store, ministry.server.config, ministry.clock).welcome(ministry.leaver)
    fact = ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    assert fact is not None
    aside = fact.text(ASIDE) or ""
    assert aside.startswith("mic.gov.vn/dvbe.replaced-")
    assert ministry.account.set_aside() == [aside]
    ministry.account.copy_set_aside(aside, tmp_path / "aside")
    assert len(list((tmp_path / "aside/Maildir/cur").iterdir())) == 1
    assert str(ministry.messages(ministry.leaver)[0]["Subject"]) == "một"
    ministry.clock.move_to(ministry.clock.now() + timedelta(minutes=1))
    assert ministry.reclaiming.bring_back(ministry.leaver, CENTRE) == fact
    ministry.clock.move_to(ministry.clock.now() + timedelta(minutes=1))
    ministry.lose_home()  # as if the kill had come before anything was in its place
    with contextlib.closing(open_mail_store(ministry.server.config, ministry.clock)) as store:
        Notices(store, ministry.server.config, ministry.clock).welcome(ministry.leaver)
    again = ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    assert again is not None
    assert again.text(ASIDE) not in {None, fact.text(ASIDE)}


def test_clause_6_4_c_brought_back_again_it_is_believed(ministry: Ministry) -> None:
    """While the last step fails, each further try finds the mail in its place: no copy of it, and nothing lies aside."""
    freed(ministry)
    fact = ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    before, beside = len(ministry.messages(ministry.leaver)), ministry.account.set_aside()
    Notices(ministry.server.running.context.store, ministry.server.config, ministry.clock).welcome(ministry.leaver)
    for _ in range(3):
        ministry.clock.move_to(ministry.clock.now() + timedelta(minutes=1))
        assert ministry.reclaiming.bring_back(ministry.leaver, CENTRE) == fact
        assert ministry.account.set_aside() == beside
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


def test_clause_6_4_c_an_archive_of_another_version_is_not_called_damaged(ministry: Ministry) -> None:
    """Its messages are whole: the refusal says how to import them, and to drop the archive only after it was copied."""
    freed(ministry)
    (name,) = ministry.archives
    archive = ministry.server.config.server.data_dir / "archive/mic.gov.vn/dvbe" / name
    index = sqlite3.connect(archive / "index.sqlite")
    index.execute("PRAGMA user_version = 2")
    index.close()
    with pytest.raises(ArchiveDamaged) as refusal:
        ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    assert "damaged" not in str(refusal.value)
    remedy = str(refusal.value.remedy)
    assert remedy.index("Copy") < remedy.index("archive drop") < remedy.index("import maildir")
    assert ministry.facts()[-1] is FactKind.FREED


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
    assert accounts.state_of(ministry.leaver).states == {MailboxState.ACTIVE}
    entry = ministry.server.population.directory.entry(ministry.leaver.mailbox_id)
    assert course(entry.facts, ministry.clock.now()).stage is ReclaimStage.RECLAIMED  # the next time everything begins anew


def test_clause_6_4_c_deleted_after_a_restart_of_the_machine(ministry: Ministry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Power fails between the record and the deletion: the next boot raises the mailbox's numbers, and it is deleted."""
    monkeypatch.setattr(Reclaiming, "finish", lambda self, entry: True)
    reclaim(ministry)
    ministry.until("2027-04-01 01:00")
    monkeypatch.undo()
    assert ministry.facts()[-1] is FactKind.FREED
    assert ministry.account.exists
    directory = ministry.server.population.directory
    store = LocalMailStore(
        ministry.server.config.mail_root, clock=ministry.clock, host="test", settings=StorageSettings(boot_id="another boot")
    )
    reclaiming = Reclaiming(directory, store, ministry.server.config, ministry.clock)
    assert reclaiming.finish(directory.entry(ministry.leaver.mailbox_id))
    store.close()
    assert not ministry.account.exists


def test_clause_6_4_c_opened_again_although_the_record_is_ahead(ministry: Ministry) -> None:
    """A fact from a clock that was years ahead: a leave that is withdrawn opens the mailbox now, not in those years."""
    accounts = freed(ministry)
    directory, now = ministry.server.population.directory, ministry.clock.now()
    ahead = Directory(directory.url, clock=ManualClock(now + timedelta(days=1000)))
    ahead.append_fact(ministry.leaver.mailbox_id, Draft(FactKind.QUOTA_SET, now, "test", "", None, {"octets": 1 << 30}))
    ahead.close()
    accounts.withdraw_leave(ministry.leaver, CENTRE, bring_back=lambda: ministry.reclaiming.bring_back(ministry.leaver, CENTRE))
    assert accounts.state_of(ministry.leaver).states == {MailboxState.ACTIVE}


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
