"""Actions that only an IMAP session asks for, beside those of every session (`connection.actions`).

Waiting            wait until octets arrive or the account changes
Work               the same work, on another account too, with a progress line where it takes long
Leave              the opposite of `BindAccount`, which also watches the session's own account: release it
WatchAccount       watch one more account for changes
SubscribeAccounts  NOTIFY: watch further accounts of which no mailbox is open, and the person's access rights
Decode             parse a long command outside the event loop
ClearAway          discard files in a thread; nothing waits for it
Teach              report messages that a person marked as spam or not spam; nothing waits for it
Scan               scan a message that is about to be stored for malware
Inspect            check a message that goes into Sent for a secrecy marking
StartCompression, DropCompressor, EndCompression   change how octets on the wire are encoded
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mic_mail.connection import actions
from mic_mail.connection.actions import Action, NeedInput
from mic_mail.storage.types import AccountRef

T_co = TypeVar("T_co", covariant=True)

SLICE_OCTETS = 240 << 10
"""Largest piece of a response; the next is made when the transport has taken this one.

It is below 256 KiB: larger blocks come from the kernel and go back to it each time (`process.fork.HEAP`), and their
page faults cost as much as reading the data.
"""


PROGRESS_SECONDS = 10.0
"""Interval of progress lines to a client that waits (RFC 9585 §3)."""


@dataclass(frozen=True, slots=True)
class Waiting(NeedInput):
    """Wait for octets or for a change of the account; at `until`, resume without either."""


@dataclass(frozen=True, slots=True)
class Work(actions.Work[T_co]):
    """Work that may run on another account and may take long.

    `account` is the one whose store is used (None: the session's own). The session has checked the person's rights there.
    `meanwhile` returns a line to write every PROGRESS_SECONDS until the work is done; only where no line is partly written.
    """

    account: AccountRef | None = None
    meanwhile: Callable[[], bytes] | None = None


@dataclass(frozen=True, slots=True)
class Leave(Action):
    """Undo `BindAccount` (RFC 8437): the account is released, with its connection slot. Result: None."""


@dataclass(frozen=True, slots=True)
class WatchAccount(Action):
    """Report changes of this account and of the rights in it from now on. Result: None.

    `account` is None: report only the session's own account.
    """

    account: AccountRef | None


@dataclass(frozen=True, slots=True)
class SubscribeAccounts(Action):
    """Report changes of exactly these accounts from now on, whichever account is watched. Result: None.

    `rights`: also report when the set of shared mailboxes that the person may use may have changed.
    """

    accounts: frozenset[AccountRef] = frozenset()
    rights: bool = False


@dataclass(frozen=True, slots=True)
class Decode(Action):
    """Run this slow pure Python in a thread. Result: its return value."""

    run: Callable[[], object]


@dataclass(frozen=True, slots=True)
class ClearAway(Action):
    """Run this in a thread without waiting for it. Result: None.

    It waits for a disk and belongs to nothing that is still in progress.
    """

    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Inspect(Action):
    """Check whether this message, in memory or staged, may be stored as sent mail (Reg. 4.1).

    Result: None, or the refusal.
    """

    source: bytes | Path


@dataclass(frozen=True, slots=True)
class ScanMessage(Action):
    """Check whether this message, in memory or staged, may be stored (Reg. 10.2).

    Result: None, or the refusal.
    """

    source: bytes | Path


@dataclass(frozen=True, slots=True)
class Teach(Action):
    """Report that this session put messages into this folder, or marked them there. Result: None.

    `account`: that of the folder (None: the session's own).
    `came_from`: the folder they were moved or copied from. None: keywords say whether they are `spam`.
    """

    account: AccountRef | None
    folder: str
    uids: Sequence[int]
    came_from: tuple[AccountRef | None, str] | None = None
    spam: bool = False


@dataclass(frozen=True, slots=True)
class StartCompression(Action):
    """Use DEFLATE in both directions from now on (RFC 4978). Result: None.

    `pending` is input that had arrived compressed already.
    """

    pending: bytes = b""


@dataclass(frozen=True, slots=True)
class DropCompressor(Action):
    """Drop the compressor's 256 KiB after a full flush; the next output makes a new one. Result: None."""


@dataclass(frozen=True, slots=True)
class EndCompression(Action):
    """End compression in both directions from the next octet on (RFC 8437 §4.1). Result: None."""
