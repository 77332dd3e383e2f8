"""The inbound pipeline: checks a message and makes it durable before any listener replies `250`.

In: an envelope and the octets of a message. Out: an `Outcome`. Every reply has a trace id that is also in the log (Reg.
4.2: no message is dropped, redirected or copied silently). A temporary error never becomes a permanent refusal.

The tables below hold every check of every message, in the order in which they run: at a moment of the transaction those
of its role, until one refuses. A refusal of the message is made as soon as it is certain; the client gets the reply at
the end of the message, where it reads it (RFC 5321 §4.2.5).

Mail that the server writes itself (notices, reports) and imported mail are not checked here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from mic_mail.config.model import Config
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import failure
from mic_mail.mailbox_address import MailboxAddress, ReversePath
from mic_mail.mime.imap_structure import answers_of
from mic_mail.mime.original_recipient import OriginalRecipient
from mic_mail.process.runtime import Runtime
from mic_mail.queue.errors import SpoolFull
from mic_mail.services.transport import transport_log
from mic_mail.services.transport.acceptance import Acceptance
from mic_mail.services.transport.check import CompleteMessage, MailCommand, MaybeRefusal, RcptCommand, ReceivedMessage
from mic_mail.services.transport.envelope import Cause, CheckResult, Client, Envelope, Outcome, Recipient, Refusal, Role
from mic_mail.services.transport.header_checks import HeaderChecks
from mic_mail.services.transport.inbound import dnsbl_check
from mic_mail.services.transport.inbound.client_lookups import ClientLookups
from mic_mail.services.transport.inbound.message_checks import MessageChecks
from mic_mail.services.transport.inbound.origin_check import OriginCheck
from mic_mail.services.transport.inbound.rspamd_check import RspamdCheck
from mic_mail.services.transport.incoming_message import IncomingMessage, Stream
from mic_mail.services.transport.malware import MalwareCheck
from mic_mail.services.transport.recipient_lookup import RecipientLookup
from mic_mail.services.transport.secrecy import SecrecyCheck
from mic_mail.services.transport.sender_policy import SenderPolicy
from mic_mail.services.transport.spool_dispatch import SpoolDispatch
from mic_mail.storage.errors import DiskFull, OverQuota
from mic_mail.storage.reserve import Reserves, ReserveState

MX = frozenset({Role.MX})
SUBMISSION = frozenset({Role.SUBMISSION})
BOTH = MX | SUBMISSION

S = TypeVar("S")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Checkers:
    """The services that check; the rows of the tables call them."""

    runtime: Runtime
    senders: SenderPolicy
    recipients: RecipientLookup
    headings: HeaderChecks
    clients: MessageChecks
    origins: OriginCheck
    content: RspamdCheck
    malware: MalwareCheck
    secrecy: SecrecyCheck
    spooling: SpoolDispatch
    reserves: Reserves

    def apply_reload(self) -> None:
        """Apply a reloaded configuration; checks in progress finish with the old one."""
        for each in (self.clients, self.origins, self.content, self.malware, self.secrecy):
            each.apply_reload()

    async def close(self) -> None:
        """End the threads and processes of the checks; no further message is checked."""
        await self.secrecy.close()
        self.origins.close()


@dataclass(frozen=True, slots=True)
class Check(Generic[S, R]):
    """One check: the roles whose mail it is for, and what it calls."""

    name: str
    roles: frozenset[Role]
    run: Callable[[Checkers, S], R]


# ---------------------------------------------------------------- the checks, in order

AT_MAIL: Sequence[Check[MailCommand, MaybeRefusal]] = (
    Check("right to send", SUBMISSION, lambda by, mail: by.senders.may_send(mail.client, mail.trace_id)),
    Check("sender", SUBMISSION, lambda by, mail: by.senders.may_send_as(mail.sender, mail.client, mail.trace_id)),
    Check("size", BOTH, lambda by, mail: _announced_size(mail, by.runtime.config())),
    Check("sending limit", SUBMISSION, lambda by, mail: by.senders.check_limit(mail)),
    Check("disk", BOTH, lambda by, mail: _full_disk(mail, by.reserves)),
)
AT_RCPT: Sequence[Check[RcptCommand, MaybeRefusal]] = (
    Check("DNS blocklist", MX, lambda by, rcpt: dnsbl_check.refuse_listed(rcpt)),
    Check("mailbox", BOTH, lambda by, rcpt: by.recipients.look_up(rcpt)),
    Check("quota", BOTH, lambda by, rcpt: by.recipients.check_room(rcpt)),
    Check("sending limit", SUBMISSION, lambda by, rcpt: by.senders.name_recipient(rcpt)),
)
ON_OCTETS: Sequence[Check[IncomingMessage, MaybeRefusal]] = (
    # with each piece of the message; `IncomingMessage.add` has fed it to the counters that these read
    Check("lines", SUBMISSION, lambda by, message: by.spooling.check_lines(message)),
    Check("size", BOTH, lambda by, message: _size(message, by.runtime.config())),
)
ON_HEADER: Sequence[Check[IncomingMessage, MaybeRefusal]] = (
    # once the header is complete, while the body still comes
    Check("line ends", BOTH, lambda by, message: _line_ends(message)),
    Check("header size", BOTH, lambda by, message: _header_size(message)),
    Check("loop", BOTH, lambda by, message: by.headings.check_loop(message.envelope, message.header or b"")),
    Check("author", SUBMISSION, lambda by, message: by.headings.check_author(message.envelope, message.header or b"")),
)
AT_END: Sequence[Check[IncomingMessage, MaybeRefusal]] = (
    # once the last octet has come
    Check("attachments", BOTH, lambda by, message: _attachments(message, by)),
    Check("line ends", BOTH, lambda by, message: _line_ends(message) if message.scan else None),
)
ON_ARRIVAL: Sequence[Check[ReceivedMessage, Awaitable[CheckResult]]] = (
    # the message as it came, unless its client is in `inbound.trusted_networks`; the results are joined, a refusal ends them
    Check("origin", MX, lambda by, arrived: by.origins.check(arrived)),
    Check("DNS blocklist", MX, lambda by, arrived: dnsbl_check.check(arrived)),
    Check("spam", MX, lambda by, arrived: by.content.check(arrived)),
)
BEFORE_ACCEPTANCE: Sequence[Check[CompleteMessage, MaybeRefusal]] = (
    # the message as it will be stored; checks that may take seconds lie between two looks at the right to send
    Check("right to send", SUBMISSION, lambda by, whole: by.senders.still_may_send(whole.envelope)),
    Check("author", SUBMISSION, lambda by, whole: by.senders.still_written_as(whole.envelope)),
    Check("sending limit", SUBMISSION, lambda by, whole: by.senders.count(whole.envelope, whole.received_octets)),
    Check("malware", BOTH, lambda by, whole: by.malware.check(whole.envelope, whole.source)),
    Check("spam", SUBMISSION, lambda by, whole: by.content.check_submitted(whole.envelope, whole.source)),
    Check("secrecy", BOTH, lambda by, whole: by.secrecy.check_message(whole, by.spooling.spool_envelope)),
    Check("right to send", SUBMISSION, lambda by, whole: by.senders.still_may_send(whole.envelope)),
    Check("mailbox", BOTH, lambda by, whole: by.recipients.check_receiving(whole)),
    Check("quota", BOTH, lambda by, whole: by.recipients.check_room_now(whole)),
)


def _announced_size(mail: MailCommand, config: Config) -> Refusal | None:
    if (mail.declared_octets or 0) <= config.message_octets:
        return None
    sizes = {"size_octets": config.message_octets, "limit_octets": config.limits.attachment.maximum}
    return Refusal(Cause.MESSAGE_TOO_LARGE, mail.trace_id, sizes)


def _full_disk(mail: MailCommand, reserves: Reserves) -> Refusal | None:
    return Refusal(Cause.DISK_FULL, mail.trace_id) if reserves.root.state is ReserveState.GIVEN_UP else None


def _size(message: IncomingMessage, config: Config) -> Refusal | None:
    limit = config.message_octets
    if message.octets <= limit:
        return None
    return message.envelope.refusal(Cause.MESSAGE_TOO_LARGE, size_octets=limit, limit_octets=config.limits.attachment.maximum)


def _header_size(message: IncomingMessage) -> Refusal | None:
    return message.envelope.refusal(Cause.HEADER_TOO_LARGE) if len(message.header or b"") > message.header_limit else None


def _line_ends(message: IncomingMessage) -> Refusal | None:
    """Refuse a CR or LF alone (RFC 5321 §2.3.8)."""
    return message.envelope.refusal(Cause.BARE_LINE_END) if message.has_bare_line_end() else None


def _attachments(message: IncomingMessage, by: Checkers) -> MaybeRefusal:
    """Refuse attachments over the limit (Reg. 8.3.b), at the end, so that the reply states the whole size."""
    limit = by.runtime.config().limits.attachment.maximum

    def refuse(octets: int) -> Refusal | None:
        sizes = {"size_octets": octets, "limit_octets": limit}
        return message.envelope.refusal(Cause.ATTACHMENTS_TOO_LARGE, **sizes) if octets > limit else None

    async def scan() -> Refusal | None:
        return refuse((await by.runtime.executors.cpu(answers_of, message.buffered)).attachment_octets)

    if message.scan is not None:
        return refuse(message.scan.attachment_octets)
    # a message smaller than the limit on the wire cannot hold attachments over the limit
    return scan() if message.octets > limit else None


def _by_role(checks: Sequence[Check[S, R]]) -> Mapping[Role, Sequence[Check[S, R]]]:
    return {role: tuple(check for check in checks if role in check.roles) for role in Role}


class Pipeline:
    """The entry point of every listener that takes mail. Belongs to the event loop."""

    def __init__(self, runtime: Runtime, checkers: Checkers, acceptance: Acceptance) -> None:
        self._runtime = runtime
        self.checkers = checkers
        self._acceptance = acceptance
        self._tasks = acceptance.tasks
        self._at_mail, self._at_rcpt = _by_role(AT_MAIL), _by_role(AT_RCPT)
        self._on_octets, self._on_header = _by_role(ON_OCTETS), _by_role(ON_HEADER)
        self._at_end, self._before_acceptance = _by_role(AT_END), _by_role(BEFORE_ACCEPTANCE)

    async def _refusal(self, checks: Sequence[Check[S, MaybeRefusal]], subject: S) -> Refusal | None:
        """Run the checks up to the first that refuses; one that answers at once is not awaited."""
        for check in checks:
            found = check.run(self.checkers, subject)
            if found is not None and not isinstance(found, Refusal):
                found = await found
            if found is not None:
                return found
        return None

    # ------------------------------------------------------------ the envelope

    async def check_sender(
        self, sender: ReversePath, client: Client, trace_id: str, *, declared_octets: int | None = None
    ) -> Refusal | None:
        """Check whether this transaction may begin."""
        refusal = await self._refusal(self._at_mail[client.role], MailCommand(sender, client, trace_id, declared_octets))
        if refusal is not None:
            transport_log.refused(self._runtime.log, "sender_refused", refusal, client, sender=sender)
        return refusal

    async def check_recipient(
        self,
        asked: MailboxAddress | None,
        client: Client,
        trace_id: str,
        *,
        declared_octets: int | None = None,
        notify: frozenset[str] = frozenset(),
        orcpt: OriginalRecipient | None = None,
        lookups: ClientLookups | None = None,
    ) -> Recipient | Refusal:
        """Resolve an address; None is a postmaster without a domain (RFC 5321 §4.5.1).

        Answered from memory, except for a mailbox whose usage is not known and a client that may be on a DNS blocklist.
        """
        address = asked or MailboxAddress("postmaster", self._runtime.config().server.domain)
        rcpt = RcptCommand(address, client, trace_id, declared_octets, lookups)
        refusal = await self._refusal(self._at_rcpt[client.role], rcpt)
        if refusal is not None:
            transport_log.refused(self._runtime.log, "recipient_refused", refusal, client, recipient=address)
            return refusal
        if rcpt.mailbox is None:
            return Recipient(address, (), None, notify, orcpt)
        separator = self._runtime.config().smtp.subaddress
        detail = address.local_part.partition(separator)[2] if separator else ""
        return Recipient(address, (rcpt.mailbox.mailbox_id,), detail or None, notify, orcpt)

    @property
    def limited(self) -> Mapping[str, int]:
        """Number of refusals by each sending limit in this process."""
        return self.checkers.senders.limited

    def begin_lookups(self, client: Client) -> ClientLookups | None:
        """Start the lookups about a client of the MX, from MAIL on, until the caller closes them."""
        return self.checkers.clients.lookups(client.peer.address) if client.role is Role.MX else None

    # ------------------------------------------------------------ the message as it comes

    async def write(self, message: IncomingMessage, octets: bytes) -> None:
        """Take the next octets of a message; wait while the disk is behind."""
        if message.add(octets):
            await self._go_on(message)

    async def _go_on(self, message: IncomingMessage) -> None:
        """Do with a message what the octets so far allow."""
        try:
            refusal = await self._refusal(self._on_octets[message.envelope.client.role], message)
            if refusal is None and (message.is_full or message.at_end):
                refusal = await self._use_buffer(message)
        except Exception as error:  # noqa: BLE001 - the client gets a temporary refusal, the details are logged
            refusal = self._refusal_of(message.envelope, error)
        if refusal is not None:
            message.refusal = refusal
            self._discard(message.drop())

    async def _use_buffer(self, message: IncomingMessage) -> Refusal | None:
        """Check the header if it is complete; write out what is too much for memory."""
        envelope = message.envelope
        if message.header is None:
            if not message.find_header():
                return None
            refusal = await self._refusal(self._on_header[envelope.client.role], message)
            if refusal is not None:
                return refusal
            await self.checkers.headings.settle(message)
        if message.at_end:
            return None
        if message.stream is None:
            await message.begin_stream(await self._acceptance.open_stream(envelope))
        else:
            await message.write_out()
        return None

    def abort(self, message: IncomingMessage) -> None:
        """Give the message up. Harmless after `finish`."""
        if not message.over:
            message.over = True
            self._discard(message.drop())

    def _discard(self, stream: Stream | None) -> None:
        if stream is not None:
            self._tasks.start(stream.discard())

    # ------------------------------------------------------------ the complete message

    async def finish(self, message: IncomingMessage) -> Outcome:
        """Make the complete message durable. A step that has begun is not undone by cancellation."""
        if message.refusal is None:
            message.end()
            await self._go_on(message)
        message.over = True
        if message.refusal is not None:
            return self._refused(message.envelope, message.refusal)
        if message.stream is None:
            return await self._conclude(message)
        return await self._tasks.run_to_its_end(self._conclude_stream(message, message.stream))

    async def _conclude_stream(self, message: IncomingMessage, stream: Stream) -> Outcome:
        outcome = await self._conclude(message)
        if isinstance(outcome, Refusal) or message.envelope.checked.held_for:
            await stream.discard()
        return outcome

    async def _conclude(self, message: IncomingMessage) -> Outcome:
        envelope = message.envelope
        try:
            checked = await self._checked(message)
        except asyncio.CancelledError:
            self.checkers.senders.discount(envelope)  # a client that did not wait for a slow check sends the message again
            raise
        except Exception as error:  # noqa: BLE001 - as in `_go_on`
            checked = self._refusal_of(envelope, error)
        if isinstance(checked, Refusal):
            return self._refused(envelope, checked)
        accepting = self._accept(checked)
        return await (accepting if checked.may_be_passed_over else self._tasks.run_to_its_end(accepting))

    async def _checked(self, message: IncomingMessage) -> CompleteMessage | Refusal:
        """Run the checks of a complete message; return it as it is to be stored."""
        envelope = message.envelope
        role = envelope.client.role
        await message.complete()
        refusal = await self._refusal(self._at_end[role], message)
        if refusal is None and envelope.is_strange:
            arrived = ReceivedMessage(envelope, message.source, message.header or b"")
            refusal = await self.checkers.clients.combine(envelope, (check.run(self.checkers, arrived) for check in ON_ARRIVAL))
        if refusal is not None:
            return refusal
        front = b"" if envelope.is_submitted else self.checkers.headings.front(envelope)
        whole = await self._acceptance.complete(message, front)
        return await self._refusal(self._before_acceptance[role], whole) or whole

    async def _accept(self, message: CompleteMessage) -> Outcome:
        """Take the durable step of a message, in which it may still be refused."""
        envelope, secrecy = message.envelope, self.checkers.secrecy
        unread = None
        try:
            if message.is_unread:
                unread = await secrecy.leave_unread(message)
            accepted = await self._acceptance.accept(message, passed_over=partial(self.checkers.senders.discount, envelope))
        except Exception as error:  # noqa: BLE001 - as in `_go_on`
            if unread is not None:
                self._tasks.start(secrecy.unread.discard(unread))
            return self._refused(envelope, self._refusal_of(envelope, error))
        if unread is not None:
            secrecy.unread.read(unread)
        return accepted

    # ------------------------------------------------------------ refusals

    def _refusal_of(self, envelope: Envelope, error: Exception) -> Refusal:
        """Map an error of the lower layers to a refusal, which is always temporary."""
        if isinstance(error, OverQuota):
            return envelope.over_quota()
        if isinstance(error, DiskFull | SpoolFull):
            return envelope.refusal(Cause.DISK_FULL)
        if not isinstance(error, MicMailError):
            self._runtime.log.event("delivery_failed", trace=envelope.trace_id, **failure(error))
        return envelope.refusal(Cause.UNAVAILABLE)

    def _refused(self, envelope: Envelope, refusal: Refusal) -> Refusal:
        self.checkers.senders.discount(envelope)
        transport_log.message_refused(self._runtime.log, envelope, refusal)
        return refusal

    # ------------------------------------------------------------ upkeep

    async def recover(self) -> int:
        """Resume what earlier processes accepted and did not finish."""
        return await self.checkers.spooling.resume()

    def look_at_journal(self) -> None:
        """Empty the journal if it is full; called after something was stored."""
        self._acceptance.delivering.look_at_journal()

    async def drain(self) -> None:
        """Wait until no delivery is running. What is unread has a durable entry, and is read after the next start."""
        await self._tasks.settle()

    async def settle(self) -> None:
        """Wait until no delivery is running, and everything is read."""
        await self.drain()
        await self.checkers.secrecy.unread.settle()
