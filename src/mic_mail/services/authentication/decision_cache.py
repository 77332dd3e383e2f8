"""A cache of the policy's decisions on mailboxes, until record, use or clock can change them.

In: an entry of the directory's snapshot, the clock. Out: a `Decision`; raises `FactsUnreadable`. Belongs to the event
loop, except `is_stopped` and `takes_mail`.
"""

from datetime import datetime

from mic_mail.clock import Clock, TimedCache, Validity
from mic_mail.directory.snapshot import Entry
from mic_mail.policy.lifecycle import Decision, FactsUnreadable, LifecycleSettings, MailboxState, decide
from mic_mail.services.authentication.last_use import LastUses

KEPT_BACK = frozenset({MailboxState.SEND_LOCKED, MailboxState.SUSPENDED, MailboxState.RECLAIMED, MailboxState.NOT_ISSUED})
"""States in which mail that the mailbox submitted earlier is not sent."""


class DecisionCache:
    """The decisions of one process, by the last use that it knows of."""

    def __init__(self, clock: Clock, uses: LastUses) -> None:
        self._clock = clock
        self._uses = uses
        self._settings = LifecycleSettings()
        self._known = TimedCache[int, Decision]()

    def configure(self, settings: LifecycleSettings) -> None:
        self._settings = settings
        self._known.clear()

    def of(self, entry: Entry, now: datetime | None = None) -> Decision:
        """Return the decision on a mailbox at any instant that may be the present one (default: steady time)."""
        now = now or self._clock.steady_now()
        known = self._known.get(entry.mailbox_id, (entry,), now)
        if known is not None:
            return known
        decision = decide(entry.kind, entry.facts, now, last_activity=self._uses.last(entry, now), settings=self._settings)
        return self._known.put(entry.mailbox_id, (entry,), Validity(now, decision.valid_until), decision)

    def forget(self, mailbox_id: int) -> None:
        """Drop the cached decision after the mailbox was used, which may change it."""
        self._known.forget(mailbox_id)

    def is_stopped(self, entry: Entry) -> bool:
        """Return whether nobody may use the mailbox now.

        From any thread: nothing is cached, and only the last use in the snapshot counts. True where the record cannot be
        read.
        """
        try:
            return bool(self._anew(entry).states & {MailboxState.SUSPENDED, MailboxState.RECLAIMED})
        except FactsUnreadable:
            return True

    def takes_mail(self, entry: Entry) -> bool:
        """Return whether the mailbox takes mail now; True where it is unreadable. From any thread."""
        try:
            return self._anew(entry).receives
        except FactsUnreadable:
            return True

    def _anew(self, entry: Entry) -> Decision:
        return entry.decide(self._clock.steady_now(), self._settings)
