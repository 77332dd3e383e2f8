"""The lock of the node whose housekeeper does what concerns all mailboxes, where several nodes share one directory.

In: the directory's database. Out: whether this node is on duty. It is a lock of a session of PostgreSQL, so it goes with the
connection: a node that dies is followed by another as soon as the server notices, which is within 8 s where its machine died.
What is done on duty is recorded in the same database, each act once whoever does it (`fact_chain`, `sent_notices`); the lock
saves the others the work. A directory in a file has one server, which is always on duty.
"""

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from mic_mail.config.model import is_postgresql
from mic_mail.directory.revisions import unavailable

if TYPE_CHECKING:
    from mic_mail.directory.postgresql import Session

ASKED_SECONDS = 5.0
"""The time between two questions of a node that is not on duty."""
_DUTIES = 0x6D6D6474
"""The key of the advisory lock: "mmdt"."""


class DutyLock:
    """The lock as one process of a node asks for it. Blocking; safe from several threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._is_shared = is_postgresql(url)
        self._session: Session | None = None
        self._asked_at = -ASKED_SECONDS
        self._turn = threading.Lock()

    @property
    def is_alone(self) -> bool:
        """Return whether no other node can be on duty, so that nobody has to ask."""
        return not self._is_shared

    def take(self) -> bool:
        """Go on duty unless another node is; return whether this one is now. Raise `DirectoryUnavailable`.

        Called before each act that one node shall do: a lock that is held is asked for again, as it goes with the connection.
        """
        if self.is_alone:
            return True
        with self._turn:
            if self._session is not None and self._holds(self._session):
                return True
            now = time.monotonic()
            if now - self._asked_at < ASKED_SECONDS:
                return False
            self._asked_at = now
            self._session = self._taken()
            return self._session is not None

    def close(self) -> None:
        """Go off duty."""
        with self._turn:
            self._end()

    def _taken(self) -> "Session | None":
        """Return a new session that has the lock; None if another one has it."""
        from mic_mail.directory import postgresql

        session = postgresql.session_of(self._url)
        with contextlib.ExitStack() as opened:
            opened.callback(session.close)
            try:
                ((has_lock,),) = session.execute("SELECT pg_try_advisory_lock(%s)", [_DUTIES])
            except postgresql.DriverError as error:
                raise unavailable(str(error)) from error
            if has_lock:
                opened.pop_all()
                return session
        return None

    def _holds(self, session: "Session") -> bool:
        """Return whether the session is there, with which the lock would have gone."""
        from mic_mail.directory import postgresql

        try:
            session.execute("SELECT 1")
        except postgresql.DriverError:
            self._end()
            return False
        return True

    def _end(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
