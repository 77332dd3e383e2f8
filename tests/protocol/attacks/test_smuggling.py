"""SMTP smuggling: no sequence but CRLF.CRLF ends a message, neither in what comes here nor in what leaves (RFC 5321 §4.1.1.4).

Published as CVE-2023-51764 (Postfix), 51765 (Sendmail), 51766 (Exim), 51747 (James), CVE-2024-27305 (aiosmtpd). What a server
takes for an end that the next one does not, or the other way round, makes a second message of a part of the first.
"""

import asyncio
import base64
from collections.abc import Iterator

import pytest

from dns_server import name_server
from event_loops import LoopThread
from faults.wire import Imap, Line, Refused, Smtp
from harness import MailServer, config_for, stopping
from population import PASSWORD
from waiting import wait_for

USER = "dvbe@mic.gov.vn"
CLEAN = b"\r\n.\r\n"
ENDS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r.\n", b"\n\n.\n\n", b"\r\r.\r\r",
    b"\r\n.\r\r\n", b"\r\r\n.\n", b"\r\n\n.\r\n", b"\r\n.\n\r\n", b"\n\r.\n\r", b"\r\n\r.\r\n",
]  # fmt: skip
"""What one server or another has taken for the end, and what some gateway makes an end of by cleaning up."""
NOT_LINE_ENDS = [
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\0\r\n\0.\r\n", b"\r\n. \r\n", b"\r\n.\t\r\n", b"\r\n .\r\n", b"\x0b.\x0b", b"\x0c.\x0c",
    b"\x85.\x85", b"\xe2\x80\xa8.\xe2\x80\xa8", b"\x1e.\x1e", b"\r\n.\x1a\r\n", b"=0D=0A.=0D=0A",
]  # fmt: skip
"""Octets like others: such a message is a message, and all of it is one."""
SECOND = b"MAIL FROM:<ceo@mic.gov.vn>\r\nRCPT TO:<%b>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n" % USER.encode()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator["Elsewhere"]:
    with Elsewhere() as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, elsewhere: "Elsewhere") -> Iterator[MailServer]:
    """One for all; what it sends elsewhere `elsewhere` hears, octet by octet."""
    zone = {("one.example", "MX"): ["10 mx.one.example."], ("mx.one.example", "A"): ["127.0.0.1"]}
    with name_server(zone) as names:
        settings = {
            "dns": {"nameservers": (names.place,)}, "sending": {"port": elsewhere.port}, "auth": {"cleartext": True},
            "smtp": {"errors": 1000, "binarymime": True, "repair_line_ends": ("127.0.0.7/32",)},
        }  # fmt: skip
        made = MailServer(config_for(tmp_path_factory.mktemp("smuggling"), settings))
        with stopping([made]):
            made.issue("dvbe")
            yield made


class Elsewhere:
    """Another mail server; `heard` is all that each connection has said, as it came."""

    def __init__(self) -> None:
        self.heard: list[bytearray] = []
        self.offer = b"250-mx.one.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
        self.port = 0

    def __enter__(self) -> "Elsewhere":
        self._loop = LoopThread()
        listening = self._loop.call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = listening.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.end()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = bytearray()
        self.heard.append(heard)
        writer.write(b"220 mx.one.example ESMTP\r\n")
        within, left, looked = False, 0, 0
        while octets := await reader.read(65_536):
            heard += octets
            while looked < len(heard):
                if left:
                    taken = min(left, len(heard) - looked)
                    left, looked = left - taken, looked + taken
                    writer.write(b"" if left else b"250 2.0.0 chunk\r\n")
                    continue
                if within:
                    at = heard.find(CLEAN, looked - 2)
                    if at < 0:
                        break
                    within, looked = False, at + len(CLEAN)
                    writer.write(b"250 2.0.0 taken\r\n")
                    continue
                at = heard.find(b"\r\n", looked)
                if at < 0:
                    break
                line, looked = bytes(heard[looked:at]), at + 2
                within = line.upper() == b"DATA"
                if line.upper().startswith(b"BDAT"):
                    left = int(line.split()[1])
                    writer.write(b"" if left else b"250 2.0.0 chunk\r\n")
                    continue
                writer.write(self.offer if line.startswith(b"EHLO") else b"354 go\r\n" if within else b"250 2.0.0 OK\r\n")
        writer.close()

    def message(self, mark: bytes) -> bytes:
        """The octets between 354 and the end, of the message that holds `mark`."""
        for heard in self.heard:
            if mark in heard:
                begins = heard.rindex(b"DATA\r\n", 0, heard.index(mark)) + len(b"DATA\r\n")
                return bytes(heard[begins : heard.find(CLEAN, heard.index(mark)) + len(CLEAN)])
        return b""


def signed_in(server: MailServer) -> Smtp:
    """At the door for mail programs, as the user."""
    client = Smtp(server.ports["submission"])
    client.command(b"AUTH PLAIN " + base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()), 235)
    return client


def replies(client: Line, octets: bytes) -> list[bytes]:
    """The codes of all replies to octets that end with HELP, whose code is 214."""
    client.send(octets)
    found: list[bytes] = []
    while not found or found[-1] != b"214":
        line = client.line()
        if line[3:4] != b"-":
            found.append(line[:3])
    return found


def count(server: MailServer, address: str = USER) -> int:
    reader = Imap(server.ports["imap"], address, PASSWORD)
    found = reader.command(b"STATUS INBOX (MESSAGES)")
    reader.close()
    return int(found[-1][0].rpartition(b" ")[2].rstrip(b")\r\n"))


def all_texts(server: MailServer, address: str = USER) -> bytes:
    reader = Imap(server.ports["imap"], address, PASSWORD)
    reader.command(b"SELECT INBOX")
    found = reader.command(b"FETCH 1:* BODY.PEEK[]") if count(server, address) else []
    reader.close()
    return b"".join(part for response in found for part in response)


def envelope(sender: bytes = b"a@a.example", recipient: str = USER) -> bytes:
    return b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\n" % (sender, recipient.encode())


@pytest.mark.parametrize("door", ["smtp", "submission"])
def test_no_other_ending_ends_a_message(server: MailServer, door: str) -> None:
    """For each ending: one refusal, at the true end, of all of it; what stood in it was no command."""
    before = count(server)
    client = Smtp(server.ports["smtp"]) if door == "smtp" else signed_in(server)
    sender = b"a@a.example" if door == "smtp" else USER.encode()
    for end in ENDS:
        octets = envelope(sender) + b"DATA\r\n" + b"From: <%b>\r\n\r\nbody" % sender + end + SECOND + b".\r\nHELP\r\n"
        assert replies(client, octets) == [b"250", b"250", b"354", b"550", b"214"], end
    client.close()
    assert count(server) == before


@pytest.mark.parametrize("step", [1, 2, 3])
def test_however_the_octets_are_cut(server: MailServer, step: int) -> None:
    """Endings that come in pieces: the reading ends nowhere else."""
    client = Smtp(server.ports["smtp"])
    for end in ENDS[:6]:
        client.send(envelope() + b"DATA\r\nbody")
        octets = end + b"RSET\r\n"
        for at in range(0, len(octets), step):
            client.send(octets[at : at + step])
        assert replies(client, b".\r\nHELP\r\n") == [b"250", b"250", b"354", b"550", b"214"], end
    client.close()


def test_what_only_looks_like_an_end(server: MailServer) -> None:
    """NUL, spaces, other letters that some take for line ends: one message, with the rest of it in its body."""
    client = Smtp(server.ports["smtp"])
    before = count(server)
    for end in NOT_LINE_ENDS:
        octets = envelope() + b"DATA\r\nSubject: x\r\n\r\nbody" + end + SECOND + b".\r\nHELP\r\n"
        assert replies(client, octets) == [b"250", b"250", b"354", b"250", b"214"], end
    client.close()
    assert count(server) == before + len(NOT_LINE_ENDS)
    assert all_texts(server).count(b"MAIL FROM:<ceo@mic.gov.vn>") == len(NOT_LINE_ENDS)


@pytest.mark.parametrize("end", ENDS)
def test_chunks_know_their_length(server: MailServer, end: bytes) -> None:
    """RFC 3030 §2: no ending, whole or cut in two by a chunk, ends a chunk or begins a command; DATA has no place there."""
    client = Smtp(server.ports["smtp"])
    before = count(server)
    body = b"Subject: x\r\n\r\nbody" + end + SECOND
    for cut in (len(body), body.index(end) + 1, body.index(end) + len(end) - 1):
        first, second = body[:cut], body[cut:]
        octets = envelope() + b"BDAT %d\r\n%bBDAT %d LAST\r\n%bHELP\r\n" % (len(first), first, len(second), second)
        assert replies(client, octets) == [b"250", b"250", b"250", b"550", b"214"], (end, cut)
        octets = envelope() + b"BDAT %d\r\n%bDATA\r\nRSET\r\nHELP\r\n" % (len(first), first)
        assert replies(client, octets) == [b"250", b"250", b"250", b"503", b"250", b"214"], (end, cut)
    client.close()
    assert count(server) == before


def test_the_letter_of_old_devices_ends_as_all_others(server: MailServer) -> None:
    """`smtp.repair_line_ends`: LF becomes CRLF in the message, and is no end of it; a lone CR is refused there too."""
    client = Line(server.ports["smtp"], source="127.0.0.7")
    before = count(server)
    assert client.line().startswith(b"220")
    assert replies(client, b"HELO x\nHELP\n") == [b"250", b"214"]
    octets = envelope() + b"DATA\r\nSubject: x\n\nbody\n.\n" + SECOND + b".\r\nHELP\r\n"
    assert replies(client, octets) == [b"250", b"250", b"354", b"250", b"214"]
    assert replies(client, envelope() + b"DATA\r\nx\r.\r" + SECOND + b".\r\nHELP\r\n") == [
        b"250",
        b"250",
        b"354",
        b"550",
        b"214",
    ]
    client.close()
    assert count(server) == before + 1


# ------------------------------------------------------------ what leaves


def must_be_one(octets: bytes) -> None:
    """As it stood on the wire, for the most generous of readers."""
    assert octets.endswith(CLEAN)
    assert octets.count(b"\n") == octets.count(b"\r") == octets.count(CLEAN[:2]), octets
    assert octets.count(CLEAN) == 1, octets
    assert b"\n.\n" not in octets
    assert b"\r.\r" not in octets


DOTS = [b".", b"..", b"...", b".\r\n.", b"..\r\n..", b". ", b".x", b"\r\n.\r\n.."]


def test_what_is_sent_on_ends_once(server: MailServer, elsewhere: Elsewhere) -> None:
    """Lines that are dots leave with one more; nothing that was taken has a bare CR or LF, so none of it can end elsewhere."""
    client = signed_in(server)
    message = b"From: <%b>\r\nSubject: relay-1\r\n\r\n" % USER.encode() + b"\r\n".join(DOTS)
    message += b"\r\n" + b"\r\n".join(each for each in NOT_LINE_ENDS if b"\0" not in each)  # NUL is refused
    stuffed = (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:]
    to = b"MAIL FROM:<%b>\r\nRCPT TO:<b@one.example>\r\nDATA\r\n" % USER.encode()
    assert replies(client, to + stuffed + b"\r\n.\r\nHELP\r\n") == [b"250", b"250", b"354", b"250", b"214"]
    client.close()
    octets = wait_for(lambda: elsewhere.message(b"Subject: relay-1"))
    must_be_one(octets)
    plain = octets[: -len(b".\r\n")].replace(b"\r\n..", b"\r\n.")
    assert plain.partition(b"\r\n\r\n")[2] == message.partition(b"\r\n\r\n")[2] + b"\r\n"
    assert b"MAIL FROM:<ceo" not in bytes(b"".join(elsewhere.heard))


def test_chunks_that_were_taken_leave_as_lines(server: MailServer, elsewhere: Elsewhere) -> None:
    """By BDAT, cut within a line that is a dot."""
    client = signed_in(server)
    body = b"From: <%b>\r\nSubject: relay-2\r\n\r\n.\r\n..\r\n.\r\nx\r\n" % USER.encode()
    cut = body.index(b"\r\n.\r\n..") + 3
    octets = b"MAIL FROM:<%b>\r\nRCPT TO:<b@one.example>\r\nBDAT %d\r\n%bBDAT %d LAST\r\n%bHELP\r\n" % (
        USER.encode(), cut, body[:cut], len(body) - cut, body[cut:],
    )  # fmt: skip
    assert replies(client, octets) == [b"250", b"250", b"250", b"250", b"214"]
    client.close()
    sent = wait_for(lambda: elsewhere.message(b"Subject: relay-2"))
    must_be_one(sent)
    assert sent.endswith(b"\r\n\r\n..\r\n...\r\n..\r\nx\r\n.\r\n")


def test_nothing_that_is_no_lines_is_sent_on(server: MailServer, elsewhere: Elsewhere) -> None:
    """Each ending, by DATA and BDAT: refused where it comes in, so that there is nothing to send on."""
    client = signed_in(server)
    for end in ENDS:
        message = b"From: <%b>\r\nSubject: relay-3\r\n\r\nx" % USER.encode() + end + b"y\r\n"
        to = b"MAIL FROM:<%b>\r\nRCPT TO:<b@one.example>\r\n" % USER.encode()
        assert replies(client, to + b"DATA\r\n" + message + b".\r\nHELP\r\n") == [b"250", b"250", b"354", b"550", b"214"], end
        octets = to + b"BDAT %d LAST\r\n" % len(message) + message + b"HELP\r\n"
        assert replies(client, octets) == [b"250", b"250", b"550", b"214"], end
        client.send(to.replace(b">\r\nRCPT", b"> BODY=BINARYMIME\r\nRCPT"))
        with pytest.raises(Refused):
            client.expect(250)
        client.send(b"RSET\r\n")
        with pytest.raises(Refused):  # to RCPT, for want of MAIL
            client.expect(250)
        client.expect(250)
    client.close()
    assert not elsewhere.message(b"Subject: relay-3")
