"""The networks from which each mailbox signed in lately, saved across restarts.

After a restart an attack therefore does not lock out the owner (Reg. 4.3).

In: the entries of a process's throttle. Out: `known-networks.json`, replaced whole; each process reads it when it
starts. The housekeeper writes it, since it receives all sign-ins; a kill loses the networks of the last ten seconds. A
file that is unreadable or too old counts as empty. Blocking.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

FILE: Final = "known-networks.json"
SAVED_SECONDS: Final = 10.0
MOST_OCTETS: Final = 16 << 20

Known = tuple[str, str, float]
"""A mailbox, a network, the seconds since its last sign-in."""


def load(state_dir: Path, now: float) -> Iterator[Known]:
    """Yield the saved entries; `now` in seconds since 1970."""
    try:
        with (state_dir / FILE).open("rb") as file:
            rows = json.loads(file.read(MOST_OCTETS))["known"]
        for mailbox, network, at in rows:
            if isinstance(mailbox, str) and isinstance(network, str) and isinstance(at, int | float):
                yield mailbox, network, max(0.0, now - at)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return


def save(state_dir: Path, known: Iterable[Known], now: float) -> None:
    """Replace the file. Raises OSError."""
    path = state_dir / FILE
    fresh = path.with_suffix(".new")
    octets = json.dumps({"known": [[mailbox, network, round(now - ago)] for mailbox, network, ago in known]}).encode()
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(octets)
    fresh.replace(path)
