"""For each account a number that moves whenever somebody may have changed it: who has seen it stand still need not look.

A session that wants to know whether its mailbox has changed asks the index, in a lane: two changes of threads and a
transaction, 200 us, and nearly always the answer is no. The number answers that in the loop, in 6 us, for all processes:

    who takes the account's lock   makes the number odd before anything else, and the next even one before letting the lock go
    who looks                      keeps the number as it was *before* the look; if it is even and the same later, nothing has
                                   changed since: what is told to anybody (OK, the change feed) is told after the number moved

A holder that is killed leaves it odd: no answer, so everybody looks, until the next holder has finished what that one began.
The file lies in the mail root, eight octets for an account, at its id, allocated before they are written, so that a full disk
cannot keep a number from moving. It says nothing that outlives the processes: it may be removed while no server runs; if it is
removed under a running one, each process finds that out at its next use and all that was kept is worthless.
"""

import contextlib
import os
import threading

CHANGE_MARKS = ".changes"
"""The file, in the mail root."""
_OCTETS = 8
_ALLOCATED_AT_ONCE = 64 << 10
_GENERATION = 1 << 48


class ChangeMarks:
    """The numbers, in one process; safe from several threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._fd = -1
        self._outdated: list[int] = []
        """Of files that were removed: some thread may be reading still."""
        self._generation = 0
        self._may_read = True

    def read(self, account_id: int) -> int:
        """The account's number now; 0 while somebody is changing it, or where it is not known. Never waits for a disk."""
        octets = bytearray(_OCTETS)
        try:
            fd, generation = self._current()
            taken = os.preadv(fd, [octets], account_id * _OCTETS, os.RWF_NOWAIT) if self._may_read else 0
        except BlockingIOError:  # not in memory
            return 0
        except OSError:
            self._may_read = self._fd < 0  # a file system that cannot promise not to wait
            return 0
        number = int.from_bytes(octets, "little")
        return 0 if taken < _OCTETS or number & 1 else generation + number

    def begin(self, account_id: int) -> int:
        """The account's lock is held, something may change. OSError: then nothing may.

        What `read` gives from `end` on until somebody else begins: who knows all that this holder did need not look till then.
        """
        fd, generation = self._current()
        return generation + (self._move(fd, account_id, to_even=False) + 1) % _GENERATION

    def end(self, account_id: int) -> None:
        """What had to be changed has been. Where that cannot be written the number stays odd, and everybody looks."""
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
        """The file that other processes use as well, and how many this process has seen removed."""
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
