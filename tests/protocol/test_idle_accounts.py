"""A session in IDLE whose account has given its handles back."""

import os
from typing import TYPE_CHECKING

import imapclient

from population import PASSWORD

if TYPE_CHECKING:
    from harness import MailServer

MESSAGE = b"From: dvbe@mic.gov.vn\r\nSubject: 1\r\n\r\nN\xe1\xbb\x99i dung.\r\n"


def signed_in(server: "MailServer") -> imapclient.IMAPClient:
    client = imapclient.IMAPClient("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20)
    client._imap._encoding = "utf-8"  # imaplib's own way to say passwords that are not ASCII
    client.login("dvbe@mic.gov.vn", PASSWORD)
    client.select_folder("INBOX")
    return client


def rest(server: "MailServer") -> list[str]:
    """Let every account rest at once, as the duty does after a while; what stays open of them, whatever happens."""
    for _ in range(100):  # a poll or a duty may use one just now
        server.call(server.running.context.executors.io(server.running.context.store.rest, -1.0))
        if not (left := open_files(str(server.config.mail_root / "mic.gov.vn"))):
            break
    return left


def open_files(folder: str) -> list[str]:
    fds = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
    targets = [os.readlink(fd) for fd in fds if os.path.lexists(fd)]
    return [target for target in targets if target.startswith(folder)]


def test_idle_session_of_a_resting_account_hears_of_changes(mail_server: "MailServer") -> None:
    """IDLE tells of a delivery and of a flag though nothing of the account was open, and the session goes on as ever."""
    listener, other = signed_in(mail_server), signed_in(mail_server)
    listener.idle()
    assert rest(mail_server) == []
    other.append("INBOX", MESSAGE)
    assert (1, b"EXISTS") in listener.idle_check(timeout=20)
    assert rest(mail_server) == []
    other.noop()
    other.add_flags([1], [b"\\Flagged"])
    ((number, kind, answer),) = listener.idle_check(timeout=20)
    assert (number, kind) == (1, b"FETCH")
    assert b"\\Flagged" in answer[answer.index(b"FLAGS") + 1]
    listener.idle_done()
    assert rest(mail_server) == []
    assert listener.fetch([1], ["BODY[TEXT]"])[1][b"BODY[TEXT]"] == b"N\xe1\xbb\x99i dung.\r\n"
    listener.logout()
    other.logout()
