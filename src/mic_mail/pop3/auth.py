"""The AUTHORIZATION state: USER and PASS, AUTH, STLS, UTF8, CAPA.

In: commands. Out: steps. `services.authentication.sign_in` identifies the user and decides; its codes on the wire are
here. No password is asked for before TLS unless the configuration says so (RFC 2595 §2.3): USER is refused, and PASS then
has no user. APOP is not offered: it needs the plain password on the server.
Standards: RFC 1939 §4, §7; RFC 1734 and 5034 (AUTH); RFC 2449 (CAPA); RFC 2595 §4 (STLS); RFC 3206; RFC 6856 §2.
"""

from base64 import b64encode

from mic_mail.auth.sasl import Challenge, decode_base64
from mic_mail.connection.actions import Answer, Begin, BindAccount, SignIn, StartTls, Steps
from mic_mail.connection.session_core import CloseConnection
from mic_mail.errors import Text
from mic_mail.i18n import messages
from mic_mail.pop3.context import Pop3Context, Reply, SessionState, bad, refuse
from mic_mail.pop3.line_buffer import LineFault
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import Refusal, RefusalKind

SIGN_IN_CODES = {
    RefusalKind.WRONG_CREDENTIALS: b"AUTH",
    RefusalKind.RECLAIMED: b"AUTH",
    RefusalKind.SUSPENDED: b"SYS/PERM",
    RefusalKind.PASSWORD_DUE: b"SYS/PERM",
    RefusalKind.SEND_LOCKED: b"SYS/PERM",
    RefusalKind.TLS_REQUIRED: b"SYS/PERM",
    RefusalKind.TOO_MANY: b"SYS/TEMP",
    RefusalKind.UNAVAILABLE: b"SYS/TEMP",
    RefusalKind.BAD_MECHANISM: b"",
    RefusalKind.MALFORMED: b"",
    RefusalKind.NOT_AUTHORISED: b"SYS/PERM",
    RefusalKind.NOT_HERE: b"AUTH",
}
"""Response codes of refused sign-ins (RFC 3206 §4, §5).

AUTH makes a mail program ask for another password, SYS/PERM show the text, SYS/TEMP try again later. So AUTH is sent where only
another password helps: a wrong one, one that this listener does not take, and that of a mailbox which exists no more.
"""

CAPABILITIES = (
    b"TOP",
    b"UIDL",
    b"RESP-CODES",
    b"AUTH-RESP-CODE",
    b"PIPELINING",
    b"EXPIRE NEVER",
    b"UTF8 USER",
    b"IMPLEMENTATION mic-mail",
)
"""Capabilities that are always announced (RFC 2449 §6)."""


def capabilities(ctx: Pop3Context, arguments: list[bytes]) -> Reply | None:
    """Handle CAPA.

    Capabilities of AUTHORIZATION stay announced (RFC 2449 §5), except for STLS (RFC 2595 §8).
    """
    names = list(CAPABILITIES)
    if ctx.state is SessionState.AUTHORIZATION and not ctx.tls:
        names.append(b"STLS")
    if mechanisms := ctx.host.mechanisms():
        names += [b"USER", b"SASL " + " ".join(mechanisms).encode()]
    _say_list(ctx, "Capabilities follow.", names)
    return None


def _say_list(ctx: Pop3Context, text: str, lines: list[bytes]) -> None:
    ctx.say_reply(Reply(text))
    ctx.write(b"".join([line + b"\r\n" for line in [*lines, b"."]]))


# ------------------------------------------------------------------ sign-in


def user(ctx: Pop3Context, arguments: list[bytes]) -> Steps[Reply]:
    """Handle USER. Every name is accepted: nothing discloses whether a mailbox exists (RFC 1939 §13)."""
    name = _text(arguments[0])
    if not name:
        return refuse(Text("Tên đăng nhập không hợp lệ.", "Not a valid user name."), b"AUTH")
    if not ctx.host.mechanisms():
        return (yield from _admit(ctx, (yield SignIn(name, ""))))  # refused: no password is checked before TLS
    ctx.user = name
    return Reply("Send the password.")


def password(ctx: Pop3Context, arguments: list[bytes]) -> Steps[Reply]:
    """Handle PASS, directly behind USER.

    Everything behind the first space is the password, spaces included (RFC 1939 §7).
    """
    name, ctx.user = ctx.user, None
    if name is None:
        return bad("USER first.")
    secret = _text(arguments[0])
    if not secret:
        return refuse(Text("Mật khẩu không hợp lệ.", "Not a valid password."), b"AUTH")
    return (yield from _admit(ctx, (yield SignIn(name, secret))))


def _text(octets: bytes) -> str:
    """Return a name or password; empty where it is not UTF-8 (RFC 6856 §2.2: to be refused).

    `services.authentication.sign_in` prepares it.
    """
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return ""


def authenticate(ctx: Pop3Context, arguments: list[bytes]) -> Steps[Reply | None]:
    """Handle AUTH, with or without initial response, `=` for an empty one (RFC 5034 §4).

    Without a mechanism it lists them, for old programs.
    """
    mechanism, *initial = [part.decode("ascii", "replace") for part in arguments[0].split()] or [""]
    if not mechanism:
        _say_list(ctx, "Mechanisms follow.", [name.encode() for name in ctx.host.mechanisms()])
        return None
    if len(initial) > 1:
        return bad("AUTH takes a mechanism and one response.")
    response = None
    if initial:
        response = b"" if initial[0] == "=" else decode_base64(initial[0].encode("ascii", "replace"))
        if response is None:
            return bad("Invalid base64.")
    yield Begin(mechanism)
    answer = yield Answer(response)
    while isinstance(answer, Challenge):
        ctx.write(b"+ " + b64encode(answer.data) + b"\r\n")
        line = yield from ctx.line(ctx.sign_in_until)
        if isinstance(line, LineFault):
            return bad("Line too long.")
        response = None if line == b"*" else decode_base64(line)
        if response is None:
            return bad("Sign-in cancelled." if line == b"*" else "Invalid base64.")
        answer = yield Answer(response)
    return (yield from _admit(ctx, answer))


def _admit(ctx: Pop3Context, answer: object) -> Steps[Reply]:
    """Finish a sign-in. Other sessions do not lock the mailbox: [IN-USE] is never sent."""
    if isinstance(answer, Refusal):
        ctx.tries += 1
        if ctx.tries >= ctx.settings.sign_in_tries:
            ctx.ending = CloseConnection(Text("Kết nối bị đóng vì đăng nhập sai quá nhiều lần.", "Too many attempts."))
        return refuse(answer.text, SIGN_IN_CODES[answer.kind])
    assert isinstance(answer, SignedIn), answer
    if not (yield BindAccount(answer)):
        return refuse(messages.TOO_MANY_SESSIONS, b"SYS/TEMP")
    yield from ctx.enter(answer)
    return size_of(ctx)


def size_of(ctx: Pop3Context) -> Reply:
    """Return the number and size of the messages in words."""
    drop = ctx.maildrop
    return Reply(f"{drop.messages} messages ({drop.octets} octets).")


# ------------------------------------------------------------------ TLS and UTF-8


def start_tls(ctx: Pop3Context, arguments: list[bytes]) -> Steps[Reply | None]:
    """Handle STLS.

    Input sent in clear behind the command is discarded, since an attacker in the middle may have written it. State from
    before TLS is discarded too (RFC 2595 §4).
    """
    if ctx.tls:
        return bad("TLS is already active.")
    ctx.say_reply(Reply("Begin TLS."))
    yield StartTls()
    ctx.tls, ctx.utf8 = True, False
    return None


def use_utf8(ctx: Pop3Context, arguments: list[bytes]) -> Reply:
    """Handle UTF8: texts may be Vietnamese from now on.

    Messages are the same in either mode (docs/decisions/0020).
    """
    ctx.utf8 = True
    return Reply("UTF8 mode enabled.")
