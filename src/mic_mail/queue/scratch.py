"""A message that may yet be refused, in a file without a name."""

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mic_mail.durable_files import write_all
from mic_mail.queue.errors import trouble
from mic_mail.storage.maildir.copy_range import copy_rest

_NO_NAMELESS_FILES: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
"""Errors of file systems and kernels without O_TMPFILE."""


class Scratch:
    """A message in an unnamed file, which ends with this process. One thread at a time."""

    __slots__ = ("_require_space", "fd", "size")

    def __init__(self, folder: Path, mode: int, suffix: str, require_space: Callable[[], None]) -> None:
        """Open the file; `suffix` is that of its name where the file system requires one for a moment."""
        self._require_space = require_space
        self.size = 0
        try:
            require_space()
            try:
                self.fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
            except OSError as error:
                if error.errno not in _NO_NAMELESS_FILES:
                    raise
                self.fd, name = tempfile.mkstemp(suffix=suffix, dir=folder)
                os.unlink(name)
        except OSError as error:
            raise trouble(error) from error

    @property
    def path(self) -> str:
        """The path by which this process, and no other, can open it."""
        return f"/proc/self/fd/{self.fd}"

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        try:
            self._require_space()
            write_all(self.fd, octets)
        except OSError as error:
            self.discard()
            raise trouble(error) from error
        self.size += len(octets)

    def append_rest(self, source: int, offset: int) -> None:
        """Append the open file `source` from `offset` on."""
        try:
            self._require_space()
            self.size += copy_rest(source, offset, self.fd)
        except OSError as error:
            self.discard()
            raise trouble(error) from error

    def finish(self) -> None:
        """Do nothing: the accepted message is made durable elsewhere."""

    def discard(self) -> None:
        """Close the file; harmless when called twice."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
