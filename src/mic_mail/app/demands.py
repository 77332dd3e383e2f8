"""When a child that runs on demand is needed (docs/decisions/0120).

In: a configuration. Out: a `Demand` for each such role, for the supervisor. The child itself asks the same functions before it
ends, so that it never ends while the supervisor would start it again.

    sender    while something is queued or was decided, a DKIM key waits for its record, or an MTA-STS policy is cached; always
              where the queue is in a database, since it goes on with what dead nodes have left
    indexer   at the start, and once a mailbox has changed since the last one ended; with mailboxes in a database each hour, too
    web       from the first connection on (`process.demand.ConnectionDemand`, made by the supervisor)
"""

import math
import os
from functools import partial
from pathlib import Path

from mic_mail.config.model import Config
from mic_mail.process.demand import BroadcastDemand, Demand, TraceDemand
from mic_mail.queue.local_queue import folders_of
from mic_mail.queue.notifications import ANNOUNCEMENT
from mic_mail.services.operations.indexing import ROUND_SECONDS
from mic_mail.smtpclient.dkim_keys import KeyFolder, KeyState, KeyUnusable
from mic_mail.smtpclient.mta_sts_cache import cached_in
from mic_mail.storage.index.change_marks import CHANGE_MARKS

LEFT_BY_OTHERS_SECONDS = 3_600.0
"""An indexer starts after so long at the latest where other servers may have left text to it."""
SENDER_IDLE_SECONDS = 900.0
"""A sender with nothing to do ends after so long. A new one writes another segment of the log."""


def demands_of(config: Config) -> dict[str, Demand]:
    """Return what starts each child that runs on demand, by its role."""
    nothing = {"queued": 0, "sending": 0}
    sender = BroadcastDemand(config.run_dir, "sender", ANNOUNCEMENT, partial(sender_has_work, config), nothing)
    longest_seconds = math.inf if config.storage.database is None else LEFT_BY_OTHERS_SECONDS
    indexer = TraceDemand(config.mail_root / CHANGE_MARKS, ROUND_SECONDS, longest_seconds=longest_seconds)
    return {"indexer": indexer} if config.storage.database is not None else {"sender": sender, "indexer": indexer}


def sender_has_work(config: Config) -> bool:
    """Return whether the sender is needed. Blocking, briefly: lists a few folders, nearly always empty."""
    folders = (*folders_of(config.queue_dir), cached_in(config.mta_sts_dir))
    return any(map(_has_entries, folders)) or _has_announced_key(config)


def _has_entries(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except FileNotFoundError:
        return False
    except OSError:  # the sender logs what is wrong
        return True


def _has_announced_key(config: Config) -> bool:
    """Return whether a key waits for its DNS record, which the sender looks for."""
    try:
        return any(key.state is KeyState.ANNOUNCED for key in KeyFolder(config.server.data_dir).read())
    except KeyUnusable:  # as above
        return True
