"""Adding the text of new messages to an account's segments in PostgreSQL, by one server at a time (search/indexing.py).

`search_visit` has a row for each account that an indexer has visited: up to which MODSEQ its text is there, when text of
removed messages was last searched for, and until when a server has the account to itself. That time is short and is extended
while the visit goes on, so a server that dies keeps nobody else away for long. Two servers that are at it all the same do work
twice, but add nothing twice (`Segments.add`).

No account's lock is taken, and the rows that are written belong to indexers alone. Who deletes an account waits for what is
being added to it, and nothing is added afterwards (`Database.filling`).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from sqlalchemy import bindparam, select, update

from mic_mail.storage.database_ground.store import DatabaseStore
from mic_mail.storage.errors import AccountGone, Busy, Unavailable
from mic_mail.storage.fulltext.segment import TEXT_VERSION
from mic_mail.storage.index import schema
from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.index.statements import Connection, SqlStatement, insert, keyed_by
from mic_mail.storage.search.indexing import (
    IDLE_DROP_SECONDS,
    MessageSource,
    Visited,
    add_missing,
    count_known,
    drop_removed,
)

LEASE_SECONDS = 30.0
"""A server has an account to itself for so long, unless it extends that. The clocks of servers differ by much less."""
PATIENCE_SECONDS = 1.0
"""Longest wait for another process that adds text to the account."""

_V = schema.search_visit.c
_B = schema.body.c
_MINE = keyed_by(_V) & (_V.until_us == bindparam("mine"))
_NEW = insert(schema.search_visit)
_TAKE = SqlStatement(
    _NEW.on_conflict_do_update(
        index_elements=["account_id"], set_={"until_us": _NEW.excluded.until_us}, where=_V.until_us < bindparam("now")
    ),
    ("account_id", "version", "modseq", "dropped_us", "until_us"),
)
_STATE = SqlStatement(select(_V.version, _V.modseq, _V.dropped_us).where(keyed_by(_V)))
_EXTEND = SqlStatement(update(schema.search_visit).where(_MINE).values(until_us=bindparam("until")))
_END = SqlStatement(
    update(schema.search_visit)
    .where(_MINE)
    .values(version=bindparam("made"), modseq=bindparam("now_at"), dropped_us=bindparam("dropped"), until_us=bindparam("until"))
)
_DROP_SOON = SqlStatement(update(schema.search_visit).where(keyed_by(_V)).values(dropped_us=bindparam("dropped")))
_PIECES = SqlStatement(select(_B.octets).where(keyed_by(_B, "email")).order_by(_B.piece))


def index_text(store: DatabaseStore, visited: Visited, go_on: Callable[[], bool] = lambda: True) -> int:
    """Bring the segments up to date, and return how many messages were added.

    `go_on` is called before each batch. Raises `Busy` where another process is at it. An account without rows is not made.
    """
    due = store.shared.texts_due
    mark = due.mark(store.mailbox_id)
    done = None
    try:
        done = _visit(store, visited, go_on)
    except KeyError:
        pass  # a segment was repacked meanwhile
    except AccountGone:
        done = 0
    if done is not None:
        due.done(store.mailbox_id, mark)
    return done or 0


def drop_soon(store: DatabaseStore) -> None:
    """Have an indexer look for text of removed messages within the hour, or else within a day."""
    with suppress(Busy, AccountGone), _filling(store) as connection:
        _DROP_SOON.on(connection, account=store.account_id, dropped=0)


def _visit(store: DatabaseStore, visited: Visited, go_on: Callable[[], bool]) -> int | None:
    """Return how many messages were added; None where the visit is incomplete."""
    lease = _Lease(store)
    if lease.version > TEXT_VERSION:
        lease.end()  # the text is left to servers that have the newer program
        return 0
    try:
        return _add_and_drop(store, visited, lease, lambda: go_on() and lease.extend())
    except BaseException:
        with suppress(Unavailable):
            lease.end()
        raise


def _add_and_drop(store: DatabaseStore, visited: Visited, lease: "_Lease", go_on: Callable[[], bool]) -> int | None:
    source = _Rows(store)
    visited.modseq, visited.known = lease.modseq if lease.version == TEXT_VERSION else -1, 0
    added = add_missing(source, visited, go_on)
    if added is None:
        lease.end()
        return None
    now_us = store.clock.now_us()
    if now_us - lease.dropped_us >= IDLE_DROP_SECONDS * 1_000_000:
        drop_removed(source)
        store.search.discard()
        lease.dropped_us = now_us
    visited.known = count_known(store)
    if added.whole:
        lease.version, lease.modseq = TEXT_VERSION, added.modseq
    lease.end()
    return added.messages if added.whole else None


class _Lease:
    """The right to add text to an account for a time, and what its row says."""

    def __init__(self, store: DatabaseStore) -> None:
        """Take it; `Busy` where another process has it."""
        self._store = store
        now_us = store.clock.now_us()
        self._until_us = now_us + round(LEASE_SECONDS * 1_000_000)
        row = {"version": TEXT_VERSION, "modseq": -1, "dropped_us": now_us, "until_us": self._until_us}
        with _filling(store) as connection:
            taken = _TAKE.on(connection, account_id=store.account_id, **row, now=now_us)
            state = _STATE.on(connection, account=store.account_id)
            if taken.rowcount == 0:
                raise Busy(f"account {store.account_id}: another process is adding its text")
            self.version, self.modseq, self.dropped_us = state.fetchone()

    def extend(self) -> bool:
        """Keep it for longer where a third of the time is over; False if another process has it now."""
        now_us, until_us = self._store.clock.now_us(), self._until_us
        if until_us - now_us > LEASE_SECONDS * 1_000_000 * 2 / 3:
            return True
        self._until_us = now_us + round(LEASE_SECONDS * 1_000_000)
        with _filling(self._store) as connection:
            return _EXTEND.on(connection, account=self._store.account_id, mine=until_us, until=self._until_us).rowcount == 1

    def end(self) -> None:
        """Give it back, and write down what was done; nothing if another process has it now."""
        state = {"made": self.version, "now_at": self.modseq, "dropped": self.dropped_us, "until": 0}
        with _filling(self._store) as connection:
            _END.on(connection, account=self._store.account_id, mine=self._until_us, **state)


class _Rows(MessageSource):
    store: DatabaseStore

    def reading(self) -> AbstractContextManager[Connection]:
        return self.store.shared.database.reading()

    def octets(self, folder: FolderRow, name: str, email_pk: int, size: int) -> bytes | None:
        """Return a message; None where it has been removed since its row was read."""
        with self.reading() as connection:
            rows = _PIECES.on(connection, account=self.store.account_id, email=email_pk).fetchall()
        octets = b"".join([row[0] for row in rows])
        return octets if len(octets) == size else None


def _filling(store: DatabaseStore) -> AbstractContextManager[Connection]:
    return store.shared.database.filling(store.account_id, PATIENCE_SECONDS)
