"""Sessions: how many sign in, what idle ones cost and when they hear of mail, and imaptest's mixed load."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import corpus
import idle
from measure import cpu_seconds
from servers import PASSWORD, Server
from work import Bench, Figures, compiled, driven

SIGNING_IN = 10


def imaptest() -> str | None:
    """The program, which Debian does not have; `IMAPTEST` names it where it is not on the PATH."""
    return os.environ.get("IMAPTEST") or shutil.which("imaptest")


def sign_in(bench: Bench, server: Server) -> Figures:
    """Connections a second that sign in with a password that the server has seen, and sign out; ten at once."""
    program, seconds = bench.once("sign_in", lambda: compiled(bench.folder, "sign_in")), bench.sizes.seconds
    before = cpu_seconds(server.pids)
    found = driven([program, "127.0.0.1", server.imap, SIGNING_IN, seconds, server.user, PASSWORD], seconds + 60)
    if found["failed"]:
        raise RuntimeError(f"{server.name} failed in {found['failed']} sign-ins")
    spent = cpu_seconds(server.pids) - before
    return {"per_s": found["done"] / found["wall_s"], "cpu_ms": spent / found["done"] * 1000}


def idle_sessions(bench: Bench, server: Server) -> Figures:
    """Sessions in IDLE over TLS, on 100 accounts: memory of each; from the final dot of a delivery to the first EXISTS."""
    sizes = bench.sizes
    return idle.measure(
        server, sizes.sessions, 100 if sizes.sessions > 100 else 2, users=min(100, sizes.users), settle=sizes.settle
    )


def mixed(clients: int) -> Callable[[Bench, Server], Figures]:
    """imaptest's standard load: commands a second, and how many of its lines are errors."""

    def turn(bench: Bench, server: Server) -> Figures:
        program, seconds = imaptest(), max(3, round(2 * bench.sizes.seconds))
        assert program is not None
        mbox = bench.once("mbox", lambda: _write_mbox(bench.folder / "imaptest.mbox"))
        last = bench.sizes.users - 1
        options = {
            "host": "127.0.0.1", "port": server.imap, "user": server.user, "users": f"{max(10, last - 99)}-{last}",
            "pass": PASSWORD, "mbox": mbox, "clients": clients, "secs": seconds, "seed": 1,
        }  # fmt: skip
        command = [program, *(f"{name}={value}" for name, value in options.items())]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60, errors="replace")
        said = done.stdout + done.stderr
        return {
            "per_s": _commands(said) / seconds,
            "errors": len(re.findall(r"^(?:Error|Fatal|Panic)|BUG", said, re.MULTILINE)),
        }

    return turn


def _commands(said: str) -> int:
    """The sum of the counts that imaptest prints at its end, by command."""
    totals = said[said.rindex("Totals:") :].splitlines()
    return next(sum(map(int, line.split())) for line in totals if re.fullmatch(r"\s*\d+(\s+\d+){5,}\s*", line))


def _write_mbox(path: Path, count: int = 300) -> Path:
    """Messages of up to 20 KB."""
    with path.open("wb") as out:
        for data, _when, _flags in map(corpus.message, range(1, 2 * count)):
            if len(data) <= 20_000:
                out.write(b"From a@example.net Tue Nov 24 10:00:00 2026\n" + data.replace(b"\r\n", b"\n") + b"\n")
    return path
