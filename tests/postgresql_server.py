"""A PostgreSQL of the test's own: its data in a folder that goes with it, reached by a socket in it and by nothing else."""

import atexit
import contextlib
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from programs import need
from waiting import wait_for

_USER = "nobody"
"""Whose processes they are where the tests run as root, as whom PostgreSQL refuses to run."""
_SETTINGS = {"listen_addresses": "", "fsync": "off", "shared_buffers": "16MB", "max_connections": "100"}


@dataclass
class PostgresqlServer:
    """One that runs."""

    folder: Path
    programs: Path
    how: dict[str, Any]
    """How its processes are started."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def connection_string(self) -> str:
        return f"host={self.folder} user=test dbname=postgres"

    def start(self, **settings: str) -> None:
        """Start it with these settings beside its usual ones, until it answers."""
        options = [word for name, value in (_SETTINGS | settings).items() for word in ("-c", f"{name}={value}")]
        with open(self.folder / "log", "ab") as log:
            command = [self.programs / "postgres", "-D", "data", "-k", self.folder, *options]
            self.process = subprocess.Popen(command, **self.how, stderr=log)
        wait_for(self.answers, (self.folder / "log").read_text)

    def stop(self) -> None:
        """Stop it at once, whoever is connected."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
            self.process = None

    def pause(self) -> None:
        """Stop its process that takes connections, as where a machine hangs; `resume` lets it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def psql(self, script: str) -> str:
        """Run SQL, each statement by itself, up to the first that fails; return the rows, a line each, with tabs."""
        options = "-XAtq -v ON_ERROR_STOP=1 -U test postgres".split()
        command = [self.programs / "psql", "-F", "\t", "-h", self.folder, *options]
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def forbid_writing(self, pid: int) -> None:
        """Let each write to a file fail in one of its processes, those to its log among them."""
        subprocess.run(["prlimit", f"--pid={pid}", "--fsize=0"], **self.how, timeout=60, check=True)

    def answers(self) -> bool:
        with contextlib.suppress(AssertionError):
            self.psql("SELECT 1")
            return True
        return False


@functools.cache
def _template() -> Path:
    """Data that has just been made: to copy them takes a fifth of the time."""
    folder = Path(tempfile.mkdtemp(prefix="mic-mail-postgresql-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    initdb = [Path(need("postgres")).with_name("initdb"), "-D", "data", "-U", "test", "-A", "trust"]
    _run([*initdb, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], _how(folder))
    return folder


def _how(folder: Path) -> dict[str, Any]:
    """How processes of a server in a folder are started."""
    if os.geteuid() != 0:
        return {"cwd": folder}
    os.chown(folder, pwd.getpwnam(_USER).pw_uid, -1)
    return {"cwd": folder, "user": _USER, "extra_groups": []}


def _run(command: Sequence[str | Path], how: dict[str, Any]) -> None:
    done = subprocess.run(command, **how, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def postgresql_server(*, is_standby: bool = False, **settings: str) -> Iterator[PostgresqlServer]:
    """Make one with these settings beside its usual ones, and stop it in the end.

    `is_standby`: it only reads, until it is promoted. It follows nobody.
    """
    programs = Path(need("postgres")).parent
    folder = Path(tempfile.mkdtemp(prefix="mic-mail-postgresql-"))
    server = PostgresqlServer(folder, programs, _how(folder))
    try:
        _run(["cp", "-a", _template() / "data", folder], {})
        if is_standby:
            (folder / "data" / "standby.signal").touch()
        server.start(**settings)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
