"""Tombstones for the files in `.expunged/` that a rebuilt index does not know.

The file's change time counts as the time of the expunge: there is no other record of it.
"""

import os

from sqlalchemy import insert, select

from mic_mail.storage.changes.transaction import LocalWrite
from mic_mail.storage.index import schema
from mic_mail.storage.index.rows import read_all_folders
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.maildir.folder_names import is_text
from mic_mail.storage.maildir.maildir import names_in
from mic_mail.storage.maintenance.adopt import ContentTable, arrival_of, is_readable
from mic_mail.storage.message_names import parse_name

_T = schema.tombstone.c
_SELECT_BURIED = SqlStatement(select(_T.uid).where(keyed_by(_T, "folder")))
_INSERT_TOMBSTONE = SqlStatement(insert(schema.tombstone))


def adopt_tombstones(write: LocalWrite, contents: ContentTable) -> None:
    """Insert rows for the files in `.expunged/` that have none: `<mailbox id>.<name with UID>`."""
    paths = write.store.paths
    account = write.store.account_id
    folders = {row.mailbox_id: row for row in read_all_folders(write.connection, account)}
    tombstones = {
        row.folder_id: {uid for (uid,) in _SELECT_BURIED.on(write.connection, account=account, folder=row.folder_id)}
        for row in folders.values()
    }
    for file_name in sorted(names_in(paths.expunged)):
        mailbox_id, _, name = file_name.partition(".")
        folder = folders.get(mailbox_id)
        parsed = parse_name(name)
        if folder is None or not is_text(file_name) or not parsed.uid or parsed.uid in tombstones[folder.folder_id]:
            continue
        path = f"{paths.expunged}/{file_name}"
        if not is_readable(path):
            continue
        tombstones[folder.folder_id].add(parsed.uid)
        found = os.stat(path)
        received_us = arrival_of(found)
        content = contents.of(parsed.base, found.st_size, path)
        email_pk = contents.refer(content, path, received_us)
        kept = write.any_folder(folder.folder_id)
        kept.uidnext = max(kept.uidnext, parsed.uid + 1)
        write.touch(kept)
        _INSERT_TOMBSTONE.on(
            write.connection,
            account_id=account,
            folder_id=folder.folder_id,
            uid=parsed.uid,
            modseq=write.modseq,
            created_modseq=write.modseq,
            expunged_us=found.st_ctime_ns // 1000,
            flags=parsed.flags,
            size=found.st_size,
            saved_us=received_us,
            email_pk=email_pk,
            name=file_name,
            moved_folder_id=None,
            moved_uid=None,
        )
