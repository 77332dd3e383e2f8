"""The runtime of one process: what every service needs, and nothing else.

A service takes it as its first argument; its collaborators stay arguments of their own. `config` and `snapshot` are called
when they are needed, since a reload replaces the one and a change of the directory the other.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.snapshot import Snapshot
from mic_mail.log.maillog import MailLog
from mic_mail.process.executors import AccountExecutors, Executors


@dataclass(frozen=True, slots=True)
class Runtime:
    """The clock, the log, the executors, and the present configuration and directory."""

    clock: Clock
    log: MailLog
    executors: Executors
    account_executors: AccountExecutors
    config: Callable[[], Config]
    snapshot: Callable[[], Snapshot]
