"""The state of one LDAP connection, and the steps from which every answer is made.

Nothing here does I/O: `write` collects octets, `Session.next` sends them. One request is answered at a time; later ones
wait, and are only scanned for an Abandon or Cancel of the one in progress (`look_up`).
"""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

from mic_mail.clock import Clock
from mic_mail.connection import session_core
from mic_mail.connection.actions import NeedInput, Send, Step, Steps
from mic_mail.connection.session_core import CloseConnection, SessionContext, SessionHost
from mic_mail.errors import Text
from mic_mail.ldap import ber, requests, responses
from mic_mail.ldap.actions import Consult, Turn
from mic_mail.ldap.dit import Tree
from mic_mail.ldap.requests import LdapMessage
from mic_mail.ldap.responses import Code

T = TypeVar("T")

MESSAGE_OCTETS = 64 << 10
"""Octets of the longest request: no search, compare or sign-in has a tenth of it."""
SLICE_SECONDS = 0.002
"""Seconds of work after which other connections get their turn."""
WORK_SECONDS = 1.0
"""Seconds of work of one search at most.

A filter of a dozen items over 30,000 people takes a twentieth of it.
"""
MOST_WAITING = 64
"""Waiting requests that are scanned for an Abandon or Cancel of the one in progress."""


def protocol_error(text: str) -> CloseConnection:
    """Return the end of a connection whose client breaks the protocol."""
    return CloseConnection(Text("", text), b"%d" % Code.PROTOCOL_ERROR)


class GivenUp(Exception):
    """Raised when the client has abandoned or cancelled the request."""

    def __init__(self, by: int | None) -> None:
        super().__init__()
        self.by = by
        """Number of the Cancel that asked for it; None: it was an Abandon, which has no answer."""


@dataclass(frozen=True, slots=True)
class SessionSettings(session_core.SessionSettings):
    """Limits and times of a session."""

    sign_in_seconds: float = 60.0
    idle_seconds: float = 900.0
    search_seconds: float = 5.0
    entries: int = 500


class LdapHost(SessionHost, Protocol):
    """Questions that a session may ask its connection without waiting."""

    def allows_anonymous(self) -> bool:
        """Return whether clients of this network may search without signing in."""
        ...


class LdapContext(SessionContext):
    """The state of a connection between two requests."""

    packet_octets: ClassVar[int] = 16 << 10

    settings: SessionSettings
    host: LdapHost

    def __init__(self, settings: SessionSettings, *, clock: Clock, host: LdapHost, tls: bool) -> None:
        super().__init__(settings, clock, tls=tls)
        self.settings = settings
        self.host = host
        self.nobody_since = clock.monotonic()
        self.dialog_mechanism = ""
        """Mechanism of a SASL exchange that waits for the client's next step."""
        self.searches = self.entries = 0
        """Numbers of searches and of entries sent, for the log."""
        self.worked = 0.0
        """Seconds of work on the request in progress, in turns that have ended."""
        self._since = clock.monotonic()
        self._of_turn = 0.0
        self._input = bytearray()
        self._waiting: deque[tuple[LdapMessage, int]] = deque()
        """Waiting requests, each with its number of octets."""
        self._waiting_octets = 0
        self._senseless = False
        """True where the octets behind the waiting requests are no message."""

    # ------------------------------------------------------------ state

    @property
    def may_search(self) -> bool:
        return self.signed_in is not None or self.host.allows_anonymous()

    @property
    def must_sign_in_by(self) -> float | None:
        """Time by which the client has to sign in; None if it has.

        Anonymous clients that may search have longer, but not for ever: otherwise some networks could occupy all
        connections.
        """
        if self.signed_in is not None:
            return None
        return self.nobody_since + (self.settings.idle_seconds if self.may_search else self.settings.sign_in_seconds)

    def is_nobody(self) -> None:
        """Become anonymous; the time to sign in starts again."""
        self.signed_in = None
        self.nobody_since = self.now()

    def take_work(self) -> tuple[int, int]:
        done, self.searches, self.entries = (self.searches, self.entries), 0, 0
        return done

    # ------------------------------------------------------------ input

    def feed(self, octets: bytes) -> None:
        self._input += octets

    def discard_input(self) -> None:
        self._input.clear()
        self._waiting.clear()
        self._waiting_octets = 0
        self._senseless = False

    @property
    def buffered(self) -> int:
        """Octets that wait, scanned or not."""
        return len(self._input) + self._waiting_octets

    def _take(self) -> LdapMessage | None:
        length = ber.message_octets(self._input, MESSAGE_OCTETS)
        if not length:
            return None
        octets = bytes(self._input[:length])
        del self._input[:length]
        return requests.envelope(octets)

    def request(self, until: float) -> Steps[LdapMessage]:
        """Return the next request.

        `CloseConnection` when `until` passes or the session is ended, `BadBer` where the input is no message.
        """
        while True:
            if self.ending is not None:
                raise self.ending
            if self.must_sign_in_by is not None and self.now() >= self.must_sign_in_by:  # even if more input has arrived
                raise CloseConnection
            if self._waiting:
                return self._popped(0)
            if self._senseless:
                raise ber.BadBer("message")
            if (found := self._take()) is not None:
                return found
            if self.now() >= until:
                raise CloseConnection
            yield from self.aside(NeedInput(until))

    def _popped(self, place: int) -> LdapMessage:
        found, octets = self._waiting[place]
        del self._waiting[place]
        self._waiting_octets -= octets
        return found

    def look_up(self, number: int) -> None:
        """Scan new input: `GivenUp` if it abandons or cancels the request `number`.

        `CloseConnection` if the session is ended.
        """
        if self.ending is not None:
            raise self.ending
        try:
            while not self._senseless and len(self._waiting) < MOST_WAITING:
                octets = len(self._input)
                if (found := self._take()) is None:
                    break
                octets -= len(self._input)
                self._waiting.append((found, octets))
                self._waiting_octets += octets
        except ber.BadBer:  # the requests before it are answered first
            self._senseless = True
        for place, (one, _) in enumerate(self._waiting):
            given_up, by = _given_up(one)
            if given_up == number:
                self._popped(place)
                raise GivenUp(by)

    # ------------------------------------------------------------ output

    def result(self, request: LdapMessage, code: int, text: str = "", *, matched: str = "", controls: bytes = b"") -> None:
        self.write(responses.result(request.number, request.tag, code, text, matched=matched, controls=controls))

    # ------------------------------------------------------------ steps

    def tree(self) -> Steps[Tree]:
        tree = yield from self.aside(Consult())
        assert isinstance(tree, Tree)
        return tree

    def take_turns(self) -> Steps[None]:
        """Let others run if this connection has worked for SLICE_SECONDS, on one request or on many."""
        worked = self._of_turn + self.now() - self._since
        if worked >= SLICE_SECONDS:
            self.worked += worked
            yield Turn(worked)
            self._of_turn, self._since = 0.0, self.now()

    def aside(self, step: Step) -> Steps[object]:
        """Do a step during which others work: its time is not counted as this connection's work."""
        self._of_turn += self.now() - self._since
        result = yield step
        self._since = self.now()
        return result

    def in_turns(self, work: Generator[None, None, T], number: int) -> Steps[T]:
        """Do a piece of work in slices while its client wants it."""
        while True:
            try:
                next(work)
            except StopIteration as done:
                result: T = done.value
                return result
            yield from self.take_turns()
            self.look_up(number)

    def send(self, number: int) -> Steps[None]:
        """Send the output, as fast as the client takes it."""
        yield from self.aside(Send(self.take_output()))
        yield from self.take_turns()
        self.look_up(number)


def _given_up(request: LdapMessage) -> tuple[int | None, int | None]:
    """Return the request that this one gives up, and the number under which an answer is expected."""
    try:
        if request.tag == requests.ABANDON:
            return requests.abandoned(request.body.copy()), None
        if request.tag == requests.EXTENDED:
            found = requests.extended(request.body.copy())
            if found.oid == CANCEL:
                return requests.cancelled(found.value), request.number
    except ber.BadBer:
        pass  # it gets its own error in its turn
    return None, None


CANCEL = "1.3.6.1.1.8"
