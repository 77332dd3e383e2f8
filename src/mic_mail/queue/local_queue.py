"""The outbound queue of one machine: files, and one process that sends.

An entry is two files named by its id, and a third once something has happened:

    tmp/ID.msg    another link to the message          live/ID.msg   the message, durable, read-only, as this server stores it
    tmp/ID.env    the envelope while it is written     live/ID.env   the envelope, never written again: with it the entry exists
                                                       live/ID.log   what happened, a line each, append-only

Legal orders (each step may be the last before a kill):

    accept     tmp/ID.env made and locked -> tmp/ID.msg linked -> tmp/ID.env written -> fsync -> live/ID.msg -> live/ID.env
               -> fsync of live/ -> unlocked
    take       tmp/ID.env made and locked -> live/ID.msg linked -> an envelope from elsewhere becomes live/ID.env -> fsync of
               live/ -> tmp/ID.env removed
    progress   a line is appended to live/ID.log, by one write; those of administrators are fsynced
    end        live/ID.env removed, or moved to ended/ID -> live/ID.log, live/ID.msg removed

    found after a kill                       means                              what is done
    tmp/ID.*                                 never acknowledged, or taken       removed, unless its writer lives (flock)
    live/ID.msg, ID.log without ID.env       accept before, or end after it     removed, unless its writer lives (flock)
    live/ID.env without ID.msg               nothing that we have done          left to administrators: `DamagedEntry`
    a last line of ID.log without its end    an interrupted write               ignored
    all                                      the entry                          read, its log replayed
    ended/ID                                 sent, while the spool has it       not put again; removed once the spool has not

A delivery not yet recorded when the power fails is sent twice, as with every mail server: so progress lines are not
fsynced. One process sends; workers add entries, commands append administrators' decisions and leave the entry's name in
said/, since a notification (`queue.notifications`) may be lost. Blocking; instants are passed in.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from mic_mail.durable_files import write_all
from mic_mail.errors import Text, in_ascii
from mic_mail.queue.binary_domains import BinaryDomains
from mic_mail.queue.errors import trouble
from mic_mail.queue.queue import DamagedEntry, EntryEnded, Queue, QueueEntry, QueueEnvelope, replayed
from mic_mail.queue.recipient_log import AdminDecision, EntryState

MESSAGE: Final = ".msg"
ENVELOPE: Final = ".env"
LOG: Final = ".log"
PIECE_OCTETS: Final = 64 << 10
"""More than almost any envelope or log has: a regular file that gives less is at its end."""


def folders_of(root: Path) -> tuple[Path, ...]:
    """Return the folders of a queue: while all of them are empty, the process that sends has nothing to do."""
    return root / "tmp", root / "live", root / "said", root / "ended"


class LocalQueue(Queue):
    """All entries below one directory."""

    def __init__(self, root: Path, *, comes_again: Callable[[str], bool] = lambda _: False) -> None:
        """`comes_again` returns whether an entry may be put once more.

        That is the case if its writer may have been killed before it knew that the entry is here. Called by the process
        that sends.
        """
        self._tmp, self._live, self._said, self._ended = folders_of(root)
        self._comes_again = comes_again
        for directory in (self._tmp, self._live, self._said, self._ended):
            directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._live_fd = os.open(self._live, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._live_text = str(self._live)
        self.binary_domains = BinaryDomains(root / "binarymime")

    def close(self) -> None:
        os.close(self._live_fd)

    def has(self, entry_id: str) -> bool:
        return _exists(self._file(entry_id, ENVELOPE))

    def _file(self, entry_id: str, ending: str) -> str:
        """Return the path of one of an entry's files.

        It is text, since making a `Path` takes longer than the system call that uses it, and each message needs ten.
        """
        return f"{self._live_text}/{entry_id}{ending}"

    def had(self, entry_id: str) -> bool:
        """Return whether the entry is here, or has ended and its writer does not know it yet."""
        # In the order in which an end moves it.
        return self.has(entry_id) or (self._ended / entry_id).exists()

    def put(self, entry_id: str, message: Path, envelope: QueueEnvelope) -> None:
        """Create the entry of a message that is durable in a file of this file system.

        Does nothing if the entry is or was here. When this returns the message will be sent, or its sender notified.
        `SpoolUnavailable` leaves nothing behind.
        """
        if self.had(entry_id):
            return
        fresh, written = self._tmp / (entry_id + MESSAGE), self._tmp / (entry_id + ENVELOPE)
        fd = -1
        try:
            fd = self._claim(entry_id, fcntl.LOCK_EX)
            if self.had(entry_id):  # another process was faster: the open file may be the envelope in its place
                if _is(fd, written):
                    written.unlink(missing_ok=True)
                return
            fresh.unlink(missing_ok=True)
            os.link(message, fresh)
            os.ftruncate(fd, 0)
            write_all(fd, envelope.encode())
            os.fsync(fd)
            os.rename(fresh, self._live / fresh.name)
            os.rename(written, self._live / written.name)
            os.fsync(self._live_fd)
        except OSError as error:
            for path in (self._live / written.name, written, fresh, self._live / fresh.name):
                path.unlink(missing_ok=True)
            raise trouble(error) from error
        finally:
            if fd >= 0:
                os.close(fd)

    def take(self, entry_id: str, message: Path, envelope: Path) -> bool:
        """Create an entry from two durable files; return False if that was done before.

        The envelope is moved, so the entry is created once however often that is tried, also after it has ended.
        `SpoolUnavailable` leaves the envelope where it was.
        """
        fd = -1
        try:
            fd = self._claim(entry_id, fcntl.LOCK_EX)
            if not envelope.exists():
                return False
            (self._live / (entry_id + MESSAGE)).unlink(missing_ok=True)
            os.link(message, self._live / (entry_id + MESSAGE))
            os.rename(envelope, self._live / (entry_id + ENVELOPE))
            os.fsync(self._live_fd)
        except OSError as error:
            raise trouble(error) from error
        finally:
            if fd >= 0:
                if _is(fd, self._tmp / (entry_id + ENVELOPE)):
                    (self._tmp / (entry_id + ENVELOPE)).unlink(missing_ok=True)
                os.close(fd)
        return True

    def accept(self, entry_id: str, message: Path, envelope: QueueEnvelope) -> bool:
        return False

    def withdraw(self, entry_id: str) -> None: ...

    def _claim(self, entry_id: str, how: int) -> int:
        """Return the locked envelope file in tmp/; only its holder touches the files of this id there.

        A file that was removed, or became an entry, while this waited for its lock does not count; the caller finds the
        latter with `has`.
        """
        while True:
            fd = os.open(self._tmp / (entry_id + ENVELOPE), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(fd, how)
            except BaseException:
                os.close(fd)
                raise
            if os.fstat(fd).st_nlink:
                return fd
            os.close(fd)

    def names(self) -> list[str]:
        """Return the ids of all entries in order."""
        return sorted(name.removesuffix(ENVELOPE) for name in os.listdir(self._live) if name.endswith(ENVELOPE))

    def decided(self) -> list[str]:
        """Return the entries with a decision since the last call; for the one process that sends."""
        names = sorted(os.listdir(self._said))
        for name in names:  # before they are read: a decision from now on leaves its name again
            (self._said / name).unlink(missing_ok=True)
        return names

    def look_at(self, entry_id: str) -> "LocalQueueEntry | DamagedEntry | None":
        try:
            envelope = QueueEnvelope.decode(_read(self._file(entry_id, ENVELOPE)))
            state = self._replayed(entry_id, len(envelope.recipients))
            has_message = _exists(self._file(entry_id, MESSAGE))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            file, why = f"{entry_id}{ENVELOPE}", in_ascii(error)
            return DamagedEntry(entry_id, Text(f"không đọc được {file} ({why})", f"{file}: {why}"))
        if has_message:
            return LocalQueueEntry(self, entry_id, envelope, state)
        file = f"{entry_id}{MESSAGE}"
        return DamagedEntry(entry_id, Text(f"tệp {file} không còn", f"{file} is gone")) if self.has(entry_id) else None

    def _replayed(self, entry_id: str, recipients: int) -> EntryState:
        log = self.log_of(entry_id)
        return replayed(log, recipients) if log else EntryState.fresh(recipients)

    def log_of(self, entry_id: str) -> bytes:
        """Return what was appended to an entry, as it is."""
        try:
            return _read(self._file(entry_id, LOG))
        except FileNotFoundError:
            return b""

    def sweep(self) -> None:
        """Remove the leftovers of a kill; for the one process that sends, when it starts."""
        begun = {os.path.splitext(name)[0] for name in os.listdir(self._tmp)}
        ended = {stem for stem, _ in map(os.path.splitext, os.listdir(self._live)) if not self.has(stem)}
        for entry_id in begun | ended:
            self._sweep(entry_id)

    def forget_ended(self) -> None:
        """Remove the marks of entries whose spool entry is gone too; for the process that sends, now and then."""
        for name in os.listdir(self._ended):
            if not self._comes_again(name):
                (self._ended / name).unlink(missing_ok=True)

    def _sweep(self, entry_id: str) -> None:
        try:
            fd = self._claim(entry_id, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a living process is creating it
            return
        try:
            written = self._tmp / (entry_id + ENVELOPE)
            if not self.has(entry_id):
                (self._live / (entry_id + MESSAGE)).unlink(missing_ok=True)
                (self._live / (entry_id + LOG)).unlink(missing_ok=True)
            if _is(fd, written):  # else it has just become an entry
                (self._tmp / (entry_id + MESSAGE)).unlink(missing_ok=True)
                written.unlink(missing_ok=True)
        finally:
            os.close(fd)


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _read(path: str) -> bytes:
    """Return a file's content by as few system calls as it takes: each gives the interpreter lock to another thread."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.read(fd, PIECE_OCTETS)
        if len(found) < PIECE_OCTETS:
            return found
        pieces = [found]
        while pieces[-1]:
            pieces.append(os.read(fd, PIECE_OCTETS))
        return b"".join(pieces)
    finally:
        os.close(fd)


def _is(fd: int, path: Path) -> bool:
    try:
        return os.stat(path).st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


@dataclass(slots=True)
class LocalQueueEntry(QueueEntry):
    """One queued message in files."""

    queue: LocalQueue

    @property
    def path_text(self) -> str:
        return self.queue._file(self.entry_id, MESSAGE)

    @property
    def octets(self) -> int:
        try:
            return self.path.stat().st_size - self.envelope.return_path_octets
        except FileNotFoundError as error:
            raise EntryEnded(self.entry_id) from error

    def beginning(self, octets: int) -> bytes:
        try:
            with open(self.path_text, "rb", buffering=0) as file:
                file.seek(self.envelope.return_path_octets)
                return file.read(octets)
        except OSError:
            return b""

    def may_be_tried(self) -> bool:
        return True

    def begin_use(self) -> None: ...

    def fetch(self) -> None: ...

    def end_use(self) -> None: ...

    def _stored_state(self) -> EntryState | None:
        state = self.queue._replayed(self.entry_id, len(self.envelope.recipients))
        return state if self.queue.has(self.entry_id) else None  # asked afterwards: the log is removed after the envelope

    def end(self) -> None:
        queue = self.queue
        if queue._comes_again(self.entry_id):
            with suppress(FileNotFoundError):  # ended before
                os.rename(queue._file(self.entry_id, ENVELOPE), queue._ended / self.entry_id)
        for ending in (ENVELOPE, LOG, MESSAGE):
            with suppress(FileNotFoundError):
                os.unlink(queue._file(self.entry_id, ending))
        self.has_ended = True

    def _decide(self, line: dict[str, object], decision: AdminDecision, *, sync: bool = True) -> None:
        self._append({**line, "said": asdict(decision)}, sync=sync)
        if not self.queue.has(self.entry_id):
            (self.queue._live / (self.entry_id + LOG)).unlink(missing_ok=True)
            raise EntryEnded(self.entry_id)
        with suppress(OSError):  # the decision is recorded; without the name in said/ it takes effect at the next attempt
            os.close(os.open(self.queue._said / self.entry_id, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))

    def _write_down(self, *, sync: bool) -> None:
        fd = os.open(self.queue._live / (self.entry_id + LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            while self._unwritten:
                octets = self._unwritten[0]
                # A new line begins after one that was cut.
                if os.write(fd, octets if _ends_with_a_line(fd) else b"\n" + octets) < len(octets):
                    raise OSError(errno.ENOSPC, "the line was cut")
                del self._unwritten[0]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)


def _ends_with_a_line(fd: int) -> bool:
    size = os.fstat(fd).st_size
    if size == 0:
        return True
    with open(f"/proc/self/fd/{fd}", "rb") as log:
        log.seek(size - 1)
        return log.read(1) == b"\n"
