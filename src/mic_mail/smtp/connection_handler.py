"""One SMTP client's conversation: does what `session` says, over a wire that `server` holds.

In: command lines and octets that the wire reads. Out: replies that it sends, and messages handed to the mail flow. Replies
gather until the input is used up (RFC 2920 §3.2). A message is ended by nothing but its end: whatever goes wrong on the way,
either the rest is read and thrown away or the connection is closed, so that no octet of a body is ever taken for a command.
Never here: transports, timers, TLS handshakes (server.py), syntax and order (grammar, session), who may do what (services).
"""

import base64
import binascii
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from mic_mail.clock import Clock
from mic_mail.ids import TokenSource, trace_id
from mic_mail.log.maillog import MailLog
from mic_mail.mailbox_address import ReversePath
from mic_mail.net.tls import TlsFront
from mic_mail.services.authentication.identity import Challenge, Peer, SignedIn
from mic_mail.services.authentication.refusals import Refusal
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.authentication.watches import Watch
from mic_mail.services.transport.envelope import BINARYMIME, Accepted, Cause, Client, Envelope, Role
from mic_mail.services.transport.inbound.client_lookups import ClientLookups
from mic_mail.services.transport.incoming_message import IncomingMessage
from mic_mail.services.transport.pipeline import Pipeline
from mic_mail.smtp import actions, replies
from mic_mail.smtp.actions import Close
from mic_mail.smtp.data import ChunkDecoder, DotDecoder
from mic_mail.smtp.grammar import MailParameters
from mic_mail.smtp.line_buffer import LineBuffer, Trouble
from mic_mail.smtp.replies import Reply
from mic_mail.smtp.session import DATA, MAX_LINE_OCTETS, Limits, ListenerProfile, Session
from mic_mail.smtp.transfer_rate import Pace

READ_OCTETS: Final = 262_144
LINE_READ_OCTETS: Final = 65_536
MAX_UNSENT_OCTETS: Final = 65_536
"""Replies that a client has not read; beyond them it is not listened to."""
COMMANDS_AT_ONCE: Final = 64
"""After so many commands the other connections have their turn."""


@dataclass(frozen=True, slots=True)
class SmtpServices:
    """What the composition root gives the door."""

    mailflow: Pipeline
    access: SignInService
    clock: Clock
    log: MailLog
    tls: TlsFront | None
    """Of people's doors."""
    hostname: str
    support: str
    limits: Limits
    binarymime: bool = False
    confirms: bool = False
    quota_is_final: bool = False
    tls_for_servers: TlsFront | None = None
    """Of the door for other mail servers, where it is another one."""
    repairs_lf: Callable[[str], bool] = lambda address: False
    """Whether this address is a known old device whose bare LF is repaired."""
    chance: TokenSource = random.getrandbits
    """For the ids of messages, which are no secrets: the system's own source lets go of the interpreter, and a busy lane takes
    it. The module's, which is sown anew in each forked child: one that was made here would say the same in all of them."""
    note: Callable[[str], None] = lambda label: None
    """Told each command as it begins, so that a long pause of the loop can be logged with it."""


class Wire(Protocol):
    """A connection as the conversation sees it."""

    over: bool
    """The last word has been said."""
    in_message: bool
    """Octets of a message are being read: a shutdown waits for its end."""
    owes_a_promise: bool
    """A 250 that takes over a message waits to be sent; `flush` has sent it."""

    def time(self) -> float: ...
    def write(self, octets: bytes) -> None:
        """Put a reply behind those that wait to be sent."""

    @property
    def unsent_octets(self) -> int: ...
    async def flush(self) -> None:
        """Send what waits."""

    async def read(self, octets: int, deadline: float) -> bytes:
        """What comes next, at most so much; nothing at the end of the stream. Sends first what waits."""
        ...

    async def yield_to_loop(self) -> None:
        """Let the other connections have their turn."""

    async def start_tls(self) -> Peer:
        """Say 220, forget what was read in clear, shake hands; the peer as it is now."""
        ...

    def describe(self) -> Peer: ...
    def signed_in(self) -> None:
        """Somebody has signed in: the place is kept for them."""

    def expire(self, name: str) -> None:
        """Say the row `name` and close."""

    def end_soon(self, name: str, still: Callable[[], bool]) -> None:
        """Likewise, in a moment, if it is `still` so then."""

    def close(self) -> None:
        """Let what was said leave, and close."""


class SmtpHandler:
    """The conversation of one connection."""

    def __init__(self, wire: Wire, services: SmtpServices, door: ListenerProfile, draining: Callable[[], bool]) -> None:
        self._wire = wire
        self._services = services
        self._door = door
        self._draining = draining
        self._core = Session(door)
        self._peer = wire.describe()
        self._core.repair_lf = services.repairs_lf(self._peer.address)
        self._input = LineBuffer(MAX_LINE_OCTETS, repair_lf=self._core.repair_lf)
        self._reception: IncomingMessage | None = None
        self._chunks: ChunkDecoder | None = None
        self._signed_in: SignedIn | None = None
        self._watch: Watch[int] | None = None
        self._enquiry: ClientLookups | None = None
        self._client = Client(door.role, self._peer, "", "SMTP")
        self._offer()

    def _offer(self) -> None:
        """What can be announced on this connection as it is now."""
        self._core.tls = self._peer.tls is not None
        self._core.tls_offered = self._services.tls is not None
        self._core.mechanisms = self._services.access.mechanisms(self._peer) if self._door.role is Role.SUBMISSION else ()

    async def run(self) -> None:
        """From the greeting to the last word; what was begun and not ended leaves nothing behind."""
        try:
            await self._converse()
        finally:
            self._sign_out()
            self._drop_reception()
            if self._enquiry is not None:
                self._enquiry.close()

    async def _next_line(self) -> bytes | Trouble | None:
        """The next command or answer; None at the end of the stream. One deadline for the whole line."""
        deadline = 0.0
        while (line := self._input.next_line()) is None:
            deadline = deadline or self._wire.time() + self._door.limits.command_seconds
            piece = await self._wire.read(LINE_READ_OCTETS, deadline)
            if not piece:
                return None
            self._input.feed(piece)
        return line

    async def _converse(self) -> None:
        core = self._core
        self._wire.write(replies.reply("greeting", hostname=self._door.hostname).encode(core.voice))
        commands = 0
        while not self._wire.over:
            if self._draining():
                await self._wire.flush()
                self._wire.expire("shutdown")
                return
            line = self._input.next_line()
            if line is None:
                line = await self._next_line()
                if line is None:
                    return
            answer = core.receive(line) if isinstance(line, bytes) else core.troubled(line)
            if isinstance(answer, Reply):
                self._say(answer)
            else:
                await self._carry_out(answer)
            commands += 1
            if commands % COMMANDS_AT_ONCE == 0:
                await self._wire.yield_to_loop()
            if self._wire.unsent_octets > MAX_UNSENT_OCTETS:
                await self._wire.flush()

    def _say(self, answer: Reply) -> None:
        if self._reception is not None and self._core.transaction is None:
            self._drop_reception()  # RSET or EHLO between two chunks
        self._wire.write(answer.spoken or answer.encode(self._core.voice))

    async def _carry_out(self, asked: actions.Action) -> None:
        """Do what the session asks, and say what comes of it."""
        answer: Reply | Close
        match asked:
            case actions.AskSender():
                answer = await self._ask_sender(asked)
            case actions.AskRecipient():
                answer = await self._ask_recipient(asked)
            case actions.ReadMessage():
                answer = await self._read_message()
            case actions.ReadChunk():
                answer = await self._read_chunk(asked)
            case actions.StartTls():
                await self._start_tls()
                return
            case actions.Authenticate():
                answer = await self._sign_in(asked)
            case Close():
                answer = asked
                if asked.reply.trace_id:
                    self._log_too_large()
        if isinstance(answer, Reply):
            self._say(answer)
        else:
            if answer.before is not None:
                self._say(answer.before)
            self._wire.write(answer.reply.encode(self._core.voice))
            await self._wire.flush()
            self._wire.close()

    def _drop_reception(self) -> None:
        reception, self._reception, self._chunks = self._reception, None, None
        if reception is not None:
            reception.abort()

    # ------------------------------------------------------------ the envelope

    def _client_with(self, parameters: MailParameters) -> Client:
        """Who hands in the message; the same from MAIL to its end, as whatever would change it ends the transaction."""
        known, helo, protocol = self._client, self._core.helo, self._core.protocol_of(parameters)
        if (known.peer, known.helo, known.protocol, known.signed_in) == (self._peer, helo, protocol, self._signed_in):
            return known  # as most often, from one message to the next
        return Client(self._door.role, self._peer, helo, protocol, self._signed_in)

    async def _ask_sender(self, asked: actions.AskSender) -> Reply | Close:
        self._services.note("smtp MAIL")
        trace = trace_id(self._services.clock.now_us(), self._services.chance)
        self._client = self._client_with(asked.parameters)
        refusal = await self._services.mailflow.check_sender(
            asked.path, self._client, trace, declared_octets=asked.parameters.size
        )
        if refusal is None:
            self._enquire(asked.path)
        return self._core.sender_answered(asked, trace, refusal)

    def _enquire(self, sender: ReversePath) -> None:
        """Begin to ask who the client is, beside the rest of the transaction."""
        if self._enquiry is None:
            self._enquiry = self._services.mailflow.enquire(self._client)
        if self._enquiry is not None:
            self._enquiry.begin(self._client.helo, sender)

    async def _ask_recipient(self, asked: actions.AskRecipient) -> Reply | Close:
        transaction = self._core.transaction
        assert transaction is not None
        await self._keep_promise()
        answer = await self._services.mailflow.check_recipient(
            asked.address,
            self._client,
            transaction.trace_id,
            declared_octets=transaction.parameters.size,
            notify=asked.parameters.notify if self._core.door.confirms else asked.parameters.notify - {"SUCCESS"},
            orcpt=asked.parameters.orcpt,
            enquiry=self._enquiry,
        )
        return self._core.recipient_answered(answer)

    def _begin(self) -> IncomingMessage:
        transaction = self._core.transaction
        assert transaction is not None
        parameters = transaction.parameters
        return self._services.mailflow.open_message(
            Envelope(
                trace_id=transaction.trace_id,
                client=self._client,
                sender=transaction.sender,
                recipients=tuple(transaction.recipients),
                smtputf8=parameters.smtputf8,
                body=parameters.body,
                declared_octets=parameters.size,
                ret=parameters.ret,
                envid=parameters.envid,
                requires_tls=parameters.requires_tls,
                enquiry=self._enquiry,
            )
        )

    # ------------------------------------------------------------ the message

    async def _read_message(self) -> Reply | Close:
        """DATA: everything up to CRLF.CRLF, in the pieces in which it arrives."""
        self._wire.write(DATA.spoken)
        decoder = DotDecoder(repair_lf=self._core.repair_lf)
        reception = self._reception = self._begin()
        pace = Pace(self._wire.time, self._door.limits)
        self._wire.in_message = True
        while not decoder.ended:
            piece = self._input.take() or await self._wire.read(READ_OCTETS, pace.deadline())
            if not piece:
                raise ConnectionAbortedError  # it was not a message: nothing has been promised
            if pace.too_slow(len(piece)):
                return Close(replies.reply("too-slow"))
            octets = decoder.feed(piece)
            if octets:
                await reception.write(octets)
        self._wire.in_message = False
        self._input.feed(decoder.rest)
        return await self._ended(reception)

    async def _read_chunk(self, asked: actions.ReadChunk) -> Reply | Close:
        """BDAT: exactly so many octets (RFC 3030)."""
        if asked.refusal is None and self._reception is None:
            transaction = self._core.transaction
            assert transaction is not None
            self._reception = self._begin()
            is_binary = transaction.parameters.body == BINARYMIME
            self._chunks = ChunkDecoder(repair_lf=self._core.repair_lf and not is_binary)
        if not await self._swallow_chunk(asked):
            return Close(replies.reply("too-slow"))
        if asked.refusal is not None:
            self._drop_reception()
            if asked.refusal.trace_id:
                self._log_too_large()
            return self._core.chunk_refused(asked.refusal)
        if not asked.last:
            return self._core.chunk_ended(asked.octets)
        reception, chunks = self._reception, self._chunks
        assert reception is not None
        assert chunks is not None
        await reception.write(chunks.close())
        return await self._ended(reception)

    async def _swallow_chunk(self, asked: actions.ReadChunk) -> bool:
        """Read a chunk into the reception, or into nothing where it is refused; False: too slow."""
        left = asked.octets
        pace = Pace(self._wire.time, self._door.limits)
        self._wire.in_message = True
        while left:
            piece = self._input.take(left) or await self._wire.read(min(left, READ_OCTETS), pace.deadline())
            if not piece:
                raise ConnectionAbortedError
            if pace.too_slow(len(piece)):
                return False
            left -= len(piece)
            if asked.refusal is None:
                assert self._reception is not None
                assert self._chunks is not None
                await self._reception.write(self._chunks.feed(piece))
        self._wire.in_message = False
        return True

    async def _ended(self, reception: IncomingMessage) -> Reply | Close:
        """The message is complete: 250 only for what is durable."""
        await self._keep_promise()
        if self._wire.over:
            raise ConnectionAbortedError  # 421 was said meanwhile: the client sends it again
        outcome = await reception.finish()
        self._reception = self._chunks = None
        self._wire.owes_a_promise = isinstance(outcome, Accepted)
        return self._core.message_ended(outcome)

    async def _keep_promise(self) -> None:
        """Before what may take seconds (a name server, the disk): nobody waits that long to hear of a message before it."""
        if self._wire.owes_a_promise:
            await self._wire.flush()

    def _log_too_large(self) -> None:
        """What the mail flow tells of a message that it refuses, of one whose announced size is refused here. Before the
        transaction ends.
        """
        transaction = self._core.transaction
        assert transaction is not None
        self._services.log.event(
            "message_refused",
            trace=transaction.trace_id,
            reason=Cause.MESSAGE_TOO_LARGE,
            sender=transaction.sender,
            recipients=[recipient.address for recipient in transaction.recipients],
            peer=self._peer.address,
            session=self._peer.session_id,
            login=self._signed_in.address if self._signed_in else None,
        )

    # ------------------------------------------------------------ TLS and sign-in

    async def _start_tls(self) -> None:
        """RFC 3207. Whatever was pipelined behind STARTTLS in clear is dropped: it is not from the client that we trust."""
        self._input.clear()
        self._drop_reception()
        self._sign_out()
        self._peer = await self._wire.start_tls()
        self._core.tls_started()
        self._offer()

    async def _sign_in(self, asked: actions.Authenticate) -> Reply | Close:
        """RFC 4954 §4: challenges and answers in base64, `*` gives up."""
        dialog = self._services.access.begin(asked.mechanism, self._peer)
        octets = None if asked.initial is None else _unbase64(asked.initial)
        if asked.initial is not None and octets is None:
            return self._core.sign_in_refused(replies.reply("auth-syntax"))
        while True:
            answer = await dialog.step(octets)
            if isinstance(answer, SignedIn):
                self._sign_out()
                self._signed_in = answer
                self._wire.signed_in()
                self._watch = self._services.access.watch(answer.mailbox_id, self._decision_moved, answer.decision)
                return self._core.signed_in(answer.address)
            if not isinstance(answer, Challenge):
                refusal = replies.of_sign_in(answer.kind, answer.text)
                return Close(refusal) if refusal.code == 421 else self._core.sign_in_refused(refusal)
            self._wire.write(b"334 " + base64.b64encode(answer.data) + b"\r\n")
            line = await self._next_line()
            if line is None:
                raise ConnectionAbortedError
            if line is Trouble.BARE:
                return self._core.troubled(line)
            if line is Trouble.TOO_LONG:
                return self._core.sign_in_refused(replies.reply("auth-line-too-long"))
            assert isinstance(line, bytes)
            if line == b"*":
                return self._core.sign_in_refused(replies.reply("auth-cancelled"))
            octets = _unbase64(line)
            if octets is None:
                return self._core.sign_in_refused(replies.reply("auth-syntax"))

    def _sign_out(self) -> None:
        """Nobody is signed in, and nothing is watched for it."""
        self._signed_in = None
        self._unwatch()

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _decision_moved(self) -> None:
        """The word on the mailbox may have changed: if it may not sign in now, its session ends (Reg. 7.1).

        Nothing is taken from now on; but whoever is about to send has a moment to hear in full why (decision 0001), and who
        has a new password to sign in with it.
        """
        known = self._signed_in
        if known is not None and isinstance(self._services.access.recheck(known, self._peer), Refusal):
            self._unwatch()  # it is told once
            self._wire.end_soon("signed-out", lambda: self._signed_in is known)


def _unbase64(text: bytes) -> bytes | None:
    """RFC 4954 §4: `=` alone is the empty response."""
    if text == b"=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
