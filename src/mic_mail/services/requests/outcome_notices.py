"""Answers to requests and incidents: to the unit that filed them, and on incidents to the Centre.

Reg. 6.2, 14.4, 18. In: the registers, whenever the directory has changed. Out: one notice each, under its own key, so
that a kill loses and duplicates none. Belongs to the event loop. A mailbox that cannot take its notice delays no other:
it is retried, listed in `mailbox due`, and given up `WINDOW` after it became pending (`notice_given_up`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.sent_notices import MOST_ASKED
from mic_mail.errors import Text
from mic_mail.i18n.notices import centre as to_centre
from mic_mail.i18n.notices import requests as to_units
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.log.error_fields import failure
from mic_mail.policy.incidents import Incident
from mic_mail.policy.requests import Request, RequestKind, RequestState, is_due
from mic_mail.process.runtime import Runtime
from mic_mail.services.notifications.lifecycle_notices import LifeNotices
from mic_mail.services.requests.mail_reply import answer_to

WINDOW = timedelta(days=30)
ENDING = timedelta(days=7)
"""The time after `WINDOW` in which a given-up notice is still logged.

The server may have been off.
"""
GIVEN_UP = "given-up:"


@dataclass(frozen=True, slots=True)
class PendingLetter:
    """A notice and its addressee; `unit_id` None: the Centre."""

    key: str
    since: datetime
    unit_id: int | None
    letter: Callable[[], NoticeText]
    """Blocking: may read the directory."""
    asked_from: str = ""
    in_reply_to: str | None = None

    @property
    def given_up(self) -> str:
        """The key under which the register records the notice as given up."""
        return f"{GIVEN_UP}{self.key}"


def pending_letters(directory: Directory, config: Config, clock: Clock) -> Iterator[PendingLetter]:
    """Yield every notice of `WINDOW` and a little more, sent or not. Blocking."""
    since = clock.now() - WINDOW - ENDING
    for mail in directory.requests.mail_read(since):
        answer = partial(answer_to, mail.key, directory, config, clock)
        yield PendingLetter(f"request-mail:{mail.key}", mail.read_at, mail.unit_id, answer, mail.sender, mail.message_id)
    for request in directory.requests.decided(since):
        if request.kind is not RequestKind.INCIDENT:  # an incident is answered by the register of incidents
            decided = partial(_of_request, request)
            key, at = f"request-decided:{request.request_id}", request.handled_at or since
            yield PendingLetter(key, at, request.filing.unit_id, decided, request.opened_by)
    symbols = {unit.unit_id: unit.symbol for unit in directory.units()}
    for incident in directory.incidents.recent(since):
        unit_id = incident.told.unit_id
        if unit_id is None:  # the Centre's own
            continue
        if incident.opened_at >= since:
            recorded = partial(_recorded, incident, symbols[unit_id])
            yield PendingLetter(f"incident:{incident.incident_id}", incident.opened_at, None, recorded)
        if incident.closed_at is not None and incident.closed_at >= since:
            closed = partial(to_units.incident_closed, incident.number, incident.told.title, incident.result or "")
            key = f"incident-closed:{incident.incident_id}"
            yield PendingLetter(key, incident.closed_at, unit_id, closed, incident.opened_by)


def undelivered(directory: Directory, config: Config, clock: Clock) -> list[PendingLetter]:
    """Return the notices that are neither sent nor given up. Blocking."""
    found = list(pending_letters(directory, config, clock))
    sent_keys = _known(directory, [each.key for each in found])
    others = [each for each in found if each.key not in sent_keys]
    gone = _known(directory, [each.given_up for each in others])
    return [each for each in others if each.given_up not in gone]


def _known(directory: Directory, keys: Sequence[str]) -> set[str]:
    """Look up keys in parts: the register has a line for every notice in every mailbox."""
    parts = (keys[start : start + MOST_ASKED] for start in range(0, len(keys), MOST_ASKED))
    return set().union(*(directory.sent.known(part) for part in parts))


class Outcomes:
    """The housekeeper's job for answers."""

    def __init__(self, runtime: Runtime, directory: Directory, notices: LifeNotices) -> None:
        self._runtime = runtime
        self._directory = directory
        self._notices = notices
        self._seen = -1
        """The directory version after which everything was sent, except `_tried`."""
        self._tried: dict[str, tuple[datetime, datetime]] = {}
        """Undelivered notices by key: pending since, last tried."""

    async def run_once(self) -> None:
        """Send pending answers; costs nothing while the directory is unchanged and none is pending."""
        version, now = self._runtime.snapshot().version, self._runtime.clock.now()
        if version == self._seen and not any(is_due(*tried, now) for tried in self._tried.values()):
            return
        waiting = await self._runtime.executors.io(undelivered, self._directory, self._runtime.config(), self._runtime.clock)
        before, self._tried = self._tried, {}
        for each in waiting:
            tried = before.get(each.key)
            if now - each.since >= WINDOW:
                await self._give_up(each)
            elif tried is not None and not is_due(*tried, now):
                self._tried[each.key] = tried
            elif not await self._send(each):
                self._tried[each.key] = each.since, now
        self._seen = version

    async def _send(self, each: PendingLetter) -> bool:
        """Send a notice; return False if it failed."""
        try:
            letter = await self._runtime.executors.io(each.letter)
            if each.unit_id is None:
                await self._notices.notify_centre(each.key, letter)
            else:
                await self._notices.notify_unit(
                    each.key, each.unit_id, letter, asked_from=each.asked_from, in_reply_to=each.in_reply_to
                )
        except Exception as error:  # noqa: BLE001 - one mailbox that cannot take it now must not delay the others'
            self._runtime.log.event("notice_failed", notice=each.key, mailbox=self._addressee(each), **failure(error))
            return False
        return True

    def _addressee(self, each: PendingLetter) -> str | None:
        """Return the mailbox of the addressee, if known; an officer, not a mailbox, entered a letter."""
        found = self._runtime.snapshot().resolve(self._runtime.config().support if each.unit_id is None else each.asked_from)
        return found.address if found is not None else None

    async def _give_up(self, each: PendingLetter) -> None:
        self._runtime.log.event("notice_given_up", notice=each.key, mailbox=self._addressee(each), since=each.since)
        await self._runtime.executors.io(self._directory.sent.put, [each.given_up], self._runtime.clock.steady_now())


def _recorded(incident: Incident, symbol: str) -> NoticeText:
    return to_centre.incident_recorded(incident.number, symbol, incident.told.title, incident.told.severity.label)


def _of_request(request: Request) -> NoticeText:
    kind = request.kind.label
    about = Text(f"{kind.vi}: {subject}" if (subject := request.filing.subject.vi) else kind.vi, kind.en)
    return to_units.request_decided(request.request_id, about, request.state is RequestState.DONE, request.result or "")
