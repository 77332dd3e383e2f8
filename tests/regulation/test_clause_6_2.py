"""Reg. 6.2: what units ask of the Centre is on record with who, how, when and what became of it; each act is done once."""

import csv
import io
import json
import os
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from mic_mail.directory.records import DoneBefore, MailboxRecord, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.documents import xlsx
from mic_mail.documents.document import Column, Table
from mic_mail.policy.facts import REQUEST, Draft, FactKind, MailboxKind
from mic_mail.policy.requests import Channel, Filing, Item, Kind
from mic_mail.services.requests.form import empty_form, is_form, read_table
from regulation.console import PROGRAM, Console
from regulation.officers import furnish

HOA = "Nguyễn Thị Hoa"
CLERK = ("--position", "Chuyên viên", "--employment", "công chức")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    """A server with two units, and one person with a mailbox in the first."""
    console = Console(tmp_path_factory.mktemp("requests"))
    assert console.run("init", "--yes", "--data-dir", str(console.folder / "data"), "--user", "") == 0, console.err
    for symbol, name in (("CNTT", "Vụ Công nghệ thông tin"), ("PC", "Vụ Pháp chế")):
        assert console.run("unit", "add", symbol, name, "--document", "1553/QĐ-BTTTT") == 0, console.err
    assert console.run("person", "add", "Trần Văn An", "--unit", "CNTT") == 0, console.err
    console.json("mailbox", "issue", "--person", "1", "--document", "1/CV")
    return console


def ask(console: Console, kind: str, *more: str, unit: str = "CNTT") -> int:
    """The number of a new request."""
    words = ("request", "add", kind, "--unit", unit, "--asked-by", HOA)
    return console.json(*words, *(more if "--channel" in more else ("--document", "12/CV", *more)))["request_id"]


def facts(console: Console, address: str) -> list[dict]:
    return console.json("mailbox", "show", address)["facts"]


@pytest.mark.parametrize("kind", ["restore", "khôi phục", "KHOI PHUC", "khôi-phục"])
@pytest.mark.parametrize("channel", ["telephone", "Điện thoại", "dien-thoai"])
def test_clause_6_2_commands_take_the_words_of_the_form(console: Console, kind: str, channel: str) -> None:
    """A request is entered in the words that units write, and is on record under one code."""
    number = ask(console, kind, "--address", "tvan", "--channel", channel)
    shown = console.json("request", "show", str(number))
    assert (shown["kind"], shown["channel"]) == ("restore", "telephone")
    assert number in {row["request_id"] for row in console.json("request", "list", "--kind", kind, "--state", "đang chờ")}


def test_clause_6_2_who_asked_how_and_when(console: Console) -> None:
    """All that the clause wants known stands in the register; what lacks of it is refused with the clause."""
    number = ask(console, "reset", "--address", "tvan", "--dated", "24/11/2026", "--received", "25/11/2026 09:30")
    shown = console.json("request", "show", str(number))
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
    assert console.run("request", "withdraw", str(number)) == 0
    assert console.run("request", "approve", str(number)) == 1  # what was withdrawn stays so
    assert console.run("request", "withdraw", str(number)) == 1


@pytest.mark.clause("15.2")
def test_what_is_asked_for_is_read_in_words(console: Console) -> None:
    """Codes and days of a request are shown as people write them; programs get the codes."""
    contract = ("--employment", "hợp đồng", "--contract-from", "01/02/2026", "--contract-until", "31/01/2028")
    issue = ask(console, "issue", "--name", "Lê Thị Lời", "--position", "Vụ trưởng", "--level", "vụ", *contract)
    leave = ask(console, "leave", "--address", "tvan", "--day", "31/12/2099", "--cause", "nghỉ hưu")
    for number, words in ((issue, ("hợp đồng lao động", "01/02/2026", "cấp Vụ")), (leave, ("nghỉ hưu", "31/12/2099"))):
        assert console.run("--lang", "vi", "request", "show", str(number)) == 0, console.err
        (content,) = [line for line in console.out.splitlines() if line.startswith("Nội dung")]
        assert all(word in content for word in words), content
    assert console.json("request", "show", str(leave))["items"]["day"] == "2099-12-31"
    assert console.json("request", "show", str(issue))["items"]["employment"] == "contract"
    for number in (issue, leave):
        assert console.run("request", "withdraw", str(number)) == 0, console.err


def test_a_lost_password_is_not_told_by_telephone(console: Console) -> None:
    """By letter or from the unit's mailbox, and for the unit's own people."""
    for channel in ("telephone", "fax", "meeting"):
        words = ("request", "add", "reset", "--unit", "CNTT", "--asked-by", HOA, "--address", "tvan")
        assert console.run(*words, "--channel", channel) == 1
        assert "15.2" in console.err
    assert (
        console.run("request", "add", "reset", "--unit", "PC", "--asked-by", HOA, "--document", "1", "--address", "tvan") == 1
    )
    assert "15.2" in console.err
    number = ask(console, "reset", "--address", "tvan")
    approved = console.json("request", "approve", str(number))
    assert approved["password"]
    reset = facts(console, "tvan@mic.gov.vn")[-1]
    assert (reset["kind"], reset["document"], reset["data"]["request"]) == ("password_reset", "12/CV", number)
    shown = console.json("request", "show", str(number))
    assert (shown["state"], shown["mailbox"], shown["result"]) == ("done", "tvan@mic.gov.vn", "tvan@mic.gov.vn")


@pytest.mark.clause("6.4.a", "6.4.b", "6.4.c", "5.2", "6.1")
def test_an_approval_is_the_act(console: Console) -> None:
    """Issue, transfer, leave, group and alias, each with the request in the fact that it made."""
    issued = console.json("request", "approve", str(ask(console, "issue", "--name", "Lê Thị Bình", *CLERK)))
    assert (issued["address"], issued["state"]) == ("ltbinh@mic.gov.vn", "done")
    moved = ask(console, "transfer", "--address", "ltbinh", unit="PC")
    assert console.run("request", "approve", str(moved)) == 0, console.err
    assert "Lê Thị Bình" in console.json("unit", "show", "PC")["people"]
    left = ask(console, "leave", "--address", "ltbinh", "--day", "01/01/2190", "--cause", "nghỉ việc", unit="PC")
    assert console.run("request", "approve", str(left)) == 0, console.err
    group = console.json("request", "approve", str(ask(console, "group", "--name", "Đoàn Thanh niên")))
    assert group["address"] == "doanthanhnien@mic.gov.vn"
    alias = ask(console, "alias", "--address", "ltbinh", "--chosen", "binh.le", unit="PC")
    assert console.run("request", "approve", str(alias)) == 0, console.err
    done = {fact["kind"]: fact["data"].get("request") for fact in facts(console, "ltbinh@mic.gov.vn")}
    assert (done["transferred"], done["left"], done["alias_added"]) == (moved, left, alias)


@pytest.mark.clause("6.4.a", "6.4.b")
def test_a_mailbox_is_issued_to_whom_the_request_names(console: Console) -> None:
    """An id that is somebody else's, or another unit's, is a slip: refused before anything is on record of it."""
    for name, unit in (("Cao Thị Quỳnh", "CNTT"), ("Cao Thị Quyên", "CNTT"), ("Cao Thị Quý", "PC")):
        assert console.run("person", "add", name, "--unit", unit) == 0
    ids = {person["full_name"]: str(person["person_id"]) for person in console.json("person", "list")}
    number = str(ask(console, "issue", "--name", "cao thị quỳnh", *CLERK))
    for name, why in (("Cao Thị Quyên", "6.4.a"), ("Cao Thị Quý", "6.4.b"), ("Trần Văn An", "6.4.a")):
        same = ("--same-person",) if why == "6.4.b" else ()
        assert console.run("request", "approve", number, "--person", ids[name], *same) == 1
        assert why in console.err
    assert console.json("request", "show", number)["state"] == "open"
    approved = console.json("request", "approve", number, "--person", ids["Cao Thị Quỳnh"])
    assert facts(console, approved["address"])
    assert console.json("mailbox", "show", approved["address"])["owner"] == "Cao Thị Quỳnh"
    # Somebody who has changed the name since is confirmed by whoever approves.
    changed = str(ask(console, "issue", "--name", "Cao Thị Hồng Quyên", *CLERK))
    assert console.run("request", "approve", changed, "--person", ids["Cao Thị Quyên"]) == 1
    assert "--same-person" in console.err
    address = console.json(
        "request", "approve", changed, "--person", ids["Cao Thị Quyên"], "--same-person", "--address", "quyenct"
    )
    assert address["address"] == "quyenct@mic.gov.vn"


def test_for_whom_it_is_does_not_change_unsaid(console: Console) -> None:
    """Whom an approval settled that a rule refused is not exchanged by another id, nor is that id passed over."""
    for name in ("Tạ Văn Sửu", "Tạ Văn Sửu"):
        assert console.run("person", "add", name, "--unit", "CNTT") == 0
    first, second = (str(p["person_id"]) for p in console.json("person", "list") if p["full_name"] == "Tạ Văn Sửu")
    assert console.run("request", "approve", str(ask(console, "issue", "--name", "Tô Văn Sửu", *CLERK))) == 0
    number = str(ask(console, "issue", "--name", "Tạ Văn Sửu", *CLERK))
    assert console.run("request", "approve", number, "--person", first) == 1
    assert "5.4.b" in console.err
    assert console.run("request", "approve", number, "--person", second, "--address", "suutv") == 1
    assert f"person {first}" in console.err
    assert console.run("mailbox", "show", "suutv") != 0
    assert console.json("request", "approve", number, "--address", "suutv")["address"] == "suutv@mic.gov.vn"


def test_what_a_rule_refuses_stays_open_and_says_why(console: Console) -> None:
    """The act may be possible tomorrow, or with a choice of the person's (Reg. 5.4.b)."""
    first = ask(console, "issue", "--name", "Vũ Văn Cường", *CLERK)
    assert console.run("request", "approve", str(first)) == 0
    second = ask(console, "issue", "--name", "Võ Việt Cường", *CLERK)
    assert console.run("request", "approve", str(second)) == 1
    assert "5.4.b" in console.err
    shown = console.json("request", "show", str(second))
    assert shown["state"] == "open"
    assert all("vvcuong" in shown["hindrance"][side] for side in ("vi", "en"))
    people = len(console.json("person", "list"))
    assert console.json("request", "approve", str(second), "--address", "cuongvv")["address"] == "cuongvv@mic.gov.vn"
    assert len(console.json("person", "list")) == people
    assert facts(console, "cuongvv@mic.gov.vn")[0]["data"]["chosen_by"] == "person"


@pytest.mark.clause("5.4.a")
def test_first_received_first_served(console: Console) -> None:
    """The plain form waits for whose request came first, whoever is approved, or issued to, before; until that is settled."""
    later = ask(console, "issue", "--name", "Đào Văn Khoa", *CLERK, "--received", "25/11/2026 10:00")
    first = ask(console, "issue", "--name", "Đỗ Vũ Khoa", *CLERK, "--received", "25/11/2026 09:00", unit="PC")
    assert console.run("request", "approve", str(later)) == 1
    assert "5.4.a" in console.err
    assert f"Request {first}, for the address dvkhoa too, was received before." in console.err
    assert console.run("person", "add", "Dương Văn Khoa", "--unit", "CNTT") == 0
    direct = next(p["person_id"] for p in console.json("person", "list") if p["full_name"] == "Dương Văn Khoa")
    assert console.run("mailbox", "issue", "--person", str(direct), "--document", "9/CV") == 1
    assert "5.4.a" in console.err
    assert console.run("request", "refuse", str(first), "--reason", "Hồ sơ chưa đủ") == 0
    assert console.json("request", "approve", str(later))["address"] == "dvkhoa@mic.gov.vn"
    assert console.json("request", "show", str(first))["result"] == "Hồ sơ chưa đủ"
    # An address that is chosen is waited for as well, and who chose another one keeps nobody waiting.
    chosen = ask(console, "issue", "--name", "Đoàn Vĩnh Khoa", *CLERK, "--chosen", "khoadv")
    other = ask(console, "issue", "--name", "Đặng Việt Khoa", *CLERK)
    assert console.run("request", "approve", str(other), "--address", "khoadv") == 1
    assert f"Request {chosen}, for the address khoadv too, was received before." in console.err
    assert console.json("request", "approve", str(other), "--address", "vdkhoa")["address"] == "vdkhoa@mic.gov.vn"


@pytest.mark.clause("5.4.a", "5.4.b")
def test_two_of_one_name_in_one_unit_are_two(console: Console) -> None:
    """Each request is for its own person, also while the first one waits for that person's choice."""
    assert console.json("request", "approve", str(ask(console, "issue", "--name", "Ngô Văn Bốn", *CLERK, unit="PC")))
    first = ask(console, "issue", "--name", "Ngô Văn Bốn", *CLERK)
    second = ask(console, "issue", "--name", "Ngô Văn Bốn", *CLERK)
    for number in (first, second):
        assert console.run("request", "approve", str(number)) == 1
        assert "5.4.b" in console.err
    later = console.json("request", "approve", str(second), "--address", "bonnv")
    assert later["address"] == "bonnv@mic.gov.vn"
    assert console.json("request", "approve", str(first), "--address", "vnbon")["address"] == "vnbon@mic.gov.vn"
    people = [person for person in console.json("person", "list") if person["full_name"] == "Ngô Văn Bốn"]
    assert len({person["person_id"] for person in people}) == 3


@pytest.mark.clause("6.4.b", "6.4.c", "15.2")
def test_who_has_moved_on_is_the_new_units(console: Console) -> None:
    """What a unit asked for while the person was its own is not done once another unit has the person (Reg. 6.2)."""
    address = console.json("request", "approve", str(ask(console, "issue", "--name", "Phùng Văn Tám", *CLERK)))["address"]
    asked = [
        ask(console, "reset", "--address", address),
        ask(console, "leave", "--address", address, "--day", "01/01/2190", "--cause", "nghỉ việc"),
        ask(console, "alias", "--address", address, "--chosen", "tam.phung"),
    ]
    moved = ask(console, "transfer", "--address", address, unit="PC")
    assert console.run("request", "approve", str(moved)) == 0, console.err
    before = facts(console, address)
    for number in asked:
        assert console.run("request", "approve", str(number)) == 1
        shown = console.json("request", "show", str(number))
        assert (shown["state"], address in shown["hindrance"]["vi"]) == ("open", True)
    assert facts(console, address) == before
    assert console.json("request", "approve", str(moved))["before"] is True


@pytest.mark.clause("7.2.b", "7.3.b")
def test_a_letter_that_asks_does_not_lift_a_breach(console: Console) -> None:
    """After a breach the document that lifts it is named by who approves; the number of the asking letter is another one."""
    address = console.json("request", "approve", str(ask(console, "issue", "--name", "Mạc Văn Chín", *CLERK)))["address"]
    concluded = ("--conclusion", "7/KL-BTTTT", "--concluded-on", "01/11/2026", "--signatory", "Phạm Đức Long")
    named = ("--position", "Thứ trưởng", "--from", "01/01/2025", "--document", "1/QĐ-TTg")
    assert console.run("signatory", "add", "Phạm Đức Long", *named) == 0, console.err
    words = ("mailbox", "suspend", address, "--cause", "b", "--reason", "Vi phạm", *concluded)
    assert console.run(*words) == 0, console.err
    number = str(ask(console, "restore", "--address", address))
    assert console.run("request", "approve", number) == 1
    assert "7.2.b" in console.err
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
        address = console.json("request", "approve", str(number))["address"]
        before = facts(console, address)
        with closing(sqlite3.connect(console.folder / "data/directory/directory.sqlite")) as database, database:
            undone = "UPDATE request SET state = 'open', handler = NULL, result = NULL, mailbox_id = NULL WHERE request_id = ?"
            assert database.execute(undone, (number,)).rowcount == 1
        again = console.json("request", "approve", str(number))
        assert (again["address"], again["password"], again["before"], again["state"]) == (address, None, True, "done")
        if kind != "alias":
            assert " password reset" in console.err
        assert facts(console, address) == before
        assert console.json("request", "approve", str(number))["before"] is True


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


# ------------------------------------------------------------ many at once


def table(*rows: tuple[str, ...]) -> bytes:
    """A CSV as a unit would fill it in."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8-sig")


HEADING = ("Loai yeu cau", "HỌ VÀ TÊN", "Địa chỉ hộp thư", "Chức danh", "Diện", "Số văn bản", "Đơn vị", "Kênh", "Người đề nghị")
ROWS = (
    ("Cấp mới", "Phan Văn Tú", "", "Chuyên viên", "Viên chức", "7/QĐ", "CNTT", "Văn bản", HOA),
    ("cap moi", "Phan Văn Tư", "", "Chuyên viên", "Hợp đồng", "8/QĐ", "CNTT", "văn bản", HOA),
    ("khôi phục", "", "tvan@mic.gov.vn", "", "", "", "CNTT", "điện thoại", HOA),
    ("đặt lại mật khẩu", "", "khongco", "", "", "9/CV", "CNTT", "văn bản", HOA),
    ("xin nghỉ phép", "", "tvan", "", "", "9/CV", "CNTT", "văn bản", HOA),
)


def test_many_from_a_file_each_with_its_result(console: Console) -> None:
    """First dry, then entered, then once more, which enters nothing."""
    path = console.folder / "yêu cầu.csv"
    path.write_bytes(table(HEADING, *ROWS))
    known = len(console.json("request", "list"))
    for entered in (False, True, True):
        words = ("request", "import", str(path), *(() if entered else ("--dry-run",)), "--json")
        assert console.run(*words) == 1  # some rows were refused
        rows = json.loads(console.out)
        assert [row["row"] for row in rows] == [2, 3, 4, 5, 6]
        assert [row["refused"] is None for row in rows] == [True, False, True, False, False]
        assert rows[1]["clause"] == "6.3"
        assert [row["request_id"] is not None for row in rows] == [entered, False, entered, False, False]
        assert len(console.json("request", "list")) == known + 2 * entered


def test_a_row_that_was_entered_before_is_told_as_it_stands(console: Console) -> None:
    """A request that was withdrawn since is not entered again by the same file, and the result says so."""
    path = console.folder / "hai lần.csv"
    heading = ("Loại yêu cầu", "Nội dung", "Đơn vị", "Kênh", "Người đề nghị")
    path.write_bytes(table(heading, ("vướng mắc", "Thư gửi hai lần", "CNTT", "điện thoại", HOA)))
    assert console.run("request", "import", str(path)) == 0
    assert "1 entered, 0 refused." in console.err
    (row,) = console.json("request", "import", str(path))
    assert row["state"] == "open"
    assert console.run("request", "withdraw", str(row["request_id"])) == 0, console.err
    assert console.run("request", "import", str(path)) == 0
    assert "0 entered, 1 entered before, 0 refused." in console.err
    assert "withdrawn" in console.out
    assert console.json("request", "import", str(path))[0]["state"] == "withdrawn"


@pytest.mark.parametrize(
    ("items", "vi", "en"),
    [
        ({Item.INTO: "KHTC"}, "sáp nhập vào KHTC", "merged into KHTC"),
        ({Item.CLOSES: "CNTT-P1"}, "kết thúc đơn vị CNTT-P1", "unit that ends CNTT-P1"),
        ({Item.NEW_SYMBOL: "CNTT2"}, "ký hiệu mới CNTT2", "new symbol CNTT2"),
        ({Item.NEW_NAME: "Vụ Mới", Item.INTO: "KHTC"}, "Vụ Mới", "V\\u1ee5 M\\u1edbi"),
        ({Item.DAY: "2026-12-01"}, "", ""),
    ],
)
def test_a_change_of_a_unit_says_what_it_is_about(items: dict[Item, str], vi: str, en: str) -> None:
    """A list of requests has no empty place for one that names neither a person nor a mailbox."""
    filing = Filing(Kind.CHANGE, Channel.LETTER, HOA, 1, datetime(2026, 11, 24, tzinfo=UTC), items=items)
    assert (filing.subject.vi, filing.subject.en) == (vi, en)


def test_a_row_that_lacks_something_says_what(console: Console) -> None:
    """The form has no column for the channel; a file of it without `--channel` is told so, and a row without a kind too."""
    path = console.folder / "thiếu.csv"
    heading, *rows = csv.reader(io.StringIO(empty_form(datetime.now(UTC), as_csv=True).decode("utf-8-sig")))
    assert not rows
    column = next(n for n, name in enumerate(heading) if name.startswith("Nội dung"))
    for kind, more, told in (
        ("vướng mắc", (), "The channel is missing: --channel, or a column 'Channel'."),
        ("", ("--channel", "fax"), "The kind of request is missing."),
    ):
        row = [kind, *("máy in" if n == column else "" for n in range(1, len(heading)))]
        path.write_bytes(table(heading, row))
        assert console.run("request", "import", str(path), "--unit", "CNTT", "--asked-by", HOA, *more, "--json") == 1
        assert [row["refused"]["en"] for row in json.loads(console.out)] == [told]


def test_the_form_comes_back_as_it_was_sent(console: Console) -> None:
    """Both forms have the columns that the reader knows; a filled-in XLSX with days as days is understood."""
    for words, name in (((), "mẫu.xlsx"), (("--csv",), "mẫu.csv")):
        path = console.folder / name
        assert console.run("request", "form", str(path), *words) == 0
        sheet = read_table(path.read_bytes())
        assert is_form(sheet)
        assert sheet.rows == ()
    made_at = datetime(2026, 11, 26, tzinfo=UTC)
    heading = read_table(empty_form(made_at, as_csv=False)).heading
    filled = {
        "Loại yêu cầu": "nghỉ",
        "Địa chỉ hộp thư": "tvan",
        "Ngày chính thức": date(2190, 2, 1),
        "Nguyên nhân": "nghỉ hưu",
        "Số văn bản": "5/QĐ",
    }
    row = [filled.get(title.partition(" (")[0]) for title in heading]
    path = console.folder / "nghỉ.xlsx"
    path.write_bytes(xlsx.form(Table("Yêu cầu", [Column(title) for title in heading], [row]), made_at))
    words = ("request", "import", str(path), "--unit", "CNTT", "--asked-by", HOA, "--channel", "letter")
    (entered,) = console.json(*words)
    shown = console.json("request", "show", str(entered["request_id"]))
    assert shown["items"] == {"address": "tvan@mic.gov.vn", "day": "2190-02-01", "cause": "retired"}
    for damaged in (b"", b"PK\x03\x04 no archive", b"\xff\xfe", table(("Họ và tên",), ("An",))):
        path.write_bytes(damaged)
        assert console.run("request", "import", str(path)) == 2


@pytest.mark.clause("4.3")
def test_a_file_that_is_not_ones_own_says_nothing(console: Console) -> None:
    """The command reads with the server's powers: not among the server's files, nor what is no file and never ends."""
    own = console.folder / "data" / "form.csv"
    own.write_bytes(table(HEADING, ("thư mật của người khác", "", "", "", "", "", "CNTT", "văn bản", HOA)))
    link = console.folder / "form.csv"
    link.symlink_to(own)
    pipe = console.folder / "pipe.csv"
    os.mkfifo(pipe)
    for path in (own, link, "/dev/zero", "/proc/self/mem", console.folder, pipe, console.folder / "none"):
        assert console.run("request", "import", str(path)) == 2, path
        assert "người khác" not in console.out + console.err
    command = [PROGRAM, "request", "import", "/dev/stdin", "--dry-run", "--json"]
    given = table(HEADING, ROWS[0])
    done = subprocess.run(command, input=given, env={**os.environ, **console.env}, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_cell_is_one_line_and_says_what_it_shows(console: Console) -> None:
    """Line ends, control characters and signs of direction in a cell forge no line of a list or a letter."""
    note = "Thư chậm\r\n- Yêu cầu số 1:\x00\x1b[2J xong \u202eahp\u2028x\u200b"
    (row,) = ask_by_file(console, ("vướng mắc", note, "CNTT", "điện thoại", HOA, "24/11/2026"))
    shown = console.json("request", "show", str(row["request_id"]))
    assert shown["items"]["note"] == "Thư chậm - Yêu cầu số 1: [2J xong ahp x"


@pytest.mark.parametrize("day", ["01/01/0001 00:00", "31/12/9999 23:59", "24/11/1900 08:00", "31/02/2026 08:00"])
def test_a_day_of_receipt_that_cannot_be(console: Console, day: str) -> None:
    """It is refused with its row, and the other rows are taken."""
    rows = [("vướng mắc", "x", "CNTT", "điện thoại", HOA, given) for given in (day, "24/11/2026 08:00")]
    assert [row["refused"] is None for row in ask_by_file(console, *rows, code=1)] == [False, True]


def ask_by_file(console: Console, *rows: tuple[str, ...], code: int = 0) -> list[dict]:
    """The result of each row."""
    path = console.folder / "rows.csv"
    path.write_bytes(table(("Loại yêu cầu", "Nội dung", "Đơn vị", "Kênh", "Người đề nghị", "Ngày nhận"), *rows))
    assert console.run("request", "import", str(path), "--json") == code, console.err
    return json.loads(console.out)


# ------------------------------------------------------------ whose


@pytest.mark.clause("6.1")
def test_a_unit_asks_and_does_not_decide(tmp_path: Path) -> None:
    """Its administrator files for the own unit, reads and withdraws that; sees nothing of another's, and approves nothing."""
    desk = furnish(tmp_path)
    filed = ("request", "add", "problem", "--asked-by", HOA, "--channel", "telephone", "--note", "Thư đến chậm")
    assert desk.by("hoa", *filed, "--unit", "CNTT-P1") == 0, desk.err
    assert desk.by("hoa", *filed, "--unit", "KHTC") == 2
    assert desk.by("kiem", *filed, "--unit", "CNTT") == 1
    assert "6.1" in desk.err
    assert desk.by("mai", *filed, "--unit", "KHTC") == 0, desk.err
    assert [row["unit"] for row in desk.seen_by("hoa", "request", "list")] == ["CNTT-P1"]
    assert len(desk.seen_by("kiem", "request", "list")) == 2
    for words, code in (
        (("list", "--unit", "KHTC"), 2), (("show", "1"), 0), (("show", "2"), 2), (("withdraw", "2"), 2),
        (("approve", "1"), 1), (("refuse", "1", "--reason", "x"), 1), (("done", "1", "--result", "x"), 1),
        (("withdraw", "1"), 0),
    ):  # fmt: skip
        assert desk.by("hoa", "request", *words) == code, (words, desk.err)
    # The unit that receives somebody asks for a mailbox that is another unit's as yet (Reg. 6.4.b).
    move = ("request", "add", "transfer", "--asked-by", HOA, "--document", "1/QĐ", "--address", "lhoa", "--unit", "CNTT")
    assert desk.by("hoa", *move) == 0, desk.err
    path = tmp_path / "form.csv"
    path.write_bytes(table(HEADING, ("vướng mắc", "", "", "", "", "", "KHTC", "điện thoại", HOA)))
    assert desk.by("hoa", "request", "import", str(path)) == 1
    assert desk.by("hoa", "request", "import", str(path), "--unit", "CNTT") == 1
    assert len(desk.seen_by("mai", "request", "list")) == 3


@pytest.mark.clause("5.4.a", "6.1")
def test_a_unit_does_not_say_since_when_it_waits(tmp_path: Path) -> None:
    """When a request was received decides who is first: what a unit's administrator enters is received now."""
    desk = furnish(tmp_path)
    words = ("request", "add", "issue", "--unit", "CNTT", "--asked-by", HOA, "--document", "1/QĐ", "--name", "Lã Bê", *CLERK)
    assert desk.by("hoa", *words, "--received", "01/01/2020") == 1
    assert "6.2" in desk.err
    assert desk.by("mai", *words, "--received", "24/11/2026") == 0, desk.err
    path = tmp_path / "form.csv"
    row = ("vướng mắc", "chậm", "CNTT", "điện thoại", HOA, "01/01/2020")
    path.write_bytes(table(("Loại yêu cầu", "Nội dung", "Đơn vị", "Kênh", "Người đề nghị", "Ngày nhận"), row))
    assert desk.by("hoa", "request", "import", str(path), "--unit", "CNTT") == 1
    assert desk.by("mai", "request", "import", str(path), "--unit", "CNTT") == 0, desk.err
    assert len(desk.seen_by("mai", "request", "list")) == 2


def test_clause_14_3_a_unit_has_its_list_corrected(console: Console) -> None:
    """It reads its list, and says by a request what is wrong with it."""
    assert "tvan@mic.gov.vn" in console.json("unit", "show", "CNTT")["mailboxes"]
    words = ("request", "add", "correction", "--unit", "CNTT", "--asked-by", HOA, "--channel", "telephone")
    assert console.run(*words) == 2
    assert "14.3" in console.err
    number = str(console.json(*words, "--note", "Trần Văn An là Phó trưởng phòng")["request_id"])
    assert console.run("request", "done", number, "--result", "Đã sửa chức danh") == 0
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
