"""Who asked or told is answered: a unit of what became of its requests and incidents, the Centre of incidents (Reg. 6.2, 14.4).

In: the registers, whenever the directory has changed. Out: one letter each, under a key of its own, so that whoever is killed
or comes twice tells nobody twice. Belongs to the event loop; reads and writes go through the lanes. What became final longer
ago than `WINDOW` is not told any more: a server that was away for so long has told it by other ways.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mic_mail.clock import Clock
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Snapshot
from mic_mail.errors import Text
from mic_mail.i18n.notices import centre as to_centre
from mic_mail.i18n.notices import requests as to_units
from mic_mail.i18n.notices.notice import Letter
from mic_mail.log.failures import failure
from mic_mail.log.maillog import MailLog
from mic_mail.policy.incidents import SEVERITIES, Incident
from mic_mail.policy.requests import KINDS, Kind, Request, State
from mic_mail.process.lanes import Lanes
from mic_mail.services.lifenotices import AGAIN, LifeNotices

WINDOW = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class _Due:
    """A letter and whose it is; `unit_id` None: the Centre's."""

    key: str
    unit_id: int | None
    letter: Letter
    asked_from: str = ""


class Outcomes:
    """The housekeeper's round."""

    def __init__(
        self,
        directory: Directory,
        notices: LifeNotices,
        snapshot: Callable[[], Snapshot],
        *,
        lanes: Lanes,
        clock: Clock,
        log: MailLog,
    ) -> None:
        self._directory = directory
        self._notices = notices
        self._snapshot = snapshot
        self._lanes = lanes
        self._clock = clock
        self._log = log
        self._seen = -1
        """The version of the directory after which everything was told."""
        self._not_before = datetime.min.replace(tzinfo=UTC)
        """After a letter that reached nobody."""

    async def round(self) -> None:
        """Tell what was not told; a directory that has not changed costs nothing."""
        version, now = self._snapshot().version, self._clock.now()
        if version == self._seen or now < self._not_before:
            return
        due = await self._lanes.io(lambda: list(self._due()))
        told = await self._lanes.io(self._directory.sent.known, [each.key for each in due])
        done = True
        for each in due:
            if each.key not in told:
                done = await self._tell(each) and done
        if done:
            self._seen = version
        else:
            self._not_before = now + AGAIN

    async def _tell(self, each: _Due) -> bool:
        try:
            if each.unit_id is None:
                await self._notices.tell_centre(each.key, each.letter)
            else:
                await self._notices.tell_unit(each.key, each.unit_id, each.letter, asked_from=each.asked_from)
        except Exception as error:  # noqa: BLE001 - one mailbox that cannot take it now must not keep back the others'
            self._log.event("notice_failed", notice=each.key, **failure(error))
            return False
        return True

    def _due(self) -> Iterator[_Due]:
        since = self._clock.now() - WINDOW
        for request in self._directory.requests.decided(since):
            if request.kind is not Kind.INCIDENT:  # it went into the register of incidents, which answers
                key = f"request-decided:{request.request_id}"
                yield _Due(key, request.filing.unit_id, _of_request(request), request.opened_by)
        symbols = {unit.unit_id: unit.symbol for unit in self._directory.units()}
        for incident in self._directory.incidents.recent(since):
            unit_id = incident.told.unit_id
            if unit_id is None:  # the Centre's own
                continue
            if incident.opened_at >= since:
                yield _Due(f"incident:{incident.incident_id}", None, _recorded(incident, symbols[unit_id]))
            if incident.closed_at is not None and incident.closed_at >= since:
                letter = to_units.incident_closed(incident.number, incident.told.title, incident.result or "")
                yield _Due(f"incident-closed:{incident.incident_id}", unit_id, letter, incident.opened_by)


def _recorded(incident: Incident, symbol: str) -> Letter:
    return to_centre.incident_recorded(incident.number, symbol, incident.told.title, SEVERITIES[incident.told.severity])


def _of_request(request: Request) -> Letter:
    kind = KINDS[request.kind]
    about = Text(f"{kind.vi}: {request.filing.subject}" if request.filing.subject else kind.vi, kind.en)
    return to_units.request_decided(request.request_id, about, request.state is State.DONE, request.result or "")
