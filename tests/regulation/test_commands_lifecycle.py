"""Commands about staff life by the clock: what is due, notices, reclaimed mailboxes, archives, the clock."""

import email
import email.policy
import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock, SystemClock
from mic_mail.i18n.notices.catalogue import CATALOGUE
from mic_mail.log.audit import Audit
from mic_mail.policy.calendar import add_days, add_months, local_day, start_of
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.policy.requests import Channel, Filing, Item, Kind
from mic_mail.services.compliance.collect import gather
from mic_mail.services.compliance.finding import Records
from mic_mail.services.reports.usage import Usage
from mic_mail.storage.backup.backup import examine
from mic_mail.storage.mailstore import MailStore
from regulation.lifecycle_commands import ADDRESS, Desk


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


@pytest.mark.clause("6.4.c")
def test_a_notice_that_is_due_is_named_in_the_readers_language(desk: Desk) -> None:
    """A warning that nobody sent, in the words of `notice list`."""
    left_on = add_days(add_months(local_day(SystemClock().now()), -6), 5)
    directory = desk.directory(99)
    left = Draft(FactKind.LEFT, start_of(left_on), "test", data={"level": "division", "cause": "retired"})
    directory.append_fact(directory.mailbox(ADDRESS).mailbox_id, left)
    directory.close()
    rows = json.loads(desk.done("mailbox", "due", "--within", "0", "--json"))
    assert [row["why"] for row in rows if row["deed"] == "notice"] == [{"vi": "hộp thư sắp bị thu hồi", "en": "reclaim ahead"}]
    assert "hộp thư sắp bị thu hồi" in desk.done("--lang", "vi", "mailbox", "due")


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
    assert f"{ours} person employment 2, {ours} request approve 2 --person 2; without one: {ours} request refuse 2" in desk.err
    ends = add_days(today, 500)
    new = ("--contract-from", f"{today:%d/%m/%Y}", "--contract-until", f"{ends:%d/%m/%Y}")
    desk.done("person", "employment", "2", "contract", *new, "--document", "5/HĐ")
    assert json.loads(desk.done("request", "approve", "2", "--person", "2", "--json"))["address"] == "ltcuc@mic.gov.vn"
    assert json.loads(desk.done("person", "show", "2", "--json"))["contract_until"] == ends.isoformat()


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
