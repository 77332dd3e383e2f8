"""One fsync of a folder for all deliveries that wait for it at that moment.

A caller that finds no fsync running starts one. A caller that finds one running waits for the *next*, which one of the waiters
starts: an fsync covers only names that existed before it began. A failed fsync fails for every caller that it should have
covered, since the kernel reports an error once and the next call would wrongly succeed.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Rounds:
    changed: threading.Condition = field(default_factory=threading.Condition)
    users: int = 0
    started: int = 0
    finished: int = 0
    running: bool = False
    failed_round: int = 0
    failure: OSError | None = None


def _fsync(fd: int) -> None:
    os.fsync(fd)


class SharedSync:
    """The directories that one process makes durable; safe from any thread."""

    def __init__(self, sync: Callable[[int], None] = _fsync) -> None:
        self._sync = sync
        self._lock = threading.Lock()
        self._folders: dict[tuple[int, int], _Rounds] = {}
        """State by device and inode. Each waiter has the directory open, so that number is not reused.

        A path could be reused for another directory meanwhile.
        """

    def make_durable(self, fd: int) -> None:
        """Return once every name in the directory at the time of the call is on disk; OSError if fsync fails."""
        found = os.fstat(fd)
        key = found.st_dev, found.st_ino
        with self._lock:
            rounds = self._folders.setdefault(key, _Rounds())
            rounds.users += 1
        try:
            self._wait_or_lead(fd, rounds)
        finally:
            with self._lock:
                rounds.users -= 1
                if not rounds.users:
                    self._folders.pop(key, None)

    def _wait_or_lead(self, fd: int, rounds: _Rounds) -> None:
        with rounds.changed:
            covering = rounds.started + 1
            while rounds.running:
                rounds.changed.wait()
                if rounds.finished >= covering:
                    if rounds.failed_round >= covering and rounds.failure is not None:
                        raise rounds.failure
                    return
            rounds.started += 1
            rounds.running = True
        failure: OSError | None = None
        try:
            self._sync(fd)
        except OSError as error:
            failure = error
        with rounds.changed:
            rounds.running = False
            rounds.finished = rounds.started
            if failure is not None:
                rounds.failed_round, rounds.failure = rounds.started, failure
            rounds.changed.notify_all()
        if failure is not None:
            raise failure
