"""Marks of accounts as rows (changes/legal_hold.py)."""

from sqlalchemy import bindparam, delete, select

from mic_mail.storage.errors import Unavailable
from mic_mail.storage.index import schema
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.statements import Connection, SqlStatement, insert, keyed_by

_K = schema.mark.c
_MARK = SqlStatement(select(_K.name).where(keyed_by(_K), _K.name == bindparam("name")))
_PUT = SqlStatement(insert(schema.mark).on_conflict_do_nothing(), ("account_id", "name"))
_REMOVE = SqlStatement(delete(schema.mark).where(keyed_by(_K, "name")))


def is_marked(connection: Connection, account_id: int, name: str) -> bool:
    """Return whether an account has a mark."""
    return _MARK.on(connection, account=account_id, name=name).fetchone() is not None


def put_mark(connection: Connection, account_id: int, name: str) -> None:
    """Give an account a mark in an open transaction."""
    _PUT.on(connection, account_id=account_id, name=name)


class HeldMarks:
    """The marks of an account that this thread holds (`Database.marking`).

    Each is set and removed in a transaction of its own, which waits for the change that is under way: a mark stays if what
    follows fails.
    """

    def __init__(self, database: Database, connection: PostgresqlConnection, account_id: int) -> None:
        self._database = database
        self._connection = connection
        self._account_id = account_id
        self._put: set[str] = set()

    def has_mark(self, name: str) -> bool:
        return is_marked(self._connection, self._account_id, name)

    def put_mark(self, name: str) -> None:
        with self._database.changing_on(self._connection, self._account_id):
            _PUT.on(self._connection, account_id=self._account_id, name=name)
        self._put.add(name)

    def remove_mark(self, name: str) -> None:
        with self._database.changing_on(self._connection, self._account_id):
            _REMOVE.on(self._connection, account=self._account_id, name=name)
        self._put.discard(name)

    def are_lost(self) -> bool:
        """Return whether the connection was lost, and with it the hold: another may have lifted what was set."""
        try:
            self._connection.run("SELECT 1").fetchone()
        except Unavailable:
            return True
        return False

    def put_again(self) -> None:
        """Set again what was set, on another connection."""
        for name in self._put:
            with self._database.changing(self._account_id) as connection:
                _PUT.on(connection, account_id=self._account_id, name=name)
