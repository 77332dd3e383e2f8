"""The keeper reports times sent, received, confirmations and responses: by real sessions, reports of others, answers."""

import json
import smtplib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.smtp_sessions import letter as mail
from clients.smtp_sessions import submission
from harness import MailServer
from messages.reports import GMAIL, POSTFIX, THUNDERBIRD
from mic_mail.mime.dsn_mdn import DeliveryReport, read_report
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.unit_mail.correspondence import (
    DeliveryStatus,
    MessageKnowledge,
    RecipientOutcome,
    Reported,
    Statement,
    Submission,
    lines,
)
from mic_mail.services.unit_mail.correspondence import Correspondences
from regulation.officers import WHY
from regulation.unit_mail_setup import CNTT, DVBE, MONDAY, TTLAN, UnitMailServer, at, letter, shown
from waiting import wait_for

ONE = timedelta(days=1)
MESSAGE_ID = "<42.7@mail.mic.gov.vn>"
"""What the reports of the samples speak of."""


@pytest.fixture
def unit_mail(serve: Callable[..., MailServer], tmp_path: Path) -> UnitMailServer:
    unit_mail = UnitMailServer(serve, tmp_path)
    unit_mail.move_to(MONDAY, "09:00")
    return unit_mail


def send(unit_mail: UnitMailServer, to: str, message_id: str, *, login: str = DVBE, **header: str) -> None:
    """A message of cntt@, by submission."""
    message = mail(CNTT, to, body="xin chào")
    message["Message-ID"] = message_id
    for name, value in header.items():
        message[name.replace("_", "-")] = value
    with submission(unit_mail.server, login.partition("@")[0]) as client:
        client.send_message(message)


def arrive(unit_mail: UnitMailServer, octets: bytes, sender: str = "") -> None:
    """A message from elsewhere, by SMTP."""
    with smtplib.SMTP(unit_mail.server.host, unit_mail.server.ports["smtp"], "mx.example", timeout=10) as client:
        client.sendmail(sender, [CNTT], octets)


def accepted_for_elsewhere(unit_mail: UnitMailServer, *recipients: str, envid: str | None = None) -> None:
    """As the log has a message that went to other servers: there is no way to them here."""
    unit_mail.server.running.context.log.event(
        "message_accepted", trace="T" * 16, message_id=MESSAGE_ID.strip("<>"), sender=CNTT, recipients=list(recipients),
        octets=100, peer="127.0.0.1", session="S", login=DVBE, written_as=[CNTT], envid=envid,
    )  # fmt: skip


def report(unit_mail: UnitMailServer, *words: str) -> dict[str, Any]:
    """`report correspondence` of cntt@ over Monday and Tuesday, once the log holds what was sent."""
    span = ("--from", MONDAY.isoformat(), "--until", (MONDAY + ONE).isoformat())
    unit_mail.console.json("report", "correspondence", "--mailbox", CNTT, *span, *words)
    found: dict[str, Any] = json.loads(unit_mail.console.out)
    return found


def settled(unit_mail: UnitMailServer, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The report, as soon as it is as wanted: the log is written in a thread of its own."""
    return wait_for(lambda: wanted(found := report(unit_mail)) and found, lambda: report(unit_mail))


# ---------------------------------------------------------------- by sessions


def test_sent_within_the_house(unit_mail: UnitMailServer) -> None:
    """Of each recipient when it came into the mailbox, and when an answer came back; by whom it was sent is known."""
    send(unit_mail, TTLAN, "<1@x>")
    unit_mail.move_to(MONDAY, "10:30")
    with submission(unit_mail.server, "ttlan") as client:
        answer = mail(TTLAN, CNTT, body="đồng ý")
        answer["Message-ID"], answer["In-Reply-To"] = "<2@x>", "<1@x>"
        client.send_message(answer)
    unit_mail.move_to(MONDAY, "11:15")
    send(unit_mail, TTLAN, "<3@x>", References="<1@x> <2@x>")
    unit_mail.put(unit_mail.cntt, letter(3, CNTT, TTLAN, "References: <1@x> <2@x>\r\n"), folder="Sent")
    found = settled(unit_mail, lambda found: found["delivered"] == 2)
    first, second = found["sent_to"]
    assert (first["recipient"], first["fate"], first["actor"], first["message_id"]) == (TTLAN, "delivered", DVBE, "<1@x>")
    assert [shown(first[name])[-5:] for name in ("at", "fate_at", "answered_at")] == ["09:00", "09:00", "10:30"]
    assert first["answered_by"] == TTLAN
    assert (second["fate"], second["answered_at"]) == ("delivered", None)
    (received,) = (each for each in found["received_from"] if not each["automatic"])
    assert (received["sender"], shown(received["answered_at"])[-5:], received["answered_by"]) == (TTLAN, "11:15", CNTT)
    assert (found["sent"], found["answered"], found["received"]) == (2, 1, 1)
    assert "subject" not in first
    assert "Thu so" not in unit_mail.console.out


def test_a_report_of_delivery_within_the_house(unit_mail: UnitMailServer) -> None:
    """Asked for with NOTIFY=SUCCESS: confirmed by the log and by the report that lies in the mailbox, which is no letter."""
    message = mail(CNTT, TTLAN, body="xin chào")
    message["Message-ID"] = MESSAGE_ID
    with submission(unit_mail.server, "dvbe") as client:
        client.send_message(message, mail_options=["ENVID=QQ1"], rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
    unit_mail.server.call(unit_mail.server.running.context.mailflow.settle())
    found = settled(unit_mail, lambda found: found["delivered"] == 1)
    (line,) = found["sent_to"]
    assert (line["recipient"], line["fate"]) == (TTLAN, "delivered")
    assert found["received_from"] == []
    context = unit_mail.server.running.context
    came = [path.read_bytes() for path in (unit_mail.server.config.mail_root / unit_mail.cntt.home).glob("Maildir/cur/*")]
    (told,) = (read_report(octets) for octets in came if b"report-type" in octets)
    assert isinstance(told, DeliveryReport)
    assert (told.envelope_id, told.message_ids) == ("QQ1", {MESSAGE_ID})
    assert [(each.final, each.action) for each in told.recipients] == [(TTLAN, "delivered")]
    # Without the log's word on the delivery the report alone says it.
    context.log.event(
        "message_accepted", trace="U" * 16, message_id=MESSAGE_ID.strip("<>"), sender=CNTT, recipients=[TTLAN],
        octets=100, peer="127.0.0.1", session="S", login=DVBE, written_as=[CNTT], envid="QQ1",
    )  # fmt: skip
    found = settled(unit_mail, lambda found: len(found["sent_to"]) == 2)
    assert sorted(each["fate"] for each in found["sent_to"]) == ["delivered", "reported_delivered"]


def test_what_this_server_gave_up(unit_mail: UnitMailServer) -> None:
    """A mailbox here that stayed full, though the sender asked for no report."""
    accepted_for_elsewhere(unit_mail, TTLAN)
    for event in ("delivery_deferred", "delivery_given_up"):
        unit_mail.server.running.context.log.event(event, trace="T" * 16, mailbox=TTLAN, recipient=TTLAN, reason="OverQuota")
    found = settled(unit_mail, lambda found: [each["fate"] for each in found["sent_to"]] == ["reported_failed"])
    assert found["failed"] == 1


def test_what_others_report(unit_mail: UnitMailServer) -> None:
    """Postfix: one failed, one relayed; Thunderbird: read. Said to be reported, and matched by the Message-ID."""
    accepted_for_elsewhere(unit_mail, "khong.co@mof.gov.vn", "vp@mof.gov.vn", "hoa@mof.gov.vn", "ai.do@gmail.com")
    unit_mail.move_to(MONDAY, "09:10")
    arrive(unit_mail, POSTFIX)
    arrive(unit_mail, GMAIL)
    unit_mail.move_to(MONDAY, "14:00")
    arrive(unit_mail, THUNDERBIRD, "hoa@mof.gov.vn")
    found = settled(unit_mail, lambda found: len(found["sent_to"]) == 4)
    by_recipient = {each["recipient"]: each for each in found["sent_to"]}
    assert {name: (each["fate"], each["status"]) for name, each in by_recipient.items()} == {
        "khong.co@mof.gov.vn": ("reported_failed", "5.1.1"),
        "vp@mof.gov.vn": ("reported_relayed", "2.0.0"),
        "ai.do@gmail.com": ("reported_failed", "5.1.1"),
        "hoa@mof.gov.vn": ("accepted", None),
    }
    assert shown(by_recipient["hoa@mof.gov.vn"]["read_at"])[-5:] == "14:00"
    assert (found["failed"], found["read"]) == (2, 1)


def test_the_envelope_id_names_the_message_too(unit_mail: UnitMailServer) -> None:
    """Where nothing of the message is returned (RFC 3461 §4.4)."""
    accepted_for_elsewhere(unit_mail, "vp@mof.gov.vn", envid="QQ314159")
    head, _, _ = POSTFIX.partition(b"--4XyZ.1732/mx.mof.gov.vn\r\nContent-Description: Undelivered")
    arrive(unit_mail, head + b"--4XyZ.1732/mx.mof.gov.vn--\r\n")
    found = settled(unit_mail, lambda found: bool(found["sent_to"]))
    assert [each["fate"] for each in found["sent_to"]] == ["reported_failed"], (
        "one recipient: whatever it was called on the way"
    )


def test_a_forged_report_undoes_nothing(unit_mail: UnitMailServer) -> None:
    """What this server delivered it knows; a report of a message that was never sent is no line."""
    send(unit_mail, TTLAN, MESSAGE_ID)
    forged = POSTFIX.replace(b"khong.co@mof.gov.vn", b"ttlan@mic.gov.vn").replace(b"Khong.Co@mof.gov.vn", b"ttlan@mic.gov.vn")
    arrive(unit_mail, forged)
    arrive(unit_mail, POSTFIX.replace(b"42.7@mail", b"43@mail"))
    found = settled(unit_mail, lambda found: found["delivered"] == 1)
    assert [(each["recipient"], each["fate"]) for each in found["sent_to"]] == [(TTLAN, "delivered")]


def test_nobody_outside_speaks_for_people_of_this_server(unit_mail: UnitMailServer) -> None:
    """Neither answers nor confirms in the name of a recipient here, nor answers, nor names what was sent, in the mailbox's own;
    what came is told as received, and what the recipient sends by submission counts."""
    send(unit_mail, TTLAN, MESSAGE_ID)
    unit_mail.put(unit_mail.cntt, letter(7))
    unit_mail.put(unit_mail.cntt, letter(0, CNTT, TTLAN).replace(b"<0@x>", MESSAGE_ID.encode()), folder="Sent")
    unit_mail.move_to(MONDAY, "10:00")
    arrive(unit_mail, letter(8, TTLAN, CNTT, f"In-Reply-To: {MESSAGE_ID}\r\n"), TTLAN)
    arrive(unit_mail, letter(9, CNTT, CNTT, "In-Reply-To: <7@x>\r\n"), CNTT)
    arrive(unit_mail, letter(0, CNTT, CNTT).replace(b"<0@x>", MESSAGE_ID.encode()).replace(b"Thu so 0", b"Khac"), CNTT)
    displayed = THUNDERBIRD.replace(b"hoa@mof.gov.vn", TTLAN.encode())
    arrive(unit_mail, displayed, TTLAN)
    arrive(unit_mail, displayed.replace(f"Le Hoa <{TTLAN}>".encode(), b"x@outside.example"))
    found = settled(unit_mail, lambda found: found["received"] == 5)
    (line,) = found["sent_to"]
    assert (line["answered_at"], line["read_at"]) == (None, None)
    by_sender = {each["sender"]: each for each in found["received_from"] if not each["automatic"]}
    assert by_sender["a@mof.gov.vn"]["answered_at"] is None
    assert {CNTT, TTLAN} <= set(by_sender)
    correspondence = Correspondences(
        unit_mail.server.running.context.store, unit_mail.server.running.context.access.snapshot, unit_mail.server.config
    )
    entry = unit_mail.server.running.context.access.snapshot.entries[unit_mail.cntt.mailbox_id]
    assert correspondence.of(entry, DateRange(MONDAY, MONDAY)).subjects[MESSAGE_ID] == "Thu so 0"
    unit_mail.move_to(MONDAY, "11:00")
    with submission(unit_mail.server, "ttlan") as client:
        client.sendmail("", [CNTT], displayed)
        client.sendmail(TTLAN, [CNTT], letter(10, TTLAN, CNTT, f"In-Reply-To: {MESSAGE_ID}\r\n"))
    (line,) = settled(unit_mail, lambda found: found["received"] == 7)["sent_to"]
    assert [shown(line[name])[-5:] for name in ("answered_at", "read_at")] == ["11:00", "11:00"]


def test_papers(unit_mail: UnitMailServer, tmp_path: Path) -> None:
    """Every kind of file; subjects stand in none unless they are asked for."""
    send(unit_mail, TTLAN, "<1@x>")
    unit_mail.put(unit_mail.cntt, letter(1, CNTT, TTLAN), folder="Sent")
    unit_mail.put(unit_mail.cntt, letter(7))
    settled(unit_mail, lambda found: found["delivered"] == 1)
    words = ("report", "correspondence", "--mailbox", CNTT, "--from", MONDAY.isoformat(), "--until", MONDAY.isoformat())
    for name in ("x.pdf", "x.xlsx", "x.html", "x.csv"):
        unit_mail.console.done(*words, "--out", tmp_path / name)
    assert "Thu so" not in (tmp_path / "x.html").read_text() + (tmp_path / "x-2.csv").read_text("utf-8-sig")
    unit_mail.console.done(*words, "--subjects", "--document", "3/CV-CNTT", "--out", tmp_path / "y.html")
    told = (tmp_path / "y.html").read_text()
    assert "Thu so 1" in told
    assert "Thu so 7" in told
    unit_mail.console.refused(*words, "--subjects", says="Reg. 4.3")
    unit_mail.console.refused("report", "correspondence", "--mailbox", DVBE, code=2)
    found = unit_mail.console.json("regulation", "show", "12.3.b")["evidence"]
    assert found[0]["count"] >= 6


@pytest.mark.clause("4.3")
def test_who_may_see_it(tmp_path: Path) -> None:
    """The unit's administrator, with subjects; the Centre and auditors without; the Centre on the unit's document."""
    from regulation.officers import officers_console

    unit_mail = officers_console(tmp_path)
    words = ("report", "correspondence", "--mailbox", CNTT)
    for login, more, code in (
        ("hoa", (), 0), ("hoa", ("--subjects",), 0), ("kiem", (), 0), ("kiem", ("--subjects", "--document", "1"), 1),
        ("mai", (), 0), ("mai", ("--subjects",), 1), ("mai", ("--subjects", *WHY), 0), ("stranger", (), 1),
    ):  # fmt: skip
        assert unit_mail.by(login, *words, *more) == code, (login, more, unit_mail.err)
    for report in ("openings", "passed-on"):
        for login, more, code in (
            ("hoa", ("--unit", "CNTT"), 0), ("hoa", ("--mailbox", CNTT), 0), ("hoa", (), 1), ("hoa", ("--unit", "KHTC"), 2),
            ("kiem", (), 0), ("mai", (), 0), ("stranger", (), 1),
        ):  # fmt: skip
            assert unit_mail.by(login, "report", report, *more) == code, (report, login, more, unit_mail.err)
    unit_mail.done_by("mai", "officer", "add", "xa", "Lê Xa", "--role", "unit", "--unit", "KHTC", "--no-login", *WHY)
    assert unit_mail.by("xa", *words) == 2, "what is another unit's is not there"
    acts = [act for act in unit_mail.acts if act["act"].startswith("report_correspondence")]
    assert {(act["actor"], act["act"]) for act in acts if "refused" in act["act"]} == {
        ("kiem", "report_correspondence_refused"), ("mai", "report_correspondence_refused"),
    }  # fmt: skip


# ---------------------------------------------------------------- by rule

T0 = at(MONDAY, "08:00")
minutes = st.integers(0, 600).map(lambda n: T0 + timedelta(minutes=n))
names = st.sampled_from(["a@x", "b@x", "c@x"])
submissions = st.builds(
    lambda n, when, to: Submission(f"T{n}", when, f"<{n}@x>", f"E{n}", tuple(to), DVBE),
    st.integers(0, 3),
    minutes,
    st.lists(names, min_size=1, max_size=3, unique=True),
)
ids = st.frozensets(st.integers(0, 4).map(lambda n: f"<{n}@x>"), max_size=2)
reports = st.builds(
    Reported, minutes, ids, st.just(""), st.tuples(names), st.sampled_from(list(DeliveryStatus)[3:]), st.just("5.0.0")
)
words = st.builds(Statement, minutes, ids, st.just(""), st.tuples(names))
handovers = st.builds(
    RecipientOutcome,
    st.sampled_from(["T0", "T1", "T9"]),
    names,
    st.sampled_from([DeliveryStatus.DELIVERED, DeliveryStatus.DEFERRED]),
    minutes,
)


@given(
    st.lists(submissions, max_size=4, unique_by=lambda s: s.trace),
    st.lists(handovers, max_size=6),
    st.lists(reports, max_size=6),
    st.lists(words, max_size=6),
    st.randoms(),
)
def test_reports_never_undo_what_the_server_did(
    sent: list[Submission], done: list[RecipientOutcome], told: list[Reported], said: list[Statement], random: Any
) -> None:
    """A line for each message and recipient; delivered here stays delivered; nothing is known before; order is nothing."""
    found = lines(sent, MessageKnowledge(done, told, said, said))
    assert [(line.submission.trace, line.recipient) for line in found] == [
        (each.trace, recipient) for each in sorted(sent, key=lambda s: s.at) for recipient in each.recipients
    ]
    for line in found:
        own = [
            d for d in done if (d.trace, d.recipient) == (line.submission.trace, line.recipient) and d.at >= line.submission.at
        ]
        if any(d.fate is DeliveryStatus.DELIVERED for d in own):
            assert (line.fate, line.status) == (DeliveryStatus.DELIVERED, "")
        for moment in (line.fate_at, line.read_at, line.answered_at):
            assert moment is None or moment >= line.submission.at
        if not own and not any(line.submission.message_id in r.message_ids for r in told):
            assert line.fate is DeliveryStatus.ACCEPTED
    again = [list(each) for each in (sent, done, told, said)]
    for each in again:
        random.shuffle(each)
    assert _told(lines(again[0], MessageKnowledge(again[1], again[2], again[3], again[3]))) == _told(found)


def _told(found: list[Any]) -> set[tuple[str, str, DeliveryStatus, datetime | None, datetime | None, datetime | None]]:
    return {(e.submission.trace, e.recipient, e.fate, e.fate_at, e.read_at, e.answered_at) for e in found}
