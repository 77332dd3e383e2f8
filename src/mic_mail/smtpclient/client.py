"""A connection to another mail server, over which one message after the other is sent.

In: an address, how TLS is wanted, messages with their recipients. Out: for each recipient what the server said. Belongs to a
loop. `PeerTrouble` says that this server cannot be used now, so that the next one is tried; of recipients it says nothing.

    open       greeting -> EHLO (HELO where it is not known) -> STARTTLS, where both can -> EHLO
    send       MAIL, each RCPT and DATA in one go where PIPELINING is offered (RFC 2920), else one by one; then the message
    close      QUIT, without waiting long

Whatever came before TLS began is forgotten, and a server that says more then than it was asked is hung up on (RFC 3207 §4.2).
Each step has the time that RFC 5321 §4.5.3.2 gives it. What has no lines to be sent by (BINARYMIME) goes by BDAT (RFC 3030).
"""

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from mic_mail.errors import in_ascii
from mic_mail.mime.dot_stuffing import Stuffing
from mic_mail.smtpclient import auth, commands
from mic_mail.smtpclient.commands import NOTHING, Addressee, CannotSend, Offer, Sending
from mic_mail.smtpclient.replies import BadReply, Replies, Reply, shortened
from mic_mail.smtpclient.tls_policy import IN_THE_OPEN, Secured, TlsLevel

SLICE_OCTETS = 64 << 10


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for each step; the defaults are RFC 5321's §4.5.3.2."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    slice: float = 180.0
    end: float = 600.0
    quit: float = 5.0


class Step(StrEnum):
    """Where it failed."""

    CONNECT = "connect"
    GREETING = "greeting"
    HELLO = "hello"
    TLS = "tls"
    AUTH = "auth"
    TALK = "talk"
    END = "end"
    """After the whole message was sent: whether it was taken nobody knows."""


class PeerTrouble(Exception):
    """The connection is of no use: the next address, the next host or a later try. The text is for logs and reports.

    `lasting` is the status (RFC 3463) for a message that has to be protected and cannot be there: no disturbance, but how that
    server is (RFC 8689 §4.2.1).
    """

    def __init__(self, step: Step, text: str, *, lasting: str | None = None) -> None:
        super().__init__(text)
        self.step = step
        self.text = in_ascii(text)
        self.lasting = lasting

    def beside(self, earlier: "PeerTrouble | None") -> "PeerTrouble":
        """Which of two troubles with servers of one domain is told: what may be otherwise later, before what lasts."""
        return earlier if earlier is not None and self.lasting is not None and earlier.lasting is None else self


class RecipientResult(StrEnum):
    """What became of one recipient."""

    DELIVERED = "delivered"
    """The other server has it, and answers for it from now on."""
    DEFERRED = "deferred"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """What the server said about one recipient, at RCPT or at the end of the message."""

    fate: RecipientResult
    status: str
    """Enhanced code (RFC 3463)."""
    text: str
    reply: Reply | None = None

    @property
    def is_one_too_many(self) -> bool:
        """Whether it was the number of recipients, which another transaction does not have (RFC 5321 §4.5.3.1.10)."""
        reply = self.reply
        if self.fate is not RecipientResult.DEFERRED or reply is None:
            return False
        return (reply.code, reply.enhanced) in ((452, "4.5.3"), (452, None), (552, None))


class Wire(asyncio.Protocol):
    """Octets in and out; replies as they come."""

    def __init__(self) -> None:
        self.replies = Replies()
        self._transport: asyncio.Transport | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._end: BaseException | None = None
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by their class

    def data_received(self, data: bytes) -> None:
        try:
            self.replies.feed(data)
        except BadReply as error:
            self._fail(error)
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("the connection was closed"))

    def _fail(self, error: BaseException) -> None:
        self._end = self._end or error
        self._news.set()
        self._room.set()
        self.abort()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None, "there is a connection"
        return self._transport

    def write(self, octets: bytes) -> None:
        if not (self.is_over or self.transport.is_closing()):  # uvloop takes nothing for what is gone
            self.transport.write(octets)

    async def drained(self) -> None:
        """Wait until the other side has taken most of what was written."""
        await self._room.wait()

    async def reply(self) -> Reply:
        """The next one; what has come whole before the connection ended counts."""
        while True:
            found = self.replies.next_reply()
            if found is not None:
                return found
            if self._end is not None:
                raise self._end
            self._news.clear()
            await self._news.wait()

    def abort(self) -> None:
        self.is_over = True
        if self._transport is not None:
            self._transport.abort()


class SmtpClient:
    """One connection that is open; for one message at a time."""

    def __init__(self, wire: Wire, hello: str, patience: Patience) -> None:
        self._wire = wire
        self._hello = hello
        self._patience = patience
        self.offer = NOTHING
        self.secured = IN_THE_OPEN
        self.sent = 0
        """Messages over this connection."""
        self.without_tls: PeerTrouble | None = None
        """Why it is in the open though the server offers TLS."""
        self._knows_secret = False
        """Whether it was told a password: what is no reply may be that, sent back, and is quoted nowhere."""

    @classmethod
    async def connect(
        cls,
        address: str,
        port: int,
        hello: str,
        patience: Patience,
        *,
        source: str | None = None,
        tls: tuple[ssl.SSLContext, str, TlsLevel] | None = None,
    ) -> "SmtpClient":
        """Connected, greeted, and introduced as `hello`; `tls`: from the first octet, by that context, to that name."""
        loop = asyncio.get_running_loop()
        context, name, by = tls or (None, None, TlsLevel.NONE)
        try:
            async with asyncio.timeout(patience.connect):
                local = (source, 0) if source is not None else None
                _, wire = await loop.create_connection(Wire, address, port, local_addr=local, ssl=context, server_hostname=name)
        except ssl.SSLError as error:
            raise _no_tls(error) from error
        except (OSError, TimeoutError) as error:
            raise PeerTrouble(Step.CONNECT, f"{address}:{port}: {str(error) or 'no answer'}") from error
        peer = cls(wire, hello, patience)
        if tls is not None:
            peer.secured = Secured.of(wire.transport.get_extra_info("ssl_object"), by)
        try:
            greeting = await peer._reply(Step.GREETING, patience.greeting)
            if greeting.code != 220:
                raise PeerTrouble(Step.GREETING, greeting.text)
            await peer._introduce()
        except BaseException:
            wire.abort()
            raise
        return peer

    async def start_tls(
        self, context: ssl.SSLContext, name: str | None, by: TlsLevel = TlsLevel.OPPORTUNISTIC
    ) -> ssl.SSLObject:
        """TLS from now on; its session, for a look at the certificate. `name`: for SNI and, by `context`, the check.

        `by`: what the far end is known by, when the check is over. Where there is no TLS there is no connection any more.
        """
        reply = await self._ask(b"STARTTLS\r\n", Step.TLS)
        if reply.code != 220:
            self._wire.abort()
            raise PeerTrouble(Step.TLS, reply.text)
        if not self._wire.replies.is_empty:
            self._wire.abort()
            raise PeerTrouble(Step.TLS, "the server went on in the open after STARTTLS (RFC 3207, 4.2)")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience.command):
                secured = await loop.start_tls(self._wire.transport, self._wire, context, server_hostname=name)
        except (OSError, ssl.SSLError, TimeoutError, ValueError) as error:  # ValueError: a name that no certificate can have
            self._wire.abort()
            raise _no_tls(error) from error
        if secured is None:
            raise PeerTrouble(Step.TLS, "the connection was closed in the handshake")
        self._wire.connection_made(secured)
        self.offer = NOTHING
        session: ssl.SSLObject = secured.get_extra_info("ssl_object")
        self.secured = Secured.of(session, by)
        await self._introduce()
        return session

    async def sign_in(self, login: str, password: str) -> None:
        """As `login`, by the best way that is offered. Never in the open."""
        assert self.secured.by in (TlsLevel.NAME, TlsLevel.DANE, TlsLevel.STS), "a password goes to whom it was meant for alone"
        name = auth.way(self.offer.extensions.get("AUTH", ""))
        if name is None:
            raise PeerTrouble(Step.AUTH, "no way of signing in is offered that is known here (SCRAM-SHA-256, PLAIN, LOGIN)")
        exchange = auth.ctx(name, login, password, secrets.token_hex(18))
        said = [auth.encoded(next(exchange))]
        self._knows_secret = True
        try:
            reply = await self._ask_to_sign_in(name, said[0])
            while reply.code == 334:
                challenge = auth.decoded(" ".join(reply.lines))
                said.append(auth.encoded(await asyncio.to_thread(auth.answer, exchange, challenge)))
                reply = await self._ask(said[-1] + b"\r\n", Step.AUTH)
            if reply.code != 235:
                raise PeerTrouble(Step.AUTH, shortened(auth.without_secrets(reply.whole, password, said)))
            auth.finish(exchange)
        except auth.SignInFailed as error:
            if reply.code == 334:
                with contextlib.suppress(PeerTrouble):
                    await self._ask(b"*\r\n", Step.AUTH)  # RFC 4954 §4: so an exchange is given up
            raise PeerTrouble(Step.AUTH, str(error)) from error

    async def _ask_to_sign_in(self, name: str, first: bytes) -> Reply:
        """With the first response, unless that would be too long a line (RFC 4954 §4)."""
        begin = f"AUTH {name}".encode()
        in_one = b"%b %b\r\n" % (begin, first)
        if first and len(in_one) <= commands.LONGEST_LINE:
            return await self._ask(in_one, Step.AUTH)
        reply = await self._ask(begin + b"\r\n", Step.AUTH)
        return await self._ask(first + b"\r\n", Step.AUTH) if first and reply.code == 334 else reply

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended."""
        return self._wire.is_over

    @property
    def may_serve(self) -> bool:
        """Whether another message may go over it. What was said without being asked (a farewell, a reply too many) would be
        taken for an answer to the next command."""
        return not self._wire.is_over and self._wire.replies.is_empty

    # ------------------------------------------------------------ one message

    async def send(self, sending: Sending, addressees: Sequence[Addressee], pieces: AsyncIterator[bytes]) -> list[Result]:
        """Send it to all of them; what became of each, in their order. `pieces`: the message as it leaves the house."""
        try:
            mail = commands.mail(sending, self.offer)
        except CannotSend as refusal:
            return [Result(RecipientResult.FAILED, refusal.status, refusal.text.en)] * len(addressees)
        found: list[Result | None] = []
        lines: list[bytes] = []
        for addressee in addressees:
            try:
                lines.append(commands.rcpt(addressee, self.offer, utf8=sending.smtputf8))
                found.append(None)
            except CannotSend as refusal:
                found.append(Result(RecipientResult.FAILED, refusal.status, refusal.text.en))
        if lines:
            self.sent += 1
            heard = iter(await self._transact(mail, lines, pieces, by_bdat=sending.body == commands.BINARYMIME))
            found = [next(heard) if each is None else each for each in found]
        return [each for each in found if each is not None]

    async def _transact(
        self, mail: bytes, lines: Sequence[bytes], pieces: AsyncIterator[bytes], *, by_bdat: bool
    ) -> Sequence[Result]:
        with_data = not by_bdat and self.offer.has("PIPELINING")
        replies = await self._envelope(mail, lines, with_data=with_data)
        if isinstance(replies, Result):
            await self._reset()
            return [replies] * len(lines)
        results = [None if reply.is_positive else _refused(reply, at_rcpt=True) for reply in replies]
        if all(results):
            if with_data:
                await self._give_up_data()
            await self._reset()
            return [each for each in results if each is not None]
        last = await (self._by_bdat(pieces) if by_bdat else self._by_data(pieces, begun=with_data))
        outcome = _accepted(last) if last.is_positive else _refused(last)
        if not last.is_positive:
            await self._reset()
        return [each or outcome for each in results]

    async def _envelope(self, mail: bytes, lines: Sequence[bytes], *, with_data: bool) -> Sequence[Reply] | Result:
        """The replies to each RCPT; a `Result` for all where MAIL was refused."""
        if not self.offer.has("PIPELINING"):
            first = await self._ask(mail)
            if not first.is_positive:
                return _refused(first)
            return [await self._ask(line) for line in lines]
        self._wire.write(mail + b"".join(lines) + (b"DATA\r\n" if with_data else b""))
        first = await self._reply()
        if first.is_positive:
            return [await self._reply() for _ in lines]
        with contextlib.suppress(PeerTrouble):  # who refuses may hang up at once: the refusal counts
            for _ in lines:
                await self._reply()
            if with_data:
                await self._give_up_data()
        return _refused(first)

    async def _give_up_data(self) -> None:
        """Nobody takes it, and DATA was said with the rest: who begins all the same gets an empty message (RFC 2920 §3.1)."""
        if (await self._reply(seconds=self._patience.data)).code == 354:
            self._wire.write(b".\r\n")
            await self._reply()

    async def _by_data(self, pieces: AsyncIterator[bytes], *, begun: bool) -> Reply:
        if not begun:
            self._wire.write(b"DATA\r\n")
        reply = await self._reply(seconds=self._patience.data)
        if reply.code != 354:
            return _negative(reply)
        stuffing = Stuffing()
        async for piece in pieces:
            await self._put(stuffing.feed(piece))
            if (early := self._early_refusal()) is not None:
                return early
        await self._put(stuffing.end())
        return await self._reply(Step.END, self._patience.end)

    def _early_refusal(self) -> Reply | None:
        """What was said before the end of the message: a refusal, after which nothing more is sent. Who promises to have what
        he has not seen yet answers to something else, and who has hung up has taken nothing: another server may be asked."""
        try:
            early = self._wire.replies.next_reply()
        except BadReply as error:
            self._wire.abort()
            raise PeerTrouble(Step.TALK, str(error)) from error
        if early is None and not self._wire.is_over:
            return None
        self._wire.abort()
        if early is None:
            raise PeerTrouble(Step.TALK, "the connection was closed before the end of the message")
        if early.code < 400 or early.code == 421:
            raise PeerTrouble(Step.TALK, f"said before the end of the message: {early.text}")
        return early

    async def _by_bdat(self, pieces: AsyncIterator[bytes]) -> Reply:
        """Chunk by chunk: what a server refuses in the middle it is not sent the rest of (RFC 3030 §2)."""
        before = b""
        async for piece in pieces:
            if before:
                reply = await self._chunk(before, last=False)
                if not reply.is_positive:
                    return reply
            before = piece
        return await self._chunk(before, last=True)

    async def _chunk(self, octets: bytes, *, last: bool) -> Reply:
        if (early := self._early_refusal()) is not None:
            return early
        self._wire.write(b"BDAT %d%b\r\n" % (len(octets), b" LAST" if last else b""))
        await self._put(octets)
        if last:
            reply = await self._reply(Step.END, self._patience.end)
        else:
            reply = await self._reply(seconds=self._patience.slice)
        return reply if reply.code == 250 else _negative(reply)

    async def _put(self, octets: bytes) -> None:
        self._wire.write(octets)
        try:
            async with asyncio.timeout(self._patience.slice):
                await self._wire.drained()
        except TimeoutError as error:
            self._wire.abort()
            raise PeerTrouble(Step.TALK, "the server does not take the message") from error

    async def _reset(self) -> None:
        """Ready for the next message, if the server is there still."""
        if self._wire.is_over:
            return
        try:
            reply = await self._ask(b"RSET\r\n")
        except PeerTrouble:
            return
        if not reply.is_positive:
            self._wire.abort()

    # ------------------------------------------------------------ words

    async def _introduce(self) -> None:
        reply = await self._ask(f"EHLO {self._hello}\r\n".encode(), Step.HELLO)
        if reply.is_positive:
            self.offer = Offer.of(reply)
            return
        if reply.code == 421:
            raise PeerTrouble(Step.HELLO, reply.text)
        reply = await self._ask(f"HELO {self._hello}\r\n".encode(), Step.HELLO)
        if not reply.is_positive:
            raise PeerTrouble(Step.HELLO, reply.text)

    async def _ask(self, line: bytes, step: Step = Step.TALK) -> Reply:
        self._wire.write(line)
        return await self._reply(step)

    async def _reply(self, step: Step = Step.TALK, seconds: float | None = None) -> Reply:
        try:
            async with asyncio.timeout(seconds or self._patience.command):
                reply = await self._wire.reply()
        except TimeoutError as error:
            self._wire.abort()
            raise PeerTrouble(step, "no answer in time") from error
        except BadReply as error:
            self._wire.abort()
            raise PeerTrouble(step, "the answer is no reply (RFC 5321)" if self._knows_secret else str(error)) from error
        except OSError as error:
            self._wire.abort()
            raise PeerTrouble(step, str(error) or "the connection was closed") from error
        if reply.code == 421 and step is Step.TALK:  # RFC 5321 §3.8: to any command, and then it closes
            self._wire.abort()
            raise PeerTrouble(step, reply.text)
        return reply

    def abort(self) -> None:
        """Hang up without a word: whatever was half said is not taken."""
        self._wire.abort()

    async def close(self) -> None:
        """Say goodbye; nobody waits long for the answer."""
        if not self._wire.is_over:
            with contextlib.suppress(PeerTrouble, TimeoutError):
                async with asyncio.timeout(self._patience.quit):
                    await self._ask(b"QUIT\r\n")
        self._wire.abort()


def _no_tls(error: Exception) -> PeerTrouble:
    """A certificate that does not fit is so the next time too; whatever else breaks a handshake perhaps not."""
    lasting = "5.7.10" if isinstance(error, ssl.SSLCertVerificationError) else None
    return PeerTrouble(Step.TLS, str(error) or "no answer to the handshake", lasting=lasting)


def _accepted(reply: Reply) -> Result:
    return Result(RecipientResult.DELIVERED, reply.enhanced or "2.0.0", reply.text, reply)


def _refused(reply: Reply, *, at_rcpt: bool = False) -> Result:
    """RFC 5321 §4.5.3.1.10: 552 to RCPT says, of old, that there are too many of them, which is temporary."""
    permanent = reply.is_permanent and not (at_rcpt and reply.code == 552 and reply.enhanced is None)
    fate = RecipientResult.FAILED if permanent else RecipientResult.DEFERRED
    return Result(fate, reply.enhanced or ("5.0.0" if permanent else "4.0.0"), reply.text, reply)


def _negative(reply: Reply) -> Reply:
    """What does not refuse, and is not what was asked for either, is no permission."""
    return reply if reply.code >= 400 else Reply(451, reply.lines)
