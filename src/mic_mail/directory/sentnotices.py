"""Which notices went out: so that a warning comes once, whoever is restarted or killed in between.

A notice is published first and put down here afterwards, under the same key; the mailbox itself refuses a second message of one
key while it has the first, so a kill between the two sends nothing twice. The key outlives the message, which people delete.

A notice that was sent by a clock that was ahead is void: it counts as not sent and goes again when it is due, to the mailboxes
under another key, and whoever has read it hears of that.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mic_mail.directory.model import SentNotice
from mic_mail.directory.tables import Tables


class SentNotices:
    """The notices on record."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def known(self, keys: Collection[str]) -> set[str]:
        """Those of `keys` that were sent."""
        wanted = select(SentNotice.key)
        if len(keys) <= MOST_ASKED:
            wanted = wanted.where(SentNotice.key.in_(keys))
        found = self._tables.read(lambda session: set(session.scalars(wanted)))
        return found & set(keys)

    def beginning(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`."""
        wanted = select(SentNotice.key).where(SentNotice.key.startswith(prefix, autoescape=True))
        return self._tables.read(lambda session: list(session.scalars(wanted)))

    def begun(self) -> datetime | None:
        """Return when this server began to send notices; None if it has not."""
        return self._tables.read(lambda session: session.scalar(select(SentNotice.sent_at).where(SentNotice.key == _BEGUN)))

    def begin(self, now: datetime) -> datetime:
        """Put on record that notices are sent from `now` on, unless they are already; return since when they are.

        A beginning in the future was recorded by a wrong clock, and is corrected.
        """
        known = self.begun()
        if known is not None and known <= now:
            return known

        def work(session: Session, _version: int) -> None:
            session.merge(SentNotice(key=_BEGUN, sent_at=now))

        self._tables.change(work)
        return now

    def origin(self, key: str) -> str:
        """Return the key under which a mailbox shall know the notice: another one after each time that it was void."""
        times = self._tables.read(lambda session: _times_void(session, key))
        return f"{key}:again{times}" if times else key

    def void(self) -> dict[str, str]:
        """Return the void notices of which nobody has been told: the row of each, and its key."""
        wanted = select(SentNotice.key).where(SentNotice.key.startswith(_VOID))
        return {row: _key_in(row) for row in self._tables.read(lambda session: sorted(session.scalars(wanted)))}

    def told_void(self, rows: Collection[str]) -> None:
        """Put on record that people have been told of these rows."""

        def work(session: Session, _version: int) -> None:
            for row in rows:
                if (known := session.get(SentNotice, row)) is not None:
                    known.key = _TOLD + row.removeprefix(_VOID)

        self._tables.change(work)

    def put(self, keys: Collection[str], at: datetime) -> None:
        """They were sent; may be said twice."""

        def work(session: Session, _version: int) -> None:
            for key in keys:
                if session.get(SentNotice, key) is None:
                    session.add(SentNotice(key=key, sent_at=at))

        self._tables.change(work)


def void_ahead(session: Session, now: datetime, late: datetime) -> int:
    """Make every notice void that was sent after `late`; return how many there are."""
    ahead = list(session.scalars(select(SentNotice).where(SentNotice.sent_at > late)))
    for notice in ahead:
        if notice.key.startswith((_VOID, _TOLD)):
            notice.sent_at = now
            continue
        if notice.key != _BEGUN:
            session.add(SentNotice(key=f"{_VOID}{_times_void(session, notice.key) + 1}:{notice.key}", sent_at=now))
        session.delete(notice)
    return len(ahead)


def _times_void(session: Session, key: str) -> int:
    rows = session.scalars(select(SentNotice.key).where(SentNotice.key.startswith(_VOID) | SentNotice.key.startswith(_TOLD)))
    return sum(_key_in(row) == key for row in rows)


def _key_in(row: str) -> str:
    return row.split(":", 2)[2]


_VOID, _TOLD = "void:", "told:"
"""What the rows of void notices begin with, before and after people have been told; then a number, and the notice's key."""
_BEGUN = "notices-begun"
"""The key under which the beginning itself is on record."""
MOST_ASKED = 500
"""Keys in one question; beyond it all of them are read."""
