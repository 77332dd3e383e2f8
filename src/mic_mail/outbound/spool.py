"""The durable entry of one message with its recipients, between `250` and the last mailbox.

In: a message file being written and the list of its recipients. Out: an `Entry` that survives `kill -9` at any step, and its
end once every recipient is settled. One entry is two files that carry the entry's id:

    tmp/ID.msg     the message while it is written                    tmp/ID.env   the envelope while it is written
    live/ID.msg    the message, durable and read-only                 live/ID.env  the envelope: the entry EXISTS while this does

Legal orders (each arrow may be the last thing that happened before a kill; `recover` names the state and ends it):

    accept    tmp/ID.msg written -> fsync -> tmp/ID.env written -> fsync -> live/ID.msg -> live/ID.env -> fsync live/ -> `250`
    progress  tmp/ID.env written -> fsync -> over live/ID.env -> fsync live/
    end       every recipient settled -> live/ID.env removed -> fsync live/ -> live/ID.msg removed

    found after a kill                     means                                     recover does
    tmp/ID.*                               never acknowledged, or a progress report  removes it
    live/ID.msg without live/ID.env        accept before, or end after, the entry    removes it
    live/ID.env without live/ID.msg        power cut before fsync live/: no `250`    removes it
    both                                   the entry: acknowledged or about to be    hands it out to be delivered

A live owner holds the flock of its `.msg` file from creation to end, so recovery beside running processes touches nothing of
theirs, and a killed owner's entries are free at once. Delivery of an entry is idempotent by `Entry.origin(mailbox)`, so an
entry that is handed out twice doubles nothing. Blocking; no SQL; times are passed in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Target:
    """One mailbox that a recipient address leads to, and what became of it."""

    mailbox_id: int
    address: str
    detail: str | None = None
    settled: bool = False
    notify: tuple[str, ...] = ()
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Slip:
    """What an entry keeps of its envelope; the message itself already carries the trace header."""

    trace_id: str
    sender: str
    targets: tuple[Target, ...]
    accepted_at_us: int
    smtputf8: bool = False
    body: str = "7BIT"
    ret: str | None = None
    envid: str | None = None
    attempts: int = 0


class Draft(Protocol):
    """An entry before it exists: write the message, then `commit` or `discard`."""

    def write(self, octets: bytes | bytearray | memoryview) -> None: ...
    def commit(self, slip: Slip) -> "Entry": ...
    def discard(self) -> None: ...


class Entry(Protocol):
    """A durable entry that this process owns."""

    slip: Slip
    path: Path
    """The message file, to be linked into mailboxes."""

    def origin(self, mailbox_id: int) -> str: ...
    def settle(self, mailbox_ids: Sequence[int], *, attempted: bool = True) -> None: ...
    def end(self) -> None: ...
    def release(self) -> None: ...


class Spool:
    """All entries below one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def draft(self, spool_id: str) -> Draft:
        """Begin an entry."""
        raise NotImplementedError

    def recover(self) -> Iterator[Entry]:
        """Every entry that no living process owns, owned from now on; leftovers are removed on the way."""
        raise NotImplementedError
