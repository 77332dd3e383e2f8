"""The tables of an account's index, and its version.

Every table and key carries `account_id`, even while one SQLite file holds one account: with PostgreSQL one database holds all.

    account       the counters: serial of the last recorded change, MODSEQ, marks, quota; the boot it was last written under
    folder        one row for each folder, deleted ones included while they can be restored
    message       narrow, one row for each message in a folder: what list scans need, and its file's name
    email         wide, one row for each *content*: answers ready to send; COPY shares it, MOVE keeps it (`refs` counts)
    ordering      what SORT and THREAD compare of a content; made at the first request, so it may be missing (decision 0045)
    tombstone     UIDs that vanished: with `email_pk` and `name` while readable, after that as history for QRESYNC
    delivery      origins of deliveries seen (idempotency)
    subscription  names, which outlive folders
    reader        people with their own \\Seen in this account (decision 0035); empty in a personal one, like the next three
    seen          messages that a reader has read, or marked as unread again, and the MODSEQ of that
    seen_tally    their number in each folder, and the newest MODSEQ; kept by triggers, since counting takes 1 ms in 10,000
    seen_unwritten  folders and readers whose sidecar lags behind

A change raises `INDEX_VERSION`; an older index is migrated at open if `MIGRATIONS` has the steps, else rebuilt from the store,
so versions N and N+1 must differ by additions only.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

INDEX_VERSION = 3
APPLICATION_ID = 0x6D6D6978
"""SQLite's `application_id`: "mmix"."""

_TALLY = """INSERT INTO seen_tally VALUES (new.account_id, new.reader_id, new.folder_id, {more}, new.modseq)
            ON CONFLICT (account_id, reader_id, folder_id)
            DO UPDATE SET seen = seen + excluded.seen, modseq = max(modseq, excluded.modseq);"""
_TRIGGERS = (
    f"CREATE TRIGGER seen_came AFTER INSERT ON seen BEGIN {_TALLY.format(more='new.seen')} END",
    f"CREATE TRIGGER seen_changed AFTER UPDATE OF seen, modseq ON seen BEGIN {_TALLY.format(more='new.seen - old.seen')} END",
    """CREATE TRIGGER seen_went AFTER DELETE ON seen WHEN old.seen = 1 BEGIN UPDATE seen_tally SET seen = seen - 1
            WHERE account_id = old.account_id AND reader_id = old.reader_id AND folder_id = old.folder_id; END""",
)
"""Triggers that keep `seen_tally`.

No statement that changes `seen` may use OR REPLACE: SQLite would not run the triggers for replaced rows.
"""

MIGRATIONS: Mapping[int, Sequence[str]] = {
    1: [
        """CREATE TABLE ordering (account_id INTEGER NOT NULL, email_pk BIGINT NOT NULL, sent_at BIGINT NOT NULL,
            received_at BIGINT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (account_id, email_pk)) WITHOUT ROWID"""
    ],
    2: [
        "ALTER TABLE account ADD COLUMN seen_each INTEGER DEFAULT 0 NOT NULL",
        """CREATE TABLE reader (account_id INTEGER NOT NULL, reader_id INTEGER NOT NULL, person TEXT NOT NULL,
            begun_modseq BIGINT NOT NULL, PRIMARY KEY (account_id, reader_id)) WITHOUT ROWID""",
        "CREATE UNIQUE INDEX reader_person ON reader (account_id, person)",
        """CREATE TABLE seen (account_id INTEGER NOT NULL, reader_id INTEGER NOT NULL, folder_id INTEGER NOT NULL,
            uid BIGINT NOT NULL, seen INTEGER NOT NULL, modseq BIGINT NOT NULL,
            PRIMARY KEY (account_id, reader_id, folder_id, uid)) WITHOUT ROWID""",
        "CREATE INDEX seen_modseq ON seen (account_id, reader_id, folder_id, modseq)",
        """CREATE TABLE seen_unwritten (account_id INTEGER NOT NULL, folder_id INTEGER NOT NULL, reader_id INTEGER NOT NULL,
            PRIMARY KEY (account_id, folder_id, reader_id)) WITHOUT ROWID""",
        """CREATE TABLE seen_tally (account_id INTEGER NOT NULL, reader_id INTEGER NOT NULL, folder_id INTEGER NOT NULL,
            seen INTEGER NOT NULL, modseq BIGINT NOT NULL, PRIMARY KEY (account_id, reader_id, folder_id)) WITHOUT ROWID""",
        *_TRIGGERS,
    ],
}
"""Statements from version n to n+1; they only add."""

metadata = MetaData()

account = Table(
    "account",
    metadata,
    Column("account_id", Integer, primary_key=True, autoincrement=False),
    Column("serial", BigInteger, nullable=False),
    Column("modseq", BigInteger, nullable=False),
    Column("modseq_mark", BigInteger, nullable=False),
    Column("uidvalidity_next", BigInteger, nullable=False),
    Column("folder_next", Integer, nullable=False),
    Column("email_next", BigInteger, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("messages", Integer, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("acl", Text),
    Column("metadata", Text),
    Column("seen_each", Integer, nullable=False, server_default=text("0")),
)

folder = Table(
    "folder",
    metadata,
    Column("account_id", Integer, nullable=False),
    Column("folder_id", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("directory", Text, nullable=False),
    Column("mailbox_id", Text, nullable=False),
    Column("uidvalidity", BigInteger, nullable=False),
    Column("uidnext", BigInteger, nullable=False),
    Column("uidnext_mark", BigInteger, nullable=False),
    Column("highest_modseq", BigInteger, nullable=False),
    Column("modseq", BigInteger, nullable=False),
    Column("created_modseq", BigInteger, nullable=False),
    Column("expunge_floor", BigInteger, nullable=False),
    Column("messages", Integer, nullable=False),
    Column("unseen", Integer, nullable=False),
    Column("deleted", Integer, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("deleted_octets", BigInteger, nullable=False),
    Column("recent_from", BigInteger, nullable=False),
    Column("special_use", Text),
    Column("keywords", Text, nullable=False),
    Column("new_mtime_ns", BigInteger, nullable=False),
    Column("deleted_at_us", BigInteger),
    Column("acl", Text),
    Column("metadata", Text),
    PrimaryKeyConstraint("account_id", "folder_id"),
)
Index("folder_name", folder.c.account_id, folder.c.name, unique=True, sqlite_where=text("deleted_at_us IS NULL"))

message = Table(
    "message",
    metadata,
    Column("account_id", Integer, nullable=False),
    Column("folder_id", Integer, nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("flags", BigInteger, nullable=False),
    Column("modseq", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_modseq", BigInteger, nullable=False),
    Column("email_pk", BigInteger, nullable=False),
    Column("saved_us", BigInteger, nullable=False),
    Column("name_dirty", Integer, nullable=False),
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "folder_id", "uid"),
    sqlite_with_rowid=False,
)
Index("message_modseq", message.c.account_id, message.c.folder_id, message.c.modseq)
Index("message_dirty", message.c.account_id, message.c.folder_id, message.c.uid, sqlite_where=text("name_dirty = 1"))

email = Table(
    "email",
    metadata,
    Column("account_id", Integer, nullable=False),
    Column("email_pk", BigInteger, nullable=False),
    Column("refs", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("attachment_octets", BigInteger, nullable=False),
    Column("base", Text, nullable=False),
    Column("email_id", Text, nullable=False),
    Column("thread_id", Text),
    Column("envelope", LargeBinary, nullable=False),
    Column("envelope_utf8", LargeBinary),
    Column("bodystructure", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("message_id", LargeBinary, nullable=False),
    Column("preview", Text),
    Column("parts", LargeBinary, nullable=False),
    Column("header", LargeBinary),  # last: long headers lie on overflow pages, which list scans then never touch
    PrimaryKeyConstraint("account_id", "email_pk"),
)

ordering = Table(
    "ordering",
    metadata,
    Column("account_id", Integer, nullable=False),
    Column("email_pk", BigInteger, nullable=False),
    Column("sent_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account_id", "email_pk"),
    sqlite_with_rowid=False,
)

tombstone = Table(
    "tombstone",
    metadata,
    Column("account_id", Integer, nullable=False),
    Column("folder_id", Integer, nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("modseq", BigInteger, nullable=False),
    Column("created_modseq", BigInteger, nullable=False),
    Column("expunged_us", BigInteger, nullable=False),
    Column("flags", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("saved_us", BigInteger, nullable=False),
    Column("email_pk", BigInteger),
    Column("name", Text),
    Column("moved_folder_id", Integer),
    Column("moved_uid", BigInteger),
    PrimaryKeyConstraint("account_id", "folder_id", "uid"),
    sqlite_with_rowid=False,
)
Index("tombstone_modseq", tombstone.c.account_id, tombstone.c.folder_id, tombstone.c.modseq)
Index("tombstone_expunged", tombstone.c.account_id, tombstone.c.expunged_us)

delivery = Table(
    "delivery",
    metadata,
    Column("account_id", Integer, nullable=False),
    Column("origin", Text, nullable=False),
    Column("published_us", BigInteger, nullable=False),
    Column("folder_id", Integer, nullable=False),
    Column("uidvalidity", BigInteger, nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("modseq", BigInteger, nullable=False),
    Column("email_id", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "origin"),
    sqlite_with_rowid=False,
)

subscription = Table(
    "subscription",
    metadata,
    Column("account_id", Integer, nullable=False),
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "name"),
    sqlite_with_rowid=False,
)

reader = Table(
    "reader",
    metadata,
    Column("account_id", Integer, nullable=False),
    Column("reader_id", Integer, nullable=False),
    Column("person", Text, nullable=False),
    Column("begun_modseq", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "reader_id"),
    sqlite_with_rowid=False,
)
Index("reader_person", reader.c.account_id, reader.c.person, unique=True)

seen = Table(
    "seen",
    metadata,
    Column("account_id", Integer, nullable=False),
    Column("reader_id", Integer, nullable=False),
    Column("folder_id", Integer, nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("seen", Integer, nullable=False),
    Column("modseq", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "reader_id", "folder_id", "uid"),
    sqlite_with_rowid=False,
)
Index("seen_modseq", seen.c.account_id, seen.c.reader_id, seen.c.folder_id, seen.c.modseq)

seen_unwritten = Table(
    "seen_unwritten",
    metadata,
    Column("account_id", Integer, nullable=False),
    Column("folder_id", Integer, nullable=False),
    Column("reader_id", Integer, nullable=False),
    PrimaryKeyConstraint("account_id", "folder_id", "reader_id"),
    sqlite_with_rowid=False,
)

seen_tally = Table(
    "seen_tally",
    metadata,
    Column("account_id", Integer, nullable=False),
    Column("reader_id", Integer, nullable=False),
    Column("folder_id", Integer, nullable=False),
    Column("seen", Integer, nullable=False),
    Column("modseq", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "reader_id", "folder_id"),
    sqlite_with_rowid=False,
)


def create(connection: sqlite3.Connection) -> None:
    """Make all tables in the open transaction and stamp the version."""
    for statement in (*_making(), *_TRIGGERS):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {INDEX_VERSION}")


@cache
def _making() -> tuple[str, ...]:
    """Compile the statements once: that takes a quarter of the time to make a new account's store."""
    dialect = sqlite.dialect()
    made: list[str] = []
    for table in metadata.sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=dialect)))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        made += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return tuple(made)


def is_current(connection: sqlite3.Connection) -> bool:
    """Return whether this is an index, and of this version."""
    stamps = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    return stamps == [APPLICATION_ID, INDEX_VERSION]


def bring_up(connection: sqlite3.Connection) -> int:
    """Run all available steps from this index's version on; return the version reached."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    while version < INDEX_VERSION and version in MIGRATIONS:
        version = migrate(connection, version)
    return int(version)


def migrate(connection: sqlite3.Connection, version: int) -> int:
    """Run one step, in a transaction of its own; return the version reached."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in MIGRATIONS[version]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:  # SQLite itself has rolled back where the disk is full
            connection.execute("ROLLBACK")
    return version + 1
