"""Files that may already be messages of an account, since a delivery links them (staging.py)."""

import os
from pathlib import Path

from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.local_store import LocalStore


def is_delivered(store: LocalStore, source: str | Path) -> bool:
    """Return whether the durable file `source` is a message of this account, under any name.

    Expunged messages count too. The index knows deliveries by their origin; this answers when the index was lost in between. It
    runs in the critical section, where no name is half changed and no rename hides one from the listing. A message that was
    copied instead of linked is not recognised.
    """
    wanted = os.stat(source)
    if wanted.st_nlink == 1 or not os.path.isdir(store.paths.maildir):  # a deleted store is not recreated for this
        return False
    with writing(store) as write:
        for directory, _, _ in os.walk(store.paths.maildir):
            if os.path.basename(directory) in ("tmp", "new") or os.stat(directory).st_dev != wanted.st_dev:
                continue
            with os.scandir(directory) as entries:
                if any(entry.inode() == wanted.st_ino for entry in entries):
                    write.names.durable[directory] = None
                    return True
    return False
