"""`mic-mail mailbox reclaimed`: freed, brought back, held and archived, also two acts in the same moment."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mic_mail.clock import SystemClock
from mic_mail.directory.records import RECORD_CHANGED, MailboxRecord, Superseded
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.due_notices import recorded_key
from mic_mail.policy.facts import Draft, Fact, FactKind
from mic_mail.services.mailboxes.issue import Issuing
from mic_mail.services.mailboxes.legal_holds import Holds
from mic_mail.services.mailboxes.reclamation import Finished, Reclaimed, Reclaiming
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.account import Account
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import RepairReport
from regulation.lifecycle_commands import ADDRESS, LifecycleConsole


@pytest.fixture
def console(tmp_path: Path) -> LifecycleConsole:
    return LifecycleConsole(tmp_path)


def test_a_reclaimed_mailbox_by_hand(console: LifecycleConsole) -> None:
    """Freed by a document only, never before its days are over; brought back from its archive; the archive dropped."""
    console.refused("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "x", "--yes")
    console.reclaim(20)
    console.refused(
        "mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "x", "--yes", says="its retention is not over"
    )
    console.refused("archive", "drop", ADDRESS, "--document", "9/QĐ", "--yes")
    again = console.json("mailbox", "restore-reclaimed", ADDRESS, "--reason", "nhầm")
    assert (again["address"], again["from_archive"]) == (ADDRESS, False)
    assert console.json("archive", "list")[0]["stage"] == "issued-again"
    console.done("archive", "drop", ADDRESS, "--document", "9/QĐ", "--yes")
    assert console.json("archive", "list") == []


def test_freed_and_brought_back(console: LifecycleConsole) -> None:
    """What no round may free an operator does, by the document; the mail comes back with the mailbox."""
    console.reclaim(40, warned=False)
    home = console.config.mail_root / "mic.gov.vn/dvbe"
    assert home.is_dir()
    console.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    assert not home.exists()
    (listed,) = console.json("archive", "list")
    assert (listed["stage"], listed["messages"]) == ("freed", 1)
    again = console.json("mailbox", "restore-reclaimed", ADDRESS, "--reason", "quay lại")
    assert again["from_archive"] is True
    assert home.is_dir()
    kinds = [fact["kind"] for fact in console.json("mailbox", "show", ADDRESS)["facts"]]
    assert kinds == ["issued", "reclaimed", "archived", "freed", "unarchived", "issued"]
    assert console.json("mailbox", "repair", ADDRESS, "--check") == []
    acts = [json.loads(line)["act"] for path in console.config.log_dir.glob("audit-*.jsonl") for line in path.open()]
    assert acts[-2:] == ["mailbox_free", "mailbox_restore_reclaimed"]


def test_a_request_for_a_freed_mailbox(console: LifecycleConsole) -> None:
    """Reg. 6.2: approved, it is issued again with its mail; a rehearsal brings nothing back."""
    console.reclaim(40, warned=False)
    home = console.config.mail_root / "mic.gov.vn/dvbe"
    console.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    words = ("--unit", "CNTT", "--asked-by", "Hoa", "--document", "12/CV", "--name", "Đỗ Văn Bê", "--position", "Chuyên viên")
    asked = console.json("request", "add", "issue", *words, "--employment", "công chức")
    approve = ("request", "approve", str(asked["request_id"]), "--person", "1")
    console.done(*approve, "--dry-run")
    assert not home.exists()
    config = console.config
    store = LocalMailStore(config.mail_root, clock=console.clock_of(1), host="test")
    directory = console.directory(1)
    Notices(store, config, console.clock_of(1)).welcome(directory.mailbox(ADDRESS))  # what no archive has
    store.close()
    directory.close()
    done = console.json(*approve)
    assert (done["state"], done["address"], done["before"]) == ("done", ADDRESS, False)
    assert "dvbe.replaced-" in console.err
    assert home.is_dir()
    kinds = [fact["kind"] for fact in console.json("mailbox", "show", ADDRESS)["facts"]]
    assert kinds[-3:] == ["freed", "unarchived", "issued"]


class Killed(BaseException):
    """No more of the process runs."""


@pytest.mark.parametrize("how", ["killed", "superseded", "restored twice"])
def test_a_request_that_ends_before_the_issue_is_not_done(
    console: LifecycleConsole, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Reg. 6.2: the mail is back, the mailbox is not: approved again, it is issued, and the password is shown."""
    console.reclaim(40, warned=False)
    console.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    words = ("--unit", "CNTT", "--asked-by", "Hoa", "--document", "12/CV", "--name", "Đỗ Văn Bê", "--position", "Chuyên viên")
    asked = console.json("request", "add", "issue", *words, "--employment", "công chức")
    approve = ("request", "approve", str(asked["request_id"]), "--person", "1", "--json")

    def ends(*_: object, **__: object) -> None:
        raise Superseded(RECORD_CHANGED) if how == "superseded" else Killed

    with monkeypatch.context() as patch:
        patch.setattr(Directory, "set_credential", ends)
        with suppress(Killed):
            console.refused(*approve)
    if how == "restored twice":  # it lacks a message of the archive, and has another
        next((console.config.mail_root / "mic.gov.vn/dvbe/Maildir/cur").iterdir()).unlink()
        console.deliver()
    done = json.loads(console.done(*approve))
    assert (done["state"], done["address"], done["before"]) == ("done", ADDRESS, False)
    assert done["password"]
    shown = console.json("mailbox", "show", ADDRESS)
    kinds = [fact["kind"] for fact in shown["facts"]]
    returns = ["unarchived"] * (2 if how == "restored twice" else 1)
    assert kinds == ["issued", "reclaimed", "archived", "freed", *returns, "issued"]
    assert json.loads(console.done(*approve))["before"] is True


def test_a_mailbox_that_stays(console: LifecycleConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Freed by hand while something came into it: the command says that it is still there."""
    console.reclaim(40, warned=False)
    monkeypatch.setattr(Reclaiming, "finish", lambda self, entry: Finished.NOT_IN_ARCHIVE)
    console.refused("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    assert "was deleted" not in console.err + console.out
    assert "it stays as it is" in console.err + console.out


def test_a_mailbox_that_is_held_in_the_moment_in_which_it_is_freed(
    console: LifecycleConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reg. 9.2: it stays, and the command says so; brought back, what was held lies aside, where the command says."""
    console.reclaim(40, warned=False)
    home, free = console.config.mail_root / "mic.gov.vn/dvbe", Reclaiming.free

    def held(self: Reclaiming, found: Reclaimed, *words: Any, **named: Any) -> Fact | None:
        fact = free(self, found, *words, **named)
        Holds(self._directory, self._store, self._clock).hold(
            self._directory.mailbox(ADDRESS), ActContext("mai", "x", "8/CQĐT")
        )
        return fact

    monkeypatch.setattr(Reclaiming, "free", held)
    console.refused("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    assert "was deleted" not in console.err + console.out
    assert "it has just been placed under a hold or a handover" in console.err
    assert console.letters(home) == 1
    console.done("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x")
    (aside,) = home.parent.glob("dvbe.replaced-*")
    name = f"mic.gov.vn/{aside.name}"
    assert name in console.err
    assert (console.letters(home), console.letters(aside)) == (1, 1)
    assert console.json("mailbox", "set-aside", ADDRESS) == [{"address": ADDRESS, "name": name}]
    console.done("mailbox", "set-aside", ADDRESS, name, "--copy", str(console.config.server.data_dir / "copy"))
    assert console.letters(console.config.server.data_dir / "copy") == 1
    console.refused("mailbox", "set-aside", ADDRESS, name, "--delete", "--yes")  # held
    console.done("mailbox", "release-hold", ADDRESS, "--document", "9/CQĐT", "--reason", "x")
    console.done("mailbox", "set-aside", ADDRESS, name, "--delete", "--yes")
    assert console.json("mailbox", "set-aside", ADDRESS) == []
    console.refused("mailbox", "set-aside", ADDRESS, name, "--delete", "--yes", code=2)  # deleted already


def test_a_mailbox_that_is_brought_back_in_the_moment_in_which_it_is_freed(
    console: LifecycleConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command does not say that it is deleted: it is not."""
    console.reclaim(40, warned=False)
    home, finish = console.config.mail_root / "mic.gov.vn/dvbe", Reclaiming.finish

    def issued(self: Reclaiming, entry: Entry) -> Finished:
        monkeypatch.setattr(Reclaiming, "finish", finish)
        console.restore()
        return self.finish(entry)

    monkeypatch.setattr(Reclaiming, "finish", issued)
    console.refused("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    assert "was deleted" not in console.err + console.out
    assert "it has just been issued again" in console.err
    assert console.letters(home) == 1


@pytest.mark.parametrize("stage", ["freed", "returning"])
def test_two_bring_the_same_mailbox_back_at_once(
    console: LifecycleConsole, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """One does; the other, who still copies then, is told that the record has changed, and puts no live mail aside."""
    console.reclaim(40, warned=False)
    console.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    home, restore = console.config.mail_root / "mic.gov.vn/dvbe", Account.restore
    if stage == "returning":  # killed before anything was in its place
        directory = console.directory(0)
        directory.append_fact(1, Draft(FactKind.UNARCHIVED, console.clock_of(0).now(), "mai"))
        directory.close()

    def faster(self: Account, source: Path, **named: Any) -> RepairReport:
        monkeypatch.setattr(Account, "restore", restore)
        console.restore()
        console.deliver()
        return restore(self, source, **named)

    monkeypatch.setattr(Account, "restore", faster)
    console.refused("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x")
    assert console.letters(home) == 2
    assert [console.letters(aside) for aside in home.parent.glob("dvbe.replaced-*")] == [0]
    assert "has just changed" in console.err
    shown = console.json("mailbox", "show", ADDRESS)
    assert [fact["kind"] for fact in shown["facts"]][-2:] == ["unarchived", "issued"]


@pytest.mark.parametrize("way", ["restore-reclaimed", "approve"])
def test_a_mailbox_that_is_freed_in_the_moment_in_which_it_is_brought_back(
    console: LifecycleConsole, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """It comes back from the archive after all, and the answer says that it did."""
    console.reclaim(40)
    home, issue_again = console.config.mail_root / "mic.gov.vn/dvbe", Issuing.issue_again

    def freed(self: Issuing, *words: Any, **named: Any) -> MailboxRecord:
        monkeypatch.setattr(Issuing, "issue_again", issue_again)
        store = LocalMailStore(console.config.mail_root, clock=SystemClock(), host="test")
        reclaiming = Reclaiming(self._directory, store, console.config, SystemClock())
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
        asked = console.json("request", "add", "issue", *words, "--employment", "công chức")
        console.done("request", "approve", asked["request_id"], "--person", "1")
    else:
        told = console.json("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x")
    assert console.letters(home) == 1
    shown = console.json("mailbox", "show", ADDRESS)
    assert [fact["kind"] for fact in shown["facts"]][-3:] == ["freed", "unarchived", "issued"]
    assert told["from_archive"] is True


@pytest.mark.clause("6.2")
def test_a_reclaim_of_a_clock_that_was_ahead_is_withdrawn(console: LifecycleConsole) -> None:
    """By a command with its reason, before its time comes; both facts stay on record, and the chain holds."""
    console.clock = console.clock_of(-19)
    console.done("mailbox", "reclaim", ADDRESS, "--reason", "giải thể")
    console.clock = None
    (found,) = [row for row in console.json("clock", "records") if row["fact"] is not None]
    assert found["what"] == "reclaimed"
    withdraw = ("mailbox", "reclaim", ADDRESS, "--withdraw")
    console.refused(*withdraw, code=2)
    console.done(*withdraw, "--reason", "đồng hồ chạy trước")
    assert "is withdrawn" in console.err
    shown = console.json("mailbox", "show", ADDRESS)
    assert [fact["kind"] for fact in shown["facts"]][-2:] == ["reclaimed", "reclaim_withdrawn"]
    console.refused(*withdraw, "--reason", "lần nữa")
    console.done("directory", "check")


def test_an_archive_whose_mail_is_back_is_not_dropped(console: LifecycleConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the mailbox was issued: neither a drop nor a deletion says that the mail is gone, which is there."""
    console.reclaim(40, warned=False)
    console.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")

    def killed(self: Issuing, *words: Any, **named: Any) -> MailboxRecord:
        raise BadInput(Text("x", "x"))

    home, issue_again = console.config.mail_root / "mic.gov.vn/dvbe", Issuing.issue_again
    monkeypatch.setattr(Issuing, "issue_again", killed)
    console.refused("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x", code=2)
    monkeypatch.setattr(Issuing, "issue_again", issue_again)
    console.refused(
        "archive", "drop", ADDRESS, "--document", "9/QĐ", "--yes", says=("is back in the mailbox", "restore-reclaimed")
    )
    console.refused("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "x", "--yes", says="is being restored")
    assert len(console.json("archive", "list")) == 1
    console.done("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x")
    console.done("archive", "drop", ADDRESS, "--document", "9/QĐ", "--yes")
    assert console.letters(home) == 1


def test_an_archive_whose_mail_is_not_back_is_dropped(console: LifecycleConsole) -> None:
    """A document that says so ends what was begun; an empty mailbox can be issued then."""
    console.reclaim(40, warned=False)
    console.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    directory = console.directory(0)
    directory.append_fact(1, Draft(FactKind.UNARCHIVED, console.clock_of(0).now(), "mai"))
    directory.close()
    console.done("archive", "drop", ADDRESS, "--document", "9/QĐ", "--yes")
    console.refused("mailbox", "restore-reclaimed", ADDRESS, "--reason", "x", says="nothing can be restored")
    console.done("mailbox", "issue", "--person", "1", "--document", "13/CV")


def test_a_leave_is_withdrawn_after_the_mailbox_was_freed(console: LifecycleConsole) -> None:
    """Its mail comes back with the command; an issue, which would bring none, is refused and names the one that does."""
    early = console.directory(90)
    person = early.mailbox(ADDRESS).mailbox_id
    early.append_fact(person, Draft(FactKind.LEFT, console.clock_of(300).now(), "test", "", "1/QĐ", {"level": "division"}))
    early.close()
    directory, clock = console.directory(40), console.clock_of(40)
    store = LocalMailStore(console.config.mail_root, clock=clock, host="test")
    reclaiming = Reclaiming(directory, store, console.config, clock)
    directory.sent.put([recorded_key(person, reclaiming.archive(reclaiming.of(directory.mailbox(ADDRESS))))], clock.now())
    store.close()
    directory.close()
    console.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    console.refused("mailbox", "issue", "--person", "1", "--document", "13/CV", says="restore-reclaimed")
    console.done("mailbox", "leave", ADDRESS, "--withdraw", "--reason", "nhầm người")
    assert "is open again" in console.err + console.out
    shown = console.json("mailbox", "show", ADDRESS)
    assert [fact["kind"] for fact in shown["facts"]][-3:] == ["freed", "unarchived", "leave_withdrawn"]
    assert (console.config.mail_root / "mic.gov.vn/dvbe").is_dir()
    assert console.json("mailbox", "repair", ADDRESS, "--check") == []
