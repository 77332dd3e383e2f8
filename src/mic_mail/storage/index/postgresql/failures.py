"""PostgreSQL's errors as the store's own; mistakes of the program stay what they are.

In: an error of psycopg. Out: `Unavailable` and its kinds for all that passes: a server that is away, restarts, follows another
or has no room; a lock that was not free in time. An error of SQL or of a value keeps its class.

What comes in holds values of messages, with the statement; so it is never chained to what is raised (`raise` stands outside of
`except`), and only what has no values is taken from it.
"""

import psycopg

from mic_mail.storage.errors import Busy, DiskFull, Unavailable

_DISK_FULL = "53100"
_BUSY = frozenset({"55P03", "40P01", "40001"})
"""A lock that was not free in time, a deadlock, a serialization failure: the same change may succeed at once."""
_CANCELLED = "57014"
_PASSING = (
    "08",  # the connection
    "25006",  # a server that only reads, since another is the primary now
    "25P03",  # a transaction that waited too long for its next statement
    "25P04",
    "53",  # too many connections, no memory
    "57",  # shutdown, start, cancelled, timeout
    "58",  # errors of files
    "F0",
    "XX",  # damage
)
"""Beginnings of SQLSTATEs of errors that end without a change of this program."""
_OF_VALUES = "22"
"""Beginning of SQLSTATEs of errors whose first line quotes a value; that of others has names of tables at most."""
_PROTOCOL = "08P01"
"""A message that the server does not understand, as one with too few values: of class 08, yet a mistake of the program."""


def leaves_session(error: psycopg.Error) -> bool:
    """Return whether the session can go on: after a conflict with others, or a statement that took too long."""
    return error.sqlstate in _BUSY or error.sqlstate == _CANCELLED


def is_of_server(error: psycopg.Error) -> bool:
    """Return whether a server process has said this, not libpq, nor anything between."""
    return error.sqlstate is not None and error.diag.severity_nonlocalized is not None


def ends_session(error: psycopg.Error) -> bool:
    """Return whether the server may have sent this error of its own accord, in place of an answer.

    One that cannot write its log ends by PANIC, whatever the SQLSTATE; what it was writing may come back.
    """
    if error.diag.severity_nonlocalized in {"FATAL", "PANIC"}:
        return True
    state = error.sqlstate
    return state is None or (state != _PROTOCOL and state.startswith(("08", "57", "25P03", "25P04")))


def of_error(where: str, error: psycopg.Error) -> Exception:
    """Return the store's error for this one, or one of its own class where it is a mistake of the program."""
    state = error.sqlstate
    kind: type[Exception] = Unavailable
    if state is None:
        if not isinstance(error, psycopg.OperationalError):
            kind = type(error)
    elif state == _DISK_FULL:
        kind = DiskFull
    elif state in _BUSY:
        kind = Busy
    elif state == _PROTOCOL or not state.startswith(_PASSING):
        kind = type(error)
    return kind(f"{where}: {_message_of(error)}")


def _message_of(error: psycopg.Error) -> str:
    """Return what happened, on one line, without the statement and its values."""
    if error.sqlstate and error.sqlstate.startswith(_OF_VALUES):
        return f"{type(error).__name__} ({error.sqlstate})"
    said = error.diag.message_primary or " ".join(str(error).split())
    return said or type(error).__name__
