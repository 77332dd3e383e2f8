"""The SMTP door on the network: reads, writes, waits, and does what `session` says.

The only module that imports aiosmtpd. From `aiosmtpd.smtp.SMTP` come the life of a connection (transport, stream, session
object, the task that serves it, its end) and its timer; the conversation itself is ours, because the one inherited reads a
message line by line, answers in many small writes, parses addresses with the standard library, and cuts whoever takes long
without a word. Every member of aiosmtpd and asyncio that is not public and that we touch is named in a canary test.

One shell serves mail servers (25), submission (587, STARTTLS) and submissions (465, TLS from the first octet). Replies gather
until the input is used up (RFC 2920 §3.2) and leave in one write. A message is ended by nothing but its end: whatever goes
wrong on the way, either the rest is read and thrown away or the connection is closed, so that no octet of a body is ever
taken for a command.
"""

import asyncio
import base64
import binascii
import ssl
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from aiosmtpd.smtp import SMTP

from mic_mail.clock import Clock
from mic_mail.ids import trace_id
from mic_mail.log.maillog import MailLog
from mic_mail.net.tls import TlsFront
from mic_mail.services.access import Access, Challenge, Peer, SignedIn, TlsInfo
from mic_mail.services.envelope import Accepted, Client, Envelope, Refusal, Role
from mic_mail.services.mailflow import MailFlow
from mic_mail.services.reception import Reception
from mic_mail.smtp import replies
from mic_mail.smtp import session as steps
from mic_mail.smtp.data import ChunkDecoder, DotDecoder
from mic_mail.smtp.lines import LineBuffer, Trouble
from mic_mail.smtp.replies import Reply
from mic_mail.smtp.session import DATA, MAX_LINE_OCTETS, Close, Door, Limits, Session

READ_OCTETS: Final = 262_144
MAX_UNSENT_OCTETS: Final = 65_536
"""Replies that a client has not read; beyond them it is not listened to."""
CLOSING_SECONDS: Final = 5.0
"""How long the last reply of a connection may take to leave."""
HANDSHAKE_SECONDS: Final = 30.0

ROLES: Final = {"smtp": Role.MX, "submission": Role.SUBMISSION, "submissions": Role.SUBMISSION}


@dataclass(frozen=True, slots=True)
class SmtpServices:
    """What the composition root gives the door."""

    mailflow: MailFlow
    access: Access
    clock: Clock
    log: MailLog
    tls: TlsFront | None
    hostname: str
    support: str
    limits: Limits
    binarymime: bool = False
    quota_is_final: bool = False
    repairs_lf: Callable[[str], bool] = lambda address: False
    """Whether this address is a known old device whose bare LF is repaired."""
    note: Callable[[str], None] = lambda label: None
    """Told each command as it begins, so that a long pause of the loop can be logged with it."""


class SmtpServer:
    """Makes the connections of one process and ends them together."""

    def __init__(self, services: SmtpServices) -> None:
        self.services = services
        self.open: set[SmtpConnection] = set()
        self.draining = False
        self._doors = {role: self._door(role) for role in Role}
        self._all_closed = asyncio.Event()

    def _door(self, role: Role) -> Door:
        services = self.services
        return Door(
            hostname=services.hostname,
            support=services.support,
            role=role,
            limits=services.limits,
            # A message that may have to leave again cannot be promised in a form that few servers take (RFC 3030 §3).
            binarymime=services.binarymime and role is Role.MX,
            quota_is_final=services.quota_is_final,
        )

    def configure(self, services: SmtpServices) -> None:
        """Take new settings (SIGHUP); open connections keep what they were greeted with."""
        self.services = services
        self._doors = {role: self._door(role) for role in Role}

    @property
    def connections(self) -> int:
        return len(self.open)

    def factory(self, *, door: str, implicit_tls: bool = False) -> Callable[[], asyncio.Protocol]:
        """For `loop.create_server(factory, sock=..., ssl=...)`; `door` is a name of `ROLES`."""
        role = ROLES[door]
        return lambda: SmtpConnection(self, self._doors[role], door, implicit_tls=implicit_tls)

    async def drain(self, seconds: float) -> None:
        """421 to all who are between messages; a message on its way may come to its end, for `seconds` at most."""
        self.draining = True
        for connection in list(self.open):
            connection.drain()
        self._all_closed.clear()
        if self.open:
            try:
                await asyncio.wait_for(self._all_closed.wait(), seconds)
            except TimeoutError:
                for connection in list(self.open):
                    connection.expire("shutdown")

    def closed(self, connection: "SmtpConnection") -> None:
        self.open.discard(connection)
        if not self.open:
            self._all_closed.set()


class _NoHandler:
    """aiosmtpd looks for hooks here; there are none."""


class SmtpConnection(SMTP):
    """One connection."""

    line_length_limit = MAX_LINE_OCTETS * 4  # of the stream, which stops the transport at twice as much

    def __init__(self, server: SmtpServer, door: Door, door_name: str, *, implicit_tls: bool) -> None:
        services = server.services
        super().__init__(
            _NoHandler(),
            hostname=door.hostname,
            enable_SMTPUTF8=True,
            timeout=door.limits.command_seconds,
            loop=asyncio.get_running_loop(),
        )
        self._server = server
        self._services = services
        self._door = door
        self._door_name = door_name
        self._implicit_tls = implicit_tls
        self._core = Session(door)
        self._input = LineBuffer(MAX_LINE_OCTETS)
        self._unsent: list[bytes] = []
        self._unsent_octets = 0
        self._deadline: float | None = None
        self._in_message = False
        self._last_word = False
        self._reception: Reception | None = None
        self._chunks: ChunkDecoder | None = None
        self._signed_in: SignedIn | None = None

    # ------------------------------------------------------------ the life of a connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._peer = self._describe(transport)
        self._core.repair_lf = self._services.repairs_lf(self._peer.address)
        self._input = LineBuffer(MAX_LINE_OCTETS, repair_lf=self._core.repair_lf)
        self._server.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._server.closed(self)

    def eof_received(self) -> bool | None:
        """A client that has said everything and closed its half is still answered; the inherited method cuts it off."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    def _describe(self, transport: asyncio.BaseTransport) -> Peer:
        address, port = (transport.get_extra_info("peername") or ("", 0))[:2]
        local_port = (transport.get_extra_info("sockname") or ("", 0))[1]
        tls = self._tls_info(transport)
        self._core.tls = tls is not None
        now_us = self._services.clock.now_us()
        peer = Peer(str(address), port, local_port, self._door_name, tls, trace_id(now_us))
        self._core.tls_offered = self._services.tls is not None
        self._core.mechanisms = self._services.access.mechanisms(peer) if self._door.role is Role.SUBMISSION else ()
        return peer

    def _tls_info(self, transport: asyncio.BaseTransport) -> TlsInfo | None:
        connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if connection is None:
            return None
        cipher = connection.cipher()
        binding = self._services.tls.binding(connection) if self._services.tls else None
        return TlsInfo(connection.version() or "", cipher[0] if cipher else "", binding)

    # ------------------------------------------------------------ time

    def _timeout_cb(self) -> None:
        """The one timer of a connection: sleeps until the deadline of what is waited for now, and looks again."""
        now = self.loop.time()
        if self._last_word:
            self._abort()
        elif self._deadline is None:
            self._reset_timeout(self._door.limits.command_seconds)
        elif now < self._deadline:
            self._reset_timeout(self._deadline - now)
        else:
            self.expire("timeout")

    def _wait_until(self, deadline: float) -> None:
        """Something is waited for. The timer is set anew only where it would ring too late."""
        self._deadline = deadline
        timer = self._timeout_handle
        if timer is None or timer.cancelled() or timer.when() > deadline:
            self._reset_timeout(max(0.001, deadline - self.loop.time()))

    def expire(self, name: str) -> None:
        """421 and the end (RFC 5321 §3.8: a server may say it at any time)."""
        if self.transport is not None and not self._last_word:
            self._services.log.event("connection_cut", reason=name, session=self._peer.session_id, peer=self._peer.address)
            self._writer.write(replies.fixed(name))
            self._close()

    def drain(self) -> None:
        """The server is shutting down: now if nothing is going on, else after the present command."""
        if self._deadline is not None and not self._in_message:
            self.expire("shutdown")

    def _close(self) -> None:
        """Let what was said leave, but not for ever."""
        self._last_word = True
        if self.transport is not None:
            self.transport.close()
            self._reset_timeout(CLOSING_SECONDS)

    def _abort(self) -> None:
        if self.transport is not None:
            cast("asyncio.Transport", self.transport).abort()

    # ------------------------------------------------------------ reading and writing

    def _say(self, octets: bytes) -> None:
        self._unsent.append(octets)
        self._unsent_octets += len(octets)

    async def _flush(self) -> None:
        """Send the replies that have gathered."""
        if self._unsent:
            self._writer.write(b"".join(self._unsent))
            self._unsent.clear()
            self._unsent_octets = 0
            self._wait_until(self.loop.time() + self._door.limits.command_seconds)
            await self._writer.drain()
            self._deadline = None

    async def _read(self, octets: int, deadline: float) -> bytes:
        """The next octets from the network, at most so many; none at the end of the stream."""
        if self._unsent:
            await self._flush()
        self._wait_until(deadline)
        piece: bytes = await self._reader.read(octets)
        self._deadline = None
        return piece

    async def _next_line(self) -> bytes | Trouble | None:
        """The next command or answer; None at the end of the stream. One deadline for the whole line."""
        deadline = 0.0
        while (line := self._input.next_line()) is None:
            deadline = deadline or self.loop.time() + self._door.limits.command_seconds
            piece = await self._read(MAX_UNSENT_OCTETS, deadline)
            if not piece:
                return None
            self._input.feed(piece)
        return line

    # ------------------------------------------------------------ the conversation

    async def _handle_client(self) -> None:
        try:
            await self._converse()
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass  # the other end is gone
        except asyncio.CancelledError:
            if self.transport is not None:
                raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the peer hears 421 and the log has the rest
            self._services.log.event(
                "session_failed", session=self._peer.session_id, error=repr(error), where=traceback.format_exc(limit=-8)
            )
            self.expire("failed")
        finally:
            self._drop_reception()
            if self.transport is not None and not self._last_word:
                self._close()

    async def _converse(self) -> None:
        core = self._core
        self._say(replies.reply("greeting", hostname=self._door.hostname).encode(core.voice))
        while not self._last_word:
            if self._server.draining:
                await self._flush()
                self.expire("shutdown")
                return
            line = await self._next_line()
            if line is None:
                return
            if line is Trouble.BARE:
                await self._answer(core.bare_line_end())
            elif line is Trouble.TOO_LONG:
                await self._answer(core.line_too_long())
            else:
                assert isinstance(line, bytes)
                await self._answer(core.receive(line))
            if self._unsent_octets > MAX_UNSENT_OCTETS:
                await self._flush()

    async def _answer(self, answer: Reply | steps.Action) -> None:
        """Say a reply, or do what the session asks and say what comes of it."""
        while not isinstance(answer, Reply):
            if isinstance(answer, Close):
                self._say(answer.reply.encode(self._core.voice))
                await self._flush()
                self._close()
                return
            done = await self._do(answer)
            if done is None:
                return
            answer = done
        if self._reception is not None and self._core.transaction is None:
            self._drop_reception()  # RSET or EHLO between two chunks
        self._say(answer.encode(self._core.voice))

    async def _do(self, asked: steps.Action) -> Reply | Close | None:
        match asked:
            case steps.AskSender():
                return await self._ask_sender(asked)
            case steps.AskRecipient():
                return await self._ask_recipient(asked)
            case steps.ReadMessage():
                return await self._read_message()
            case steps.ReadChunk():
                return await self._read_chunk(asked)
            case steps.StartTls():
                await self._start_tls()
                return None
            case steps.Authenticate():
                return await self._sign_in(asked)
            case Close():
                return asked

    def _drop_reception(self) -> None:
        reception, self._reception, self._chunks = self._reception, None, None
        if reception is not None:
            reception.abort()

    # ------------------------------------------------------------ the envelope

    def _client(self) -> Client:
        return Client(self._door.role, self._peer, self._core.helo, self._core.protocol, self._signed_in)

    async def _ask_sender(self, asked: steps.AskSender) -> Reply | Close:
        self._services.note("smtp MAIL")
        trace = trace_id(self._services.clock.now_us())
        refusal = await self._services.mailflow.check_sender(
            asked.path.address, self._client(), trace, declared_octets=asked.parameters.size
        )
        return self._core.sender_answered(asked, trace, refusal)

    async def _ask_recipient(self, asked: steps.AskRecipient) -> Reply | Close:
        transaction = self._core.transaction
        assert transaction is not None
        answer = await self._services.mailflow.check_recipient(
            asked.path.local,
            asked.path.domain,
            self._client(),
            transaction.trace_id,
            declared_octets=transaction.parameters.size,
            notify=asked.parameters.notify,
            orcpt=asked.parameters.orcpt,
        )
        return self._core.recipient_answered(answer)

    def _begin(self) -> Reception:
        transaction = self._core.transaction
        assert transaction is not None
        parameters = transaction.parameters
        return self._services.mailflow.begin(
            Envelope(
                trace_id=transaction.trace_id,
                client=self._client(),
                sender=transaction.sender.address,
                recipients=tuple(transaction.recipients),
                smtputf8=parameters.smtputf8,
                body=parameters.body,
                declared_octets=parameters.size,
                ret=parameters.ret,
                envid=parameters.envid,
            )
        )

    # ------------------------------------------------------------ the message

    async def _read_message(self) -> Reply | Close:
        """DATA: everything up to CRLF.CRLF, in the pieces in which it arrives."""
        self._say(DATA.encode(self._core.voice))
        decoder = DotDecoder(repair_lf=self._core.repair_lf)
        reception = self._reception = self._begin()
        pace = _Pace(self.loop, self._door.limits)
        self._in_message = True
        while not decoder.ended:
            piece = self._input.take() or await self._read(READ_OCTETS, pace.deadline())
            if not piece:
                raise ConnectionAbortedError  # it was not a message: nothing has been promised
            if pace.too_slow(len(piece)):
                return Close(replies.reply("too-slow"))
            octets = decoder.feed(piece)
            if decoder.bare_line_end:
                reception.abort()
            elif octets:
                await reception.write(octets)
        self._in_message = False
        self._input.feed(decoder.rest)
        return await self._ended(reception, bare_line_end=decoder.bare_line_end)

    async def _read_chunk(self, asked: steps.ReadChunk) -> Reply | Close:
        """BDAT: exactly so many octets (RFC 3030)."""
        if asked.refusal is None and self._reception is None:
            transaction = self._core.transaction
            assert transaction is not None
            self._reception = self._begin()
            binary = transaction.parameters.body == "BINARYMIME"
            self._chunks = ChunkDecoder(repair_lf=self._core.repair_lf, binary=binary)
        if not await self._swallow_chunk(asked):
            return Close(replies.reply("too-slow"))
        if asked.refusal is not None:
            self._drop_reception()
            return self._core.chunk_refused(asked.refusal)
        if not asked.last:
            return self._core.chunk_ended(asked.octets)
        reception, chunks = self._reception, self._chunks
        assert reception is not None
        assert chunks is not None
        await reception.write(chunks.close())
        return await self._ended(reception, bare_line_end=chunks.bare_line_end)

    async def _swallow_chunk(self, asked: steps.ReadChunk) -> bool:
        """Read a chunk into the reception, or into nothing where it is refused; False: too slow."""
        left = asked.octets
        pace = _Pace(self.loop, self._door.limits)
        self._in_message = True
        while left:
            piece = self._input.take(left) or await self._read(min(left, READ_OCTETS), pace.deadline())
            if not piece:
                raise ConnectionAbortedError
            if pace.too_slow(len(piece)):
                return False
            left -= len(piece)
            if asked.refusal is None:
                assert self._reception is not None
                assert self._chunks is not None
                await self._reception.write(self._chunks.feed(piece))
        self._in_message = False
        return True

    async def _ended(self, reception: Reception, *, bare_line_end: bool) -> Reply | Close:
        """The message is complete: 250 only for what is durable."""
        outcome: Accepted | Refusal | Reply
        transaction = self._core.transaction
        assert transaction is not None
        if bare_line_end:
            reception.abort()
            self._services.log.event(
                "message_refused",
                trace=transaction.trace_id,
                reason="bare-line-end",
                sender=transaction.sender.address,
                peer=self._peer.address,
            )
            outcome = replies.reply("bare-line-end-in-message", transaction.trace_id)
        else:
            outcome = await reception.finish()
        self._reception = self._chunks = None
        return self._core.message_ended(outcome)

    # ------------------------------------------------------------ TLS and sign-in

    async def _start_tls(self) -> None:
        """RFC 3207. Whatever was pipelined behind STARTTLS in clear is dropped: it is not from the client that we trust."""
        assert self._services.tls is not None
        transport = cast("asyncio.Transport", self.transport)  # uvloop's are no subclasses of it
        transport.pause_reading()
        self._forget_input()
        self._say(replies.fixed("start-tls"))
        await self._flush()
        self._wait_until(self.loop.time() + 2 * HANDSHAKE_SECONDS)
        secured = await self.loop.start_tls(
            transport, self, self._services.tls.context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )
        self._deadline = None
        if secured is None:
            raise ConnectionAbortedError
        self._speak_through(secured)
        self._drop_reception()
        self._signed_in = None
        self._core.tls_started()
        self._peer = self._describe(secured)

    def _forget_input(self) -> None:
        """Nothing that was read in clear, here or in the stream, may be read again."""
        self._input.clear()
        # asyncio's stream has no public way to drop what it holds.
        self._reader._buffer.clear()  # type: ignore[attr-defined]
        self._reader._paused = False  # type: ignore[attr-defined]

    def _speak_through(self, transport: asyncio.Transport) -> None:
        """What `StreamWriter.start_tls` does, which Python 3.11 does by halves."""
        self._over_ssl = True
        self.transport = transport
        self._reader._transport = transport  # type: ignore[attr-defined]  # flow control has to stop the new one
        self._writer._transport = transport  # type: ignore[attr-defined]

    async def _sign_in(self, asked: steps.Authenticate) -> Reply | Close:
        """RFC 4954 §4: challenges and answers in base64, `*` gives up."""
        dialog = self._services.access.begin(asked.mechanism, self._peer)
        octets = None if asked.initial is None else _unbase64(asked.initial)
        if asked.initial is not None and octets is None:
            return self._core.sign_in_refused(replies.reply("auth-syntax"))
        while True:
            answer = await dialog.step(octets)
            if isinstance(answer, SignedIn):
                self._signed_in = answer
                return self._core.signed_in(answer.address)
            if not isinstance(answer, Challenge):
                refusal = replies.of_sign_in(answer.kind, answer.text)
                return Close(refusal) if refusal.code == 421 else self._core.sign_in_refused(refusal)
            self._say(b"334 " + base64.b64encode(answer.data) + b"\r\n")
            line = await self._next_line()
            if line is None:
                raise ConnectionAbortedError
            if line is Trouble.BARE:
                return self._core.bare_line_end()
            if line is Trouble.TOO_LONG:
                return self._core.sign_in_refused(replies.reply("auth-line-too-long"))
            assert isinstance(line, bytes)
            if line == b"*":
                return self._core.sign_in_refused(replies.reply("auth-cancelled"))
            octets = _unbase64(line)
            if octets is None:
                return self._core.sign_in_refused(replies.reply("auth-syntax"))


class _Pace:
    """How long one message may take: each read, and, after a while, its average rate."""

    __slots__ = ("_began", "_limits", "_loop", "_octets")

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._loop = loop
        self._limits = limits
        self._began = loop.time()
        self._octets = 0

    def deadline(self) -> float:
        return self._loop.time() + self._limits.data_seconds

    def too_slow(self, octets: int) -> bool:
        self._octets += octets
        seconds = self._loop.time() - self._began
        return seconds > self._limits.message_seconds and self._octets < seconds * self._limits.slowest_octets_per_second


def _unbase64(text: bytes) -> bytes | None:
    """RFC 4954 §4: `=` alone is the empty response."""
    if text == b"=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
