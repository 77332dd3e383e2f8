"""The mail log: an append-only log of events (Reg. 8.2).

In: `event("recipient_refused", reason="quota", mailbox=..., session=...)` from any thread; it takes about 2 µs and never
waits. Out: one JSON object a line in a segment of this process, `<folder>/<UTC day>.<process>.<pid>.<n>.jsonl`:

    {"at":"2026-11-24T09:00:00.123456Z","n":17,"event":"recipient_refused","reason":"quota",...}

`n` numbers the lines of a segment without a gap, so that a chain of digests can cover them and a loader can resume. Lines are
written by a thread, at most 100 ms after the event, and all of them before `close` returns. If a segment is deleted while it
is written, only its own lines are lost. If the disk refuses writes, up to `MOST_KEPT` events are queued; the rest are counted,
and the count is an event.
A sentence for people (`Text`) is written in both languages, `{"vi":...,"en":...}`.

Never logged: secrets. A value is written only if it is of a plain type; a field with the name of a secret and any other object
become "…". Control characters are escaped by JSON, octets that are not UTF-8 by `\\udcXX`.
"""

import contextlib
import fcntl
import json
import os
import threading
from collections import Counter, deque
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.errors import Text
from mic_mail.log.tee import Tee
from mic_mail.mailbox_address import MailboxAddress, NullPath

FLUSH_SECONDS = 0.05
RETRY_SECONDS = 1.0
MOST_KEPT = 100_000
LONGEST_TEXT = 2_000
NUMBER_BITS = 10_000  # Python refuses to print larger ones
HIDDEN = "…"
SECRET_FIELDS = frozenset(
    {
        "password",
        "passwd",
        "secret",
        "authorization",
        "initial_response",
        "response",
        "credential",
        "key",
        "token",
        "argon2",
        "scram",
    }
)

OWN_FIELDS = frozenset({"at", "n", "event"})

_Entry = tuple[int, str, Mapping[str, object]]
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def plain(name: str, value: object) -> object:
    """Return `value` in a form that JSON can hold; secret or unsupported values become `HIDDEN`."""
    if name in SECRET_FIELDS:
        return HIDDEN
    if type(value) is str and len(value) <= LONGEST_TEXT:  # most are; the chain below costs more
        return value
    if type(value) is MailboxAddress:  # so are most of the others
        return str(value)
    if isinstance(value, int):
        return value if value.bit_length() <= NUMBER_BITS else HIDDEN
    if value is None or isinstance(value, float):
        return value
    if type(value) is list:
        return [plain(name, item) for item in value[:1000]]
    if isinstance(value, Enum):
        return plain(name, value.value)
    if isinstance(value, bytes | bytearray):
        value = bytes(value[: 4 * LONGEST_TEXT]).decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + HIDDEN
    if isinstance(value, Text):
        if value.vi == value.en:  # another's words, which have no translation
            return plain(name, value.en)
        return {"vi": plain(name, value.vi), "en": plain(name, value.en)}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    if isinstance(value, date | Path | MailboxAddress | NullPath):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(name, item) for item in list(value)[:1000]]
    if isinstance(value, Mapping):
        return {str(key): plain(str(key), item) for key, item in list(value.items())[:1000]}
    return HIDDEN


def plain_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """Return all fields of an event in plain form; never raises, for any values."""
    try:
        return {
            key: value if type(value) is str and len(value) <= LONGEST_TEXT and key not in SECRET_FIELDS else plain(key, value)
            for key, value in fields.items()
        }
    except Exception:  # noqa: BLE001 - a recursive list, a mapping that changes: the event itself is still logged
        return {"fields": HIDDEN}


def stamp(at_us: int) -> str:
    """Return an instant in the format of the log."""
    seconds, micros = divmod(at_us, 1_000_000)
    return f"{_to_the_second(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=4)  # the events of a second share its text: 0.4 µs instead of 2.4
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def encode(at_us: int, number: int, name: str, fields: Mapping[str, object]) -> bytes:
    """Return one line of a segment, newline included; never raises. Direct cases take 3 µs, `plain` 11."""
    try:
        told = "".join([f",{quoted(key)}:{_json(key, value)}" for key, value in fields.items() if key not in OWN_FIELDS])
    except Exception:  # noqa: BLE001 - see `plain_fields`
        told = f',"fields":"{HIDDEN}"'
    line = f'{{"at":"{stamp(at_us)}","n":{number},"event":{quoted(name)}{told}}}\n'
    return line.encode("utf-8", "backslashreplace")


def _json(name: str, value: object) -> str:
    if name not in SECRET_FIELDS:
        if type(value) is str and len(value) <= LONGEST_TEXT:
            return quoted(value)
        if value is None:
            return "null"
        if type(value) is int and value.bit_length() <= NUMBER_BITS:
            return repr(value)
        if type(value) is MailboxAddress:
            return quoted(str(value))
        if type(value) is list:
            return f"[{','.join([_json(name, item) for item in value[:1000]])}]"
    return _JSON.encode(plain(name, value))


class MailLog:
    """The log of one process, in no file without `folder`; without `threaded` the caller writes its event."""

    def __init__(
        self,
        folder: Path | None,
        process: str,
        *,
        clock: Clock,
        segment_octets: int = 64 << 20,
        tee: Tee | None = None,
        threaded: bool = True,
    ) -> None:
        self._folder = folder
        self._process = process
        self._clock = clock
        self._segment_octets = segment_octets
        self._tee = tee
        self._entries: deque[_Entry] = deque()
        self._lost = 0
        self._counts: Counter[str] = Counter()
        self._fd: int | None = None
        self._day = ""
        self._number = 0
        self._octets = 0
        self._segments = 0
        self._writing = threading.Lock()
        self._awake = threading.Event()
        self._closing = threading.Event()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._thread = threading.Thread(target=self._run, name="maillog", daemon=True) if threaded else None
        if self._thread is not None:
            self._thread.start()

    def event(self, name: str, /, **fields: object) -> None:
        """Log an event. `name` is `noun_verb` in the past: message_accepted, sign_in_refused."""
        if len(self._entries) >= MOST_KEPT:
            self._lost += 1
            return
        self._entries.append((self._clock.steady_us(), name, fields))
        if self._thread is None:
            self._write_all()
        elif not self._awake.is_set():
            self._awake.set()

    def counted(self) -> dict[str, int]:
        """Return how many events of each name this process has written."""
        return dict(self._counts)

    def flush(self) -> None:
        """Write all events so far, before other evidence of them is removed. Blocking; for an executor."""
        self._write_all()

    def close(self) -> None:
        """Write the remaining events; later ones are lost."""
        self._closing.set()
        self._awake.set()
        if self._thread is not None:
            self._thread.join()
        self._end_segment()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._awake.wait(RETRY_SECONDS if self._entries else None)
            self._closing.wait(FLUSH_SECONDS)  # batch events of the same moment
            self._awake.clear()
            self._write_all()
        self._write_all()

    def _write_all(self) -> None:
        with self._writing:
            self._write_what_is_left()

    def _write_what_is_left(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self._entries.append((self._clock.steady_us(), "log_events_lost", {"count": lost}))
        while self._entries:
            batch = [self._entries.popleft() for _ in range(min(len(self._entries), 1_000))]
            if self._folder is not None:
                try:
                    self._write(self._folder, batch)
                except OSError:  # disk full: keep them and retry
                    self._entries.extendleft(reversed(batch))
                    return
            self._counts.update(name for _, name, _ in batch)
            if self._tee is not None:
                self._tee.show([(at_us, name, plain_fields(fields)) for at_us, name, fields in batch])

    def _write(self, folder: Path, batch: list[_Entry]) -> None:
        """Append a batch whole or not at all, to a new segment on a new UTC day and when one is large or was deleted."""
        day = stamp(self._clock.steady_us())[:10]
        if self._fd is None or day != self._day or self._octets >= self._segment_octets or not os.fstat(self._fd).st_nlink:
            self._begin_segment(folder, day)
        assert self._fd is not None
        lines = memoryview(
            b"".join([encode(at_us, n, name, fields) for n, (at_us, name, fields) in enumerate(batch, self._number)])
        )
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._fd, lines[written:])
        except OSError:
            os.ftruncate(self._fd, self._octets)
            raise
        self._number += len(batch)
        self._octets += len(lines)

    def _begin_segment(self, folder: Path, day: str) -> None:
        """Create a new file, as a process with the same PID may have existed; it is locked while written."""
        self._end_segment()
        folder.mkdir(exist_ok=True, mode=0o750)
        while self._fd is None:
            self._segments += 1
            path = folder / f"{day}.{self._process}.{os.getpid()}.{self._segments}.jsonl"
            with contextlib.suppress(FileExistsError):
                self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o640)
        with contextlib.suppress(OSError):  # a file system without locks: `retention` removes nothing there
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        self._day, self._number, self._octets = day, 0, 0

    def _end_segment(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
