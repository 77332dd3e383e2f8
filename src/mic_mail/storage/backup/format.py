"""The format of a backup of one mailbox, which is the same whatever ground the mailbox lies on.

    <target>/manifest.json    version, account, instant, count; written last: a backup without it is not one
    <target>/index.sqlite     the index as of one instant
    <target>/Maildir/         the messages that this index names, under their names in it, and the sidecars

A message is written once, so one that an earlier backup has is linked from there: each backup is whole by itself, and only new
mail takes time and space. What can still be restored, which is expunged messages and deleted folders, is not in a backup.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import delete, exists, func, literal_column, select, update

from mic_mail.durable_files import make_durable, replace_durably
from mic_mail.errors import BadInput, Text
from mic_mail.storage.changes.seen_sidecars import sidecar as seen_sidecar
from mic_mail.storage.changes.sidecar_rows import account_sidecar, folder_sidecar
from mic_mail.storage.index import schema
from mic_mail.storage.index.connection import SQLITE_ERRORS, is_damage, translated
from mic_mail.storage.index.reader_seen_rows import all_readers
from mic_mail.storage.index.rows import read_account, read_folders
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.maildir.maildir import FOLDER_MODE, AccountPaths

FAILOVER_UIDS = 1_000_000
"""So many messages may have come into one folder between a backup and the failure of its machine."""
FAILOVER_MODSEQS = 1_000_000_000
FAILOVER_UIDVALIDITIES = 100_000
"""Likewise, so many changes of the mailbox, and so many new folders in it."""

_VERSION = 1
_M = schema.message.c
_T = schema.tombstone.c
_E = schema.email.c
_F = schema.folder.c
_O = schema.ordering.c
MESSAGES = SqlStatement(select(_M.uid, _M.name, _M.size).where(keyed_by(_M, "folder")).order_by(_M.uid))
_DELETED_FOLDERS = select(_F.folder_id).where(_F.deleted_at_us.is_not(None))
_REFERRING = select(func.count()).where(_M.account_id == _E.account_id, _M.email_pk == _E.email_pk).scalar_subquery()
_ONLY_WHAT_IS_COPIED = (
    SqlStatement(delete(schema.message).where(_M.folder_id.in_(_DELETED_FOLDERS))),
    SqlStatement(delete(schema.tombstone).where(_T.folder_id.in_(_DELETED_FOLDERS))),
    *(
        SqlStatement(delete(table).where(table.c.folder_id.in_(_DELETED_FOLDERS)))
        for table in (schema.seen, schema.seen_tally, schema.seen_unwritten)
    ),
    SqlStatement(delete(schema.folder).where(_F.deleted_at_us.is_not(None))),
    SqlStatement(update(schema.tombstone).values(email_pk=None, name=None)),
    SqlStatement(update(schema.email).values(refs=_REFERRING)),
    SqlStatement(delete(schema.email).where(_E.refs == literal_column("0"))),
    SqlStatement(delete(schema.ordering).where(~exists().where(_E.account_id == _O.account_id, _E.email_pk == _O.email_pk))),
)


# Writing


@contextlib.contextmanager
def new_backup(target: Path) -> Iterator[AccountPaths]:
    """Make the folder of a backup, which must not exist; errors of files and SQLite in the block leave as the store's own."""
    if target.exists():
        raise BadInput(Text(f"“{target}” đã có.", "The backup's folder already exists."))
    with translated("backup"):
        paths = AccountPaths(str(target))
        os.makedirs(paths.maildir, mode=FOLDER_MODE)
        yield paths


@contextlib.contextmanager
def new_index(path: str) -> Iterator[sqlite3.Connection]:
    """Make an index without rows, in one transaction with those that the block writes."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as index:
        index.execute("BEGIN")
        schema.create(index)
        yield index
        index.execute("COMMIT")


def drop_what_is_not_copied(index: sqlite3.Connection) -> None:
    """Remove from the copy of an index what can still be restored."""
    index.execute("CREATE INDEX backup_refs ON message (account_id, email_pk)")
    for statement in _ONLY_WHAT_IS_COPIED:
        statement.on(index)
    index.execute("DROP INDEX backup_refs")


def write_sidecars(index: sqlite3.Connection, account_id: int, paths: AccountPaths) -> None:
    """Write the sidecars of all folders, readers and the account, by the copy of the index."""
    account = read_account(index, account_id)
    assert account is not None
    for row in read_folders(index, account_id):
        folder_sidecar(row).write(paths.folder(row.directory))
        for reader in all_readers(index, account_id):
            seen_sidecar(index, row, reader).write(paths.folder(row.directory))
    account_sidecar(index, account).write(paths.maildir)


def write_manifest(paths: AccountPaths, account_id: int, made_at_us: int, messages: int) -> None:
    """Complete a backup of so many messages."""
    manifest = {"version": _VERSION, "account_id": account_id, "made_at_us": made_at_us, "messages": messages}
    replace_durably(f"{paths.home}/manifest.json", json.dumps(manifest, indent=1).encode() + b"\n")
    make_durable(os.path.dirname(paths.home) or ".")


# Reading


class OfAnotherVersion(BadInput):
    """The backup is of another program version: its messages can be imported, its index cannot be used."""

    def __init__(self) -> None:
        super().__init__(
            Text("Bản sao lưu thuộc phiên bản khác.", "The backup was made by another version of this program."),
            remedy=Text(
                "Khôi phục bằng phiên bản đã tạo bản sao lưu, hoặc nhập thư mục Maildir trong đó: mic-mail import maildir.",
                "Restore it with the version that made it, or import the Maildir in it: mic-mail import maildir.",
            ),
        )


def must_be_of_this_version(index: sqlite3.Connection) -> None:
    if not schema.is_current(index):
        raise OfAnotherVersion


@contextlib.contextmanager
def reading_backup(source: Path) -> Iterator[sqlite3.Connection]:
    """Open the index of a backup of this version; errors in the block leave as the store's own."""
    with translated("restore"), contextlib.closing(opened(source)) as index:
        must_be_of_this_version(index)
        yield index


def opened(source: Path) -> sqlite3.Connection:
    """Open the index of a backup, which nobody changes."""
    path = Path(AccountPaths(str(source)).index).absolute()
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)


def read_manifest(source: Path) -> int:
    """Return how many messages the backup holds; `BadInput` where it is not complete."""
    try:
        manifest = json.loads((source / "manifest.json").read_bytes())
        if manifest["version"] != _VERSION:
            raise ValueError(manifest["version"])
        return int(manifest["messages"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(Text(f"“{source}” không phải bản sao lưu trọn vẹn.", "This is not a complete backup.")) from error


def examine(source: Path) -> tuple[int, int]:
    """Return messages and octets of a backup; `BadInput` if its index is damaged or messages are missing."""
    expected = read_manifest(source)
    paths = AccountPaths(str(source))
    messages = octets = 0
    with translated("examining"), contextlib.closing(opened(source)) as index:
        _must_be_sound(index, source)
        must_be_of_this_version(index)
        for folder in read_folders(index, old_account(index)):
            path = f"{paths.folder(folder.directory)}/cur"
            for _, name, size in MESSAGES.on(index, account=folder.account_id, folder=folder.folder_id).fetchall():
                if size_of(f"{path}/{name}") == size:
                    messages, octets = messages + 1, octets + size
    if messages < expected:
        raise BadInput(Text(f"“{source}” thiếu thư.", "The backup lacks messages."))
    return messages, octets


def _must_be_sound(index: sqlite3.Connection, source: Path) -> None:
    try:
        outcome = index.execute("PRAGMA quick_check(1)").fetchone()[0]
    except SQLITE_ERRORS as error:
        if not is_damage(error):
            raise
        outcome = str(error)
    if outcome != "ok":
        raise BadInput(Text(f"“{source}” bị hỏng: không đọc được chỉ mục.", "The backup is damaged: its index cannot be read."))


def size_of(path: str) -> int:
    """Return the size of a message's file; -1 where there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1


def numbers_of(source: Path) -> dict[str, tuple[int, int]]:
    """Return MAILBOXID -> (UIDVALIDITY, next UID) of each folder in the backup, deleted ones too."""
    with translated("examining"), contextlib.closing(opened(source)) as index:
        must_be_of_this_version(index)
        columns = schema.folder.c
        rows = index.execute(str(select(columns.mailbox_id, columns.uidvalidity, columns.uidnext))).fetchall()
        return {mailbox_id: (uidvalidity, uidnext) for mailbox_id, uidvalidity, uidnext in rows}


def owner_of(source: Path) -> int:
    """Return the number of the mailbox that `source` is a backup of, from its index."""
    path = Path(AccountPaths(str(source)).index).absolute()
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as index:
            return old_account(index)
    except (sqlite3.Error, TypeError) as error:
        raise BadInput(Text(f"“{source}” không phải bản sao lưu trọn vẹn.", "This is not a complete backup.")) from error


def old_account(index: sqlite3.Connection) -> int:
    (number,) = index.execute(str(select(schema.account.c.account_id))).fetchone()
    return int(number)


def ids_in_backup(source: Path) -> set[str]:
    """Return the EMAILIDs of a backup, from its index."""
    with translated("examining"), contextlib.closing(opened(source)) as index:
        return set(held_ids(index))


def held_ids(index: sqlite3.Connection) -> Iterator[str]:
    """Yield the EMAILIDs that an index holds."""
    return (number for (number,) in index.execute(str(select(_E.email_id).where(_E.refs > literal_column("0")))))


def messages_of(backup: Path) -> dict[str, str]:
    """Return base name -> file of each message of a backup; empty for an unfinished one."""
    if not os.path.isfile(backup / "manifest.json"):
        return {}
    found: dict[str, str] = {}
    for folder, _, names in os.walk(AccountPaths(str(backup)).maildir):
        if os.path.basename(folder) == "cur":
            found |= {base_of(name): f"{folder}/{name}" for name in names}
    return found


def base_of(name: str) -> str:
    """Return the name without size, UID and flags, which a message keeps everywhere (EMAILID)."""
    return name.partition(",")[0].partition(":")[0]
