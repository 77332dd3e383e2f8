"""Downtimes on record (Reg. 10.3): announced, cancelled, reported; never altered or deleted."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from mic_mail.directory import rows
from mic_mail.directory.connection import Rows
from mic_mail.directory.records import not_found
from mic_mail.directory.tables import BaseRegister, transaction
from mic_mail.policy.downtime import Downtime

if TYPE_CHECKING:  # loaded for a change
    from sqlalchemy.orm import Session

    from mic_mail.directory.model import DowntimeRow
    from mic_mail.policy.incidents import IncidentReport

_NAMES = "đợt tạm ngừng số", "downtime"
MOST_IN_MEMORY = 50
"""The number of downtimes in a snapshot, without cancelled ones.

Far more than are ever announced ahead.
"""


class Downtimes(BaseRegister):
    """The downtimes on record."""

    def all(self) -> list[Downtime]:
        with self._tables.reading() as read:
            return rows.downtimes(read)

    def one(self, downtime_id: int) -> Downtime:
        found = next((each for each in self.all() if each.downtime_id == downtime_id), None)
        if found is None:
            raise not_found(*_NAMES, downtime_id)
        return found

    @transaction
    def add(self, session: "Session", downtime: Downtime, incident: "int | IncidentReport | None" = None) -> Downtime:
        """Put a downtime on record, with the incident that caused it.

        `incident` is the number of one in the register, or a report that is entered now.
        """
        from mic_mail.directory.model import DowntimeRow
        from mic_mail.directory.transactions import add_record, to_record

        row = add_record(session, DowntimeRow, downtime)
        if incident is not None:
            from mic_mail.directory import incidents  # whoever only reads downtimes needs no table of incidents
            from mic_mail.directory.register_model import IncidentDowntime

            number = incident
            if not isinstance(number, int):
                number = incidents.enter(session, number, downtime.actor, downtime.announced_at).incident_id
            session.add(IncidentDowntime(incident_id=number, downtime_id=row.downtime_id))
        return to_record(row, Downtime)

    def cancel(self, downtime_id: int, at: datetime) -> Downtime:
        """Cancel a downtime; raise `NotFound`. The time of the first cancellation stands."""

        def cancelled(row: "DowntimeRow") -> None:
            row.cancelled_at = row.cancelled_at or at

        return self._alter(downtime_id, cancelled)

    def report(self, downtime_id: int, document: str, at: datetime) -> Downtime:
        """Record the document that reports what happened; a later one replaces it. Raise `NotFound`."""

        def reported(row: "DowntimeRow") -> None:
            row.report, row.reported_at = document, at

        return self._alter(downtime_id, reported)

    @transaction
    def _alter(self, session: "Session", downtime_id: int, act: "Callable[[DowntimeRow], None]") -> Downtime:
        from mic_mail.directory.model import DowntimeRow
        from mic_mail.directory.transactions import existing, to_record

        row = existing(session, DowntimeRow, downtime_id, *_NAMES)
        act(row)
        return to_record(row, Downtime)


def newest(read: Rows) -> list[Downtime]:
    """Return the downtimes for a snapshot, the one that ends last first."""
    return rows.downtimes(read, f" WHERE cancelled_at IS NULL ORDER BY ends_at DESC LIMIT {MOST_IN_MEMORY}")
