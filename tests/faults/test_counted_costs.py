"""What one piece of work costs that is no time: system calls, flushes, octets written, turns of the loop, statements, threads.

The counts are of `REPEATS` pieces after one another, settled, by one client, divided by their number. Other work of the machine
makes them larger, never smaller (what comes slowly is settled more often), so the least of several measurements counts. Each
bound is a fifth above what it is today: who makes something cheaper lowers its bound.
"""

import os
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from faults.system_calls import calls, tracing
from faults.wire import Cut, Imap, Smtp
from harness import MailServer, ProcessServer
from mic_mail.process.executors import Executor
from mic_mail.storage.maildir.cached_read import CachedReader
from population import PASSWORD
from store_harness import REF, Root, inbox
from store_harness import deliver as deliver_to

DVBE = "dvbe@mic.gov.vn"
REPEATS, TRIES = 20, 5
OCTETS = 4096
LETTER = b"From: <a@example.org>\r\nSubject: cost\r\nMessage-ID: <%d@example.org>\r\n\r\n" + b"xin chao cac ban\r\n" * 224
WITH_FILE = (
    b"From: <a@example.org>\r\nSubject: cost\r\nMessage-ID: <%d@example.org>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: application/pdf; name="%d.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    + (b"QUJD" * 19 + b"\r\n")
    * 474
)
"""37 KB, as an office's messages are in the mean."""
SETTINGS: dict[str, Any] = {"process": {"workers": 1}, "auth": {"cleartext": True}, "search": {"enabled": False}}
"""The indexer's process is not counted, and would read what is written."""
WAITS = frozenset({"epoll_wait", "epoll_pwait", "epoll_pwait2"})
IN_PROCESS = ("statements", "hops", "calls")
"""What is counted in a server of this process; the rest is seen from outside."""
FLUSHES = frozenset({"fsync", "fdatasync", "syncfs"})
WRITES = frozenset({"write", "pwrite64", "writev", "pwritev"})
NOT_TRACED = "!futex,clock_nanosleep,sched_yield,madvise,mmap,munmap,brk,mprotect,getrandom,gettid,rt_sigprocmask"
"""What depends on how threads meet and on the allocator."""


@dataclass(frozen=True)
class Clients:
    """Those of one test, signed in."""

    server: MailServer | ProcessServer
    smtp: Smtp
    imap: Imap
    """With INBOX selected."""
    filing: Imap
    """With nothing selected, as a program that files sent mail by a connection of its own."""


def deliver(clients: Clients, number: int) -> None:
    clients.smtp.deliver([DVBE], LETTER % number)


def append(clients: Clients, number: int) -> None:
    octets = LETTER % number
    clients.imap.command(b"APPEND INBOX {%d+}\r\n%b" % (len(octets), octets))


def file_away(clients: Clients, number: int) -> None:
    octets = WITH_FILE % (number, number)
    clients.filing.command(b"APPEND Archive (\\Seen) {%d+}\r\n%b" % (len(octets), octets))


def store(clients: Clients, number: int) -> None:
    clients.imap.command(b"STORE %d %bFLAGS (\\Flagged)" % (1 + number % 3, b"+-"[number // 3 % 2 :][:1]))


def fetch(clients: Clients, number: int) -> None:
    clients.imap.command(b"UID FETCH %d (BODY.PEEK[])" % (1 + number % 3))


def select(clients: Clients, _number: int) -> None:
    clients.imap.command(b"SELECT INBOX")


def noop(clients: Clients, _number: int) -> None:
    clients.imap.command(b"NOOP")


def sign_in(clients: Clients, _number: int) -> None:
    with closing(Imap(clients.server.ports["imap"], DVBE, PASSWORD)) as client, suppress(Cut):
        client.command(b"LOGOUT")


LEAVING = (deliver, append, file_away, store)
"""Work of which something is left to do behind the answer, such as the names of files."""
SETTLED_SECONDS = 4.0


@dataclass(frozen=True)
class Cost:
    """Of one piece."""

    system_calls: float
    """Without those that wait or belong to the allocator."""
    flushes: float
    """fsync, fdatasync, syncfs."""
    octets: float
    """Written to files."""
    turns: float
    """Times the loop waited for something to happen."""
    statements: float
    """Of SQL, in all databases."""
    hops: float
    """Calls given to a thread."""
    calls: float
    """Of functions written in Python, in all threads of the server; a generator that goes on counts as one."""


WORKS: dict[str, tuple[Callable[[Clients, int], None], Cost]] = {
    "delivery of 4 KiB": (
        deliver,
        Cost(system_calls=77, flushes=1.4, octets=46_000, turns=17, statements=8.4, hops=1.2, calls=980),
    ),
    "APPEND of 4 KiB": (
        append,
        Cost(system_calls=74, flushes=1.4, octets=47_000, turns=11.5, statements=8.4, hops=1.2, calls=820),
    ),
    "APPEND of 37 KB with nothing selected": (
        file_away,
        Cost(system_calls=70, flushes=1.4, octets=115_000, turns=12, statements=8.4, hops=1.2, calls=710),
    ),
    "STORE of one message": (
        store,
        Cost(system_calls=54, flushes=0.1, octets=23_000, turns=10.5, statements=6.8, hops=1.2, calls=430),
    ),
    "FETCH of one body": (fetch, Cost(system_calls=9, flushes=0, octets=100, turns=1.4, statements=0, hops=0, calls=148)),
    "SELECT": (select, Cost(system_calls=12, flushes=0, octets=100, turns=1.4, statements=0, hops=0, calls=280)),
    "NOOP": (noop, Cost(system_calls=5, flushes=0, octets=100, turns=1.4, statements=0, hops=0, calls=84)),
    "sign-in with a known password": (
        sign_in,
        Cost(system_calls=18, flushes=0, octets=1000, turns=5.9, statements=0, hops=0, calls=530),
    ),
}
"""The octets of what changes nothing are lines of the log. Of those of a delivery, 8 KB are the journal's, 4 KB the message's
own file and 28 KB the index's write-ahead log: seven pages, as a STORE writes five."""


@contextmanager
def clients_of(server: MailServer | ProcessServer) -> Iterator[Clients]:
    """Connected, INBOX selected, and each piece of work done some times."""
    port = server.ports["imap"]
    with (
        closing(Smtp(server.ports["smtp"])) as smtp,
        closing(Imap(port, DVBE, PASSWORD)) as imap,
        closing(Imap(port, DVBE, PASSWORD)) as filing,
    ):
        clients = Clients(server, smtp, imap, filing)
        imap.command(b"SELECT INBOX")
        for new in server.config.mail_root.glob("*/*/Maildir/new"):  # else it has changed just now, for two seconds
            os.utime(new, (1_500_000_000, 1_500_000_000))
        for work, _ in WORKS.values():
            for number in range(4):
                work(clients, number)
        yield clients


def works_here(folder: Path) -> Iterator[tuple[str, Callable[[Clients, int], None], dict[str, float]]]:
    """Name, work and bounds; FETCH only where the kernel has reads that do not wait, since else a thread reads."""
    file = folder / "read"
    file.write_bytes(LETTER)
    for name, (work, cost) in WORKS.items():
        if work is not fetch or CachedReader().read(str(file), len(LETTER)) is not None:
            yield name, work, asdict(cost)


def least(measure: Callable[[], dict[str, float]], most: dict[str, float]) -> dict[str, float]:
    """The least of each count, measured until all are within their bounds, or `TRIES` times."""
    found = measure()
    for _ in range(TRIES - 1):
        if all(found[name] <= most[name] for name in most):
            break
        again = measure()
        found = {name: min(found[name], again[name]) for name in found}
    return found


def too_many(found: dict[str, float], most: dict[str, float]) -> dict[str, str]:
    return {name: f"{found[name]:g}, at most {most[name]:g}" for name in most if found[name] > most[name]}


def traced(clients: Clients, work: Callable[[Clients, int], None], pid: int, trace: Path) -> dict[str, float]:
    """The counts of a worker under strace."""
    with tracing(pid, trace, "-s0", f"-etrace={NOT_TRACED}"):
        for number in range(REPEATS):
            work(clients, number)
        time.sleep(SETTLED_SECONDS if work in LEAVING else 0)  # what is done behind the answers belongs to them
    found: Counter[str] = Counter()
    for call in calls(trace.read_text(errors="replace").splitlines()):
        found["turns" if call.name in WAITS else "system_calls"] += 1
        found["flushes"] += call.name in FLUSHES
        if call.name in WRITES and call.arguments.partition("<")[2].startswith("/"):
            found["octets"] += int(call.arguments.rpartition("= ")[2])
    return {name: found[name] / REPEATS for name in ("system_calls", "flushes", "octets", "turns")}


def test_system_calls(serve_processes: Callable[..., ProcessServer], tmp_path: Path) -> None:
    """Of a worker, flushes and octets written to files among them, and turns of its loop."""
    server = serve_processes(SETTINGS)
    server.population.issue("dvbe")
    server.start()
    missed = {}
    with clients_of(server) as clients:
        for name, work, cost in works_here(tmp_path):
            most = {key: value for key, value in cost.items() if key not in IN_PROCESS}
            missed[name] = too_many(
                least(lambda work=work: traced(clients, work, server.workers()[0], tmp_path / "trace"), most), most
            )
    assert not any(missed.values()), missed


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Counts the statements of all databases opened from here on, the calls given to threads, and those of functions in
    threads that begin from here on."""
    found: Counter[str] = Counter()

    def profile(_frame: object, event: str, _argument: object) -> None:
        if event == "call":
            found["calls"] += 1

    def note(_statement: str) -> None:
        found["statements"] += 1

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = opened(*arguments, **options)
        connection.set_trace_callback(note)
        return connection

    def submit(self: Executor, receiver: Any, call: Any, after: Any) -> None:
        found["hops"] += 1
        submitted(self, receiver, call, after)

    opened, submitted = sqlite3.connect, Executor._submit_to
    monkeypatch.setattr(sqlite3, "connect", connect)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", connect)
    monkeypatch.setattr(Executor, "_submit_to", submit)
    threading.setprofile(profile)
    yield found
    threading.setprofile(None)


def test_statements_and_threads(counted: Counter[str], serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """Statements of SQL, calls that are given to a thread, and calls of functions."""
    server = serve(SETTINGS)
    server.issue("dvbe")
    missed = {}
    with clients_of(server) as clients:

        def measure(work: Callable[[Clients, int], None]) -> dict[str, float]:
            before = counted.copy()
            for number in range(REPEATS):
                work(clients, number)
            return {name: (counted[name] - before[name]) / REPEATS for name in IN_PROCESS}

        for name, work, cost in works_here(tmp_path):
            most = {name: cost[name] for name in IN_PROCESS}
            missed[name] = too_many(least(lambda work=work: measure(work), most), most)
    assert not any(missed.values()), missed


LEAVES_LOG = sys.version_info >= (3, 12)
"""Before, sqlite3 cannot keep the log: its header and its directory are synced in the next delivery."""


def flushes_in(trace: Path) -> Counter[str]:
    """By the path of what is flushed."""
    flushed: Counter[str] = Counter()
    for call in calls(trace.read_text(errors="replace").splitlines()):
        flushed[call.arguments.partition("<")[2].partition(">")[0]] += 1
    return flushed


def test_flushes_of_an_index_that_rests_between_deliveries(tmp_path: Path) -> None:
    """One, of its log at the rest, where the log stays; so none in the delivery."""
    root = Root(tmp_path)
    rounds = 5
    with closing(root.store()) as store:
        account = store.account(REF)
        folder_id = inbox(account)
        deliver_to(account, folder_id, ["first"], together=True)
        store.rest(-1)
        with tracing(os.getpid(), tmp_path / "trace", "-etrace=fdatasync,fsync"):
            for number in range(rounds):
                deliver_to(account, folder_id, [f"m{number}"], together=True)
                store.rest(-1)
    flushed = flushes_in(tmp_path / "trace")
    index = root.home / "index.sqlite"
    assert {path: flushed[str(path)] for path in (index, Path(f"{index}-wal"), root.home)} == {
        index: 0 if LEAVES_LOG else rounds,
        Path(f"{index}-wal"): rounds if LEAVES_LOG else 2 * rounds,
        root.home: 0 if LEAVES_LOG else rounds,
    }


@pytest.mark.parametrize("swept", [False, True])
def test_flushes_of_the_first_delivery_to_a_mailbox(tmp_path: Path, *, swept: bool) -> None:
    """The journal's, and none of a mark or of a new log, also after the sweep."""
    root = Root(tmp_path)
    with closing(root.store()) as store:
        account = store.account(REF)
        folder_id = inbox(account)
        if swept:
            account.sweep()
            store.rest(-1)
        store.prepare_journal()
        with tracing(os.getpid(), tmp_path / "trace", "-etrace=fdatasync,fsync"):
            deliver_to(account, folder_id, ["first"], together=True)
    flushed = flushes_in(tmp_path / "trace")
    in_journal = [path for path in flushed if path.startswith(f"{root.path}/.journal/")]
    assert [flushed.pop(path) for path in in_journal] == [1]
    assert flushed.keys() <= (set() if LEAVES_LOG else {f"{root.home}/index.sqlite-wal", str(root.home)})
