"""Set and read annotations (RFC 5464) of a folder, or of the account (`folder_id` None).

A folder keeps its annotations when it is renamed, and they stay with it when it is deleted; only the renaming of INBOX copies
them to another folder (RFC 5464 §4.1). A change raises the folder's HIGHESTMODSEQ (RFC 7162 §3.2). Every entry records the
MODSEQ of its last change, a removed one too (the newest `MAX_REMOVED` of a folder): `changed_since` reports from that which
entries changed. A folder's special use is set here too, since METADATA can (RFC 6154 §4); it is no annotation, but changing it
raises the folder's MODSEQ as well.

In: names as the IMAP parser (`imap.parser`) accepts them; an entry keeps the spelling of its first write. Raises
`AnnotationTooLong` and `TooManyAnnotations`, and has then changed nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from mic_mail.errors import Text
from mic_mail.storage.changes.folders import give_use
from mic_mail.storage.errors import AnnotationTooLong, NoSuchFolder, TooManyAnnotations
from mic_mail.storage.index.metadata_format import held, key_of, newest_change, pack, unpack, weight
from mic_mail.storage.index.rows import read_account, read_folder, read_folders
from mic_mail.storage.store import Store, Write
from mic_mail.storage.types import Annotation

MAX_REMOVED = 100
"""Removed entries of one folder that are remembered for `changed_since`."""

Changes = Sequence[tuple[str, str, bytes | None]]
"""(holder, name, value); None removes the entry."""


def annotate(store: Store, folder_id: int | None, changes: Changes, uses: Sequence[str | None] = ()) -> None:
    """Make all changes or none; `uses`: the folder's new special use, None to remove it, empty to keep it."""
    with store.writing(adds=any(value is not None for _, _, value in changes)) as write:
        before = unpack(write.account.metadata if folder_id is None else write.folder(folder_id).metadata)
        after = _changed(before, changes, write.modseq)
        _check_limits(write, folder_id, before, after, changes)
        if folder_id is None:
            write.account.metadata = pack(after)
            write.names.rewrite_account_sidecar()
        else:
            folder = write.folder(folder_id)
            for use in uses:
                give_use(write, folder, use)
            folder.metadata = pack(after)
            write.names.rewrite_folder_sidecar(folder_id)
            write.touch(folder)


def _changed(before: Sequence[Annotation], changes: Changes, modseq: int) -> list[Annotation]:
    entries = {key_of(entry): entry for entry in before}
    for holder, name, value in changes:
        entry = Annotation(holder, name, value, modseq)
        old = entries.get(key_of(entry))
        if old is not None:
            entries[key_of(entry)] = replace(old, value=value, modseq=modseq)
        elif value is not None:
            entries[key_of(entry)] = entry
    removed = sorted((entry for entry in entries.values() if entry.value is None), key=lambda entry: -entry.modseq)
    for entry in removed[MAX_REMOVED:]:
        del entries[key_of(entry)]
    return list(entries.values())


def _check_limits(
    write: Write, folder_id: int | None, before: Sequence[Annotation], after: Sequence[Annotation], changes: Changes
) -> None:
    """Raise where a change exceeds the limits (RFC 5464 §4.1); one that only removes is never refused."""
    settings = write.store.settings
    if any(value is not None and len(value) > settings.max_annotation_octets for _, _, value in changes):
        raise AnnotationTooLong(settings.max_annotation_octets)
    if weight(after) <= weight(before) and len(after) <= len(before):
        return
    holders = {holder for holder, _, _ in changes}
    counts = [sum(entry.holder == holder and entry.value is not None for entry in after) for holder in holders]
    rows = read_folders(write.connection, write.store.account_id)
    elsewhere = sum(weight(unpack(row.metadata)) for row in rows if row.metadata and row.folder_id != folder_id)
    if (
        max(counts) > settings.max_annotations
        or weight(after) > settings.max_annotations_octets
        or weight(after) + elsewhere > settings.max_annotations_octets_in_account
    ):
        raise TooManyAnnotations(Text("Đã có quá nhiều siêu dữ liệu.", "Too much metadata is stored already."))


def annotations(store: Store, folder_id: int | None, holders: Collection[str]) -> list[Annotation]:
    """Return these holders' entries, by name; `NoSuchFolder` if the folder is deleted."""
    with store.reading() as connection:
        if folder_id is None:
            account = read_account(connection, store.account_id)
            return held(account.metadata if account is not None else None, holders)
        folder = read_folder(connection, store.account_id, folder_id)
    if folder is None or folder.deleted_at_us is not None:
        raise NoSuchFolder(folder.name if folder is not None else f"#{folder_id}")
    return held(folder.metadata, holders)


def annotations_of_folders(store: Store, holders: Collection[str]) -> dict[int, list[Annotation]]:
    """Return these holders' entries of every folder that has any, by `folder_id`."""
    with store.reading() as connection:
        rows = [row for row in read_folders(connection, store.account_id) if row.metadata]
    return {row.folder_id: held(row.metadata, holders) for row in rows}


def changed_since(
    store: Store, modseq: int, holders: Collection[str], own: Collection[int] = (), *, until: int | None = None
) -> list[tuple[str, str]]:
    """Return (folder, entry) of these holders' changes after a MODSEQ, removals too; "" is the account.

    Changes with a MODSEQ in `own` are the caller's and left out, and so are those after `until`.
    """
    with store.reading() as connection:
        account = read_account(connection, store.account_id)
        columns = [("", account.metadata if account is not None else None)]
        columns += [(row.name, row.metadata) for row in read_folders(connection, store.account_id)]
    return [
        (name, entry.name)
        for name, column in columns
        if newest_change(column) > modseq
        for entry in unpack(column)
        if modseq < entry.modseq and (until is None or entry.modseq <= until)
        if entry.modseq not in own and entry.holder in holders
    ]
