"""Downtimes (Reg. 10.3): recorded, notified to every mailbox, and shown at sign-in.

In: announcements, cancellations and reports by the Centre. Out: records; one notice in each mailbox, by the
housekeeper; sentences for listeners and pages from the snapshot in memory, without any lookup.

A run goes from mailbox to mailbox through the executors and yields to all other work. Sent notices are recorded in
parts of `PART`; a kill within a part duplicates none, since a mailbox refuses a second message of one origin.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial

from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput, Refused, Text
from mic_mail.i18n import messages
from mic_mail.i18n.notices import announcements as letters
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.log.error_fields import failure
from mic_mail.policy import downtime as rules
from mic_mail.policy.authorization.grounds import ActContext, must_have_document
from mic_mail.policy.downtime import Count, Downtime, announced
from mic_mail.policy.incidents import IncidentKind, IncidentReport, IncidentSeverity, still_open
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.live_directory import LiveDirectory
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.types import AccountRef

PART = 100
"""Mailboxes between two writes to the register: each write makes every process check the directory."""


def draft(
    config: Config, directory: Directory, span: tuple[datetime, datetime], origin: ActContext, now: datetime, *, incident: bool
) -> Downtime:
    """Return a downtime that may be announced now; `NoticeTooShort` with the earliest start, `BadInput`."""
    downtime = Downtime(0, *span, origin.reason, origin.document, incident, now, origin.actor)
    rules.check(downtime, directory.years.working_days(), Count(config.maintenance.count))
    return downtime


def announce(directory: Directory, downtime: Downtime, incident: int | None) -> Downtime:
    """Record a downtime; one for an incident (Reg. 10.1) is also in the register of incidents.

    `incident`: the number of a known incident; else a new one is recorded.
    """
    if incident is not None:
        if not downtime.incident:
            raise BadInput(Text("--for chỉ dùng cùng --incident.", "--for needs --incident."), clause=rules.CLAUSE)
        still_open(directory.incidents.one(incident))
        return directory.downtimes.add(downtime, incident)
    if not downtime.incident:
        return directory.downtimes.add(downtime)
    began = min(downtime.starts_at, downtime.announced_at)
    incident_report = IncidentReport(
        IncidentKind.OUTAGE, IncidentSeverity.SERIOUS, downtime.reason, downtime.actor, None, began, document=downtime.document
    )
    return directory.downtimes.add(downtime, incident_report)


def cancel(directory: Directory, downtime_id: int, now: datetime) -> Downtime:
    found = directory.downtimes.one(downtime_id)
    if found.ends_at <= now:
        raise Refused(
            Text(f"Đợt tạm ngừng số {downtime_id} đã qua, không hủy được.", f"Downtime {downtime_id} is already over."),
            clause=found.clause,
        )
    return directory.downtimes.cancel(downtime_id, now)


def report(directory: Directory, downtime_id: int, document: str | None, now: datetime) -> Downtime:
    """Record the document that reports an incident (Reg. 10.1)."""
    missing = Text("Báo cáo phải có số văn bản.", "A report needs a document number.")
    number = must_have_document(document, rules.INCIDENT_CLAUSE, missing)
    found = directory.downtimes.one(downtime_id)
    if found.cancelled_at is not None:
        raise Refused(Text(f"Đợt tạm ngừng số {downtime_id} đã hủy.", f"Downtime {downtime_id} was cancelled."))
    return directory.downtimes.report(downtime_id, number, now)


def announcements(downtimes: Iterable[Downtime], now: datetime) -> Sequence[Text]:
    """Return a sentence for each of the snapshot's downtimes to announce now, the next first."""
    return [messages.maintenance(each.starts_at, each.ends_at, each.clause) for each in announced(downtimes, now)]


class DowntimeNotices:
    def __init__(
        self, runtime: Runtime, notices: Callable[[], Notices], *, directory: Directory, access: LiveDirectory
    ) -> None:
        self._runtime = runtime
        self._notices = notices
        self._directory = directory
        self._access = access
        self._notified: dict[str, set[int]] = {}
        """The mailboxes that have each notice, as known to this process; the register has them permanently."""

    async def run_once(self) -> None:
        """Notify every receiving mailbox that has no notice yet."""
        now = self._runtime.clock.now()
        for each in await self._runtime.executors.io(self._directory.downtimes.all):
            if now >= each.ends_at:
                self._notified.pop(_key(each), None)
            elif each.cancelled_at is None:
                letter = letters.downtime(each.starts_at, each.ends_at, each.clause, _typed(each))
                await self._notify_all(_key(each), letter)
            else:
                await self._call_off(each)

    async def _call_off(self, each: Downtime) -> None:
        """Notify only the mailboxes that were notified of it that it is cancelled."""
        notified = await self._known(_key(each))
        await self._notify_all(f"{_key(each)}:off", letters.downtime_cancelled(each.starts_at, each.ends_at), among=notified)

    async def _notify_all(self, key: str, letter: NoticeText, *, among: set[int] | None = None) -> None:
        notified = await self._known(key)
        fresh: list[int] = []
        for entry in tuple(self._access.snapshot):
            if (
                entry.mailbox_id in notified
                or (among is not None and entry.mailbox_id not in among)
                or not self._access.passes(entry.mailbox_id, lambda decision: decision.receives)
            ):
                continue
            ref = AccountRef.of(entry)
            origin = f"{key}:{entry.mailbox_id}"
            try:
                await self._runtime.account_executors.write(ref, partial(self._notices().deliver, entry, letter, origin=origin))
            except Exception as error:  # noqa: BLE001 - one mailbox that cannot take it now must not keep it from the others
                self._runtime.log.event("notice_failed", notice=key, mailbox=entry.address, **failure(error))
                continue
            fresh.append(entry.mailbox_id)
            if len(fresh) == PART:
                await self._put_down(key, fresh)
                fresh = []
        if fresh:
            await self._put_down(key, fresh)

    async def _known(self, key: str) -> set[int]:
        notified = self._notified.get(key)
        if notified is None:
            keys = await self._runtime.executors.io(self._directory.sent.beginning, f"{key}:")
            notified = self._notified[key] = {int(tail) for each in keys if (tail := each.rpartition(":")[2]).isdigit()}
        return notified

    async def _put_down(self, key: str, mailboxes: Sequence[int]) -> None:
        await self._runtime.executors.io(
            self._directory.sent.put, [f"{key}:{each}" for each in mailboxes], self._runtime.clock.steady_now()
        )
        self._notified[key].update(mailboxes)
        self._runtime.log.event("notices_sent", notice=key, count=len(mailboxes))


def _key(downtime: Downtime) -> str:
    return f"maintenance:{downtime.downtime_id}"


def _typed(downtime: Downtime) -> str:
    lines = [f"Lý do: {downtime.reason}."] if downtime.reason else []
    lines += [f"Căn cứ: {downtime.document}."] if downtime.document else []
    return "\n".join(lines)
