"""The list of due items over all mailboxes: joins directory, policy, sent notices and clock.

In: the directory, the configuration, how many days to look ahead. Out: items, overdue ones first, then by instant and
address. Reads only; blocking; for commands and reports.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import Text
from mic_mail.i18n.notices.catalogue import NAMES
from mic_mail.policy.due_items import AutomaticAct, DueItem, aftermath, coming, unsent, vacant, waits
from mic_mail.policy.due_notices import DueNotices, NoticeKind, due_notices
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.lifecycle import FactsUnreadable
from mic_mail.policy.requests import CLAUSE
from mic_mail.policy.states import FINAL
from mic_mail.services.mailboxes.clock_trust import ClockMark
from mic_mail.services.mailboxes.reclamation import Reclaiming
from mic_mail.services.notifications.succession import vacancies_of
from mic_mail.services.requests.intake import MARK
from mic_mail.services.requests.outcome_notices import WINDOW, undelivered
from mic_mail.services.settings import warn_days

_NOTICES: Mapping[NoticeKind, Text] = {
    kind: NAMES["app_password_added" if kind is NoticeKind.APP_PASSWORD else kind] for kind in NoticeKind
}


@dataclass(frozen=True, slots=True)
class MailboxItem:
    entry: Entry
    item: DueItem


def due(directory: Directory, config: Config, clock: Clock, reclaiming: Reclaiming, within: timedelta) -> list[MailboxItem]:
    """Return what the clock will do within that time, and what is overdue."""
    snapshot, now = directory.load_snapshot(), clock.now()
    settings, days, begun = reclaiming.settings(), warn_days(config), directory.sent.begun()
    trusted = ClockMark(config.state_dir, clock).is_trusted(snapshot)
    found: list[MailboxItem] = []
    looks: dict[int, DueNotices] = {}
    for entry in snapshot:
        try:
            spans = entry.timeline(settings)
        except FactsUnreadable:  # `directory check` names it
            continue
        found += [MailboxItem(entry, item) for item in coming(spans, now, now + within)]
        vacancies = vacancies_of(entry, snapshot)
        looks[entry.mailbox_id] = due_notices(entry.mailbox_id, entry.facts, spans, now, days, vacancies=vacancies, begun=begun)
        if not any(span.state in FINAL and span.holds(now) for span in spans):
            found += [MailboxItem(entry, item) for item in vacant(vacancies, now, now + within)]
        if (reclaimed := reclaiming.progress_of(entry, settings)) is not None:
            against = reclaiming.obstacles(reclaimed, clock_trusted=trusted)
            items = aftermath(reclaimed.reason, reclaimed.way, against, now, now + within, clock_trusted=trusted)
            found += [MailboxItem(entry, item) for item in items]
    sent = directory.sent.known([notable.key for look in looks.values() for notable in look.due])
    for entry in snapshot:
        if look := looks.get(entry.mailbox_id):
            found += [MailboxItem(entry, item) for item in unsent(look.due, sent, _NOTICES, now)]
    found += _about_requests(directory, config, clock, snapshot)
    return sorted(found, key=lambda one: (not one.item.overdue, one.item.at, one.entry.address))


def _about_requests(directory: Directory, config: Config, clock: Clock, snapshot: Snapshot) -> Iterator[MailboxItem]:
    """Yield undelivered answers, under the asking mailbox or its unit's, and unreadable mail (Reg. 6.2)."""
    now = clock.now()
    for each in undelivered(directory, config, clock):
        entry = snapshot.resolve(each.asked_from) or next(
            (one for one in snapshot if one.kind is MailboxKind.UNIT and one.owner.unit_id == each.unit_id), None
        )
        if entry is not None and now - each.since < WINDOW:
            yield from (MailboxItem(entry, item) for item in waits(each.since, AutomaticAct.ANSWER, CLAUSE, each.key, now))
    if (support := snapshot.resolve(config.support)) is not None:
        for mail in directory.requests.deferred(MARK):
            yield from (
                MailboxItem(support, item) for item in waits(mail.since, AutomaticAct.READING, CLAUSE, f"UID {mail.uid}", now)
            )
