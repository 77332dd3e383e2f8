"""Every state of a mailbox at the IMAP door, and sessions that end because others say so (Reg. 6.4.c, 7.1, 7.3.c)."""

import base64
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import imapclient
import pytest

from harness import MailServer, without_reference
from mic_mail.clock import ManualClock
from mic_mail.policy.facts import FactKind
from population import PASSWORD, draft
from waiting import wait_for

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=20)


class Wire:
    """A connection by hand."""

    def __init__(self, server: MailServer, door: str = "imaps") -> None:
        self.socket: socket.socket = socket.create_connection(("localhost", server.ports[door]), 10)
        if door == "imaps":
            self.tls(server)
        self.file = self.socket.makefile("rb")
        self.line()

    def tls(self, server: MailServer) -> None:
        self.socket = server.tls().wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def line(self) -> bytes:
        return self.file.readline()

    def say(self, command: bytes) -> bytes:
        """A command; its tagged line, with the untagged ones before it."""
        self.socket.sendall(command + b"\r\n")
        tag, lines = command.split()[0] + b" ", b""
        while line := self.line():
            lines += line
            if line.startswith(tag):
                break
        return lines

    def sign_in(self, local: str, password: str = PASSWORD) -> bytes:
        return self.say(b"in AUTHENTICATE PLAIN " + base64.b64encode(f"\0{local}@mic.gov.vn\0{password}".encode()))

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def server(serve: Callable[..., MailServer]) -> MailServer:
    return serve(clock=ManualClock(NOW))


@pytest.fixture
def wire(server: MailServer) -> Iterator[Callable[..., Wire]]:
    wires: list[Wire] = []

    def connect(door: str = "imaps") -> Wire:
        wires.append(Wire(server, door))
        return wires[-1]

    yield connect
    for each in wires:
        each.close()


STATES = {
    "active": ((), rb"in OK \[CAPABILITY "),
    "suspended": ((draft(FactKind.SUSPENDED, LONG_AGO, cause="a"),), rb"\* NO \[ALERT\] .*\r\nin NO \[CONTACTADMIN\] "),
    "left": ((draft(FactKind.LEFT, LONG_AGO, date="2026-11-04"),), rb"in OK "),
    "reset": ((draft(FactKind.PASSWORD_RESET, LONG_AGO),), rb"\* NO \[ALERT\] .*\r\nin NO \[EXPIRED\] "),
}


@pytest.mark.parametrize("state", STATES)
def test_a_state_is_told_after_the_right_password_and_only_then(
    server: MailServer, wire: Callable[..., Wire], state: str
) -> None:
    """CONTACTADMIN or EXPIRED, with an ALERT, or in; a wrong password tells nothing, as for nobody's address."""
    facts, expected = STATES[state]
    server.issue("dvbe", facts=facts)
    assert re.match(expected, wire().sign_in("dvbe")), state
    wrong = wire().sign_in("dvbe", "sai")
    nobody = wire().sign_in("nobody", "sai")
    assert wrong.startswith(b"in NO [AUTHENTICATIONFAILED]")
    assert without_reference(wrong) == without_reference(nobody)


def test_no_password_is_taken_in_clear(server: MailServer, wire: Callable[..., Wire]) -> None:
    """Port 143 announces LOGINDISABLED and refuses with PRIVACYREQUIRED until STARTTLS (Reg. 10.2)."""
    server.issue("dvbe")
    clear = wire("imap")
    assert b"LOGINDISABLED" in clear.say(b"c CAPABILITY")
    assert clear.say(b"l LOGIN dvbe x").startswith(b"l NO [PRIVACYREQUIRED]")
    assert clear.sign_in("dvbe").startswith(b"in NO [PRIVACYREQUIRED]")
    assert clear.say(b"t STARTTLS").startswith(b"t OK")
    clear.tls(server)
    assert b"AUTH=SCRAM-SHA-256-PLUS" in clear.say(b"c CAPABILITY")
    assert clear.sign_in("dvbe").startswith(b"in OK")


def test_commands_injected_behind_starttls_are_thrown_away(server: MailServer, wire: Callable[..., Wire]) -> None:
    """What came in clear behind STARTTLS, in the same packet, is not answered inside TLS (RFC 9051 §6.2.1)."""
    clear = wire("imap")
    clear.socket.sendall(b"t STARTTLS\r\nx CAPABILITY\r\n")
    assert clear.line().startswith(b"t OK")
    clear.tls(server)
    assert clear.say(b"n NOOP") == b"n OK NOOP completed.\r\n"


@pytest.mark.parametrize("busy", ["idle", "selected", "nothing"])
def test_a_suspension_cuts_open_sessions(server: MailServer, wire: Callable[..., Wire], busy: str) -> None:
    """BYE with the reason arrives within seconds, in IDLE or between commands; other mailboxes go on."""
    mailbox = server.issue("dvbe")
    server.issue("ttlan")
    cut, other = wire(), wire()
    cut.sign_in("dvbe")
    other.sign_in("ttlan")
    if busy != "nothing":
        cut.say(b"s SELECT INBOX")
    if busy == "idle":
        cut.socket.sendall(b"i IDLE\r\n")
        assert cut.line().startswith(b"+")
    server.record(mailbox, draft(FactKind.SUSPENDED, NOW, cause="b"))
    assert cut.line().startswith(b"* BYE ")
    assert cut.line() == b""
    assert other.say(b"n NOOP").startswith(b"n OK")
    assert any(event["event"] == "session_cut" for event in eventually(server, "session_cut"))


def eventually(server: MailServer, name: str) -> list[dict[str, object]]:
    """The log, once it holds an event of this name."""
    wait_for(lambda: any(event["event"] == name for event in server.events()))
    return server.events()


def test_a_decision_that_the_clock_changes_cuts_too(server: MailServer, wire: Callable[..., Wire]) -> None:
    """A suspension that begins in 20 minutes ends the session then, without any new fact, and with its clause: the session has
    not been silent for so long that it would end by itself."""
    mailbox = server.issue("dvbe")
    session = wire()
    session.sign_in("dvbe")
    server.record(mailbox, draft(FactKind.SUSPENDED, NOW + timedelta(minutes=20), cause="b"))
    assert session.say(b"n NOOP").startswith(b"n OK")
    server.move_clock_to(NOW + timedelta(minutes=20))
    assert re.match(rb"\* BYE .*(7\.1|7\.2\.b)", line := session.line()), line


def test_an_end_of_the_server_says_goodbye(serve: Callable[..., MailServer]) -> None:
    """Drain: BYE to idle sessions at once, to a working one after its command."""
    server = serve()
    server.issue("dvbe")
    idle, fresh = Wire(server), Wire(server)
    idle.sign_in("dvbe")
    idle.say(b"s SELECT INBOX")
    idle.socket.sendall(b"i IDLE\r\n")
    idle.line()
    server.stop()
    for each in (idle, fresh):
        assert each.line().startswith(b"* BYE ")
        assert each.line() == b""
        each.close()


def test_who_comes_in_the_midst_of_a_drain_hears_of_it(server: MailServer) -> None:
    """Its handshake had begun before the doors were closed."""
    server.call(server.running.server.servers._servers["imap"].drain(0))
    late = Wire(server)
    assert late.line().startswith(b"* BYE ")
    assert late.line() == b""
    late.close()


def test_a_mailbox_has_so_many_sessions(serve: Callable[..., MailServer]) -> None:
    """One more than `imap.sessions_per_mailbox` is NO [LIMIT]; when one ends there is room again."""
    server = serve({"imap": {"sessions_per_mailbox": 4}})
    server.issue("dvbe")
    wires = [Wire(server) for _ in range(5)]
    assert all(wire.sign_in("dvbe").startswith(b"in OK") for wire in wires[:4])
    assert wires[4].sign_in("dvbe").startswith(b"in NO [LIMIT]")
    wires[0].say(b"o LOGOUT")
    wait_for(lambda: wires[4].sign_in("dvbe").startswith(b"in OK"))
    for each in wires:
        each.close()


def test_a_hidden_capability_is_neither_named_nor_enabled(serve: Callable[..., MailServer]) -> None:
    """`imap.compress = false`: COMPRESS is not offered and is refused."""
    server = serve({"imap": {"compress": False, "rev2": False}})
    server.issue("dvbe")
    with imapclient.IMAPClient("localhost", server.ports["imaps"], ssl_context=server.tls()) as client:
        client.plain_login("dvbe@mic.gov.vn", PASSWORD)
        assert not {b"COMPRESS=DEFLATE", b"IMAP4REV2"} & set(client.capabilities())
        with pytest.raises(imapclient.exceptions.IMAPClientError):
            client._raw_command_untagged(b"COMPRESS", b"DEFLATE")


def test_tls_1_1_is_not_spoken(server: MailServer) -> None:
    """RFC 8996."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("localhost", server.ports["imaps"]), 5) as plain,
        pytest.raises(OSError, match=r"alert|EOF|reset"),
    ):
        context.wrap_socket(plain)
