"""The store of a configuration's mailboxes, its spool and its queue, opened the same way by server processes and commands.

In: a configuration, a clock, an observer of changes. Out: a `MailStore`, a `Spool`, a `Queue` that obey `storage.*`.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.quarantine.held_messages import HeldMessages
from mic_mail.quarantine.quarantine import Quarantine
from mic_mail.quarantine.record_place import RecordPlace
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.local_reports import LocalReports
from mic_mail.queue.local_spool import LocalSpool
from mic_mail.queue.pending_reports import PendingReports
from mic_mail.queue.queue import Queue
from mic_mail.queue.spool import Spool
from mic_mail.storage.index.change_marks import CHANGE_MARKS
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.reserve import Reserves
from mic_mail.storage.store import OnChange
from mic_mail.storage.types import StorageSettings

if TYPE_CHECKING:  # a server whose mailboxes are files does not load its driver
    from mic_mail.queue.sent_amounts import SentAmounts
    from mic_mail.storage.index.postgresql.database import Database

OPEN_BY_COMMANDS = 32
"""Accounts that a command holds open, about six descriptors each, of the 1,024 that a shell allows."""

OPEN_WITHOUT_CLIENTS = 8
"""Accounts that a process without clients holds open.

It visits one mailbox after the other. An open index takes 0.2 to 0.5 MB, which would be that of all mailboxes after each round.
"""

FOLDERS_BY_COMMANDS = 10_000
"""Folders that a mailbox may have where a command makes them: imports bring the old ones (Reg. 10.4)."""


def storage_settings(config: Config, *, open_accounts: int | None = None, has_clients: bool = True) -> StorageSettings:
    """Return the storage settings; a command gives `open_accounts` instead of `storage.open_indexes`.

    A process without clients (`has_clients`) holds OPEN_WITHOUT_CLIENTS at most.
    """
    storage = config.storage
    by_process = storage.open_indexes if has_clients else min(storage.open_indexes, OPEN_WITHOUT_CLIENTS)
    by_command = open_accounts is not None
    folders = max(FOLDERS_BY_COMMANDS, storage.folders) if by_command else storage.folders
    return StorageSettings(
        synchronous=storage.synchronous,
        expunge_keep_seconds=int(storage.expunge_keep),
        open_accounts=by_process if open_accounts is None else open_accounts,
        max_folders=folders,
        max_subscriptions=folders,  # names that do not exist may be subscribed, too (RFC 9051 §6.3.7)
        view_cache_octets=storage.view_memory,
        search_file=config.search.enabled,
        search_cache_octets=config.search.memory,
    )


def open_mail_store(
    config: Config,
    clock: Clock,
    *,
    open_accounts: int | None = None,
    has_clients: bool = True,
    on_change: OnChange = lambda account_id, modseq: None,
) -> MailStore:
    """Open the store; no disk is touched before an account is used. For the arguments see `storage_settings`."""
    settings = storage_settings(config, open_accounts=open_accounts, has_clients=has_clients)
    if config.storage.database is not None:
        return _in_database(config, config.storage.database, clock, settings, on_change)
    return LocalMailStore(config.mail_root, clock=clock, host=config.server.hostname, settings=settings, on_change=on_change)


def _in_database(
    config: Config, connection_string: str, clock: Clock, settings: StorageSettings, on_change: OnChange
) -> MailStore:
    """Open the mailboxes of a database; a server on one machine never loads its driver."""
    from mic_mail.storage.database_ground.mailstore import DatabaseMailStore
    from mic_mail.storage.index.postgresql.database import Database

    return DatabaseMailStore(
        Database(connection_string, most=config.storage.connections, monotonic=clock.monotonic),
        clock=clock,
        host=config.server.hostname,
        changes=config.mail_root / CHANGE_MARKS,
        settings=settings,
        on_change=on_change,
    )


def prepare_mail_store(config: Config) -> None:
    """Make the tables of a new database of mailboxes, spool and queue; every process and command does so first.

    Raises `NotOurs` where they are of another version.
    """
    if config.storage.database is None:
        return
    from mic_mail.quarantine.record_rows import TABLES as HELD_TABLES
    from mic_mail.queue.database_queue import TABLES as QUEUE_TABLES
    from mic_mail.queue.database_spool import TABLES as SPOOL_TABLES
    from mic_mail.queue.sent_amounts import TABLES as SENT_TABLES
    from mic_mail.storage.index.postgresql.creation import create
    from mic_mail.storage.index.postgresql.database import Database

    with contextlib.closing(Database(config.storage.database)) as database:
        create(database, (*QUEUE_TABLES, *SPOOL_TABLES, *SENT_TABLES, *HELD_TABLES))


def open_spool(config: Config, store: MailStore | None = None, reserves: Reserves | None = None) -> Spool:
    """Open the spool; for `store` see `open_queue`, for `reserves` see `Spool`."""
    if config.storage.database is None:
        return LocalSpool(config.spool_dir, reserves)
    from mic_mail.queue.database_spool import DatabaseSpool

    database, is_own = _database_of(config, store)
    return DatabaseSpool(database, config.spool_dir, reserves, closes=is_own)


def open_reports(config: Config, spool: Spool) -> PendingReports:
    """Open the reports that wait for the entries of the spool."""
    if isinstance(spool, LocalSpool):
        return LocalReports(config.spool_dir / "owed", spool)
    from mic_mail.queue.database_spool import DatabaseReports, DatabaseSpool

    assert isinstance(spool, DatabaseSpool)
    return DatabaseReports(spool.database)


def open_sent_amounts(config: Config, store: MailStore | None = None) -> "SentAmounts | None":
    """Return what mailboxes have sent over all nodes, for `store` see `open_queue`; None where this machine counts alone."""
    if config.storage.database is None:
        return None
    from mic_mail.queue.sent_amounts import SentAmounts

    database, is_own = _database_of(config, store)
    return SentAmounts(database, closes=is_own)


def open_quarantine(config: Config, store: MailStore | None = None) -> Quarantine:
    """Open the quarantine; for `store` see `open_queue`."""
    return Quarantine(_records(config, "quarantine", config.quarantine_dir, store))


def open_held(config: Config, store: MailStore | None = None) -> HeldMessages:
    """Open the messages refused for a marking of secrecy; for `store` see `open_queue`."""
    return HeldMessages(_records(config, "held", config.held_dir, store))


def _records(config: Config, kind: str, folder: Path, store: MailStore | None) -> Path | RecordPlace:
    if config.storage.database is None:
        return folder
    from mic_mail.quarantine.record_rows import RecordRows

    database, is_own = _database_of(config, store)
    return RecordRows(database, kind, config.spool_dir / "tmp", closes=is_own)


def _database_of(config: Config, store: MailStore | None) -> "tuple[Database, bool]":
    """Return the connections of a store, or new ones, with the tables made; and whether these are the caller's to close."""
    from mic_mail.storage.database_ground.mailstore import DatabaseMailStore
    from mic_mail.storage.index.postgresql.database import Database

    if isinstance(store, DatabaseMailStore):
        return store.database, False
    prepare_mail_store(config)  # the server may not have run yet
    assert config.storage.database is not None
    return Database(config.storage.database, most=2), True


def open_queue(
    config: Config, store: MailStore | None = None, *, comes_again: Callable[[str], bool] = lambda _: False
) -> Queue:
    """Open the outbound queue; `store` is that of the same process, whose connections it uses, None in a command.

    `comes_again` returns whether the spool of this server may put an entry once more.
    """
    if config.storage.database is None:
        return LocalQueue(config.queue_dir, comes_again=comes_again)
    from mic_mail.queue.database_queue import DatabaseQueue
    from mic_mail.queue.node_lease import NodeLease
    from mic_mail.storage.index.postgresql.database import Database

    database, _ = _database_of(config, store)
    return DatabaseQueue(database, NodeLease(Database(config.storage.database, most=1)), config.queue_dir)
