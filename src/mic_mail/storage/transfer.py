"""COPY and MOVE. A copy is a second name of the same file (a hard link, or a copy where there is none); a move is one rename.

Both keep the base name, hence EMAILID, INTERNALDATE and the answers; the target gives new UIDs in the order of the
source's, all in one critical section, so that a kill leaves everything or nothing (RFC 9051 §6.4.7: "the server MUST
restore the destination").
"""

from collections.abc import Iterable, Sequence

from mic_mail.storage.errors import NoSuchMessage
from mic_mail.storage.expunge import MessageRow, add_refs, bury, read_messages
from mic_mail.storage.maildir import format_name, locate, parse_name
from mic_mail.storage.publish import check_quota, insert_message
from mic_mail.storage.rows import FolderRow
from mic_mail.storage.section import Write, writing
from mic_mail.storage.staging import link_or_copy
from mic_mail.storage.store import Store
from mic_mail.storage.types import KEYWORD_SHIFT, SYSTEM_FLAGS, CopyResult


def copy(
    store: Store, folder_id: int, uids: Sequence[int], target_id: int, limit_octets: int | None, *, every: bool
) -> CopyResult:
    """`every`: all of them or none (RFC 9051 §6.4.7)."""
    with writing(store) as write:
        source, target = write.folder(folder_id), write.folder(target_id)
        rows, present = _present(write, source, uids)
        if every and len(rows) < len(uids):
            there = {row.uid for row in rows}
            raise NoSuchMessage(folder_id, next(uid for uid in uids if uid not in there))
        if not rows:
            return CopyResult(target.uidvalidity, [], write.account.modseq)
        check_quota(write, sum(row.size for row in rows), limit_octets)
        placed = _place(write, source, target, rows)
        old_cur, new_cur = store.place.cur(source.directory), store.place.cur(target.directory)
        write.intend(links=[f"{new_cur}/{name}" for _, _, _, name in placed])
        for row, _, _, name in placed:
            link_or_copy(f"{old_cur}/{present[row.name]}", f"{new_cur}/{name}")
        # The source's name first: while only the journal answers for it (journal.py), a copy that survives would stand for it.
        write.durable |= dict.fromkeys((old_cur, new_cur))
        add_refs(write, (row.email_pk for row in rows), 1)
        return _insert(write, target, placed)


def move(store: Store, folder_id: int, uids: Iterable[int], target_id: int) -> CopyResult:
    with writing(store) as write:
        return move_within(write, write.folder(folder_id), write.folder(target_id), uids)


def move_within(write: Write, source: FolderRow, target: FolderRow, uids: Iterable[int] | None) -> CopyResult:
    """The move as part of a larger change. Moving within one folder gives new UIDs (RFC 6851 §3.3 leaves it open)."""
    rows, present = _present(write, source, uids)
    if not rows:
        return CopyResult(target.uidvalidity, [], write.account.modseq)
    placed = _place(write, source, target, rows)
    old_cur, new_cur = write.store.place.cur(source.directory), write.store.place.cur(target.directory)
    write.rename([(f"{old_cur}/{present[row.name]}", f"{new_cur}/{name}") for row, _, _, name in placed])
    add_refs(write, (row.email_pk for row in rows), 1)  # the tombstone keeps its own
    bury(write, source, rows, moved_to={row.uid: (target.folder_id, uid) for row, uid, _, _ in placed})
    return _insert(write, target, placed)


Placed = tuple[MessageRow, int, int, str]
"""A source row, and its UID, flags and name in the target."""


def _present(write: Write, source: FolderRow, uids: Iterable[int] | None) -> tuple[list[MessageRow], dict[str, str]]:
    """The messages whose files are there; a file that another tool removed is left to `rescan`."""
    rows = read_messages(write, source.folder_id, uids)
    present = locate(write.store.place.cur(source.directory), (row.name for row in rows))
    return [row for row in rows if row.name in present], present


def _place(write: Write, source: FolderRow, target: FolderRow, rows: list[MessageRow]) -> list[Placed]:
    translate = _keyword_translation(write, source, target, rows)
    write.touch(target)
    placed: list[Placed] = []
    for row in rows:
        uid = write.take_uid(target)
        flags = (row.flags & SYSTEM_FLAGS) | translate[row.flags & ~SYSTEM_FLAGS]
        placed.append((row, uid, flags, format_name(parse_name(row.name).base, row.size, uid, flags)))
    return placed


def _keyword_translation(write: Write, source: FolderRow, target: FolderRow, rows: list[MessageRow]) -> dict[int, int]:
    """The target's bits for each set of keyword bits that occurs: every folder has its own table."""
    names = source.keyword_names()
    occurring = {row.flags & ~SYSTEM_FLAGS for row in rows}
    return {
        bits: write.keyword_bits(target, [name for place, name in enumerate(names) if bits >> (KEYWORD_SHIFT + place) & 1])
        for bits in occurring
    }


def _insert(write: Write, target: FolderRow, placed: list[Placed]) -> CopyResult:
    now_us = write.store.clock.now_us()
    for row, uid, flags, name in placed:
        insert_message(write, target, uid=uid, flags=flags, size=row.size, email_pk=row.email_pk, name=name, saved_us=now_us)
    return CopyResult(target.uidvalidity, [(row.uid, uid) for row, uid, _, _ in placed], write.modseq)
