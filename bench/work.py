"""What is measured, as values: a `Work` is done to each server in turns and gives figures; a `Row` shows a reader one of them.

`Bench` holds what a run has: the servers, the sizes, the SMTP driver, connections that stay open.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measure import ImapClient
from servers import CYRUS, DOVECOT, IN_DATABASE, MIC_MAIL, PASSWORD, POSTFIX, Server

IMAP_SERVERS = (MIC_MAIL, DOVECOT, CYRUS)
SMTP_SERVERS = (MIC_MAIL, DOVECOT, POSTFIX)
ON_BOTH_GROUNDS = (MIC_MAIL, IN_DATABASE)
BY_RATE = frozenset({"messages/s", "commands/s", "sign-ins/s"})
"""Units of which more is better; of all others less is."""


@dataclass(frozen=True)
class Sizes:
    """How much a run does."""

    name: str
    users: int
    messages: int
    """Of 4 KiB, delivered in one turn; a third of 100 KiB."""
    office: int
    """Messages of the corpus in a mailbox."""
    many: int
    """Short messages in another; a third is expunged."""
    large_octets: int
    large_at_once: int
    attachment_octets: int
    huge_texts: int
    repeats: int
    """Of one small command."""
    appends: int
    seconds: float
    """Of sign-ins, of imaptest, of a window at rest (six times as long)."""
    sessions: int
    queued: int
    domains: int
    settle: float
    """Seconds that a server is left alone, since what it does when it starts is not what is measured."""


FULL = Sizes("full", 200, 1_500, 10_000, 300_000, 27 << 20, 50, 20_000_000, 20, 300, 200, 5, 1_000, 10_000, 500, 10)
TINY = Sizes("tiny", 20, 6, 12, 32, 300_000, 2, 300_000, 1, 3, 3, 0.1, 4, 8, 4, 0)
"""Enough to see that each work still runs."""

Figures = Mapping[str, float]


def compiled(folder: Path, name: str) -> Path:
    """The driver `name`, made of its source in C beside this file."""
    program, source = folder / name, Path(__file__).with_name(f"{name}.c")
    subprocess.run(["gcc", "-O2", "-o", str(program), str(source), "-lpthread"], check=True)
    return program


def driven(command: Sequence[object], seconds: float) -> dict[str, float]:
    """What a driver tells; it says itself what failed. TimeoutExpired after `seconds`."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=seconds, check=False)
    result: dict[str, float] = json.loads(done.stdout)
    return result


class Load:
    """The SMTP driver, compiled once a run."""

    def __init__(self, folder: Path) -> None:
        self._program = compiled(folder, "smtp_load")

    def __call__(self, server: Server, sessions: int, count: int, what: int | Path, users: int = 10) -> dict[str, float]:
        """Send messages of so many octets, or of a file; RuntimeError where one is refused."""
        message = f"@{what}" if isinstance(what, Path) else str(what)
        command = [self._program, "127.0.0.1", server.smtp, server.protocol, sessions, count, message, server.user, users]
        result = driven(command, 600)
        if result["failed"]:
            raise RuntimeError(f"{server.name} refused {result['failed']} messages")
        return result


class Bench:
    """One run: what works share."""

    def __init__(self, folder: Path, sizes: Sizes, servers: dict[str, Server], ports_from: int) -> None:
        """`ports_from`: a thousand ports from here on are for what works start."""
        self.folder, self.sizes, self.servers, self.ports_from = folder, sizes, servers, ports_from
        self._made: dict[object, object] = {}
        self._clients: dict[tuple[str, int], ImapClient] = {}

    @property
    def load(self) -> Load:
        """The driver of SMTP and LMTP."""
        made = self.once("load", lambda: Load(self.folder))
        assert isinstance(made, Load)
        return made

    def once(self, key: object, make: Callable[[], object]) -> object:
        """What `make` returns, which is called for the first who asks."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def client(self, server: Server, user: int, timeout: float = 600) -> ImapClient:
        """A connection signed in as bench user `user`, which stays open for other works."""
        if (server.name, user) not in self._clients:
            self._clients[server.name, user] = ImapClient(server.imap, timeout=timeout).login(server.user % user, PASSWORD)
        return self._clients[server.name, user]


@dataclass(frozen=True)
class Row:
    """One line of a table: which figure of a work, and what is asked for."""

    text: str
    figure: str
    unit: str
    times: Mapping[str, float] = field(default_factory=dict)
    """By peer how many times as good as it ours has to be."""
    most: float | None = None
    """What ours may be at most, in the row's unit."""
    checked: bool = False
    """One of those that `make bench-check` compares with the last kept results."""


@dataclass(frozen=True)
class Work:
    """What is done to each server in turns, and the rows that come of it."""

    name: str
    table: str
    """The table of the document its rows stand in."""
    turn: Callable[[Bench, Server], Figures] | None
    """None for the work of a program of its own."""
    rows: tuple[Row, ...]
    servers: tuple[str, ...] = (MIC_MAIL,)
    prepare: Callable[[Bench, Sequence[Server]], None] | None = None
    """Called once, with all servers, before the first turn."""
    warm_ups: int = 0
    """Turns before those that count."""
    most_runs: int = 100
    """Of a work that takes minutes, or that can be done once."""
    program: str | None = None
    """What has to be installed beside the servers."""


def ratio(row: Row, ours: float, theirs: float) -> float | None:
    """How many times as good as the peer ours is; None where a figure is nothing."""
    if not ours or not theirs:
        return None
    return ours / theirs if row.unit in BY_RATE else theirs / ours


def all_rows(works: Iterable[Work]) -> dict[str, tuple[Work, Row]]:
    """The rows by the name under which results are kept: WORK.FIGURE."""
    return {f"{work.name}.{row.figure}": (work, row) for work in works for row in work.rows}
