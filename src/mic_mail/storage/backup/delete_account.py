"""Deleting one account's store from the disk in two steps; the second can be repeated.

    set aside    under the account's lock, if `still` says so then: <home> becomes <home>.freed-<instant>
    remove       every <home>.freed-*

The first step is the decisive one. The caller has recorded the reason, and has an archive. A kill between the two leaves a
folder that nobody opens; the housekeeper removes it. A writer that waited for the lock finds another file in its place and
makes a new, empty store.
"""

import contextlib
import os
import shutil
from collections.abc import Callable

from mic_mail.durable_files import make_durable
from mic_mail.storage.index.connection import translated
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.swap_store import freed, freed_beside


def free(store: LocalStore, still: Callable[[], bool]) -> bool:
    """Delete the store unless `still`, called under the lock, returns False; True if nothing is left."""
    home = store.paths.home
    with translated("freeing"):
        if os.path.isdir(home):
            with store.lock.held():
                if not still():
                    return False
                store.index.close_writer()
                os.rename(home, freed(home, store.clock.steady_us()))
                make_durable(os.path.dirname(home))
        store.search.close()
        store.index.close_readers()
        store.opened_identity = None
        store.shared.views.forget(store.account_id)
        store.shared.answer_rows.forget(store.account_id)
        store.shared.searched.forget(store.account_id)
        for path in freed_beside(home):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(path)
    return True


def is_left(home: str) -> bool:
    """Return whether anything of a store that was to be deleted lies on the disk."""
    return os.path.isdir(home) or bool(freed_beside(home))
