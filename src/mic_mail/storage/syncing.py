"""One fsync of a folder for all deliveries that wait for it at that moment.

Whoever comes while none runs starts one; whoever comes while one runs waits for the *next*, which one of them starts: an fsync
covers only names that stood before it began. A failed fsync fails for everybody that it should have covered, since the kernel
reports an error once and the next call would lie.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from mic_mail.storage.maildir import make_durable


@dataclass(slots=True)
class _Rounds:
    changed: threading.Condition = field(default_factory=threading.Condition)
    users: int = 0
    started: int = 0
    finished: int = 0
    running: bool = False
    failed_round: int = 0
    failure: OSError | None = None


class SharedSync:
    """The directories that one process makes durable; safe from any thread."""

    def __init__(self, sync: Callable[[str], None] = make_durable) -> None:
        self._sync = sync
        self._lock = threading.Lock()
        self._paths: dict[str, _Rounds] = {}

    def make_durable(self, path: str) -> None:
        """Return when every name that stood in `path` at the call is on disk; OSError as fsync gave it."""
        with self._lock:
            rounds = self._paths.setdefault(path, _Rounds())
            rounds.users += 1
        try:
            self._wait_or_lead(path, rounds)
        finally:
            with self._lock:
                rounds.users -= 1
                if not rounds.users:
                    self._paths.pop(path, None)

    def _wait_or_lead(self, path: str, rounds: _Rounds) -> None:
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
            self._sync(path)
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
