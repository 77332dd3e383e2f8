"""The mail of a mailbox that is still in spool and queue: counted and dropped by the Centre.

Reg. 7.2.c, 4.2. In: the spool and queue, the mailbox. Out: the number of pending messages, or their end and a notice to
the sending mailbox. In the spool only entries that no living process works on are touched; those of a suspended mailbox
are such. In the queue the decision is recorded, and the queue runner carries it out and notifies the mailbox, now or
when it is started. Blocking; commands only.
"""

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from mic_mail.clock import Clock, instant_of
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord
from mic_mail.errors import Text, Trouble, in_ascii
from mic_mail.i18n.notices import mailbox as letters
from mic_mail.log.maillog import MailLog
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.queue.notifications import notify_decided
from mic_mail.queue.queue import DamagedEntry, EntryEnded, Queue, QueueEntry
from mic_mail.queue.recipient_log import AdminDecision
from mic_mail.queue.spool import ELSEWHERE, Spool, SpoolEntry
from mic_mail.services.mail_store import open_queue, open_spool
from mic_mail.services.notifications.notices import Notices

SECURITY = "7.2.c"


def _unreadable(path: Path, error: OSError) -> None:
    raise Trouble(
        Text(
            f"Không mở được {path} trong hàng chờ; chưa biết thư đó của ai.",
            f"The spool file {in_ascii(path)} cannot be opened, so its sender is unknown.",
        ),
        remedy=Text(
            "Trả tệp lại cho tài khoản của máy chủ (chown), hoặc sửa đĩa, rồi làm lại.",
            "Make the server's user its owner (chown), or repair the disk; then run the command again.",
        ),
    ) from error


def _readable(queue: Queue) -> Iterator[QueueEntry]:
    """Yield all mail queued for other domains; refuse, as `_unreadable`, if any of it is unreadable."""
    for found in queue.look_at_each(queue.names()):
        if isinstance(found, DamagedEntry):
            raise Trouble(
                Text(
                    f"Không đọc được thư {found.entry_id} trong hàng chờ gửi đi ({found.why.vi}); chưa biết thư đó của ai.",
                    f"The queue entry {found.entry_id} cannot be read ({found.why.en}), so its sender is unknown.",
                ),
                remedy=Text(
                    "Trả tệp lại cho tài khoản của máy chủ (chown), hoặc sửa đĩa, rồi làm lại.",
                    "Make the server's user the owner of its files (chown), or repair the disk; then run the command again.",
                ),
            )
        yield found


class Queued:
    """The pending messages of one mailbox."""

    def __init__(self, config: Config, clock: Clock, sender: MailboxRecord) -> None:
        self._config = config
        self._clock = clock
        self._sender = sender

    def count(self) -> int:
        """Return how many messages are pending, for local mailboxes and for other domains."""
        with closing(open_spool(self._config)) as spool:
            waiting = {entry.spool_id for entry in self._entries(spool)}
        with closing(open_queue(self._config)) as queue:
            return len(waiting.union(entry.entry_id for entry in self._leaving(queue)))

    def drop(self, notices: Notices, origin: ActContext, log: MailLog) -> int:
        """Drop the messages undelivered and notify the sender (Reg. 4.2); return how many."""
        dropped = set()
        with closing(open_queue(self._config)) as queue, closing(open_spool(self._config)) as spool:
            for entry in self._entries(spool):
                # Recipients already handed to the queue (a kill prevented the note here) are sent or dropped there.
                elsewhere = ELSEWHERE if queue.had(entry.spool_id) else None
                recipients = [str(target.address) for target in entry.open_targets if target.mailbox_id != elsewhere]
                if recipients:
                    letter = letters.not_sent(self._sender.address, instant_of(entry.envelope.accepted_at_us), recipients)
                    notices.deliver(self._sender, letter, origin=f"not_sent:{entry.spool_id}@{self._sender.mailbox_id}")
                    log.event(
                        "delivery_dropped",
                        trace=entry.envelope.trace_id,
                        sender=entry.envelope.sender,
                        recipients=recipients,
                        clause=SECURITY,
                    )
                entry.settle([target.mailbox_id for target in entry.open_targets], now_us=self._clock.now_us())
                dropped.add(entry.spool_id)
        decision = AdminDecision(origin.actor, origin.reason, self._clock.now_us(), origin.document, SECURITY)
        with closing(open_queue(self._config)) as queue:  # after the spool, from which messages go to the queue
            for waiting in self._leaving(queue):
                with suppress(EntryEnded):
                    waiting.drop(waiting.state.open, decision)
                    dropped.add(waiting.entry_id)
        if dropped:
            notify_decided(self._config.run_dir)
        return len(dropped)

    def _entries(self, spool: Spool) -> Iterator[SpoolEntry]:
        """Yield the sender's spool entries; refuse if a file cannot be opened, since its sender is unknown."""
        for entry in spool.recover(
            waits=lambda envelope: envelope.submitted_by != self._sender.mailbox_id, unreadable=_unreadable
        ):
            try:
                yield entry
            finally:
                entry.release()

    def _leaving(self, queue: Queue) -> Iterator[QueueEntry]:
        mine = (entry for entry in _readable(queue) if entry.envelope.submitted_by == self._sender.mailbox_id)
        return (entry for entry in mine if entry.state.open)
