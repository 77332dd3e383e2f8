"""Before each acknowledgement the message's content and the directory that names it were fsynced: shown by the system calls.

A worker runs under strace while one client at a time delivers, appends, copies, moves, creates and renames; TLS is off, so the
replies can be read in the trace. `Disk` is what would be left after a power cut at any line of it.
"""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename, dirname

import pytest

from faults.ledger import message
from faults.wire import Imap, Smtp
from harness import ProcessServer
from population import PASSWORD

CALLS = "fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,mkdirat,sendto,sendmsg,write,writev"
DVBE, TTLAN, FRESH = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn", "fresh@mic.gov.vn"
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>(.*)|(\w+)\((.*))$")
_ENDED = re.compile(r" = (-?\d+)")
_SYNC = re.compile(r"\d+<([^>]*)>")
_SAID = re.compile(r"\d+<(?:socket|TCP)[^>]*>, (?:\[\{iov_base=)?\"((?:[^\"\\]|\\.)*)\"")
_ACKNOWLEDGED = re.compile(r"(?:^|\\r\\n)(250 2\.6\.0 Message|T\d+ OK )")


@dataclass(frozen=True)
class Call:
    """A system call: two lines of the trace where other threads came in between."""

    name: str
    arguments: str
    begun: int
    ended: int

    @property
    def paths(self) -> list[str]:
        return re.findall(r'"(/[^"]*)"', self.arguments)


def calls(trace: Iterable[str]) -> list[Call]:
    """All calls that succeeded, in no particular order."""
    found: list[Call] = []
    begun: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(trace):
        match = _LINE.match(line)
        if match is None:
            continue
        thread, resumed, rest, name, arguments = match.groups()
        if name is not None and arguments.endswith("<unfinished ...>"):
            begun[thread] = (name, arguments.removesuffix("<unfinished ...>"), number)
            continue
        name, first, start = begun.pop(thread) if resumed else (name, "", number)
        text = first + (rest if resumed else arguments)
        result = _ENDED.search(text)
        if result is not None and int(result[1]) >= 0:
            found.append(Call(name, text, start, number))
    return found


class Disk:
    """What a power cut would leave: contents that were fsynced, names whose directory was fsynced after they were made."""

    def __init__(self) -> None:
        self._contents: set[str] = set()
        self._names: set[str] = set()
        self._made: dict[str, int] = {}
        """Names that mail depends on, and when they were made."""

    def sync(self, path: str, begun: int) -> None:
        """An fsync that is over: of a file, or of a directory with the names that stood when it began."""
        self._contents.add(path)
        self._names |= {name for name, made in self._made.items() if dirname(name) == path and made < begun}

    def name(self, old: str, new: str, at: int) -> None:
        if old in self._contents:
            self._contents.add(new)
        self._make(new, at)

    def make_directory(self, path: str, at: int) -> None:
        self._contents.add(path)
        self._make(path, at)

    def _make(self, path: str, at: int) -> None:
        self._made[path] = at
        self._names.discard(path)

    def lacks(self, places: Sequence[str]) -> list[str]:
        """Names below `places` that a power cut would take, or leave without their content."""
        return [
            name
            for name in self._made
            if any(place in name for place in places) and not (name in self._names and name in self._contents)
        ]


def replayed(found: Iterable[Call]) -> Iterator[tuple[str, Disk, int]]:
    """Each acknowledgement, the disk at the moment it was sent, and how many names were made since the one before."""
    disk, made = Disk(), 0
    events = [(one.begun if one.name in ("write", "writev", "sendto", "sendmsg") else one.ended, one) for one in found]
    for at, call in sorted(events, key=lambda event: event[0]):
        match call.name:
            case "fsync" | "fdatasync":
                path = _SYNC.match(call.arguments)
                assert path, call
                disk.sync(path[1], call.begun)
            case "rename" | "renameat" | "renameat2" | "link" | "linkat":
                old, new = call.paths
                disk.name(old, new, at)
                made += 1
            case "mkdir" | "mkdirat":
                disk.make_directory(call.paths[0], at)
                made += 1
            case _:
                said = _SAID.match(call.arguments)
                if said and (acknowledged := _ACKNOWLEDGED.search(said[1])):
                    yield acknowledged[1], disk, made
                    made = 0


MAIL, SPOOL, FOLDERS = ("/cur/",), ("/spool/live/",), ("/Maildir/.",)


@pytest.fixture
def traced(serve_processes: Callable[..., ProcessServer], tmp_path: Path) -> Iterator[tuple[ProcessServer, Path]]:
    """A server whose only worker is under strace, and the trace."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    server = serve_processes({"process": {"workers": 1}, "auth": {"cleartext": True}})
    for local in ("dvbe", "ttlan", "fresh"):
        server.population.issue(local)
    server.start()
    trace = tmp_path / "trace"
    command = [strace, "-f", "-y", "-s", "400", "-o", str(trace), "-e", f"trace={CALLS}", "-p", str(server.workers()[0])]
    tracing = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracing.stderr is not None
    first = tracing.stderr.readline()
    if "attached" not in first:
        tracing.wait(10)
        pytest.skip(f"strace cannot attach: {first.strip()}")
    yield server, trace
    if tracing.poll() is None:
        tracing.send_signal(signal.SIGINT)
        tracing.wait(30)
    tracing.stderr.close()


def conversation(server: ProcessServer) -> list[tuple[str, tuple[str, ...]]]:
    """Do one thing after the other; for each acknowledgement in turn what it was for, and what must be durable by then."""
    done: list[tuple[str, tuple[str, ...]]] = []
    smtp, large = Smtp(server.ports["smtp"]), b"Subject: large\r\n\r\n" + b"large\r\n" * 40_000

    def deliver(what: str, octets: bytes, *to: str, durable: tuple[str, ...] = MAIL) -> None:
        smtp.deliver(to, octets)
        done.append((what, durable))
        wait_until_empty(server.config.spool_dir / "live")

    def imap(what: str, command: bytes, durable: tuple[str, ...]) -> None:
        client.command(command)
        done.append((what, durable))

    deliver("the first message of a mailbox", message("first"), FRESH, durable=("/fresh",))
    deliver("a small message", message("small"), DVBE)
    deliver("a large message", large, DVBE)
    deliver("a small message for two", message("two"), DVBE, TTLAN, durable=SPOOL)
    deliver("a large message for two", large, DVBE, TTLAN, durable=SPOOL)
    client = Imap(server.ports["imap"], DVBE, PASSWORD)
    done.append(("sign-in", MAIL))
    small = message("appended")
    imap("CREATE", b"CREATE B", FOLDERS)
    imap("APPEND", b"APPEND INBOX {%d+}\r\n%s" % (len(small), small), MAIL)
    imap("APPEND of a large message", b"APPEND B {%d+}\r\n%s" % (len(large), large), MAIL)
    imap("MULTIAPPEND", b"APPEND B {%d+}\r\n%s {%d+}\r\n%s" % (len(small), small, len(small), small), MAIL)
    imap("SELECT", b"SELECT INBOX", MAIL)
    imap("COPY", b"UID COPY 1:3 B", MAIL)
    imap("MOVE", b"UID MOVE 2:3 B", MAIL)
    imap("RENAME", b"RENAME B C", FOLDERS)
    client.close()
    smtp.close()
    return done


def wait_until_empty(folder: Path) -> None:
    limit = time.monotonic() + 30
    while any(folder.iterdir()):
        assert time.monotonic() < limit
        time.sleep(0.01)


def without(found: Sequence[Call], drop: Callable[[str], bool]) -> list[Call]:
    """The trace of a server that forgets some fsyncs."""
    return [one for one in found if one.name not in ("fsync", "fdatasync") or not drop(one.arguments.partition("<")[2])]


def test_nothing_is_acknowledged_before_it_is_on_disk(traced: tuple[ProcessServer, Path]) -> None:
    """250 to the final dot and OK to APPEND, COPY, MOVE, CREATE, RENAME: file and folder are fsynced, the spool likewise."""
    server, trace = traced
    done = conversation(server)
    time.sleep(0.2)
    found = calls(trace.read_text(errors="replace").splitlines())
    answers = list_of_lacks(found, done)
    assert [answer for answer in answers if answer[2]] == []
    assert all(made for what, made, _ in answers if what not in ("sign-in", "SELECT"))
    # A server that forgot either kind would have been found out, by every command that makes names.
    forgets_folders = list_of_lacks(without(found, lambda path: basename(path.rstrip(">) =0")) in ("cur", "live")), done)
    assert len([answer for answer in forgets_folders if answer[2]]) >= 10
    forgets_files = list_of_lacks(without(found, lambda path: "/tmp/" in path), done)
    assert len([answer for answer in forgets_files if answer[2]]) >= 8


def list_of_lacks(found: Sequence[Call], done: Sequence[tuple[str, tuple[str, ...]]]) -> list[tuple[str, int, list[str]]]:
    """For each acknowledgement what it was for, how many names were made for it, and what a power cut would have taken."""
    answers = []
    for (said, disk, made), (what, durable) in zip(replayed(found), done, strict=True):
        answers.append((f"{what}", made, disk.lacks(durable)))
        assert said
    return answers
