"""The place where held messages and their records lie: files of one machine, or rows of a database.

Records are octets here; `message_store` knows what is in them. Blocking.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from mic_mail.errors import Trouble

_PIECE = 1 << 20
Mark = object
"""A value that differs after each change of a record."""
Described = Callable[[int, str], bytes]
"""Returns the record of a message by its size and its digest (SHA-256)."""


class StoreFull(Trouble):
    """The held messages take all the space they may."""


class RecordChange(ABC):
    """A change of one record, which no other process changes meanwhile."""

    @abstractmethod
    def read(self) -> bytes | None:
        """Return the record as it is; None if there is none."""

    @abstractmethod
    def add(self, source: bytes | Path, describe: Described) -> None:
        """Store a message and its record durably, or nothing."""

    @abstractmethod
    def write(self, record: bytes, *, has_message: bool) -> None:
        """Replace the record durably; without `has_message` its message is removed."""


class RecordPlace(ABC):
    """All records of one kind; several processes may use it."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def prepare(self) -> None:
        """Make the place, if it is not there yet."""

    @abstractmethod
    def used(self) -> tuple[int, int]:
        """Return the number of stored messages, and their octets."""

    @abstractmethod
    def changing(self, held_id: str) -> AbstractContextManager[RecordChange]:
        """Change one record; durable at the end of the block."""

    @abstractmethod
    def read(self, held_id: str) -> bytes | None:
        """Return a record; None if there is none."""

    @abstractmethod
    def each(self) -> Iterator[tuple[str, Mark, Callable[[], bytes]]]:
        """Yield every record: its id, its mark, and how to read it, which raises OSError where it is gone."""

    @abstractmethod
    def message(self, held_id: str) -> AbstractContextManager[Path]:
        """Return the file of a message, within the block; there may be none."""

    @abstractmethod
    def copy_into(self, folder: Path, earlier: Path | None = None) -> int:
        """Copy all records with their messages durably into a new folder, if that is no one else's; return their number.

        It blocks nobody. A record that is decided meanwhile is copied in either state, each with what belongs to it.
        Messages that the copy `earlier` has are linked.
        """

    def take_in(self, root: Path) -> None:
        """Take in what is in files below `root`, if this is another place."""
        return

    @abstractmethod
    def forget(self, held_id: str) -> None:
        """Remove a record, and its message."""

    @abstractmethod
    def sweep(self, now_seconds: float, over: Callable[[], Collection[str]]) -> None:
        """Remove the leftovers of a kill; `over` returns the records whose state has no message."""


def chunks(source: bytes | Path) -> Iterator[bytes]:
    """Yield the octets of a message."""
    if isinstance(source, bytes):
        yield source
        return
    with open(source, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            yield piece
