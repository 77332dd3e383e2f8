"""The start of a child that runs on demand: it rests, without a process, until there is work for it.

In: files and sockets that the supervisor can look at without waiting. Out: `Demand`, by which the supervisor learns that a
resting child is needed. Two things together lose no work (docs/decisions/0120):

    a socket    becomes readable when work arrives, so that the child starts at once; it may miss something
    a look      at the work itself, after the sockets are open and then every `look_seconds`, finds what a socket has missed

A child that has nothing to do says so, ends what it has begun and exits. Work that arrives meanwhile is found by the first
look after its end.
"""

import contextlib
import math
import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mic_mail.file_trace import trace_of
from mic_mail.process.control_channel import Message
from mic_mail.process.feed_sockets import CHECK_ALL, DATAGRAM_OCTETS, PREFIX, WORD, Watchlist, watchlist_name

LOOK_SECONDS = 10.0
"""A look that costs the supervisor no wake-up of its own (`supervisor.LOOK_SECONDS`)."""
_MOST_DATAGRAMS = 64
"""Datagrams read at once; then the supervisor does its other work."""


class Demand(Protocol):
    """The way in which the supervisor learns that a resting child is needed. Nothing here waits."""

    @property
    def look_seconds(self) -> float:
        """The seconds from one look to the next."""

    @property
    def report(self) -> Message:
        """Numbers for `status` while the child has reported none since the server's start."""

    def open(self) -> Sequence[socket.socket]:
        """Begin to wait, and return the sockets to select for reading."""

    def is_signalled(self, readable: socket.socket) -> bool:
        """Read from one of these sockets, and return whether to look at the work now."""

    def has_work(self, last_word: Message) -> bool:
        """Look at the work; `last_word` is what the child said when it ended for lack of it, empty before."""

    def close(self) -> None:
        """Stop waiting: the child starts, or the server ends."""


class ConnectionDemand:
    """Work that arrives as connections at listening sockets; they wait in the backlog until the child accepts them."""

    look_seconds = LOOK_SECONDS
    report: Message = {}  # noqa: RUF012 - never changed

    def __init__(self, sockets: Iterable[socket.socket]) -> None:
        self._sockets = tuple(sockets)

    def open(self) -> Sequence[socket.socket]:
        return self._sockets

    def is_signalled(self, readable: socket.socket) -> bool:
        return True

    def has_work(self, last_word: Message) -> bool:
        waiting = select.poll()
        for listening in self._sockets:
            waiting.register(listening, select.POLLIN)
        return bool(waiting.poll(0))

    def close(self) -> None:
        """Do nothing: the listening sockets stay open."""


class BroadcastDemand:
    """Work that lies in files and is announced by a broadcast of the change feed (`process.change_feed`).

    While the child rests, the supervisor holds its socket in its place.
    """

    look_seconds = LOOK_SECONDS

    def __init__(
        self, run_dir: Path, name: str, word: bytes, has_work: Callable[[], bool], report: Mapping[str, object]
    ) -> None:
        """`name` is that of the child, `word` how the broadcasts begin; `has_work` looks at the files."""
        self._run_dir = run_dir
        self._name = name
        self._word = WORD + word
        self._has_work = has_work
        self._socket: socket.socket | None = None
        self.report: Message = dict(report)

    def open(self) -> Sequence[socket.socket]:
        """Listen; without a descriptor for that, looks alone have to do."""
        with contextlib.suppress(OSError):
            self._socket = self._listen()
        return [] if self._socket is None else [self._socket]

    def _listen(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            listening.setblocking(False)
            folder = os.open(self._run_dir, os.O_RDONLY | os.O_DIRECTORY)
            try:
                # It is empty, so that changes of mailboxes wake nobody.
                Watchlist(folder, watchlist_name(self._name)).close()
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(PREFIX + self._name, dir_fd=folder)
                listening.bind(f"/proc/self/fd/{folder}/{PREFIX}{self._name}")
            finally:
                os.close(folder)
        except BaseException:
            listening.close()
            raise
        return listening

    def is_signalled(self, readable: socket.socket) -> bool:
        is_meant = False
        for _ in range(_MOST_DATAGRAMS):
            try:
                is_meant = readable.recv(DATAGRAM_OCTETS).startswith((self._word, CHECK_ALL)) or is_meant
            except OSError:  # all is read
                break
        return is_meant

    def has_work(self, last_word: Message) -> bool:
        return self._has_work()

    def close(self) -> None:
        """Close the socket; its name stays until the child takes it, so that no sender forgets it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class TraceDemand:
    """Work that follows from changes of a file: the child is needed while it has not done the last of them."""

    report: Message = {}  # noqa: RUF012 - never changed

    def __init__(self, file: Path, look_seconds: float, *, longest_seconds: float = math.inf) -> None:
        """`longest_seconds`: the child rests for so long at most, since some work changes nothing in the file."""
        self._file = file
        self.look_seconds = look_seconds
        self._longest_seconds = longest_seconds
        self._since = time.monotonic()

    def open(self) -> Sequence[socket.socket]:
        self._since = time.monotonic()
        return ()

    def is_signalled(self, readable: socket.socket) -> bool:
        return False

    def has_work(self, last_word: Message) -> bool:
        """Compare the file's trace with the one up to which the child had done everything."""
        if time.monotonic() - self._since >= self._longest_seconds:
            return True
        return list(trace_of(self._file)) != last_word.get("done")

    def close(self) -> None:
        """Do nothing: it holds nothing."""
