"""What each mailbox has sent lately, in PostgreSQL: rows by mailbox and slot of time, which all nodes add to.

`exchange` adds what one process has counted and returns what all have, in one round trip. Processes that ask for one mailbox
wait for each other, whatever slots they add to: so of two nodes the second sees what the first has added. COMMIT waits for no
disk: a failure of the database takes less than a second of counts, that of a node none. Blocking; no clock.
"""

from collections.abc import Iterable
from typing import Final

from mic_mail.storage.index.postgresql.database import Database

InSlot = tuple[int, int, int, int, int, int]
"""A slot of time; messages, recipients and octets that were sent in it; messages and recipients that were refused."""

TABLES: Final = (
    """CREATE TABLE sent_amount (
        mailbox_id bigint,
        slot bigint,
        messages bigint NOT NULL,
        recipients bigint NOT NULL,
        octets bigint NOT NULL,
        refused_messages bigint NOT NULL,
        refused_recipients bigint NOT NULL,
        PRIMARY KEY (mailbox_id, slot))""",
)
"""Statements by which `storage.index.postgresql.creation` makes the table beside those of the mailboxes."""

_KEY: Final = 0x6D6D7374
"""First of the two keys of the advisory lock of a mailbox's amounts: "mmst"."""
_LOCK = "SELECT CAST(pg_advisory_xact_lock($1, $2) AS TEXT)"
_SOON = "SET LOCAL synchronous_commit TO off"
_ADD = """INSERT INTO sent_amount AS a (mailbox_id, slot, messages, recipients, octets, refused_messages, refused_recipients)
    VALUES ($1, $2, greatest(0, $3), greatest(0, $4), greatest(0, $5), $6, $7)
    ON CONFLICT (mailbox_id, slot) DO UPDATE SET
        messages = greatest(0, a.messages + $3),
        recipients = greatest(0, a.recipients + $4),
        octets = greatest(0, a.octets + $5),
        refused_messages = a.refused_messages + $6,
        refused_recipients = a.refused_recipients + $7"""
_FORGET = "DELETE FROM sent_amount WHERE mailbox_id = $1 AND slot < $2"
_READ = """SELECT slot, messages, recipients, octets, refused_messages, refused_recipients FROM sent_amount
    WHERE mailbox_id = $1 AND slot >= $2 ORDER BY slot"""


class SentAmounts:
    """The amounts of all mailboxes of one database; safe from several threads."""

    def __init__(self, database: Database, *, closes: bool = False) -> None:
        """`database` has its tables, and is closed with this if it `closes`."""
        self._database = database
        self._closes = closes

    def close(self) -> None:
        if self._closes:
            self._database.close()

    def exchange(self, mailbox_id: int, added: Iterable[InSlot], since: int) -> list[InSlot]:
        """Add what was counted; return what all have counted from the slot `since` on. Older slots are removed."""
        with self._database.transaction() as connection:
            connection.run(_SOON)
            connection.run(_LOCK, _KEY, mailbox_id)
            for amounts in added:
                connection.run(_ADD, mailbox_id, *amounts)
            connection.run(_FORGET, mailbox_id, since)
            found = connection.run(_READ, mailbox_id, since)
        return [tuple(row) for row in found]

    def read(self, mailbox_id: int, since: int) -> list[InSlot]:
        """Return what all have counted from the slot `since` on."""
        with self._database.reading() as connection:
            return [tuple(row) for row in connection.run(_READ, mailbox_id, since)]
