"""One SMTP connection as a state machine: command lines in, replies and actions out.

`receive(line)` answers a command with a `Reply`, or with one of the `actions` that the connection handler carries out and
reports back.

Each verb is a row of `VERBS`: its permitted place in the dialogue (`check`) and its effect (`act`). A check returns the
refusal or None. RFC 5321 §4.1.4 (order), RFC 2920 (PIPELINING: replies in order), RFC 3030 (BDAT), RFC 3207 (STARTTLS),
RFC 4954 (AUTH), RFC 6531, RFC 9422 (LIMITS). Limits are arguments; the server measures time. Pure: no I/O, no clock, no
randomness.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from mic_mail.mailbox_address import ReversePath
from mic_mail.services.transport.envelope import BINARYMIME, Accepted, Cause, Outcome, Recipient, Refusal, Role
from mic_mail.smtp import grammar, replies
from mic_mail.smtp.actions import (
    READ_MESSAGE,
    Action,
    AskRecipient,
    AskSender,
    Authenticate,
    Close,
    ReadChunk,
    StartTls,
)
from mic_mail.smtp.grammar import ArgumentFault, MailParameters
from mic_mail.smtp.line_buffer import LineFault
from mic_mail.smtp.replies import Reply, Voice

MAX_LINE_OCTETS = 12_288
"""Octets of the longest line: an AUTH command or answer (RFC 4954 §4)."""
SIGN_IN_WEIGHT = 5
"""Errors that a refused sign-in counts for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one connection. The server measures the seconds."""

    message_octets: int
    attachment_octets: int
    recipients: int = 1_000  # RFC 5321 §4.5.3.1.8: 100 at least
    errors: int = 20
    junk_commands: int = 100
    """Commands without effect since the last accepted message; each one beyond is an error."""
    messages: int = 10_000
    command_seconds: float = 300.0  # RFC 5321 §4.5.3.2.7: 5 minutes at least
    data_seconds: float = 180.0
    message_seconds: float = 600.0
    slowest_octets_per_second: int = 1_024


@dataclass(frozen=True, slots=True)
class ListenerProfile:
    """The role of a listener and what it offers."""

    hostname: str
    support: str
    role: Role
    limits: Limits
    binarymime: bool = False
    confirms: bool = True
    """True where DSN is offered and NOTIFY=SUCCESS is honoured."""
    quota_is_final: bool = False


@dataclass(slots=True)
class Transaction:
    """The state from MAIL to the end of the message (RFC 5321 §3.3)."""

    trace_id: str
    sender: ReversePath
    parameters: MailParameters
    recipients: list[Recipient] = field(default_factory=list)
    refused: int = 0
    octets: int = 0
    """Octets taken by BDAT so far."""
    in_chunks: bool = False
    broken: bool = False
    """True after a refused chunk: nothing more of this message is taken (RFC 3030 §2)."""


class Session:
    """The state of one connection."""

    def __init__(self, door: ListenerProfile, *, tls: bool = False) -> None:
        self.door = door
        self.tls = tls
        self.helo = ""
        self.extended = False
        self.login: str | None = None
        self.transaction: Transaction | None = None
        self.messages = 0
        self.errors = 0
        self.junk = 0
        self.tls_offered = False
        self.mechanisms: tuple[str, ...] = ()
        """Mechanisms to announce now; empty where sign-in is not possible (yet)."""
        self._english, self._vietnamese = Voice(door.support), Voice(door.support, utf8=True)

    # ------------------------------------------------------------ state for the connection handler

    @property
    def voice(self) -> Voice:
        """The language and contact of replies at this point."""
        return self._voice_for(utf8=self.transaction is not None and self.transaction.parameters.smtputf8)

    def _voice_for(self, *, utf8: bool) -> Voice:
        return self._vietnamese if utf8 else self._english

    def protocol_of(self, parameters: MailParameters) -> str:
        """Return the `with` word of the trace header after this MAIL (RFC 3848, RFC 6531 §4.3)."""
        if not self.extended:
            return "SMTP"
        name = "UTF8SMTP" if parameters.smtputf8 else "ESMTP"
        return name + ("S" if self.tls else "") + ("A" if self.login is not None else "")

    # ------------------------------------------------------------ commands

    def receive(self, line: bytes) -> Reply | Action:
        word, _, argument = line.partition(b" ")
        verb = VERBS.get(word) or VERBS.get(word.upper())
        if verb is None:
            if word in _HTTP or word.endswith(b":"):
                return Close(replies.reply("no-web-page"))
            return self._counted(replies.reply("unknown-command"))
        if len(line) > verb.max_octets:
            return self._counted(replies.reply("line-too-long"))
        refusal = verb.check(self, argument) if verb.check is not None else None
        if refusal is not None:
            return self._counted(refusal)
        try:
            answer = verb.act(self, argument) if callable(verb.act) else verb.act
        except ArgumentFault as fault:
            answer = replies.reply(fault.name, detail=fault.detail)
        if not isinstance(answer, Reply):
            return answer
        if answer.refused:
            return answer if verb.has_patience and answer.code < 500 else self._counted(answer)
        return self._as_junk(answer) if verb.is_junk else answer

    def line_fault(self, fault: LineFault) -> Reply | Close:
        """Answer a malformed line. RFC 5321 §2.3.8: what stands behind a stray LF may be an injected command."""
        if fault is LineFault.BARE:
            return Close(replies.reply("bare-line-end-in-command"))
        return self._counted(replies.reply("line-too-long"))

    # ------------------------------------------------------------ results

    def sender_answered(self, asked: AskSender, trace_id: str, refusal: Refusal | None) -> Reply | Close:
        if refusal is not None:
            self._forget_sign_in(refusal)
            answer = replies.of_refusal(refusal)
            voice = self._voice_for(utf8=asked.parameters.smtputf8)
            return self._counted(replace(answer, spoken=answer.encode(voice)))
        self.transaction = Transaction(trace_id, asked.path, asked.parameters)
        return self._as_junk(SENDER_OK)

    def recipient_answered(self, answer: Recipient | Refusal) -> Reply | Close:
        assert self.transaction is not None
        if isinstance(answer, Refusal):
            self.transaction.refused += 1
            refusal = replies.of_refusal(answer, quota_is_final=self.door.quota_is_final)
            return refusal if answer.temporary else self._counted(refusal)
        self.transaction.recipients.append(answer)
        return RECIPIENT_OK

    def tls_started(self) -> None:
        """Forget everything from before TLS (RFC 3207 §4.2)."""
        self.tls = True
        self.helo, self.extended, self.login, self.transaction = "", False, None, None

    def signed_in(self, address: str) -> Reply:
        self.login = address
        return replies.reply("signed-in")

    def sign_in_refused(self, refusal: Reply) -> Reply | Close:
        return self._counted(refusal, SIGN_IN_WEIGHT)

    def chunk_ended(self, octets: int) -> Reply | Close:
        """Answer a chunk that was not the last; an empty one counts as a command without effect."""
        answer = replies.reply("chunk-ok", octets=octets)
        return answer if octets else self._as_junk(answer)

    def chunk_refused(self, refusal: Reply) -> Reply | Close:
        """End the transaction (RFC 3030 §2); commands pipelined behind it are refused until RSET or MAIL."""
        if self.transaction is not None:
            self.transaction.broken = True
        return self._final_refusal(refusal) if refusal.trace_id else self._counted(refusal)

    def message_ended(self, outcome: Outcome) -> Reply | Close:
        voice = self.voice
        self.transaction = None
        if isinstance(outcome, Accepted):
            self.messages += 1
            self.junk = 0
            return replies.of_acceptance(outcome, voice)
        self._forget_sign_in(outcome)
        refusal = replies.of_refusal(outcome, quota_is_final=self.door.quota_is_final)
        refusal = replace(refusal, spoken=refusal.encode(voice))
        return refusal if refusal.code < 500 else self._final_refusal(refusal)

    def _forget_sign_in(self, refusal: Refusal) -> None:
        """Forget a sign-in whose password was changed; the client may sign in again (RFC 4954 §4)."""
        if refusal.cause is Cause.NOT_SIGNED_IN:
            self.login = None

    def _counted(self, answer: Reply, weight: int = 1) -> Reply | Close:
        self.errors += weight
        if self.errors >= self.door.limits.errors:
            return Close(replies.reply("too-many-errors"))
        return answer

    def _final_refusal(self, refusal: Reply) -> Reply | Close:
        """Return the final refusal of a message, counted as an error.

        It is sent even where 421 follows, since a 421 alone would have the message sent again.
        """
        counted = self._counted(refusal)
        return replace(counted, before=refusal) if isinstance(counted, Close) else counted

    def _as_junk(self, answer: Reply) -> Reply | Close:
        """Return `answer` for a command without effect, counted; an accepted message resets the count."""
        self.junk += 1
        return answer if self.junk <= self.door.limits.junk_commands else self._counted(answer)

    # ------------------------------------------------------------ checks: the permitted place of a verb

    def bare(self, argument: bytes) -> Reply | None:
        return replies.reply("no-argument") if argument.strip() else None

    def check_mail(self, argument: bytes) -> Reply | None:
        if not self.helo:
            return _not_now("EHLO first")
        if self.door.role is Role.SUBMISSION and self.login is None:
            return replies.reply("auth-first" if self.tls or self.mechanisms else "tls-first")
        if self.transaction is not None and not self.transaction.broken:
            return _not_now("a message has begun already")
        return None

    def check_rcpt(self, argument: bytes) -> Reply | None:
        if self.transaction is None:
            return _not_now("MAIL first")
        if self.transaction.broken:
            return _not_now(_BROKEN)
        if self.transaction.in_chunks:
            return _not_now("the message is on its way")
        return None

    def check_data(self, argument: bytes) -> Reply | None:
        refusal = self.bare(argument) or self.check_rcpt(argument)
        if refusal is not None:
            return refusal
        assert self.transaction is not None
        if self.transaction.parameters.body == BINARYMIME:
            return replies.reply("needs-chunking")
        return self._no_recipients()

    def _no_recipients(self) -> Reply | None:
        assert self.transaction is not None
        if self.transaction.recipients:
            return None
        return replies.reply("no-recipients") if self.transaction.refused else _not_now("RCPT first")

    def check_starttls(self, argument: bytes) -> Reply | None:
        if self.tls:
            return _not_now("TLS is on")
        if not self.tls_offered:
            return replies.reply("tls-unavailable")
        return self.bare(argument)

    def check_auth(self, argument: bytes) -> Reply | None:
        if self.door.role is not Role.SUBMISSION:
            return replies.reply("not-here")
        if not self.helo or not self.extended:
            return _not_now("EHLO first")
        if self.login is not None:
            return _not_now("signed in already")
        if self.transaction is not None:
            return _not_now("a message has begun")
        if not self.mechanisms:
            return replies.reply("auth-needs-tls")
        return None

    # ------------------------------------------------------------ effects of verbs

    def act_ehlo(self, argument: bytes) -> Reply:
        self.helo, self.extended, self.transaction = grammar.parse_helo(argument), True, None
        return Reply(250, "", OK.text, spoken=replies.lines(250, self._extensions()))

    def act_helo(self, argument: bytes) -> Reply:
        self.helo, self.extended, self.transaction = grammar.parse_helo(argument), False, None
        return Reply(250, "", OK.text, spoken=replies.lines(250, [self.door.hostname]))

    def _extensions(self) -> list[str]:
        limits = self.door.limits
        words = [self.door.hostname, f"SIZE {limits.message_octets}", "PIPELINING", "8BITMIME", "SMTPUTF8"]
        words += ["ENHANCEDSTATUSCODES", "CHUNKING"]
        if self.door.binarymime:
            words.append(BINARYMIME)
        if self.door.confirms:
            words.append("DSN")
        if self.tls:
            words.append("REQUIRETLS")  # RFC 8689 §2
        if self.tls_offered and not self.tls:
            words.append("STARTTLS")
        if self.mechanisms:
            words.append("AUTH " + " ".join(self.mechanisms))
        words.append(f"LIMITS MAILMAX={limits.messages} RCPTMAX={limits.recipients}")  # RFC 9422
        return words

    def act_mail(self, argument: bytes) -> Reply | Action:
        path, parameters = grammar.parse_mail(argument)
        if parameters.body == BINARYMIME and not self.door.binarymime:
            return replies.reply("no-binary")
        if parameters.requires_tls and not self.tls:  # RFC 8689 §2: offered under TLS alone
            return replies.reply("unknown-parameter", detail="REQUIRETLS")
        if self.messages >= self.door.limits.messages:
            return Close(replies.reply("too-many-messages"))
        self.transaction = None  # a broken one
        return AskSender(path, parameters)

    def act_rcpt(self, argument: bytes) -> Reply | Action:
        assert self.transaction is not None
        address, parameters = grammar.parse_rcpt(argument, smtputf8=self.transaction.parameters.smtputf8)
        # RFC 5321 §4.5.3.1.10: 452, and accepted recipients stay accepted: a long pipelined list must not end in 421.
        limit = self.door.limits.recipients
        if len(self.transaction.recipients) >= limit or self.transaction.refused >= limit:
            self.transaction.refused += 1
            answer = replies.reply("too-many-recipients")
            return answer if self.transaction.refused <= limit else self._counted(answer)
        return AskRecipient(address, parameters)

    def act_bdat(self, argument: bytes) -> Reply | Action:
        """Begin a chunk. The order is checked here and not before.

        Even after an error the octets behind the command have to be read.
        """
        try:
            chunk = grammar.parse_bdat(argument)
        except ArgumentFault as fault:
            # The beginning of the next command is unknown.
            return Close(replies.reply(fault.name, detail=fault.detail))
        limits = self.door.limits
        if chunk.octets > 2 * limits.message_octets:
            # A refused chunk is read too, but not for hours.
            trace = self.transaction.trace_id if self.transaction is not None and not self.transaction.broken else ""
            return Close(replies.too_large(trace, limits.message_octets, limits.attachment_octets))
        return ReadChunk(chunk.octets, chunk.last, self._check_chunk(chunk.octets))

    def _check_chunk(self, octets: int) -> Reply | None:
        transaction = self.transaction
        if transaction is None:
            return _not_now("MAIL first")
        if transaction.broken:
            return _not_now(_BROKEN)
        if not transaction.in_chunks:
            refusal = self._no_recipients()
            if refusal is not None:
                return refusal
        transaction.in_chunks = True
        transaction.octets += octets
        limits = self.door.limits
        if transaction.octets <= limits.message_octets:
            return None
        return replies.too_large(transaction.trace_id, limits.message_octets, limits.attachment_octets)

    def act_rset(self, argument: bytes) -> Reply:
        self.transaction = None
        return OK

    def act_help(self, argument: bytes) -> Reply:
        return replies.reply("help", support=self.door.support)

    def act_auth(self, argument: bytes) -> Reply | Action:
        # Outlook and .NET send the user name in the AUTH line, and the mechanism in lower case.
        mechanism, _, initial = argument.strip().partition(b" ")
        if not mechanism:
            return replies.reply("auth-no-mechanism")
        name = mechanism.decode("ascii", "replace").upper()
        if name not in self.mechanisms:
            return replies.reply("auth-mechanism")
        return Authenticate(name, initial.strip() or None)


_HTTP: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PRI"})
"""Words of HTTP that no mail client sends (RFC 9110 §9, RFC 9113 §3.4).

A word with a colon at its end is a header field, and is treated the same. A browser can be made to post lines of an
attacker's choice to any port, behind such a beginning.
"""


_BROKEN: Final = "a chunk of this message was refused"


def _not_now(hint: str) -> Reply:
    return replies.reply("bad-sequence", hint=hint)


def _spoken(name: str) -> Reply:
    """Return a frequent success reply with its octets made once."""
    answer = replies.reply(name)
    return replace(answer, spoken=answer.encode(Voice("")))


OK: Final = _spoken("ok")
SENDER_OK: Final = _spoken("sender-ok")
RECIPIENT_OK: Final = _spoken("recipient-ok")
DATA: Final = _spoken("data")
VERIFY: Final = _spoken("verify")
"""RFC 5321 §3.5.3 and §7.3 allow not to disclose which addresses exist."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A command: its permitted place, its effect, its longest line, and how it counts.

    Line lengths: RFC 5321 §4.5.3.1.4, and what extensions add. `is_junk`: it has no effect on the transfer of mail (MAIL
    is counted when its sender is accepted). `has_patience`: a temporary refusal is no error.
    """

    check: Callable[[Session, bytes], Reply | None] | None
    """None: it is permitted at any time."""
    act: Callable[[Session, bytes], Reply | Action] | Reply | Action
    max_octets: int = 510
    is_junk: bool = False
    has_patience: bool = False


VERBS: dict[bytes, Verb] = {
    b"EHLO": Verb(None, Session.act_ehlo, is_junk=True),
    b"HELO": Verb(None, Session.act_helo, is_junk=True),
    # SIZE 26 (RFC 1870), SMTPUTF8 10, BODY 17, AUTH 500 (RFC 4954), RET and ENVID 127 (RFC 3461), REQUIRETLS 11 (RFC 8689), and
    # the longer paths.
    b"MAIL": Verb(Session.check_mail, Session.act_mail, 1_547),
    b"RCPT": Verb(Session.check_rcpt, Session.act_rcpt, 1_536, has_patience=True),  # ORCPT 500, NOTIFY 28
    b"DATA": Verb(Session.check_data, READ_MESSAGE),
    b"BDAT": Verb(None, Session.act_bdat),
    b"RSET": Verb(Session.bare, Session.act_rset, is_junk=True),
    b"NOOP": Verb(None, OK, is_junk=True),
    b"QUIT": Verb(None, Close(replies.reply("bye"))),
    b"VRFY": Verb(None, VERIFY, is_junk=True),
    b"HELP": Verb(None, Session.act_help, is_junk=True),
    b"EXPN": Verb(None, replies.reply("not-here")),
    b"STARTTLS": Verb(Session.check_starttls, StartTls()),
    b"AUTH": Verb(Session.check_auth, Session.act_auth, MAX_LINE_OCTETS),
}
