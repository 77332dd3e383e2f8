"""The register of sent notices: each warning is sent once, even if a process is killed meanwhile.

A notice is published first and recorded here afterwards, under the same key; the mailbox itself refuses a second message of one
key while it has the first, so a kill between the two steps sends nothing twice. The key outlives the message, which people
delete.

A notice that was sent by a clock that was ahead is void: it counts as not sent and is sent again when it is due, to the
mailboxes under another key, and its readers are notified of that.
"""

from collections.abc import Collection
from datetime import datetime

from mic_mail.directory.connection import PlainChange
from mic_mail.directory.instants import from_microseconds, to_microseconds
from mic_mail.directory.tables import BaseRegister

_BEGUN = "notices-begun"
"""The key under which the beginning itself is recorded."""
MOST_ASKED = 500
"""The number of keys in one query; beyond it all of them are read."""
_PUT = "INSERT INTO sent_notice (key, sent_at) VALUES (:key, :at) ON CONFLICT (key) DO NOTHING"
_BEGIN = "INSERT INTO sent_notice (key, sent_at) VALUES (:key, :at) ON CONFLICT (key) DO UPDATE SET sent_at = excluded.sent_at"
_MAKE_VOID = "INSERT INTO void_notice (key, told) VALUES (:key, false)"


class SentNotices(BaseRegister):
    """The notices on record."""

    def known(self, keys: Collection[str]) -> set[str]:
        """Return those of the keys that are on record."""
        if not keys:
            return set()
        named = {f"key{number}": key for number, key in enumerate(keys)} if len(keys) <= MOST_ASKED else {}
        among = f" WHERE key IN ({', '.join(f':{name}' for name in named)})" if named else ""
        with self._tables.reading() as read:
            return {key for (key,) in read(f"SELECT key FROM sent_notice{among}", **named)} & set(keys)  # noqa: S608 - no values

    def beginning(self, prefix: str) -> list[str]:
        """Return the keys on record that begin so."""
        beginning = "SELECT key FROM sent_notice WHERE substr(key, 1, :length) = :prefix"
        with self._tables.reading() as read:
            return [key for (key,) in read(beginning, length=len(prefix), prefix=prefix)]

    def begun(self) -> datetime | None:
        """Return when this server began to send notices; None if it has not."""
        with self._tables.reading() as read:
            found = next(read("SELECT sent_at FROM sent_notice WHERE key = :key", key=_BEGUN), None)
        return None if found is None else from_microseconds(found[0])

    def begin(self, now: datetime) -> datetime:
        """Record that notices are sent from `now` on, unless that is on record; return since when they are.

        A beginning in the future was recorded by a wrong clock, and is corrected.
        """
        known = self.begun()
        if known is not None and known <= now:
            return known
        self._tables.change_plainly(lambda change: change.run(_BEGIN, key=_BEGUN, at=to_microseconds(now)))
        return now

    def origin(self, key: str) -> str:
        """Return the notice's key for a mailbox: a new one after each time that the notice was void."""
        with self._tables.reading() as read:
            times = next(read("SELECT count(*) FROM void_notice WHERE key = :key", key=key))[0]
        return f"{key}:again{times}" if times else key

    def void(self) -> dict[int, str]:
        """Return the void notices that have not been reported to their readers: number -> key."""
        with self._tables.reading() as read:
            return dict(read("SELECT void_id, key FROM void_notice WHERE NOT told ORDER BY void_id"))

    def void_reported(self, numbers: Collection[int]) -> None:
        """Record that the readers of these void notices were notified."""

        def work(change: PlainChange) -> None:
            for number in numbers:
                change.run("UPDATE void_notice SET told = true WHERE void_id = :number", number=number)

        self._tables.change_plainly(work)

    def put(self, keys: Collection[str], at: datetime) -> None:
        """Record that these notices were sent; may be called twice."""

        def work(change: PlainChange) -> None:
            for key in keys:
                change.run(_PUT, key=key, at=to_microseconds(at))

        self._tables.change_plainly(work)


def void_ahead(change: PlainChange, late_us: int) -> int:
    """Make every notice void that was sent after `late_us`; return how many there are."""
    ahead = [key for (key,) in change.run("SELECT key FROM sent_notice WHERE sent_at > :late ORDER BY key", late=late_us)]
    for key in ahead:
        if key != _BEGUN:
            change.run(_MAKE_VOID, key=key)
        change.run("DELETE FROM sent_notice WHERE key = :key", key=key)
    return len(ahead)
