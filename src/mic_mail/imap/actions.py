"""What an IMAP session asks of the world beside what every session asks (`connection.actions`).

Waiting            nothing is to be done until octets come, or the account changes
Work               the same, on another account too, with a sign of life where it takes long
Attend, Leave      `BindAccount` watches the own account for changes too; watch another beside it; it is ours no more
Overhear           NOTIFY: watch still others, in which no mailbox is open, and what the person may use
Decode             find out beside the loop what a long command says
ClearAway          discard files in a thread; nothing waits for it
Teach              people say of messages that they are spam, or are none; nothing waits for it
Scan               look for malware in a message that is to be stored
Inspect            look for a marking of secrecy in a message that is to go into Sent
StartCompression, DropCompressor, EndCompression   change what octets on the wire mean
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mic_mail.connection import actions
from mic_mail.connection.actions import Action, NeedInput, Step
from mic_mail.storage.types import AccountRef

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

SLICE_OCTETS = 240 << 10
"""Largest piece of an answer; the next one is made when the transport has taken this one.

Below 256 KiB: larger blocks come from the kernel and go back to it each time (`process.forking.HEAP`), and their pages cost
as much as reading what is in them.
"""


PROGRESS_SECONDS = 10.0
"""RFC 9585 §3: a sign of life for those who wait."""


@dataclass(frozen=True, slots=True)
class Waiting(NeedInput):
    """Wait for octets or for a change of the account; at `until` come back without."""


@dataclass(frozen=True, slots=True)
class Work(actions.Work[T_co]):
    """Of more accounts than one, and of more patience.

    `at` is whose store (None: the own one). Whether the person may is the session's to know.
    `meanwhile` is a line to write every PROGRESS_SECONDS until it is done; only where no line is begun.
    """

    at: AccountRef | None = None
    meanwhile: bytes = b""


@dataclass(frozen=True, slots=True)
class Leave(Action):
    """The opposite of `BindAccount` (RFC 8437): the account is not ours any more, the mailbox has room for another. Gives
    None."""


@dataclass(frozen=True, slots=True)
class WatchAccount(Action):
    """From here on changes of this account (None: of none but the own one) are told, and of the rights in it. Gives None."""

    at: AccountRef | None


@dataclass(frozen=True, slots=True)
class SubscribeAccounts(Action):
    """From here on changes of these accounts are told, whichever is attended, and of no others that were; gives None.

    `rights`: also when what the person may use beside the own mailbox may have changed.
    """

    accounts: frozenset[AccountRef] = frozenset()
    rights: bool = False


@dataclass(frozen=True, slots=True)
class Decode(Action):
    """Run this in a thread: pure Python that takes long. Gives what it returns."""

    run: Callable[[], object]


@dataclass(frozen=True, slots=True)
class ClearAway(Action):
    """Run this in a thread and go on: it waits for a disk, and belongs to nothing that is still going on. Gives None."""

    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Inspect(Action):
    """May this message, held or staged, be kept as one that was sent (Reg. 4.1)? Gives None, or why not."""

    source: bytes | Path


@dataclass(frozen=True, slots=True)
class Scan(Action):
    """May this message, held or staged, be stored (Reg. 10.2)? Gives None, or why not."""

    source: bytes | Path


@dataclass(frozen=True, slots=True)
class Teach(Action):
    """Messages lie in this folder (`at`: of which account; None: the own one) by this session's doing. Gives None.

    `came_from`: where they were moved or copied from; None: keywords say whether they are `spam`.
    """

    at: AccountRef | None
    folder: str
    uids: Sequence[int]
    came_from: tuple[AccountRef | None, str] | None = None
    spam: bool = False


@dataclass(frozen=True, slots=True)
class StartCompression(Action):
    """Both directions are DEFLATE from here on (RFC 4978); `pending` is what came compressed already. Gives None."""

    pending: bytes = b""


@dataclass(frozen=True, slots=True)
class DropCompressor(Action):
    """Forget the compressor's 256 KiB after a full flush; the next output makes a new one. Gives None."""


@dataclass(frozen=True, slots=True)
class EndCompression(Action):
    """Both directions are as they were before COMPRESS, from the next octet on (RFC 8437 §4.1). Gives None."""


Steps = Generator[Step, object, T]
"""A piece of conversation: yields steps, is sent their results, returns a T."""
