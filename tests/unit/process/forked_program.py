"""Programs of their own that fork, for the tests of `process.fork`."""

import os
import subprocess
import sys

# Each test forks from a process of its own: pytest has threads and what not.
SETUP = """\
import ctypes, gc, os, signal, socket, sys, time
from pathlib import Path
from mic_mail.process.fork import fork, run_apart

def end(child):
    while child.poll() is None:
        time.sleep(0.005)
    return child.returncode
"""


def run(code: str, **environment: str) -> str:
    """What a program says that begins with `SETUP`."""
    command = [sys.executable, "-c", SETUP + code]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
