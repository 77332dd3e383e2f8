"""Reg. 12.3.d as the Centre types it: begun, shown, signed, verified, finished once; and the page on which a keeper sees it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import MailServer
from mic_mail.clock import SystemClock
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from regulation.handover_setup import BE, CNTT, LAN, Office
from regulation.officers import officers_console
from store_harness import deliver
from unit.web.conftest import Browser

pytestmark = pytest.mark.clause("12.3.d")
NAMED = ("--to", "2", "--named-by", "Nguyễn Văn An, Vụ trưởng", "--dated", "20/11/2026", "--document", "45/QĐ-CNTT")


def fill(folder: Path, console: object, *subjects: str, name: str = "INBOX") -> Path:
    """Some mail in cntt@, in this folder; where its INBOX lies."""
    directory = console.directory()
    mailbox = directory.mailbox(CNTT)
    store = LocalMailStore(folder / "data" / "mail", clock=SystemClock(), host="mail.mic.gov.vn")
    account = store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
    if name != "INBOX":
        account.create(name)
    deliver(account, account.folder(name).folder_id, subjects)
    store.close()
    directory.close()
    return folder / "data" / "mail" / mailbox.home / "Maildir" / "cur"


def test_clause_12_3_d_nobody_follows_a_keeper_without_handover(tmp_path: Path) -> None:
    """Neither at once nor from a day on, neither after the end of the term; a new password will do."""
    console = officers_console(tmp_path)
    name = ("mailbox", "grant", CNTT)
    console.done_by("mai", *name, "1", "--as", "keeper", "--document", "1/QĐ")
    console.done_by("mai", *name, "1", "--as", "keeper", "--until", "31/12/2098", "--document", "2/QĐ")
    for more in ((), ("--from", "01/01/2099")):
        console.refused_by(
            "mai", *name, "2", "--as", "keeper", *more, "--document", "3/QĐ", says=("Reg. 12.3.d", "handover begin")
        )
    assert {row["holder"] for row in console.json_by("mai", "mailbox", "rights", CNTT)} == {BE}

    console.done_by("mai", "mailbox", "revoke", CNTT, "1", "--document", "4/QĐ")
    assert f"The password of {CNTT} is unchanged" in " ".join(console.err.split())
    console.refused_by("mai", *name, "2", "--as", "keeper", "--document", "5/QĐ")
    assert "password reset" in " ".join(console.err.split())
    console.done_by("mai", "password", "reset", CNTT, "--document", "6/QĐ", "--reason", "hết phân công")
    console.done_by("mai", *name, "2", "--as", "keeper", "--document", "7/QĐ")
    console.done_by("mai", "mailbox", "revoke", CNTT, "2", "--document", "8/QĐ")
    console.refused_by("mai", *name, "1", "--as", "keeper", "--document", "9/QĐ")


def test_clause_12_3_d_the_head_is_a_person_on_record(tmp_path: Path) -> None:
    """By an address or an id, name and position are those of the directory; whoever is not there is refused."""
    console = officers_console(tmp_path)
    person = console.json_by("mai", "person", "show", "1")
    begin = ("handover", "begin", CNTT, "--to", "2", "--document", "45/QĐ-CNTT", "--named-by")
    assert console.by("mai", *begin, "ai.do@mic.gov.vn") != 0
    assert "ai.do@mic.gov.vn" in console.err
    for named in (BE, "1"):  # the second time it is begun in the same words
        assert console.json_by("mai", *begin, named)["named_by"] == f"{person['full_name']}, {person['position']}"
    minutes = tmp_path / "bb.html"
    console.done_by("mai", "handover", "minutes", CNTT, "--out", minutes)
    _, _, signed = minutes.read_text().rpartition("Thủ trưởng đơn vị")
    assert person["full_name"] in signed


def test_clause_12_3_d_from_begin_to_verify(tmp_path: Path) -> None:
    """The whole course by commands; every act is on record with its document, the inventory's digest among them."""
    console = officers_console(tmp_path)
    cur = fill(tmp_path, console, "một", "hai", "ba")
    console.done_by("mai", "mailbox", "grant", CNTT, "1", "--as", "keeper", "--document", "1/QĐ")
    console.refused_by("mai", "handover", "begin", CNTT, *NAMED[:-2], code=2)  # no document
    console.done_by("mai", "handover", "begin", CNTT, *NAMED)
    console.refused_by("mai", "handover", "cancel", CNTT, code=2)  # no reason
    console.done_by("mai", "handover", "cancel", CNTT, "--reason", "Thủ trưởng đổi ý")
    assert console.json_by("mai", "handover", "show", CNTT)["standing"] == "cancelled"
    assert [row["holder"] for row in console.json_by("mai", "mailbox", "rights", CNTT) if row["holds"]] == [BE]
    begun = console.json_by("mai", "handover", "begin", CNTT, *NAMED, "--until", "31/12/2099")
    assert (begun["standing"], begun["from"], begun["to"], begun["until"]) == ("counted", BE, LAN, "2099-12-31")
    assert begun["messages"] == 4  # a welcome too
    assert "Mail of cntt@mic.gov.vn cannot be expunged" in console.err
    assert [row["to"] for row in console.json_by("hoa", "handover", "list", "--running")] == [LAN]
    assert console.json_by("hoa", "mailbox", "show", CNTT)["handed_over_to"] == LAN
    console.refused_by("mai", "handover", "begin", CNTT, *NAMED, "--until", "30/12/2099")  # not what was begun
    console.refused_by("mai", "mailbox", "grant", CNTT, "2", "--as", "keeper", "--document", "1/QĐ", says="being handed over")
    console.refused_by("mai", "mailbox", "reclaim", CNTT, "--reason", "sáp nhập", "--document", "3/QĐ")  # mail would be refused
    assert "being handed over" in console.err
    assert console.json_by("mai", "mailbox", "show", CNTT)["states"] != ["reclaimed"]
    (half,) = [path.parent / ".5.half" for path in (tmp_path / "data" / "handovers").rglob("*.jsonl")][-1:]
    half.write_text("")  # of a count that goes on
    console.done_by("mai", "backup", tmp_path / "b")
    kept = [path.name for path in (tmp_path / "b" / "handovers").rglob("*") if path.is_file()]
    assert kept
    assert half.name not in kept
    console.refused_by("mai", "restore", CNTT, tmp_path / "b", "--replace", says="Reg. 12.3.d")

    finished = console.json_by("mai", "handover", "finish", CNTT)
    assert (finished["keeper"], finished["until"]) == (LAN, "2099-12-31")
    assert len(finished["password"]) > 12
    again = console.json_by("mai", "handover", "finish", CNTT)
    assert again["password"] is None
    assert "was already handed over" in console.err

    pdf, html = tmp_path / "bb.pdf", tmp_path / "bb.html"
    console.done_by("kiem", "handover", "minutes", CNTT, "--out", pdf, "--number", "07/BB")
    assert pdf.read_bytes().startswith(b"%PDF-1.7")
    console.done_by("mai", "handover", "minutes", CNTT, "--out", html)
    told = html.read_text()
    for words in (
        "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "Biên bản bàn giao hộp thư điện tử của đơn vị", "Số: ............/BB",
        "Căn cứ văn bản số 45/QĐ-CNTT ngày 20/11/2026 của Nguyễn Văn An, Vụ trưởng", "Đỗ Văn Bê", "Trần Thị Lan",
        "Trung tâm Thông tin (Phạm Mai)", "Bảng kiểm kê", begun["digest"], "đến hết ngày 31/12/2099", "khởi tạo lại mật khẩu",
    ):  # fmt: skip
        assert words in told, words

    assert console.json_by("kiem", "handover", "verify", CNTT)["whole"]
    next(path for path in cur.iterdir() if "U=2" in path.name).unlink()
    console.refused_by("kiem", "handover", "verify", CNTT, "--json")
    [lost] = json.loads(console.out)["messages"]
    assert (lost["folder"], lost["uid"], lost["fate"], lost["message_id"]) == ("INBOX", 2, "missing", "<một@mic.gov.vn>")
    console.refused_by("kiem", "handover", "verify", CNTT)
    assert "<một@mic.gov.vn>" in console.out
    fill(tmp_path, console, "bốn", name="Công văn mới")
    console.refused_by("kiem", "handover", "verify", CNTT, says="Folder created since: C")

    acts = {act["act"]: act for act in console.acts}
    assert acts["handover_begin"]["document"] == "45/QĐ-CNTT"
    assert acts["handover_counted"]["digest"] == begun["digest"]
    assert {"handover_finish", "handover_minutes", "handover_verify", "mailbox_grant_refused"} <= acts.keys()
    kept = tmp_path / "data" / "handovers" / "mic.gov.vn" / "cntt"
    name = f"{begun['number']}-{begun['digest'][:16]}.jsonl"
    assert name in [path.name for path in kept.iterdir()]
    assert (tmp_path / "b" / "handovers" / "mic.gov.vn" / "cntt" / name).exists()


@pytest.mark.clause("12.3")
def test_clause_12_3_what_is_kept_is_seen_by_its_keeper(serve: Callable[..., MailServer]) -> None:
    """On the page of the own mailbox: the unit's mailbox with part, term, space and state; who keeps nothing sees no list."""
    office = Office(serve({"listen": {"doors": ("imaps", "https")}}))
    office.server.allow(office.unit, office.be, "keeper", until="2099-12-31")
    office.fill("bí mật của đơn vị")
    browser = Browser(office.server)
    page = browser.signed_in("dvbe", PASSWORD).page.text
    for words in ("Cục CNTT", CNTT, "người quản lý hộp thư", "đến hết ngày 31/12/2099", "đang hoạt động", "Đã sử dụng 0%"):
        assert words in page, words
    assert "bí mật" not in page
    office.begin()
    assert "đang bàn giao: chưa được xóa, chuyển thư" in browser.get("/mailbox").text
    other = Browser(office.server)
    assert "Hộp thư đơn vị, nhóm" not in other.signed_in("ttlan", PASSWORD).page.text
    office.finish()
    assert CNTT not in browser.get("/mailbox").text
    page = other.get("/mailbox").text
    assert CNTT in page
    assert "phải đổi mật khẩu" in page
    for each in (browser, other):
        each.close()
    office.close()
