"""Programs that a process runs which has loaded their modules once: each is a fork of it, as if it had just begun.

pytest has threads, so that nothing can be forked from it. A program of its own for each test would spend its time on loading.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Self

LOOP = """
import json, os, sys, traceback
exec(sys.argv[1])
for line in sys.stdin:
    place, code, *sys.argv[1:] = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, name in enumerate((os.devnull, f"{place}/out", f"{place}/err")):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
        try:
            exec(compile(code, "a program", "exec"))
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class ForkingProgram:
    """A process that has run `setup` and waits for programs."""

    def __init__(self, setup: str) -> None:
        command = [sys.executable, "-c", LOOP, setup]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, code: str, place: Path, *arguments: object) -> str:
        """What a program prints that goes on where `setup` ends; `place`: a folder for its output."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(place), code, *map(str, arguments)]) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "0\n", (place / "err").read_text()
        return (place / "out").read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.communicate()
