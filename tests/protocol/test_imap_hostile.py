"""Clients that want harm, or break off: the server answers or hangs up, serves the others, keeps nothing and leaks nothing."""

import random
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import MailServer, config_for
from mic_mail.imap.compress import MOST_ADVANCE, TEXT_FOR_OCTET
from protocol.dialog import Connection
from protocol.imap_sessions import answer, peak_mib, sign_in
from waiting import wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """One server for this file; each test has a mailbox of its own."""
    server = MailServer(config_for(tmp_path_factory.mktemp("hostile"), {"imap": {"errors": 1000}}))
    yield server
    server.stop()


@pytest.fixture
def user(server: MailServer, request: pytest.FixtureRequest) -> str:
    """The address of a fresh mailbox."""
    local = request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")
    server.issue(local)
    return f"{local}@mic.gov.vn"


def staged(server: MailServer, address: str) -> list[Path]:
    """Files of deliveries that are not published."""
    home = server.config.mail_root / "mic.gov.vn" / address.partition("@")[0]
    return [path for folder in home.rglob("tmp") for path in folder.iterdir()]


@pytest.mark.slow
def test_a_deflate_bomb(server: MailServer, user: str) -> None:
    """A few hundred KiB that inflate to 256 MiB of one line are answered BAD; they are never held in memory."""
    connection = sign_in(server, user)
    connection.send(b"a COMPRESS DEFLATE\r\n")
    assert answer(connection, b"a").startswith(b"a OK")
    connection.start_deflate()
    bomb = zlib.compressobj(9, wbits=-15)
    pieces = [bomb.compress(b"b " + b"x" * (1 << 20))] + [bomb.compress(b"x" * (1 << 20)) for _ in range(255)]
    octets = b"".join(pieces) + bomb.compress(b"\r\nc NOOP\r\n") + bomb.flush(zlib.Z_SYNC_FLUSH)
    before = peak_mib()
    connection.send_raw(octets)
    while (heard := connection.response()) is not None and not heard.startswith(b"c "):
        assert heard.startswith((b"b BAD", b"* BYE"))
    assert peak_mib() - before < 32
    connection.close()


def compressing(server: MailServer, user: str) -> Connection:
    connection = sign_in(server, user)
    connection.send(b"a COMPRESS DEFLATE\r\n")
    assert answer(connection, b"a").startswith(b"a OK")
    connection.start_deflate()
    return connection


def test_a_few_compressed_octets_hold_no_million_commands(server: MailServer, user: str) -> None:
    """49 KB of NOOPs took 42 s of a worker: what is obeyed is bounded by what came, then the connection ends and says why."""
    for command in (b"b NOOP\r\n", b"b SEARCH " + b"TEXT a " * 1_000 + b"ALL\r\n"):
        connection = compressing(server, user)
        bomb, said = zlib.compressobj(9, wbits=-15), command * (1_000_000 // len(command))
        octets = b"".join(bomb.compress(said) for _ in range(12)) + bomb.flush(zlib.Z_SYNC_FLUSH)
        connection.send_raw(octets)
        answered = 0
        while (heard := connection.response()) is not None and not heard.startswith(b"* BYE"):
            answered += heard.startswith(b"b ")
        assert heard is not None
        assert heard.startswith(b"* BYE [LIMIT] ")
        assert answered <= (len(octets) * TEXT_FOR_OCTET + MOST_ADVANCE) // len(command)
        connection.close()


def test_a_message_that_shrinks_to_nothing_is_taken_compressed(server: MailServer, user: str) -> None:
    """A thousand octets of a message for each that comes: it is no command."""
    connection = compressing(server, user)
    message = b"Subject: white\r\n\r\n" + (b"A" * 76 + b"\r\n") * 100_000
    for number in range(2):
        connection.send(b"b%d APPEND INBOX {%d+}\r\n%b\r\n" % (number, len(message), message))
        assert answer(connection, b"b%d" % number).startswith(b"b%d OK" % number)
    connection.close()


def test_a_client_that_does_not_read(server: MailServer, user: str) -> None:
    """Hundreds of MiB asked for and not read stay on the disk, and other clients are served meanwhile."""
    message = b"Subject: big\r\n\r\n" + (b"x" * 76 + b"\r\n") * 50_000
    greedy = sign_in(server, user)
    greedy.send(b"a APPEND INBOX {%d+}\r\n" % len(message) + message + b"\r\nb SELECT INBOX\r\n")
    assert answer(greedy, b"b").startswith(b"b OK")
    before = peak_mib()
    greedy.send(b"".join(b"f%d FETCH 1 BODY.PEEK[]\r\n" % i for i in range(60)))
    other = sign_in(server, user)
    for i in range(20):
        other.send(b"n%d NOOP\r\n" % i)
        assert answer(other, b"n%d" % i).startswith(b"n%d OK" % i)
    assert peak_mib() - before < 64
    for i in range(2):
        assert greedy.response() == b"* 1 FETCH (BODY[] {%d}\r\n" % len(message) + message + b")"
        assert greedy.response() == b"f%d OK Fetched." % i
    greedy.close()
    other.close()


@pytest.mark.parametrize("sent", [0, 1, 500_000])
def test_a_client_that_leaves_within_a_message(server: MailServer, sent: int) -> None:
    """Half a message is no message: nothing of it stays, in the folder or on the disk."""
    address = f"leaver{sent}@mic.gov.vn"
    server.issue(address.partition("@")[0])
    connection = sign_in(server, address)
    connection.send(b"a APPEND INBOX {1000000+}\r\n" + b"x" * sent)
    connection.close()
    # What it sent is read after it has gone; before that the folder is empty because nothing has been written yet.
    wait_for(lambda: server.running.server.servers.connections["imap"] == 0)
    again = sign_in(server, address)
    again.send(b"b STATUS INBOX (MESSAGES UIDNEXT)\r\n")
    assert again.response() == b'* STATUS "INBOX" (MESSAGES 0 UIDNEXT 1)'
    wait_for(lambda: staged(server, address) == [])
    again.close()


def test_ten_thousand_commands_in_one_go(server: MailServer, user: str) -> None:
    """A flood of pipelined commands is answered one by one, in order; its author does not starve others."""
    flood, other = sign_in(server, user), sign_in(server, user)
    flood.send(b"".join(b"%d NOOP\r\n" % i for i in range(10_000)))
    other.send(b"z NOOP\r\n")
    assert answer(other, b"z").startswith(b"z OK")
    for i in range(10_000):
        heard = flood.response()
        assert heard is not None
        assert heard.startswith(b"%d OK" % i)
    flood.close()
    other.close()


WORDS = [
    b"a ", b"UID ", b"FETCH ", b"SEARCH ", b"STORE ", b"1:* ", b"$ ", b"FLAGS ", b"BODY[", b"]", b"(", b")", b'"', b"\\",
    b"\r\n", b"\n", b"{3+}\r\n", b"{0+}\r\n", b"{99999+}\r\n", b"~{2+}\r\n", b"abc", b"APPEND INBOX ", b"SELECT INBOX\r\n",
    b"IDLE\r\n", b"DONE\r\n", b"LIST ", b"* ", b"% ", b"\xff\xfe", b"\x00", b"LOGIN ", b"NOOP\r\n", b"RETURN (SAVE) ",
    b"&AOk- ", b"OR NOT ",
]  # fmt: skip
WELL_FORMED = re.compile(rb"\* |\+ |[^ (){%*\"\\+\x00-\x1f\x7f-\xff]+ (?:OK|NO|BAD) ")


@pytest.mark.parametrize("seed", range(12))
def test_garbage(server: MailServer, seed: int) -> None:
    """Random words of the grammar: every answer is well-formed and none is an accident; the next client is served."""
    rng = random.Random(seed)
    address = f"garbage{seed}@mic.gov.vn"
    server.issue(address.partition("@")[0])
    connection = sign_in(server, address) if seed % 2 else Connection(server, "imaps")
    try:
        for _ in range(40):
            connection.send(b"".join(rng.choices(WORDS, k=rng.randint(1, 12))))
        # Empty lines are passed over, and fill whatever literal is still open.
        connection.send(b"\r\n" * 100_000 + b"DONE\r\nend LOGOUT\r\n")
        while (heard := connection.response()) is not None:
            assert WELL_FORMED.match(heard), heard
            assert b"Traceback" not in heard
            assert b"SERVERBUG" not in heard
    except ConnectionError:
        pass  # the server hung up on it while it was still talking
    finally:
        connection.close()
    after = sign_in(server, address)
    after.send(b"z NOOP\r\n")
    assert answer(after, b"z").startswith(b"z OK")
    after.close()


def test_a_stranger_says_what_it_is(server: MailServer) -> None:
    """A thousand ID commands are answered, and hardly any is logged: nobody fills the log before sign-in."""
    stranger = Connection(server, "imaps")
    stranger.response()
    before = server.events()
    stranger.send(b"".join(b'%d ID ("name" "flood")\r\n' % i for i in range(1_000)))
    for i in range(1_000):
        assert answer(stranger, b"%d" % i).endswith(b"ID completed.")
    stranger.close()
    assert len([event for event in server.events()[len(before) :] if event["event"] == "client_id"]) <= 2


def test_a_client_that_leaves_within_answers(server: MailServer, user: str, caplog: pytest.LogCaptureFixture) -> None:
    """A client that goes while it is answered is nothing that the loop has to complain of."""
    for reset in (False, True) * 5:
        connection = Connection(server, "imaps")
        connection.response()
        connection.send(b"a CAPABILITY\r\n" * 4_000)
        connection.leave(reset=reset)
        connection = sign_in(server, user)
        connection.send(b"a SELECT INBOX\r\n" + b"b SEARCH TEXT none\r\n" * 100)
        connection.leave(reset=reset)
    settled = sign_in(server, user)
    settled.send(b"a SELECT INBOX\r\nb SEARCH TEXT none\r\n")
    assert answer(settled, b"b").startswith(b"b OK")
    settled.close()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_nothing_went_wrong_inside(server: MailServer) -> None:
    """All that was refused above was refused on purpose: no unexpected exception is in the log."""
    assert [event for event in server.events() if "SERVERBUG" in str(event) or "traceback" in str(event).lower()] == []


def test_many_exchanges_in_one_packet(server: MailServer) -> None:
    """Sign-ins that are cancelled before anything has to be waited for: each ends before the next begins, at no depth."""
    connection = Connection(server, "imaps")
    connection.response()
    connection.send(b"".join(b"a%d AUTHENTICATE PLAIN\r\n*\r\nb%d NOOP\r\n" % (at, at) for at in range(2000)) + b"c LOGOUT\r\n")
    assert answer(connection, b"a0").startswith(b"a0 BAD")
    assert answer(connection, b"b1999").startswith(b"b1999 OK")
    assert answer(connection, b"c").startswith(b"c OK")
    connection.close()
