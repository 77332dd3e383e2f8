"""A POP3 session as a pure core: octets in, actions out.

`connection.session_core` drives its dialogue.
One command is in progress at a time; pipelined ones wait and are answered in order (RFC 2449 §6.6). The output of a
command is sent before anything else is done. Only QUIT removes messages (RFC 1939 §6); a session that ends otherwise
removes none.

RETR sets `\\Seen`, as Dovecot does, so that a phone shows as read what the PC has fetched; TOP does not. The flag is set
in groups of SEEN_GROUP_MESSAGES, at QUIT, and when the server ends the session: a lost connection leaves the last ones
unseen.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mic_mail.clock import Clock
from mic_mail.connection import session_core
from mic_mail.connection.actions import COMMANDS_AT_ONCE, Hangup, Pause, Send, Steps
from mic_mail.connection.session_core import CloseConnection, SessionHost
from mic_mail.errors import BadInput, MicMailError, Text
from mic_mail.ids import TokenSource
from mic_mail.pop3 import auth
from mic_mail.pop3.context import Pop3Context, Reply, SessionSettings, SessionState, bad, refusal, refuse
from mic_mail.pop3.line_buffer import LineFault
from mic_mail.pop3.maildrop import NoSuchNumber, listing, message
from mic_mail.storage.errors import Frozen

Answer = Reply | Steps[Reply] | Steps[Reply | None] | None
SEEN_GROUP_MESSAGES = 128
_DIGITS = 20
"""Digits of a number; no message number or line count is as long."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A row of VERBS: the states, the handler, the number of arguments.

    `raw`: everything behind the first space is one argument.
    """

    states: SessionState
    act: Callable[[Pop3Context, list[bytes]], Answer]
    least: int = 0
    most: int = 0
    raw: bool = False


# ------------------------------------------------------------------ TRANSACTION


def stat(ctx: Pop3Context, arguments: list[bytes]) -> Reply:
    return Reply(f"{ctx.maildrop.messages} {ctx.maildrop.octets}")


def list_(ctx: Pop3Context, arguments: list[bytes], *, unique_ids: bool = False) -> Steps[Reply | None]:
    """Handle LIST or UIDL: exact sizes or unique-ids, of all messages or of one."""
    drop = ctx.maildrop
    if arguments:
        place = drop.place(_number(arguments[0]))
        return Reply((drop.unique_id if unique_ids else drop.scan)(place).decode("ascii"))
    yield from ctx.answer_at_length(auth.size_of(ctx), listing(drop, unique_ids=unique_ids))
    return None


def retr(ctx: Pop3Context, arguments: list[bytes]) -> Steps[Reply | None]:
    drop = ctx.maildrop
    place = drop.place(_number(arguments[0]))
    yield from ctx.reading()
    yield from ctx.answer_at_length(Reply(f"{drop.size(place)} octets."), message(drop, place))
    if drop.retrieved(place) >= SEEN_GROUP_MESSAGES:
        yield from ctx.mark_seen()
    return None


def top(ctx: Pop3Context, arguments: list[bytes]) -> Steps[Reply | None]:
    drop = ctx.maildrop
    place, lines = drop.place(_number(arguments[0])), _number(arguments[1])
    yield from ctx.answer_at_length(Reply("Top of the message follows."), message(drop, place, lines))
    return None


def dele(ctx: Pop3Context, arguments: list[bytes]) -> Reply:
    """Handle DELE, which marks; QUIT removes.

    While the mailbox is handed over no message may be marked for removal (Reg. 12.3.d).
    """
    assert ctx.signed_in is not None
    if ctx.host.withheld(ctx.signed_in.mailbox_id):
        raise Frozen
    ctx.maildrop.delete(ctx.maildrop.place(_number(arguments[0])))
    return Reply("Marked as deleted.")


def noop(ctx: Pop3Context, arguments: list[bytes]) -> Reply:
    return Reply()


def rset(ctx: Pop3Context, arguments: list[bytes]) -> Reply:
    ctx.maildrop.reset()
    return auth.size_of(ctx)


def quit_(ctx: Pop3Context, arguments: list[bytes]) -> Steps[Reply]:
    """Handle QUIT: from TRANSACTION into UPDATE (RFC 1939 §6).

    OK is sent when the marked messages are durably removed.
    """
    ctx.over = True
    if ctx.state is SessionState.AUTHORIZATION:
        return Reply("Goodbye.")
    yield from ctx.mark_seen()
    drop = ctx.maildrop
    try:
        while drop.has_marked:
            if removed := (yield from ctx.change(drop.remove)):
                yield from ctx.record_shared_act("messages_expunged", uids=",".join(map(str, removed)))
    except MicMailError as error:
        reply = refusal(error)
        text = Text(
            f"Chưa xóa hết các thư đã đánh dấu. {error.text.vi}", f"Some deleted messages were not removed. {error.text.en}"
        )
        return refuse(text, reply.code)
    return Reply("Goodbye.")


class Malformed(BadInput):
    """Raised for an argument that is no number."""


def _number(argument: bytes) -> int:
    """Return a decimal number (RFC 1939 §4); one too long for any message counts as the largest."""
    if not argument.isdigit():
        raise Malformed("Not a number.")
    return int(argument[-_DIGITS:]) if len(argument.lstrip(b"0")) <= _DIGITS else 10**_DIGITS


VERBS: dict[bytes, Verb] = {
    b"CAPA": Verb(SessionState.AUTHORIZATION | SessionState.TRANSACTION, auth.capabilities),
    b"USER": Verb(SessionState.AUTHORIZATION, auth.user, 1, 1, raw=True),
    b"PASS": Verb(SessionState.AUTHORIZATION, auth.password, 1, 1, raw=True),
    b"AUTH": Verb(SessionState.AUTHORIZATION, auth.authenticate, 0, 1, raw=True),
    b"STLS": Verb(SessionState.AUTHORIZATION, auth.start_tls),
    b"UTF8": Verb(SessionState.AUTHORIZATION, auth.use_utf8),
    b"STAT": Verb(SessionState.TRANSACTION, stat),
    b"LIST": Verb(SessionState.TRANSACTION, list_, 0, 1),
    b"UIDL": Verb(SessionState.TRANSACTION, partial(list_, unique_ids=True), 0, 1),
    b"RETR": Verb(SessionState.TRANSACTION, retr, 1, 1),
    b"TOP": Verb(SessionState.TRANSACTION, top, 2, 2),
    b"DELE": Verb(SessionState.TRANSACTION, dele, 1, 1),
    b"NOOP": Verb(SessionState.TRANSACTION, noop),
    b"RSET": Verb(SessionState.TRANSACTION, rset),
    b"QUIT": Verb(SessionState.AUTHORIZATION | SessionState.TRANSACTION, quit_),
}
"""Every command; keywords are case-insensitive (RFC 1939 §3)."""

_WRONG_STATE = {SessionState.AUTHORIZATION: "Sign in first.", SessionState.TRANSACTION: "Already signed in."}


class Session(session_core.Session):
    """One connection."""

    __slots__ = ()

    _context: Pop3Context

    def __init__(
        self, settings: SessionSettings, *, clock: Clock, host: SessionHost, tls: bool, tokens: TokenSource = secrets.randbits
    ) -> None:
        ctx = Pop3Context(settings, clock=clock, host=host, tls=tls)
        super().__init__(ctx, ctx.lines, tokens)

    @property
    def must_finish(self) -> bool:
        """True while QUIT runs: it has to finish even if the client is gone."""
        return self._context.over and not isinstance(self._held, Hangup)

    # ------------------------------------------------------------ the dialogue

    def _run(self) -> Steps[None]:
        ctx, commands = self._context, 0
        ctx.say_reply(Reply(f"{ctx.settings.host} is ready."))
        try:
            while not ctx.severed and not ctx.over:
                line = yield from ctx.line(ctx.input_until)
                yield from self._take(line)
                if ctx.has_full_packet:
                    yield Send(ctx.take_output())
                commands += 1
                if commands % COMMANDS_AT_ONCE == 0:  # thousands of pipelined commands
                    yield Pause()
        except CloseConnection as ended:
            if ended.text:
                ctx.say_reply(refuse(ended.text, ended.code))
            yield from ctx.mark_seen()
        yield Hangup()

    def _take(self, line: bytes | LineFault) -> Steps[None]:
        """Handle one command; any error becomes its response."""
        ctx = self._context
        try:
            reply = bad("Line too long.") if isinstance(line, LineFault) else (yield from self._command(line))
        except (NoSuchNumber, Malformed) as error:
            reply = bad(error.text)
        except MicMailError as error:
            reply = refusal(error)
        except CloseConnection:
            raise
        except Exception as error:  # noqa: BLE001 - a bug must cost one command, not the connection, and never be silent
            reply = refuse((yield from self._log_bug("pop3_bug", error)), b"SYS/PERM")
        if reply is not None:
            ctx.say_reply(reply)
        self._count(invalid=reply is not None and reply.senseless)

    def _command(self, line: bytes) -> Steps[Reply | None]:
        ctx = self._context
        word, _, rest = line.partition(b" ")
        verb = VERBS.get(word.upper())
        if verb is None:
            return bad("No such command.")
        if verb is not VERBS[b"PASS"]:
            ctx.user = None
        if not verb.states & ctx.state:
            return bad(_WRONG_STATE[ctx.state])
        arguments = ([rest] if rest or not verb.least else []) if verb.raw else rest.split()
        if not verb.least <= len(arguments) <= verb.most:
            return bad("Invalid arguments.")
        answer = verb.act(ctx, arguments)
        return answer if isinstance(answer, Reply | None) else (yield from answer)
