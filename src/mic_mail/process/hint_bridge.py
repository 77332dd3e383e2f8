"""The bridge between the change feed of this server's processes and the other servers that have the same mailboxes.

It belongs to one process of a server. In the feed it is one more process, which watches every account: what the others say
there it sends on as hints (`storage.hints`), several together while earlier ones are on their way. What other servers say it
says in the feed. That an account has changed is passed on, that the directory has, and broadcasts to all servers, sealed
(`sealed_broadcasts`); other broadcasts are of one server. A hint may be lost, and costs the time until the next poll then, or
an extra attempt at a password; after a time without a connection, or without the bridge, everyone checks everything.

Every few seconds it sends a hint to itself, so that it knows whether they arrive, and how late.
"""

import asyncio
import contextlib
import math
import socket
from pathlib import Path

from mic_mail.errors import MicMailError
from mic_mail.process.background_tasks import BackgroundTasks
from mic_mail.process.executors import Executors
from mic_mail.process.feed_sockets import ACCOUNTS, CHECK_ALL, DATAGRAM_OCTETS, DIRECTORY, HERE, PAIR, WIDE_WORD, Peers
from mic_mail.process.sealed_broadcasts import SealedBroadcasts
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.hints import HINT_OCTETS, HintListener, Hints

NAME = "other-servers"
"""Its name among the processes of the feed."""
ECHO_SECONDS = 5.0
SILENT_SECONDS = 15.0
"""A connection that has not brought its own hints for so long is opened again."""
_ECHO = b"e"
"""The kind of hint that only its sender heeds."""
_PAIRS_IN_HINT = (HINT_OCTETS - 1) // PAIR.size
_MOST_WORDS = 1_000
"""Broadcasts that wait while hints are on their way; further ones are lost."""
_AT_ONCE = 256
_AGAIN_SECONDS = 1.0


class HintBridge:
    """One server's bridge. Create it in the running loop; it works until `close`."""

    def __init__(self, run_dir: Path, hints: Hints, executors: Executors, *, key: bytes) -> None:
        """`key` has 32 octets and is the same at all servers of these mailboxes: broadcasts are sealed with it."""
        self._hints = hints
        self._sealed = SealedBroadcasts(key, kind=WIDE_WORD, most=HINT_OCTETS)
        self._executors = executors
        self._loop = asyncio.get_running_loop()
        self._peers = Peers(run_dir, NAME)
        self._tasks = BackgroundTasks()
        self._changed: dict[int, int] = {}
        """New MODSEQs to be sent, by account."""
        self._others: set[bytes] = {CHECK_ALL}
        """Other hints to be sent: `DIRECTORY`, `_ECHO`; `CHECK_ALL` after a time in which none were sent."""
        self._words: list[bytes] = []
        """Broadcasts to be sent."""
        self._is_sending = self._has_lost = False
        self._listener: HintListener | None = None
        self._lost: asyncio.Future[None] | None = None
        """Ends the present connection."""
        self._echo_sent_at = math.inf
        self._echoed_at = -math.inf
        self._echo_seconds = math.inf
        self._sent = self._heard = self._unsent = self._unreadable = 0
        self._socket = self._peers.listen()
        self._loop.add_reader(self._socket.fileno(), self._receive, self._socket)
        self._tasks.start(self._listen_for_ever())
        self._tasks.start(self._send_echoes())
        self._send_soon()

    def report(self) -> dict[str, object]:
        """Return the numbers for `mic-mail status`: whether hints arrive, in how many ms if that is known, and how many did."""
        arrive = self._listener is not None and self._loop.time() - self._echoed_at < SILENT_SECONDS
        return {
            "hints": {
                "arrive": arrive,
                "ms": round(self._echo_seconds * 1000, 1) if arrive and self._echo_seconds < math.inf else None,
                "sent": self._sent,
                "heard": self._heard,
                "lost": self._unsent,
                "unreadable": self._unreadable,
            }
        }

    def close(self) -> None:
        """End it; what is still to be sent is dropped."""
        self._tasks.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._peers.close()

    # From this server to others

    def _receive(self, listening: socket.socket) -> None:
        """Take what the processes of this server say."""
        for _ in range(_AT_ONCE):
            try:
                datagram = listening.recv(DATAGRAM_OCTETS)
            except BlockingIOError:
                break
            kind, content = datagram[:1], datagram[1:]
            if kind == ACCOUNTS:
                _add_newest(self._changed, content)
            elif kind == HERE:
                self._peers.refresh()
            elif kind == DIRECTORY:
                self._others.add(DIRECTORY)
            elif kind == WIDE_WORD:
                self._add_word(content)
        self._send_soon()

    def _add_word(self, word: bytes) -> None:
        if len(self._words) < _MOST_WORDS and self._sealed.fits(word):
            self._words.append(word)
        else:
            self._unsent += 1

    def _send_soon(self) -> None:
        if (self._changed or self._others or self._words) and not self._is_sending:
            self._is_sending = True
            self._tasks.start(self._send_all())

    async def _send_all(self) -> None:
        """Send until nothing is left: what comes meanwhile goes together."""
        try:
            while self._changed or self._others or self._words:
                changed, self._changed = list(self._changed.items()), {}
                words, self._words = self._words, []
                hints = list(self._sealed.seal(words))
                hints += sorted(self._others | ({CHECK_ALL} if self._has_lost else set()))
                self._others = set()
                for first in range(0, len(changed), _PAIRS_IN_HINT):
                    hints.append(ACCOUNTS + b"".join(PAIR.pack(*pair) for pair in changed[first : first + _PAIRS_IN_HINT]))
                try:
                    await self._executors.io(self._hints.send, hints)
                    self._sent += len(hints)
                    self._has_lost = False
                except MicMailError:
                    self._unsent += len(hints)
                    self._has_lost = True
        finally:
            self._is_sending = False

    async def _send_echoes(self) -> None:
        while True:
            await asyncio.sleep(ECHO_SECONDS)
            now = self._loop.time()
            if now - self._echoed_at > SILENT_SECONDS:
                self._lose()
            self._echo_sent_at = now
            self._others.add(_ECHO)
            self._send_soon()
            with contextlib.suppress(OSError):
                self._peers.refresh_if_changed()

    # From others to this server

    async def _listen_for_ever(self) -> None:
        while True:
            with contextlib.suppress(MicMailError):
                await self._listen()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _listen(self) -> None:
        """Hear hints until the connection is lost."""
        listener = await self._executors.io(self._hints.listen)
        self._lost = self._loop.create_future()
        self._listener = listener
        self._echoed_at = self._loop.time()  # it has as long as any other to bring the first one
        self._loop.add_reader(listener.fileno(), self._hear, listener)
        try:
            self._peers.send([CHECK_ALL])  # what was said before this connection stood
            self._hear(listener)
            await self._lost
        finally:
            self._lose()
            listener.close()

    def _lose(self) -> None:
        """Give the present connection up. Its descriptor may be another's from now on."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener = None
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def _hear(self, listener: HintListener) -> None:
        try:
            heard = listener.heard()
        except Unavailable:
            self._lose()
            return
        newest: dict[int, int] = {}
        for hint, is_own in heard:
            if is_own:
                if hint == _ECHO:
                    self._echoed_at = self._loop.time()
                    self._echo_seconds = self._echoed_at - self._echo_sent_at
                continue
            self._heard += 1
            if hint[:1] == ACCOUNTS:
                _add_newest(newest, hint[1:])
            elif hint in {DIRECTORY, CHECK_ALL}:
                self._peers.send([hint])
            elif hint[:1] == WIDE_WORD:
                self._pass_on_words(hint)
        if newest:
            self._peers.publish(newest)

    def _pass_on_words(self, hint: bytes) -> None:
        """Say in the feed what another server broadcasts; what was sealed with another key is only counted."""
        words = self._sealed.open(hint)
        if words is None:
            self._unreadable += 1
        else:
            self._peers.send([WIDE_WORD + word for word in words])


def _add_newest(newest: dict[int, int], pairs: bytes) -> None:
    """Add the new MODSEQs of a datagram; one of another form says nothing."""
    if len(pairs) % PAIR.size == 0:
        for account_id, modseq in PAIR.iter_unpack(pairs):
            newest[account_id] = max(modseq, newest.get(account_id, 0))
