"""Sort keys for SORT and THREAD: stored beside the index's answers, made where they are missing.

Nothing is made when a message arrives: most mail programs never sort on a server. Messages that the indexer has read need no
work (`search.sort_values`). For the others the first request pays once for a folder (25 us a message), and the result is stored
in `ordering`, many in one critical section, and removed with the content. Storing is a courtesy to later processes: where it
fails (a full disk, another writer), the answer is the same. Decisions 0025, 0045.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import LargeBinary, bindparam, select

from mic_mail.mime import sort_keys
from mic_mail.mime.structure import MAX_HEADER
from mic_mail.storage.errors import NoSuchMessage, Unavailable
from mic_mail.storage.index import schema
from mic_mail.storage.index.statements import SqlStatement, among, insert, keyed_by, uid_list
from mic_mail.storage.reads.message_rows import rows
from mic_mail.storage.store import Store

KEEP_AT = 64
"""So many missing values are worth a critical section."""

PATIENCE_SECONDS = 0.5
"""Longest wait for another writer of the account."""

_M = schema.message.c
_E = schema.email.c
_O = schema.ordering.c
_KEPT = SqlStatement(
    select(_M.uid, _O.sent_at, _O.received_at, _O.value)
    .join_from(schema.message, schema.ordering, (_O.account_id == _M.account_id) & (_O.email_pk == _M.email_pk))
    .where(keyed_by(_M, "folder"), among(_M.uid))
)
_COLUMNS = ("account_id", "email_pk", "sent_at", "received_at", "value")
_KEEP = SqlStatement(
    insert(schema.ordering)
    .from_select(
        _COLUMNS,
        select(
            _M.account_id, _M.email_pk, bindparam("sent"), bindparam("received"), bindparam("value", type_=LargeBinary())
        ).where(keyed_by(_M, "folder", "at")),
    )
    .on_conflict_do_nothing()
)
"""Inserts by way of the message's row: nothing is stored for a message expunged meanwhile."""


class Ordered(NamedTuple):
    """A message's sort keys; `value` is for `mime.sort_keys.decode`, instants are seconds since the epoch."""

    uid: int
    sent_at: int
    """Time of the Date field, or of receipt (RFC 5256 §2.2)."""
    received_at: int
    value: bytes


def orderings(store: Store, folder_id: int, uids: Iterable[int]) -> list[Ordered]:
    """Return an entry for each UID that exists or is readable as a tombstone, in no order; pass slices."""
    wanted = set(uids)
    with store.snapshot() as connection:
        found = _KEPT.on(connection, account=store.account_id, folder=folder_id, uids=uid_list(wanted)).fetchall()
    known = [Ordered(*row) for row in found]
    missing = wanted.difference(ordered.uid for ordered in known)
    if missing:
        made = _make(store, folder_id, missing)
        if len(made) >= KEEP_AT:
            with suppress(Unavailable):
                _keep(store, folder_id, made)
        known += made
    return known


def _make(store: Store, folder_id: int, uids: Iterable[int]) -> list[Ordered]:
    return [
        ordered(uid, sent_at, received_us, sort_keys.ordering(header or _long_header(store, folder_id, uid)))
        for uid, header, sent_at, received_us in rows(store, folder_id, uids, ("uid", "header", "sent_at", "internaldate_us"))
    ]


def ordered(uid: int, sent_at: int | None, received_us: int, value: bytes) -> Ordered:
    """Return the entry from the index's data of a message."""
    received_at = received_us // 1_000_000
    return Ordered(uid, received_at if sent_at is None else sent_at, received_at, value)


def value_of(header: bytes | None, octets: bytes) -> bytes:
    """Return the value of a message that was read; `header` of the index is empty if it was too long."""
    return sort_keys.ordering(header or octets[:MAX_HEADER])


def _long_header(store: Store, folder_id: int, uid: int) -> bytes:
    with suppress(NoSuchMessage), store.open_message(folder_id, uid) as file:
        return file.pread(0, MAX_HEADER)
    return b""


def _keep(store: Store, folder_id: int, made: Sequence[Ordered]) -> None:
    here = {"account": store.account_id, "folder": folder_id}
    with store.writing(patience=PATIENCE_SECONDS, sync=False, adds=True) as write:
        _KEEP.on_each(
            write.connection,
            (here | {"at": each.uid, "sent": each.sent_at, "received": each.received_at, "value": each.value} for each in made),
        )
