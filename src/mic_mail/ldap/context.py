"""The state of one LDAP connection, and the small steps from which every answer is made.

Nothing here does I/O: `say` collects octets, `Session.next` hands them out. One request is answered at a time; what comes
meanwhile waits, and is only looked through for what gives up the one in progress (`look_up`).
"""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mic_mail.clock import Clock
from mic_mail.connection.actions import NeedInput, Send, Step
from mic_mail.ldap import ber, requests, responses
from mic_mail.ldap.actions import Consult, Steps, Turn
from mic_mail.ldap.dit import Tree
from mic_mail.ldap.requests import Envelope
from mic_mail.ldap.responses import Code
from mic_mail.services.authentication.identity import SignedIn

T = TypeVar("T")

MESSAGE_OCTETS = 64 << 10
"""The longest request: no search, compare or sign-in has a tenth of it."""
PACKET_OCTETS = 16 << 10
SLICE_SECONDS = 0.002
"""How long a connection goes on before others have their turn."""
WORK_SECONDS = 1.0
"""The most work that one search may be: a filter of a dozen items over 30,000 people is a twentieth of it."""
MOST_WAITING = 64
"""Of requests that a client has sent before the one in progress is answered, looked through for what gives it up."""


class CloseLdapConnection(Exception):
    """The connection ends, after a notice of disconnection if there is a text."""

    def __init__(self, text: str = "", code: int = Code.UNAVAILABLE) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class GivenUp(Exception):
    """The client does not want the answer any more."""

    def __init__(self, by: int | None) -> None:
        super().__init__()
        self.by = by
        """The Cancel that asked for it; None: it was an Abandon, and nothing is said."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Limits and times of a session; the shell fills them from the configuration."""

    sign_in_seconds: float = 60.0
    idle_seconds: float = 900.0
    search_seconds: float = 5.0
    entries: int = 500
    errors: int = 20
    sign_in_tries: int = 5


class LdapHost(Protocol):
    """What a session may ask without waiting."""

    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms to offer on this connection as it is now."""
        ...

    def allows_anonymous(self) -> bool:
        """Whether who comes from there may search without signing in."""
        ...


class LdapContext:
    """What a connection knows between two requests."""

    def __init__(self, settings: SessionSettings, *, clock: Clock, desk: LdapHost, tls: bool) -> None:
        self.settings = settings
        self.clock = clock
        self.desk = desk
        self.tls = tls
        self.nobody_since = clock.monotonic()
        self.signed_in: SignedIn | None = None
        self.dialog_mechanism = ""
        """Of a SASL exchange that waits for the client's next step."""
        self.ending: CloseLdapConnection | None = None
        self.tries = 0
        self.searches = self.entries = 0
        """What was asked and answered, for the log."""
        self.out: list[bytes] = []
        self._octets = 0
        self.worked = 0.0
        """Seconds of work on the request in progress, in turns that are over."""
        self._since = clock.monotonic()
        self._of_turn = 0.0
        self._input = bytearray()
        self._waiting: deque[tuple[Envelope, int]] = deque()
        """Requests and how many octets each has."""
        self._waiting_octets = 0
        self._senseless = False
        """Behind what waits comes no message."""

    # ------------------------------------------------------------ what is so

    @property
    def may_search(self) -> bool:
        return self.signed_in is not None or self.desk.allows_anonymous()

    @property
    def must_sign_in_by(self) -> float | None:
        """Strangers who may search have longer, but not for ever: else some networks could keep the places of all."""
        if self.signed_in is not None:
            return None
        return self.nobody_since + (self.settings.idle_seconds if self.may_search else self.settings.sign_in_seconds)

    def now(self) -> float:
        return self.clock.monotonic()

    def is_nobody(self) -> None:
        """Nobody is signed in any more, and who wants to be has as long for it as at the beginning."""
        self.signed_in = None
        self.nobody_since = self.now()

    def take_work(self) -> tuple[int, int]:
        """Searches and entries told of since the last time."""
        done, self.searches, self.entries = (self.searches, self.entries), 0, 0
        return done

    # ------------------------------------------------------------ hearing

    def feed(self, octets: bytes) -> None:
        self._input += octets

    def discard_input(self) -> None:
        self._input.clear()
        self._waiting.clear()
        self._waiting_octets = 0
        self._senseless = False

    @property
    def buffered(self) -> int:
        """Octets that wait, looked through or not."""
        return len(self._input) + self._waiting_octets

    def _take(self) -> Envelope | None:
        """The next whole message of what has come."""
        length = ber.message_octets(self._input, MESSAGE_OCTETS)
        if not length:
            return None
        octets = bytes(self._input[:length])
        del self._input[:length]
        return requests.envelope(octets)

    def request(self, until: float) -> Steps[Envelope]:
        """The next request; `Ended` when `until` passes or the session is cut, `BadBer` where nothing can be understood."""
        while True:
            if self.ending is not None:
                raise self.ending
            if self.must_sign_in_by is not None and self.now() >= self.must_sign_in_by:  # however much has come
                raise CloseLdapConnection
            if self._waiting:
                return self._popped(0)
            if self._senseless:
                raise ber.BadBer("message")
            if (found := self._take()) is not None:
                return found
            if self.now() >= until:
                raise CloseLdapConnection
            yield from self.aside(NeedInput(until))

    def _popped(self, place: int) -> Envelope:
        found, octets = self._waiting[place]
        del self._waiting[place]
        self._waiting_octets -= octets
        return found

    def look_up(self, number: int) -> None:
        """See what has come meanwhile: `GivenUp` if it gives up the request `number`, `Ended` if the session is cut."""
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
        except ber.BadBer:  # what stands before it is answered first
            self._senseless = True
        for place, (one, _) in enumerate(self._waiting):
            given_up, by = _given_up(one)
            if given_up == number:
                self._popped(place)
                raise GivenUp(by)

    # ------------------------------------------------------------ saying

    def write(self, octets: bytes) -> None:
        self.out.append(octets)
        self._octets += len(octets)

    def result(self, request: Envelope, code: int, text: str = "", *, matched: str = "", controls: bytes = b"") -> None:
        self.write(responses.result(request.number, request.tag, code, text, matched=matched, controls=controls))

    @property
    def has_much_to_say(self) -> bool:
        return self._octets > PACKET_OCTETS

    def take_output(self) -> bytes:
        """What was said since the last time."""
        data = b"".join(self.out)
        self.out.clear()
        self._octets = 0
        return data

    # ------------------------------------------------------------ steps

    def tree(self) -> Steps[Tree]:
        """The directory as it is now."""
        tree = yield from self.aside(Consult())
        assert isinstance(tree, Tree)
        return tree

    def take_turns(self) -> Steps[None]:
        """Others have their turn, if this connection has worked for SLICE_SECONDS, be it on one request or on many."""
        worked = self._of_turn + self.now() - self._since
        if worked >= SLICE_SECONDS:
            self.worked += worked
            yield Turn(worked)
            self._of_turn, self._since = 0.0, self.now()

    def aside(self, step: Step) -> Steps[object]:
        """A step during which others work: what it takes is not this connection's work."""
        self._of_turn += self.now() - self._since
        result = yield step
        self._since = self.now()
        return result

    def in_turns(self, work: Generator[None, None, T], number: int) -> Steps[T]:
        """Do a piece of work in slices, as long as its client wants it."""
        while True:
            try:
                next(work)
            except StopIteration as done:
                result: T = done.value
                return result
            yield from self.take_turns()
            self.look_up(number)

    def send(self, number: int) -> Steps[None]:
        """Hand out what was said, as fast as the client takes it."""
        yield from self.aside(Send(self.take_output()))
        yield from self.take_turns()
        self.look_up(number)


def _given_up(request: Envelope) -> tuple[int | None, int | None]:
    """Which request this one gives up, and the number under which an answer is expected."""
    try:
        if request.tag == requests.ABANDON:
            return requests.abandoned(request.body.copy()), None
        if request.tag == requests.EXTENDED:
            found = requests.extended(request.body.copy())
            if found.oid == CANCEL:
                return requests.cancelled(found.value), request.number
    except ber.BadBer:
        pass  # it is told so in its turn
    return None, None


CANCEL = "1.3.6.1.1.8"
