"""A file is read from the kernel's memory alone, or not at all (cached_read.py)."""

import errno
import os
from pathlib import Path

import pytest

from mic_mail.storage.maildir import cached_read
from mic_mail.storage.maildir.cached_read import CachedReader

OCTETS = bytes(range(256)) * 200


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "Thư"
    path.write_bytes(OCTETS)
    if CachedReader().read(str(path), len(OCTETS)) is None:
        pytest.skip("this kernel or file system has no reads that do not wait")
    return str(path)


def test_a_file_in_memory_is_read_by_three_calls(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened, read and closed; no size is asked for, and its time of access is left alone."""
    calls: list[str] = []
    for name in ("preadv", "close", "stat", "fstat", "open"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (calls.append(name), real(*args))[1])
    real_call = cached_read._syscall
    monkeypatch.setattr(cached_read, "_syscall", lambda *args: (calls.append("openat2"), real_call(*args))[1])
    assert CachedReader().read(file, len(OCTETS)) == OCTETS
    assert calls == ["openat2", "preadv", "close"]


@pytest.mark.parametrize("size", [0, len(OCTETS) - 1, len(OCTETS) + 1])
def test_a_file_of_another_size_is_not_returned(file: str, size: int) -> None:
    assert CachedReader().read(file, size) is None


def test_what_is_not_in_memory_is_not_waited_for(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says so of the name (EAGAIN of openat2) and of the octets (EAGAIN of preadv2); no descriptor stays open."""
    before = len(os.listdir("/proc/self/fd"))
    reader = CachedReader()

    def absent(*_: object) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", absent)
        assert reader.read(file, len(OCTETS)) is None
    with monkeypatch.context() as patch:
        patch.setattr(cached_read, "_syscall", lambda *_: -1)
        patch.setattr(cached_read.ctypes, "get_errno", lambda: errno.EAGAIN)
        assert reader.read(file, len(OCTETS)) is None
    assert reader.read(file + "x", len(OCTETS)) is None
    assert reader.read(file, len(OCTETS)) == OCTETS  # none of this is for ever
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_kernel_without_the_call_is_asked_once(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(cached_read, "_syscall", lambda *args: (asked.append(args), -1)[1])
    monkeypatch.setattr(cached_read.ctypes, "get_errno", lambda: errno.ENOSYS)
    reader = CachedReader()
    assert [reader.read(file, len(OCTETS)) for _ in range(3)] == [None] * 3
    assert len(asked) == 1
