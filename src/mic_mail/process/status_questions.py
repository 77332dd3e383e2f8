"""Questions for the state of the server, while the reports of its children arrive for them.

In: clients that ask at `<run_dir>/status`, children, their reports, the time. Out: each client is answered once all the
children that it waits for have reported, have ended or have let ANSWER_SECONDS pass. Never here: a wait, so the supervisor goes
on meanwhile.
"""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mic_mail.process.control_channel import Message
from mic_mail.process.status import STATUS_SOCKET
from mic_mail.process.supervised_child import ANSWER_SECONDS, SupervisedChild

LONGEST_ANSWER = 1.0
"""Seconds that a client has to read the status; only the server's account can connect."""
MOST_QUESTIONS = 16
"""Clients that wait at the same time; any other is answered at once, from the last reports."""


@dataclass(slots=True, eq=False)
class _Question:
    number: int
    client: socket.socket
    until: float
    awaited: set[str]
    """The names of the children whose report is awaited."""


class StatusQuestions:
    """The open questions of one supervisor."""

    def __init__(self, status: Callable[[], Message]) -> None:
        """`status` returns the state that a client is sent."""
        self._status = status
        self._open: list[_Question] = []
        self._number = 0

    def listen(self, run_dir: Path) -> socket.socket:
        """Return the listening socket `<run_dir>/status`, in place of one that an earlier server left."""
        folder = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(STATUS_SOCKET, dir_fd=folder)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.setblocking(False)
        listening.bind(f"/proc/self/fd/{folder}/{STATUS_SOCKET}")  # a socket path is at most 107 octets long
        os.chmod(run_dir / STATUS_SOCKET, 0o600)
        os.close(folder)
        listening.listen(16)
        return listening

    def ask(self, client: socket.socket, children: Iterable[SupervisedChild], now: float) -> None:
        """Ask these children for their reports, and answer the client when they have arrived."""
        self._number += 1
        question = _Question(self._number, client, now + ANSWER_SECONDS, set())
        if len(self._open) < MOST_QUESTIONS:
            question.awaited = {child.name for child in children if child.ask(self._number, now)}
        self._open.append(question)
        self._end(lambda one: one is question and not one.awaited)

    def has_reported(self, child: SupervisedChild, question: object) -> None:
        """Note a report of a child: it answers this question and the earlier ones. None: it was not asked for."""
        if isinstance(question, int):
            self._no_longer_await(child, question)

    def has_ended(self, child: SupervisedChild) -> None:
        """Note that a child will not report."""
        self._no_longer_await(child, self._number)

    def _no_longer_await(self, child: SupervisedChild, number: int) -> None:
        for one in self._open:
            if one.number <= number:
                one.awaited.discard(child.name)
        self._end(lambda one: not one.awaited)

    def due(self) -> float | None:
        """Return when the next question is answered even if reports are missing."""
        return min((one.until for one in self._open), default=None)

    def end_overdue(self, now: float) -> None:
        """Answer the clients that have waited for long enough."""
        self._end(lambda one: now >= one.until)

    def _end(self, is_over: Callable[[_Question], bool]) -> None:
        ended = [one for one in self._open if is_over(one)]
        self._open = [one for one in self._open if one not in ended]
        for one in ended:
            self._answer(one.client)

    def _answer(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.settimeout(LONGEST_ANSWER)
            client.sendall(json.dumps(self._status()).encode())
