"""NUL and lines over 998 octets at the doors: refused while their program listens, with the line, or kept as they are."""

import imaplib
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.outgoing import OFFER, PASSWORD, ZONE, elsewhere, office
from dns_server import name_server
from harness import MailServer, config_for
from unit.smtpclient.server import ALL, Server
from waiting import wait_for

HEADER = b"From: dvbe@mic.gov.vn\r\nSubject: %s\r\n\r\n"
HERE, THERE = "ttlan@mic.gov.vn", "b@one.example"
FILLER = (b"k" * 76 + b"\r\n") * 5_000
"""As much as is not held in memory."""
LONG, LONGEST = b"l" * 999 + b"\r\n", b"l" * 998 + b"\r\n"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MailServer, Server]]:
    other = Server(OFFER.replace(b"SIZE 1000000", b"8BITMIME"))
    with elsewhere(server=other) as (other, port), name_server(ZONE) as names:
        tree = {"dns": {"nameservers": (names.place,)}, "sending": {"port": port}}
        server = MailServer(config_for(tmp_path_factory.mktemp("lines") / "data", tree))
        try:
            server.issue("dvbe", password=PASSWORD)
            server.issue("ttlan", password=PASSWORD)
            yield server, other
        finally:
            server.stop()


def send(server: MailServer, octets: bytes, *to: str, by_bdat: bool = False) -> tuple[int, str]:
    """The answer to the end of what dvbe submits."""
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls(), timeout=60) as client:
        client.login("dvbe", PASSWORD)
        client.mail("dvbe@mic.gov.vn")
        assert [client.rcpt(each)[0] for each in to] == [250] * len(to)
        if not by_bdat:
            code, said = client.data(octets)
            return code, said.decode()
        half = len(octets) // 2
        for piece, last in ((octets[:half], ""), (octets[half:], " LAST")):
            client.send(b"BDAT %d%s\r\n" % (len(piece), last.encode()) + piece)
            code, said = client.getreply()
        return code, said.decode()


def kept(server: MailServer, local: str, subject: bytes) -> list[bytes]:
    """The messages with this subject in the files of a mailbox, without the trace lines in front."""
    server.call(server.running.context.mailflow.settle())
    folder = server.config.mail_root / "mic.gov.vn" / local / "Maildir" / "cur"
    files = [path.read_bytes() for path in folder.iterdir()]
    return [octets[octets.index(b"From: dvbe") :] for octets in files if b"Subject: %s\r\n" % subject in octets]


@pytest.mark.parametrize("by_bdat", [False, True])
@pytest.mark.parametrize("before", [b"", FILLER])
@pytest.mark.parametrize("to", [(HERE,), (THERE,), (HERE, THERE)])
def test_nul_is_refused(both: tuple[MailServer, Server], before: bytes, to: tuple[str, ...], by_bdat: bool) -> None:
    """RFC 5322 §4: to whomever it is submitted and by which command, small or large, with the number of the line."""
    server, other = both
    wait_for(lambda: not server.running.context.queue.names())  # what an earlier test has sent
    code, said = send(server, HEADER % b"nul" + before + b"a\0b\r\nend\r\n", *to, by_bdat=by_bdat)
    assert code == 550
    assert "5.6.0" in said
    assert f"line {4 + before.count(b'k' * 76)} " in said
    assert "RFC 5322" in said
    assert kept(server, "ttlan", b"nul") == []
    assert not server.running.context.queue.names()
    assert not any(b"Subject: nul" in each for each in other.messages)


@pytest.mark.parametrize("by_bdat", [False, True])
@pytest.mark.parametrize("before", [b"", FILLER])
def test_long_lines_are_refused_where_they_would_leave(both: tuple[MailServer, Server], before: bytes, by_bdat: bool) -> None:
    """RFC 5321 §4.5.3.1.6: 998 octets leave and 999 do not, nor 999 behind the last line end."""
    server, other = both
    for line in (LONG, b"l" * 200_000 + b"\r\n", LONG.rstrip()):
        code, said = send(server, HEADER % b"long" + before + line, HERE, THERE, by_bdat=by_bdat)
        assert code == 550
        assert f"line {4 + before.count(b'k' * 76)} " in said
        assert "998" in said
    assert kept(server, "ttlan", b"long") == []
    assert send(server, HEADER % b"longest" + before + LONGEST, THERE, by_bdat=by_bdat)[0] == 250
    wait_for(lambda: any(b"Subject: longest" in each and before + LONGEST in each for each in other.messages))
    other.messages.clear()


def test_long_lines_stay_in_the_house(both: tuple[MailServer, Server]) -> None:
    """Reg. 9: to mailboxes here, and from other servers, they are kept octet for octet, and IMAP gives them."""
    server, _ = both
    octets = HEADER % b"here" + FILLER + b"l" * 200_000 + b"\r\n"
    assert send(server, octets, HERE)[0] == 250
    assert kept(server, "ttlan", b"here") == [octets]
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls()) as imap:
        imap.login("ttlan", PASSWORD)
        imap.select("INBOX")
        (number,) = imap.search(None, "SUBJECT", "here")[1][0].split()
        ((_, found), _) = imap.fetch(number, "(BODY.PEEK[TEXT])")[1]
    assert found == octets.partition(b"\r\n\r\n")[2]
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=60) as client:
        client.ehlo()
        client.mail("a@one.example")
        client.rcpt(HERE)
        odd = HEADER % b"odd" + b"a\0b\r\n" + b"l" * 2_000 + b"\r\n"
        assert client.data(odd)[0] == 250
    assert kept(server, "ttlan", b"odd") == [odd]


def test_long_lines_leave_where_they_are_taken(tmp_path: Path) -> None:
    """RFC 3030 §3: by BODY=BINARYMIME and BDAT, unchanged, once that server is known to take it; not to others as well."""
    octets = HEADER % b"binary" + b"l" * 200_000 + b"\r\n"
    with office(tmp_path, other=Server(ALL.replace(b"250-STARTTLS\r\n", b""))) as (server, other):
        assert send(server, octets, THERE)[0] == 550
        assert send(server, HEADER % b"short" + b"x\r\n", THERE)[0] == 250
        wait_for(lambda: other.messages)
        assert b"BINARYMIME" not in b"".join(line for line in other.lines if line.startswith(b"MAIL"))
        other.messages.clear()
        assert send(server, octets, THERE, "c@null.example")[0] == 550
        assert send(server, octets, HERE, THERE)[0] == 250
        wait_for(lambda: b"".join(other.messages).endswith(octets))  # the queue has it a moment after the answer
        assert kept(server, "ttlan", b"binary") == [octets]
    assert any(line.startswith(b"MAIL") and b"BODY=BINARYMIME" in line for line in other.lines)
