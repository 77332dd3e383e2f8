"""NOTIFY asked for too much, or by clients that do not read: bounded, and the others are served."""

from collections.abc import Iterator

import pytest

from harness import MailServer, config_for
from protocol.dialog import Connection
from protocol.imap_sessions import answer, peak_mib, sign_in


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """One server for this file."""
    server = MailServer(config_for(tmp_path_factory.mktemp("notify")))
    yield server
    server.stop()


def test_ten_thousand_mailboxes_in_the_list(server: MailServer) -> None:
    """They are as good as one: most do not exist, which is no error, and what happens in the last one is told."""
    server.issue("ten-thousand")
    one, other = (sign_in(server, "ten-thousand@mic.gov.vn") for _ in range(2))
    names = b" ".join([b"f%d" % at for at in range(9_999)])
    one.send(b"a NOTIFY SET STATUS (MAILBOXES (%b Sent) (MessageNew MessageExpunge)) (SUBTREE (%b) NONE)\r\n" % (names, b"x y"))
    assert one.response().startswith(b'* STATUS "Sent" ')  # type: ignore[union-attr]
    assert answer(one, b"a").startswith(b"a OK")
    other.send(b"b APPEND Sent {11+}\r\nSubject: x\n\r\n")
    assert answer(other, b"b").startswith(b"b OK")
    assert one.response().startswith(b'* STATUS "Sent" (MESSAGES 1 ')  # type: ignore[union-attr]
    close(one, other)


@pytest.mark.slow
def test_a_listener_that_does_not_read(server: MailServer) -> None:
    """It asked for every new message whole; they stay on the disk, its mailbox is used by others, and it can catch up."""
    server.issue("deaf")
    deaf, other = (sign_in(server, "deaf@mic.gov.vn") for _ in range(2))
    deaf.send(b"a SELECT INBOX\r\nb NOTIFY SET (SELECTED (MessageNew (UID BODY.PEEK[]) MessageExpunge FlagChange))\r\n")
    assert answer(deaf, b"b").startswith(b"b OK")
    message = b"Subject: big\r\n\r\n" + (b"x" * 76 + b"\r\n") * 50_000
    other.send(b"s SELECT INBOX\r\n")
    assert answer(other, b"s").startswith(b"s OK")
    before = peak_mib()
    for at in range(30):
        other.send(b"m%d APPEND INBOX {%d+}\r\n" % (at, len(message)) + message + b"\r\n")
        assert answer(other, b"m%d" % at).startswith(b"m%d OK" % at)
        other.send(b"f%d UID STORE 1:* +FLAGS.SILENT ($L%d)\r\n" % (at, at))
        assert answer(other, b"f%d" % at).startswith(b"f%d OK" % at)
    assert peak_mib() - before < 64
    came = 0
    while came < 30:
        heard = deaf.response()
        assert heard is not None
        if b"BODY[] {" in heard:
            came += 1
            assert heard.count(b"\r\n") > 50_000
    close(deaf, other)


def close(*connections: Connection) -> None:
    for connection in connections:
        connection.close()
