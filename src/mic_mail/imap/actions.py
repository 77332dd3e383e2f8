"""What an IMAP session asks of the world: the vocabulary between the pure core and the shell that has the socket.

The core yields one of these at a time. An `Action` is carried out and its result goes back (`Session.done`, or `Session.failed`
with the exception); `NeedInput` and `Waiting` mean that nothing is to be done until something happens. The shell decides
nothing: whatever an action does not say, it does not do.

    Send               write octets; done when the transport is below its high water again
    Work               run a function on the account's store in a lane: the only way to the disk
    SignIn, Begin, Answer   ask who this is (services.access)
    Enter, Attend, Leave   the account is ours: watch it for changes, watch the decision; watch another too; it is ours no more
    Used               the person is there
    StartTls, StartCompression, DropCompressor, EndCompression   change what octets on the wire mean
    Note               an event for the log
    Hangup             close the connection when everything is written
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mic_mail.services.access import SignedIn
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import AccountRef

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

SLICE_OCTETS = 256 << 10
"""Largest piece of an answer; the next one is made when the transport has taken this one."""


PROGRESS_SECONDS = 10.0
"""RFC 9585 §3: a sign of life for those who wait."""


@dataclass(frozen=True, slots=True)
class NeedInput:
    """Wait for octets from the client; at `until` (monotonic seconds) come back without."""

    until: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Wait for octets or for a change of the account; at `until` come back without."""

    until: float


@dataclass(frozen=True, slots=True)
class Send:
    """Write `data`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Work(Generic[T_co]):
    """Run `run(account)`, which blocks, and give back what it returns; `writes` takes the account's writer.

    `at` is whose store (None: the own one). Whether the person may is the session's to know.
    `meanwhile` is a line to write every PROGRESS_SECONDS until it is done; only where no line is begun.
    """

    run: Callable[[Account], T_co]
    writes: bool = False
    at: AccountRef | None = None
    meanwhile: bytes = b""


@dataclass(frozen=True, slots=True)
class SignIn:
    """The LOGIN command; gives `SignedIn` or `Refusal`."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin a SASL exchange; gives None."""

    mechanism: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The client's next answer (None: it sent no initial response); gives `Challenge`, `SignedIn` or `Refusal`."""

    response: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Enter:
    """From here on this is the own account, and changes of it or of the decision are told to the session.

    Gives False if the mailbox has no room for another session.
    """

    signed_in: SignedIn


@dataclass(frozen=True, slots=True)
class Leave:
    """The opposite of `Enter` (RFC 8437): the account is not ours any more, the mailbox has room for another. Gives None."""


@dataclass(frozen=True, slots=True)
class Attend:
    """From here on changes of this account (None: of none but the own one) are told, and of the rights in it. Gives None."""

    at: AccountRef | None


@dataclass(frozen=True, slots=True)
class Used:
    """The person uses the mailbox (Reg. 7.2.a): a mailbox was opened (`how`), not merely watched. Gives None."""

    at: AccountRef | None = None
    how: str = "select"


@dataclass(frozen=True, slots=True)
class StartTls:
    """Throw away what came in clear and shake hands (RFC 9051 §6.2.1); gives None."""


@dataclass(frozen=True, slots=True)
class StartCompression:
    """Both directions are DEFLATE from here on (RFC 4978); `pending` is what came compressed already. Gives None."""

    pending: bytes = b""


@dataclass(frozen=True, slots=True)
class DropCompressor:
    """Forget the compressor's 256 KiB after a full flush; the next output makes a new one. Gives None."""


@dataclass(frozen=True, slots=True)
class EndCompression:
    """Both directions are as they were before COMPRESS, from the next octet on (RFC 8437 §4.1). Gives None."""


@dataclass(frozen=True, slots=True)
class Note:
    """Tell the log; `error` is an unexpected exception, whose traceback belongs there and nowhere else. Gives None."""

    event: str
    fields: Mapping[str, object]
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the connection; nothing comes after it."""


Action = (
    Send
    | Work[object]
    | SignIn
    | Begin
    | Answer
    | Enter
    | Leave
    | Attend
    | Used
    | StartTls
    | StartCompression
    | DropCompressor
    | EndCompression
    | Note
    | Hangup
)
Step = Action | NeedInput | Waiting
Steps = Generator[Step, object, T]
"""A piece of conversation: yields steps, is sent their results, returns a T."""
