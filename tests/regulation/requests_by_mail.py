"""A ministry in which units ask the Centre by mail."""

import csv
import email
import io
import smtplib
from datetime import UTC, datetime
from email.message import EmailMessage, Message
from typing import Any

from mic_mail.documents import xlsx
from mic_mail.documents.document import Column, Table
from mic_mail.policy.facts import MailboxKind
from mic_mail.services.requests.form import empty_form, read_table
from mic_mail.services.requests.register import Register
from mic_mail.storage.types import INBOX, AccountRef

SECRET = "mat khau 2026 de thu"
HOST = "mail.mic.gov.vn"
NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)  # a Thursday, 10:00 in Hà Nội
HEADING = ("Loại yêu cầu", "Họ và tên", "Địa chỉ hộp thư", "Chức danh", "Diện", "Số văn bản", "Nội dung")
ROWS = (
    ("cấp mới", "Đỗ Văn Bê", "", "Chuyên viên", "công chức", "12/QĐ", ""),
    ("đặt lại mật khẩu", "", "be", "", "", "", "Quên"),
    ("đặt lại mật khẩu", "", "nobody", "", "", "", ""),
    ("cấp mới", "Đỗ Văn Xê", "", "Chuyên viên", "hợp đồng", "13/QĐ", ""),
)


def a_csv(*rows: tuple[str, ...]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=";").writerows(rows)
    return out.getvalue().encode("utf-8-sig")


def an_xlsx(*rows: tuple[str, ...]) -> bytes:
    """The form itself, filled in."""
    titles = read_table(empty_form(NOW, as_csv=False)).heading
    at = {title.partition(" (")[0]: number for number, title in enumerate(titles)}
    cells = [
        [next((v for k, v in zip(HEADING, row, strict=True) if at[k] == n), "") for n in range(len(titles))] for row in rows
    ]
    return xlsx.form(Table("Yêu cầu", [Column(title) for title in titles], cells), NOW)


class Ministry:
    """A ministry with the Centre's support@, a unit's mailbox, its keeper and another person."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.support = server.issue("support", password=SECRET, kind=MailboxKind.UNIT)
        self.unit = server.issue("cntt", name="Vụ CNTT", password=SECRET, kind=MailboxKind.UNIT)
        self.be = server.issue("be", password=SECRET)
        self.directory = server.population.directory
        server.housekeep()

    def mail(self, sender: str, octets: bytes | None, name: str = "yêu cầu.csv", **fields: str) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, "support@mic.gov.vn", "Yêu cầu"
        message["Message-ID"] = "<mau-1@cntt.mic.gov.vn>"
        for field, value in fields.items():
            message[field.replace("_", "-")] = value
        message.set_content("Kính gửi Trung tâm")
        if octets is not None:
            message.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
        return message

    def submit(self, message: EmailMessage, sign_in: str, sender: str | None = None) -> None:
        """From a mail program that signs in."""
        with smtplib.SMTP("localhost", self.server.ports["submission"], timeout=30) as client:
            client.starttls(context=self.server.tls())
            client.login(sign_in, SECRET)
            client.send_message(message, sender or str(message["From"]))
        self.server.housekeep()

    def inbox(self, mailbox: Any) -> list[Message]:
        account = self.server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        folder = account.folder(INBOX).folder_id
        found = []
        for uid in account.view(folder).uids:
            with account.open_message(folder, uid) as file:
                found.append(email.message_from_bytes(file.pread(0, file.size)))
        return found

    def reminders(self) -> list[Message]:
        return [m for m in self.inbox(self.support) if b"request list --overdue" in m.get_payload(decode=True)]

    def opened(self) -> list[Any]:
        return self.directory.requests.all()


def register(ministry: Ministry) -> Register:
    return Register(ministry.directory, ministry.server.config, ministry.server.clock)
