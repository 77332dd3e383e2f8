"""A real Thunderbird against a real server: what a person in the ministry does all day."""

import smtplib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clients.thunderbird import Login, ScriptFailed, Thunderbird
from mic_mail.clock import HO_CHI_MINH
from mic_mail.policy.facts import FactKind, MailboxKind
from mic_mail.services.authentication.delegation import show_in
from population import PASSWORD, draft

if TYPE_CHECKING:
    from harness import MailServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_tool("Xvfb", "thunderbird"),
]

DVBE, TTLAN, NVHUNG = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn", "nvhung@mic.gov.vn"
SPECIAL = {"INBOX": 0x1000, "Drafts": 0x400, "Sent": 0x200, "Trash": 0x100, "Archive": 0x4000, "Junk": 0x40000000}
"""nsMsgFolderFlags: what Thunderbird takes each folder for."""


@pytest.fixture
def server(serve: Callable[..., "MailServer"]) -> "MailServer":
    server = serve()
    server.issue("dvbe", name="Đỗ Văn Bê")
    server.issue("ttlan", name="Trần Thị Lan")
    return server


@pytest.fixture
def program(server: "MailServer", tmp_path: Path) -> Iterator[Thunderbird]:
    """A fresh Thunderbird that trusts the server's certificate; a picture of its end stays in tmp_path."""
    running = Thunderbird(tmp_path / "thunderbird")
    try:
        running.trust(server.config.certificate.read_text(), server.host, list(server.ports.values()))
        yield running
    finally:
        running.screenshot(tmp_path / "end.png")
        running.close()


def login(server: "MailServer", address: str, name: str, *, starttls: bool = False, password: str = PASSWORD) -> Login:
    ports = ("imap", "submission") if starttls else ("imaps", "submissions")
    kind = 2 if starttls else 3
    return Login(name, address, password, server.ports[ports[0]], server.ports[ports[1]], server.host, kind, kind)


def deliver(server: "MailServer", to: str, subject: str) -> None:
    """Mail from another server."""
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=20) as mx:
        message = f"From: Bạn <ban@example.org>\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nxin chào\r\n"
        mx.sendmail("ban@example.org", [to], message.encode(), ["SMTPUTF8"])


@pytest.mark.clause("8.1")
def test_a_day_with_thunderbird(server: "MailServer", program: Thunderbird, tmp_path: Path) -> None:
    """Set up, read, send with an attachment, find it in Sent, see new mail without asking, answer from the other side."""
    program.set_up(login(server, DVBE, "Đỗ Văn Bê"))
    program.wait_for_folders(DVBE, len(SPECIAL))
    shown = program.folders(DVBE)
    for name, flag in SPECIAL.items():
        assert shown[name] & flag, f"{name} is not what it is for"
    assert len(shown) == len(SPECIAL), "no folder came twice"

    program.select(DVBE, "INBOX")
    deliver(server, DVBE, "Thư mới")
    program.wait_for(DVBE, "INBOX", "Thư mới")

    report = tmp_path / "Báo cáo tháng 11.txt"
    report.write_text("Số liệu tháng 11\n" * 1000, encoding="utf-8")
    assert program.send(DVBE, TTLAN, "Báo cáo", "Chào chị Lan,\nxin gửi báo cáo.", report) == ""
    program.select(DVBE, "Sent")
    program.wait_for(DVBE, "Sent", "Báo cáo")

    program.set_up(login(server, TTLAN, "Trần Thị Lan", starttls=True))
    program.wait_for_folders(TTLAN, len(SPECIAL))
    program.select(TTLAN, "INBOX")
    program.wait_for(TTLAN, "INBOX", "Báo cáo")
    seen = program.open_message(TTLAN, "INBOX", "Báo cáo")
    assert "xin gửi báo cáo." in seen["text"]
    assert seen["names"] == ["Báo cáo tháng 11.txt"]


def test_a_leaver_is_told_why_sending_fails(server: "MailServer", program: Thunderbird) -> None:
    """Reg. 6.4.c: a send-locked mailbox is set up and read, and the dialog at sending shows reason, clause and reference,
    in Vietnamese without marks and in English."""
    left = datetime.now(HO_CHI_MINH) - timedelta(days=10)
    server.issue("nvhung", name="Nguyễn Văn Hùng", facts=[draft(FactKind.LEFT, left, "nghỉ hưu", level="division")])
    program.set_up(login(server, NVHUNG, "Nguyễn Văn Hùng"))
    program.select(NVHUNG, "INBOX")
    words = program.send(NVHUNG, TTLAN, "không gửi được", "x")
    assert "Reg. 6.4.c" in words
    assert "Lien he support@mic.gov.vn, ma" in words
    assert "support@mic.gov.vn, reference" in words


def test_a_suspended_mailbox_is_not_set_up(server: "MailServer", program: Thunderbird) -> None:
    """Reg. 7.1: neither a suspended mailbox nor a wrong password gets through the set-up."""
    suspended = draft(FactKind.SUSPENDED, datetime.now(HO_CHI_MINH) - timedelta(hours=1), "mã độc", cause="c")
    server.issue("pqkhanh", facts=[suspended])
    for address, password in (("pqkhanh@mic.gov.vn", PASSWORD), (DVBE, "sai mật khẩu rồi")):
        with pytest.raises(ScriptFailed, match="Unable to log in"):
            program.set_up(login(server, address, "x", password=password))


def test_a_suspension_ends_the_session_and_is_explained(server: "MailServer", program: Thunderbird) -> None:
    """Reg. 7.1: the open session is cut, and at the next click a dialog tells state, clause and where to turn."""
    mailbox = server.issue("pqkhanh", name="Phạm Quốc Khánh")
    program.set_up(login(server, mailbox.address, "Phạm Quốc Khánh"))
    program.wait_for_folders(mailbox.address, len(SPECIAL))
    program.select(mailbox.address, "INBOX")
    server.record(mailbox, draft(FactKind.SUSPENDED, datetime.now(HO_CHI_MINH), "mã độc", cause="c"))
    program.select(mailbox.address, "Sent")
    words = program.dialog()
    assert "Reg. 7.2.c" in words
    assert "Lien he support@mic.gov.vn, ma" in words
    assert "support@mic.gov.vn, reference" in words


def test_a_unit_mailbox_in_the_hands_of_its_keeper(server: "MailServer", program: Thunderbird) -> None:
    """Reg. 12.3: it is there below Shared, mail comes into it by itself, and Sent stays the person's own.

    When the authority ends, the person's own mailbox goes on as if nothing had been.
    """
    unit = server.issue("cntt", name="Cục CNTT", kind=MailboxKind.UNIT)
    keeper = server.population.directory.mailbox(DVBE)
    server.allow(unit, keeper, "keeper")
    show_in(server.running.context.store, keeper, unit, "mic.gov.vn")
    program.set_up(login(server, DVBE, "Đỗ Văn Bê"))
    program.wait_for_folders(DVBE, 2 * len(SPECIAL))
    shown = program.folders(DVBE)
    assert shown["Shared/cntt"] & SPECIAL["INBOX"] == 0, shown
    assert sum(bool(flags & SPECIAL["Sent"]) for flags in shown.values()) == 1
    program.select(DVBE, "cntt")
    deliver(server, unit.address, "Gửi đơn vị")
    program.wait_for(DVBE, "cntt", "Gửi đơn vị")
    server.deny(unit, keeper)
    program.select(DVBE, "INBOX")
    deliver(server, DVBE, "Gửi cá nhân")
    program.wait_for(DVBE, "INBOX", "Gửi cá nhân")
