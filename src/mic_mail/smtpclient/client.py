"""An SMTP client connection, over which messages are sent one after another.

In: an address, the TLS requirement, messages with their recipients. Out: the server's reply for each recipient. Bound to an
event loop. `PeerTrouble` means that this server cannot be used now, so that the next one is tried; it says nothing about
recipients.

    open       greeting -> EHLO (HELO where it is unknown) -> STARTTLS, where both support it -> EHLO
    send       MAIL, each RCPT and DATA in one write where PIPELINING is offered (RFC 2920), else one by one; then the message
    close      QUIT, without waiting long

Everything learned before TLS is discarded, and a server that sends more than the reply to STARTTLS is disconnected (RFC 3207
§4.2). Each step has the timeout of RFC 5321 §4.5.3.2. Content that has no lines (BINARYMIME) goes by BDAT (RFC 3030).
"""

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from mic_mail.errors import Text, in_ascii
from mic_mail.mime.dot_stuffing import Stuffing
from mic_mail.queue.queue import QueueRecipient
from mic_mail.smtpclient import auth, commands
from mic_mail.smtpclient.commands import NOTHING, CannotSend, EhloResponse, MailParameters
from mic_mail.smtpclient.replies import BadReply, Reply, shortened
from mic_mail.smtpclient.results import PeerTrouble, RecipientResult, Result, Step
from mic_mail.smtpclient.tls_requirements import IN_THE_OPEN, Secured, TlsLevel
from mic_mail.smtpclient.wire import Wire

SLICE_OCTETS = 64 << 10


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts in seconds for each step; the defaults follow RFC 5321 §4.5.3.2."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    slice: float = 180.0
    end: float = 600.0
    quit: float = 5.0


_CLOSED = Text("kết nối bị ngắt", "the connection was closed")
_NO_REPLY = Text("câu trả lời không theo giao thức (RFC 5321)", "the response is not an SMTP reply (RFC 5321)")


class SmtpClient:
    """One open connection, for one message at a time."""

    def __init__(self, wire: Wire, hello: str, timeouts: Timeouts) -> None:
        self._wire = wire
        self._hello = hello
        self._timeouts = timeouts
        self.offer = NOTHING
        self.secured = IN_THE_OPEN
        self.sent = 0
        """Messages sent over this connection."""
        self.without_tls: PeerTrouble | None = None
        """The reason for plain text although the server offers TLS."""
        self._knows_secret = False
        """True once a password was sent.

        Malformed replies may echo it, and are then not quoted anywhere.
        """

    @classmethod
    async def connect(
        cls,
        address: str,
        port: int,
        hello: str,
        timeouts: Timeouts,
        *,
        source: str | None = None,
        tls: tuple[ssl.SSLContext, str, TlsLevel] | None = None,
    ) -> "SmtpClient":
        """Connect, read the greeting and send EHLO as `hello`.

        `tls` is for implicit TLS from the first octet: context, name and the level it establishes.
        """
        loop = asyncio.get_running_loop()
        context, name, by = tls or (None, None, TlsLevel.NONE)
        try:
            async with asyncio.timeout(timeouts.connect):
                local = (source, 0) if source is not None else None
                _, wire = await loop.create_connection(Wire, address, port, local_addr=local, ssl=context, server_hostname=name)
        except ssl.SSLError as error:
            raise _no_tls(error) from error
        except (OSError, TimeoutError) as error:
            why = in_ascii(error)
            raise PeerTrouble(
                Step.CONNECT,
                Text(
                    f"không kết nối được tới {address}:{port} ({why or 'không trả lời'})",
                    f"{address}:{port}: {why or 'no answer'}",
                ),
            ) from error
        peer = cls(wire, hello, timeouts)
        if tls is not None:
            peer.secured = Secured.of(wire.transport.get_extra_info("ssl_object"), by)
        try:
            greeting = await peer._reply(Step.GREETING, timeouts.greeting)
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
        """Start TLS and return its session, for inspection of the certificate.

        `name` is for SNI and, depending on `context`, verification. `by` is the level reached once verification is done.
        Without TLS the connection is closed.
        """
        reply = await self._ask(b"STARTTLS\r\n", Step.TLS)
        if reply.code != 220:
            raise self._aborted(Step.TLS, reply.text)
        if not self._wire.replies.is_empty:
            raise self._aborted(
                Step.TLS,
                Text(
                    "máy chủ gửi tiếp không mã hóa sau STARTTLS (RFC 3207, 4.2)",
                    "the server sent plain text after STARTTLS (RFC 3207, 4.2)",
                ),
            )
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeouts.command):
                secured = await loop.start_tls(self._wire.transport, self._wire, context, server_hostname=name)
        except (OSError, ssl.SSLError, TimeoutError, ValueError) as error:  # ValueError: a name that no certificate can have
            self._wire.abort()
            raise _no_tls(error) from error
        if secured is None:
            raise PeerTrouble(
                Step.TLS, Text("kết nối bị ngắt khi bắt tay TLS", "the connection was closed during the TLS handshake")
            )
        self._wire.connection_made(secured)
        self.offer = NOTHING
        session: ssl.SSLObject = secured.get_extra_info("ssl_object")
        self.secured = Secured.of(session, by)
        await self._introduce()
        return session

    async def sign_in(self, login: str, password: str) -> None:
        """Authenticate as `login` by the best mechanism offered. Never in plain text."""
        assert self.secured.by in (TlsLevel.NAME, TlsLevel.DANE, TlsLevel.STS), "a password goes to whom it was meant for alone"
        name = auth.best_mechanism(self.offer.extensions.get("AUTH", ""))
        if name is None:
            raise PeerTrouble(
                Step.AUTH,
                Text(
                    "máy chủ không có cách đăng nhập nào dùng được ở đây (SCRAM-SHA-256, PLAIN, LOGIN)",
                    "the server offers no supported authentication mechanism (SCRAM-SHA-256, PLAIN, LOGIN)",
                ),
            )
        exchange = auth.begin(name, login, password, secrets.token_hex(18))
        responses = [auth.encoded(next(exchange))]
        self._knows_secret = True
        try:
            reply = await self._ask_to_sign_in(name, responses[0])
            while reply.code == 334:
                challenge = auth.decoded(" ".join(reply.lines))
                responses.append(auth.encoded(await asyncio.to_thread(auth.answer, exchange, challenge)))
                reply = await self._ask(responses[-1] + b"\r\n", Step.AUTH)
            if reply.code != 235:
                raise PeerTrouble(Step.AUTH, shortened(auth.without_secrets(reply.whole, password, responses)))
            auth.finish(exchange)
        except auth.SignInFailed as error:
            if reply.code == 334:
                with contextlib.suppress(PeerTrouble):
                    await self._ask(b"*\r\n", Step.AUTH)  # RFC 4954 §4: cancels the exchange
            raise PeerTrouble(Step.AUTH, error.text) from error

    async def _ask_to_sign_in(self, name: str, first: bytes) -> Reply:
        """Send AUTH with the initial response, unless the line would be too long (RFC 4954 §4)."""
        begin = f"AUTH {name}".encode()
        in_one = b"%b %b\r\n" % (begin, first)
        if first and len(in_one) <= commands.LONGEST_LINE:
            return await self._ask(in_one, Step.AUTH)
        reply = await self._ask(begin + b"\r\n", Step.AUTH)
        return await self._ask(first + b"\r\n", Step.AUTH) if first and reply.code == 334 else reply

    @property
    def is_over(self) -> bool:
        """True once the connection has ended."""
        return self._wire.is_over

    @property
    def may_serve(self) -> bool:
        """True if another message may be sent over it.

        Unsolicited octets (a farewell, an extra reply) would be taken for the reply to the next command.
        """
        return not self._wire.is_over and self._wire.replies.is_empty

    # ------------------------------------------------------------ one message

    async def send(
        self, sending: MailParameters, recipients: Sequence[QueueRecipient], chunks: AsyncIterator[bytes]
    ) -> list[Result]:
        """Send a message to all recipients; return their results in order.

        `chunks` is the message as it leaves this server.
        """
        try:
            mail = commands.mail(sending, self.offer)
        except CannotSend as refusal:
            return [Result(RecipientResult.FAILED, refusal.status, refusal.text)] * len(recipients)
        found: list[Result | None] = []
        lines: list[bytes] = []
        for recipient in recipients:
            try:
                lines.append(commands.rcpt(recipient, self.offer, utf8=sending.smtputf8))
                found.append(None)
            except CannotSend as refusal:
                found.append(Result(RecipientResult.FAILED, refusal.status, refusal.text))
        if lines:
            self.sent += 1
            results = iter(await self._transact(mail, lines, chunks, by_bdat=sending.body == commands.BINARYMIME))
            found = [next(results) if each is None else each for each in found]
        return [each for each in found if each is not None]

    async def _transact(
        self, mail: bytes, lines: Sequence[bytes], chunks: AsyncIterator[bytes], *, by_bdat: bool
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
        last = await (self._by_bdat(chunks) if by_bdat else self._by_data(chunks, begun=with_data))
        outcome = _accepted(last) if last.is_positive else _refused(last)
        if not last.is_positive:
            await self._reset()
        return [each or outcome for each in results]

    async def _envelope(self, mail: bytes, lines: Sequence[bytes], *, with_data: bool) -> Sequence[Reply] | Result:
        """Return the replies to each RCPT; a `Result` for all where MAIL was refused."""
        if not self.offer.has("PIPELINING"):
            first = await self._ask(mail)
            if not first.is_positive:
                return _refused(first)
            return [await self._ask(line) for line in lines]
        self._wire.write(mail + b"".join(lines) + (b"DATA\r\n" if with_data else b""))
        first = await self._reply()
        if first.is_positive:
            return [await self._reply() for _ in lines]
        with contextlib.suppress(PeerTrouble):  # a server that refuses may hang up immediately: the refusal counts
            for _ in lines:
                await self._reply()
            if with_data:
                await self._give_up_data()
        return _refused(first)

    async def _give_up_data(self) -> None:
        """Read the reply to a pipelined DATA after all recipients were refused.

        A server that starts all the same gets an empty message (RFC 2920 §3.1).
        """
        if (await self._reply(seconds=self._timeouts.data)).code == 354:
            self._wire.write(b".\r\n")
            await self._reply()

    async def _by_data(self, chunks: AsyncIterator[bytes], *, begun: bool) -> Reply:
        if not begun:
            self._wire.write(b"DATA\r\n")
        reply = await self._reply(seconds=self._timeouts.data)
        if reply.code != 354:
            return _negative(reply)
        stuffing, before = Stuffing(), b""
        async for chunk in chunks:
            if before:
                await self._put(before)
            if (early := self._early_refusal()) is not None:
                return early
            before = stuffing.feed(chunk)
        await self._put(before + stuffing.end())  # a message of one chunk is one system call
        return await self._reply(Step.END, self._timeouts.end)

    def _early_refusal(self) -> Reply | None:
        """Return a refusal sent before the end of the message, after which nothing more is sent.

        A server that accepts what it has not seen is replying to something else, and one that hung up has accepted nothing:
        another server may be tried.
        """
        try:
            early = self._wire.replies.next_reply()
        except BadReply as error:
            raise self._aborted(Step.TALK, error.text) from error
        if early is None and not self._wire.is_over:
            return None
        self._wire.abort()
        if early is None:
            raise PeerTrouble(
                Step.TALK,
                Text("kết nối bị ngắt khi chưa gửi hết thư", "the connection was closed before the end of the message"),
            )
        if early.code < 400 or early.code == 421:
            reply = in_ascii(early.text)
            raise PeerTrouble(
                Step.TALK,
                Text(
                    f"máy chủ trả lời khi chưa gửi hết thư: {reply}",
                    f"the server replied before the end of the message: {reply}",
                ),
            )
        return early

    async def _by_bdat(self, chunks: AsyncIterator[bytes]) -> Reply:
        """Send the message in BDAT chunks; stop at the first refusal (RFC 3030 §2)."""
        before = b""
        async for chunk in chunks:
            if before:
                reply = await self._chunk(before, last=False)
                if not reply.is_positive:
                    return reply
            before = chunk
        return await self._chunk(before, last=True)

    async def _chunk(self, octets: bytes, *, last: bool) -> Reply:
        if (early := self._early_refusal()) is not None:
            return early
        self._wire.write(b"BDAT %d%b\r\n" % (len(octets), b" LAST" if last else b""))
        await self._put(octets)
        if last:
            reply = await self._reply(Step.END, self._timeouts.end)
        else:
            reply = await self._reply(seconds=self._timeouts.slice)
        return reply if reply.code == 250 else _negative(reply)

    async def _put(self, octets: bytes) -> None:
        self._wire.write(octets)
        if self._wire.is_drained:
            return
        try:
            async with asyncio.timeout(self._timeouts.slice):
                await self._wire.drained()
        except TimeoutError as error:
            raise self._aborted(
                Step.TALK, Text("máy chủ không nhận tiếp nội dung thư", "the server does not accept the message")
            ) from error

    async def _reset(self) -> None:
        """Make the connection ready for the next message, if it is still open."""
        if self._wire.is_over:
            return
        try:
            reply = await self._ask(b"RSET\r\n")
        except PeerTrouble:
            return
        if not reply.is_positive:
            self._wire.abort()

    # ------------------------------------------------------------ commands and replies

    async def _introduce(self) -> None:
        reply = await self._ask(f"EHLO {self._hello}\r\n".encode(), Step.HELLO)
        if reply.is_positive:
            self.offer = EhloResponse.of(reply)
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
            reply = self._wire.replies.next_reply()
            if reply is None:  # the replies to pipelined commands arrive together: only the first is waited for
                async with asyncio.timeout(seconds or self._timeouts.command):
                    reply = await self._wire.reply()
        except TimeoutError as error:
            raise self._aborted(step, Text("không trả lời trong thời gian chờ", "no response in time")) from error
        except BadReply as error:
            raise self._aborted(step, _NO_REPLY if self._knows_secret else error.text) from error
        except OSError as error:
            raise self._aborted(step, str(error) or _CLOSED) from error
        if reply.code == 421 and step is Step.TALK:  # RFC 5321 §3.8: reply to any command, then it closes
            raise self._aborted(step, reply.text)
        return reply

    def _aborted(self, step: Step, text: Text | str) -> PeerTrouble:
        """Hang up; return the trouble to raise."""
        self._wire.abort()
        return PeerTrouble(step, text)

    def abort(self) -> None:
        """Hang up without QUIT; a partial message is not accepted."""
        self._wire.abort()

    async def close(self) -> None:
        """Send QUIT; do not wait long for the reply."""
        if not self._wire.is_over:
            with contextlib.suppress(PeerTrouble, TimeoutError):
                async with asyncio.timeout(self._timeouts.quit):
                    await self._ask(b"QUIT\r\n")
        self._wire.abort()


def _no_tls(error: Exception) -> PeerTrouble:
    """Map a failed handshake: an invalid certificate is lasting, any other failure may be transient."""
    lasting = "5.7.10" if isinstance(error, ssl.SSLCertVerificationError) else None
    if not str(error):
        return PeerTrouble(Step.TLS, Text("không trả lời khi bắt tay TLS", "no response to the TLS handshake"))
    why = in_ascii(error)
    return PeerTrouble(Step.TLS, Text(f"bắt tay TLS không thành công: {why}", why), lasting=lasting)


def _accepted(reply: Reply) -> Result:
    return Result(RecipientResult.DELIVERED, reply.enhanced or "2.0.0", reply.text, reply)


def _refused(reply: Reply, *, at_rcpt: bool = False) -> Result:
    """Map a refusal. 552 to RCPT is the old form of too many recipients, temporary (RFC 5321 §4.5.3.1.10)."""
    permanent = reply.is_permanent and not (at_rcpt and reply.code == 552 and reply.enhanced is None)
    outcome = RecipientResult.FAILED if permanent else RecipientResult.DEFERRED
    return Result(outcome, reply.enhanced or ("5.0.0" if permanent else "4.0.0"), reply.text, reply)


def _negative(reply: Reply) -> Reply:
    """Turn an unexpected reply that is not a refusal into 451, as it is no permission."""
    return reply if reply.code >= 400 else Reply(451, reply.lines)
