"""The store of held messages, each with its record: for secrecy refusals and for the quarantine.

In: records (frozen dataclasses), messages in memory or as files. Out: records that survive `kill -9`, in files of this
account alone (0600) below one folder:

    ID.msg     the message as it was, trace lines in front
    ID.json    the record: the message is stored while this exists, and is in a state that has one
    lock       a process that changes a record holds its flock

Legal orders:

    keep       ID.msg~ written -> fsync -> ID.msg -> ID.json~ written -> fsync -> ID.json -> fsync of the folder
    change     ID.json~ written -> fsync -> over ID.json -> fsync -> ID.msg removed, if the new state has none
    forget     ID.json removed -> ID.msg removed

A message without a record that needs it was never stored, or has ended: `sweep` removes it. Blocking; no clock.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from mic_mail.durable_files import make_durable, write_durably
from mic_mail.errors import BadInput, Text, Trouble
from mic_mail.policy.authorization.two_persons import Hand
from mic_mail.queue.spool import Spool, SpoolEnvelope
from mic_mail.storage.backup.files import copy_file, make_folder

FORMAT = 1
MODE = 0o600
FOLDER_MODE = 0o700
ABANDONED_SECONDS = 3_600
SMALLEST_OCTETS = 64 << 10
"""The least space a message counts for when the number of messages is bounded; 2 GiB allow 32,768."""
ALWAYS_KEPT = 1_000
"""The least bound on the number of messages, however small the space is."""
_ID = re.compile(r"[A-Za-z0-9-]{6,64}")
_PIECE = 1 << 20
_Mark = tuple[int, int, int]
"""The inode, time and size of a file, to detect a change."""


@dataclass(frozen=True, slots=True)
class OfficerDecision:
    """The person who made a decision, the reason and the time."""

    actor: str
    reason: str
    at_us: int
    document: str | None = None
    login: str = ""
    """The login name of the person on the machine."""
    full_name: str = ""
    person_id: int | None = None

    @property
    def hand(self) -> Hand:
        """The person."""
        return Hand(self.actor, self.login, self.full_name, self.person_id)


class StoredRecord(Protocol):
    """A record: a frozen dataclass of plain values, tuples of them, enums or `OfficerDecision`s."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def held_id(self) -> str: ...
    @property
    def state(self) -> StrEnum: ...
    @property
    def at_us(self) -> int: ...
    @property
    def octets(self) -> int: ...
    @property
    def digest(self) -> str: ...


R = TypeVar("R", bound=StoredRecord)


class StoreFull(Trouble):
    """The held messages take all the space they may."""


# ------------------------------------------------------------ records


def encoded(record: StoredRecord) -> bytes:
    """Encode a record."""
    return json.dumps({"format": FORMAT, **asdict(record)}, ensure_ascii=False).encode("utf-8", "replace")


def decoded(make: Callable[..., R], octets: bytes, **enums: type[StrEnum]) -> R:
    """Decode a record; `enums` by field. Raises `ValueError` for one that no version of ours has written."""
    try:
        record: dict[str, Any] = json.loads(octets)
        if record.pop("format") != FORMAT:
            raise ValueError("unknown format")
        fields = {name: _field(value) for name, value in record.items()}
        return make(**fields | {name: enum(fields[name]) for name, enum in enums.items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record: {error}") from error


def _field(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return OfficerDecision(**value) if isinstance(value, dict) else value


# ------------------------------------------------------------ the store


class MessageStore(ABC, Generic[R]):
    """All records of one kind below one folder; several processes may use it."""

    def __init__(self, root: Path, decode: Callable[[bytes], R], with_message: Collection[StrEnum]) -> None:
        """`decode` raises `ValueError` for foreign content; in the states `with_message` the message is stored."""
        self._root = root
        self._decode = decode
        self._with_message = with_message
        self._seen: dict[str, tuple[_Mark, R]] = {}
        """The records as they were last read."""

    @abstractmethod
    def _unknown(self, held_id: str) -> BadInput:
        """Return the error for an id that has no record."""

    # ------------------------------------------------------------ writing

    def keep(self, record: R, source: bytes | Path, *, room_octets: int) -> R:
        """Store a message durably and return its record with size and digest; raises `StoreFull`."""
        self._make()
        self._require_space(source, room_octets)
        with self._locked():
            size, digest = self._write_message(record.held_id, source)
            record = replace(record, octets=size, digest=digest)
            self._put(record)
        return record

    def _make(self) -> None:
        self._root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)

    def _require_space(self, source: bytes | Path, room_octets: int) -> None:
        """Raise `StoreFull` if the message is one too many, by octets or, since all records are read, by number."""
        with os.scandir(self._root) as entries:
            sizes = [entry.stat().st_size for entry in entries if entry.name.endswith(".msg")]
        most = max(ALWAYS_KEPT, room_octets // SMALLEST_OCTETS)
        if sum(sizes) + _size(source) > room_octets or len(sizes) >= most:
            raise StoreFull(Text("Hết chỗ giữ thư.", "No room to store another message."))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _write_message(self, held_id: str, source: bytes | Path) -> tuple[int, str]:
        path = self._message_path(held_id)
        digest, size = sha256(), 0
        fresh = f"{path}~"

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in _file_chunks(source):
                digest.update(piece)
                size += len(piece)
                yield piece

        try:
            write_durably(fresh, counted(), MODE)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(fresh)
            raise _trouble(error) from error
        os.rename(fresh, path)
        return size, digest.hexdigest()

    def _put(self, record: R) -> None:
        self._write(record)
        if record.state not in self._with_message:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._message_path(record.held_id))

    def _write(self, record: R) -> None:
        path = self._path(record.held_id)
        try:
            write_durably(f"{path}~", encoded(record), MODE)
        except OSError as error:
            raise _trouble(error) from error
        os.rename(f"{path}~", path)
        make_durable(str(self._root))

    # ------------------------------------------------------------ reading

    def records(self) -> Iterator[R]:
        """Yield every readable record, oldest first; unreadable ones are left to administrators.

        An unchanged record is not read again: there are thousands, and they are listed every few seconds (0.03 s for
        5,000 instead of 0.3 s).
        """
        seen = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root) as entries:
            for entry in entries:
                if entry.name.endswith(".json"):
                    with contextlib.suppress(ValueError, OSError):
                        seen[entry.name] = self._seen_or_read(entry)
        self._seen = seen
        yield from sorted((record for _, record in seen.values()), key=lambda record: (record.at_us, record.held_id))

    def _seen_or_read(self, entry: os.DirEntry[str]) -> tuple[_Mark, R]:
        status = entry.stat()
        mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        before = self._seen.get(entry.name)
        return before if before is not None and before[0] == mark else (mark, self._decode(Path(entry.path).read_bytes()))

    def record(self, held_id: str) -> R:
        """Return a record; raises `BadInput` if there is none with this id."""
        found = self._find(held_id)
        if found is None:
            raise self._unknown(held_id)
        return found

    def _find(self, held_id: str) -> R | None:
        if _ID.fullmatch(held_id):
            with contextlib.suppress(ValueError, FileNotFoundError):
                return self._decode(self._path(held_id).read_bytes())
        return None

    def message(self, record: R) -> Path | None:
        """Return the path of the message; None if it is gone or altered, OSError if it cannot be read now."""
        path = self.path(record)
        digest = sha256()
        try:
            for piece in _file_chunks(path):
                digest.update(piece)
        except FileNotFoundError:
            return None
        return path if digest.hexdigest() == record.digest else None

    def path(self, record: R) -> Path:
        """Return the path of the message while the record has one."""
        return self._message_path(record.held_id)

    # ------------------------------------------------------------ release

    def _into_spool(self, record: R, spool: Spool, slip: SpoolEnvelope) -> bool:
        """Put the message into the spool under the record's id, once; False if it is not what came."""
        if spool.has(record.held_id):
            return True
        path = self.message(record)
        if path is None:
            return False
        draft = spool.draft(record.held_id)
        try:
            for piece in _file_chunks(path):
                draft.write(piece)
            draft.commit(slip).release()
        finally:
            draft.discard()
        return True

    # ------------------------------------------------------------ a backup

    def copy_into(self, folder: Path, earlier: Path | None = None) -> int:
        """Copy all records with their messages durably into a new folder; return their number.

        It blocks nobody. A record that is decided meanwhile is copied in either state, each with what belongs to it.
        Messages that the copy `earlier` has are linked.
        """
        try:
            names = [name.removesuffix(".json") for name in os.listdir(self._root) if name.endswith(".json")]
        except FileNotFoundError:
            return 0
        make_folder(folder)
        copied = sum(self._copy_one(held_id, folder, earlier) for held_id in names)
        make_durable(str(folder))
        return copied

    def _copy_one(self, held_id: str, folder: Path, earlier: Path | None) -> bool:
        """Copy one record and its message; False if it was removed."""
        before: bytes | None = None
        while (record := _content(self._path(held_id))) is not None:
            if self._copy_message(held_id, folder, earlier) or record == before:
                write_durably(folder / f"{held_id}.json", record, MODE, new=True)
                return True
            before = record
        return False

    def _copy_message(self, held_id: str, folder: Path, earlier: Path | None) -> bool:
        path = self._message_path(held_id)
        try:
            copy_file(path, folder / path.name, earlier / path.name if earlier else None)
        except FileNotFoundError:
            return False
        return True

    # ------------------------------------------------------------ removing

    def forget(self, record: R) -> None:
        """Remove a record whose time is over."""
        with self._locked():
            for suffix in (".json", ".msg"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._root / f"{record.held_id}{suffix}")
            make_durable(str(self._root))

    def sweep(self, now_seconds: float) -> None:
        """Remove the leftovers of a kill: partial files, messages without a record, or whose state has none."""
        if not self._root.exists():
            return
        with self._locked():
            over = {record.held_id for record in self.records() if record.state not in self._with_message}
            for name in os.listdir(self._root):
                path, held_id = self._root / name, name.removesuffix(".msg")
                is_over = held_id != name and (held_id in over or not self._path(held_id).exists())
                if (is_over or name.endswith("~")) and path.stat().st_mtime < now_seconds - ABANDONED_SECONDS:
                    path.unlink()

    # ------------------------------------------------------------ files

    def _path(self, held_id: str) -> Path:
        return self._root / f"{held_id}.json"

    def _message_path(self, held_id: str) -> Path:
        return self._root / f"{held_id}.msg"


def _size(source: bytes | Path) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _file_chunks(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with open(source, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            yield piece


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _trouble(error: OSError) -> Trouble:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(Text("Máy chủ tạm hết chỗ.", "No room on the server."))
    return Trouble(Text("Không ghi được thư được giữ.", "The message cannot be stored."))
