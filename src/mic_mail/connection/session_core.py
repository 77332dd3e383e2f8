"""The protocol-independent half of a session: a generator of steps, driven one step at a time.

    session.feed(octets)                    input from the client
    session.end(text, code)                 drain, suspension, shutdown: end as soon as possible
    step = session.next()                   an Action to carry out, or NeedInput
    session.done(step, result)              or session.failed(step, error)
    session.close()                         the connection is gone

The output of a step is sent before anything else is done. Pure: no I/O, no clock.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import ClassVar

from mic_mail.clock import Clock
from mic_mail.connection.actions import Action, Hangup, NeedInput, Send, Step
from mic_mail.errors import Text


class SessionContext(ABC):
    """The state of a session that every protocol has: its output, and why it ends."""

    __slots__ = ("_octets", "clock", "ending", "out", "severed")

    packet_octets: ClassVar[int] = 4096
    """Octets up to which responses of pipelined commands are collected before they are sent."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.out: list[bytes] = []
        """Output that is not sent yet."""
        self._octets = 0
        self.severed = False
        """True where an announced response cannot be completed: anything written now would be taken for a part of it."""
        self.ending: Exception | None = None
        """The reason to end the session at the next chance; set from outside."""

    @property
    @abstractmethod
    def must_sign_in_by(self) -> float | None:
        """Time at which the session ends unless the client has signed in, whatever it is doing.

        None where it has, or need not.
        """

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

    __slots__ = ("_context", "_held", "_program", "_result")

    def __init__(self, ctx: SessionContext) -> None:
        self._context = ctx
        self._held: Step | None = None
        self._result: object = None
        self._program = self._run()

    @abstractmethod
    def _run(self) -> Generator[Step, object, None]:
        """Run the dialogue from the greeting to the goodbye."""

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Octets from the client that no command has used yet; above 64 KiB stop reading."""

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

    @abstractmethod
    def feed(self, octets: bytes) -> None:
        """Append input from the client."""

    @abstractmethod
    def discard_input(self) -> None:
        """Discard input that no command has used yet."""

    @abstractmethod
    def end(self, text: Text, code: bytes = b"") -> None:
        """End after the command in progress, or in the middle of a long response; `code` is for the program."""

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
        if self._context.out and not isinstance(self._held, Send):  # output follows a held Send
            return Send(self._context.take_output())
        return self._held

    def done(self, action: Action, result: object = None) -> None:
        """Report that `action` was carried out."""
        if action is self._held and not isinstance(action, Hangup):  # else it was output sent before the held step
            self._held, self._result = None, result

    def failed(self, action: Action, error: BaseException) -> None:
        """Report that `action` raised an exception."""
        self.done(action, error)

    def close(self) -> None:
        """Release everything after the connection is gone, the last step too, which may hold open resources."""
        self._program.close()
        self._held, self._result = Hangup(), None
