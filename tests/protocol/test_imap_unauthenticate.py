"""UNAUTHENTICATE (RFC 8437) where octets and counts matter: compression ends within a connection, mailboxes get room back."""

import contextlib
import ssl
import zlib
from collections.abc import Iterator

import pytest

from harness import MailServer, config_for
from population import PASSWORD
from protocol.dialog import Connection
from protocol.imap_sessions import answer, sign_in


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """One server for this file, with room for few sessions."""
    server = MailServer(config_for(tmp_path_factory.mktemp("unauthenticate"), {"imap": {"sessions_per_mailbox": 4}}))
    server.issue("mot")
    server.issue("hai")
    yield server
    server.stop()


def login(who: str) -> bytes:
    return f'l LOGIN {who}@mic.gov.vn "{PASSWORD}"\r\n'.encode()


@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH])
@pytest.mark.parametrize("together", [True, False])
def test_compression_ends_behind_the_answer(server: MailServer, flush: int, together: bool) -> None:
    """Clear text may follow in the same packet (§3, §4.1), however the client ends its stream; and COMPRESS works again."""
    connection = sign_in(server, "mot@mic.gov.vn")
    for _ in range(2):
        connection.send(b"a COMPRESS DEFLATE\r\n")
        assert answer(connection, b"a").startswith(b"a OK")
        connection.start_deflate()
        connection.send(b"b NOOP\r\n" + b"n NOOP\r\n" * 50)
        assert answer(connection, b"b").startswith(b"b OK")
        last = connection.deflated(b"c UNAUTHENTICATE\r\n", flush)
        connection.send_raw(last + login("hai") if together else last)
        assert answer(connection, b"c").startswith(b"c OK")
        connection.stop_deflate()
        if not together:
            connection.send(login("hai"))
        assert answer(connection, b"l").startswith(b"l OK")
    connection.close()


def test_who_has_ended_the_stream_says_nothing_more(server: MailServer) -> None:
    """Octets behind the end of the compressed input, without UNAUTHENTICATE, are damage: the connection ends."""
    connection = sign_in(server, "mot@mic.gov.vn")
    connection.send(b"a COMPRESS DEFLATE\r\n")
    assert answer(connection, b"a").startswith(b"a OK")
    connection.start_deflate()
    with contextlib.suppress(ConnectionError, ssl.SSLError, AssertionError):  # how a reset shows
        connection.send_raw(connection.deflated(b"b NOOP\r\n", zlib.Z_FINISH) + b"x" * 100_000)
        while connection.response() is not None:
            pass
    connection.close()


def test_the_mailbox_has_room_again(server: MailServer) -> None:
    """Each of many sign-ins on one connection counts once; a suspension then cuts nobody who is not there."""
    connection = sign_in(server, "mot@mic.gov.vn")
    for _ in range(10):
        connection.send(b"u UNAUTHENTICATE\r\n" + login("hai") + b"v UNAUTHENTICATE\r\n" + login("mot"))
        for tag in (b"u", b"l", b"v", b"l"):
            assert answer(connection, tag).startswith(tag + b" OK")
    others = [sign_in(server, "mot@mic.gov.vn") for _ in range(3)]
    full = Connection(server, "imaps")
    full.response()
    full.send(login("mot"))
    assert answer(full, b"l").startswith(b"l NO [LIMIT]")
    connection.send(b"u UNAUTHENTICATE\r\n")
    assert answer(connection, b"u").startswith(b"u OK")
    full.send(login("mot"))
    assert answer(full, b"l").startswith(b"l OK")
    for each in (connection, full, *others):
        each.close()
