"""The outbound queue: durable entries, each with the results of every recipient so far.

In: a message with its envelope. Out: a `QueueEntry` that survives `kill -9` at any step, and its end once every recipient is
settled. This module has what all know: services, commands, the SMTP client. Where entries lie is told by two others, of which
`services.mail_store` chooses one:

    local_queue       files of one machine, whose one process sends them
    database_queue    rows in PostgreSQL; each of several nodes has a process that sends, and takes over from one that died

A log has what happened to an entry, a line each (`queue.recipient_log`). A delivery that was not recorded when a node died is
made twice, as by every mail server. Blocking; instants are passed in.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import ClassVar

from mic_mail.errors import Refused, Text
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.mime.original_recipient import OriginalRecipient
from mic_mail.queue.binary_domains import BinaryDomains
from mic_mail.queue.errors import UNREADABLE, trouble
from mic_mail.queue.esmtp_options import QueuedTransaction, addressed
from mic_mail.queue.node_lease import NodeLease
from mic_mail.queue.recipient_log import HELD, NOBODY, RELEASED, AdminDecision, EntryState, Standing


class EntryEnded(Refused):
    """The entry has ended: nothing can be decided about it."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(Text(f"Thư {entry_id} đã kết thúc.", f"{entry_id} has left the queue meanwhile."))


@dataclass(frozen=True, slots=True)
class QueueRecipient:
    """One recipient on another server."""

    address: MailboxAddress
    notify: tuple[str, ...] = ()
    orcpt: OriginalRecipient | None = None

    @property
    def domain(self) -> str:
        return self.address.domain


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEnvelope(QueuedTransaction):
    """The stored envelope of an entry."""

    _DECODERS: ClassVar = {
        **QueuedTransaction._DECODERS,
        "recipients": lambda recipients: tuple(QueueRecipient(**addressed(recipient)) for recipient in recipients),
    }

    recipients: tuple[QueueRecipient, ...]


@dataclass(frozen=True, slots=True)
class DamagedEntry:
    """An unreadable entry. It is never tried, and stays until an administrator has checked it."""

    entry_id: str
    why: Text


class Queue(ABC):
    """All entries of one queue."""

    binary_domains: BinaryDomains
    lease: NodeLease | None = None
    """The lease of this node, where several send; None: this machine alone sends."""
    poll_seconds: ClassVar[float] = float("inf")
    """The process that sends polls at least so often."""

    @abstractmethod
    def close(self) -> None: ...

    # Writers

    @abstractmethod
    def put(self, entry_id: str, message: Path, envelope: QueueEnvelope) -> None:
        """Create the entry of a message that is durable in a file of this machine.

        Does nothing if the entry is or was here. When this returns the message will be sent, or its sender notified.
        `SpoolUnavailable` leaves nothing behind, unless the answer of a database was lost: then the same call finds out.
        """

    @abstractmethod
    def take(self, entry_id: str, message: Path, envelope: Path) -> bool:
        """Create an entry from two durable files; return False if that was done before.

        The envelope's file is removed, so the entry is created once however often that is tried, also after it has ended.
        `SpoolUnavailable` leaves the envelope where it was.
        """

    @abstractmethod
    def accept(self, entry_id: str, message: Path, envelope: QueueEnvelope) -> bool:
        """Create the entry before its message is acknowledged; the writer never puts it again.

        Returns False where that gains nothing, since the spool is as safe as the queue: the message comes from there.
        """

    @abstractmethod
    def withdraw(self, entry_id: str) -> None:
        """Remove an accepted entry unless a node has taken it up: its message is refused after all."""

    # Readers

    @abstractmethod
    def has(self, entry_id: str) -> bool:
        """Return whether the entry exists."""

    @abstractmethod
    def had(self, entry_id: str) -> bool:
        """Return whether the entry is here, or has ended and its writer does not know it yet."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the ids of all entries in order."""

    @abstractmethod
    def look_at(self, entry_id: str) -> "QueueEntry | DamagedEntry | None":
        """Return an entry as it stands, or why it cannot be read; None if there is none."""

    def look_at_each(self, entry_ids: Iterable[str]) -> "Iterator[QueueEntry | DamagedEntry]":
        """Yield these entries as they stand, but those that there are not."""
        return (found for entry_id in entry_ids if (found := self.look_at(entry_id)) is not None)

    def entries(self) -> "Iterator[QueueEntry]":
        """Yield every entry in the order of ids; unreadable ones are left out, for administrators."""
        return (found for found in self.look_at_each(self.names()) if isinstance(found, QueueEntry))

    def read(self, entry_id: str) -> "QueueEntry | None":
        """Return an entry as it stands; None if there is none, or it is unreadable."""
        found = self.look_at(entry_id)
        return found if isinstance(found, QueueEntry) else None

    # The process that sends

    def available(self) -> list[str]:
        """Return entries that it may take up, those that it has among them or not."""
        return self.names()

    def take_up(self, entry_ids: Iterable[str]) -> "Iterator[QueueEntry | DamagedEntry]":
        """Yield these entries as they stand, to be sent by this process; those that another node sends are left out."""
        return self.look_at_each(entry_ids)

    @abstractmethod
    def decided(self) -> list[str]:
        """Return the entries of this process with a decision since the last call."""

    @abstractmethod
    def sweep(self) -> None:
        """Settle what earlier processes have left, when the process starts."""

    @abstractmethod
    def forget_ended(self) -> None:
        """Remove the marks of ended entries whose writers do not put them again; now and then."""


@dataclass(slots=True)
class QueueEntry(ABC):
    """One queued message and its results."""

    is_local: ClassVar[bool] = True
    """Set if an attempt finds the message on this machine; else `fetch` brings it."""

    queue: Queue
    entry_id: str
    envelope: QueueEnvelope
    state: EntryState
    has_ended: bool = False
    """Set once this process has ended the entry."""
    _unwritten: list[bytes] = field(default_factory=list)
    """Lines not yet written because disk or database refused them.

    They count in memory, and are written before the next line: what another server has accepted must not be sent again
    and again because the disk is full.
    """
    _turn: Lock = field(default_factory=Lock, repr=False)
    """Serialises reading and appending in this process; else a read could miss a line."""

    @property
    def path(self) -> Path:
        """The message file; of an entry that is not local, between `begin_use` and `end_use` only."""
        return Path(self.path_text)

    @property
    @abstractmethod
    def path_text(self) -> str:
        """The same as text, for what each message needs."""

    @property
    @abstractmethod
    def octets(self) -> int:
        """Size of the message as it is sent; raises `EntryEnded` if the entry has ended."""

    @abstractmethod
    def beginning(self, octets: int) -> bytes:
        """Return as much of the message, as it is sent; nothing if it cannot be read."""

    @property
    def free_since_us(self) -> int:
        """The time of acceptance, or of the end of the last hold."""
        return max(self.envelope.accepted_at_us, self.state.free_since_us)

    # Attempts with an entry that is not local

    @abstractmethod
    def may_be_tried(self) -> bool:
        """Return whether an attempt may begin now: nobody else can have taken the entry since it was read."""

    @abstractmethod
    def begin_use(self) -> None:
        """Announce an attempt, which ends by `end_use`; both on the loop."""

    @abstractmethod
    def fetch(self) -> None:
        """Bring the message to this machine, for as long as an attempt uses it; in a thread."""

    @abstractmethod
    def end_use(self) -> None:
        """End an attempt; the last one of several removes what was fetched."""

    # Results

    def tried(
        self,
        places: Sequence[int],
        standing: Standing,
        reason: Text | str,
        *,
        next_try_us: int,
        server: str | None = None,
        retries: int | None = None,
    ) -> None:
        """Record an attempt for these recipients: settled, or OPEN and due again at `next_try_us`.

        `server` is the one that gave the reason. `retries` are those decided before the attempt began, if that is not now:
        recipients that are OPEN after a later one are due at once.
        """
        known = self.state.retries if retries is None else retries
        self._append(_try(places, standing, reason, server, next_try_us=next_try_us, retries=known))

    def delivered_to_the_last(self, places: Sequence[int], reason: Text | str, server: str | None) -> bool:
        """End the entry if these were its last open recipients and no report is due; return whether it ended."""
        if set(self.state.open) - set(places) or self.state.unreported:
            return False
        with self._turn:
            self._keep(_try(places, Standing.DELIVERED, reason, server, next_try_us=0, retries=self.state.retries))
        self.end()
        return True

    def warned(self) -> None:
        """Record that the sender was notified of the delay."""
        self._append({"did": "warned"})

    def sender_notified(self, places: Sequence[int]) -> None:
        """Record that the sender was notified of the end of these recipients."""
        self._append({"did": "told", "places": list(places)})

    def kept_back(self, is_so: bool, at_us: int) -> None:
        """Record that its mailbox may not send, or may again."""
        self._append({"did": "kept", "is_so": is_so, "at_us": at_us})

    def hold(self, decision: AdminDecision = NOBODY) -> None:
        """Hold the entry."""
        self._decide({"did": "hold", "hold": HELD}, decision)

    def release(self, decision: AdminDecision = NOBODY) -> None:
        """End a hold."""
        self._decide({"did": "hold", "hold": RELEASED}, decision)

    def retry(self, decision: AdminDecision = NOBODY) -> None:
        """Make the entry due at once, unless it is held."""
        self._decide({"did": "retry"}, decision, sync=False)

    def drop(self, places: Sequence[int], decision: AdminDecision) -> None:
        """Drop these recipients; the process that sends notifies the sender, with the reason."""
        self._decide({"did": "drop", "places": list(places)}, decision)

    def refresh(self) -> bool:
        """Read what others have appended; return False, with the state unchanged, if the entry has ended.

        The same if another node sends it now.
        """
        with self._turn:
            state = self._stored_state()
            if state is None:
                return False
            for line in self._unwritten:
                state = state.after(json.loads(line))
            self.state = state
            return True

    @abstractmethod
    def end(self) -> None:
        """End the entry."""

    @abstractmethod
    def _stored_state(self) -> EntryState | None:
        """Return the state by the stored log; None if the entry has ended, or is another node's."""

    @abstractmethod
    def _decide(self, line: dict[str, object], decision: AdminDecision, *, sync: bool = True) -> None:
        """Append an administrator's line, and tell the process that sends; `EntryEnded` if the entry has ended."""

    @abstractmethod
    def _write_down(self, *, sync: bool) -> None:
        """Append the unwritten lines to the stored log."""

    def _append(self, line: dict[str, object], *, sync: bool = False) -> None:
        """Append a line; `SpoolUnavailable` if it could not be written, though `state` has it all the same."""
        with self._turn:
            self._keep(line)
            try:
                self._write_down(sync=sync)
            except UNREADABLE as error:
                raise trouble(error) from error

    def _keep(self, line: dict[str, object]) -> None:
        self._unwritten.append(encoded(line))
        self.state = self.state.after(json.loads(self._unwritten[-1]))


def encoded(line: dict[str, object]) -> bytes:
    """Encode a line of a log."""
    return json.dumps(line, ensure_ascii=True).encode() + b"\n"


def replayed(log: bytes, recipients: int) -> EntryState:
    """Return the state that a log adds up to; what a line cut off has left behind counts for nothing."""
    state = EntryState.fresh(recipients)
    for line in log.split(b"\n")[:-1]:
        try:
            state = state.after(json.loads(line))
        except (ValueError, KeyError, TypeError, IndexError):
            continue  # part of a line, followed by another writer's
    return state


def _try(
    places: Sequence[int], standing: Standing, reason: Text | str, server: str | None, *, next_try_us: int, retries: int
) -> dict[str, object]:
    line: dict[str, object] = {
        "did": "try",
        "places": list(places),
        "standing": standing,
        "reason": str(reason),
        "server": server,
        "next_try_us": next_try_us,
    }
    if isinstance(reason, Text):
        line["reason_vi"] = reason.vi
    return {**line, "retries": retries} if retries else line
