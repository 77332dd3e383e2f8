"""Reg. 14.4, 16.3, 8.2: the commands that read the log, beside a running server and without one.

A message goes in by submission and comes out in two mailboxes; what an administrator then sees of it, exports and verifies.
"""

import csv
import hashlib
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.policy.authorization.roles import Officer, OfficerRole
from regulation.log_console import MESSAGE_ID, LogConsole, console_of_used_server


@pytest.fixture
def console(serve: Callable[..., MailServer], tmp_path: Path) -> LogConsole:
    return console_of_used_server(serve(), tmp_path)


def test_clause_8_2_the_whole_life_of_a_message(console: LogConsole) -> None:
    """By Message-ID or trace id: who signed in from where, acceptance, both deliveries, in order and in one id."""
    steps = console.json("log", "trace", MESSAGE_ID.upper())
    assert [step["event"] for step in steps] == ["signed_in", "message_accepted", "message_delivered", "message_delivered"]
    trace = steps[1]["trace"]
    assert {step["trace"] for step in steps[1:]} == {trace}
    assert {step["fields"]["mailbox"] for step in steps[2:]} == {"dvbe@mic.gov.vn", "ttlan@mic.gov.vn"}
    console.server.housekeep()
    assert [step["event"] for step in console.json("log", "trace", trace)] == [step["event"] for step in steps]
    console.done("--lang", "vi", "log", "trace", trace)
    assert "đăng nhập từ 127.0.0.1 qua SMTP gửi thư (TLS)" in console.out
    assert f"Message-ID <{MESSAGE_ID}>" in console.out
    console.server.stop()
    assert [step["event"] for step in console.json("log", "trace", f"<{MESSAGE_ID}>")] == [step["event"] for step in steps]
    console.refused("log", "trace", "khong@co", code=2)


def test_clause_8_2_searching_by_mailbox_event_session_and_day(console: LogConsole) -> None:
    """What is found has all that was asked for; a day is the local one, to its end."""
    refused = console.json("log", "search", "--event", "sign_in_refused", "--mailbox", "ttlan@mic.gov.vn")
    assert [line["fields"]["reason"] for line in refused] == ["wrong-credentials"]
    assert console.json("log", "search", "--trace", refused[0]["fields"]["ref"]) == refused
    session = str(refused[0]["fields"]["session"])
    assert refused[0] in console.json("log", "search", "--session", session)
    today = str(refused[0]["time"])[:10]
    assert console.json("log", "search", "--event", "sign_in_refused", "--from", today, "--until", today) == refused
    assert console.json("log", "search", "--event", "sign_in_refused", "--until", "01/01/2020") == []
    assert len(console.json("log", "search", "--limit", "2")) == 2


def test_clause_4_3_who_looks_into_the_log_is_on_record(console: LogConsole) -> None:
    """Before the answer, with what was looked for; also when nothing is found."""
    console.json(
        "log", "search", "--mailbox", "ttlan@mic.gov.vn", "--actor", "an", "--reason", "khiếu nại", "--document", "7/CV"
    )
    console.refused("log", "trace", "khong@co", "--actor", "binh", code=2)
    console.run("log", "verify", "--actor", "chi")
    acts = [(act["actor"], act["act"], act["subject"], act["document"]) for act in console.acts()]
    assert acts == [
        ("an", "log_search", "ttlan@mic.gov.vn", "7/CV"),
        ("binh", "log_trace", "khong@co", None),
        ("chi", "log_verify", "*", None),
    ]
    console.refused("log", "search", "--actor", " ", code=2)
    assert [line["event"] for line in console.json("log", "search", "--mailbox", "an")] == ["log_search"]


def test_clause_14_4_an_incident_is_exported_as_one_file(console: LogConsole, tmp_path: Path) -> None:
    """The lines octet for octet, where each stands, digests that agree, who asked and why; nothing of the messages."""
    console.server.housekeep()
    target = tmp_path / "su-co.zip"
    span = ("--from", "01/01/2020", "--until", "01/01/2199", "--reason", "sự cố 12", "--actor", "an")
    (told,) = [console.json("log", "export", target, "--mailbox", "ttlan@mic.gov.vn", *span)]
    assert told["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert target.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(target) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for line in members["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(members[name]).hexdigest() == digest
    assert set(members) - {"SHA256SUMS"} == {line.split("  ")[1] for line in members["SHA256SUMS"].decode().splitlines()}
    manifest = json.loads(members["manifest.json"])
    assert (manifest["actor"], manifest["reason"], manifest["mailbox"]) == ("an", "sự cố 12", "ttlan@mic.gov.vn")
    events = [json.loads(line)["event"] for line in members["events.jsonl"].splitlines()]
    assert sorted(events) == ["message_accepted", "message_delivered", "message_delivered", "sign_in_refused"]
    lines = {name: members[name].splitlines(keepends=True) for name in ("events.jsonl", "acts.jsonl")}
    for row in csv.DictReader(io.StringIO(members["places.csv"].decode())):
        octets = (console.server.config.log_dir / row["file"]).read_bytes()
        start = int(row["offset"])
        assert octets[start : start + int(row["octets"])] == lines[row["member"]][int(row["line"]) - 1]
    assert manifest["head"] == hashlib.sha256(members["anchors.chain"].splitlines(keepends=True)[-1]).hexdigest()
    assert [act["act"] for act in console.acts()] == ["log_export", "log_exported"]
    assert console.acts()[1]["sha256"] == told["sha256"]
    console.refused("log", "export", target, *span, code=2)  # what is there is not written over


def test_clause_8_2_verify_says_whole_or_what_is_wrong(console: LogConsole) -> None:
    """Exit code 0 or 1; a noted head; facts of mailboxes are held too."""
    assert console.run("log", "anchor") == (0 if (console.server.config.log_dir / "anchors.chain").exists() else 1)
    head = console.json("log", "anchor", "--now")["head"]
    console.done("--lang", "en", "log", "verify", "--head", head)
    assert "The log is complete and unaltered (Reg. 8.2)." in console.out
    console.refused("log", "verify", "--head", "0" * 64)
    console.refused("log", "verify", "--head", "xyz", code=2)
    console.server.stop()
    segment = max(console.server.config.log_dir.glob("*.worker0.*.jsonl"))
    segment.write_bytes(segment.read_bytes().replace(b'"ttlan@mic.gov.vn"', b'"ttlan@mic.gov.xx"', 1))
    console.refused("--lang", "vi", "log", "verify")
    assert segment.name in console.out
    assert "nội dung đã bị sửa" in console.out
    assert "NHẬT KÝ KHÔNG NGUYÊN VẸN: 1 lỗi." in console.err


def test_clause_8_2_a_log_that_was_deleted_as_a_whole_is_named(console: LogConsole) -> None:
    """The mailboxes' own records, which are older, say that there was one; a server from a backup has a remark for it."""
    folder, clock = console.server.config.log_dir, ManualClock(console.server.clock.now() + timedelta(days=3))
    console.done("log", "anchor", "--now")
    console.server.stop()
    for path in folder.iterdir():
        path.unlink()
    console.clock = clock
    console.refused("--lang", "en", "log", "verify")
    assert "the log is missing" in console.out
    console.refused("log", "verify", "--json")
    assert [(one["wrong"], one["fault"]) for one in json.loads(console.out)["findings"]] == [("gone", True)]
    console.done("log", "anchor", "--now")
    assert [(one["wrong"], one["fault"]) for one in console.json("log", "verify")["findings"]] == [("begins_late", False)]


def test_clause_17_an_altered_fact_is_named(console: LogConsole) -> None:
    """The anchors hold the heads of all chains of facts: a chain that was written anew from its beginning is another one."""
    console.done("log", "anchor", "--now")
    console.server.stop()
    with sqlite3.connect(console.server.config.directory_url.removeprefix("sqlite:///")) as database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            database.execute(f"DROP TRIGGER {name}")
        database.execute("DELETE FROM fact WHERE mailbox_id = 1 AND seq = (SELECT max(seq) FROM fact WHERE mailbox_id = 1)")
        database.execute("UPDATE revision SET version = version + 1")
    database.close()
    console.refused("log", "verify", "--json")
    findings = json.loads(console.out)["findings"]
    assert [(one["wrong"], one["file"]) for one in findings if one["fault"]] == [("fact_other", "dvbe@mic.gov.vn")]


def test_clause_16_3_security_events_are_found_by_name(console: LogConsole) -> None:
    """Structured, each with the peer and what is needed to look on; so are the acts."""
    console.server.housekeep()
    (refused,) = console.json("log", "search", "--event", "sign_in_refused")
    assert {"reason", "peer", "session", "mailbox", "door", "ref"} <= set(refused["fields"])
    assert console.json("log", "search", "--event", "signed_in", "--mailbox", "ttlan@mic.gov.vn") == []
    assert len(console.json("log", "search", "--event", "signed_in", "--mailbox", "DVBE@mic.gov.vn")) == 1


def test_clause_6_1_only_the_centre_and_auditors_read_the_log(console: LogConsole) -> None:
    """A unit's administrator, or nobody on record, is refused, and that is on record too."""
    now = console.server.clock.now()
    officers = console.server.population.directory.officers
    unit_id = console.server.population.unit().unit_id
    officers.add(Officer("an", "Lê An", OfficerRole.CENTRE, None, now))
    officers.add(Officer("kiem", "Vũ Kiểm", OfficerRole.AUDITOR, None, now))
    officers.add(Officer("don", "Hồ Đơn", OfficerRole.UNIT, unit_id, now))
    for words in (("search",), ("trace", MESSAGE_ID), ("anchor", "--now"), ("verify",)):
        for actor, code in (("an", 0), ("kiem", 0), ("don", 1), ("la", 1)):
            assert console.run("log", *words, "--actor", actor) == code, console.err
            assert bool(console.out) is (code == 0)
    refused = [(act["actor"], act["subject"], act["clause"]) for act in console.acts() if act["act"] == "command_refused"]
    assert refused == [
        (actor, f"mic-mail log {word}", "6.1") for word in ("search", "trace", "anchor", "verify") for actor in ("don", "la")
    ]


def test_clause_8_2_the_evidence_says_what_is_kept_and_checked(console: LogConsole) -> None:
    """`regulation show` has the anchors and the checks, overdue where there are none."""
    console.server.housekeep()
    before = {each["what"]["en"]: each for each in console.json("regulation", "show", "8.2")["evidence"]}
    assert before["anchors of the log"]["count"] > 0
    assert (before["checks of the log"]["count"], before["checks of the log"]["overdue"]) == (0, True)
    console.json("log", "verify")
    after = {each["what"]["en"]: each for each in console.json("regulation", "show", "8.2")["evidence"]}
    assert (after["checks of the log"]["count"], after["checks of the log"]["overdue"]) == (1, False)
