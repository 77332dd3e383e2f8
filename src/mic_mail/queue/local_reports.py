"""Pending reports of one machine, as files.

A report is two files in one folder: NAME.msg, and NAME.env, with which it exists. NAME is `SPOOLID-TRY-WHAT`.

    keep     NAME.msg written -> fsync -> NAME.new written -> fsync -> NAME.env -> fsync of the folder
    settle   the entry's spool envelope holds NAME in `due`, or the entry has ended: from now on the report is due
    bring    the envelope is renamed into the queue, so that no process does it a second time, whatever happens to it there
             (into a mailbox: delivered under its name, which the store takes once, then removed)

    found after a kill                              what is done
    NAME.env, the entry exists without it           its next attempt writes that report again, or another: `forget`
    NAME.env, the entry has it or has ended         it is due
    NAME.msg or NAME.new alone, the entry ended     removed
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from mic_mail.durable_files import make_durable, write_durably
from mic_mail.queue.errors import trouble
from mic_mail.queue.local_queue import ENVELOPE, MESSAGE
from mic_mail.queue.local_spool import LocalSpool
from mic_mail.queue.pending_reports import PendingReports
from mic_mail.queue.queue import Queue, QueueEnvelope

FRESH: Final = ".new"


def _entry_of(name: str) -> str:
    return name.rsplit("-", 2)[0]


class LocalReports(PendingReports):
    """The reports below one directory. Blocking."""

    def __init__(self, root: Path, spool: LocalSpool) -> None:
        """`spool` has the entries that cause reports."""
        root.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._root = root
        self._spool = spool

    def keep(self, name: str, message: bytes, envelope: QueueEnvelope) -> None:
        try:
            self._write(self._root / (name + MESSAGE), message, 0o440)
            self._write(self._root / (name + FRESH), envelope.encode(), 0o640)
            os.rename(self._root / (name + FRESH), self._root / (name + ENVELOPE))
            make_durable(self._root)
        except OSError as error:
            self.done(name)
            raise trouble(error) from error

    def _write(self, path: Path, octets: bytes, mode: int) -> None:
        path.unlink(missing_ok=True)
        write_durably(path, octets, mode, new=True)

    def forget(self, spool_id: str, recorded: Collection[str]) -> None:
        for name in self._names():
            if _entry_of(name) == spool_id and name not in recorded:
                self.done(name)

    def due(self) -> list[str]:
        due = []
        for name in sorted(self._names()):
            recorded = self._spool.due_reports(_entry_of(name))
            if recorded is not None and name not in recorded:
                continue
            if (self._root / (name + ENVELOPE)).exists():
                due.append(name)
            elif recorded is None:
                self.done(name)
        return due

    def _names(self) -> set[str]:
        return {os.path.splitext(name)[0] for name in os.listdir(self._root)}

    def read(self, name: str) -> tuple[bytes, QueueEnvelope] | None:
        try:
            return (self._root / (name + MESSAGE)).read_bytes(), QueueEnvelope.decode(
                (self._root / (name + ENVELOPE)).read_bytes()
            )
        except FileNotFoundError:
            return None

    def hand_over(self, name: str, queue: Queue) -> bool:
        is_taken = queue.take(name, self._root / (name + MESSAGE), self._root / (name + ENVELOPE))
        self.done(name)
        return is_taken

    def done(self, name: str) -> None:
        for path in self._files(name):
            path.unlink(missing_ok=True)

    def _files(self, name: str) -> Iterator[Path]:
        return (self._root / (name + ending) for ending in (ENVELOPE, FRESH, MESSAGE))
