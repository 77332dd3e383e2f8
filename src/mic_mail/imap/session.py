"""An IMAP session: octets in, actions out. The pure core; `server` does its I/O.

    session = Session(...)
    session.noticed(modseq)                 the account has changed
    step = session.next()                   and so on: `connection.session_core` drives the generators written here

One command is in progress at a time; pipelined ones wait in the reader and are answered in order (RFC 9051 §5.5). A command's
output is sent before any other action. An unexpected exception is `NO [SERVERBUG]` with a reference; the traceback goes to
the log and nowhere else. Whatever a client sends, the session ends only by LOGOUT, by its limits, or when ended from outside.
"""

import secrets
from collections.abc import Callable

from mic_mail.clock import Clock
from mic_mail.connection import session_core
from mic_mail.connection.actions import COMMANDS_AT_ONCE, OCTETS_AT_ONCE, Hangup, Pause, Send, Step, Steps
from mic_mail.connection.session_core import CloseConnection
from mic_mail.errors import MicMailError, Text
from mic_mail.ids import TokenSource
from mic_mail.imap import capability, responses
from mic_mail.imap.actions import ClearAway
from mic_mail.imap.command_table import COMMANDS, GRAMMAR, Spec
from mic_mail.imap.commands import auth, notify, search_context
from mic_mail.imap.connection_state import ConnectionState, Enabled
from mic_mail.imap.context import ImapContext
from mic_mail.imap.host import ImapHost
from mic_mail.imap.parser.command import Arguments, Command
from mic_mail.imap.parser.events import AppendMessage, BadLine, Event, Line
from mic_mail.imap.parser.mailbox import Select
from mic_mail.imap.parser.number_set import NoSuchNumber
from mic_mail.imap.parser.reader import Limits, Reader
from mic_mail.imap.replies import Reply, bad, refusal, refuse
from mic_mail.imap.selected.sequence_numbers import OutOfStep
from mic_mail.imap.selected.shared_cache import SharedCache
from mic_mail.imap.session_settings import SessionSettings

_WRONG_STATE = {  # before sign-in the reader accepts no command of another state
    ConnectionState.AUTHENTICATED: "Command not allowed now: no mailbox is selected, or already signed in.",
    ConnectionState.SELECTED: "Command not allowed while a mailbox is selected.",
}


class Session(session_core.Session):
    """The session of one connection."""

    __slots__ = ()

    _context: ImapContext

    def __init__(
        self,
        settings: SessionSettings,
        *,
        clock: Clock,
        cache: SharedCache,
        host: ImapHost,
        tls: bool,
        tokens: TokenSource = secrets.randbits,
    ) -> None:
        reader = Reader(GRAMMAR, Limits.before_sign_in())
        ctx = ImapContext(settings, reader=reader, clock=clock, cache=cache, host=host, tls=tls)
        super().__init__(ctx, reader, tokens)

    # ------------------------------------------------------------ called by the connection

    @property
    def state(self) -> ConnectionState:
        return self._context.state

    def feed(self, octets: bytes, *, compressed: int = 0) -> None:
        """Accept octets from the client; `compressed`: how many octets they were on the wire."""
        if self._context.credit is not None:
            self._context.credit.earn(compressed)
        self._context.reader.feed(octets)

    def close(self) -> None:
        super().close()
        self._context.notifier = None
        self._context.leave()
        self._context.reader.close()

    def noticed(self, modseq: int, *, there: bool = False) -> bool:
        """Note that an account has reached this MODSEQ; return whether that matters now.

        `there`: the other account that is watched, else the session's own.
        """
        ctx = self._context
        if not there:
            ctx.own_modseq = max(ctx.own_modseq, modseq)
        if there == (ctx.attending is not None):
            ctx.known_modseq = max(ctx.known_modseq, modseq)
            return True
        return ctx.notifier is not None

    def account_changed(self, account_id: int, modseq: int) -> bool:
        """Note that a subscribed account has reached this MODSEQ; return whether that matters now."""
        ctx = self._context
        ctx.account_changed[account_id] = max(ctx.account_changed.get(account_id, 0), modseq)
        return ctx.notifier is not None

    def shared_mailboxes_changed(self) -> bool:
        """Note that the usable shared mailboxes may have changed; return whether that matters now."""
        self._context.shared_mailboxes_changed = True
        return self._context.notifier is not None

    def pending_cleanup(self) -> Callable[[], None] | None:
        """Return what must be discarded in a thread once the session is closed."""
        return self._context.take_leftovers() if self._context.leftovers else None

    def has_open(self, account_id: int) -> bool:
        """Return whether the selected mailbox belongs to this account."""
        return self._context.view is not None and self._context.view.account_id == account_id

    def rights_moved(self, account_id: int, rights: str) -> None:
        """Set the person's new rights in this account, if the selected mailbox belongs to it."""
        view = self._context.view
        if view is not None and view.account_id == account_id:
            view.rights = rights

    def own_rights_moved(self) -> None:
        """Recompute the rights in the session's own mailbox, which depend on its state alone."""
        if self._context.signed_in is not None:
            self.rights_moved(self._context.mailbox_id, self._context.own_rights)

    def access_revoked(self, account_id: int, text: Text) -> None:
        """Handle the loss of the right to read this account: send BYE if a mailbox of it is selected.

        RFC 4314 §5.1.1 lets the server close the connection, since most clients cannot handle NO to all their commands; they
        connect again and find their other mailboxes. The command in progress does nothing more there.
        """
        self.rights_moved(account_id, "")
        if self.has_open(account_id):
            self.end(text)

    def next(self) -> Step:
        self._context.is_synced = False  # others may have changed the mailbox since the last step
        return super().next()

    # ------------------------------------------------------------ main loop

    def _run(self) -> Steps[None]:
        ctx, commands, used = self._context, 0, 0
        ctx.write(auth.greeting(ctx))
        try:
            while not ctx.severed:
                before = ctx.reader.used
                event = yield from ctx.event(ctx.input_until, self._notify)
                if ctx.credit is not None:
                    ctx.pay(min(ctx.reader.used - before, ctx.reader.limits.command_octets))  # skipped octets cost little
                yield from self._take(event)
                if ctx.has_full_packet:
                    yield Send(ctx.take_output())
                commands += 1
                if commands >= COMMANDS_AT_ONCE or ctx.reader.used - used >= OCTETS_AT_ONCE:  # of pipelined commands
                    commands, used = 0, ctx.reader.used
                    yield Pause()
        except CloseConnection as ended:
            if ended.text is not None:
                ctx.write(responses.bye(ctx.words(ended.text), ended.code or None))
        ctx.leave()
        yield Hangup()

    def _notify(self) -> Steps[None]:
        """Send what NOTIFY asked for, between commands.

        After a bug the client's state is unknown, so the connection ends.
        """
        ctx = self._context
        assert ctx.notifier is not None
        try:
            yield from notify.notify_all(ctx)
        except (CloseConnection, GeneratorExit):
            raise
        except OutOfStep as error:
            raise CloseConnection(error.text) from error
        except Exception as error:
            raise CloseConnection((yield from self._log_bug("imap_bug", error))) from error

    def _take(self, event: Event) -> Steps[None]:
        """Handle one event of the reader."""
        ctx = self._context
        if isinstance(event, Command):
            yield from self._guarded(event.tag, self._command(event))
        elif isinstance(event, BadLine):
            ctx.write(responses.status_line(event.tag, event.status, event.text, event.code))
            self._count(invalid=event.status == b"BAD")
        elif isinstance(event, AppendMessage):
            ctx.account = None
            yield from self._guarded(event.tag, self._append(event))
        else:
            assert isinstance(event, Line), event
            ctx.write(responses.bad(b"*", "No line was expected."))

    def _guarded(self, tag: bytes, steps: Steps[Reply | None]) -> Steps[None]:
        """Carry out a command; an error becomes its tagged reply."""
        self._context.tag = tag
        try:
            yield from steps
        except (CloseConnection, GeneratorExit):
            raise
        except OutOfStep as error:
            raise CloseConnection(error.text) from error
        except NoSuchNumber:
            self._context.write(responses.bad(tag, "There is no message with that number."))
            self._count(invalid=True)
        except MicMailError as error:
            self._context.write(self._context.line(tag, refusal(error)))
        except Exception as error:  # noqa: BLE001 - a bug must cost one command, not the connection, and never be silent
            text = yield from self._log_bug("imap_bug", error)
            self._context.write(self._context.line(tag, refuse(text, b"SERVERBUG")))
        if self._context.leftovers:
            yield ClearAway(self._context.take_leftovers())

    def _append(self, message: AppendMessage) -> Steps[None]:
        """Run an APPEND or a REPLACE, whose handlers write the tagged line: the reader may have refused the command."""
        spec = COMMANDS[message.name]
        yield from spec.handle(self._context, message, self._forbidden(spec, message))

    def _command(self, command: Command) -> Steps[None]:
        ctx = self._context
        spec = COMMANDS[command.name]
        reply: Reply | None = self._forbidden(spec, command.arguments)
        last = b""
        selected_only = spec.states is ConnectionState.SELECTED
        ctx.account = ctx.view.place.account if ctx.view is not None and selected_only else None
        if reply is None:
            answer = spec.handle(ctx, command.arguments)
            reply = answer if isinstance(answer, Reply) else (yield from answer)
            if reply is None:  # it has written its tagged line itself
                return
            if ctx.view is not None and not isinstance(command.arguments, Select):
                last = ctx.line(command.tag, reply)
                expunge = spec.may_expunge(command.arguments)
                if not search_context.is_reported(ctx, ctx.view, expunge=expunge):
                    yield from search_context.send_selected_changes(ctx, last, expunge=expunge)
        self._count(invalid=reply.status == b"BAD")
        if ctx.view is not None and ctx.view.has_pending_expunges and Enabled.QRESYNC in ctx.enabled:
            ctx.write(ctx.view.hold_line())
        ctx.write(last or ctx.line(command.tag, reply))

    def _forbidden(self, spec: Spec, arguments: Arguments | AppendMessage) -> Reply | None:
        """Return why a command is not allowed now (RFC 9051 §3)."""
        ctx = self._context
        if spec.capability and not capability.is_offered(spec.capability, ctx.hidden):
            return bad("Unknown command.")
        state = ctx.state
        if state is not spec.states and state not in spec.states:
            return bad(_WRONG_STATE[state])
        if ctx.enabled is not Enabled.NOTHING and Enabled.UIDONLY in ctx.enabled and arguments.uses_numbers:
            return bad("UIDONLY is on: there are no message numbers.", b"UIDREQUIRED")
        if ctx.view is not None and ctx.view.read_only and spec.writes:
            return refuse(Text("Thư mục chỉ được mở để đọc.", "The mailbox is selected read-only."), b"READ-ONLY")
        return None
