"""Read a message in a file slice by slice: it is never whole in memory.

In: a descriptor, which stays the caller's, and the size of the file. Out: slices, each whole or not at all. Not by mmap(2): a
page that the disk cannot read would end the process.
"""

import os


class ReadFailed(Exception):
    """The disk does not return the message: nothing is known of what it holds."""


class MessageFile:
    """The octets of a message."""

    __slots__ = ("_descriptor", "_size")

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice, /) -> bytes:
        start, stop, _ = part.indices(self._size)
        octets = self._read(stop - start, start)
        while len(octets) < stop - start:  # the kernel first returns what comes before damage, and its error at the next call
            octets += self._read(stop - start - len(octets), start + len(octets)) or self._end()
        return octets

    def _read(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self._descriptor, max(0, size), offset)
        except OSError as error:
            raise ReadFailed(str(error)) from error

    def _end(self) -> bytes:
        raise ReadFailed("the file is shorter than it was")
