"""What a client says comes back in answers, headers, logs and reports as words, never as a line, a field or a command.

Weaknesses of others: expansions and shell letters in addresses (CVE-2019-10146 Exim, CVE-2020-7247 OpenSMTPD, CVE-2024-45519
Zimbra), line ends in AUTH=, ENVID and ORCPT that reached a spool's header (CVE-2020-28021, 28026 Exim), tabs in passwords
(CVE-2008-1218 Dovecot), answers that a name could split.
"""

import base64
import contextlib
import email
import json
import re
import socket
from collections.abc import Iterator

import pytest

from faults.wire import Cut, Imap, Line, Smtp
from harness import MailServer, config_for, stopping
from mic_mail.services.authentication import known_networks
from population import PASSWORD

USER = "dvbe@mic.gov.vn"
REPLY = re.compile(rb"[2-5][0-9]{2}[- ][ -~\x80-\xff]*\r\n")
LINE_ENDS = [
    b"\r",
    b"\n",
    b"\0",
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\x85",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"%0d%0a",
    b"\\r\\n",
    b"=0D=0A",
]
"""And what some take for them."""
SHELL = [
    "${run{/bin/touch${substr{0}{1}{$spool_directory}}tmp}}", "$(id)", "`id`", ";id;", "|id", "a;for i in 0 1;do read x;done",
    "a'--", "../../../etc/passwd", "/etc/passwd", "&id&", "!id", "*", "%s%n%x", "{{7*7}}", "<%=7*7%>", "a,b", "a:include:/etc",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    settings = {
        "auth": {"cleartext": True}, "smtp": {"errors": 1000}, "imap": {"errors": 1000}, "pop3": {"errors": 100},
        "listen": {"doors": ("smtp", "submission", "imap", "pop3", "ldap", "http", "https")},
    }  # fmt: skip
    made = MailServer(config_for(tmp_path_factory.mktemp("injection"), settings))
    with stopping([made]):
        made.issue("dvbe")
        yield made


def replies_before_help(client: Line, octets: bytes) -> list[bytes]:
    """All lines up to the answer to HELP, which follows `octets`; each is a line of a reply."""
    client.send(octets + b"HELP\r\n")
    lines = [client.line()]
    while not lines[-1].startswith(b"214 "):
        lines.append(client.line())
    assert all(REPLY.fullmatch(line) for line in lines), lines
    return lines[:-1]


def ends(lines: list[bytes]) -> list[bytes]:
    return [line[:3] for line in lines if line[3:4] == b" "]


def inbox(server: MailServer) -> list[bytes]:
    reader = Imap(server.ports["imap"], USER, PASSWORD)
    reader.command(b"SELECT INBOX")
    found = reader.command(b"UID FETCH 1:* BODY.PEEK[]")
    reader.close()
    return [response[1] for response in found if len(response) > 1]


# ------------------------------------------------------------ SMTP


@pytest.mark.parametrize("letters", LINE_ENDS)
def test_no_word_ends_a_reply(server: MailServer, letters: bytes) -> None:
    """In names, addresses, parameters and commands that nobody knows: one reply each, of printable lines."""
    evil = b"a" + letters + b"250 2.0.0 OK" + letters
    utf8 = b"MAIL FROM:<a@a.example> SMTPUTF8\r\n"
    commands = [
        b"EHLO " + evil, b"MAIL FROM:<" + evil + b"@a.example>", b"MAIL FROM:<a@a.example> X=" + evil, b"VRFY " + evil,
        b"MAIL FROM:<a@a.example> AUTH=" + evil, utf8 + b"RCPT TO:<" + evil + b"@mic.gov.vn>", b"EXPN " + evil, evil,
        utf8 + b'RCPT TO:<"' + evil + b'"@mic.gov.vn>', utf8 + b"RCPT TO:<x@" + evil + b">", b"HELP " + evil, b"NOOP " + evil,
    ]  # fmt: skip
    for command in commands:
        client = Smtp(server.ports["smtp"])
        client.send(command + b"\r\nQUIT\r\n")
        heard = b""
        try:
            while True:
                line = client.line()
                assert REPLY.fullmatch(line), (command, line)
                heard += line
        except Cut:
            pass
        codes = ends(heard.splitlines())
        assert len(codes) <= command.count(b"\r\n") + 2, (command, heard)  # a bare CR, LF or NUL ends the connection at once
        assert not re.search(rb"^250 2\.0\.0 OK[^.]", heard, re.MULTILINE), (command, heard)
        client.close()


@pytest.mark.parametrize("local", SHELL)
def test_addresses_are_names_and_nothing_else(server: MailServer, local: str) -> None:
    """What a shell, an expansion or a template would run is a mailbox that is not here, or the sender's name as it stands."""
    client = Smtp(server.ports["smtp"])
    quoted = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    for written in (local, quoted):
        mail, rcpt = ends(
            replies_before_help(client, f"MAIL FROM:<{written}@a.example>\r\nRCPT TO:<{written}@mic.gov.vn>\r\n".encode())
        )
        assert mail in (b"250", b"501")
        assert rcpt in (b"550", b"501", b"503"), written
        replies_before_help(client, b"RSET\r\n")
    before = len(inbox(server))
    octets = f"MAIL FROM:<{quoted}@a.example>\r\nRCPT TO:<{USER}>\r\nDATA\r\n".encode()
    assert ends(told_data(client, octets, b"Subject: x\r\n\r\nx\r\n.\r\n"))[-1] == b"250"
    client.close()
    message = inbox(server)[before]
    parsed = email.message_from_bytes(message)
    assert parsed.keys() == ["Return-Path", "Received", "Subject"]
    assert local in str(parsed["Return-Path"]).replace("\\", ""), message


def told_data(client: Smtp, octets: bytes, message: bytes) -> list[bytes]:
    return replies_before_help(client, octets + message)


@pytest.mark.parametrize(
    "helo", [b"x (y", b"x)\tby evil", b"[1.2.3.4] (helo=y)", b"x;", b"<x>", b'x"y', b"\xe2\x80\xa8Bcc: a@b", b"a\\"]
)
def test_the_name_of_a_client_is_one_word_of_the_trace(server: MailServer, helo: bytes) -> None:
    """In Received a name cannot end its clause, or look like another one."""
    client = Line(server.ports["smtp"])
    client.line()
    before = len(inbox(server))
    assert ends(replies_before_help(client, b"EHLO " + helo + b"\r\n"))[-1] == b"250"
    replies_before_help(client, envelope() + b"DATA\r\nSubject: x\r\n\r\n.\r\n")
    client.close()
    received = str(email.message_from_bytes(inbox(server)[before])["Received"])
    assert re.match(r"from [A-Za-z0-9._:\[\]?-]+ \(\[127\.0\.0\.1\]\)\r?\n\tby mail\.mic\.gov\.vn with ", received), received


def envelope() -> bytes:
    return f"MAIL FROM:<a@a.example>\r\nRCPT TO:<{USER}>\r\n".encode()


@pytest.mark.parametrize("hidden", ["\r\n", "\n", "\r", "\0", "\x0b", "\x7f"])
def test_nothing_hides_in_xtext(server: MailServer, hidden: str) -> None:
    """ENVID, ORCPT and AUTH= come back in reports and traces: what xtext hides is refused (RFC 3461 §4, RFC 4954 §5)."""
    xtext = "a" + "".join(f"+{ord(letter):02X}" for letter in hidden) + "Bcc:x"
    client = Smtp(server.ports["smtp"])
    for words in (f"ENVID={xtext}", f"AUTH={xtext}@a.example", f"AUTH={xtext}"):
        assert ends(replies_before_help(client, f"MAIL FROM:<a@a.example> {words}\r\n".encode())) == [b"501"], words
    replies_before_help(client, b"MAIL FROM:<a@a.example>\r\n")
    assert ends(replies_before_help(client, f"RCPT TO:<{USER}> ORCPT=rfc822;{xtext}\r\n".encode())) == [b"501"]
    client.close()


AUTHS = [
    ("CR LF in the name", b"\0dvbe\r\n@mic.gov.vn\0x", b"535"), ("a tab in the password", b"\0dvbe@mic.gov.vn\0x\ty", b"535"),
    ("a tab and more fields", b"\0dvbe@mic.gov.vn\0x\tuser=ttlan", b"535"), ("no UTF-8", b"\0\xff\xfe\0\xff", b"501"),
    ("half a letter", b"\0dvb\xe1\xba\0x", b"501"), ("four fields", b"a\0b\0c\0d", b"501"), ("no field", b"x", b"501"),
    ("a name of 64 KB", b"\0" + b"x" * 9_000 + b"\0y", b"5"), ("as somebody else", b"ttlan\0dvbe@mic.gov.vn\0x", b"535"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "response", "code"), AUTHS, ids=[name for name, _, _ in AUTHS])
def test_odd_sign_ins_are_refused_and_logged_on_one_line(server: MailServer, name: str, response: bytes, code: bytes) -> None:
    """CVE-2008-1218, CVE-2019-10691, CVE-2020-7046, CVE-2023-42115: no name and no password is anything but text."""
    client = Smtp(server.ports["submission"])
    client.send(b"AUTH PLAIN " + base64.b64encode(response) + b"\r\n")
    line = client.reply()
    assert REPLY.fullmatch(line)
    assert line.startswith(code), line
    client.close()
    for path in server.config.log_dir.glob("*.jsonl"):
        for each in path.read_bytes().splitlines():
            assert isinstance(json.loads(each), dict)


@pytest.mark.parametrize("text", [b"=", b"A", b"AA", b"AAA", b"A===", b"====", b"AAAA=AAA", b"\xff", b"*x", b"A" * 12_000])
def test_base64_that_is_none(server: MailServer, text: bytes) -> None:
    """CVE-2018-6789: lengths that are no multiple of four, padding in the middle; 501, and the session goes on."""
    client = Smtp(server.ports["submission"])
    client.send(b"AUTH PLAIN\r\n")
    assert client.line().startswith(b"334 ")
    client.send(text + b"\r\n")
    assert client.reply()[:3] in (b"501", b"500", b"535"), text
    assert client.command(b"NOOP", 250)
    client.close()


def test_after_one_mechanism_another(server: MailServer) -> None:
    """CVE-2011-1720: an exchange that failed or was given up leaves nothing behind for the next one (RFC 4954 §4)."""
    client = Smtp(server.ports["submission"])
    for mechanism in (b"SCRAM-SHA-256", b"LOGIN", b"PLAIN", b"SCRAM-SHA-256"):
        client.send(b"AUTH " + mechanism + b"\r\n")
        assert client.line().startswith(b"334 ")
        client.send(b"*\r\n")
        assert client.reply().startswith(b"501 ")
    client.command(b"AUTH PLAIN " + base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()), 235)
    client.close()


# ------------------------------------------------------------ IMAP, POP3


NAMES = [
    b"a\r\nT9 OK x",
    b"a\nb",
    b"a\rb",
    b"a\0b",
    b'a"b',
    b"a\\b",
    b"a{3}",
    b"a\r\n* BYE",
    b"\r\n",
    b"a\xe2\x80\xa8b",
    b"a\x85b",
]
TAGGED = re.compile(rb"\* [ -~\x80-\xff]*\r\n|\+ [ -~]*\r\n|[A-Z][0-9]+ (?:OK|NO|BAD) [ -~\x80-\xff]*\r\n")


@pytest.mark.parametrize("name", NAMES)
def test_names_end_no_answer(server: MailServer, name: bytes) -> None:
    """Literals may hold anything; what an answer shows of them is quoted, a literal, or not there (RFC 9051 §4.3)."""
    client = Imap(server.ports["imap"], USER, PASSWORD)
    literal = b"{%d+}\r\n%b" % (len(name), name)
    words = [
        *(verb + b" " + literal for verb in (b"CREATE", b"SELECT", b'LIST ""', b"DELETE", b"RENAME INBOX", b"SUBSCRIBE")),
        *(verb + b" " + literal for verb in (b"GETQUOTAROOT", b"MYRIGHTS", b"SEARCH SUBJECT", b"COPY 1")),
        b"STATUS " + literal + b" (MESSAGES)", b"LIST " + literal + b" *", b"SETMETADATA " + literal + b" (/private/comment x)",
        b'ID ("name" ' + literal + b")", b"SETMETADATA INBOX (/private/comment " + literal + b")", b"LOGIN " + literal + b" x",
        b"GETMETADATA INBOX /private/comment", b"APPEND " + literal + b" {1+}\r\nx",
        b"FETCH 1 BODY[HEADER.FIELDS (" + literal + b")]",
    ]  # fmt: skip
    for number, command in enumerate(words):
        tag = b"A%d" % number
        client.send(tag + b" " + command + b"\r\nZ%d NOOP\r\n" % number)
        finals = []
        while not finals or not finals[-1].startswith(b"Z"):
            response = client.response()
            for line in response[::2]:
                assert TAGGED.fullmatch(line) or len(response) > 1, (command, response)
            if not response[0].startswith((b"*", b"+")):
                finals.append(response[0])
        assert [line.split(b" ")[0] for line in finals] == [tag, b"Z%d" % number], (command, finals)
    client.close()


@pytest.mark.parametrize(
    "mailbox", ["..", "../../ttlan", "a/../b", "/etc", "~root", ".", "a//b", "a/./b", "a/", "&AC4ALg-", "&-..", "&"]
)
def test_names_lead_nowhere_else(server: MailServer, mailbox: str) -> None:
    """Dots, slashes and modified UTF-7 of them: a folder of that name inside the mailbox, or none (CVE-2021-40525 and kin)."""
    home = server.config.mail_root / "mic.gov.vn"
    client = Imap(server.ports["imap"], USER, PASSWORD)
    client.send(b"A1 SELECT INBOX\r\n")  # the first one makes the mailbox
    while not client.response()[0].startswith(b"A1 "):
        pass
    before = {path for path in home.parent.parent.rglob("*") if "dvbe" not in path.parts}
    for verb in ("CREATE", "SELECT", "RENAME INBOX", "DELETE", "SUBSCRIBE"):
        client.send(f'A1 {verb} "{mailbox}"\r\n'.encode())
        while not (response := client.response())[0].startswith(b"A1 "):
            pass
        assert response[0].startswith((b"A1 OK", b"A1 NO", b"A1 BAD"))
    client.close()
    after = {path for path in home.parent.parent.rglob("*") if "dvbe" not in path.parts}
    made = after - before - {server.config.state_dir / known_networks.FILE}
    assert {path for path in made if not path.suffix.startswith((".jsonl", ".sqlite"))} == set()


def test_pop3_answers_are_lines(server: MailServer) -> None:
    """Names, arguments and what nobody knows: one line each (RFC 1939 §3)."""
    for letters in LINE_ENDS:
        for command in (b"USER a" + letters + b"+OK b", b"X" + letters, b"AUTH x" + letters, b"APOP a" + letters + b" b"):
            client = Line(server.ports["pop3"])
            client.send(command + b"\r\nQUIT\r\n")
            lines = []
            with contextlib.suppress(Cut):
                while True:
                    lines.append(client.line())
            client.close()
            assert all(re.fullmatch(rb"(?:\+OK|-ERR)[ -~\x80-\xff]*\r\n", line) for line in lines), (command, lines)
            assert len(lines) <= 3 + command.count(b"\n"), (command, lines)


# ------------------------------------------------------------ HTTP


TARGETS = [
    b"/autodiscover/autodiscover.json/v1.0/a%0d%0aSet-Cookie:%20x=1@mic.gov.vn",
    b"/autodiscover/autodiscover.json?Email=a%0d%0aX:y",
    b"/mail/config-v1.1.xml?emailaddress=%0d%0aX:y", b"/%0d%0aLocation:%20https://evil.example/", b"//evil.example/%2f..",
    b"/.well-known/carddav%0d%0aX:y", b"/?lang=vi%0d%0aSet-Cookie:x=1",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_no_path_splits_an_answer(server: MailServer, target: bytes) -> None:
    """By plain http, where the answer leads elsewhere, and by https: no field that was asked for, no other host."""
    for door in ("http", "https"):
        with socket.create_connection(("127.0.0.1", server.ports[door]), 20) as plain:
            client = server.tls().wrap_socket(plain, server_hostname="localhost") if door == "https" else plain
            client.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: mail.mic.gov.vn\r\nConnection: close\r\n\r\n")
            answer = b""
            while octets := client.recv(65_536):
                answer += octets
        head = answer.partition(b"\r\n\r\n")[0]
        assert head.startswith(b"HTTP/1.1 "), answer
        fields = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in head.split(b"\r\n")[1:]}
        assert b"x" not in fields
        assert b"x=1" not in fields.get(b"set-cookie", b"")
        place = fields.get(b"location", b"")
        assert not place.startswith((b"//", b"https://evil", b"http://evil")), place
        assert head.count(b"\n") == head.count(b"\r\n")
