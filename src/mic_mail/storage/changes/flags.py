"""STORE, and the renaming of files after it.

The index row is the truth about flags. A STORE is one commit; it marks the row `name_dirty` where the file's name now differs,
and `flush_names` renames later (after 2 s, at CLOSE, at drain): 1,000 renames in a folder of 10,000 cost 16 ms, as much as a
whole STORE elsewhere. The flags in the name of a dirty row are never read: that would undo an acknowledged STORE.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

import time
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress, repeat
from typing import NamedTuple

from sqlalchemy import bindparam, literal_column, select, update

from mic_mail.storage.changes import seen
from mic_mail.storage.changes.change_result import change_result
from mic_mail.storage.changes.expunge import MessageRow
from mic_mail.storage.changes.legal_hold import Mark, is_on
from mic_mail.storage.changes.transaction import Write, writing
from mic_mail.storage.index import reader_seen_rows, schema
from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.reader_seen_rows import SeenReader
from mic_mail.storage.index.rows import FolderRow, read_folder
from mic_mail.storage.index.statements import SqlStatement, among, keyed_by, uid_list
from mic_mail.storage.index.view_cache import leads_to
from mic_mail.storage.maildir.maildir import MAX_NAME_OCTETS, NAMED_FLAGS, letters, locate, parse_name
from mic_mail.storage.store import Store
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

NAMES_AT_ONCE = 500
"""Renames in one critical section: about 10 ms."""

PAUSE_SECONDS = 0.005
"""Pause of a background flush between two slices, in which threads that wait for the account get it."""

PUT_OFF_ROUNDS = 15
"""Rounds in succession that a background flush ends early while others change the account.

There is one in `storage.names_after`.
"""

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
_D = schema.message.alias("dirty").c
_DIRTY_UIDS = (
    select(_D.uid)
    .where(keyed_by(_D, "folder"), _D.name_dirty == literal_column("1"), _D.uid > bindparam("after"))
    .order_by(_D.uid)
    .limit(bindparam("most"))
)
"""By themselves, since only then SQLite takes their index.

Else it reads all messages of the folder in search of one.
"""
_DIRTY = SqlStatement(select(_M.uid, _M.flags, _M.name).where(_HERE, _M.uid.in_(_DIRTY_UIDS)).order_by(_M.uid))
_DIRTY_FOLDERS = SqlStatement(select(_M.folder_id).where(keyed_by(_M), _M.name_dirty == literal_column("1")).distinct())
_SET_NAME = SqlStatement(
    update(schema.message).where(_HERE, _M.uid == bindparam("at")).values(name=bindparam("new_name"), name_dirty=0)
)
_SET_DIRTY = SqlStatement(update(schema.message).where(_HERE, _M.uid == bindparam("at")).values(name_dirty=1))


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
    their own (seen.py). \\Deleted stays as it is while the account is frozen
    (legal_hold.py).
    """
    with writing(store, folder_id) as write:
        folder = write.folder(folder_id)
        if (flags & DELETED or operation == "=") and is_on(store, Mark.FROZEN):
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
                _write_flags(write, folder, changing)
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


_Changing = tuple[int, int, int, int, int]
"""uid, new flags, old flags, old modseq, size."""


def _write_flags(write: Write, folder: FolderRow, changing: list[_Changing]) -> None:
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
    write: Write, folder: FolderRow, reader: SeenReader, changing: list[_Changing], common: Mapping[int, int]
) -> None:
    """Write a reader's changes: \\Seen for that reader alone, other flags for all.

    `changing` is as the reader sees it, `common` are the flags in the index.
    """
    if not changing:
        return
    own = [(uid, int(new & SEEN != 0)) for uid, new, old, _, _ in changing if (new ^ old) & SEEN]
    seen.set_own(write, folder, reader, own)
    changed: list[_Changing] = []
    quiet: list[_Changing] = []
    for uid, new, old, modseq, size in changing:
        was = common[uid]
        row = (uid, (new & ~SEEN) | ((new if (new ^ old) & SEEN else was) & SEEN), was, modseq, size)
        if (new ^ old) & ~SEEN:
            changed.append(row)
        elif row[1] != was:
            quiet.append(row)
    if changed:
        _write_flags(write, folder, changed)
    if quiet:
        _count_anew(folder, quiet)
        write.keep(folder)
        for uids, new_flags in _by_value(quiet):
            here = {"account": write.store.account_id, "folder": folder.folder_id}
            _SET_QUIETLY.on(write.connection, **here, uids=uids, new_flags=new_flags)


def _count_anew(folder: FolderRow, changing: Iterable[_Changing]) -> None:
    sizes: dict[tuple[int, int], list[int]] = {}
    for _, new, old, _, size in changing:
        sizes.setdefault((old, new), []).append(size)
    for (old, new), same in sizes.items():
        folder.recount(old, new, len(same), sum(same))


def _by_value(changing: Iterable[_Changing]) -> Iterator[tuple[str, int]]:
    """Yield UIDs, as a list for a statement, by their new flags: a STORE has few distinct values."""
    by_value: dict[int, list[int]] = {}
    for uid, new_flags, _, _, _ in changing:
        by_value.setdefault(new_flags, []).append(uid)
    for new_flags, uids in by_value.items():
        yield uid_list(uids), new_flags


def flush_names(store: Store, *, gives_way: bool = False) -> int:
    """Rename the account's files whose names lag behind, in slices; return the renames.

    Pending \\Seen sidecars are written.

    With `gives_way` it stops after a slice if another writer has changed the account meanwhile, and leaves the rest due. A
    STORE or EXPUNGE of a large mailbox is done in slices, too, and would wait for a slice of names before each of its own; what
    it expunges needs no name any more. It does not stop in more than `PUT_OFF_ROUNDS` calls in succession.
    """
    store.ready()
    # a STORE sets it before its commit, whose rows cannot be seen yet
    with translated("renaming files"), store.lock.held():
        store.names_due = False
    renamed = 0
    may_stop = gives_way and store.names_put_off < PUT_OFF_ROUNDS
    try:
        is_whole = True
        for folder_id in _dirty_folders(store):
            done, is_whole = _flush_folder(store, folder_id, pauses=gives_way, may_stop=may_stop)
            renamed += done
            if not is_whole:
                break
        seen.write_out(store)
        store.names_put_off = 0 if is_whole else store.names_put_off + 1
        if not is_whole:  # else it is left as it is: another thread may set it at any time
            store.names_due = True
    except BaseException:
        store.names_due = True
        raise
    return renamed


def _flush_folder(store: Store, folder_id: int, *, pauses: bool, may_stop: bool) -> tuple[int, bool]:
    """Return how many were renamed, and whether those were all."""
    renamed = after = 0
    while True:
        done, after, mark = _flush_slice(store, folder_id, after)
        renamed += done
        if not after:
            return renamed, True
        if pauses:
            time.sleep(PAUSE_SECONDS)
        if may_stop and store.shared.marks.read(store.account_id) != mark:
            return renamed, False


def _dirty_folders(store: Store) -> list[int]:
    with store.index.reading() as connection:
        return [folder for (folder,) in _DIRTY_FOLDERS.on(connection, account=store.account_id)]


def lag_behind(store: Store) -> bool:
    """Return whether names of files, or sidecars of readers, are still to be written."""
    with store.index.reading() as connection:
        dirty = _DIRTY_FOLDERS.on(connection, account=store.account_id).fetchone()
        return dirty is not None or bool(reader_seen_rows.pending_sidecars(connection, store.account_id, 1))


def _flush_slice(store: Store, folder_id: int, after: int) -> tuple[int, int, int]:
    """Return how many were renamed, the UID to continue after (0: that was all), and the account's change mark then."""
    with writing(store) as write:
        folder = read_folder(write.connection, store.account_id, folder_id)
        rows = _DIRTY.on(
            write.connection, account=store.account_id, folder=folder_id, after=after, most=NAMES_AT_ONCE
        ).fetchall()
        if folder is None or not rows:
            return 0, 0, write.mark
        cur = store.paths.cur(folder.directory)
        present = locate(cur, (name for _, _, name in rows))
        renames: list[tuple[str, str]] = []
        for uid, flags, name in rows:
            now = present.get(name, name)  # a missing file keeps its row until the folder is next opened
            new_name = name_with_flags(now, flags) if name in present else name
            if new_name != now:
                renames.append((f"{cur}/{now}", f"{cur}/{new_name}"))
            _SET_NAME.on(write.connection, account=store.account_id, folder=folder_id, at=uid, new_name=new_name)
        write.names.rename(renames, durable=False)  # losing such a rename loses nothing
        return len(renames), rows[-1][0] if len(rows) == NAMES_AT_ONCE else 0, write.mark


def name_with_flags(name: str, flags: int) -> str:
    """Return the name that the file should have; bits that a name cannot hold change nothing."""
    if parse_name(name).flags == flags & NAMED_FLAGS:
        return name
    front, _, _ = name.partition(":2,")
    new_name = f"{front}:2,{letters(flags)}"
    if len(new_name.encode()) > MAX_NAME_OCTETS:  # another tool has lengthened it
        return replace(parse_name(name), flags=flags).format()
    return new_name


def take_foreign_name(write: Write, folder: FolderRow, row: MessageRow, name: str) -> None:
    """Record that another tool renamed the file; on a dirty row the flags of the acknowledged STORE win."""
    here = {"account": write.store.account_id, "folder": folder.folder_id}
    _SET_NAME.on(write.connection, **here, at=row.uid, new_name=name)
    if row.name_dirty:
        _SET_DIRTY.on(write.connection, **here, at=row.uid)
        return
    flags = (row.flags & ~NAMED_FLAGS) | parse_name(name).flags
    if flags != row.flags:
        _write_flags(write, folder, [(row.uid, flags, row.flags, 0, row.size)])
