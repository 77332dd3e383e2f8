"""Runtimes for services that a test makes by itself, without a server around them."""

from collections.abc import Callable
from typing import Any

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.snapshot import Snapshot
from mic_mail.process.executors import AccountExecutors, Executors
from mic_mail.process.runtime import Runtime


def runtime(
    config: Config | Callable[[], Config],
    clock: Clock,
    *,
    log: Any = None,
    executors: Any = None,
    snapshot: Callable[[], Snapshot] | None = None,
) -> Runtime:
    """The runtime of such parts; `config` is called where it may change, and whatever is left out is not used."""
    unused: Any = None
    accounts = AccountExecutors(executors) if isinstance(executors, Executors) else unused
    current = config if callable(config) else lambda: config
    return Runtime(clock, log, executors, accounts, current, snapshot or unused)
