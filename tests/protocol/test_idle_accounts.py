"""Sessions in IDLE: their accounts have given their handles back, and they take little memory."""

import gc
import os
import tracemalloc
from typing import TYPE_CHECKING

import imapclient

from population import PASSWORD

if TYPE_CHECKING:
    from harness import MailServer

MESSAGE = b"From: dvbe@mic.gov.vn\r\nSubject: 1\r\n\r\nN\xe1\xbb\x99i dung.\r\n"
TLS_BUFFER_OCTETS = 256 << 10
MOST_OCTETS = 11 << 10
"""Of the server's own objects for one idle session, in memory."""


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


def octets_of_sessions() -> int:
    """What the code of connections holds now; a buffer of TLS, of which a page is in memory, is left out."""
    gc.collect()
    kinds = [tracemalloc.Filter(True, f"*/mic_mail/{package}/*") for package in ("connection", "imap", "net")]
    traces = tracemalloc.take_snapshot().filter_traces(kinds).traces
    return sum(trace.size for trace in traces if trace.size < TLS_BUFFER_OCTETS)


def test_an_idle_session_takes_few_octets(mail_server: "MailServer") -> None:
    """Beside its TLS, which takes 33 KiB in OpenSSL and a page or two in uvloop."""
    few, many = 5, 25
    sessions = [signed_in(mail_server) for _ in range(few)]
    for session in sessions:
        session.idle()
    tracemalloc.start()
    try:
        sessions += [signed_in(mail_server) for _ in range(few)]
        begun = octets_of_sessions()
        sessions += [signed_in(mail_server) for _ in range(many)]
        for session in sessions[few:]:
            session.idle()
        rest(mail_server)
        taken = octets_of_sessions() - begun
    finally:
        tracemalloc.stop()
    for session in sessions:
        session.idle_done()
        session.logout()
    assert 4 << 10 < taken / many < MOST_OCTETS, taken / many
