"""Messages under the eyes of a real clamd: what it finds does not come in and does not go out (Reg. 10.2, 15.5, 7.2.c)."""

import base64
import email
import email.policy
import gzip
import imaplib
import io
import smtplib
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clamd_server import EICAR, NAME, ClamDaemon
from harness import MailServer, english, left_in_staging
from mic_mail.config.manual import write
from mic_mail.policy.facts import FactKind, MailboxKind, SuspensionCause
from mic_mail.quarantine.quarantine import Quarantine
from population import PASSWORD
from regulation.abuse_setup import subjects, submission, suspensions
from regulation.console import Console

pytestmark = [
    pytest.mark.needs_tool("clamd"),
    pytest.mark.clause("10.2", "15.5"),
]
SENDER, READER = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ClamDaemon]:
    one = ClamDaemon(tmp_path / "clam")
    one.start()
    yield one
    one.stop()


@pytest.fixture
def server(serve: Callable[..., MailServer], daemon: ClamDaemon) -> MailServer:
    return furnished(serve({"malware": {"clamd": daemon.place, "seconds": 20}}))


def furnished(server: MailServer) -> MailServer:
    server.population.issue("dvbe", name="Đỗ Văn Bê")
    server.population.issue("support", kind=MailboxKind.GROUP, name="Trung tâm Thông tin")
    server.issue("ttlan", name="Trần Thị Lan")
    return server


def zipped(octets: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("hóa đơn.com", octets)
    return packed.getvalue()


def message(attached: bytes, sender: str = SENDER, *, padding: int = 0) -> bytes:
    head = f"From: {sender}\r\nTo: {READER}\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    text = "--b\r\nContent-Type: text/plain\r\n\r\n" + ("x" * 70 + "\r\n") * (padding // 72)
    kind = "application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment"
    body = base64.encodebytes(attached).replace(b"\n", b"\r\n")
    return head.encode() + f"{text}\r\n--b\r\nContent-Type: {kind}\r\n\r\n".encode() + body + b"--b--\r\n"


def outcome(send: Callable[[], Any]) -> tuple[int, bytes]:
    """The reply to the end of the message."""
    try:
        send()
    except smtplib.SMTPDataError as refused:
        error = refused.smtp_error
        return refused.smtp_code, error if isinstance(error, bytes) else error.encode()
    return 250, b""


def from_outside(server: MailServer, octets: bytes) -> tuple[int, bytes]:
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=60) as client:
        return outcome(lambda: client.sendmail("a@example.org", [READER], octets))


def from_inside(server: MailServer, octets: bytes) -> tuple[int, bytes]:
    with submission(server) as client:
        return outcome(lambda: client.sendmail(SENDER, [READER], octets))


def received(server: MailServer) -> int:
    return len(subjects(server, server.population.directory.mailbox(READER)))


@pytest.mark.parametrize("packed", [lambda octets: octets, zipped, gzip.compress], ids=["plain", "zip", "gzip"])
@pytest.mark.parametrize("padding", [0, 400_000], ids=["in memory", "as a file"])
def test_malware_does_not_come_in(server: MailServer, packed: Callable[[bytes], bytes], padding: int) -> None:
    """Refused where its sender hears of it; nothing is delivered, and the log says what it was."""
    code, words = from_outside(server, message(packed(EICAR), "a@example.org", padding=padding))
    assert code == 550
    assert english(words).startswith(b"5.7.1 The message contains malware (" + NAME.encode())
    assert received(server) == 0
    assert from_outside(server, message(packed(b"a document"), "a@example.org", padding=padding))[0] == 250
    assert received(server) == 1
    server.stop()
    (told,) = [event for event in server.events() if event["event"] == "malware_refused"]
    assert (told["malware"], told["sender"], told["clause"], told["login"]) == (NAME, "a@example.org", "10.2", None)


@pytest.mark.clause("7.2.c")
def test_clause_7_2_c_who_sends_malware_is_suspended(server: MailServer) -> None:
    """Refused, suspended once, its session ended, the Centre told; whoever is written to has nothing of it."""
    code, words = from_inside(server, message(EICAR))
    assert (code, NAME.encode() in words) == (550, True)
    (fact,) = suspensions(server, SENDER)
    assert (fact.kind, dict(fact.data)) == (FactKind.SUSPENDED, {"cause": SuspensionCause.COMPROMISED, "trigger": "malware"})
    with pytest.raises(AssertionError, match="525"):  # of the sign-in
        from_inside(server, message(b"a document"))
    server.housekeep()
    support = server.population.directory.mailbox("support@mic.gov.vn")
    headers = subjects(server, support)
    notices = [str(email.message_from_bytes(header, policy=email.policy.default)["Subject"]) for header in headers]
    assert len([subject for subject in notices if SENDER in subject]) == 1, notices
    paths = (server.config.mail_root / support.home).glob("Maildir/cur/*")
    words = "".join(email.message_from_bytes(path.read_bytes(), policy=email.policy.default).get_content() for path in paths)
    assert f"{SENDER} sent malware" in words
    assert "stolen" not in words
    assert received(server) == 0


@pytest.mark.clause("7.2.c")
def test_who_sends_malware_is_refused_only(serve: Callable[..., MailServer], daemon: ClamDaemon) -> None:
    """`malware.suspend = false`."""
    server = furnished(serve({"malware": {"clamd": daemon.place, "suspend": False}}))
    assert from_inside(server, message(EICAR))[0] == 550
    assert suspensions(server, SENDER) == []
    assert from_inside(server, message(b"a document"))[0] == 250


@pytest.mark.clause("4.2", "7.2.c")
@pytest.mark.parametrize("padding", [0, 400_000], ids=["in memory", "as a file"])
def test_malware_in_quarantine(serve: Callable[..., MailServer], daemon: ClamDaemon, tmp_path: Path, padding: int) -> None:
    """`malware.found = "quarantine"`, of mail from other servers alone: told to whom it is for, released by a document."""
    server = furnished(serve({"malware": {"clamd": daemon.place, "found": "quarantine"}}))
    octets = message(EICAR, "a@example.org", padding=padding)
    assert from_outside(server, octets)[0] == 250
    assert received(server) == 0
    quarantine = Quarantine(server.config.quarantine_dir)
    (record,) = quarantine.records()
    assert (record.reason, record.what, record.sender, record.recipients) == ("malware", NAME, "a@example.org", (READER,))
    server.housekeep()
    assert received(server) == 1
    (tmp_path / "mic-mail.toml").write_text(write(server.config))
    console = Console(tmp_path)
    console.refused("quarantine", "release", record.held_id, "--reason", "x")
    console.done("quarantine", "release", record.held_id, "--reason", "x", "--document", "7/CV")
    server.housekeep()
    server.call(server.running.context.mailflow.settle())
    assert received(server) == 2
    assert from_inside(server, message(EICAR, padding=padding))[0] == 550
    assert len(list(quarantine.records())) == 1
    assert len(suspensions(server, SENDER)) == 1


@pytest.mark.clause("4.2")
def test_what_was_not_scanned_in_quarantine(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """`malware.absent = "quarantine"`: from inside it comes later."""
    server = furnished(serve({"malware": {"clamd": f"unix:{tmp_path}/nobody", "absent": "quarantine"}}))
    assert from_outside(server, message(b"a document", "a@example.org"))[0] == 250
    assert from_inside(server, message(b"a document"))[0] == 451
    (record,) = Quarantine(server.config.quarantine_dir).records()
    assert (record.reason, received(server)) == ("not-scanned", 0)
    server.stop()
    told = [event["refused"] for event in server.events() if event["event"] == "message_not_scanned"]
    assert told == [False, True]


@pytest.mark.parametrize("padding", [0, 400_000], ids=["held", "as a file"])
def test_malware_is_not_stored(server: MailServer, daemon: ClamDaemon, padding: int) -> None:
    """APPEND and REPLACE, whatever the folder: others may read it there. Nobody is suspended for what lies in an old archive;
    while the daemon is away what people write is stored, and the log says so."""
    evil, good = message(EICAR, padding=padding), message(b"a document", padding=padding)
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=60) as client:
        client.authenticate("PLAIN", lambda _: f"\0{SENDER}\0{PASSWORD}".encode())
        for folder in ("INBOX", "Drafts", "Sent"):
            status, (words,) = client.append(folder, "", "", evil)
            assert (status, b"[CANNOT]" in words, NAME.encode() in words, b"10.2" in words) == ("NO", True, True, True)
            assert client.append(folder, "", "", good)[0] == "OK"
            assert client.select(folder)[1] == [b"1"]
        client.send(b"x REPLACE 1 Sent {%d+}\r\n%b\r\n" % (len(evil), evil))
        assert client.readline().startswith(b"x NO [CANNOT]")
        assert client.select("Sent")[1] == [b"1"]
        daemon.stop()
        assert client.append("Drafts", "", "", good)[0] == "OK"
    assert suspensions(server, SENDER) == []
    assert left_in_staging(server.config.mail_root) == []
    server.stop()
    told = [event for event in server.events() if event["event"] in {"malware_refused", "message_not_scanned"}]
    assert [event.get("malware") for event in told] == [NAME] * 4 + [None]
    assert {(event["login"], event["way"]) for event in told} == {(SENDER, "append")}


def test_a_daemon_that_is_away(server: MailServer, daemon: ClamDaemon) -> None:
    """The sender tries again; nobody is suspended; once it is back all is as before."""
    daemon.stop()
    assert from_outside(server, message(b"a document", "a@example.org"))[0] == 451
    assert from_inside(server, message(EICAR))[0] == 451
    assert suspensions(server, SENDER) == []
    daemon.start()
    assert from_outside(server, message(b"a document", "a@example.org"))[0] == 250
    assert received(server) == 1


def test_a_daemon_that_is_away_and_mail_that_passes(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """`malware.absent = "pass"`: the log tells of every message that nobody has looked at."""
    server = furnished(serve({"malware": {"clamd": f"unix:{tmp_path}/nobody", "absent": "pass"}}))
    assert from_outside(server, message(b"a document", "a@example.org"))[0] == 250
    server.stop()
    (told,) = [event for event in server.events() if event["event"] == "message_not_scanned"]
    assert told["refused"] is False


def test_a_message_that_the_daemon_does_not_take(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """Its limit is smaller than ours: that is said, and the message is none that was looked at."""
    daemon = ClamDaemon(tmp_path / "clam", stream_octets=100_000)
    daemon.start()
    try:
        server = furnished(serve({"malware": {"clamd": daemon.place}}))
        assert from_outside(server, message(b"x" * 400_000, "a@example.org"))[0] == 451
        assert from_outside(server, message(b"x" * 4_000, "a@example.org"))[0] == 250
        server.stop()
        (told,) = [event for event in server.events() if event["event"] == "message_not_scanned"]
        assert "size limit exceeded" in told["error"]
    finally:
        daemon.stop()


def test_ten_at_once_with_two_connections(serve: Callable[..., MailServer], daemon: ClamDaemon) -> None:
    """They wait for their turn; each gets its own answer."""
    server = furnished(serve({"malware": {"clamd": daemon.place, "connections": 2}}))
    codes: dict[int, int] = {}

    def send(number: int) -> None:
        attached = EICAR if number % 2 else b"a document"
        codes[number] = from_outside(server, message(attached, "a@example.org", padding=number * 40_000))[0]

    threads = [threading.Thread(target=send, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert codes == {number: 550 if number % 2 else 250 for number in range(10)}
    assert received(server) == 5
