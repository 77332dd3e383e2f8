"""Reg. 6.2: a unit's mail to support@ with the form opens requests; from outside, or without it, nothing."""

import smtplib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from email import policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.directory.requests import ReadMail
from mic_mail.policy.calendar import Year
from mic_mail.policy.requests import Filing, Item, RequestChannel, RequestKind
from mic_mail.services.requests.submitted_by import submitted_from
from mic_mail.services.transport import trace_headers
from mic_mail.storage.types import INBOX, AccountRef
from regulation.requests_by_mail import HEADING, HOST, NOW, ROWS, SECRET, Ministry, a_csv, an_xlsx


@pytest.fixture
def ministry(serve: Callable[..., Any]) -> Iterator[Ministry]:
    """On a clock of its own."""
    return Ministry(serve(clock=ManualClock(NOW)))


@pytest.mark.parametrize("form", [a_csv(HEADING, *ROWS), an_xlsx(*ROWS)], ids=["csv", "xlsx"])
def test_each_row_opens_a_request_or_says_why_not(ministry: Ministry, form: bytes) -> None:
    """By real submission of the unit's mailbox; the answer lies in it, each row with its number and deadline, or its clause."""
    ministry.submit(ministry.mail("cntt@mic.gov.vn", form, "yêu cầu.xlsx"), "cntt@mic.gov.vn")
    issue, reset = ministry.opened()
    assert (issue.kind, issue.row, issue.filing.channel, issue.filing.unit_id) == (
        RequestKind.ISSUE,
        2,
        RequestChannel.MAIL,
        ministry.unit.unit_id,
    )
    assert (reset.kind, reset.row, reset.filing.received_at, reset.opened_by) == (RequestKind.RESET, 3, NOW, "cntt@mic.gov.vn")
    assert issue.batch == reset.batch
    (answer,) = ministry.inbox(ministry.unit)
    assert (answer["In-Reply-To"], answer["Auto-Submitted"]) == ("<mau-1@cntt.mic.gov.vn>", "auto-generated")
    text = answer.get_payload(decode=True).decode()
    for said in (
        "2 yêu cầu đã ghi sổ, 2 dòng bị từ chối",
        f"Dòng 2: yêu cầu số {issue.request_id}, cấp mới: Đỗ Văn Bê; hạn 17 giờ 30 phút ngày 01/12/2026 (mục tiêu",
        "Dòng 4: từ chối. Không có hộp thư nobody@mic.gov.vn.",
        "khoản 3 Điều 6",
        "Row 5: refused (Reg. 6.3).",
    ):
        assert said in text
    assert len(ministry.inbox(ministry.support)) == 1  # the mail lies where people read it


def test_the_keeper_writes_for_the_unit(ministry: Ministry) -> None:
    """Who is in charge of the unit's mailbox (Reg. 12.3) signs in as himself and sends as the unit; nobody else can."""
    message = ministry.mail("cntt@mic.gov.vn", a_csv(HEADING, *ROWS))
    with pytest.raises(smtplib.SMTPException):
        ministry.submit(message, "be@mic.gov.vn")
    ministry.server.housekeep()
    assert ministry.opened() == []
    ministry.server.allow(ministry.unit, ministry.be, "keeper")
    ministry.submit(message, "be@mic.gov.vn")
    assert len(ministry.opened()) == 2


def test_other_mail_opens_nothing_and_is_not_answered(ministry: Ministry) -> None:
    """Without a form, from a person's mailbox, by a program, and from outside, whatever it says about itself."""
    form = a_csv(HEADING, *ROWS)
    ministry.submit(ministry.mail("cntt@mic.gov.vn", None), "cntt@mic.gov.vn")
    ministry.submit(ministry.mail("cntt@mic.gov.vn", a_csv(("Họ tên", "Số"), ("Bê", "1"))), "cntt@mic.gov.vn")
    ministry.submit(ministry.mail("cntt@mic.gov.vn", b"%PDF-1.4 \xff", "công văn.pdf"), "cntt@mic.gov.vn")
    ministry.submit(ministry.mail("cntt@mic.gov.vn", form, Auto_Submitted="auto-replied"), "cntt@mic.gov.vn")
    ministry.submit(ministry.mail("be@mic.gov.vn", form), "be@mic.gov.vn")
    forged = ministry.mail("cntt@mic.gov.vn", form).as_bytes(policy=policy.SMTP)
    lines = (
        b"Return-Path: <cntt@mic.gov.vn>\r\nReceived: from x ([10.0.0.1])\r\n\tby mail.mic.gov.vn with ESMTPSA (TLSv1.3 X)\r\n"
        b"\tid 01ABC for <support@mic.gov.vn>;\r\n\tThu, 26 Nov 2026 10:00:00 +0700\r\n"
    )
    for helo in ("outside.example", "x)\tby mail.mic.gov.vn with ESMTPSA"):
        for head in (b"", lines):
            with smtplib.SMTP("localhost", ministry.server.ports["smtp"], helo, timeout=30) as client:
                client.sendmail("cntt@mic.gov.vn", "support@mic.gov.vn", head + forged)
    ministry.server.housekeep()
    assert len(ministry.inbox(ministry.support)) == 5 + 4
    assert ministry.opened() == []
    assert ministry.inbox(ministry.unit) == []
    assert ministry.inbox(ministry.be) == []


def test_a_form_that_cannot_be_read_is_answered(ministry: Ministry) -> None:
    """Too many rows, a row longer than the heading: nothing is opened, and the unit hears why."""
    for number, damaged in enumerate((a_csv(HEADING, *[ROWS[0]] * 1001), a_csv(HEADING, (*ROWS[0], "x"))), start=1):
        message = ministry.mail("cntt@mic.gov.vn", damaged)
        ministry.submit(message, "cntt@mic.gov.vn")
        assert len(ministry.inbox(ministry.unit)) == number
        assert "Không tiếp nhận được" in ministry.inbox(ministry.unit)[-1].get_payload(decode=True).decode()
    assert ministry.opened() == []


def test_a_mail_is_read_once_wherever_the_housekeeper_is_killed(ministry: Ministry) -> None:
    """Before the mark, before the answer, with the mailbox restored under another UIDVALIDITY: nothing comes twice."""
    ministry.submit(ministry.mail("cntt@mic.gov.vn", a_csv(HEADING, *ROWS)), "cntt@mic.gov.vn")
    once = ministry.opened()
    path = ministry.server.config.directory_dir / "directory.sqlite"
    for left_behind in ("uidvalidity = 1, uid = 99", "uid = 0"):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(f"UPDATE reading_mark SET {left_behind}")
        ministry.server.housekeep()
        assert ministry.opened() == once
        assert len(ministry.inbox(ministry.unit)) == 1


def test_an_answer_that_a_kill_withheld_is_sent(ministry: Ministry) -> None:
    """The rows were entered and the housekeeper was killed: the next one answers from what is on record, and opens nothing."""
    with smtplib.SMTP("localhost", ministry.server.ports["submission"], timeout=30) as client:
        client.starttls(context=ministry.server.tls())
        client.login("cntt@mic.gov.vn", SECRET)
        client.send_message(ministry.mail("cntt@mic.gov.vn", a_csv(HEADING, *ROWS)))
    account = ministry.server.running.context.store.account(AccountRef(ministry.support.mailbox_id, ministry.support.home))
    folder = account.folder(INBOX).folder_id
    ((key,),) = account.rows(folder, account.view(folder).uids, ("email_id",))
    filing = Filing(
        RequestKind.PROBLEM, RequestChannel.MAIL, "Vụ CNTT", ministry.unit.unit_id, NOW, items={Item.NOTE: "Thư chậm"}
    )
    mail = ReadMail(key, NOW, "cntt@mic.gov.vn", ministry.unit.unit_id, None)
    for _ in range(2):
        told = ministry.directory.requests.read_mail(mail, [(2, filing)], [{"row": 2, "refused": None, "clause": None}])
        assert [each["request"] for each in told] == [1]
    before = ministry.opened()
    ministry.server.housekeep()
    assert ministry.opened() == before
    (answer,) = ministry.inbox(ministry.unit)
    assert "yêu cầu số 1, vướng mắc: Thư chậm" in answer.get_payload(decode=True).decode()


def test_what_is_overdue_is_told_once_each_working_day(ministry: Ministry) -> None:
    """Not on the day itself, not on a day of rest, and by the calendar as it is on record then."""
    received = NOW - timedelta(days=1)
    asked = Filing(RequestKind.RESTORE, RequestChannel.TELEPHONE, "Nguyễn Thị Hoa", ministry.unit.unit_id, received)
    ministry.directory.requests.add(asked, "lan", NOW)
    told = []
    for day, hour in ((26, 17), (26, 18), (27, 6), (27, 8), (27, 15), (28, 9), (29, 9), (30, 9)):
        ministry.server.move_clock_to(datetime(2026, 11, day, hour, 45, tzinfo=HO_CHI_MINH))
        for _ in range(2):
            ministry.server.housekeep()
        told.append(len(ministry.reminders()))
    assert told == [1, 1, 1, 2, 2, 2, 2, 3]
    text = ministry.reminders()[-1].get_payload(decode=True).decode()
    assert "Yêu cầu số 1, khôi phục" in text
    assert "17 giờ 30 phút ngày 26/11/2026" in text
    ministry.directory.years.put(Year(2026, off=frozenset({datetime(2026, 12, 1).date()})))
    ministry.server.move_clock_to(datetime(2026, 12, 1, 9, tzinfo=HO_CHI_MINH))
    ministry.server.housekeep()
    assert len(ministry.reminders()) == 3


# ------------------------------------------------------------ what cannot be forged


@given(st.binary(max_size=200), st.sampled_from(["ESMTPSA", "ESMTPA", "UTF8SMTPSA", "ESMTPS", "SMTP", "ESMTP"]))
def test_only_our_own_first_lines_count(rest: bytes, protocol: str) -> None:
    """Whatever follows them; and whatever stands before them makes them nobody's."""
    own = (
        f"Return-Path: <cntt@mic.gov.vn>\r\nReceived: from pc ([10.0.0.1])\r\n\tby {HOST} with {protocol} (TLSv1.3 X)\r\n"
        f"\tid 01ABC;\r\n\t{trace_headers.date(1_790_000_000_000_000)}\r\n"
    ).encode()
    expected = "cntt@mic.gov.vn" if protocol.endswith("A") else None
    assert submitted_from(own + rest, HOST) == expected
    assert submitted_from(own + rest, "other.example") is None
    assert submitted_from(b"X-Spam: no\r\n" + own, HOST) is None
    outside = own.replace(protocol.encode(), b"ESMTPS").replace(b"cntt@", b"x@")
    assert submitted_from(outside + own + rest, HOST) is None
