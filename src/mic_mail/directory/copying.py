"""Copies of a whole directory from one database into another that has none, each an SQLite file or a PostgreSQL.

In: an engine to read from, which is read in one state, and one to write to. Out: the same rows under the same numbers and the
same version; the copy is compared with the source before it is committed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, bindparam, delete, func, insert, select, text, update

from mic_mail.directory import engine as database
from mic_mail.directory.model import Revision
from mic_mail.directory.records import AlreadyThere
from mic_mail.directory.register_model import ALL_TABLES
from mic_mail.directory.revisions import unavailable
from mic_mail.errors import Text

_ROWS = 1_000
"""Rows in one statement."""


def copy_into(source: Engine, target: Engine) -> dict[str, int]:
    """Copy all rows into tables that are made for them; return their number by table.

    Raise `AlreadyThere` where the target has a directory with anything in it, `DirectoryUnavailable` where one of the two is.
    """
    database.must_be_current(source)
    database.migrate(target)
    with database.reading(source) as here, database.writing(target) as there:
        if any(there.execute(select(1).select_from(table).limit(1)).first() for table in _registers()):
            raise AlreadyThere(
                Text("Danh bạ đích không trống.", "The directory to copy into is not empty."),
                remedy=Text("Dùng cơ sở dữ liệu trống.", "Use an empty database."),
            )
        there.execute(delete(Revision))
        counts = {table.name: _copy(table, here, there) for table in ALL_TABLES.sorted_tables}
        for table in ALL_TABLES.sorted_tables:
            if _digest(table, here) != _digest(table, there):
                raise unavailable(f"the copy of {table.name} differs")
        if there.dialect.name == "postgresql":
            _count_on(there)
        return counts


def copy_to_file(source: Engine, path: Path) -> None:
    """Copy a directory into a new SQLite file."""
    target = database.connect(f"sqlite:///{path}")
    try:
        copy_into(source, target)
    finally:
        target.dispose()


def _registers() -> Iterator[Table]:
    return (table for table in ALL_TABLES.sorted_tables if table is not Revision.__table__)


def _copy(table: Table, here: Connection, there: Connection) -> int:
    """Copy the rows; what refers to others of the same table does so only when all are there."""
    to_own = [key.parent.name for key in table.foreign_keys if key.column.table is table]
    count = 0
    for rows in here.execute(select(table).order_by(*table.primary_key.columns)).mappings().partitions(_ROWS):
        there.execute(insert(table), [{**row, **dict.fromkeys(to_own)} for row in rows])
        count += len(rows)
        for name in to_own:
            (key,) = table.primary_key.columns
            refer = update(table).where(key == bindparam("row_key")).values({name: bindparam("row_value")})
            referring = [{"row_key": row[key.name], "row_value": row[name]} for row in rows if row[name] is not None]
            if referring:
                there.execute(refer, referring)
    return count


def _digest(table: Table, connection: Connection) -> tuple[int, int]:
    """Return the number of rows and a checksum of their values as the program sees them."""
    count = total = 0
    for row in connection.execute(select(table)):
        count, total = count + 1, total ^ hash(tuple(map(_comparable, row)))
    return count, total


def _comparable(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview | bytearray) else value


def _count_on(connection: Connection) -> None:
    """Let PostgreSQL number the next rows after those that were copied."""
    for table in _registers():
        column = table.autoincrement_column
        if column is not None:
            last = connection.scalar(select(func.max(column)))
            if last is not None:
                sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:t, :c)"), {"t": table.name, "c": column.name})
                connection.execute(text("SELECT setval(:s, :last)"), {"s": sequence, "last": last})
