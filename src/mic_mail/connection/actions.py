"""What a session asks of the world, whatever it speaks: the vocabulary between the pure core and the shell that has the socket.

The core yields one of these at a time. An `Action` is carried out and its result goes back (`Session.done`, or `Session.failed`
with the exception); `NeedInput` means that nothing is to be done until something happens. The shell decides nothing: whatever
an action does not say, it does not do. What only one protocol asks stands in its own `actions`.

    Send                    write octets; done when the transport is below its high water again
    Work                    run a function on the account's store in a lane: the only way to the disk
    SignIn, Begin, Answer   ask who this is (services.signin.access)
    Enter                   the account is ours: watch the decision on it
    Used                    the person is there, and may have opened a mailbox
    StartTls                change what octets on the wire mean
    Note                    an event for the log
    Pause                   let others have their turn
    Hangup                  close the connection when everything is written
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mic_mail.services.authentication.identity import SignedIn
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import AccountRef

T_co = TypeVar("T_co", covariant=True)

COMMANDS_AT_ONCE = 100
"""Of those that a client has pipelined, without giving others their turn; 13,000 NOOPs in one took 80 to 350 ms."""
OCTETS_AT_ONCE = 4 << 10
"""The same in octets, as commands may be long: a read takes 250 KiB, and libuv up to 32 of them before it looks elsewhere. To
parse so much takes 2 ms at most."""
OPENING_MINUTES = 5
"""Reading on in a mailbox that is open counts as opening it, once in each stretch of so long by the wall clock (Reg. 12.3.a).

The windows in which it has to be opened begin and end with such a stretch, so whoever reads in one is on record in it."""


def opening_slot(now_us: int) -> int:
    """The number of the stretch of `OPENING_MINUTES` in which an instant lies."""
    return now_us // (OPENING_MINUTES * 60_000_000)


@dataclass(frozen=True, slots=True)
class NeedInput:
    """Wait for octets from the client; at `until` (monotonic seconds) come back without."""

    until: float


class Action:
    """Something to carry out."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Send(Action):
    """Write `data`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Work(Action, Generic[T_co]):
    """Run `run(account)`, which blocks, and give back what it returns; `writes` takes the account's writer."""

    run: Callable[[Account], T_co]
    writes: bool = False


@dataclass(frozen=True, slots=True)
class SignIn(Action):
    """A name and a password in clear; gives `SignedIn` or `Refusal`."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Begin(Action):
    """Begin a SASL exchange; gives None."""

    mechanism: str


@dataclass(frozen=True, slots=True)
class Answer(Action):
    """The client's next answer (None: it sent no initial response); gives `Challenge`, `SignedIn` or `Refusal`."""

    response: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class BindAccount(Action):
    """From here on `Work` works on this account, and the session ends when the word on it does.

    Gives False if the mailbox has no room for another session.
    """

    signed_in: SignedIn


@dataclass(frozen=True, slots=True)
class RecordActivity(Action):
    """The person uses a mailbox (Reg. 7.2.a): `at`, or the own one. Gives None.

    `how` says by what it was opened or read on in: of a unit's or group's that is on record (Reg. 12.3.a). None: neither.
    """

    at: AccountRef | None = None
    how: str | None = None


@dataclass(frozen=True, slots=True)
class StartTls(Action):
    """Throw away what came in clear and shake hands (RFC 9051 §6.2.1, RFC 2595 §4); gives None."""


@dataclass(frozen=True, slots=True)
class LogEvent(Action):
    """Tell the log; `error` is an unexpected exception, whose traceback belongs there and nowhere else. Gives None."""

    event: str
    fields: Mapping[str, object]
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Pause(Action):
    """Go on when the other connections had their turn: behind so many commands that took no time (COMMANDS_AT_ONCE,
    OCTETS_AT_ONCE). Gives None."""


@dataclass(frozen=True, slots=True)
class Hangup(Action):
    """Close the connection; nothing comes after it."""


Step = Action | NeedInput
