"""Reg. 6.2: what units ask of the Centre is on record with who, how, when and what became of it; each act is done once."""

import os
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mic_mail.directory.records import DoneBefore, MailboxRecord, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.policy.facts import REQUEST, Draft, FactKind, MailboxKind
from regulation.console import PROGRAM, Console
from regulation.officers import officers_console
from regulation.requests_setup import CLERK, HEADING, HOA, ask, facts, requests_console, table


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    return requests_console(tmp_path_factory.mktemp("requests"))


@pytest.mark.parametrize("kind", ["restore", "khôi phục", "KHOI PHUC", "khôi-phục"])
@pytest.mark.parametrize("channel", ["telephone", "Điện thoại", "dien-thoai"])
def test_clause_6_2_commands_take_the_words_of_the_form(console: Console, kind: str, channel: str) -> None:
    """A request is entered in the words that units write, and is on record under one code."""
    number = ask(console, kind, "--address", "tvan", "--channel", channel)
    shown = console.json("request", "show", number)
    assert (shown["kind"], shown["channel"]) == ("restore", "telephone")
    assert number in {row["request_id"] for row in console.json("request", "list", "--kind", kind, "--state", "đang chờ")}


def test_clause_6_2_who_asked_how_and_when(console: Console) -> None:
    """All that the clause wants known stands in the register; what lacks of it is refused with the clause."""
    number = ask(console, "reset", "--address", "tvan", "--dated", "24/11/2026", "--received", "25/11/2026 09:30")
    shown = console.json("request", "show", number)
    assert (shown["unit"], shown["asker"], shown["channel"], shown["document"]) == ("CNTT", HOA, "letter", "12/CV")
    assert (shown["received_at"], shown["document_date"]) == ("2026-11-25T02:30:00Z", "2026-11-24")
    assert (shown["state"], shown["due_by"]["en"]) == ("open", "the Centre's own target")
    for more, clause in (
        (("--document", ""), "6.2"),
        (("--document", "1/CV", "--asked-by", " "), "7.3.a"),
        (("--document", "1/CV", "--received", "01/01/2190"), ""),
        (("--document", "1/CV", "--address", "nobody"), ""),
    ):
        words = ("request", "add", "reset", "--unit", "CNTT", "--asked-by", HOA, "--address", "tvan")
        assert console.run(*words, *more) != 0
        assert clause in console.err
    console.done("request", "withdraw", number)
    console.refused("request", "approve", number)  # what was withdrawn stays so
    console.refused("request", "withdraw", number)


@pytest.mark.clause("15.2")
def test_what_is_asked_for_is_read_in_words(console: Console) -> None:
    """Codes and days of a request are shown as people write them; programs get the codes."""
    contract = ("--employment", "hợp đồng", "--contract-from", "01/02/2026", "--contract-until", "31/01/2028")
    issue = ask(console, "issue", "--name", "Lê Thị Lời", "--position", "Vụ trưởng", "--level", "vụ", *contract)
    leave = ask(console, "leave", "--address", "tvan", "--day", "31/12/2099", "--cause", "nghỉ hưu")
    for number, words in ((issue, ("hợp đồng lao động", "01/02/2026", "cấp Vụ")), (leave, ("nghỉ hưu", "31/12/2099"))):
        console.done("--lang", "vi", "request", "show", number)
        (content,) = [line for line in console.out.splitlines() if line.startswith("Nội dung")]
        assert all(word in content for word in words), content
    assert console.json("request", "show", leave)["items"]["day"] == "2099-12-31"
    assert console.json("request", "show", issue)["items"]["employment"] == "contract"
    for number in (issue, leave):
        console.done("request", "withdraw", number)


def test_a_lost_password_is_not_told_by_telephone(console: Console) -> None:
    """By letter or from the unit's mailbox, and for the unit's own people."""
    for channel in ("telephone", "fax", "meeting"):
        words = ("request", "add", "reset", "--unit", "CNTT", "--asked-by", HOA, "--address", "tvan")
        console.refused(*words, "--channel", channel, says="15.2")
    console.refused(
        "request", "add", "reset", "--unit", "PC", "--asked-by", HOA, "--document", "1", "--address", "tvan", says="15.2"
    )
    number = ask(console, "reset", "--address", "tvan")
    approved = console.json("request", "approve", number)
    assert approved["password"]
    reset = facts(console, "tvan@mic.gov.vn")[-1]
    assert (reset["kind"], reset["document"], reset["data"]["request"]) == ("password_reset", "12/CV", number)
    shown = console.json("request", "show", number)
    assert (shown["state"], shown["mailbox"], shown["result"]) == ("done", "tvan@mic.gov.vn", "tvan@mic.gov.vn")


@pytest.mark.clause("6.4.a", "6.4.b", "6.4.c", "5.2", "6.1")
def test_an_approval_is_the_act(console: Console) -> None:
    """Issue, transfer, leave, group and alias, each with the request in the fact that it made."""
    issued = console.json("request", "approve", ask(console, "issue", "--name", "Lê Thị Bình", *CLERK))
    assert (issued["address"], issued["state"]) == ("ltbinh@mic.gov.vn", "done")
    moved = ask(console, "transfer", "--address", "ltbinh", unit="PC")
    console.done("request", "approve", moved)
    assert "Lê Thị Bình" in console.json("unit", "show", "PC")["people"]
    left = ask(console, "leave", "--address", "ltbinh", "--day", "01/01/2190", "--cause", "nghỉ việc", unit="PC")
    console.done("request", "approve", left)
    group = console.json("request", "approve", ask(console, "group", "--name", "Đoàn Thanh niên"))
    assert group["address"] == "doanthanhnien@mic.gov.vn"
    alias = ask(console, "alias", "--address", "ltbinh", "--chosen", "binh.le", unit="PC")
    console.done("request", "approve", alias)
    done = {fact["kind"]: fact["data"].get("request") for fact in facts(console, "ltbinh@mic.gov.vn")}
    assert (done["transferred"], done["left"], done["alias_added"]) == (moved, left, alias)


@pytest.mark.clause("6.4.a", "6.4.b")
def test_a_mailbox_is_issued_to_whom_the_request_names(console: Console) -> None:
    """An id that is somebody else's, or another unit's, is a slip: refused before anything is on record of it."""
    for name, unit in (("Cao Thị Quỳnh", "CNTT"), ("Cao Thị Quyên", "CNTT"), ("Cao Thị Quý", "PC")):
        console.done("person", "add", name, "--unit", unit)
    ids = {person["full_name"]: str(person["person_id"]) for person in console.json("person", "list")}
    number = str(ask(console, "issue", "--name", "cao thị quỳnh", *CLERK))
    for name, why in (("Cao Thị Quyên", "6.4.a"), ("Cao Thị Quý", "6.4.b"), ("Trần Văn An", "6.4.a")):
        same = ("--same-person",) if why == "6.4.b" else ()
        console.refused("request", "approve", number, "--person", ids[name], *same, says=why)
    assert console.json("request", "show", number)["state"] == "open"
    approved = console.json("request", "approve", number, "--person", ids["Cao Thị Quỳnh"])
    assert facts(console, approved["address"])
    assert console.json("mailbox", "show", approved["address"])["owner"] == "Cao Thị Quỳnh"
    # Somebody who has changed the name since is confirmed by whoever approves.
    changed = str(ask(console, "issue", "--name", "Cao Thị Hồng Quyên", *CLERK))
    console.refused("request", "approve", changed, "--person", ids["Cao Thị Quyên"], says="--same-person")
    address = console.json(
        "request", "approve", changed, "--person", ids["Cao Thị Quyên"], "--same-person", "--address", "quyenct"
    )
    assert address["address"] == "quyenct@mic.gov.vn"


def test_for_whom_it_is_does_not_change_unsaid(console: Console) -> None:
    """Whom an approval settled that a rule refused is not exchanged by another id, nor is that id passed over."""
    for name in ("Tạ Văn Sửu", "Tạ Văn Sửu"):
        console.done("person", "add", name, "--unit", "CNTT")
    first, second = (str(p["person_id"]) for p in console.json("person", "list") if p["full_name"] == "Tạ Văn Sửu")
    console.done("request", "approve", ask(console, "issue", "--name", "Tô Văn Sửu", *CLERK))
    number = str(ask(console, "issue", "--name", "Tạ Văn Sửu", *CLERK))
    console.refused("request", "approve", number, "--person", first, says="5.4.b")
    console.refused("request", "approve", number, "--person", second, "--address", "suutv", says=f"person {first}")
    assert console.run("mailbox", "show", "suutv") != 0
    assert console.json("request", "approve", number, "--address", "suutv")["address"] == "suutv@mic.gov.vn"


def test_what_a_rule_refuses_stays_open_and_says_why(console: Console) -> None:
    """The act may be possible tomorrow, or with a choice of the person's (Reg. 5.4.b)."""
    first = ask(console, "issue", "--name", "Vũ Văn Cường", *CLERK)
    console.done("request", "approve", first)
    second = ask(console, "issue", "--name", "Võ Việt Cường", *CLERK)
    console.refused("request", "approve", second, says="5.4.b")
    shown = console.json("request", "show", second)
    assert shown["state"] == "open"
    assert all("vvcuong" in shown["hindrance"][side] for side in ("vi", "en"))
    people = len(console.json("person", "list"))
    assert console.json("request", "approve", second, "--address", "cuongvv")["address"] == "cuongvv@mic.gov.vn"
    assert len(console.json("person", "list")) == people
    assert facts(console, "cuongvv@mic.gov.vn")[0]["data"]["chosen_by"] == "person"


@pytest.mark.clause("5.4.a")
def test_first_received_first_served(console: Console) -> None:
    """The plain form waits for whose request came first, whoever is approved, or issued to, before; until that is settled."""
    later = ask(console, "issue", "--name", "Đào Văn Khoa", *CLERK, "--received", "25/11/2026 10:00")
    first = ask(console, "issue", "--name", "Đỗ Vũ Khoa", *CLERK, "--received", "25/11/2026 09:00", unit="PC")
    console.refused(
        "request", "approve", later, says=("5.4.a", f"Request {first}, for the address dvkhoa too, was received before.")
    )
    console.done("person", "add", "Dương Văn Khoa", "--unit", "CNTT")
    direct = next(p["person_id"] for p in console.json("person", "list") if p["full_name"] == "Dương Văn Khoa")
    console.refused("mailbox", "issue", "--person", direct, "--document", "9/CV", says="5.4.a")
    console.done("request", "refuse", first, "--reason", "Hồ sơ chưa đủ")
    assert console.json("request", "approve", later)["address"] == "dvkhoa@mic.gov.vn"
    assert console.json("request", "show", first)["result"] == "Hồ sơ chưa đủ"
    # An address that is chosen is waited for as well, and who chose another one keeps nobody waiting.
    chosen = ask(console, "issue", "--name", "Đoàn Vĩnh Khoa", *CLERK, "--chosen", "khoadv")
    other = ask(console, "issue", "--name", "Đặng Việt Khoa", *CLERK)
    console.refused(
        "request",
        "approve",
        other,
        "--address",
        "khoadv",
        says=f"Request {chosen}, for the address khoadv too, was received before.",
    )
    assert console.json("request", "approve", other, "--address", "vdkhoa")["address"] == "vdkhoa@mic.gov.vn"


@pytest.mark.clause("5.4.a", "5.4.b")
def test_two_of_one_name_in_one_unit_are_two(console: Console) -> None:
    """Each request is for its own person, also while the first one waits for that person's choice."""
    assert console.json("request", "approve", ask(console, "issue", "--name", "Ngô Văn Bốn", *CLERK, unit="PC"))
    first = ask(console, "issue", "--name", "Ngô Văn Bốn", *CLERK)
    second = ask(console, "issue", "--name", "Ngô Văn Bốn", *CLERK)
    for number in (first, second):
        console.refused("request", "approve", number, says="5.4.b")
    later = console.json("request", "approve", second, "--address", "bonnv")
    assert later["address"] == "bonnv@mic.gov.vn"
    assert console.json("request", "approve", first, "--address", "vnbon")["address"] == "vnbon@mic.gov.vn"
    people = [person for person in console.json("person", "list") if person["full_name"] == "Ngô Văn Bốn"]
    assert len({person["person_id"] for person in people}) == 3


@pytest.mark.clause("6.4.b", "6.4.c", "15.2")
def test_who_has_moved_on_is_the_new_units(console: Console) -> None:
    """What a unit asked for while the person was its own is not done once another unit has the person (Reg. 6.2)."""
    address = console.json("request", "approve", ask(console, "issue", "--name", "Phùng Văn Tám", *CLERK))["address"]
    asked = [
        ask(console, "reset", "--address", address),
        ask(console, "leave", "--address", address, "--day", "01/01/2190", "--cause", "nghỉ việc"),
        ask(console, "alias", "--address", address, "--chosen", "tam.phung"),
    ]
    moved = ask(console, "transfer", "--address", address, unit="PC")
    console.done("request", "approve", moved)
    before = facts(console, address)
    for number in asked:
        console.refused("request", "approve", number)
        shown = console.json("request", "show", number)
        assert (shown["state"], address in shown["hindrance"]["vi"]) == ("open", True)
    assert facts(console, address) == before
    assert console.json("request", "approve", moved)["before"] is True


@pytest.mark.clause("7.2.b", "7.3.b")
def test_a_letter_that_asks_does_not_lift_a_breach(console: Console) -> None:
    """After a breach the document that lifts it is named by who approves; the number of the asking letter is another one."""
    address = console.json("request", "approve", ask(console, "issue", "--name", "Mạc Văn Chín", *CLERK))["address"]
    concluded = ("--conclusion", "7/KL-BTTTT", "--concluded-on", "01/11/2026", "--signatory", "Phạm Đức Long")
    named = ("--position", "Thứ trưởng", "--from", "01/01/2025", "--document", "1/QĐ-TTg")
    console.done("signatory", "add", "Phạm Đức Long", *named)
    words = ("mailbox", "suspend", address, "--cause", "b", "--reason", "Vi phạm", *concluded)
    console.done(*words)
    number = str(ask(console, "restore", "--address", address))
    console.refused("request", "approve", number, says="7.2.b")
    assert "suspended" in console.json("mailbox", "show", address)["states"]
    assert console.json("request", "approve", number, "--document", "8/KL-BTTTT")["password"]
    assert facts(console, address)[-1]["document"] == "8/KL-BTTTT"


# ------------------------------------------------------------ once


def test_an_act_is_done_once_whoever_is_killed_in_between(console: Console) -> None:
    """A kill between the act and the word in the register leaves it open with its fact there: approving puts it down."""
    for kind, more in (
        ("issue", ("--name", "Hồ Văn Ninh", *CLERK)),
        ("reset", ("--address", "tvan")),
        ("group", ("--name", "Công đoàn Bộ")),
        ("alias", ("--address", "tvan", "--chosen", "an.tran")),
    ):
        number = ask(console, kind, *more)
        address = console.json("request", "approve", number)["address"]
        before = facts(console, address)
        with closing(sqlite3.connect(console.folder / "data/directory/directory.sqlite")) as database, database:
            undone = "UPDATE request SET state = 'open', handler = NULL, result = NULL, mailbox_id = NULL WHERE request_id = ?"
            assert database.execute(undone, (number,)).rowcount == 1
        again = console.json("request", "approve", number)
        assert (again["address"], again["password"], again["before"], again["state"]) == (address, None, True, "done")
        if kind != "alias":
            assert " password reset" in console.err
        assert facts(console, address) == before
        assert console.json("request", "approve", number)["before"] is True


@pytest.mark.slow
def test_an_act_is_done_once_by_many_at_the_same_time(console: Console) -> None:
    """One of them makes the password; for the others it had been done, or somebody else was at it."""
    number = ask(console, "reset", "--address", "tvan")
    command = [PROGRAM, "--lang", "en", "request", "approve", str(number), "--json"]
    env = {**os.environ, **console.env}
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    said = [each.communicate(timeout=60) for each in running]
    assert [each.returncode for each in running] == [0] * 4, said
    made = [out for out, _ in said if b'"password": null' not in out]
    assert len(made) == 1
    mine = [fact for fact in facts(console, "tvan@mic.gov.vn") if fact["data"].get("request") == number]
    assert len(mine) == 1


# ------------------------------------------------------------ whose


@pytest.mark.clause("6.1")
def test_a_unit_asks_and_does_not_decide(tmp_path: Path) -> None:
    """Its administrator files for the own unit, reads and withdraws that; sees nothing of another's, and approves nothing."""
    officers = officers_console(tmp_path)
    filed = ("request", "add", "problem", "--asked-by", HOA, "--channel", "telephone", "--note", "Thư đến chậm")
    officers.done_by("hoa", *filed, "--unit", "CNTT-P1")
    officers.refused_by("hoa", *filed, "--unit", "KHTC", code=2)
    officers.refused_by("kiem", *filed, "--unit", "CNTT", says="6.1")
    officers.done_by("mai", *filed, "--unit", "KHTC")
    assert [row["unit"] for row in officers.json_by("hoa", "request", "list")] == ["CNTT-P1"]
    assert len(officers.json_by("kiem", "request", "list")) == 2
    for words, code in (
        (("list", "--unit", "KHTC"), 2), (("show", "1"), 0), (("show", "2"), 2), (("withdraw", "2"), 2),
        (("approve", "1"), 1), (("refuse", "1", "--reason", "x"), 1), (("done", "1", "--result", "x"), 1),
        (("withdraw", "1"), 0),
    ):  # fmt: skip
        assert officers.by("hoa", "request", *words) == code, (words, officers.err)
    # The unit that receives somebody asks for a mailbox that is another unit's as yet (Reg. 6.4.b).
    move = ("request", "add", "transfer", "--asked-by", HOA, "--document", "1/QĐ", "--address", "lhoa", "--unit", "CNTT")
    officers.done_by("hoa", *move)
    path = tmp_path / "form.csv"
    path.write_bytes(table(HEADING, ("vướng mắc", "", "", "", "", "", "KHTC", "điện thoại", HOA)))
    officers.refused_by("hoa", "request", "import", path)
    officers.refused_by("hoa", "request", "import", path, "--unit", "CNTT")
    assert len(officers.json_by("mai", "request", "list")) == 3


@pytest.mark.clause("5.4.a", "6.1")
def test_a_unit_does_not_say_since_when_it_waits(tmp_path: Path) -> None:
    """When a request was received decides who is first: what a unit's administrator enters is received now."""
    officers = officers_console(tmp_path)
    words = ("request", "add", "issue", "--unit", "CNTT", "--asked-by", HOA, "--document", "1/QĐ", "--name", "Lã Bê", *CLERK)
    officers.refused_by("hoa", *words, "--received", "01/01/2020", says="6.2")
    officers.done_by("mai", *words, "--received", "24/11/2026")
    path = tmp_path / "form.csv"
    row = ("vướng mắc", "chậm", "CNTT", "điện thoại", HOA, "01/01/2020")
    path.write_bytes(table(("Loại yêu cầu", "Nội dung", "Đơn vị", "Kênh", "Người đề nghị", "Ngày nhận"), row))
    officers.refused_by("hoa", "request", "import", path, "--unit", "CNTT")
    officers.done_by("mai", "request", "import", path, "--unit", "CNTT")
    assert len(officers.json_by("mai", "request", "list")) == 2


def test_clause_14_3_a_unit_has_its_list_corrected(console: Console) -> None:
    """It reads its list, and says by a request what is wrong with it."""
    assert "tvan@mic.gov.vn" in console.json("unit", "show", "CNTT")["mailboxes"]
    words = ("request", "add", "correction", "--unit", "CNTT", "--asked-by", HOA, "--channel", "telephone")
    console.refused(*words, says="14.3", code=2)
    number = str(console.json(*words, "--note", "Trần Văn An là Phó trưởng phòng")["request_id"])
    console.done("request", "done", number, "--result", "Đã sửa chức danh")
    assert console.json("request", "show", number)["state"] == "done"


def test_a_record_takes_one_fact_of_a_request(tmp_path: Path) -> None:
    """Of each kind: what the one who came second would record is refused where it is written, whatever it had looked at."""
    with closing(Directory(f"sqlite:///{tmp_path / 'directory.sqlite'}")) as directory:
        directory.migrate()
        unit = directory.add_unit(UnitRecord(0, "CNTT", "Vụ CNTT"))
        at = datetime(2026, 11, 26, tzinfo=UTC)
        new = MailboxRecord(0, MailboxKind.UNIT, "cntt@mic.gov.vn", "mic.gov.vn/cntt", "CNTT", 1 << 30, unit_id=unit.unit_id)
        mailbox = directory.issue_mailbox(new, Draft(FactKind.ISSUED, at, "lan", data={REQUEST: 7}))
        directory.append_fact(mailbox.mailbox_id, Draft(FactKind.SENDING_LOCKED, at, "lan", data={REQUEST: 7}))
        for other in (8, None):
            data = {} if other is None else {REQUEST: other}
            for _ in range(2 if other is None else 1):
                directory.append_fact(mailbox.mailbox_id, Draft(FactKind.SENDING_LOCKED, at, "lan", data=data))
        for number in (7, 8):
            with pytest.raises(DoneBefore):
                directory.append_fact(mailbox.mailbox_id, Draft(FactKind.SENDING_LOCKED, at, "hoa", data={REQUEST: number}))
        assert len(directory.facts(mailbox.mailbox_id)) == 5
