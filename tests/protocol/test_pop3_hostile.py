"""Clients of POP3 that want harm, or break off: the server answers or hangs up, serves the others, keeps nothing."""

import contextlib
import random
import re
import resource
import socket
import ssl
from collections.abc import Callable

import pytest

from faults.wire import Imap
from harness import MailServer
from mic_mail.pop3 import maildrop
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from protocol.dialog import Connection
from waiting import wait_for


@pytest.fixture
def server(serve: Callable[..., MailServer]) -> MailServer:
    return serve({"auth": {"cleartext": True}})


@pytest.fixture
def user(server: MailServer) -> str:
    """The address of a mailbox."""
    server.issue("dvbe")
    return "dvbe@mic.gov.vn"


def append(server: MailServer, address: str, message: bytes, times: int = 1) -> None:
    client = Imap(server.ports["imap"], address, PASSWORD)
    for _ in range(times):
        client.command(b"APPEND INBOX {%d+}\r\n%s" % (len(message), message))
    client.close()


def sign_in(server: MailServer, address: str, door: str = "pop3") -> Connection:
    connection = Connection(server, door)
    connection.send(f"USER {address}\r\nPASS {PASSWORD}\r\n".encode())
    for _ in range(3):
        heard = connection.response()
        assert heard is not None
        assert heard.startswith(b"+OK"), heard
    return connection


def account(server: MailServer, address: str) -> Account:
    context = server.running.context
    entry = context.access.snapshot.resolve(address)
    assert entry is not None
    return context.store.account(AccountRef(entry.mailbox_id, entry.home))


def connections(server: MailServer) -> int:
    """Open ones at the POP3 doors."""
    return server.running.server.servers.connections["pop3"]


def peak_mib() -> float:
    """The largest amount of memory that this process, which holds the server, has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_a_line_that_never_ends(server: MailServer, user: str) -> None:
    """A megabyte without CRLF: one -ERR, the end, and nothing of it kept; before sign-in and after."""
    for connection in (Connection(server, "pop3"), sign_in(server, user)):
        with contextlib.suppress(OSError):  # reset: it hung up while we were talking
            for _ in range(64):
                connection.send(b"x" * 16384)
        heard = [connection.response()]
        with contextlib.suppress(OSError):
            while heard[-1] is not None:
                heard.append(connection.response())
        assert (
            heard[-2:] == [b"-ERR Ket noi bi dong vi du lieu gui den qua lon. / Too much input.", None]
            or heard[-1] == b"-ERR Ket noi bi dong vi du lieu gui den qua lon. / Too much input."
        ), heard


def test_a_line_that_is_too_long_is_one_mistake(server: MailServer, user: str) -> None:
    """60,000 octets and a line end: -ERR, and the session goes on."""
    connection = sign_in(server, user)
    connection.send(b"x" * 60_000 + b"\r\nSTAT\r\n")
    assert connection.response() == b"-ERR Line too long."
    assert connection.response() == b"+OK 0 0"


def test_ten_thousand_commands_in_one_write(server: MailServer, user: str) -> None:
    """Each is answered, in order, while another session is served."""
    append(server, user, b"Subject: x\r\n\r\nx\r\n")
    connection, other = sign_in(server, user), sign_in(server, user)
    connection.send(b"NOOP\r\n" * 10_000 + b"RETR 1\r\n" * 1_000 + b"STAT\r\n")
    other.send(b"STAT\r\n")
    assert other.response() == b"+OK 1 17"
    for _ in range(10_000):
        assert connection.response() == b"+OK"
    for _ in range(1_000):
        assert [connection.response() for _ in range(5)] == [b"+OK 17 octets.", b"Subject: x", b"", b"x", b"."]
    assert connection.response() == b"+OK 1 17"


def test_a_client_that_reads_nothing_costs_little(server: MailServer, user: str) -> None:
    """Twenty sessions that ask for 25 MiB each and read none of it: slices are made only as they are taken; others go on."""
    append(server, user, b"Subject: x\r\n\r\n" + (b"." * 75 + b"\r\n") * ((25 << 20) // 77))
    before = peak_mib()
    deaf = [sign_in(server, user) for _ in range(20)]
    for connection in deaf:
        connection.send(b"RETR 1\r\n" * 50)
    other = sign_in(server, user)
    other.send(b"STAT\r\nNOOP\r\n")
    assert (other.response() or b"").startswith(b"+OK 1 ")
    assert other.response() == b"+OK"
    assert peak_mib() - before < 150
    for connection in deaf:
        connection.leave(reset=True)
    wait_for(lambda: connections(server) == 1)


def test_what_is_pipelined_behind_stls_is_never_heard(server: MailServer, user: str) -> None:
    """RFC 2595 §4: in the same packet or in the next one, in clear: not a command inside TLS, nor part of one."""
    for injected in (b"USER x\r\nPASS y\r\n", b"QUIT\r\n", b"x" * 100, b"\r\n" * 30_000):
        with socket.create_connection((server.host, server.ports["pop3"]), timeout=15) as plain:
            with plain.makefile("rb") as lines:
                lines.readline()
                plain.sendall(b"STLS\r\n" + injected)
                assert lines.readline() == b"+OK Begin TLS.\r\n"
            try:
                secured = server.tls().wrap_socket(plain, server_hostname="localhost")
            except (ssl.SSLError, OSError):
                continue  # octets that came late are no handshake: the connection ends, which is as good
            with secured, secured.makefile("rb") as lines:
                secured.sendall(b"CAPA\r\n")
                assert lines.readline() == b"+OK Capabilities follow.\r\n"


@pytest.mark.parametrize("door", ["pop3", "pop3s"])
@pytest.mark.parametrize("reset", [True, False])
def test_who_says_quit_and_goes_is_taken_at_his_word(
    server: MailServer, user: str, monkeypatch: pytest.MonkeyPatch, door: str, *, reset: bool
) -> None:
    """RFC 1939 §6: QUIT was said, so all marked messages go, whoever is there to hear it; without QUIT none goes."""
    monkeypatch.setattr(maildrop, "REMOVED_AT_ONCE", 1)
    append(server, user, b"Subject: x\r\n\r\nx\r\n", 40)
    marks = b"".join([b"DELE %d\r\n" % number for number in range(1, 40)])
    for leaves, left in ((marks, 40), (marks + b"QUIT\r\n", 1)):
        connection = sign_in(server, user, door)
        connection.send(leaves)
        for _ in range(39):
            connection.response()
        if reset or door == "pop3s":
            connection.leave(reset=reset)
        else:
            connection.close()
        wait_for(lambda: connections(server) == 0)
        assert account(server, user).folder("INBOX").messages == left, leaves[-10:]


@pytest.mark.parametrize("seed", range(4))
def test_noise(server: MailServer, user: str, seed: int) -> None:
    """Octets by chance, and commands by chance with octets in between, at both doors: answers or the end, never a bug."""
    rng = random.Random(seed)
    connection = sign_in(server, user) if seed % 2 else Connection(server, "pop3s")
    words = [
        b"RETR",
        b"TOP 1 1",
        b"LIST",
        b"\r\n",
        b"\r\n",
        b" ",
        b"USER",
        b"AUTH PLAIN",
        b"QUI",
        b"=",
        b"\0",
        b"\xff\xfe",
        b"1",
    ]
    with contextlib.suppress(OSError):
        for _ in range(300):
            connection.send(rng.choice(words) if rng.random() < 0.8 else rng.randbytes(20))
        connection.send(b"\r\nQUIT\r\n")
        while (heard := connection.response()) is not None:
            assert re.match(rb"\+OK|-ERR|\+ |\.|\d|[A-Z]", heard), heard
    assert [event for event in server.events() if event["event"] in ("pop3_bug", "session_failed")] == []


@pytest.mark.slow
def test_a_hundred_thousand_messages_hold_nobody(server: MailServer, user: str) -> None:
    """Lists of 100,000 messages are made beside the loop: it is not late for it, and sessions share what they list."""
    here = account(server, user)
    folder_id = here.folder("INBOX").folder_id
    append(server, user, b"Subject: x\r\n\r\nx\r\n")
    uids = [1]
    while len(uids) < 100_000:
        take = uids[: 100_000 - len(uids)]
        uids += [uid for _, uid in here.copy(folder_id, take, folder_id).pairs]
    connection = sign_in(server, user)
    connection.send(b"STAT\r\nLIST\r\nUIDL\r\nDELE 99999\r\nRSET\r\nSTAT\r\n")
    assert connection.response() == b"+OK 100000 1700000"
    for last in (b"100000 17", b"100000 %d.%d" % (here.folder("INBOX").uidvalidity, uids[-1])):
        assert connection.response() == b"+OK 100000 messages (1700000 octets)."
        lines = [connection.response() for _ in range(100_001)]
        assert lines[-2:] == [last, b"."]
    assert connection.response() == b"+OK Marked as deleted."
    assert connection.response() == b"+OK 100000 messages (1700000 octets)."
    assert connection.response() == b"+OK 100000 1700000"
