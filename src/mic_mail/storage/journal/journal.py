"""The journal: one fdatasync makes all messages that arrive together durable, before their files are.

A message that comes alone is made durable by its own file and folder: two fsyncs. Messages that arrive together or in close
succession would cost two more each, which is most of the cost of a delivery. So their octets are first written one after
another into a *segment* and made durable together; then each is published as usual (publish.py), without its fsyncs. So is a
delivery that comes alone while a segment is begun, which has to be settled in any case.

    state     where                                                                 after a power loss
    STAGED    `tmp/<base>`, not fsynced                                             not acknowledged
    WRITTEN   also in a segment, fdatasynced (`holding`)                            replay restores it
    PUBLISHED `cur/...`, row committed; now `250` may be sent                       replay restores content and name
    SETTLED   the file systems were synced since (`settle`), the segment is wiped   as any other message

Successive APPENDs are WRITTEN in the critical section (publish.py), when their UID is known: then the segment also holds their
location (`MessageLocation`).

Successive EXPUNGEs are recorded as well, after their COMMIT and before they are answered (`ExpungedFrame`): where a file was
and where it lies in `.expunged/`, in place of an fsync of both directories.

WRITTEN comes before the name: a name never leads to half a message that cannot be repaired. A message that is WRITTEN and was
not published (its process was killed) comes back only if the power fails before its segment is settled: then it is delivered
twice, never lost. A refused one is revoked (`RevokeFrame`). A kill alone needs no replay, because the page cache keeps the
files; the segments of killed processes are settled by `settle_left_behind`. Replay (replay.py) happens before any store is
opened under another boot id.

Each process has two segments: one is filled while the other is settled. Both are filled with zeros when they are made, ahead of
the first batch, so that an fdatasync is one write and changes none of the file's own blocks. A segment belongs to the process
that holds its flock. Where anything fails here (`holding` yields None) the caller fsyncs the files itself, as if there were no
journal.
"""

import contextlib
import errno
import fcntl
import math
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from mic_mail.clock import Clock
from mic_mail.durable_files import make_durable
from mic_mail.storage.errors import NO_ROOM
from mic_mail.storage.journal.frames import BLOCK_OCTETS, CLEAR, TURN_OCTETS, ExpungedFrame, Frame, block_of, octets_of, void
from mic_mail.storage.maildir.syncfs import begin_to_write, check_that_it_syncs, note_device, sync_file_system
from mic_mail.storage.reserve import Reserve

FOLDER = ".journal"
"""Folder name below the mail root, beside the domains."""
SEGMENTS = 2
SEGMENT_OCTETS = 8 << 20
CLOSE_SECONDS = 0.05
"""A message that follows another within this time goes by the journal, even a single one."""
SETTLE_SECONDS = 2.0
"""Longest time for which a message is durable by the journal alone; bounds the work of replay."""

PAUSE_SECONDS = 30.0
"""Pause after a segment could not be made or written because the disk is full."""
FAILED = ".failed"
"""Suffix of a segment whose messages could not be settled; it waits for the next boot's replay.

An fsync that succeeds after one that failed proves nothing.
"""
LOCK = "lock"
"""Lock file in the folder, held to create segments or to scan those of other processes."""

JOINED_OCTETS = 64 << 10
"""Octets of a write, from which on its pieces are not joined."""
MOST_PIECES = 1024
"""Pieces of a write that Linux takes (IOV_MAX)."""
TOMBSTONE_OCTETS = 1024
"""Upper bound of one `ExpungedFrame` in a segment."""


@dataclass(slots=True)
class _Segment:
    path: str
    fd: int
    end: int = 0
    users: int = 0
    """Blocks (callers of `holding`) that are publishing what they wrote here."""
    is_lost: bool = False
    """Set after a failure while there were `users`: the segment is renamed, and the last user closes it."""
    syncs_begun: int = 0
    syncs_ended: int = 0
    turn: bytes = b""
    since: float = 0.0
    """Time of its first message, by the monotonic clock."""
    devices: dict[int, int] = field(default_factory=dict)
    """File systems of its messages: device number to a directory descriptor opened before the write."""
    homes: set[str] = field(default_factory=set)
    """The accounts whose file systems are among `devices`.

    They are checked anew for each turn, since an account may be moved.
    """

    def write(self, frames: Sequence[Frame]) -> "_Written":
        """Append frames in blocks of their own; they are durable once `sync` has returned."""
        pieces, octets, places = block_of(frames, self.turn)
        if _write_pieces(self.fd, pieces, octets, self.end) != octets:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = _Written(self, self.turn, self.end, octets, [self.end + at for at in places])
        self.end += octets
        return written

    def sync(self) -> None:
        os.fdatasync(self.fd)

    def wipe(self) -> None:
        os.pwrite(self.fd, CLEAR, 0)
        self._forget()

    def close(self) -> None:
        self._forget()
        os.close(self.fd)

    def _forget(self) -> None:
        for fd in self.devices.values():
            os.close(fd)
        self.devices.clear()
        self.homes.clear()
        self.end = 0


@dataclass(frozen=True, slots=True)
class _Written:
    segment: _Segment
    turn: bytes
    start: int
    octets: int
    places: Sequence[int]
    """Offset of each frame."""


class RevokeFrame(Protocol):
    """Revokes held messages: all, or those with these numbers in the order of submission."""

    def __call__(self, refused: Iterable[int] | None = None) -> None: ...


class Journal:
    """One process's part of the journal of a mail root; safe from any thread."""

    def __init__(self, mail_root: str, boot_id: str, clock: Clock, reserve: Reserve) -> None:
        """No segment is made while `reserve` is given up."""
        self._root = mail_root
        self._folder = f"{mail_root}/{FOLDER}"
        self._boot_id = boot_id
        self._clock = clock
        self._reserve = reserve
        self._lock = threading.Lock()
        self._synced = threading.Condition(self._lock)
        """Notified when the sync of any segment has ended."""
        self._settling = threading.Lock()
        self._active: _Segment | None = None
        self._full: _Segment | None = None
        self._free: list[_Segment] = []
        self._failures = 0
        """Number of failed syncs; data written before a failure and not yet synced is untrusted."""
        self._wanted = False
        """Set where a batch found no segment at all."""
        self._resume_at = 0.0
        """Nothing is written before this time."""
        self._asked_at = -math.inf
        """Time of the last message that the journal could have taken (`takes`)."""
        self._untold: OSError | None = None
        """The last error, until `settle` or `prepare` raises it."""

    @property
    def is_full(self) -> bool:
        """Return whether `settle` would free space."""
        return self._full is not None or self._wanted

    @property
    def is_begun(self) -> bool:
        """Return whether the segment in use holds messages, whose file system has to be synced in any case."""
        active = self._active
        return active is not None and active.end > 0

    @property
    def is_settled(self) -> bool:
        """Return whether `settle` has nothing to do, now or later, until something is written. Does not block."""
        active = self._active
        is_empty = self._full is None and (active is None or not active.end)
        return is_empty and not self._wanted and self._untold is None

    def takes(self, octets: int) -> bool:
        """Return whether messages of so many octets in all should go by the journal.

        That is so where they follow others closely and space seems available. A message that comes alone costs the disk less by
        its own two fsyncs than by a later sync of the whole file system.
        """
        now = self._clock.monotonic()
        is_close, self._asked_at = now - self._asked_at < CLOSE_SECONDS, now
        if not is_close or now < self._resume_at:
            return False
        active = self._active
        has_room = bool(self._free) or (active is not None and active.end + octets + BLOCK_OCTETS <= SEGMENT_OCTETS)
        self._wanted = self._wanted or (active is None and not self._free and self._full is None)
        return has_room

    @contextmanager
    def holding(self, arrivals: Sequence[Frame], meanwhile: Callable[[], None] | None = None) -> Iterator[RevokeFrame | None]:
        """Hold staged messages durably while the block publishes them; None: nothing is promised.

        The yielded function revokes messages that are refused in the end, so that no replay restores them. The revocation
        becomes durable with the segment's next write, so before their UIDs are promised to anybody else.

        The segment is not settled before the block is left: its changes of names have to come before the sync that makes them
        durable. `meanwhile` is called in any case before the block is entered, while the disk has begun to write.
        """
        with self._lock:
            written, failures = self._write(arrivals, begin=meanwhile is not None), self._failures
            if written is not None:
                written.segment.users += 1
        try:
            if meanwhile is not None:
                meanwhile()
            is_held = written is not None and self._is_synced(written.segment, failures)
            yield partial(self._take_back, written) if written is not None and is_held else None
        finally:
            if written is not None:
                with self._lock:
                    segment = written.segment
                    segment.users -= 1
                    if segment.is_lost and not segment.users:
                        segment.close()

    def _take_back(self, written: _Written, refused: Iterable[int] | None = None) -> None:
        segment = written.segment
        with self._lock:
            is_there = segment is self._active or segment is self._full
            if is_there and segment.turn == written.turn:
                with contextlib.suppress(OSError):
                    void(segment.fd, written.places if refused is None else [written.places[number] for number in refused])

    def _is_synced(self, segment: _Segment, failures: int) -> bool:
        """Make what was written durable; False if a sync has failed since (the kernel reports an error once).

        A sync that began after the write is enough, whichever thread runs it: while one is running other threads write, and
        share the next one.
        """
        with self._lock:
            enough = segment.syncs_begun + 1
            while segment.syncs_begun > segment.syncs_ended:
                self._synced.wait()
                if segment.syncs_ended >= enough:
                    return failures == self._failures
            if failures != self._failures:
                return False
            segment.syncs_begun += 1
        failure: OSError | None = None
        try:
            segment.sync()
        except OSError as error:
            failure = error
        with self._lock:
            segment.syncs_ended = segment.syncs_begun
            if failure is not None:
                self._failures += 1
                self._not_written(failure)
            self._synced.notify_all()
            return failures == self._failures

    def remembers(self, gone: Sequence[ExpungedFrame]) -> bool:
        """Return whether the journal holds these expunges; else both directories have to be fsynced."""
        with self.holding(gone) as held:
            return held is not None

    def _write(self, arrivals: Sequence[Frame], *, begin: bool) -> _Written | None:
        if self._clock.monotonic() < self._resume_at:
            return None
        segment = self._require_space(octets_of(arrivals))
        if segment is None:
            return None
        try:
            for home in {arrival.home for arrival in arrivals} - segment.homes:
                note_device(segment.devices, self._root, home)
                segment.homes.add(home)
        except OSError:
            return None  # that mailbox will see the error itself; the next batch need not
        try:
            written = segment.write(arrivals)
            if begin:
                begin_to_write(segment.fd, written.start, written.octets)
        except OSError as error:
            self._not_written(error)
            return None
        return written

    def _not_written(self, error: OSError) -> None:
        """Pause after a failed write; an error other than lack of space proves the disk bad."""
        self._pause(error, passes=error.errno in NO_ROOM)

    def _require_space(self, octets: int) -> _Segment | None:
        octets += -octets % BLOCK_OCTETS
        if octets > SEGMENT_OCTETS:
            return None
        if self._active is not None and self._active.end + octets > SEGMENT_OCTETS:
            if self._full is not None:
                return None
            self._full, self._active = self._active, None
        if self._active is None and self._free:
            self._active = self._free.pop()
        self._wanted = self._active is None and self._full is None
        if self._active is not None and not self._active.end:
            self._active.since = self._clock.monotonic()
            self._active.turn = secrets.token_bytes(TURN_OCTETS)
        return self._active

    def prepare(self) -> None:
        """Make the missing segments. Waits for the disk, which a batch should not do."""
        with self._settling:
            self._prepare()
            self._notify_waiters()

    def _prepare(self) -> None:
        self._wanted = False
        try:
            while len(self._free) + (self._active is not None) + (self._full is not None) < SEGMENTS:
                segment = self._make()
                with self._lock:
                    self._free.append(segment)
        except OSError as error:
            self._pause(error, passes=error.errno != errno.EOPNOTSUPP)

    def _pause(self, error: OSError, *, passes: bool) -> None:
        self._resume_at = self._clock.monotonic() + PAUSE_SECONDS if passes else math.inf
        self._untold = error

    def _notify_waiters(self) -> None:
        error, self._untold = self._untold, None
        if error is not None:
            raise error

    def _make(self) -> _Segment:
        self._reserve.require_whole()
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        path = f"{self._folder}/{self._boot_id}.{secrets.token_hex(8)}"
        with locked(self._folder, fcntl.LOCK_EX):  # no other process may take it for an abandoned one
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            check_that_it_syncs(fd)
            _fill_with_zeros(fd)
            make_durable(self._folder)
            make_durable(self._root)
        except OSError:
            os.unlink(path)
            os.close(fd)
            raise
        return _Segment(path, fd)

    def settle(self, older_seconds: float = SETTLE_SECONDS) -> None:
        """Make the content of a segment durable in its own place.

        The segment is a full one, or else one begun at least `older_seconds` ago. The call waits for the disk.
        """
        with self._settling:
            with self._lock:
                active, old = self._active, self._clock.monotonic() - older_seconds
                if self._full is None and active is not None and active.end and active.since <= old:
                    self._full, self._active = active, None
                full = self._full
            if full is not None and not full.users:
                self._settle(full)
            if self._wanted:
                self._prepare()
            self._notify_waiters()

    def _settle(self, full: _Segment) -> None:
        try:
            for fd in full.devices.values():
                sync_file_system(fd)
        except OSError:
            with self._lock:
                self._fail()
            raise
        with self._lock:
            full.wipe()
            self._full = None
            self._free.append(full)

    def _fail(self) -> None:
        """Leave unsettled segments on disk for a replay, also what other batches wrote meanwhile."""
        self._failures += 1
        self._resume_at = math.inf
        begun = [segment for segment in (self._full, self._active) if segment is not None]
        self._full = self._active = None
        for segment in begun:
            if not segment.end:
                self._free.append(segment)
                continue
            try:
                os.rename(segment.path, segment.path + FAILED)
            except OSError:  # a disk that takes no more writes; while we hold its lock, no other process settles and removes it
                continue
            segment.is_lost = segment.users > 0
            if not segment.is_lost:
                segment.close()

    def close(self) -> None:
        """Settle what is left and remove the segments."""
        self._wanted = False
        try:
            self.settle(0)
            self.settle(0)  # one may have been full and the other begun
        finally:
            with self._lock:
                for segment in (self._active, *self._free):
                    if segment is not None and not segment.end:
                        os.unlink(segment.path)
                        segment.close()
                self._active = None
                self._free.clear()


@contextmanager
def locked(folder: str, how: int) -> Iterator[None]:
    """Hold the journal's folder lock (`fcntl.flock`)."""
    fd = os.open(f"{folder}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)


def _write_pieces(fd: int, pieces: Sequence[bytes], octets: int, at: int) -> int:
    """Write the pieces, of so many octets, after one another in one call; return how many octets were written."""
    if octets < JOINED_OCTETS or len(pieces) > MOST_PIECES:
        return os.pwrite(fd, b"".join(pieces), at)
    return os.pwritev(fd, pieces, at)


def _fill_with_zeros(fd: int) -> None:
    zeros = bytes(1 << 20)
    for at in range(0, SEGMENT_OCTETS, len(zeros)):
        if os.pwrite(fd, zeros, at) != len(zeros):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(fd)
