"""Disk space set aside so that mail can still be removed when the disk is full.

Removing a message needs space before it frees any: SQLite writes a log, the account's record grows, the index of an idle
account needs shared memory beside it. So each file system that holds mail has a file of allocated blocks, which is given up
when a removal finds no space:

    state      the file                 new mail    other writes
    MISSING    is not there             taken       unchanged: there has never been space to set it aside
    WHOLE      has its octets           taken       unchanged; a removal that meets ENOSPC gives it up and is retried
    GIVEN_UP   is there, without any    refused     removals, and what opens a mailbox, use the space

The state lies on the disk, so all processes agree, and a kill between any two steps leaves one of these states. The file is
truncated and never unlinked, because truncation needs no block itself. The housekeeper (`services.operations.disk_reserve`)
sets it aside again under another name, which then takes its place, once there is space for as much again, so that the next
message does not make it be given up anew. Writes that are refused while it is given up call `require_whole`: messages, folders,
annotations, cached values.
"""

import enum
import errno
import os
from pathlib import Path

from mic_mail.durable_files import make_durable
from mic_mail.storage.errors import Busy, DiskFull, Unavailable

FILE = ".reserve"
"""File name in the mail root, and in the folder of a domain that has its own file system."""
_NEW = FILE + ".new"
_SHORT_OCTETS = 1 << 20
"""With less free space than this, an error of any kind is taken for lack of space.

SQLite says "disk I/O error" where the index's shared memory cannot grow, and "unable to open" where the log cannot be made.
"""


class ReserveState(enum.StrEnum):
    """State of the reserve: whether removals have space on a file system."""

    MISSING = "missing"
    WHOLE = "whole"
    GIVEN_UP = "given-up"


class Reserve:
    """The reserve of one file system; safe from any thread and process."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._path = f"{folder}/{FILE}"
        self._new = f"{folder}/{_NEW}"

    @property
    def state(self) -> ReserveState:
        """Return the state by one stat; `MISSING` where the folder cannot be read."""
        octets = self._octets()
        if octets is None:
            return ReserveState.MISSING
        return ReserveState.WHOLE if octets else ReserveState.GIVEN_UP

    def require_whole(self) -> None:
        """Raise OSError, ENOSPC, as the disk would, while the remaining space is for removals."""
        if self.state is ReserveState.GIVEN_UP:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)

    def give_up_if_full(self, error: Unavailable) -> bool:
        """Give up the reserve if the error was lack of space; return whether a retry is worthwhile."""
        return self._is_out_of_space(error) and self._give_up()

    def set_aside(self, octets: int) -> bool:
        """Allocate the file with so many octets unless it has them; False: no space for twice as much."""
        present = self._octets()
        if present == octets:
            return True
        if self._free() + (present or 0) < 2 * octets:
            return False
        try:
            fd = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, octets)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(self._new, self._path)
            make_durable(self.folder)
        except OSError:  # another process has filled the disk meanwhile, or a removal needs the space now
            self._drop_unfinished()
            return False
        return True

    def _is_out_of_space(self, error: Unavailable) -> bool:
        return isinstance(error, DiskFull) or (not isinstance(error, Busy) and self._free() < _SHORT_OCTETS)

    def _give_up(self) -> bool:
        self._drop_unfinished()
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            if os.fstat(fd).st_size:
                os.ftruncate(fd, 0)
                os.fsync(fd)  # some file systems give blocks back at their next commit
        except OSError:
            return False
        finally:
            os.close(fd)
        return self._free() > 0

    def _drop_unfinished(self) -> None:
        try:
            os.unlink(self._new)
        except OSError:
            pass

    def _octets(self) -> int | None:
        try:
            return os.stat(self._path).st_size
        except OSError:
            return None

    def _free(self) -> int:
        try:
            found = os.statvfs(self.folder)
        except OSError:
            return 0
        return found.f_bavail * found.f_frsize


class Reserves:
    """All reserves below one mail root."""

    def __init__(self, mail_root: str) -> None:
        self._root = mail_root
        self.root = Reserve(mail_root)
        self._by_domain: dict[str, Reserve] = {}

    def of(self, home: str) -> Reserve:
        """Return the reserve of the file system that holds an account's folder; mounts are checked once."""
        domain = os.path.dirname(home)
        known = self._by_domain.get(domain)
        if known is not None:
            return known
        try:
            is_apart = os.stat(domain).st_dev != os.stat(self._root).st_dev
        except OSError:
            return self.root
        return self._by_domain.setdefault(domain, Reserve(domain) if is_apart else self.root)

    def beside(self, folder: str | Path) -> Reserve | None:
        """Return the reserve of the file system that holds another folder, if it holds mail too."""
        device = os.stat(folder).st_dev
        return next((reserve for reserve in self.every() if os.stat(reserve.folder).st_dev == device), None)

    def every(self) -> list[Reserve]:
        """Return the mail root's reserve, and those of domains with their own file systems."""
        try:
            with os.scandir(self._root) as entries:
                domains = [entry.path for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
        except FileNotFoundError:
            return []
        apart = [self.of(f"{domain}/home") for domain in sorted(domains)]
        return [self.root, *(reserve for reserve in apart if reserve is not self.root)]
