"""What a mailbox has sent and what still waits in the spool: looked at and dropped by the Centre (Reg. 7.2.c, 4.2).

In: the spool's folder, whose mailbox. Out: how many messages wait, or their end and a word to the mailbox that sent them.
Only entries that no living process works on are touched; those of a suspended mailbox are such. Blocking; commands only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.directory.records import MailboxRecord
from mic_mail.i18n.notices import mailbox as letters
from mic_mail.log.maillog import MailLog
from mic_mail.outbound.spool import Entry, Spool
from mic_mail.services.notices import Notices

SECURITY = "7.2.c"


def _instant(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC)


class Queued:
    """The waiting messages of one mailbox."""

    def __init__(self, spool_dir: Path, clock: Clock, sender: MailboxRecord) -> None:
        self._spool_dir = spool_dir
        self._clock = clock
        self._sender = sender

    def count(self) -> int:
        """How many messages wait."""
        with self._entries() as entries:
            return sum(1 for _ in entries)

    def drop(self, notices: Notices, log: MailLog) -> int:
        """End them without delivery; log and sender's mailbox say to whom each was addressed (Reg. 4.2). How many."""
        dropped = 0
        with self._entries() as entries:
            for entry in entries:
                recipients = [target.address for target in entry.open_targets]
                letter = letters.not_sent(self._sender.address, _instant(entry.slip.accepted_at_us), recipients)
                notices.deliver(self._sender, letter, origin=f"not_sent:{entry.spool_id}@{self._sender.mailbox_id}")
                log.event(
                    "delivery_dropped",
                    trace=entry.slip.trace_id,
                    sender=entry.slip.sender,
                    recipients=recipients,
                    clause=SECURITY,
                )
                entry.settle([target.mailbox_id for target in entry.open_targets], now_us=self._clock.now_us())
                dropped += 1
        return dropped

    @contextmanager
    def _entries(self) -> Iterator[Iterator[Entry]]:
        spool = Spool(self._spool_dir)
        try:
            yield self._of_sender(spool)
        finally:
            spool.close()

    def _of_sender(self, spool: Spool) -> Iterator[Entry]:
        for entry in spool.recover(waits=lambda slip: slip.submitted_by != self._sender.mailbox_id):
            try:
                yield entry
            finally:
                entry.release()
