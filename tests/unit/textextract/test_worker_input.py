"""What a worker reads is whole, or it is not read at all: a part would pass for the message."""

import errno
import os
import signal
import socket
from pathlib import Path

import pytest

from mic_mail.textextract import worker
from mic_mail.textextract.limits import Bounds
from mic_mail.textextract.message_file import MessageFile, ReadFailed
from waiting import wait_for

SIZE = 3_000_000


def state_of(process: int) -> str:
    """The letter of proc_pid_stat(5): S while it waits, T while it is stopped."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_worker_that_was_stopped_receives_the_rest() -> None:
    """As in a container that is paused, or on a machine that is suspended."""
    ours, theirs = socket.socketpair()
    process = os.fork()
    if not process:
        ours.close()
        os._exit(worker._receive(theirs, SIZE) != b"x" * SIZE)
    theirs.close()
    with ours:
        ours.sendall(b"x" * 1_000_000)
        wait_for(lambda: state_of(process) == "S")
        os.kill(process, signal.SIGSTOP)
        wait_for(lambda: state_of(process) == "T")
        os.kill(process, signal.SIGCONT)
        wait_for(lambda: state_of(process) == "S" or os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT))
        ours.sendall(b"x" * (SIZE - 1_000_000))
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_the_end_in_the_middle_is_told() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(b"x" * 10)
        ours.close()
        assert worker._receive(theirs, 11) is None


def test_a_disk_that_fails_in_the_middle_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kernel returns what comes before the damage, and its error at the next call."""
    readable = 65_536
    file = tmp_path / "message"
    file.write_bytes(b"x" * 180_000)
    real = os.pread

    def pread(descriptor: int, count: int, offset: int) -> bytes:
        if offset >= readable:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, min(count, readable - offset), offset)

    monkeypatch.setattr(os, "pread", pread)
    with file.open("rb") as opened:
        message = MessageFile(opened.fileno(), 180_000)
        assert message[:readable] == b"x" * readable
        with pytest.raises(ReadFailed, match="Input/output error"):
            message[0:180_000]
        with pytest.raises(ReadFailed):
            worker.look_into(message, Bounds())


def test_a_file_that_became_shorter(tmp_path: Path) -> None:
    file = tmp_path / "message"
    file.write_bytes(b"x" * 10)
    with file.open("rb") as opened, pytest.raises(ReadFailed):
        MessageFile(opened.fileno(), 11)[5:11]


def test_slices_are_those_of_bytes(tmp_path: Path) -> None:
    octets = bytes(range(100))
    file = tmp_path / "message"
    file.write_bytes(octets)
    with file.open("rb") as opened:
        message = MessageFile(opened.fileno(), len(octets))
        assert len(message) == len(octets)
        for part in (slice(0, 10), slice(90, 200), slice(100, 120), slice(20, 10), slice(None)):
            assert message[part] == octets[part]
