"""The table of states at the end of the clause catalogue, row by row, on every door, in the open, by STARTTLS and by TLS.

Each history is asked about at several instants: first as it was recorded, then after nothing but the clock has moved. The doors
are asked through real connections by the clients of the standard library. DESIGN's table of codes says what they must hear.
"""

import base64
import contextlib
import imaplib
import poplib
import re
import smtplib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from harness import MailServer, ProcessServer
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.policy.calendar import WorkingDays
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.policy.leavers import leaves, reclaim_at
from mic_mail.services.settings import lifecycle_settings
from mic_mail.storage.types import AccountRef
from population import PASSWORD, draft
from waiting import wait_for

NOW = SystemClock().now()
MONTH_AGO = NOW - timedelta(days=31)
LETTER = b"From: %s\r\nSubject: x\r\n\r\n" + b"x" * 70 + b"\r\n"
WAYS = ("open", "starttls", "tls")
CUT_SECONDS = 15.0
"""Every process asks for new facts each 2 s; the machine may be busy."""


@dataclass(frozen=True)
class Row:
    """What a state opens: replies to RCPT of outside mail, to AUTH and MAIL of a submission, to a sign-in by IMAP and POP3."""

    rcpt: str
    auth: str
    mail: str
    imap: str
    pop3: str


ACTIVE = Row("250 2.1.5", "235 2.7.0", "250 2.1.0", "OK", "+OK")
PASSWORD_DUE = Row("250 2.1.5", "534 5.7.9", "", "NO [EXPIRED]", "-ERR [SYS/PERM]")
SEND_LOCKED = Row("250 2.1.5", "235 2.7.0", "550 5.7.1", "OK", "+OK")
SUSPENDED = Row("250 2.1.5", "525 5.7.13", "", "NO [CONTACTADMIN]", "-ERR [SYS/PERM]")
RECLAIMED = Row("550 5.2.1", "535 5.7.8", "", "NO [AUTHENTICATIONFAILED]", "-ERR [AUTH]")
OVER_QUOTA = Row("452 4.2.2", "235 2.7.0", "250 2.1.0", "OK", "+OK")
NEVER_WAS = Row("550 5.1.1", "535 5.7.8", "", "NO [AUTHENTICATIONFAILED]", "-ERR [AUTH]")

Seen = tuple[float, Row]
"""Days after NOW, and the row that must hold then."""

HISTORIES: dict[str, tuple[list[Draft], list[Seen]]] = {
    "active, then unused for six months (7.2.a)": ([], [(0, ACTIVE), (100, ACTIVE), (300, SUSPENDED)]),
    "a new password from the Centre (15.2)": (
        [draft(FactKind.PASSWORD_RESET, MONTH_AGO)],
        [(0, PASSWORD_DUE), (100, PASSWORD_DUE)],
    ),
    "changed it": (
        [draft(FactKind.PASSWORD_RESET, MONTH_AGO), draft(FactKind.PASSWORD_SET, MONTH_AGO + timedelta(days=1))],
        [(0, ACTIVE)],
    ),
    "a leaver of a division (6.4.c)": (
        [draft(FactKind.LEFT, MONTH_AGO, level="division")],
        [(0, SEND_LOCKED), (120, SEND_LOCKED), (160, RECLAIMED)],
    ),
    "a leaver of a department (6.4.c)": (
        [draft(FactKind.LEFT, NOW - timedelta(days=1), level="department")],
        [(0, ACTIVE), (25, ACTIVE), (35, SEND_LOCKED), (150, SEND_LOCKED), (370, RECLAIMED)],
    ),
    "hijacked (7.2.c)": ([draft(FactKind.SUSPENDED, MONTH_AGO, cause="c")], [(0, SUSPENDED), (1000, SUSPENDED)]),
    "restored, the password not changed yet (7.3.c)": (
        [draft(FactKind.SUSPENDED, MONTH_AGO, cause="c"), draft(FactKind.RESTORED, MONTH_AGO + timedelta(days=2))],
        [(0, PASSWORD_DUE)],
    ),
    "suspended and a leaver": (
        [draft(FactKind.LEFT, MONTH_AGO, level="division"), draft(FactKind.SUSPENDED, MONTH_AGO, cause="c")],
        [(0, SUSPENDED), (160, RECLAIMED)],
    ),
    "a leaver, suspended and restored, with a new password": (
        [
            draft(FactKind.LEFT, MONTH_AGO, level="division"),
            draft(FactKind.SUSPENDED, MONTH_AGO + timedelta(days=1), cause="c"),
            draft(FactKind.RESTORED, MONTH_AGO + timedelta(days=2)),
            draft(FactKind.PASSWORD_SET, MONTH_AGO + timedelta(days=3)),
        ],
        [(0, SEND_LOCKED), (160, RECLAIMED)],
    ),
}


@pytest.fixture
def server(serve: Callable[..., MailServer]) -> MailServer:
    """Sign-in in the open is allowed, so that each kind of connection answers for itself."""
    server = serve({"auth": {"cleartext": True}}, clock=ManualClock(NOW))
    server.issue("ttlan")
    return server


# Doors


def smtp(server: Any, way: str, door: str = "smtp") -> smtplib.SMTP:
    """A client that has said EHLO: `way` is open, starttls or tls."""
    if way == "tls":
        client: smtplib.SMTP = smtplib.SMTP_SSL(
            "localhost", server.ports[f"{door}s"], "client.example", timeout=30, context=server.tls()
        )
    else:
        client = smtplib.SMTP("localhost", server.ports[door], "client.example", timeout=30)
    if way == "starttls":
        client.starttls(context=server.tls())
    client.ehlo()
    return client


def words(reply: tuple[int, bytes]) -> str:
    """Code and enhanced code of a reply."""
    return f"{reply[0]} {reply[1].decode().partition(' ')[0]}"


def plain(local: str, password: str = PASSWORD) -> str:
    return base64.b64encode(f"\0{local}@mic.gov.vn\0{password}".encode()).decode()


def asked_to_receive(server: MailServer, way: str, local: str) -> str:
    """RCPT of a message from outside; what is accepted there is delivered."""
    with smtp(server, way) as client:
        client.mail("a@a.example", ["SIZE=2000"])
        answer = words(client.rcpt(f"{local}@mic.gov.vn"))
        if answer.startswith("250"):
            code, text = client.data(LETTER % b"a@a.example")
            assert code == 250, text
        return answer


def asked_to_send(server: MailServer, way: str, local: str) -> tuple[str, str]:
    """AUTH, and MAIL if that let it in; what is accepted there is sent."""
    with smtp(server, way, "submission") as client:
        auth = words(client.docmd("AUTH PLAIN", plain(local)))
        if not auth.startswith("235"):
            assert words(client.mail(f"{local}@mic.gov.vn")).startswith("530")
            return auth, ""
        mail = words(client.mail(f"{local}@mic.gov.vn"))
        if mail.startswith("250"):
            client.rcpt("ttlan@mic.gov.vn")
            code, text = client.data(LETTER % f"{local}@mic.gov.vn".encode())
            assert code == 250, text
        return auth, mail


def imap(server: Any, way: str) -> imaplib.IMAP4:
    """A client that has not signed in."""
    if way == "tls":
        return imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=30)
    client = imaplib.IMAP4("localhost", server.ports["imap"], timeout=30)
    if way == "starttls":
        client.starttls(server.tls())
    return client


def sign_in(client: imaplib.IMAP4, local: str, password: str = PASSWORD) -> str:
    """OK, or NO with its code."""
    try:
        client.authenticate("PLAIN", lambda _: f"\0{local}@mic.gov.vn\0{password}".encode())
    except imaplib.IMAP4.error as error:
        return f"NO {str(error).removeprefix('b').strip(chr(39)).partition(']')[0]}]"
    return "OK"


def asked_to_read(server: MailServer, way: str, local: str) -> str:
    """A sign-in by IMAP, and what it is for."""
    with imap(server, way) as client:
        answer = sign_in(client, local)
        if answer == "OK":
            assert client.select("INBOX")[0] == "OK"
        return answer


def pop3(server: Any, way: str) -> poplib.POP3:
    """A client that has not signed in."""
    if way == "tls":
        return poplib.POP3_SSL("localhost", server.ports["pop3s"], timeout=30, context=server.tls())
    client = poplib.POP3("localhost", server.ports["pop3"], timeout=30)
    if way == "starttls":
        client.stls(server.tls())
    return client


def pop3_sign_in(client: poplib.POP3, local: str, password: str = PASSWORD) -> str:
    """+OK, or -ERR with its code; by USER and PASS as by SASL."""
    answers = []
    for commands in ([f"USER {local}", f"PASS {password}"], [f"AUTH PLAIN {plain(local, password)}"]):
        try:
            for command in commands:
                client._shortcmd(command)
        except poplib.error_proto as error:
            said = error.args[0].decode()
            found = re.match(r"-ERR (\[[A-Z/]+\])? ?", said)
            assert found, said
            answers.append(f"-ERR {found[1]}")
        else:
            return "+OK"
    assert len(set(answers)) == 1, answers
    return answers[0]


def asked_to_fetch(server: MailServer, way: str, local: str) -> str:
    """A sign-in by POP3, and what it is for."""
    with contextlib.closing(pop3(server, way)) as client:
        answer = pop3_sign_in(client, local)
        if answer == "+OK":
            assert len(client.uidl()[1]) == client.stat()[0]
        return answer


def check_row(server: MailServer, local: str, row: Row) -> None:
    """Every door in every way."""
    for way in ("open", "starttls"):
        assert asked_to_receive(server, way, local) == row.rcpt, way
    for way in WAYS:
        assert asked_to_send(server, way, local) == (row.auth, row.mail), way
        assert asked_to_read(server, way, local) == row.imap, way
        assert asked_to_fetch(server, way, local) == row.pop3, way


@pytest.mark.clause("2.3", "7.1", "7.3.c")
@pytest.mark.parametrize("name", HISTORIES)
def test_every_door_says_what_the_table_says(server: MailServer, name: str) -> None:
    """From each history the doors follow, now and later by the clock alone."""
    facts, instants = HISTORIES[name]
    server.issue("dvbe", facts=facts, issued_days_ago=60)
    for days, row in instants:
        server.move_clock_to(NOW + timedelta(days=days))
        check_row(server, "dvbe", row)


@pytest.mark.clause("8.3.b")
def test_a_mailbox_over_quota(server: MailServer) -> None:
    """Reg. 8.3.b: nothing comes in, for now, by mail or by APPEND; reading and sending go on, and so it stays with time."""
    server.issue("htnam", quota_octets=1500)
    for days in (0, 100):
        server.move_clock_to(NOW + timedelta(days=days))
        check_row(server, "htnam", OVER_QUOTA)
        with imap(server, "tls") as client:
            sign_in(client, "htnam")
            status, text = client.append("INBOX", "", "", LETTER % (b"x" * 2000))
            assert (status, text[0][:11]) == ("NO", b"[OVERQUOTA]")


def test_an_address_that_never_was(server: MailServer) -> None:
    """It is told apart from a reclaimed one by who writes to it, not by who tries its password."""
    check_row(server, "nobody", NEVER_WAS)


@pytest.mark.parametrize(
    "name", ["hijacked (7.2.c)", "a new password from the Centre (15.2)", "a leaver of a division (6.4.c)"]
)
def test_a_wrong_password_tells_no_state(server: MailServer, name: str) -> None:
    """Whoever does not know the password hears the same of every mailbox, there or not."""
    server.issue("dvbe", facts=HISTORIES[name][0], issued_days_ago=60)
    for local in ("dvbe", "nobody"):
        with smtp(server, "tls", "submission") as client:
            assert words(client.docmd("AUTH PLAIN", plain(local, "wrong password"))) == "535 5.7.8"
        with imap(server, "tls") as reader:
            assert sign_in(reader, local, "wrong password") == "NO [AUTHENTICATIONFAILED]"
        with contextlib.closing(pop3(server, "tls")) as fetcher:
            assert pop3_sign_in(fetcher, local, "wrong password") == "-ERR [AUTH]"


def test_no_state_signs_in_in_the_open_unless_that_is_allowed(serve: Callable[..., MailServer]) -> None:
    """The right password of any mailbox is refused without TLS, and nothing offers to take it."""
    server = serve(clock=ManualClock(NOW))
    server.issue("dvbe")
    server.issue("pqkhanh", facts=[draft(FactKind.SUSPENDED, MONTH_AGO, cause="c")], issued_days_ago=60)
    for local in ("dvbe", "pqkhanh"):
        with smtp(server, "open", "submission") as client:
            assert not client.has_extn("auth")
            assert client.docmd("AUTH PLAIN", plain(local))[0] in (538, 530)
        with imap(server, "open") as reader:
            assert "LOGINDISABLED" in reader.capabilities
            assert not [word for word in reader.capabilities if word.startswith("AUTH=")]
            assert sign_in(reader, local) == "NO [PRIVACYREQUIRED]"
        with contextlib.closing(pop3(server, "open")) as fetcher:
            assert not {"USER", "SASL"} & set(fetcher.capa())
            assert pop3_sign_in(fetcher, local) == "-ERR [SYS/PERM]"


# Open sessions


def bye(client: imaplib.IMAP4) -> bytes:
    """The BYE of a session; no line is waited for any longer than CUT_SECONDS."""
    client.sock.settimeout(CUT_SECONDS)  # type: ignore[union-attr]  # it is connected
    while not (line := client.readline()).startswith(b"* BYE"):
        assert line, "closed without a word"
    return line


def idling(client: imaplib.IMAP4) -> imaplib.IMAP4:
    client.select("INBOX")
    client.send(b"I IDLE\r\n")
    while not client.readline().startswith(b"+"):
        pass
    return client


def test_a_suspension_cuts_open_imap_sessions(server: MailServer) -> None:
    """Reg. 7.1, 7.2.c: in IDLE and between commands, within seconds of the fact, without anybody telling the server."""
    mailbox = server.issue("dvbe")
    clients = [imap(server, way) for way in WAYS for _ in range(2)]
    for client in clients:
        assert sign_in(client, "dvbe") == "OK"
    for client in clients[::2]:
        idling(client)
    server.population.record(mailbox, draft(FactKind.SUSPENDED, NOW, cause="c"))
    for client in clients:
        line = bye(client)
        assert b"7.1" in line or b"7.2.c" in line, line
    for way in WAYS:
        assert asked_to_read(server, way, "dvbe") == SUSPENDED.imap


def test_a_suspension_cuts_open_pop3_sessions(server: MailServer) -> None:
    """Reg. 7.1, 7.2.c: -ERR with clause and reference, within seconds; what was marked as deleted stays."""
    clients = {}
    for way in WAYS:
        server.issue(f"pop3-{way}")
        asked_to_receive(server, "open", f"pop3-{way}")
        clients[way] = client = pop3(server, way)
        assert pop3_sign_in(client, f"pop3-{way}") == "+OK"
        client.dele(1)
    entries = {way: server.running.context.access.snapshot.find(f"pop3-{way}@mic.gov.vn") for way in WAYS}
    for entry in entries.values():
        server.population.record(entry, draft(FactKind.SUSPENDED, NOW, cause="c"))
    for way, client in clients.items():
        client.sock.settimeout(CUT_SECONDS)
        line = client.file.readline()
        assert re.match(rb"-ERR \[SYS/PERM\] .*(7\.1|7\.2\.c).*reference \w+", line), line
        assert client.file.readline() == b""
        assert asked_to_fetch(server, way, f"pop3-{way}") == SUSPENDED.pop3
        entry = entries[way]
        assert server.running.context.store.account(AccountRef(entry.mailbox_id, entry.home)).quota().messages == 1


def test_the_clock_cuts_an_open_imap_session(server: MailServer) -> None:
    """Reg. 6.4.c: a leaver who reads at the moment at which the mailbox is reclaimed reads no further, and hears why.

    The session has not been silent for so long that it would end by itself.
    """
    mailbox = server.issue("dvbe", facts=HISTORIES["a leaver of a division (6.4.c)"][0], issued_days_ago=60)
    [leave] = leaves(server.running.context.access.snapshot.entries[mailbox.mailbox_id].facts)
    end = reclaim_at(leave, lifecycle_settings(server.config, WorkingDays()))
    for before in (timedelta(days=60), timedelta(minutes=20)):  # used in between, else it is suspended for disuse
        server.move_clock_to(end - before)
        client = imap(server, "tls")
        assert sign_in(client, "dvbe") == "OK"
    idling(client)
    server.move_clock_to(end)
    line = bye(client)
    assert b"6.4.c" in line, line


def test_a_suspension_ends_open_submissions(server: MailServer) -> None:
    """Reg. 7.1, 7.2.c: within seconds no further message is taken, and none that is on its way."""
    mailbox = server.issue("dvbe")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(smtp(server, way, "submission")) for way in WAYS]
        for client in clients:
            assert client.docmd("AUTH PLAIN", plain("dvbe"))[0] == 235
            assert client.mail("dvbe@mic.gov.vn")[0] == 250
            assert client.rcpt("ttlan@mic.gov.vn")[0] == 250
        server.population.record(mailbox, draft(FactKind.SUSPENDED, NOW, cause="c"))
        wait_for(lambda: not server.running.context.access.decide(mailbox.mailbox_id).sends)
        for client in clients:
            assert client.data(LETTER % b"dvbe@mic.gov.vn")[0] == 525
            assert client.mail("dvbe@mic.gov.vn")[0] == 525


@contextlib.contextmanager
def signed_in_everywhere(server: ProcessServer, count: int) -> Iterator[list[imaplib.IMAP4]]:
    clients = [imap(server, "tls") for _ in range(count)]
    for client in clients:
        assert sign_in(client, "dvbe") == "OK"
        idling(client)
    yield clients
    for client in clients:
        client.shutdown()


@pytest.mark.slow
@pytest.mark.clause("7.1", "7.2.c")
def test_a_suspension_reaches_the_sessions_of_every_worker(serve_processes: Callable[..., ProcessServer]) -> None:
    """The fact is written by another process (`mic-mail mailbox suspend`): all sessions on all workers end within seconds."""
    server = serve_processes({"process": {"workers": 2}})
    mailbox = server.population.issue("dvbe")
    server.start()
    with signed_in_everywhere(server, 8) as clients:
        server.population.record(mailbox, draft(FactKind.SUSPENDED, SystemClock().now(), cause="c"))
        lines: list[bytes] = []
        threads = [threading.Thread(target=lambda c=client: lines.append(bye(c))) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(CUT_SECONDS)
        assert len(lines) == len(clients)
