"""A connection whose session follows a script, on a transport that keeps what is written."""

import asyncio
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from mic_mail.clock import SystemClock
from mic_mail.connection.actions import NeedInput, Step, Steps
from mic_mail.connection.session_core import Session, SessionContext, SessionSettings

HOUR = 3600.0


class KeptOutput(asyncio.Transport):
    """A client that takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def take(self) -> list[bytes]:
        """What was written since the last call."""
        taken, self.written = self.written, []
        return taken

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class NoInput:
    """The input of a client that says nothing more."""

    buffered = 0

    def feed(self, octets: bytes) -> None:
        pass

    def discard_input(self) -> None:
        pass


class Script(Session):
    """It yields these steps, and then waits; the results and errors of steps are kept."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps = steps
        self.results: list[object] = []
        self.is_over = False
        super().__init__(SessionContext(SessionSettings(), SystemClock(), tls=False), NoInput())

    def _run(self) -> Steps[None]:
        for step in self.steps:
            try:
                self.results.append((yield step))
            except Exception as error:  # noqa: BLE001 - what came instead of a result
                self.results.append(error)
        self.is_over = True
        while True:
            yield NeedInput(SystemClock().monotonic() + HOUR)

    def pending_cleanup(self) -> Callable[[], None] | None:
        """As a session of IMAP has it."""
        return None


def services(**others: object) -> Any:
    """What a connection asks for in `Services`; `others` of its runtime."""
    runtime = SimpleNamespace(clock=SystemClock(), **others)
    nothing: dict[str, Callable[..., None]] = dict.fromkeys(("note", "measure_lag", "stored"), lambda *_: None)
    return SimpleNamespace(runtime=runtime, tls=None, **nothing)
