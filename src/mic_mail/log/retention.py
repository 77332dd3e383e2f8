"""Delete the segments of the mail log when their months are over, never before (Reg. 8.2).

In: the folder, the months, the current instant. Out: the segments removed and those that could not be. Blocking; for an
executor.
A segment is named by its UTC day, and the regulation counts in local days (`policy.calendar`): the last event of the day
2026-11-24 may have happened on 25/11/2026 in Ho Chi Minh City, so with 6 months its segment is kept to the end of 25/05/2027
there. A segment that a process still has open bears that process's lock and stays, however old it is.

Segments to be deleted are recorded in the chain of anchors before the first deletion, so that `verify` distinguishes an
expired segment from one deleted otherwise. Never touched: the log of administrative acts, which explains the state of every
mailbox for as long as it exists; anything whose name is not exactly that of a segment; links.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path

from mic_mail.log.files import segment_day
from mic_mail.policy.calendar import TermEnd, after_months, local_day


@dataclass(slots=True)
class RetentionResult:
    """The result of one run."""

    removed: list[tuple[str, int]] = field(default_factory=list)
    """Names and octets."""
    failed: list[tuple[str, OSError]] = field(default_factory=list)


def remove_expired(
    folder: Path, months: int, now: datetime, *, announce: Callable[[Sequence[str]], None] = lambda _: None
) -> RetentionResult:
    """Delete the segments in `folder` whose `months` are over at `now`, oldest first.

    A failed deletion does not stop the others. `announce` is called with their names before the first deletion, and records
    them (`anchor_writer.AnchorWriter.announce_removal`).
    """
    removal = RetentionResult()
    names = sorted(_expired(folder, months, now))
    if names:
        announce(names)
    for name in names:
        try:
            octets = _remove(folder / name)
        except FileNotFoundError:  # an administrator was faster
            continue
        except OSError as error:
            removal.failed.append((name, error))
            continue
        if octets is not None:
            removal.removed.append((name, octets))
    return removal


def kept_until(day: date, months: int) -> datetime:
    """Return the first instant at which the segments of a UTC day may be deleted."""
    last_event = datetime.combine(day, time.max, UTC)
    return after_months(local_day(last_event), months, TermEnd.END_OF_DAY)


def _expired(folder: Path, months: int, now: datetime) -> Iterator[str]:
    today = now.astimezone(UTC).date()
    with os.scandir(folder) as entries:
        for entry in entries:
            day = segment_day(entry.name)
            # Today's and future segments are skipped, as terms that begin in the year 9999 have no end.
            if day is not None and day < today and kept_until(day, months) <= now and entry.is_file(follow_symlinks=False):
                yield entry.name


def _remove(path: Path) -> int | None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # MailLog holds LOCK_SH on the segment that it writes
        octets = os.fstat(fd).st_size
        os.unlink(path)
    except BlockingIOError:
        return None
    finally:
        os.close(fd)
    return octets
