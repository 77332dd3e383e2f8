"""Before and around sign-in: CAPABILITY, ID, STARTTLS, LOGIN, AUTHENTICATE, ENABLE, COMPRESS, UNAUTHENTICATE, LOGOUT.

In: commands. Out: steps; who somebody is and whether they may in is `services.signin.access`' answer, its codes on the wire are
here. Standards: RFC 9051 §6.1-6.3.1, RFC 4959 (SASL-IR), RFC 2971 (ID), RFC 5161 (ENABLE), RFC 4978 (COMPRESS), RFC 8437.
"""

from base64 import b64encode
from importlib.metadata import version

from mic_mail.connection.actions import Answer, Begin, BindAccount, Hangup, LogEvent, SignIn, StartTls
from mic_mail.errors import Text
from mic_mail.i18n import messages
from mic_mail.imap import capability, responses
from mic_mail.imap.actions import EndCompression, Leave, StartCompression, Steps
from mic_mail.imap.compress import Credit
from mic_mail.imap.context import CloseConnection, ImapContext
from mic_mail.imap.enabled_extensions import Enabled
from mic_mail.imap.parser.commands import Authenticate, Capability, Command, Compress, Enable, Id, Login, Logout, Unauthenticate
from mic_mail.imap.parser.commands import StartTls as StartTlsCommand
from mic_mail.imap.parser.reader import Limits, Line, decode_base64
from mic_mail.imap.replies import Reply, bad, refuse
from mic_mail.services.authentication.identity import Challenge, SignedIn
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
    RefusalKind.NOT_HERE: b"AUTHENTICATIONFAILED",  # another password helps
}
"""What a mail program is told besides the sentence (RFC 5530 §3)."""

ALERTED = frozenset({RefusalKind.SUSPENDED, RefusalKind.PASSWORD_DUE, RefusalKind.RECLAIMED, RefusalKind.NOT_HERE})
"""States, told only after the right password: Thunderbird shows the person nothing of a tagged NO, but all of an ALERT."""

ENABLES = {
    "CONDSTORE": Enabled.CONDSTORE,
    "QRESYNC": Enabled.QRESYNC | Enabled.CONDSTORE,  # RFC 7162 §3.2.3
    "UTF8=ACCEPT": Enabled.UTF8,
    "IMAP4rev2": Enabled.REV2,
    "UIDONLY": Enabled.UIDONLY,
}
"""What ENABLE switches on, by the names of `capability.enable`."""

VERSION = version("mic-mail")
_LONGEST_ID_VALUE = 200
_LOGGED_IDS = 2
"""Of one connection: before and after sign-in. Who has not signed in may not fill the log either."""


def capabilities(talk: ImapContext) -> tuple[bytes, ...]:
    """What can be done on this connection now."""
    mechanisms = () if talk.signed_in else talk.desk.mechanisms()
    offer = capability.Offer(
        starttls=talk.settings.starttls and not talk.tls,
        login=bool(mechanisms),
        mechanisms=mechanisms,
        append_limit=talk.settings.append_limit,
        compress=not talk.compressed,
        hidden=talk.hidden,
    )
    return capability.capabilities(talk.state, offer)


def greeting(talk: ImapContext) -> bytes:
    """The first line (RFC 9051 §7.1.1), with the capabilities, which saves clients a round trip."""
    return responses.ok(b"*", f"{talk.settings.host} is ready.", responses.capability_code(capabilities(talk)))


def send_capability(talk: ImapContext, command: Capability) -> Steps[Reply]:
    talk.say(responses.capability(capabilities(talk)))
    return Reply("These.")
    yield  # a handler is a generator


def noop(talk: ImapContext, command: Command) -> Steps[Reply]:
    """NOOP and CHECK: the moment to look whether something is new (RFC 9051 §6.1.2)."""
    yield from talk.sync(expunge=True)
    yield from talk.polling(None if talk.view is None else talk.view.place)
    return Reply("Nothing else.")


def logout(talk: ImapContext, command: Logout) -> Steps[Reply]:
    talk.say(responses.bye("Goodbye."))
    talk.say(talk.line(command.tag, Reply("Signed out.")))
    talk.leave()
    yield Hangup()
    raise AssertionError("nothing comes after Hangup")


def identify(talk: ImapContext, command: Id) -> Steps[Reply]:
    """RFC 2971. Always an ID line: new Outlook gives the account up without one."""
    talk.introductions += 1
    if talk.introductions <= _LOGGED_IDS:
        said = {key: value[:_LONGEST_ID_VALUE] for key, value in command.fields or () if value is not None}
        yield LogEvent("client_id", {"name": said.get("name"), "version": said.get("version"), "os": said.get("os")})
    talk.say(responses.identification({"name": "mic-mail", "version": VERSION}))
    return Reply("Pleased to meet you.")


# ------------------------------------------------------------------ who is it


def login(talk: ImapContext, command: Login) -> Steps[Reply]:
    return (yield from _admit(talk, (yield SignIn(command.user, command.password))))


def authenticate(talk: ImapContext, command: Authenticate) -> Steps[Reply]:
    """RFC 9051 §6.2.2: challenges and answers in base64 until it is decided; `*` cancels."""
    yield Begin(command.mechanism)
    answer = yield Answer(command.initial)
    while isinstance(answer, Challenge):
        talk.reader.expect_line()
        talk.say(responses.challenge(b64encode(answer.data)))
        event = yield from talk.event(talk.sign_in_until)
        if not isinstance(event, Line):
            return bad("That is no answer.")
        response = None if event.data == b"*" else decode_base64(event.data)
        if response is None:
            return bad("Sign-in cancelled." if event.data == b"*" else "That is not base64.")
        answer = yield Answer(response)
    return (yield from _admit(talk, answer))


def _admit(talk: ImapContext, answer: object) -> Steps[Reply]:
    """The end of a sign-in. Texts are in both languages: the client cannot have said yet that it takes UTF-8."""
    if isinstance(answer, Refusal):
        talk.tries += 1
        if answer.kind in ALERTED:
            talk.say(responses.no(b"*", talk.words(answer.text), b"ALERT"))
        reply = refuse(answer.text, SIGN_IN_CODES[answer.kind])
        if talk.tries >= talk.settings.sign_in_tries:
            talk.ending = CloseConnection(Text("Kết nối bị đóng vì đăng nhập sai quá nhiều lần.", "Too many attempts."))
        return reply
    assert isinstance(answer, SignedIn), answer
    if not (yield BindAccount(answer)):
        return refuse(messages.too_many_sessions(), b"LIMIT")
    talk.signed_in = answer
    talk.reader.limits = Limits.signed_in(talk.settings.command_octets)
    for alert in talk.desk.alerts():
        talk.say(responses.ok(b"*", talk.words(alert), b"ALERT"))
    return Reply("Signed in.", code=responses.capability_code(capabilities(talk)))


# ------------------------------------------------------------------ what octets mean


def start_tls(talk: ImapContext, command: StartTlsCommand) -> Steps[Reply | None]:
    """RFC 9051 §6.2.1. What came in clear behind the command is thrown away: somebody in the middle may have written it."""
    if talk.tls:
        return bad("TLS is on already.")
    if not talk.settings.starttls:
        return bad("No certificate here.")
    talk.say(talk.line(command.tag, Reply("Begin TLS.")))
    yield StartTls()
    talk.tls = True
    return None


def compress(talk: ImapContext, command: Compress) -> Steps[Reply | None]:
    """RFC 4978 §3: the OK is the last line in clear, what follows the command is compressed."""
    if command.mechanism != "DEFLATE" or "COMPRESS=DEFLATE" in talk.hidden:
        return refuse(Text("Chỉ hỗ trợ nén DEFLATE.", "Only DEFLATE is offered."), b"CANNOT")
    if talk.compressed:
        return refuse(Text("Đã bật nén rồi.", "Compression is on already."), b"COMPRESSIONACTIVE")
    talk.credit = Credit(talk.now())
    talk.say(talk.line(command.tag, Reply("DEFLATE is on.")))
    yield StartCompression(talk.reader.take_input())
    return None


def unauthenticate(talk: ImapContext, command: Unauthenticate) -> Steps[Reply | None]:
    """RFC 8437 §3: all state goes but TLS and what ID said; NO is not permitted, so nothing here may fail.

    Attempts to sign in are still counted: the limit is the connection's, whoever is behind it.
    """
    if "UNAUTHENTICATE" in talk.hidden:
        return bad("That is not offered here.")
    yield LogEvent("unauthenticated", {})
    compressed = talk.compressed
    talk.forget_person()
    yield Leave()
    talk.credit = None
    talk.say(talk.line(command.tag, Reply("You are nobody again.", code=responses.capability_code(capabilities(talk)))))
    if compressed:
        yield EndCompression()  # the answer is the last line that is compressed (§4.1)
    return None


def enable(talk: ImapContext, command: Enable) -> Steps[Reply]:
    """RFC 5161 §3.1: unknown names are passed over, ENABLED lists what this command switched on."""
    names = capability.enable(command.capabilities, talk.hidden)
    new = [name for name in names if ENABLES[name] not in talk.enabled]
    for name in new:
        talk.enabled |= ENABLES[name] & ~Enabled.CONDSTORE
    if {"CONDSTORE", "QRESYNC"} & {*new}:
        talk.use_condstore()
    if "UIDONLY" in new and talk.view is not None:
        for context in talk.view.contexts:
            if not context.by_uid:  # its client is told message numbers, and there are none any more (RFC 9586 §3)
                talk.view.contexts.cancel(context.tag)
                gone = refuse(
                    Text("Kết quả đang được theo dõi theo số thứ tự thư.", "It is followed by message numbers."),
                    responses.no_update(context.tag),
                )
                talk.say(talk.line(b"*", gone))
    talk.reader.utf8 = talk.utf8
    talk.say(responses.enabled(new))
    return Reply("Enabled.")
    yield  # a handler is a generator
