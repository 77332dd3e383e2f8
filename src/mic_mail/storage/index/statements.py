"""The statements of an account's index, written once for SQLite and PostgreSQL.

Statements are SQLAlchemy Core; their SQL runs on the driver's connection (Core's execution costs 217 us for a delivery, the
driver's 77 us). SQLite's SQL is compiled at import. PostgreSQL's can be made of the same clause (`compiled`); a server whose
indexes are files never asks for it. What the two write differently is built by functions of this module: `among`,
`column_list`, `whole_sum`, and `insert`, whose `on_conflict_do_nothing` and `on_conflict_do_update` work for both.
"""

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Protocol
from weakref import WeakValueDictionary

from sqlalchemy import Boolean, Column, ColumnElement, Integer, Text, and_, bindparam
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite.dml import OnConflictDoNothing, OnConflictDoUpdate
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

_BY_NAME = sqlite.dialect(paramstyle="named")
_BY_PLACE = sqlite.dialect(paramstyle="qmark")
insert = sqlite.insert


class Cursor(Protocol):
    """Rows that a statement returned, by either driver."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection in a transaction; it takes the SQL of `SqlStatement` and `RowStatement`, which is SQLite's."""

    def execute(self, sql: str, values: Any = ..., /) -> Cursor: ...
    def executemany(self, sql: str, rows: Iterable[Any], /) -> object: ...


class _Statement:
    """A statement that runs on SQLite as it is, and keeps what another database's SQL is made of."""

    __slots__ = ("__weakref__", "_clause", "_columns", "sql")

    def __init__(self, clause: ClauseElement, columns: Sequence[str] | None) -> None:
        self._clause, self._columns = clause, columns
        self.sql: str

    def _known_by(self, compiled: SQLCompiler) -> None:
        """Take SQLite's SQL, by which a connection to another database finds the statement."""
        self.sql = str(compiled)
        BY_SQL[self.sql] = self

    def compiled(self, dialect: Dialect) -> SQLCompiler:
        """Compile the statement; its values have the same names, or the same order, in every dialect."""
        compiled = self._clause.compile(dialect=dialect, column_keys=self._columns)
        assert isinstance(compiled, SQLCompiler)
        return compiled


BY_SQL: WeakValueDictionary[str, _Statement] = WeakValueDictionary()
"""Every statement, by SQLite's SQL."""


class SqlStatement(_Statement):
    """A compiled statement; `on` runs it with named values."""

    __slots__ = ("_constants",)

    def __init__(self, clause: ClauseElement, columns: Sequence[str] | None = None) -> None:
        """`columns` of an INSERT or UPDATE are bound by their own names."""
        super().__init__(clause, columns)
        compiled = self.compiled(_BY_NAME)
        self._known_by(compiled)
        self._constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}

    def on(self, connection: Connection, **values: object) -> Cursor:
        return connection.execute(self.sql, self._constants | values if self._constants else values)

    def on_each(self, connection: Connection, rows: Iterable[dict[str, object]]) -> None:
        constants = self._constants
        connection.executemany(self.sql, (constants | row for row in rows) if constants else rows)


class RowStatement(_Statement):
    """A compiled statement that takes its values from a row's attributes, at a third of the cost of names."""

    __slots__ = ("_values", "names")

    def __init__(self, clause: ClauseElement, columns: Sequence[str]) -> None:
        super().__init__(clause, columns)
        compiled = self.compiled(_BY_PLACE)
        assert compiled.positiontup is not None
        self._known_by(compiled)
        self.names = tuple(compiled.positiontup)
        self._values = attrgetter(*self.names)

    def on(self, connection: Connection, row: object) -> Cursor:
        return connection.execute(self.sql, self._values(row))


_BOUND_NAMES = {
    "account": "account_id",
    "folder": "folder_id",
    "reader": "reader_id",
    "at": "uid",
    "email": "email_pk",
    "name": "name",
    "segment": "segment_id",
    "zone": "zone",
}
"""Columns of keys, by the name under which their value is bound."""


def keyed_by(columns: ReadOnlyColumnCollection[str, Column[Any]], *names: str) -> ColumnElement[bool]:
    """Build "the row is of the account bound as `account`, and has the values bound as `names`"."""
    return and_(*(columns[_BOUND_NAMES[name]] == bindparam(name) for name in ("account", *names)))


class among(ColumnElement[bool]):  # noqa: N801 - read as a function, like the next two
    """Build "`column` is in the list bound as `uids`" (`uid_list`)."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: ColumnElement[int]) -> None:
        self.column = column
        self.uids = bindparam("uids", type_=Text())


@compiles(among)
def _(element: among, compiler: SQLCompiler, **how: Any) -> str:
    column, uids = (compiler.process(part, **how) for part in (element.column, element.uids))
    return f"({column} IN (SELECT value FROM json_each({uids})))"  # noqa: S608 - of compiled parts


@compiles(among, "postgresql")
def _(element: among, compiler: SQLCompiler, **how: Any) -> str:
    column, uids = (compiler.process(part, **how) for part in (element.column, element.uids))
    return f"({column} = ANY (CAST(translate({uids}, '[]', '{{}}') AS BIGINT[])))"


def uid_list(uids: Iterable[int]) -> str:
    return f"[{','.join(map(str, sorted(uids)))}]"


class column_list(FunctionElement[str]):  # noqa: N801
    """Build a JSON array of the values of a column, in the order of another, which is the order of the table's key."""

    inherit_cache = True
    type = Text()


@compiles(column_list)
def _(element: column_list, compiler: SQLCompiler, **how: Any) -> str:
    column, _ = element.clauses
    return f"json_group_array({compiler.process(column, **how)})"


@compiles(column_list, "postgresql")
def _(element: column_list, compiler: SQLCompiler, **how: Any) -> str:
    column, order = (compiler.process(each, **how) for each in element.clauses)
    return f"coalesce(CAST(json_agg({column} ORDER BY {order}) AS TEXT), '[]')"


class whole_sum(FunctionElement[int]):  # noqa: N801
    """Build the sum of whole numbers, a whole number itself; 0 without rows."""

    inherit_cache = True
    type = Integer()


@compiles(whole_sum)
def _(element: whole_sum, compiler: SQLCompiler, **how: Any) -> str:
    return f"coalesce(sum({compiler.process(element.clauses, **how)}), 0)"


@compiles(whole_sum, "postgresql")
def _(element: whole_sum, compiler: SQLCompiler, **how: Any) -> str:
    return f"CAST(coalesce(sum({compiler.process(element.clauses, **how)}), 0) AS BIGINT)"


@compiles(OnConflictDoNothing, "postgresql")
@compiles(OnConflictDoUpdate, "postgresql")
def _(clause: Any, compiler: Any, **how: Any) -> str:
    clause.constraint_target = None  # what PostgreSQL's own class has more
    visit = (
        compiler.visit_on_conflict_do_update
        if isinstance(clause, OnConflictDoUpdate)
        else compiler.visit_on_conflict_do_nothing
    )
    return str(visit(clause, **how))
