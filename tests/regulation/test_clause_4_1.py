"""Reg. 4.1, over real connections: what is marked does not leave, or is flagged as it comes in; two people mend a mistake."""

import contextlib
import json
import os
import re
import signal
import smtplib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from imaplib import IMAP4_SSL
from pathlib import Path
from typing import Any

import pytest

from harness import MailServer, files_in
from markings.documents import encrypted_zip, zipped
from markings.large import LARGE
from mic_mail.quarantine.held_messages import HeldMessages, HeldState
from mic_mail.services.transport.incoming_message import SMALL_OCTETS
from mic_mail.storage.errors import DiskFull
from mic_mail.textextract.result import Findings, Missed, Unread
from mic_mail.textextract.worker_pool import WorkerPool
from population import PASSWORD
from regulation.secrecy_setup import (
    MARKED,
    ORDINARY,
    PLAINLY_MARKED,
    SECRET_WORDS,
    STAMPED,
    SecrecyConsole,
    held,
    letter,
    logged,
    received,
    reference,
    send,
    submission,
    submit,
)


def test_clause_4_1_submission_is_refused(mail_server: MailServer) -> None:
    """Refused at the end of DATA with the clause and a reference; nobody gets it, and the log says who and where, not what."""
    references = []
    for what, octets in MARKED.items():
        assert (len(octets) > SMALL_OCTETS) is (what == "large")
        code, said = submit(mail_server, octets)
        assert (code, said[:5], "4.1" in said) == (550, "5.7.1", True), what
        references.append(reference(said))
    assert received(mail_server, "ttlan") == []
    assert not [path for path in mail_server.config.spool_dir.rglob("*") if path.is_file()]
    assert not list(mail_server.config.mail_root.glob("*/*/Maildir/tmp/*"))
    events = logged(mail_server, "marked_message_refused")
    assert [event["trace"] for event in events] == references
    for event in events:
        assert (event["login"], event["sender"], event["recipients"]) == ("dvbe@mic.gov.vn", "dvbe@mic.gov.vn", 1)
        assert event["held"] is True
        assert len(str(event["digest"])) == 64
    where = ["subject/message", "field/text", "file-name/message", "stamp/docx", "stamp/docx", "stamp/docx"]
    assert [event["where"] for event in events] == [[one] for one in where]


def test_clause_4_1_in_vietnamese(mail_server: MailServer) -> None:
    """The refusal of a marking, to a peer that takes UTF-8."""
    _, said = submit(mail_server, letter("[MẬT] Báo cáo"), options=("SMTPUTF8", "BODY=8BITMIME"))
    said = " ".join(line.removeprefix("5.7.1 ") for line in said.split("\n"))
    wording = "khoản 1 Điều 4 Quy chế cấm gửi tài liệu mật, tối mật, tuyệt mật qua Hệ thống thư điện tử. Nếu có nhầm lẫn"
    assert wording in said
    assert re.search(r"mã \S+$", said)


def test_clause_4_1_ordinary_mail_passes(mail_server: MailServer) -> None:
    """Passwords, secrets and confidential mail are everyday words; pictures, and what nobody can open, go through as well."""
    files = {"huong-dan.docx": ORDINARY, "anh.png": b"\x89PNG\r\n\x1a\n" + bytes(1000), "kin.zip": encrypted_zip("a", b"x")}
    assert submit(mail_server, letter("Đổi mật khẩu", "CONFIDENTIAL: bảo mật, bí mật, mật ong.\n", files))[0] == 250
    assert len(received(mail_server, "ttlan")) == 1
    [event] = logged(mail_server, "message_not_inspected")
    assert event["reasons"] == ["encrypted/zip"]
    assert held(mail_server) == []


def test_clause_4_1_chunks(mail_server: MailServer) -> None:
    """BDAT is no way around."""
    octets = MARKED["document"]
    with submission(mail_server) as client:
        client.mail("dvbe@mic.gov.vn")
        client.rcpt("ttlan@mic.gov.vn")
        client.putcmd("BDAT", f"{len(octets)} LAST")
        client.sock.sendall(octets)
        assert client.getreply()[0] == 550
        assert send(client, letter())[0] == 250  # the connection is as good as before
    assert len(received(mail_server, "ttlan")) == 1


def test_clause_4_1_unreadable(serve: Callable[..., MailServer]) -> None:
    """`secrecy.unreadable = refuse`: what cannot be looked into does not leave; it still comes in."""
    server = serve({"secrecy": {"unreadable": "refuse"}})
    server.issue("dvbe")
    server.issue("ttlan")
    sealed = letter(files={"kin.zip": encrypted_zip("a.txt", b"x")})
    code, said = submit(server, sealed)
    assert (code, "inspected" in said) == (550, True)
    with smtplib.SMTP(server.host, server.ports["smtp"], "client.example", 30) as client:
        assert send(client, sealed)[0] == 250


def reader_of(server: MailServer, readers: WorkerPool) -> int:
    """The process that has read a document and waits for the next one."""

    async def idle() -> int:
        [reader] = readers._free
        return reader.process.pid

    return server.call(idle())


@contextlib.contextmanager
def stopped(process_id: int) -> Iterator[None]:
    """A reader that gets nowhere; the server kills it when its time is over."""
    os.kill(process_id, signal.SIGSTOP)
    yield
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGCONT)


def test_clause_4_1_not_read_in_time(serve: Callable[..., MailServer]) -> None:
    """What no reader could open in time does not leave, whatever `secrecy.unreadable` says: the sender is to try again (451
    4.7.0), which then succeeds. Mail from outside has readers of its own, and comes in as always."""
    server = serve({"secrecy": {"seconds": 1, "inbound": "refuse"}})
    for local in ("dvbe", "ttlan"):
        server.issue(local)
    inside, outside = (
        server.running.context.mailflow.checkers.secrecy._readers_inside,
        server.running.context.mailflow.checkers.secrecy._readers_outside,
    )
    ordinary, secret = letter(files={"a.docx": ORDINARY}), MARKED["document"]
    assert submit(server, ordinary)[0] == 250
    with smtplib.SMTP(server.host, server.ports["smtp"], "client.example", 30) as client:
        assert send(client, ordinary)[0] == 250
        with stopped(reader_of(server, inside)), ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(submit, server, octets) for octets in (secret, ordinary, secret, secret)]
            assert send(client, secret)[0] == 550
            answers = [each.result() for each in waiting]
    assert {code for code, _ in answers} <= {451, 550}
    for _, said in answers:
        assert "4.1" in said
    late = [said for code, said in answers if code == 451]
    for said in late:
        assert (said[:5], "try again" in said) == ("4.7.0", True)
    reasons = [event["reasons"] for event in logged(server, "message_not_inspected")]
    assert len(reasons) == len(late)
    assert ["too-slow/message"] in reasons
    assert submit(server, secret)[0] == 550
    with stopped(reader_of(server, outside)), smtplib.SMTP(server.host, server.ports["smtp"], "client.example", 30) as client:
        assert send(client, ordinary)[0] == 250  # nothing was seen in it, in time
        assert submit(server, secret)[0] == 550
    assert len(received(server, "ttlan")) == 3
    with stopped(reader_of(server, inside)):
        _, said = submit(server, secret, options=("SMTPUTF8", "BODY=8BITMIME"))
    assert "đề nghị gửi lại" in " ".join(said.split("\n4.7.0 "))


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_clause_4_1_large_documents(name: str, serve: Callable[..., MailServer]) -> None:
    """Of documents as large as an attachment may be (Reg. 8.3.b) none is too much for the readers: what is marked in its last
    line is refused for that, and what is not leaves."""
    server = serve({"secrecy": {"seconds": 60}})
    server.issue("dvbe")
    server.issue("ttlan")
    code, said = submit(server, letter(files={name: LARGE[name]("Độ mật: Tối mật")}))
    assert (code, said[:5], len(logged(server, "marked_message_refused"))) == (550, "5.7.1", 1)
    assert submit(server, letter(files={name: LARGE[name]("Nơi nhận: như trên")}))[0] == 250
    assert not logged(server, "message_not_inspected")


def test_clause_4_1_append_not_read_in_time(serve: Callable[..., MailServer]) -> None:
    """APPEND to Sent answers UNAVAILABLE, after which a mail program may try again (RFC 5530)."""
    server = serve({"secrecy": {"seconds": 0.5}})
    server.issue("dvbe")
    with IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls()) as client:
        client.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
        assert client.append("Sent", "", "", letter(files={"a.docx": ORDINARY}))[0] == "OK"
        with stopped(reader_of(server, server.running.context.mailflow.checkers.secrecy._readers_inside)):
            status, said = client.append("Sent", "", "", MARKED["document"])
        assert (status, b"[UNAVAILABLE]" in said[0]) == ("NO", True)
        assert client.append("Sent", "", "", MARKED["document"])[0] == "NO"


def test_clause_4_1_over_bounds(mail_server: MailServer) -> None:
    """What unpacks to more than is looked into does not leave either: it would be a way to send whatever lies behind it."""
    bomb = letter(files={"a.zip": zipped({"a": bytes(80 << 20), "bao-cao.docx": ORDINARY})})
    code, said = submit(mail_server, bomb)
    assert (code, said[:5], "unpack" in said, "4.1" in said) == (550, "5.7.1", True, True)
    with smtplib.SMTP(mail_server.host, mail_server.ports["smtp"], "client.example", 30) as client:
        assert send(client, bomb)[0] == 250


@pytest.mark.parametrize(("setting", "code"), [("flag", 250), ("refuse", 550)])
def test_clause_4_1_inbound(
    serve: Callable[..., MailServer], setting: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From outside: accepted as it is and the Centre told once, without content; or refused."""
    server = serve({"secrecy": {"inbound": setting}})
    for local in ("ttlan", "support"):
        server.issue(local)
    with smtplib.SMTP(server.host, server.ports["smtp"], "client.example", 30) as client:
        assert send(client, letter("[MẬT] Báo cáo", SECRET_WORDS, {"a.docx": STAMPED}))[0] == code
    server.housekeep()
    server.housekeep()
    told = received(server, "support")
    if setting == "refuse":
        assert (told, received(server, "ttlan")) == ([], [])
        return
    assert len(received(server, "ttlan")) == 1
    assert b"[M" not in received(server, "ttlan")[0].partition(b"Subject")[0]
    [notice] = told
    [record] = held(server)
    assert record.state is HeldState.FLAGGED
    assert record.held_id.encode() in notice
    assert SECRET_WORDS.encode() not in notice
    assert not list(server.config.held_dir.glob("*.msg"))
    centre = SecrecyConsole(server, tmp_path, capsys)
    assert record.held_id[:8] in centre("list", "--inbound")[1]
    assert centre("ask", record.held_id, "--reason", "x")[0] == 1


def unread(server: MailServer) -> list[Path]:
    return files_in(server.config.unread_dir)


def test_clause_4_1_inbound_is_read_behind_the_reply(serve: Callable[..., MailServer]) -> None:
    """A document that keeps its reader busy does not hold up the reply; then it is flagged, and the Centre told, as always."""
    server = serve({"secrecy": {"seconds": 60}})  # the machine may be busy
    for local in ("ttlan", "support"):
        server.issue(local)
    secrecy = server.running.context.mailflow.checkers.secrecy
    with smtplib.SMTP(server.host, server.ports["smtp"], "client.example", 30) as client:
        assert send(client, letter(text="Kính gửi anh chị.\n" * 10_000, files={"a.docx": ORDINARY}))[0] == 250
        received(server, "ttlan")
        with stopped(reader_of(server, secrecy._readers_behind)):
            assert send(client, MARKED["large"])[0] == 250
            assert (len(unread(server)), held(server), secrecy.report()["unread"]) == (2, [], 1)
        assert len(received(server, "ttlan")) == 2
        [record] = held(server)
        assert (record.state, record.recipients, record.where) == (
            HeldState.FLAGGED, ("ttlan@mic.gov.vn",), ("stamp/docx",)
        )  # fmt: skip
        [event] = logged(server, "marked_message_flagged")
        assert (event["trace"], event["way"], event["digest"]) == (record.held_id, "inbound", record.digest)
        assert event["peer"] is not None
        assert (unread(server), secrecy.report()["unread"]) == ([], 0)
        server.housekeep()
        assert len(received(server, "support")) == 1


def test_clause_4_1_a_stop_does_not_wait_for_readers(serve: Callable[..., MailServer]) -> None:
    """What is unread has a durable entry, and is read after the next start."""
    server = serve({"secrecy": {"seconds": 60}, "process": {"drain_seconds": 600}})
    for local in ("ttlan", "support"):
        server.issue(local)
    secrecy = server.running.context.mailflow.checkers.secrecy
    with smtplib.SMTP(server.host, server.ports["smtp"], "client.example", 30) as client:
        assert send(client, letter(text="Kính gửi anh chị.\n" * 10_000, files={"a.docx": ORDINARY}))[0] == 250
        received(server, "ttlan")
        reader = reader_of(server, secrecy._readers_behind)
        os.kill(reader, signal.SIGSTOP)
        assert send(client, MARKED["large"])[0] == 250
    server.stop()
    assert (len(unread(server)), held(server)) == (2, [])


def test_clause_4_1_inbound_waits_for_a_reader(serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was accepted is read once there is a reader, however many try in vain before."""
    server = serve()
    server.issue("ttlan")
    readers = server.running.context.mailflow.checkers.secrecy._readers_behind
    real, asked = readers.extract, []

    async def taken(*arguments: Any) -> Findings:
        asked.append(arguments)
        return await real(*arguments) if len(asked) == 3 else Findings(missed=(Missed(Unread.UNAVAILABLE, "message"),))

    monkeypatch.setattr(readers, "extract", taken)
    monkeypatch.setattr("mic_mail.services.transport.secrecy.PATIENT_SECONDS", 0)
    with smtplib.SMTP(server.host, server.ports["smtp"], "client.example", 30) as client:
        assert send(client, MARKED["large"])[0] == 250
    assert len(received(server, "ttlan")) == len(held(server)) == 1
    assert (len(asked), logged(server, "message_not_inspected")) == (3, [])


def test_clause_4_1_ten_documents_at_once(serve: Callable[..., MailServer]) -> None:
    """Each is read in its turn, and each flagged once."""
    server = serve({"secrecy": {"seconds": 60}})  # the machine may be busy
    server.issue("ttlan")

    def deliver(_: int) -> int:
        with smtplib.SMTP(server.host, server.ports["smtp"], "client.example", 60) as client:
            return send(client, MARKED["large"])[0]

    with ThreadPoolExecutor(10) as threads:
        assert list(threads.map(deliver, range(10))) == [250] * 10
    assert len(received(server, "ttlan")) == len(held(server)) == len(logged(server, "marked_message_flagged")) == 10
    assert unread(server) == []


def test_clause_4_1_a_refused_message_is_not_read(serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk refuses it at the last moment: nothing came in, and nothing is flagged."""
    server = serve()
    server.issue("ttlan")

    async def full(*_: object, **__: object) -> None:
        raise DiskFull("full")

    monkeypatch.setattr(server.running.context.mailflow._acceptance, "accept", full)
    with smtplib.SMTP(server.host, server.ports["smtp"], "client.example", 30) as client:
        assert send(client, MARKED["large"])[0] == 452
    assert received(server, "ttlan") == []
    assert (unread(server), held(server), len(server.running.context.mailflow.checkers.secrecy.unread)) == ([], [], 0)


def test_clause_4_1_append_to_sent(mail_server: MailServer) -> None:
    """What is marked is not kept as sent; drafts are the person's own."""
    with IMAP4_SSL("localhost", mail_server.ports["imaps"], ssl_context=mail_server.tls()) as client:
        client.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
        for octets in (MARKED["subject"], MARKED["document"], MARKED["large"]):
            status, said = client.append("Sent", "", "", octets)
            assert (status, b"[CANNOT]" in said[0], b"4.1" in said[0]) == ("NO", True, True)
            assert client.append("Drafts", "", "", octets)[0] == "OK"
        assert client.append("Sent", "", "", letter("Đổi mật khẩu", files={"a.docx": ORDINARY}))[0] == "OK"
        assert client.append("Sent", "", "", MARKED["subject"])[0] == "NO"  # the folder is known from the APPEND before
        assert client.select("Sent")[1] == [b"1"]
        assert client.select("Drafts")[1] == [b"3"]
        client.send(b"x REPLACE 1 Sent {%d+}\r\n%b\r\n" % (len(PLAINLY_MARKED), PLAINLY_MARKED))  # imaplib does not know it
        assert client.readline().startswith(b"x NO [CANNOT]")
        assert client.select("Drafts")[1] == [b"3"]
    events = logged(mail_server, "marked_message_refused")
    assert [event["way"] for event in events] == ["append-to-sent"] * 5
    assert not list(mail_server.config.held_dir.glob("*.msg"))


@pytest.fixture
def secrecy(mail_server: MailServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> SecrecyConsole:
    return SecrecyConsole(mail_server, tmp_path, capsys)


def test_clause_4_1_release_by_a_second_person(mail_server: MailServer, secrecy: SecrecyConsole) -> None:
    """One asks, another releases; then it goes to its recipients as it was, once, and its sender is told."""
    octets = letter("Thông báo", SECRET_WORDS, {"a.docx": STAMPED})
    mail_server.issue("nvhung")
    _, said = submit(mail_server, octets, "ttlan@mic.gov.vn", "nvhung@mic.gov.vn")
    ref = reference(said)
    [message] = mail_server.config.held_dir.glob("*.msg")
    assert (message.stat().st_mode & 0o777, message.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    code, shown = secrecy("show", ref)
    assert (code, "Tối mật" in shown, "dòng đóng dấu (docx)" in shown) == (0, True, True)
    assert SECRET_WORDS not in shown
    assert secrecy("release", ref, "--reason", "nhầm")[0] == 1  # nobody has asked
    assert secrecy("ask", ref, "--reason", "mẫu dấu trong giáo trình")[0] == 0
    assert secrecy("release", ref, "--reason", "nhầm", as_="An")[0] == 1  # the same person
    assert secrecy("release", ref, "--reason", "nhầm", actor="binh")[0] == 1  # who names another one is the same person still
    assert secrecy("release", ref, "--reason", "nhầm", as_="dvbe")[0] == 1  # who sent it
    assert received(mail_server, "ttlan") == []
    assert secrecy("release", ref, "--reason", "đã kiểm tra", as_="binh")[0] == 0
    assert secrecy("discard", ref, "--reason", "x", as_="chi")[0] == 1  # it is decided

    mail_server.housekeep()
    mail_server.housekeep()
    for local in ("ttlan", "nvhung"):
        [message_octets] = received(mail_server, local)
        assert message_octets.endswith(octets)
    [notice] = received(mail_server, "dvbe")
    assert ref.encode() in notice
    assert not list(mail_server.config.held_dir.glob("*.msg"))
    acts = [json.loads(line) for line in next(mail_server.config.log_dir.glob("audit-*")).read_bytes().splitlines()]
    wanted = ["secrecy_release", "secrecy_release_refused", "secrecy_ask", *["secrecy_release", "secrecy_release_refused"] * 3]
    wanted += ["secrecy_release", "secrecy_discard", "secrecy_discard_refused"]
    assert [act["act"] for act in acts] == wanted
    assert [act["actor"] for act in acts if act["act"] == "secrecy_release"][-1] == "binh"


def test_clause_4_1_suspended_sender(mail_server: MailServer, secrecy: SecrecyConsole) -> None:
    """A mailbox that may not send by now sends nothing, not even this."""
    ref = reference(submit(mail_server, MARKED["subject"])[1])
    assert secrecy("ask", ref, "--reason", "nhầm")[0] == 0
    mail_server.suspend(mail_server.population.directory.mailbox("dvbe@mic.gov.vn"))
    code, shown = secrecy("release", ref, "--reason", "nhầm", as_="binh")
    assert (code, "không được gửi" in shown) == (1, True)


def test_clause_4_1_discarded_and_expired(mail_server: MailServer, secrecy: SecrecyConsole) -> None:
    """What nobody releases goes: at once with a reason, else when its time is over; the sender hears of the first."""
    refs = [reference(submit(mail_server, MARKED["subject"])[1]) for _ in range(2)]
    assert secrecy("discard", refs[0], "--reason", "đúng là tài liệu mật", as_="binh")[0] == 0
    mail_server.housekeep()
    assert [path.stem for path in mail_server.config.held_dir.glob("*.msg")] == refs[1:]
    assert len(received(mail_server, "dvbe")) == 1
    store = HeldMessages(mail_server.config.held_dir)
    [record] = [record for record in store.records() if record.held_id == refs[1]]
    path = mail_server.config.held_dir / f"{refs[1]}.json"
    path.write_bytes(path.read_bytes().replace(str(record.expires_at_us).encode(), b"1"))
    mark = mail_server.config.state_dir / "clock.mark"
    mark.write_text("2026-01-01T00:00:00+00:00")  # so that the clock is not trusted
    mail_server.housekeep()
    assert list(mail_server.config.held_dir.glob("*.msg"))
    mark.unlink()
    mail_server.housekeep()
    assert not list(mail_server.config.held_dir.glob("*.msg"))
    assert [event["trace"] for event in logged(mail_server, "held_message_expired")] == refs[1:]


def test_clause_4_1_no_room(serve: Callable[..., MailServer]) -> None:
    """Where no more can be held it is refused all the same."""
    server = serve({"secrecy": {"hold_space": 100}})
    server.issue("dvbe")
    server.issue("ttlan")
    assert submit(server, MARKED["subject"])[0] == 550
    assert held(server) == []
    assert len(logged(server, "message_not_held")) == 1


def test_clause_4_2_nothing_of_it_is_logged(mail_server: MailServer) -> None:
    """Neither the words of the message nor the name of its file are in any log or record."""
    submit(mail_server, letter("[MẬT] Dự án Sông Hồng", SECRET_WORDS, {"so-do-tram.docx": STAMPED}))
    logged(mail_server, "marked_message_refused")
    kept = b"".join(path.read_bytes() for path in mail_server.config.log_dir.iterdir())
    kept += b"".join(path.read_bytes() for path in mail_server.config.held_dir.glob("*.json"))
    for words in ("Sông Hồng", SECRET_WORDS, "so-do-tram"):
        assert words.encode() not in kept


def test_clause_4_1_released_twice(mail_server: MailServer, secrecy: SecrecyConsole) -> None:
    """A housekeeper that was killed after the delivery and before it wrote that down sends nothing twice."""
    ref = reference(submit(mail_server, MARKED["document"])[1])
    folder = mail_server.config.held_dir
    kept = (folder / f"{ref}.msg").read_bytes()
    secrecy("ask", ref, "--reason", "nhầm")
    secrecy("release", ref, "--reason", "nhầm", as_="binh")
    record = (
        (folder / f"{ref}.json").read_bytes().replace(b'"submitted"', b'"released"').replace(b'"told": true', b'"told": false')
    )
    mail_server.housekeep()
    assert len(received(mail_server, "ttlan")) == 1
    (folder / f"{ref}.msg").write_bytes(kept)
    (folder / f"{ref}.json").write_bytes(record)
    mail_server.housekeep()
    assert len(received(mail_server, "ttlan")) == 1
    assert len(received(mail_server, "dvbe")) == 1  # the notice
