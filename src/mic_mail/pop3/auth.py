"""The AUTHORIZATION state: USER and PASS, AUTH, STLS, UTF8; and CAPA, which says what there is.

In: commands. Out: steps; who somebody is and whether they may in is `services.signin.access`' answer, its codes on the wire are
here. No password is asked for before TLS unless the configuration says so (RFC 2595 §2.3): USER is refused, PASS then has
nobody. APOP is not spoken: it needs the password itself on the server.
Standards: RFC 1939 §4, §7; RFC 1734 and 5034 (AUTH); RFC 2449 (CAPA); RFC 2595 §4 (STLS); RFC 3206; RFC 6856 §2.
"""

import binascii
from base64 import b64decode, b64encode

from mic_mail.connection.actions import Answer, Begin, BindAccount, SignIn, StartTls
from mic_mail.errors import Text
from mic_mail.i18n import messages
from mic_mail.pop3.actions import Steps
from mic_mail.pop3.context import ClosePop3Connection, Pop3Context, Reply, State, bad, refuse
from mic_mail.pop3.line_buffer import Trouble
from mic_mail.services.authentication.identity import Challenge, SignedIn
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
"""What a mail program is told besides the sentence (RFC 3206 §4, §5). AUTH makes it ask for another password, SYS/PERM show
what was said, SYS/TEMP try again later: so AUTH is said of passwords and of nothing else."""

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
"""Always so (RFC 2449 §6)."""


def capabilities(ctx: Pop3Context, arguments: list[bytes]) -> Reply | None:
    """CAPA. What AUTHORIZATION announces stays announced (RFC 2449 §5), but for STLS (RFC 2595 §8)."""
    names = list(CAPABILITIES)
    if ctx.state is State.AUTHORIZATION and not ctx.tls:
        names.append(b"STLS")
    if mechanisms := ctx.desk.mechanisms():
        names += [b"USER", b"SASL " + " ".join(mechanisms).encode()]
    _say_list(ctx, "These.", names)
    return None


def _say_list(ctx: Pop3Context, text: str, lines: list[bytes]) -> None:
    ctx.say_reply(Reply(text))
    ctx.write(b"".join([line + b"\r\n" for line in [*lines, b"."]]))


# ------------------------------------------------------------------ who is it


def user(ctx: Pop3Context, arguments: list[bytes]) -> Steps[Reply]:
    """USER. Everybody may be somebody: whether there is such a mailbox is told by nothing (RFC 1939 §13)."""
    name = _text(arguments[0])
    if not name:
        return refuse(Text("Tên đăng nhập không hợp lệ.", "That is no name."), b"AUTH")
    if not ctx.desk.mechanisms():
        return (yield from _admit(ctx, (yield SignIn(name, ""))))  # the refusal: nobody looks at a password before TLS
    ctx.user = name
    return Reply("And the password?")


def password(ctx: Pop3Context, arguments: list[bytes]) -> Steps[Reply]:
    """PASS, immediately behind USER. All behind the first space is the password, spaces too (RFC 1939 §7)."""
    name, ctx.user = ctx.user, None
    if name is None:
        return bad("USER first.")
    secret = _text(arguments[0])
    if not secret:
        return refuse(Text("Mật khẩu không hợp lệ.", "That is no password."), b"AUTH")
    return (yield from _admit(ctx, (yield SignIn(name, secret))))


def _text(octets: bytes) -> str:
    """A name or password; empty where it is no UTF-8 (RFC 6856 §2.2: to be refused). `services.signin.access` prepares it."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return ""


def authenticate(ctx: Pop3Context, arguments: list[bytes]) -> Steps[Reply | None]:
    """AUTH with or without initial response, `=` for an empty one (RFC 5034 §4); alone it lists, as old programs ask."""
    mechanism, *initial = [part.decode("ascii", "replace") for part in arguments[0].split()] or [""]
    if not mechanism:
        _say_list(ctx, "These.", [name.encode() for name in ctx.desk.mechanisms()])
        return None
    if len(initial) > 1:
        return bad("AUTH takes a mechanism and one response.")
    response = None
    if initial:
        response = b"" if initial[0] == "=" else _decoded(initial[0].encode("ascii", "replace"))
        if response is None:
            return bad("That is not base64.")
    yield Begin(mechanism)
    answer = yield Answer(response)
    while isinstance(answer, Challenge):
        ctx.write(b"+ " + b64encode(answer.data) + b"\r\n")
        line = yield from ctx.line(ctx.sign_in_until)
        if isinstance(line, Trouble):
            return bad("That is too long.")
        response = None if line == b"*" else _decoded(line)
        if response is None:
            return bad("Sign-in cancelled." if line == b"*" else "That is not base64.")
        answer = yield Answer(response)
    return (yield from _admit(ctx, answer))


def _decoded(line: bytes) -> bytes | None:
    try:
        return b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return None


def _admit(ctx: Pop3Context, answer: object) -> Steps[Reply]:
    """The end of a sign-in. Other sessions of the mailbox keep nobody out: [IN-USE] is never said."""
    if isinstance(answer, Refusal):
        ctx.tries += 1
        if ctx.tries >= ctx.settings.sign_in_tries:
            ctx.ending = ClosePop3Connection(Text("Kết nối bị đóng vì đăng nhập sai quá nhiều lần.", "Too many attempts."))
        return refuse(answer.text, SIGN_IN_CODES[answer.kind])
    assert isinstance(answer, SignedIn), answer
    if not (yield BindAccount(answer)):
        return refuse(messages.too_many_sessions(), b"SYS/TEMP")
    yield from ctx.enter(answer)
    return size_of(ctx)


def size_of(ctx: Pop3Context) -> Reply:
    """How much there is, in words."""
    drop = ctx.maildrop
    return Reply(f"{drop.messages} messages ({drop.octets} octets).")


# ------------------------------------------------------------------ what octets mean


def start_tls(ctx: Pop3Context, arguments: list[bytes]) -> Steps[Reply | None]:
    """STLS. What came in clear behind the command is thrown away: somebody in the middle may have written it; so is what was
    said before (RFC 2595 §4)."""
    if ctx.tls:
        return bad("TLS is on already.")
    ctx.say_reply(Reply("Begin TLS."))
    yield StartTls()
    ctx.tls, ctx.utf8 = True, False
    return None


def use_utf8(ctx: Pop3Context, arguments: list[bytes]) -> Reply:
    """UTF8: sentences may be Vietnamese. Messages are what they are in either mode (docs/decisions/0020)."""
    ctx.utf8 = True
    return Reply("UTF-8 from here on.")
