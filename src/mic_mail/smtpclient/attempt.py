"""One try to hand a message to a destination: which of its servers is spoken to, over which connection, and what each says.

In: a queue entry, a destination, the places of recipients. Out: what was `Heard` of each of them. Nothing is written down here,
and nothing decided about later. Belongs to a loop; the message is read in the io lane and signed in the cpu lane.

The first server that can be spoken to counts, whatever it says. After the end of a message whose answer was not heard no other
is asked: it may have been taken, and another server would make two of it.
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
from mic_mail.queue.queue import Entry, Envelope
from mic_mail.queue.scheduler import End
from mic_mail.smtpclient import commands
from mic_mail.smtpclient.client import PeerTrouble, RecipientResult, Result, SmtpClient, Step
from mic_mail.smtpclient.commands import BINARYMIME, Addressee, Sending
from mic_mail.smtpclient.dkim_keys import KeyUnusable
from mic_mail.smtpclient.mx import NoRoute
from mic_mail.smtpclient.pool import Connections
from mic_mail.smtpclient.routing import Router
from mic_mail.smtpclient.tls_policy import Secured, TlsLevel, TlsRequirements

PIECE_OCTETS = 64 << 10
_STATUS = {Step.CONNECT: "4.4.1", Step.TLS: "4.7.5", Step.AUTH: "4.7.8"}
"""RFC 3463: no answer from host; cryptographic failure; credentials. Else 4.4.2, bad connection."""
_TLS_FIRST = 530
"""Must issue a STARTTLS command first."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What was said of some recipients of an entry."""

    results: Sequence[Result]
    """One for each."""
    server: str | None = None
    """Who said it; None: nobody could be spoken to."""
    reports: bool = True
    """Whether that server tells the sender itself what he wants to know (RFC 3461)."""
    secured: Secured | None = None
    """What the connection was like."""
    nth: int = 0
    """Which message over that connection it was."""
    end: End = End.SERVED
    """What it means for the destination."""


@dataclass(frozen=True, slots=True)
class _Content:
    """What a message needs of a server by what it holds."""

    is_ascii: bool
    fault: Text | None
    """Why DATA cannot carry it (`mime.line_limits`)."""


@dataclass(frozen=True, slots=True)
class _Needs:
    """What MAIL has to ask for."""

    body: str
    smtputf8: bool
    why_binary: Text | None = None


class _File:
    """A message as it leaves the house, opened and begun to be read by one call; `close` it. Blocking."""

    def __init__(self, entry: Entry) -> None:
        before = entry.envelope.return_path_octets
        self._file = open(entry.path, "rb", buffering=0)  # noqa: SIM115 - closed by whoever has it
        try:
            self.octets = os.fstat(self._file.fileno()).st_size - before
            self._file.seek(before)
            self._left = self.octets
            self.first = self.read()
        except BaseException:
            self._file.close()
            raise

    @property
    def is_read(self) -> bool:
        return self._left <= 0

    def read(self) -> bytes:
        """The next piece; OSError where there is less than there was: a part must not look like the whole."""
        octets = self._file.read(PIECE_OCTETS)
        if not octets and self._left > 0:
            raise OSError(errno.EIO, "the file has become shorter")
        self._left -= len(octets)
        return octets

    def content(self) -> "_Content":
        """What all of it holds; what was read already, and what was not, stays so."""
        lines, is_ascii = LineCheck(), self.first.isascii()
        lines.feed(self.first)
        at = self._file.tell()
        try:
            for octets in iter(lambda: self._file.read(PIECE_OCTETS), b""):
                is_ascii = is_ascii and octets.isascii()
                lines.feed(octets)
        finally:
            self._file.seek(at)
        lines.end()
        return _Content(is_ascii, lines.fault)

    def close(self) -> None:
        self._file.close()


class DeliveryAttempt:
    """The tries of one process."""

    def __init__(
        self,
        ways: Router,
        connections: Connections,
        sign: Callable[[Entry], bytes],
        lanes: Executors,
        binary_domains: BinaryDomains,
    ) -> None:
        """`sign`: the fields in front of a message, called in the cpu lane, again for each try; raises `KeyUnusable`."""
        self._binary_domains = binary_domains
        self._ways = ways
        self._connections = connections
        self._sign = sign
        self._lanes = lanes

    async def attempt(self, entry: Entry, destination: str, places: Sequence[int]) -> AttemptResult:
        """What is said of each, by whom ever it was, or by us."""
        try:
            await self._lanes.cpu(self._sign, entry)  # before anybody is spoken to
            return await self._send(entry, destination, places)
        except KeyUnusable:  # the log has said where; a report that this comes into is for the sender
            return AttemptResult(
                [Result(RecipientResult.DEFERRED, "4.3.0", "it cannot be signed now")] * len(places), end=End.NOT_ASKED
            )
        except NoRoute as error:
            return AttemptResult([Result(RecipientResult.FAILED, error.status, error.text.en)] * len(places), end=End.NOT_ASKED)
        except (PeerTrouble, DnsUnavailable) as error:
            text = error.text if isinstance(error, PeerTrouble) else error.text.en
            if entry.envelope.must_be_protected and isinstance(error, PeerTrouble) and error.lasting is not None:
                return AttemptResult([Result(RecipientResult.FAILED, error.lasting, text)] * len(places))
            status = "4.4.3" if isinstance(error, DnsUnavailable) else _STATUS.get(error.step, "4.4.2")
            return AttemptResult([Result(RecipientResult.DEFERRED, status, text)] * len(places), end=End.TROUBLE)

    async def _send(self, entry: Entry, destination: str, places: Sequence[int]) -> AttemptResult:
        """The word on each, and who said it; the last trouble where nobody could be spoken to."""
        trouble: PeerTrouble | None = None
        way = await self._ways.to(destination)
        for host in way.hosts:
            for address in host.addresses:
                try:
                    return await self._send_to(address, self._ways.terms(way, host, entry.envelope), entry, places)
                except PeerTrouble as error:
                    if error.step is Step.END:  # it may have been taken: another server would make two of it
                        raise
                    if error.step is Step.TLS:
                        self._ways.forget(destination)
                    trouble = error.beside(trouble)
        self._ways.forget(destination)  # it has perhaps moved: the next try asks, as soon as the answers have ended
        raise trouble or PeerTrouble(Step.CONNECT, "no address")

    async def _send_to(self, address: str, terms: TlsRequirements, entry: Entry, places: Sequence[int]) -> AttemptResult:
        while (peer := self._connections.kept(address, terms)) is not None:
            try:
                return await self._record_replies(address, terms, peer, entry, places)
            except PeerTrouble as error:
                if error.step is Step.END:
                    raise
        return await self._record_replies(address, terms, await self._connections.new(address, terms), entry, places)

    async def _record_replies(
        self, address: str, terms: TlsRequirements, peer: SmtpClient, entry: Entry, places: Sequence[int]
    ) -> AttemptResult:
        nth = peer.sent + 1
        results = await self._in_parts(peer, entry, places)
        reports = peer.offer.has("DSN")
        if (trouble := self._refusal_of_us(peer, results)) is not None:
            peer.abort()  # it would say the same of the next message
            raise trouble
        await self._connections.give_back(address, terms, peer)
        return AttemptResult(results, terms.host, reports, peer.secured, nth)

    def _refusal_of_us(self, peer: SmtpClient, results: Sequence[Result]) -> PeerTrouble | None:
        """What was said is no word on the message: we should have signed in, or come by TLS (RFC 3207 §4), which was tried."""
        if all(self._ways.asks_for_sign_in(result) for result in results):
            return PeerTrouble(Step.AUTH, results[0].text)
        wants_tls = all(result.reply is not None and result.reply.code == _TLS_FIRST for result in results)
        return peer.without_tls if wants_tls else None

    async def _in_parts(self, peer: SmtpClient, entry: Entry, places: Sequence[int]) -> list[Result]:
        """Those for whom there was no room in a transaction have the next one, at once (RFC 5321 §4.5.3.1.10)."""
        results = await self._over_peer(peer, entry, places)
        while any(result.fate is RecipientResult.DELIVERED for result in results) and not peer.is_over:
            left = [number for number, result in enumerate(results) if result.is_one_too_many]
            try:
                more = await self._over_peer(peer, entry, [places[number] for number in left]) if left else []
            except Exception:  # noqa: BLE001 - whatever it is: what the others have is not in doubt, and these come again
                break
            for number, result in zip(left, more, strict=True):
                results[number] = result
            if len([result for result in more if result.is_one_too_many]) >= len(left):
                break
        return results

    async def _over_peer(self, peer: SmtpClient, entry: Entry, places: Sequence[int]) -> list[Result]:
        envelope = entry.envelope
        recipients = [envelope.recipients[place] for place in places]
        addressees = [Addressee(each.address, each.notify, each.orcpt) for each in recipients]
        try:
            await self._note_binary({recipient.domain for recipient in recipients}, peer)
            signature = await self._lanes.cpu(self._sign, entry)
            file = await self._lanes.io(_File, entry)
            with contextlib.closing(file):
                needs = await self._needs(envelope, file, peer)
                sending = Sending(
                    envelope.sender,
                    file.octets + len(signature),
                    needs.body,
                    needs.smtputf8,
                    envelope.ret,
                    envelope.envid,
                    why_binary=needs.why_binary,
                    requires_tls=envelope.requires_tls and peer.secured.by is not TlsLevel.NONE,
                )
                async with contextlib.aclosing(self._signed_chunks(file, signature)) as pieces:
                    return await peer.send(sending, addressees, pieces)
        except BaseException:  # a disk that cannot be read, too: half a message must not look like a whole one
            peer.abort()
            raise

    async def _note_binary(self, domains: Iterable[str], peer: SmtpClient) -> None:
        """Remember whether the server of these domains takes BINARYMIME."""
        takes = commands.takes_binary(peer.offer)
        for domain in domains:
            if not self._binary_domains.is_known(domain, takes=takes):
                await self._lanes.io(partial(self._binary_domains.note, domain, takes=takes))

    async def _needs(self, envelope: Envelope, file: _File, peer: SmtpClient) -> _Needs:
        """What MAIL asks for, by what the message holds and not by what its program has said of it.

        Programs send eight bits without a word of it, and some ask for SMTPUTF8 each time: an ASCII message goes to a server
        that does not know SMTPUTF8 (RFC 6531 §3.2). What DATA cannot carry goes as BINARYMIME or not at all (RFC 3030 §3).
        """
        content = file.content() if file.is_read else await self._lanes.io(file.content)
        smtputf8 = envelope.smtputf8 and (peer.offer.has("SMTPUTF8") or not content.is_ascii)
        if envelope.body == BINARYMIME or content.fault is not None:
            return _Needs(BINARYMIME, smtputf8, content.fault)
        is_undeclared = envelope.body == "7BIT" and peer.offer.has("8BITMIME") and not content.is_ascii
        return _Needs("8BITMIME" if is_undeclared else envelope.body, smtputf8)

    async def _signed_chunks(self, file: "_File", signature: bytes) -> AsyncGenerator[bytes]:
        yield signature + file.first
        while not file.is_read and (octets := await self._lanes.io(file.read)):
            yield octets
