"""Two servers never use one part of the data, whoever is killed (`process.data_locks`), by the real processes."""

import contextlib
import os
import signal
import smtplib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.outgoing import ZONE, elsewhere, letter
from dns_server import name_server
from harness import ProcessServer
from mic_mail.config.manual import write
from mic_mail.config.model import Config
from mic_mail.process import status
from waiting import wait_for

pytestmark = pytest.mark.slow

PASSWORD = "mat khau 2026 dung de thu"
MESSAGES = 8


def beside(server: ProcessServer, folder: Path) -> tuple[Config, list[str]]:
    """A second server of the same data with its own sockets: its configuration, and the command that starts it."""
    folder.mkdir()
    told = server.config.model_dump()
    told["server"]["run_dir"] = folder / "run"
    config = Config.model_validate(told)
    (folder / "mic-mail.toml").write_text(write(config))
    return config, [sys.executable, "-m", "mic_mail", "--config", str(folder / "mic-mail.toml"), "serve"]


def signed_in(server: ProcessServer) -> smtplib.SMTP_SSL:
    smtp = smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls(), timeout=60)
    smtp.login("dvbe", PASSWORD)
    return smtp


def queued(config: Config) -> int:
    return len(list((config.queue_dir / "live").glob("*.env")))


def test_a_second_server_sends_nothing_that_the_first_one_sends(
    serve_processes: Callable[..., ProcessServer], tmp_path: Path
) -> None:
    """With sockets of its own and the data of another it ends with 3 and names that one; beside a worker that outlives its
    supervisor, as a client still sends it a message, it waits for the end of that. Each message leaves once."""
    with elsewhere() as (other, port), name_server(ZONE) as names:
        server = serve_processes({
            "dns": {"nameservers": (names.place,)}, "sending": {"port": port}, "process": {"workers": 1, "drain_seconds": 60},
        })  # fmt: skip
        server.population.issue("dvbe", password=PASSWORD)
        server.start()
        assert server.process is not None
        [sender] = [one["pid"] for one in server.start_all()["processes"] if one["name"] == "sender"]
        os.kill(sender, signal.SIGSTOP)
        config, command = beside(server, tmp_path / "second")
        client = signed_in(server)
        for number in range(MESSAGES):
            client.send_message(letter("b@one.example", subject=f"m{number}."))
        wait_for(lambda: queued(config) == MESSAGES)
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 3
        assert f"host {os.uname().nodename}, pid {server.process.pid}, since" in " ".join(refused.stderr.split())
        assert "Traceback" not in refused.stderr
        client.mail("dvbe@mic.gov.vn")
        client.rcpt("b@one.example")
        client.putcmd("DATA")
        assert client.getreply()[0] == 354
        server.process.kill()
        server.process.wait()
        with contextlib.suppress(ProcessLookupError):  # Linux wakes it itself where its new parent is of another session
            os.kill(sender, signal.SIGCONT)
        server.process = None
        second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert second.stderr is not None
            assert "Đang chờ tiến trình con" in second.stderr.readline()
            assert "Waiting for child processes" in second.stderr.readline()
            assert status.read(config.run_dir) is None
            client.send(letter("b@one.example", subject="last.").as_bytes() + b".\r\n")
            assert client.getreply()[0] == 250
            client.close()
            wait_for(lambda: (status.read(config.run_dir) or {}).get("ready"))
            wait_for(lambda: not queued(config) and len(other.messages) > MESSAGES)
        finally:
            second.terminate()
            second.communicate(timeout=60)
    arrived = Counter(line for octets in other.messages for line in octets.splitlines() if line.startswith(b"Subject: "))
    assert sorted(arrived.values()) == [1] * (MESSAGES + 1)
