"""Marks beside the index that make an account retain its mail: `<home>/hold` and `<home>/frozen`.

    hold      nothing that can be restored is destroyed: expunged mail stays in `.expunged/`
    frozen    moreover, nothing is expunged, moved out of its folder, renamed or deleted

The reason stands in the mailbox's facts, which the store does not know. But a sweep or an EXPUNGE that read them a moment ago
must not remove what is to be retained now. So a mark is made and removed under the account's lock, and every removal checks it
under that lock: once `put_on` has returned, nothing more is removed. The record is written while the lock is held, so that a
concurrent setting and lifting do not undo one another. A kill in between leaves the mark, which is the safe side.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, TypeVar

from mic_mail.errors import BadInput, Refused
from mic_mail.storage.errors import Frozen
from mic_mail.storage.store import Store

T = TypeVar("T")


class Mark(StrEnum):
    """The marks, by the names of their files."""

    HOLD = "hold"
    FROZEN = "frozen"


class MarkHolder(Protocol):
    """A store, or a change of it."""

    def has_mark(self, name: str) -> bool: ...


def is_on(holder: MarkHolder, mark: Mark) -> bool:
    """Return whether the mark is set. Where that is unknown an exception is raised, and then nothing is removed either."""
    return holder.has_mark(mark)


def is_held(holder: MarkHolder) -> bool:
    """Return whether nothing restorable may be destroyed, by either mark."""
    return any(is_on(holder, mark) for mark in Mark)


def must_not_be_frozen(holder: MarkHolder) -> None:
    """Raise `Frozen` where nothing may be removed; called under the lock before a removal."""
    if is_on(holder, Mark.FROZEN):
        raise Frozen


def put_on(store: Store, mark: Mark, record: Callable[[], T]) -> T:
    """Set the mark durably, then call `record`, under the lock; if `record` refuses, nothing is changed."""
    with store.marking("holding an account") as marks:
        was_on = is_on(marks, mark)
        marks.put_mark(mark)
        try:
            return record()
        except (Refused, BadInput):
            if not was_on:
                marks.remove_mark(mark)
            raise


def take_off(store: Store, mark: Mark, record: Callable[[], tuple[T, bool]]) -> T:
    """Call `record`, then remove the mark, unless `record` says that something must still be retained."""
    with store.marking("releasing an account") as marks:
        result, keeps = record()
        if not keeps:
            marks.remove_mark(mark)
        return result
