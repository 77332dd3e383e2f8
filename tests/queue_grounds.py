"""Outbound queues and spools of tests: files, or rows in PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from mic_mail.quarantine import record_rows
from mic_mail.queue import database_queue, database_spool, sent_amounts
from mic_mail.queue.database_queue import DatabaseQueue
from mic_mail.queue.database_spool import DatabaseReports, DatabaseSpool
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.local_reports import LocalReports
from mic_mail.queue.local_spool import LocalSpool
from mic_mail.queue.node_lease import NodeLease
from mic_mail.queue.pending_reports import PendingReports
from mic_mail.queue.queue import Queue
from mic_mail.queue.spool import Spool
from mic_mail.storage.index.postgresql.creation import create
from mic_mail.storage.index.postgresql.database import Database
from postgresql_server import PostgresqlServer, postgresql_server

FILES, ROWS = "files", "postgresql"
NewQueue = Callable[[], Queue]
"""Opens the queue of a test: once more with each call, by another node where it is a database."""
NewSpool = Callable[[], Spool]
"""Opens the spool of a test: once more with each call, as another process."""


@contextmanager
def queue_database() -> Iterator[PostgresqlServer]:
    """A PostgreSQL with the tables of queue and spool."""
    with postgresql_server(max_connections="100") as server:
        with closing(Database(server.connection_string)) as database:
            create(database, (*database_queue.TABLES, *database_spool.TABLES, *sent_amounts.TABLES, *record_rows.TABLES))
        yield server


def rows(server: PostgresqlServer, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.connection_string, autocommit=True) as driver:
        done = driver.execute(query.encode())
        return done.fetchall() if done.description else []


def clear(server: PostgresqlServer) -> None:
    rows(server, "DELETE FROM queue_entry")
    rows(server, "DELETE FROM queue_node")
    rows(server, "DELETE FROM spool_entry")
    rows(server, "DELETE FROM spool_report")
    rows(server, "DELETE FROM sent_amount")
    rows(server, "DELETE FROM held_entry")


def spool_in(server: PostgresqlServer, folder: Path) -> DatabaseSpool:
    """The spool of a process of its own."""
    return DatabaseSpool(Database(server.connection_string), folder, closes=True)


def lapse(server: PostgresqlServer) -> None:
    """Let the holds of all processes end now."""
    rows(server, "UPDATE spool_entry SET held_until = clock_timestamp() - interval '1 s' WHERE held_until IS NOT NULL")


@contextmanager
def spools(server: PostgresqlServer | None, folder: Path) -> Iterator[NewSpool]:
    """Let a test open spools, in files without a server; close them in the end."""
    opened: list[Spool] = []

    def new() -> Spool:
        opened.append(LocalSpool(folder / "spool") if server is None else spool_in(server, folder / f"spool{len(opened)}"))
        return opened[-1]

    if server is not None:
        clear(server)
    yield new
    for spool in opened:
        spool.close()


def reports_of(spool: Spool, folder: Path) -> PendingReports:
    """The reports that wait for the entries of a spool."""
    if isinstance(spool, LocalSpool):
        return LocalReports(folder, spool)
    assert isinstance(spool, DatabaseSpool)
    return DatabaseReports(spool.database)


def node(server: PostgresqlServer, folder: Path, **clock: Callable[[], float]) -> DatabaseQueue:
    """A node that has its lease; `monotonic` is its clock."""
    lease = NodeLease(Database(server.connection_string, most=1), **clock)
    queue = DatabaseQueue(Database(server.connection_string), lease, folder)
    lease.renew()
    return queue


@contextmanager
def opening(server: PostgresqlServer | None, folder: Path) -> Iterator[NewQueue]:
    """Let a test open queues, in files without a server; close them in the end."""
    opened: list[Queue] = []

    def new() -> Queue:
        opened.append(LocalQueue(folder / "queue") if server is None else node(server, folder / f"node{len(opened)}"))
        return opened[-1]

    if server is not None:
        clear(server)
    yield new
    for queue in opened:
        queue.close()


def rest(queue: Queue) -> set[str]:
    """The ids of all that is stored of entries, whole or not; marks of those that have ended are left out."""
    if isinstance(queue, LocalQueue):
        return {path.stem for path in queue._live.parent.rglob("*") if path.is_file()}
    assert isinstance(queue, DatabaseQueue)
    with queue.database.reading() as connection:
        live = "SELECT entry_id FROM queue_entry WHERE ended_at IS NULL UNION SELECT entry_id FROM queue_piece"
        return {found for (found,) in connection.run(live)}
