"""Death by `kill -9` before a chosen step of work that a forked child does.

Steps are calls of `os` that change a file (`killed_before`), or whatever touches the disk (`killed_at_touch`). For lines of the
store's code see `store_harness.killed_at`.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CALLS = ("rename", "fsync", "link", "unlink", "write", "copy_file_range")
TOUCHES = frozenset({"open", "os.rename", "os.remove", "os.mkdir"})
"""Events of the interpreter's audit hooks."""

Say = Callable[[str], None]
_write = os.write


@dataclass(frozen=True)
class Ended:
    """How a child ended, and the words that it had said to its parent by then."""

    killed: bool
    said: list[str]


class Countdown:
    """Kills this process when the last step comes."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def disarm(self) -> None:
        self._left = 0

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.step()
            return call(*arguments, **named)

        return counted


def in_child(work: Callable[[Say], object]) -> Ended:
    """Do the work in a forked process, which either dies by SIGKILL or comes to its end without an error."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(lambda word: _write(writing, f"{word}\n".encode()) and None)
            code = 0
        except BaseException:  # noqa: BLE001 - shown; the child must never return into the test runner
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read().split()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), f"the child failed with {code}"
    return Ended(code != 0, said)


def die_before(step: int, calls: tuple[str, ...] = CALLS) -> None:
    """Let this process die before its `step`-th call of these functions of `os`, in whatever thread it is made."""
    count = Countdown(step)
    for name in calls:
        setattr(os, name, count.before(getattr(os, name)))


def killed_before(step: int, work: Callable[[], object], calls: tuple[str, ...] = CALLS) -> bool:
    """Do the work in a child that dies before its `step`-th such call; False if it came to its end before."""

    def dying(say: Say) -> None:
        die_before(step, calls)
        work()

    return in_child(dying).killed


def killed_at_touch(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that dies before its `step`-th touch of the disk; False if it came to its end before."""

    def dying(say: Say) -> None:
        count = Countdown(step)
        sys.addaudithook(lambda event, arguments: count.step() if event in TOUCHES else None)
        try:
            work()
        except BaseException:
            count.disarm()  # to show the error files are opened
            raise

    return in_child(dying).killed
