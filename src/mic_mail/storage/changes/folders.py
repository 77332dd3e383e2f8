"""Create, rename, delete, restore, list and subscribe folders (RFC 9051 §6.3.4 to §6.3.9).

A new folder is completed under a temporary name of our own and then renamed into place. Renaming and deleting are renames of
directories as well, so each is one entry in the intent record and wholly done or not at all. A deleted folder lies in
`.expunged/<mailbox id>/` with its rows untouched until the sweep removes it: sessions that have it selected go on reading, and
`undelete` is one rename.
"""

import secrets

from sqlalchemy import func, select

from mic_mail.errors import Text
from mic_mail.storage.changes import seen
from mic_mail.storage.changes.copy_move import move_within
from mic_mail.storage.changes.legal_hold import must_not_be_frozen
from mic_mail.storage.errors import AccountGone, FolderExists, NoSuchFolder, NotPermitted, TooMany, Unavailable, UseNotAllowed
from mic_mail.storage.index import reader_seen_rows, schema
from mic_mail.storage.index.rows import FolderRow, read_folder, read_folder_named, read_folders, subscribed_names
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.store import Store, Write
from mic_mail.storage.types import DELIMITER, INBOX, SPECIAL_USES, FolderInfo, ancestors

_F = schema.folder.c
_COUNT = SqlStatement(select(func.count(), func.count(_F.deleted_at_us)).where(keyed_by(_F)))
_DELETED_TOO = 2
"""Limit of all folders, retained deleted ones included, as a multiple of `max_folders`.

Without it CREATE and DELETE in turn would make files without end.
"""
_ID_NAMED = SqlStatement(select(_F.folder_id).where(keyed_by(_F, "name"), _F.deleted_at_us.is_(None)))


# Reading


def list_folders(store: Store, person: str | None) -> tuple[list[FolderInfo], set[str]]:
    """Return the folders by name, as the person sees them, and all subscribed names, of one instant.

    Names that only have children have `folder_id` 0 and are not selectable.
    """
    seen.register_reader(store, person)
    with store.snapshot() as connection:
        rows = read_folders(connection, store.account_id)
        subscribed = set(subscribed_names(connection, store.account_id))
        reader = reader_seen_rows.find(connection, store.account_id, person)
        tallies = {} if reader is None else reader_seen_rows.tallies(connection, reader)
    if not rows:
        raise _no_folder(store, INBOX)
    parents = {parent for row in rows for parent in ancestors(row.name)}
    infos = [row.info() for row in rows]
    if reader is not None:
        infos = [reader_seen_rows.with_tally(info, tallies.get(info.folder_id), reader) for info in infos]
    infos += [_phantom(name) for name in parents - {row.name for row in rows}]
    return sorted(infos, key=lambda info: (info.name != INBOX, info.name)), subscribed


def _phantom(name: str) -> FolderInfo:
    return FolderInfo(
        folder_id=0, name=name, uidvalidity=0, uidnext=0, highest_modseq=0, expunge_floor=0, mailbox_id="", special_use=None,
        keywords=(), messages=0, unseen=0, deleted=0, size=0, deleted_size=0, recent_from=0, selectable=False,
    )  # fmt: skip


def folder(store: Store, person: str | None, name: str) -> FolderInfo:
    """Return one folder by name, as the person sees it, or raise `NoSuchFolder`."""
    return folder_info(store, name=store.canonical_name(name), person=person)


def folder_info(store: Store, *, name: str | None = None, folder_id: int = 0, person: str | None = None) -> FolderInfo:
    seen.register_reader(store, person)
    with store.snapshot() as connection:
        if name is not None:
            row = read_folder_named(connection, store.account_id, name)
        else:
            row = read_folder(connection, store.account_id, folder_id)
        if row is None or row.deleted_at_us is not None:
            raise _no_folder(store, name or f"#{folder_id}")
        return reader_seen_rows.info_of(connection, row, reader_seen_rows.find(connection, store.account_id, person))


def folder_id(store: Store, name: str) -> int:
    """Return the number of a folder, or raise `NoSuchFolder`."""
    name = store.canonical_name(name)
    with store.reading() as connection:
        row = _ID_NAMED.on(connection, account=store.account_id, name=name).fetchone()
    if row is None:
        raise _no_folder(store, name)
    return int(row[0])


def _no_folder(store: Store, name: str) -> NoSuchFolder | AccountGone:
    return AccountGone(f"account {store.account_id} has no INBOX") if name == INBOX else NoSuchFolder(name)


# Writing


def create(store: Store, name: str, special_use: str | None = None) -> FolderInfo:
    """Make a folder and its missing parents (RFC 9051 §6.3.4)."""
    name = store.canonical_name(name)
    with store.writing(adds=True) as write:
        if write.folder_named(name) is not None:
            raise FolderExists(name)
        _check_use(write, special_use)
        for parent in ancestors(name):
            if write.folder_named(parent) is None:
                _make_another(write, parent)
        _make_another(write, name, special_use=special_use)
    return folder_info(store, name=name)


def _check_use(write: Write, special_use: str | None) -> None:
    """Raise `UseNotAllowed` if the special use is unknown or another folder has it (RFC 6154 §3, §4)."""
    if special_use is None:
        return
    if special_use not in SPECIAL_USES:
        raise UseNotAllowed(Text("Công dụng thư mục không biết.", "Unknown special use."))
    if any(row.special_use == special_use for row in read_folders(write.connection, write.store.account_id)):
        raise UseNotAllowed(Text("Thư mục khác đã có công dụng này.", "Another folder already has this special use."))


def give_use(write: Write, folder: FolderRow, special_use: str | None) -> None:
    """Change the special use, or remove it, in a change that writes the folder and its sidecar."""
    if special_use != folder.special_use:
        _check_use(write, special_use)
        folder.special_use, folder.modseq = special_use, write.modseq


def _make_another(write: Write, name: str, *, special_use: str | None = None, metadata: str | None = None) -> FolderRow:
    store = write.store
    count, deleted = _COUNT.on(write.connection, account=store.account_id).fetchone()
    if count - deleted >= store.settings.max_folders:
        raise TooMany(Text("Hộp thư đã có quá nhiều thư mục.", "The mailbox has too many folders."))
    if count >= store.settings.max_folders * _DELETED_TOO:
        raise TooMany(
            Text(
                "Hộp thư còn giữ quá nhiều thư mục đã xóa; đề nghị thử lại sau vài ngày.",
                "Too many deleted folders are retained; try again in a few days.",
            )
        )
    return make_folder(write, name, special_use=special_use, metadata=metadata)


def make_folder(write: Write, name: str, *, special_use: str | None = None, metadata: str | None = None) -> FolderRow:
    """Make a new folder as part of a larger change; an existing directory of that name is used as it is."""
    store = write.store
    folder = new_folder_row(write, name, special_use=special_use)
    folder.metadata = metadata
    write.names.make_folder(folder)
    write.add_folder(folder)
    if write.account.seen_each:
        reader_seen_rows.owe(write.connection, store.account_id, folder.folder_id)
        store.names_due = True
    return folder


def new_folder_row(write: Write, name: str, directory: str = "", special_use: str | None = None) -> FolderRow:
    """Return a row with numbers of its own; it is not written yet."""
    folder_id = write.account.folder_next
    write.account.folder_next += 1
    return FolderRow(
        account_id=write.store.account_id,
        folder_id=folder_id,
        name=name,
        directory=directory,
        mailbox_id=f"F{secrets.token_hex(10)}",
        uidvalidity=write.take_uidvalidity(),
        uidnext=1,
        uidnext_mark=write.names.uid_mark(1),
        highest_modseq=write.modseq,
        modseq=write.modseq,
        created_modseq=write.modseq,
        expunge_floor=write.modseq,
        messages=0,
        unseen=0,
        deleted=0,
        octets=0,
        deleted_octets=0,
        recent_from=1,
        special_use=special_use,
        keywords="[]",
        new_mtime_ns=0,
        deleted_at_us=None,
    )


def rename(store: Store, old: str, new: str) -> None:
    """Rename a folder and its children; INBOX stays and gives away its messages (RFC 9051 §6.3.6)."""
    old, new = store.canonical_name(old), store.canonical_name(new)
    if new == INBOX:
        raise FolderExists(new)
    if new == old or (new.startswith(old + DELIMITER) and old != INBOX):
        raise NotPermitted(Text("Không thể chuyển thư mục vào chính nó.", "A folder cannot be moved below itself."))
    with store.writing() as write:
        must_not_be_frozen(write)
        rows = read_folders(write.connection, store.account_id)
        names = {row.name for row in rows}
        if new in names or any(name.startswith(new + DELIMITER) for name in names):
            raise FolderExists(new)
        for parent in ancestors(new):
            if parent not in names:
                _make_another(write, parent)
        if old == INBOX:
            inbox = write.folder_named(INBOX)
            assert inbox is not None
            # RFC 5464 §4.1: INBOX keeps its annotations, and the new folder gets a copy.
            move_within(write, inbox, _make_another(write, new, metadata=inbox.metadata), None)
            return
        going = [row for row in rows if row.name == old or row.name.startswith(old + DELIMITER)]
        if not going:
            raise NoSuchFolder(old)
        names_now = {row.folder_id: store.canonical_name(new + row.name[len(old) :]) for row in going}
        _give_names(write, [(write.folder(folder_id), name) for folder_id, name in names_now.items()])


def _give_names(write: Write, going: list[tuple[FolderRow, str]]) -> None:
    for folder, name in going:
        if write.names.is_taken(name):
            raise FolderExists(name)
        folder.name, folder.modseq = name, write.modseq
        write.keep(folder)
    write.names.rename_folders([folder for folder, _ in going])


def delete(store: Store, name: str) -> None:
    """Delete a folder; its children stay (RFC 9051 §6.3.5). It can be restored for `expunge_keep_seconds`."""
    name = store.canonical_name(name)
    if name == INBOX:
        raise NotPermitted(Text("Không thể xóa INBOX.", "INBOX cannot be deleted."))
    with store.writing() as write:
        folder = write.folder_named(name)
        if folder is None:
            raise NoSuchFolder(name)
        must_not_be_frozen(write)
        write.names.delete_folder(folder)
        folder.modseq = write.modseq
        folder.deleted_at_us = store.clock.steady_us()
        write.keep(folder)
        write.account.messages -= folder.messages
        write.account.octets -= folder.octets


def subscribe(store: Store, name: str, subscribed: bool) -> None:
    name = store.canonical_name(name)
    with store.writing(adds=subscribed) as write:
        names = subscribed_names(write.connection, store.account_id)
        if (name in names) != subscribed:
            if subscribed:
                _require_name_space(store, [*names, name])
            write.subscribe(name, subscribed)
            write.announce()


def _require_name_space(store: Store, names: list[str]) -> None:
    settings = store.settings
    octets = sum(len(name.encode()) for name in names)
    if len(names) > settings.max_subscriptions or octets > settings.max_subscriptions_octets:
        raise TooMany(Text("Hộp thư đã theo dõi quá nhiều thư mục.", "The mailbox has too many subscriptions."))


def subscriptions(store: Store) -> list[str]:
    """Return the subscribed names in order; a subscription outlives its folder (RFC 9051 §6.3.7)."""
    with store.reading() as connection:
        return list(subscribed_names(connection, store.account_id))


def take_recent(store: Store, folder_id: int, until: int | None = None) -> int:
    """Return the UID from which on messages are \\Recent for this session alone (RFC 3501 §2.3.2).

    With `until` only those below it are claimed; later arrivals are left to the session that is notified of them. Where nothing
    can be written now (a full disk), they are recent for the next session too: reading must go on.
    """
    info = folder_info(store, folder_id=folder_id)
    if info.recent_from >= (info.uidnext if until is None else until):
        return info.recent_from
    try:
        with store.writing() as write:
            folder = write.folder(folder_id)
            first = folder.recent_from
            folder.recent_from = folder.uidnext if until is None else max(first, until)
            write.keep(folder)
            return first
    except Unavailable:
        return info.recent_from
