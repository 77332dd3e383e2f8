"""The quarantine job: delivers released messages, notifies recipients, expires records (Reg. 4.2).

One housekeeper runs it. Every step is idempotent, as in `secrecy_release`.

    HELD       its recipients are notified, in one message a day and mailbox; expires after `quarantine.keep`
    RELEASED   goes into the spool, for INBOX, with its time of arrival; learned as ham if that was asked for
    others     the record is removed some weeks later
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from hashlib import sha256

from mic_mail.clock import instant_of
from mic_mail.config.units import DAY
from mic_mail.errors import MicMailError, Refused
from mic_mail.filters.training_queue import TrainingQueue
from mic_mail.i18n import dates
from mic_mail.i18n.notices.quarantine import kept_back
from mic_mail.log.error_fields import described
from mic_mail.policy.calendar import local_day
from mic_mail.process.runtime import Runtime
from mic_mail.quarantine.quarantine import RECORD_SECONDS, Quarantine, QuarantineRecord, QuarantineState
from mic_mail.services.transport.secrecy_release import HeldMailServices

MOST_LISTED = 50
"""Messages listed in one notice; the number above the list counts all of them."""
_PLAIN = re.compile(r"[A-Za-z0-9._+=-]{1,64}@[A-Za-z0-9.-]{1,100}")


class QuarantineJob:
    """The housekeeper's job for quarantined messages."""

    def __init__(self, runtime: Runtime, quarantine: Quarantine, training: TrainingQueue, services: HeldMailServices) -> None:
        self._runtime = runtime
        self._quarantine = quarantine
        self._training = training
        self._services = services
        self._has_looked = False
        self._waits: dict[str, str] = {}
        self._waited: dict[str, str] = {}
        """Steps that failed in this and in the last run, by record or mailbox, with the error."""

    async def run_once(self) -> bool:
        """Process every record; return whether one waits for the next run."""
        if await self._runtime.executors.io(self._look):
            await self._services.recover()
        return bool(self._waits)

    def _look(self) -> int:
        if not self._has_looked:
            self._quarantine.place.take_in(self._runtime.config().quarantine_dir)
            self._has_looked = True
        delivered, now_us = 0, self._runtime.clock.steady_us()
        self._waited, self._waits = self._waits, {}
        unnotified: defaultdict[int, list[QuarantineRecord]] = defaultdict(list)
        last_notified: defaultdict[int, int] = defaultdict(int)
        for record in list(self._quarantine.records()):
            try:
                delivered += self._one(record, now_us)
            except (MicMailError, OSError) as error:  # retried in the next run; the other records must not wait for it
                self._wait(record.held_id, error, trace=record.held_id, state=record.state)
            for mailbox_id in record.told:
                last_notified[mailbox_id] = max(last_notified[mailbox_id], record.told_at_us)
            if record.state is QuarantineState.HELD and record.expires_at_us > now_us:
                for mailbox_id in set(record.mailboxes) - set(record.told):
                    unnotified[mailbox_id].append(record)
        if self._runtime.config().quarantine.digest:
            for mailbox_id, records in unnotified.items():
                if _day(last_notified[mailbox_id]) != _day(now_us):
                    self._notify_owner(mailbox_id, records, now_us)
        self._quarantine.sweep(now_us / 1_000_000)
        return delivered

    def _wait(self, key: str, error: Exception, **what: object) -> None:
        """Log a failed step once, not in every run."""
        self._waits[key] = str(error)
        if self._waited.get(key) != str(error):
            self._runtime.log.event("quarantine_waits", error=described(error), **what)

    def _one(self, record: QuarantineRecord, now_us: int) -> bool:
        if record.state is QuarantineState.RELEASED:
            return self._deliver(record, now_us)
        over_at_us = record.expires_at_us if record.state is QuarantineState.HELD else _over_at_us(record)
        if over_at_us <= now_us and self._services.trusts_clock():
            if record.state is QuarantineState.HELD:
                self._expire(record)
            else:
                self._quarantine.forget(record)
        return False

    def _deliver(self, record: QuarantineRecord, now_us: int) -> bool:
        """Put a released message into the spool under its own id; a second time, each mailbox takes it once."""
        if not self._quarantine.hand_over(record, self._services.spool, now_us):
            self._runtime.log.event("quarantined_message_damaged", trace=record.held_id, digest=record.digest)
            self._quarantine.lost(record)
            return False
        if record.teach and record.mailboxes and self._runtime.config().rspamd.controller:
            with self._quarantine.place.message(record.held_id) as path:
                self._training.note_as(f"{record.held_id}.msg", record.mailboxes[0], path, spam=False, now_us=now_us)
        self._runtime.log.event("quarantined_message_delivered", trace=record.held_id, **_named(record))
        self._quarantine.settled(record)
        return True

    def _expire(self, record: QuarantineRecord) -> None:
        try:
            self._quarantine.expire(record.held_id)
        except Refused:  # it was decided a moment ago
            return
        self._runtime.log.event("quarantined_message_expired", trace=record.held_id, **_named(record), clause="4.2")

    # ------------------------------------------------------------ notices

    def _notify_owner(self, mailbox_id: int, records: Sequence[QuarantineRecord], now_us: int) -> None:
        """Deliver one notice about all records of a mailbox, then mark them: rather twice than never."""
        mailbox = self._runtime.snapshot().entry(mailbox_id)
        if mailbox is None or not self._services.takes_mail(mailbox):
            return
        config = self._runtime.config()
        listed = [
            f"- {dates.short(instant_of(one.at_us))}, {_plain(one.sender)}, {one.held_id}" for one in records[:MOST_LISTED]
        ]
        letter = kept_back(len(records), "\n".join(listed), round(config.quarantine.keep / DAY), config.support)
        about = sha256("\n".join(one.held_id for one in records).encode()).hexdigest()[:16]
        try:
            self._services.notices().deliver(mailbox, letter, origin=f"quarantine:{mailbox_id}:{about}")
            for record in records:
                self._quarantine.mark_notified(record.held_id, mailbox_id, now_us)
        except (MicMailError, OSError) as error:
            self._wait(mailbox.address, error, mailbox=mailbox.address)
            return
        self._runtime.log.event("quarantine_told", mailbox=mailbox.address, messages=len(records), clause="4.2")


def _named(record: QuarantineRecord) -> dict[str, object]:
    return {"sender": record.sender, "recipients": list(record.recipients), "reason": record.reason, "what": record.what}


def _over_at_us(record: QuarantineRecord) -> int:
    ended = record.decided.at_us if record.decided else record.expires_at_us
    return ended + RECORD_SECONDS * 1_000_000


def _day(at_us: int) -> date:
    return local_day(instant_of(at_us))


def _plain(address: str) -> str:
    """Return a plain address, else "?": no outsider chooses the text of a notice."""
    return address if _PLAIN.fullmatch(address) else "?"
