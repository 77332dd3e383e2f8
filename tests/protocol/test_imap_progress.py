"""INPROGRESS (RFC 9585): who waits for a command that writes hears that it goes on, compressed if that is on."""

from threading import Event, Thread

import pytest

from harness import MailServer
from mic_mail.imap import server as shell
from mic_mail.storage.maildir.account_lock import AccountLock
from mic_mail.storage.maildir.maildir import AccountPaths
from protocol.imap_sessions import answer, sign_in
from waiting import PATIENCE_SECONDS


@pytest.mark.parametrize("compressed", [False, True])
def test_a_long_change_tells_that_it_goes_on(
    mail_server: MailServer, monkeypatch: pytest.MonkeyPatch, compressed: bool
) -> None:
    """Until it is done, with the tag of its command; afterwards nothing more comes."""
    monkeypatch.setattr(shell, "PROGRESS_SECONDS", 0.2)
    connection = sign_in(mail_server, "dvbe@mic.gov.vn")
    connection.send(b"s SELECT INBOX\r\nt CREATE Viec\r\n")
    assert answer(connection, b"t").startswith(b"t OK")
    if compressed:
        connection.send(b"z COMPRESS DEFLATE\r\n")
        assert answer(connection, b"z").startswith(b"z OK")
        connection.start_deflate()
    place = AccountPaths(str(mail_server.config.mail_root / "mic.gov.vn" / "dvbe"))
    held = AccountLock(place.lock, 10)

    def hold() -> None:
        with held.held(None):
            connection.send(b"a RENAME Viec Xong\r\n")
            said.wait(PATIENCE_SECONDS)

    said = Event()
    holder = Thread(target=hold)
    holder.start()
    try:
        assert connection.response() == b'* OK [INPROGRESS ("a" NIL NIL)] Still in progress.'
    finally:
        said.set()
    assert answer(connection, b"a").startswith(b"a OK")
    holder.join()
    connection.send(b"b NOOP\r\n")
    assert connection.response() == b"b OK NOOP completed."
    connection.close()


def test_one_and_many_messages_are_stored_over_a_connection(mail_server: MailServer) -> None:
    """Whatever function the session gives to the executor, bound arguments or not, has a name for the log."""
    connection = sign_in(mail_server, "dvbe@mic.gov.vn")
    for number in range(3):
        connection.send(b"p%d APPEND INBOX {17+}\r\nSubject: to\r\n\r\nx\r\n" % number)
        assert answer(connection, b"p%d" % number).startswith(b"p%d OK" % number)
    connection.send(b"s SELECT INBOX\r\n")
    assert answer(connection, b"s").startswith(b"s OK")
    for number, command in enumerate((b"STORE 1 +FLAGS (\\Deleted)", b"STORE 1:3 +FLAGS (\\Deleted)", b"EXPUNGE")):
        connection.send(b"c%d %b\r\n" % (number, command))
        assert answer(connection, b"c%d" % number).startswith(b"c%d OK" % number)
    connection.close()
