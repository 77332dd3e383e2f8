"""The indexer's job: every mailbox whose index has changed, so that SEARCH finds its text ready.

Nothing waits for it. In a server of several processes it has its own, of the lowest priority (app.indexer): on a busy
machine deliveries and clients leave it no time, and it catches up later; a search reads itself what is not indexed yet.
It holds nothing that others wait for (storage/search/indexing.py), so it may be killed at any time.

A mailbox that is still changing is left for the next round, for a while: each addition packs the smallest segments anew, so
messages that are indexed together cost less than one by one.
"""

import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import Entry
from mic_mail.log.error_fields import failure
from mic_mail.log.maillog import MailLog
from mic_mail.storage.errors import Busy, DiskFull, Unavailable
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.search.indexing import Visited

ROUND_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 30.0
"""A mailbox that changes in every round is visited after so long all the same."""
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 600.0
"""The most to which the pause after a failed visit doubles: a visit may read all messages again."""

Run = Callable[[Callable[[], int]], Awaitable[int]]
"""Runs a long blocking call beside the loop."""


@dataclass(slots=True)
class _Pause:
    seconds: float
    until: float


@dataclass(slots=True)
class _Seen:
    """A mailbox as the last round saw it."""

    mark: int
    """What tells of its changes (`MailStore.text_mark`)."""
    changing_since: float | None = None
    """The first of the rounds in a row that have found another mark; None after one that has not."""


class Indexing:
    """The indexing of all mailboxes, and the progress of each."""

    def __init__(self, store: MailStore, entries: Callable[[], Iterable[Entry]], run: Run, log: MailLog, clock: Clock) -> None:
        self._store = store
        self._entries = entries
        self._run = run
        self._log = log
        self._clock = clock
        self._visited: dict[int, Visited] = {}
        self._pauses: dict[int | None, _Pause] = {}
        """Pauses by mailbox; None is the disk, or the database, of all of them."""
        self._seen: dict[int, _Seen] = {}
        self._is_left = False
        """Set where this run has left a mailbox because it is changing."""
        self._over = threading.Event()
        self.indexed = 0
        """Messages indexed since the process began."""

    async def run_once(self) -> bool:
        """Visit all mailboxes; return whether a visit has failed or was put off, and another run has to follow."""
        entries, begun = list(self._entries()), self._clock.monotonic()
        self._is_left = False
        self.indexed += await self._run(lambda: sum(map(self._visit, self._due(entries))))
        return self._is_left or any(pause.until > begun for pause in self._pauses.values())

    @property
    def messages(self) -> int:
        """The messages in the search files of all mailboxes that were visited."""
        return sum(visited.known for visited in tuple(self._visited.values()))

    def end(self) -> None:
        """End a run after the current batch."""
        self._over.set()

    def _due(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the mailboxes to visit; none while a pause of all of them lasts."""
        if self._pauses_for(None):
            return ()
        try:
            return self._store.with_text_due(entries)
        except Unavailable as error:
            if self._put_off(None):
                self._log.event("duty_failed", duty="index", **failure(error))
            return ()

    def _visit(self, entry: Entry) -> int:
        if self._over.is_set() or self._pauses_for(None) or self._pauses_for(entry.mailbox_id):
            return 0
        if self._is_changing(entry.mailbox_id):
            self._is_left = True
            return 0
        account = self._store.account_of(entry)
        try:
            done = account.index_text(self._visited.setdefault(entry.mailbox_id, Visited()), lambda: not self._over.is_set())
        except Busy:  # another server is at it
            self._is_left = True
            return 0
        except Exception as error:  # noqa: BLE001 - a defect in one mailbox must not end the run for the others
            if self._put_off(None if isinstance(error, DiskFull) else entry.mailbox_id):
                self._log.event("visit_failed", visit="index", mailbox=entry.address, **failure(error))
            return 0
        self._pauses.pop(entry.mailbox_id, None)
        if done and self._pauses.pop(None, None) is not None:
            self._log.event("visit_resumed", visit="index", mailbox=entry.address)
        return done

    def _is_changing(self, mailbox_id: int) -> bool:
        """Return whether a mailbox has changed since the last round, and has not been left for long."""
        mark, now = self._store.text_mark(mailbox_id), self._clock.monotonic()
        seen = self._seen.setdefault(mailbox_id, _Seen(mark))
        if mark == seen.mark:
            seen.changing_since = None
            return False
        seen.mark = mark
        since = seen.changing_since = now if seen.changing_since is None else seen.changing_since
        if now - since < LONGEST_WAIT_SECONDS:
            return True
        seen.changing_since = None
        return False

    def _pauses_for(self, what: int | None) -> bool:
        pause = self._pauses.get(what)
        return pause is not None and self._clock.monotonic() < pause.until

    def _put_off(self, what: int | None) -> bool:
        """Pause the mailbox, longer after each failure; return whether this is the first, which alone is logged."""
        last = self._pauses.get(what)
        seconds = FIRST_PAUSE_SECONDS if last is None else min(2 * last.seconds, LONGEST_PAUSE_SECONDS)
        self._pauses[what] = _Pause(seconds, self._clock.monotonic() + seconds)
        return last is None


def stand_back() -> None:
    """Run this thread, and those it starts, only on idle CPU time (SCHED_IDLE).

    Its disk requests come last too. Where a sandbox forbids it, the lowest niceness.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        os.nice(19)
