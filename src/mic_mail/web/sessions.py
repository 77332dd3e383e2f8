"""Hold the web sessions in memory, each found by a token that only the browser knows.

The server stores a digest of the token.
In: a token, an instant of the monotonic clock. Out: a `Session` or None. A restart of the web process forgets all
sessions, and people sign in again. Bounded: MOST sessions, MOST_PER_MAILBOX of one mailbox; the least recently used goes
first.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from mic_mail.errors import Text
from mic_mail.services.authentication.identity import SignedIn

MOST = 10_000
MOST_PER_MAILBOX = 8
TOKEN_OCTETS = 32
HALF_SECONDS = 300.0
"""Seconds in which the code of the second factor has to be entered."""
ENROLMENT_SECONDS = 300.0
"""Seconds in which an enrolment that was begun can be confirmed without the present password."""
TRIES = 20
"""New passwords that one session may try: each costs several hashes."""


@dataclass(slots=True)
class Session:
    """One browser that has signed in."""

    signed_in: SignedIn
    began: float
    used: float
    tries: int = 0
    news: Text | None = None
    """Text that the next page shows first."""
    secret: "Secret | None" = None
    """An app password that the next page shows, and none after it."""
    half: bool = False
    """True while the password was right and the code of the second factor is missing: nothing else is open."""
    enrolment: "Enrolment | None" = field(default=None, repr=False)
    """A second factor that is being set."""
    recovery: tuple[str, ...] = field(default=(), repr=False)
    """Recovery codes that the next page shows, and none after it."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that was generated and is shown once."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A second factor whose secret was shown and is not confirmed yet."""

    secret: bytes = field(repr=False)
    began: float


@dataclass(frozen=True, slots=True)
class SessionLifetime:
    """The lifetime of a session in seconds: without use, and in all."""

    idle: float
    whole: float


def new_token() -> str:
    """Return a random token of 256 bits."""
    return secrets.token_urlsafe(TOKEN_OCTETS)


class Sessions:
    """The sessions of one process; belongs to its loop."""

    def __init__(self, patience: SessionLifetime, monotonic: Callable[[], float]) -> None:
        self.patience = patience
        self._monotonic = monotonic
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(
        self,
        signed_in: SignedIn,
        *,
        instead_of: str | None = None,
        half: bool = False,
        news: Text | None = None,
        recovery: tuple[str, ...] = (),
    ) -> str:
        """Begin a session for a proved password, under a fresh token; end the session `instead_of`."""
        if instead_of is not None:
            self.end(instead_of)
        # A half session (password only) must not push out a session that has shown a code.
        same = [
            key for key, one in self._sessions.items() if one.signed_in.mailbox_id == signed_in.mailbox_id and one.half == half
        ]
        for key in same[: max(0, len(same) - MOST_PER_MAILBOX + 1)]:
            del self._sessions[key]
        while len(self._sessions) >= MOST:
            self._sessions.popitem(last=False)
        now, token = self._monotonic(), new_token()
        self._sessions[_digest(token)] = Session(signed_in, now, now, news=news, half=half, recovery=recovery)
        return token

    def find(self, token: str) -> Session | None:
        """Return the session of this token if it still lasts; the call counts as use."""
        key, now = _digest(token), self._monotonic()
        session = self._sessions.get(key)
        if session is None:
            return None
        whole = HALF_SECONDS if session.half else self.patience.whole
        if now - session.used >= self.patience.idle or now - session.began >= whole:
            del self._sessions[key]
            return None
        session.used = now
        self._sessions.move_to_end(key)
        return session

    def begin_enrolment(self, session: Session, secret: bytes) -> None:
        """Begin an enrolment with this secret, after the person has typed the present password."""
        session.enrolment = Enrolment(secret, self._monotonic())

    def enrolment_of(self, session: Session) -> bytes | None:
        """Return the secret that can still be confirmed, or None.

        After `ENROLMENT_SECONDS` the present password is asked for again.
        """
        enrolment = session.enrolment
        if enrolment is not None and self._monotonic() - enrolment.began >= ENROLMENT_SECONDS:
            session.enrolment = enrolment = None
        return None if enrolment is None else enrolment.secret

    def end(self, token: str) -> None:
        """Forget the session of this token; idempotent."""
        self._sessions.pop(_digest(token), None)

    def sweep(self) -> None:
        """Forget the sessions that have expired."""
        now = self._monotonic()
        for key, one in list(self._sessions.items()):
            if now - one.used >= self.patience.idle or now - one.began >= self.patience.whole:
                del self._sessions[key]


def _digest(token: str) -> bytes:
    """Return the digest under which a token is stored, so that a reader of this process's memory cannot use it."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
