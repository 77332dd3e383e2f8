"""The process of the pages among the others: it is killed, reloaded, drained, and what was acknowledged stays (Reg. 15.2)."""

import contextlib
import imaplib
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from harness import NAMES, ProcessServer, Standing, config_for
from mic_mail.clock import SystemClock
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.policy.facts import FactKind, first_broken
from population import PASSWORD, draft
from unit.web.conftest import SETTINGS, Browser
from waiting import wait_for

pytestmark = pytest.mark.slow

PROCESSES = {**SETTINGS, "process": {"workers": 1}, "search": {"enabled": False}}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    def make(number: int) -> ProcessServer:
        folder = tmp_path_factory.mktemp(f"web{number}")
        server = ProcessServer(config_for(folder / "data", PROCESSES), folder)
        for local in ("bi_giet", "doi_cho", "nap_lai", "den_han"):
            due = [draft(FactKind.PASSWORD_RESET, SystemClock().now())] if local == "den_han" else []
            server.population.issue(local, name="Ai Đó", facts=due)
        return server

    server = Standing(make)
    yield server
    server.stop()


@pytest.fixture
def server(standing: Standing) -> ProcessServer:
    """All its processes ready."""
    return standing.get()


def web(server: ProcessServer) -> dict[str, object]:
    """What `mic-mail status` says of the process."""
    return next(one for one in server.status()["processes"] if one["name"] == "web")


@contextlib.contextmanager
def browsing(server: ProcessServer) -> Iterator[Browser]:
    browser = Browser(server)  # type: ignore[arg-type]  # it has ports and a certificate like the other kind
    try:
        yield browser
    finally:
        browser.close()


def signs_in(server: ProcessServer, local: str, password: str) -> bool:
    """Whether a mail program gets in, at another process."""
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20)
    try:
        client.authenticate("PLAIN", lambda _: f"\0{local}@mic.gov.vn\0{password}".encode())
    except imaplib.IMAP4.error:
        return False
    finally:
        client.shutdown()
    return True


def test_a_change_reaches_the_workers(server: ProcessServer) -> None:
    """The open session with the old password ends and the old password with it, at another process; `status` shows ours."""
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20)
    client.authenticate("PLAIN", lambda _: f"\0doi_cho@mic.gov.vn\0{PASSWORD}".encode())
    with browsing(server) as browser:
        browser.signed_in("doi_cho").get("/password")
        assert browser.change("một hai ba con mực").status_code == 303
        wait_for(lambda: web(server)["connections"] == {"web": 1} and web(server)["sessions"] == 1)

    def has_ended() -> bool:
        try:
            client.noop()
        except (imaplib.IMAP4.abort, OSError):
            return True
        return False

    wait_for(has_ended)
    assert not signs_in(server, "doi_cho", PASSWORD)
    assert signs_in(server, "doi_cho", "một hai ba con mực")


def test_a_password_that_is_due_is_sent_to_the_page(server: ProcessServer) -> None:
    """By the refusal of a mail program, with an address that answers (Reg. 7.3.c)."""
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20)
    with pytest.raises(imaplib.IMAP4.error, match="EXPIRED"):
        client.authenticate("PLAIN", lambda _: f"\0den_han@mic.gov.vn\0{PASSWORD}".encode())
    client.shutdown()
    with browsing(server) as browser:
        assert browser.sign_in("den_han").headers["location"] == "/password"


def test_a_new_certificate_is_shown_and_nobody_signed_out(server: ProcessServer) -> None:
    """SIGHUP: new handshakes get it."""
    with browsing(server) as browser:
        browser.signed_in("nap_lai")
        write_pair(server.config.certificate, server.config.key, self_signed(NAMES, SystemClock().now()))
        wanted = x509.load_pem_x509_certificate(server.config.certificate.read_bytes()).serial_number
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)

        def shown() -> int:
            import socket

            with socket.create_connection(("127.0.0.1", server.ports["https"]), 20) as plain:
                context = server.tls()
                try:
                    with context.wrap_socket(plain, server_hostname="localhost") as connection:
                        der = connection.getpeercert(binary_form=True)
                except OSError:
                    return 0
            assert der is not None
            return x509.load_der_x509_certificate(der).serial_number

        wait_for(lambda: shown() == wanted)
        with httpx.Client(base_url=browser.base, verify=server.tls(), cookies=dict(browser.client.cookies)) as again:
            assert again.get("/mailbox").status_code == 200


def kill_in_the_middle(server: ProcessServer, present: str, new: str, after: float) -> str:
    """Change the password, kill the process of the pages so many seconds later; the password that holds then."""
    with browsing(server) as browser:
        browser.signed_in("bi_giet", present).get("/password")
        pid = int(str(web(server)["pid"]))
        killer = threading.Timer(after, lambda: os.kill(pid, signal.SIGKILL))
        killer.start()
        acknowledged = False
        with contextlib.suppress(httpx.TransportError):
            acknowledged = browser.change(new, present=present).status_code == 303
        killer.join()
    wait_for(lambda: bool(web(server)["ready"]) and web(server)["pid"] != pid)
    works: list[str] = []

    def only_one_works() -> bool:
        """Who is killed between the change and the word of it leaves the workers to find out by themselves, within 2 s."""
        works[:] = [password for password in (present, new) if signs_in(server, "bi_giet", password)]
        return len(works) == 1

    wait_for(only_one_works)
    assert not acknowledged or works == [new]
    return works[0]


@pytest.mark.timeout(400)  # the pauses before a restart grow to five seconds
@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.campaign)])
def test_killed_in_the_middle_of_a_change(server: ProcessServer, kills: int) -> None:
    """Old or new, never both and never none; what was acknowledged holds; chain and number of facts agree with it."""
    rng = random.Random(7)
    present = next(p for p in (PASSWORD, *map(password_of, range(1000))) if signs_in(server, "bi_giet", p))
    mailbox = server.population.directory.mailbox("bi_giet@mic.gov.vn")
    first = len(server.population.directory.facts(mailbox.mailbox_id))
    changed = 0
    for number in range(first * 100, first * 100 + kills):
        works = kill_in_the_middle(server, present, password_of(number), rng.uniform(0, 0.12))
        changed += works != present
        present = works
    facts = server.population.directory.facts(mailbox.mailbox_id)
    assert first_broken(facts) is None
    assert len(facts) == first + changed


def password_of(number: int) -> str:
    """A good one, another for each number."""
    return f"chuồn chuồn bay thấp {number} thì mưa"


def test_a_drain_answers_what_runs(tmp_path: Path) -> None:
    """SIGTERM: the exit code is 0 with browsers connected, whether they do something or nothing."""
    server = ProcessServer(config_for(tmp_path / "data", PROCESSES), tmp_path)
    try:
        server.population.issue("cuoi")
        server.start()
        with browsing(server) as idle, browsing(server) as busy:
            wait_for(lambda: bool(web(server)["ready"]))
            idle.get("/")
            busy.signed_in("cuoi")
            assert server.terminate() == 0
    finally:
        server.stop()
