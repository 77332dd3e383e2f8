"""The readers of documents as a worker has them: started when the first document comes, killed when one takes too long.

In: a message, in memory or as a file. Out: a verdict, within a bound of seconds whatever the message does: who is late is
killed, who dies is replaced, and the message is then not looked into, which is for the caller to judge. Belongs to the event
loop. A reader that nobody asks for a while is let go; one that has read many is too, so that nothing can pile up in it.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from mic_mail.checks.bounds import Bounds
from mic_mail.checks.reading import ANSWER, OCTETS, PATH, READY, REQUEST
from mic_mail.checks.verdict import Missed, Unread, Verdict
from mic_mail.process.lanes import Lanes

GRACE_SECONDS = 1.0
"""More than the reader gives itself: it stops by itself first, and what it has found until then counts."""
START_SECONDS = 10.0
"""Of a new reader, on a busy machine: it is not the message that is slow."""
IDLE_SECONDS = 300.0
MOST_READ = 500
MOST_ANSWER = 1 << 20


class _Reader:
    """One process, and the socket to it."""

    def __init__(self, process: "subprocess.Popen[bytes]", channel: socket.socket) -> None:
        self.process = process
        self.channel = channel
        self.read = 0

    async def ready(self) -> None:
        """It has started, and has its limits."""
        await self._receive(len(READY))

    async def ask(self, what: int, content: bytes) -> Verdict:
        """`OSError` or `ValueError` if it is no more, or talks nonsense."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.channel, REQUEST.pack(what, len(content)) + content)
        (size,) = ANSWER.unpack(await self._receive(ANSWER.size))
        if size > MOST_ANSWER:
            raise ValueError("no answer is so long")
        verdict = Verdict.decode(await self._receive(size))
        self.read += 1
        return verdict

    async def _receive(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        held = b""
        while len(held) < size:
            piece = await loop.sock_recv(self.channel, size - len(held))
            if not piece:
                raise ConnectionResetError("the reader is gone")
            held += piece
        return held

    def end(self) -> None:
        """Kill it; blocks for the moment that takes."""
        self.channel.close()
        self.process.kill()
        self.process.wait()


class Readers:
    """The readers of one process: at most `most` messages are read at a time, the others wait for their turn."""

    def __init__(self, bounds: Bounds, lanes: Lanes, *, most: int = 1) -> None:
        self.bounds = bounds
        self._lanes = lanes
        self._turns = asyncio.Semaphore(most)
        self._free: list[_Reader] = []
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Future[None]] = set()
        self._closed = False

    async def look(self, source: bytes | Path) -> Verdict:
        """Look into a message, for `bounds.seconds` at most and the wait for a turn, which is no longer."""
        try:
            async with asyncio.timeout(self.bounds.seconds):
                await self._turns.acquire()
        except TimeoutError:
            return _missed(Unread.UNAVAILABLE)
        try:
            return await self._look(source)
        finally:
            self._turns.release()

    async def _look(self, source: bytes | Path) -> Verdict:
        try:
            reader = self._free.pop() if self._free else await self._start()
        except OSError:
            return _missed(Unread.UNAVAILABLE)
        content, what = (source, OCTETS) if isinstance(source, bytes) else (str(source).encode(), PATH)
        try:
            if not reader.read:
                async with asyncio.timeout(START_SECONDS):
                    await reader.ready()
            async with asyncio.timeout(self.bounds.seconds + GRACE_SECONDS):
                verdict = await reader.ask(what, content)
        except TimeoutError:
            verdict = _missed(Unread.TOO_SLOW)
        except (OSError, ValueError):
            verdict = _missed(Unread.CRASHED)
        except asyncio.CancelledError:
            self._let_go(reader)
            raise
        else:
            if reader.read < MOST_READ and not self._closed:
                self._free.append(reader)
                self._rest()
                return verdict
        self._let_go(reader)
        return verdict

    async def _start(self) -> _Reader:
        return await self._lanes.io(_start, self.bounds)

    def _let_go(self, reader: _Reader) -> None:
        """End it in a thread; nobody waits, but `close`."""
        ending = asyncio.ensure_future(self._lanes.io(reader.end))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._end_all)

    def _end_all(self) -> None:
        while self._free:
            self._let_go(self._free.pop())

    def renew(self) -> None:
        """The bounds have changed: whoever waits for work with the old ones is let go."""
        self._end_all()

    async def close(self) -> None:
        """End every reader; what is being read then is not looked into."""
        self._closed = True
        if self._idle is not None:
            self._idle.cancel()
        self._end_all()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._ending, return_exceptions=True)


def _start(bounds: Bounds) -> _Reader:
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", "mic_mail.checks.reading", str(theirs.fileno()), json.dumps(asdict(bounds))],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,  # in our session, or its niceness would count for nothing (sched(7), autogroup)
            )
        except BaseException:
            ours.close()
            raise
    ours.setblocking(False)
    return _Reader(process, ours)


def _missed(reason: Unread) -> Verdict:
    return Verdict(missed=(Missed(reason, "message"),))
