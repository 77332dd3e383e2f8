"""Reads the documents of accepted messages from outside, behind the reply: Reg. 4.1 only flags them.

In: a message that passed its checks, of which something is left to read. Out: before its acceptance, a durable entry
(`quarantine.unread_messages`); after it, one call of `examine`, at least, also when this process is killed in between. In each
process one message at a time is read, in fair turns of the networks outside. See decision 0114.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import described, failure
from mic_mail.net.connection_limits import network_of
from mic_mail.process.background_tasks import BackgroundTasks
from mic_mail.process.backoff import Backoff
from mic_mail.process.fair_queue import FairQueue
from mic_mail.process.runtime import Runtime
from mic_mail.quarantine.unread_messages import UnreadMessage, UnreadMessages, UnreadRecord

MOST_UNREAD = 200
"""Messages that wait in one process; one more is read before its reply."""
TURN_SECONDS = 86_400.0
"""The longest wait for a turn; no client waits for it."""
MOST_RESUMED = 50
"""Entries taken up together; each holds a file open."""

Examine = Callable[[UnreadRecord, Path, bool], Awaitable[None]]
"""Reads a message, and flags it if it is marked; the last argument is False where reading began too often."""


class UnreadDocuments:
    """The messages that one process has accepted and not read; belongs to the event loop."""

    def __init__(self, runtime: Runtime, store: UnreadMessages, examine: Examine) -> None:
        self._runtime = runtime
        self._store = store
        self._examine = examine
        self._turns = FairQueue(1, MOST_UNREAD)
        self._tasks = BackgroundTasks()
        self._backoff = Backoff(runtime.clock)
        """The pauses of entries, by trace id, that could not be read or flagged."""
        self._owned = 0
        self.damaged = 0
        """The number of entries with an unreadable record, as of the last `resume`."""
        self._logged: set[Path] = set()
        """Unreadable records that have been logged."""

    def __len__(self) -> int:
        """The number of messages that this process has to read, also those that are being accepted."""
        return self._owned

    async def keep(self, record: UnreadRecord, source: Path) -> UnreadMessage | None:
        """Make the entry durable; None where it must be read now: too many wait, or the disk takes no entry."""
        if len(self) >= MOST_UNREAD:
            return None
        self._owned += 1
        try:
            return await self._runtime.executors.io(self._store.keep, record, source)
        except OSError:
            self._owned -= 1
            return None
        except BaseException:
            self._owned -= 1
            raise

    async def discard(self, message: UnreadMessage) -> None:
        """Remove the entry of a message that was not accepted."""
        self._owned -= 1
        await self._runtime.executors.io(message.end)

    def read(self, message: UnreadMessage) -> None:
        """Read a message behind the reply."""
        self._tasks.start(self._read(message))

    async def resume(self) -> bool:
        """Read what earlier processes accepted and did not read; return whether any message is unread now.

        An entry with an unreadable record is logged once, and does not count: it waits for an administrator.
        """
        most = max(0, min(MOST_RESUMED, MOST_UNREAD - len(self)))
        self._owned += most  # also while they are taken up, when more may be accepted
        taken = 0
        try:
            entries, unreadable, unread = await self._runtime.executors.io(self._resumed, most)
            taken = len(entries)
        finally:
            self._owned -= most - taken
        for entry in entries:
            self.read(entry)
        for mark, error in unreadable:
            if mark not in self._logged:  # it may be repaired later
                self._logged.add(mark)
                fields = {"file": str(mark), "error": described(error)}
                self._runtime.log.event("unread_record_damaged", trace=mark.stem, clause="4.1", **fields)
        return unread > self.damaged

    def _resumed(self, most: int) -> tuple[list[UnreadMessage], list[tuple[Path, Exception]], int]:
        """Return the entries taken up, the unreadable records with their errors, and the number of all entries."""
        unreadable: list[tuple[Path, Exception]] = []
        entries = self._store.resume(most, lambda mark, error: unreadable.append((mark, error)), is_due=self._backoff.is_due)
        self.damaged = self._store.damaged()
        return entries, unreadable, self._store.count()

    async def settle(self) -> None:
        """Wait until everything is read."""
        await self._tasks.settle()

    async def close(self) -> None:
        """Stop; what is not read is resumed by the next process."""
        self._tasks.cancel()
        await self._tasks.settle()

    async def _read(self, message: UnreadMessage) -> None:
        record, io = message.record, self._runtime.executors.io
        is_attempt = True
        try:
            await self._turns.take(TURN_SECONDS, network_of(record.peer or ""))
            try:
                await self._examine(record, message.path, await io(message.begin))
            finally:
                self._turns.give_back()
            await io(self._end, message)
            self._backoff.succeeded(record.trace_id)
        except asyncio.CancelledError:  # an orderly stop, which the next process must not take for a crash
            is_attempt = False
            raise
        except (MicMailError, OSError) as error:  # as a full disk: it is tried again for as long as that lasts
            self._backoff.failed(record.trace_id)
            self._runtime.log.event("message_not_flagged", trace=record.trace_id, clause="4.1", **failure(error))
            is_attempt = False
        except Exception as error:  # noqa: BLE001 - the entry is durable, and a later round takes it up again
            self._backoff.failed(record.trace_id)
            self._runtime.log.event("message_not_flagged", trace=record.trace_id, clause="4.1", **failure(error))
        finally:
            self._owned -= 1
            message.release(is_attempt=is_attempt)

    def _end(self, message: UnreadMessage) -> None:
        """Remove an entry, the log first: nothing is reported again."""
        self._runtime.log.flush()
        message.end()
