"""Accepted messages from outside whose documents are still to be read, each with its facts.

In: a message's file, durable and complete, and its record. Out: an `UnreadMessage` that survives `kill -9` at any step, and its
end once its documents were read. One entry is two files named by its id, in files of this account alone:

    ID.msg    a hard link to the message, so that it can be read whatever becomes of it in its mailbox
    ID.json   the record, and behind it a line end for each time that reading began: the entry exists while this does

Legal orders (each step may be the last thing that happened before a kill):

    keep      ID.json~ made and locked -> ID.msg linked -> ID.json~ written -> fsync -> ID.json -> fsync of the folder -> the
              message is accepted -> `250`
    read      a line end behind the record -> read -> flagged, durably and once (`HeldMessages.flag`) -> ID.json removed ->
              ID.msg removed

    found after a kill                means                                          resume
    ID.json~, or ID.msg alone         `250` never sent, or read to the end           removes it
    ID.json without ID.msg            read, and a power cut brought it back          removes it
    both                              accepted or about to be; perhaps flagged       yields it
    both, and ID.json is unreadable   the disk damaged it, or it is foreign          leaves it to administrators

A living owner holds the flock of ID.json, so entries of a killed owner are free at once. Blocking; no clock.
"""

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from mic_mail.durable_files import make_durable, open_locked, write_all, write_durably
from mic_mail.storage.backup.files import copy_file, make_folder

FORMAT = 1
MODE, FOLDER_MODE = 0o600, 0o700
MOST_ATTEMPTS = 3
"""Times that reading begins: a document that ends the whole process does so no more often."""
_LINE_END = b"\n"
_TO_COUNT = os.O_RDWR | os.O_APPEND


@dataclass(frozen=True, slots=True)
class UnreadRecord:
    """The facts about one message."""

    trace_id: str
    sender: str
    recipients: tuple[str, ...]
    peer: str | None
    session: str | None

    def encode(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False).encode("utf-8", "replace")

    @classmethod
    def decode(cls, octets: bytes) -> "UnreadRecord":
        """Decode a record; `ValueError` for one that no version of ours has written."""
        try:
            record = json.loads(octets)
            if record.pop("format") != FORMAT:
                raise ValueError("unknown format")
            return cls(**{**record, "recipients": tuple(record["recipients"])})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a record: {error}") from error


class UnreadMessage:
    """An entry that this process owns."""

    __slots__ = ("_attempts", "_guard", "_has_begun", "_lock", "_mark", "path", "record")

    def __init__(self, record: UnreadRecord, mark: Path, path: Path, lock: int, attempts: int = 0) -> None:
        self.record = record
        self.path = path
        """The message."""
        self._mark = mark
        self._lock = lock
        self._attempts = attempts
        self._has_begun = False
        self._guard = threading.Lock()
        """Held while the descriptor is used.

        A cancelled task releases it on the loop while a thread still begins or ends.
        """

    def begin(self) -> bool:
        """Count an attempt; return False where there were too many.

        The count outlives this process, which is enough, and not a power cut: it costs no fsync.
        """
        with self._guard:
            if self._attempts >= MOST_ATTEMPTS or self._lock < 0:
                return False
            self._attempts += 1
            write_all(self._lock, _LINE_END)
            self._has_begun = True
            return True

    def end(self) -> None:
        """Remove the entry."""
        self._mark.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self, *, is_attempt: bool = True) -> None:
        """Leave the entry to the next that resumes; harmless after `end`. An attempt may be taken back."""
        with self._guard:
            lock, self._lock = self._lock, -1
            if lock < 0:
                return
            try:
                if self._has_begun and not is_attempt:
                    os.ftruncate(lock, os.fstat(lock).st_size - len(_LINE_END))
            finally:
                os.close(lock)


class UnreadMessages:
    """All entries below one folder; several processes may use it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, record: UnreadRecord, source: Path) -> UnreadMessage:
        """Make an entry exist durably; OSError, with nothing left, where that or a hard link is not possible."""
        self._make()
        mark, path = self._root / f"{record.trace_id}.json", self._root / f"{record.trace_id}.msg"
        fresh = f"{mark}~"
        lock = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.link(source, path)
            write_all(lock, record.encode())
            os.fsync(lock)
            os.rename(fresh, mark)
            make_durable(self._root)
        except BaseException:
            for name in (mark, fresh, path):
                with contextlib.suppress(OSError):
                    os.unlink(name)
            os.close(lock)
            raise
        return UnreadMessage(record, mark, path, lock)

    def _make(self) -> None:
        for folder in (self._root.parent, self._root):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(FOLDER_MODE)
                make_durable(folder.parent)

    def count(self) -> int:
        """Return the number of entries of all processes."""
        try:
            return sum(name.endswith(".json") for name in os.listdir(self._root))
        except FileNotFoundError:
            return 0

    def damaged(self) -> int:
        """Return the number of entries with an unreadable record; blocks nobody."""
        return sum(_is_damaged(mark) for mark in self._root.glob("*.json") if mark.with_suffix(".msg").exists())

    # ------------------------------------------------------------ a backup

    def copy_into(self, folder: Path, earlier: Path | None = None) -> int:
        """Copy all entries durably into a new folder; return their number. It blocks nobody.

        An entry that ends meanwhile is left out. Messages that the copy `earlier` has are linked.
        """
        try:
            marks = [self._root / name for name in sorted(os.listdir(self._root)) if name.endswith(".json")]
        except FileNotFoundError:
            return 0
        make_folder(folder)
        copied = sum(_copy_entry(mark, folder, earlier) for mark in marks)
        make_durable(folder)
        return copied

    # ------------------------------------------------------------ the next process

    def resume(
        self,
        most: int,
        unreadable: Callable[[Path, Exception], None] = lambda mark, error: None,
        *,
        is_due: Callable[[str], bool] = lambda trace_id: True,
    ) -> list[UnreadMessage]:
        """Return at most so many entries that no living process owns, and own them from now on; remove leftovers.

        An entry whose record cannot be read stays; `unreadable` is called with the record's file. One that is not due by its
        trace id stays, too.
        """
        try:
            names = sorted(os.listdir(self._root))
        except FileNotFoundError:
            return []
        for name in names:
            if not name.endswith(".json"):
                self._sweep(self._root / name)
        due = (name for name in names if name.endswith(".json") and is_due(name.removesuffix(".json")))
        return list(islice(self._free(due, unreadable), most))

    def _sweep(self, path: Path) -> None:
        """Remove a leftover, unless its owner lives."""
        mark = path.with_suffix(".json")
        with contextlib.suppress(OSError):
            if path.suffix == ".json~":
                if (lock := open_locked(path, _TO_COUNT)) is not None:
                    try:
                        path.unlink()
                    finally:
                        os.close(lock)
            # in this order: an owner renames the one to the other
            elif path.suffix == ".msg" and not path.with_suffix(".json~").exists() and not mark.exists():
                path.unlink()

    def _free(self, names: Iterator[str], unreadable: Callable[[Path, Exception], None]) -> Iterator[UnreadMessage]:
        for name in names:
            mark = self._root / name
            try:
                entry = self._adopted(mark)
            except (OSError, ValueError) as error:  # it stays, for administrators
                unreadable(mark, error)
                continue
            if entry is not None:
                yield entry

    def _adopted(self, mark: Path) -> UnreadMessage | None:
        lock = open_locked(mark, _TO_COUNT)
        if lock is None:
            return None
        try:
            path = mark.with_suffix(".msg")
            is_over = os.fstat(lock).st_nlink == 0
            if not is_over and not path.exists():
                mark.unlink()
                is_over = True
            if not is_over:
                octets = os.pread(lock, os.fstat(lock).st_size, 0)
                record = UnreadRecord.decode(octets)
                attempts = len(octets) - len(octets.rstrip(_LINE_END))
                return UnreadMessage(record, mark, path, lock, attempts)
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
        return None


def _copy_entry(mark: Path, folder: Path, earlier: Path | None) -> bool:
    """Copy the message, then the record; False if the entry ended meanwhile."""
    message = mark.with_suffix(".msg")
    try:
        copy_file(message, folder / message.name, earlier / message.name if earlier else None)
        write_durably(folder / mark.name, mark.read_bytes(), MODE, new=True)
    except FileNotFoundError:
        (folder / message.name).unlink(missing_ok=True)
        return False
    return True


def _is_damaged(mark: Path) -> bool:
    try:
        UnreadRecord.decode(mark.read_bytes())
    except FileNotFoundError:  # it ended meanwhile
        return False
    except (OSError, ValueError):
        return True
    return False
