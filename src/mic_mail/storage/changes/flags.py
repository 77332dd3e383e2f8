"""STORE.

The index row is the truth about flags. A STORE is one commit. It marks the row `name_dirty`, so that where messages are files
their names follow later (flags_in_names.py).
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress, repeat
from typing import NamedTuple

from sqlalchemy import bindparam, select, update

from mic_mail.storage.changes import seen
from mic_mail.storage.changes.change_result import change_result
from mic_mail.storage.changes.legal_hold import Mark, is_on
from mic_mail.storage.index import reader_seen_rows, schema
from mic_mail.storage.index.reader_seen_rows import SeenReader
from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.index.statements import SqlStatement, among, keyed_by, uid_list
from mic_mail.storage.index.view_cache import leads_to
from mic_mail.storage.store import Store, Write
from mic_mail.storage.types import (
    ALL_FLAGS,
    DELETED,
    KEYWORD_FLAGS,
    SEEN,
    SYSTEM_FLAGS,
    FlagOperation,
    FolderView,
    Row,
    StoreResult,
)

MANY_MESSAGES = 256
"""Messages from which on a STORE of UIDs in succession is done column by column."""

_M = schema.message.c
_HERE = keyed_by(_M, "folder")
_SELECT_FLAGS = SqlStatement(select(_M.uid, _M.flags, _M.modseq, _M.size).where(_HERE, among(_M.uid)).order_by(_M.uid))
_SELECT_FLAGS_OF_ONE = SqlStatement(select(_M.uid, _M.flags, _M.modseq, _M.size).where(_HERE, _M.uid == bindparam("at")))
_SET_FLAGS = SqlStatement(
    update(schema.message)
    .where(_HERE, among(_M.uid))
    .values(flags=bindparam("new_flags"), modseq=bindparam("new_modseq"), name_dirty=1)
)
_SET_FLAGS_OF_ONE = SqlStatement(
    update(schema.message)
    .where(_HERE, _M.uid == bindparam("at"))
    .values(flags=bindparam("new_flags"), modseq=bindparam("new_modseq"), name_dirty=1)
)
"""The statements of one message: a list as JSON costs half as much again."""
_SET_QUIETLY = SqlStatement(
    update(schema.message).where(_HERE, among(_M.uid)).values(flags=bindparam("new_flags"), name_dirty=1)
)
_NEW_FLAGS = _M.flags.op("&")(bindparam("kept_bits")).op("|")(bindparam("added_bits"))
_SET_IN_RANGE = SqlStatement(
    update(schema.message)
    .where(_HERE, _M.uid.between(bindparam("low"), bindparam("high")), _M.flags != _NEW_FLAGS)
    .values(flags=_NEW_FLAGS, modseq=bindparam("new_modseq"), name_dirty=1)
)


def store_flags(  # noqa: PLR0917 - the parameters of STORE, as callers name them in order
    store: Store,
    person: str | None,
    folder_id: int,
    uids: Iterable[int],
    operation: FlagOperation,
    flags: int,
    keywords: Sequence[str] = (),
    *,
    unchanged_since: int | None = None,
    allowed: int = ALL_FLAGS,
) -> StoreResult:
    """STORE: change the `allowed` bits of messages; of keywords all or none are allowed.

    `flags` are system bits, `keywords` names; new keywords take the next free bits. \\Seen is the person's own, where each has
    their own (seen.py). \\Deleted stays as it is while the account is frozen (legal_hold.py).
    """
    with store.writing(folder_id) as write:
        folder = write.folder(folder_id)
        if (flags & DELETED or operation == "=") and is_on(write, Mark.FROZEN):
            allowed &= ~DELETED  # a mark set now would be expunged at the first CLOSE after the freeze
        reader = seen.within(write, person)
        operand = flags & SYSTEM_FLAGS & allowed
        if allowed & KEYWORD_FLAGS:
            operand |= write.keyword_bits(folder, keywords, add=operation != "-")
        asked = sorted(uids)
        run = None if reader is not None else _run_in_memory(write, folder, asked)
        failed: list[int] = []
        if run is not None and (unchanged_since is None or max(run.modseqs) <= unchanged_since):
            result, reported = _change_run(write, folder, run, operation, operand, allowed)
        else:
            rows = _read_flags(write, folder, asked) if run is None else list(zip(*run, strict=True))
            common = {uid: flags for uid, flags, _, _ in rows} if reader is not None else {}
            if reader is not None:
                known = reader_seen_rows.states(write.connection, reader, folder_id, common)
                rows = reader_seen_rows.as_seen(rows, known, reader)
            if unchanged_since is not None:  # RFC 7162 §3.1.3: newer ones are left as they are
                failed = [uid for uid, _, modseq, _ in rows if modseq > unchanged_since]
                rows = [row for row in rows if row[2] <= unchanged_since]
            after = {old: _apply(operation, old, operand, allowed) for old in {row[1] for row in rows}}
            wanted = [(uid, after[old], old, modseq, size) for uid, old, modseq, size in rows]
            changing = [row for row in wanted if row[1] != row[2]]
            if reader is not None:
                _write_own_flags(write, folder, reader, changing, common)
            elif changing:
                write_flags(write, folder, changing)
            now = write.modseq if changing else 0
            result = [(uid, new, modseq if new == old else now) for uid, new, old, modseq, _ in wanted]
            reported = [(uid, new, now, size) for uid, new, _, _, size in changing]
        names = folder.keyword_names()
    return StoreResult(write.account.modseq, result, failed, names, change_result(write, folder, changed=reported))


def _current_view(write: Write, folder: FolderRow) -> FolderView | None:
    """Return the folder's view if the process has it as the index is now, and all readers see the same."""
    view = write.store.shared.views.get(write.store.account_id, folder.folder_id)
    if view is None or write.account.seen_each or not leads_to(view, folder):
        return None
    return view if view.info.highest_modseq == write.modseq_before(folder) else None


def _read_flags(write: Write, folder: FolderRow, uids: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Return UID, flags, MODSEQ and size of these messages, as far as they exist, ascending."""
    if len(uids) < MANY_MESSAGES and (view := _current_view(write, folder)) is not None:
        places = [(uid, bisect_left(view.uids, uid)) for uid in dict.fromkeys(uids)]
        there = [at for uid, at in places if at < len(view.uids) and view.uids[at] == uid]
        return [(view.uids[at], view.flags[at], view.modseqs[at], view.sizes[at]) for at in there]
    here = {"account": write.store.account_id, "folder": folder.folder_id}
    if len(uids) == 1:
        return _SELECT_FLAGS_OF_ONE.on(write.connection, **here, at=uids[0]).fetchall()
    return _SELECT_FLAGS.on(write.connection, **here, uids=uid_list(uids)).fetchall()


def _apply(operation: FlagOperation, old: int, operand: int, allowed: int) -> int:
    match operation:
        case "+":
            return old | operand
        case "-":
            return old & ~operand
        case "=":
            return (old & ~allowed) | operand


def _apply_to_bits(operation: FlagOperation, operand: int, allowed: int) -> tuple[int, int]:
    """Return which bits a flag operation keeps, and which it adds."""
    kept = {"+": ALL_FLAGS, "-": ALL_FLAGS & ~operand, "=": ALL_FLAGS & ~allowed}[operation]
    return kept, 0 if operation == "-" else operand


class _Run(NamedTuple):
    """Columns of messages between whose UIDs there are no others."""

    uids: Sequence[int]
    flags: array[int]
    modseqs: array[int]
    sizes: array[int]


def _run_in_memory(write: Write, folder: FolderRow, uids: Sequence[int]) -> _Run | None:
    """Return the messages of many UIDs in succession from the folder's view, if that is current.

    None: query the index; there are others in between, or some of these do not exist.
    """
    if len(uids) < MANY_MESSAGES:
        return None
    view = _current_view(write, folder)
    if view is None:
        return None
    at = bisect_left(view.uids, uids[0])
    end = at + len(uids)
    if view.uids[at:end] != array(view.uids.typecode, uids):
        return None
    return _Run(uids, view.flags[at:end], view.modseqs[at:end], view.sizes[at:end])


def _change_run(  # noqa: PLR0917 - as `store_flags`
    write: Write, folder: FolderRow, run: _Run, operation: FlagOperation, operand: int, allowed: int
) -> tuple[list[tuple[int, int, int]], list[Row]]:
    """Change the flags of a run, column by column: the statement and the loops of Python are few.

    Return `StoreResult.changed`, and (uid, flags, modseq, size) of the messages whose flags are others now.
    """
    after = {old: _apply(operation, old, operand, allowed) for old in set(run.flags)}
    moved = {old for old, new in after.items() if old != new}
    new_flags = list(map(after.__getitem__, run.flags))
    if not moved:
        return list(zip(run.uids, new_flags, run.modseqs, strict=True)), []
    counts, octets = Counter(run.flags), dict.fromkeys(after, 0)
    for old, size in zip(run.flags, run.sizes, strict=True):
        octets[old] += size
    for old in moved:
        folder.recount(old, after[old], counts[old], octets[old])
    _write_range(write, folder, (run.uids[0], run.uids[-1]), _apply_to_bits(operation, operand, allowed))
    rows = zip(run.uids, new_flags, repeat(write.modseq), run.sizes)
    if len(moved) == len(after):
        return list(zip(run.uids, new_flags, repeat(write.modseq))), list(rows)
    are_moved = list(map(moved.__contains__, run.flags))
    modseqs = [write.modseq if is_moved else modseq for is_moved, modseq in zip(are_moved, run.modseqs, strict=True)]
    return list(zip(run.uids, new_flags, modseqs, strict=True)), list(compress(rows, are_moved))


Changing = tuple[int, int, int, int, int]
"""uid, new flags, old flags, old modseq, size."""


def write_flags(write: Write, folder: FolderRow, changing: list[Changing]) -> None:
    """Write (uid, new flags, old flags, old MODSEQ, size) of messages."""
    write.touch(folder)
    _count_anew(folder, changing)
    here = {"account": write.store.account_id, "folder": folder.folder_id}
    if len(changing) == 1:
        uid, new_flags = changing[0][:2]
        _SET_FLAGS_OF_ONE.on(write.connection, **here, at=uid, new_flags=new_flags, new_modseq=write.modseq)
    else:
        for uids, new_flags in _by_value(changing):
            _SET_FLAGS.on(write.connection, **here, uids=uids, new_flags=new_flags, new_modseq=write.modseq)
    write.store.names_due = True


def _write_range(write: Write, folder: FolderRow, uids: tuple[int, int], bits: tuple[int, int]) -> None:
    """Write the changes of messages between which there are no others: one statement, however many they are."""
    write.touch(folder)
    here = {"account": write.store.account_id, "folder": folder.folder_id}
    low, high = uids
    kept, added = bits
    _SET_IN_RANGE.on(write.connection, **here, low=low, high=high, kept_bits=kept, added_bits=added, new_modseq=write.modseq)
    write.store.names_due = True


def _write_own_flags(
    write: Write, folder: FolderRow, reader: SeenReader, changing: list[Changing], common: Mapping[int, int]
) -> None:
    """Write a reader's changes: \\Seen for that reader alone, other flags for all.

    `changing` is as the reader sees it, `common` are the flags in the index.
    """
    if not changing:
        return
    own = [(uid, int(new & SEEN != 0)) for uid, new, old, _, _ in changing if (new ^ old) & SEEN]
    seen.set_own(write, folder, reader, own)
    changed: list[Changing] = []
    quiet: list[Changing] = []
    for uid, new, old, modseq, size in changing:
        was = common[uid]
        row = (uid, (new & ~SEEN) | ((new if (new ^ old) & SEEN else was) & SEEN), was, modseq, size)
        if (new ^ old) & ~SEEN:
            changed.append(row)
        elif row[1] != was:
            quiet.append(row)
    if changed:
        write_flags(write, folder, changed)
    if quiet:
        _count_anew(folder, quiet)
        write.keep(folder)
        for uids, new_flags in _by_value(quiet):
            here = {"account": write.store.account_id, "folder": folder.folder_id}
            _SET_QUIETLY.on(write.connection, **here, uids=uids, new_flags=new_flags)


def _count_anew(folder: FolderRow, changing: Iterable[Changing]) -> None:
    sizes: dict[tuple[int, int], list[int]] = {}
    for _, new, old, _, size in changing:
        sizes.setdefault((old, new), []).append(size)
    for (old, new), same in sizes.items():
        folder.recount(old, new, len(same), sum(same))


def _by_value(changing: Iterable[Changing]) -> Iterator[tuple[str, int]]:
    """Yield UIDs, as a list for a statement, by their new flags: a STORE has few distinct values."""
    by_value: dict[int, list[int]] = {}
    for uid, new_flags, _, _, _ in changing:
        by_value.setdefault(new_flags, []).append(uid)
    for new_flags, uids in by_value.items():
        yield uid_list(uids), new_flags
