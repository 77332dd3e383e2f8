"""Staged messages: files in the account's `tmp/` that already have their final base name.

Staging needs no lock and no index. The content is fsynced by `finish`; the name only counts once it stands in a `cur`
(publish.py). A file that is never published is discarded by its writer, or by the sweep after `ABANDONED_SECONDS` (Maildir's
own 36 hours).
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from mic_mail.durable_files import write_durably
from mic_mail.storage.errors import of_os_error
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.copy_range import copy_rest
from mic_mail.storage.maildir.maildir import MESSAGE_MODE, make_tmp
from mic_mail.storage.reserve import Reserve

ABANDONED_SECONDS = 36 * 3_600
NO_LINK = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOTSUP})
"""Errors of link(2) that a copy avoids.

ext4 allows 65,000 links; another file system, or one without links; a file of another owner (fs.protected_hardlinks).
"""
_COPY_OCTETS = 1 << 20


class StagedFile:
    """An incoming message in the account's `tmp/`.

    Unpublished ones are swept away. `DiskFull` leaves nothing behind.
    """

    __slots__ = ("_fd", "_is_checked", "_is_durable", "_reserve", "path", "size")

    def __init__(self, path: str, fd: int, reserve: Reserve, size: int = 0, *, durable: bool = False) -> None:
        """`fd` is -1 for a file that is already complete. Nothing is written while `reserve` is given up."""
        self.path = path
        self._reserve = reserve
        self.size = size
        self._fd = fd
        self._is_durable = durable
        self._is_checked = True
        """True before the first write: whoever made the file has just looked at the reserve."""

    @property
    def base(self) -> str:
        """The part of its name that it keeps for ever."""
        return self.path.rpartition("/")[2]

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        view = memoryview(octets)
        try:
            if not self._is_checked:
                self._reserve.require_whole()
            self._is_checked = False
            while view:
                written = os.write(self._fd, view)
                self.size += written
                view = view[written:]
        except OSError as error:
            self.discard()
            raise of_os_error("staging", error) from error

    def append_rest(self, source: int, offset: int) -> None:
        """Append the open file `source` from `offset` on."""
        try:
            self._reserve.require_whole()
            self.size += copy_rest(source, offset, self._fd)
        except OSError as error:
            self.discard()
            raise of_os_error("staging", error) from error

    def finish(self) -> None:
        """Make the content durable (fsync)."""
        if self._is_durable:
            return
        try:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            os.fsync(self._fd)
        except OSError as error:
            self.discard()
            raise of_os_error("staging", error) from error
        self._close()
        self._is_durable = True

    def finish_later(self) -> None:
        """Close a complete file, durable only by the journal; `finish` may still follow."""
        self._close()

    def discard(self) -> None:
        """Delete the file; harmless after publication and when called twice."""
        self._close()
        unlink_quietly(self.path)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def stage(store: LocalStore) -> StagedFile:
    """Open a staging file for a new message; needs no lock."""
    # Only this descriptor can ever write, so the mode is final from the start.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return _in_tmp(store, lambda path: StagedFile(path, os.open(path, flags, MESSAGE_MODE), store.reserve))


def stage_link(store: LocalStore, source: str | Path, *, durable: bool = True) -> StagedFile:
    """Stage the file `source` by hard link, or by copy where linking fails.

    Unless the file is `durable`, `finish` has to follow.
    """

    def linked(path: str) -> StagedFile:
        link_or_copy(source, path)
        return StagedFile(path, -1, store.reserve, os.stat(path).st_size, durable=durable)

    return _in_tmp(store, linked)


def _in_tmp(store: LocalStore, make: Callable[[str], StagedFile]) -> StagedFile:
    store.ensure_open()
    path = _new_path(store)
    try:
        store.reserve.require_whole()
        try:
            return make(path)
        except FileNotFoundError:
            make_tmp(store.paths)
            return make(path)
    except OSError as error:
        raise of_os_error("staging", error) from error


def _new_path(store: LocalStore) -> str:
    return f"{store.paths.tmp}/{store.shared.names.base(store.clock.steady_us())}"


def link_or_copy(source: str | Path, target: str) -> bool:
    """Hard-link a message, or make a durable copy, whole or not at all, and return True."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
    else:
        return False
    with open(source, "rb", buffering=0) as file:
        try:
            write_durably(target, iter(lambda: file.read(_COPY_OCTETS), b""), MESSAGE_MODE, new=True)
        except FileExistsError:
            raise
        except BaseException:
            unlink_quietly(target)
            raise
    return True


def unlink_quietly(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
