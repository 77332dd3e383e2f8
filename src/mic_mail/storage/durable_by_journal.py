"""Callbacks by which the journal makes a change durable.

Its files and folders then need no fsync (journal.py).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from mic_mail.storage.journal.frames import MessageLocation
from mic_mail.storage.journal.journal import RevokeFrame

Hold = Callable[[Sequence[tuple[MessageLocation, bytes]], Callable[[], None]], AbstractContextManager[RevokeFrame | None]]
"""Makes messages durable while the block names them; None: it cannot.

The function passed in is called before the block is entered. The returned frame revokes the messages if they are not published
after all.
"""


def unheld(
    messages: Sequence[tuple[MessageLocation, bytes]], meanwhile: Callable[[], None]
) -> AbstractContextManager[RevokeFrame | None]:
    """Make each message durable by its own file and folder, without the journal."""
    meanwhile()
    return nullcontext(None)


FileNames = tuple[str, str]
"""The name of an expunged message's file in the folder's `cur`, and in `.expunged/`."""

Remember = Callable[[str, Sequence[FileNames]], bool]
"""Callback that makes the moves of a folder's files durable, after they are done; False: it cannot.

It gets the folder's MAILBOXID.
"""
