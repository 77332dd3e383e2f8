"""Queued mail of mailboxes that were suspended or send-locked before it left (Reg. 7.1, 6.4.c).

Each entry is logged when it begins to wait, and all of a mailbox are named again as soon as it may send. Belongs to one
process's loop.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mic_mail.log.maillog import MailLog
from mic_mail.queue.queue import QueueEntry

Watching = Callable[[int, Callable[[], None]], Callable[[], None]]
"""Registers a callback for when the decision on a mailbox may have changed; returns what ends the watch."""


def watch_nothing(_mailbox_id: int, _callback: Callable[[], None]) -> Callable[[], None]:
    """Watch nothing; for callers that poll."""
    return lambda: None


@dataclass(slots=True)
class _Mailbox:
    entry_ids: set[str]
    end_watch: Callable[[], None]


class SuspendedMail:
    """The entries of one process's queue whose mailbox may not send."""

    def __init__(self, may_send: Callable[[int], bool], watch: Watching, again: Callable[[str], None], log: MailLog) -> None:
        """`again` is called with each entry whose mailbox may send again."""
        self._may_send = may_send
        self._watch = watch
        self._again = again
        self._log = log
        self._of: dict[int, _Mailbox] = {}

    def may_send(self, entry: QueueEntry) -> bool:
        """Return whether the entry's mailbox, if it has one, may send now."""
        return not entry.envelope.submitted_by or self._may_send(entry.envelope.submitted_by)

    def holds(self, entry: QueueEntry) -> bool:
        """Return whether the entry has to wait; if so, its mailbox is watched from then on."""
        mailbox_id = entry.envelope.submitted_by
        if not mailbox_id:
            return False
        if self._may_send(mailbox_id):
            self._let_go(mailbox_id)
            return False
        if (mailbox := self._of.get(mailbox_id)) is None:
            mailbox = self._of[mailbox_id] = _Mailbox(set(), lambda: None)
            self._watch_on(mailbox_id, mailbox)
        if entry.entry_id not in mailbox.entry_ids:
            mailbox.entry_ids.add(entry.entry_id)
            envelope = entry.envelope
            addresses = [envelope.recipients[place].address for place in entry.state.open]
            self._log.event("delivery_held", trace=envelope.trace_id, sender=envelope.sender, recipients=addresses)
        return True

    def forget(self, entry: QueueEntry) -> None:
        """Forget an entry that has ended."""
        mailbox = self._of.get(entry.envelope.submitted_by)
        if mailbox is not None:
            mailbox.entry_ids.discard(entry.entry_id)
            if not mailbox.entry_ids:
                mailbox.end_watch()
                del self._of[entry.envelope.submitted_by]

    def _watch_on(self, mailbox_id: int, mailbox: _Mailbox) -> None:
        mailbox.end_watch()
        mailbox.end_watch = self._watch(mailbox_id, partial(self._word_changed, mailbox_id))

    def _word_changed(self, mailbox_id: int) -> None:
        mailbox = self._of.get(mailbox_id)
        if mailbox is not None and not self._may_send(mailbox_id):
            self._watch_on(mailbox_id, mailbox)  # until the new decision expires
        elif mailbox is not None:
            self._let_go(mailbox_id)

    def _let_go(self, mailbox_id: int) -> None:
        mailbox = self._of.pop(mailbox_id, None)
        if mailbox is not None:
            mailbox.end_watch()
            for entry_id in mailbox.entry_ids:
                self._again(entry_id)
