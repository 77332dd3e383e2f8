"""The protocol-independent half of a session: a generator of steps, driven one step at a time.

    session.feed(octets)                    input from the client
    session.end(text, code)                 drain, suspension, shutdown: end as soon as possible
    step = session.next()                   an Action to carry out, or NeedInput
    session.done(step, result)              or session.failed(step, error)
    session.close()                         the connection is gone

The output of a step is sent before anything else is done, except what takes no time. Pure: no I/O, no clock.
"""

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol

from mic_mail.clock import Clock
from mic_mail.connection.actions import Action, Hangup, LogEvent, NeedInput, RecordActivity, Send, Step, Steps
from mic_mail.errors import Text
from mic_mail.ids import TokenSource, trace_id
from mic_mail.services.authentication.identity import SignedIn

_SENT_LATER = (Send, RecordActivity, LogEvent)
"""Actions before which output is not sent: a held Send has earlier output, and the others wait for nothing.

So a response is one write, also where something is recorded in the middle of it.
"""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Limits and times of a session; each protocol adds its own and fills them in from the configuration."""

    sign_in_seconds: float = 180.0
    idle_seconds: float = 660.0
    errors: int = 20
    """Invalid commands in a row after which the connection ends."""
    sign_in_tries: int = 5


class SessionHost(Protocol):
    """Questions that a session may ask its connection without waiting: answers from memory."""

    def mechanisms(self) -> tuple[str, ...]:
        """Return the SASL mechanisms to offer on this connection in its present state; none before TLS."""
        ...

    def records_access(self, mailbox_id: int) -> bool:
        """Return whether openings and changes are recorded: a unit's or group's mailbox (Reg. 12.3.a)."""
        ...

    def withheld(self, mailbox_id: int) -> str:
        """Return the rights that nobody has in this mailbox while it is handed over (Reg. 12.3.d)."""
        ...


class InputBuffer(Protocol):
    """Input from the client that no command has used yet."""

    @property
    def buffered(self) -> int:
        """Octets that no command has used; above 64 KiB stop reading."""
        ...

    def feed(self, octets: bytes) -> None: ...

    def discard_input(self) -> None: ...


class CloseConnection(Exception):
    """Raised to end the connection when pending output is sent, with a text for the client or none."""

    def __init__(self, text: Text | None = None, code: bytes = b"") -> None:
        super().__init__(str(text or ""))
        self.text = text
        self.code = code
        """For the program, in the form of the protocol."""


class SessionContext(ABC):
    """The state of a session that every protocol has."""

    __slots__ = ("_octets", "clock", "ending", "out", "severed", "sign_in_until", "signed_in", "tls", "tries")

    packet_octets: ClassVar[int] = 4096
    """Octets up to which responses of pipelined commands are collected before they are sent."""

    settings: SessionSettings
    host: SessionHost

    def __init__(self, settings: SessionSettings, clock: Clock, *, tls: bool) -> None:
        self.clock = clock
        self.tls = tls
        self.sign_in_until = clock.monotonic() + settings.sign_in_seconds
        self.signed_in: SignedIn | None = None
        self.tries = 0
        """Refused sign-ins."""
        self.out: list[bytes] = []
        """Output that is not sent yet."""
        self._octets = 0
        self.severed = False
        """True where an announced response cannot be completed: anything written now would be taken for a part of it."""
        self.ending: CloseConnection | None = None
        """The reason to end the session at the next chance; set from outside."""

    @property
    def must_sign_in_by(self) -> float | None:
        """Time at which the session ends unless the client has signed in, whatever it is doing.

        None where it has, or need not.
        """
        return self.sign_in_until if self.signed_in is None else None

    @property
    def input_until(self) -> float:
        """Time until which the next command has to come."""
        by = self.must_sign_in_by
        return self.now() + self.settings.idle_seconds if by is None else by

    def now(self) -> float:
        return self.clock.monotonic()

    def write(self, octets: bytes) -> None:
        """Queue complete lines or messages, or nothing."""
        if octets and not self.severed:
            self.out.append(octets)
            self._octets += len(octets)

    @property
    def has_full_packet(self) -> bool:
        return self._octets > self.packet_octets

    def take_output(self) -> bytes:
        """Return the next octets to send."""
        data = self.out[0] if len(self.out) == 1 else b"".join(self.out)
        self.out.clear()
        self._octets = 0
        return data


class Session(ABC):
    """The dialogue of one connection; `_run` is all of it."""

    __slots__ = ("_context", "_errors", "_held", "_input", "_program", "_result", "_tokens")

    def __init__(self, ctx: SessionContext, source: InputBuffer, tokens: TokenSource = secrets.randbits) -> None:
        self._context = ctx
        self._input = source
        self._tokens = tokens
        self._errors = 0  # invalid commands in a row
        self._held: Step | None = None
        self._result: object = None
        self._program = self._run()

    @abstractmethod
    def _run(self) -> Steps[None]:
        """Run the dialogue from the greeting to the goodbye."""

    @property
    def buffered(self) -> int:
        """Octets from the client that no command has used yet; above 64 KiB stop reading."""
        return self._input.buffered

    @property
    def must_sign_in_by(self) -> float | None:
        """See `SessionContext`."""
        return self._context.must_sign_in_by

    @property
    def ending(self) -> bool:
        """True once `end` was called."""
        return self._context.ending is not None

    @property
    def must_finish(self) -> bool:
        """True where work in progress has to finish even if the client is gone."""
        return False

    def feed(self, octets: bytes) -> None:
        self._input.feed(octets)

    def discard_input(self) -> None:
        self._input.discard_input()

    def end(self, text: Text, code: bytes = b"") -> None:
        """End after the command in progress, or in the middle of a long response; `code` is for the program."""
        if self._context.ending is None:
            self._context.ending = CloseConnection(text, code)

    def next(self) -> Step:
        """Return the next step; `Hangup` again and again once the session is over."""
        if self._held is None or isinstance(self._held, NeedInput):
            try:
                result, self._result = self._result, None
                if isinstance(result, BaseException):
                    self._held = self._program.throw(result)
                else:
                    self._held = self._program.send(result)
            except StopIteration:
                self._held = Hangup()
        if self._context.out and not isinstance(self._held, _SENT_LATER):
            data = self._context.take_output()
            return Send(data, self._held if isinstance(self._held, NeedInput) and not self._context.out else None)
        return self._held

    def done(self, action: Action, result: object = None) -> None:
        if action is self._held and not isinstance(action, Hangup):  # else it was output sent before the held step
            self._held, self._result = None, result

    def failed(self, action: Action, error: BaseException) -> None:
        self.done(action, error)

    def close(self) -> None:
        """Release everything after the connection is gone, the last step too, which may hold open resources."""
        self._program.close()
        self._held, self._result = Hangup(), None

    def _count(self, *, invalid: bool) -> None:
        """Count invalid commands in a row, and end the connection after too many; a single mistake costs nothing."""
        self._errors = self._errors + 1 if invalid else 0
        if self._errors >= self._context.settings.errors:
            raise CloseConnection(Text("Kết nối bị đóng vì quá nhiều lệnh không hợp lệ.", "Too many invalid commands."))

    def _log_bug(self, event: str, error: Exception) -> Steps[Text]:
        """Log an unexpected exception; return the text for the client, which has the reference of the log's line."""
        reference = trace_id(self._context.clock.now_us(), self._tokens)
        yield LogEvent(event, {"ref": reference}, error)
        return Text(f"Lỗi máy chủ, mã số {reference}.", f"Server error, reference {reference}.")
