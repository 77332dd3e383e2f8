"""The indexer's round: every mailbox whose index has been written since, so that SEARCH finds its text ready.

Nobody waits for it. In a server of several processes it has one of its own, of the lowest priority (app.indexer): on a busy
machine deliveries and clients leave it nothing, and it catches up later; what it has not reached is read by the search
itself. It holds nothing that others wait for (storage/textsearch/indexing.py), so it may be killed at any time.
"""

import os
import threading
from collections.abc import Awaitable, Callable, Iterable

from mic_mail.directory.snapshot import Entry
from mic_mail.log.maillog import MailLog
from mic_mail.storage.mailstore import MailStore, Visited
from mic_mail.storage.types import AccountRef

ROUND_SECONDS = 5.0

Run = Callable[[Callable[[], int]], Awaitable[int]]
"""Runs a call that blocks for long beside the loop."""


class Indexing:
    """Rounds through all mailboxes, and how far each has come."""

    def __init__(self, store: MailStore, entries: Callable[[], Iterable[Entry]], run: Run, log: MailLog) -> None:
        self._store = store
        self._entries = entries
        self._run = run
        self._log = log
        self._visited: dict[int, Visited] = {}
        self._over = threading.Event()
        self.indexed = 0
        """Messages, since the process began."""

    async def round(self) -> None:
        """Once through all mailboxes."""
        entries = list(self._entries())
        self.indexed += await self._run(lambda: sum(map(self._visit, entries)))

    def end(self) -> None:
        """Let a round that has begun come to its end with the batch in hand."""
        self._over.set()

    def _visit(self, entry: Entry) -> int:
        if self._over.is_set():
            return 0
        account = self._store.account(AccountRef(entry.mailbox_id, entry.home))
        try:
            return account.index_text(self._visited.setdefault(entry.mailbox_id, Visited()), lambda: not self._over.is_set())
        except Exception as error:  # noqa: BLE001 - a defect in one mailbox must not end the round for the others
            self._log.event("visit_failed", visit="index", mailbox=entry.address, error=f"{type(error).__name__}: {error}")
            return 0


def stand_back() -> None:
    """Give this thread, and those it begins, only the time that nobody else on the machine wants (SCHED_IDLE; its disk
    requests come last too). Where a sandbox forbids it, the lowest niceness."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        os.nice(19)
