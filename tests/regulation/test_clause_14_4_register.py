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

from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.errors import BadInput
from mic_mail.policy.incidents import Incident, IncidentChange, IncidentReport, Kind, Note, Severity, changed, check
from regulation.officers import Desk, furnish
from regulation.test_clause_6_2_mail import Desk as MailDesk
from regulation.test_clause_6_2_mail import a_csv
from regulation.test_clause_14_4 import Desk as LogDesk
from regulation.test_clause_14_4 import desk as log_desk  # noqa: F401 - a fixture

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
HEADING = ("Loại yêu cầu", "Địa chỉ hộp thư", "Ngày chính thức", "Nội dung")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Officers of the Centre (mai, minh), of the unit CNTT (hoa), an auditor (kiem); three units, mailboxes in each."""
    return furnish(tmp_path_factory.mktemp("incidents"))


def one(desk: Desk, login: str, number: int) -> dict[str, Any]:
    return desk.seen_by(login, "incident", "show", str(number))


def opened(desk: Desk, login: str, *words: str) -> int:
    return int(desk.seen_by(login, "incident", "open", *words)["incident_id"])


def test_clause_14_4_a_unit_records_its_incident_and_the_centre_closes_it(desk: Desk) -> None:
    """By its administrator, of its own mailboxes; what it was in the end, and how it ended, only the Centre says."""
    number = opened(desk, "hoa", "malware", "máy của đ/c Bê nhiễm mã độc", "--unit", "CNTT", "--mailbox", "dvbe@mic.gov.vn")
    told = one(desk, "hoa", number)
    assert (told["state"], told["kind"], told["severity"], told["unit"]) == ("open", "malware", "serious", "CNTT")
    assert (told["mailboxes"], told["opened_by"], told["reporter"]) == (["dvbe@mic.gov.vn"], "hoa", "hoa")
    assert desk.by("hoa", "incident", "note", str(number), "đã rút dây mạng", "--measure") == 0, desk.err
    assert desk.by("hoa", "incident", "note", str(number), "rất nặng", "--severity", "critical") == 1
    assert desk.by("hoa", "incident", "close", str(number), "--result", "xong") == 1
    assert desk.by("mai", "incident", "note", str(number), "lan rộng", "--severity", "critical", "--concerns", "KHTC") == 0
    assert desk.by("mai", "incident", "close", str(number), "--result", " ") == 2
    assert desk.by("mai", "incident", "close", str(number), "--result", "đã cài lại", "--document", "5/BC") == 0, desk.err
    told = one(desk, "kiem", number)
    assert (told["state"], told["severity"], told["units"], told["report"]) == ("closed", "critical", ["KHTC"], "5/BC")
    assert [(note["measure"], note["text"], note["actor"]) for note in told["notes"]] == [
        (True, "đã rút dây mạng", "hoa"),
        (False, "lan rộng", "mai"),
    ]
    for words in (("note", str(number), "thêm"), ("close", str(number), "--result", "nữa")):
        assert desk.by("mai", "incident", *words) == 1
        assert "is closed" in desk.err


def test_clause_14_4_a_unit_sees_what_concerns_it_and_nothing_else(desk: Desk) -> None:
    """Another unit's incident is not there, by number either; nor can it be told of for another unit, or of its mailboxes."""
    number = opened(desk, "mai", "phishing", "thư giả mạo", "--unit", "KHTC", "--channel", "telephone")
    answers = []
    for which in (number, 999):
        assert desk.by("hoa", "incident", "show", str(which)) == 2
        answers.append(desk.err.replace(str(which), "?"))
    assert answers[0] == answers[1]
    assert number not in {row["incident_id"] for row in desk.seen_by("hoa", "incident", "list")}
    assert desk.by("hoa", "incident", "note", str(number), "x") == 2
    assert desk.by("hoa", "incident", "open", "spam", "x", "--unit", "KHTC") == 2
    assert desk.by("hoa", "incident", "open", "spam", "x") == 1  # the whole ministry's
    assert desk.by("hoa", "incident", "open", "spam", "x", "--unit", "CNTT", "--mailbox", "lhoa@mic.gov.vn") == 2
    assert desk.by("kiem", "incident", "open", "spam", "x", "--unit", "CNTT") == 1
    assert number in {row["incident_id"] for row in desk.seen_by("kiem", "incident", "list")}


@pytest.mark.clause("10.3", "10.1")
def test_clause_14_4_a_mailbox_told_of_by_an_alias_is_on_record_by_its_address(desk: Desk) -> None:
    """By command or by request: what belongs to it in the log and the facts is found by that alone."""
    assert desk.by("mai", "alias", "add", "dvbe@mic.gov.vn", "be.do", "--document", "3/CV") == 0, desk.err
    number = opened(desk, "hoa", "malware", "x", "--unit", "CNTT", "--mailbox", "be.do@mic.gov.vn")
    assert one(desk, "mai", number)["mailboxes"] == ["dvbe@mic.gov.vn"]
    told = ("--unit", "CNTT", "--asked-by", "Vũ Hoà", "--channel", "telephone", "--note", "mã độc", "--address", "be.do")
    assert desk.by("hoa", "request", "add", "incident", *told) == 0, desk.err
    assert one(desk, "hoa", number + 1)["mailboxes"] == ["dvbe@mic.gov.vn"]


def test_downtime_without_notice_is_an_incident_with_a_report(desk: Desk) -> None:
    """It stands in the register, as one there is or a new one; the incident's report is the downtime's."""
    soon = datetime.now(HO_CHI_MINH) + timedelta(hours=1)
    span = ("--from", f"{soon:%d/%m/%Y %H:%M}", "--until", f"{soon + timedelta(hours=2):%d/%m/%Y %H:%M}")
    far = ("--from", "24/02/2099 08:00", "--until", "24/02/2099 09:00")
    assert desk.by("mai", "maintenance", "announce", *far, "--reason", "nâng cấp", "--for", "1") == 2  # no incident
    assert desk.by("mai", "maintenance", "announce", *span, "--incident", "--reason", "hỏng đĩa") == 0, desk.err
    assert desk.by("mai", "maintenance", "announce", *span, "--incident", "--reason", "x", "--for", "999") == 2
    (downtime,) = desk.seen_by("mai", "maintenance", "list")
    incident = one(desk, "mai", downtime["incident_id"])
    assert (incident["kind"], incident["title"], incident["downtimes"]) == ("outage", "hỏng đĩa", [str(downtime["id"])])
    again = ("maintenance", "announce", *span, "--incident", "--reason", "lần 2", "--for", str(incident["incident_id"]))
    assert desk.by("mai", *again) == 0, desk.err
    assert len(one(desk, "mai", incident["incident_id"])["downtimes"]) == 2
    words = ("incident", "close", str(incident["incident_id"]), "--result", "thay đĩa", "--document", "6/BC")
    assert desk.by("mai", *words) == 0, desk.err
    assert {row["report"] for row in desk.seen_by("mai", "maintenance", "list")} == {"6/BC"}
    assert desk.by("mai", *again) == 1  # a closed incident takes no more


@pytest.mark.clause("14.4")
def test_a_title_is_one_line(desk: Desk) -> None:
    """Whatever was pasted: in the register, and on the terminal, where nothing of it turns or hides what stands there."""
    number = opened(desk, "mai", "spam", "thư rác\r\nMức độ: nhẹ\t\x0b\u2028 \x1b[2J\u202eabc")
    assert one(desk, "mai", number)["title"].startswith("thư rác Mức độ: nhẹ ")
    for words in (("incident", "show", str(number)), ("incident", "list")):
        assert desk.by("mai", *words) == 0, desk.err
        assert not set(desk.out) & set("\r\t\x0b\x1b\u2028\u202e")


@pytest.mark.clause("7.2.c", "16.3")
def test_suspensions_by_7_2_c_belong_to_the_incident(desk: Desk, tmp_path: Path) -> None:
    """Those of its mailboxes while it went on; the paper names them."""
    address = "ttlan@mic.gov.vn"
    number = opened(desk, "mai", "takeover", "lộ mật khẩu", "--unit", "CNTT-P1", "--mailbox", address)
    assert one(desk, "mai", number)["suspensions"] is None
    assert desk.by("mai", "mailbox", "suspend", address, "--cause", "c", "--reason", "bị chiếm quyền") == 0, desk.err
    assert one(desk, "mai", number)["suspensions"] == [address]
    paper, register = tmp_path / "su-co.pdf", tmp_path / "so.xlsx"
    assert desk.by("mai", "incident", "show", str(number), "--out", str(paper)) == 0, desk.err
    text = "".join(page.extract_text() for page in PdfReader(paper).pages)
    assert f"SC-{number}" in text
    assert "bị chiếm quyền" in text
    assert desk.by("mai", "incident", "list", "--out", str(register)) == 0, desk.err
    assert zipfile.is_zipfile(register)


@pytest.mark.clause("16.2")
def test_the_usage_report_and_the_evidence_count_from_the_register(desk: Desk, tmp_path: Path) -> None:
    """By kind and severity, of those that went on in the span."""
    opened(desk, "mai", "intrusion", "dò mật khẩu", "--severity", "critical")
    out = tmp_path / "usage.html"
    today = f"{datetime.now(HO_CHI_MINH):%d/%m/%Y}"
    assert desk.by("mai", "report", "usage", "--from", today, "--until", today, "--out", str(out)) == 0, desk.err
    text = out.read_text()
    assert "V. Sự cố" in text
    assert "Tấn công, xâm nhập" in text
    shown = desk.seen_by("mai", "regulation", "show", "14.4")["evidence"]
    assert {each["what"]["en"] for each in shown} >= {"incidents reported by units", "incidents that are open"}


def test_clause_14_4_told_by_mail_with_the_form(serve: Callable[..., Any]) -> None:
    """A row of the form is on record at once, told to the Centre once, and answered when it is closed, once."""
    desk = MailDesk(serve(clock=ManualClock(NOW)))
    rows = (("sự cố", "be", "", "")), ("sự cố", "", "25/11/2026", "máy trạm nhiễm mã độc"), ("sự cố", "", "27/11/2026", "x")
    desk.submit(desk.mail("cntt@mic.gov.vn", a_csv(HEADING, *rows)), "cntt@mic.gov.vn")
    (incident,) = desk.directory.incidents.all()
    assert (incident.told.title, incident.told.severity) == ("máy trạm nhiễm mã độc", Severity.SERIOUS)
    assert incident.told.began_at.astimezone(HO_CHI_MINH).isoformat() == "2026-11-25T00:00:00+07:00"
    (request,) = desk.opened()
    assert (request.state, request.result, incident.request_id) == ("done", incident.number, request.request_id)
    (answer,) = desk.inbox(desk.unit)
    text = answer.get_payload(decode=True).decode()
    assert f"Dòng 3: đã ghi sự cố {incident.number}" in text
    assert "Dòng 2: từ chối" in text
    assert "Dòng 4: từ chối" in text
    for _ in range(2):
        desk.server.refresh()
        desk.server.housekeep()
    told = [str(m.get_payload(decode=True), "utf-8") for m in desk.inbox(desk.support)[1:]]
    assert len(told) == 1
    assert "máy trạm nhiễm mã độc" in told[0]
    now = desk.server.clock.now()
    desk.directory.incidents.close(incident, "mai", now, result="đã cài lại máy", report="9/BC", ended_at=now)
    for _ in range(2):
        desk.server.refresh()
        desk.server.housekeep()
    closing = [str(m.get_payload(decode=True), "utf-8") for m in desk.inbox(desk.unit)[1:]]
    assert len(closing) == 1
    assert "đã cài lại máy" in closing[0]


def test_clause_16_3_the_log_of_an_incident_is_one_file(log_desk: LogDesk, tmp_path: Path) -> None:  # noqa: F811
    """The lines of all its mailboxes, digests that agree, the chain of anchors, and the signed-to-be paper beside."""
    words = ("--mailbox", "ttlan@mic.gov.vn", "--mailbox", "dvbe@mic.gov.vn", "--from", "01/01/2020 00:00")
    number = str(log_desk.json("incident", "open", "spam", "thư lạ", *words)["incident_id"])  # type: ignore[call-overload]
    target = tmp_path / "vncert.zip"
    done = log_desk.json("incident", "export", number, str(target), "--reason", "VNCERT", "--until", "01/01/2199")
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
    assert [act["act"] for act in log_desk.acts()] == ["incident_open", "log_export", "log_exported"]


# ------------------------------------------------------------ the rule itself

TOLD = IncidentReport(Kind.SPAM, Severity.SERIOUS, "x", "an", 1, NOW)


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
        replace(incident, told=changed(incident.told, IncidentChange(severity=Severity.CRITICAL))),
        replace(incident, told=changed(incident.told, IncidentChange(units=frozenset({4})))),
        replace(incident, downtimes=(1,)),
    ]
    assert len({incident.digest, *(each.digest for each in others)}) == 1 + len(others)


@pytest.mark.clause("6.1")
def test_of_an_incident_of_several_units_each_sees_its_own_mailboxes(desk: Desk) -> None:
    """What the Centre adds of another unit is the Centre's and that unit's to see, in every form of the answer."""
    number = opened(desk, "hoa", "spam", "Thư rác hàng loạt", "--unit", "CNTT", "--mailbox", "dvbe@mic.gov.vn")
    added = ("--mailbox", "lhoa@mic.gov.vn", "--concerns", "KHTC")
    assert desk.by("mai", "incident", "note", str(number), "lan sang đơn vị khác", *added) == 0, desk.err
    seen = ["dvbe@mic.gov.vn"]
    assert one(desk, "hoa", number)["mailboxes"] == seen
    assert next(row for row in desk.seen_by("hoa", "incident", "list") if row["incident_id"] == number)["mailboxes"] == seen
    paper = desk.folder / "su-co.html"
    assert desk.by("hoa", "incident", "show", str(number), "--out", str(paper)) == 0, desk.err
    assert "lhoa" not in paper.read_text()
    assert one(desk, "mai", number)["mailboxes"] == [*seen, "lhoa@mic.gov.vn"]
    assert desk.by("hoa", "incident", "note", str(number), "đã rút dây mạng") == 0, desk.err
    assert one(desk, "mai", number)["mailboxes"] == [*seen, "lhoa@mic.gov.vn"]  # nothing was taken away
