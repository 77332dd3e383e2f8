"""The system calls of a process, as strace writes them down."""

import re
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import programs

_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>(.*)|(\w+)\((.*))$")
_ENDED = re.compile(r"\) += (-?\d+)[^\"]*$")


@dataclass(frozen=True)
class Call:
    """A system call: two lines of the trace where other threads came in between."""

    name: str
    arguments: str
    begun: int
    ended: int

    @property
    def paths(self) -> list[str]:
        return re.findall(r'"(/[^"]*)"', self.arguments)


def calls(trace: Iterable[str]) -> list[Call]:
    """All calls that succeeded, in no particular order."""
    found: list[Call] = []
    begun: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(trace):
        match = _LINE.match(line)
        if match is None:
            continue
        thread, resumed, rest, name, arguments = match.groups()
        if name is not None and arguments.endswith("<unfinished ...>"):
            begun[thread] = (name, arguments.removesuffix("<unfinished ...>"), number)
            continue
        name, first, start = begun.pop(thread) if resumed else (name, "", number)
        text = first + (rest if resumed else arguments)
        result = _ENDED.search(text)
        if result is not None and int(result[1]) >= 0:
            found.append(Call(name, text, start, number))
    return found


@contextmanager
def tracing(pid: int, trace: Path, *options: str) -> Iterator[None]:
    """Write the calls of a process and of all its threads to `trace`, with the paths of descriptors; until the block ends.

    The test is skipped where strace is missing, or may not look into processes.
    """
    command = [programs.need("strace"), "-f", "-y", f"-o{trace}", f"-p{pid}", *options]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert strace.stderr is not None
    with strace.stderr:
        if "attached" not in strace.stderr.readline():
            strace.wait(10)
            programs.lack("the right to trace processes (strace)")
        try:
            yield
        finally:
            if strace.poll() is None:
                strace.send_signal(signal.SIGINT)
                strace.wait(30)
