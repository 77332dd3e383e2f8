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
from mic_mail.policy.requests import Filing, Item, RequestChannel, RequestKind
from mic_mail.services.compliance.collect import gather
from mic_mail.services.compliance.finding import Records
from mic_mail.services.reports.usage import Usage
from mic_mail.storage.backup.format import examine
from mic_mail.storage.local_mailstore import LocalMailStore
from regulation.lifecycle_commands import ADDRESS, LifecycleConsole


@pytest.fixture
def console(tmp_path: Path) -> LifecycleConsole:
    return LifecycleConsole(tmp_path)


def test_notices_are_listed_and_shown(console: LifecycleConsole) -> None:
    """Every one by its clause; a preview in both languages, and as the message that would be sent."""
    rows = console.json("notice", "list")
    assert [row["name"] for row in rows] == list(CATALOGUE)
    shown = console.json("notice", "preview", "suspended")
    assert "bị tạm khóa" in shown["vi"]
    assert "has been suspended" in shown["en"]
    message = email.message_from_string(console.done("notice", "preview", "suspended", "--eml"), policy=email.policy.default)
    assert message["Auto-Submitted"] == "auto-generated"
    console.refused("notice", "preview", "no_such", code=2)
    replies = {row["name"]: row for row in console.json("notice", "list", "--replies")}
    assert "vượt mức tối đa {limit} MB/thư điện tử theo điểm b khoản 3 Điều 8" in replies["smtp.attachments-too-large"]["vi"]
    assert console.json("notice", "preview", "smtp.marked-secret")["code"] == "550 5.7.1"
    console.refused("notice", "preview", "smtp.marked-secret", "--eml", code=2)


def test_what_is_due(console: LifecycleConsole) -> None:
    """What the clock does within the days, by which clause; overdue items come first, with what they wait for."""
    leaves = add_days(local_day(SystemClock().now()), 5)
    console.done("mailbox", "leave", ADDRESS, f"{leaves:%d/%m/%Y}", "--cause", "retired", "--document", "5/QĐ")
    rows = console.json("mailbox", "due", "--within", "10")
    assert [(row["deed"], row["clause"], row["overdue"]) for row in rows] == [("send_lock", "6.4.c", False)]
    assert [row["deed"] for row in console.json("mailbox", "due", "--within", "400")] == [
        "send_lock",
        "suspend",
        "reclaim",
    ]
    console.reclaim(40, warned=False)
    rows = console.json("mailbox", "due")
    assert (rows[0]["deed"], rows[0]["overdue"], rows[0]["why"]["en"]) == ("free", True, "no warning was sent")
    assert "no warning was sent" in console.done("mailbox", "due")


@pytest.mark.clause("6.4.c")
def test_a_notice_that_is_due_is_named_in_the_readers_language(console: LifecycleConsole) -> None:
    """A warning that nobody sent, in the words of `notice list`."""
    left_on = add_days(add_months(local_day(SystemClock().now()), -6), 5)
    directory = console.directory(99)
    left = Draft(FactKind.LEFT, start_of(left_on), "test", data={"level": "division", "cause": "retired"})
    directory.append_fact(directory.mailbox(ADDRESS).mailbox_id, left)
    directory.close()
    rows = console.json("mailbox", "due", "--within", "0")
    assert [row["why"] for row in rows if row["deed"] == "notice"] == [{"vi": "hộp thư sắp bị thu hồi", "en": "reclaim ahead"}]
    assert "hộp thư sắp bị thu hồi" in console.done("--lang", "vi", "mailbox", "due")


@pytest.mark.clause("6.3")
def test_a_contract_that_was_renewed(console: LifecycleConsole) -> None:
    """The new one counts, entered by hand or stated by the request; until then the refusal says what to do."""
    today = local_day(SystemClock().now())
    old = ("--contract-from", f"{add_days(today, -800):%d/%m/%Y}", "--contract-until", f"{add_days(today, -400):%d/%m/%Y}")
    begins, ends = add_days(today, -10), add_days(today, 500)
    new = ("--contract-from", f"{begins:%d/%m/%Y}", "--contract-until", f"{ends:%d/%m/%Y}")
    for name in ("Trần Văn An", "Lê Thị Cúc"):
        console.done("person", "add", name, "--unit", "CNTT", "--employment", "contract", *old)
    console.refused("mailbox", "issue", "--person", "2", "--document", "13/CV", says="person employment")
    console.refused("person", "employment", "2", "contract", "--contract-from", new[3], "--contract-until", new[1], code=2)
    console.done("person", "employment", "2", "contract", *new, "--document", "5/HĐ")
    told = console.json("person", "show", "2")
    assert (told["contract_until"], told["eligible"]) == (ends.isoformat(), True)
    console.done("mailbox", "issue", "--person", "2", "--document", "13/CV")
    acts = [json.loads(line) for path in console.config.log_dir.glob("audit-*.jsonl") for line in path.open()]
    (act,) = (act for act in acts if act["act"] == "person_employment")
    assert (act["subject"], act["person_id"], act["document"]) == ("Trần Văn An", 2, "5/HĐ")
    assert act["contract_until"] == ends.isoformat()
    assert add_days(today, -400).isoformat() in console.done("directory", "history", "--json"), "what it was before is kept"

    words = ("--unit", "CNTT", "--asked-by", "Hoa", "--document", "12/CV", "--name", "Lê Thị Cúc", "--position", "Chuyên viên")
    asked = console.json("request", "add", "issue", *words, "--employment", "hợp đồng", *new)
    approve = ("request", "approve", str(asked["request_id"]), "--person", "3")
    console.done(*approve, "--dry-run")
    assert console.json("person", "show", "3")["eligible"] is False
    assert console.json(*approve)["state"] == "done"
    assert console.json("person", "show", "3")["contract_from"] == begins.isoformat()


@pytest.mark.clause("6.3")
def test_a_request_that_is_refused_changes_no_employment(console: LifecycleConsole) -> None:
    """Nor one that is older than what the directory knows; and nobody but who has a contract has its days."""
    today = local_day(SystemClock().now())
    days = ("--contract-from", f"{add_days(today, -10):%d/%m/%Y}", "--contract-until", f"{add_days(today, 500):%d/%m/%Y}")
    before = console.json("person", "show", "1")
    words = ("--unit", "CNTT", "--asked-by", "Hoa", "--document", "12/CV", "--name", "Đỗ Văn Bê", "--position", "Chuyên viên")
    asked = console.json("request", "add", "issue", *words, "--employment", "hợp đồng", *days)
    console.refused("request", "approve", asked["request_id"], "--person", "1")
    assert console.json("person", "show", "1") == before
    console.refused("person", "employment", "1", "official", *days, code=2)


@pytest.mark.clause("6.3")
def test_a_contract_that_ended_while_its_request_waited(console: LifecycleConsole) -> None:
    """The refusal names both ways out: the new contract, which the directory is told of, or a refusal of the request."""
    today = local_day(SystemClock().now())
    items = {
        Item.POSITION: "Chuyên viên",
        Item.EMPLOYMENT: "contract",
        Item.CONTRACT_FROM: add_days(today, -800).isoformat(),
        Item.CONTRACT_UNTIL: add_days(today, -1).isoformat(),
    }
    directory, received = console.directory(30), console.clock_of(30).now()
    for name in ("Trần Văn An", "Lê Thị Cúc"):
        filing = Filing(RequestKind.ISSUE, RequestChannel.LETTER, "Hoa", 1, received, "12/CV", items={Item.NAME: name, **items})
        directory.requests.add(filing, "test", received)
    directory.close()

    known = len(console.json("person", "list"))
    console.refused("request", "approve", "1", says=("The contract ended on", "mic-mail.toml request refuse 1"))
    assert len(console.json("person", "list")) == known
    console.refused("--lang", "vi", "request", "approve", "1", says="ghi yêu cầu mới")
    console.done("request", "refuse", "1", "--reason", "hết hợp đồng")
    assert console.json("request", "show", "1")["state"] == "refused"

    old = [f"{date.fromisoformat(items[item]):%d/%m/%Y}" for item in (Item.CONTRACT_FROM, Item.CONTRACT_UNTIL)]
    contract = ("--employment", "contract", "--contract-from", old[0], "--contract-until", old[1])
    console.done("person", "add", "Lê Thị Cúc", "--unit", "CNTT", *contract)
    console.refused("request", "approve", "2")
    ours = f"mic-mail --config {console.file}"
    assert (
        f"{ours} person employment 2, {ours} request approve 2 --person 2; without one: {ours} request refuse 2" in console.err
    )
    ends = add_days(today, 500)
    new = ("--contract-from", f"{today:%d/%m/%Y}", "--contract-until", f"{ends:%d/%m/%Y}")
    console.done("person", "employment", "2", "contract", *new, "--document", "5/HĐ")
    assert console.json("request", "approve", "2", "--person", "2")["address"] == "ltcuc@mic.gov.vn"
    assert console.json("person", "show", "2")["contract_until"] == ends.isoformat()


def test_whoever_counts_makes_nothing(console: LifecycleConsole) -> None:
    """Reports look at what is there: of a mailbox that was freed no store is made anew (Reg. 6.4.c)."""
    console.reclaim(40, warned=False)
    console.done("mailbox", "free", ADDRESS, "--document", "9/QĐ", "--reason", "hết hạn", "--yes")
    folder = console.file.parent
    for words in (
        ("census", "make", "--unit", "CNTT", "--out", str(folder / "ky")),
        ("report", "usage", "--out", str(folder / "bao-cao.html")),
        ("report", "unanswered"),
    ):
        console.done(*words)
        assert not (console.config.mail_root / "mic.gov.vn/dvbe").exists(), words
    console.done("backup", folder / "backup")
    (archive,) = console.json("archive", "list")
    assert examine(folder / "backup" / "archive" / archive["archive"]) == (archive["messages"], archive["octets"])
    console.done("mailbox", "repair", "--check")
    for refused in (
        ("mailbox", "repair", "--check", ADDRESS),
        ("backup", str(folder / "another"), ADDRESS),
        ("report", "unanswered", "--mailbox", ADDRESS),
    ):
        assert console.run(*refused) == 1, refused
        assert "its content is in the archive" in console.err
    assert not (console.config.mail_root / "mic.gov.vn/dvbe").exists()


def test_what_is_recorded_now_is_of_today(console: LifecycleConsole) -> None:
    """A fact from a clock that was years ahead lies before it: history, evidence and report name the day of the act."""
    today = local_day(SystemClock().now())
    ahead = console.directory(-1000)
    ahead.append_fact(ahead.mailbox(ADDRESS).mailbox_id, Draft(FactKind.PASSWORD_SET, ahead.facts(1)[0].effective_at, "person"))
    ahead.close()
    for act, words in (("suspend", ("--cause", "c")), ("hold", ())):
        console.done("mailbox", act, ADDRESS, *words, "--reason", "x", "--document", "5/CV")
    console.done("mailbox", "leave", ADDRESS, f"{today:%d/%m/%Y}", "--cause", "moved", "--document", "5/QĐ")
    shown = console.json("mailbox", "show", ADDRESS)["facts"]
    assert all(fact["recorded_at"] < (add_days(today, 2)).isoformat() for fact in shown if fact["kind"] != "password_set")
    config, clock, directory = console.config, SystemClock(), console.directory(0)
    found = gather(Records(directory, config, clock))
    for clause, name in (("6.4.c", "leaves"), ("7.2.c", ""), ("9.2", "mailboxes under a legal hold")):
        last = [finding.at for finding in found[clause] if name in finding.what.en and finding.at is not None]
        assert last, clause
        assert max(last) < clock.now() + timedelta(days=1), clause
    store = LocalMailStore(config.mail_root, clock=clock, host="test")
    table = Usage(directory, store, config, clock, DateRange(today, today))._events(list(directory.load_snapshot()))
    assert sum(row[1] for row in table.rows[:-2] if isinstance(row[1], int)) >= 2
    store.close()
    directory.close()


def test_the_clock(console: LifecycleConsole) -> None:
    """Confirmed with a reason, on record; a mark far away is not trusted."""
    mark = console.config.state_dir / "clock.mark"
    mark.parent.mkdir(exist_ok=True)
    mark.write_text("2020-01-01T00:00:00+00:00\n")
    assert console.json("clock", "show")["trusted"] is False
    console.refused("clock", "confirm", code=2)
    console.done("clock", "confirm", "--reason", "máy chủ ngừng để nâng cấp")
    assert "The clock is trusted." in console.err
    assert console.json("clock", "show")["trusted"] is True


def test_no_act_under_a_clock_that_is_wrong(console: LifecycleConsole) -> None:
    """Of a clock that this very boot contradicts by more than an hour an act says so, and does and records nothing."""
    mark, clock = console.config.state_dir / "clock.mark", SystemClock()
    mark.parent.mkdir(exist_ok=True)
    act = ("mailbox", "suspend", ADDRESS, "--cause", "c", "--reason", "x", "--document", "5/CV")
    mark.write_text(f"{(clock.now() - timedelta(days=400)).isoformat()}\nboot={clock.boot_id}@{clock.boottime()}\n")
    audit = Audit(console.config.log_dir, clock=clock)
    before = list(audit.acts())
    console.refused(*act, says="nothing was done or recorded")
    assert list(audit.acts()) == before
    console.done("clock", "confirm", "--reason", "đồng hồ đúng")
    console.done(*act)


def test_what_a_false_clock_recorded(console: LifecycleConsole) -> None:
    """Facts and acts that lie ahead of now, or of what was recorded after them, are listed; others are not."""
    directory = console.directory(-20)
    mailbox_id = directory.mailbox(ADDRESS).mailbox_id
    directory.append_fact(mailbox_id, Draft(FactKind.SUSPENDED, directory.facts(mailbox_id)[0].effective_at, "server"))
    directory.close()
    Audit(console.config.log_dir, clock=ManualClock(SystemClock().now() + timedelta(days=20))).record(
        actor="mai", act="mailbox_hold", subject=ADDRESS
    )
    listed = console.json("clock", "records")
    assert [(row["what"], row["subject"]) for row in listed] == [("suspended", ADDRESS), ("mailbox_hold", ADDRESS)]
    assert all(row["recorded_at"] > SystemClock().now().isoformat() for row in listed)
    assert "suspended" in console.done("clock", "records")


def test_ranks_of_the_ministry(console: LifecycleConsole) -> None:
    """Reg. 6.4.c: a position that the table of the Centre has is known; any other is asked for."""
    console.done("person", "add", "Phạm Giám Đốc", "--unit", "CNTT", "--position", "Giám đốc")
    console.done("position", "set", "Giám đốc Trung tâm Thông tin", "department", "--document", "6/QĐ")
    added = json.loads(
        console.done("person", "add", "An", "--unit", "CNTT", "--position", "giám đốc Trung tâm Thông tin", "--json")
    )
    assert added["level"] == "department"
    assert console.json("person", "show", "2")["level"] is None
