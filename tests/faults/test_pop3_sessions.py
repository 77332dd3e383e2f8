"""POP3 beside everything else: ten sessions while mail comes, a worker that is killed, a drain (RFC 1939 §6, Reg. 9.1)."""

import contextlib
import poplib
import re
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from faults.wire import Imap, Smtp
from harness import MailServer, ProcessServer, Standing, config_for, stopping
from population import PASSWORD

pytestmark = pytest.mark.slow

ADDRESS = "dvbe@mic.gov.vn"
MARKED, TAKEN, TOLD = "ttlan@mic.gov.vn", "pqlong@mic.gov.vn", "ndan@mic.gov.vn"
"""One mailbox for each test of the processes."""
BODY = b"Subject: %d\r\n\r\n.\r\nnoi dung\r\n"


def sign_in(server: MailServer | ProcessServer, address: str = ADDRESS) -> poplib.POP3_SSL:
    client = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=server.tls(), timeout=60)
    client.user(address)
    client.pass_(PASSWORD)
    return client


def uidl(client: poplib.POP3) -> dict[int, bytes]:
    return {int(number): unique for number, unique in (row.split() for row in client.uidl()[1])}


def subjects(server: MailServer | ProcessServer) -> list[int]:
    client = sign_in(server)
    found = [int(client.retr(number)[1][-4].split()[1]) for number in uidl(client)]
    client.quit()
    return sorted(found)


def test_ten_sessions_while_mail_comes(mail_server: MailServer) -> None:
    """Each sees what was there when it signed in, in the same order to its end; a message is deleted where its session said
    QUIT, and nothing that came meanwhile is touched."""
    first, more = 60, 60
    smtp = Smtp(mail_server.ports["smtp"])
    for number in range(first):
        smtp.deliver([ADDRESS], BODY % number)
    clients = [sign_in(mail_server) for _ in range(10)]
    seen = [uidl(client) for client in clients]
    assert all(one == seen[0] for one in seen)
    failures: list[BaseException] = []

    def fetch(which: int) -> None:
        client = clients[which]
        try:
            for number in seen[which]:
                lines = client.retr(number)[1]
                assert lines[-4:] == [b"Subject: %d" % (number - 1), b"", b".", b"noi dung"], lines
                if number % 10 == which:
                    client.dele(number)
            assert uidl(client) == {number: unique for number, unique in seen[which].items() if number % 10 != which}
            assert client.stat()[0] == first - first // 10
            if which < 5:
                client.quit()
            else:
                client.close()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=fetch, args=(which,)) for which in range(10)]
    for thread in threads:
        thread.start()
    for number in range(first, first + more):
        smtp.deliver([ADDRESS], BODY % number)
    for thread in threads:
        thread.join(100)
    assert not failures
    kept = [number - 1 for number in range(1, first + 1) if number % 10 >= 5]
    assert subjects(mail_server) == kept + list(range(first, first + more))


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Two workers."""

    def make(number: int) -> ProcessServer:
        folder = tmp_path_factory.mktemp(f"standing{number}")
        settings = {"process": {"workers": 2}, "auth": {"cleartext": True}}
        made = ProcessServer(config_for(folder / "data", settings), folder)
        for address in (MARKED, TAKEN, TOLD):
            made.population.issue(address.partition("@")[0])
        return made

    one = Standing(make)
    with stopping([one]):
        yield one


@pytest.fixture
def server(standing: Standing) -> ProcessServer:
    return standing.get()


def test_a_worker_killed_between_dele_and_quit_removes_nothing(server: ProcessServer) -> None:
    """kill -9: the connection is lost, the marks with it; the unique-ids are the same afterwards."""
    smtp = Smtp(server.ports["smtp"])
    for number in range(3):
        smtp.deliver([MARKED], BODY % number)
    client = sign_in(server, MARKED)
    before = uidl(client)
    for number in before:
        client.dele(number)
    server.kill_workers()
    with pytest.raises((poplib.error_proto, OSError)):
        client.quit()
    server.wait_for(lambda state: state["ready"])
    again = sign_in(server, MARKED)
    assert uidl(again) == before
    for number in before:
        again.dele(number)
    again.quit()
    server.kill()
    server.start()
    assert uidl(sign_in(server, MARKED)) == {}  # what QUIT said OK to is gone for good


def test_a_worker_killed_in_quit_removes_all_or_nothing_of_each_group(server: ProcessServer) -> None:
    """Whenever it is killed: what is left is whole, readable and the newest; a second QUIT finishes the work."""
    messages = 400
    imap = Imap(server.ports["imap"], TAKEN, PASSWORD)
    for number in range(messages):
        octets = BODY % number
        imap.command(b"APPEND INBOX {%d+}\r\n%s" % (len(octets), octets))
    client = sign_in(server, TAKEN)
    for number in range(1, messages + 1):
        client._putcmd(f"DELE {number}")
    for _ in range(messages):
        client._getresp()
    client._putcmd("QUIT")
    time.sleep(0.02)  # any moment will do: it works on it, or has not begun, or has ended
    server.kill_workers()
    server.wait_for(lambda state: state["ready"])
    again = sign_in(server, TAKEN)
    left = uidl(again)
    assert len(left) in (0, messages)
    for number in left:
        assert again.retr(number)[1][-4] == b"Subject: %d" % (number - 1)
        again.dele(number)
    again.quit()
    assert uidl(sign_in(server, TAKEN)) == {}


def test_an_end_of_the_server_is_told(server: ProcessServer) -> None:
    """SIGTERM: -ERR [SYS/TEMP] to who waits for nothing, whether signed in or not; what was marked stays."""
    Smtp(server.ports["smtp"]).deliver([TOLD], BODY % 0)
    idle = sign_in(server, TOLD)
    idle.dele(1)
    stranger = poplib.POP3("localhost", server.ports["pop3"], timeout=60)
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    for client in (idle, stranger):
        assert client.file is not None
        assert re.match(rb"-ERR \[SYS/TEMP\] May chu tam ngung; .* / The server is shutting down", client.file.readline())
        assert client.file.readline() == b""
        with contextlib.suppress(OSError):
            client.close()
    server.process.wait(30)
    server.process = None
    server.start()
    assert len(uidl(sign_in(server, TOLD))) == 1
