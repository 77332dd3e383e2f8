"""Whoever takes over the process that reads documents has nothing by it: no file, socket, child or other process."""

import asyncio
import os
import smtplib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import cast

import pytest
from pypdf import PdfWriter

from harness import MailServer
from markings.documents import FORMATS
from markings.sample import Sample
from mic_mail.cli.commands.status import _readers, _unread
from mic_mail.process import sandbox
from mic_mail.process.executors import Executors
from mic_mail.process.protection import Protection
from mic_mail.textextract.limits import Bounds
from mic_mail.textextract.result import Findings, Unread
from mic_mail.textextract.worker_pool import WorkerPool

pytestmark = pytest.mark.slow

MARKED = ["Số: 12/BC", "TỐI MẬT"]
TESTS = Path(__file__).parents[2]
ORDINARY_ACCOUNT = 4711
ACCOUNTS = ["0", str(ORDINARY_ACCOUNT)] if os.geteuid() == 0 else [""]

ACTS = {
    "read a key": "os.open({file!r}, os.O_RDONLY)",
    "read it by its folder": "os.open('key.pem', os.O_RDONLY, dir_fd=os.open({folder!r}, os.O_RDONLY))",
    "see a folder": "os.listdir({folder!r})",
    "see whether it is there": "os.stat({file!r})",
    "read its own memory": "os.open('/proc/self/mem', os.O_RDONLY)",
    "write a file": "os.open({folder!r} + '/new', os.O_WRONLY | os.O_CREAT)",
    "remove a file": "os.unlink({file!r})",
    "rename a file": "os.rename({file!r}, {folder!r} + '/other')",
    "give a file away": "os.chmod({file!r}, 0o666)",
    "link a file": "os.link({file!r}, {folder!r} + '/link')",
    "make a folder": "os.mkdir({folder!r} + '/made')",
    "go elsewhere": "os.chdir({folder!r})",
    "a connection": "socket.create_connection(('127.0.0.1', {port}))",
    "a socket of IPv4": "socket.socket()",
    "a datagram": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "a local socket": "socket.socket(socket.AF_UNIX)",
    "a pair of sockets": "socket.socketpair()",
    "a socket of the kernel": "socket.socket(16, socket.SOCK_RAW, 0)",
    "a child": "os.fork()",
    "a program": "os.execv({python!r}, [{python!r}, '-c', 'pass'])",
    "a child with a program": "os.posix_spawn({python!r}, [{python!r}, '-c', 'pass'], {{}})",
    "a thread": "threading.Thread(target=print).start()",
    "a signal to the worker": "os.kill(os.getppid() or {worker}, 0)",
    "a signal to its group": "os.killpg({group}, 0)",
    "the limits of the worker": "resource.prlimit({worker}, resource.RLIMIT_NOFILE, (0, 0))",
    "the memory of the worker": "assert ctypes.CDLL(None).process_vm_readv({worker}, 0, 0, 0, 0, 0) >= 0",
    "a look into the worker": "assert ctypes.CDLL(None).ptrace(16, {worker}, 0, 0) >= 0",
    "code of its own": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    "code in its memory": "page = mmap.mmap(-1, 4096); at = ctypes.addressof(ctypes.c_char.from_buffer(page)); "
    "assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(at), 4096, 5) == 0",
    "root again": "os.setuid(0)",
    "a ring of requests": "assert ctypes.CDLL(None).syscall(425, 1, ctypes.create_string_buffer(120)) >= 0",
    "a namespace": "assert ctypes.CDLL(None).unshare(0x10000000) == 0",
    "a pipe": "os.pipe()",
    "a descriptor of nothing": "os.memfd_create('a')",
}


def mail(name: str, content: bytes) -> bytes:
    return Sample("", None, files={name: content}).octets()


@pytest.fixture
async def executors() -> AsyncIterator[Executors]:
    made = Executors(io_threads=2, hash_threads=1)
    yield made
    made.close()


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


is_confined_here = pytest.mark.skipif(bool(sandbox.available().missing), reason="this kernel has not all that it takes")


@is_confined_here
@pytest.mark.parametrize("account", ACCOUNTS)
async def test_nothing_can_be_reached(
    account: str, executors: Executors, listening: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader with a hole can read, write, connect, fork and signal nothing, started by root or by an ordinary account; what
    is not plainly refused ends it, and the message counts as one on which it crashed."""
    monkeypatch.setenv("PYTHON_HOLE_ACCOUNT", account)
    monkeypatch.setenv("PYTHONPATH", str(TESTS / "compromised"), prepend=os.pathsep)
    monkeypatch.setattr("mic_mail.textextract.worker_pool.MODULE", "compromised_worker")
    key = tmp_path / "key.pem"
    key.write_text("a secret")
    if account:
        for path in (key, tmp_path):
            os.chown(path, int(account), int(account))
    told: list[Protection] = []
    readers = WorkerPool(Bounds(seconds=20), executors, started=told.append)

    async def act(program: str) -> Findings:
        return await readers.extract(mail("a.zip", b"PK\x03\x04\n" + program.encode()))

    assert (await act("pass")).found
    assert not told[0].missing
    names = {
        "file": str(key),
        "folder": str(tmp_path),
        "port": listening,
        "python": sys.executable,
        "worker": os.getpid(),
        "group": os.getpgrp(),
    }
    for name, program in ACTS.items():
        verdict = await act(program.format(**names))
        assert not verdict.found, name
        assert {missed.reason for missed in verdict.missed} <= {Unread.CRASHED, Unread.DAMAGED}, name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.pem"]
    await readers.close()


def encrypted(algorithm: str) -> bytes:
    """A PDF that opens without a password, and is encrypted all the same."""
    writer = PdfWriter(clone_from=BytesIO(FORMATS["pdf"](MARKED)))
    writer.encrypt("", "owner", algorithm=algorithm)
    octets = BytesIO()
    writer.write(octets)
    return octets.getvalue()


SEALED: dict[str, Callable[[], bytes]] = {
    f"{algorithm}.pdf": lambda algorithm=algorithm: encrypted(algorithm)  # type: ignore[misc]
    for algorithm in ("RC4-40", "RC4-128", "AES-128", "AES-256")
}


async def test_confined_it_reads_all_formats(executors: Executors, tmp_path: Path) -> None:
    """One process, with nothing to load any more, finds the marking in each format, from memory and from a file."""
    started: list[Protection] = []
    readers = WorkerPool(Bounds(seconds=20), executors, started=started.append)
    documents = {f"a.{form}": make(MARKED) for form, make in FORMATS.items()} | {name: make() for name, make in SEALED.items()}
    path = tmp_path / "message"
    for name, content in documents.items():
        path.write_bytes(mail(name, content))
        for source in (path.read_bytes(), path):
            assert (await readers.extract(source)).found, name
    assert len(started) == 1
    await readers.close()


LOADS_NOTHING = """
import sys
from pathlib import Path
from typing import cast
from mic_mail.textextract import worker
from mic_mail.textextract.limits import Bounds
worker.load()
messages = [path.read_bytes() for path in Path(sys.argv[1]).iterdir()]
touched = []
sys.addaudithook(lambda event, of: touched.append((event, of)) if event in ("import", "open", "os.listdir") else None)
found = [bool(worker.look_into(octets, Bounds(seconds=60)).found) for octets in messages]
print(len(found), all(found), touched)
"""


def test_nothing_is_loaded_for_a_document(tmp_path: Path) -> None:
    """What a reader has loaded before it closes itself in is all that any format needs, of whatever Python and library."""
    documents = {f"a.{form}": make(MARKED) for form, make in FORMATS.items()} | {name: make() for name, make in SEALED.items()}
    for name, content in documents.items():
        (tmp_path / name).write_bytes(mail(name, content))
    done = subprocess.run([sys.executable, "-c", LOADS_NOTHING, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{len(documents)} True []"


async def test_a_reader_hands_nothing_on_of_our_settings(executors: Executors, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a reader has no passwords of ours in it."""
    monkeypatch.setenv("MIC_MAIL_SENDING__SMARTHOST_PASSWORD", "a secret")
    readers = WorkerPool(Bounds(seconds=20), executors)
    await readers.extract(mail("a.txt", b"a"))
    [reader] = readers._free
    environment = await asyncio.to_thread(Path(f"/proc/{reader.process.pid}/environ").read_bytes)
    assert b"MIC_MAIL" not in environment
    await readers.close()


def test_status_and_log_say_how_it_is_confined(mail_server: MailServer) -> None:
    """`mic-mail status` has it before any document comes, and the log once for all readers that are alike."""
    said = cast("dict[str, list[str]]", mail_server.running.context.mailflow.checkers.secrecy.report()["readers"])
    assert said == {"in_force": sandbox.available().in_force, "missing": sandbox.available().missing}
    for _ in range(2):
        with smtplib.SMTP(mail_server.host, mail_server.ports["smtp"], "client.example", 30) as client:
            client.sendmail("a@other.example", "ttlan@mic.gov.vn", mail("a.docx", FORMATS["docx"](MARKED)))
    mail_server.running.context.log.event("written_out")
    while (events := mail_server.events())[-1]["event"] != "written_out":
        pass
    protected = [event for event in events if str(event["event"]).startswith("reader_")]
    assert [(event["in_force"], event["missing"]) for event in protected] == [(said["in_force"], said["missing"])]
    assert mail_server.running.context.mailflow.checkers.secrecy.report()["readers"] == said
    shown = _readers(said)
    assert ", ".join(said["in_force"]) in shown.en
    assert ("WARNING" in shown.en, "CẢNH BÁO" in shown.vi) == (bool(said["missing"]),) * 2


def test_what_is_missing_is_said_loudly() -> None:
    """Who asks for the status sees at once that a machine cannot confine readers."""
    shown = _readers({"in_force": ["no_new_privs"], "missing": ["landlock", "seccomp"]})
    assert "WARNING, without landlock, seccomp" in shown.en
    assert "CẢNH BÁO, không có: Landlock, seccomp" in shown.vi
    assert "chặn nâng quyền" in shown.vi


def test_status_tells_how_many_accepted_messages_are_unread() -> None:
    """Of all processes together, and nothing while none waits."""
    assert list(_unread([{"unread": 0}, {"name": "sender"}])) == []
    [sentence] = _unread([{"unread": 2}, {"name": "sender"}, {"unread": 1}])
    assert sentence.en == "Accepted, to be read for secrecy markings: 3 messages"
    [alarm] = _unread([{"unread": 0, "unread_damaged": 1}, {"unread": 0}])
    assert alarm.en.startswith("ALARM: 1 accepted messages are not read")
