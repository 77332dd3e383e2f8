"""One attempt to deliver a message to a destination: choice of server and connection, and the replies.

In: a queue entry, a destination, the indexes of recipients. Out: an `AttemptResult`. Nothing is written to disk here, and no
retry is decided. Bound to an event loop; the message is signed, opened and checked by `prepare` in a thread, which closes the
file of a short one; the rest of a longer one is read in the I/O executor. A call of the system on the loop would hand the
interpreter lock to another thread.

The first server that can be reached decides, whatever it replies. If the reply to the end of a message is lost, no other
server is tried: the message may have been accepted, and another server would duplicate it.
"""

import contextlib
import errno
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from mic_mail.errors import Text
from mic_mail.mime.line_limits import LineCheck
from mic_mail.net.dns import DnsUnavailable
from mic_mail.process.executors import Executors
from mic_mail.queue.binary_domains import BinaryDomains
from mic_mail.queue.queue import QueueEntry
from mic_mail.queue.scheduler import End
from mic_mail.smtpclient import commands
from mic_mail.smtpclient.client import SmtpClient
from mic_mail.smtpclient.commands import BINARYMIME, MailParameters
from mic_mail.smtpclient.dkim_keys import KeyUnusable
from mic_mail.smtpclient.mx import NoRoute
from mic_mail.smtpclient.pool import Connections
from mic_mail.smtpclient.results import PeerTrouble, RecipientResult, Result, Step
from mic_mail.smtpclient.routing import Router
from mic_mail.smtpclient.tls_requirements import Secured, TlsLevel, TlsRequirements

PIECE_OCTETS = 64 << 10
_STATUS = {Step.CONNECT: "4.4.1", Step.TLS: "4.7.5", Step.AUTH: "4.7.8"}
"""Status codes (RFC 3463): no answer from host; cryptographic failure; credentials.

Any other step gets 4.4.2, bad connection.
"""
_NOT_SIGNED = Text("thư chưa ký được (DKIM)", "the message cannot be signed now")
_TLS_FIRST = 530
"""Reply code: must issue a STARTTLS command first."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of an attempt for some recipients of an entry."""

    results: Sequence[Result]
    """One result for each recipient."""
    server: str | None = None
    """The server that replied; None if none could be reached."""
    reports: bool = True
    """True if that server itself sends the sender's delivery reports (RFC 3461)."""
    secured: Secured | None = None
    """The security of the connection."""
    nth: int = 0
    """The message's number on that connection."""
    end: End = End.SERVED
    """The consequence for the scheduling of the destination."""


class SignedMessage:
    """An outgoing message with the fields to put in front of it; its first piece is read when it is made.

    The file of a message of one piece is closed then, too; the caller must `close` any other. Blocking. It is read by
    descriptor and place, which takes the fewest system calls: each of them gives the interpreter lock to another thread.
    """

    def __init__(self, signature: bytes, entry: QueueEntry) -> None:
        self.signature = signature
        self.entry = entry
        self._fd = os.open(entry.path_text, os.O_RDONLY | os.O_CLOEXEC)
        self._checked: tuple[bool, Text | None] | None = None
        try:
            self._at = entry.envelope.return_path_octets
            self._end = os.fstat(self._fd).st_size
            self.octets = self._end - self._at
            """Size without the signature."""
            self.first = self.read()
            self._after_first = self._at
            self.is_short = self.is_read
            if self.is_short:
                self.check()
                self.close()
        except BaseException:
            self.close()
            raise

    @property
    def is_read(self) -> bool:
        return self._at >= self._end

    @property
    def is_at_first(self) -> bool:
        """Return whether the first piece, and no other, has been read."""
        return self._at == self._after_first

    def read(self) -> bytes:
        """Read the next piece.

        OSError if the file became shorter: a part must not look like the whole.
        """
        octets = os.pread(self._fd, PIECE_OCTETS, self._at)
        if not octets and not self.is_read:
            raise OSError(errno.EIO, "the file has become shorter")
        self._at += len(octets)
        return octets

    def rewind(self) -> None:
        """Go back to the end of the first piece, to send the message once more."""
        self._at = self._after_first

    def check(self) -> tuple[bool, Text | None]:
        """Return whether the whole message is ASCII, and why DATA cannot carry it, if so; the read position stays."""
        if self._checked is None:
            lines, is_ascii = LineCheck(), self.first.isascii()
            lines.feed(self.first)
            at = self._after_first
            while not self.is_short and (octets := os.pread(self._fd, PIECE_OCTETS, at)):
                at += len(octets)
                is_ascii = is_ascii and octets.isascii()
                lines.feed(octets)
            lines.end()
            self._checked = is_ascii, lines.fault
        return self._checked

    def close(self) -> None:
        """Close the file; harmless when called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class DeliveryAttempt:
    """The delivery attempts of one process."""

    def __init__(
        self,
        router: Router,
        connections: Connections,
        sign: Callable[[QueueEntry], bytes],
        executors: Executors,
        binary_domains: BinaryDomains,
    ) -> None:
        """`sign` returns the fields to put in front of a message; it is called by `prepare`, and raises `KeyUnusable`."""
        self._binary_domains = binary_domains
        self._router = router
        self._connections = connections
        self._sign = sign
        self._executors = executors

    def prepare(self, entry: QueueEntry) -> SignedMessage | KeyUnusable:
        """Sign and open a message for one attempt, before any connection is made; blocking.

        An unusable key is returned: it is logged already, and the message is deferred.
        """
        try:
            return SignedMessage(self._sign(entry), entry)
        except KeyUnusable as error:
            return error

    async def attempt(
        self, entry: QueueEntry, destination: str, places: Sequence[int], message: SignedMessage | KeyUnusable
    ) -> AttemptResult:
        """Attempt delivery of a message that was prepared, and close it.

        Return a result for each recipient, from a server or from this one.
        """
        if isinstance(message, KeyUnusable):  # the text of a report goes to the sender
            return AttemptResult([Result(RecipientResult.DEFERRED, "4.3.0", _NOT_SIGNED)] * len(places), end=End.NOT_ASKED)
        try:
            with contextlib.closing(message):
                return await self._send(destination, places, message)
        except NoRoute as error:
            return AttemptResult([Result(RecipientResult.FAILED, error.status, error.text)] * len(places), end=End.NOT_ASKED)
        except (PeerTrouble, DnsUnavailable) as error:
            text = error.text
            if entry.envelope.must_be_protected and isinstance(error, PeerTrouble) and error.lasting is not None:
                return AttemptResult([Result(RecipientResult.FAILED, error.lasting, text)] * len(places))
            status = "4.4.3" if isinstance(error, DnsUnavailable) else _STATUS.get(error.step, "4.4.2")
            return AttemptResult([Result(RecipientResult.DEFERRED, status, text)] * len(places), end=End.TROUBLE)

    async def _send(self, destination: str, places: Sequence[int], message: SignedMessage) -> AttemptResult:
        """Return the results and the server; raise the last `PeerTrouble` if none could be reached."""
        trouble: PeerTrouble | None = None
        route = await self._router.to(destination)
        for host in route.hosts:
            for address in host.addresses:
                try:
                    terms = self._router.requirements(route, host, message.entry.envelope)
                    return await self._send_to(address, terms, places, message)
                except PeerTrouble as error:
                    if error.step is Step.END:  # it may have been accepted: another server would duplicate it
                        raise
                    if error.step is Step.TLS:
                        self._router.forget(destination)
                    trouble = error.beside(trouble)
        self._router.forget(destination)  # it may have moved: the next attempt asks the DNS once the cached answers expire
        raise trouble or PeerTrouble(Step.CONNECT, Text("không có địa chỉ", "no address"))

    async def _send_to(
        self, address: str, terms: TlsRequirements, places: Sequence[int], message: SignedMessage
    ) -> AttemptResult:
        while (peer := self._connections.take_idle(address, terms)) is not None:
            try:
                return await self._record_replies(address, terms, peer, places, message)
            except PeerTrouble as error:
                if error.step is Step.END:
                    raise
        peer = await self._connections.new(address, terms)
        return await self._record_replies(address, terms, peer, places, message)

    async def _record_replies(
        self,
        address: str,
        terms: TlsRequirements,
        peer: SmtpClient,
        places: Sequence[int],
        message: SignedMessage,
    ) -> AttemptResult:
        nth = peer.sent + 1
        results = await self._in_parts(peer, places, message)
        reports = peer.offer.has("DSN")
        if (trouble := self._refusal_of_us(peer, results)) is not None:
            peer.abort()  # it would reply the same to the next message
            raise trouble
        await self._connections.give_back(address, terms, peer)
        return AttemptResult(results, terms.host, reports, peer.secured, nth)

    def _refusal_of_us(self, peer: SmtpClient, results: Sequence[Result]) -> PeerTrouble | None:
        """Return the trouble if the refusal is about the connection and not about the message.

        The server wants authentication, or TLS (RFC 3207 §4), which was tried.
        """
        if all(self._router.asks_for_sign_in(result) for result in results):
            return PeerTrouble(Step.AUTH, results[0].text)
        wants_tls = all(result.reply is not None and result.reply.code == _TLS_FIRST for result in results)
        return peer.without_tls if wants_tls else None

    async def _in_parts(self, peer: SmtpClient, places: Sequence[int], message: SignedMessage) -> list[Result]:
        """Send again, immediately, to recipients that exceeded the transaction's limit (RFC 5321 §4.5.3.1.10)."""
        results = await self._over_peer(peer, places, message)
        while any(result.outcome is RecipientResult.DELIVERED for result in results) and not peer.is_over:
            left = [number for number, result in enumerate(results) if result.is_one_too_many]
            try:
                more = await self._over_peer(peer, [places[number] for number in left], message) if left else []
            except Exception:  # noqa: BLE001 - whatever it is, the other recipients' results stand; these are retried
                break
            for number, result in zip(left, more, strict=True):
                results[number] = result
            if len([result for result in more if result.is_one_too_many]) >= len(left):
                break
        return results

    async def _over_peer(self, peer: SmtpClient, places: Sequence[int], message: SignedMessage) -> list[Result]:
        recipients = [message.entry.envelope.recipients[place] for place in places]
        try:
            await self._note_binary({recipient.domain for recipient in recipients}, peer)
            if not message.is_at_first:  # it was sent to others, or over a connection that has ended
                message.rewind()
            sending = await self._mail_parameters(message, peer)
            async with contextlib.aclosing(self._chunks(message)) as chunks:
                return await peer.send(sending, recipients, chunks)
        except BaseException:  # also for an unreadable file: half a message must not look like a whole one
            peer.abort()
            raise

    async def _note_binary(self, domains: Iterable[str], peer: SmtpClient) -> None:
        """Record whether the server of these domains accepts BINARYMIME."""
        takes = commands.takes_binary(peer.offer)
        for domain in domains:
            if not self._binary_domains.is_known(domain, takes=takes):
                await self._executors.io(partial(self._binary_domains.note, domain, takes=takes))

    async def _mail_parameters(self, message: SignedMessage, peer: SmtpClient) -> MailParameters:
        """Return the parameters for MAIL by the message's content, not by the client's declaration.

        Clients send 8-bit content without declaring it, and some ask for SMTPUTF8 each time: an ASCII message goes to a server
        without SMTPUTF8 (RFC 6531 §3.2). Content that DATA cannot carry goes as BINARYMIME or not at all (RFC 3030 §3).
        """
        is_ascii, fault = message.check() if message.is_short else await self._executors.io(message.check)
        envelope = message.entry.envelope
        body = envelope.body
        if fault is not None:
            body = BINARYMIME
        elif body == "7BIT" and peer.offer.has("8BITMIME") and not is_ascii:
            body = "8BITMIME"
        return MailParameters(
            envelope.sender,
            message.octets + len(message.signature),
            body,
            envelope.smtputf8 and (peer.offer.has("SMTPUTF8") or not is_ascii),
            envelope.ret,
            envelope.envid,
            why_binary=fault,
            requires_tls=envelope.requires_tls and peer.secured.by is not TlsLevel.NONE,
        )

    async def _chunks(self, message: SignedMessage) -> AsyncGenerator[bytes]:
        yield message.signature + message.first
        while not message.is_read and (octets := await self._executors.io(message.read)):
            yield octets
