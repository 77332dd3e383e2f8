"""The mark of a legal hold: a file beside the index, `<home>/hold`. While it is there nothing of the account is destroyed.

Why an account is held stands in its mailbox's facts, which the store does not know; but a sweep that read them a moment ago
must not destroy what is held now. So the mark is made and removed under the account's lock, and whoever destroys looks for it
under that lock: when `keep_everything` has returned, nothing more goes. What says so in the record is written while the lock is
held, so that two who hold and release at once do not undo one another. A kill in between leaves the mark, which only keeps.
"""

import contextlib
import os
from collections.abc import Callable
from typing import TypeVar

from mic_mail.storage.index import translated
from mic_mail.storage.maildir import make_durable, replace_durably
from mic_mail.storage.store import Store

T = TypeVar("T")


def is_held(store: Store) -> bool:
    """Whether the mark is there; a disk that cannot say raises `OSError`, and then nothing is destroyed either."""
    try:
        os.lstat(store.place.hold)
    except FileNotFoundError:
        return False
    return True


def keep_everything(store: Store, record: Callable[[], T]) -> T:
    """Make the mark, durably, then what `record` does, both under the lock."""
    store.ready()
    with translated("holding an account"), store.lock.held():
        replace_durably(store.place.hold, b"")
        return record()


def let_go(store: Store, record: Callable[[], tuple[T, bool]]) -> T:
    """What `record` does, then remove the mark, unless `record` says that something is still to be kept."""
    store.ready()
    with translated("releasing an account"), store.lock.held():
        result, keeps = record()
        if not keeps:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(store.place.hold)
                make_durable(store.place.home)
        return result
