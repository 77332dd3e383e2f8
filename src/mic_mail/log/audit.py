"""The log of administrative acts: who did what to whom, why, and on which document (Reg. 8.2, 4.3).

One JSON object a line in `<folder>/audit-<UTC year>-<month>.jsonl`, written and fsynced under a file lock before `record`
returns: an act that is not on record has not happened. Blocking; called by commands and services, never on the loop.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.errors import Text, Trouble
from mic_mail.log.maillog import plain, stamp


class Audit:
    """The acts recorded in one folder."""

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def record(
        self, *, actor: str, act: str, subject: str, reason: str = "", document: str | None = None, **details: object
    ) -> None:
        """Put one act on record, durably, or raise `Trouble`."""
        at = stamp(self._clock.now_us())
        entry: dict[str, object] = {
            "at": at,
            "actor": actor,
            "act": act,
            "subject": subject,
            "reason": reason,
            "document": document,
        }
        entry.update((key, plain(key, value)) for key, value in details.items() if key not in entry)
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"
        try:
            self._append(self._folder / f"audit-{at[:7]}.jsonl", line)
        except OSError as error:
            raise Trouble(Text("Không ghi được nhật ký quản trị.", "The audit log cannot be written.")) from error

    def _append(self, path: Path, line: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        new = not path.exists()
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":  # a writer died within its line: end it
                line = b"\n" + line
            if os.write(fd, line) != len(line):
                os.ftruncate(fd, size)
                raise OSError("short write")
            os.fsync(fd)
            if new:
                _sync_folder(self._folder)
        finally:
            os.close(fd)

    def acts(self) -> Iterator[Mapping[str, object]]:
        """Every act on record, oldest first; a line that a crash has cut off is left out."""
        for path in sorted(self._folder.glob("audit-*.jsonl")):
            for line in path.read_bytes().splitlines():
                try:
                    yield json.loads(line)
                except ValueError:
                    continue


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
