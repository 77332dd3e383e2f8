"""Marks beside the index by which an account keeps what it has: `<home>/hold` and `<home>/frozen`.

    hold      nothing that can be brought back is destroyed: what is expunged stays in `.expunged/`
    frozen    nor is anything expunged, moved out of its folder, renamed or deleted in the first place

Why stands in the mailbox's facts, which the store does not know; but a sweep or an EXPUNGE that looked at them a moment ago
must not take away what is to be kept now. So a mark is made and removed under the account's lock, and whoever takes something
away looks for it under that lock: when `put_on` has returned, nothing more goes. What says so in the record is written while
the lock is held, so that two who put it on and take it off at once do not undo one another. A kill in between leaves the mark,
which only keeps.
"""

import contextlib
import os
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from mic_mail.errors import BadInput, Refused
from mic_mail.storage.errors import Frozen
from mic_mail.storage.index.connection import translated
from mic_mail.storage.maildir.maildir import make_durable, replace_durably
from mic_mail.storage.store import Store

T = TypeVar("T")


class Mark(StrEnum):
    """The names of the marks are those of their files."""

    HOLD = "hold"
    FROZEN = "frozen"


def is_on(store: Store, mark: Mark) -> bool:
    """Whether this mark is there; a disk that cannot say raises `OSError`, and then nothing is taken away either."""
    try:
        os.lstat(store.place.mark(mark))
    except FileNotFoundError:
        return False
    return True


def is_held(store: Store) -> bool:
    """Whether nothing may be destroyed that can be brought back: by either mark."""
    return any(is_on(store, mark) for mark in Mark)


def must_not_be_frozen(store: Store) -> None:
    """`Frozen` where nothing may be taken away; asked under the lock by whoever is about to."""
    if is_on(store, Mark.FROZEN):
        raise Frozen


def put_on(store: Store, mark: Mark, record: Callable[[], T]) -> T:
    """Make the mark, durably, then what `record` does, both under the lock; what that refuses leaves things as they were."""
    store.ready()
    with translated("holding an account"), store.lock.held():
        was_on = is_on(store, mark)
        replace_durably(store.place.mark(mark), b"")
        try:
            return record()
        except (Refused, BadInput):
            if not was_on:
                _remove(store, mark)
            raise


def take_off(store: Store, mark: Mark, record: Callable[[], tuple[T, bool]]) -> T:
    """What `record` does, then remove the mark, unless `record` says that something is still to be kept."""
    store.ready()
    with translated("releasing an account"), store.lock.held():
        result, keeps = record()
        if not keeps:
            _remove(store, mark)
        return result


def _remove(store: Store, mark: Mark) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(store.place.mark(mark))
        make_durable(store.place.home)
