"""What each kind of process of a server can reach: tried from inside, in a process that is confined as the server's are."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from faults.small_disk import small_disk
from harness import STAYING, ProcessServer, config_for, open_to_others, stopping
from mic_mail.cli.commands.status import _confinement
from mic_mail.process import landlock, sandbox
from waiting import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        landlock.abi() < landlock.OLDEST_ABI or not sandbox.available().seccomp,
        reason="this kernel has no Landlock or no seccomp",
    ),
]

KINDS = ("worker", "web", "sender", "housekeeper", "indexer")
WITH_MAIL = {"worker", "sender", "housekeeper"}
MAY_READ = {
    "tls/key.pem": {"worker", "web"},
    "dkim/key": {"sender"},
    "second-factor.key": {"web"},
    "decoy.key": set(KINDS) - {"indexer"},
    "state/clock.mark": set(KINDS) - {"indexer"},
    "directory/directory.sqlite": set(KINDS),
    "mail/message": set(KINDS),
    "spool/slip": WITH_MAIL,
    "queue/entry": WITH_MAIL,
    "quarantine/held": WITH_MAIL,
    "archive/old": {"housekeeper"},
    "handovers/list": {"housekeeper"},
    "sts/policy": {"sender"},
    "../relay-password": {"sender"},
    "else": set(),
}
MAY_WRITE = {
    "dkim": {"sender"},
    "state": {"housekeeper"},
    "archive": {"housekeeper"},
    "queue": WITH_MAIL,
    "mail": set(KINDS),
    "mail/another_disk.test": set(KINDS),
    "tls": set(),
    ".": set(),
    "..": set(),
}
MAY_CONNECT = {"scanner": {"worker"}, "controller": {"housekeeper"}, "servers": {"sender"}, "other": set()}
MAY_START_PROGRAMS = {"worker"}
MAY_HAVE_SOCKETS = {"worker", "sender", "housekeeper"}
REFUSED = ("bind", "signal", "trace", "tracing", "memory", "namespace", "mount", "device", "disk")
"""To all."""
INSIDE = """\
import ctypes, json, os, socket, stat, sys, threading
from pathlib import Path
from mic_mail.app.confinement import confine
from mic_mail.config.load import load
role, file, told = sys.argv[1:]
config, told = load(Path(file)), json.loads(told)
data, parent = config.server.data_dir, os.getppid()
os.umask(0o077)
libc = ctypes.CDLL(None, use_errno=True)
confine(role, config)

def called(found):
    if found < 0:
        raise OSError(ctypes.get_errno(), "refused")

def started():
    assert os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1]) == 0

def write(path):
    path.write_bytes(b"")
    path.unlink()

acts = {
    **{f"read {path}": lambda path=path: (data / path).open("rb").read(1) for path in told["read"]},
    **{f"write {path}": lambda path=path: write(data / path / "fresh") for path in told["write"]},
    **{f"connect {name}": lambda port=port: socket.create_connection(("127.0.0.1", port), 10).close()
       for name, port in told["connect"].items()},
    "bind": lambda: socket.create_server(("127.0.0.1", 0)).close(),
    "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
    "local": lambda: [end.close() for end in socket.socketpair()],
    "signal": lambda: os.kill(parent, 0),
    "trace": lambda: called(libc.ptrace(0x4206, parent, 0, 0)),  # PTRACE_SEIZE: does not stop it
    "tracing": lambda: called(libc.ptrace(7, os.getpid(), 0, 0)),  # the kernel itself would say ESRCH
    "memory": lambda: called(libc.process_vm_readv(os.getpid(), None, 0, None, 0, 0)),
    "namespace": lambda: called(libc.unshare(0x10000000)),
    "mount": lambda: called(libc.mount(b"none", str(data / "mail").encode(), b"tmpfs", 0, None)),
    "device": lambda: os.mknod(data / "mail" / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3)),
    "disk": lambda: os.open("/dev/zero", os.O_WRONLY),
    "start": started,
    "thread": lambda: threading.Thread(target=int).start(),
    "libraries": lambda: __import__("xml.dom.minidom"),
    "null": lambda: open("/dev/null", "wb").close(),
}
said = {}
for name, act in acts.items():
    try:
        act()
        said[name] = "done"
    except PermissionError:
        said[name] = "refused"
    except OSError as error:
        said[name] = repr(error)
print(json.dumps(said))
"""
READER = """\
import os, socket, subprocess, sys
from pathlib import Path
from mic_mail.app.confinement import confine
from mic_mail.config.load import load
from mic_mail.process import sandbox
config = load(Path(sys.argv[1]))
confine("worker", config)
acts = {
    "read": lambda: os.open(sys.argv[2], os.O_RDONLY),
    "connect": lambda: socket.create_connection(("127.0.0.1", int(sys.argv[3])), 10),
    "local": lambda: socket.socketpair(),
    "fork": lambda: os.fork() or os._exit(0),
    "start": lambda: os.execv("/bin/true", ["true"]),
}
for name, act in acts.items():
    child = os.fork()
    if child == 0:
        sandbox.enter()
        try:
            act()
        except OSError:
            os._exit(99)
        os._exit(0)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


WITHOUT = """\
import json, sys
from pathlib import Path
from mic_mail.app.confinement import confine
from mic_mail.config.load import load
from mic_mail.process import landlock, seccomp
landlock.forbid_new_privileges()
numbers = [444, 445, 446, seccomp.here().seccomp]
program = seccomp.packed([
    *seccomp.beginning(seccomp.here()), *seccomp.answered(numbers, seccomp.ERRNO | 38), (seccomp.RETURN, 0, 0, seccomp.ALLOW),
])
assert seccomp.put_in_force(program)
config = load(Path(sys.argv[1]))
told = confine("indexer", config).log_fields()
config.key.read_bytes()
print(json.dumps(told))
"""
"""A process in a container that answers ENOSYS (38) to Landlock and seccomp."""


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """Somebody listens where a scanner, the controller of Rspamd and other servers should be, and elsewhere."""
    with ExitStack() as opened:
        listening = {name: opened.enter_context(socket.create_server(("127.0.0.1", 0))) for name in MAY_CONNECT}
        yield {name: each.getsockname()[1] for name, each in listening.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[ProcessServer]:
    """All processes of a server."""
    folder = tmp_path_factory.mktemp("confinement")
    settings = {
        "listen": {"doors": ("imaps", "https")},
        "process": {"workers": 1},
        "malware": {"clamd": f"tcp://127.0.0.1:{ports['scanner']}"},
        "rspamd": {"controller": f"tcp://127.0.0.1:{ports['controller']}"},
        "sending": {
            "port": ports["servers"],
            "smarthost": f"127.0.0.1:{ports['servers']}",
            "smarthost_login": "mic",
            "smarthost_password": str(folder / "relay-password"),
        },
    }
    (folder / "relay-password").write_text("one")
    umask = os.umask(0o077)  # for what the test makes; the program has a narrow one of its own
    started = ProcessServer(config_for(folder / "data", settings), folder)
    os.umask(0o022)
    started.program = ["-c", STAYING]
    (folder / "disk").mkdir()
    (started.config.mail_root / "another_disk.test").symlink_to(folder / "disk")
    started.start()
    os.umask(umask)
    started.start_all()
    started.wait_for(lambda state: (started.config.state_dir / "clock.mark").exists())  # the housekeeper may write it
    for path in MAY_READ:
        file = started.config.server.data_dir / path
        if not file.exists():
            file.write_bytes(b"x")
            file.chmod(0o600)
    yield started
    started.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_reaches_what_it_needs(server: ProcessServer, ports: dict[str, int], kind: str) -> None:
    """Keys, folders, ports and programs are there for those that need them, and for nobody else; nobody binds a port, signals
    or traces another process, makes a namespace, a mount or a device; threads, local sockets and libraries are everybody's."""
    told = json.dumps({"read": list(MAY_READ), "write": list(MAY_WRITE), "connect": ports})
    command = [sys.executable, "-c", INSIDE, kind, str(server.file), told]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    tables = {"read": MAY_READ, "write": MAY_WRITE, "connect": MAY_CONNECT}
    expected = {f"{act} {what}": kind in kinds for act, table in tables.items() for what, kinds in table.items()}
    expected |= {"start": kind in MAY_START_PROGRAMS, "datagram": kind in MAY_HAVE_SOCKETS}
    expected |= dict.fromkeys(REFUSED, False) | dict.fromkeys(("local", "thread", "libraries", "null"), True)
    if landlock.abi() < 4:
        expected = {act: may for act, may in expected.items() if act != "bind" and not act.startswith("connect")}
    if landlock.abi() < 6:
        del expected["signal"]
    assert {act: said[act] for act in expected} == {act: "done" if may else "refused" for act, may in expected.items()}


def test_a_reader_reaches_nothing(server: ProcessServer, ports: dict[str, int]) -> None:
    """A process that a worker starts to read documents ends where it opens a file, a socket or a program, or forks."""
    command = [sys.executable, "-c", READER, str(server.file), str(server.config.key), str(ports["scanner"])]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ends = {name: int(code) for name, code in map(str.split, done.stdout.splitlines())}
    assert ends.pop("local") == 99
    assert ends == dict.fromkeys(("read", "connect", "fork", "start"), -signal.SIGSYS)


def test_where_the_kernel_has_neither_everything_goes_on(server: ProcessServer) -> None:
    """A process begins without what a machine does not have, and says so."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(server.file)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["in_force"][0], told["missing"][-2:]) == ("no_new_privs", ["landlock", "seccomp"])
    processes = [{"name": name, "protection": told} for name in ("worker0", "web")]
    [words] = _confinement({"processes": processes})
    assert "worker 0, web" in words.en
    assert words.en.endswith("landlock, seccomp)")
    assert "WARNING, without" in words.en
    assert "CẢNH BÁO, không có" in words.vi


def test_the_processes_of_a_server_are_confined(server: ProcessServer) -> None:
    """Each but the supervisor gains no privilege any more and has a filter, and `status` and the log say what is in force."""
    processes = server.status()["processes"]
    assert [one["name"] for one in processes] == ["worker0", "house", "sender", "index", "web"]
    in_force = ["no_new_privs", f"landlock {landlock.abi()}", "seccomp"]
    if os.geteuid() != 0:
        in_force.insert(1, "unprivileged")
    for one in processes:
        assert one["protection"]["in_force"] == in_force, one["name"]
        told = Path(f"/proc/{one['pid']}/status").read_text()
        assert ("NoNewPrivs:\t1" in told, "Seccomp:\t2" in told) == (True, True), one["name"]
    event = "process_unconfined" if os.geteuid() == 0 else "process_confined"
    told_in_log = {each["of"]: each["in_force"] for each in server.events() if each["event"] == event}
    assert told_in_log == {one["name"]: in_force for one in processes}


def test_what_a_server_makes_is_its_accounts_alone(server: ProcessServer) -> None:
    """Files 0600 and folders 0700, or less: keys, directory, log, queue, locks and sockets. The certificate is everybody's."""
    assert open_to_others(server.config.server.data_dir, server.config.certificate) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start as root")
def test_root_is_confined_too(server: ProcessServer) -> None:
    """Where no account is set the processes keep root's uid, and what each may reach is the same: this test's own."""
    pids = {one["pid"] for one in server.status()["processes"]}
    assert all("Uid:\t0" in Path(f"/proc/{pid}/status").read_text() for pid in pids)


def reload(server: ProcessServer, replaced: str) -> list[tuple[str, str]]:
    """Until the process of that name is another one and ready, and all others are as before: what the log then says more."""

    def events_seen() -> list[tuple[str, str]]:
        wanted = ("process_replaced", "process_died")
        return [(each["event"], each["process"]) for each in server.events() if each["event"] in wanted]

    before, said = {one["name"]: one["pid"] for one in server.status()["processes"]}, len(events_seen())
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(
        lambda state: all(
            one["ready"] and (one["pid"] != before[one["name"]]) is (one["name"] == replaced) for one in state["processes"]
        )
    )
    return events_seen()[said:]


def test_a_reload_replaces_who_may_not_read_a_file_that_took_anothers_place(server: ProcessServer) -> None:
    """Another file under the name of the smarthost's password, as editors and tools for configuration leave it: the sender,
    which alone reads it, drains, and the next one may; the others stay."""
    password = server.config.sending.smarthost_password
    assert password is not None
    fresh = password.with_suffix(".fresh")
    fresh.write_text("two")
    fresh.replace(password)
    assert reload(server, "sender") == [("process_replaced", "sender")]


def test_a_key_is_in_the_memory_of_those_alone_that_may_read_it(server: ProcessServer) -> None:
    """Of processes that were started again after a reload too: neither they nor the supervisor have a trace of TLS's key."""
    key = load_pem_private_key(server.config.key.read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    number = key.private_numbers().private_value.to_bytes(key.key_size // 8, "big")
    before = {one["name"]: one["pid"] for one in server.status()["processes"]}

    def reloads() -> int:
        return sum(event["event"] == "configuration_reloaded" for event in server.events())

    reloads_before = reloads()
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: reloads() > reloads_before)
    for name in ("house", "sender", "index"):
        os.kill(before[name], signal.SIGKILL)
    server.wait_for(
        lambda state: all(
            one["ready"] and (one["pid"] != before[one["name"]]) is (one["name"] in ("house", "sender", "index"))
            for one in state["processes"]
        )
    )
    processes = {"supervisor": server.process.pid} | {one["name"]: one["pid"] for one in server.status()["processes"]}
    try:
        holding = {name for name, pid in processes.items() if is_in_memory(pid, number)}
    except PermissionError:
        pytest.skip("this account may not look into the memory of its own processes")
    assert holding == {"worker0", "web"}


def is_in_memory(pid: int, octets: bytes) -> bool:
    """Whether what a process has written anywhere in its memory holds these octets."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            begin, end = (int(each, 16) for each in span.split("-"))
            if rights.startswith("rw"):
                memory.seek(begin)
                with contextlib.suppress(OSError):  # given back meanwhile
                    if octets in (memory.read(end - begin) or b""):
                        return True
    return False


def test_a_reload_replaces_who_is_confined_too_closely(server: ProcessServer, ports: dict[str, int]) -> None:
    """A scanner at another port: the worker, which alone asks it, drains and another may connect there; the others stay."""
    text = server.file.read_text()
    server.file.write_text(text.replace(f":{ports['scanner']}", f":{ports['other']}"))
    assert reload(server, "worker0") == [("process_replaced", "worker0")]
    plain = socket.create_connection(("127.0.0.1", server.status()["ports"]["imaps"]), 10)
    with server.tls().wrap_socket(plain, server_hostname="localhost") as client:
        assert client.recv(4).startswith(b"* OK")
    server.file.write_text(text)


def test_a_file_that_somebody_removes_gives_its_room_back(tmp_path: Path) -> None:
    """A large one beside `data_dir`, there when the processes were confined: a rule would hold on to it."""
    with small_disk(tmp_path) as disk:
        large = disk.path / "large"
        large.write_bytes(bytes(8 << 20))
        server = ProcessServer(config_for(disk.path / "data", {"process": {"workers": 1}}), disk.path)
        with stopping([server]):
            server.start()
            server.wait_for(lambda state: all(one["ready"] for one in state["processes"]))
            before = disk.free
            large.unlink()
            assert disk.free > before + (7 << 20)
