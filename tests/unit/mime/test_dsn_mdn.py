"""Reports of delivery and reading as real servers and programs write them, and as nobody should."""

import email.message
from email import policy
from email.parser import BytesParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.reports import EXCHANGE, GMAIL, INTERNATIONAL, OUTLOOK, POSTFIX, REPORTS, THUNDERBIRD
from mic_mail.mime.dsn_mdn import MOST_RECIPIENTS, DeliveryReport, DispositionReport, DsnAction, read_report

SENT = "<42.7@mail.mic.gov.vn>"


def test_postfix_says_of_each_recipient() -> None:
    """Envelope id, the recipient as it was written, comments behind the action, a folded diagnostic."""
    report = read_report(POSTFIX)
    assert isinstance(report, DeliveryReport)
    assert (report.envelope_id, report.message_ids) == ("QQ314159", {SENT})
    first, second = report.recipients
    assert (first.original, first.final, first.action, first.status) == (
        "khong.co@mof.gov.vn", "khong.co@mof.gov.vn", DsnAction.FAILED, "5.1.1",
    )  # fmt: skip
    assert first.diagnostic == "550 5.1.1 <khong.co@mof.gov.vn>: Recipient address    rejected: User unknown"
    assert (second.original, second.action, second.status) == ("vp@mof.gov.vn", DsnAction.RELAYED, "2.0.0")


@pytest.mark.parametrize(
    ("octets", "recipient", "action", "status"),
    [
        (EXCHANGE, "bn@moh.gov.vn", DsnAction.DELIVERED, "2.1.5"),
        (GMAIL, "ai.do@gmail.com", DsnAction.FAILED, "5.1.1"),
        (INTERNATIONAL, "đỗ@mái.vn", DsnAction.DELAYED, "4.4.1"),
    ],
    ids=["exchange", "gmail", "international"],
)
def test_other_servers(octets: bytes, recipient: str, action: DsnAction, status: str) -> None:
    """Nested alternatives before the status, a returned message whole, UTF-8 in base64."""
    report = read_report(octets)
    assert isinstance(report, DeliveryReport)
    assert report.message_ids == {SENT}
    assert [(r.final, r.action, r.status) for r in report.recipients] == [(recipient, action, status)]


@pytest.mark.parametrize(
    ("octets", "recipient", "automatic"),
    [(THUNDERBIRD, "hoa@mof.gov.vn", False), (OUTLOOK, "minh@moh.gov.vn", True)],
    ids=["thunderbird", "outlook"],
)
def test_receipts_of_mail_programs(octets: bytes, recipient: str, automatic: bool) -> None:
    """Names of fields in any case."""
    assert read_report(octets) == DispositionReport(frozenset({SENT}), recipient, "displayed", automatic)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"Subject: x\r\n\r\ny",
        b"Content-Type: multipart/report; report-type=delivery-status\r\n\r\nno boundary",
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n",
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/disposition-notification\r\n\r\nx",
    ],
)
def test_what_reports_nothing(octets: bytes) -> None:
    """None, and no more."""
    assert read_report(octets) is None


def test_a_report_within_a_returned_message_is_not_this_one() -> None:
    """What somebody forwards as an attachment reports nothing."""
    forwarded = (
        b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: message/rfc822\r\n\r\n" + POSTFIX + b"--m--\r\n"
    )
    assert read_report(forwarded) is None


@given(
    st.sampled_from(list(REPORTS.values())),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 80), st.binary(max_size=40)), max_size=6),
)
def test_damage_never_raises(octets: bytes, cuts: list[tuple[int, int, bytes]]) -> None:
    """Cut, overwritten, torn anywhere: an answer of the right kind, or none; values are short and on one line."""
    for start, length, put in cuts:
        octets = octets[:start] + put + octets[start + length :]
    report = read_report(octets)
    values: list[str] = []
    if isinstance(report, DeliveryReport):
        values = [report.envelope_id, *report.message_ids]
        values += [value for r in report.recipients for value in (r.original, r.final, r.status, r.diagnostic)]
    elif report is not None:
        values = [report.recipient, report.disposition, *report.message_ids]
    assert all((len(value) <= 500 and value.isprintable()) or not value for value in values if "\ufffd" not in value)


def test_the_standard_library_writes_what_we_read() -> None:
    """A report composed by Python's own email package, read back; its own parser agrees that it is one."""
    status = email.message.Message()
    status["Final-Recipient"], status["Action"], status["Status"] = "rfc822; a@b.vn", "failed", "5.2.2"
    part = email.message.Message()
    part["Content-Type"] = "message/delivery-status"
    part.set_payload([email.message.Message(), status])
    whole = email.message.Message()
    whole["Content-Type"] = 'multipart/report; report-type="delivery-status"; boundary="zz"'
    whole.set_payload([part])
    octets = whole.as_bytes(policy=policy.SMTP)
    assert BytesParser(policy=policy.SMTP).parsebytes(octets).get_content_type() == "multipart/report"
    report = read_report(octets)
    assert isinstance(report, DeliveryReport)
    assert [(r.final, r.status) for r in report.recipients] == [("a@b.vn", "5.2.2")]


HEAD = b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"Final-Recipient: rfc822; a@b\nAction: failed\n\n" * 20_000,
        b"\n" * 500_000,
        b"\n \t" * 160_000,
        b"Final-Recipient: " + b"(" * 400_000,
        b"Original-Recipient: rfc822;" + b"<" * 400_000,
        b"x: " + b"\r\n " * 150_000,
        b"Diagnostic-Code: " + b'\\"' * 200_000,
        b"".join(b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1) for n in range(5_000)),
    ],
    ids=["groups", "lines", "blanks", "comments", "brackets", "folds", "quotes", "depth"],
)
def test_hostile_reports_cost_little(body: bytes) -> None:
    """Half a megabyte of anything: an answer at once, and a bounded one."""
    report = read_report(HEAD + body)
    if isinstance(report, DeliveryReport):
        assert len(report.recipients) <= MOST_RECIPIENTS + 1
