"""The administrator's commands: results on stdout, remarks on stderr, exit codes 0, 1, 2.

A mailbox's life runs through the installed program; the many small questions go to its `main` within this process, which is
the same code without a second of start-up each.
"""

import json
from datetime import timedelta

import pytest

from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.load import load
from mic_mail.directory.repository import Directory
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.calendar import add_months, local_day
from mic_mail.policy.facts import Departure, Draft, FactKind
from mic_mail.services.mailboxes.issue import Ground, Issuing, make_verifiers
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle
from mic_mail.services.notifications.notices import Notices
from regulation.console import Console, defects, made


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """One server for this file: no test counts on what another has left, and none leaves what another would stumble over."""
    return made(tmp_path_factory.mktemp("console"))


@pytest.fixture
def fresh(tmp_path):
    """A server of the test's own."""
    return made(tmp_path)


def test_listings(fresh):
    """Units, people, mailboxes and aliases are listed for eyes and for programs, the same in both."""
    console = fresh
    assert console.json("unit", "list")[0]["symbol"] == "CNTT"
    assert [person["full_name"] for person in console.json("person", "list", "--unit", "CNTT")] == ["Đinh Vũ Bê", "Đỗ Văn Bê"]
    mailbox = console.json("mailbox", "list", "--kind", "personal")[0]
    assert (mailbox["address"], mailbox["states"]) == ("dvbe@mic.gov.vn", ["active", "password_due"])
    assert (mailbox["kind"], mailbox["kind_name"]) == ("personal", {"vi": "cá nhân", "en": "personal"})
    person = console.json("person", "list")[1]
    assert (person["level"], person["employment"]) == ("division", "civil_servant")
    assert (person["level_name"]["en"], person["employment_name"]["en"]) == ("division level and below", "civil servant")
    console.done("mailbox", "list")
    assert "password change due" in console.out
    assert console.json("unit", "show", "CNTT")["mailboxes"] == ["dvbe@mic.gov.vn"]
    assert console.json("person", "show", "1")["mailbox"] == "dvbe@mic.gov.vn"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, ("unit", "add", "--document", "1/CV", "A" * 500, "Đơn vị")),
        (2, ("unit", "add", "--document", "1/CV", "KHTC", "x" * 201)),
        (2, ("unit", "add", "--document", "1/CV", "KHTC", "  ")),
        (2, ("person", "add", "Bê " * 100, "--unit", "CNTT")),
        (2, ("mailbox", "issue", "--document", "1/CV", "--group", " ", "--sponsor", "CNTT", "--address", "nhom")),
        (1, ("mailbox", "issue", "--document", "1/CV", "--group", "Nhóm", "--sponsor", "CNTT", "--address", "n" * 65)),
        (2, ("person", "add", "Lê An", "--unit", "CNTT", "--contract-from", "01/03/2027", "--contract-until", "28/02/2027")),
    ],
)
def test_names_that_cannot_be(console, code, words):
    """Symbols and names that no address, folder or column could hold are refused before anything is stored."""
    assert console.run(*words) == code, console.err
    assert console.err.strip()


def test_the_password_is_shown_whatever_becomes_of_the_welcome(console):
    """A mailbox that is issued has told its first password, even where its store cannot be written: that is a remark."""
    home = console.folder / "data/mail/mic.gov.vn/banbientap"
    home.mkdir(parents=True)
    (home / "Maildir").write_text("no folder")
    issued = console.json("mailbox", "issue", "--document", "1/CV", "--group", "Ban biên tập", "--sponsor", "CNTT")
    assert issued["address"] == "banbientap@mic.gov.vn"
    assert len(issued["password"]) >= 16
    assert "the welcome could not be delivered: a file lies where a folder must be" in console.err


def test_a_defect_in_the_welcome_is_in_the_log_with_its_place(console, monkeypatch):
    """The mailbox is issued and the remark short; whoever looks for the defect finds the line that raised it."""

    def broken(_, mailbox):
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(Notices, "welcome", broken)
    issued = console.json("mailbox", "issue", "--document", "1/CV", "--group", "Ban liên lạc", "--sponsor", "CNTT")
    assert "the welcome could not be delivered: nobody foresaw this" in console.err
    told = defects(console.folder, "notice_failed", mailbox=issued["address"])
    assert [(event["notice"], event["error"]) for event in told] == [("welcome", "RuntimeError('nobody foresaw this')")]
    assert "in broken" in told[0]["where"]


@pytest.mark.clause("5.2")
def test_a_reserved_name_goes_to_no_group_unasked(fresh):
    """What a group is called does not make an address that belongs to a function; the Centre can choose one for it."""
    fresh.done("mailbox", "issue", "--document", "1/CV", "--group", "Ab Use", "--sponsor", "CNTT")
    assert "au@mic.gov.vn" in fresh.out
    fresh.refused("mailbox", "issue", "--document", "1/CV", "--group", "Root", "--sponsor", "CNTT", says="--address")
    assert fresh.json(
        "mailbox", "issue", "--document", "1/CV", "--group", "Hỗ trợ", "--sponsor", "CNTT", "--address", "support"
    )["mailbox_id"]


@pytest.mark.clause("5.4.b")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("An Đức Min", "admin is reserved for a function; free forms: minad"),
        ("Ý", "y is too short; free forms: y.cntt"),
        ("A" * 70, f"{'a' * 70} is too long. "),
        ("Đào Văn Bê", "dvbe is taken; free forms: bedv"),
    ],
)
def test_why_the_plain_form_cannot_be_had(fresh, name, told):
    """Taken, reserved, too short or too long: each is told as what it is, and nothing is offered where nothing fits."""
    person = fresh.json("person", "add", name, "--unit", "CNTT")["person_id"]
    fresh.refused("mailbox", "issue", "--document", "1/CV", "--person", person)
    assert told in " ".join(fresh.err.split())


def test_issuing_to_a_namesake(fresh):
    """Taken: refused with the clause and what may be chosen; the choice is issued with a password shown once."""
    console = fresh
    console.refused("mailbox", "issue", "--document", "1/CV", "--person", "2", says=("5.4.b", "bedv"))
    issued = console.json("mailbox", "issue", "--document", "1/CV", "--person", "2", "--address", "bedv")
    assert issued["address"] == "bedv@mic.gov.vn"
    assert len(issued["password"]) >= 16
    data = console.folder / "data"
    stored = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file() and "mail" not in path.parts[-3:])
    assert issued["password"].encode() not in stored


@pytest.fixture
def program(console):
    """The same server through the installed console script."""
    console.installed = True
    yield console
    console.installed = False


def figures(console, clause_id):
    """What `regulation show` says of today."""
    evidence = console.json("regulation", "show", clause_id)["evidence"]
    return {each["what"]["en"]: each["count"] for each in evidence}


@pytest.mark.slow
@pytest.mark.timeout(300)  # twenty programs that start, beside whatever else runs
def test_a_mailbox_through_its_life(program):
    """Suspended, left, restored: each act is a fact, each state is explained by its clause."""
    console = program
    bedv = "bedv@mic.gov.vn"
    console.json("mailbox", "issue", "--document", "1/CV", "--person", "2", "--address", "bedv")
    console.refused("mailbox", "suspend", bedv, "--cause", "b", "--reason", "x", says="7.2.b")
    before = figures(console, "7.2.c")["suspensions for hijacking, a leaked password, or spreading spam or malware"]
    console.done("mailbox", "suspend", bedv, "--cause", "c", "--reason", "lộ mật khẩu")
    assert figures(console, "7.2.c")["suspensions for hijacking, a leaked password, or spreading spam or malware"] == before + 1
    assert figures(console, "7.2.b")["suspensions for a breach"] == 0
    assert figures(console, "8.3.b")["mailboxes of less than 1 GB"] == 0
    left = local_day(SystemClock().now())
    last = add_months(left, 6)
    console.refused("mailbox", "leave", bedv, f"{left:%d/%m/%Y}")  # "Giám đốc": the rank is asked for
    assert console.run("mailbox", "leave", bedv, f"{left:%d/%m/%Y}", "--level", "division") == 1, "and so is the cause"
    assert "--cause" in console.err
    words = ("mailbox", "leave", bedv, f"{left:%d/%m/%Y}", "--level", "division", "--cause", "retired", "--document", "5/QĐ")
    console.done(*words)
    said = console.json("mailbox", "explain", bedv, "--at", f"{last:%d/%m/%Y} 23:59")["as_known_now"]
    assert said["states"] == ["password_due", "send_locked", "suspended"]
    change = said["next_change"]
    assert (change["at"], change["states"], change["clause"]) == (f"{last}T17:00:00Z", ["reclaimed"], "6.4.c")
    assert [reason["facts"] for reason in change["begins"]] == [[3]]
    reclaimed = console.json("mailbox", "explain", bedv, "--at", f"{last + timedelta(days=1)}")
    assert reclaimed["as_known_now"]["states"] == ["reclaimed"]
    before = console.json("mailbox", "explain", bedv, "--at", "2020-01-01")
    assert before["as_known_now"]["states"] == before["as_known_then"]["states"] == ["not_issued"]
    restored = console.json("mailbox", "restore", bedv, "--asked-by", "CNTT", "--channel", "fax")
    assert restored["states"] == ["password_due", "send_locked"]
    assert restored["state_names"]["en"] == "send-locked, password change due"
    facts = [fact["kind"] for fact in console.json("mailbox", "show", bedv)["facts"]]
    assert facts == ["issued", "suspended", "left", "restored"]
    console.done("--lang", "vi", "mailbox", "explain", bedv)
    assert "điểm c khoản 4 Điều 6 Quy chế" in console.out


def test_quota(console):
    """Upwards freely, downwards with a reason, never under 1 GiB; a size that makes no sense is a usage error."""
    console.done("mailbox", "quota", "dvbe@mic.gov.vn", "3 GiB")
    console.refused("mailbox", "quota", "dvbe@mic.gov.vn", "2 GiB")
    console.done("mailbox", "quota", "dvbe@mic.gov.vn", "2 GiB", "--reason", "dùng ít")
    console.refused("mailbox", "quota", "dvbe@mic.gov.vn", "1023 MiB", "--reason", "x", says="8.3.b")
    for size in ("much", "8000000TiB", "99999999999TiB"):
        console.refused("mailbox", "quota", "dvbe@mic.gov.vn", size, code=2)


def test_lock_absence_and_reclaim(console):
    """Locks by hand, absences and reclaims on request go in and show."""
    console.json("mailbox", "issue", "--document", "1/CV", "--group", "Đoàn thanh niên", "--sponsor", "CNTT")
    group = "doanthanhnien@mic.gov.vn"
    console.done("mailbox", "lock-sending", group, "--reason", "phát tán thư rác")
    assert "send_locked" in console.json("mailbox", "show", group)["states"]
    console.done("mailbox", "unlock-sending", group)
    console.done("mailbox", "absence", group, "--from", "01/01/2026", "--until", "31/12/2099", "--reason", "x")
    console.done("mailbox", "absence", group, "--ended")
    console.refused("mailbox", "absence", group, code=2)
    console.done("mailbox", "reclaim", group, "--reason", "giải thể")
    assert console.json("mailbox", "list", "--state", "reclaimed")[0]["address"] == group


def test_who_may_use_a_unit_mailbox(console):
    """Named, shown, explained, revoked (Reg. 12.3); refused for a person's mailbox (15.2) and without a document."""
    console.json("mailbox", "issue", "--document", "1/CV", "--unit", "CNTT")
    unit, be = "cntt@mic.gov.vn", "dvbe@mic.gov.vn"
    console.refused("mailbox", "grant", unit, be, "--as", "keeper", says="12.3", code=2)
    console.refused("mailbox", "grant", be, "2", "--as", "member", "--document", "1/QĐ", says="15.2")
    console.done("mailbox", "grant", unit, be, "--as", "keeper", "--document", "1/QĐ", "--reason", "phân công")
    assert "Shared/cntt" in console.err
    (row,) = console.json("mailbox", "rights", unit)
    assert (row["holder"], row["part"], row["rights"], row["holds"]) == (be, "keeper", "lrswipkxte", True)
    assert row["document"] == "1/QĐ"
    assert console.json("mailbox", "rights", be) == [row]
    (then,) = console.json("mailbox", "rights", unit, "--at", "01/01/2020")
    assert not then["holds"]
    assert console.json("mailbox", "explain", unit)["authority"][0]["part"] == "keeper"
    for language, word in (("vi", "người quản lý hộp thư"), ("en", "keeper")):
        console.done("--lang", language, "mailbox", "explain", unit)
        assert word in console.out
    console.done("mailbox", "revoke", unit, be, "--document", "2/QĐ")
    console.refused("mailbox", "revoke", unit, be, "--document", "2/QĐ")
    (row,) = console.json("mailbox", "rights", unit)
    assert not row["holds"]
    assert [fact["kind"] for fact in console.json("mailbox", "show", unit)["facts"]][-2:] == ["authorised", "authority_revoked"]


def test_aliases(console):
    """Added, listed, removed; removed ones stay in the list as former."""
    console.done("alias", "add", "dvbe@mic.gov.vn", "be.do")
    console.refused("alias", "add", "dvbe@mic.gov.vn", "postmaster")
    console.done("alias", "remove", "dvbe@mic.gov.vn", "be.do")
    console.refused("alias", "remove", "dvbe@mic.gov.vn", "be.do", code=2)
    assert console.json("alias", "list", "dvbe@mic.gov.vn") == [
        {"address": "be.do@mic.gov.vn", "mailbox": "dvbe@mic.gov.vn", "role": "former"}
    ]


def test_directory_check(console):
    """Agreement exits 0; a folder that nobody owns is an error and exits 1."""
    console.done("directory", "check")
    stray = console.folder / "data" / "mail" / "mic.gov.vn" / "stranger" / "Maildir"
    stray.mkdir(parents=True)
    console.refused("directory", "check", "--json")
    assert [d["kind"] for d in json.loads(console.out) if d["severity"] == "error"] == ["stray_folder"]
    stray.rmdir()
    stray.parent.rmdir()


def test_regulation(console):
    """The catalogue is printed whole and by clause, in both languages."""
    rows = {row["id"]: row for row in console.json("regulation", "list")}
    assert len(rows) > 70
    assert rows["6.4.c"]["settings"][:3] == ["terms.end", "terms.roll", "leave.late_grace_days"]
    console.done("--lang", "vi", "regulation", "show", "7.2.a")
    assert "điểm a khoản 2 Điều 7 Quy chế" in console.out
    console.refused("regulation", "show", "99", code=2)


@pytest.mark.parametrize(
    "words",
    [
        ("mailbox", "show", "nobody@mic.gov.vn"),
        ("mailbox", "issue", "--document", "1/CV"),
        ("mailbox", "issue", "--document", "1/CV", "--person", "1", "--unit", "CNTT"),
        ("mailbox", "issue", "--document", "1/CV", "--group", "Nhóm"),
        ("mailbox", "issue", "--document", "1/CV", "--unit", "CNTT", "--address", "cong_nghe"),
        ("mailbox", "issue", "--document", "1/CV", "--unit", "CNTT", "--given-words", "2"),
        ("mailbox", "issue", "--document", "1/CV", "--person", "1", "--sponsor", "CNTT"),
        ("mailbox", "leave", "dvbe@mic.gov.vn"),
        ("mailbox", "leave", "dvbe@mic.gov.vn", "31/02/2026"),
        ("mailbox", "leave", "dvbe@mic.gov.vn", "31/12/2026", "--cause", "xyz"),
        ("mailbox", "leave", "dvbe@mic.gov.vn", "31/12/9999", "--level", "division", "--cause", "retired"),
        ("mailbox", "leave", "dvbe@mic.gov.vn", "--withdraw", "--level", "division", "--reason", "x"),
        ("mailbox", "absence", "dvbe@mic.gov.vn", "--from", "01/01/2026", "--ended"),
        ("mailbox", "issue", "--document", "1/CV", "--group", "Nhóm", "--sponsor", "CNTT", "--received", "01/01/2199"),
        ("mailbox", "explain", "dvbe@mic.gov.vn", "--at", "yesterday"),
        ("mailbox", "explain", "dvbe@mic.gov.vn", "--at", "0001-01-01"),
        ("mailbox", "suspend", "dvbe@mic.gov.vn", "--cause", "d", "--reason", "x"),
        ("mailbox", "grant", "dvbe@mic.gov.vn", "1", "--as", "boss", "--document", "1"),
        ("mailbox", "grant", "dvbe@mic.gov.vn", "1", "--document", "1"),
        ("mailbox", "rights", "nobody@mic.gov.vn"),
        ("person", "add", "§ç V¨n Bª", "--unit", "CNTT"),
        ("person", "add", "Đỗ Bê", "--unit", "NOWHERE"),
        ("person", "show", "99"),
    ],
)
def test_what_makes_no_sense(console, words):
    """Unknown names, impossible dates and contradictory options exit 2 with a sentence, and change nothing."""
    console.refused(*words, code=2)
    assert console.err.strip()


def test_every_act_is_on_record(console):
    """The audit log has the act and its refusal, with actor and clause, and no password."""
    issued = console.json("mailbox", "issue", "--document", "1/CV", "--group", "Tổ nhật ký", "--sponsor", "CNTT")
    address = issued["address"]
    console.done("mailbox", "quota", address, "3 GiB")
    console.refused("mailbox", "quota", address, "2 GiB")
    console.refused("mailbox", "quota", address, "1023 MiB", "--reason", "x")
    lines = [json.loads(line) for path in (console.folder / "data" / "log").glob("audit-*") for line in path.open()]
    acts = {line["act"] for line in lines}
    assert {"unit_add", "person_add", "mailbox_issue", "mailbox_quota", "mailbox_quota_refused"} <= acts
    assert all(line["actor"] for line in lines)
    assert issued["password"] not in json.dumps(lines, ensure_ascii=False)
    assert {line["clause"] for line in lines if line["act"] == "mailbox_quota_refused"} >= {"8.3.a", "8.3.b"}


def test_a_suspension_by_disuse_says_what_it_is_counted_from(console):
    """Reg. 7.2.a: last use and day of counting, for the state that holds and for the one to come, in both languages."""
    issued = console.json("mailbox", "issue", "--document", "1/CV", "--group", "Hội Cựu chiến binh", "--sponsor", "CNTT")[
        "address"
    ]
    today = local_day(SystemClock().now())
    due = add_months(today, 6) + timedelta(days=1)
    console.done("mailbox", "explain", issued)
    assert console.out.startswith(f"{issued} (Vụ Công nghệ thông tin), ")
    assert f"Next change: {due:%d/%m/%Y} 00:00, password change due, suspended, by Reg. 7.2.a\n" in console.out
    assert f"    never used; counted from {today.day} {today:%B %Y}\n" in console.out
    directory = Directory(f"sqlite:///{console.folder / 'data' / 'directory' / 'directory.sqlite'}")
    directory.touch_activity(directory.mailbox(issued).mailbox_id, SystemClock().now())
    directory.close()
    console.done("--lang", "vi", "mailbox", "explain", issued, "--at", f"{due:%d/%m/%Y}")
    assert f"  tạm khóa từ {due:%d/%m/%Y} 00:00 theo điểm a khoản 2 Điều 7 Quy chế\n" in console.out
    assert f"    lần sử dụng gần nhất {today:%d/%m/%Y}" in console.out
    assert f"; tính từ ngày {today:%d/%m/%Y}\n" in console.out
    console.done("mailbox", "explain", issued, "--at", "01/01/2020")
    assert "\n  not issued yet by Reg. 6.4.a\n" in console.out


def test_a_correction_that_opens_a_reclaimed_mailbox_says_so(console):
    """A longer term opens a reclaimed mailbox again, and the command tells; a correction that leaves it reclaimed does not."""
    console.run("person", "add", "Lê Thị Hoa", "--unit", "CNTT")
    config = load(console.folder / "mic-mail.toml")
    left = local_day(SystemClock().now()) - timedelta(days=250)
    past = ManualClock(SystemClock().now() - timedelta(days=400))
    directory = Directory(config.directory_url, clock=past)
    person = next(person for person in directory.people() if person.full_name == "Lê Thị Hoa")
    request = Ground(ActContext("t", "t", "1/CV"))
    mailbox = Issuing(directory, config, past, make_verifiers(config)).issue_personal(person, "ngựa pin kẹp ghim", request)
    past.move_to(SystemClock().now() - timedelta(days=249))
    MailboxLifecycle(directory, config, past).leave(mailbox, left, None, Departure.RETIRED, request.origin)
    assert console.json("mailbox", "show", mailbox.address)["states"] == ["reclaimed"]
    again = ("mailbox", "leave", mailbox.address, f"{left:%d/%m/%Y}", "--correct", "--document", "9/QĐ")
    console.done(*again)
    assert "open again" not in console.err
    assert console.json("mailbox", "show", mailbox.address)["states"] == ["reclaimed"]
    console.done(*again, "--level", "department")
    assert f"{mailbox.address} was reclaimed and is open again: send-locked" in console.err
    directory.close()


def test_people_are_listed_in_the_vietnamese_alphabet(console):
    """By the given name, Đ after D and before V, in every list of people."""
    console.run("unit", "add", "--document", "1/CV", "ĐTQT", "Đài Truyền hình quốc tế")
    for name in ("Vũ Đức Minh", "Đỗ Minh", "Lê Ái", "Trần Đạt", "Dương Dũng"):
        console.done("person", "add", name, "--unit", "ĐTQT")
    order = ["Lê Ái", "Dương Dũng", "Trần Đạt", "Đỗ Minh", "Vũ Đức Minh"]
    assert [person["full_name"] for person in console.json("person", "list", "--unit", "ĐTQT")] == order
    assert console.json("unit", "show", "ĐTQT")["people"] == order
    console.run("unit", "add", "--document", "1/CV", "VP", "Văn phòng")
    symbols = [unit["symbol"] for unit in console.json("unit", "list")]
    assert [symbol for symbol in symbols if symbol in {"CNTT", "ĐTQT", "VP"}] == ["CNTT", "ĐTQT", "VP"]


def test_one_unreadable_record_is_one_line(fresh):
    """A fact that makes no sense does not hide the other mailboxes from the list."""
    console = fresh
    console.json("mailbox", "issue", "--document", "1/CV", "--group", "Tổ công tác", "--sponsor", "CNTT")
    directory = Directory(f"sqlite:///{console.folder / 'data' / 'directory' / 'directory.sqlite'}")
    group = directory.mailbox("tocongtac@mic.gov.vn")
    directory.append_fact(group.mailbox_id, Draft(FactKind.ABSENCE, SystemClock().now(), "t", data={"until": "mai"}))
    listed = {row["address"]: row["states"] for row in console.json("mailbox", "list")}
    assert listed[group.address] == []
    assert listed["dvbe@mic.gov.vn"]
    console.done("mailbox", "list")
    assert "facts cannot be read" in console.out
    console.refused("directory", "check")
    directory.close()


@pytest.mark.clause("5.1", "6.2")
def test_what_is_issued_and_added_rests_on_a_document(console: Console) -> None:
    """Without its number nothing happens, and nothing is on record."""
    before = console.json("unit", "list")
    for words in (("unit", "add", "VPB", "Văn phòng Bộ"), ("mailbox", "issue", "--person", "1")):
        for document in ((), ("--document", " ")):
            console.refused("--lang", "en", *words, *document, says="--document", code=2)
    assert console.json("unit", "list") == before
