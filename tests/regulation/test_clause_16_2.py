"""The Centre reports at intervals how the system is used; heads of units have their unit's figures (also 16.1.b, 16.1.c)."""

import base64
import io
import resource
import smtplib
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from harness import MailServer
from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.config.manual import write
from mic_mail.documents import pdf
from mic_mail.documents.document import Table
from mic_mail.errors import BadInput
from mic_mail.log.maillog import MailLog
from mic_mail.log.traffic import Traffic, count
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.facts import MailboxKind
from mic_mail.services.reports.usage import Usage
from population import PASSWORD
from regulation.console import Console

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
FIRST = date(2026, 11, 1)
events = st.tuples(
    st.datetimes(datetime(2026, 10, 30), datetime(2026, 11, 8)).map(lambda at: at.replace(tzinfo=UTC)),
    st.sampled_from(["message_accepted", "message_delivered", "message_refused", "recipient_refused", "signed_in"]),
    st.sampled_from([None, "a@mic.gov.vn", "b@mic.gov.vn", '"login":null']),
    st.integers(0, 1 << 30),
)


@given(st.lists(events, max_size=30), st.booleans())
def test_every_event_counts_on_its_local_day(these: list[tuple[datetime, str, str | None, int]], some: bool) -> None:
    """As a naive count by the calendar of Ho Chi Minh City says; whatever text stands in a field."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clock = ManualClock(NOW)
        for at, event, who, octets in sorted(these, key=lambda each: each[0]):
            clock.move_to(at)
            log = MailLog(folder, "worker0", clock=clock, threaded=False)
            log.event(event, login=who, mailbox=who, octets=octets)
            log.close()
        (folder / "2026-11-03.worker9.1.1.jsonl").write_text('{"at":"2026-11-03T01:00:00.0Z","n":0,"event":"message_acc')
        counted = count(folder, FIRST, date(2026, 11, 6), {"a@mic.gov.vn"} if some else None)
    naive = {FIRST + timedelta(days=number): Traffic() for number in range(6)}
    for at, event, who, octets in these:
        day = naive.get(at.astimezone(HO_CHI_MINH).date())
        if day is None or (some and who != "a@mic.gov.vn"):
            continue
        day.sent += event == "message_accepted" and who is not None
        day.received += event == "message_accepted" and who is None
        day.delivered += event == "message_delivered"
        day.refused += event.endswith("_refused")
        day.octets += octets if event == "message_accepted" else 0
    assert counted == naive


def test_no_log_is_no_traffic(tmp_path: Path) -> None:
    """A folder that is not there yet."""
    assert count(tmp_path / "missing", FIRST, FIRST) == {FIRST: Traffic()}


def test_a_span_is_a_span() -> None:
    """Neither upside down nor longer than a year."""
    for first, last in ((FIRST, FIRST - timedelta(days=1)), (FIRST, FIRST + timedelta(days=366))):
        with pytest.raises(BadInput):
            DateRange(first, last)
    assert DateRange(FIRST, FIRST).holds(datetime(2026, 10, 31, 17, tzinfo=UTC))


def table_of(tables: list[Table], title: str) -> Table:
    return next(table for table in tables if table.name.startswith(title))


@pytest.mark.clause("16.1.b", "16.1.c")
def test_what_happened_stands_in_the_report(serve: Callable[..., MailServer]) -> None:
    """Real mail of two people, one refusal, a suspension: counted where they belong, and for their unit alone as well."""
    server = serve(clock=ManualClock(NOW))
    server.issue("dvbe", name="Đỗ Văn Bê")
    lan = server.issue("ttlan", name="Trần Thị Lan")
    server.issue("cntt", kind=MailboxKind.UNIT)
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls()) as client:
        client.ehlo()
        client.docmd("AUTH PLAIN", base64.b64encode(f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode()).decode())
        letter = "From: dvbe@mic.gov.vn\r\nTo: ttlan@mic.gov.vn\r\nSubject: x\r\n\r\nx\r\n"
        client.sendmail("dvbe@mic.gov.vn", ["ttlan@mic.gov.vn", "cntt@mic.gov.vn"], letter)
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("dvbe@mic.gov.vn", ["nobody@mic.gov.vn"], letter)
    server.suspend(lan)
    config, context = server.config, server.running.context
    server.stop()
    directory = server.population.directory
    clock, span = ManualClock(NOW + timedelta(hours=1)), DateRange(date(2026, 11, 1), date(2026, 11, 24))
    usage = Usage(directory, context.store, config, clock, span)
    for paper in (usage.paper(), usage.paper(directory.unit("CNTT"))):
        assert any("có thể ở nhiều tình trạng" in block for block in paper.blocks if isinstance(block, str))
        kinds = {row[0]: row[1:] for row in table_of(paper.tables, "I.").rows}
        assert list(kinds["Cá nhân"]) == [2, 1, 0, 0, 1, 0]
        assert list(kinds["Đơn vị"])[:2] == [1, 1]
        traffic = table_of(paper.tables, "III.")
        assert [row[0] for row in traffic.rows] == [
            "01/11/2026", "02/11 - 08/11/2026", "09/11 - 15/11/2026", "16/11 - 22/11/2026", "23/11 - 24/11/2026",
        ]  # fmt: skip
        assert [length for _, length, _ in traffic.bars] == [0, 0, 0, 0, 1], "the chart shows what came"
        assert traffic.total is not None
        assert [cell or 0 for cell in traffic.total[1:5]] == [1, 0, 2, 1]
        changed = {str(row[0]): row[1] for row in table_of(paper.tables, "II.").rows}
        assert changed["Tạm khóa theo quyết định"] == 1
        assert changed["Hộp thư chuyển sang tạm khóa trong kỳ"] == 1
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.write(paper))).pages)
        assert "24/11/2026" in text
    owed = {row[1]: row[2] for row in table_of(usage.paper().tables, "VII.").rows}
    assert owed["chưa ghi nhận cán bộ Trung tâm Thông tin"] is None, "what is owed, no figure of 0"
    assert owed["nhật ký chưa được kiểm tra"] is None


def test_the_next_one_falls_due(tmp_path: Path) -> None:
    """After `report.usage_months`; each form of the file says what it is; who asked for it is on record."""
    console = Console(tmp_path).init()
    words = ("report", "usage", "--from", "01/01/2026", "--until", "31/03/2026")
    console.refused(*words, "--out", tmp_path / "usage.doc", code=2)
    for kind, magic in ((".pdf", b"%PDF-"), (".xlsx", b"PK"), (".html", b"<!")):
        console.done(*words, "--out", tmp_path / f"usage{kind}", "--actor", "lan")
        assert (tmp_path / f"usage{kind}").read_bytes().startswith(magic)
    console.done(*words, "--out", tmp_path / "usage.csv")
    assert "Tuần" in (tmp_path / "usage-3.csv").read_text("utf-8-sig")
    found = console.json("regulation", "show", "16.2")["evidence"]
    assert [(each["count"], each["overdue"]) for each in found] == [(4, False), (None, True)]
    yesterday = datetime.now(HO_CHI_MINH) - timedelta(days=1)
    console.done("report", "usage", "--until", f"{yesterday:%d/%m/%Y}", "--out", tmp_path / "new.pdf")
    assert [each["overdue"] for each in console.json("regulation", "show", "16.2")["evidence"]] == [False]


@pytest.mark.slow
def test_a_report_over_many_mailboxes_needs_few_files(mail_server: MailServer, tmp_path: Path) -> None:
    """A shell gives a command 1,024 descriptors, and a ministry has more mailboxes than that."""
    for number in range(90):
        mail_server.population.issue(f"hop{number}")
    file = mail_server.config.server.data_dir / "mic-mail.toml"
    file.write_text(write(mail_server.config))
    report = ["report", "usage", "--out", str(tmp_path / "u.csv")]
    command = [sys.executable, "-m", "mic_mail", "--config", str(file), *report]
    few = (400, 400)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few)
    )
    assert done.returncode == 0, done.stderr
