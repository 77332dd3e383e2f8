"""The directory in memory of one process, with the present decision on each mailbox.

In: newer snapshots, the uses of mailboxes, the clock. Out: decisions (`decision_cache`), and callbacks to open sessions
when one may have changed. Nothing here waits for a database, except `refresh`.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from mic_mail.clock import Validity
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.policy.lifecycle import Decision, FactsUnreadable, MailboxState
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.active_app_passwords import ActiveAppPasswords
from mic_mail.services.authentication.decision_cache import KEPT_BACK, DecisionCache
from mic_mail.services.authentication.last_use import LastUses
from mic_mail.services.authentication.shared_mailboxes import Sharing
from mic_mail.services.authentication.watches import Watch, Watches
from mic_mail.services.settings import delivery_is_use, lifecycle_settings


class LiveDirectory:
    """The snapshot of one process and what follows from it now. All methods belong to the event loop."""

    def __init__(self, runtime: Runtime, directory: Directory, snapshot: Snapshot) -> None:
        self._runtime = runtime
        self._directory = directory
        self._snapshot = snapshot
        self._apps = ActiveAppPasswords(runtime.clock)
        self._uses = LastUses(runtime, directory)
        self.decisions = DecisionCache(runtime.clock, self._uses)
        self._refreshing = asyncio.Lock()
        self._watches = Watches[int](runtime.clock)
        self.sharing = Sharing(runtime.clock, lambda: self._snapshot, self.decide)
        """The mailboxes of units and groups that people use with their own password."""

    def apply_reload(self) -> None:
        """Apply the configuration, and let every open session be checked again."""
        config = self._runtime.config()
        self._apps.are_open = config.auth.app_passwords > 0
        self.decisions.configure(lifecycle_settings(config, self._snapshot.working_days))
        self._delivery_is_use = delivery_is_use(config)
        self.sharing.configure(config.server.domain)
        self._watches.changed(lambda _: True)  # sessions that the former settings allowed may be forbidden by these

    @property
    def snapshot(self) -> Snapshot:
        """The directory in memory."""
        return self._snapshot

    async def refresh(self) -> bool:
        """Load a newer snapshot if there is one, and call the watches of changed mailboxes; every 2 s."""
        async with self._refreshing:
            old = self._snapshot
            if await self._runtime.executors.io(self._directory.version) == old.version:
                return False
            new = await self._runtime.executors.io(self._directory.load_snapshot, old)
            self._snapshot = new
        recounted = old.working_days != new.working_days
        if recounted:  # a term may end on another day (`terms.roll`)
            self.decisions.configure(lifecycle_settings(self._runtime.config(), new.working_days))
        self._watches.changed(lambda mailbox_id: recounted or old.entry(mailbox_id) is not new.entry(mailbox_id))
        self.sharing.changed(old, new)
        return True

    def decide(self, mailbox_id: int, now: datetime | None = None) -> Decision | None:
        """Return the cached decision on a mailbox now; None where the directory does not hold it."""
        entry = self._snapshot.entry(mailbox_id)
        return None if entry is None else self.decisions.of(entry, now)

    def is_stopped(self, mailbox_id: int) -> bool:
        """Return whether nobody may use the mailbox now (Reg. 7.1, 6.4.c): its spooled mail then stays there.

        From any thread: nothing is cached here. True where the record cannot be read, since it may hold a suspension.
        """
        entry = self._snapshot.entry(mailbox_id)
        return entry is None or self.decisions.is_stopped(entry)

    def may_be_sent(self, mailbox_id: int) -> bool:
        """Return whether mail that the mailbox has submitted may leave now (Reg. 7.1, 6.4.c). On the loop."""
        return self.passes(mailbox_id, lambda decision: not decision.states & KEPT_BACK)

    def passes(self, mailbox_id: int, test: Callable[[Decision], bool]) -> bool:
        """Return whether the present decision on a mailbox passes the test; False where there is none."""
        try:
            decision = self.decide(mailbox_id)
        except FactsUnreadable:
            return False
        return decision is not None and test(decision)

    def last_use(self, entry: Entry) -> datetime | None:
        """Return when the person last used the mailbox (Reg. 7.2.a), even if that is not yet in the directory."""
        return self._uses.last(entry, self._runtime.clock.steady_now())

    def watch(self, mailbox_id: int, callback: Callable[[], None], seen: Decision | None = None) -> Watch[int]:
        """Call back (on the loop) when facts, password or clock may have changed the decision on a mailbox.

        The session then calls `recheck`, and closes the watch at its end; for queued mail `may_be_sent` is asked. `seen`:
        the decision that admitted a session; if it is not the present one, the callback is called immediately.
        """
        now = self._runtime.clock.steady_now()
        try:
            decision = self.decide(mailbox_id, now)
        except FactsUnreadable:  # a newer directory may have them
            decision = None
        entry = self._snapshot.entry(mailbox_id)
        validity = self._validity(entry, decision, now) if entry and decision else Validity(now)
        watch = self._watches.add(mailbox_id, callback, validity)
        if seen is not None and decision is not seen:
            callback()
        return watch

    def _validity(self, entry: Entry, decision: Decision, now: datetime) -> Validity:
        """Return how long the clock alone changes neither the mailbox's state nor its active app passwords."""
        if not entry.app_passwords:
            return Validity(now, decision.valid_until)
        return Validity(now, min(filter(None, (decision.valid_until, *self._apps.ends(entry, now))), default=None))

    def clock_moved(self) -> None:
        """Check all watches, and write pending uses, after the clock was set or a step was accepted."""
        self._watches.run_once()
        self.sharing.on_clock_set()
        self._uses.record_pending()

    def used(self, mailbox_id: int) -> None:
        """Record that the person used the mailbox now (Reg. 7.2.a); written once a day at most."""
        if self._uses.used(mailbox_id, self._snapshot.entry(mailbox_id)):
            self.decisions.forget(mailbox_id)

    def arrived(self, mailbox_id: int) -> None:
        """Record a message that came into the mailbox.

        It counts as use only by the other reading of Reg. 7.2.a, and only while the mailbox is not suspended. Mail comes to
        a suspended mailbox too (Reg. 7.1), but only a restore lifts the suspension (7.3). The Centre's own notices do not
        come this way.
        """
        if self._delivery_is_use and (decision := self.decide(mailbox_id)) and MailboxState.SUSPENDED not in decision.states:
            self.used(mailbox_id)
