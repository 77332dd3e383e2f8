"""The chain of anchors, which makes any change of the log detectable (Reg. 8.2).

Changes are altered, removed and inserted lines.

`<folder>/anchors.chain` has one JSON object a line, durable before anything depends on it, each with the digest of the line
before (`prev`: SHA-256 of all its octets, line end included). Three kinds:

    checkpoint   every hour: the files that have grown, each with its first `octets`, their `lines` and `sha256`
    day          a UTC day is over: the same, and the days that it closes; no process writes to their segments any more
    removal      these segments have passed their retention and may be deleted

The first two also hold the heads of the mailboxes' chains of facts (`policy.facts`): those that moved, and one digest over
all.

The digest of the last line, the *head*, covers all lines before it: `mic-mail log anchor` prints it, to be noted where no
administrator of the server can change it. In: the folder. Out: records, and their combined state (`ChainState`). A line
without an end was never durable and is cut off by the next writer; nothing else is ever removed. Blocking.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from mic_mail.durable_files import make_durable
from mic_mail.errors import Text, Trouble
from mic_mail.log.files import GENESIS, digest, segment_day

NAME = "anchors.chain"


class AnchorKind(StrEnum):
    """The kind of a record."""

    CHECKPOINT = "checkpoint"
    DAY = "day"
    REMOVAL = "removal"


@dataclass(frozen=True, slots=True)
class Extent:
    """The beginning of a file; it stays valid forever, as the file only grows."""

    name: str
    octets: int
    lines: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Head:
    """The end of one mailbox's chain of facts."""

    mailbox_id: int
    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """One record of the chain."""

    number: int
    at: str
    kind: AnchorKind
    prev: str
    files: tuple[Extent, ...] = ()
    closes: tuple[date, date] | None = None
    """First and last UTC day that are over."""
    heads: tuple[Head, ...] = ()
    facts: str | None = None
    """`digest_of_heads` of all mailboxes."""
    removed: tuple[str, ...] = ()
    months: int | None = None
    """The retention in months when these segments were removed."""

    def encode(self) -> bytes:
        members: dict[str, object] = {"n": self.number, "at": self.at, "kind": self.kind.value}
        if self.closes is not None:
            members["closes"] = [day.isoformat() for day in self.closes]
        if self.files:
            members["files"] = [[file.name, file.octets, file.lines, file.sha256] for file in self.files]
        if self.facts is not None:
            members["facts"] = self.facts
            members["heads"] = [[head.mailbox_id, head.seq, head.digest] for head in self.heads]
        if self.removed:
            members["removed"], members["months"] = list(self.removed), self.months
        members["prev"] = self.prev
        return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> "Anchor":
        """Parse a line; `ValueError` for anything that no version of this program has written."""
        try:
            read = json.loads(line)
            first, last = (date.fromisoformat(day) for day in read["closes"]) if "closes" in read else (None, None)
            return cls(
                number=int(read["n"]),
                at=str(read["at"]),
                kind=AnchorKind(read["kind"]),
                prev=str(read["prev"]),
                files=tuple(
                    Extent(str(name), int(octets), int(lines), str(value))
                    for name, octets, lines, value in read.get("files", ())
                ),
                closes=(first, last) if first is not None and last is not None else None,
                heads=tuple(Head(int(mailbox), int(seq), str(value)) for mailbox, seq, value in read.get("heads", ())),
                facts=read.get("facts"),
                removed=tuple(map(str, read.get("removed", ()))),
                months=read.get("months"),
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not an anchor: {error}") from error


@dataclass(slots=True)
class ChainState:
    """The combined state of all records up to one."""

    count: int = 0
    head: str = GENESIS
    at: str = ""
    files: dict[str, Extent] = field(default_factory=dict)
    """The furthest anchored extent of each file."""
    anchored_by: dict[str, int] = field(default_factory=dict)
    """The number of the record with that extent."""
    late: dict[str, int] = field(default_factory=dict)
    """Segments that appeared, or grew, after their day had been closed."""
    heads: dict[int, Head] = field(default_factory=dict)
    begins: date | None = None
    closed: date | None = None
    """The last closed day; all days from `begins` on are closed."""
    removed: dict[str, int] = field(default_factory=dict)

    def take(self, anchor: Anchor, line: bytes) -> None:
        self.count, self.head, self.at = anchor.number, digest(line), anchor.at
        for file in anchor.files:
            day = segment_day(file.name)
            if day is not None and self.closed is not None and day <= self.closed:
                self.late[file.name] = anchor.number
            self.files[file.name] = file
            self.anchored_by[file.name] = anchor.number
        for head in anchor.heads:
            self.heads[head.mailbox_id] = head
        if anchor.closes is not None:
            self.begins = self.begins or anchor.closes[0]
            self.closed = anchor.closes[1]
        self.removed.update(dict.fromkeys(anchor.removed, anchor.number))

    def pass_over(self, line: bytes) -> None:
        """Count a line that cannot be parsed: the records behind it keep their numbers, and follow its digest."""
        self.count, self.head = self.count + 1, digest(line)


def digest_of_heads(heads: Iterable[Head]) -> str:
    """Return one digest over the ends of all chains of facts, in the order of the mailboxes."""
    value = sha256()
    for head in sorted(heads, key=lambda head: head.mailbox_id):
        value.update(f"{head.mailbox_id}:{head.seq}:{head.digest}\n".encode())
    return value.hexdigest()


class AnchorFile:
    """The chain of one folder; several processes may write to it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._known = ChainState()
        self._read_octets = 0

    def lines(self) -> Iterator[bytes]:
        if self.path.exists():
            with self.path.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))

    def known(self) -> ChainState:
        """Return the state of the chain, without lines that cannot be parsed, which `verify` reports."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < self._read_octets:
            self._known, self._read_octets = ChainState(), 0
        if size > self._read_octets:
            with self.path.open("rb") as file:
                file.seek(self._read_octets)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read_octets += len(line)
                    try:
                        anchor = Anchor.decode(line)
                    except ValueError:
                        self._known.pass_over(line)
                        continue
                    self._known.take(anchor, line)
        return self._known

    @contextmanager
    def writing(self) -> Iterator["ChainWriter"]:
        """Lock the chain for writing; other writers wait."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            new = not self.path.exists()
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise _trouble() from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if new:
                make_durable(self.path.parent)
            known = self.known()
            os.ftruncate(fd, self._read_octets)  # a writer died within its line: that record never existed
            yield ChainWriter(self, fd, known)
        finally:
            os.close(fd)

    def _append(self, fd: int, line: bytes) -> None:
        try:
            written = os.pwrite(fd, line, self._read_octets)
            if written != len(line):
                os.ftruncate(fd, self._read_octets)
                raise OSError("short write")
            os.fsync(fd)
        except OSError as error:
            raise _trouble() from error


@dataclass(slots=True)
class ChainWriter:
    """The chain while this process may append to it."""

    _file: AnchorFile
    _fd: int
    known: ChainState

    def add(self, *, at: str, kind: AnchorKind, **content: object) -> Anchor:
        """Append one record, durable on return; `content` holds the other members of `Anchor`."""
        anchor = Anchor(self.known.count + 1, at, kind, self.known.head, **content)  # type: ignore[arg-type]  # its own fields
        self._file._append(self._fd, anchor.encode())
        self.known = self._file.known()
        return anchor


def _trouble() -> Trouble:
    return Trouble(Text("Không ghi được chuỗi niêm phong nhật ký.", "The chain of anchors cannot be written."))
