"""Reg. 9.1: every message comes out as it went in, octet for octet, by every way in and out; Reg. 8.3.b: exactly 20 MiB pass.

The messages are our own hard ones (tests/messages) and, where MIC_MAIL_CORPUS names a folder of *.eml files, those too. SMTP
can carry only lines that end in CRLF, so for it messages with other line ends are brought to CRLF; APPEND takes any.
"""

import base64
import os
import poplib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from faults.wire import Imap, Refused, Smtp, dotted
from harness import MailServer, left_in_staging
from messages.hard import HARD
from population import PASSWORD

DVBE, TTLAN = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"
LIMIT = 20_971_520
AT_ONCE = 50
_ITEM = re.compile(rb"[( ](?:UID (\d+)|RFC822\.SIZE (\d+))")


def corpus() -> dict[str, bytes]:
    folder = os.environ.get("MIC_MAIL_CORPUS")
    if not folder:
        pytest.skip("MIC_MAIL_CORPUS names no folder of messages")
    found = {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.eml"))}
    assert found, folder
    return {name: octets for name, octets in found.items() if octets}


SOURCES: dict[str, Callable[[], dict[str, bytes]]] = {"our own": lambda: {k: v for k, v in HARD.items() if v}, "corpus": corpus}


@pytest.fixture(params=SOURCES)
def messages(request: pytest.FixtureRequest) -> dict[str, bytes]:
    return SOURCES[request.param]()


@pytest.fixture
def server(serve: Callable[..., MailServer]) -> MailServer:
    server = serve({"auth": {"cleartext": True}})
    for local in ("dvbe", "ttlan"):
        server.issue(local)
    return server


def with_crlf(octets: bytes) -> bytes:
    """The same text with CRLF everywhere, also at its end."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def by_data(client: Smtp, octets: bytes, to: Sequence[str]) -> None:
    begin(client, to)
    client.command(b"DATA", 354)
    client.send(dotted(octets))
    client.expect(250)


def by_bdat(client: Smtp, octets: bytes, to: Sequence[str]) -> None:
    """In three chunks, cut anywhere (RFC 3030)."""
    begin(client, to)
    third = len(octets) // 3
    for chunk, last in ((octets[:third], b""), (octets[third : 2 * third], b""), (octets[2 * third :], b" LAST")):
        client.send(b"BDAT %d%s\r\n%s" % (len(chunk), last, chunk))
        client.expect(250)


def begin(client: Smtp, to: Sequence[str], sender: str = "a@a.example") -> None:
    client.command(b"MAIL FROM:<%s> BODY=8BITMIME" % sender.encode(), 250)
    for address in to:
        client.command(b"RCPT TO:<%s>" % address.encode(), 250)


def stored(server: MailServer, address: str, folder: bytes = b"INBOX") -> Iterator[tuple[int, bytes]]:
    """UID and octets of each message by BODY[]; RFC822.SIZE must say how many they are, and RFC822 and parts of it agree."""
    server.call(server.running.context.mailflow.settle())
    client = Imap(server.ports["imap"], address, PASSWORD)
    client.command(b"EXAMINE %s" % folder)
    for parts in client.command(b"UID FETCH 1:* (UID RFC822.SIZE BODY.PEEK[])"):
        if len(parts) < 2:
            continue
        items = dict(zip(("uid", "size"), map(max, zip(*_ITEM.findall(parts[0] + parts[-1]), strict=True)), strict=True))
        assert int(items["size"]) == len(parts[1])
        yield int(items["uid"]), parts[1]
    client.close()


def fetched(server: MailServer, address: str) -> Iterator[tuple[int, bytes]]:
    """UID and octets of each message by RETR; its unique-id ends with the UID, and LIST says how many octets they are."""
    server.call(server.running.context.mailflow.settle())
    client = poplib.POP3("localhost", server.ports["pop3"], timeout=60)
    client.user(address)
    client.pass_(PASSWORD)
    assert client.file is not None
    for row, unique in zip(client.list()[1], client.uidl()[1], strict=True):
        number, size = map(int, row.split())
        client._shortcmd(f"RETR {number}")
        octets = b""
        while (line := client.file.readline()) != b".\r\n":
            octets += line.removeprefix(b".")
        assert octets[size:] in (b"", b"\r\n")  # a last line that does not end is ended on the wire
        yield int(unique.rpartition(b".")[2]), octets[:size]
    client.quit()


def as_imap_shows(messages: Iterable[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    return [(uid, octets.replace(b"\0", b"\x80")) for uid, octets in messages]  # no literal holds NUL (RFC 9051 §4.3.1)


def check(name: str, found: bytes, expected: bytes, *, traced: bool) -> None:
    start = found.index(b"+0700\r\n") + len(b"+0700\r\n") if traced else 0
    expected = expected.replace(b"\0", b"\x80")  # no literal holds NUL (RFC 9051 §4.3.1)
    assert found[start:] == expected, f"{name}: {len(found) - start} octets, {len(expected)} expected"


@pytest.mark.clause("9.1", "13.2")
@pytest.mark.parametrize("way", [by_data, by_bdat], ids=["DATA", "BDAT"])
@pytest.mark.parametrize("to", [[DVBE], [DVBE, TTLAN]], ids=["one", "two"])
def test_by_smtp(server: MailServer, messages: dict[str, bytes], way: Callable[..., None], to: list[str]) -> None:
    """Behind the trace header stands what was sent."""
    client = Smtp(server.ports["smtp"])
    sent = {name: with_crlf(octets) for name, octets in messages.items()}
    for number, (name, octets) in enumerate(sent.items()):
        if number % AT_ONCE == AT_ONCE - 1:
            client.close()
            client = Smtp(server.ports["smtp"])
        try:
            way(client, octets, to)
        except Refused as error:
            raise AssertionError(f"{name}: {error}") from error
        server.call(server.running.context.mailflow.settle())  # the spool delivers in any order: one after the other here
    client.close()
    for address in to:
        found = list(stored(server, address))
        assert len(found) == len(sent)
        for (name, octets), (_, there) in zip(sent.items(), found, strict=True):
            check(name, there, octets, traced=True)
        assert as_imap_shows(fetched(server, address)) == found


@pytest.mark.clause("9.1")
def test_by_append(server: MailServer, messages: dict[str, bytes]) -> None:
    """What APPEND was given, whatever its line ends, comes out by BODY[] and RETR; by BODY[] of a copy and a moved one too."""
    client = Imap(server.ports["imap"], DVBE, PASSWORD)
    for name, octets in messages.items():
        mark = b"~" if b"\0" in octets else b""  # RFC 3516 §4.4: NUL needs literal8
        try:
            client.command(b"APPEND INBOX %s{%d+}\r\n%s" % (mark, len(octets), octets))
        except Refused as error:
            raise AssertionError(f"{name}: {error}") from error
    client.command(b"SELECT INBOX")
    client.command(b"UID COPY 1:* Archive")
    found = list(stored(server, DVBE))
    by_pop3 = list(fetched(server, DVBE))
    assert as_imap_shows(by_pop3) == found
    assert [octets for _, octets in by_pop3] == list(messages.values())
    client.command(b"UID MOVE 1:* Trash")
    client.close()
    for there in (found, list(stored(server, DVBE, b"Archive")), list(stored(server, DVBE, b"Trash"))):
        assert len(there) == len(messages)
        for (name, octets), (_, out) in zip(messages.items(), there, strict=True):
            check(name, out, octets, traced=False)


def test_after_the_index_was_made_anew(server: MailServer, messages: dict[str, bytes]) -> None:
    """Sizes and octets come from the files alone."""
    client = Imap(server.ports["imap"], DVBE, PASSWORD)
    for octets in messages.values():
        client.command(b"APPEND INBOX %s{%d+}\r\n%s" % (b"~" if b"\0" in octets else b"", len(octets), octets))
    client.close()
    before = list(stored(server, DVBE))
    for path in server.config.mail_root.rglob("index.sqlite*"):
        path.unlink()
    assert list(stored(server, DVBE)) == before


# Attachments


def attachment(octets: int, sender: str) -> bytes:
    """A message with one attachment of exactly so many octets, in base64 lines of 76 columns."""
    lines = base64.encodebytes(os.urandom(1 << 10) * (octets >> 10) + b"x" * (octets & 1023)).replace(b"\n", b"\r\n")
    return (
        b"From: %s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n--b--\r\n"
    ) % (sender.encode(), lines)


def by_submission(server: MailServer, octets: bytes) -> None:
    client = Smtp(server.ports["submission"])
    client.command(b"AUTH PLAIN " + base64.b64encode(f"\0{DVBE}\0{PASSWORD}".encode()), 235)
    begin(client, [DVBE], DVBE)
    client.command(b"DATA", 354)
    client.send(dotted(octets))
    client.expect(250)


def by_append(server: MailServer, octets: bytes) -> None:
    Imap(server.ports["imap"], DVBE, PASSWORD).command(b"APPEND INBOX {%d+}\r\n%s" % (len(octets), octets))


def by_synchronizing_append(server: MailServer, octets: bytes) -> None:
    client = Imap(server.ports["imap"], DVBE, PASSWORD)
    client.send(b"A APPEND INBOX {%d}\r\n" % len(octets))
    assert client.line().startswith(b"+")
    client.send(octets + b"\r\n")
    while not (line := client.line()).startswith(b"A "):
        pass
    if not line.startswith(b"A OK"):
        raise Refused(line.decode())


WAYS: dict[str, Callable[[MailServer, bytes], None]] = {
    "MX, DATA": lambda server, octets: by_data(Smtp(server.ports["smtp"]), octets, [DVBE]),
    "MX, BDAT": lambda server, octets: by_bdat(Smtp(server.ports["smtp"]), octets, [DVBE]),
    "submission": by_submission,
    "APPEND": by_append,
    "APPEND, synchronizing": by_synchronizing_append,
}


@pytest.mark.clause("8.3.b")
@pytest.mark.parametrize("way", WAYS)
def test_twenty_mebibytes_of_attachments_pass_and_one_octet_more_does_not(server: MailServer, way: str) -> None:
    """Reg. 8.3.b: 20,971,520 octets, not one more; what is refused leaves nothing behind."""
    whole = attachment(LIMIT, DVBE)
    WAYS[way](server, whole)
    with pytest.raises(Refused) as refused:
        WAYS[way](server, attachment(LIMIT + 1, DVBE))
    said = str(refused.value)
    assert "552 5.3.4" in said or "[TOOBIG]" in said, said
    assert "8.3.b" in said
    [(_, there)] = stored(server, DVBE)
    check(way, there[-len(whole) :], whole, traced=False)
    assert left_in_staging(server.config.mail_root) == []
    assert not [path for path in server.config.spool_dir.rglob("*") if path.is_file()]
