"""The follow-up to the secrecy check: submits releases, notifies people, removes expired records.

One housekeeper runs it. Every step is idempotent (the spool takes an id once, mailboxes take an origin once, notices
have keys), so it may be killed anywhere and run again.

    FLAGGED     a notice to the Centre (Reg. 4.1, readings: marked mail from outside is accepted and flagged)
    RELEASED    the message goes into the spool with its original envelope; the sender is notified
    DISCARDED   the message is removed; the sender is notified
    expired     record and message are removed
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from mic_mail.directory.snapshot import Entry
from mic_mail.errors import MicMailError
from mic_mail.i18n.notices import secrecy as letters
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.log.error_fields import described
from mic_mail.process.runtime import Runtime
from mic_mail.quarantine.held_messages import OPEN, HeldMessages, HeldRecord, HeldState
from mic_mail.queue.spool import Spool
from mic_mail.services.notifications.notices import Notices


@dataclass(frozen=True, slots=True)
class HeldMailServices:
    """The services by which kept mail is released, expires, and is reported to its people."""

    spool: Spool
    """Takes what is released."""
    notices: Callable[[], Notices]
    takes_mail: Callable[[Entry], bool]
    """Returns whether a mailbox can get notices. Called in a thread."""
    trusts_clock: Callable[[], bool]
    """Returns whether anything may expire. Called in a thread."""
    recover: Callable[[], Awaitable[object]]
    """Resumes what is in the spool."""


class SecrecyReleases:
    """The housekeeper's job for held and flagged messages."""

    def __init__(self, runtime: Runtime, held: HeldMessages, services: HeldMailServices) -> None:
        self._runtime = runtime
        self._held = held
        self._has_looked = False
        self._services = services

    async def run_once(self) -> bool:
        """Process every record; return whether one waits for the next run."""
        submitted, waiting = await self._runtime.executors.io(self._look)
        if submitted:
            await self._services.recover()
        return waiting > 0

    def _look(self) -> tuple[int, int]:
        if not self._has_looked:
            self._held.place.take_in(self._runtime.config().held_dir)
            self._has_looked = True
        submitted = waiting = 0
        for record in list(self._held.records()):
            try:
                submitted += self._one(record)
            except (MicMailError, OSError) as error:  # retried in the next run; the other records must not wait for it
                waiting += 1
                self._runtime.log.event("secrecy_case_waits", trace=record.held_id, state=record.state, error=described(error))
        self._held.sweep(self._runtime.clock.steady_now().timestamp())
        return submitted, waiting

    def _one(self, record: HeldRecord) -> bool:
        if record.state is HeldState.FLAGGED and not record.told:
            self._notify_centre(record)
        elif record.state is HeldState.RELEASED:
            return self._submit(record)
        elif record.state is HeldState.DISCARDED and not record.told:
            self._notify_sender(record, letters.held_discarded(record.held_id))
            self._held.settled(record)
        elif record.expires_at_us <= self._runtime.clock.steady_us() and self._services.trusts_clock():
            self._held.forget(record)
            if record.state in OPEN:
                self._runtime.log.event(
                    "held_message_expired", trace=record.held_id, sender=record.sender, degree=record.degree
                )
        return False

    def _submit(self, record: HeldRecord) -> bool:
        """Put a released message into the spool under its own id; a second time, each mailbox takes it once."""
        if not self._held.hand_over(record, self._services.spool):
            self._runtime.log.event("held_message_damaged", trace=record.held_id, digest=record.digest)
            self._held.settled(replace(record, state=HeldState.DISCARDED))
            return False
        self._runtime.log.event(
            "held_message_submitted", trace=record.held_id, sender=record.sender, recipients=len(record.recipients)
        )
        self._notify_sender(record, letters.held_released(record.held_id))
        self._held.settled(record)
        return True

    def _notify_centre(self, record: HeldRecord) -> None:
        support = self._reader(self._runtime.config().support)
        if support is not None:
            letter = letters.inbound_marked(record.held_id, record.sender, len(record.recipients), record.degree)
            self._notify(support, letter, record.held_id)
        self._runtime.log.event("centre_told", trace=record.held_id, mailbox=support.address if support else None)
        self._held.settled(record)

    def _notify_sender(self, record: HeldRecord, letter: NoticeText) -> None:
        mailbox = self._reader(record.login or record.sender)
        if mailbox is not None:
            self._notify(mailbox, letter, f"{record.held_id}:{record.state}")

    def _reader(self, address: str) -> Entry | None:
        mailbox = self._runtime.snapshot().resolve(address)
        return mailbox if mailbox is not None and self._services.takes_mail(mailbox) else None

    def _notify(self, mailbox: Entry, letter: NoticeText, key: str) -> None:
        self._services.notices().deliver(mailbox, letter, origin=f"secrecy:{mailbox.mailbox_id}:{key}")
