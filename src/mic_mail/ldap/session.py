"""An LDAP session as a pure core: octets in, actions out.

`connection.session_core` drives its dialogue.
Requests are answered one at a time and in order, which RFC 4511 §3.1 leaves to a server; Abandon and Cancel reach a
running search. The directory is read-only: a request to write gets an error. Input that is no message ends the connection
(§4.1.1); a malformed request counts as an error, and many errors end the connection.
"""

import secrets
from collections.abc import Callable

from mic_mail.clock import Clock
from mic_mail.connection import session_core
from mic_mail.connection.actions import Hangup, Send, Steps
from mic_mail.connection.session_core import CloseConnection
from mic_mail.errors import MicMailError, Text
from mic_mail.ids import TokenSource
from mic_mail.ldap import bind, requests, responses, search
from mic_mail.ldap.ber import BadBer
from mic_mail.ldap.context import CANCEL, GivenUp, LdapContext, LdapHost, SessionSettings, protocol_error
from mic_mail.ldap.requests import ANSWERS, WRITES, LdapMessage
from mic_mail.ldap.responses import Code
from mic_mail.ldap.search import MANAGE_DSA_IT

READ_ONLY = Text("Danh bạ chỉ để đọc qua LDAP.", "The directory is read-only over LDAP.")

Handler = Callable[[LdapContext, LdapMessage], Steps[None] | None]


def extended(ctx: LdapContext, request: LdapMessage) -> Steps[None]:
    """Handle an extended operation (RFC 4511 §4.12)."""
    asked = requests.extended(request.body)
    if asked.oid == bind.START_TLS:
        yield from bind.start_tls(ctx, request)
    elif asked.oid == bind.WHO_AM_I:
        bind.who_am_i(ctx, request)
    elif asked.oid == CANCEL:  # a running operation sees its Cancel where it runs
        ctx.result(request, Code.NO_SUCH_OPERATION)
    else:
        raise BadBer("extended operation")


def _asks_too_much(request: LdapMessage) -> bool:
    """Return whether a critical control does not belong to this operation (RFC 4511 §4.1.11).

    Compare has ManageDsaIT (RFC 3296 §3).
    """
    known = {MANAGE_DSA_IT} if request.tag == requests.COMPARE else set()
    return any(control.critical and control.oid not in known for control in request.controls)


def nothing(ctx: LdapContext, request: LdapMessage) -> None:
    """Ignore an Abandon of a request that has ended (RFC 4511 §4.11)."""


HANDLERS: dict[int, Handler] = {
    requests.BIND: bind.bind,
    requests.SEARCH: search.search,
    requests.COMPARE: search.compare,
    requests.EXTENDED: extended,
    requests.ABANDON: nothing,
}


class Session(session_core.Session):
    """One connection."""

    __slots__ = ()

    _context: LdapContext

    def __init__(
        self, settings: SessionSettings, *, clock: Clock, host: LdapHost, tls: bool, tokens: TokenSource = secrets.randbits
    ) -> None:
        ctx = LdapContext(settings, clock=clock, host=host, tls=tls)
        super().__init__(ctx, ctx, tokens)

    def take_work(self) -> tuple[int, int]:
        return self._context.take_work()

    # ------------------------------------------------------------ the dialogue

    def _run(self) -> Steps[None]:
        ctx = self._context
        try:
            while True:
                request = yield from ctx.request(ctx.input_until)
                ctx.worked = 0.0
                if request.tag == requests.UNBIND:
                    break
                yield from self._answer(request)
                if ctx.has_full_packet:
                    yield from ctx.aside(Send(ctx.take_output()))
                yield from ctx.take_turns()
        except CloseConnection as ended:
            if ended.text is not None:
                code = int(ended.code or b"%d" % Code.UNAVAILABLE)
                ctx.write(responses.farewell(code, ended.text.vi or ended.text.en))
        except BadBer:
            ctx.write(responses.farewell(Code.PROTOCOL_ERROR, "Not an LDAP message."))
        yield Hangup()

    def _answer(self, request: LdapMessage) -> Steps[None]:
        ctx = self._context
        try:
            yield from self._handle(request)
        except GivenUp as given_up:
            if given_up.by is not None:
                ctx.result(request, Code.CANCELED)
                ctx.write(responses.result(given_up.by, requests.EXTENDED, Code.SUCCESS))
        except BadBer:
            self._errors += 1
            if request.tag in ANSWERS:
                ctx.result(request, Code.PROTOCOL_ERROR, "Malformed request.")
            if self._errors >= ctx.settings.errors:
                raise protocol_error("Too many malformed requests.") from None
        except MicMailError as error:
            ctx.result(request, Code.UNAVAILABLE, error.text.vi)
        except CloseConnection:
            raise
        except Exception as error:  # noqa: BLE001 - a bug must cost one request, not the connection, and never be silent
            text = yield from self._log_bug("ldap_bug", error)
            if request.tag in ANSWERS:
                ctx.result(request, Code.OTHER, text.vi)
        else:
            self._errors = 0

    def _handle(self, request: LdapMessage) -> Steps[None]:
        ctx = self._context
        handler = HANDLERS.get(request.tag)
        if request.number == 0 or (handler is None and request.tag not in WRITES):
            raise protocol_error("Not an LDAP request.")
        if handler is None:
            ctx.result(request, Code.UNWILLING, READ_ONLY.vi)
            return
        if request.tag == requests.BIND:
            yield from bind.leave(ctx)
        if request.tag in ANSWERS and request.tag != requests.SEARCH and _asks_too_much(request):
            ctx.dialog_mechanism = ""
            ctx.result(request, Code.UNAVAILABLE_CRITICAL_EXTENSION)
            return
        steps = handler(ctx, request)
        if steps is not None:
            yield from steps
