"""The half of a session that its shell sees: a conversation, written as a generator of steps, driven one step at a time.

    session.feed(octets)                    what the client sent
    session.end(text, code)                 drain, suspension, shutdown: the end at the next chance
    step = session.next()                   an Action to carry out, or NeedInput
    session.done(step, result)              or session.failed(step, error)
    session.close()                         the connection is gone

What the conversation said is sent before anything else is done. Pure: no I/O, no clock.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Protocol

from mic_mail.connection.actions import Action, Hangup, NeedInput, Send, Step
from mic_mail.errors import Text


class Talk(Protocol):
    """What is said in a session, as far as every protocol has it."""

    out: list[bytes]
    """Said and not sent."""

    @property
    def ending(self) -> BaseException | None:
        """Why the session has to end."""
        ...

    @property
    def must_sign_in_by(self) -> float | None:
        """When the session is over if nobody has signed in by then, whatever it is doing; None where somebody has, or nobody
        need."""
        ...

    def take_output(self) -> bytes:
        """The next octets to send."""
        ...


class Session(ABC):
    """One connection's conversation; `_run` is all of it."""

    __slots__ = ("_held", "_program", "_result", "_talk")

    def __init__(self, ctx: Talk) -> None:
        self._talk = ctx
        self._held: Step | None = None
        self._result: object = None
        self._program = self._run()

    @abstractmethod
    def _run(self) -> Generator[Step, object, None]:
        """From the greeting to the goodbye."""

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Octets from the client that no command has used yet; above 64 KiB stop reading."""

    @property
    def must_sign_in_by(self) -> float | None:
        """See `Talk`."""
        return self._talk.must_sign_in_by

    @property
    def ending(self) -> bool:
        """`end` was called."""
        return self._talk.ending is not None

    @property
    def must_finish(self) -> bool:
        """What is in progress is to be done even if nobody waits for the answer."""
        return False

    @abstractmethod
    def feed(self, octets: bytes) -> None:
        """What the client sent."""

    @abstractmethod
    def discard_input(self) -> None:
        """Forget what no command has used yet."""

    @abstractmethod
    def end(self, text: Text, code: bytes = b"") -> None:
        """End after the command in progress, or in the midst of a long answer; `code` is for the client's program."""

    def next(self) -> Step:
        """What to do now; `Hangup` again and again once it is over."""
        if self._held is None or isinstance(self._held, NeedInput):
            try:
                result, self._result = self._result, None
                if isinstance(result, BaseException):
                    self._held = self._program.throw(result)
                else:
                    self._held = self._program.send(result)
            except StopIteration:
                self._held = Hangup()
        if self._talk.out and not isinstance(self._held, Send):  # behind a slice there is only what follows it
            return Send(self._talk.take_output())
        return self._held

    def done(self, action: Action, result: object = None) -> None:
        """`action` was carried out."""
        if action is self._held and not isinstance(action, Hangup):  # else it is output that went out in front of it
            self._held, self._result = None, result

    def failed(self, action: Action, error: BaseException) -> None:
        """`action` ended in an exception."""
        self.done(action, error)

    def close(self) -> None:
        """The connection is gone: whatever was begun is let go of, the last step too, which may hold what was open."""
        self._program.close()
        self._held, self._result = Hangup(), None
