"""Clients of LDAP that want harm, on real sockets: the server answers or hangs up, serves the others, keeps nothing."""

import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from harness import MailServer, config_for, stopping
from ldap_client import BASE, ask, bind, codes, entries, number, search, text, tlv
from mic_mail.ldap import server as ldap_server
from mic_mail.ldap.search_scheduler import Turns
from population import PASSWORD
from waiting import wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """One for all: what a test does to a mailbox it does to one of its own."""
    server = MailServer(config_for(tmp_path_factory.mktemp("ldap"), {"listen": {"doors": ("ldap", "ldaps")}}))
    with stopping([server]):
        server.population.issue("dvbe", name="Đỗ Văn Bê")
        server.population.issue("nvan", name="Ngô Văn An")
        server.population.issue("lthoa", name="Lê Thị Hoa")
        server.issue("ttlan", name="Trần Thị Lan")
        yield server


class Wire:
    """A client that reads whole messages."""

    def __init__(self, server: MailServer, door: str = "ldaps") -> None:
        self.server = server
        self.socket: socket.socket = socket.create_connection((server.host, server.ports[door]), 20)
        self._held = b""
        if door == "ldaps":
            self.start_tls()

    def close(self) -> None:
        self.socket.close()

    def start_tls(self) -> None:
        self.socket = self.server.tls().wrap_socket(self.socket, server_hostname="localhost")

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def message(self) -> bytes:
        """The next message; empty where the server closed instead."""
        while (size := self._whole()) == 0:
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionError:
                return b""
            if not more:
                return b""
            self._held += more
        found, self._held = self._held[:size], self._held[size:]
        return found

    def _whole(self) -> int:
        if len(self._held) < 6:
            return 0
        size = self._held[1]
        head = 2 + (size & 0x7F if size & 0x80 else 0)
        size = int.from_bytes(self._held[2:head], "big") if head > 2 else size
        return head + size if len(self._held) >= head + size else 0

    def ask(self, octets: bytes) -> bytes:
        """Send one request and hear everything up to its result."""
        self.send(octets)
        heard = b""
        while True:
            message = self.message()
            heard += message
            if not message or codes(message):
                return heard

    def sign_in(self, user: str = "dvbe") -> "Wire":
        assert codes(self.ask(bind(1, user, PASSWORD))) == [0]
        return self


def open_connections(server: MailServer) -> int:
    return server.running.server.servers.connections["ldap"]


def test_a_message_that_never_ends(server: MailServer) -> None:
    """A length beyond what a request may have ends the connection at its head; noise and TLS in the wrong place too."""
    for octets in (b"\x30\x84\x7f\xff\xff\xff", b"\x30\x80\x02\x01\x01", b"GET / HTTP/1.0\r\n\r\n", b"\0" * 60_000):
        wire = Wire(server)
        wire.send(octets)
        assert codes(wire.message()) == [2]
        assert wire.message() == b""
        wire.close()
    wait_for(lambda: open_connections(server) == 0)


def test_half_a_message_keeps_nobody_waiting(server: MailServer) -> None:
    """Forty connections with half a request each; another one is served."""
    slow = [Wire(server, "ldap") for _ in range(40)]
    for wire in slow:
        wire.send(b"\x30\x82\xf0\x00" + bytes(1000))
    assert len(entries(Wire(server).sign_in().ask(search(2, "(cn=*bê)")))) == 1
    for wire in slow:
        wire.close()
    wait_for(lambda: open_connections(server) <= 1)


def test_thousands_of_requests_in_one_write(server: MailServer) -> None:
    """Each is answered, in order, while another session is served."""
    wire, other = Wire(server).sign_in(), Wire(server).sign_in("ttlan")
    wire.send(b"".join(search(number_, "(uid=dvbe)", "1.1") for number_ in range(2, 2002)))
    assert len(entries(other.ask(search(2, "(cn=*lan)")))) == 1
    for _ in range(2000):
        assert entries(wire.message())
        assert codes(wire.message()) == [0]


def test_the_worst_filters_are_answered_beside_others(server: MailServer) -> None:
    """As many items as are read, each of which everybody fits: other sessions go on meanwhile."""
    worst = tlv(0xA1, *[tlv(0xA4, text("cn"), tlv(0x30, text("n", 0x81), text("a", 0x81)))] * 80)
    wire, other = Wire(server).sign_in(), Wire(server).sign_in("ttlan")
    for number_ in range(20):
        wire.send(search(number_ + 2, tlv(0xA2, worst)))
    assert codes(other.ask(search(2, "(uid=ttlan)"))) == [0]
    assert codes(wire.ask(search(90, tlv(0xA1, b"\x87\x02cn" * 300)))) == [0]


class Watched(Turns):
    """Remembers who had turns."""

    def __init__(self) -> None:
        super().__init__()
        self.charged: set[int | str] = set()
        self.taken: set[int | str] = set()

    def charge(self, who: int | str, seconds: float, now: float) -> None:
        self.charged.add(who)
        super().charge(who, seconds, now)

    async def take(self, who: int | str, now: float) -> None:
        assert who in self.charged  # else who has used most would have the next turn too
        self.taken.add(who)
        await super().take(who, now)


def test_work_is_that_of_the_mailbox_or_of_the_strangers_address(serve: Callable[..., MailServer]) -> None:
    """However many connections it comes by."""
    server = serve({"listen": {"doors": ("ldap", "ldaps")}, "ldap": {"anonymous_networks": ["127.0.0.0/8"]}})
    mailbox = server.issue("dvbe")
    door, turns = server.running.server.servers._ldap, Watched()
    door.configure(replace(door.services, turns=turns))
    worst = tlv(0xA1, *[tlv(0xA4, text("cn"), tlv(0x30, text("n", 0x81), text("a", 0x81)))] * 80)
    for wire in (Wire(server), Wire(server).sign_in(), Wire(server).sign_in(), Wire(server, "ldap")):
        for _ in range(20):
            assert codes(wire.ask(search(2, worst))) == [0]
        wire.close()
    assert turns.taken == turns.charged == {mailbox.mailbox_id, "127.0.0.1"}


def test_what_is_pipelined_behind_starttls_is_never_heard(server: MailServer) -> None:
    """In clear: not a request inside TLS, nor part of one."""
    start = ask(1, tlv(0x77, text("1.3.6.1.4.1.1466.20037", 0x80)))
    for injected in (bind(2, "dvbe", PASSWORD), search(3), b"\x30\x20", b"\0" * 100):
        wire = Wire(server, "ldap")
        wire.send(start + injected)
        assert codes(wire.message()) == [0]
        try:
            wire.start_tls()
        except (ssl.SSLError, OSError):
            continue  # octets that came late are no handshake: the connection ends, which is as good
        assert codes(wire.ask(search(4))) == [50]


def test_a_suspension_ends_open_sessions(server: MailServer) -> None:
    """Within seconds, with a notice of disconnection; the same password is then refused with the reason (Reg. 7.1)."""
    wire = Wire(server).sign_in("nvan")
    server.suspend(server.population.directory.mailbox("nvan@mic.gov.vn"))
    assert codes(wire.message()) == [8]
    assert wire.message() == b""
    wire.close()
    again = Wire(server)
    answer = again.ask(bind(1, "nvan", PASSWORD))
    assert codes(answer) == [53]
    assert "khóa" in answer.decode("utf-8", "replace")


def test_wrong_passwords_are_slowed_down_as_at_every_door(server: MailServer) -> None:
    """The same throttle: after so many nobody asks for this mailbox from there, whatever the password."""
    tries = [codes(Wire(server).ask(bind(1, "lthoa", f"sai {number_}"))) for number_ in range(12)]
    assert tries[0] == [49]
    assert tries[-1] == [51]
    assert codes(Wire(server).ask(bind(1, "lthoa", PASSWORD))) == [51]
    assert codes(Wire(server).ask(bind(1, "ttlan", PASSWORD))) == [0]


def test_one_mailbox_has_so_many_sessions(serve: Callable[..., MailServer]) -> None:
    """Signing in again on a connection takes no second place; leaving gives one back."""
    server = serve({"listen": {"doors": ("ldap", "ldaps")}, "ldap": {"sessions_per_mailbox": 4}})
    server.issue("dvbe")
    wires = [Wire(server).sign_in() for _ in range(4)]
    for _ in range(5):
        wires[0].sign_in()
    late = Wire(server)
    assert codes(late.ask(bind(1, "dvbe", PASSWORD))) == [51]
    wires[0].send(ask(9, b"\x42\0"))
    assert wires[0].message() == b""
    wait_for(lambda: codes(late.ask(bind(1, "dvbe", PASSWORD))) == [0])


def test_the_log_has_who_searched_and_never_for_what(server: MailServer) -> None:
    """Signed in, how many searches, how many entries; no filter and no name."""
    wire = Wire(server).sign_in()
    wire.ask(search(2, "(cn=*hoa hướng dương*)"))
    wire.ask(search(3, "(cn=*lan)"))
    wire.close()
    told = ("dvbe@mic.gov.vn", 2, 1, "ldaps")

    def events() -> list[tuple[object, ...]]:
        searched = [event for event in server.events() if event["event"] == "directory_searched"]
        return [tuple(event[field] for field in ("mailbox", "searches", "entries", "door")) for event in searched]

    wait_for(lambda: told in events())
    assert "hướng" not in str(server.events())


def searched(server: MailServer) -> list[tuple[object, ...]]:
    """What the log has of searches: whose, how many, how many entries."""
    found = [event for event in server.events() if event["event"] == "directory_searched"]
    return [tuple(event.get(field) for field in ("mailbox", "searches", "entries")) for event in found]


@pytest.mark.clause("8.2")
@pytest.mark.parametrize(
    "last",
    [
        pytest.param(bind(8, "", ""), id="nobody"),
        pytest.param(bind(8, "lqbinh", "sai"), id="wrong password"),
        pytest.param(bind(8, "lqbinh", PASSWORD), id="another one"),
        pytest.param(ask(8, tlv(0x60, b"x")), id="no bind at all"),
    ],
)
def test_clause_8_2_searches_stay_with_who_made_them(serve: Callable[..., MailServer], last: bytes) -> None:
    """Whoever signs in as another one afterwards, or as nobody, has searched all the same."""
    server = serve({"listen": {"doors": ("ldap", "ldaps")}})
    server.issue("dvbe")
    server.issue("lqbinh")
    wire = Wire(server).sign_in()
    told = len(entries(wire.ask(search(2))))
    wire.ask(last)
    wire.close()
    wait_for(lambda: open_connections(server) == 0)
    wait_for(lambda: bool(searched(server)))
    assert searched(server) == [("dvbe@mic.gov.vn", 1, told)]


@pytest.mark.clause("8.2")
def test_clause_8_2_who_never_hangs_up_is_in_the_log(serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that lasts is told of now and again."""
    monkeypatch.setattr(ldap_server, "TOLD_SECONDS", 0.05)
    server = serve({"listen": {"doors": ("ldap", "ldaps")}})
    server.issue("dvbe")
    wire = Wire(server).sign_in()
    told = len(entries(wire.ask(search(2))))
    time.sleep(0.1)  # twice as long as nothing is told
    wire.ask(search(3))
    wait_for(lambda: searched(server) == [("dvbe@mic.gov.vn", 1, told)])


def test_who_is_named_where_tls_is_missing(server: MailServer) -> None:
    """In clear no password is looked at, and no name leads to another answer than any other."""
    for name in ("dvbe", f"uid=dvbe,ou=people,{BASE}", "khongco", "uid=x"):
        assert codes(Wire(server, "ldap").ask(bind(1, name, PASSWORD))) == [13]


@pytest.mark.parametrize("seed", range(3))
def test_noise(server: MailServer, seed: int) -> None:
    """Octets by chance and requests with octets changed: answers or the end, never a bug."""
    rng = random.Random(seed)
    for _ in range(30):
        wire = Wire(server, "ldap")
        octets = bytearray(b"".join(rng.choices([bind(), search(), ask(3, tlv(0x50, b"\1")), number(5)], k=5)))
        for _ in range(rng.randrange(6)):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        wire.send(bytes(octets))
        wire.close()
    wait_for(lambda: open_connections(server) == 0)
    assert not [event for event in server.events() if event["event"] == "ldap_bug"]


@pytest.mark.clause("7.2.a")
def test_looking_up_names_is_no_use_of_a_mailbox(server: MailServer) -> None:
    """A telephone that asks every night does not keep a mailbox that nobody reads."""
    mailbox = server.issue("nvkhong", name="Ngô Văn Không")
    wire = Wire(server)
    wire.send(bind(name="nvkhong@mic.gov.vn", password=PASSWORD))
    assert codes(wire.message()) == [0]
    wire.close()
    entry = server.running.context.access.snapshot.entry(mailbox.mailbox_id)
    assert entry is not None
    assert server.running.context.access.last_use(entry) is None
