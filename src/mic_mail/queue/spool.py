"""The spool: the durable entry of one message with its recipients, between `250` and the last mailbox.

In: a message file being written and the list of its recipients. Out: a `SpoolEntry` that survives `kill -9` at any step, and
its end once every recipient is settled. One entry is two files named by its id:

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
does not touch their entries, and those of a killed owner are free at once. Delivery is idempotent by `SpoolEntry.origin`, so
an entry that is yielded twice is not delivered twice. An attempt that leaves a recipient open records when the next one
is due: after one minute, doubled each time, at most an hour (RFC 5321 §4.5.4.1 asks for growing pauses);
`services.queue.inbound_dsn` decides which attempt is the last. Blocking; no SQL; times are passed in.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

from mic_mail.durable_files import open_locked, write_all, write_durably
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.mime.original_recipient import OriginalRecipient
from mic_mail.queue.errors import SpoolUnavailable, trouble
from mic_mail.queue.esmtp_options import QueuedTransaction, addressed
from mic_mail.queue.scratch import Scratch
from mic_mail.storage.maildir.copy_range import copy_rest
from mic_mail.storage.reserve import Reserves

MESSAGE: Final = ".msg"
ENVELOPE: Final = ".env"
MESSAGE_MODE: Final = 0o440
_FIRST_PAUSE_SECONDS: Final = 60
_LONGEST_PAUSE_SECONDS: Final = 3600

ELSEWHERE: Final = 0
"""The `mailbox_id` of targets on other servers, which go into the queue (`queue.queue`) all together."""


@dataclass(frozen=True, slots=True)
class SpoolTarget:
    """One mailbox that a recipient address leads to, or an address on another server, and its status."""

    mailbox_id: int
    address: MailboxAddress
    detail: str | None = None
    notify: tuple[str, ...] = ()
    orcpt: OriginalRecipient | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolEnvelope(QueuedTransaction):
    """The stored envelope of an entry."""

    _DECODERS: ClassVar = {
        **QueuedTransaction._DECODERS,
        "targets": lambda targets: tuple(SpoolTarget(**addressed(target)) for target in targets),
        "told": tuple,
    }

    targets: tuple[SpoolTarget, ...]
    attempts: int = 0
    next_try_us: int = 0
    """The earliest instant of the next attempt; 0 if no attempt has ended yet."""
    warned: bool = False
    """Set once the sender was notified of the delay."""
    told: tuple[str, ...] = ()
    """The reports to the sender that are due (`queue.pending_reports`)."""
    arrived_at_us: int = 0
    """Time of arrival, if the message was held before it was accepted for delivery; 0: the same time."""
    verdict: str = ""
    """The verdict of the checks that decides its folder: `junk`, or empty."""
    may_be_reported: bool = True
    """Set if reports on it may go to its sender.

    It is unset if another server named a sender that nothing authenticates.
    """


class Spool:
    """All entries below one directory."""

    def __init__(self, root: Path, reserves: Reserves | None = None) -> None:
        """While one of `reserves` is given up, no message is written on its file system."""
        self._tmp = root / "tmp"
        self._live = root / "live"
        for directory in (self._tmp, self._live):
            directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._reserve = None if reserves is None else reserves.beside(root)
        self._live_fd = os.open(self._live, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._live_text = str(self._live)

    def close(self) -> None:
        os.close(self._live_fd)

    def scratch(self) -> Scratch:
        """Open a file for a message that may yet be refused; a leftover of a kill is swept like any other."""
        return Scratch(self._tmp, MESSAGE_MODE, MESSAGE, self.require_space)

    def require_space(self) -> None:
        """Raise OSError, ENOSPC, while the remaining space is reserved for removals."""
        if self._reserve is not None:
            self._reserve.require_whole()

    def draft(self, spool_id: str) -> "SpoolDraft":
        """Begin an entry. `spool_id` is a unique name (a trace id)."""
        return SpoolDraft(self, spool_id)

    def has(self, spool_id: str) -> bool:
        """Return whether the entry exists, whichever process owns it."""
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
    ) -> Iterator["SpoolEntry"]:
        """Yield every entry that no living process owns, and own it from now on.

        With `now_us`, only those whose next attempt is due by then. An entry that `waits` stays as it is. One that
        cannot be opened also stays; `unreadable` is called with it, and the others go on. Leftovers are removed on the
        way.
        """
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
                is_wanted = (now_us is None or _is_due(entry.envelope.next_try_us, now_us)) and not waits(entry.envelope)
            except BaseException:
                entry.release()
                raise
            if is_wanted:
                yield entry
            else:
                entry.release()

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

    def _adopt(self, spool_id: str) -> "SpoolEntry | None":
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
        return SpoolEntry(self, spool_id, envelope, lock)

    def _sync_live(self) -> None:
        os.fsync(self._live_fd)

    def _write_envelope(self, spool_id: str, envelope: SpoolEnvelope) -> Path:
        path = self._tmp / (spool_id + ENVELOPE)
        write_durably(path, envelope.encode(), 0o640)
        return path


def waiting(root: Path) -> list[str]:
    """Return the ids of all entries, oldest first, read-only: nothing is created, owned or removed."""
    try:
        names = os.listdir(root / "live")
    except FileNotFoundError:
        return []
    return sorted(name.removesuffix(ENVELOPE) for name in names if name.endswith(ENVELOPE))


def read_envelope(root: Path, spool_id: str) -> SpoolEnvelope | None:
    """Read the envelope of an entry, read-only; None if it has ended or cannot be read."""
    try:
        return SpoolEnvelope.decode((root / "live" / (spool_id + ENVELOPE)).read_bytes())
    except (OSError, ValueError):
        return None


class SpoolDraft:
    """An entry before it exists: write the message, then `commit` or `discard`. One thread at a time."""

    __slots__ = ("_fd", "_path", "_spool", "_spool_id", "size")

    def __init__(self, spool: Spool, spool_id: str) -> None:
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
        """The message file while it is written."""
        return str(self._path)

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        try:
            self._spool.require_space()
            write_all(self._fd, octets)
        except OSError as error:
            raise self._failed(error) from error
        self.size += len(octets)

    def append_rest(self, source: int, offset: int) -> None:
        """Append the open file `source` from `offset` on."""
        try:
            self._spool.require_space()
            self.size += copy_rest(source, offset, self._fd)
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> None:
        """Make the message's content durable."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._failed(error) from error

    def commit(self, envelope: SpoolEnvelope) -> "SpoolEntry":
        """Make the entry exist: when this returns, `250` may be sent."""
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
        return SpoolEntry(spool, self._spool_id, envelope, fd)

    def discard(self) -> None:
        """Remove the draft; harmless after `commit` and when called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._path.unlink(missing_ok=True)
            os.close(fd)

    def _failed(self, error: OSError) -> SpoolUnavailable:
        """Remove the draft; return the error to raise."""
        self.discard()
        return trouble(error)


class SpoolEntry:
    """A durable entry that this process owns. One thread at a time."""

    __slots__ = ("_lock", "_spool", "envelope", "spool_id")

    def __init__(self, spool: Spool, spool_id: str, envelope: SpoolEnvelope, lock: int) -> None:
        self._spool = spool
        self.spool_id = spool_id
        self.envelope = envelope
        self._lock = lock

    @property
    def path(self) -> Path:
        """The message file, to be linked into mailboxes."""
        return self._spool._live / (self.spool_id + MESSAGE)

    @property
    def open_targets(self) -> tuple[SpoolTarget, ...]:
        return tuple(target for target in self.envelope.targets if not target.settled)

    def origin(self, mailbox_id: int) -> str:
        """Return the key under which the mailbox's store takes this message once."""
        return f"spool:{self.spool_id}:{mailbox_id}"

    def settle(self, mailbox_ids: Sequence[int], *, now_us: int, told: Sequence[str] = (), warned: bool = False) -> None:
        """Record an attempt: these mailboxes have the message, or it is no longer tried for them.

        The last one ends the entry. Otherwise the progress, the time of the next attempt and the reports `told` to the
        sender are made durable.
        """
        done = set(mailbox_ids)
        targets = tuple(
            replace(target, settled=True) if target.mailbox_id in done else target for target in self.envelope.targets
        )
        attempts = self.envelope.attempts + 1
        self.envelope = replace(
            self.envelope,
            targets=targets,
            attempts=attempts,
            next_try_us=now_us + _pause_us(attempts),
            warned=self.envelope.warned or warned,
            told=(*self.envelope.told, *told),
        )
        if self.open_targets:
            self._report()
        else:
            self._end()

    def _report(self) -> None:
        spool = self._spool
        try:
            written = spool._write_envelope(self.spool_id, self.envelope)
            os.rename(written, spool._live / written.name)
            spool._sync_live()
        except OSError as error:
            (spool._tmp / (self.spool_id + ENVELOPE)).unlink(missing_ok=True)
            raise trouble(error) from error

    def _end(self) -> None:
        spool = self._spool
        try:
            (spool._live / (self.spool_id + ENVELOPE)).unlink(missing_ok=True)
            spool._sync_live()  # else a power cut could bring back an envelope whose message is gone, or whose mail was read
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise trouble(error) from error
        self.release()

    def release(self) -> None:
        """Give up ownership: another process may resume what is not settled."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def _pause_us(attempts: int) -> int:
    doublings = min(max(attempts - 1, 0), 10)
    return min(_FIRST_PAUSE_SECONDS << doublings, _LONGEST_PAUSE_SECONDS) * 1_000_000


def _is_due(next_try_us: int, now_us: int) -> bool:
    """Return whether the pause is over; one longer than any began before the clock was set back."""
    return not now_us < next_try_us <= now_us + _LONGEST_PAUSE_SECONDS * 1_000_000


def _create_locked(path: Path) -> int:
    """Create and lock a new file, again if a recovery removed it in between; the lock stays through the rename."""
    while True:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MESSAGE_MODE)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd
        os.close(fd)
