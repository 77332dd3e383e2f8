"""Messages that are kept back, each with its record: the files of what was refused (`held`) and of the quarantine.

In: records that know their id and how they are written, messages in memory or as files. Out: records that survive `kill -9`, in
files of this account alone (0600) below one folder:

    ID.msg     the message as it was, trace lines in front
    ID.json    the record: the message is kept while this exists
    lock       whoever changes a record holds its flock

Legal orders:

    keep       ID.msg~ written -> fsync -> ID.msg -> ID.json~ written -> fsync -> ID.json -> fsync of the folder
    change     ID.json~ written -> fsync -> over ID.json -> fsync
    forget     ID.json removed -> ID.msg removed

A message without a record that needs it was never kept, or is over: `sweep` removes it. Blocking; no clock.
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from mic_mail.errors import Text, Trouble
from mic_mail.outbound.spool import Slip, Spool

MODE = 0o600
FOLDER_MODE = 0o700
ABANDONED_SECONDS = 3_600
SMALLEST_OCTETS = 64 << 10
"""What a message takes of the room at least; 2 GiB are 32,768 messages."""
ALWAYS_KEPT = 1_000
"""So many, however small the room is, if they are that small."""
_ID = re.compile(r"[A-Za-z0-9-]{6,64}")
_PIECE = 1 << 20
_Mark = tuple[int, int, int]
"""By which a file is known to be the one that was read: inode, time, size."""


class Keepable(Protocol):
    """What a record is to its folder."""

    @property
    def held_id(self) -> str: ...
    @property
    def at_us(self) -> int: ...
    @property
    def digest(self) -> str: ...
    def encode(self) -> bytes: ...


R = TypeVar("R", bound=Keepable)


class NoRoom(Trouble):
    """The messages that are kept take all the room that they may."""


class Keeping(Generic[R]):
    """All records of one kind below one folder; several processes at once."""

    def __init__(self, root: Path, decode: Callable[[bytes], R]) -> None:
        """`decode` raises `ValueError` for what no version of ours has written."""
        self._root = root
        self._decode = decode
        self._seen: dict[str, tuple[_Mark, R]] = {}
        """The records as they were last read."""

    # ------------------------------------------------------------ writing

    def make(self) -> None:
        self._root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)

    def must_have_room(self, source: bytes | Path, room_octets: int) -> None:
        """`NoRoom` if the message is one too many: of small ones too there are only so many, as all are looked through."""
        with os.scandir(self._root) as entries:
            sizes = [entry.stat().st_size for entry in entries if entry.name.endswith(".msg")]
        most = max(ALWAYS_KEPT, room_octets // SMALLEST_OCTETS)
        if sum(sizes) + _size(source) > room_octets or len(sizes) >= most:
            raise NoRoom(Text("Hết chỗ giữ thư.", "No room to keep another message."))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among all processes."""
        fd = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def write_message(self, held_id: str, source: bytes | Path) -> tuple[int, str]:
        """Durable under its name but for the folder; size and digest."""
        path = self.message_path(held_id)
        digest, size = sha256(), 0
        fresh = f"{path}~"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        try:
            for piece in _pieces(source):
                digest.update(piece)
                size += len(piece)
                _write_all(fd, piece)
            os.fsync(fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(fresh)
            raise _trouble(error) from error
        finally:
            os.close(fd)
        os.rename(fresh, path)
        return size, digest.hexdigest()

    def write(self, record: R) -> None:
        """Under the lock: durable when this returns."""
        path = self._path(record.held_id)
        fd = os.open(f"{path}~", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        try:
            _write_all(fd, record.encode())
            os.fsync(fd)
        except OSError as error:
            raise _trouble(error) from error
        finally:
            os.close(fd)
        os.rename(f"{path}~", path)
        self._sync()

    # ------------------------------------------------------------ reading

    def records(self) -> Iterator[R]:
        """Every record, oldest first; one that cannot be read is left to people. What has not changed is not read again: there
        are thousands, and somebody looks every few seconds (0.3 s for 5,000, else 0.03)."""
        seen = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root) as entries:
            for entry in entries:
                if entry.name.endswith(".json"):
                    with contextlib.suppress(ValueError, OSError):
                        seen[entry.name] = self._seen_or_read(entry)
        self._seen = seen
        yield from sorted((record for _, record in seen.values()), key=lambda record: (record.at_us, record.held_id))

    def _seen_or_read(self, entry: os.DirEntry[str]) -> tuple[_Mark, R]:
        """A change is another file under the name."""
        status = entry.stat()
        mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        before = self._seen.get(entry.name)
        return before if before is not None and before[0] == mark else (mark, self._decode(Path(entry.path).read_bytes()))

    def find(self, held_id: str) -> R | None:
        """One record, if there is one of that reference that can be read."""
        if _ID.fullmatch(held_id):
            with contextlib.suppress(ValueError, FileNotFoundError):
                return self._decode(self._path(held_id).read_bytes())
        return None

    def has(self, held_id: str) -> bool:
        return self._path(held_id).exists()

    def message(self, record: R) -> Path | None:
        """The message as it was; None if it is gone, or is not what it was. OSError where it cannot be read now: that says
        nothing of either, and nobody may remove it for that."""
        path = self.message_path(record.held_id)
        digest = sha256()
        try:
            for piece in _pieces(path):
                digest.update(piece)
        except FileNotFoundError:
            return None
        return path if digest.hexdigest() == record.digest else None

    def message_path(self, held_id: str) -> Path:
        return self._root / f"{held_id}.msg"

    # ------------------------------------------------------------ handing over

    def into_spool(self, record: R, spool: Spool, slip: Slip) -> bool:
        """An entry of the spool under the record's id, with this envelope; there already, it is left alone.

        False: what is kept is not what came, and goes nowhere.
        """
        if spool.has(record.held_id):
            return True
        path = self.message(record)
        if path is None:
            return False
        draft = spool.draft(record.held_id)
        try:
            for piece in _pieces(path):
                draft.write(piece)
            draft.commit(slip).release()
        finally:
            draft.discard()
        return True

    # ------------------------------------------------------------ removing

    def drop_message(self, held_id: str) -> None:
        """Under the lock; the record stays."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.message_path(held_id))

    def forget(self, record: R) -> None:
        """Its time is over."""
        with self.locked():
            for suffix in (".json", ".msg"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._root / f"{record.held_id}{suffix}")
            self._sync()

    def sweep(self, now_seconds: float, has_no_message: Callable[[R], bool]) -> None:
        """Remove what a kill has left: halves, messages without a record, and those whose record says that they are gone."""
        if not self._root.exists():
            return
        with self.locked():
            over = {record.held_id for record in self.records() if has_no_message(record)}
            for name in os.listdir(self._root):
                path, held_id = self._root / name, name.removesuffix(".msg")
                is_over = held_id != name and (held_id in over or not self._path(held_id).exists())
                if (is_over or name.endswith("~")) and path.stat().st_mtime < now_seconds - ABANDONED_SECONDS:
                    path.unlink()

    # ------------------------------------------------------------ files

    def _path(self, held_id: str) -> Path:
        return self._root / f"{held_id}.json"

    def _sync(self) -> None:
        fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _size(source: bytes | Path) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _pieces(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with open(source, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            yield piece


def _write_all(fd: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(fd, view) :]


def _trouble(error: OSError) -> Trouble:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoom(Text("Máy chủ tạm hết chỗ.", "No room on the server."))
    return Trouble(Text("Không ghi được thư được giữ.", "The message cannot be kept."))
