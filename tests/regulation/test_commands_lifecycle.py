"""Commands about staff life by the clock: what is due, notices, reclaimed mailboxes, archives, the clock."""

import email
import email.policy
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from mic_mail.cli.main import main
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.load import load
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import BadInput, Text
from mic_mail.i18n.notices.catalogue import CATALOGUE
from mic_mail.log.audit import Audit
from mic_mail.policy.calendar import add_days, local_day
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.due_notices import recorded_key
from mic_mail.policy.facts import Draft, Fact, FactKind
from mic_mail.policy.requests import Channel, Filing, Item, Kind
from mic_mail.services.compliance.collect import gather
from mic_mail.services.compliance.finding import Records
from mic_mail.services.mailboxes.credentials import ActContext
from mic_mail.services.mailboxes.issue import Issuing, Request
from mic_mail.services.mailboxes.legal_holds import Holds
from mic_mail.services.mailboxes.reclamation import Finished, Reclaimed, Reclaiming
from mic_mail.services.notifications.notices import Notices
from mic_mail.services.reports.usage import Usage
from mic_mail.storage.account import Account
from mic_mail.storage.backup.backup import examine
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import RepairReport
from population import credential

ADDRESS = "dvbe@mic.gov.vn"


class Desk:
    """The Centre's command line on a server that `init` made, with one mailbox."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.file = folder / "mic-mail.toml"
        for name, value in {"MIC_MAIL_CONFIG": str(self.file), "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": str(folder)}.items():
            patch.setenv(name, value)
        patch.setenv("COLUMNS", "1000")  # each row and each sentence on a line of its own
        self.err = ""
        self.out = ""
        self.done("init", "--yes", "--data-dir", str(folder / "data"), "--user", "")
        self.done("unit", "add", "CNTT", "Vụ Công nghệ thông tin", "--document", "1553/QĐ-BTTTT")
        self.done("person", "add", "Đỗ Văn Bê", "--unit", "CNTT")
        self.config = load(self.file)
        directory, clock = self.directory(100), self.clock(100)
        issuing = Issuing(directory, self.config, clock, credential)
        mailbox = issuing.issue_personal(directory.person(1), "first", Request(ActContext("test", "", "12/CV")))
        store = MailStore(self.config.mail_root, clock=clock, host="test")
        Notices(store, self.config, clock).welcome(mailbox)
        store.close()
        directory.close()

    def run(self, *words: str) -> int:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(list(words))
            out.flush()
        assert isinstance(out.buffer, io.BytesIO)
        self.out, self.err = out.buffer.getvalue().decode(), err.getvalue()
        return code

    def done(self, *words: str) -> str:
        assert self.run(*words) == 0, self.err
        return self.out

    def clock(self, days_ago: float) -> ManualClock:
        return ManualClock(SystemClock().now() - timedelta(days=days_ago))

    def directory(self, days_ago: float) -> Directory:
        """Facts through it are recorded so long ago."""
        return Directory(self.config.directory_url, clock=self.clock(days_ago))

    def restore(self) -> None:
        """Another administrator brings the mailbox back and issues it again."""
        directory, clock, origin = self.directory(0), self.clock(0), ActContext("mai", "x", "1/CV")
        store = MailStore(self.config.mail_root, clock=clock, host="other")
        mailbox = directory.mailbox(ADDRESS)
        fact = Reclaiming(directory, store, self.config, clock).bring_back(mailbox, origin)
        issuing = Issuing(directory, self.config, clock, credential)
        issuing.issue_again(mailbox, "again", Request(origin), bring_back=lambda _: fact)
        store.close()
        directory.close()

    def deliver(self) -> None:
        """One more letter."""
        store, directory = MailStore(self.config.mail_root, clock=self.clock(0), host="test"), self.directory(0)
        letter = CATALOGUE["suspended"].sample()
        Notices(store, self.config, self.clock(0)).deliver(directory.mailbox(ADDRESS), letter, origin="test:1")
        store.close()
        directory.close()

    def letters(self, home: Path) -> int:
        """How many lie in the store's inbox."""
        return len(list(home.glob("Maildir/cur/*")))

    def reclaim(self, days_ago: int, *, warned: bool = True) -> None:
        """Reclaimed on request and archived so many days ago, as the housekeeper does it."""
        directory = self.directory(days_ago)
        clock = self.clock(days_ago)
        mailbox = directory.mailbox(ADDRESS)
        directory.append_fact(mailbox.mailbox_id, Draft(FactKind.RECLAIMED, clock.now(), "test", "giải thể", "7/QĐ"))
        store = MailStore(self.config.mail_root, clock=clock, host="test")
        reclaiming = Reclaiming(directory, store, self.config, clock)
        fact = reclaiming.archive(reclaiming.of(mailbox))
        if warned:
            directory.sent.put([recorded_key(mailbox.mailbox_id, fact)], clock.now())
        store.close()
        directory.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_notices_are_listed_and_shown(desk: Desk) -> None:
    """Every one by its clause; a preview in both languages, and as the message that would be sent."""
    rows = json.loads(desk.done("notice", "list", "--json"))
    assert [row["name"] for row in rows] == list(CATALOGUE)
    shown = json.loads(desk.done("notice", "preview", "suspended", "--json"))
    assert "bị tạm khóa" in shown["vi"]
    assert "has been suspended" in shown["en"]
    message = email.message_from_string(desk.done("notice", "preview", "suspended", "--eml"), policy=email.policy.default)
    assert message["Auto-Submitted"] == "auto-generated"
    assert desk.run("notice", "preview", "no_such") == 2
    replies = {row["name"]: row for row in json.loads(desk.done("notice", "list", "--replies", "--json"))}
    assert "vượt mức tối đa {limit} MB/thư điện tử theo điểm b khoản 3 Điều 8" in replies["smtp.attachments-too-large"]["vi"]
    assert json.loads(desk.done("notice", "preview", "smtp.marked-secret", "--json"))["code"] == "550 5.7.1"
    assert desk.run("notice", "preview", "smtp.marked-secret", "--eml") == 2


def test_what_is_due(desk: Desk) -> None:
    """What the clock does within the days, by which clause; overdue items come first, with what they wait for."""
    leaves = add_days(local_day(SystemClock().now()), 5)
    desk.done("mailbox", "leave", ADDRESS, f"{leaves:%d/%m/%Y}", "--cause", "retired", "--document", "5/QĐ")
    rows = json.loads(desk.done("mailbox", "due", "--within", "10", "--json"))
    assert [(row["deed"], row["clause"], row["overdue"]) for row in rows] == [("send_lock", "6.4.c", False)]
    assert [row["deed"] for row in json.loads(desk.done("mailbox", "due", "--within", "400", "--json"))] == [
        "send_lock",
        "suspend",
        "reclaim",
    ]
    desk.reclaim(40, warned=False)
    rows = json.loads(desk.done("mailbox", "due", "--json"))
    assert (rows[0]["deed"], rows[0]["overdue"], rows[0]["why"]["en"]) == ("free", True, "no warning was sent")
    assert "no warning was sent" in desk.done("mailbox", "due")


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


@pytest.mark.clause("6.3")
def test_a_contract_that_was_renewed(desk: Desk) -> None:
    """The new one counts, entered by hand or stated by the request; until then the refusal says what to do."""
    today = local_day(SystemClock().now())
    old = ("--contract-from", f"{add_days(today, -800):%d/%m/%Y}", "--contract-until", f"{add_days(today, -400):%d/%m/%Y}")
    begins, ends = add_days(today, -10), add_days(today, 500)
    new = ("--contract-from", f"{begins:%d/%m/%Y}", "--contract-until", f"{ends:%d/%m/%Y}")
    for name in ("Trần Văn An", "Lê Thị Cúc"):
        desk.done("person", "add", name, "--unit", "CNTT", "--employment", "contract", *old)
    assert desk.run("mailbox", "issue", "--person", "2", "--document", "13/CV") == 1
    assert "person employment" in desk.err
    assert desk.run("person", "employment", "2", "contract", "--contract-from", new[3], "--contract-until", new[1]) == 2
    desk.done("person", "employment", "2", "contract", *new, "--document", "5/HĐ")
    told = json.loads(desk.done("person", "show", "2", "--json"))
    assert (told["contract_until"], told["eligible"]) == (ends.isoformat(), True)
    desk.done("mailbox", "issue", "--person", "2", "--document", "13/CV")
    acts = [json.loads(line) for path in desk.config.log_dir.glob("audit-*.jsonl") for line in path.open()]
    (act,) = (act for act in acts if act["act"] == "person_employment")
    assert (act["subject"], act["person_id"], act["document"]) == ("Trần Văn An", 2, "5/HĐ")
    assert act["contract_until"] == ends.isoformat()
    assert add_days(today, -400).isoformat() in desk.done("directory", "history", "--json"), "what it was before is kept"

    words = ("--unit", "CNTT", "--asked-by", "Hoa", "--document", "12/CV", "--name", "Lê Thị Cúc", "--position", "Chuyên viên")
    asked = json.loads(desk.done("request", "add", "issue", *words, "--employment", "hợp đồng", *new, "--json"))
    approve = ("request", "approve", str(asked["request_id"]), "--person", "3")
    desk.done(*approve, "--dry-run")
    assert json.loads(desk.done("person", "show", "3", "--json"))["eligible"] is False
    assert json.loads(desk.done(*approve, "--json"))["state"] == "done"
    assert json.loads(desk.done("person", "show", "3", "--json"))["contract_from"] == begins.isoformat()


@pytest.mark.clause("6.3")
def test_a_request_that_is_refused_changes_no_employment(desk: Desk) -> None:
    """Nor one that is older than what the directory knows; and nobody but who has a contract has its days."""
    today = local_day(SystemClock().now())
    days = ("--contract-from", f"{add_days(today, -10):%d/%m/%Y}", "--contract-until", f"{add_days(today, 500):%d/%m/%Y}")
    before = json.loads(desk.done("person", "show", "1", "--json"))
    words = ("--unit", "CNTT", "--asked-by", "Hoa", "--document", "12/CV", "--name", "Đỗ Văn Bê", "--position", "Chuyên viên")
    asked = json.loads(desk.done("request", "add", "issue", *words, "--employment", "hợp đồng", *days, "--json"))
    assert desk.run("request", "approve", str(asked["request_id"]), "--person", "1") == 1
    assert json.loads(desk.done("person", "show", "1", "--json")) == before
    assert desk.run("person", "employment", "1", "official", *days) == 2


@pytest.mark.clause("6.3")
def test_a_contract_that_ended_while_its_request_waited(desk: Desk) -> None:
    """The refusal names both ways out: the new contract, which the directory is told of, or a refusal of the request."""
    today = local_day(SystemClock().now())
    items = {
        Item.POSITION: "Chuyên viên",
        Item.EMPLOYMENT: "contract",
        Item.CONTRACT_FROM: add_days(today, -800).isoformat(),
        Item.CONTRACT_UNTIL: add_days(today, -1).isoformat(),
    }
    directory, received = desk.directory(30), desk.clock(30).now()
    for name in ("Trần Văn An", "Lê Thị Cúc"):
        filing = Filing(Kind.ISSUE, Channel.LETTER, "Hoa", 1, received, "12/CV", items={Item.NAME: name, **items})
        directory.requests.add(filing, "test", received)
    directory.close()

    known = len(json.loads(desk.done("person", "list", "--json")))
    assert desk.run("request", "approve", "1") == 1
    assert "The contract ended on" in desk.err
    assert "mic-mail.toml request refuse 1" in desk.err
    assert len(json.loads(desk.done("person", "list", "--json"))) == known
    assert desk.run("--lang", "vi", "request", "approve", "1") == 1
    assert "ghi yêu cầu mới" in desk.err
    desk.done("request", "refuse", "1", "--reason", "hết hợp đồng")
    assert json.loads(desk.done("request", "show", "1", "--json"))["state"] == "refused"

    old = [f"{date.fromisoformat(items[item]):%d/%m/%Y}" for item in (Item.CONTRACT_FROM, Item.CONTRACT_UNTIL)]
    contract = ("--employment", "contract", "--contract-from", old[0], "--contract-until", old[1])
    desk.done("person", "add", "Lê Thị Cúc", "--unit", "CNTT", *contract)
    assert desk.run("request", "approve", "2") == 1
    ours = f"mic-mail --config {desk.file}"
    assert f"{ours} person employment 2, {ours} request approve 2 --person 2; none: {ours} request refuse 2" in desk.err
    ends = add_days(today, 500)
    new = ("--contract-from", f"{today:%d/%m/%Y}", "--contract-until", f"{ends:%d/%m/%Y}")
    desk.done("person", "employment", "2", "contract", *new, "--document", "5/HĐ")
    assert json.loads(desk.done("request", "approve", "2", "--person", "2", "--json"))["address"] == "ltcuc@mic.gov.vn"
    assert json.loads(desk.done("person", "show", "2", "--json"))["contract_until"] == ends.isoformat()


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


def test_whoever_counts_makes_nothing(desk: Desk) -> None:
    """Reports look at what is there: of a mailbox that was freed no store is made anew (Reg. 6.4.c)."""
    desk.reclaim(40, warned=False)
    desk.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    folder = desk.file.parent
    for words in (
        ("census", "make", "--unit", "CNTT", "--out", str(folder / "ky")),
        ("report", "usage", "--out", str(folder / "bao-cao.html")),
        ("report", "unanswered"),
    ):
        desk.done(*words)
        assert not (desk.config.mail_root / "mic.gov.vn/dvbe").exists(), words
    desk.done("backup", str(folder / "backup"))
    (archive,) = json.loads(desk.done("archive", "list", "--json"))
    assert examine(folder / "backup" / "archive" / archive["archive"]) == (archive["messages"], archive["octets"])
    desk.done("mailbox", "repair", "--check")
    for refused in (
        ("mailbox", "repair", "--check", ADDRESS),
        ("backup", str(folder / "another"), ADDRESS),
        ("report", "unanswered", "--mailbox", ADDRESS),
    ):
        assert desk.run(*refused) == 1, refused
        assert "its content is in the archive" in desk.err
    assert not (desk.config.mail_root / "mic.gov.vn/dvbe").exists()


def test_what_is_recorded_now_is_of_today(desk: Desk) -> None:
    """A fact from a clock that was years ahead lies before it: history, evidence and report name the day of the act."""
    today = local_day(SystemClock().now())
    ahead = desk.directory(-1000)
    ahead.append_fact(ahead.mailbox(ADDRESS).mailbox_id, Draft(FactKind.PASSWORD_SET, ahead.facts(1)[0].effective_at, "person"))
    ahead.close()
    for act, words in (("suspend", ("--cause", "c")), ("hold", ())):
        desk.done("mailbox", act, ADDRESS, *words, "--reason", "x", "--document", "5/CV")
    desk.done("mailbox", "leave", ADDRESS, f"{today:%d/%m/%Y}", "--cause", "moved", "--document", "5/QĐ")
    shown = json.loads(desk.done("mailbox", "show", ADDRESS, "--json"))["facts"]
    assert all(fact["recorded_at"] < (add_days(today, 2)).isoformat() for fact in shown if fact["kind"] != "password_set")
    config, clock, directory = desk.config, SystemClock(), desk.directory(0)
    found = gather(Records(directory, config, clock))
    for clause, name in (("6.4.c", "leaves"), ("7.2.c", ""), ("9.2", "mailboxes under a legal hold")):
        last = [finding.at for finding in found[clause] if name in finding.what.en and finding.at is not None]
        assert last, clause
        assert max(last) < clock.now() + timedelta(days=1), clause
    store = MailStore(config.mail_root, clock=clock, host="test")
    table = Usage(directory, store, config, clock, DateRange(today, today))._events(list(directory.load_snapshot()))
    assert sum(row[1] for row in table.rows[:-2] if isinstance(row[1], int)) >= 2
    store.close()
    directory.close()


def test_the_clock(desk: Desk) -> None:
    """Confirmed with a reason, on record; a mark far away is not trusted."""
    mark = desk.config.state_dir / "clock.mark"
    mark.parent.mkdir(exist_ok=True)
    mark.write_text("2020-01-01T00:00:00+00:00\n")
    assert json.loads(desk.done("clock", "show", "--json"))["trusted"] is False
    assert desk.run("clock", "confirm") == 2
    desk.done("clock", "confirm", "--reason", "máy chủ ngừng để nâng cấp")
    assert "The clock is trusted." in desk.err
    assert json.loads(desk.done("clock", "show", "--json"))["trusted"] is True


def test_no_act_under_a_clock_that_is_wrong(desk: Desk) -> None:
    """Of a clock that this very boot contradicts by more than an hour an act says so, and does and records nothing."""
    mark, clock = desk.config.state_dir / "clock.mark", SystemClock()
    mark.parent.mkdir(exist_ok=True)
    act = ("mailbox", "suspend", ADDRESS, "--cause", "c", "--reason", "x", "--document", "5/CV")
    mark.write_text(f"{(clock.now() - timedelta(days=400)).isoformat()}\nboot={clock.boot_id}@{clock.boottime()}\n")
    audit = Audit(desk.config.log_dir, clock=clock)
    before = list(audit.acts())
    assert desk.run(*act) == 1
    assert "nothing was done or recorded" in desk.err
    assert list(audit.acts()) == before
    desk.done("clock", "confirm", "--reason", "đồng hồ đúng")
    desk.done(*act)


def test_what_a_false_clock_recorded(desk: Desk) -> None:
    """Facts and acts that lie ahead of now, or of what was recorded after them, are listed; others are not."""
    directory = desk.directory(-20)
    mailbox_id = directory.mailbox(ADDRESS).mailbox_id
    directory.append_fact(mailbox_id, Draft(FactKind.SUSPENDED, directory.facts(mailbox_id)[0].effective_at, "server"))
    directory.close()
    Audit(desk.config.log_dir, clock=ManualClock(SystemClock().now() + timedelta(days=20))).record(
        actor="mai", act="mailbox_hold", subject=ADDRESS
    )
    listed = json.loads(desk.done("clock", "records", "--json"))
    assert [(row["what"], row["subject"]) for row in listed] == [("suspended", ADDRESS), ("mailbox_hold", ADDRESS)]
    assert all(row["recorded_at"] > SystemClock().now().isoformat() for row in listed)
    assert "suspended" in desk.done("clock", "records")


def test_ranks_of_the_ministry(desk: Desk) -> None:
    """Reg. 6.4.c: a position that the table of the Centre has is known; any other is asked for."""
    desk.done("person", "add", "Phạm Giám Đốc", "--unit", "CNTT", "--position", "Giám đốc")
    desk.done("position", "set", "Giám đốc Trung tâm Thông tin", "department", "--document", "6/QĐ")
    added = json.loads(
        desk.done("person", "add", "An", "--unit", "CNTT", "--position", "giám đốc Trung tâm Thông tin", "--json")
    )
    assert added["level"] == "department"
    assert json.loads(desk.done("person", "show", "2", "--json"))["level"] is None
