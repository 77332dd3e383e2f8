"""Rows of messages: the answers about them that the index holds, and the names of their files.

In: UIDs and columns. Out: a tuple for each message that exists or is readable as a tombstone. Needs no lock.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, select

from mic_mail.storage.index import schema
from mic_mail.storage.index.answer_rows import FolderKey
from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.index.statements import Connection, SqlStatement, among, keyed_by, uid_list
from mic_mail.storage.store import Store, Write
from mic_mail.storage.types import AnswerRow, Column

_M = schema.message.c
_T = schema.tombstone.c
_E = schema.email.c
_F = schema.folder.c
_HERE = keyed_by(_M, "folder")
_GONE_HERE = keyed_by(_T, "folder")
_DIRECTORY = SqlStatement(select(_F.directory).where(keyed_by(_F, "folder")))
_PLACE = SqlStatement(select(_F.directory, _F.uidvalidity).where(keyed_by(_F, "folder")))

_OF_MESSAGE: Mapping[Column, tuple[ColumnElement[Any], ColumnElement[Any]]] = {
    "uid": (_M.uid, _T.uid),
    "flags": (_M.flags, _T.flags),
    "modseq": (_M.modseq, _T.modseq),
    "size": (_M.size, _T.size),
    "savedate_us": (_M.saved_us, _T.saved_us),
    "name": (_M.name, _T.name),
}
"""Columns of the narrow table, and of a tombstone; all others belong to the content."""
_OF_EMAIL: Mapping[Column, ColumnElement[Any]] = {
    "internaldate_us": _E.received_us,
    "email_id": _E.email_id,
    "thread_id": _E.thread_id,
    "envelope": _E.envelope,
    "envelope_utf8": _E.envelope_utf8,
    "body": _E.body,
    "bodystructure": _E.bodystructure,
    "header": _E.header,
    "parts": _E.parts,
    "sent_at": _E.sent_at,
    "preview": _E.preview,
    "message_id": _E.message_id,
    "attachment_octets": _E.attachment_octets,
}
_SPARSE = 4
"""A range is read whole where at least one in so many of its UIDs is requested."""


class _Answers:
    def __init__(self, columns: tuple[Column, ...]) -> None:
        self._columns = columns

    def _live(self) -> Select[Any]:
        columns = [_OF_MESSAGE[name][0] if name in _OF_MESSAGE else _OF_EMAIL[name] for name in self._columns]
        live = select(*columns).where(_HERE).order_by(_M.uid)
        if any(name in _OF_EMAIL for name in self._columns):
            live = live.join_from(schema.message, schema.email, (_E.account_id == _M.account_id) & (_E.email_pk == _M.email_pk))
        return live

    @cached_property
    def of_range(self) -> SqlStatement:
        return SqlStatement(self._live().where(_M.uid.between(bindparam("low"), bindparam("high"))))

    @cached_property
    def of_some(self) -> SqlStatement:
        return SqlStatement(self._live().where(among(_M.uid)))

    @cached_property
    def of_tombstones(self) -> SqlStatement:
        columns = [_OF_MESSAGE[name][1] if name in _OF_MESSAGE else _OF_EMAIL[name] for name in self._columns]
        joined = (_E.account_id == _T.account_id) & (_E.email_pk == _T.email_pk)
        expunged = select(*columns).join_from(schema.tombstone, schema.email, joined)
        return SqlStatement(expunged.where(_GONE_HERE, among(_T.uid)).order_by(_T.uid))


@lru_cache(maxsize=256)
def _answers(columns: tuple[Column, ...]) -> _Answers:
    return _Answers(columns)


def rows(store: Store, folder_id: int, uids: Iterable[int], columns: Sequence[Column]) -> list[tuple[Any, ...]]:
    """Return a tuple of `columns` for each UID, ascending, that exists or is readable as a tombstone.

    Cheapest where "uid" is the first of the columns. `flags` and `modseq` are of the common state; `view` has those that the
    person sees.
    """
    if tuple(columns[:1]) != ("uid",):
        return [row[1:] for row in rows(store, folder_id, uids, ("uid", *columns))]
    wanted = sorted(set(uids))
    if not wanted:
        return []
    with store.snapshot() as connection:
        return _rows(store, connection, folder_id, wanted, columns)


def rows_within(write: Write, folder_id: int, uids: Iterable[int], columns: Sequence[Column]) -> list[tuple[Any, ...]]:
    """Return the same inside a change; "uid" is the first of the columns."""
    wanted = sorted(set(uids))
    return _rows(write.store, write.connection, folder_id, wanted, columns) if wanted else []


def _rows(
    store: Store, connection: Connection, folder_id: int, wanted: Sequence[int], columns: Sequence[Column]
) -> list[tuple[Any, ...]]:
    statements = _answers(tuple(columns))
    here = {"account": store.account_id, "folder": folder_id}
    low, high = wanted[0], wanted[-1]
    if high - low < _SPARSE * len(wanted):
        found = statements.of_range.on(connection, **here, low=low, high=high).fetchall()
        if len(found) > len(wanted) or high - low + 1 != len(wanted):
            asked = set(wanted)
            found = [row for row in found if row[0] in asked]
    else:
        found = statements.of_some.on(connection, **here, uids=uid_list(wanted)).fetchall()
    if len(found) < len(wanted):
        missing = set(wanted).difference(row[0] for row in found)
        expunged = statements.of_tombstones.on(connection, **here, uids=uid_list(missing)).fetchall()
        found = sorted(found + expunged, key=itemgetter(0)) if expunged else found
    return found


_OF_ANSWERS: tuple[Column, ...] = (
    "uid", "internaldate_us", "envelope", "envelope_utf8", "body", "bodystructure", "header", "parts", "name",
)  # fmt: skip


def answer_rows(store: Store, folder_id: int, uids: Iterable[int]) -> dict[int, AnswerRow]:
    """Return the answers about a few messages as `rows` finds them, and leave them in memory."""
    wanted = sorted(set(uids))
    with store.snapshot() as connection:
        place = _PLACE.on(connection, account=store.account_id, folder=folder_id).fetchone()
        return _read_answers(store, connection, (store.account_id, folder_id, place[1]), place[0], wanted) if place else {}


def read_along(store: Store, connection: Connection, folder: FolderRow, uids: Sequence[int]) -> None:
    """Leave the answers about new messages in memory: the session that hears of them asks for these next."""
    key = (store.account_id, folder.folder_id, folder.uidvalidity)
    if store.shared.answer_rows.get(key, uids) is None:
        _read_answers(store, connection, key, folder.directory, uids)


def _read_answers(
    store: Store, connection: Connection, key: FolderKey, directory: str, wanted: Sequence[int]
) -> dict[int, AnswerRow]:
    prefix = store.hint_prefix(directory)
    found = {
        uid: AnswerRow._make((*answers, f"{prefix}{name}"))
        for uid, *answers, name in _rows(store, connection, key[1], wanted, _OF_ANSWERS)
    }
    store.shared.answer_rows.put(key, found.items())
    return found


def paths(store: Store, folder_id: int, uids: Iterable[int]) -> dict[int, str]:
    """Return paths of messages not expunged: hints for `open_message`, since names follow flags."""
    wanted = sorted(set(uids))
    if not wanted:
        return {}
    with store.snapshot() as connection:
        row = _DIRECTORY.on(connection, account=store.account_id, folder=folder_id).fetchone()
        if row is None:
            return {}
        named = _rows(store, connection, folder_id, wanted, ("uid", "name"))
    prefix = store.hint_prefix(row[0])
    return {uid: f"{prefix}{name}" for uid, name in named}
