"""Forked children that share the memory pages of their parent instead of loading everything again.

In: work, and the descriptors that it keeps. Out: a `Forked`, to wait for or kill; its exit code is that of the work. These
rules make it safe and must stay true:

  - The parent has no thread, no event loop, no TLS connection or key, and no open SQLite: no lock is held for ever, no
    connection has two owners.
  - The child uses nothing that the parent had open, except what it keeps: other descriptors are closed, and signals are as in
    a new program.
  - Objects of the parent are never freed in the child, where their destructors would close descriptors that have been reused:
    they are frozen (`gc.freeze`, which also keeps the collector from writing into shared pages), no frame of the parent is
    returned to, and the child ends by `os._exit`.

Random numbers differ: OpenSSL, `uuid` and the functions of `random` detect forks, `secrets` asks the kernel. A `Random` that a
module creates when it is loaded yields the same numbers in all children. The addresses of code and heap, and the seed of str
hashes, are the same in all children of one supervisor.
"""

import contextlib
import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection
from typing import NoReturn

EXIT_UNFORESEEN = 70
HEAP = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "1048576"}
"""glibc's malloc settings in the children, unless the environment sets them.

Blocks of 256 KiB and more are allocated outside the heap. By default glibc does so only until the first of them is freed, and
takes the next from the heap; then of uvloop's 256 KiB for each TLS connection not only the page or two that it uses are in
memory, but whatever was there in the heap before.
"""
_MALLOPT = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}  # malloc.h: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_LONGEST_NAME = 15


class Forked:
    """A child process, as its parent sees it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal's number; None while the child runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> int:
        """Wait for the end of the child and return the exit code as `poll` does."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def kill(self) -> None:
        """Kill the child with SIGKILL."""
        if self.poll() is None:  # until it is reaped, no other process gets its number
            os.kill(self.pid, signal.SIGKILL)


def fork(work: Callable[[], int], keep: Collection[int], name: str, *, ends_with_parent: bool = False) -> Forked:
    """Run `work` in a child with the descriptors `keep`, stdout and stderr; `ps -o comm` shows its `name`.

    One that `ends_with_parent` is killed where the parent ends first, so that it writes nothing once a lock of the parent is
    free.
    """
    for stream in (sys.stdout, sys.stderr):  # otherwise both processes would write what is buffered
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    gc.collect()
    gc.freeze()
    parent = os.getpid() if ends_with_parent else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # none may reach the parent's handlers in the child
    try:
        pid = os.fork()
        if pid == 0:
            _be(work, keep, name, mask, parent)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return Forked(pid)


def run_apart(work: Callable[[], bytes]) -> bytes:
    """Run `work` in a child and return its result. Blocking.

    Nothing that it reads stays in the memory that later children share. Raise `ChildProcessError` where the child fails.
    """
    ours, theirs = os.pipe()

    def write() -> int:
        with open(theirs, "wb") as pipe:
            pipe.write(work())
        return 0

    with open(ours, "rb") as pipe:
        try:
            child = fork(write, (theirs,), "apart", ends_with_parent=True)
        finally:
            os.close(theirs)
        found = pipe.read()
    if (code := child.wait()) != 0:
        raise ChildProcessError(f"a child that was to look at something ended with {code}")
    return found


def reap_orphans(ours: Collection[int]) -> None:
    """Reap children that are not `ours`.

    The first process of a container inherits what its dead children had started.
    """
    with contextlib.suppress(ChildProcessError):
        while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and dead.si_pid not in ours:
            os.waitpid(dead.si_pid, 0)


def _be(
    work: Callable[[], int], keep: Collection[int], name: str, mask: set[int | signal.Signals], parent: int | None
) -> NoReturn:
    code = EXIT_UNFORESEEN
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # A Ctrl-C in the terminal goes to the supervisor, which drains the others. No session of its own: Linux shares the
        # processors out among sessions (sched(7), autogroup), and the indexer's priority would count within its own alone.
        os.setpgid(0, 0)
        _close_all_but({*keep, 1, 2})
        os.open(os.devnull, os.O_RDONLY)  # the lowest free number: standard input
        _arrange(name)
        if parent is not None:
            _end_with(parent)
        code = work()
    except BaseException:  # noqa: BLE001 - nothing may return into the parent's frames
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _end_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it has ended before
        os.kill(os.getpid(), signal.SIGKILL)


def _close_all_but(keep: Collection[int]) -> None:
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in keep:
            with contextlib.suppress(OSError):  # the descriptor by which the list was read
                os.close(fd)


def _arrange(name: str) -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NAME, name.encode()[:_LONGEST_NAME])
    for variable, octets in HEAP.items():
        if variable not in os.environ and hasattr(libc, "mallopt"):  # not in musl
            libc.mallopt(_MALLOPT[variable], int(octets))
        os.environ.setdefault(variable, octets)  # for programs that the child executes
