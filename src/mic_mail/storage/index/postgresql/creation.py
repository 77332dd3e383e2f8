"""Tables of a database that holds indexes, and its version.

Nodes that start at the same time make them once: an advisory lock has the others wait. A database of another version is
refused, since no node can rebuild it from files.
"""

from collections.abc import Iterable

import psycopg

from mic_mail.storage.errors import NotOurs
from mic_mail.storage.index import schema
from mic_mail.storage.index.postgresql.connection import DIALECT, require_no_pooler
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.postgresql.failures import of_error

_LOCK = 0x6D6D697876657273
"""Key of the advisory lock: "mmixvers"."""


def create(database: Database, more: Iterable[str] = ()) -> bool:
    """Make the tables, or check their version; return whether they were made now.

    `more`: statements that make the tables of others, which have the same version. `NotOurs` for another version, another
    encoding, or a pooler.
    """
    with database.driver() as driver:
        try:
            with driver.transaction():
                driver.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                _check_process(database.where, driver)
                _check_encoding(database.where, driver)
                if _exists(driver):
                    _check_version(database.where, driver)
                    return False
                for statement in (*schema.creation_in_postgresql(DIALECT), *more):
                    driver.execute(statement.encode())
                driver.execute("CREATE TABLE index_version (version integer NOT NULL)")
                driver.execute("INSERT INTO index_version VALUES (%s)", (schema.DATABASE_VERSION,))
                return True
        except psycopg.Error as error:
            failure = of_error(database.where, error)
        raise failure


def _exists(driver: psycopg.Connection[tuple[object, ...]]) -> bool:
    row = driver.execute("SELECT to_regclass('index_version') IS NOT NULL").fetchone()
    return row == (True,)


def _check_version(where: str, driver: psycopg.Connection[tuple[object, ...]]) -> None:
    row = driver.execute("SELECT max(version) FROM index_version").fetchone()
    found, ours = row[0] if row else None, schema.DATABASE_VERSION
    if found != ours:
        is_newer = isinstance(found, int) and found > ours
        advice = "install the newer program on this node" if is_newer else "only the program that made them can use them"
        raise NotOurs(f"{where}: its indexes are of version {found}, those of this program of version {ours}: {advice}")


def _check_process(where: str, driver: psycopg.Connection[tuple[int]]) -> None:
    row = driver.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    require_no_pooler(where, driver.pgconn, row[0])


def _check_encoding(where: str, driver: psycopg.Connection[tuple[object, ...]]) -> None:
    row = driver.execute("SHOW server_encoding").fetchone()
    if row != ("UTF8",):
        raise NotOurs(f"{where}: a database encoded in {row and row[0]}: create it with ENCODING 'UTF8'")
