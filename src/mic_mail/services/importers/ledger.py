"""The ledger of one source and one mailbox: interrupted runs go on, and nothing is imported twice.

A file of lines, appended to: the head names the source and the mailbox, each further line maps a message of the source
to a message here. Of several lines with one key the last one holds. A line that a kill has cut off is dropped. The
writer holds the file's lock.

The line follows the message. A message published by a killed run has no line yet; the store knows it by its origin key,
so the next run finds it already there and writes the line.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Self

from mic_mail.durable_files import make_durable
from mic_mail.errors import Refused, Text, Trouble
from mic_mail.i18n.os_errors import reason as system_reason

_ORIGIN_OCTETS = 16


class ImportRuns(Refused):
    """Another process imports the same source into the same mailbox now."""

    def __init__(self) -> None:
        super().__init__(
            Text("Nguồn này đang được nhập vào hộp thư này.", "Another import of this source into this mailbox is running."),
            remedy=Text("Chờ lần nhập đó kết thúc.", "Wait until the other import has ended."),
        )


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One imported message."""

    key: str
    folder: str
    """The source's folder."""
    generation: int
    mailbox: str
    """MAILBOXID of the folder here."""
    uidvalidity: int
    uid: int
    digest: str
    """SHA-256 of the stored message."""
    flags: tuple[str, ...]
    """The flags that the source had last."""

    def line(self) -> str:
        return json.dumps(astuple(self))


@dataclass(frozen=True, slots=True)
class Run:
    """The result of an import."""

    at: str
    """ISO 8601, UTC."""
    found: int
    imported: int
    already: int
    skipped: int
    complete: bool


def folder_of(data_dir: Path) -> Path:
    return data_dir / "imports"


def path_of(data_dir: Path, mailbox_id: int, identity: str) -> Path:
    name = blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
    return folder_of(data_dir) / f"{mailbox_id}-{name}.jsonl"


def counted_key(folder: str, mark: str, seen: dict[str, int]) -> str:
    """Return the key of a message that only its content identifies; `seen` counts equal ones."""
    nth = seen[mark] = seen.get(mark, 0) + 1
    return f"{folder}\0{mark}\0{nth}"


class Ledger:
    """An open ledger. Use as a context manager."""

    def __init__(self, path: Path, mailbox_id: int, identity: str, *, read_only: bool = False) -> None:
        """`read_only`: neither change nor create the file; a missing one is an empty ledger."""
        self._path = path
        self._read_only = read_only
        self._head = {"mailbox_id": mailbox_id, "source": identity}
        self._entries: dict[str, LedgerEntry] = {}
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            if self._read_only:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            else:
                self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ImportRuns from None
            self._read()
        except OSError as error:
            self._close()
            if not (self._read_only and isinstance(error, FileNotFoundError)):
                raise _failed(error) from error
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _read(self) -> None:
        whole = 0
        with open(self._path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                if (entry := _entry(line)) is not None:
                    self._entries[entry.key] = entry
                for key in _gone(line):
                    self._entries.pop(key, None)
        if self._read_only:
            return
        if whole != os.fstat(self._fd).st_size:
            os.ftruncate(self._fd, whole)
        if not whole:
            self._append([json.dumps(self._head)])
            make_durable(self._path.parent)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, key: str) -> LedgerEntry | None:
        return self._entries.get(key)

    def entries(self) -> Iterable[LedgerEntry]:
        return self._entries.values()

    def origin(self, key: str) -> str:
        """Return the store's idempotency key of a message: fits any key, and differs for every source."""
        seed = f"{self._head['mailbox_id']}\0{self._head['source']}\0{key}".encode("utf-8", "surrogatepass")
        return f"import:{blake2b(seed, digest_size=_ORIGIN_OCTETS).hexdigest()}"

    def add(self, entries: Iterable[LedgerEntry], gone: Iterable[str] = ()) -> None:
        """Record entries durably and together; `gone`: keys that are void by another UIDVALIDITY."""
        fresh, old = list(entries), list(gone)
        if fresh or old:
            self._append([entry.line() for entry in fresh] + ([json.dumps({"gone": old})] if old else []))
            self._entries.update((entry.key, entry) for entry in fresh)
            for key in old:
                self._entries.pop(key, None)

    def ended(self, run: Run) -> None:
        self._append([json.dumps({"run": astuple(run)})])

    def _append(self, lines: list[str]) -> None:
        octets = "".join(f"{line}\n" for line in lines).encode("ascii")
        size = os.fstat(self._fd).st_size
        try:
            if os.write(self._fd, octets) != len(octets):
                os.ftruncate(self._fd, size)
                raise OSError("short write")
            os.fsync(self._fd)
        except OSError as error:
            raise _failed(error) from error


def _entry(line: bytes) -> LedgerEntry | None:
    try:
        fields = json.loads(line)
        if not isinstance(fields, list):
            return None
        key, folder, generation, mailbox, uidvalidity, uid, digest, flags = fields
        texts, numbers = (key, folder, mailbox, digest, *flags), (generation, uidvalidity, uid)
        if not (all(isinstance(each, str) for each in texts) and all(isinstance(each, int) for each in numbers)):
            return None
        bytes.fromhex(digest)
        return LedgerEntry(key, folder, generation, mailbox, uidvalidity, uid, digest, tuple(flags))
    except (ValueError, TypeError, RecursionError):  # a damaged line: its message is found again by its octets
        return None


def _gone(line: bytes) -> list[str]:
    try:
        return [str(key) for key in json.loads(line)["gone"]] if line.startswith(b'{"gone"') else []
    except (ValueError, TypeError, RecursionError):
        return []


@dataclass(frozen=True, slots=True)
class Taken:
    """A summary of one ledger."""

    mailbox_id: int
    source: str
    messages: int
    last: Run | None
    """The last finished run, incomplete where another was killed or the mailbox restored since; None: there is none."""


def taken(data_dir: Path) -> Iterator[Taken]:
    """Yield every source that anything was imported from."""
    for path in sorted(folder_of(data_dir).glob("*.jsonl")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            yield _taken(path)


def ledgers(data_dir: Path, mailbox_id: int) -> list[Path]:
    return sorted(folder_of(data_dir).glob(f"{mailbox_id}-*.jsonl"))


@contextlib.contextmanager
def put_back(data_dir: Path, mailbox_id: int, numbers: Mapping[str, tuple[int, int]]) -> Iterator[None]:
    """Lock the ledgers while a mailbox is restored to an earlier state, then forget what came later.

    Nothing is imported meanwhile (`ImportRuns`: an import is running); forgotten messages are imported again. `numbers`:
    MAILBOXID -> UIDVALIDITY and next UID of the restored state. Messages that had come by then stay recorded, even if they
    had been deleted.
    """

    def had_come(entry: LedgerEntry) -> bool:
        uidvalidity, uidnext = numbers.get(entry.mailbox, (0, 0))
        return entry.uidvalidity == uidvalidity and entry.uid < uidnext

    with contextlib.ExitStack() as locks:
        held = [locks.enter_context(Ledger(path, mailbox_id, _source(path))) for path in ledgers(data_dir, mailbox_id)]
        yield
        for ledger in held:
            ledger.add([], gone=[entry.key for entry in ledger.entries() if not had_come(entry)])


def _source(path: Path) -> str:
    """Return the source named in the head; a damaged head leaves the other lines valid."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError), open(path, "rb") as file:
        return str(json.loads(file.readline())["source"])
    return ""


def _taken(path: Path) -> Taken:
    last: Run | None = None
    keys: set[str] = set()
    with open(path, "rb") as file:
        head = json.loads(file.readline())
        for line in file:
            if line.startswith(b'{"run"'):
                last = Run(*json.loads(line)["run"])
                continue
            if gone := _gone(line):
                keys.difference_update(gone)
            elif (entry := _entry(line)) is not None:
                keys.add(entry.key)
            else:
                continue
            last = None if last is None else replace(last, complete=False)
    return Taken(int(head["mailbox_id"]), str(head["source"]), len(keys), last)


def _failed(error: OSError) -> Trouble:
    why = system_reason(error)
    return Trouble(Text(f"Không ghi được sổ nhập thư: {why.vi}.", f"The import's ledger cannot be written: {why.en}."))
