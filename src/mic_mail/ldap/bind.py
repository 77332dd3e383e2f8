"""Bind, StartTLS and Who am I. `services.authentication.sign_in` decides; the result codes are here.

A name is an address, with or without the domain, or the distinguished name of an entry that has one. A name without a
password is unauthenticated and refused (RFC 4513 §5.1.2): programs take it for a sign-in. A second bind first ends the
present sign-in (RFC 4513 §4).
Standards: RFC 4511 §4.2, §4.14; RFC 4513; RFC 4532.
"""

from mic_mail.auth.sasl import Challenge
from mic_mail.connection.actions import Answer, Begin, BindAccount, SignIn, StartTls, Steps
from mic_mail.connection.session_core import CloseConnection
from mic_mail.errors import Text
from mic_mail.i18n import messages
from mic_mail.ldap import requests, responses
from mic_mail.ldap.actions import Leave
from mic_mail.ldap.ber import string
from mic_mail.ldap.context import LdapContext
from mic_mail.ldap.dn import BadName
from mic_mail.ldap.requests import LdapMessage
from mic_mail.ldap.responses import Code
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import Refusal, RefusalKind

START_TLS = "1.3.6.1.4.1.1466.20037"
WHO_AM_I = "1.3.6.1.4.1.4203.1.11.3"

SIGN_IN_CODES = {
    RefusalKind.WRONG_CREDENTIALS: Code.INVALID_CREDENTIALS,
    RefusalKind.RECLAIMED: Code.INVALID_CREDENTIALS,
    RefusalKind.SUSPENDED: Code.UNWILLING,
    RefusalKind.PASSWORD_DUE: Code.UNWILLING,
    RefusalKind.SEND_LOCKED: Code.UNWILLING,
    RefusalKind.TLS_REQUIRED: Code.CONFIDENTIALITY_REQUIRED,
    RefusalKind.TOO_MANY: Code.BUSY,
    RefusalKind.UNAVAILABLE: Code.UNAVAILABLE,
    RefusalKind.BAD_MECHANISM: Code.AUTH_METHOD_NOT_SUPPORTED,
    RefusalKind.MALFORMED: Code.INVALID_CREDENTIALS,
    RefusalKind.NOT_AUTHORISED: Code.INSUFFICIENT_ACCESS,
    RefusalKind.NOT_HERE: Code.INVALID_CREDENTIALS,
}
"""Result codes of refused sign-ins.

A program asks for another password after invalidCredentials, so the code is used for wrong passwords alone.
"""


def leave(ctx: LdapContext) -> Steps[None]:
    """End the sign-in: a Bind begins, whatever its result (RFC 4513 §4), or TLS."""
    if ctx.signed_in is not None:
        ctx.is_nobody()
        yield Leave()


def bind(ctx: LdapContext, request: LdapMessage) -> Steps[None]:
    going_on, ctx.dialog_mechanism = ctx.dialog_mechanism, ""
    asked = requests.bind(request.body)
    if asked.version != 3:
        ctx.result(request, Code.PROTOCOL_ERROR, "LDAP version 3 only.")
    elif asked.password is not None:
        yield from _simple(ctx, request, asked.name, asked.password)
    elif not asked.mechanism:  # RFC 4513 §5.2.1.2: the exchange is aborted
        ctx.result(request, Code.AUTH_METHOD_NOT_SUPPORTED, "No mechanism.")
    else:
        if asked.mechanism.upper() != going_on:
            yield Begin(asked.mechanism)
        yield from _admit(ctx, request, (yield from ctx.aside(Answer(asked.credentials))), asked.mechanism.upper())


def _simple(ctx: LdapContext, request: LdapMessage, name: str, password: bytes) -> Steps[None]:
    if not password:
        if name:
            ctx.result(request, Code.UNWILLING, "Chưa nhập mật khẩu.")
        elif ctx.host.allows_anonymous():
            ctx.result(request, Code.SUCCESS)
        else:
            ctx.result(request, Code.SUCCESS, "Chưa đăng nhập: đề nghị đăng nhập để tra danh bạ.")
        return
    try:
        user = yield from _address(ctx, name)
        secret = password.decode()
    except BadName:
        ctx.result(request, Code.INVALID_DN_SYNTAX)
        return
    except UnicodeDecodeError:
        user = secret = ""
    yield from _admit(ctx, request, (yield from ctx.aside(SignIn(user, secret))), "")


def _address(ctx: LdapContext, name: str) -> Steps[str]:
    """Return the address of a bind name.

    A client without TLS learns nothing about names: the refusal comes before the lookup.
    """
    if "=" not in name or not ctx.host.mechanisms():
        return name
    tree = yield from ctx.tree()
    return tree.address_of(name) or name[:64]  # unknown: refused like any wrong password


def _admit(ctx: LdapContext, request: LdapMessage, answer: object, mechanism: str) -> Steps[None]:
    if isinstance(answer, Challenge):
        ctx.dialog_mechanism = mechanism
        server_credentials = string(answer.data, 0x87)
        ctx.write(responses.result(request.number, request.tag, Code.SASL_BIND_IN_PROGRESS, more=server_credentials))
        return
    ctx.dialog_mechanism = ""
    if isinstance(answer, Refusal):
        ctx.tries += 1
        if ctx.tries >= ctx.settings.sign_in_tries:
            ctx.ending = CloseConnection(Text("", "Too many attempts."))
        ctx.result(request, SIGN_IN_CODES[answer.kind], answer.text.vi)
        return
    assert isinstance(answer, SignedIn), answer
    if not (yield BindAccount(answer)):
        ctx.result(request, Code.BUSY, messages.TOO_MANY_SESSIONS.vi)
        return
    ctx.signed_in = answer
    ctx.result(request, Code.SUCCESS)


def start_tls(ctx: LdapContext, request: LdapMessage) -> Steps[None]:
    """Start TLS.

    Input sent in clear behind it is discarded, since an attacker in the middle may have written it; the present sign-in
    ends too.
    """
    if ctx.tls or ctx.dialog_mechanism:
        ctx.result(request, Code.OPERATIONS_ERROR, "TLS is already active." if ctx.tls else "A SASL exchange is in progress.")
        return
    yield from leave(ctx)
    ctx.write(responses.result(request.number, request.tag, Code.SUCCESS, more=string(START_TLS, 0x8A)))
    yield StartTls()
    ctx.tls = True


def who_am_i(ctx: LdapContext, request: LdapMessage) -> None:
    """Return the authorization identity (RFC 4513 §5.2.1.8); empty: anonymous."""
    name = f"u:{ctx.signed_in.address}" if ctx.signed_in is not None else ""
    ctx.write(responses.result(request.number, request.tag, Code.SUCCESS, more=string(name, 0x8B)))
