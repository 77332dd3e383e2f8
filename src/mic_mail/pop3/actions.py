"""What a POP3 session asks of the world: the vocabulary between the pure core and the shell that has the socket.

The core yields one of these at a time. An `Action` is carried out and its result goes back (`Session.done`, or `Session.failed`
with the exception); `NeedInput` means that nothing is to be done until octets come. The shell decides nothing: whatever an
action does not say, it does not do.

    Send                    write octets; done when the transport is below its high water again
    Work                    run a function on the account's store in a lane: the only way to the disk
    SignIn, Begin, Answer   ask who this is (services.access)
    Enter, Used             the account is ours: watch the decision on it; the person is there
    StartTls                change what octets on the wire mean
    Note                    an event for the log
    Hangup                  close the connection when everything is written
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mic_mail.services.access import SignedIn
from mic_mail.storage.mailstore import Account

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class NeedInput:
    """Wait for octets from the client; at `until` (monotonic seconds) come back without."""

    until: float


@dataclass(frozen=True, slots=True)
class Send:
    """Write `data`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Work(Generic[T_co]):
    """Run `run(account)`, which blocks, and give back what it returns; `writes` takes the account's writer."""

    run: Callable[[Account], T_co]
    writes: bool = False


@dataclass(frozen=True, slots=True)
class SignIn:
    """USER and PASS; gives `SignedIn` or `Refusal`."""

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
    """From here on `Work` works on this account, and the session ends when the word on it does.

    Gives False if the mailbox has no room for another session.
    """

    signed_in: SignedIn


@dataclass(frozen=True, slots=True)
class Used:
    """The person reads mail (Reg. 7.2.a). Gives None."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """Throw away what came in clear and shake hands (RFC 2595 §4); gives None."""


@dataclass(frozen=True, slots=True)
class Note:
    """Tell the log; `error` is an unexpected exception, whose traceback belongs there and nowhere else. Gives None."""

    event: str
    fields: Mapping[str, object]
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the connection; nothing comes after it."""


Action = Send | Work[object] | SignIn | Begin | Answer | Enter | Used | StartTls | Note | Hangup
Step = Action | NeedInput
Steps = Generator[Step, object, T]
"""A piece of conversation: yields steps, is sent their results, returns a T."""
