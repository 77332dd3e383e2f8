"""The store of a configuration's mailboxes, opened in one way by the server's processes and by commands.

In: a configuration, a clock, who is told of changes. Out: a `MailStore` that obeys `storage.*`.
"""

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.store import OnChange
from mic_mail.storage.types import StorageSettings

OPEN_BY_COMMANDS = 32
"""Accounts that a command keeps open, about six descriptors each: a shell gives it 1,024, and it may walk over thousands."""


FOLDERS_BY_COMMANDS = 10_000
"""Folders that a mailbox may have where a command makes them: imports bring what was there (Reg. 10.4)."""


def storage_settings(config: Config, *, open_accounts: int | None = None) -> StorageSettings:
    """The store's part of the configuration; a command gives `open_accounts` instead of `storage.open_indexes`."""
    storage = config.storage
    by_command = open_accounts is not None
    return StorageSettings(
        synchronous=storage.synchronous,
        expunge_keep_seconds=int(storage.expunge_keep),
        open_accounts=storage.open_indexes if open_accounts is None else open_accounts,
        max_folders=max(FOLDERS_BY_COMMANDS, storage.folders) if by_command else storage.folders,
        view_cache_octets=storage.view_memory,
        search_file=config.search.enabled,
        search_cache_octets=config.search.memory,
    )


def open_mail_store(
    config: Config, clock: Clock, *, open_accounts: int | None = None, on_change: OnChange = lambda account_id, modseq: None
) -> MailStore:
    """Touches no disk before an account is used."""
    settings = storage_settings(config, open_accounts=open_accounts)
    return MailStore(config.mail_root, clock=clock, host=config.server.hostname, settings=settings, on_change=on_change)
