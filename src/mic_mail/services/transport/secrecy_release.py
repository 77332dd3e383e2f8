"""The follow-up to the secrecy check: submits releases, notifies people, removes expired records.

In: the records of `quarantine.held_messages`. Out: spool entries, notices, events. One housekeeper runs it. Every step
is idempotent (the spool takes an id once, mailboxes take an origin once, notices have keys), so it may be killed
anywhere and run again.

    FLAGGED     a notice to the Centre (Reg. 4.1, readings: marked mail from outside is accepted and flagged)
    RELEASED    the message goes into the spool with its original envelope; the sender is notified
    DISCARDED   the message is removed; the sender is notified
    expired     record and message are removed
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import MicMailError
from mic_mail.i18n.notices import secrecy as letters
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.log.error_fields import described
from mic_mail.log.maillog import MailLog
from mic_mail.process.executors import Executors
from mic_mail.quarantine.held_messages import OPEN, Held, Record, State
from mic_mail.queue.spool import Spool
from mic_mail.services.notifications.notices import Notices


class SecrecyCases:
    """The housekeeper's job for held and flagged messages."""

    def __init__(
        self,
        held: Held,
        spool: Spool,
        lanes: Executors,
        log: MailLog,
        clock: Clock,
        *,
        notices: Callable[[], Notices],
        snapshot: Callable[[], Snapshot],
        support: Callable[[], str],
        takes_mail: Callable[[Entry], bool],
        trusts_clock: Callable[[], bool],
        recover: Callable[[], Awaitable[object]],
    ) -> None:
        """`takes_mail` returns whether a mailbox can get notices, `trusts_clock` whether anything may expire.

        Both are called in a thread. `recover` resumes what is in the spool.
        """
        self._held = held
        self._spool = spool
        self._lanes = lanes
        self._log = log
        self._clock = clock
        self._notices = notices
        self._snapshot = snapshot
        self._support = support
        self._takes_mail = takes_mail
        self._trusts_clock = trusts_clock
        self._recover = recover

    async def run_once(self) -> None:
        """Process every record."""
        submitted = await self._lanes.io(self._look)
        if submitted:
            await self._recover()

    def _look(self) -> int:
        submitted = 0
        for record in list(self._held.records()):
            try:
                submitted += self._one(record)
            except (MicMailError, OSError) as error:  # retried in the next run; the other records must not wait for it
                self._log.event("secrecy_case_waits", trace=record.held_id, state=record.state, error=described(error))
        self._held.sweep(self._clock.steady_now().timestamp())
        return submitted

    def _one(self, record: Record) -> bool:
        if record.state is State.FLAGGED and not record.told:
            self._notify_centre(record)
        elif record.state is State.RELEASED:
            return self._submit(record)
        elif record.state is State.DISCARDED and not record.told:
            self._notify_sender(record, letters.held_discarded(record.held_id))
            self._held.settled(record)
        elif record.expires_at_us <= self._clock.steady_us() and self._trusts_clock():
            self._held.forget(record)
            if record.state in OPEN:
                self._log.event("held_message_expired", trace=record.held_id, sender=record.sender, degree=record.degree)
        return False

    def _submit(self, record: Record) -> bool:
        """Put a released message into the spool under its own id.

        If the process is killed before the record is settled this runs again, and each mailbox takes the message once.
        """
        if not self._held.hand_over(record, self._spool):
            self._log.event("held_message_damaged", trace=record.held_id, digest=record.digest)
            self._held.settled(replace(record, state=State.DISCARDED))
            return False
        self._log.event("held_message_submitted", trace=record.held_id, sender=record.sender, recipients=len(record.recipients))
        self._notify_sender(record, letters.held_released(record.held_id))
        self._held.settled(record)
        return True

    def _notify_centre(self, record: Record) -> None:
        support = self._reader(self._support())
        if support is not None:
            letter = letters.inbound_marked(record.held_id, record.sender, len(record.recipients), record.degree)
            self._notify(support, letter, record.held_id)
        self._log.event("centre_told", trace=record.held_id, mailbox=support.address if support else None)
        self._held.settled(record)

    def _notify_sender(self, record: Record, letter: NoticeText) -> None:
        mailbox = self._reader(record.login or record.sender)
        if mailbox is not None:
            self._notify(mailbox, letter, f"{record.held_id}:{record.state}")

    def _reader(self, address: str) -> Entry | None:
        mailbox = self._snapshot().resolve(address)
        return mailbox if mailbox is not None and self._takes_mail(mailbox) else None

    def _notify(self, mailbox: Entry, letter: NoticeText, key: str) -> None:
        self._notices().deliver(mailbox, letter, origin=f"secrecy:{mailbox.mailbox_id}:{key}")
