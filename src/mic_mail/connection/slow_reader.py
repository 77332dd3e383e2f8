"""The wait for a client that is behind with reading its output."""

import asyncio

from mic_mail.clock import Clock
from mic_mail.connection.session_core import Session
from mic_mail.net.tcp_ack import acknowledged

UNREAD_LOOKS = 10
"""Checks of a slow client's progress within the time in which it has to take something."""


class SlowReader:
    """Cut a client that takes nothing of its output for `unread_seconds`, from the time at which writing pauses.

    A client that takes little is waited for, however full the buffers are, but none beyond the time by which it has to sign in.
    """

    __slots__ = ("_clock", "_loop", "_session", "_taken", "_taken_at", "_timer", "_transport", "_unread_seconds")

    def __init__(self, transport: asyncio.Transport, session: Session, clock: Clock, unread_seconds: float) -> None:
        self._transport = transport
        self._session = session
        self._clock = clock
        self._unread_seconds = unread_seconds
        self._loop = asyncio.get_running_loop()
        self._taken = acknowledged(transport)  # octets taken at the last check
        self._taken_at = self._loop.time()  # when that changed
        self._timer: asyncio.TimerHandle
        self._look_again()

    def cut_after(self, seconds: float) -> None:
        """Wait no longer than this, whatever the client takes: its session ends."""
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._transport.abort)

    def cancel(self) -> None:
        """Stop waiting: everything was taken, or the connection is lost."""
        self._timer.cancel()

    def _look_again(self) -> None:
        seconds = self._unread_seconds / UNREAD_LOOKS
        if self._session.must_sign_in_by is not None:
            seconds = min(seconds, max(0.0, self._session.must_sign_in_by - self._clock.monotonic()))
        self._timer = self._loop.call_later(seconds + 0.001, self._look)

    def _look(self) -> None:
        taken, now = acknowledged(self._transport), self._loop.time()
        must_sign_in_by = self._session.must_sign_in_by
        if must_sign_in_by is not None and self._clock.monotonic() >= must_sign_in_by:
            self._transport.abort()
            return
        if taken != self._taken:
            self._taken, self._taken_at = taken, now
        elif now - self._taken_at >= self._unread_seconds:
            self._transport.abort()
            return
        self._look_again()
