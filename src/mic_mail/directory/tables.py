"""The base of the registers: reads and changes, by plain SQL or by SQLAlchemy.

SQLAlchemy is loaded when it is first needed.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from mic_mail.clock import Clock
from mic_mail.directory.connection import PlainChange, Rows
from mic_mail.directory.source import Source

if TYPE_CHECKING:  # loaded for a change
    from sqlalchemy.orm import Session

    from mic_mail.directory.transactions import WriteSession

P = ParamSpec("P")
T = TypeVar("T")


class Tables:
    """The tables of one database; safe from several threads."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self.source = source
        self.clock = clock

    def reading(self) -> AbstractContextManager[Rows]:
        """Return a read transaction."""
        return self.source.reading()

    def has_rows(self, table: str) -> bool:
        """Return whether a table has a row.

        Most registers of most servers are empty, and what SQLAlchemy needs to find that out would stay in memory.
        """
        with self.reading() as read:
            return any(read(f"SELECT 1 FROM {table} LIMIT 1"))  # noqa: S608 - a name in the code

    def read(self, work: "Callable[[Session], T]") -> T:
        """Run `work` in a read transaction of SQLAlchemy."""
        from mic_mail.directory import transactions

        return transactions.read(self.source.engine, work)

    def change(self, work: "Callable[[WriteSession], T]") -> T:
        """Run `work` in a write transaction under the next version."""
        from mic_mail.directory import transactions

        return transactions.change(self.source.engine, self.clock, work)

    def change_plainly(self, work: Callable[[PlainChange], T]) -> T:
        """Run `work` in a write transaction of plain SQL under the next version.

        One of an SQLite file is not run again: no other process changes the file meanwhile.
        """
        if not self.source.is_file:
            from mic_mail.directory import transactions

            return self.change(lambda session: work(transactions.plainly(session)))
        with self.source.writing() as rows:
            ((version,),) = rows("UPDATE revision SET version = version + 1 RETURNING version")
            return work(PlainChange(rows, version, self.clock))


class BaseRegister:
    """A register in the tables: a method marked `@transaction` is one change."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables


def transaction(method: "Callable[Concatenate[Any, WriteSession, P], T]") -> Callable[Concatenate[Any, P], T]:
    """Make a method of a `BaseRegister` one change of the tables; its callers do not pass the session."""

    @wraps(method)
    def run(register: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        tables: Tables = register._tables
        return tables.change(lambda session: method(register, session, *args, **kwargs))

    return run
