"""One server per data: locks, who is named, what blocks and what never does (`process.data_locks`)."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness import config_for
from mic_mail.clock import ManualClock
from mic_mail.config.model import Config
from mic_mail.errors import Text
from mic_mail.process.data_locks import LOCK_FILE, AlreadyRunning, LockHolder, lock_files, only_server
from mic_mail.process.startup import make_folders

NOW = datetime(2026, 11, 30, 3, 5, tzinfo=UTC)
PARTS: dict[str, Callable[[Config], Path]] = {
    "run": lambda config: config.run_dir,
    "data": lambda config: config.server.data_dir,
    "spool": lambda config: config.spool_dir,
    "queue": lambda config: config.queue_dir,
    "mail": lambda config: config.mail_root,
    "log": lambda config: config.log_dir,
    "keys": lambda config: config.dkim_dir,
    "directory": lambda config: config.directory_dir / "directory.sqlite",
}


def one(folder: Path) -> Config:
    config = config_for(folder)
    make_folders(config)
    (folder / "directory" / "directory.sqlite").touch()
    return config


def taking(
    config: Config, pause: Callable[[float], None] = lambda _: None, tell: Callable[[Text], None] = lambda _: None
) -> AbstractContextManager[tuple[int, ...]]:
    return only_server(config, ManualClock(NOW), owner=None, patience=5, pause=pause, tell=tell)


@pytest.mark.parametrize("part", PARTS)
def test_two_servers_that_share_one_part_alone_collide_on_it(part: str, tmp_path: Path) -> None:
    """Whatever one part is shared, by a link here, the second is refused and named the holder; its own parts are free again."""
    first, second = one(tmp_path / "a"), one(tmp_path / "b")
    shared, other = PARTS[part](first), PARTS[part](second)
    if part == "data":
        second = config_for(tmp_path / "linked")
    else:
        other.unlink() if part == "directory" else other.rmdir()
    link = tmp_path / "linked" if part == "data" else other
    link.symlink_to(shared)
    with taking(first), pytest.raises(AlreadyRunning) as refused, taking(second):
        pass
    host = os.uname().nodename
    for said in (refused.value.text.vi, refused.value.text.en):
        assert f"{host}, pid {os.getpid()}, " in said
        assert "30/11/2026" in said or "30 November 2026" in said, said
    assert refused.value.exit_code == 3
    with taking(second):  # once the first has let go; nothing of the refused start is left
        pass


def test_one_folder_for_two_purposes_is_locked_once(tmp_path: Path) -> None:
    """A server whose log and sockets lie in its data folder does not collide with itself."""
    config = config_for(tmp_path, {"server": {"data_dir": tmp_path, "run_dir": tmp_path}, "log": {"dir": tmp_path}})
    make_folders(config)
    with taking(config) as locks:
        assert len(locks) == len(lock_files(config)) - 2


def test_what_a_lock_file_says_blocks_nobody(tmp_path: Path) -> None:
    """Files that a killed server left, also damaged ones, are taken over and say who holds them now."""
    config = one(tmp_path)
    for path, octets in zip(
        lock_files(config), (b"", b"\xff\0", b"[]", b'{"host":"x","pid":1}', b"{" * 9000) * 2, strict=False
    ):
        path.write_bytes(octets)
    with taking(config):
        for path in lock_files(config):
            told = json.loads(path.read_bytes())
            assert (told["pid"], told["since"]) == (os.getpid(), "2026-11-30T03:05:00+00:00")


def test_a_holder_that_cannot_be_read_is_still_a_holder(tmp_path: Path) -> None:
    """Who is just writing himself into the file is not named, and not passed over either."""
    config = one(tmp_path)
    with open(config.queue_dir / LOCK_FILE, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(AlreadyRunning, match=r"host \?, pid \?"), taking(config):
            pass


def test_children_of_a_killed_supervisor_are_waited_for_and_told_of_once(tmp_path: Path) -> None:
    """Their lock is respected as long as they run; a start waits for the end of the patience, and says so once."""
    config, told, pauses = one(tmp_path), list[Text](), list[float]()
    code = "import os,sys,fcntl; fd=int(sys.argv[1]); os.fork() and os._exit(0); os.write(1, b'.'); os.read(0, 1)"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    held = os.open(config.queue_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    present = LockHolder.present(ManualClock(NOW))
    LockHolder(present.host, dead.pid, present.since, present.process + "0").write(held)
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(held)], pass_fds=[held], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.read(1) == b"."
    child.wait()  # what is left of it is an orphan with the lock
    os.close(held)
    clock = ManualClock(NOW)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock.move_to(datetime.fromtimestamp(clock.now().timestamp() + seconds, UTC))

    with (
        pytest.raises(AlreadyRunning, match="of a stopped server still use"),
        only_server(config, clock, owner=None, patience=1, pause=pause, tell=told.append),
    ):
        pass
    assert len(told) == 1
    assert 9 <= len(pauses) <= 11
    assert child.stdin is not None
    child.stdin.close()
    child.stdout.read()  # its end: the lock is free
    child.stdout.close()
    with taking(config):
        pass


def test_a_process_that_only_has_the_number_of_the_holder_is_not_it() -> None:
    """A PID that was given to another process since then, and one of another container, are told from the holder."""
    present = LockHolder.present(ManualClock(NOW))
    assert not present.has_ended
    boot, namespace, started = present.process.rsplit("/", 2)
    assert LockHolder("h", os.getpid(), "", f"{boot}/{namespace}/{int(started) + 1}").has_ended
    assert not LockHolder("h", 1, "", f"{boot}/pid:[1]/1").has_ended, "of another container nobody here knows"
    assert not LockHolder("h", 1, "", "").has_ended
