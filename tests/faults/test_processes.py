"""The processes of a server: killed, drained, reloaded, orphaned, while real clients use them.

Most of it is done to the same server, which another takes the place of where a test does not leave it as it was.
"""

import fcntl
import imaplib
import os
import re
import resource
import signal
import smtplib
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from harness import NAMES, ProcessServer, Standing, config_for, stopping
from mic_mail.clock import SystemClock
from mic_mail.config.manual import write
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.process.data_locks import LOCK_FILE
from population import PASSWORD
from waiting import wait_for

Make = Callable[..., ProcessServer]
ADDRESS = "dvbe@mic.gov.vn"
GUESSED, WOKEN, INTERRUPTED = "ndan@mic.gov.vn", "ttlan@mic.gov.vn", "pqlong@mic.gov.vn"
"""Whose mailboxes one test each needs for itself."""


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Two workers and some people."""

    def make(number: int) -> ProcessServer:
        folder = tmp_path_factory.mktemp(f"standing{number}")
        made = ProcessServer(config_for(folder / "data", {"process": {"workers": 2}}), folder)
        for address in (ADDRESS, GUESSED, WOKEN, INTERRUPTED):
            made.population.issue(address.partition("@")[0])
        return made

    one = Standing(make)
    with stopping([one]):
        yield one


@pytest.fixture
def server(standing: Standing) -> ProcessServer:
    return standing.get()


def sign_in(server: ProcessServer, address: str = ADDRESS) -> imaplib.IMAP4_SSL:
    """A signed-in IMAP session."""
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=30)
    client.authenticate("PLAIN", lambda _: f"\0{address}\0{PASSWORD}".encode())
    return client


def message(name: str) -> bytes:
    return f"From: a@example.org\r\nTo: {ADDRESS}\r\nSubject: {name}\r\n\r\n{name}\r\n".encode()


def stored(server: ProcessServer, address: str = ADDRESS) -> list[tuple[int, str]]:
    """UID and subject of everything in INBOX, by UID."""
    client = sign_in(server, address)
    client.select(readonly=True)
    _, answers = client.uid("FETCH", "1:*", "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    client.logout()
    pairs = [answer for answer in answers if isinstance(answer, tuple)]
    return sorted((int(head.split(b"UID ")[1].split()[0]), body.decode().split(": ")[1].strip()) for head, body in pairs)


def kill_and_wait(server: ProcessServer, pid: int) -> None:
    """Kill a process, and wait until another has taken its place."""
    os.kill(pid, signal.SIGKILL)
    server.wait_for(lambda state: state["ready"] and pid not in [one["pid"] for one in state["processes"]])


class Sender(threading.Thread):
    """Delivers messages of distinct names, one after the other, reconnecting when the connection is cut."""

    def __init__(self, server: ProcessServer, name: str) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._label = name
        self.acknowledged: list[str] = []
        self.cuts = 0
        self.ending = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.ending.is_set():
            try:
                with smtplib.SMTP(self._server.host, self._server.ports["smtp"], timeout=30) as client:
                    while not self.ending.is_set():
                        number += 1
                        name = f"{self._label}-{number}"
                        client.sendmail("a@example.org", [ADDRESS], message(name))
                        self.acknowledged.append(name)
            except (OSError, smtplib.SMTPException):
                self.cuts += 1


def test_children_share_their_pages(serve_processes: Make) -> None:
    """What all load is in memory once, also in a child in a dead one's place; each has its name."""
    server = serve_processes({"process": {"workers": 1}})
    server.start()
    kill_and_wait(server, server.workers()[0])
    for child in server.status()["processes"]:
        memory = Path(f"/proc/{child['pid']}/smaps_rollup").read_text()
        found = dict(re.findall(r"^(Private|Shared)_Dirty:\s+(\d+)", memory, re.MULTILINE))
        assert int(found["Private"]) < int(found["Shared"]), child["name"]
        assert Path(f"/proc/{child['pid']}/comm").read_text() == f"mic-{child['name']}\n"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_workers_cost_their_connections_and_nothing_else(server: ProcessServer) -> None:
    """Workers killed under load, again and again: what was acknowledged is there once, UIDs in the order of sending."""
    senders = [Sender(server, f"s{number}") for number in range(4)]
    for sender in senders:
        sender.start()
    for round_number in range(10):
        wanted = sum(len(sender.acknowledged) for sender in senders) + 20
        wait_for(lambda wanted=wanted: sum(len(sender.acknowledged) for sender in senders) >= wanted)
        kill_and_wait(server, server.workers()[round_number % 2])
    for sender in senders:
        sender.ending.set()
    for sender in senders:
        sender.join(60)
    there = stored(server)
    names = [name for _, name in there]
    assert len(names) == len(set(names))
    for sender in senders:
        assert set(sender.acknowledged) <= set(names)
        mine = [name for name in names if name in set(sender.acknowledged)]
        assert mine == sender.acknowledged
    assert sum(sender.cuts for sender in senders) >= 10  # they did lose connections
    died = [event for event in server.events() if event["event"] == "process_died"]
    assert len(died) == 10


def test_the_other_worker_goes_on(server: ProcessServer) -> None:
    """Sessions of a worker that was not killed do not notice, and a new worker takes connections again."""
    clients: list[imaplib.IMAP4_SSL] = []
    while min(server.connected("imap", len(clients)), default=0) == 0:  # on a busy machine one may be late again and again
        assert len(clients) < 200
        clients += [sign_in(server) for _ in range(4)]
    kill_and_wait(server, server.workers()[0])
    alive = sum(goes_on(client) for client in clients)
    ends = [event for event in server.events() if event["event"] in ("process_died", "process_hung", "session_cut")]
    assert 0 < alive < len(clients), (alive, len(clients), ends, server.status())
    for _ in range(8):
        assert sign_in(server).noop()[0] == "OK"


def goes_on(client: imaplib.IMAP4_SSL) -> bool:
    """Whether it is answered, asked from a thread of its own: in Python 3.13 the error that one connection left with OpenSSL is
    raised at the next one of the same thread."""
    answered: list[str] = []

    def ask() -> None:
        with suppress(OSError, imaplib.IMAP4.abort):
            answered.append(client.noop()[0])

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join()
    return answered == ["OK"]


def test_connections_are_spread_over_the_workers(server: ProcessServer) -> None:
    """Whoever has fewest takes the next. On a busy machine one of them may be late for all of a burst: it catches up."""
    clients = [socket.create_connection((server.host, server.ports["pop3"])) for _ in range(40)]
    while max(counts := server.connected("pop3", len(clients))) > min(counts) * 10 // 9 + 1:
        assert len(clients) < 400, counts
        for _ in range(4):
            clients.append(socket.create_connection((server.host, server.ports["pop3"])))
            assert clients[-1].recv(3) == b"+OK"
    for client in clients:
        client.close()


def test_a_worker_that_hangs_delays_no_connection_for_the_others(server: ProcessServer) -> None:
    """It has the fewest connections and takes none: the other greets all while it hangs, and both again when it goes on."""
    hung = server.workers()[0]
    os.kill(hung, signal.SIGSTOP)
    try:
        clients = [smtplib.SMTP(server.host, server.ports["smtp"], timeout=10) for _ in range(20)]
    finally:
        os.kill(hung, signal.SIGCONT)
    wait_for(
        lambda: all(one["connections"]["smtp"] for one in server.status()["processes"] if one["pid"] == hung),
        meanwhile=lambda: clients.append(smtplib.SMTP(server.host, server.ports["smtp"], timeout=10)),
    )
    for client in clients:
        client.close()


def test_a_guesser_gets_no_more_tries_from_two_workers_than_from_one(server: ProcessServer) -> None:
    """Connections alternate between the workers; ten different wrong passwords are counted once each, in both."""
    answers = []
    for guess in range(14):
        with smtplib.SMTP("localhost", server.ports["submission"], timeout=30) as client:
            client.starttls(context=server.tls())
            client.ehlo()
            answers.append(client.docmd("AUTH PLAIN", b64encode(f"\0{GUESSED}\0wrong {guess}".encode()).decode())[0])
    assert answers == [535] * 10 + [421] * 4


def test_a_delivery_wakes_an_idle_session_of_another_worker(server: ProcessServer) -> None:
    """The change feed crosses processes: every one of many IDLE sessions hears of one delivery."""
    clients = [sign_in(server, WOKEN) for _ in range(8)]
    for client in clients:
        client.select()
        client.send(b"X IDLE\r\n")
        assert client.readline().startswith(b"+")
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=30) as sender:
        sender.sendmail("a@example.org", [WOKEN], message("wake up"))
    for client in clients:
        client.sock.settimeout(10)
        assert b"1 EXISTS" in client.readline()


def test_sigterm_lets_a_message_end_and_says_goodbye(server: ProcessServer) -> None:
    """Drain: no new connections, IDLE gets BYE, a message on its way is still taken, exit code 0; it is there afterwards."""
    idle = sign_in(server)
    idle.select()
    idle.send(b"X IDLE\r\n")
    idle.readline()
    sending = smtplib.SMTP(server.host, server.ports["smtp"], timeout=30)
    sending.ehlo()
    sending.mail("a@example.org")
    sending.rcpt(INTERRUPTED)
    sending.putcmd("DATA")
    assert sending.getreply()[0] == 354
    sending.send(message("half")[:40])
    process = server.process
    assert process is not None
    process.terminate()
    assert b"BYE" in idle.readline()
    wait_until_closed(server)
    sending.send(message("half")[40:] + b".\r\n")
    assert sending.getreply()[0] == 250
    assert process.wait(30) == 0
    assert server.events()[-1]["event"] == "server_stopped"
    server.start()
    assert [name for _, name in stored(server, INTERRUPTED)] == ["half"]


def test_sighup_changes_certificate_and_settings_and_names_what_it_cannot(server: ProcessServer) -> None:
    """Running sessions stay, new ones see the new certificate; a quota is taken over, a data folder is named in the log."""
    old, whole = sign_in(server), server.file.read_text()
    write_pair(server.config.certificate, server.config.key, self_signed(NAMES, SystemClock().now()))
    quota = server.config.quota.model_copy(update={"default": 2 << 30})
    storage = server.config.storage.model_copy(update={"mail_root": Path("/elsewhere")})
    server.file.write_text(write(server.config.model_copy(update={"quota": quota, "storage": storage})))
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    workers = len(server.workers())
    wait_for(lambda: sum(event["event"] == "certificate_loaded" for event in server.events()) >= workers)
    [reloaded] = [event for event in server.events() if event["event"] == "configuration_reloaded"]
    assert reloaded["taken_over"] == ["quota.default"]
    assert reloaded["needs_restart"] == ["storage.mail_root"]
    assert sign_in(server).noop()[0] == "OK"  # trusts the new certificate only
    assert old.noop()[0] == "OK"
    server.file.write_text(whole)


def test_workers_that_die_together_do_not_take_the_supervisor_with_them(server: ProcessServer) -> None:
    """Two deaths noticed at once, while it was busy reading its configuration: both are started again."""
    whole = server.file.read_text()
    server.file.unlink()
    os.mkfifo(server.file)
    dead = set(server.workers())
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    with server.file.open("w") as file:  # from here on it reads
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: zombie(pid))
        file.write(whole)
    server.wait_for(lambda state: state["ready"] and not dead.intersection(one["pid"] for one in state["processes"]))
    assert sign_in(server).noop()[0] == "OK"
    server.file.unlink()
    server.file.write_text(whole)


def test_a_reload_reaches_a_worker_that_is_being_started(server: ProcessServer) -> None:
    """It was started with the old configuration, and was not ready when the order came: it obeys as soon as it is."""
    [pid, _] = server.workers()
    os.kill(pid, signal.SIGKILL)
    server.wait_for(lambda state: any(one["restarts"] and one["pid"] and not one["ready"] for one in state["processes"]))
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(lambda state: state["ready"])
    workers = len(server.workers())
    wait_for(lambda: sum(event["event"] == "certificate_loaded" for event in server.events()) >= workers)


def test_a_storm_of_reloads_kills_no_worker_that_is_being_started(server: ProcessServer) -> None:
    """It does not read its orders yet, and is told the newest once."""
    assert server.process is not None
    pid = server.workers()[0]
    os.kill(pid, signal.SIGKILL)
    state = server.wait_for(lambda state: any(one["pid"] and not one["ready"] for one in state["processes"]))
    place = next(one["pid"] for one in state["processes"] if one["pid"] and not one["ready"])
    os.kill(place, signal.SIGSTOP)
    reloads = 0
    while reloads < 100:
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.005)  # faster than it can read its configuration
        reloads = sum(event["event"] == "configuration_reloaded" for event in server.events())
    os.kill(place, signal.SIGCONT)
    state = server.wait_for(lambda state: state["ready"])
    assert place in [one["pid"] for one in state["processes"]]
    assert not [event for event in server.events() if event["event"] == "process_hung"]


def test_a_worker_that_cannot_be_started_for_now_is_started_later(server: ProcessServer) -> None:
    """No descriptor is free when a worker has died: the other goes on, and there are two again when there is room."""
    assert server.process is not None
    pid = server.workers()[0]
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: any(event["event"] == "process_not_started" for event in server.events()))
    assert server.process.poll() is None
    assert sign_in(server).noop()[0] == "OK"
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
    server.wait_for(lambda state: state["ready"] and pid not in [one["pid"] for one in state["processes"]])


def test_a_broken_file_changes_nothing_at_sighup(server: ProcessServer) -> None:
    """The mistakes are in the log, the server runs on as it was."""
    whole = server.file.read_text()
    server.file.write_text('[quota]\ndefault = "1 MiB"\n')
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    [refused] = wait_for(lambda: [event for event in server.events() if event["event"] == "reload_refused"])
    assert "8.3.b" in str(refused["mistakes"])
    assert sign_in(server).noop()[0] == "OK"
    server.file.write_text(whole)


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (f"[smtp]\nconnections = {'9' * 5000}\n", "Exceeds the limit"),
        (
            '[tls]\ncertificate = "/nowhere/cert.pem"\nkey = "/nowhere/key.pem"\n',
            "tls.certificate: /nowhere/cert.pem cannot be read",
        ),
    ],
    ids=["a number too long", "no certificate"],
)
def test_a_file_by_which_no_worker_could_start_changes_nothing(server: ProcessServer, odd: str, told: str) -> None:
    """The supervisor lives, and a worker that dies later is started by what held before."""
    whole, before = server.file.read_text(), len(refusals(server))
    server.file.write_text(f'[server]\ndomain = "mic.gov.vn"\n{odd}')
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(refusals(server)) > before)
    server.file.write_text(whole)
    assert told in str(refusals(server)[-1]["mistakes"])
    kill_and_wait(server, server.workers()[0])
    assert sign_in(server).noop()[0] == "OK"


def refusals(server: ProcessServer) -> list[dict[str, Any]]:
    return [event for event in server.events() if event["event"] == "reload_refused"]


@pytest.mark.slow
def test_workers_do_not_outlive_their_supervisor(server: ProcessServer) -> None:
    """A supervisor that is killed takes everything with it, and the next start finds the ports free."""
    pids = [one["pid"] for one in server.status()["processes"]]
    client = sign_in(server)
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    client.sock.settimeout(10)
    assert b"BYE" in client.readline()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() and not zombie(pid) for pid in pids))
    server.start()
    assert sign_in(server).noop()[0] == "OK"


def wait_until_closed(server: ProcessServer) -> None:
    """Until the port takes no connection any more. One that waited in the backlog of a socket that closed is reset."""
    with suppress(ConnectionRefusedError):
        while True:
            with suppress(ConnectionResetError):
                socket.create_connection((server.host, server.ports["smtp"])).close()


def zombie(pid: int) -> bool:
    """Ended, and only not yet collected by whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_the_supervisor_has_no_thread_no_database_and_no_tls(server: ProcessServer) -> None:
    """Starting a child is safe at any time, because nothing exists in the parent that a child must not inherit."""
    assert server.process is not None
    place = Path(f"/proc/{server.process.pid}")
    assert "Threads:\t1\n" in (place / "status").read_text()
    open_files = [os.readlink(link) for link in (place / "fd").iterdir()]
    data = [path for path in open_files if (".sqlite" in path or "/mail/" in path) and not path.endswith(LOCK_FILE)]
    assert not data


def test_a_second_server_is_refused(server: ProcessServer) -> None:
    """Two supervisors never share a data folder; the second says so and ends with 3."""
    command = [sys.executable, "-m", "mic_mail", "--config", str(server.file), "serve"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 3
    assert "already running" in second.stderr
    assert "Traceback" not in second.stderr
    assert sign_in(server).noop()[0] == "OK"


def test_the_housekeeper_is_started_again(server: ProcessServer) -> None:
    """Its death is logged and costs nobody anything."""
    [pid] = [one["pid"] for one in server.status()["processes"] if one["name"] == "house"]
    kill_and_wait(server, pid)
    [died] = [event for event in server.events() if event["event"] == "process_died"]
    assert (died["process"], died["exit_code"]) == ("house", -signal.SIGKILL)


@pytest.fixture
def notify_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = f"\0mic-mail-test-{os.getpid()}-{tmp_path.name}"
        listening.bind(name)
        listening.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:])
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        yield listening


def test_systemd_is_told_when_it_is_ready_alive_and_stopping(serve_processes: Make, notify_socket: socket.socket) -> None:
    """READY=1 only once every process is ready, WATCHDOG=1 in time, STOPPING=1 at the end (sd_notify(3))."""
    server = serve_processes({"process": {"workers": 1}})
    server.population.issue("dvbe")
    server.start()
    told: list[Any] = []
    while not any(b"READY=1" in line for line in told) or not any(b"WATCHDOG=1" in line for line in told):
        told.append(notify_socket.recv(4096))
    assert server.terminate() == 0
    while not any(b"STOPPING=1" in line for line in told):
        told.append(notify_socket.recv(4096))


def test_two_servers_with_data_of_their_own_never_share_a_port(server: ProcessServer, serve_processes: Make) -> None:
    """The second is refused with port and door, whatever its data folder; the first goes on alone."""
    port = server.ports["smtp"]
    other = serve_processes({"listen": {"smtp": port}})
    command = [sys.executable, "-m", "mic_mail", "--config", str(other.file), "serve"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert tried.returncode == 3
    assert f"smtp at 127.0.0.1 port {port}" in tried.stderr
    assert sign_in(server).noop()[0] == "OK"


@pytest.mark.slow
def test_what_a_killed_worker_had_acknowledged_to_several_is_delivered_at_once(serve_processes: Make) -> None:
    """The spool entries of a dead worker are taken up when it is reaped, not at the housekeeper's next round a minute later."""
    server = serve_processes({"process": {"workers": 1}})
    people = [f"p{number}" for number in range(20)]
    for local in (*people, "dvbe"):
        server.population.issue(local)
    server.start()
    addresses = [ADDRESS, *(f"{local}@mic.gov.vn" for local in people)]
    acknowledged: list[str] = []
    for number in range(9):
        with suppress(OSError, smtplib.SMTPException), smtplib.SMTP(server.host, server.ports["smtp"], timeout=30) as client:
            killer = threading.Timer(0.02 + 0.007 * number, server.kill_workers)
            killer.start()
            while True:
                name = f"m{number}-{len(acknowledged)}"
                client.sendmail("a@example.org", addresses, message(name))
                acknowledged.append(name)
        killer.join()
        server.wait_for(lambda state: state["ready"])
    wait_for(lambda: all(set(acknowledged) <= {name for _, name in stored(server, address)} for address in addresses))
    for local in people:
        names = [name for _, name in stored(server, f"{local}@mic.gov.vn")]
        assert len(names) == len(set(names))
        assert set(acknowledged) <= set(names)


def test_a_start_with_a_port_that_is_taken_says_which(serve_processes: Make) -> None:
    """Exit code 3, one clear sentence, no traceback, no process left."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = serve_processes({"listen": {"smtp": other.getsockname()[1]}})
        command = [sys.executable, "-m", "mic_mail", "--config", str(server.file), "serve"]
        tried = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert tried.returncode == 3
    assert str(other.getsockname()[1] if other.fileno() >= 0 else "") in tried.stderr
    assert "Traceback" not in tried.stderr


@pytest.mark.slow
def test_a_server_that_cannot_become_ready_gives_up_and_says_so(serve_processes: Make) -> None:
    """A directory of nobody's version: no endless restarting, exit code 3, the reason on the terminal and in the log."""
    server = serve_processes({"process": {"workers": 1}})
    with closing(sqlite3.connect(server.config.directory_dir / "directory.sqlite")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'none'")
        connection.commit()
    command = [sys.executable, "-m", "mic_mail", "--config", str(server.file), "serve"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert tried.returncode == 3
    assert "Traceback" not in tried.stderr
    events = server.events()
    assert sum(event["event"] == "process_died" and event["process"] == "worker0" for event in events) <= 3
    assert any(event["event"] == "start_failed" for event in events)
    assert any(event["event"] == "process_failed" for event in events)


def test_what_every_worker_would_miss_is_told_once(serve_processes: Make) -> None:
    """A key that is not the certificate's: one sentence, and no worker is started for it."""
    server = serve_processes({"process": {"workers": 4}})
    write_pair(server.config.certificate.with_name("x.pem"), server.config.key, self_signed(NAMES, SystemClock().now()))
    command = [sys.executable, "-m", "mic_mail", "--lang", "en", "--config", str(server.file), "serve"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert tried.returncode == 3
    assert tried.stderr.count("is not the key of this certificate") == 1
    assert not server.events()


def test_tls_is_spoken_on_the_implicit_ports_only_after_the_handshake(server: ProcessServer) -> None:
    """A client that speaks in the open to 993 or 465 gets nothing but the end of the connection."""
    for door in ("imaps", "submissions"):
        with socket.create_connection((server.host, server.ports[door]), timeout=30) as client:
            client.sendall(b"A1 CAPABILITY\r\nEHLO x\r\n\r\n")
            answer = b""
            with suppress(ConnectionResetError):
                while octets := client.recv(1000):
                    answer += octets
            assert b"CAPABILITY" not in answer
            assert b"250" not in answer
    with pytest.raises(ssl.SSLError):
        ssl.create_default_context().wrap_socket(
            socket.create_connection((server.host, server.ports["imaps"])), server_hostname="localhost"
        )


@contextmanager
def held(server: ProcessServer, local: str) -> Iterator[None]:
    """Nobody can write to the mailbox: another process has its lock."""
    home = server.config.mail_root / "mic.gov.vn" / local
    [lock] = home.glob("*.lock")
    with open(lock, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def entries(server: ProcessServer) -> int:
    return len(list(server.config.spool_dir.rglob("*.env")))


def delivered(server: ProcessServer, local: str) -> int:
    return len(list((server.config.mail_root / "mic.gov.vn" / local / "Maildir" / "cur").iterdir()))


def sent_to_two(server: ProcessServer, name: str) -> None:
    """Acknowledged for dvbe and ttlan."""
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=30) as sender:
        assert sender.sendmail("a@example.org", [ADDRESS, "ttlan@mic.gov.vn"], message(name)) == {}


@pytest.fixture
def pair(serve_processes: Make) -> ProcessServer:
    """One worker, little time to drain, two people who have had mail."""
    made = serve_processes({"process": {"workers": 1, "drain_seconds": 3}})
    for local in ("dvbe", "ttlan"):
        made.population.issue(local)
    made.start()
    sent_to_two(made, "earlier")
    wait_for(lambda: entries(made) == 0)
    return made


@pytest.mark.slow
def test_a_drain_waits_for_a_fan_out_that_is_under_way(pair: ProcessServer) -> None:
    """SIGTERM between `250` and the last mailbox: the process delivers to it before it ends."""
    process = pair.process
    assert process is not None
    with held(pair, "ttlan"):
        sent_to_two(pair, "late")
        wait_for(lambda: delivered(pair, "dvbe") == 2)
        process.terminate()
        wait_until_closed(pair)
        assert delivered(pair, "ttlan") == 1
    assert process.wait(30) == 0
    assert (delivered(pair, "ttlan"), entries(pair)) == (2, 0)
    pair.start()
    for address in (ADDRESS, "ttlan@mic.gov.vn"):
        assert [name for _, name in stored(pair, address)] == ["earlier", "late"]


@pytest.mark.slow
def test_what_a_drain_cannot_finish_arrives_after_the_next_start(pair: ProcessServer) -> None:
    """A mailbox that is locked longer than a drain lasts: the entry stays in the spool, and each gets the message once."""
    process = pair.process
    assert process is not None
    with held(pair, "ttlan"):
        sent_to_two(pair, "late")
        wait_for(lambda: delivered(pair, "dvbe") == 2)
        process.terminate()
        assert process.wait(60) == 0
        assert not [event for event in pair.events() if event["event"] == "drain_overdue"]
        assert (delivered(pair, "ttlan"), entries(pair)) == (1, 1)
    pair.start()
    wait_for(lambda: entries(pair) == 0)
    for address in (ADDRESS, "ttlan@mic.gov.vn"):
        assert [name for _, name in stored(pair, address)] == ["earlier", "late"]


def cores_of_threads(pid: int) -> list[set[int]]:
    """Where each thread of a process may run."""
    return [os.sched_getaffinity(int(thread.name)) for thread in Path(f"/proc/{pid}/task").iterdir()]


def test_the_loop_of_a_worker_and_its_threads_for_accounts_share_a_core(server: ProcessServer) -> None:
    """Decisions 0016, 0040: loop, publisher and io on one core, workers on different ones; the others go where they like."""
    every = os.sched_getaffinity(0)
    if len(every) < 2:
        pytest.skip("one core only: all threads share it anyway")
    kill_and_wait(server, server.workers()[0])  # the one that takes its place does as it did
    taken = []
    for pid in server.workers():
        kept = [cores for cores in cores_of_threads(pid) if cores != every]
        assert len(kept) == 2 + server.config.process.io_threads
        assert all(cores == kept[0] for cores in kept)
        taken += kept[0]
    assert len(set(taken)) == 2
    (housekeeper,) = [one["pid"] for one in server.status()["processes"] if one["name"] == "house"]
    assert all(cores == every for cores in cores_of_threads(housekeeper))


def test_workers_stay_unpinned_where_the_administrator_says_so(serve_processes: Make) -> None:
    """`process.pin_workers`: for machines that do much else beside the mail."""
    server = serve_processes({"process": {"workers": 1, "pin_workers": False}})
    server.start()
    every = os.sched_getaffinity(0)
    for process in server.status()["processes"]:
        assert all(cores == every for cores in cores_of_threads(process["pid"]))
