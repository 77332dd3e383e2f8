"""Reg. 14.4, 16.3, 10.1, 10.3: the register of incidents: told by units, kept by the Centre, handed to who investigates."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from harness import MailServer
from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.errors import BadInput
from mic_mail.policy.incidents import (
    Incident,
    IncidentChange,
    IncidentKind,
    IncidentReport,
    IncidentSeverity,
    Note,
    changed,
    check,
)
from regulation.log_console import LogConsole, console_of_used_server
from regulation.officers import OfficersConsole, officers_console
from regulation.requests_by_mail import Ministry, a_csv

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
HEADING = ("Loại yêu cầu", "Địa chỉ hộp thư", "Ngày chính thức", "Nội dung")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> OfficersConsole:
    """Officers of the Centre (mai, minh), of the unit CNTT (hoa), an auditor (kiem); three units, mailboxes in each."""
    return officers_console(tmp_path_factory.mktemp("incidents"))


@pytest.fixture
def log_console(serve: Callable[..., MailServer], tmp_path: Path) -> LogConsole:
    return console_of_used_server(serve(), tmp_path)


def one(console: OfficersConsole, login: str, number: int) -> dict[str, Any]:
    return console.json_by(login, "incident", "show", number)


def opened(console: OfficersConsole, login: str, *words: str) -> int:
    return int(console.json_by(login, "incident", "open", *words)["incident_id"])


def test_clause_14_4_a_unit_records_its_incident_and_the_centre_closes_it(console: OfficersConsole) -> None:
    """By its administrator, of its own mailboxes; what it was in the end, and how it ended, only the Centre says."""
    number = opened(console, "hoa", "malware", "máy của đ/c Bê nhiễm mã độc", "--unit", "CNTT", "--mailbox", "dvbe@mic.gov.vn")
    told = one(console, "hoa", number)
    assert (told["state"], told["kind"], told["severity"], told["unit"]) == ("open", "malware", "serious", "CNTT")
    assert (told["mailboxes"], told["opened_by"], told["reporter"]) == (["dvbe@mic.gov.vn"], "hoa", "hoa")
    console.done_by("hoa", "incident", "note", number, "đã rút dây mạng", "--measure")
    console.refused_by("hoa", "incident", "note", number, "rất nặng", "--severity", "critical")
    console.refused_by("hoa", "incident", "close", number, "--result", "xong")
    console.done_by("mai", "incident", "note", number, "lan rộng", "--severity", "critical", "--concerns", "KHTC")
    console.refused_by("mai", "incident", "close", number, "--result", " ", code=2)
    console.done_by("mai", "incident", "close", number, "--result", "đã cài lại", "--document", "5/BC")
    told = one(console, "kiem", number)
    assert (told["state"], told["severity"], told["units"], told["report"]) == ("closed", "critical", ["KHTC"], "5/BC")
    assert [(note["measure"], note["text"], note["actor"]) for note in told["notes"]] == [
        (True, "đã rút dây mạng", "hoa"),
        (False, "lan rộng", "mai"),
    ]
    for words in (("note", str(number), "thêm"), ("close", str(number), "--result", "nữa")):
        console.refused_by("mai", "incident", *words, says="is closed")


def test_clause_14_4_a_unit_sees_what_concerns_it_and_nothing_else(console: OfficersConsole) -> None:
    """Another unit's incident is not there, by number either; nor can it be told of for another unit, or of its mailboxes."""
    number = opened(console, "mai", "phishing", "thư giả mạo", "--unit", "KHTC", "--channel", "telephone")
    answers = []
    for which in (number, 999):
        console.refused_by("hoa", "incident", "show", which, code=2)
        answers.append(console.err.replace(str(which), "?"))
    assert answers[0] == answers[1]
    assert number not in {row["incident_id"] for row in console.json_by("hoa", "incident", "list")}
    console.refused_by("hoa", "incident", "note", number, "x", code=2)
    console.refused_by("hoa", "incident", "open", "spam", "x", "--unit", "KHTC", code=2)
    console.refused_by("hoa", "incident", "open", "spam", "x")  # the whole ministry's
    console.refused_by("hoa", "incident", "open", "spam", "x", "--unit", "CNTT", "--mailbox", "lhoa@mic.gov.vn", code=2)
    console.refused_by("kiem", "incident", "open", "spam", "x", "--unit", "CNTT")
    assert number in {row["incident_id"] for row in console.json_by("kiem", "incident", "list")}


@pytest.mark.clause("10.3", "10.1")
def test_clause_14_4_a_mailbox_told_of_by_an_alias_is_on_record_by_its_address(console: OfficersConsole) -> None:
    """By command or by request: what belongs to it in the log and the facts is found by that alone."""
    console.done_by("mai", "alias", "add", "dvbe@mic.gov.vn", "be.do", "--document", "3/CV")
    number = opened(console, "hoa", "malware", "x", "--unit", "CNTT", "--mailbox", "be.do@mic.gov.vn")
    assert one(console, "mai", number)["mailboxes"] == ["dvbe@mic.gov.vn"]
    told = ("--unit", "CNTT", "--asked-by", "Vũ Hoà", "--channel", "telephone", "--note", "mã độc", "--address", "be.do")
    console.done_by("hoa", "request", "add", "incident", *told)
    assert one(console, "hoa", number + 1)["mailboxes"] == ["dvbe@mic.gov.vn"]


def test_downtime_without_notice_is_an_incident_with_a_report(console: OfficersConsole) -> None:
    """It stands in the register, as one there is or a new one; the incident's report is the downtime's."""
    soon = datetime.now(HO_CHI_MINH) + timedelta(hours=1)
    span = ("--from", f"{soon:%d/%m/%Y %H:%M}", "--until", f"{soon + timedelta(hours=2):%d/%m/%Y %H:%M}")
    far = ("--from", "24/02/2099 08:00", "--until", "24/02/2099 09:00")
    console.refused_by("mai", "maintenance", "announce", *far, "--reason", "nâng cấp", "--for", "1", code=2)  # no incident
    console.done_by("mai", "maintenance", "announce", *span, "--incident", "--reason", "hỏng đĩa")
    console.refused_by("mai", "maintenance", "announce", *span, "--incident", "--reason", "x", "--for", "999", code=2)
    (downtime,) = console.json_by("mai", "maintenance", "list")
    incident = one(console, "mai", downtime["incident_id"])
    assert (incident["kind"], incident["title"], incident["downtimes"]) == ("outage", "hỏng đĩa", [str(downtime["id"])])
    again = ("maintenance", "announce", *span, "--incident", "--reason", "lần 2", "--for", str(incident["incident_id"]))
    console.done_by("mai", *again)
    assert len(one(console, "mai", incident["incident_id"])["downtimes"]) == 2
    words = ("incident", "close", str(incident["incident_id"]), "--result", "thay đĩa", "--document", "6/BC")
    console.done_by("mai", *words)
    assert {row["report"] for row in console.json_by("mai", "maintenance", "list")} == {"6/BC"}
    console.refused_by("mai", *again)  # a closed incident takes no more


@pytest.mark.clause("14.4")
def test_a_title_is_one_line(console: OfficersConsole) -> None:
    """Whatever was pasted: in the register, and on the terminal, where nothing of it turns or hides what stands there."""
    number = opened(console, "mai", "spam", "thư rác\r\nMức độ: nhẹ\t\x0b\u2028 \x1b[2J\u202eabc")
    assert one(console, "mai", number)["title"].startswith("thư rác Mức độ: nhẹ ")
    for words in (("incident", "show", str(number)), ("incident", "list")):
        console.done_by("mai", *words)
        assert not set(console.out) & set("\r\t\x0b\x1b\u2028\u202e")


@pytest.mark.clause("7.2.c", "16.3")
def test_suspensions_by_7_2_c_belong_to_the_incident(console: OfficersConsole, tmp_path: Path) -> None:
    """Those of its mailboxes while it went on; the paper names them."""
    address = "ttlan@mic.gov.vn"
    number = opened(console, "mai", "takeover", "lộ mật khẩu", "--unit", "CNTT-P1", "--mailbox", address)
    assert one(console, "mai", number)["suspensions"] is None
    console.done_by("mai", "mailbox", "suspend", address, "--cause", "c", "--reason", "bị chiếm quyền")
    assert one(console, "mai", number)["suspensions"] == [address]
    paper, register = tmp_path / "su-co.pdf", tmp_path / "so.xlsx"
    console.done_by("mai", "incident", "show", number, "--out", paper)
    text = "".join(page.extract_text() for page in PdfReader(paper).pages)
    assert f"SC-{number}" in text
    assert "bị chiếm quyền" in text
    console.done_by("mai", "incident", "list", "--out", register)
    assert zipfile.is_zipfile(register)


@pytest.mark.clause("16.2")
def test_the_usage_report_and_the_evidence_count_from_the_register(console: OfficersConsole, tmp_path: Path) -> None:
    """By kind and severity, of those that went on in the span."""
    opened(console, "mai", "intrusion", "dò mật khẩu", "--severity", "critical")
    out = tmp_path / "usage.html"
    today = f"{datetime.now(HO_CHI_MINH):%d/%m/%Y}"
    console.done_by("mai", "report", "usage", "--from", today, "--until", today, "--out", out)
    text = out.read_text()
    assert "V. Sự cố" in text
    assert "Tấn công, xâm nhập" in text
    shown = console.json_by("mai", "regulation", "show", "14.4")["evidence"]
    assert {each["what"]["en"] for each in shown} >= {"incidents reported by units", "incidents that are open"}


def test_clause_14_4_told_by_mail_with_the_form(serve: Callable[..., Any]) -> None:
    """A row of the form is on record at once, told to the Centre once, and answered when it is closed, once."""
    console = Ministry(serve(clock=ManualClock(NOW)))
    rows = (("sự cố", "be", "", "")), ("sự cố", "", "25/11/2026", "máy trạm nhiễm mã độc"), ("sự cố", "", "27/11/2026", "x")
    console.submit(console.mail("cntt@mic.gov.vn", a_csv(HEADING, *rows)), "cntt@mic.gov.vn")
    (incident,) = console.directory.incidents.all()
    assert (incident.told.title, incident.told.severity) == ("máy trạm nhiễm mã độc", IncidentSeverity.SERIOUS)
    assert incident.told.began_at.astimezone(HO_CHI_MINH).isoformat() == "2026-11-25T00:00:00+07:00"
    (request,) = console.opened()
    assert (request.state, request.result, incident.request_id) == ("done", incident.number, request.request_id)
    (answer,) = console.inbox(console.unit)
    text = answer.get_payload(decode=True).decode()
    assert f"Dòng 3: đã ghi sự cố {incident.number}" in text
    assert "Dòng 2: từ chối" in text
    assert "Dòng 4: từ chối" in text
    for _ in range(2):
        console.server.refresh()
        console.server.housekeep()
    told = [str(m.get_payload(decode=True), "utf-8") for m in console.inbox(console.support)[1:]]
    assert len(told) == 1
    assert "máy trạm nhiễm mã độc" in told[0]
    now = console.server.clock.now()
    console.directory.incidents.close(incident, "mai", now, result="đã cài lại máy", report="9/BC", ended_at=now)
    for _ in range(2):
        console.server.refresh()
        console.server.housekeep()
    closing = [str(m.get_payload(decode=True), "utf-8") for m in console.inbox(console.unit)[1:]]
    assert len(closing) == 1
    assert "đã cài lại máy" in closing[0]


def test_clause_16_3_the_log_of_an_incident_is_one_file(log_console: LogConsole, tmp_path: Path) -> None:
    """The lines of all its mailboxes, digests that agree, the chain of anchors, and the signed-to-be paper beside."""
    words = ("--mailbox", "ttlan@mic.gov.vn", "--mailbox", "dvbe@mic.gov.vn", "--from", "01/01/2020 00:00")
    number = str(log_console.json("incident", "open", "spam", "thư lạ", *words)["incident_id"])  # type: ignore[call-overload]
    target = tmp_path / "vncert.zip"
    done = log_console.json("incident", "export", number, str(target), "--reason", "VNCERT", "--until", "01/01/2199")
    assert done["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()  # type: ignore[call-overload]
    with zipfile.ZipFile(target) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for line in members["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(members[name]).hexdigest() == digest
    assert members[f"SC-{number}.pdf"].startswith(b"%PDF")
    events = [json.loads(line)["event"] for line in members["events.jsonl"].splitlines()]
    assert events.count("message_accepted") == 1
    assert {"signed_in", "sign_in_refused", "message_delivered"} <= set(events)
    manifest = json.loads(members["manifest.json"])
    assert manifest["incident"] == f"SC-{number}"
    assert manifest["head"] == hashlib.sha256(members["anchors.chain"].splitlines(keepends=True)[-1]).hexdigest()
    assert [act["act"] for act in log_console.acts()] == ["incident_open", "log_export", "log_exported"]


# ------------------------------------------------------------ the rule itself

TOLD = IncidentReport(IncidentKind.SPAM, IncidentSeverity.SERIOUS, "x", "an", 1, NOW)


@pytest.mark.clause("14.4")
@pytest.mark.parametrize(
    "wrong",
    [
        {"title": " "},
        {"title": "x" * 1001},
        {"reporter": ""},
        {"began_at": NOW + timedelta(seconds=1)},
        {"ended_at": NOW - timedelta(seconds=1)},
        {"ended_at": NOW + timedelta(seconds=1)},
        {"mailboxes": tuple(f"m{n}@x" for n in range(201))},
    ],
)
def test_what_says_too_little_is_refused(wrong: dict[str, Any]) -> None:
    """Each with the clause."""
    check(TOLD, NOW)
    with pytest.raises(BadInput) as refusal:
        check(replace(TOLD, **wrong), NOW)
    assert refusal.value.clause == "14.4"


@pytest.mark.clause("14.4")
def test_the_digest_is_of_everything_that_is_on_record() -> None:
    """Another word anywhere is another digest; the order in which a set is held is none."""
    incident = Incident(1, replace(TOLD, units=frozenset({3, 2})), NOW, "mai")
    assert incident.digest == replace(incident, told=replace(TOLD, units=frozenset({2, 3}))).digest
    others = [
        replace(incident, notes=(Note(NOW, "mai", "x", measure=True),)),
        replace(incident, result="xong"),
        replace(incident, told=changed(incident.told, IncidentChange(severity=IncidentSeverity.CRITICAL))),
        replace(incident, told=changed(incident.told, IncidentChange(units=frozenset({4})))),
        replace(incident, downtimes=(1,)),
    ]
    assert len({incident.digest, *(each.digest for each in others)}) == 1 + len(others)


@pytest.mark.clause("6.1")
def test_of_an_incident_of_several_units_each_sees_its_own_mailboxes(console: OfficersConsole) -> None:
    """What the Centre adds of another unit is the Centre's and that unit's to see, in every form of the answer."""
    number = opened(console, "hoa", "spam", "Thư rác hàng loạt", "--unit", "CNTT", "--mailbox", "dvbe@mic.gov.vn")
    added = ("--mailbox", "lhoa@mic.gov.vn", "--concerns", "KHTC")
    console.done_by("mai", "incident", "note", number, "lan sang đơn vị khác", *added)
    seen = ["dvbe@mic.gov.vn"]
    assert one(console, "hoa", number)["mailboxes"] == seen
    assert next(row for row in console.json_by("hoa", "incident", "list") if row["incident_id"] == number)["mailboxes"] == seen
    paper = console.folder / "su-co.html"
    console.done_by("hoa", "incident", "show", number, "--out", paper)
    assert "lhoa" not in paper.read_text()
    assert one(console, "mai", number)["mailboxes"] == [*seen, "lhoa@mic.gov.vn"]
    console.done_by("hoa", "incident", "note", number, "đã rút dây mạng")
    assert one(console, "mai", number)["mailboxes"] == [*seen, "lhoa@mic.gov.vn"]  # nothing was taken away
