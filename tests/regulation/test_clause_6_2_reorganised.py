"""Reg. 6.2, 6.4.b, 6.4.c, 6.5: a ministry merges two units and promotes three people by the form that a unit mails in."""

import smtplib
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from harness import MailServer
from mic_mail.cli.main import main
from mic_mail.clock import ManualClock
from mic_mail.config.manual import write
from mic_mail.policy.facts import Level, MailboxKind
from mic_mail.policy.requests import RequestState
from mic_mail.services.mailboxes.address_book import make_book
from mic_mail.services.mailboxes.consistency_check import FindingSeverity, inspect
from mic_mail.services.settings import lifecycle_settings
from regulation.requests_by_mail import SECRET, a_csv

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
    server.call(server.running.context.mailflow.settle())
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
    assert all(new in run.said for new in ("Phó Vụ trưởng Vụ Kinh tế số", "Lê Thị Chi", "cntt.cu@mic.gov.vn"))  # type: ignore[attr-defined]
    assert directory.changes.all() == []
    assert run("request", "approve", *(str(each.request_id) for each in requests)) == 0
    assert {each.state for each in directory.requests.all()} == {RequestState.DONE}
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
    assert not [each for each in found if each.severity is FindingSeverity.ERROR]


def bodies(server: MailServer, home: str) -> str:
    """The texts of all messages of a mailbox."""
    server.call(server.running.context.mailflow.settle())
    folder = server.config.mail_root / "mic.gov.vn" / home / "Maildir" / "cur"
    messages = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(folder.iterdir())]
    found = [message.get_body(("plain",)) for message in messages]
    return "\n".join(each.get_content() for each in found if each is not None)


SPLIT_HEADING = ("Loại yêu cầu", "Chia, tách", "Phần còn lại về", "Kết thúc đơn vị", "Tên mới", "Số văn bản")
SPLIT = (
    ("thay đổi", "an=OF-kts; Hà Bình=OF-kts; P1=OF-kts", "", "", "", "51/QĐ"),
    ("thay đổi", "", "", "p2", "", "52/QĐ"),
)
REFUSED = (
    (("thay đổi", "an=OF-kts", "", "P2", "", "53/QĐ"), "Chia, tách là một yêu cầu riêng."),
    (("thay đổi", "", "OF-kts", "", "Tên khác", "53/QĐ"), "Chia, tách là một yêu cầu riêng."),
    (("thay đổi", "kts=OF-kts", "", "", "", "53/QĐ"), "không thuộc đơn vị đề nghị"),
    (("thay đổi", "OF-kts=P1", "", "", "", "53/QĐ"), "không thuộc đơn vị đề nghị"),
    (("thay đổi", "Trần Không Có=OF-kts", "", "", "", "53/QĐ"), "Đơn vị có 0 cá nhân tên"),
    (("thay đổi", "an", "", "", "", "53/QĐ"), "Không hiểu “an”."),
    (("thay đổi", "", "", "OF-kts", "", "53/QĐ"), "OF-kts không thuộc đơn vị đề nghị."),
    (("thay đổi", "", "", "P3", "", "53/QĐ"), "P3"),
)


@pytest.mark.clause("6.2", "6.5")
def test_a_unit_is_split_and_closed_by_the_form(server: MailServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each row is rehearsed, then done: who is named goes, a part with nothing left ends, then the unit itself, and mail to it
    arrives; rows that do not fit are refused, each in its words. A unit ends alone once its mailbox is reclaimed."""
    config, directory = tmp_path / "mic-mail.toml", server.population.directory
    config.write_text(write(server.config))

    def run(*words: str, ends: int = 0) -> str:
        code = main(["--config", str(config), "--lang", "en", *words], server.clock)
        said = "".join(capsys.readouterr())
        assert code == ends, said
        server.refresh()
        return said

    def asked(*rows: tuple[str, ...]) -> list[str]:
        """The numbers of the requests that a form led to."""
        before = {each.request_id for each in directory.requests.all()}
        form = letter("cntt@mic.gov.vn", "support@mic.gov.vn", f"yeu-cau-{len(before)}")
        octets = a_csv(SPLIT_HEADING, *rows)
        form.add_attachment(octets, maintype="application", subtype="octet-stream", filename="chia tách.csv")
        submit(server, "cntt@mic.gov.vn", form)
        server.housekeep()
        return [str(each.request_id) for each in directory.requests.all() if each.request_id not in before]

    def unit_of(name: str) -> str:
        unit_id = next(person.unit_id for person in directory.people() if person.full_name == name)
        return next(unit.symbol for unit in directory.units() if unit.unit_id == unit_id)

    server.issue("hh", password=SECRET, kind=MailboxKind.UNIT)
    run("unit", "change", "OF-hh", "--parent", "OF-kts", "--document", "1/QĐ")
    for symbol in ("P1", "P2"):
        run("unit", "add", symbol, f"Phòng {symbol}", "--parent", "CNTT", "--document", "1/QĐ")
    assert asked(*(row for row, _ in REFUSED)) == []
    server.housekeep()
    answer = bodies(server, "cntt")
    assert [words for _, words in REFUSED if words not in answer] == []

    numbers = asked(*SPLIT)
    assert len(numbers) == len(SPLIT)
    rehearsed = run("request", "approve", "--dry-run", *numbers)
    assert all(number in rehearsed for number in numbers)
    assert len(directory.changes.all()) == 1  # the unit above of OF-hh
    run("request", "approve", *numbers)
    assert [unit_of(name) for name in ("Đỗ An", "Hà Bình", "Lê Chi")] == ["OF-kts", "OF-kts", "CNTT"]
    units = {unit.symbol: unit for unit in directory.units()}
    assert units["P1"].parent_id == units["OF-kts"].unit_id
    assert [symbol for symbol, unit in units.items() if not unit.is_living] == ["P2"]

    run("request", "approve", *asked(("thay đổi", "", "OF-kts", "", "", "54/QĐ")))
    assert unit_of("Lê Chi") == "OF-kts"
    assert '"successor": "OF-kts"' in run("unit", "show", "CNTT", "--json")
    with smtplib.SMTP("localhost", server.ports["smtp"], timeout=60) as outside:
        outside.send_message(letter("a@example.net", "cntt@mic.gov.vn", "gui-cntt"))
    assert "gui-cntt" in inbox(server, "kts")

    run("request", "add", "change", "--unit", "OF-hh", "--asked-by", "VP", "--close", "OF-hh", "--document", "55/QĐ")
    number = str(max(each.request_id for each in directory.requests.all()))
    assert "still has: hh@mic.gov.vn" in run("request", "approve", number, ends=1)
    run("mailbox", "reclaim", "hh@mic.gov.vn", "--reason", "giải thể", "--document", "55/QĐ")
    run("request", "approve", number)
    assert not next(unit for unit in directory.units() if unit.symbol == "OF-hh").is_living
    assert directory.mailbox("hh@mic.gov.vn").unit_id == directory.unit("OF-kts").unit_id
    snapshot = directory.load_snapshot()
    found = inspect(
        snapshot, server.config.mail_root, server.clock.now(), lifecycle_settings(server.config, snapshot.working_days),
        units=directory.units(), people=directory.people(), pending=directory.changes.pending(),
    )  # fmt: skip
    assert not [each for each in found if each.severity is FindingSeverity.ERROR]
    server.housekeep()
    assert not [event for event in server.events() if event.get("event") == "duty_failed"]
