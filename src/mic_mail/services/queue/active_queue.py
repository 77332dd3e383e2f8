"""The active queue: the entries of the queue in the memory of the process that sends.

Nothing is scheduled or sent here. Belongs to one process's loop; files are read in the I/O executor.

    claimed    recipients that an attempt tries now: no other attempt takes them, and none of them is final
    ending     an entry without open recipients, from the report to its sender until its files are gone
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from mic_mail.process.runtime import Runtime
from mic_mail.queue.errors import UNREADABLE
from mic_mail.queue.queue import DamagedEntry, Queue, QueueEntry
from mic_mail.queue.scheduler import DeliveryJob
from mic_mail.storage.errors import Unavailable

MAX_READ = 50
"""Entries read together: a restart finds thousands, and each change of threads takes as long as the reading."""


class ActiveQueue:
    """The active queue of one process."""

    def __init__(self, runtime: Runtime, queue: Queue) -> None:
        self._runtime = runtime
        self._queue = queue
        self._entries: dict[str, QueueEntry] = {}
        self._damaged: set[str] = set()
        """Unreadable entries that have been logged."""
        self.unread: set[str] = set()
        """Entries with a decision whose log could not be read; the next poll reads it."""
        self._claimed: dict[str, set[int]] = defaultdict(set)
        self._ending: set[str] = set()
        self._changing = asyncio.Lock()
        """Held while entries are added, and while an ended one is removed.

        Two additions at the same time would both add a new entry, and one that began before a removal may still hold the name.
        """

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, entry: QueueEntry) -> bool:
        return self._entries.get(entry.entry_id) is entry

    def get(self, entry_id: str) -> QueueEntry | None:
        """Return an entry that may be tried; None if it has ended or is ending."""
        return None if entry_id in self._ending else self._entries.get(entry_id)

    async def add(self, entry_ids: Iterable[str], added: Callable[[QueueEntry], None]) -> None:
        """Read the entries that are new, and call `added` with each; an unreadable one is logged once."""
        async with self._changing:
            new = [entry_id for entry_id in entry_ids if entry_id not in self._entries]
            for some in (new[at : at + MAX_READ] for at in range(0, len(new), MAX_READ)):
                looked, error = await self._runtime.executors.io(self._look_at, some)
                for found in looked:
                    if isinstance(found, QueueEntry):
                        self._entries[found.entry_id] = found
                        added(found)
                    elif found.entry_id not in self._damaged:  # its files may be restored later
                        self._damaged.add(found.entry_id)
                        self._runtime.log.event("queue_entry_damaged", trace=found.entry_id, error=found.why)
                if error is not None:
                    raise error

    def _look_at(self, entry_ids: Iterable[str]) -> tuple[list[QueueEntry | DamagedEntry], OSError | Unavailable | None]:
        """Return the entries as they stand, up to the first error, and that error."""
        looked: list[QueueEntry | DamagedEntry] = []
        try:
            looked.extend(self._queue.take_up(entry_ids))
        except UNREADABLE as error:  # what came before it is in `looked`
            return looked, error
        return looked, None

    def known(self, entry_ids: Iterable[str]) -> list[QueueEntry]:
        """Return those of the entries that are in memory."""
        return [self._entries[entry_id] for entry_id in entry_ids if entry_id in self._entries]

    async def refresh(self, entries: Sequence[QueueEntry]) -> list[QueueEntry]:
        """Read what administrators have decided; return the entries whose newest decision is to retry them."""
        before = [entry.state.decisions for entry in entries]
        unread = await self._runtime.executors.io(_refresh, entries)
        self.unread.difference_update(entry.entry_id for entry in entries)
        self.unread.update(unread)
        changed = [entry for entry, known in zip(entries, before, strict=True) if entry.state.decisions != known]
        return [entry for entry in changed if entry.state.decisions[-1].did == "retry"]

    def forget(self, entry: QueueEntry) -> None:
        """Forget an entry whose files are gone. If they are restored it is new again."""
        self._entries.pop(entry.entry_id, None)

    def clear(self) -> list[QueueEntry]:
        """Forget all entries, and return them: other nodes have them. Attempts in progress keep their recipients claimed."""
        entries = list(self._entries.values())
        self._entries.clear()
        self._damaged.clear()
        self.unread.clear()
        return entries

    # ------------------------------------------------------------ attempts

    def claim(self, job: DeliveryJob) -> DeliveryJob:
        """Claim the recipients of a job; return it without those that another attempt has claimed."""
        free = tuple(place for place in job.places if place not in self.claimed(job.entry_id))
        if free:
            self._claimed[job.entry_id].update(free)
        return replace(job, places=free)

    def release(self, job: DeliveryJob) -> None:
        """Release the recipients of a job at the end of its attempt."""
        if claimed := self._claimed.get(job.entry_id):
            claimed.difference_update(job.places)
            if not claimed:
                del self._claimed[job.entry_id]

    def claimed(self, entry_id: str) -> Collection[int]:
        """Return the recipients of an entry that are being tried."""
        return self._claimed.get(entry_id, ())

    def may_end(self, entry: QueueEntry) -> bool:
        """Return whether no recipient is open or being tried, and nothing ends the entry already."""
        return not entry.state.open and not self.claimed(entry.entry_id) and entry.entry_id not in self._ending

    @asynccontextmanager
    async def ending(self, entry: QueueEntry) -> AsyncIterator[None]:
        """Mark an entry as ending; it leaves the active queue unless the block raises."""
        self._ending.add(entry.entry_id)
        try:
            yield
            async with self._changing:
                self.forget(entry)
        finally:
            self._ending.discard(entry.entry_id)


def _refresh(entries: Iterable[QueueEntry]) -> list[str]:
    """Refresh the entries and return the ids of those that could not be read."""
    unread = []
    for entry in entries:
        try:
            entry.refresh()
        except UNREADABLE:
            unread.append(entry.entry_id)
    return unread
