"""A per-account change counter shared by all processes: while it stands still, nothing has changed.

To learn whether its mailbox has changed, a session would query the index in an executor: two thread switches and a transaction,
200 us, and nearly always the answer is no. The counter gives that answer in the event loop, in 6 us, for all processes:

    writer    makes the counter odd after taking the account's lock, before anything else, and even before releasing it
    reader    remembers the counter from *before* its query; if it is even and the same later, nothing has changed since:
              results are sent to anybody (OK, the change feed) only after the counter moved

A killed writer leaves it odd, which means unknown: everybody queries, until the next writer has finished what that one began.
The file lies in the mail root, eight octets for an account, at its id. The octets are allocated before they are written, so
that a full disk cannot keep a counter from moving. The file holds nothing that outlives the processes: it may be removed while
no server runs. If it is removed under a running one, each process notices at its next use and discards all cached state.
"""

import contextlib
import os
import threading

CHANGE_MARKS = ".changes"
"""Name of the file in the mail root."""
_OCTETS = 8
_ALLOCATED_AT_ONCE = 64 << 10
_GENERATION = 1 << 48


def read_all(path: str) -> bytes:
    """Return the counters of all accounts, for one who waits for any change; empty if there are none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


class ChangeMarks:
    """The counters, in one process; safe from several threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._fd = -1
        self._outdated: list[int] = []
        """Descriptors of removed files; some thread may still be reading them."""
        self._generation = 0
        self._may_read = True

    def read(self, account_id: int) -> int:
        """Return the account's counter, 0 if it is unknown or a writer holds it. Never waits for a disk."""
        octets = bytearray(_OCTETS)
        try:
            fd, generation = self._current()
            taken = os.preadv(fd, [octets], account_id * _OCTETS, os.RWF_NOWAIT) if self._may_read else 0
        except BlockingIOError:  # not in the page cache
            return 0
        except OSError:
            self._may_read = self._fd < 0  # the file system does not support non-waiting reads
            return 0
        number = int.from_bytes(octets, "little")
        return 0 if taken < _OCTETS or number & 1 else generation + number

    def begin(self, account_id: int) -> int:
        """Make the counter odd once the account's lock is held. On OSError nothing may be changed.

        Return the value that `read` gives from `end` on until another writer begins: a session that knows all that this writer
        did need not query until then.
        """
        fd, generation = self._current()
        return generation + (self._move(fd, account_id, to_even=False) + 1) % _GENERATION

    def end(self, account_id: int) -> None:
        """Make the counter even after the change; where that cannot be written, everybody queries."""
        with contextlib.suppress(OSError):
            fd, _ = self._current()
            self._move(fd, account_id, to_even=True)

    def _move(self, fd: int, account_id: int, *, to_even: bool) -> int:
        at = account_id * _OCTETS
        octets = os.pread(fd, _OCTETS, at)
        if len(octets) < _OCTETS:
            os.posix_fallocate(fd, 0, (at // _ALLOCATED_AT_ONCE + 1) * _ALLOCATED_AT_ONCE)
        number = ((int.from_bytes(octets, "little") | 1) + to_even) % _GENERATION
        os.pwrite(fd, number.to_bytes(_OCTETS, "little"), at)
        return number

    def _current(self) -> tuple[int, int]:
        fd, generation = self._fd, self._generation
        if fd >= 0 and os.fstat(fd).st_nlink:
            return fd, generation
        with self._lock:
            if self._fd == fd:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                if fd >= 0:
                    self._outdated.append(fd)
                self._generation += _GENERATION
            return self._fd, self._generation

    def close(self) -> None:
        with self._lock:
            for fd in (self._fd, *self._outdated):
                if fd >= 0:
                    os.close(fd)
            self._fd, self._outdated = -1, []
