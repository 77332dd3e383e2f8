"""The spool of one machine: files, which a process of it owns by a lock.

An entry is two files named by its id:

    tmp/ID.msg    the message while it is written           tmp/ID.env    the envelope while it is written
    live/ID.msg   the message, durable and read-only        live/ID.env   the envelope: the entry exists while this does

Legal orders (each step may be the last thing that happened before a kill; `recover` identifies the state and resolves
it):

    accept    tmp/ID.msg written -> fsync -> tmp/ID.env written -> fsync -> live/ID.msg -> live/ID.env -> fsync live/ -> `250`
    progress  tmp/ID.env written -> fsync -> over live/ID.env -> fsync live/
    end       every recipient settled -> live/ID.env removed -> fsync live/ -> live/ID.msg removed

    found after a kill                     means                                     recover
    tmp/ID.*                               never acknowledged, or a progress report  removes it
    live/ID.msg without live/ID.env        accept before, or end after, the entry    removes it
    live/ID.env without live/ID.msg        power cut before fsync live/: no `250`    removes it
    both                                   the entry: acknowledged or about to be    yields it for delivery

A living owner holds the flock of its message file from the first octet to the end, so recovery beside running processes
does not touch their entries, and those of a killed owner are free at once. Blocking; times are passed in.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from mic_mail.durable_files import open_locked, write_all, write_durably
from mic_mail.queue.errors import SpoolUnavailable, trouble
from mic_mail.queue.spool import MESSAGE, MESSAGE_MODE, Spool, SpoolDraft, SpoolEntry, SpoolEnvelope, is_due
from mic_mail.storage.maildir.copy_range import copy_rest
from mic_mail.storage.reserve import Reserves

ENVELOPE: Final = ".env"


class LocalSpool(Spool):
    """All entries below one directory."""

    def __init__(self, root: Path, reserves: Reserves | None = None) -> None:
        super().__init__(root, reserves)
        self._live = root / "live"
        for directory in (self._tmp, self._live):
            directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._live_fd = os.open(self._live, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._live_text = str(self._live)

    def close(self) -> None:
        os.close(self._live_fd)

    def draft(self, spool_id: str) -> "LocalSpoolDraft":
        return LocalSpoolDraft(self, spool_id)

    def has(self, spool_id: str) -> bool:
        return os.path.exists(f"{self._live_text}/{spool_id}{ENVELOPE}")  # a `Path` takes longer than the system call

    def due_reports(self, spool_id: str) -> tuple[str, ...] | None:
        """Return the reports of an entry that are due, whoever owns it; None if it has ended, so that all are."""
        try:
            return SpoolEnvelope.decode((self._live / (spool_id + ENVELOPE)).read_bytes()).told
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return ()

    def recover(
        self,
        now_us: int | None = None,
        waits: Callable[[SpoolEnvelope], bool] = lambda envelope: False,
        unreadable: Callable[[Path, OSError], None] = lambda path, error: None,
    ) -> Iterator["LocalSpoolEntry"]:
        for name in sorted(os.listdir(self._tmp)):
            try:
                self._sweep(name)
            except OSError as error:
                unreadable(Path(error.filename or self._tmp / name), error)
        for spool_id in sorted({os.path.splitext(name)[0] for name in os.listdir(self._live)}):
            try:
                entry = self._adopt(spool_id)
            except OSError as error:
                unreadable(Path(error.filename or self._live / spool_id), error)
                continue
            if entry is None:
                continue
            try:
                is_wanted = (now_us is None or is_due(entry.envelope.next_try_us, now_us)) and not waits(entry.envelope)
            except BaseException:
                entry.release()
                raise
            if is_wanted:
                yield entry
            else:
                entry.release()

    def names(self) -> list[str]:
        return sorted(name.removesuffix(ENVELOPE) for name in os.listdir(self._live) if name.endswith(ENVELOPE))

    def read(self, spool_id: str) -> SpoolEnvelope | None:
        try:
            return SpoolEnvelope.decode((self._live / (spool_id + ENVELOPE)).read_bytes())
        except (OSError, ValueError):
            return None

    def _sweep(self, name: str) -> None:
        """Remove a leftover of `tmp/`, unless its owner lives. An envelope's owner holds the message's lock."""
        spool_id, kind = os.path.splitext(name)
        message = next(
            (path for path in (self._tmp / (spool_id + MESSAGE), self._live / (spool_id + MESSAGE)) if path.exists()), None
        )
        lock = None if message is None else open_locked(message)
        if message is not None and lock is None:
            return
        try:
            if kind in (MESSAGE, ENVELOPE):
                (self._tmp / name).unlink(missing_ok=True)
        finally:
            if lock is not None:
                os.close(lock)

    def _adopt(self, spool_id: str) -> "LocalSpoolEntry | None":
        message, path = self._live / (spool_id + MESSAGE), self._live / (spool_id + ENVELOPE)
        lock = open_locked(message)
        if lock is None:
            if not message.exists():
                path.unlink(missing_ok=True)
            return None
        try:
            envelope = SpoolEnvelope.decode(path.read_bytes())
        except FileNotFoundError:  # the entry was ending, or never began
            try:
                message.unlink(missing_ok=True)
            finally:
                os.close(lock)
            return None
        except ValueError:  # a foreign file: leave it to administrators
            os.close(lock)
            return None
        except OSError:
            os.close(lock)
            raise
        return LocalSpoolEntry(self, spool_id, envelope, lock)

    def _sync_live(self) -> None:
        os.fsync(self._live_fd)

    def _write_envelope(self, spool_id: str, envelope: SpoolEnvelope) -> Path:
        path = self._tmp / (spool_id + ENVELOPE)
        write_durably(path, envelope.encode(), 0o640)
        return path


class LocalSpoolDraft(SpoolDraft):
    """A draft in a file of the spool."""

    __slots__ = ("_fd", "_path", "_spool", "_spool_id", "size")

    def __init__(self, spool: LocalSpool, spool_id: str) -> None:
        self._spool = spool
        self._spool_id = spool_id
        self._path = spool._tmp / (spool_id + MESSAGE)
        self.size = 0
        try:
            spool.require_space()
            self._fd = _create_locked(self._path)
        except OSError as error:
            raise trouble(error) from error

    @property
    def path(self) -> str:
        return str(self._path)

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        try:
            self._spool.require_space()
            write_all(self._fd, octets)
        except OSError as error:
            raise self._failed(error) from error
        self.size += len(octets)

    def append_rest(self, source: int, offset: int) -> None:
        try:
            self._spool.require_space()
            self.size += copy_rest(source, offset, self._fd)
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._failed(error) from error

    def commit(self, envelope: SpoolEnvelope) -> "LocalSpoolEntry":
        spool = self._spool
        self.finish()
        try:
            written = spool._write_envelope(self._spool_id, envelope)
            os.rename(self._path, spool._live / self._path.name)
            os.rename(written, spool._live / written.name)
            spool._sync_live()
        except OSError as error:
            (spool._live / (self._spool_id + ENVELOPE)).unlink(missing_ok=True)
            (spool._tmp / (self._spool_id + ENVELOPE)).unlink(missing_ok=True)
            (spool._live / (self._spool_id + MESSAGE)).unlink(missing_ok=True)
            raise self._failed(error) from error
        fd, self._fd = self._fd, -1
        return LocalSpoolEntry(spool, self._spool_id, envelope, fd)

    def discard(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._path.unlink(missing_ok=True)
            os.close(fd)

    def _failed(self, error: OSError) -> SpoolUnavailable:
        """Remove the draft; return the error to raise."""
        self.discard()
        return trouble(error)


class LocalSpoolEntry(SpoolEntry):
    """An entry in files of this machine."""

    __slots__ = ("_lock", "_spool")

    def __init__(self, spool: LocalSpool, spool_id: str, envelope: SpoolEnvelope, lock: int) -> None:
        super().__init__(spool_id, envelope)
        self._spool = spool
        self._lock = lock

    @property
    def path(self) -> Path:
        return self._spool._live / (self.spool_id + MESSAGE)

    def settle(self, mailbox_ids: Sequence[int], *, now_us: int, told: Sequence[str] = (), warned: bool = False) -> None:
        self.envelope = self.envelope.after_attempt(mailbox_ids, now_us=now_us, told=told, warned=warned)
        if self.open_targets:
            self._report()
        else:
            self.end()

    def _report(self) -> None:
        spool = self._spool
        try:
            written = spool._write_envelope(self.spool_id, self.envelope)
            os.rename(written, spool._live / written.name)
            spool._sync_live()
        except OSError as error:
            (spool._tmp / (self.spool_id + ENVELOPE)).unlink(missing_ok=True)
            raise trouble(error) from error

    def end(self) -> None:
        """End the entry."""
        spool = self._spool
        try:
            (spool._live / (self.spool_id + ENVELOPE)).unlink(missing_ok=True)
            spool._sync_live()  # else a power cut could bring back an envelope whose message is gone, or whose mail was read
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise trouble(error) from error
        self.release()

    def release(self) -> None:
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    close = release


def _create_locked(path: Path) -> int:
    """Create and lock a new file, again if a recovery removed it in between; the lock stays through the rename."""
    while True:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MESSAGE_MODE)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd
        os.close(fd)
