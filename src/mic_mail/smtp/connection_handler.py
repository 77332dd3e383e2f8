"""Serve one SMTP client: carry out what `session` decides, over a `SmtpConnection`.

In: command lines and octets that the wire reads. Out: replies that it sends, and messages handed to the mail flow.
Replies are collected until the input is used up (RFC 2920 §3.2). Only its end ends a message: on any error the rest is
read and discarded or the connection is closed, so that no octet of a body is ever taken for a command.
Never here: transports, timers, TLS handshakes (`connection`), syntax and order (grammar, session), permissions (services).
"""

import base64
from collections.abc import Callable
from typing import Final

from mic_mail.auth.sasl import Challenge, decode_base64
from mic_mail.ids import trace_id
from mic_mail.mailbox_address import ReversePath
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import Refusal
from mic_mail.services.authentication.sasl_exchange import SaslExchange
from mic_mail.services.authentication.watches import Watch
from mic_mail.services.transport import transport_log
from mic_mail.services.transport.envelope import BINARYMIME, Accepted, Cause, Client, Envelope, Role
from mic_mail.services.transport.envelope import Refusal as MailRefusal
from mic_mail.services.transport.inbound.client_lookups import ClientLookups
from mic_mail.services.transport.incoming_message import IncomingMessage
from mic_mail.smtp import actions, replies
from mic_mail.smtp.actions import Close
from mic_mail.smtp.connection import SmtpConnection, SmtpServices
from mic_mail.smtp.data import ChunkDecoder, DotDecoder
from mic_mail.smtp.grammar import MailParameters
from mic_mail.smtp.line_buffer import LineBuffer, LineFault
from mic_mail.smtp.replies import Reply
from mic_mail.smtp.session import DATA, MAX_LINE_OCTETS, Session
from mic_mail.smtp.transfer_rate import TransferRate

READ_OCTETS: Final = 262_144
LINE_READ_OCTETS: Final = 65_536
MAX_UNSENT_OCTETS: Final = 65_536
"""Octets of replies that a client has not read; beyond them its commands are not read."""
COMMANDS_AT_ONCE: Final = 64
"""Commands after which other connections get their turn."""


class SmtpHandler:
    """The SMTP dialogue of one connection."""

    def __init__(self, wire: SmtpConnection, draining: Callable[[], bool]) -> None:
        self._wire = wire
        self._services: SmtpServices = wire.services
        self._door = door = wire.door
        self._draining = draining
        self._core = Session(door)
        self._peer = wire.describe()
        self._repairs_lf = self._services.repairs_lf(self._peer.address)
        self._input = LineBuffer(MAX_LINE_OCTETS, repair_lf=self._repairs_lf)
        self._reception: IncomingMessage | None = None
        self._chunks: ChunkDecoder | None = None
        self._signed_in: SignedIn | None = None
        self._watch: Watch[int] | None = None
        self._lookups: ClientLookups | None = None
        self._client = Client(door.role, self._peer, "", "SMTP")
        self._offer()

    def _offer(self) -> None:
        """Set what can be announced on this connection in its present state."""
        self._core.tls = self._peer.tls is not None
        self._core.tls_offered = self._services.tls is not None
        self._core.mechanisms = self._services.access.mechanisms(self._peer) if self._door.role is Role.SUBMISSION else ()

    async def run(self) -> None:
        """Serve the connection from the greeting to the end; a message that was not finished leaves no trace."""
        try:
            await self._converse()
        finally:
            self._sign_out()
            self._drop_reception()
            if self._lookups is not None:
                self._lookups.close()

    async def _next_line(self) -> bytes | LineFault | None:
        """Return the next line; None at the end of the stream. One deadline covers the whole line."""
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
            answer = core.receive(line) if isinstance(line, bytes) else core.line_fault(line)
            if isinstance(answer, Reply):
                self._reply(answer)
            else:
                await self._carry_out(answer)
            commands += 1
            if commands % COMMANDS_AT_ONCE == 0:
                await self._wire.yield_to_loop()
            if self._wire.unsent_octets > MAX_UNSENT_OCTETS:
                await self._wire.flush()

    def _reply(self, answer: Reply) -> None:
        if self._reception is not None and self._core.transaction is None:
            self._drop_reception()  # RSET or EHLO between two chunks
        self._wire.write(answer.spoken or answer.encode(self._core.voice))

    async def _carry_out(self, asked: actions.Action) -> None:
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
            self._reply(answer)
        else:
            if answer.before is not None:
                self._reply(answer.before)
            self._wire.write(answer.reply.encode(self._core.voice))
            await self._wire.flush()
            self._wire.close()

    def _drop_reception(self) -> None:
        reception, self._reception, self._chunks = self._reception, None, None
        if reception is not None:
            self._services.mailflow.abort(reception)

    # ------------------------------------------------------------ the envelope

    def _client_with(self, parameters: MailParameters) -> Client:
        """Return the client of this message.

        It stays the same from MAIL to the end of the message: anything that changes it ends the transaction.
        """
        known, helo, protocol = self._client, self._core.helo, self._core.protocol_of(parameters)
        if (known.peer, known.helo, known.protocol, known.signed_in) == (self._peer, helo, protocol, self._signed_in):
            return known  # the usual case, from one message to the next
        return Client(self._door.role, self._peer, helo, protocol, self._signed_in)

    async def _ask_sender(self, asked: actions.AskSender) -> Reply | Close:
        self._services.note("smtp MAIL")
        trace = trace_id(self._services.clock.now_us(), self._services.chance)
        self._client = self._client_with(asked.parameters)
        refusal = await self._services.mailflow.check_sender(
            asked.path, self._client, trace, declared_octets=asked.parameters.size
        )
        if refusal is None:
            self._begin_lookups(asked.path)
        return self._core.sender_answered(asked, trace, refusal)

    def _begin_lookups(self, sender: ReversePath) -> None:
        """Begin the DNS checks of the client, in parallel with the transaction."""
        if self._lookups is None:
            self._lookups = self._services.mailflow.begin_lookups(self._client)
        if self._lookups is not None:
            self._lookups.begin(self._client.helo, sender)

    async def _ask_recipient(self, asked: actions.AskRecipient) -> Reply | Close:
        transaction = self._core.transaction
        assert transaction is not None
        await self._flush_acceptance()
        answer = await self._services.mailflow.check_recipient(
            asked.address,
            self._client,
            transaction.trace_id,
            declared_octets=transaction.parameters.size,
            notify=asked.parameters.notify if self._core.door.confirms else asked.parameters.notify - {"SUCCESS"},
            orcpt=asked.parameters.orcpt,
            lookups=self._lookups,
        )
        return self._core.recipient_answered(answer)

    def _begin(self) -> IncomingMessage:
        transaction = self._core.transaction
        assert transaction is not None
        parameters = transaction.parameters
        return IncomingMessage(
            Envelope(
                trace_id=transaction.trace_id,
                client=self._client,
                sender=transaction.sender,
                recipients=tuple(transaction.recipients),
                smtputf8=parameters.smtputf8,
                body=parameters.body,
                ret=parameters.ret,
                envid=parameters.envid,
                requires_tls=parameters.requires_tls,
                lookups=self._lookups,
            )
        )

    # ------------------------------------------------------------ the message

    async def _read_message(self) -> Reply | Close:
        self._wire.write(DATA.spoken)
        decoder = DotDecoder(repair_lf=self._repairs_lf)
        mailflow, reception = self._services.mailflow, self._begin()
        self._reception = reception
        rate = TransferRate(self._wire.time, self._door.limits)
        self._wire.in_message = True
        while not decoder.ended:
            piece = self._input.take() or await self._wire.read(READ_OCTETS, rate.deadline())
            if not piece:
                raise ConnectionAbortedError  # the message was incomplete: nothing has been promised
            if rate.too_slow(len(piece)):
                return Close(replies.reply("too-slow"))
            octets = decoder.feed(piece)
            if octets:
                await mailflow.write(reception, octets)
        self._wire.in_message = False
        self._input.feed(decoder.rest)
        return await self._ended(reception)

    async def _read_chunk(self, asked: actions.ReadChunk) -> Reply | Close:
        """Read a chunk of BDAT: exactly so many octets (RFC 3030)."""
        if asked.refusal is None and self._reception is None:
            transaction = self._core.transaction
            assert transaction is not None
            self._reception = self._begin()
            is_binary = transaction.parameters.body == BINARYMIME
            self._chunks = ChunkDecoder(repair_lf=self._repairs_lf and not is_binary)
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
        await self._services.mailflow.write(reception, chunks.close())
        return await self._ended(reception)

    async def _swallow_chunk(self, asked: actions.ReadChunk) -> bool:
        """Read a chunk into the message, or discard it where it is refused; return False if it is too slow."""
        left = asked.octets
        rate = TransferRate(self._wire.time, self._door.limits)
        self._wire.in_message = True
        while left:
            piece = self._input.take(left) or await self._wire.read(min(left, READ_OCTETS), rate.deadline())
            if not piece:
                raise ConnectionAbortedError
            if rate.too_slow(len(piece)):
                return False
            left -= len(piece)
            if asked.refusal is None:
                assert self._reception is not None
                assert self._chunks is not None
                await self._services.mailflow.write(self._reception, self._chunks.feed(piece))
        self._wire.in_message = False
        return True

    async def _ended(self, reception: IncomingMessage) -> Reply | Close:
        await self._flush_acceptance()
        if self._wire.over:
            raise ConnectionAbortedError  # 421 was sent meanwhile: the client sends the message again
        outcome = await self._services.mailflow.finish(reception)
        self._reception = self._chunks = None
        self._wire.has_unsent_acceptance = isinstance(outcome, Accepted)
        return self._core.message_ended(outcome)

    async def _flush_acceptance(self) -> None:
        """Send a waiting 250 before an operation that may take seconds (a name server, the disk).

        Otherwise a client would wait that long for the answer to the message before.
        """
        if self._wire.has_unsent_acceptance:
            await self._wire.flush()

    def _log_too_large(self) -> None:
        """Log a message whose announced size is refused, as the mail flow logs those that it refuses.

        Called before the transaction ends.
        """
        transaction = self._core.transaction
        assert transaction is not None
        transport_log.refused(
            self._services.log,
            "message_refused",
            MailRefusal(Cause.MESSAGE_TOO_LARGE, transaction.trace_id),
            self._client,
            sender=transaction.sender,
            recipients=[recipient.address for recipient in transaction.recipients],
        )

    # ------------------------------------------------------------ TLS and sign-in

    async def _start_tls(self) -> None:
        """Start TLS (RFC 3207).

        Input pipelined in clear behind STARTTLS is dropped: it may not be from the authenticated client.
        """
        self._input.clear()
        self._drop_reception()
        self._sign_out()
        self._peer = await self._wire.start_tls()
        self._core.tls_started()
        self._offer()

    async def _sign_in(self, asked: actions.Authenticate) -> Reply | Close:
        """Run the exchange of RFC 4954 §4: challenges and answers in Base64, `*` cancels."""
        exchange = SaslExchange(self._services.access, asked.mechanism, self._peer)
        octets = None if asked.initial is None else _response(asked.initial)
        if asked.initial is not None and octets is None:
            return self._core.sign_in_refused(replies.reply("auth-syntax"))
        while True:
            answer = await exchange.step(octets)
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
            if line is LineFault.BARE:
                return self._core.line_fault(line)
            if line is LineFault.TOO_LONG:
                return self._core.sign_in_refused(replies.reply("auth-line-too-long"))
            assert isinstance(line, bytes)
            if line == b"*":
                return self._core.sign_in_refused(replies.reply("auth-cancelled"))
            octets = _response(line)
            if octets is None:
                return self._core.sign_in_refused(replies.reply("auth-syntax"))

    def _sign_out(self) -> None:
        self._signed_in = None
        self._unwatch()

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _decision_moved(self) -> None:
        """End the session if its mailbox may not sign in any more (Reg. 7.1).

        Nothing is accepted from now on. The close is delayed a moment, so that a client about to send reads the full
        reason (decision 0001), and a person with a new password can sign in with it.
        """
        known = self._signed_in
        if known is not None and isinstance(self._services.access.recheck(known, self._peer), Refusal):
            self._unwatch()  # reported once
            self._wire.end_soon("signed-out", lambda: self._signed_in is known)


def _response(text: bytes) -> bytes | None:
    """Decode a response; `=` alone is the empty one (RFC 4954 §4)."""
    return b"" if text == b"=" else decode_base64(text)
