"""Running servers for tests: in a thread with a clock of the test's own, or as the real processes of `mic-mail serve`.

Both run on free ports of 127.0.0.1 in a fresh data folder, with a self-signed certificate and a population.
Whatever clock a server has, its certificate is valid by the machine's, which clients look at.
`MailServer` is the whole composition on an event loop in a thread, so that blocking clients (imaplib, smtplib) and clients on
the test's loop can be used alike; `call` runs a coroutine on the server's loop. `ProcessServer` is a supervisor with workers.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import uvloop

import mailboxes_in_database
from embedded import RunningServer, start_in_process
from mic_mail.clock import Clock, SystemClock
from mic_mail.config.manual import write
from mic_mail.config.model import Config
from mic_mail.errors import Trouble
from mic_mail.net.listeners import WEB_DOORS
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.process import status
from mic_mail.process.data_locks import LOCK_FILE
from mic_mail.process.startup import make_folders
from mic_mail.queue.notifications import notify_decided
from mic_mail.services.mailboxes.clock_trust import ClockMark
from mic_mail.storage.index.change_marks import CHANGE_MARKS
from mic_mail.storage.types import AccountRef
from population import Population
from waiting import PATIENCE_SECONDS, wait_for

T = TypeVar("T")
NAMES = ["mail.mic.gov.vn", "localhost", "127.0.0.1"]
BASE: dict[str, Any] = {
    "server": {},
    "listen": {
        "addresses": ("127.0.0.1",),
        "doors": ("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s"),
        **dict.fromkeys(
            ("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "ldap", "ldaps", "http", "https"), 0
        ),
    },
    # Passwords last for ever: mailboxes of tests are as old as a test wants, and what age does to them has tests of its own.
    # SCRAM is offered in TLS 1.3, as Python's own clients speak it; what is offered by default has a test of its own.
    "auth": {"argon2_memory": "8 MiB", "argon2_time": 1, "password_age": 0, "scram_in_tls13": True},
    "limits": {"exempt_networks": ("127.0.0.0/8",)},
    "process": {"io_threads": 4, "hash_threads": 1, "drain_seconds": 5},
    "storage": {"reserve": "1 MiB"},
}


def english(said: bytes) -> bytes:
    """The English line of an SMTP refusal as smtplib gives it, without the code; the Vietnamese line stands before it."""
    vietnamese, _, words = said.rpartition(b"\n")
    assert vietnamese.isascii()
    assert vietnamese.split(b" ")[0] == words.split(b" ")[0], said
    return words


def without_reference(said: bytes) -> bytes:
    """What a person is told, in both languages, but for the id of the event in the log, which no two answers share."""
    return re.sub(rb", (ma|reference) \w+", b"", said)


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `more` in their places."""
    result = dict(base)
    for key, value in more.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, Mapping) else value
    return result


def config_for(data_dir: Path, settings: Mapping[str, Any] | None = None) -> Config:
    """A configuration for tests; `settings` is the tree of what differs, like `{"auth": {"cleartext": True}}`."""
    base = merged(BASE, {"server": {"data_dir": data_dir}})
    if mailboxes_in_database.is_chosen():
        base = merged(base, {"storage": {"database": mailboxes_in_database.new_database()}})
    return Config.model_validate(merged(base, settings or {}))


def left_in_staging(mail_root: Path) -> list[Path]:
    """Files of messages that were not published; what is refused by IMAP is thrown away just behind the answer."""
    with contextlib.suppress(AssertionError):
        wait_for(lambda: not list(mail_root.glob("*/*/Maildir/tmp/*")))
    return list(mail_root.glob("*/*/Maildir/tmp/*"))


def files_in(folder: Path) -> list[Path]:
    """Every file below a folder of the data but its lock."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK_FILE]


def trusting(config: Config) -> ssl.SSLContext:
    """A client's context that trusts this server's certificate and checks its name (`localhost`)."""
    return ssl.create_default_context(cafile=str(config.certificate))


class MailServer:
    """A server on an event loop in a thread of its own."""

    host = "127.0.0.1"

    def __init__(self, config: Config, clock: Clock | None = None, *, housekeeper: bool = True) -> None:
        """Without `housekeeper` the test has one of its own."""
        self.clock = clock or SystemClock()
        self.config = config
        make_folders(config)
        write_pair(config.certificate, config.key, self_signed(NAMES, SystemClock().now()))
        self.population = Population(config.directory_url, self.clock)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server", daemon=True)
        self._thread.start()
        self.running: RunningServer = self.call(start_in_process(config, self.clock, housekeeper=housekeeper))
        self.ports = self.running.ports

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop and wait for its result; never from that loop."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(60)

    def issue(self, local: str, **how: Any) -> Any:
        """A mailbox (see `Population.issue`) that the server knows at once."""
        mailbox = self.population.issue(local, **how)
        self.refresh()
        return mailbox

    def record(self, mailbox: Any, *drafts: Any) -> None:
        """Facts that the server knows at once."""
        self.population.record(mailbox, *drafts)
        self.refresh()

    def allow(self, mailbox: Any, person: Any, part: str, rights: str | None = None, until: str | None = None) -> None:
        """An authority (see `Population.allow`) that the server knows at once."""
        self.population.allow(mailbox, person, part, rights, until)
        self.refresh()

    def deny(self, mailbox: Any, person: Any) -> None:
        """Its end."""
        self.population.deny(mailbox, person)
        self.refresh()

    def keep_seen(self, mailbox: Any, *, each: bool, persons: Iterable[Any] = ()) -> None:
        """As `mailbox seen` does it; the mailbox's own sign-in is among those who begin at once."""
        account = self.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        account.keep_seen(each=each, persons=[mailbox.address, *(person.address for person in persons)])

    def suspend(self, mailbox: Any) -> None:
        """Reg. 7.2.c, now."""
        self.record(mailbox, Draft(FactKind.SUSPENDED, self.clock.now(), "test", data={"cause": "c"}))

    def refresh(self) -> None:
        self.call(self.running.refresh())

    def move_clock_to(self, instant: datetime) -> None:
        """Only with a `ManualClock`."""
        self.call(self.running.move_clock_to(instant))

    def set_clock_to(self, instant: datetime) -> None:
        """Likewise; no time passes."""
        self.call(self.running.set_clock_to(instant))

    def confirm_clock(self) -> None:
        """As `mic-mail clock confirm`, which each process sees within a second: what was moved far is believed."""
        ClockMark(self.config.state_dir, self.clock).confirm(self.population.directory.newest_fact())
        self.call(self.running.context.clock_watcher.check())

    def housekeep(self) -> None:
        self.call(self.running.housekeep())

    def tls(self) -> ssl.SSLContext:
        return trusting(self.config)

    def events(self) -> list[dict[str, Any]]:
        """What has happened so far, as the mail log tells it."""
        self.running.context.log.flush()
        return read_events(self.config.log_dir)

    def stop(self) -> None:
        if self._loop.is_closed():
            return
        self.call(self.running.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.population.close()


def read_events(log_dir: Path) -> list[dict[str, Any]]:
    """All events of all segments, by time. A line that is still being written is left out."""
    lines = [line for path in log_dir.glob("*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    events = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return sorted(events, key=lambda event: event.get("at", ""))


def open_to_others(folder: Path, *public: Path) -> list[str]:
    """Return what is below a folder that others than its account can open in any way, but for what is `public`."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # its server goes on
            if path not in public and not path.is_symlink() and path.stat().st_mode & 0o077:
                found.append(f"{path} {path.stat().st_mode:o}")
    return found


STAYING = """\
from mic_mail.app import indexer, scheduled_jobs
from mic_mail.cli.entrypoint import run
indexer.IDLE_SECONDS = scheduled_jobs.SENDER_IDLE_SECONDS = float("inf")
run()
"""
"""The program for tests that look at processes: none of them ends for lack of work."""


class ProcessServer:
    """`mic-mail serve` with its real processes."""

    host = "127.0.0.1"

    def __init__(self, config: Config, folder: Path) -> None:
        self.config = config
        self.file = folder / "mic-mail.toml"
        self.file.write_text(write(config))
        make_folders(config)
        write_pair(config.certificate, config.key, self_signed(NAMES, SystemClock().now()))
        self.population = Population(config.directory_url, SystemClock())
        self.process: subprocess.Popen[bytes] | None = None
        self._old_events = 0
        self.program = ["-m", "mic_mail"]
        """What Python runs."""

    def start(self) -> None:
        """Start, and wait until every process is ready that always runs."""
        command = [sys.executable, *self.program, "--config", str(self.file), "serve"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.wait_for(lambda state: state["ready"])
        self.ports = self.status()["ports"]

    def start_all(self) -> dict[str, Any]:
        """Give those processes something to do that run on demand, and return the state then.

        A decision on no message, a change of no mailbox, a connection.
        """
        (self.config.queue_dir / "said" / "NONE").touch()
        notify_decided(self.config.run_dir)
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.config.mail_root / CHANGE_MARKS)
        for door in WEB_DOORS & self.ports.keys():
            socket.create_connection((self.host, self.ports[door]), PATIENCE_SECONDS).close()
        return self.wait_for(lambda state: all(one["ready"] and one["pid"] for one in state["processes"]))

    def wait_for(self, wanted: Any, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Until the status is as wanted."""
        assert self.process is not None
        limit, state = time.monotonic() + seconds, None
        while time.monotonic() < limit:
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}"
            with contextlib.suppress(Trouble):  # it is busy beside others
                state = status.read(self.config.run_dir)
                if state is not None and wanted(state):
                    return dict(state)
            time.sleep(0.05)  # before the next look
        raise AssertionError(f"not within {seconds} s: {state}")

    def status(self) -> dict[str, Any]:
        return self.wait_for(lambda _: True)

    def workers(self) -> list[int]:
        """Process ids of the workers that live now."""
        return [one["pid"] for one in self.status()["processes"] if one["name"].startswith("worker") and one["pid"]]

    def indexed(self) -> int:
        """How many messages the indexer has read since it began."""
        return sum(one.get("indexed", 0) for one in self.status()["processes"])

    def connected(self, door: str, wanted: int) -> list[int]:
        """How many connections each worker has, once they have so many together."""

        def each(state: dict[str, Any]) -> list[int]:
            return [one["connections"][door] for one in state["processes"] if one["ready"] and one["name"].startswith("worker")]

        return each(self.wait_for(lambda state: sum(each(state)) == wanted))

    def kill_workers(self) -> None:
        for pid in self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill everything at once, as a power cut would, but for the kernel's memory."""
        assert self.process is not None
        pids = [one["pid"] for one in self.status()["processes"] if one["pid"]]
        self.process.kill()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        self.process = None

    def tls(self) -> ssl.SSLContext:
        return trusting(self.config)

    def events(self) -> list[dict[str, Any]]:
        """Since `forget_events`, as far as it is written: a process writes an event up to 100 ms after it, and later when it
        has to wait for a core. Wait for what is expected; of the supervisor alone each is written where it happens."""
        return read_events(self.config.log_dir)[self._old_events :]

    def forget_events(self) -> None:
        self._old_events = len(read_events(self.config.log_dir))

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(30)
        self.process = None
        return code

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.terminate()
        events = []
        with contextlib.suppress(ValueError):  # some tests damage the log
            events = self.events()
        for event in events:  # a test that fails shows why a process did
            if event.get("event") == "process_failed":
                print(event.get("error"), event.get("where", ""), file=sys.stderr)
        self.population.close()


def rests(process: dict[str, Any]) -> bool:
    """Whether the process runs on demand, and nothing is there for it to do."""
    return process.get("resting") is True


class Standing:
    """One server of processes for all tests of a module: starting one takes longer than most of what is tried on it.

    Whoever gets it finds all its processes ready, its file as it was, and no events of others. Where a test has left it
    otherwise, the next one gets a new server.
    """

    def __init__(self, make: Callable[[int], ProcessServer]) -> None:
        self._make = make
        self._made = 0
        self._server: ProcessServer | None = None
        self._file = ""

    def get(self) -> ProcessServer:
        if self._server is None or not self._is_sound(self._server):
            self.stop()
            self._server = self._make(self._made)
            self._made += 1
            self._file = self._server.file.read_text()
            self._server.start()
        self._server.forget_events()
        return self._server

    def _is_sound(self, server: ProcessServer) -> bool:
        try:
            server.wait_for(lambda state: all(one["ready"] and (one["pid"] or rests(one)) for one in state["processes"]), 20)
        except AssertionError:
            return False
        return server.file.is_file() and server.file.read_text() == self._file

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None


@contextlib.contextmanager
def stopping(servers: list[Any]) -> Iterator[None]:
    """Stop every server at the end, the newest first."""
    try:
        yield
    finally:
        for server in reversed(servers):
            server.stop()
