"""A cluster of three machines on this one: on each an etcd, a PostgreSQL under Patroni, and a server of mic-mail.

The machines are three addresses of 127.0.0.0/8. All is made of the files in deploy/cluster, lies in one folder, and runs as an
ordinary user; as root, PostgreSQL, Patroni and etcd run as `nobody`. An HAProxy at a fourth address stands before the servers.
Each part can be killed, stopped as by SIGSTOP, and started again: by `make cluster-demo`, and by tests.
"""

import contextlib
import os
import pwd
import re
import secrets
import signal
import socket
import string
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import programs
from harness import BASE, ProcessServer, merged
from mic_mail.auth.password_hash import DECOY_KEY
from mic_mail.config.model import Config
from waiting import wait_for

FILES = Path(__file__).parents[2] / "deploy" / "cluster"
MACHINES = (1, 2, 3)
PROGRAMS = ("postgres", "patroni", "etcd", "haproxy")
MAIL_PORTS = (25, 587, 465, 143, 993)
PORTS_FROM = 2000
"""Added to the ports of mail, which need root."""
START_SECONDS = 120.0
_ACCOUNT = "nobody"
_TEMPLATE = re.compile(rf":({'|'.join(map(str, MAIL_PORTS))})\b")


def processes_below(pid: int) -> list[int]:
    """Return a process and all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


class Part:
    """One program of a machine, with all its processes."""

    def __init__(self, name: str, log: Path, command: list[str], how: Mapping[str, Any]) -> None:
        self.name = name
        self._log = log
        self._command = command
        self._how = dict(how)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; whether it answers is for the cluster to find out."""
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._how
            )

    def pids(self) -> list[int]:
        return [] if self._process is None or self._process.poll() is not None else processes_below(self._process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to each of its processes."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._reap()

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it as an administrator does; kill it where it does not end."""
        if self._process is None or self._process.poll() is not None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(60)
            self._process = None


class Postgresql(Part):
    """The PostgreSQL of a machine: Patroni, which starts it, is a part of its own."""

    def __init__(self, name: str, data: Path) -> None:
        super().__init__(name, data, [], {})
        self._data = data

    def start(self) -> None:
        """Patroni does so."""

    def pids(self) -> list[int]:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            if Path(f"/proc/{pid}/comm").read_text().strip() == "postgres":
                return processes_below(pid)
        return []

    def stop(self) -> None:
        """Patroni does so."""
        self.kill()


class Patroni(Part):
    """Patroni alone, without the PostgreSQL that it has started."""

    def __init__(self, name: str, log: Path, command: list[str], how: Mapping[str, Any], postgresql: Postgresql) -> None:
        super().__init__(name, log, command, how)
        self._postgresql = postgresql

    def pids(self) -> list[int]:
        without = set(self._postgresql.pids())
        return [pid for pid in super().pids() if pid not in without]


class Node(ProcessServer):
    """A server of mic-mail; it is a part, too."""

    def __init__(self, name: str, config: Config, folder: Path) -> None:
        self.name = name
        self.host = str(config.listen.addresses[0])
        super().__init__(config, folder)

    def pids(self) -> list[int]:
        return [] if self.process is None or self.process.poll() is not None else processes_below(self.process.pid)

    def kill(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(60)
            self.process = None

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        self.resume()
        super().stop()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


class LocalCluster:
    """All parts, by name: `etcd1`, `patroni1`, `postgresql1`, `node1`, and so on, and `haproxy`."""

    def __init__(self, folder: Path, network: str, settings: Mapping[str, Any] | None = None) -> None:
        """`network`: the first three numbers of the addresses, as "127.7.0". `settings`: of each node, beside its file."""
        self.folder = folder
        self.front = f"{network}.10"
        self.addresses = {number: f"{network}.1{number}" for number in MACHINES}
        self._settings = settings or {}
        self._passwords = {name: secrets.token_hex(16) for name in ("SUPERUSER", "REPLICATION", "MAIL")}
        self._how = _how(folder)
        self.parts: dict[str, Part | Node] = {}
        self._own = folder / "of-postgresql"
        """What belongs to the account of PostgreSQL."""
        self.passwords_file = folder / "passwords" / "pgpass"
        """That of mic-mail: in a folder of its own, since a confined process reads nothing that lies beside its data."""
        self._prepare()

    # Parts

    @property
    def nodes(self) -> list[Node]:
        return [part for part in self.parts.values() if isinstance(part, Node)]

    def part(self, name: str) -> Part | Node:
        return self.parts[name]

    def machine(self, number: int) -> list[Part | Node]:
        """The parts of a machine, in the order in which they are killed together."""
        return [self.parts[f"{kind}{number}"] for kind in ("patroni", "postgresql", "etcd", "node")]

    def start(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Start all, and return once clients can be served."""
        tell("etcd")
        for number in MACHINES:
            self.parts[f"etcd{number}"].start()
        self.wait(lambda: all(map(self._is_decided, MACHINES)))
        self.parts["patroni1"].start()
        tell("PostgreSQL")
        self.wait(lambda: self.primary() == 1)
        for number in MACHINES[1:]:
            self.parts[f"patroni{number}"].start()
        self.wait(lambda: self.standbys() == 2)
        self._make_database()
        tell("mic-mail")
        for node in self._made_nodes():
            self.parts[node.name] = node
            node.start()
        self.parts["haproxy"].start()
        self.wait(lambda: greets(self.front, PORTS_FROM + 25))

    def stop(self) -> None:
        """Stop all that run."""
        for name in sorted(self.parts, key=lambda name: ("hnpe".index(name[0]), name)):
            with contextlib.suppress(AssertionError):
                self.parts[name].stop()

    def wait(self, fact: Callable[[], Any], seconds: float = START_SECONDS) -> Any:
        return wait_for(fact, self.described, seconds=seconds)

    def described(self) -> str:
        """Return the last lines of every log, for a failure."""
        tails = [(path.name, path.read_text(errors="replace").splitlines()[-8:]) for path in self._logs().glob("*.log")]
        return "\n".join(f"{name}: {line}" for name, lines in tails for line in lines)

    def _is_decided(self, machine: int) -> bool:
        """Whether the etcd of a machine has found the others: else Patroni waits five seconds."""
        with contextlib.suppress(OSError), urlopen(f"http://{self.addresses[machine]}:2379/version", timeout=5) as answer:
            return b"not_decided" not in answer.read()
        return False

    # PostgreSQL

    def primary(self) -> int | None:
        """The machine whose PostgreSQL takes changes; None where there is none, or two say so."""
        found = [number for number in MACHINES if self.ask(number, "SELECT pg_is_in_recovery()") == "f"]
        return found[0] if len(found) == 1 else None

    def standbys(self) -> int:
        """How many standbys COMMIT may wait for."""
        primary = self.primary()
        asked = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'"
        return int(self.ask(primary, asked) or 0) if primary else 0

    def ask(self, machine: int, sql: str, database: str = "postgres") -> str | None:
        """The answer of one machine's PostgreSQL; None where it gives none."""
        command = [str(self._bin() / "psql"), "-XAtqw", "-v", "ON_ERROR_STOP=1", "-c", sql, self._string(machine, database)]
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=10, check=False,
                env=os.environ | {"PGPASSWORD": self._passwords["SUPERUSER"]},
            )  # fmt: skip
            if done.returncode == 0:
                return done.stdout.strip()
        return None

    def _string(self, machine: int, database: str) -> str:
        return f"host={self.addresses[machine]} user=postgres dbname={database} connect_timeout=3"

    # How it is made

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._logs().mkdir(exist_ok=True)
        self._own.mkdir(exist_ok=True)
        self.passwords_file.parent.mkdir(exist_ok=True)
        self.passwords_file.write_text(f"*:*:*:mic-mail:{self._passwords['MAIL']}\n")
        self.passwords_file.chmod(0o600)
        if "user" in self._how:
            os.chown(self._own, self._how["user"], -1)
        for number in MACHINES:
            self._prepare_machine(number)
        file = self._written("haproxy.cfg", self.folder / "haproxy.cfg", 1)
        self.parts["haproxy"] = Part(
            "haproxy", self._logs() / "haproxy.log", [_program("haproxy"), "-db", "-f", str(file)], {"cwd": self.folder}
        )

    def _prepare_machine(self, number: int) -> None:
        values = self._values(number)
        environment = self._written("etcd.env", self._own / f"etcd{number}.env", number).read_text()
        lines = [line.partition("=") for line in environment.splitlines() if line and not line.startswith("#")]
        etcd = {name: value for name, _, value in lines}
        self.parts[f"etcd{number}"] = Part(
            f"etcd{number}", self._logs() / f"etcd{number}.log", [_program("etcd")], self._how | {"env": os.environ | etcd}
        )
        postgresql = Postgresql(f"postgresql{number}", Path(values["POSTGRESQL_DATA"]))
        self.parts[postgresql.name] = postgresql
        socket_folder = self._own / f"socket{number}"
        socket_folder.mkdir(exist_ok=True)
        if "user" in self._how:
            os.chown(socket_folder, self._how["user"], -1)
        file = self._written("patroni.yml", self._own / f"patroni{number}.yml", number)
        self.parts[f"patroni{number}"] = Patroni(
            f"patroni{number}",
            self._logs() / f"patroni{number}.log",
            [_program("patroni"), str(file)],
            self._how | {"env": {**os.environ, "PATRONI_LOG_LEVEL": "INFO"}},
            postgresql,
        )

    def _values(self, number: int) -> dict[str, str]:
        """What stands in deploy/cluster/cluster.env for a machine."""
        places = {f"ADDRESS{each}": address for each, address in self.addresses.items()}
        return places | {
            "NAME": f"node{number}",
            "ADDRESS": self.addresses[number],
            "FRONT": self.front,
            "MACHINES": "127.0.0.0/8",
            "ETCD_DATA": str(self._own / f"etcd{number}"),
            "POSTGRESQL_DATA": str(self._own / f"postgresql{number}"),
            "POSTGRESQL_BIN": str(self._bin()),
            "SOCKET": f"../socket{number}",  # seen from its data: no path is too long for it
            **{f"{name}_PASSWORD": password for name, password in self._passwords.items()},
        }

    def filled(self, name: str, number: int) -> str:
        """One of the files of deploy/cluster with the values of a machine in it."""
        text = string.Template((FILES / name).read_text()).substitute(self._values(number))
        return _TEMPLATE.sub(lambda found: f":{PORTS_FROM + int(found[1])}", text) if name == "haproxy.cfg" else text

    def _written(self, name: str, path: Path, number: int) -> Path:
        path.touch(0o600)
        path.write_text(self.filled(name, number))
        if "user" in self._how:
            os.chown(path, self._how["user"], -1)
        return path

    def _make_database(self) -> None:
        for statement in self.filled("database.sql", 1).split(";\n"):
            if statement.strip():
                assert self.ask(self.primary() or 1, statement) is not None, statement

    def _made_nodes(self) -> Iterator[Node]:
        ports = {
            door: PORTS_FROM + port
            for door, port in zip(("smtp", "submission", "submissions", "imap", "imaps"), MAIL_PORTS, strict=True)
        }
        decoy_key = secrets.token_bytes(32)
        for number in MACHINES:
            folder = self.folder / f"node{number}"
            folder.mkdir(exist_ok=True)
            own = tomllib.loads(self.filled("mic-mail.toml", number))
            listening = {"listen": {**ports, "doors": tuple(ports)}, "server": {"data_dir": folder / "data"}}
            settings = merged(merged(merged(BASE, listening), own), self._settings)
            node = Node(f"node{number}", Config.model_validate(settings), folder)
            (folder / "data" / DECOY_KEY).write_bytes(decoy_key)
            yield node

    def _logs(self) -> Path:
        return self.folder / "logs"

    def _bin(self) -> Path:
        return Path(_program("postgres")).parent


@contextlib.contextmanager
def local_cluster(
    folder: Path, network: str, settings: Mapping[str, Any] | None = None, *, tell: Callable[[str], None] = lambda _: None
) -> Iterator[LocalCluster]:
    """Make a cluster in an empty folder and start it; stop it in the end, whatever became of its parts."""
    cluster = LocalCluster(folder, network, settings)
    before = os.environ.get("PGPASSFILE")
    os.environ["PGPASSFILE"] = str(cluster.passwords_file)
    try:
        cluster.start(tell)
        yield cluster
    finally:
        cluster.stop()
        del os.environ["PGPASSFILE"]
        if before is not None:
            os.environ["PGPASSFILE"] = before


def _program(name: str) -> str:
    found = programs.find(name)
    assert found is not None, name
    return found


def _how(folder: Path) -> dict[str, Any]:
    """How the processes are started that root must not own."""
    if os.geteuid() != 0:
        return {"cwd": folder}
    return {"cwd": folder, "user": pwd.getpwnam(_ACCOUNT).pw_uid, "extra_groups": []}


def greets(host: str, port: int) -> bool:
    """Whether a server greets there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 5) as client:
        client.settimeout(5)
        return bool(client.recv(10))
    return False
