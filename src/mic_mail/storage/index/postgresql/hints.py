"""Hints between the servers of one database: what has changed just now, for those who look at it.

A hint is a few octets, sent by NOTIFY in a transaction of its own, after the COMMIT of what it tells: NOTIFY in that one would
have all commits wait for each other. It may be lost. In: hints from any thread. Out: every server's hints, also one's own,
which tells how long they take.
"""

import base64
import binascii
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg

from mic_mail.storage.errors import Unavailable
from mic_mail.storage.hints import Heard
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.postgresql.failures import of_error

_CHANNEL = "mic_mail_hints"
_SEND = "SELECT CAST(pg_notify($1, $2) AS TEXT)"


class PostgresqlHints:
    """One server's end of the hints, `storage.hints.Hints`: in base64, since PostgreSQL takes up to 8,000 characters."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._server = secrets.token_hex(8)
        """A name by which this server knows its own hints; a new one at each start."""

    def send(self, hints: Sequence[bytes]) -> None:
        """Send hints of up to `HINT_OCTETS` each. Blocks; `Unavailable` where they are lost."""
        with self._database.reading() as connection:
            for hint in hints:
                connection.run(_SEND, _CHANNEL, f"{self._server} {base64.b64encode(hint).decode()}")

    def listen(self) -> "PostgresqlListener":
        """Open a connection that hears all hints from now on. Blocks; raises `Unavailable`."""
        driver = self._database.driver()
        try:
            driver.execute(f"LISTEN {_CHANNEL}".encode())
        except psycopg.Error as error:
            driver.close()
            failure = of_error(self._database.where, error)
        else:
            return PostgresqlListener(driver, self._server, self._database.where)
        raise failure


class PostgresqlListener:
    """A connection that hears hints; it blocks nobody."""

    def __init__(self, driver: psycopg.Connection[Any], server: str, where: str) -> None:
        self._driver = driver
        self._server = server
        self._where = where
        self._descriptor = driver.fileno()

    def fileno(self) -> int:
        """Return the descriptor that is readable when there may be hints, or when the connection is lost.

        It is closed as soon as `heard` says that it is lost.
        """
        return self._descriptor

    def heard(self) -> list[Heard]:
        """Return the hints that have come. `Unavailable` where the connection is lost."""
        libpq = self._driver.pgconn
        try:
            libpq.consume_input()
        except psycopg.Error as error:
            failure = of_error(self._where, error)
        else:
            found: list[Heard] = []
            while (notice := libpq.notifies()) is not None:
                server, _, text = notice.extra.decode("ascii", "replace").partition(" ")
                with suppress(binascii.Error, ValueError):  # of somebody who sends what he likes
                    found.append(Heard(base64.b64decode(text, validate=True), is_own=server == self._server))
            return found
        raise failure if isinstance(failure, Unavailable) else Unavailable(str(failure))

    def close(self) -> None:
        self._driver.close()
