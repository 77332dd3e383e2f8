"""Reading: the list of a folder, and its changes.

The answers about messages are read by `message_rows`, the messages themselves by `open_message`. Needs no lock. No read
transaction outlives a call.
"""

import json
from array import array
from collections.abc import Callable

from sqlalchemy import bindparam, select

from mic_mail.storage.changes import seen
from mic_mail.storage.errors import AccountGone, NoSuchFolder
from mic_mail.storage.index import reader_seen_rows, schema
from mic_mail.storage.index.reader_seen_rows import SeenReader
from mic_mail.storage.index.rows import FolderRow, read_folder, read_state
from mic_mail.storage.index.statements import Connection, SqlStatement, among, column_list, keyed_by, uid_list
from mic_mail.storage.index.view_cache import NewestView, leads_to, with_changes
from mic_mail.storage.reads.message_rows import read_along
from mic_mail.storage.store import Store
from mic_mail.storage.types import Changes, FolderDelta, FolderInfo, FolderView

_M = schema.message.c
_T = schema.tombstone.c
_HERE = keyed_by(_M, "folder")
_GONE_HERE = keyed_by(_T, "folder")

_ALL = SqlStatement(select(*(column_list(column, _M.uid) for column in (_M.uid, _M.flags, _M.modseq, _M.size))).where(_HERE))
"""Four arrays as JSON: 100,000 messages in 45 ms, 20 of them in SQLite without Python's lock.

Rows took 92 ms (bench/storage_publish).
"""
_CHANGED = SqlStatement(select(_M.uid, _M.flags, _M.modseq, _M.size).where(_HERE, _M.modseq > bindparam("since")))
_AMONG = SqlStatement(select(_M.uid, _M.flags, _M.modseq, _M.size).where(_HERE, among(_M.uid)))
_VANISHED = SqlStatement(select(_T.uid).where(_GONE_HERE, _T.modseq > bindparam("since")).order_by(_T.uid))
_MODSEQ = SqlStatement(select(schema.account.c.modseq).where(keyed_by(schema.account.c)))

_READ_ALONG = 8
"""Most new messages whose answers are read with the change that brought them."""


def highest_modseq(store: Store) -> int:
    """Return the account's newest MODSEQ: the cheap check for any change. Raises `AccountGone`."""
    with store.reading() as connection:
        row = _MODSEQ.on(connection, account=store.account_id).fetchone()
    if row is None:
        raise AccountGone(f"account {store.account_id} does not exist")
    return int(row[0])


def view(store: Store, person: str | None, folder_id: int) -> tuple[int, FolderView]:
    """Return the account's MODSEQ and the folder's view, of one instant, as the person sees it.

    All who see the same get the same object while nothing changes. Takes in what other tools put into `new/`.
    """
    delta = _query(store, person, folder_id, mark=0)
    assert delta.fresh is not None
    return delta.account_modseq, delta.fresh


def opened(store: Store, person: str | None, name: str) -> FolderDelta:
    """Return the account's MODSEQ and the view of the folder with this name, of one instant, as the person sees it.

    Takes in what other tools put into `new/`. Where the process knows the newest view, two stats show that it is, and no
    connection is opened. Raises `NoSuchFolder`.
    """
    mark = store.change_mark()
    name = store.canonical_name(name)
    known = store.shared.views.newest(store.account_id, name, mark)
    if known is not None and store.is_unchanged(known):
        return FolderDelta(known.account_modseq, known.view, None, mark)
    return _query(store, person, store.shared.views.folder_named(store.account_id, name), mark=mark, name=name)


def opened_from_memory(store: Store, name: str, is_current: Callable[[NewestView], bool]) -> FolderDelta | None:
    """Return what `opened` does, without a wait, or None.

    The process has to know the newest view, and `is_current` has to know that no other tool has changed anything since.
    """
    mark = store.change_mark()
    known = store.shared.views.newest(store.account_id, store.canonical_name(name), mark)
    if known is None or not is_current(known):
        return None
    return FolderDelta(known.account_modseq, known.view, None, mark)


def folder_delta(store: Store, person: str | None, folder_id: int, since_modseq: int, looked: int) -> FolderDelta:
    """Return the account's MODSEQ, the folder's view and its changes, all of one instant.

    The view is given if the MODSEQ is not `looked`, and the changes if the view is not as of `since_modseq`. All are as the
    person sees them, and come from memory where another session of the process has just queried.
    """
    mark = store.change_mark()
    if (known := store.shared.views.changes_since(store.account_id, folder_id, since_modseq, mark)) is not None:
        return known
    return _query(store, person, folder_id, mark=mark, since_modseq=since_modseq, looked=looked)


def _query(
    store: Store,
    person: str | None,
    folder_id: int,
    *,
    mark: int,
    since_modseq: int | None = None,
    looked: int | None = None,
    name: str | None = None,
) -> FolderDelta:
    """Query the index; `name`: the folder that has this name is meant, which is probably `folder_id`."""
    store.ready()  # before `_kept`: where the index was replaced, the cached views are forgotten
    is_registered = seen.register_reader(store, person)
    settled = False
    while True:
        kept = _kept(store, folder_id, person) if is_registered else None
        with store.snapshot() as connection:
            modseq, seen_each, folder = read_state(connection, store.account_id, folder_id if name is None else name)
            if modseq == looked:
                return FolderDelta(modseq, None, None, mark)
            if folder is None:
                raise NoSuchFolder(f"#{folder_id}" if name is None else name)
            if folder.folder_id == folder_id and (settled or not store.has_changed_outside(folder)):
                reader = reader_seen_rows.find(connection, store.account_id, person)
                fresh = _view(store, connection, folder, reader, kept)
                if not seen_each:
                    store.shared.views.confirm_current(folder, fresh, modseq, mark)
                if since_modseq is None or fresh.info.highest_modseq == since_modseq:
                    return FolderDelta(modseq, fresh, None, mark)
                changes = None if seen_each else store.shared.views.changes(store.account_id, folder_id, since_modseq, fresh)
                return FolderDelta(modseq, fresh, changes or _changes(store, connection, folder, since_modseq, reader), mark)
        if folder.folder_id == folder_id:
            store.take_in(folder_id)
            settled = True
        folder_id, name = folder.folder_id, None


_Kept = dict[str, FolderView | None]
"""Views by reader ("": the common state)."""


def _kept(store: Store, folder_id: int, person: str | None) -> _Kept:
    """Return the cached views to build upon, before the snapshot is taken: none may be newer."""
    return {whose: store.shared.views.get(store.account_id, folder_id, whose) for whose in ("", person or "")}


def _view(store: Store, connection: Connection, folder: FolderRow, reader: SeenReader | None, kept: _Kept | None) -> FolderView:
    """Return the view of a snapshot: the cached one, or the next one made from it.

    `kept` is None where the person could not be registered and sees the common state, whose \\Seen changes without a MODSEQ:
    that view is made anew and not cached.
    """
    whose = "" if reader is None else reader.person
    known = None if kept is None else kept.get(whose)
    info = reader_seen_rows.info_of(connection, folder, reader)
    if known is None or not leads_to(known, folder):
        fresh = _load(store, connection, info)
        if reader is not None:
            fresh = reader_seen_rows.view_as_seen(connection, reader, fresh)
    else:
        if known.info == info:
            return known
        changed, vanished = _changes_since(store, connection, folder.folder_id, known.info.highest_modseq, reader)
        fresh = with_changes(known, info, changed, vanished)
        store.shared.views.put(
            store.account_id, folder.folder_id, fresh, whose, after=known, changed=changed, vanished=vanished
        )
        new = [row[0] for row in changed if row[0] >= known.info.uidnext]
        if 0 < len(new) <= _READ_ALONG:
            read_along(store, connection, folder, new)
        return fresh
    if kept is not None:
        store.shared.views.put(store.account_id, folder.folder_id, fresh, whose)
    return fresh


def _load(store: Store, connection: Connection, info: FolderInfo) -> FolderView:
    columns = _ALL.on(connection, account=store.account_id, folder=info.folder_id).fetchone()
    uids, flags, modseqs, sizes = (json.loads(column) for column in columns)
    if uids != sorted(uids):  # SQLite walks the primary key, but an aggregate promises no order
        uids, flags, modseqs, sizes = zip(*sorted(zip(uids, flags, modseqs, sizes, strict=True)), strict=True)
    return FolderView(info, array("I", uids), array("Q", flags), array("Q", modseqs), array("Q", sizes))


def changes(store: Store, person: str | None, folder_id: int, since_modseq: int) -> Changes:
    seen.register_reader(store, person)
    with store.snapshot() as connection:
        folder = _live_folder(store, connection, folder_id)
        return _changes(store, connection, folder, since_modseq, reader_seen_rows.find(connection, store.account_id, person))


def _changes(store: Store, connection: Connection, folder: FolderRow, since_modseq: int, reader: SeenReader | None) -> Changes:
    highest = reader_seen_rows.info_of(connection, folder, reader).highest_modseq
    changed: list[tuple[int, int, int, int]] = []
    vanished: list[int] = []
    if highest > since_modseq:
        changed, vanished = _changes_since(store, connection, folder.folder_id, since_modseq, reader)
    return Changes(highest, folder.keyword_names(), changed, vanished, since_modseq >= folder.expunge_floor)


def _changes_since(
    store: Store, connection: Connection, folder_id: int, since: int, reader: SeenReader | None = None
) -> tuple[list[tuple[int, int, int, int]], list[int]]:
    here = {"account": store.account_id, "folder": folder_id}
    if reader is None:
        changed = sorted(_CHANGED.on(connection, **here, since=since))
    else:
        changed = _changed_for(store, connection, folder_id, since, reader)
    vanished = [uid for (uid,) in _VANISHED.on(connection, **here, since=since)]
    return changed, vanished


def _changed_for(
    store: Store, connection: Connection, folder_id: int, since: int, reader: SeenReader
) -> list[tuple[int, int, int, int]]:
    """Return one reader's changes: of messages, and of what they have seen; all where `since` is before they began."""
    here = {"account": store.account_id, "folder": folder_id}
    from_modseq = since if since >= reader.begun_modseq else 0
    rows = {row[0]: row for row in _CHANGED.on(connection, **here, since=from_modseq)}
    states = reader_seen_rows.states_since(connection, reader, folder_id, from_modseq)
    others = states.keys() - rows.keys()
    rows.update((row[0], row) for row in _AMONG.on(connection, **here, uids=uid_list(others)) if others)
    unknown = rows.keys() - states.keys()
    states.update(reader_seen_rows.states(connection, reader, folder_id, unknown))
    return reader_seen_rows.as_seen(sorted(rows.values()), states, reader)


def _live_folder(store: Store, connection: Connection, folder_id: int) -> FolderRow:
    folder = read_folder(connection, store.account_id, folder_id)
    if folder is None or folder.deleted_at_us is not None:
        raise NoSuchFolder(f"#{folder_id}")
    return folder
