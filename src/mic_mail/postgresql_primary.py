"""Connections to the primary among several PostgreSQL servers, of which each may be dead, hung or cut off.

In: settings for psycopg, with one host or several. Out: a connection of psycopg. All hosts are asked side by side: libpq asks
one after the other, so one that does not answer would delay everybody by its `connect_timeout`. Of those that take changes, the
one with the highest timeline is the primary: another is an old one, which has slept through a fail-over and does not know yet.
"""

import contextlib
import select
import time
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

_MORE_SECONDS = 0.25
"""Once a host that takes changes is found, the others have so long to say that they do, too."""
_PRIMARY = ("read-write", "primary")
"""Values of target_session_attrs that ask for it; with another, libpq looks for what it names."""
_PER_HOST = ("host", "hostaddr", "port")
_OF_LIBPQ = ("target_session_attrs", "load_balance_hosts")
"""Settings by which libpq would choose a host."""
_TIMELINE = b"SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
"""The timeline of a primary from the moment of its promotion; what its control file says may be older."""
_IN: dict[int, int] = {pq.PollingStatus.READING: select.POLLIN, pq.PollingStatus.WRITING: select.POLLOUT}

C = TypeVar("C", bound=psycopg.Connection[Any])


def connect(kind: type[C], settings: dict[str, Any]) -> C:
    """Return a connection to the primary, where each statement is a transaction. Raise `psycopg.OperationalError`.

    `connect_timeout` is for all hosts together; 0: no limit.
    """
    hosts = list(_hosts(settings))
    if len(hosts) == 1 or settings.get("target_session_attrs") not in _PRIMARY:
        return kind.connect(**settings, autocommit=True)
    attempts: list[_Attempt] = []
    try:
        attempts += map(_Attempt, hosts)
        found = _primary(attempts, float(settings.get("connect_timeout") or "inf"))
        driver = kind(found.taken())
    finally:
        for attempt in attempts:
            attempt.close()
    driver.autocommit = True
    return driver


def _hosts(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the settings of each host. One port may stand for all."""
    lists = {key: str(settings[key]).split(",") for key in _PER_HOST if settings.get(key)}
    common = {key: value for key, value in settings.items() if key not in (*_PER_HOST, *_OF_LIBPQ)}
    for at in range(max(map(len, lists.values()), default=1)):
        yield common | {key: values[at % len(values)] for key, values in lists.items()}


def _primary(attempts: list["_Attempt"], seconds: float) -> "_Attempt":
    """Return the attempt that has found the primary."""
    until = time.monotonic() + seconds
    while True:
        found = [attempt for attempt in attempts if attempt.state is _State.TAKES_CHANGES]
        asking = [attempt for attempt in attempts if attempt.state in _ASKING]
        left = until - time.monotonic()
        if not asking or left <= 0:
            break
        poll = select.poll()
        by_descriptor = {attempt.register(poll): attempt for attempt in asking}
        for descriptor, _ in poll.poll(None if left == float("inf") else left * 1000 + 1):
            by_descriptor[descriptor].go_on()
        if not found and any(attempt.state is _State.TAKES_CHANGES for attempt in attempts):
            until = min(until, time.monotonic() + _MORE_SECONDS)
    if not found:
        raise psycopg.OperationalError("; ".join(attempt.reason for attempt in attempts))
    return max(found, key=lambda attempt: attempt.timeline)


class _State(Enum):
    CONNECTING = auto()
    ASKED = auto()
    """Connected to a host that takes changes, and asked for its timeline."""
    TAKES_CHANGES = auto()
    FAILED = auto()


_ASKING = (_State.CONNECTING, _State.ASKED)


class _Attempt:
    """One host that is asked; it never blocks."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.timeline = 0
        self.state = _State.CONNECTING
        self._name = str(settings.get("host") or settings.get("hostaddr") or "its socket")
        self._why = "no answer"
        self._libpq: pq.abc.PGconn | None = pq.PGconn.connect_start(make_conninfo(**settings).encode())
        self._waits_for = select.POLLOUT
        self._check()

    @property
    def reason(self) -> str:
        return f"{self._name}: {self._why}"

    def register(self, poll: select.poll) -> int:
        """Have its socket waited for; return the descriptor, which may change while it connects."""
        descriptor = self._connection.socket
        poll.register(descriptor, self._waits_for)
        return descriptor

    def go_on(self) -> None:
        """Do what can be done after its socket has become ready."""
        try:
            if self.state is _State.CONNECTING:
                self._connect()
            else:
                self._take_timeline()
        except psycopg.Error as error:
            self._fail(str(error))

    def taken(self) -> pq.abc.PGconn:
        """Give the connection away."""
        taken, self._libpq = self._connection, None
        return taken

    def close(self) -> None:
        if self._libpq is not None:
            self._libpq.finish()

    @property
    def _connection(self) -> pq.abc.PGconn:
        assert self._libpq is not None
        return self._libpq

    def _connect(self) -> None:
        status = self._connection.connect_poll()
        if status in _IN:
            self._waits_for = _IN[status]
        elif status == pq.PollingStatus.OK:
            self._ask()
        else:
            self._check()

    def _ask(self) -> None:
        """Ask for the timeline, where the server has said with its greeting that it takes changes."""
        libpq = self._connection
        libpq.nonblocking = 1
        said = [libpq.parameter_status(name) for name in (b"in_hot_standby", b"default_transaction_read_only")]
        if b"on" in said:
            self._fail("it only reads")
            return
        libpq.send_query(_TIMELINE)
        libpq.flush()
        self.state, self._waits_for = _State.ASKED, select.POLLIN

    def _take_timeline(self) -> None:
        libpq = self._connection
        libpq.consume_input()
        while not libpq.is_busy():
            result = libpq.get_result()
            if result is None:
                self.state = _State.TAKES_CHANGES
                return
            if result.status != pq.ExecStatus.TUPLES_OK:
                self._fail(result.error_message.decode(errors="replace"))
                return
            self.timeline = int(result.get_value(0, 0) or b"0", 16)

    def _check(self) -> None:
        if self._connection.status == pq.ConnStatus.BAD:
            self._fail(self._connection.get_error_message())

    def _fail(self, why: str) -> None:
        """Give the host up, and its connection at once."""
        self._why, self.state = " ".join(why.split()), _State.FAILED
        with contextlib.suppress(psycopg.Error):
            self._connection.finish()
