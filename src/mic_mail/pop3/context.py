"""The state of one POP3 connection, and the steps from which every command is made.

A command's handler returns a `Reply`, or is a generator: it yields actions, is sent their results, and returns a `Reply`,
or None where it has written its response itself. Nothing here does I/O: `write` collects octets, `Session.next` sends
them before anything else happens.

Errors: a `MicMailError` becomes -ERR with a code of RFC 3206; `CloseConnection` ends the connection.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import TypeVar, cast

from mic_mail.clock import Clock
from mic_mail.connection import session_core
from mic_mail.connection.actions import LogEvent, NeedInput, RecordActivity, Send, Steps, Work, opening_slot
from mic_mail.connection.session_core import CloseConnection, SessionContext, SessionHost
from mic_mail.errors import MicMailError, Text, Trouble
from mic_mail.i18n.spoken import spoken_on_one_line
from mic_mail.pop3.line_buffer import LineFault, Lines
from mic_mail.pop3.maildrop import LongAnswer, Maildrop
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import INBOX

T = TypeVar("T")

MAX_RESPONSE_OCTETS = 512
"""Octets of the first line of a response, CRLF included (RFC 2449 §4)."""


class SessionState(Flag):
    """The states of RFC 1939 §3. UPDATE lasts as long as QUIT does."""

    AUTHORIZATION = auto()
    TRANSACTION = auto()


@dataclass(frozen=True, slots=True)
class SessionSettings(session_core.SessionSettings):
    """Limits and times of a session, and the name of the server."""

    host: str = "localhost"


@dataclass(frozen=True, slots=True)
class Reply:
    """The first line of a response. `senseless`: the command was invalid here, and counts as an error."""

    text: Text | str = ""
    ok: bool = True
    code: bytes = b""
    senseless: bool = False


def refuse(text: Text, code: bytes = b"") -> Reply:
    """Return -ERR for a request that cannot be done, for a person to read: in both languages."""
    return Reply(text, ok=False, code=code)


def bad(text: Text | str) -> Reply:
    """Return -ERR for a request that is invalid here.

    It is for the author of the program, so in English unless a person sees it.
    """
    return Reply(text, ok=False, senseless=True)


def refusal(error: MicMailError) -> Reply:
    """Return -ERR for an error raised on purpose; a retry helps only where the code says so (RFC 3206)."""
    return refuse(error.text, b"SYS/TEMP" if isinstance(error, Trouble) else b"")


class Pop3Context(SessionContext):
    """The state of a connection between two commands."""

    __slots__ = ("_drop", "_read_in", "host", "lines", "over", "settings", "user", "utf8")

    settings: SessionSettings

    def __init__(self, settings: SessionSettings, *, clock: Clock, host: SessionHost, tls: bool) -> None:
        super().__init__(settings, clock, tls=tls)
        self.settings = settings
        self.host = host
        self.lines = Lines()
        self.user: str | None = None
        """The name of USER, until the next command."""
        self.utf8 = False
        """True in UTF-8 mode (RFC 6856 §2)."""
        self.over = False
        """True after QUIT or a failed start of TRANSACTION: the connection ends with the present response."""
        self._drop: Maildrop | None = None
        self._read_in: int | None = None  # time slot in which the log last recorded reading here

    # ------------------------------------------------------------ state

    @property
    def state(self) -> SessionState:
        return SessionState.AUTHORIZATION if self._drop is None else SessionState.TRANSACTION

    @property
    def maildrop(self) -> Maildrop:
        """The maildrop in TRANSACTION."""
        assert self._drop is not None
        return self._drop

    # ------------------------------------------------------------ output

    def say_reply(self, reply: Reply) -> None:
        """Write `+OK` or `-ERR`, the code in brackets, and as much of the text as fits."""
        head = (b"+OK" if reply.ok else b"-ERR") + (b" [" + reply.code + b"]" if reply.code else b"")
        words = self._words(reply.text, MAX_RESPONSE_OCTETS - len(head) - 3)
        self.write(head + (b" " + words if words else b"") + b"\r\n")

    def _words(self, text: Text | str, room: int) -> bytes:
        """Return a text for people: Vietnamese in UTF-8 mode, else both languages in ASCII (RFC 2449 §3)."""
        if isinstance(text, str):
            return text.encode("ascii", "replace")[:room]
        return spoken_on_one_line(text, utf8=self.utf8, room=room)

    # ------------------------------------------------------------ steps

    def line(self, until: float) -> Steps[bytes | LineFault]:
        """Return the next line, or that it is too long.

        `CloseConnection` when `until` passes, without a text (RFC 1939 §3), or when the session is ended.
        """
        while True:
            if self.ending is not None:
                raise self.ending
            if self.signed_in is None and self.now() >= self.sign_in_until:  # even if more input has arrived
                raise CloseConnection
            line = self.lines.next()
            if line is LineFault.ENDLESS:
                raise CloseConnection(Text("Kết nối bị đóng vì dữ liệu gửi đến quá lớn.", "Too much input."))
            if line is not None:
                return line
            if self.now() >= until:
                raise CloseConnection
            yield NeedInput(until)

    def ask(self, run: Callable[[Account], T]) -> Steps[T]:
        """Read from the store."""
        return cast("T", (yield Work(run)))

    def change(self, run: Callable[[Account], T]) -> Steps[T]:
        """Write to the store."""
        return cast("T", (yield Work(run, writes=True)))

    def enter(self, signed_in: SignedIn) -> Steps[None]:
        """Enter TRANSACTION with a snapshot of the account; where that fails the session ends (RFC 1939 §4)."""
        self.signed_in = signed_in
        self.over = True
        self._drop = yield from self.ask(Maildrop.open)
        self.over = False
        yield RecordActivity(how="pop3")

    def reading(self) -> Steps[None]:
        """Record that mail is read, once in each time slot, when a message is fetched (Reg. 12.3.a).

        Programs sign in by themselves every few minutes; only fetching shows that a person reads.
        """
        slot = opening_slot(self.clock.now_us())
        if self._read_in != slot:
            self._read_in = slot
            yield RecordActivity(how="retr")
        else:
            yield RecordActivity()

    def record_shared_act(self, event: str, **fields: object) -> Steps[None]:
        """Log a change in a mailbox that several people may use."""
        assert self.signed_in is not None
        if self.host.records_access(self.signed_in.mailbox_id):
            yield LogEvent(event, {"folder": INBOX, **fields})

    def answer_at_length(self, first: Reply, answer: LongAnswer) -> Steps[None]:
        """Send a multi-line response as fast as the client takes it; an error before its first line is raised."""
        begun = False
        try:
            while not answer.over:
                octets = yield from self.ask(answer.pull)
                if not begun:
                    begun = True
                    self.say_reply(first)
                self.write(octets)
                if self.has_full_packet:
                    yield Send(self.take_output())
                if self.ending is not None:
                    raise self.ending
        except Exception:
            self.severed = begun and not answer.over
            raise
        finally:
            answer.close()

    def mark_seen(self) -> Steps[None]:
        """Mark the retrieved messages as seen; on a full disk they stay unseen."""
        if self._drop is not None and self._drop.has_unmarked:
            try:
                yield from self.change(self._drop.mark_seen)
            except MicMailError:
                return
