"""Which accounts an indexer of this server has to visit, without asking each of them.

Two things tell: a file, in which the processes of this server write the MODSEQ of each change that they make, and, at the
beginning and then each hour, one statement for what other servers have left and for text of removed messages.
"""

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import bindparam, or_, select

from mic_mail.clock import Clock
from mic_mail.storage.database_ground.generations import State
from mic_mail.storage.fulltext.segment import TEXT_VERSION
from mic_mail.storage.index import schema
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.statements import SqlStatement
from mic_mail.storage.search.indexing import IDLE_DROP_SECONDS

ASK_SECONDS = 3_600.0
"""The time from one question about all accounts to the next."""
_OCTETS = 8

_A, _G, _V = schema.account.c, schema.generation.c, schema.search_visit.c
_DUE = SqlStatement(
    select(_G.mailbox_id)
    .join_from(schema.generation, schema.account, _A.account_id == _G.account_id)
    .join(schema.search_visit, _V.account_id == _A.account_id, isouter=True)
    .where(
        _G.state == State.CURRENT.value,
        or_(
            _V.account_id.is_(None),
            _V.version < bindparam("version"),
            _V.modseq != _A.modseq,
            _V.dropped_us <= bindparam("before"),
        ),
    )
)


class TextsDue:
    """The accounts to visit, in one process; safe from several threads."""

    def __init__(self, database: Database, path: Path, clock: Clock) -> None:
        """`path`: the file of changes, which may be removed at any time."""
        self._database = database
        self._path = str(path)
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._left: set[int] = set()
        self._begun = b""
        """The file before the last question: it tells of all changes up to there."""
        self._done: dict[int, int] = {}
        """What the file said of an account before its last visit."""

    def changed(self, mailbox_id: int, modseq: int) -> None:
        """Write down a change of this process; one that cannot be written is found within the hour."""
        with contextlib.suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(file, modseq.to_bytes(_OCTETS, "little"), mailbox_id * _OCTETS)
            finally:
                os.close(file)

    def marks(self) -> bytes:
        """Return octets that differ after each change by this server."""
        with contextlib.suppress(OSError):
            return Path(self._path).read_bytes()
        return b""

    def mark(self, mailbox_id: int) -> int:
        """Return a number that differs after each change of an account by this server."""
        with contextlib.suppress(OSError):
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _number(os.pread(file, _OCTETS, mailbox_id * _OCTETS), 0)
            finally:
                os.close(file)
        return 0

    def _ask_if_it_is_time(self) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if self._asked_at is not None and now - self._asked_at < ASK_SECONDS:
                return
        begun = self.marks()
        before_us = self._clock.now_us() - round(IDLE_DROP_SECONDS * 1_000_000)
        with self._database.reading() as connection:
            left = {row[0] for row in _DUE.on(connection, version=TEXT_VERSION, before=before_us)}
        with self._lock:
            self._asked_at, self._left, self._begun, self._done = now, left, begun, {}

    def due(self, accounts: Iterable[int]) -> set[int]:
        """Return those of these accounts that are to be visited now."""
        self._ask_if_it_is_time()
        marks = self.marks()
        with self._lock:
            begun, done, left = self._begun, self._done, self._left
            return {
                each
                for each in accounts
                if each in left or _number(marks, each) != (done[each] if each in done else _number(begun, each))
            }

    def done(self, mailbox_id: int, mark: int) -> None:
        """Note that a visit has ended which began with this mark."""
        with self._lock:
            self._left.discard(mailbox_id)
            self._done[mailbox_id] = mark


def _number(octets: bytes, place: int) -> int:
    return int.from_bytes(octets[place * _OCTETS : (place + 1) * _OCTETS], "little")
