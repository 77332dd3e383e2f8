"""Delivery reports waiting to be queued. Crash-safe: none is lost or sent twice.

A report becomes due only after the spool entry that caused it has recorded so. In: a report and its envelope, named
after that entry. Out: the report enters the queue, or the caller that delivers it to a mailbox calls `done`; the mailbox takes
it once under its name. Where reports lie goes by the spool: `queue.local_reports` or `queue.database_spool`. Blocking.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection

from mic_mail.queue.queue import Queue, QueueEnvelope


def name_of(spool_id: str, attempt: int, what: str) -> str:
    """Return the name of a report; `what` is letters, in capitals, as the queue's commands expect of ids."""
    return f"{spool_id}-{attempt}-{what.upper()}"


class PendingReports(ABC):
    """All reports of one spool."""

    @abstractmethod
    def keep(self, name: str, message: bytes, envelope: QueueEnvelope) -> None:
        """Make a report durable, or nothing of it; called by the owner of its entry alone."""

    @abstractmethod
    def forget(self, spool_id: str, recorded: Collection[str]) -> None:
        """Remove the reports of an interrupted attempt; called by the owner of the entry alone."""

    @abstractmethod
    def due(self) -> list[str]:
        """Return the names of the reports that are due; remove leftovers."""

    @abstractmethod
    def read(self, name: str) -> tuple[bytes, QueueEnvelope] | None:
        """Return a report; None if another process was faster; `ValueError` or OSError if it cannot be read."""

    @abstractmethod
    def hand_over(self, name: str, queue: Queue) -> bool:
        """Move a report into the queue; return False if another process was faster."""

    @abstractmethod
    def done(self, name: str) -> None:
        """Remove a report: it is in the mailbox, or has no reader."""
