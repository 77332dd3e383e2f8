"""`mic-mail mailbox reclaimed`: freed, brought back, held and archived, also two acts in the same moment."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mic_mail.cli.main import main
from mic_mail.clock import SystemClock
from mic_mail.directory.records import RECORD_CHANGED, MailboxRecord, Superseded
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import BadInput, Text
from mic_mail.policy.due_notices import recorded_key
from mic_mail.policy.facts import Draft, Fact, FactKind
from mic_mail.services.mailboxes.credentials import ActContext
from mic_mail.services.mailboxes.issue import Issuing
from mic_mail.services.mailboxes.legal_holds import Holds
from mic_mail.services.mailboxes.reclamation import Finished, Reclaimed, Reclaiming
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.account import Account
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import RepairReport
from regulation.lifecycle_commands import ADDRESS, Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_a_reclaimed_mailbox_by_hand(desk: Desk) -> None:
    """Freed by a document only, never before its days are over; brought back from its archive; the archive dropped."""
    assert desk.run("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "x", "--yes") == 1
    desk.reclaim(20)
    assert desk.run("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "x", "--yes") == 1
    assert "its retention is not over" in desk.err
    assert desk.run("archive", "drop", ADDRESS, "--document", "9/QĐ", "--yes") == 1
    again = json.loads(desk.done("mailbox", "restore-reclaimed", ADDRESS, "--reason", "nhầm", "--json"))
    assert (again["address"], again["from_archive"]) == (ADDRESS, False)
    assert json.loads(desk.done("archive", "list", "--json"))[0]["stage"] == "issued-again"
    desk.done("archive", "drop", ADDRESS, "--document", "9/QĐ", "--yes")
    assert json.loads(desk.done("archive", "list", "--json")) == []


def test_freed_and_brought_back(desk: Desk) -> None:
    """What no round may free an operator does, by the document; the mail comes back with the mailbox."""
    desk.reclaim(40, warned=False)
    home = desk.config.mail_root / "mic.gov.vn/dvbe"
    assert home.is_dir()
    desk.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    assert not home.exists()
    (listed,) = json.loads(desk.done("archive", "list", "--json"))
    assert (listed["stage"], listed["messages"]) == ("freed", 1)
    again = json.loads(desk.done("mailbox", "restore-reclaimed", ADDRESS, "--reason", "quay lại", "--json"))
    assert again["from_archive"] is True
    assert home.is_dir()
    kinds = [fact["kind"] for fact in json.loads(desk.done("mailbox", "show", ADDRESS, "--json"))["facts"]]
    assert kinds == ["issued", "reclaimed", "archived", "freed", "unarchived", "issued"]
    assert json.loads(desk.done("mailbox", "repair", ADDRESS, "--check", "--json")) == []
    acts = [json.loads(line)["act"] for path in desk.config.log_dir.glob("audit-*.jsonl") for line in path.open()]
    assert acts[-2:] == ["mailbox_free", "mailbox_restore_reclaimed"]


def test_a_request_for_a_freed_mailbox(desk: Desk) -> None:
    """Reg. 6.2: approved, it is issued again with its mail; a rehearsal brings nothing back."""
    desk.reclaim(40, warned=False)
    home = desk.config.mail_root / "mic.gov.vn/dvbe"
    desk.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    words = ("--unit", "CNTT", "--asked-by", "Hoa", "--document", "12/CV", "--name", "Đỗ Văn Bê", "--position", "Chuyên viên")
    asked = json.loads(desk.done("request", "add", "issue", *words, "--employment", "công chức", "--json"))
    approve = ("request", "approve", str(asked["request_id"]), "--person", "1")
    desk.done(*approve, "--dry-run")
    assert not home.exists()
    config = desk.config
    store = MailStore(config.mail_root, clock=desk.clock(1), host="test")
    directory = desk.directory(1)
    Notices(store, config, desk.clock(1)).welcome(directory.mailbox(ADDRESS))  # what no archive has
    store.close()
    directory.close()
    done = json.loads(desk.done(*approve, "--json"))
    assert (done["state"], done["address"], done["before"]) == ("done", ADDRESS, False)
    assert "dvbe.replaced-" in desk.err
    assert home.is_dir()
    kinds = [fact["kind"] for fact in json.loads(desk.done("mailbox", "show", ADDRESS, "--json"))["facts"]]
    assert kinds[-3:] == ["freed", "unarchived", "issued"]


class Killed(BaseException):
    """No more of the process runs."""


@pytest.mark.parametrize("how", ["killed", "superseded", "restored twice"])
def test_a_request_that_ends_before_the_issue_is_not_done(desk: Desk, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Reg. 6.2: the mail is back, the mailbox is not: approved again, it is issued, and the password is shown."""
    desk.reclaim(40, warned=False)
    desk.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    words = ("--unit", "CNTT", "--asked-by", "Hoa", "--document", "12/CV", "--name", "Đỗ Văn Bê", "--position", "Chuyên viên")
    asked = json.loads(desk.done("request", "add", "issue", *words, "--employment", "công chức", "--json"))
    approve = ("request", "approve", str(asked["request_id"]), "--person", "1", "--json")

    def ends(*_: object, **__: object) -> None:
        raise Superseded(RECORD_CHANGED) if how == "superseded" else Killed

    with monkeypatch.context() as patch:
        patch.setattr(Directory, "set_credential", ends)
        with suppress(Killed):
            assert desk.run(*approve) == 1
    if how == "restored twice":  # it lacks a message of the archive, and has another
        next((desk.config.mail_root / "mic.gov.vn/dvbe/Maildir/cur").iterdir()).unlink()
        desk.deliver()
    done = json.loads(desk.done(*approve))
    assert (done["state"], done["address"], done["before"]) == ("done", ADDRESS, False)
    assert done["password"]
    shown = json.loads(desk.done("mailbox", "show", ADDRESS, "--json"))
    kinds = [fact["kind"] for fact in shown["facts"]]
    returns = ["unarchived"] * (2 if how == "restored twice" else 1)
    assert kinds == ["issued", "reclaimed", "archived", "freed", *returns, "issued"]
    assert json.loads(desk.done(*approve))["before"] is True


def test_a_mailbox_that_stays(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Freed by hand while something came into it: the command says that it is still there."""
    desk.reclaim(40, warned=False)
    monkeypatch.setattr(Reclaiming, "finish", lambda self, entry: Finished.NOT_IN_ARCHIVE)
    assert desk.run("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes") == 1
    assert "was deleted" not in desk.err + desk.out
    assert "it stays as it is" in desk.err + desk.out


def test_a_mailbox_that_is_held_in_the_moment_in_which_it_is_freed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reg. 9.2: it stays, and the command says so; brought back, what was held lies aside, where the command says."""
    desk.reclaim(40, warned=False)
    home, free = desk.config.mail_root / "mic.gov.vn/dvbe", Reclaiming.free

    def held(self: Reclaiming, found: Reclaimed, *words: Any, **named: Any) -> Fact | None:
        fact = free(self, found, *words, **named)
        Holds(self._directory, self._store, self._clock).hold(
            self._directory.mailbox(ADDRESS), ActContext("mai", "x", "8/CQĐT")
        )
        return fact

    monkeypatch.setattr(Reclaiming, "free", held)
    assert desk.run("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes") == 1
    assert "was deleted" not in desk.err + desk.out
    assert "it has just been placed under a hold or a handover" in desk.err
    assert desk.letters(home) == 1
    desk.done("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x")
    (aside,) = home.parent.glob("dvbe.replaced-*")
    assert str(aside) in desk.err
    assert (desk.letters(home), desk.letters(aside)) == (1, 1)


def test_a_mailbox_that_is_brought_back_in_the_moment_in_which_it_is_freed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command does not say that it is deleted: it is not."""
    desk.reclaim(40, warned=False)
    home, finish = desk.config.mail_root / "mic.gov.vn/dvbe", Reclaiming.finish

    def issued(self: Reclaiming, entry: Entry) -> Finished:
        monkeypatch.setattr(Reclaiming, "finish", finish)
        desk.restore()
        return self.finish(entry)

    monkeypatch.setattr(Reclaiming, "finish", issued)
    assert desk.run("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes") == 1
    assert "was deleted" not in desk.err + desk.out
    assert "it has just been issued again" in desk.err
    assert desk.letters(home) == 1


@pytest.mark.parametrize("stage", ["freed", "returning"])
def test_two_bring_the_same_mailbox_back_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    """One does; the other, who still copies then, is told that the record has changed, and puts no live mail aside."""
    desk.reclaim(40, warned=False)
    desk.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    home, restore = desk.config.mail_root / "mic.gov.vn/dvbe", Account.restore
    if stage == "returning":  # killed before anything was in its place
        directory = desk.directory(0)
        directory.append_fact(1, Draft(FactKind.UNARCHIVED, desk.clock(0).now(), "mai"))
        directory.close()

    def faster(self: Account, source: Path, **named: Any) -> RepairReport:
        monkeypatch.setattr(Account, "restore", restore)
        desk.restore()
        desk.deliver()
        return restore(self, source, **named)

    monkeypatch.setattr(Account, "restore", faster)
    assert desk.run("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x") == 1
    assert desk.letters(home) == 2
    assert [desk.letters(aside) for aside in home.parent.glob("dvbe.replaced-*")] == [0]
    assert "has just changed" in desk.err
    shown = json.loads(desk.done("mailbox", "show", ADDRESS, "--json"))
    assert [fact["kind"] for fact in shown["facts"]][-2:] == ["unarchived", "issued"]


@pytest.mark.parametrize("way", ["restore-reclaimed", "approve"])
def test_a_mailbox_that_is_freed_in_the_moment_in_which_it_is_brought_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """It comes back from the archive after all, and the answer says that it did."""
    desk.reclaim(40)
    home, issue_again = desk.config.mail_root / "mic.gov.vn/dvbe", Issuing.issue_again

    def freed(self: Issuing, *words: Any, **named: Any) -> MailboxRecord:
        monkeypatch.setattr(Issuing, "issue_again", issue_again)
        store = MailStore(desk.config.mail_root, clock=SystemClock(), host="test")
        reclaiming = Reclaiming(self._directory, store, desk.config, SystemClock())
        found = reclaiming.of(self._directory.mailbox(ADDRESS))
        reclaiming.free(found, clock_trusted=True)
        assert reclaiming.finish(found.entry) is Finished.GONE
        store.close()
        assert not home.exists()
        return issue_again(self, *words, **named)

    monkeypatch.setattr(Issuing, "issue_again", freed)
    told = {"from_archive": True}
    if way == "approve":
        words = (
            "--unit",
            "CNTT",
            "--asked-by",
            "Hoa",
            "--document",
            "12/CV",
            "--name",
            "Đỗ Văn Bê",
            "--position",
            "Chuyên viên",
        )
        asked = json.loads(desk.done("request", "add", "issue", *words, "--employment", "công chức", "--json"))
        desk.done("request", "approve", str(asked["request_id"]), "--person", "1")
    else:
        told = json.loads(desk.done("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x", "--json"))
    assert desk.letters(home) == 1
    shown = json.loads(desk.done("mailbox", "show", ADDRESS, "--json"))
    assert [fact["kind"] for fact in shown["facts"]][-3:] == ["freed", "unarchived", "issued"]
    assert told["from_archive"] is True


@pytest.mark.clause("6.2")
def test_a_reclaim_of_a_clock_that_was_ahead_is_withdrawn(desk: Desk) -> None:
    """By a command with its reason, before its time comes; both facts stay on record, and the chain holds."""
    assert main(["mailbox", "reclaim", ADDRESS, "--reason", "giải thể"], desk.clock(-19)) == 0
    (found,) = [row for row in json.loads(desk.done("clock", "records", "--json")) if row["fact"] is not None]
    assert found["what"] == "reclaimed"
    withdraw = ("mailbox", "reclaim", ADDRESS, "--withdraw")
    assert desk.run(*withdraw) == 2
    desk.done(*withdraw, "--reason", "đồng hồ chạy trước")
    assert "is withdrawn" in desk.err
    shown = json.loads(desk.done("mailbox", "show", ADDRESS, "--json"))
    assert [fact["kind"] for fact in shown["facts"]][-2:] == ["reclaimed", "reclaim_withdrawn"]
    assert desk.run(*withdraw, "--reason", "lần nữa") == 1
    desk.done("directory", "check")


def test_an_archive_whose_mail_is_back_is_not_dropped(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the mailbox was issued: neither a drop nor a deletion says that the mail is gone, which is there."""
    desk.reclaim(40, warned=False)
    desk.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")

    def killed(self: Issuing, *words: Any, **named: Any) -> MailboxRecord:
        raise BadInput(Text("x", "x"))

    home, issue_again = desk.config.mail_root / "mic.gov.vn/dvbe", Issuing.issue_again
    monkeypatch.setattr(Issuing, "issue_again", killed)
    assert desk.run("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x") == 2
    monkeypatch.setattr(Issuing, "issue_again", issue_again)
    assert desk.run("archive", "drop", ADDRESS, "--document", "9/QĐ", "--yes") == 1
    assert "is back in the mailbox" in desk.err
    assert "restore-reclaimed" in desk.err
    assert desk.run("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "x", "--yes") == 1
    assert "is being restored" in desk.err
    assert len(json.loads(desk.done("archive", "list", "--json"))) == 1
    desk.done("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x")
    desk.done("archive", "drop", ADDRESS, "--document", "9/QĐ", "--yes")
    assert desk.letters(home) == 1


def test_an_archive_whose_mail_is_not_back_is_dropped(desk: Desk) -> None:
    """A document that says so ends what was begun; an empty mailbox can be issued then."""
    desk.reclaim(40, warned=False)
    desk.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    directory = desk.directory(0)
    directory.append_fact(1, Draft(FactKind.UNARCHIVED, desk.clock(0).now(), "mai"))
    directory.close()
    desk.done("archive", "drop", ADDRESS, "--document", "9/QĐ", "--yes")
    assert desk.run("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x") == 1
    assert "nothing can be restored" in desk.err
    desk.done("mailbox", "issue", "--person", "1", "--document", "13/CV")


def test_a_leave_is_withdrawn_after_the_mailbox_was_freed(desk: Desk) -> None:
    """Its mail comes back with the command; an issue, which would bring none, is refused and names the one that does."""
    early = desk.directory(90)
    person = early.mailbox(ADDRESS).mailbox_id
    early.append_fact(person, Draft(FactKind.LEFT, desk.clock(300).now(), "test", "", "1/QĐ", {"level": "division"}))
    early.close()
    directory, clock = desk.directory(40), desk.clock(40)
    store = MailStore(desk.config.mail_root, clock=clock, host="test")
    reclaiming = Reclaiming(directory, store, desk.config, clock)
    directory.sent.put([recorded_key(person, reclaiming.archive(reclaiming.of(directory.mailbox(ADDRESS))))], clock.now())
    store.close()
    directory.close()
    desk.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    assert desk.run("mailbox", "issue", "--person", "1", "--document", "13/CV") == 1
    assert "restore-reclaimed" in desk.err
    desk.done("mailbox", "leave", ADDRESS, "--withdraw", "--reason", "nhầm người")
    assert "is open again" in desk.err + desk.out
    shown = json.loads(desk.done("mailbox", "show", ADDRESS, "--json"))
    assert [fact["kind"] for fact in shown["facts"]][-3:] == ["freed", "unarchived", "leave_withdrawn"]
    assert (desk.config.mail_root / "mic.gov.vn/dvbe").is_dir()
    assert json.loads(desk.done("mailbox", "repair", ADDRESS, "--check", "--json")) == []
