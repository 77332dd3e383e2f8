"""The register of sent notices: each warning is sent once, even if a process is killed meanwhile.

A notice is published first and recorded here afterwards, under the same key; the mailbox itself refuses a second message of one
key while it has the first, so a kill between the two steps sends nothing twice. The key outlives the message, which people
delete.

A notice that was sent by a clock that was ahead is void: it counts as not sent and is sent again when it is due, to the
mailboxes under another key, and its readers are notified of that.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mic_mail.directory.register_model import SentNotice, VoidNotice
from mic_mail.directory.tables import BaseRegister, transaction


class SentNotices(BaseRegister):
    """The notices on record."""

    def known(self, keys: Collection[str]) -> set[str]:
        wanted = select(SentNotice.key)
        if len(keys) <= MOST_ASKED:
            wanted = wanted.where(SentNotice.key.in_(keys))
        found = self._tables.read(lambda session: set(session.scalars(wanted)))
        return found & set(keys)

    def beginning(self, prefix: str) -> list[str]:
        wanted = select(SentNotice.key).where(SentNotice.key.startswith(prefix, autoescape=True))
        return self._tables.read(lambda session: list(session.scalars(wanted)))

    def begun(self) -> datetime | None:
        """Return when this server began to send notices; None if it has not."""
        return self._tables.read(lambda session: session.scalar(select(SentNotice.sent_at).where(SentNotice.key == _BEGUN)))

    def begin(self, now: datetime) -> datetime:
        """Record that notices are sent from `now` on, unless that is on record; return since when they are.

        A beginning in the future was recorded by a wrong clock, and is corrected.
        """
        known = self.begun()
        if known is not None and known <= now:
            return known

        def work(session: Session) -> None:
            session.merge(SentNotice(key=_BEGUN, sent_at=now))

        self._tables.change(work)
        return now

    def origin(self, key: str) -> str:
        """Return the notice's key for a mailbox: a new one after each time that the notice was void."""
        wanted = select(func.count()).where(VoidNotice.key == key)
        times = self._tables.read(lambda session: session.scalar(wanted))
        return f"{key}:again{times}" if times else key

    def void(self) -> dict[int, str]:
        """Return the void notices that have not been reported to their readers: number -> key."""
        wanted = select(VoidNotice.void_id, VoidNotice.key).where(~VoidNotice.told).order_by(VoidNotice.void_id)
        return self._tables.read(lambda session: {row.void_id: row.key for row in session.execute(wanted)})

    @transaction
    def void_reported(self, session: Session, numbers: Collection[int]) -> None:
        for number in numbers:
            session.get_one(VoidNotice, number).told = True

    @transaction
    def put(self, session: Session, keys: Collection[str], at: datetime) -> None:
        """Record that these notices were sent; may be called twice."""
        for key in keys:
            if session.get(SentNotice, key) is None:
                session.add(SentNotice(key=key, sent_at=at))


def void_ahead(session: Session, late: datetime) -> int:
    """Make every notice void that was sent after `late`; return how many there are."""
    ahead = list(session.scalars(select(SentNotice).where(SentNotice.sent_at > late)))
    for notice in ahead:
        if notice.key != _BEGUN:
            session.add(VoidNotice(key=notice.key))
        session.delete(notice)
    return len(ahead)


_BEGUN = "notices-begun"
"""The key under which the beginning itself is recorded."""
MOST_ASKED = 500
"""The number of keys in one query; beyond it all of them are read."""
