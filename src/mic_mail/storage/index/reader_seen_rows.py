"""The readers with their own \\Seen in an account, the rows of what each has seen, and their use.

In: a connection in a transaction or snapshot. Out: a `SeenReader`, or None where the person sees the common state; rows of a
folder as that reader sees them. The life of these rows and the reasons: seen.py.
"""

import json
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import and_, bindparam, delete, func, literal_column, select
from sqlalchemy.dialects.sqlite import Insert

from mic_mail.storage.index import schema
from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.index.statements import (
    Connection,
    SqlStatement,
    among,
    column_list,
    insert,
    keyed_by,
    uid_list,
    whole_sum,
)
from mic_mail.storage.types import SEEN, FolderInfo, FolderView, Row

SeenState = tuple[int, int]
"""(seen, MODSEQ of the change); no state is the same as `NEVER`."""
NEVER: SeenState = (0, 0)

_A = schema.account.c
_R = schema.reader.c
_S = schema.seen.c
_M = schema.message.c
_U = schema.seen_unwritten.c
_L = schema.seen_tally.c
_OF_READER = keyed_by(_S, "reader")
_HERE = (_OF_READER, _S.folder_id == bindparam("folder"))
_ALL_READERS = select(_R.reader_id).where(keyed_by(_R))
_OF_ALL = (keyed_by(_S), _S.reader_id.in_(_ALL_READERS), _S.folder_id == bindparam("folder"))

_FIND = SqlStatement(
    select(_A.seen_each, _R.reader_id, _R.person, _R.begun_modseq)
    .select_from(
        schema.account.outerjoin(schema.reader, and_(_R.account_id == _A.account_id, _R.person == bindparam("person")))
    )
    .where(keyed_by(_A))
)
_READERS = SqlStatement(select(_R.reader_id, _R.person, _R.begun_modseq).where(keyed_by(_R)).order_by(_R.person))
_STATES_AMONG = SqlStatement(select(_S.uid, _S.seen, _S.modseq).where(*_HERE, among(_S.uid)))
_STATES_SINCE = SqlStatement(select(_S.uid, _S.seen, _S.modseq).where(*_HERE, _S.modseq > bindparam("since")))
_SEEN_UIDS = SqlStatement(select(column_list(_S.uid, _S.uid)).where(*_HERE, _S.seen == literal_column("1")))
"""UIDs as JSON, which takes a third of the time of rows (reader.py)."""
_TALLIES = SqlStatement(select(_L.folder_id, _L.seen, _L.modseq).where(keyed_by(_L, "reader")))
_TALLY_HERE = SqlStatement(select(_L.seen, _L.modseq).where(keyed_by(_L, "reader", "folder")))
_DROP_TALLIES = SqlStatement(delete(schema.seen_tally).where(keyed_by(_L, "reader")))
_DROP_TALLIES_IN_FOLDER = SqlStatement(
    delete(schema.seen_tally).where(keyed_by(_L), _L.reader_id.in_(_ALL_READERS), _L.folder_id == bindparam("folder"))
)
_ALL_TALLIES = SqlStatement(select(_L.reader_id, _L.folder_id, _L.seen, _L.modseq).where(keyed_by(_L)))
_COUNTED = SqlStatement(
    select(_S.reader_id, _S.folder_id, whole_sum(_S.seen), func.max(_S.modseq))
    .where(keyed_by(_S))
    .group_by(_S.reader_id, _S.folder_id)
)
_ADD_READER = SqlStatement(insert(schema.reader))
_COLUMNS = [column.name for column in schema.seen.c]
_TALLY_KEY = ["account_id", "reader_id", "folder_id"]
_KEY = [*_TALLY_KEY, "uid"]


def _or_changed(statement: Insert, key: list[str] = _KEY) -> Insert:
    """Make an INSERT an upsert, without OR REPLACE: see the triggers in schema.py."""
    new = statement.excluded
    return statement.on_conflict_do_update(index_elements=key, set_={"seen": new.seen, "modseq": new.modseq})


SET_TALLY = SqlStatement(_or_changed(insert(schema.seen_tally), _TALLY_KEY))
_SET = SqlStatement(_or_changed(insert(schema.seen)))
_TAKE_COMMON = SqlStatement(
    insert(schema.seen).from_select(
        _COLUMNS,
        select(_M.account_id, bindparam("reader"), _M.folder_id, _M.uid, literal_column("1"), literal_column("0")).where(
            keyed_by(_M), _M.flags.op("&")(literal_column(str(SEEN))) != 0
        ),
    )
)
_SET_THOSE_THERE = SqlStatement(
    _or_changed(
        insert(schema.seen).from_select(
            _COLUMNS,
            select(_M.account_id, bindparam("reader"), _M.folder_id, _M.uid, literal_column("1"), literal_column("0")).where(
                keyed_by(_M, "folder"), _M.uid.between(bindparam("low"), bindparam("high"))
            ),
        )
    )
)
_CARRY = SqlStatement(
    insert(schema.seen).from_select(
        _COLUMNS,
        select(_S.account_id, _S.reader_id, bindparam("target"), bindparam("new"), _S.seen, literal_column("0")).where(
            *_OF_ALL, _S.uid == bindparam("old"), _S.seen == literal_column("1")
        ),
    )
)
_DROP_AMONG = SqlStatement(delete(schema.seen).where(*_OF_ALL, among(_S.uid)))
_DROP_IN_FOLDER = SqlStatement(delete(schema.seen).where(*_OF_ALL))
_DROP_HERE = SqlStatement(delete(schema.seen).where(*_HERE))
_DROP_OF_READER = SqlStatement(delete(schema.seen).where(_OF_READER))
_DROP_READER = SqlStatement(delete(schema.reader).where(keyed_by(_R, "reader")))
_OWE = SqlStatement(insert(schema.seen_unwritten).on_conflict_do_nothing(), ("account_id", "folder_id", "reader_id"))
_OWED = SqlStatement(select(_U.folder_id, _U.reader_id).where(keyed_by(_U)).limit(bindparam("most")))
_PAID = SqlStatement(delete(schema.seen_unwritten).where(keyed_by(_U, "folder", "reader")))
_PAID_OF_READER = SqlStatement(delete(schema.seen_unwritten).where(keyed_by(_U, "reader")))
_PAID_IN_FOLDER = SqlStatement(delete(schema.seen_unwritten).where(keyed_by(_U, "folder")))
_STRAY = SqlStatement(
    select(_S.folder_id, _S.uid)
    .select_from(
        schema.seen.outerjoin(
            schema.message, and_(_M.account_id == _S.account_id, _M.folder_id == _S.folder_id, _M.uid == _S.uid)
        )
    )
    .where(keyed_by(_S), _M.uid.is_(None))
    .distinct()
    .order_by(_S.folder_id, _S.uid)
)


@dataclass(frozen=True, slots=True)
class SeenReader:
    """A person with their own \\Seen in one account."""

    account_id: int
    reader_id: int
    person: str
    """The address with which the person signs in; for the mailbox's own sign-in, its address."""
    begun_modseq: int
    """Lowest MODSEQ of any message for this reader.

    So a mail program that remembers an earlier state has to resynchronise (RFC 7162 §3.1).
    """


def find(connection: Connection, account_id: int, person: str | None) -> SeenReader | None:
    """Return the reader, or None where the person sees the common state."""
    row = None if person is None else _FIND.on(connection, account=account_id, person=person).fetchone()
    return None if row is None or not row[0] or row[1] is None else SeenReader(account_id, *row[1:])


def has_to_begin(connection: Connection, account_id: int, person: str) -> bool:
    """Return whether readers have their own \\Seen here, and this person has none yet."""
    row = _FIND.on(connection, account=account_id, person=person).fetchone()
    return row is not None and bool(row[0]) and row[1] is None


def all_readers(connection: Connection, account_id: int) -> list[SeenReader]:
    """Return all readers, by address."""
    return [SeenReader(account_id, *row) for row in _READERS.on(connection, account=account_id)]


# What a reader sees


def states(connection: Connection, reader: SeenReader, folder_id: int, uids: Iterable[int]) -> dict[int, SeenState]:
    """Return the reader's states of these messages by UID; messages without one were never seen."""
    here = {"account": reader.account_id, "reader": reader.reader_id, "folder": folder_id}
    rows = _STATES_AMONG.on(connection, **here, uids=uid_list(uids))
    return {uid: (seen, modseq) for uid, seen, modseq in rows}


def states_since(connection: Connection, reader: SeenReader, folder_id: int, since: int) -> dict[int, SeenState]:
    """Return the states that the reader has changed after a MODSEQ."""
    rows = _STATES_SINCE.on(connection, account=reader.account_id, reader=reader.reader_id, folder=folder_id, since=since)
    return {uid: (seen, modseq) for uid, seen, modseq in rows}


def seen_uids(connection: Connection, reader: SeenReader, folder_id: int) -> list[int]:
    """Return the UIDs that the reader has seen, ascending."""
    here = {"account": reader.account_id, "reader": reader.reader_id, "folder": folder_id}
    (uids,) = _SEEN_UIDS.on(connection, **here).fetchone()
    return sorted(json.loads(uids))


def as_seen(rows: Iterable[Row], known: Mapping[int, SeenState], reader: SeenReader) -> list[Row]:
    """Return rows of the index as the reader sees them."""
    begun = reader.begun_modseq
    found: list[Row] = []
    for uid, flags, modseq, size in rows:
        seen, own_modseq = known.get(uid, NEVER)
        found.append((uid, (flags & ~SEEN) | SEEN * seen, max(modseq, own_modseq, begun), size))
    return found


def view_as_seen(connection: Connection, reader: SeenReader, common: FolderView) -> FolderView:
    """Return a whole folder as the reader sees it."""
    here = {"account": reader.account_id, "reader": reader.reader_id, "folder": common.info.folder_id}
    seen = set(seen_uids(connection, reader, common.info.folder_id))
    flags = array(
        "Q", [bits | SEEN if uid in seen else bits & ~SEEN for uid, bits in zip(common.uids, common.flags, strict=True)]
    )
    modseqs = array("Q", [max(modseq, reader.begun_modseq) for modseq in common.modseqs])
    for uid, _, modseq in _STATES_SINCE.on(connection, **here, since=reader.begun_modseq):
        at = bisect_left(common.uids, uid)
        modseqs[at] = max(modseqs[at], modseq)
    return FolderView(common.info, common.uids, flags, modseqs, common.sizes)


def info_of(connection: Connection, folder: FolderRow, reader: SeenReader | None) -> FolderInfo:
    """Return a folder's info as the reader sees it, or (None) as the common state has it."""
    if reader is None:
        return folder.info()
    tally = _TALLY_HERE.on(connection, account=reader.account_id, reader=reader.reader_id, folder=folder.folder_id).fetchone()
    return with_tally(folder.info(), tally, reader)


def tallies(connection: Connection, reader: SeenReader) -> dict[int, SeenState]:
    """Return messages seen by the reader and the MODSEQ of the last change, for each folder with a tally."""
    rows = _TALLIES.on(connection, account=reader.account_id, reader=reader.reader_id)
    return {folder_id: (seen, modseq) for folder_id, seen, modseq in rows}


def with_tally(info: FolderInfo, tally: SeenState | None, reader: SeenReader) -> FolderInfo:
    """Return a folder's info with its entry of `tallies`."""
    seen, modseq = tally or NEVER
    highest = max(info.highest_modseq, modseq, reader.begun_modseq)
    return info._replace(unseen=info.messages - seen, highest_modseq=highest, own_seen=True)


# Changes


def add_reader(connection: Connection, account_id: int, person: str, begun_modseq: int) -> SeenReader:
    """Add a reader who has seen what the common state says."""
    highest = max((reader.reader_id for reader in all_readers(connection, account_id)), default=0)
    reader = SeenReader(account_id, highest + 1, person, begun_modseq)
    _ADD_READER.on(connection, account_id=account_id, reader_id=reader.reader_id, person=person, begun_modseq=begun_modseq)
    _TAKE_COMMON.on(connection, account=reader.account_id, reader=reader.reader_id)
    return reader


def drop_reader(connection: Connection, reader: SeenReader) -> None:
    for statement in (_DROP_OF_READER, _DROP_TALLIES, _PAID_OF_READER, _DROP_READER):
        statement.on(connection, account=reader.account_id, reader=reader.reader_id)


def set_states(
    connection: Connection,
    readers: Iterable[SeenReader],
    folder_id: int,
    changes: Collection[tuple[int, int]],
    modseq: int,
) -> None:
    """Set (uid, seen) for these readers, and mark their sidecars as pending."""
    if not changes:
        return
    for reader in readers:
        here = {"account_id": reader.account_id, "reader_id": reader.reader_id, "folder_id": folder_id}
        _SET.on_each(connection, ({**here, "uid": uid, "seen": seen, "modseq": modseq} for uid, seen in changes))
        _OWE.on(connection, **here)


def take_ranges(connection: Connection, reader: SeenReader, folder_id: int, seen: Iterable[tuple[int, int]]) -> None:
    """Make exactly the messages in these ranges of UIDs seen in the folder."""
    here = {"account": reader.account_id, "reader": reader.reader_id, "folder": folder_id}
    _DROP_HERE.on(connection, **here)
    _SET_THOSE_THERE.on_each(connection, ({**here, "low": low, "high": high} for low, high in seen))


def carry(connection: Connection, account_id: int, folder_id: int, target_id: int, pairs: Iterable[tuple[int, int]]) -> None:
    """Copy the seen state of messages (old UID) to their copies in the target (new UID), for all readers."""
    here = {"account": account_id, "folder": folder_id, "target": target_id}
    _CARRY.on_each(connection, ({**here, "old": old, "new": new} for old, new in pairs))
    owe(connection, account_id, target_id)


def drop_states(connection: Connection, account_id: int, folder_id: int, uids: Iterable[int] | None) -> None:
    """Delete the states of removed messages, or (None) of a removed folder."""
    if uids is None:
        _DROP_IN_FOLDER.on(connection, account=account_id, folder=folder_id)
        _DROP_TALLIES_IN_FOLDER.on(connection, account=account_id, folder=folder_id)
        _PAID_IN_FOLDER.on(connection, account=account_id, folder=folder_id)
    else:
        _DROP_AMONG.on(connection, account=account_id, folder=folder_id, uids=uid_list(uids))


def stray(connection: Connection, account_id: int) -> list[tuple[int, int]]:
    """Return (folder, uid) of states without a message."""
    return _STRAY.on(connection, account=account_id).fetchall()


def put_right(connection: Connection, account_id: int, *, check: bool) -> int:
    """Return how many tallies differ from a recount; correct them unless `check`."""
    counted = {(reader, folder): (seen, at) for reader, folder, seen, at in _COUNTED.on(connection, account=account_id)}
    known = {(reader, folder): (seen, at) for reader, folder, seen, at in _ALL_TALLIES.on(connection, account=account_id)}
    wrong = 0
    for key in counted.keys() | known.keys():
        (seen, newest), (tallied, tallied_at) = counted.get(key, NEVER), known.get(key, NEVER)
        if seen != tallied or newest > tallied_at:
            wrong += 1
            if not check:
                numbers = {"account_id": account_id, "reader_id": key[0], "folder_id": key[1]}
                SET_TALLY.on(connection, **numbers, seen=seen, modseq=max(newest, tallied_at))
    return wrong


# Sidecars that lag behind


def owe(connection: Connection, account_id: int, folder_id: int, readers: Iterable[SeenReader] | None = None) -> None:
    """Mark the sidecars of these readers, or of all, to be rewritten."""
    for reader in all_readers(connection, account_id) if readers is None else readers:
        _OWE.on(connection, account_id=account_id, folder_id=folder_id, reader_id=reader.reader_id)


def pending_sidecars(connection: Connection, account_id: int, most: int) -> list[tuple[int, int]]:
    """Return (folder, reader) of pending sidecars."""
    return _OWED.on(connection, account=account_id, most=most).fetchall()


def paid(connection: Connection, account_id: int, folder_id: int, reader_id: int) -> None:
    _PAID.on(connection, account=account_id, folder=folder_id, reader=reader_id)
