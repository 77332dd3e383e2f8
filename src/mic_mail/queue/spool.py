"""The spool: the durable entry of one message with its recipients, between `250` and the last mailbox.

In: a message being written and the list of its recipients. Out: a `SpoolEntry` that survives `kill -9` at any step, and
its end once every recipient is settled. This module has what all know. Where entries lie is told by two others, of which
`services.mail_store` chooses one:

    local_spool       files of one machine, whose processes own them by locks
    database_spool    rows in PostgreSQL, held for a while by one process of any node

Delivery is idempotent by `SpoolEntry.origin`, so an entry that is delivered by two processes is not delivered twice. An attempt
that leaves a recipient open records when the next one is due: after one minute, doubled each time, at most an hour (RFC 5321
§4.5.4.1 asks for growing pauses); `services.queue.inbound_dsn` decides which attempt is the last. Blocking; no clock.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final, Self

from mic_mail.mailbox_address import MailboxAddress
from mic_mail.mime.original_recipient import OriginalRecipient
from mic_mail.queue.esmtp_options import QueuedTransaction, addressed
from mic_mail.queue.scratch import Scratch
from mic_mail.storage.reserve import Reserves

MESSAGE: Final = ".msg"
MESSAGE_MODE: Final = 0o440
LONGEST_PAUSE_SECONDS: Final = 3600
_FIRST_PAUSE_SECONDS: Final = 60

ELSEWHERE: Final = 0
"""The `mailbox_id` of targets on other servers, which go into the queue (`queue.queue`) all together."""


@dataclass(frozen=True, slots=True)
class SpoolTarget:
    """One mailbox that a recipient address leads to, or an address on another server, and its status."""

    mailbox_id: int
    address: MailboxAddress
    detail: str | None = None
    notify: tuple[str, ...] = ()
    orcpt: OriginalRecipient | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolEnvelope(QueuedTransaction):
    """The stored envelope of an entry."""

    _DECODERS: ClassVar = {
        **QueuedTransaction._DECODERS,
        "targets": lambda targets: tuple(SpoolTarget(**addressed(target)) for target in targets),
        "told": tuple,
    }

    targets: tuple[SpoolTarget, ...]
    attempts: int = 0
    next_try_us: int = 0
    """The earliest instant of the next attempt; 0 if no attempt has ended yet."""
    warned: bool = False
    """Set once the sender was notified of the delay."""
    told: tuple[str, ...] = ()
    """The reports to the sender that are due (`queue.pending_reports`)."""
    arrived_at_us: int = 0
    """Time of arrival, if the message was held before it was accepted for delivery; 0: the same time."""
    verdict: str = ""
    """The verdict of the checks that decides its folder: `junk`, or empty."""
    may_be_reported: bool = True
    """Set if reports on it may go to its sender.

    It is unset if another server named a sender that nothing authenticates.
    """

    @property
    def open_targets(self) -> tuple[SpoolTarget, ...]:
        return tuple(target for target in self.targets if not target.settled)

    def after_attempt(self, mailbox_ids: Sequence[int], *, now_us: int, told: Sequence[str], warned: bool) -> Self:
        """Return the envelope as `SpoolEntry.settle` records it."""
        done = set(mailbox_ids)
        attempts = self.attempts + 1
        return replace(
            self,
            targets=tuple(replace(target, settled=True) if target.mailbox_id in done else target for target in self.targets),
            attempts=attempts,
            next_try_us=now_us + _pause_us(attempts),
            warned=self.warned or warned,
            told=(*self.told, *told),
        )


class Spool(ABC):
    """All entries of one spool."""

    poll_seconds: ClassVar[float] = 20.0
    """The pause between two looks for entries that nobody owns."""
    hold_seconds: ClassVar[float | None] = None
    """The time after which an entry is taken from a process that does not extend its hold; None: never while that lives."""

    def __init__(self, root: Path, reserves: Reserves | None = None) -> None:
        """`root` has the messages that are being written on this machine.

        While one of `reserves` is given up, none is written on its file system.
        """
        self._tmp = root / "tmp"
        self._reserve = None if reserves is None else reserves.beside(root)

    @abstractmethod
    def close(self) -> None: ...

    def scratch(self) -> Scratch:
        """Open a file for a message that may yet be refused; a leftover of a kill is swept like any other."""
        return Scratch(self._tmp, MESSAGE_MODE, MESSAGE, self.require_space)

    def require_space(self) -> None:
        """Raise OSError, ENOSPC, while the remaining space is reserved for removals."""
        if self._reserve is not None:
            self._reserve.require_whole()

    @abstractmethod
    def draft(self, spool_id: str) -> "SpoolDraft":
        """Begin an entry. `spool_id` is a unique name (a trace id)."""

    @abstractmethod
    def has(self, spool_id: str) -> bool:
        """Return whether the entry exists, whichever process owns it."""

    @abstractmethod
    def recover(
        self,
        now_us: int | None = None,
        waits: Callable[[SpoolEnvelope], bool] = lambda envelope: False,
        unreadable: Callable[[Path, OSError], None] = lambda path, error: None,
    ) -> "Iterator[SpoolEntry]":
        """Yield entries that nobody owns, and own them from now on; those left out now are yielded by a later call.

        With `now_us`, only those whose next attempt is due by then. An entry that `waits` stays as it is. One that
        cannot be opened also stays; `unreadable` is called with it, and the others go on. Leftovers are removed on the
        way.
        """

    def take_in(self) -> None:
        """Take in what this machine had before the spool lay elsewhere; by one process, when it starts."""
        return

    def extend_holds(self) -> None:
        """Keep the entries that this process works on; called well within each `hold_seconds`."""
        return

    @abstractmethod
    def names(self) -> list[str]:
        """Return the ids of all entries, oldest first."""

    @abstractmethod
    def read(self, spool_id: str) -> SpoolEnvelope | None:
        """Return the envelope of an entry, whoever owns it; None if it has ended or cannot be read."""


class SpoolDraft(ABC):
    """An entry before it exists: write the message, then `commit` or `discard`. One thread at a time."""

    __slots__ = ()

    size: int

    @property
    @abstractmethod
    def path(self) -> str:
        """The message file while it is written."""

    @abstractmethod
    def write(self, octets: bytes | bytearray | memoryview) -> None: ...

    @abstractmethod
    def append_rest(self, source: int, offset: int) -> None:
        """Append the open file `source` from `offset` on."""

    @abstractmethod
    def finish(self) -> None:
        """Make the message's content durable, if `commit` does not do that."""

    @abstractmethod
    def commit(self, envelope: SpoolEnvelope) -> "SpoolEntry":
        """Make the entry exist: when this returns, `250` may be sent."""

    @abstractmethod
    def discard(self) -> None:
        """Remove the draft; harmless after `commit` and when called twice."""


class SpoolEntry(ABC):
    """A durable entry that this process owns. One thread at a time."""

    __slots__ = ("envelope", "spool_id")

    is_local: ClassVar[bool] = True
    """Set if `path` waits for nothing but a disk of this machine."""

    def __init__(self, spool_id: str, envelope: SpoolEnvelope) -> None:
        self.spool_id = spool_id
        self.envelope = envelope

    @property
    @abstractmethod
    def path(self) -> Path:
        """The message file, to be linked into mailboxes; raises OSError if the message cannot be read."""

    @property
    def content(self) -> bytes | None:
        """The message, if it is in memory: then it is published together with others, without a file."""
        return None

    @property
    def open_targets(self) -> tuple[SpoolTarget, ...]:
        return self.envelope.open_targets

    def origin(self, mailbox_id: int) -> str:
        """Return the key under which the mailbox's store takes this message once."""
        return f"spool:{self.spool_id}:{mailbox_id}"

    @abstractmethod
    def settle(self, mailbox_ids: Sequence[int], *, now_us: int, told: Sequence[str] = (), warned: bool = False) -> None:
        """Record an attempt: these mailboxes have the message, or it is no longer tried for them.

        The last one ends the entry. Otherwise the progress, the time of the next attempt and the reports `told` to the
        sender are made durable. `LeaseLost` where another node has taken the entry over.
        """

    @abstractmethod
    def release(self) -> None:
        """Give up ownership: another process may resume what is not settled."""

    @abstractmethod
    def close(self) -> None:
        """Give up ownership without waiting for anybody, now or by the end of the hold; on the loop."""


def is_due(next_try_us: int, now_us: int) -> bool:
    """Return whether the pause is over; one longer than any began before the clock was set back."""
    return not now_us < next_try_us <= now_us + LONGEST_PAUSE_SECONDS * 1_000_000


def _pause_us(attempts: int) -> int:
    doublings = min(max(attempts - 1, 0), 10)
    return min(_FIRST_PAUSE_SECONDS << doublings, LONGEST_PAUSE_SECONDS) * 1_000_000
