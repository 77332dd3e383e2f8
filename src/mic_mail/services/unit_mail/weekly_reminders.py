"""Weekly reminders: about each mailbox once, on the first working day with a running housekeeper.

In: a reminder's content of this week (`Round`), the register of notices. Out: notices. A key names duty, week and
mailbox, and the notice is published under it before it is recorded; so after a restart or a kill nobody is reminded
twice in a week.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mic_mail.clock import HO_CHI_MINH
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.log.error_fields import failure
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.lifecycle import Decision
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.live_directory import LiveDirectory
from mic_mail.services.notifications.notices import Notices
from mic_mail.services.unit_mail.message_facts import PendingMessage
from mic_mail.storage.types import AccountRef

MORNING = timedelta(hours=6)
"""The earliest time of day, so that people find it when they come."""
AGAIN = timedelta(hours=1)
"""The delay before a run is repeated in which a mailbox could not be read or written."""
LISTED = 30
"""Messages that a reminder lists; it gives their total."""


@dataclass(frozen=True, slots=True)
class Reminder:
    count: int
    letter: NoticeText


@dataclass(frozen=True, slots=True)
class Round:
    """One week's run of one duty."""

    entries: Sequence[Entry]
    may: Callable[[Decision], bool]
    """Returns whether a mailbox of this state is checked at all."""
    find: Callable[[Entry], Reminder | None]
    """Returns None where there is nothing to say. Blocking; the account's executor."""
    readers: Callable[[Entry], Sequence[Entry]] = lambda entry: (entry,)
    """Returns the mailboxes that get the notice, if they can be opened."""


Prepare = Callable[[Config, Snapshot, datetime], Round | None]
"""Returns a duty's run of this week; None: it is switched off. Blocking; the io executor."""


class WeeklyReminders:
    """The housekeeper's weekly run of one duty. Belongs to the event loop."""

    def __init__(
        self,
        runtime: Runtime,
        duty: str,
        prepare: Prepare,
        *,
        notices: Callable[[], Notices],
        directory: Directory,
        access: LiveDirectory,
    ) -> None:
        self._runtime = runtime
        self._duty = duty
        self._prepare = prepare
        self._notices = notices
        self._directory = directory
        self._access = access
        self._done = ""
        """The week whose run has ended."""
        self._seen_to: set[str] = set()
        """This week's keys of mailboxes that are done, reminded or without need, while others are retried."""
        self._not_before: datetime | None = None

    async def run_once(self) -> None:
        """Run the reminders if they are due; else only check the clock."""
        now = self._runtime.clock.now()
        week = week_of(self._duty, now)
        if week == self._done or not self._is_time(now):
            return
        if self._not_before is not None and self._not_before - AGAIN <= now < self._not_before:  # unless the clock was set back
            return
        sent = await self._runtime.executors.io(self._directory.sent.beginning, f"{week}:")
        self._seen_to = {key for key in self._seen_to if key.startswith(f"{week}:")}.union(sent)
        prepared = await self._runtime.executors.io(self._prepare, self._runtime.config(), self._access.snapshot, now)
        all_done = True
        for entry in prepared.entries if prepared is not None else ():
            key = f"{week}:{entry.mailbox_id}"
            if prepared is not None and key not in self._seen_to and self._access.passes(entry.mailbox_id, prepared.may):
                if await self._remind(entry, key, prepared, now):
                    self._seen_to.add(key)
                else:
                    all_done = False
        if all_done:
            self._done = week
            self._seen_to.clear()
        else:
            self._not_before = now + AGAIN

    def forget(self) -> None:
        """Forget the progress, as after a restart: only the register knows who was reminded."""
        self._done, self._not_before = "", None
        self._seen_to.clear()

    def _is_time(self, now: datetime) -> bool:
        today = local_day(now)
        return not self._access.snapshot.working_days.is_rest(today) and now >= start_of(today) + MORNING

    def _readers(self, entry: Entry, prepared: Round) -> Sequence[Entry]:
        """Return the readers who can open their mailbox; without any, the mailbox itself."""
        return [
            each for each in prepared.readers(entry) if each is entry or self._access.passes(each.mailbox_id, _is_open)
        ] or [entry]

    async def _remind(self, entry: Entry, key: str, prepared: Round, now: datetime) -> bool:
        try:
            reminder = await self._runtime.account_executors.read(AccountRef.of(entry), prepared.find, entry)
            if reminder is None:
                return True
            for reader in self._readers(entry, prepared):
                await self._runtime.account_executors.write(AccountRef.of(reader), self._notify, reader, reminder.letter, key)
            await self._runtime.executors.io(self._directory.sent.put, [key], now)
        except Exception as error:  # noqa: BLE001 - one mailbox that cannot be read must not end the run for the others
            self._runtime.log.event("reminder_failed", mailbox=entry.address, **failure(error))
            return False
        self._runtime.log.event("reminder_sent", mailbox=entry.address, duty=self._duty, count=reminder.count)
        return True

    def _notify(self, reader: Entry, letter: NoticeText, key: str) -> None:
        self._notices().deliver(reader, letter, origin=self._directory.sent.origin(key))


def _is_open(decision: Decision) -> bool:
    return decision.signs_in or decision.changes_password


def week_of(duty: str, now: datetime) -> str:
    """Return the prefix of this week's keys, by the ISO calendar of Ho Chi Minh City."""
    year, week, _ = now.astimezone(HO_CHI_MINH).isocalendar()
    return f"{duty}:{year}-W{week:02}"


def listed(late: Sequence[PendingMessage]) -> str:
    """Return the list below the notice, in Vietnamese: its readers are the mailbox's own people."""
    lines = [
        f"- {each.received_at.astimezone(HO_CHI_MINH):%d/%m/%Y %H:%M}, từ {each.sender}: {each.subject or '(không có chủ đề)'}"
        for each in late[:LISTED]
    ]
    if len(late) > LISTED:
        lines.append(f"... và {len(late) - LISTED} thư khác")
    return ";\n".join(lines) + "."
