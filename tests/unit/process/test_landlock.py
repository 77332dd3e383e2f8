"""Landlock, tried from inside: each attempt in a process of its own, which is restricted and not we."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mic_mail.process import landlock

pytestmark = pytest.mark.skipif(landlock.abi() < landlock.OLDEST_ABI, reason="this kernel has no Landlock")

SETUP = """\
import os, signal, socket, sys
from pathlib import Path
from mic_mail.process.landlock import Rules, restrict
base = Path(sys.argv[1])
def attempt(does):
    try:
        does()
    except OSError as error:
        return type(error).__name__
    return "done"
usual = [Path(sys.prefix), Path(sys.base_prefix), Path("/usr"), Path("/lib")]
"""


def lines_of(code: str, folder: Path, *more: str) -> list[str]:
    """The lines that a program says that begins with `SETUP`."""
    command = [sys.executable, "-c", SETUP + code, str(folder), *more]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two folders with a file each."""
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("text")
    return tmp_path


@pytest.fixture
def listening() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened.getsockname()[1]


def test_what_is_not_allowed_cannot_be_opened(folder: Path) -> None:
    """Neither read, nor written, listed, made, renamed or removed; a file that is open already goes on being read."""
    code = """
before = os.open(base / "theirs" / "file", os.O_RDONLY)
restrict(Rules(read=usual, write=[base / "mine"]))
print(os.read(before, 10))
for name in ("mine", "theirs"):
    at = base / name
    print(
        attempt(lambda: (at / "file").read_text()),
        attempt(lambda: (at / "file").write_text("other")),
        attempt(lambda: os.listdir(at)),
        attempt(lambda: (at / "new").write_text("new")),
        attempt(lambda: (at / "file").rename(at / "renamed")),
        attempt(lambda: (at / "renamed").unlink() if name == "mine" else (at / "file").unlink()),
        attempt(lambda: (at / "folder").mkdir()),
    )
"""
    assert lines_of(code, folder) == ["b'text'", " ".join(["done"] * 7), " ".join(["PermissionError"] * 7)]


def test_what_may_be_read_cannot_be_written(folder: Path) -> None:
    """And a single file can be allowed without its neighbours."""
    code = """
(base / "mine" / "other").touch()
restrict(Rules(read=[*usual, base / "mine" / "file"], listed=[base / "theirs"]))
print(sorted(os.listdir(base / "theirs")), attempt(lambda: (base / "theirs" / "file").read_text()))
print(attempt(lambda: (base / "mine" / "file").read_text()))
print(attempt(lambda: (base / "mine" / "file").write_text("x")))
print(attempt(lambda: (base / "mine" / "other").read_text()))
"""
    assert lines_of(code, folder) == ["['file'] PermissionError", "done", "PermissionError", "PermissionError"]


def test_files_go_from_one_allowed_folder_into_another(folder: Path) -> None:
    """As each delivery does; out of what is allowed they do not go."""
    code = """
(base / "third").mkdir()
restrict(Rules(read=usual, write=[base / "mine", base / "third"]))
print(attempt(lambda: os.link(base / "mine" / "file", base / "third" / "linked")))
print(attempt(lambda: (base / "mine" / "file").rename(base / "third" / "file")))
print(attempt(lambda: (base / "third" / "file").rename(base / "theirs" / "taken")))
"""
    assert lines_of(code, folder) == ["done", "done", "PermissionError"]


def test_children_and_programs_are_restricted_too(folder: Path) -> None:
    """Neither a fork nor an exec gets anything back, and no program gains a privilege (no_new_privs)."""
    code = """
import subprocess
restrict(Rules(read=[*usual, Path("/proc")]))
pid = os.fork()
if pid == 0:
    os._exit(0 if attempt(lambda: (base / "theirs" / "file").read_text()) == "PermissionError" else 1)
print(os.waitpid(pid, 0)[1])
print(subprocess.run(["/bin/cat", str(base / "theirs" / "file")], capture_output=True, check=False).returncode)
print([line for line in open("/proc/self/status") if line.startswith("NoNewPrivs")])
"""
    assert lines_of(code, folder) == ["0", "1", "['NoNewPrivs:\\t1\\n']"]


@pytest.mark.skipif(landlock.abi() < 4, reason="this kernel's Landlock knows nothing of ports")
def test_ports(folder: Path, listening: int) -> None:
    """Connected to are those that are allowed, or all; none is bound."""
    code = """
port = int(sys.argv[2])
connect = {"none": frozenset(), "it": frozenset({port}), "any": None}[sys.argv[3]]
restrict(Rules(read=usual, connect=connect))
print(attempt(lambda: socket.create_connection(("127.0.0.1", port), 5).close()))
print(attempt(lambda: socket.create_server(("127.0.0.1", 0)).close()))
"""
    assert lines_of(code, folder, str(listening), "none") == ["PermissionError", "PermissionError"]
    assert lines_of(code, folder, str(listening), "it") == ["done", "PermissionError"]
    assert lines_of(code, folder, str(listening), "any") == ["done", "PermissionError"]


@pytest.mark.skipif(landlock.abi() < 6, reason="this kernel's Landlock knows nothing of signals")
def test_others_are_not_signalled(folder: Path) -> None:
    """The own children are."""
    code = """
restrict(Rules(read=usual))
print(attempt(lambda: os.kill(int(sys.argv[2]), 0)))
pid = os.fork()
if pid == 0:
    signal.pause()
print(attempt(lambda: os.kill(pid, signal.SIGKILL)))
print(os.waitpid(pid, 0)[1])
"""
    assert lines_of(code, folder, str(os.getpid())) == ["PermissionError", "done", "9"]
