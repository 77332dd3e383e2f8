"""What each kind of process of a server can reach: tried from inside, in a process that is confined as the server's are."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import ProcessServer, config_for
from mic_mail.process import landlock

pytestmark = pytest.mark.skipif(landlock.abi() < landlock.OLDEST_ABI, reason="this kernel has no Landlock")

KINDS = ("worker", "web", "sender", "housekeeper", "indexer")
MAY_READ = {
    "tls/key.pem": {"worker", "web", "sender", "housekeeper"},
    "dkim/key": {"sender", "housekeeper"},
    "second-factor.key": {"web", "housekeeper"},
    "directory/directory.sqlite": set(KINDS),
    "spool/live/slip": {"worker", "sender", "housekeeper"},
    "quarantine/held": {"worker", "sender", "housekeeper"},
    "archive/old": {"housekeeper"},
    "mail/message": set(KINDS),
}
INSIDE = """\
import os, socket, sys
from pathlib import Path
from mic_mail.app.confinement import confine
from mic_mail.config.load import load
role, file, port, *paths = sys.argv[1:]
config = load(Path(file))
os.umask(0o077)
parent = os.getppid()
confine(role, config)
def attempt(does):
    try:
        does()
    except OSError as error:
        return type(error).__name__
    return "done"
for path in paths:
    print(path, attempt(lambda: open(config.server.data_dir / path, "rb").read(1)))
print("dkim.write", attempt(lambda: (config.dkim_dir / "other").write_bytes(b"")))
print("elsewhere", attempt(lambda: (config.server.data_dir.parent / "elsewhere").write_bytes(b"")))
print("libraries", attempt(lambda: __import__("xml.dom.minidom")))
print("connect", attempt(lambda: socket.create_connection(("127.0.0.1", int(port)), 10).close()))
print("bind", attempt(lambda: socket.create_server(("127.0.0.1", 0)).close()))
print("signal", attempt(lambda: os.kill(parent, 0)))
print("privileges", [line.split()[1] for line in open("/proc/self/status") if line.startswith("NoNewPrivs")])
child = os.fork()
if child == 0:
    os._exit(0 if role in ("sender", "housekeeper") or attempt(lambda: os.listdir(config.dkim_dir)) == "PermissionError" else 1)
print("fork", os.waitpid(child, 0)[1])
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessServer]:
    """All processes of a server."""
    folder = tmp_path_factory.mktemp("confinement")
    settings = {"listen": {"doors": ("imaps", "https")}, "process": {"workers": 1}}
    umask = os.umask(0o077)  # for what the test makes; the program has a narrow one of its own
    started = ProcessServer(config_for(folder / "data", settings), folder)
    os.umask(0o022)
    started.start()
    os.umask(umask)
    started.wait_for(lambda state: all(one["ready"] for one in state["processes"]))
    for path in MAY_READ:
        file = started.config.server.data_dir / path
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x")
            file.chmod(0o600)
            file.parent.chmod(0o700)
    yield started
    started.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_reaches_what_it_needs(server: ProcessServer, kind: str) -> None:
    """Keys, mail and directory are open to those that need them; nobody writes elsewhere, binds a port, signals another
    process or gains a privilege, and a fork gets nothing back."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-c", INSIDE, kind, str(server.file), str(listening.getsockname()[1]), *MAY_READ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert {path for path in MAY_READ if said[path] == "done"} == {path for path, kinds in MAY_READ.items() if kind in kinds}
    assert said["dkim.write"] == ("done" if kind == "housekeeper" else "PermissionError")
    assert (said["elsewhere"], said["libraries"], said["privileges"], said["fork"]) == ("PermissionError", "done", "['1']", "0")
    if landlock.abi() >= 4:
        assert said["connect"] == ("PermissionError" if kind in ("web", "indexer") else "done")
        assert said["bind"] == "PermissionError"
    if landlock.abi() >= 6:
        assert said["signal"] == "PermissionError"


def test_the_processes_of_a_server_are_confined(server: ProcessServer) -> None:
    """Each but the supervisor gains no privilege any more, and `status` and the log say what is in force."""
    processes = server.status()["processes"]
    assert {one["name"]: one["landlock"] for one in processes} == dict.fromkeys(
        ("worker0", "house", "sender", "index", "web"), landlock.abi()
    )
    for one in processes:
        told = Path(f"/proc/{one['pid']}/status").read_text()
        assert "NoNewPrivs:\t1" in told, one["name"]
    told_in_log = {event["of"] for event in server.events() if event["event"] == "process_confined"}
    assert told_in_log == {"worker0", "house", "sender", "index", "web"}


def test_what_a_server_makes_is_its_accounts_alone(server: ProcessServer) -> None:
    """Files 0600 and folders 0700, or less: keys, directory, log, queue, locks and sockets. The certificate is everybody's."""
    wide = [
        str(path)
        for path in server.config.server.data_dir.rglob("*")
        if not path.is_symlink() and path.stat().st_mode & 0o077 and path != server.config.certificate
    ]
    assert wide == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start as root")
def test_root_is_confined_too(server: ProcessServer) -> None:
    """Where no account is set the processes keep root's uid, and what each may reach is the same."""
    pids = {one["pid"] for one in server.status()["processes"]}
    assert all("Uid:\t0" in Path(f"/proc/{pid}/status").read_text() for pid in pids)
    test_each_kind_reaches_what_it_needs(server, "worker")
