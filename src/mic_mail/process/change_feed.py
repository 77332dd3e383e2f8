"""The change feed: subscribers of an account are notified when it changes, in every process.

In: `changed(account_id, modseq)` from any thread, after the commit. Out: the subscribers of the account are called on the loop
with the newest MODSEQ, a few in each loop turn (a unit's mailbox may be open in hundreds of sessions). This process and every
sibling process do so; a sibling gets one datagram, sent in the same turn. A datagram is a hint and may be lost. A sibling whose
queue is full (about 10 datagrams) gets a pending "check all". Every `poll_seconds` each worker also polls the store for the
accounts that it watches, the files of the directory, and the folder of its siblings' sockets. It asks the directory for its
version when these files have changed, and every `VERSION_SECONDS`.

Most changes interest no sibling, because most people are signed in at one worker only. Each process therefore lists the
accounts that it watches in a file (`feed_sockets.Watchlist`), and is not woken for others.

Broadcasts (`send`, `send_to_all_servers`, `listen`) use the same sockets. They carry what siblings should know but can do
without, such as a wrong password.

Never here: what changed (subscribers ask the store), durable state, blocking sends. The socket of a process is
`<run_dir>/feed.<name>`. Any program with access to the run_dir can send (`mic-mail mailbox suspend` does); only servers listen.
"""

import asyncio
import contextlib
import math
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

from mic_mail.errors import MicMailError
from mic_mail.process.background_tasks import BackgroundTasks
from mic_mail.process.feed_sockets import (
    ACCOUNTS,
    CHECK_ALL,
    DATAGRAM_OCTETS,
    DIRECTORY,
    HERE,
    PAIR,
    WIDE_WORD,
    WORD,
    Peers,
)
from mic_mail.process.file_traces import Traces
from mic_mail.process.timer_grid import next_tick

Callback = Callable[[int], None]
ModseqProbe = Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]
"""The highest MODSEQ of each of these account ids now; accounts that cannot be read are left out."""
VersionProbe = Callable[[], Awaitable[int]]
Trace = Callable[[], object]
"""A value that every commit in the directory changes, made without a query; None where there is none. Cheap."""

VERSION_SECONDS = 30.0
"""The directory is asked for its version so often, even if its files have not changed."""

SETTLED_SECONDS = 10.0
"""A file of the directory counts as changed for so long after a change.

A commit changes it before it is durable, and nobody can read it until it is.
"""

_CALLED_AT_ONCE = 4
"""Subscribers called in one turn of the loop. Each is a session that starts to poll: 60 to 100 µs."""
_RETRY_PENDING_SECONDS = 0.02
_ACCOUNTS_IN_SLICE = 32
_SLICES = (1, 2, 4, 10, 20)
"""Numbers of slices in which a poll of many accounts is spread over its period, to avoid bursts."""


class Subscription:
    """One watcher of one account; `close` it when the session ends."""

    __slots__ = ("_feed", "account_id", "callback")

    def __init__(self, feed: "Feed", account_id: int, callback: Callback) -> None:
        self._feed = feed
        self.account_id = account_id
        self.callback = callback

    def close(self) -> None:
        self._feed._forget(self)


class _Watched:
    __slots__ = ("due", "modseq", "subscriptions")

    def __init__(self) -> None:
        self.modseq = 0
        self.subscriptions: set[Subscription] = set()
        self.due: list[Subscription] | None = None
        """Subscribers still to be called with `modseq`; None while no calls are scheduled."""


class Feed:
    """One process's end of the feed. Create it in the running loop; `start` it once the probes work."""

    def __init__(
        self, run_dir: Path, name: str, *, poll_seconds: float = 2.0, measure_lag: Callable[[], None] = lambda: None
    ) -> None:
        """`measure_lag` is called on the loop before subscribers are called."""
        self._measure_lag = measure_lag
        self._loop = asyncio.get_running_loop()
        self._watched: dict[int, _Watched] = {}
        self._unwatched: set[int] = set()
        """Accounts that nobody watches any more, still in the watchlist until the next poll.

        Mail programs sign in again and again; a datagram too many costs less than two writes for each of their sessions.
        """
        self._pending: dict[int, int] = {}
        self._pending_lock = threading.Lock()
        self._directory_watchers: list[Callback] = []
        self._listeners: list[Callable[[bytes], None]] = []
        self._directory_version = -1
        self._directory_traces = Traces(max(2, math.ceil(SETTLED_SECONDS / poll_seconds)))
        self._version_due = 0.0
        """The time of the loop from which the directory is asked, whether or not its files have changed."""
        self._poll_seconds = poll_seconds
        self._probe: ModseqProbe | None = None
        self._version: VersionProbe | None = None
        self._trace: Trace = _no_trace
        self._tasks = BackgroundTasks()
        self._retry: asyncio.TimerHandle | None = None
        self._peers = Peers(run_dir, name)
        self._watchlist = self._peers.watchlist(name)
        self._socket = self._peers.listen()
        self._loop.add_reader(self._socket.fileno(), self._receive, self._socket)

    def start(
        self, probe: ModseqProbe | None = None, version: VersionProbe | None = None, directory_trace: Trace | None = None
    ) -> None:
        """Start polling with these probes."""
        self._probe, self._version, self._trace = probe, version, directory_trace or _no_trace
        self._tasks.start(self._poll_for_ever())

    # Changes of accounts
    def changed(self, account_id: int, modseq: int) -> None:
        """Record that the account has committed `modseq`. Cheap; call it from any thread.

        It is published a turn of the loop later: the client that made the change has its reply first.
        """
        with self._pending_lock:
            first = not self._pending
            if modseq > self._pending.get(account_id, 0):
                self._pending[account_id] = modseq
        if first:
            with contextlib.suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(self._loop.call_soon, self._publish)

    def subscribe(self, account_id: int, callback: Callback) -> Subscription:
        """Call `callback(modseq)` on the loop whenever the account changes, until the subscription is closed."""
        subscription = Subscription(self, account_id, callback)
        watched = self._watched.get(account_id)
        if watched is None:
            watched = self._watched[account_id] = _Watched()
            if account_id in self._unwatched:
                self._unwatched.remove(account_id)
            else:
                self._watchlist.note(account_id, is_watched=True)
        watched.subscriptions.add(subscription)
        return subscription

    def _forget(self, subscription: Subscription) -> None:
        watched = self._watched.get(subscription.account_id)
        if watched is not None:
            watched.subscriptions.discard(subscription)
            if not watched.subscriptions:
                del self._watched[subscription.account_id]
                self._unwatched.add(subscription.account_id)

    def _publish(self) -> None:
        self._measure_lag()
        with self._pending_lock:
            pending, self._pending = self._pending, {}
        self._peers.publish(pending)
        self._retry_pending()
        for account_id, modseq in pending.items():
            self._call(account_id, modseq)

    def _call(self, account_id: int, modseq: int) -> None:
        watched = self._watched.get(account_id)
        if watched is None or modseq <= watched.modseq:
            return
        watched.modseq = modseq
        is_calling = watched.due is not None
        watched.due = list(watched.subscriptions)
        if not is_calling:
            self._call_some(watched)

    def _call_some(self, watched: _Watched) -> None:
        due = watched.due
        assert due is not None
        some = [due.pop() for _ in range(min(_CALLED_AT_ONCE, len(due)))]
        if due:
            self._loop.call_soon(self._call_some, watched)
        else:
            watched.due = None
        for subscription in some:
            if subscription in watched.subscriptions:
                subscription.callback(watched.modseq)

    # The directory
    def watch_directory(self, callback: Callback) -> None:
        """Call `callback(version)` on the loop when the directory has changed; -1 is a version not yet known."""
        self._directory_watchers.append(callback)

    def _call_directory(self, version: int) -> None:
        for callback in tuple(self._directory_watchers):
            callback(version)

    # Broadcasts
    def send(self, word: bytes) -> None:
        """Broadcast a message that is not a change to every sibling. It may be lost and is never sent again."""
        self._send([WORD + word])

    def send_to_all_servers(self, word: bytes) -> None:
        """Broadcast a message as `send` does, also to the processes of other servers that have the same mailboxes."""
        self._send([WIDE_WORD + word])

    def listen(self, callback: Callable[[bytes], None]) -> None:
        """Call `callback(word)` on the loop for each broadcast of a sibling, or of another server to all."""
        self._listeners.append(callback)

    # Siblings
    def _send(self, datagrams: list[bytes], only: Iterable[str] | None = None) -> None:
        self._peers.send(datagrams, only)
        self._retry_pending()

    def _retry_pending(self) -> None:
        if self._peers.undelivered and self._retry is None:
            self._retry = self._loop.call_later(_RETRY_PENDING_SECONDS, self._send_pending)

    def _send_pending(self) -> None:
        self._retry = None
        self._send([], tuple(self._peers.undelivered))

    def _receive(self, listening: socket.socket) -> None:
        self._measure_lag()
        newest: dict[int, int] = {}
        check_all = directory = False
        for _ in range(64):  # then other tasks of the loop run
            try:
                datagram = listening.recv(DATAGRAM_OCTETS)
            except BlockingIOError:
                break
            kind, content = datagram[:1], datagram[1:]
            if kind == ACCOUNTS and len(content) % PAIR.size == 0:
                for account_id, modseq in PAIR.iter_unpack(content):
                    newest[account_id] = max(modseq, newest.get(account_id, 0))
            elif kind in {WORD, WIDE_WORD}:
                for listener in self._listeners:
                    listener(content)
            elif kind == HERE:
                self._peers.refresh()
            elif kind == DIRECTORY:
                directory = True
            elif kind == CHECK_ALL:
                check_all = directory = True
        for account_id, modseq in newest.items():
            self._call(account_id, modseq)
        if directory:
            self._call_directory(-1)
        if check_all:
            self._tasks.start(self._check(tuple(self._watched)))

    # Polling
    async def check_all(self) -> None:
        """Ask the store about every watched account and the directory about its version, now."""
        await self._check(tuple(self._watched))
        await self._check_directory()

    async def _check(self, account_ids: Sequence[int]) -> None:
        if self._probe is not None and account_ids:
            for account_id, modseq in (await self._probe(account_ids)).items():
                self._call(account_id, modseq)

    async def _check_directory(self) -> None:
        if self._version is None:
            return
        self._version_due = 0.0  # a probe that fails is repeated at the next poll
        version = await self._version()
        self._version_due = self._loop.time() + VERSION_SECONDS
        if version != self._directory_version:  # the first answer too: it may be newer than what was loaded at the start
            self._directory_version = version
            self._call_directory(version)

    async def _check_directory_if_due(self) -> None:
        has_changed = self._directory_traces.have_changed(self._trace())
        if has_changed or self._loop.time() >= self._version_due:
            await self._check_directory()

    async def _poll_for_ever(self) -> None:
        """Poll on the grid of timers: once in a period, or as often as the watched accounts need slices."""
        slices, step = 1, self._poll_seconds
        done = math.floor(self._loop.time() / step)
        due = (done + 1) * step
        while True:
            await asyncio.sleep(due - self._loop.time())
            reached = round(due / step)
            turns = {number % slices for number in range(max(done + 1, reached - slices + 1), reached + 1)}
            accounts, needed = tuple(self._watched), self._slices_needed()
            if needed == slices:
                accounts, done = tuple(account_id for account_id in accounts if account_id % slices in turns), reached
                await self._poll(accounts, is_whole=0 in turns)
                due = next_tick(self._loop.time(), step)
            else:  # all are polled now, and then in their new turns
                slices, step = needed, self._poll_seconds / needed
                done = math.floor(due / step)
                await self._poll(accounts, is_whole=0 in turns)
                due = max((done + 1) * step, self._loop.time())  # the nearest instant to a whole step may skip one

    def _slices_needed(self) -> int:
        return next((slices for slices in _SLICES if len(self._watched) <= slices * _ACCOUNTS_IN_SLICE), _SLICES[-1])

    async def _poll(self, accounts: Sequence[int], *, is_whole: bool) -> None:
        """Poll these accounts; with `is_whole` all that is polled once in a period as well.

        A probe that fails now is repeated at the next poll.
        """
        with contextlib.suppress(MicMailError, OSError):
            await self._check(accounts)
        if is_whole:
            with contextlib.suppress(MicMailError, OSError):
                await self._check_directory_if_due()
            self._note_unwatched()
            with contextlib.suppress(OSError):
                self._peers.refresh_if_changed()

    def _note_unwatched(self) -> None:
        while self._unwatched:
            self._watchlist.note(self._unwatched.pop(), is_watched=False)

    def close(self) -> None:
        """Stop listening; changes that are reported afterwards are dropped."""
        self._tasks.cancel()
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._watchlist.close()
        self._peers.close()


def _no_trace() -> object:
    return None


def notify_directory_changed(run_dir: Path) -> None:
    """Notify running servers that a command has changed the directory. Does nothing when none runs."""
    _send(run_dir, DIRECTORY)


def notify_account_changed(run_dir: Path, account_id: int, modseq: int) -> None:
    """Notify running servers that a command has changed an account's mail. Does nothing when none runs."""
    _send(run_dir, ACCOUNTS + PAIR.pack(account_id, modseq))


def send_word(run_dir: Path, word: bytes) -> None:
    """Send a broadcast of `Feed.send` from a command."""
    _send(run_dir, WORD + word)


def _send(run_dir: Path, datagram: bytes) -> None:
    if run_dir.is_dir():
        peers = Peers(run_dir, None)
        peers.send([datagram])
        peers.close()
