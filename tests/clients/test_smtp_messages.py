"""Messages through the SMTP door: octet for octet, large and small, with the attachment meter (Reg. 8.3.b, 9.1)."""

import base64
import smtplib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import MailServer
from mic_mail.services.transport.incoming_message import SMALL_OCTETS
from waiting import wait_for

LIMIT = 20_971_520


def send(server: MailServer, message: bytes, *to: str, chunks: bool = False) -> bytes:
    """Send through the MX by DATA or BDAT without any library in between; the last reply."""
    with socket.create_connection((server.host, server.ports["smtp"]), timeout=60) as client, client.makefile("rb") as replies:

        def reply() -> bytes:
            while (line := replies.readline())[3:4] == b"-":
                pass
            return line

        reply()
        client.sendall(b"EHLO client.example\r\nMAIL FROM:<a@a.example>\r\n")
        client.sendall(b"".join(b"RCPT TO:<%s>\r\n" % address.encode() for address in to))
        for _ in range(2 + len(to)):
            assert reply().startswith(b"250")
        if chunks:
            for at in range(0, len(message), 70_000):
                piece = message[at : at + 70_000]
                client.sendall(b"BDAT %d\r\n%s" % (len(piece), piece))
                answer = reply()
                if not answer.startswith(b"250"):
                    return answer
            client.sendall(b"BDAT 0 LAST\r\n")
            return reply()
        client.sendall(b"DATA\r\n")
        assert reply().startswith(b"354")
        stuffed = (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:]
        client.sendall(stuffed + (b".\r\n" if message.endswith(b"\r\n") or not message else b"\r\n.\r\n"))
        return reply()


def files(server: MailServer, local: str) -> list[Path]:
    server.call(server.running.context.mailflow.settle())
    return sorted((server.config.mail_root / "mic.gov.vn" / local / "Maildir" / "cur").iterdir())


def nothing_left_over(server: MailServer) -> bool:
    """No temporary file anywhere, and no entry in the spool."""
    server.call(server.running.context.mailflow.settle())
    staged = list(server.config.mail_root.glob("*/*/Maildir/tmp/*"))
    return not staged and not [path for path in server.config.spool_dir.rglob("*") if path.is_file()]


def attachment(octets: int, columns: int = 60) -> bytes:
    """A message with one attachment of exactly so many octets."""
    text = base64.b64encode(bytes(range(256)) * (octets // 256) + b"x" * (octets % 256))
    lines = b"\r\n".join(text[i : i + columns] for i in range(0, len(text), columns))
    return (
        b"From: a@a.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + lines
        + b"\r\n--b--\r\n"
    )


ODD = {
    "empty": b"",
    "no header": b"\r\nbody\r\n",
    "dots": b"Subject: .\r\n\r\n.\r\n..\r\n...\r\n.x\r\n",
    "binary letters": b"Subject: \xff\xfe\r\n\r\n" + bytes(octet for octet in range(256) if octet not in (10, 13)) + b"\r\n",
    "nul": b"Subject: x\r\n\r\na\0b\r\n",
    "long line": b"Subject: x\r\n\r\n" + b"y" * 200_000 + b"\r\n",
    "at the edge of small": b"Subject: x\r\n\r\n" + b"z" * (SMALL_OCTETS - 16) + b"\r\n",
    "large": b"Subject: x\r\n\r\n" + b"Some line of a large message.\r\n" * 60_000,
    "large header": b"".join(b"X-Field-%d: value\r\n" % i for i in range(10_000)) + b"\r\nx\r\n",
}


@pytest.mark.clause("9.1")
@pytest.mark.parametrize("chunks", [False, True], ids=["DATA", "BDAT"])
@pytest.mark.parametrize("name", ODD)
def test_octets_arrive_as_they_were_sent(mail_server: MailServer, name: str, chunks: bool) -> None:
    """Reg. 9.1: whatever the message, behind the trace lines lie exactly its octets; to one mailbox and to two."""
    message = ODD[name]
    expected = message if chunks or message.endswith(b"\r\n") or not message else message + b"\r\n"
    assert send(mail_server, message, "dvbe@mic.gov.vn", chunks=chunks).startswith(b"250 2.6.0")
    assert send(mail_server, message, "dvbe@mic.gov.vn", "ttlan@mic.gov.vn", chunks=chunks).startswith(b"250 2.6.0")
    for local, count in (("dvbe", 2), ("ttlan", 1)):
        found = files(mail_server, local)
        assert len(found) == count
        for path in found:
            octets = path.read_bytes()
            end = octets.index(b"+0700\r\n") + len(b"+0700\r\n")
            assert octets[end:] == expected
            assert octets.startswith(b"Return-Path: <a@a.example>\r\nReceived: ")
            assert f"S={len(octets)}," in path.name
    assert nothing_left_over(mail_server)


@pytest.mark.clause("8.3.b")
@pytest.mark.slow
@pytest.mark.parametrize("to", [["dvbe@mic.gov.vn"], ["dvbe@mic.gov.vn", "ttlan@mic.gov.vn"]], ids=["one", "two"])
def test_twenty_mebibytes_exactly_pass_and_one_octet_more_does_not(mail_server: MailServer, to: list[str]) -> None:
    """Reg. 8.3.b: 20,971,520 octets of attachments are accepted; 20,971,521 are 552 5.3.4 and leave nothing behind."""
    assert send(mail_server, attachment(LIMIT), *to).startswith(b"250 2.6.0")
    refused = send(mail_server, attachment(LIMIT + 1), *to)
    assert refused.startswith(b"552 5.3.4 Not sent: the attachments add up to 20.1 MB")
    assert b"(Reg. 8.3.b)" in refused
    assert len(files(mail_server, "dvbe")) == 1
    assert nothing_left_over(mail_server)


def test_a_smaller_limit_holds_for_small_messages_too(serve: Callable[..., MailServer]) -> None:
    """Where a document allows another limit, it is exact as well."""
    server = serve({"limits": {"attachment": {"allowed_by": "12/QĐ-TTTT", "maximum": 3000}}})
    server.issue("dvbe")
    assert send(server, attachment(3000), "dvbe@mic.gov.vn").startswith(b"250")
    assert send(server, attachment(3001), "dvbe@mic.gov.vn").startswith(b"552 5.3.4")
    assert nothing_left_over(server)


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [False, True], ids=["DATA", "BDAT"])
def test_a_message_beyond_size_is_refused_at_its_end(mail_server: MailServer, chunks: bool) -> None:
    """RFC 1870 §6.1: 552 for what is larger than announced; the octets are swallowed, the connection goes on."""
    message = b"Subject: x\r\n\r\n" + (b"t" * 98 + b"\r\n") * 320_000
    assert send(mail_server, message, "dvbe@mic.gov.vn", chunks=chunks).startswith(b"552 5.3.4")
    assert nothing_left_over(mail_server)


BASE64_BODY = b"Content-Transfer-Encoding: base64\r\n\r\n" + (b"QUJD" * 19 + b"\r\n") * 10_000
TEXT_BODY = b"\r\n" + b"Some line of a large message.\r\n" * 30_000


@pytest.mark.parametrize("chunks", [False, True], ids=["DATA", "BDAT"])
@pytest.mark.parametrize("body", [BASE64_BODY, TEXT_BODY], ids=["base64", "text"])
def test_one_bare_line_end_anywhere_is_enough(mail_server: MailServer, body: bytes, chunks: bool) -> None:
    """RFC 5321 §2.3.8: whatever looks at the message then, held in memory or scanned on its way to the disk."""
    message = b"Subject: x\r\n" + body
    for at in (3, 60_000, 140_000, 700_000, len(message) - 5):
        for bare in (b"\r", b"\n", b"\n.\n", b"\r.\r"):
            refused = send(mail_server, message[:at] + bare + message[at:], "dvbe@mic.gov.vn", chunks=chunks)
            assert refused.startswith(b"550 5.6.0 Not accepted: the message holds CR or LF alone"), (at, bare)
    assert nothing_left_over(mail_server)


def test_octets_of_a_binary_message_are_no_lines(serve: Callable[..., MailServer]) -> None:
    """RFC 3030 §3: with BODY=BINARYMIME a CR or LF may be alone, also where it is large."""
    server = serve({"smtp": {"binarymime": True}})
    server.issue("dvbe")
    message = b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\n" + b"a\nb\rc\0" * 100_000
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=30) as client:
        client.ehlo()
        for size in (1_000, len(message)):
            assert client.docmd("MAIL", "FROM:<a@a.example> BODY=BINARYMIME")[0] == 250
            assert client.docmd("RCPT", "TO:<dvbe@mic.gov.vn>")[0] == 250
            client.send(b"BDAT %d LAST\r\n%s" % (size, message[:size]))
            assert client.getreply()[0] == 250
    small, large = sorted(files(server, "dvbe"), key=lambda path: path.stat().st_size)
    assert small.read_bytes().endswith(message[:1_000])
    assert large.read_bytes().endswith(message)


def test_bare_line_ends_are_repaired_for_known_devices_only(serve: Callable[..., MailServer]) -> None:
    """The setting `smtp.repair_line_ends`: LF becomes CRLF for these networks; commands may end in LF as well."""
    server = serve({"smtp": {"repair_line_ends": ["127.0.0.0/8"]}})
    server.issue("dvbe")
    with socket.create_connection((server.host, server.ports["smtp"]), timeout=10) as client, client.makefile("rb") as replies:
        client.sendall(b"HELO scanner\nMAIL FROM:<scan@a.example>\nRCPT TO:<dvbe@mic.gov.vn>\nDATA\n")
        client.sendall(b"Subject: x\n\nline\n.\n..dot\nlast\r\n.\r\n")
        said = [replies.readline()[:3] for _ in range(6)]
    assert said == [b"220", b"250", b"250", b"250", b"354", b"250"]
    (path,) = files(server, "dvbe")
    assert path.read_bytes().endswith(b"Subject: x\r\n\r\nline\r\n\r\n.dot\r\nlast\r\n")


HUGE = b"Subject: x\r\n\r\n" + b"x" * 31_500_000


@pytest.mark.clause("4.2")
@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (b"DATA\r\n%s\r\n.\r\n" % HUGE, "message-too-large"),
        (b"BDAT 4\r\nA: bBDAT %d LAST\r\n%s" % (len(HUGE), HUGE), "message-too-large"),
        (b"BDAT 900000000 LAST\r\n", "message-too-large"),
        (b"DATA\r\nA: b\n\r\n.\r\n", "bare-line-end"),
        (b"BDAT 5 LAST\r\nA: b\n", "bare-line-end"),
    ],
    ids=["DATA too large", "BDAT too large", "BDAT far too large", "DATA bare LF", "BDAT bare LF"],
)
def test_the_log_knows_each_refused_message_once(mail_server: MailServer, rest: bytes, reason: str) -> None:
    """Whoever asks with the reference of the reply (Reg. 4.2) finds who wrote to whom, and on which connection."""
    with socket.create_connection((mail_server.host, mail_server.ports["smtp"]), timeout=60) as client:
        replies = client.makefile("rb")
        client.sendall(b"HELO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<ttlan@mic.gov.vn>\r\n" + rest)
        while not (reply := replies.readline()).startswith((b"550 ", b"552 ")):
            assert reply
    trace = reply.decode().rpartition("reference ")[2].strip()
    wait_for(lambda: any(event.get("trace") == trace for event in mail_server.events()))
    (told,) = [event for event in mail_server.events() if event.get("trace") == trace]
    assert (told["event"], told["reason"], told["sender"]) == ("message_refused", reason, "a@a.example")
    assert told["recipients"] == ["ttlan@mic.gov.vn"]
    assert told["session"]
    assert "login" in told


def test_mail_that_goes_in_a_circle_is_stopped(mail_server: MailServer) -> None:
    """RFC 5321 §6.3: a hundred Received lines are enough."""
    circle = b"Received: from a by b; x\r\n" * 101 + b"\r\nx\r\n"
    assert send(mail_server, circle, "dvbe@mic.gov.vn").startswith(b"554 5.4.6")
    assert send(mail_server, circle[26 * 2 :], "dvbe@mic.gov.vn").startswith(b"250")


@pytest.mark.parametrize("octets", [100, 300_000])
@pytest.mark.parametrize("to", [1, 2])
def test_a_client_that_hangs_up_leaves_nothing_behind(mail_server: MailServer, octets: int, to: int) -> None:
    """Without the end of the message there is no message: no file in tmp/, none in the spool, none in a mailbox."""
    for hang_up in ("close", "half", "reset"):
        client = socket.create_connection((mail_server.host, mail_server.ports["smtp"]), timeout=10)
        client.sendall(b"EHLO x\r\nMAIL FROM:<a@a.example>\r\n")
        client.sendall(b"".join(b"RCPT TO:<%s@mic.gov.vn>\r\n" % name for name in (b"dvbe", b"ttlan")[:to]) + b"DATA\r\n")
        client.sendall(b"Subject: x\r\n\r\n" + b"x\r\n" * (octets // 3))
        if hang_up == "half":
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        elif hang_up == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    wait_for(lambda: mail_server.running.server.servers.connections["smtp"] == 0)
    assert nothing_left_over(mail_server)
    for local in ("dvbe", "ttlan"):
        assert not list(mail_server.config.mail_root.glob(f"mic.gov.vn/{local}/Maildir/cur/*"))


def test_a_client_that_closes_its_half_after_the_end_is_answered(mail_server: MailServer) -> None:
    """A script that writes everything and closes its side gets every reply, and its message is delivered."""
    with socket.create_connection((mail_server.host, mail_server.ports["smtp"]), timeout=10) as client:
        client.sendall(
            b"EHLO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n"
        )
        client.shutdown(socket.SHUT_WR)
        said = b""
        while octets := client.recv(65536):
            said += octets
    assert b"\r\n250 2.6.0 " in said
    assert b"\r\n221 " in said
    assert len(files(mail_server, "dvbe")) == 1


def test_a_client_that_vanishes_after_the_end_loses_nothing_half(mail_server: MailServer) -> None:
    """The end was sent and nobody waits for the reply: the message is there once or not at all, never in pieces."""
    for octets in (100, 300_000):
        client = socket.create_connection((mail_server.host, mail_server.ports["smtp"]), timeout=10)
        client.sendall(b"EHLO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nDATA\r\nSubject: x\r\n\r\n")
        client.sendall(b"x\r\n" * (octets // 3) + b".\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    wait_for(lambda: mail_server.running.server.servers.connections["smtp"] == 0)
    assert nothing_left_over(mail_server)


def test_replies_that_nobody_reads_do_not_pile_up(serve: Callable[..., MailServer]) -> None:
    """A client that only writes is stopped by its own connection; others go on."""
    server = serve({"smtp": {"junk_commands": 10_000_000}})
    with socket.create_connection((server.host, server.ports["smtp"]), timeout=10) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(1)
        commands = b"NOOP\r\n" * 10_000_000
        with pytest.raises(TimeoutError):
            client.sendall(commands)
        with smtplib.SMTP(server.host, server.ports["smtp"], timeout=10) as other:
            assert other.noop()[0] == 250
