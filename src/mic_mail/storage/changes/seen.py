"""\\Seen of each reader, in mailboxes that have the setting: one reader does not mark mail for others.

The flag in `message` stays the *common state*, as in every account: here it is what \\Seen would be if it were one for all. It
is shown to nobody, so it changes without a MODSEQ. A new reader starts from it, and so does everybody where the setting is
taken back, or where an index is rebuilt and a sidecar is missing.

    switch        each person who may read now begins with the common state; back: everybody has it again
    begin         another person's first access (or the first one after `forget`): has seen what the common state has then
    STORE         of \\Seen: the reader's row with the MODSEQ of the change, which nobody else is told; and the common
                  state. Of other flags: the message's row, as ever
    new messages  seen by the person alone who added them with \\Seen; by everybody where no reader added them so (a delivery
                  that is filed as read, another tool's file)
    COPY, MOVE    within the account: each reader has seen the copy if the source was seen. Into another: as the mover saw it
    expunged      the rows are deleted; a restored message is seen for all if the common state said so

A message has for a reader the larger MODSEQ of the two rows, and none below `SeenReader.begun_modseq`; so has a folder. So a
reader's own change raises HIGHESTMODSEQ for that reader alone (RFC 7162 §3.1.2).

The rows are the truth, as with all flags; sidecars follow in the background (seen_sidecars.py). An account without the setting
has no such rows, and pays with no statement.
"""

import contextlib
from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import bindparam, update

from mic_mail.storage.errors import Unavailable
from mic_mail.storage.index import reader_seen_rows, schema
from mic_mail.storage.index.reader_seen_rows import SeenReader
from mic_mail.storage.index.rows import FolderRow, read_account, read_all_folders
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.store import Store, Write

_M = schema.message.c
_RESTAMP = SqlStatement(update(schema.message).where(keyed_by(_M)).values(modseq=bindparam("new_modseq")))


# The setting


def is_each(store: Store) -> bool:
    """Return whether each reader has their own \\Seen."""
    with store.reading() as connection:
        account = read_account(connection, store.account_id)
    return account is not None and bool(account.seen_each)


def switch(store: Store, *, each: bool, persons: Collection[str] = ()) -> bool:
    """Give each reader, `persons` from now on, an own \\Seen, or all one; False if it was so already."""
    with store.writing() as write:
        if bool(write.account.seen_each) == each:
            return False
        if each:
            write.account.seen_each = 1
            for person in sorted(set(persons)):
                _begin(write, person, 0)
        else:
            _end(write)
        write.names.rewrite_account_sidecar()
        write.announce()
    return True


def _end(write: Write) -> None:
    """Return to one \\Seen for all: any message may change for any reader."""
    account_id = write.store.account_id
    for reader in reader_seen_rows.all_readers(write.connection, account_id):
        _drop(write, reader)
    write.account.seen_each = 0
    _RESTAMP.on(write.connection, account=account_id, new_modseq=write.modseq)
    for row in read_all_folders(write.connection, account_id):
        folder = write.any_folder(row.folder_id)
        write.touch(folder)
        write.names.forget_readers(folder)


def forget(store: Store, person: str) -> None:
    """Forget a reader, who begins anew at the next access."""
    with store.reading() as connection:
        known = reader_seen_rows.find(connection, store.account_id, person)
    if known is None:
        return
    with store.writing() as write:
        reader = reader_seen_rows.find(write.connection, store.account_id, person)
        if reader is not None:
            _drop(write, reader)
            write.names.rewrite_account_sidecar()


def forget_all_but(store: Store, persons: Collection[str]) -> list[str]:
    """Forget every reader except these; return the forgotten. Does nothing where \\Seen is one for all."""
    with store.reading() as connection:
        known = [reader.person for reader in reader_seen_rows.all_readers(connection, store.account_id)]
    if not set(known) - set(persons):
        return []
    with store.writing() as write:
        gone = [each for each in reader_seen_rows.all_readers(write.connection, store.account_id) if each.person not in persons]
        for reader in gone:
            _drop(write, reader)
        write.names.rewrite_account_sidecar()
    return [reader.person for reader in gone]


def _drop(write: Write, reader: SeenReader) -> None:
    reader_seen_rows.drop_reader(write.connection, reader)
    write.names.forget_reader(read_all_folders(write.connection, write.store.account_id), reader.person)


# Readers


def register_reader(store: Store, person: str | None) -> bool:
    """Register a person before an access; False if that cannot be written now: the common state is used."""
    if person is None:
        return True
    with store.reading() as connection:
        if not reader_seen_rows.has_to_begin(connection, store.account_id, person):
            return True
    with contextlib.suppress(Unavailable), store.writing() as write:
        within(write, person)
        return True
    return False


def within(write: Write, person: str | None) -> SeenReader | None:
    """Return the reader inside a change, registered if need be; None: the common state applies."""
    if person is None or not write.account.seen_each:
        return None
    reader = reader_seen_rows.find(write.connection, write.store.account_id, person)
    return reader if reader is not None else _begin(write, person, write.modseq)


def _begin(write: Write, person: str, modseq: int) -> SeenReader:
    account_id = write.store.account_id
    reader = reader_seen_rows.add_reader(write.connection, account_id, person, modseq)
    for row in read_all_folders(write.connection, account_id):
        reader_seen_rows.owe(write.connection, account_id, row.folder_id, [reader])
    write.store.names_due = True
    write.names.rewrite_account_sidecar()
    return reader


# Marking messages as seen, inside a change


def set_own(write: Write, folder: FolderRow, reader: SeenReader, changes: Sequence[tuple[int, int]]) -> None:
    """Write (uid, seen) of what a reader has changed."""
    reader_seen_rows.set_states(write.connection, [reader], folder.folder_id, changes, write.modseq)
    write.store.names_due = True


def bring(write: Write, folder: FolderRow, uids: Iterable[int], person: str | None = None) -> None:
    """Mark new messages with \\Seen as seen by the person who added them, or (None) by everybody."""
    known = list(uids) if write.account.seen_each else []
    if not known:
        return
    own = within(write, person)
    of = reader_seen_rows.all_readers(write.connection, write.store.account_id) if own is None else [own]
    reader_seen_rows.set_states(write.connection, of, folder.folder_id, [(uid, 1) for uid in known], write.modseq)
    write.store.names_due = True


def carry(
    write: Write,
    source: FolderRow,
    target: FolderRow,
    pairs: Sequence[tuple[int, int]],
    *,
    person: str | None,
    marks: bool,
) -> None:
    """Copy each reader's state for (old UID, new UID) of copies within the account.

    Called before the old messages are removed. `marks`: the person who copies may set \\Seen in the target (RFC 4314 §4).
    """
    if not write.account.seen_each:
        return
    own = within(write, person)
    reader_seen_rows.carry(write.connection, write.store.account_id, source.folder_id, target.folder_id, pairs)
    if own is not None and not marks:
        unset = [(new, 0) for _, new in pairs]
        reader_seen_rows.set_states(write.connection, [own], target.folder_id, unset, write.modseq)
    write.store.names_due = True
