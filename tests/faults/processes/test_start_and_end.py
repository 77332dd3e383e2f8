"""How the processes of a server start and end together, and what keeps a second server out."""

import os
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from faults.process_servers import Make
from faults.processes.conftest import sign_in, zombie
from harness import NAMES, ProcessServer
from mic_mail.clock import SystemClock
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.process.data_locks import LOCK_FILE
from waiting import wait_for


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


def test_what_a_killed_process_has_left_of_a_state_file_is_removed(serve_processes: Make) -> None:
    """Killed in `replace_durably`, a process leaves its temporary file: the next start removes it, but no other's."""
    server = serve_processes({"process": {"workers": 1}})
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    state = server.config.state_dir
    left, others = state / f"clock.mark.{gone.pid}.tmp", [state / f"clock.mark.{os.getpid()}.tmp", state / "notes.tmp"]
    for path in (left, *others):
        path.touch()
    server.start()
    assert not left.exists()
    assert all(path.exists() for path in others)


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


@pytest.mark.slow
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


@pytest.mark.slow
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
