"""Messages that the server writes itself."""

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addresses import Spelling, parsed, spellings
from cost_growth import assert_linear
from messages.scans import scan
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.mime.addresses import parse_addresses
from mic_mail.mime.compose import Attachment, Mailbox, bilingual, compose
from mic_mail.mime.headers import fields
from mic_mail.mime.imap_structure import answers_of

CENTRE = Mailbox("Trung tâm Thông tin", parsed("support@mic.gov.vn"))
READER = Mailbox("Đỗ Văn Bê", parsed("dvbe@mic.gov.vn"))
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=timezone(timedelta(hours=7)))


def letter(**changes: Any) -> bytes:
    """A notice, with changes."""
    usual: dict[str, Any] = {
        "sender": CENTRE,
        "to": [READER],
        "subject": "Hộp thư sắp đầy / Mailbox nearly full",
        "text": bilingual("Kính gửi anh Bê,\nhộp thư đã dùng 92 %.", "Dear Bê,\n92 % is in use."),
        "date": NOON,
        "message_id": "notice.1@mail.mic.gov.vn",
    }
    return compose(**(usual | changes))


def read(message: bytes) -> EmailMessage:
    parsed = message_from_bytes(message, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def test_a_notice_reads_as_it_was_written() -> None:
    """Names, subject and both languages arrive; it says that no person wrote it (RFC 3834)."""
    parsed = read(letter())
    assert parsed["From"] == "Trung tâm Thông tin <support@mic.gov.vn>"
    assert parsed["To"] == "Đỗ Văn Bê <dvbe@mic.gov.vn>"
    assert parsed["Subject"] == "Hộp thư sắp đầy / Mailbox nearly full"
    assert parsed["Message-ID"] == "<notice.1@mail.mic.gov.vn>"
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["Date"] == "Tue, 24 Nov 2026 12:00:00 +0700"
    text = parsed.get_content()
    assert text.index("92 %") < text.index("-----") < text.index("Dear")


@given(st.text(), st.text(), st.text())
def test_nothing_given_can_add_a_field_or_break_a_line(name: str, subject: str, text: str) -> None:
    """Whatever stands in names, subjects and texts: CRLF, 7-bit, short lines, the same fields."""
    message = letter(sender=Mailbox(name, parsed("a@b.vn")), subject=subject, text=text)
    assert message.isascii()
    found = scan(message)
    assert (found.bare_cr, found.bare_lf, b"\0" in message) == (0, 0, False)
    assert all(len(line) <= 78 for line in message.split(b"\r\n"))
    names = [line.partition(b":")[0] for line in found.header.split(b"\r\n") if line and line[:1] not in b" \t"]
    assert names == [
        b"Date",
        b"From",
        b"To",
        b"Subject",
        b"Message-ID",
        b"Auto-Submitted",
        b"MIME-Version",
        b"Content-Type",
        b"Content-Transfer-Encoding",
    ]


def test_no_value_can_add_a_field() -> None:
    """A line end in an address, an identifier or a type becomes a space."""
    evil = "x\r\nBcc: y@z.vn"
    message = letter(
        message_id=evil,
        in_reply_to=evil,
        auto_submitted=evil,
        extra=[("X-A", evil)],
        attachments=[Attachment(evil, evil, b"x")],
    )
    assert b"\nBcc" not in message


def test_what_it_replies_to_has_room_in_a_line() -> None:
    """RFC 5322 §2.1.1: nothing of a longer identifier, of which a stranger may make one of 3,000 characters."""
    assert b"\r\nIn-Reply-To: <%b>\r\n" % (b"x" * 900) in letter(in_reply_to="x" * 900)
    for length in (901, 3_000):
        message = letter(in_reply_to="x" * length)
        assert b"In-Reply-To" not in message
        assert max(map(len, message.split(b"\r\n"))) <= 78


@pytest.mark.clause("13.1")
@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])))
def test_text_arrives_in_nfc(text: str) -> None:
    """The text comes back letter by letter, composed."""
    content = read(letter(text=text)).get_content()
    assert content.rstrip("\r\n") == unicodedata.normalize("NFC", text)


def test_a_run_of_marks_takes_no_long() -> None:
    """As strangers' subjects in a letter may be: sorting 100,000 combining marks at once takes most of a minute."""

    def compose(marks: str) -> None:
        letter(text=f"a{marks}", subject=f"a{marks[:10_000]}")

    assert_linear(lambda size: "\u0301\u0323" * size, compose, (12_500, 50_000))


def test_attachments_arrive() -> None:
    """Files come back octet for octet, with names in any letters."""
    name = "Báo cáo tổng kết công tác năm 2026 của các đơn vị trực thuộc.pdf"
    message = letter(
        attachments=[Attachment(name, "application/pdf", bytes(range(256)) * 10), Attachment("a.txt", "text/plain", b"x")]
    )
    first, second = read(message).iter_attachments()
    assert (first.get_filename(), first.get_payload(decode=True)) == (name, bytes(range(256)) * 10)
    assert (second.get_filename(), second.get_payload(decode=True)) == ("a.txt", b"x")
    assert scan(message).attachment_octets == 2561


def test_a_report_has_its_machine_readable_part_as_it_is() -> None:
    """RFC 6522: multipart/report with a report type, and message/* parts in 7-bit."""
    status = b"Reporting-MTA: dns; mail.mic.gov.vn\r\n"
    message = letter(report_type="delivery-status", attachments=[Attachment("", "message/delivery-status", status)])
    parsed = read(message)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    assert status in message


def test_a_boundary_is_never_in_the_content() -> None:
    """A part that holds the boundary gets another one."""
    first = letter(attachments=[Attachment("", "message/rfc822", b"Subject: x\r\n\r\nx\r\n")])
    second = letter(attachments=[Attachment("", "message/rfc822", first)])
    assert answers_of(second).bodystructure.count(b'"message" "rfc822"') == 2


@pytest.mark.parametrize(
    ("mailboxes", "expected"),
    [
        ([], b"To: undisclosed-recipients:;\r\n"),
        ([Mailbox("", parsed("a@b.vn"))], b"To: a@b.vn\r\n"),
        ([Mailbox('A "B", C', parsed("a@b.vn"))], b'To: "A \\"B\\", C" <a@b.vn>\r\n'),
        (
            [Mailbox("A", parsed("a@b.vn")), Mailbox("B", parsed("c@d.vn"))],
            b"To: A <a@b.vn>, B <c@d.vn>\r\n",
        ),
    ],
)
def test_recipients(mailboxes: list[Mailbox], expected: bytes) -> None:
    """Names are quoted where they must be; nobody at all is a group."""
    assert expected in letter(to=mailboxes)


def test_optional_fields() -> None:
    """A reply says what it answers; a person's letter does not say that it is automatic."""
    message = letter(in_reply_to="x@y", auto_submitted=None, extra=[("X-Mic-Clause", "8.3.c")], date=NOON.astimezone(UTC))
    for line in (b"In-Reply-To: <x@y>", b"References: <x@y>", b"X-Mic-Clause: 8.3.c", b"Date: Tue, 24 Nov 2026 05:00:00 +0000"):
        assert line + b"\r\n" in message
    assert b"Auto-Submitted" not in message


@given(spellings(), st.sampled_from(["", "Đỗ Văn Bê", 'A "B", C']))
def test_a_header_names_any_address(spelling: Spelling, name: str) -> None:
    """RFC 5322 §3.4.1, RFC 6532: what a reader of ENVELOPE finds in To is the local part and the domain that were meant."""
    octets = letter(sender=CENTRE, to=[Mailbox(name, spelling.address)])
    (field,) = [value for field_name, value in fields(octets.partition(b"\r\n\r\n")[0]) if field_name == b"to"]
    (found,) = parse_addresses(field)
    assert found.mailbox is not None
    assert found.host is not None
    assert MailboxAddress(found.mailbox.decode(), found.host.decode()) == spelling.address
