"""What a header has to satisfy before its message may pass."""

import pytest

from mic_mail.mime import headers
from mic_mail.services.transport import author_check
from mic_mail.services.transport.envelope import Cause


@pytest.mark.parametrize("name", [b"Received:", b"received:", b"RECEIVED :", b"ReCeIvEd\t:"])
def test_a_circle_is_seen_however_its_lines_are_written(name: bytes) -> None:
    """RFC 5322 §1.2.2: names of fields are not case-sensitive; §4.5: old writers left a space before the colon."""
    line = name + b" from a by b; x\r\n"
    assert author_check.goes_in_a_circle(line * 101)
    assert not author_check.goes_in_a_circle(line * 100)


@pytest.mark.parametrize(
    "line",
    [
        b"X-Received: by b; x\r\n",
        b"Subject: Received: Received:\r\n",
        b"Subject: x\r\n Received: y\r\n",
        b"Received-SPF: pass\r\n",
    ],
)
def test_what_only_looks_like_a_trace_does_not_count(line: bytes) -> None:
    """Only fields of that very name are hops: X-Received of forwarders, text and folded lines are none."""
    assert not author_check.goes_in_a_circle(line * 300)


OWN = ("dvbe@mic.gov.vn", "be.do@mic.gov.vn")
ME = b"From: dvbe@mic.gov.vn\r\n"


def objection(header: bytes) -> Cause | None:
    found = author_check.objection_to_author(header, headers.fields(header), OWN, "+")
    return found.cause if found else None


@pytest.mark.parametrize(
    "header",
    [
        ME,
        b"from : Do V. Be <DVBE+x@mic.gov.vn>\r\nTo: a\r\n\tb\r\nSender: be.do@mic.gov.vn\r\n",
        'From: Đỗ Văn Bê <dvbe@mic.gov.vn>, "be.do@mic.gov.vn" <be.do@mic.gov.vn>\r\n'.encode(),
        ME + b"Subject: x\r\n\ty\r\n z\r\n" + b"Resent-From: dvbe@mic.gov.vn\r\nResent-Sender: dvbe@mic.gov.vn\r\n" * 2,
        b"From dvbe@mic.gov.vn Tue Nov 24 10:00:00 2026\r\n" + ME,
    ],
)
def test_what_names_the_mailbox_itself_passes(header: bytes) -> None:
    """In every form that mail programs write, under each of its own addresses."""
    assert objection(header) is None


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        (b"To: a@b\r\n", Cause.NO_VALID_AUTHOR),
        (b"From:\r\n", Cause.NO_VALID_AUTHOR),
        (ME + b"Sender: \r\n", Cause.NO_VALID_AUTHOR),
        (ME + b"Sender: dvbe@mic.gov.vn, be.do@mic.gov.vn\r\n", Cause.NO_VALID_AUTHOR),
        (ME + ME, Cause.AUTHOR_TWICE),
        (ME + b"Sender: dvbe@mic.gov.vn\r\n" * 2, Cause.AUTHOR_TWICE),
        (ME + b"Resent-From: dvbe@mic.gov.vn\r\n" * 20, Cause.AUTHOR_TWICE),
        (b"From: ttlan@mic.gov.vn <dvbe@mic.gov.vn>\r\n", Cause.AUTHOR_UNREADABLE),
        (b"From: <dvbe@mic.gov.vn> <ttlan@mic.gov.vn>\r\n", Cause.AUTHOR_UNREADABLE),
        (b"From: dvbe@mic.gov.vn (\r\n <ttlan@mic.gov.vn>\r\n", Cause.AUTHOR_UNREADABLE),
        (ME + b"Sender: Be <dvbe@mic.gov.vn\r\n", Cause.AUTHOR_UNREADABLE),
        (b"Fr\0om: ttlan@mic.gov.vn\r\n" + ME, Cause.HEADER_UNREADABLE),
        (ME + b"Subject: \x1b[2J\r\n", Cause.HEADER_UNREADABLE),
        (b"From\r\n : ttlan@mic.gov.vn\r\n" + ME, Cause.HEADER_UNREADABLE),
        (b" From: ttlan@mic.gov.vn\r\n" + ME, Cause.HEADER_UNREADABLE),
        (b"Fr om: ttlan@mic.gov.vn\r\n" + ME, Cause.HEADER_UNREADABLE),
        (b"From\xc2\xa0: ttlan@mic.gov.vn\r\n" + ME, Cause.HEADER_UNREADABLE),
        (b"From: ttlan@mic.gov.vn\r\n", Cause.SENDER_NOT_YOURS),
        (ME + b"Sender: ttlan@mic.gov.vn\r\n", Cause.SENDER_NOT_YOURS),
        (ME + b"Resent-From: ttlan@mic.gov.vn\r\n", Cause.SENDER_NOT_YOURS),
        (ME + b"Resent-From: dvbe@mic.gov.vn\r\nRESENT-SENDER: ttlan@mic.gov.vn\r\n", Cause.SENDER_NOT_YOURS),
        (b'From: "ttlan@mic.gov.vn" <dvbe@mic.gov.vn>\r\n', Cause.NAME_NOT_YOURS),
        (b'From: "Lan <ttlan@mic.gov.vn>" <dvbe@mic.gov.vn>\r\n', Cause.NAME_NOT_YOURS),
        (b"From: dvbe@mic.gov.vn (ttlan@mic.gov.vn)\r\n", Cause.NAME_NOT_YOURS),
        (b"From: =?utf-8?q?ttlan=40?= =?utf-8?b?bWljLmdvdi52bg==?= <dvbe@mic.gov.vn>\r\n", Cause.NAME_NOT_YOURS),
        (ME + b"Sender: =?utf-8?q?ttlan=40mic=2Egov=2Evn?= <dvbe@mic.gov.vn>\r\n", Cause.NAME_NOT_YOURS),
    ],
)
def test_what_names_somebody_else_to_somebody_does_not(header: bytes, cause: Cause) -> None:
    """Reg. 4.3: another author, plainly or only to readers that take the field apart in another way, or in the name alone."""
    assert objection(header) is cause
