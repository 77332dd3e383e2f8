"""Commands before and around sign-in.

CAPABILITY, ID, STARTTLS, LOGIN, AUTHENTICATE, ENABLE, COMPRESS, UNAUTHENTICATE, LOGOUT. In: commands. Out: steps. Identity
and access are decided by `services.authentication.sign_in`; the response codes are here. Standards: RFC 9051 §6.1-6.3.1,
RFC 4959 (SASL-IR), RFC 2971 (ID), RFC 5161 (ENABLE), RFC 4978 (COMPRESS), RFC 8437 (UNAUTHENTICATE).
"""

from base64 import b64encode
from importlib.metadata import version

from mic_mail.auth.sasl import Challenge, decode_base64
from mic_mail.connection.actions import Answer, Begin, BindAccount, Hangup, LogEvent, SignIn, StartTls, Steps
from mic_mail.connection.session_core import CloseConnection
from mic_mail.errors import Text
from mic_mail.i18n import messages
from mic_mail.imap import capability, responses
from mic_mail.imap.actions import EndCompression, Leave, StartCompression
from mic_mail.imap.compress import Credit
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.context import ImapContext
from mic_mail.imap.parser.command import Arguments
from mic_mail.imap.parser.events import Line
from mic_mail.imap.parser.reader import Limits
from mic_mail.imap.parser.session import Authenticate, Compress, Enable, Id, Login
from mic_mail.imap.replies import Reply, bad, refuse
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import Refusal, RefusalKind

SIGN_IN_CODES = {
    RefusalKind.WRONG_CREDENTIALS: b"AUTHENTICATIONFAILED",
    RefusalKind.RECLAIMED: b"AUTHENTICATIONFAILED",
    RefusalKind.SUSPENDED: b"CONTACTADMIN",
    RefusalKind.PASSWORD_DUE: b"EXPIRED",
    RefusalKind.SEND_LOCKED: b"CONTACTADMIN",
    RefusalKind.TOO_MANY: b"LIMIT",
    RefusalKind.UNAVAILABLE: b"UNAVAILABLE",
    RefusalKind.TLS_REQUIRED: b"PRIVACYREQUIRED",
    RefusalKind.BAD_MECHANISM: b"CANNOT",
    RefusalKind.MALFORMED: b"CANNOT",
    RefusalKind.NOT_AUTHORISED: b"NOPERM",
    RefusalKind.NOT_HERE: b"AUTHENTICATIONFAILED",  # a different password helps
}
"""Response codes of sign-in refusals, for the mail program (RFC 5530 §3)."""

ALERTED = frozenset({RefusalKind.SUSPENDED, RefusalKind.PASSWORD_DUE, RefusalKind.RECLAIMED, RefusalKind.NOT_HERE})
"""Refusals that are also sent as ALERT, only after the right password.

Thunderbird shows the person nothing of a tagged NO, but all of an ALERT.
"""

ENABLES = {
    "CONDSTORE": Enabled.CONDSTORE,
    "QRESYNC": Enabled.QRESYNC | Enabled.CONDSTORE,  # RFC 7162 §3.2.3
    "UTF8=ACCEPT": Enabled.UTF8,
    "IMAP4rev2": Enabled.REV2,
    "UIDONLY": Enabled.UIDONLY,
}
"""Extensions that ENABLE turns on, by the names of `capability.enable`."""

VERSION = version("mic-mail")
_LONGEST_ID_VALUE = 200
_LOGGED_IDS = 2
"""ID commands logged per connection: before and after sign-in.

An unauthenticated client may not fill the log either.
"""


def capabilities(ctx: ImapContext) -> tuple[bytes, ...]:
    mechanisms = () if ctx.signed_in else ctx.host.mechanisms()
    offer = capability.OfferConditions(
        starttls=ctx.settings.starttls and not ctx.tls,
        login=bool(mechanisms),
        mechanisms=mechanisms,
        append_limit=ctx.settings.append_limit,
        compress=not ctx.compressed,
        hidden=ctx.hidden,
    )
    return capability.capabilities(ctx.state, offer)


def greeting(ctx: ImapContext) -> bytes:
    """Return the greeting (RFC 9051 §7.1.1), with the capabilities, which saves clients a round trip."""
    return responses.ok(b"*", f"{ctx.settings.host} is ready.", responses.capability_code(capabilities(ctx)))


def send_capability(ctx: ImapContext, arguments: Arguments) -> Reply:
    ctx.write(responses.capability(capabilities(ctx)))
    return Reply("Capabilities listed.")


def noop(ctx: ImapContext, arguments: Arguments) -> Steps[Reply]:
    """Handle NOOP and CHECK: a poll for changes (RFC 9051 §6.1.2)."""
    if ctx.view is not None:
        yield from ctx.sync(expunge=True)
        yield from ctx.polling(ctx.view.place)
    return Reply("NOOP completed.")


def logout(ctx: ImapContext, arguments: Arguments) -> Steps[Reply]:
    ctx.write(responses.bye("Goodbye."))
    ctx.write(ctx.line(ctx.tag, Reply("Signed out.")))
    ctx.leave()
    yield Hangup()
    raise AssertionError("nothing comes after Hangup")


def identify(ctx: ImapContext, command: Id) -> Steps[Reply]:
    """Handle ID (RFC 2971). An ID line is always sent: new Outlook abandons the account without one."""
    ctx.introductions += 1
    if ctx.introductions <= _LOGGED_IDS:
        client = {key: value[:_LONGEST_ID_VALUE] for key, value in command.fields or () if value is not None}
        yield LogEvent("client_id", {"name": client.get("name"), "version": client.get("version"), "os": client.get("os")})
    ctx.write(responses.identification({"name": "mic-mail", "version": VERSION}))
    return Reply("ID completed.")


# ------------------------------------------------------------------ sign-in


def login(ctx: ImapContext, command: Login) -> Steps[Reply]:
    return (yield from _admit(ctx, (yield SignIn(command.user, command.password))))


def authenticate(ctx: ImapContext, command: Authenticate) -> Steps[Reply]:
    """Handle AUTHENTICATE (RFC 9051 §6.2.2).

    Challenges and responses are base64 until the exchange is decided; `*` cancels it.
    """
    yield Begin(command.mechanism)
    answer = yield Answer(command.initial)
    while isinstance(answer, Challenge):
        ctx.reader.expect_line()
        ctx.write(responses.challenge(b64encode(answer.data)))
        event = yield from ctx.event(ctx.sign_in_until)
        if not isinstance(event, Line):
            return bad("Invalid response.")
        response = None if event.data == b"*" else decode_base64(event.data)
        if response is None:
            return bad("Sign-in cancelled." if event.data == b"*" else "Invalid base64.")
        answer = yield Answer(response)
    return (yield from _admit(ctx, answer))


def _admit(ctx: ImapContext, answer: object) -> Steps[Reply]:
    """Finish a sign-in. Texts are in both languages, since the client cannot have enabled UTF-8 yet."""
    if isinstance(answer, Refusal):
        ctx.tries += 1
        if answer.kind in ALERTED:
            ctx.write(responses.no(b"*", ctx.words(answer.text), b"ALERT"))
        reply = refuse(answer.text, SIGN_IN_CODES[answer.kind])
        if ctx.tries >= ctx.settings.sign_in_tries:
            ctx.ending = CloseConnection(Text("Kết nối bị đóng vì đăng nhập sai quá nhiều lần.", "Too many attempts."))
        return reply
    assert isinstance(answer, SignedIn), answer
    if not (yield BindAccount(answer)):
        return refuse(messages.TOO_MANY_SESSIONS, b"LIMIT")
    ctx.signed_in = answer
    ctx.reader.limits = Limits.signed_in(ctx.settings.command_octets)
    for alert in ctx.host.alerts():
        ctx.write(responses.ok(b"*", ctx.words(alert), b"ALERT"))
    return Reply("Signed in.", code=responses.capability_code(capabilities(ctx)))


# ------------------------------------------------------------------ TLS, compression, extensions


def start_tls(ctx: ImapContext, arguments: Arguments) -> Steps[Reply | None]:
    """Handle STARTTLS (RFC 9051 §6.2.1).

    Clear text received behind the command is discarded: a man in the middle may have injected it.
    """
    if ctx.tls:
        return bad("TLS is already active.")
    if not ctx.settings.starttls:
        return bad("No certificate here.")
    ctx.write(ctx.line(ctx.tag, Reply("Begin TLS.")))
    yield StartTls()
    ctx.tls = True
    return None


def compress(ctx: ImapContext, command: Compress) -> Steps[Reply | None]:
    """Handle COMPRESS (RFC 4978 §3): OK is the last line in clear; input behind the command is compressed."""
    if command.mechanism != "DEFLATE":
        return refuse(Text("Chỉ hỗ trợ nén DEFLATE.", "Only DEFLATE is offered."), b"CANNOT")
    if ctx.compressed:
        return refuse(Text("Đã bật nén rồi.", "Compression is already active."), b"COMPRESSIONACTIVE")
    ctx.credit = Credit(ctx.now())
    ctx.write(ctx.line(ctx.tag, Reply("DEFLATE is on.")))
    yield StartCompression(ctx.reader.take_input())
    return None


def unauthenticate(ctx: ImapContext, arguments: Arguments) -> Steps[Reply | None]:
    """Handle UNAUTHENTICATE (RFC 8437 §3): all state is reset but TLS and the count of ID commands.

    NO is not permitted, so nothing here may fail. Attempts to sign in are still counted: the limit is the connection's.
    """
    yield LogEvent("unauthenticated", {})
    compressed = ctx.compressed
    ctx.forget_person()
    yield Leave()
    ctx.credit = None
    ctx.write(ctx.line(ctx.tag, Reply("Signed out; sign in again.", code=responses.capability_code(capabilities(ctx)))))
    if compressed:
        yield EndCompression()  # the tagged line is the last compressed one (§4.1)
    return None


def enable(ctx: ImapContext, command: Enable) -> Reply:
    """Handle ENABLE (RFC 5161 §3.1). Unknown names are ignored; ENABLED lists what this command turned on."""
    names = capability.enable(command.capabilities, ctx.hidden)
    new = [name for name in names if ENABLES[name] not in ctx.enabled]
    for name in new:
        ctx.enabled |= ENABLES[name] & ~Enabled.CONDSTORE
    if {"CONDSTORE", "QRESYNC"} & {*new}:
        ctx.use_condstore()
    if "UIDONLY" in new and ctx.view is not None:
        for context in ctx.view.contexts:
            if not context.by_uid:  # it reports message numbers, which no longer exist (RFC 9586 §3)
                ctx.view.contexts.cancel(context.tag)
                ctx.write_no_update(
                    context.tag,
                    Text("Kết quả đang được theo dõi theo số thứ tự thư.", "It is followed by message numbers."),
                )
    ctx.reader.utf8 = ctx.utf8
    ctx.write(responses.enabled(new))
    return Reply("Enabled.")
