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

    body          octets of a content, in pieces (PostgreSQL alone, like the others below)
    mark          marks of a hold (legal_hold.py)
    generation    whose the rows with an `account_id` are, and whether they are current (database_ground/generations.py)
    search_segment  messages whose text was packed together (fulltext/segments.py): their keys, and a value for each
    search_zone   by segment and zone: its words, its flow, and the sieve of a large text
    search_visit  one row for each account that an indexer has visited: how far it has come, and who is at it now

A change raises `INDEX_VERSION`; an index of an older version is rebuilt from the store. A change of what PostgreSQL has, of an
index or beside it, raises `DATABASE_VERSION`.
"""

import sqlite3
from functools import cache

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, text
from sqlalchemy.engine import Dialect

from mic_mail.storage.index.tables import TEXT, columns, creation, stamp, stamps, table

INDEX_VERSION = 3
DATABASE_VERSION = 5
"""The version of the tables of a database, higher than that of the indexes in it."""
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
_POSTGRESQL_TRIGGERS = (
    """CREATE FUNCTION tally_seen() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE more bigint := new.seen - CASE TG_OP WHEN 'UPDATE' THEN old.seen ELSE 0 END;
        BEGIN
            INSERT INTO seen_tally AS tally VALUES (new.account_id, new.reader_id, new.folder_id, more, new.modseq)
                ON CONFLICT (account_id, reader_id, folder_id)
                DO UPDATE SET seen = tally.seen + excluded.seen, modseq = greatest(tally.modseq, excluded.modseq);
            RETURN NULL;
        END $$""",
    """CREATE FUNCTION untally_seen() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE seen_tally SET seen = seen - 1
                WHERE account_id = old.account_id AND reader_id = old.reader_id AND folder_id = old.folder_id;
            RETURN NULL;
        END $$""",
    """CREATE FUNCTION drop_body() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            DELETE FROM body WHERE account_id = old.account_id AND email_pk = old.email_pk;
            RETURN NULL;
        END $$""",
    "CREATE TRIGGER seen_came AFTER INSERT OR UPDATE OF seen, modseq ON seen FOR EACH ROW EXECUTE FUNCTION tally_seen()",
    "CREATE TRIGGER seen_went AFTER DELETE ON seen FOR EACH ROW WHEN (old.seen = 1) EXECUTE FUNCTION untally_seen()",
    "CREATE TRIGGER email_went AFTER DELETE ON email FOR EACH ROW EXECUTE FUNCTION drop_body()",
)
"""The same in PostgreSQL, and that a body goes with its content."""
_UNCOMPRESSED = tuple(
    f"ALTER TABLE search_zone ALTER COLUMN {column} SET STORAGE EXTERNAL" for column in ("sieve", "words", "flow")
)
"""A part of a compressed value is not read without all that comes before it."""

metadata = MetaData()


account = table(
    metadata,
    "account",
    *columns(BigInteger, "serial", "modseq", "modseq_mark", "uidvalidity_next"),
    *columns(Integer, "folder_next"),
    *columns(BigInteger, "email_next", "octets"),
    *columns(Integer, "messages"),
    *columns(TEXT, "boot_id"),
    Column("metadata", TEXT),
    Column("seen_each", Integer, nullable=False, server_default=text("0")),
    with_rowid=True,
)

folder = table(
    metadata,
    "folder",
    *columns(Integer, "folder_id"),
    *columns(TEXT, "name", "directory", "mailbox_id"),
    *columns(BigInteger, "uidvalidity", "uidnext", "uidnext_mark"),
    *columns(BigInteger, "highest_modseq", "modseq", "created_modseq", "expunge_floor"),
    *columns(Integer, "messages", "unseen", "deleted"),
    *columns(BigInteger, "octets", "deleted_octets", "recent_from"),
    Column("special_use", TEXT),
    *columns(TEXT, "keywords"),
    *columns(BigInteger, "new_mtime_ns"),
    Column("deleted_at_us", BigInteger),
    Column("metadata", TEXT),
    key=["folder_id"],
    with_rowid=True,
)
_LIVE = text("deleted_at_us IS NULL")
Index("folder_name", folder.c.account_id, folder.c.name, unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE)

message = table(
    metadata,
    "message",
    *columns(Integer, "folder_id"),
    *columns(BigInteger, "uid", "flags", "modseq", "size", "created_modseq", "email_pk", "saved_us"),
    *columns(Integer, "name_dirty"),
    *columns(TEXT, "name"),
    key=["folder_id", "uid"],
)
Index("message_modseq", message.c.account_id, message.c.folder_id, message.c.modseq)
_DIRTY = text("name_dirty = 1")
Index("message_dirty", message.c.account_id, message.c.folder_id, message.c.uid, sqlite_where=_DIRTY, postgresql_where=_DIRTY)

email = table(
    metadata,
    "email",
    *columns(BigInteger, "email_pk"),
    *columns(Integer, "refs"),
    *columns(BigInteger, "size", "received_us"),
    Column("sent_at", BigInteger),
    *columns(BigInteger, "attachment_octets"),
    *columns(TEXT, "base", "email_id"),
    Column("thread_id", TEXT),
    *columns(LargeBinary, "envelope"),
    Column("envelope_utf8", LargeBinary),
    *columns(LargeBinary, "bodystructure", "body", "message_id"),
    Column("preview", TEXT),
    *columns(LargeBinary, "parts"),
    Column("header", LargeBinary),  # last: long headers lie on overflow pages, which list scans then never touch
    key=["email_pk"],
    with_rowid=True,
)

ordering = table(
    metadata,
    "ordering",
    *columns(BigInteger, "email_pk", "sent_at", "received_at"),
    *columns(LargeBinary, "value"),
    key=["email_pk"],
)

tombstone = table(
    metadata,
    "tombstone",
    *columns(Integer, "folder_id"),
    *columns(BigInteger, "uid", "modseq", "created_modseq", "expunged_us", "flags", "size", "saved_us"),
    Column("email_pk", BigInteger),
    Column("name", TEXT),
    Column("moved_folder_id", Integer),
    Column("moved_uid", BigInteger),
    key=["folder_id", "uid"],
)
Index("tombstone_modseq", tombstone.c.account_id, tombstone.c.folder_id, tombstone.c.modseq)
Index("tombstone_expunged", tombstone.c.account_id, tombstone.c.expunged_us)

delivery = table(
    metadata,
    "delivery",
    *columns(TEXT, "origin"),
    *columns(BigInteger, "published_us"),
    *columns(Integer, "folder_id"),
    *columns(BigInteger, "uidvalidity", "uid", "modseq"),
    *columns(TEXT, "email_id"),
    key=["origin"],
)

subscription = table(metadata, "subscription", *columns(TEXT, "name"), key=["name"])

reader = table(
    metadata,
    "reader",
    *columns(Integer, "reader_id"),
    *columns(TEXT, "person"),
    *columns(BigInteger, "begun_modseq"),
    key=["reader_id"],
)
Index("reader_person", reader.c.account_id, reader.c.person, unique=True)

seen = table(
    metadata,
    "seen",
    *columns(Integer, "reader_id", "folder_id"),
    *columns(BigInteger, "uid"),
    *columns(Integer, "seen"),
    *columns(BigInteger, "modseq"),
    key=["reader_id", "folder_id", "uid"],
)
Index("seen_modseq", seen.c.account_id, seen.c.reader_id, seen.c.folder_id, seen.c.modseq)

seen_unwritten = table(metadata, "seen_unwritten", *columns(Integer, "folder_id", "reader_id"), key=["folder_id", "reader_id"])

seen_tally = table(
    metadata,
    "seen_tally",
    *columns(Integer, "reader_id", "folder_id", "seen"),
    *columns(BigInteger, "modseq"),
    key=["reader_id", "folder_id"],
)


in_postgresql = MetaData()
"""Tables that PostgreSQL has beside those of an index: what a machine keeps in files."""

body = table(
    in_postgresql,
    "body",
    *columns(BigInteger, "email_pk"),
    *columns(Integer, "piece"),
    *columns(LargeBinary, "octets"),
    key=["email_pk", "piece"],
)

mark = table(in_postgresql, "mark", *columns(TEXT, "name"), key=["name"])

generation = table(
    in_postgresql, "generation", *columns(Integer, "mailbox_id"), *columns(TEXT, "state"), *columns(BigInteger, "since_us")
)
_IS_CURRENT = text("state = 'current'")
Index("generation_current", generation.c.mailbox_id, unique=True, sqlite_where=_IS_CURRENT, postgresql_where=_IS_CURRENT)
Index("generation_mailbox", generation.c.mailbox_id)
FIRST_OWN_NUMBER = 1 << 30
"""The first number of a generation that has not the number of its mailbox; no directory has so many mailboxes."""

search_segment = table(
    in_postgresql,
    "search_segment",
    *columns(BigInteger, "segment_id"),
    *columns(Integer, "version"),
    Column("dead_since_us", BigInteger),
    *columns(BigInteger, "octets"),
    *columns(LargeBinary, "messages", "sort_values"),
    key=["segment_id"],
)

search_zone = table(
    in_postgresql,
    "search_zone",
    *columns(BigInteger, "segment_id"),
    *columns(Integer, "zone"),
    *columns(LargeBinary, "sieve", "words", "flow"),
    key=["segment_id", "zone"],
)

search_visit = table(
    in_postgresql,
    "search_visit",
    *columns(Integer, "version"),
    *columns(BigInteger, "modseq", "dropped_us", "until_us"),
)


def create(connection: sqlite3.Connection) -> None:
    """Make all tables in the open transaction and stamp the version."""
    for statement in (*_creation(), *_TRIGGERS):
        connection.execute(statement)
    stamp(connection, APPLICATION_ID, INDEX_VERSION)


def creation_in_postgresql(dialect: Dialect) -> tuple[str, ...]:
    """Return the statements that create the tables of a database that holds the indexes of many accounts."""
    tables = (*creation(metadata, dialect), *creation(in_postgresql, dialect))
    numbers = f"CREATE SEQUENCE generation_number AS integer START {FIRST_OWN_NUMBER}"
    return (*tables, *_POSTGRESQL_TRIGGERS, *_UNCOMPRESSED, numbers)


@cache
def _creation() -> tuple[str, ...]:
    """Compile the statements once: that takes a quarter of the time to make a new account's store."""
    return creation(metadata)


def is_current(connection: sqlite3.Connection) -> bool:
    """Return whether this is an index, and of this version."""
    return stamps(connection) == (APPLICATION_ID, INDEX_VERSION)
