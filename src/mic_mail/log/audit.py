"""The log of administrative acts: actor, act, subject, reason and document (Reg. 8.2, 4.3).

One JSON object a line in `<folder>/audit-<UTC year>-<month>.jsonl`, written and fsynced under a file lock before `record`
returns: an act that is not recorded has not happened. Blocking; called by commands and services, never in the event loop.

Each line carries the digest of the line before it (`prev`: SHA-256 of all its octets, line end included), also across months,
so that altering, removing or inserting a line breaks the chain at the next one. One lock for the whole log orders its writers.
A line that was cut off by a crash stays, and is chained like any other. Acts after a broken chain are still recorded:
administration must not stop, and `verify` reports the break.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.durable_files import make_durable
from mic_mail.errors import Text, Trouble
from mic_mail.log.files import GENESIS, digest
from mic_mail.log.maillog import plain, stamp

LOCK = "audit.lock"
_LAST_OCTETS = 4096


class Audit:
    """The acts recorded in one folder."""

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def record(
        self, *, actor: str, act: str, subject: str, reason: str = "", document: str | None = None, **details: object
    ) -> None:
        """Record one act durably, or raise `Trouble`."""
        at = stamp(self._clock.steady_us())
        entry: dict[str, object] = {
            "at": at,
            "actor": actor,
            "act": act,
            "subject": subject,
            "reason": reason,
            "document": document,
        }
        entry.update((key, plain(key, value)) for key, value in details.items() if key not in entry and key != "prev")
        try:
            with self._alone():
                self._append(self._newest(f"audit-{at[:7]}.jsonl"), entry)
        except OSError as error:
            raise Trouble(Text("Không ghi được nhật ký quản trị.", "The audit log cannot be written.")) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        fd = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _append(self, path: Path, entry: dict[str, object]) -> None:
        new = not path.exists()
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            size = os.fstat(fd).st_size
            last = _last_line(fd, size)
            mend = b"" if not last or last.endswith(b"\n") else b"\n"  # a writer died within its line: end it
            last = last + mend or self._last_before(path.name)
            entry["prev"] = digest(last) if last else GENESIS
            text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
            line = mend + text.encode("utf-8", "backslashreplace") + b"\n"
            if os.write(fd, line) != len(line):
                os.ftruncate(fd, size)
                raise OSError("short write")
            os.fsync(fd)
            if new:
                make_durable(self._folder)
        finally:
            os.close(fd)

    def _newest(self, name: str) -> Path:
        """Return the month's file, or a later one if it exists: a clock set back does not reorder the chain."""
        return max([self._folder / name, *self._folder.glob("audit-*.jsonl")])

    def _last_before(self, name: str) -> bytes:
        for path in sorted(self._folder.glob("audit-*.jsonl"), reverse=True):
            if path.name < name and (size := path.stat().st_size):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    return _last_line(fd, size)
                finally:
                    os.close(fd)
        return b""

    def acts(self) -> Iterator[Mapping[str, object]]:
        """Yield every recorded act, oldest first, without lines that a crash cut off."""
        for path in sorted(self._folder.glob("audit-*.jsonl")):
            for line in path.read_bytes().splitlines():
                try:
                    yield json.loads(line)
                except ValueError:
                    continue


def _last_line(fd: int, size: int) -> bytes:
    octets = _LAST_OCTETS
    while True:
        start = max(0, size - octets)
        text = os.pread(fd, size - start, start)
        cut = text.rfind(b"\n", 0, -1)
        if cut >= 0 or start == 0:
            return text[cut + 1 :]
        octets *= 8
