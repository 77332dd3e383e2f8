"""Removal of all rows of an account, in pieces, from whatever tables there are.

A table is one of those where its primary key begins with `account_id` (index.tables): the server's catalogue knows them, so
none is forgotten.
"""

from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.database import Database

_TABLES = """
    SELECT CAST(quote_ident(c.relname) AS text) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
    WHERE i.indisprimary AND a.attname = 'account_id' AND NOT c.relispartition
        AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) ORDER BY 1"""
_SOME = "DELETE FROM {0} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {0} WHERE account_id = $1 LIMIT {1}))"
_ROWS = 2_000
"""Rows that one transaction removes."""
_BODIES = 100
"""The same of bodies, each of which is a piece of up to 256 KiB."""
_FIRST = ("body", "seen_tally")
"""Tables that come before others, whose triggers would change them row by row."""


def remove_rows(database: Database, account_id: int, *, but: str) -> None:
    """Remove all rows with this `account_id` in short transactions, except those in the table `but`."""
    with database.reading() as connection:
        tables = tables_of_accounts(connection)
    for table in sorted(set(tables) - {but}, key=lambda name: (name not in _FIRST, name)):
        most = _BODIES if table == "body" else _ROWS
        while True:
            with database.transaction() as connection:
                removed = connection.run(_SOME.format(table, most), account_id).rowcount
            if removed < most:
                break


def tables_of_accounts(connection: PostgresqlConnection) -> list[str]:
    """Return the tables whose rows belong to accounts, quoted where SQL wants it."""
    return [name for (name,) in connection.run(_TABLES)]
