"""What was taken from one source into one mailbox: so that a run goes on where another was cut off, and nothing comes twice.

A file of lines, appended to: the head says which source and which mailbox, each further line which message of the source is
which message here. Several lines of one key: the last one holds. A line that a kill has cut off is dropped. Who writes it holds
its lock; a second run of the same source into the same mailbox is refused.

The line follows the message: whoever is killed between the two has published something that no line tells of. The store then
knows it by its origin key, so the next run is told "already there" and writes the line.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Self

from mic_mail.errors import Refused, Text, Trouble
from mic_mail.i18n.os_errors import reason as system_reason

_ORIGIN_OCTETS = 16


class ImportRuns(Refused):
    """Somebody else imports the same source into the same mailbox now."""

    def __init__(self) -> None:
        super().__init__(
            Text("Nguồn này đang được nhập vào hộp thư này.", "This source is being imported into this mailbox now."),
            remedy=Text("Chờ lần nhập kia xong.", "Wait until the other import has ended."),
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One message that was taken."""

    key: str
    folder: str
    """Of the source."""
    generation: int
    mailbox: str
    """MAILBOXID of the folder here."""
    uidvalidity: int
    uid: int
    digest: str
    """SHA-256 of what is stored."""
    flags: tuple[str, ...]
    """As the source had them last."""

    def line(self) -> str:
        """As the ledger keeps it."""
        return json.dumps(
            [self.key, self.folder, self.generation, self.mailbox, self.uidvalidity, self.uid, self.digest, self.flags]
        )


@dataclass(frozen=True, slots=True)
class Run:
    """How an import went."""

    at: str
    """ISO 8601, UTC."""
    found: int
    imported: int
    already: int
    skipped: int
    complete: bool


def folder_of(data_dir: Path) -> Path:
    """Where ledgers lie."""
    return data_dir / "imports"


def path_of(data_dir: Path, mailbox_id: int, identity: str) -> Path:
    """The ledger of one source into one mailbox."""
    name = blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
    return folder_of(data_dir) / f"{mailbox_id}-{name}.jsonl"


def counted_key(folder: str, mark: str, met: dict[str, int]) -> str:
    """The key of a message that nothing but its content tells: the second of two equal ones is another message. `met`: how
    many there were of each."""
    nth = met[mark] = met.get(mark, 0) + 1
    return f"{folder}\0{mark}\0{nth}"


class Ledger:
    """An open ledger. Use as a context manager."""

    def __init__(self, path: Path, mailbox_id: int, identity: str, *, only_look: bool = False) -> None:
        """`only_look`: the file is left as it is, and none is made; where there is none, nothing was taken."""
        self._path = path
        self._only_look = only_look
        self._head = {"mailbox_id": mailbox_id, "source": identity}
        self._entries: dict[str, Entry] = {}
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            if self._only_look:
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
            if not (self._only_look and isinstance(error, FileNotFoundError)):
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
        if self._only_look:
            return
        if whole != os.fstat(self._fd).st_size:
            os.ftruncate(self._fd, whole)
        if not whole:
            self._append([json.dumps(self._head)])
            _sync_folder(self._path.parent)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, key: str) -> Entry | None:
        """What is on record of a message of the source."""
        return self._entries.get(key)

    def entries(self) -> Iterable[Entry]:
        """All of them."""
        return self._entries.values()

    def origin(self, key: str) -> str:
        """The store's idempotency key of a message: it holds any key, and differs from those of all other sources."""
        seed = f"{self._head['mailbox_id']}\0{self._head['source']}\0{key}".encode("utf-8", "surrogatepass")
        return f"import:{blake2b(seed, digest_size=_ORIGIN_OCTETS).hexdigest()}"

    def add(self, entries: Iterable[Entry], gone: Iterable[str] = ()) -> None:
        """Put on record, durably and together; `gone`: keys that the source has taken back (another UIDVALIDITY)."""
        fresh, old = list(entries), list(gone)
        if fresh or old:
            self._append([entry.line() for entry in fresh] + ([json.dumps({"gone": old})] if old else []))
            self._entries.update((entry.key, entry) for entry in fresh)
            for key in old:
                self._entries.pop(key, None)

    def ended(self, run: Run) -> None:
        """A run is over."""
        self._append([json.dumps({"run": [run.at, run.found, run.imported, run.already, run.skipped, run.complete]})])

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


def _entry(line: bytes) -> Entry | None:
    try:
        told = json.loads(line)
        if not isinstance(told, list):
            return None
        key, folder, generation, mailbox, uidvalidity, uid, digest, flags = told
        texts, numbers = (key, folder, mailbox, digest, *flags), (generation, uidvalidity, uid)
        if not (all(isinstance(each, str) for each in texts) and all(isinstance(each, int) for each in numbers)):
            return None
        bytes.fromhex(digest)
        return Entry(key, folder, generation, mailbox, uidvalidity, uid, digest, tuple(flags))
    except (ValueError, TypeError, RecursionError):  # a damaged line: what it told of is found by its octets
        return None


def _gone(line: bytes) -> list[str]:
    try:
        return [str(key) for key in json.loads(line)["gone"]] if line.startswith(b'{"gone"') else []
    except (ValueError, TypeError, RecursionError):
        return []


@dataclass(frozen=True, slots=True)
class Taken:
    """What a ledger tells of a source."""

    mailbox_id: int
    source: str
    messages: int
    last: Run | None
    """None: no run has come to its end. It is not complete where something was written down since: a later run was killed, or
    the mailbox was put back."""


def taken(data_dir: Path) -> Iterator[Taken]:
    """Every source that anything was imported from."""
    for path in sorted(folder_of(data_dir).glob("*.jsonl")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            yield _taken(path)


def ledgers(data_dir: Path, mailbox_id: int) -> list[Path]:
    """The files of all sources of one mailbox."""
    return sorted(folder_of(data_dir).glob(f"{mailbox_id}-*.jsonl"))


@contextlib.contextmanager
def put_back(data_dir: Path, mailbox_id: int, numbers: Mapping[str, tuple[int, int]]) -> Iterator[None]:
    """While a mailbox is put back as it once was, nothing is imported (`ImportRuns`: something is); behind it, what came later
    is forgotten, so that it comes again. `numbers`: MAILBOXID -> UIDVALIDITY and next UID of then. What had come by then stays
    on record, also where its person had deleted it."""

    def had_come(entry: Entry) -> bool:
        uidvalidity, uidnext = numbers.get(entry.mailbox, (0, 0))
        return entry.uidvalidity == uidvalidity and entry.uid < uidnext

    with contextlib.ExitStack() as locks:
        held = [locks.enter_context(Ledger(path, mailbox_id, _source(path))) for path in ledgers(data_dir, mailbox_id)]
        yield
        for ledger in held:
            ledger.add([], gone=[entry.key for entry in ledger.entries() if not had_come(entry)])


def _source(path: Path) -> str:
    """As the head says; one that is damaged takes nothing from what the other lines say."""
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


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _failed(error: OSError) -> Trouble:
    why = system_reason(error)
    return Trouble(Text(f"Không ghi được sổ nhập thư: {why.vi}.", f"The import's ledger cannot be written: {why.en}."))
