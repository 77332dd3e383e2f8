"""Reports as our own reader and Python's understand them, and as nobody can misuse them."""

import base64
import email
import email.policy
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from addresses import Spelling, parsed, spellings
from mic_mail.mime.compose import Mailbox, compose
from mic_mail.mime.dsn_mdn import DeliveryReport, DsnAction, read_report
from mic_mail.mime.original_recipient import OriginalRecipient
from mic_mail.queue.dsn import RETURNED_OCTETS, RecipientReport, ReportedMessage, parts

AT = datetime(2026, 11, 26, 7, 30, tzinfo=UTC)
MESSAGE = b"From: a@mic.gov.vn\r\nMessage-ID: <1@mic.gov.vn>\r\nSubject: x\r\n\r\nbody\r\n"


def written(original: ReportedMessage, *reports: RecipientReport, utf8: bool = False) -> bytes:
    return compose(
        sender=Mailbox("Thư không chuyển được", parsed("postmaster@mic.gov.vn")),
        to=[Mailbox("", parsed("a@mic.gov.vn"))],
        subject="Không chuyển được thư",
        text="Thư không đến được nơi nhận.",
        date=AT,
        message_id="2@mic.gov.vn",
        auto_submitted="auto-replied",
        attachments=parts("mail.mic.gov.vn", original, reports, utf8=utf8),
        report_type="delivery-status",
    )


def original(content: bytes = MESSAGE, **more: str) -> ReportedMessage:
    return ReportedMessage(more.get("envid"), AT, content, more.get("ret"))


FAILED = RecipientReport(
    parsed("b@example.org"), DsnAction.FAILED, "5.1.1", OriginalRecipient.parse("rfc822;B+2Bx@example.org"),
    "550 5.1.1 No such user", "mx.example.org", AT,
)  # fmt: skip
LATE = RecipientReport(parsed("c@example.org"), DsnAction.DELAYED, "4.4.1", None, "no answer", None, AT, AT)


def fields(octets: bytes) -> list[dict[str, str]]:
    """The groups of the part for machines, as Python's reader sees them."""
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    status = list(message.iter_parts())[1]  # type: ignore[attr-defined]  # an EmailMessage
    return [dict(group.items()) for group in status.get_payload()]


def test_a_report() -> None:
    """Everything that is known, in its field; read back by our own reader."""
    octets = written(original(envid="QQ+2B314"), FAILED, LATE)
    per_message, failed, late = fields(octets)
    assert per_message == {
        "Original-Envelope-Id": "QQ+314",
        "Reporting-MTA": "dns; mail.mic.gov.vn",
        "Arrival-Date": "Thu, 26 Nov 2026 07:30:00 +0000",
    }
    assert failed == {
        "Original-Recipient": "rfc822; B+x@example.org",
        "Final-Recipient": "rfc822; b@example.org",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.org",
        "Diagnostic-Code": "smtp; 550 5.1.1 No such user",
        "Last-Attempt-Date": "Thu, 26 Nov 2026 07:30:00 +0000",
    }
    assert late["Will-Retry-Until"] == "Thu, 26 Nov 2026 07:30:00 +0000"
    assert "Remote-MTA" not in late
    read = read_report(octets)
    assert isinstance(read, DeliveryReport)
    assert [(one.final, one.action, one.status) for one in read.recipients] == [
        ("b@example.org", DsnAction.FAILED, "5.1.1"), ("c@example.org", DsnAction.DELAYED, "4.4.1"),
    ]  # fmt: skip
    assert octets.isascii()


@pytest.mark.parametrize(
    ("diagnostic", "told"),
    [
        ("421 4.7.0 later", "smtp; 421 4.7.0 later"),
        ("554 ", "smtp; 554"),
        ("192.0.2.1:25: Connect call failed", "x-mic-mail; 192.0.2.1:25: Connect call failed"),
        ("The domain x.example does not exist.", "x-mic-mail; The domain x.example does not exist."),
        ("5501 nobody", "x-mic-mail; 5501 nobody"),
    ],
)
def test_whose_words_they_are(diagnostic: str, told: str) -> None:
    """RFC 3464 §2.3.6: `smtp` is for what a server has said."""
    _, failed = fields(
        written(original(), RecipientReport(parsed("b@example.org"), DsnAction.FAILED, "5.0.0", diagnostic=diagnostic))
    )
    assert failed["Diagnostic-Code"] == told


def returned(octets: bytes) -> tuple[str, bytes]:
    part = list(email.message_from_bytes(octets, policy=email.policy.default).iter_parts())[2]  # type: ignore[attr-defined]
    content = part.get_payload(decode=True)
    if content is None:  # message/* is read as a message, whatever its encoding
        content = part.get_payload(0).as_bytes(policy=email.policy.SMTP)
        if part["Content-Transfer-Encoding"] == "base64":
            content = base64.b64decode(content)
    return part.get_content_type(), content


@pytest.mark.parametrize(
    ("content", "ret", "report", "utf8", "kind"),
    [
        (MESSAGE, None, FAILED, False, "message/rfc822"),
        (MESSAGE, "FULL", FAILED, False, "message/rfc822"),
        (MESSAGE, "HDRS", FAILED, False, "text/rfc822-headers"),
        (MESSAGE, None, LATE, False, "text/rfc822-headers"),
        (MESSAGE + b"x" * RETURNED_OCTETS, None, FAILED, False, "text/rfc822-headers"),
        (MESSAGE + b"\xc3\xa9", None, FAILED, False, "text/rfc822-headers"),
        (MESSAGE + b"\xc3\xa9", None, FAILED, True, "message/global"),
        (b"Subject: \xc3\xa9\r\n\r\nx", "HDRS", FAILED, True, "message/global-headers"),
        (b"Subject: \xc3\xa9\r\n\r\nx", "HDRS", FAILED, False, "text/rfc822-headers"),
        (b"Subject: no body\r\n", None, FAILED, False, "text/rfc822-headers"),
    ],
)
def test_what_is_sent_back(content: bytes, ret: str | None, report: RecipientReport, utf8: bool, kind: str) -> None:
    octets = written(ReportedMessage(None, AT, content, ret), report, utf8=utf8)
    found, sent_back = returned(octets)
    assert found == kind
    if kind in ("message/rfc822", "message/global"):
        assert sent_back == content
    elif "headers" in kind:
        assert sent_back == content.partition(b"\r\n\r\n")[0].removesuffix(b"\r\n") + b"\r\n"
    assert octets.isascii(), "it may meet a server that knows seven bits"


def test_addresses_in_other_letters() -> None:
    octets = written(
        original(),
        RecipientReport(parsed("bê@bộ.vn"), DsnAction.FAILED, "5.6.7", OriginalRecipient.parse("utf-8;bê@bộ.vn")),
        utf8=True,
    )
    assert b"message/global-delivery-status" in octets
    read = read_report(octets)
    assert isinstance(read, DeliveryReport)
    assert (read.recipients[0].final, read.recipients[0].original) == ("bê@bộ.vn", "bê@bộ.vn")


@pytest.mark.parametrize(
    ("action", "status", "told"),
    [
        (DsnAction.FAILED, "4.4.7", "5.0.0"),
        (DsnAction.FAILED, "", "5.0.0"),
        (DsnAction.FAILED, "5.1", "5.0.0"),
        (DsnAction.DELAYED, "5.1.1", "4.0.0"),
        (DsnAction.DELIVERED, "2.1.5", "2.1.5"),
        (DsnAction.RELAYED, "", "2.0.0"),
    ],
)
def test_action_and_status_agree(action: DsnAction, status: str, told: str) -> None:
    assert fields(written(original(), RecipientReport(parsed("b@x"), action, status)))[1]["Status"] == told


@given(st.text(max_size=300))
def test_words_of_others_are_ascii_to_who_reads_ascii(diagnostic: str) -> None:
    """RFC 3464 §2.1: only who reads UTF-8 gets a message/global-delivery-status."""
    report = RecipientReport(parsed("b@example.org"), DsnAction.FAILED, "5.0.0", None, f"550 {diagnostic}")
    status = parts("mail.mic.gov.vn", original(), [report], utf8=False)[0]
    assert status.content_type == "message/delivery-status"
    assert status.content.isascii()


@given(st.text(max_size=300), st.text(max_size=60))
def test_words_of_others_make_no_field(diagnostic: str, server: str) -> None:
    """Whatever a server says, the report has the fields that it has, in lines that everybody takes."""
    octets = written(original(), RecipientReport(parsed("b@example.org"), DsnAction.FAILED, "5.0.0", None, diagnostic, server))
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
    read = read_report(octets)
    assert isinstance(read, DeliveryReport)
    (one,) = read.recipients
    assert (one.final, one.action, one.status) == ("b@example.org", DsnAction.FAILED, "5.0.0")


@pytest.mark.parametrize("end", [b"\r.\r", b"\n.\n", b"\r\n.\n", b"\r\n.\r", b"\n.\r\n", b"\r", b"\n"])
def test_what_is_no_lines_is_not_sent_back_whole(end: bytes) -> None:
    """A message by BINARYMIME may hold any octets (RFC 3030 §3), and the report goes by DATA: in what is sent back nobody finds
    another end of a message (RFC 5321 §2.3.8, §4.1.1.4)."""
    for content in (
        MESSAGE + b"x" + end + b"MAIL FROM:<a@mic.gov.vn>\r\n",
        MESSAGE.replace(b"Subject: x", b"Subject: x" + end),
    ):
        octets = written(original(content), FAILED)
        assert octets.count(b"\n") == octets.count(b"\r") == octets.count(b"\r\n")
        assert b"\r\n.\r\n" not in octets


@given(spellings(), st.sampled_from(DsnAction))
@example(Spelling('"\xa0+20"@[192.0.2.1]', "\xa0+20", "[192.0.2.1]"), DsnAction.FAILED)
def test_a_report_names_any_recipient(spelling: Spelling, action: DsnAction) -> None:
    """RFC 3464 §2.3.2, RFC 6533 §3: each letter of the address, spaces too, as another reader and as ours reads it."""
    address, utf8 = spelling.address, not spelling.address.is_ascii
    report = RecipientReport(address, action, "5.0.0")
    status = parts("mail.mic.gov.vn", original(), [report], utf8=utf8)[0]
    assert status.content_type == ("message/global-delivery-status" if utf8 else "message/delivery-status")
    (line,) = [line for line in status.content.decode().split("\r\n") if line.startswith("Final-Recipient: ")]
    kind, _, text = line.removeprefix("Final-Recipient: ").partition("; ")
    assert (kind, text) == (address.type, str(address))
    read = read_report(written(original(), report, utf8=utf8))
    assert isinstance(read, DeliveryReport)
    assert [one.final for one in read.recipients] == [address.folded()]
