"""The first use of a store in a process: create it, or verify that the existing one is good.

    no index, or one of another version or damaged    set aside if there is one; make the index from the Maildir (reconcile.py);
                                                      a new account is an empty Maildir, a foreign one is adopted (dovecot.py)
    another boot                                      a power loss may have taken commits: compare, start a new epoch
                                                      (reconcile.py)

Idempotent: after a kill at any point the next opening reaches the same end.
"""

import os

from mic_mail.durable_files import make_durable
from mic_mail.storage.changes.maildir_record import finish_interrupted
from mic_mail.storage.errors import NotOurs, of_os_error
from mic_mail.storage.index import schema
from mic_mail.storage.index.connection import SQLITE_ERRORS, is_damage, translated
from mic_mail.storage.index.rows import read_account
from mic_mail.storage.index.tables import stamps
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.intent_record import clear_intent, read_intent, roll_back
from mic_mail.storage.maildir.maildir import FOLDER_MODE, make_folder_tree
from mic_mail.storage.maildir.swap_store import finish
from mic_mail.storage.maintenance import reconcile


def open_store(store: LocalStore) -> None:
    """Open a store that is not open, or whose index was replaced or damaged."""
    with store.opening:
        identity = store.index.identity()
        if identity is not None and identity == store.opened_identity and not store.index.doubtful:
            return
        store.index.close_readers()
        store.shared.views.forget(store.account_id)
        store.shared.answer_rows.forget(store.account_id)
        store.shared.searched.forget(store.account_id)
        with translated(f"account {store.account_id}"):
            store.shared.recover(store.paths.home)
            _make_directories(store)
            with store.lock.held() as fd:
                store.index.close_writer()
                _open_locked(store, fd)
                store.index.doubtful = False
                store.opened_identity = store.index.identity()


def _make_directories(store: LocalStore) -> None:
    paths = store.paths
    if os.path.isdir(paths.expunged) and os.path.isdir(paths.tmp):
        return
    try:
        finish(paths.home)
        make_folder_tree(paths.maildir)
        os.makedirs(paths.expunged, mode=FOLDER_MODE, exist_ok=True)
        for path in (paths.maildir, paths.home, os.path.dirname(paths.home)):
            make_durable(path)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotOurs(f"a file lies where a folder must be: {error}") from error
    except OSError as error:
        raise of_os_error("making the store", error) from error


def _open_locked(store: LocalStore, fd: int) -> None:
    if not _is_sound(store):
        # The client of a killed holder with a record got no answer, so undoing the change is right whatever was committed. A
        # record of an earlier boot may only not have been cleared on the disk, and its change may be acknowledged: names are
        # trusted then.
        if (intent := read_intent(fd)) is not None:
            if intent.boot_id == store.shared.boot_id:
                roll_back(intent)
            clear_intent(fd)
        _set_aside(store)
        store.index.make()
        reconcile.rebuild(store, fd)
        return
    connection = store.index.writer()
    finish_interrupted(store, fd, connection)
    account = read_account(connection, store.account_id)
    assert account is not None, "a sound index has its account"
    if account.boot_id != store.shared.boot_id:
        reconcile.start_epoch(store, fd)


def _is_sound(store: LocalStore) -> bool:
    """Return whether the index is readable, of this version and account; checks all of it where there was damage."""
    if store.index.identity() is None:
        return False
    try:
        connection = store.index.writer()
        application_id, version = stamps(connection)
        if application_id == schema.APPLICATION_ID and version > schema.INDEX_VERSION:
            raise NotOurs(f"index version {version} is newer than this program's {schema.INDEX_VERSION}")
        if (application_id, version) != (schema.APPLICATION_ID, schema.INDEX_VERSION):
            return False
        return read_account(connection, store.account_id) is not None and not (store.index.doubtful and store.index.damage())
    except SQLITE_ERRORS as error:
        if is_damage(error) or "no such" in str(error):
            return False
        raise


def _set_aside(store: LocalStore) -> None:
    """Set an unusable index aside for inspection; a half-made one is only removed.

    The index itself is renamed first: without its log it would look, after a kill, like a sound one that lacks the last
    commits.
    """
    store.index.close_writer()
    for suffix in ("", "-shm", "-wal"):
        path = store.paths.index + suffix
        if os.path.exists(path):
            os.rename(path, f"{store.paths.index}.broken{suffix}")
