"""Backup and restore of one mailbox.

    <target>/manifest.json    version, account, home, instant, counts; written last: a backup without it is not one
    <target>/index.sqlite     the index as of one instant, by SQLite's backup API
    <target>/Maildir/         the messages that this index names, under their names in it, and the sidecars

A backup runs during normal use: it takes no lock, and opens each message like any reader. Messages expunged before it are not
in it. A message is written once, so one that an earlier backup has is linked from there (`earlier`): each backup is whole by
itself, and only new mail takes time and space. A restore puts the whole store in the place of the present one, which is kept as
`<home>.replaced-<instant>` (swap_store.py); the next opening starts a new epoch, so that clients ask again. UIDs given out
since the backup must not mean other messages: numbering continues above the marks of the replaced store, or, where those are
gone, every folder gets a new UIDVALIDITY.
"""

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import bindparam, delete, exists, func, literal_column, select, update

from mic_mail.durable_files import make_durable, replace_durably
from mic_mail.errors import BadInput, Text
from mic_mail.storage.backup.files import copy_out, linked
from mic_mail.storage.changes.legal_hold import Mark, is_on, must_not_be_frozen
from mic_mail.storage.changes.quota import quota
from mic_mail.storage.changes.seen_sidecars import sidecar as seen_sidecar
from mic_mail.storage.changes.sidecar_rows import account_sidecar, folder_sidecar
from mic_mail.storage.errors import NoSuchMessage, NotPermitted
from mic_mail.storage.index import schema
from mic_mail.storage.index.connection import SQLITE_ERRORS, is_damage, translated
from mic_mail.storage.index.reader_seen_rows import all_readers
from mic_mail.storage.index.rows import read_account, read_all_folders, read_folders, write_account, write_folder
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.maildir import FOLDER_MODE, MESSAGE_MODE, AccountPaths, make_folder_tree
from mic_mail.storage.maildir.sidecars import AccountSidecar, FolderSidecar
from mic_mail.storage.maildir.swap_store import finish, replaced, restoring
from mic_mail.storage.maildir.swap_store import replace as put_in_place
from mic_mail.storage.message_names import email_id
from mic_mail.storage.reads.open_message import open_message
from mic_mail.storage.types import Progress, Ready

_VERSION = 1
_KEPT_MODE = 0o640
"""Mode of files that are written again: the index and the sidecars.

Root can write to any file, so only other users need it.
"""

_M = schema.message.c
_T = schema.tombstone.c
_MESSAGES = SqlStatement(select(_M.uid, _M.name, _M.size).where(keyed_by(_M, "folder")).order_by(_M.uid))
_E = schema.email.c
_F = schema.folder.c
_O = schema.ordering.c
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
"""Statements that remove what can still be restored, since it is not backed up.

That is expunged messages and deleted folders.
"""
_ADOPT_ROWS = tuple(
    SqlStatement(update(table).where(table.c.account_id == bindparam("old")).values(account_id=bindparam("new")))
    for table in schema.metadata.sorted_tables
)


def backup(store: LocalStore, target: Path, *, earlier: Path | None = None, progress: Progress = lambda done, of: None) -> None:
    """Write a backup into `target`, a folder that does not exist yet, during normal use.

    Messages that the backup `earlier` of the same mailbox has are linked from there.
    """
    store.ready()
    if target.exists():
        raise BadInput(Text(f"“{target}” đã có.", "The backup's folder already exists."))
    with translated("backup"):
        paths = AccountPaths(str(target))
        os.makedirs(paths.maildir, mode=FOLDER_MODE)
        _copy_index(store, paths.index)
        with contextlib.closing(sqlite3.connect(paths.index, isolation_level=None)) as index:
            account = read_account(index, store.account_id)
            assert account is not None
            messages = 0
            known = _messages_of(earlier) if earlier is not None else {}
            for row in read_folders(index, store.account_id):
                for _ in _copy_folder(store, index, row.folder_id, paths.folder(row.directory), known):
                    messages += 1
                    progress(messages, account.messages)
            _write_sidecars(store, index, paths)
        manifest = {
            "version": _VERSION,
            "account_id": store.account_id,
            "made_at_us": store.clock.steady_us(),
            "messages": messages,
        }
        replace_durably(f"{paths.home}/manifest.json", json.dumps(manifest, indent=1).encode() + b"\n")
        make_durable(os.path.dirname(paths.home) or ".")


def _copy_index(store: LocalStore, path: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as copy:
        with store.index.reading() as connection:
            connection.backup(copy)  # in one step: between two steps it would begin anew after each write
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, complete in itself
        copy.execute("CREATE INDEX backup_refs ON message (account_id, email_pk)")
        for statement in _ONLY_WHAT_IS_COPIED:
            statement.on(copy)
        copy.execute("DROP INDEX backup_refs")


def _messages_of(backup: Path) -> dict[str, str]:
    """Return base name -> file of each message of a backup; empty for an unfinished one."""
    if not os.path.isfile(backup / "manifest.json"):
        return {}
    found: dict[str, str] = {}
    for folder, _, names in os.walk(AccountPaths(str(backup)).maildir):
        if os.path.basename(folder) == "cur":
            found |= {_base(name): f"{folder}/{name}" for name in names}
    return found


def _base(name: str) -> str:
    """Return the name without size, UID and flags, which a message keeps everywhere (EMAILID)."""
    return name.partition(",")[0].partition(":")[0]


def _copy_folder(
    store: LocalStore, index: sqlite3.Connection, folder_id: int, path: str, known: Mapping[str, str]
) -> Iterator[int]:
    make_folder_tree(path)
    for uid, name, _ in _MESSAGES.on(index, account=store.account_id, folder=folder_id).fetchall():
        try:
            with open_message(store, folder_id, uid) as file:
                earlier = known.get(_base(name))
                if earlier is None or not linked(earlier, file.fd, f"{path}/cur/{name}"):
                    copy_out(file.fd, f"{path}/cur/{name}", MESSAGE_MODE)
        except NoSuchMessage:
            continue  # expunged and past retention since the index was copied: the restore's epoch finds it gone
        yield uid
    make_durable(f"{path}/cur")


def _write_sidecars(store: LocalStore, index: sqlite3.Connection, paths: AccountPaths) -> None:
    account = read_account(index, store.account_id)
    assert account is not None
    for row in read_folders(index, store.account_id):
        folder_sidecar(row).write(paths.folder(row.directory))
        for reader in all_readers(index, store.account_id):
            seen_sidecar(index, row, reader).write(paths.folder(row.directory))
    account_sidecar(index, account).write(paths.maildir)


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


def _must_be_of_this_version(index: sqlite3.Connection) -> None:
    if not schema.is_current(index):
        raise OfAnotherVersion


def examine(source: Path) -> tuple[int, int]:
    """Return messages and octets of a backup; `BadInput` if its index is damaged or messages are missing."""
    expected = _read_manifest(source)
    paths = AccountPaths(str(source))
    messages = octets = 0
    with translated("examining"), contextlib.closing(_opened(source)) as index:
        _must_be_sound(index, source)
        _must_be_of_this_version(index)
        for folder in read_folders(index, _old_account(index)):
            path = f"{paths.folder(folder.directory)}/cur"
            for _, name, size in _MESSAGES.on(index, account=folder.account_id, folder=folder.folder_id).fetchall():
                if _size(f"{path}/{name}") == size:
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


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1


def restore(store: LocalStore, source: Path, *, replace: bool, progress: Progress, ready: Ready) -> None:
    """Put the backup `source` in place of the account's store; only with `replace` where that holds mail."""
    messages = _read_manifest(source)
    with translated("restore"):
        with contextlib.closing(_opened(source)) as index:
            _must_be_of_this_version(index)  # before everything is copied
        finish(store.paths.home)
    if not replace and os.path.isdir(store.paths.maildir) and quota(store).messages:
        raise NotPermitted(Text("Hộp thư đang có thư.", "The mailbox is not empty."))
    done = 0

    def copy_file(source: str, target: str) -> str:
        nonlocal done
        _copy_file(source, target)
        if os.path.basename(os.path.dirname(target)) == "cur":
            done += 1
            progress(done, messages)
        return target

    home = store.paths.home
    instant = store.clock.steady_us()
    staging = restoring(home, instant)
    with translated("restore"):
        try:
            shutil.copytree(source, staging, copy_function=copy_file)
            os.unlink(f"{staging}/manifest.json")
            os.makedirs(home, mode=FOLDER_MODE, exist_ok=True)
            with store.lock.held():
                _raise_numbers(store, AccountPaths(staging), store.paths)  # nobody gives out numbers any more
                must_not_be_frozen(store)
                if is_on(store, Mark.HOLD):
                    replace_durably(AccountPaths(staging).mark(Mark.HOLD), b"")
                ready(replaced(home, instant))
                store.index.close_writer()
                put_in_place(home, instant)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        store.index.close_readers()


def numbers_of(source: Path) -> dict[str, tuple[int, int]]:
    """Return MAILBOXID -> (UIDVALIDITY, next UID) of each folder in the backup, deleted ones too."""
    with translated("examining"), contextlib.closing(_opened(source)) as index:
        _must_be_of_this_version(index)
        columns = schema.folder.c
        rows = index.execute(str(select(columns.mailbox_id, columns.uidvalidity, columns.uidnext))).fetchall()
        return {mailbox_id: (uidvalidity, uidnext) for mailbox_id, uidvalidity, uidnext in rows}


def has_more(store: LocalStore, source: Path) -> bool:
    """Return whether the store holds a message, by its EMAILID, that the backup lacks."""
    store.ready()
    with translated("examining"):
        with contextlib.closing(_opened(source)) as index:
            known = set(_held(index))
        with store.index.reading() as connection:
            return any(number not in known for number in _held(connection))


def has_all(store: LocalStore, source: Path) -> bool:
    """Return whether the store has each message of the backup, by EMAILID and without the backup's index."""
    store.ready()
    with translated("examining"), store.index.reading() as connection:
        held = set(_held(connection))
        return all(email_id(base) in held for base in _messages_of(source))


def _held(index: sqlite3.Connection) -> Iterator[str]:
    return (number for (number,) in index.execute(str(select(_E.email_id).where(_E.refs > literal_column("0")))))


def _opened(source: Path) -> sqlite3.Connection:
    path = Path(AccountPaths(str(source)).index).absolute()
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)


def owner_of(source: Path) -> int:
    """Return the number of the mailbox that `source` is a backup of, from its index."""
    path = Path(AccountPaths(str(source)).index).absolute()
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as index:
            return _old_account(index)
    except (sqlite3.Error, TypeError) as error:
        raise BadInput(Text(f"“{source}” không phải bản sao lưu trọn vẹn.", "This is not a complete backup.")) from error


def _read_manifest(source: Path) -> int:
    """Return how many messages the backup holds."""
    try:
        manifest = json.loads((source / "manifest.json").read_bytes())
        if manifest["version"] != _VERSION:
            raise ValueError(manifest["version"])
        return int(manifest["messages"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(Text(f"“{source}” không phải bản sao lưu trọn vẹn.", "This is not a complete backup.")) from error


def _copy_file(source: str, target: str) -> None:
    is_message = os.path.basename(os.path.dirname(target)) == "cur"
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        copy_out(fd, target, MESSAGE_MODE if is_message else _KEPT_MODE)
    finally:
        os.close(fd)


def _raise_numbers(store: LocalStore, staged: AccountPaths, live: AccountPaths) -> None:
    """Make the restored index number above everything given out, and start a new epoch when opened."""
    index = sqlite3.connect(staged.index, isolation_level=None)
    try:
        _must_be_of_this_version(index)
        index.execute("BEGIN")
        old_account = _old_account(index)
        for statement in _ADOPT_ROWS:  # the mailbox may have another number in the directory by now
            statement.on(index, old=old_account, new=store.account_id)
        account = read_account(index, store.account_id)
        assert account is not None
        known = AccountSidecar.read(live.maildir)
        if known is not None:
            account.modseq_mark = max(account.modseq_mark, known.modseq_mark)
            account.uidvalidity_next = max(account.uidvalidity_next, known.uidvalidity_next)
        marks = _live_marks(live) if known is not None else {}
        for folder in read_all_folders(index, store.account_id):
            sidecar = marks.get(folder.mailbox_id)
            if sidecar is not None and sidecar.uidvalidity == folder.uidvalidity:
                folder.uidnext_mark = max(folder.uidnext_mark, sidecar.uidnext_mark)
            else:
                folder.uidvalidity = max(account.uidvalidity_next, store.clock.steady_us() // 1_000_000)
                account.uidvalidity_next = folder.uidvalidity + 1
            write_folder(index, folder)
            if folder.deleted_at_us is None:
                folder_sidecar(folder).write(staged.folder(folder.directory))
        account.boot_id = "restored"
        write_account(index, account)
        account_sidecar(index, account).write(staged.maildir)
        index.execute("COMMIT")
        index.execute("PRAGMA journal_mode = WAL")
    finally:
        index.close()


def _old_account(index: sqlite3.Connection) -> int:
    (number,) = index.execute(str(select(schema.account.c.account_id))).fetchone()
    return int(number)


def _live_marks(live: AccountPaths) -> dict[str, FolderSidecar]:
    paths = [live.folder(directory) for directory in live.directories()]
    if os.path.isdir(live.expunged):
        paths += [entry.path for entry in os.scandir(live.expunged) if entry.is_dir(follow_symlinks=False)]
    found = [sidecar for path in paths if (sidecar := FolderSidecar.read(path)) is not None]
    return {sidecar.mailbox_id: sidecar for sidecar in found}
