"""Reg. 6.2, 6.4.b, 6.4.c, 6.5: a ministry merges two units and promotes three people by the form that a unit mails in."""

import smtplib
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from harness import MailServer
from mic_mail.cli.main import main
from mic_mail.clock import ManualClock
from mic_mail.config.document import write
from mic_mail.policy.facts import Level, MailboxKind
from mic_mail.policy.requests import State
from mic_mail.services.mailboxes.addressbook import make_book
from mic_mail.services.mailboxes.inspection import Severity, inspect
from mic_mail.services.settings.readings import lifecycle_settings
from regulation.test_clause_6_2_mail import SECRET, a_csv

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
HEADING = ("Loại yêu cầu", "Địa chỉ hộp thư", "Chức danh", "Tên mới", "Địa chỉ đã chọn", "Sáp nhập vào", "Số văn bản")
ROWS = (
    ("thay đổi", "an", "Vụ trưởng", "", "", "", "41/QĐ-TCCB"),
    ("thay đổi", "binh", "Phó Vụ trưởng Vụ Kinh tế số", "", "", "", "42/QĐ-TCCB"),
    ("đính chính", "chi", "Trưởng phòng", "Lê Thị Chi", "ltchi", "", "43/QĐ-TCCB"),
    ("thay đổi", "", "", "", "", "OF-kts", "50/QĐ-BTTTT"),
)


@pytest.fixture
def server(serve: Callable[..., MailServer]) -> MailServer:
    """CNTT with its mailbox and three people; the unit into which it will be merged, with its own."""
    server = serve(clock=ManualClock(NOW))
    server.issue("support", password=SECRET, kind=MailboxKind.UNIT)
    server.issue("cntt", password=SECRET, kind=MailboxKind.UNIT)
    server.issue("kts", password=SECRET, kind=MailboxKind.UNIT)
    for local, name in (("an", "Đỗ An"), ("binh", "Hà Bình"), ("chi", "Lê Chi")):
        server.issue(local, name=name, password=SECRET)
    server.housekeep()
    return server


def submit(server: MailServer, sign_in: str, message: EmailMessage) -> None:
    with smtplib.SMTP("localhost", server.ports["submission"], timeout=60) as client:
        client.starttls(context=server.tls())
        client.login(sign_in, SECRET)
        client.send_message(message)


def letter(sender: str, to: str, subject: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"], message["Message-ID"] = sender, to, subject, f"<{subject}@x.test>"
    message.set_content("Kính gửi")
    return message


def inbox(server: MailServer, home: str) -> str:
    """All messages of a mailbox, one after the other."""
    server.call(server.running.rooms.mailflow.settle())
    folder = server.config.mail_root / "mic.gov.vn" / home / "Maildir" / "cur"
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir())).decode("utf-8", "replace")


@pytest.mark.clause("6.2", "6.4.b", "6.4.c", "6.5")
def test_two_units_merge_and_three_people_are_promoted(
    server: MailServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mail to the old addresses arrives, who was promoted sends after leaving as long as the new level says, and all agrees."""
    config, directory = tmp_path / "mic-mail.toml", server.population.directory
    config.write_text(write(server.config))

    def run(*words: str) -> int:
        code = main(["--config", str(config), "--lang", "en", *words], server.clock)
        run.said = "".join(capsys.readouterr())  # type: ignore[attr-defined]
        server.refresh()
        return code

    form = letter("cntt@mic.gov.vn", "support@mic.gov.vn", "yeu-cau")
    form.add_attachment(a_csv(HEADING, *ROWS), maintype="application", subtype="octet-stream", filename="thay đổi.csv")
    submit(server, "cntt@mic.gov.vn", form)
    server.housekeep()
    requests = directory.requests.all()
    assert len(requests) == len(ROWS), inbox(server, "cntt")
    assert run("request", "approve", "--dry-run", *(str(each.request_id) for each in requests)) == 0
    assert directory.changes.all() == []
    assert run("request", "approve", *(str(each.request_id) for each in requests)) == 0
    assert {each.state for each in directory.requests.all()} == {State.DONE}
    assert run("request", "approve", str(requests[0].request_id)) == 0  # twice is once
    assert len(directory.changes.all()) == len(ROWS)

    kts = directory.unit("OF-kts")
    people = {person.full_name: person for person in directory.people()}
    assert {name: (person.position, person.level, person.unit_id) for name, person in people.items()} == {
        "Đỗ An": ("Vụ trưởng", Level.DEPARTMENT, kts.unit_id),
        "Hà Bình": ("Phó Vụ trưởng Vụ Kinh tế số", Level.DEPARTMENT, kts.unit_id),
        "Lê Thị Chi": ("Trưởng phòng", Level.DIVISION, kts.unit_id),
    }
    book = make_book(directory, server.config, server.clock.now())
    cards = {card.name: card for card in book.cards}
    assert (cards["Đỗ An"].unit.symbol, cards["Đỗ An"].position) == ("OF-kts", "Vụ trưởng")
    assert cards["Lê Thị Chi"].addresses == ("ltchi@mic.gov.vn",)
    assert "CNTT" not in {card.unit.symbol for card in book.cards}

    with smtplib.SMTP("localhost", server.ports["smtp"], timeout=60) as outside:
        for to in ("cntt@mic.gov.vn", "chi@mic.gov.vn"):
            outside.send_message(letter("a@example.net", to, f"gui-{to.partition('@')[0]}"))
    assert "gui-cntt" in inbox(server, "kts")
    assert "gui-cntt" not in inbox(server, "cntt")
    assert "gui-chi" in inbox(server, "chi")

    submit(server, "chi@mic.gov.vn", letter("ltchi@mic.gov.vn", "binh@mic.gov.vn", "ten-cu"))  # still signs in by the old one
    assert "ten-cu" in inbox(server, "binh")
    with pytest.raises(smtplib.SMTPAuthenticationError):  # an alias of another unit's mailbox is none
        submit(server, "cntt@mic.gov.vn", letter("kts@mic.gov.vn", "binh@mic.gov.vn", "khong"))
    for address in ("an@mic.gov.vn", "ltchi@mic.gov.vn"):
        assert run("mailbox", "leave", address, "26/11/2026", "--cause", "retired", "--document", "9/QĐ") == 0
    submit(server, "an@mic.gov.vn", letter("an@mic.gov.vn", "binh@mic.gov.vn", "con-gui-duoc"))
    assert "con-gui-duoc" in inbox(server, "binh")
    with pytest.raises(smtplib.SMTPException):
        submit(server, "ltchi@mic.gov.vn", letter("ltchi@mic.gov.vn", "binh@mic.gov.vn", "da-khoa"))

    server.housekeep()
    assert "Yêu cầu" in inbox(server, "kts") or "request" in inbox(server, "kts")  # the successor is answered
    assert run("unit", "show", "CNTT", "--json") == 0
    assert '"successor": "OF-kts"' in run.said  # type: ignore[attr-defined]
    assert run("directory", "history", "--person", str(people["Đỗ An"].person_id)) == 0
    assert all(word in run.said for word in ("Chuyên viên", "Vụ trưởng", "41/QĐ-TCCB"))  # type: ignore[attr-defined]
    snapshot = directory.load_snapshot()
    found = inspect(
        snapshot, server.config.mail_root, server.clock.now(), lifecycle_settings(server.config, snapshot.working_days)
    )
    assert not [each for each in found if each.severity is Severity.ERROR]
