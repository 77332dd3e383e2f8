"""Held messages and their records as files of one machine, of the server's account alone (0600), below one folder:

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
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from mic_mail.durable_files import make_durable, write_durably
from mic_mail.errors import Text, Trouble
from mic_mail.quarantine.record_place import Described, Mark, RecordChange, RecordPlace, StoreFull, chunks
from mic_mail.storage.backup.files import copy_file, make_folder

MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
ABANDONED_SECONDS: Final = 3_600


class RecordFiles(RecordPlace):
    """The records and messages below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def close(self) -> None: ...

    def used(self) -> tuple[int, int]:
        with os.scandir(self._root) as entries:
            sizes = [entry.stat().st_size for entry in entries if entry.name.endswith(".msg")]
        return len(sizes), sum(sizes)

    def prepare(self) -> None:
        self._root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)

    @contextmanager
    def changing(self, held_id: str) -> "Iterator[RecordFilesChange]":
        with self._locked():
            yield RecordFilesChange(self, held_id)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def read(self, held_id: str) -> bytes | None:
        try:
            return self.record_path(held_id).read_bytes()
        except FileNotFoundError:
            return None

    def each(self) -> Iterator[tuple[str, Mark, Callable[[], bytes]]]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root) as entries:
            for entry in entries:
                if entry.name.endswith(".json"):
                    with contextlib.suppress(OSError):
                        status = entry.stat()
                        mark = (status.st_ino, status.st_mtime_ns, status.st_size)
                        yield entry.name.removesuffix(".json"), mark, Path(entry.path).read_bytes

    @contextmanager
    def message(self, held_id: str) -> Iterator[Path]:
        yield self.message_path(held_id)

    def copy_into(self, folder: Path, earlier: Path | None = None) -> int:
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
        while (record := self.read(held_id)) is not None:
            if self._copy_message(held_id, folder, earlier) or record == before:
                write_durably(folder / f"{held_id}.json", record, MODE, new=True)
                return True
            before = record
        return False

    def _copy_message(self, held_id: str, folder: Path, earlier: Path | None) -> bool:
        path = self.message_path(held_id)
        try:
            copy_file(path, folder / path.name, earlier / path.name if earlier else None)
        except FileNotFoundError:
            return False
        return True

    def forget(self, held_id: str) -> None:
        with self._locked():
            for suffix in (".json", ".msg"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._root / f"{held_id}{suffix}")
            make_durable(str(self._root))

    def sweep(self, now_seconds: float, over: Callable[[], Collection[str]]) -> None:
        if not self._root.exists():
            return
        with self._locked():
            ended = over()
            for name in os.listdir(self._root):
                path, held_id = self._root / name, name.removesuffix(".msg")
                is_over = held_id != name and (held_id in ended or not self.record_path(held_id).exists())
                if (is_over or name.endswith("~")) and path.stat().st_mtime < now_seconds - ABANDONED_SECONDS:
                    path.unlink()

    def record_path(self, held_id: str) -> Path:
        return self._root / f"{held_id}.json"

    def message_path(self, held_id: str) -> Path:
        return self._root / f"{held_id}.msg"

    def write_message(self, held_id: str, source: bytes | Path) -> tuple[int, str]:
        """Write a message durably; return its size and digest."""
        path = self.message_path(held_id)
        digest, size = sha256(), 0
        fresh = f"{path}~"

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in chunks(source):
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

    def write_record(self, held_id: str, record: bytes) -> None:
        """Replace a record durably."""
        path = self.record_path(held_id)
        try:
            write_durably(f"{path}~", record, MODE)
        except OSError as error:
            raise _trouble(error) from error
        os.rename(f"{path}~", path)
        make_durable(str(self._root))


class RecordFilesChange(RecordChange):
    """A change of one record, under the lock of all."""

    def __init__(self, files: RecordFiles, held_id: str) -> None:
        self._files = files
        self._held_id = held_id

    def read(self) -> bytes | None:
        return self._files.read(self._held_id)

    def add(self, source: bytes | Path, describe: Described) -> None:
        size, digest = self._files.write_message(self._held_id, source)
        self._files.write_record(self._held_id, describe(size, digest))

    def write(self, record: bytes, *, has_message: bool) -> None:
        self._files.write_record(self._held_id, record)
        if not has_message:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._files.message_path(self._held_id))


def _trouble(error: OSError) -> Trouble:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(Text("Máy chủ tạm hết chỗ.", "No room on the server."))
    return Trouble(Text("Không ghi được thư được giữ.", "The message cannot be stored."))
