"""Actions of a session in any protocol: the interface between the pure core and the connection.

The core yields one of these at a time. An `Action` is carried out and its result goes back (`Session.done`, or
`Session.failed` with the exception); `NeedInput` means that nothing is to be done until something happens. The connection
decides nothing: it does exactly what an action says. Actions of a single protocol are in that protocol's `actions`.

    Send                    write octets; done when the transport is below its high water again
    Work                    run a function on the account's store in an executor: the only way to the disk
    SignIn, Begin, Answer   identify the user (services.authentication.sign_in)
    BindAccount             bind the session to its account, and watch the decision on it
    RecordActivity          the person is there, and may have opened a mailbox
    StartTls                start TLS
    LogEvent                an event for the log
    Pause                   let others have their turn
    Hangup                  close the connection when everything is written
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mic_mail.services.authentication.identity import SignedIn
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import AccountRef

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

COMMANDS_AT_ONCE = 100
"""Pipelined commands that run before other connections get their turn.

13,000 NOOPs without a pause took 80 to 350 ms.
"""
OCTETS_AT_ONCE = 4 << 10
"""Octets of pipelined commands that run before other connections get their turn; commands may be long.

A read takes 250 KiB, and libuv up to 32 of them before it serves other sockets. To parse so much takes 2 ms at most.
"""
OPENING_MINUTES = 5
"""Minutes of a time slot: reading of an open mailbox is recorded once in each (Reg. 12.3.a).

Slots follow the wall clock. The windows in which a mailbox has to be opened begin and end with a slot, so reading in a
window is always recorded in it.
"""


def opening_slot(now_us: int) -> int:
    """Return the number of the slot of `OPENING_MINUTES` in which an instant lies."""
    return now_us // (OPENING_MINUTES * 60_000_000)


@dataclass(frozen=True, slots=True)
class NeedInput:
    """Wait for octets from the client; at `until` (monotonic seconds) continue without."""

    until: float


class Action:
    """An action to carry out."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Send(Action):
    """Write `data`."""

    data: bytes
    then: NeedInput | None = field(default=None, compare=False, repr=False)
    """The input that the session waits for once all of its output is written.

    A connection that has written it at once need not ask for the next step: nothing has happened meanwhile.
    """


@dataclass(frozen=True, slots=True)
class Work(Action, Generic[T_co]):
    """Run `run(account)`, which blocks, and return its result; `writes` takes the account's writer."""

    run: Callable[[Account], T_co]
    writes: bool = False


@dataclass(frozen=True, slots=True)
class SignIn(Action):
    """Sign in with a name and a password in clear; gives `SignedIn` or `Refusal`."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Begin(Action):
    """Begin a SASL exchange; gives None."""

    mechanism: str


@dataclass(frozen=True, slots=True)
class Answer(Action):
    """Pass on a response of the client; gives `Challenge`, `SignedIn` or `Refusal`.

    None: the client sent no initial response.
    """

    response: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class BindAccount(Action):
    """Bind the session to an account: `Work` uses it, and the session ends when the account's access does.

    Gives False if the mailbox has no room for another session.
    """

    signed_in: SignedIn


@dataclass(frozen=True, slots=True)
class RecordActivity(Action):
    """Record that the person uses a mailbox (Reg. 7.2.a): that of `account`, or the own one. Gives None.

    `how` names the way in which it was opened or read; for a unit's or group's mailbox that is recorded (Reg. 12.3.a).
    None: neither.
    """

    account: AccountRef | None = None
    how: str | None = None


@dataclass(frozen=True, slots=True)
class StartTls(Action):
    """Discard input sent in clear and perform the handshake (RFC 9051 §6.2.1, RFC 2595 §4); gives None."""


@dataclass(frozen=True, slots=True)
class LogEvent(Action):
    """Log an event; the traceback of an unexpected exception `error` is only logged. Gives None."""

    event: str
    fields: Mapping[str, object]
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Pause(Action):
    """Let the other connections have their turn, after many commands that took no time. Gives None.

    See COMMANDS_AT_ONCE and OCTETS_AT_ONCE.
    """


@dataclass(frozen=True, slots=True)
class Hangup(Action):
    """Close the connection; nothing comes after it."""


Step = Action | NeedInput

Steps = Generator[Step, object, T]
"""A part of a session's dialogue: it yields steps, is sent their results, and returns a T."""
