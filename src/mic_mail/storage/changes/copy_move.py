"""COPY and MOVE. A copy is a hard link to the same file, or a file copy where links fail.

A move is one rename. Both keep the base name, hence EMAILID, INTERNALDATE and the answers. The target assigns new UIDs in the
order of the source's, all in one critical section, so that a kill leaves everything or nothing (RFC 9051 §6.4.7: "the server
MUST restore the destination").
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mic_mail.storage.changes import seen
from mic_mail.storage.changes.change_result import change_result
from mic_mail.storage.changes.expunge import add_refs, read_messages, tombstone
from mic_mail.storage.changes.legal_hold import must_not_be_frozen
from mic_mail.storage.changes.publish import check_quota, insert_message
from mic_mail.storage.errors import NoSuchMessage
from mic_mail.storage.index.rows import FolderRow, MessageRow
from mic_mail.storage.message_names import format_name, parse_name
from mic_mail.storage.store import Store, Write
from mic_mail.storage.types import ALL_FLAGS, KEYWORD_FLAGS, KEYWORD_SHIFT, SEEN, SYSTEM_FLAGS, CopyResult


def copy(
    store: Store,
    person: str | None,
    folder_id: int,
    uids: Sequence[int],
    target_id: int,
    *,
    limit_octets: int | None = None,
    every: bool = False,
    allowed: int = ALL_FLAGS,
) -> CopyResult:
    """Copy the messages that exist; with `every`, all or `NoSuchMessage` (RFC 9051 §6.4.7).

    Only `allowed` flags are copied, and the \\Seen of each reader.
    """
    with store.writing(folder_id, adds=True) as write:
        source, target = write.folder(folder_id), write.folder(target_id)
        rows = present_rows(write, source, uids, every=every)
        if not rows:
            return CopyResult(target.uidvalidity, [], write.account.modseq)
        check_quota(write, sum(row.size for row in rows), limit_octets)
        placed = _place(write, source, target, rows, allowed)
        write.names.copy(source, target, _names(placed))
        add_refs(write, (row.email_pk for row in rows), 1)
        seen.carry(write, source, target, _pairs(placed), person=person, marks=bool(allowed & SEEN))
        return _insert(write, target, placed)


def move(
    store: Store, person: str | None, folder_id: int, uids: Iterable[int], target_id: int, *, allowed: int = ALL_FLAGS
) -> CopyResult:
    with store.writing(folder_id) as write:
        source, target = write.folder(folder_id), write.folder(target_id)
        result = move_within(write, source, target, uids, allowed=allowed, person=person)
    if source is target:  # messages were added to it as well
        return result
    return replace(result, made=change_result(write, source, vanished=[old for old, _ in result.pairs]))


def move_within(
    write: Write,
    source: FolderRow,
    target: FolderRow,
    uids: Iterable[int] | None,
    *,
    allowed: int = ALL_FLAGS,
    person: str | None = None,
) -> CopyResult:
    """Move messages in a larger change; within one folder they get new UIDs (RFC 6851 §3.3 allows it)."""
    rows = present_rows(write, source, uids)
    if not rows:
        return CopyResult(target.uidvalidity, [], write.account.modseq)
    must_not_be_frozen(write)
    placed = _place(write, source, target, rows, allowed)
    write.names.move(source, target, _names(placed))
    add_refs(write, (row.email_pk for row in rows), 1)  # the tombstone keeps its own
    seen.carry(write, source, target, _pairs(placed), person=person, marks=bool(allowed & SEEN))
    tombstone(write, source, rows, moved_to={row.uid: (target.folder_id, uid) for row, uid, _, _ in placed})
    return _insert(write, target, placed)


Placed = tuple[MessageRow, int, int, str]
"""A source row, and its UID, flags and name in the target."""


def present_rows(write: Write, source: FolderRow, uids: Iterable[int] | None, *, every: bool = False) -> list[MessageRow]:
    """Return the messages that are there, whatever the index says.

    With `every`, raise `NoSuchMessage` if one is missing. A file that another tool removed is left to `rescan`.
    """
    uids = None if uids is None else list(uids)
    rows = write.names.present(source, read_messages(write, source.folder_id, uids))
    if every and uids is not None and len(rows) < len(uids):
        there = {row.uid for row in rows}
        raise NoSuchMessage(source.folder_id, next(uid for uid in uids if uid not in there))
    return rows


def _place(write: Write, source: FolderRow, target: FolderRow, rows: list[MessageRow], allowed: int) -> list[Placed]:
    translate = _keyword_translation(write, source, target, rows, allowed)
    write.touch(target)
    placed: list[Placed] = []
    for row in rows:
        uid = write.take_uid(target)
        flags = (row.flags & SYSTEM_FLAGS & allowed) | translate[row.flags & ~SYSTEM_FLAGS]
        placed.append((row, uid, flags, format_name(parse_name(row.name).base, row.size, uid, flags)))
    return placed


def _keyword_translation(
    write: Write, source: FolderRow, target: FolderRow, rows: list[MessageRow], allowed: int
) -> dict[int, int]:
    occurring = {row.flags & ~SYSTEM_FLAGS for row in rows}
    if not allowed & KEYWORD_FLAGS:
        return dict.fromkeys(occurring, 0)
    return {bits: write.keyword_bits(target, keywords_of(source, bits)) for bits in occurring}


def keywords_of(folder: FolderRow, flags: int) -> list[str]:
    """Return the names of the keyword bits in `flags`."""
    return [name for place, name in enumerate(folder.keyword_names()) if flags >> (KEYWORD_SHIFT + place) & 1]


def _pairs(placed: Iterable[Placed]) -> list[tuple[int, int]]:
    return [(row.uid, uid) for row, uid, _, _ in placed]


def _names(placed: Iterable[Placed]) -> list[tuple[str, str]]:
    return [(row.name, name) for row, _, _, name in placed]


def _insert(write: Write, target: FolderRow, placed: list[Placed]) -> CopyResult:
    now_us = write.store.clock.steady_us()
    for row, uid, flags, name in placed:
        insert_message(write, target, uid=uid, flags=flags, size=row.size, email_pk=row.email_pk, name=name, saved_us=now_us)
    return CopyResult(target.uidvalidity, _pairs(placed), write.modseq)
