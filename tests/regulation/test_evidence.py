"""Today's evidence (`regulation list`): no clause without a word, and each figure moves with what it counts."""

import base64
import imaplib
import poplib
import smtplib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from addresses import parsed
from harness import MailServer, config_for
from mic_mail.clock import ManualClock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord, PersonRecord, UnitRecord
from mic_mail.log.maillog import MailLog
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import FactKind, Level, MailboxKind
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.local_spool import LocalSpool
from mic_mail.queue.queue import QueueEnvelope, QueueRecipient
from mic_mail.queue.recipient_log import AdminDecision
from mic_mail.queue.spool import SpoolEnvelope, SpoolTarget
from mic_mail.services.compliance import traffic
from mic_mail.services.compliance.collect import gather
from mic_mail.services.compliance.finding import Records
from mic_mail.services.mail_store import open_mail_store
from mic_mail.services.notifications.notices import Notices
from population import PASSWORD, Population, draft
from regulation.console import Console

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
DVBE = "dvbe@mic.gov.vn"


class Ministry:
    """A directory, a log and their folders without a server, and what is said of them."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOW)
        self.config: Config = config_for(folder, {"listen": {"https": 443, "doors": ("smtp", "imaps", "https")}})
        write_pair(self.config.certificate, self.config.key, self_signed(["mail.mic.gov.vn"], NOW))
        self.population = Population(self.config.directory_url, self.clock)

    def figures(self, clause: str) -> dict[str, int | None]:
        """What stands below `clause`, by its English words."""
        found = gather(Records(self.population.directory, self.config, self.clock))
        return {finding.what.en: finding.count for finding in found.get(clause, ())}

    def overdue(self, clause: str) -> list[str]:
        found = gather(Records(self.population.directory, self.config, self.clock))
        return [finding.what.en for finding in found.get(clause, ()) if finding.overdue]

    def contract(self, local: str, first: date, last: date) -> None:
        """A personal mailbox of somebody with this contract."""
        directory = self.population.directory
        unit = self.population.unit().unit_id
        record = PersonRecord(0, local, unit, "Chuyên viên", Level.DIVISION, Employment.CONTRACT, first, last)
        person = directory.add_person(record).person_id
        address = f"{local}@mic.gov.vn"
        mailbox = MailboxRecord(0, MailboxKind.PERSONAL, address, f"mic.gov.vn/{local}", local, 1 << 30, person_id=person)
        directory.issue_mailbox(mailbox, draft(FactKind.ISSUED, NOW, address=address))

    def event(self, at: datetime, name: str, **fields: str) -> None:
        log = MailLog(self.config.log_dir, "worker0", clock=ManualClock(at), threaded=False)
        log.event(name, trace="x", sender=None, **fields)
        log.close()


@pytest.fixture
def ministry(tmp_path: Path) -> Iterator[Ministry]:
    made = Ministry(tmp_path)
    yield made
    made.population.close()


def test_no_clause_is_without_evidence(tmp_path: Path) -> None:
    """On a server on which nothing has happened yet: noughts, or words that say why there is no count."""
    console = Console(tmp_path).init()
    rows = console.json("regulation", "list")
    assert [row["id"] for row in rows if not row["evidence"]] == []
    assert [(row["id"], each) for row in rows for each in row["evidence"] if not each["what"]["vi"]] == []


@pytest.mark.clause("3.3", "8.1", "9.1", "12.1", "12.2", "14.2", "15.3")
def test_mail_and_sign_ins_of_today(mail_server: MailServer) -> None:
    """Real mail of a person and of a unit, one refusal, sign-ins by each way."""
    server = mail_server
    server.issue("cntt", kind=MailboxKind.UNIT)
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls()) as client:
        client.ehlo()
        client.docmd("AUTH PLAIN", base64.b64encode(f"\0cntt@mic.gov.vn\0{PASSWORD}".encode()).decode())
        client.sendmail("cntt@mic.gov.vn", [DVBE], "From: cntt@mic.gov.vn\r\nTo: dvbe@mic.gov.vn\r\nSubject: x\r\n\r\nx\r\n")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("cntt@mic.gov.vn", ["nobody@mic.gov.vn"], "Subject: x\r\n\r\nx\r\n")
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls()) as client:
        client.ehlo()
        client.docmd("AUTH PLAIN", base64.b64encode(f"\0{DVBE}\0{PASSWORD}".encode()).decode())
        client.sendmail(DVBE, [DVBE], "From: dvbe@mic.gov.vn\r\nTo: dvbe@mic.gov.vn\r\nSubject: x\r\n\r\nx\r\n")
    imap = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls())
    imap.authenticate("PLAIN", lambda _: f"\0{DVBE}\0{PASSWORD}".encode())
    imap.logout()
    pop3 = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=server.tls())
    pop3.encoding = "utf-8"
    pop3.user(DVBE)
    pop3.pass_(PASSWORD)
    pop3.quit()
    config = server.config
    server.stop()
    population = Population(config.directory_url, server.clock)
    found = gather(Records(population.directory, config, server.clock))
    population.close()
    figures = {clause: [finding.count for finding in findings] for clause, findings in found.items()}
    assert (figures["3.3"], figures["12.1"], figures["12.2"]) == ([2], [2], [1])
    assert (figures["8.1"], figures["15.3"]) == ([1, 1, 2], [1])
    assert figures["14.2"] == [4, 0]
    assert figures["9.1"] == [2]
    assert {finding.what.en: finding.count for finding in found["4.2"]}["messages and recipients refused today"] == 1


@pytest.mark.clause("4.2")
def test_what_waits_is_counted(ministry: Ministry, monkeypatch: pytest.MonkeyPatch) -> None:
    """In spool and queue, with the oldest; what a person holds, what a suspended mailbox sent, what cannot be read."""
    hijacked = draft(FactKind.SUSPENDED, NOW - timedelta(days=1), cause="c")
    ttlan = ministry.population.issue("ttlan", facts=[hijacked])
    monday = int(datetime(2026, 11, 23, 3, tzinfo=UTC).timestamp()) * 1_000_000
    before = ministry.figures("4.2")
    assert {before[key] for key in before if "wait for" in key or "held" in key} == {0}
    spool = LocalSpool(ministry.config.spool_dir)
    entry = spool.draft("S1")
    entry.write(b"Subject: x\r\n\r\nx\r\n")
    target = SpoolTarget(ttlan.mailbox_id, parsed(ttlan.address))
    entry.commit(
        SpoolEnvelope(trace_id="S1", sender=parsed("a@example.org"), accepted_at_us=monday, targets=(target,))
    ).release()
    spool.close()
    message = ministry.config.server.data_dir / "message"
    message.write_bytes(b"Subject: x\r\n\r\nx\r\n")
    queue = LocalQueue(ministry.config.queue_dir)
    for number, sender in enumerate((0, 0, ttlan.mailbox_id, 0)):
        envelope = QueueEnvelope(
            trace_id=f"Q{number}", sender=parsed("a@mic.gov.vn"), recipients=(QueueRecipient(parsed("b@example.org")),),
            accepted_at_us=monday + number, submitted_by=sender,
        )  # fmt: skip
        queue.put(f"Q{number}", message, envelope)
    held = queue.read("Q1")
    assert held is not None
    held.hold(AdminDecision("mai", "xem xét", monday))
    queue.close()
    (ministry.config.queue_dir / "live/Q3.env").write_bytes(b"no envelope")
    after = ministry.figures("4.2")
    assert after["messages waiting for a mailbox, the oldest since 23/11/2026 10:00"] == 1
    assert after["messages waiting for other domains, the oldest since 23/11/2026 10:00"] == 4
    assert after["of these held"] == 2
    assert after["queued messages that cannot be read"] == 1
    assert ministry.overdue("4.2") == ["queued messages that cannot be read"]
    monkeypatch.setattr(traffic, "LOOKED_AT", 2)
    assert ministry.figures("4.2")["of these held (of the oldest 2)"] == 1


@pytest.mark.clause("4.2")
def test_what_was_told_and_stopped_today(ministry: Ministry) -> None:
    """Not yesterday."""
    for at in (NOW, NOW - timedelta(hours=10)):
        for name in ("report_sent", "message_dropped", "delivery_dropped", "message_refused"):
            ministry.event(at, name)
    found = ministry.figures("4.2")
    assert found["reports to senders today"] == 1
    assert found["deliveries stopped by the Centre today"] == 2
    assert found["messages and recipients refused today"] == 1


@pytest.mark.clause("10.2", "15.5")
def test_what_the_checks_came_to_today(ministry: Ministry) -> None:
    """Refused and put into Junk, of mail from outside; not yesterday's."""
    for at in (NOW, NOW - timedelta(days=1)):
        for action in ("passed", "junk", "junk", "refused", "later"):
            ministry.event(at, "message_judged", action=action)
    for clause in ("10.2", "15.5"):
        assert ministry.figures(clause)["messages from outside filed as Junk today"] == 2
        assert ministry.figures(clause)["messages from outside refused by the checks today"] == 1


@pytest.mark.clause("15.5")
def test_a_record_that_nobody_can_read_has_to_be_looked_at(ministry: Ministry) -> None:
    """A message from outside waits to be read for markings, and what is to be known of it is damaged."""
    folder = ministry.config.unread_dir
    folder.mkdir(parents=True)
    assert ministry.overdue("4.1") == []
    (folder / "1K1.json").write_bytes(b"{")
    (folder / "1K1.msg").write_bytes(b"")
    assert ministry.overdue("4.1") == ["messages from outside with a damaged record, not inspected"]


def test_malware_of_this_month(ministry: Ministry) -> None:
    """From the first of the month, Ho Chi Minh City's."""
    what = "messages with malware refused this month"
    assert ministry.figures("15.5")[what] == 0
    ministry.event(datetime(2026, 10, 31, 16, 59, tzinfo=UTC), "malware_refused")
    assert ministry.figures("15.5")[what] == 0
    ministry.event(datetime(2026, 10, 31, 17, 1, tzinfo=UTC), "malware_refused")
    ministry.event(NOW, "malware_refused")
    assert ministry.figures("15.5")[what] == 2


@pytest.mark.clause("5.1", "5.3", "5.4.a", "3.1")
def test_units_and_forms_of_names(ministry: Ministry) -> None:
    """Who has the plain form, whose names make one form, which units have mailboxes."""
    ministry.population.issue("dvbe", name="Đỗ Văn Bê")
    ministry.population.directory.add_unit(UnitRecord(0, "PC", "Vụ Pháp chế"))
    assert ministry.figures("5.3") == {"personal mailboxes of the plain form": 1, "of another form (5.4.b, 5.5)": 0}
    assert ministry.figures("5.4.a")["plain forms that several users share"] == 0
    ministry.population.issue("bedv", name="Đinh Vũ Bê")
    ministry.population.issue("cntt", kind=MailboxKind.UNIT)
    assert ministry.figures("5.3") == {"personal mailboxes of the plain form": 1, "of another form (5.4.b, 5.5)": 1}
    assert ministry.figures("5.4.a")["plain forms that several users share"] == 1
    assert ministry.figures("5.1") == {"units": 2, "units with a unit mailbox": 1, "without one": 1}
    assert ministry.figures("3.1") == {"units with mailboxes in the system": 1, "units without any mailbox": 1}


@pytest.mark.clause("6.3")
def test_contracts(ministry: Ministry) -> None:
    """Too short, ending soon, ended; who has left is none of them."""
    today = date(2026, 11, 24)
    assert set(ministry.figures("6.3").values()) == {0}
    ministry.contract("ngan", date(2026, 6, 1), date(2027, 1, 31))
    ministry.contract("sap", date(2025, 12, 24), today + timedelta(days=30))
    ministry.contract("het", date(2025, 1, 1), date(2026, 11, 23))
    ministry.contract("lau", date(2025, 1, 1), today + timedelta(days=31))
    assert list(ministry.figures("6.3").values()) == [2, 1, 1]
    left = ministry.population.directory.mailbox("het@mic.gov.vn")
    ministry.population.record(left, draft(FactKind.LEFT, NOW, level="division", cause="retired"))
    assert list(ministry.figures("6.3").values()) == [1, 1, 0]


@pytest.mark.clause("13.1")
def test_names_that_are_not_composed(ministry: Ministry) -> None:
    """A person whose name came in as decomposed letters is told of."""
    ministry.population.issue("dvbe", name="Đỗ Văn Bê")
    assert ministry.overdue("13.1") == []
    ministry.population.issue("ttlan", name="Tra\u0302\u0300n Thi\u0323 Lan")
    assert ministry.figures("13.1")["that are not composed Unicode"] == 2  # of the person and of the mailbox
    assert ministry.overdue("13.1") == ["that are not composed Unicode"]


@pytest.mark.clause("7.3.c")
def test_who_has_to_change_the_password_after_a_restore(ministry: Ministry) -> None:
    """Nobody is a figure too."""
    hijacked = draft(FactKind.SUSPENDED, NOW - timedelta(days=2), cause="c")
    ttlan = ministry.population.issue("ttlan", facts=[hijacked])
    assert ministry.figures("7.3.c") == {"have to change the password": 0}
    ministry.population.record(ttlan, draft(FactKind.RESTORED, NOW - timedelta(days=1)))
    assert ministry.figures("7.3.c") == {"have to change the password": 1}
    ministry.population.record(ttlan, draft(FactKind.PASSWORD_SET, NOW))
    assert ministry.figures("7.3.c") == {"have to change the password": 0}


@pytest.mark.clause("8.3.c")
def test_who_was_warned_of_a_full_mailbox(ministry: Ministry) -> None:
    """By the level at which each stands; who made room again stands at none."""
    store = open_mail_store(ministry.config, ministry.clock)
    notices = Notices(store, ministry.config, ministry.clock)
    dvbe, ttlan = ministry.population.issue("dvbe"), ministry.population.issue("ttlan")
    assert list(ministry.figures("8.3.c").values()) == [0, 0, 0]
    for mailbox, percent in ((dvbe, 81), (ttlan, 92)):
        notices.usage(mailbox, percent * mailbox.quota_octets // 100)
    assert ministry.figures("8.3.c") == {
        f"mailboxes warned at {level} %": count for level, count in ((80, 1), (90, 1), (95, 0))
    }
    notices.usage(ttlan, ttlan.quota_octets * 96 // 100)
    assert list(ministry.figures("8.3.c").values()) == [1, 0, 1]
    notices.usage(dvbe, dvbe.quota_octets // 2)
    assert list(ministry.figures("8.3.c").values()) == [0, 0, 1]
    store.close()


@pytest.mark.clause("6.5")
def test_where_directory_and_mailboxes_disagree(ministry: Ministry) -> None:
    """What `directory check` calls an error is overdue."""
    errors = "errors between directory and mailboxes"
    assert (ministry.figures("6.5")[errors], ministry.overdue("6.5")) == (0, [])
    (ministry.config.mail_root / "mic.gov.vn/la/Maildir").mkdir(parents=True)
    assert (ministry.figures("6.5")[errors], ministry.overdue("6.5")) == (1, [errors])


@pytest.mark.clause("3.2")
def test_until_when_the_certificate_is_good(ministry: Ministry) -> None:
    """Overdue while `tls.warn_days` run, and where there is none that can be used."""
    assert ministry.overdue("3.2") == []
    assert "web access at https://mail.mic.gov.vn/" in ministry.figures("3.2")
    ministry.clock.move_to(NOW + timedelta(days=820))
    (told,) = ministry.overdue("3.2")
    assert told.startswith("certificate valid until ")
    ministry.config.certificate.write_text("no certificate")
    (told,) = ministry.overdue("3.2")
    assert told.endswith("cannot be used.")


def test_what_cannot_be_read_hides_nothing_else(ministry: Ministry) -> None:
    """A queue that is no folder is told of as a trouble, and the other figures stand."""
    queue = ministry.config.queue_dir
    queue.parent.mkdir(parents=True, exist_ok=True)
    queue.write_text("no folder")
    ministry.event(NOW, "report_sent")
    assert ministry.figures("4.2")["reports to senders today"] == 1
    assert any("queue" in told for told in ministry.overdue("10.1"))


@pytest.mark.clause("5.4.a")
def test_requests_for_a_form_that_is_given(tmp_path: Path) -> None:
    """A namesake's request waits for a choice of the person's (Reg. 5.4.b); one that is settled counts no more."""
    console = Console(tmp_path).init()
    console.done("unit", "add", "CNTT", "Vụ Công nghệ thông tin", "--document", "1553/QĐ-BTTTT")
    console.done("person", "add", "Đỗ Văn Bê", "--unit", "CNTT")
    console.json("mailbox", "issue", "--person", "1", "--document", "12/CV")

    def waiting() -> int:
        evidence = console.json("regulation", "show", "5.4.a")["evidence"]
        return next(each["count"] for each in evidence if each["what"]["en"].startswith("requests"))

    assert waiting() == 0
    words = ("--unit", "CNTT", "--asked-by", "Hoa", "--document", "13/CV", "--position", "Chuyên viên")
    for name in ("Đinh Vũ Bê", "Lê Thị Lan"):
        console.done("request", "add", "issue", "--name", name, "--employment", "công chức", *words)
    assert waiting() == 1
    console.done("request", "approve", "1", "--address", "bedv")
    assert waiting() == 0


@pytest.mark.clause("15.5")
def test_no_scanner_is_said(tmp_path: Path) -> None:
    """Noughts of a server that scans nothing would say that nothing came."""
    ministry = Ministry(tmp_path)
    for place in ("tcp://127.0.0.1:3310", ""):
        ministry.config = config_for(tmp_path, {"malware": {"clamd": place}})
        assert ("no malware scanner is configured (malware.clamd)" in ministry.figures("15.5")) == (not place)
    ministry.population.close()
