"""The indexer: a child of the supervisor that fills the text index when the processor is idle.

In: a configuration. It reads the directory and the mailboxes and writes nothing but the text index of each mailbox and its
own log. It opens no listener, no spool and no journal, so it never holds a resource that the others need while the kernel
leaves it waiting.
"""

import asyncio
from collections.abc import Sequence

from mic_mail.app.idleness import Idleness
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import EMPTY
from mic_mail.file_trace import trace_of
from mic_mail.log.maillog import MailLog
from mic_mail.process.executors import Executor
from mic_mail.services.mail_store import open_mail_store
from mic_mail.services.operations.indexing import ROUND_SECONDS, Indexing, stand_back
from mic_mail.services.operations.jobs import Job, JobRunner, WhenChanged
from mic_mail.storage.index.change_marks import CHANGE_MARKS

CLOSE_SECONDS = 2.0
IDLE_LOOK_SECONDS = 10.0
IDLE_SECONDS = 30.0
"""An indexer ends when no mailbox has changed for so long.

It stays longer by MAILBOX_SECONDS for each mailbox and MESSAGE_SECONDS for each message, since the next one has to look at all
of them: for 226 mailboxes it took a second of idle processor time, of 41 s.
"""
MAILBOX_SECONDS = 0.05
MESSAGE_SECONDS = 0.0005


class Indexer:
    """The running indexer; follows the supervisor's orders like a `Server`."""

    tasks: Sequence[asyncio.Task[None]] = ()

    def __init__(self, config: Config, clock: Clock, name: str) -> None:
        self.idleness = Idleness(clock)
        self._done: tuple[int, ...] | None = None
        """The trace of the change counters up to which all is indexed; None where something was left."""
        self._running = asyncio.Lock()
        """Held by a round."""
        self.log = MailLog(config.log_dir, name, clock=clock, segment_octets=config.log.segment)
        self._clock = clock
        self._marks = config.mail_root / CHANGE_MARKS
        self._directory = Directory(config.directory_url, clock=clock)
        self._snapshot = EMPTY
        self._store = open_mail_store(config, clock)
        self._executor = Executor("index", 1)
        self._indexing = Indexing(self._store, lambda: self._snapshot, self._executor.submit, self.log, clock)
        job = WhenChanged(self._run_once, self._store.change_marks, clock).job("index", ROUND_SECONDS)
        self._jobs = JobRunner([job, Job("idle_end", IDLE_LOOK_SECONDS, self._look_for_work)], self.log, clock)

    async def start(self) -> None:
        await self._executor.submit(stand_back)
        self._jobs.start()

    async def _run_once(self) -> bool:
        async with self._running:
            trace = trace_of(self._marks)
            self._snapshot = await self._executor.submit(self._directory.load_snapshot, self._snapshot)
            is_left = await self._indexing.run_once()
            self._done = None if is_left else trace
            return is_left

    async def _look_for_work(self) -> None:
        """End once nothing has changed for long, after a last round that finds what no change shows.

        A change that this process has not seen starts the next one. Two changes within one tick of the clock leave the same
        trace; the second round after it has seen both by then.
        """
        seconds = IDLE_SECONDS + MAILBOX_SECONDS * len(self._snapshot) + MESSAGE_SECONDS * self._indexing.messages
        is_idle = self.idleness.has_lasted(seconds, is_busy=self._has_changed(), seen=self._done)
        if is_idle and not await self._run_once() and self._done is not None and not self._has_changed():
            self.idleness.last_word = {"done": list(self._done)}
            self.idleness.over.set()

    def _has_changed(self) -> bool:
        return trace_of(self._marks) != self._done

    def configure(self, config: Config) -> None:
        """Do nothing: no setting that it uses follows a reload."""

    def recover(self) -> None:
        """Do nothing: other processes recover what a dead one has left."""

    def report(self) -> dict[str, object]:
        """Return the numbers for `mic-mail status`."""
        return {"indexed": self._indexing.indexed, "events": self.log.counted()}

    async def drain(self) -> None:
        """End after the present batch; the rest is left to the next start."""
        self._indexing.end()
        await self._jobs.close()
        self._executor.end()
        self._executor.join(self._clock.monotonic() + CLOSE_SECONDS)
        self._directory.close()
        self.log.close()
