"""The inbound pipeline: checks a message and makes it durable before any listener replies `250`.

In: an envelope and the octets of a message. Out: an `Outcome`. A message for one local mailbox is published straight
into its store; one for several, or with recipients on other servers, goes through one durable spool entry and is fanned
out at once, to mailboxes and into the queue. Every reply has a trace id that is also in the log (Reg. 4.2: no message is
dropped, redirected or copied silently). Never here: protocol syntax, reply codes, SQL. A temporary error never becomes a
permanent refusal.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import Entry as Mailbox
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import failure
from mic_mail.log.maillog import MailLog
from mic_mail.mailbox_address import MailboxAddress, ReversePath
from mic_mail.mime.imap_structure import Answers, answers_of
from mic_mail.mime.original_recipient import OriginalRecipient
from mic_mail.process.executors import AccountExecutors, Executors
from mic_mail.queue.files import SpoolFull
from mic_mail.queue.queue import Queue
from mic_mail.queue.spool import Draft, Scratch, Spool
from mic_mail.queue.spool import Entry as SpoolEntry
from mic_mail.services.abuse.send_limits import Rates
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.queue.local_dsn import SpoolReports
from mic_mail.services.settings.flowsettings import FlowSettings
from mic_mail.services.transport.delivery import LocalDeliverer
from mic_mail.services.transport.delivery_worker import LocalDelivery, account_ref
from mic_mail.services.transport.envelope import (
    TEMPORARY,
    Accepted,
    Cause,
    Client,
    Envelope,
    Outcome,
    Recipient,
    Refusal,
    Role,
)
from mic_mail.services.transport.inbound.client_lookups import ClientLookups
from mic_mail.services.transport.inbound.dnsbl_check import ALWAYS_REACHED
from mic_mail.services.transport.inbound.message_checks import MessageChecks
from mic_mail.services.transport.inbound.quarantine_put import QuarantineWriter
from mic_mail.services.transport.inbound.rspamd_check import Content
from mic_mail.services.transport.incoming_message import IncomingMessage, Sink, Stream
from mic_mail.services.transport.malware import Malware
from mic_mail.services.transport.recipient_lookup import Elsewhere, Recipients
from mic_mail.services.transport.secrecy import Checked, Passage, Secrecy, Way, Why
from mic_mail.services.transport.sender_policy import SenderPolicy
from mic_mail.services.transport.spool_dispatch import Spooling
from mic_mail.services.transport.trace_and_headers import Headings
from mic_mail.services.transport.transport_log import FlowLog
from mic_mail.storage.errors import DiskFull, OverQuota
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.reserve import ReserveState
from mic_mail.storage.types import Staged

T = TypeVar("T")

_CAUSES = {
    Why.MARKED: Cause.MARKED_SECRET,
    Why.UNREADABLE: Cause.NOT_INSPECTED,
    Why.OVER_BOUNDS: Cause.TOO_MUCH_TO_INSPECT,
    Why.NOT_READ_NOW: Cause.NOT_INSPECTED_NOW,
}


class Pipeline:
    """The entry point of every listener that takes mail. Belongs to the event loop."""

    def __init__(
        self,
        settings: FlowSettings,
        *,
        store: MailStore,
        spool: Spool,
        queue: Queue,
        lanes: Executors,
        accounts: AccountExecutors,
        access: SignInService,
        malware: Malware,
        secrecy: Secrecy,
        judging: MessageChecks,
        content: Content,
        holding: QuarantineWriter,
        log: MailLog,
        clock: Clock,
        reports: SpoolReports,
        rates: Rates,
        runaway: Callable[[int, str, int], None] = lambda mailbox_id, what, count: None,
        queued: Callable[[str], None] = lambda entry_id: None,
    ) -> None:
        """`runaway` is called on the loop with a mailbox that keeps sending far too much.

        `queued` is called with the id of an entry that is to be sent to other servers.
        """
        self.settings = settings
        self._malware = malware
        self._secrecy = secrecy
        self._judging = judging
        self._content = content
        self._holding = holding
        self._store = store
        self._lanes = lanes
        self._access = access
        self._log = log
        self._told = FlowLog(log)
        self._recipients = Recipients(access, store, accounts, log, clock)
        self._delivering = LocalDeliverer(
            store,
            lanes,
            accounts,
            log,
            clock,
            arrived=access.arrived,
            why_not=self._recipients.refusal_reason,
            reports=reports,
        )
        self._senders = SenderPolicy(access, lambda: self.settings, clock, rates=rates, log=log, runaway=runaway)
        self._headings = Headings(
            lambda: self.settings, senders=self._senders, judging=judging, lanes=lanes, log=self._told, clock=clock
        )
        self._spool = spool
        self._queue = queue
        self._spooling = Spooling(
            spool,
            queue,
            lanes=lanes,
            access=access,
            delivering=self._delivering,
            reports=reports,
            queued=queued,
            log=log,
            clock=clock,
        )
        self._errands: set[asyncio.Task[object]] = set()

    # ------------------------------------------------------------ the envelope

    async def check_sender(
        self, sender: ReversePath, client: Client, trace_id: str, *, declared_octets: int | None = None
    ) -> Refusal | None:
        """Check whether this transaction may begin."""
        refusal = self._senders.may_send(client, trace_id) or self._senders.may_send_as(sender, client, trace_id)
        if refusal is None and declared_octets is not None and declared_octets > self.settings.message_octets:
            sizes = {"size_octets": self.message_octets, "limit_octets": self.attachment_octets}
            refusal = Refusal(Cause.MESSAGE_TOO_LARGE, trace_id, sizes)
        refusal = refusal or self._senders.exceeded_limit(client, trace_id, declared_octets or 0)
        if refusal is None and self._store.reserves.root.state is ReserveState.GIVEN_UP:
            refusal = Refusal(Cause.DISK_FULL, trace_id)
        if refusal is not None:
            self._told.refused("sender_refused", refusal, client, sender=sender)
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
        enquiry: ClientLookups | None = None,
    ) -> Recipient | Refusal:
        """Resolve an address; None is a postmaster without a domain (RFC 5321 §4.5.1).

        Answered from memory, except for a mailbox whose usage is not known and a client that may be on a DNS blocklist.
        """
        settings = self.settings
        address = asked or MailboxAddress("postmaster", settings.domain)
        if enquiry is not None and address.local_part.lower() not in ALWAYS_REACHED and (zone := await enquiry.refusing_list()):
            listed = Refusal(Cause.LISTED, trace_id, {"address": client.peer.address, "zone": zone})
            self._told.refused("recipient_refused", listed, client, recipient=address, zone=zone)
            return listed
        found = self._recipients.find(
            address,
            client.role,
            separator=settings.separator,
            home=settings.domain,
            support=settings.support,
        )
        if isinstance(found, Mailbox):
            octets = declared_octets or 1
            if not self._recipients.fits(found, octets) and await self._recipients.is_full(found, octets):
                found = Cause.OVER_QUOTA
        if isinstance(found, Cause):
            refusal = Refusal(found, trace_id, {"address": str(address)})
        elif (too_many := self._senders.name_recipient(client, trace_id)) is not None:
            refusal = too_many
        elif isinstance(found, Elsewhere):
            return Recipient(address, (), None, notify, orcpt)
        else:
            detail = address.local_part.partition(settings.separator)[2] if settings.separator else ""
            return Recipient(address, (found.mailbox_id,), detail or None, notify, orcpt)
        self._told.refused("recipient_refused", refusal, client, recipient=address)
        return refusal

    @property
    def limited(self) -> Mapping[str, int]:
        """Number of refusals by each sending limit in this process."""
        return self._senders.limited

    def enquire(self, client: Client) -> ClientLookups | None:
        """Start the lookups about a client of the MX, from MAIL on, until the caller closes them."""
        return self._judging.enquiry(client.peer.address) if client.role is Role.MX else None

    # ------------------------------------------------------------ the message

    def open_message(self, envelope: Envelope) -> IncomingMessage:
        """Begin to receive a message."""
        return IncomingMessage(self, self._headings, envelope)

    @property
    def message_octets(self) -> int:
        return self.settings.message_octets

    @property
    def attachment_octets(self) -> int:
        return self.settings.attachment_octets

    async def carries_long_lines(self, envelope: Envelope) -> bool:
        """Return whether lines too long for DATA can be delivered to all recipients.

        Local mailboxes and servers that offer BINARYMIME take them.
        """
        domains = {recipient.address.domain for recipient in envelope.elsewhere}
        return not domains or await self._lanes.io(self._queue.binary_domains.include_all, domains)

    async def accept_buffered(self, envelope: Envelope, octets: bytes, received_octets: int) -> Outcome:
        """Accept a whole message, trace header in front."""
        try:
            stopped, answered = self._stopped(envelope, received_octets), None
            parcels = self._deliveries(envelope)
            if stopped is None:
                stopped, answered = await self._examine(envelope, parcels, octets)
            if stopped is not None:
                return self.refused(envelope, stopped)
            if envelope.judged.held_for:
                return await self._taken(envelope, self._hold(envelope, parcels, octets, received_octets))
            if _is_for_one(envelope, parcels):
                return await self._deliver_small(envelope, parcels[0], octets, received_octets, answered)
            return await self._taken(envelope, self._spool_small(envelope, parcels, octets, received_octets, answered))
        except Exception as error:  # noqa: BLE001 - the client gets a temporary refusal, the details are logged
            return self.refused(envelope, self.refusal_of(envelope, error))

    async def _examine(
        self, envelope: Envelope, parcels: list[LocalDelivery], octets: bytes
    ) -> tuple[Refusal | None, Answers | None]:
        """Return why a small message is refused after all, and its scan if there was one."""
        try:
            stopped, answered = await self._inspect(envelope, parcels, octets)
            # A message smaller than the limit on the wire cannot hold attachments over the limit.
            if stopped is None and len(octets) > self.attachment_octets:
                if answered is None:
                    answered = await self._lanes.cpu(answers_of, octets)
                if (attached := answered.attachment_octets) > (limit := self.attachment_octets):
                    stopped = envelope.refusal(Cause.ATTACHMENTS_TOO_LARGE, size_octets=attached, limit_octets=limit)
            stopped = stopped or self._nobody_left(envelope, parcels)
            goes_by_spool = not envelope.judged.held_for and not _is_for_one(envelope, parcels)
            if stopped is None and goes_by_spool:
                stopped = await self._refuse_if_full(envelope, parcels, len(octets))
        except asyncio.CancelledError:
            self._senders.discount(envelope)  # a client that did not wait for a slow check sends the message again
            raise
        return stopped, answered

    async def _taken(self, envelope: Envelope, step: Coroutine[object, object, Outcome]) -> Outcome:
        """Run the durable step of a message to its end, whether or not the caller waits.

        The message may still be refused in it.
        """

        async def to_its_end() -> Outcome:
            try:
                return await step
            except Exception as error:  # noqa: BLE001 - as in `accept_buffered`
                return self.refused(envelope, self.refusal_of(envelope, error))

        return await self.run_to_its_end(to_its_end())

    async def _deliver_small(
        self, envelope: Envelope, parcel: LocalDelivery, octets: bytes, received_octets: int, answered: Answers | None
    ) -> Outcome:
        await self._delivering.small(parcel, octets, answered, passed_over=lambda: self._senders.discount(envelope))
        self._recipients.grew(parcel.mailbox.mailbox_id, len(octets))
        return self._accepted(envelope, received_octets, delivered=1)

    async def _spool_small(
        self, envelope: Envelope, parcels: list[LocalDelivery], octets: bytes, received_octets: int, known: Answers | None
    ) -> Outcome:
        def commit() -> tuple[SpoolEntry, Answers]:
            draft = self._spooling.draft(envelope.trace_id)
            draft.write(octets)
            return draft.commit(self._spooling.spool_envelope(envelope, parcels)), known or answers_of(octets)

        entry, answered = await self._lanes.io(commit)
        return self._spooled(envelope, entry, parcels, answered, received_octets)

    async def _refuse_if_full(self, envelope: Envelope, parcels: list[LocalDelivery], octets: int) -> Refusal | None:
        """Refuse a message that certainly does not fit and whose failure could not be reported later.

        That is a message for one mailbox, and a message whose sender gets no reports, for any number of mailboxes: if
        accepted, it would be lost for the full mailbox silently. If the server tries again with SIZE, only that
        recipient is refused.
        """
        if len(parcels) == 1 and not envelope.elsewhere:
            return self._over_quota(envelope) if await self._recipients.is_full(parcels[0].mailbox, octets) else None
        for parcel in () if envelope.may_be_reported else parcels:
            mailbox = parcel.mailbox
            if not self._recipients.fits(mailbox, octets) and await self._recipients.is_full(mailbox, octets):
                return envelope.refusal(Cause.ONE_IS_FULL, address=parcel.recipient.address)
        return None

    async def open_stream(self, envelope: Envelope) -> Stream:
        """Open a file for a message that is too large to buffer."""
        is_judged_first = envelope.client.role is Role.MX
        open_sink: Callable[[], Sink] = self._spool.scratch if is_judged_first else self._opener(envelope)
        opening = self._lanes.io_lane.submit(open_sink)
        try:
            return Stream(self._lanes, await asyncio.shield(opening))
        except asyncio.CancelledError:
            self.start(self._discard_when_open(opening))
            raise

    def _opener(self, envelope: Envelope) -> Callable[[], Draft | Staged]:
        """Return the function that opens the final file of a message. Blocks."""
        parcels = self._deliveries(envelope)

        def open_sink() -> Draft | Staged:
            if _is_for_one(envelope, parcels):
                return self._store.account(account_ref(parcels[0].mailbox)).stage()
            return self._spooling.draft(envelope.trace_id)

        return open_sink

    async def copy_with_headers(self, envelope: Envelope, scratch: Sink, head: bytes, offset: int) -> Sink:
        """Write the final file: `head`, and what came from `offset` on; durable."""
        assert isinstance(scratch, Scratch)
        open_sink = self._opener(envelope)

        def copy() -> Sink:
            sink = open_sink()
            try:
                sink.write(head)
                sink.append_rest(scratch.fd, offset)
                sink.finish()
            except BaseException:
                sink.discard()
                raise
            return sink

        return await self._lanes.io(copy)

    async def _discard_when_open(self, opening: "asyncio.Future[Sink]") -> None:
        await asyncio.wait([opening])
        if not opening.cancelled() and opening.exception() is None:  # else there is nothing to discard
            await self._lanes.io(opening.result().discard)

    async def accept_stream(self, envelope: Envelope, sink: Sink, answered: Answers, received_octets: int) -> Outcome:
        """Accept a large message whose content is already durable."""
        stopped = self._stopped(envelope, received_octets)
        if stopped is not None:
            await self._lanes.io(sink.discard)
            return self.refused(envelope, stopped)
        parcels = self._deliveries(envelope)
        stopped, _ = await self._inspect(envelope, parcels, Path(sink.path))
        stopped = stopped or self._nobody_left(envelope, parcels)
        if stopped is not None:
            await self._lanes.io(sink.discard)
            return self.refused(envelope, stopped)
        if envelope.judged.held_for:
            try:
                return await self._hold(envelope, parcels, Path(sink.path), received_octets)
            finally:
                await self._lanes.io(sink.discard)
        if isinstance(sink, Draft):
            if (no_room := await self._refuse_if_full(envelope, parcels, sink.size)) is not None:
                await self._lanes.io(sink.discard)
                return self.refused(envelope, no_room)
            entry = await self._lanes.io(sink.commit, self._spooling.spool_envelope(envelope, parcels))
            return self._spooled(envelope, entry, parcels, answered, received_octets)
        staged: Staged = sink  # type: ignore[assignment]  # the only other sink that `open_stream` makes
        await self._delivering.staged(parcels[0], staged, answered)
        self._recipients.grew(parcels[0].mailbox.mailbox_id, answered.size)
        return self._accepted(envelope, received_octets, delivered=1)

    def _stopped(self, envelope: Envelope, octets: int) -> Refusal | None:
        """Return a right that ended while the message came, or the sending limit it exceeds."""
        senders = self._senders
        ended = senders.may_send(envelope.client, envelope.trace_id) or senders.still_written_as(envelope)
        return ended or senders.count(envelope, octets)

    def _nobody_left(self, envelope: Envelope, parcels: Sequence[LocalDelivery]) -> Refusal | None:
        """Return why no recipient may receive the message any more, though each might at RCPT.

        If some still may, the spool reports the others.
        """
        causes = [self._recipients.refusal_reason(parcel.mailbox) for parcel in parcels]
        if envelope.elsewhere or None in causes:
            return None
        causes.sort(key=lambda cause: cause not in TEMPORARY)  # the client then tries again, and gets a reply for each
        cause = next(iter(causes), None) or Cause.NO_SUCH_MAILBOX
        return envelope.refusal(cause, address=str(envelope.recipients[0].address))

    async def _hold(
        self, envelope: Envelope, parcels: list[LocalDelivery], source: bytes | Path, received_octets: int
    ) -> Outcome:
        """Put the message into quarantine instead of its mailboxes."""
        await self._lanes.io(self._holding.hold, envelope, source, self._spooling.spool_envelope(envelope, parcels))
        return self._accepted(envelope, received_octets)

    async def _inspect(
        self, envelope: Envelope, parcels: list[LocalDelivery], source: bytes | Path
    ) -> tuple[Refusal | None, Answers | None]:
        """Return why the content is refused, and the scan of it.

        The check may take seconds, so whether the sender may still send is checked again.
        """
        stopped = await self._malware.check(envelope, source) or await self._content.check_submitted(envelope, source)
        if stopped is not None:
            return stopped, None
        checked = await self._secrecy.check(self._passage(envelope, parcels), source)
        return self._marked(envelope, checked) or self._senders.may_send(envelope.client, envelope.trace_id), checked.answers

    def _passage(self, envelope: Envelope, parcels: list[LocalDelivery]) -> Passage:
        """Return the message's data for the check of secrecy markings (Reg. 4.1)."""
        client = envelope.client
        is_submitted = client.role is Role.SUBMISSION
        return Passage(
            Way.SUBMISSION if is_submitted else Way.INBOUND,
            envelope.trace_id,
            str(envelope.sender),
            tuple(str(recipient.address) for recipient in envelope.recipients),
            login=client.signed_in.address if client.signed_in else None,
            peer=client.peer.address,
            session=client.peer.session_id,
            slip=(lambda: self._spooling.spool_envelope(envelope, parcels)) if is_submitted else None,
        )

    def _marked(self, envelope: Envelope, checked: Checked) -> Refusal | None:
        if checked.stop is None:
            return None
        return envelope.refusal(_CAUSES[checked.stop.why])

    def _deliveries(self, envelope: Envelope) -> list[LocalDelivery]:
        """Return one delivery for each mailbox, however many addresses lead to it."""
        parcels: dict[int, LocalDelivery] = {}
        for recipient in envelope.recipients:
            for mailbox_id in recipient.mailboxes:
                mailbox = self._access.snapshot.entry(mailbox_id)
                if mailbox is not None and mailbox_id not in parcels:
                    parcels[mailbox_id] = LocalDelivery(
                        envelope.trace_id, envelope.sender, recipient, mailbox, verdict=envelope.judged.verdict
                    )
        return list(parcels.values())

    # ------------------------------------------------------------ the spool

    def _spooled(
        self, envelope: Envelope, entry: SpoolEntry, parcels: list[LocalDelivery], answered: Answers, received_octets: int
    ) -> Accepted:
        self._spooling.fan_out(entry, answered)
        for parcel in parcels:
            self._recipients.grew(parcel.mailbox.mailbox_id, answered.size)
        return self._accepted(envelope, received_octets, spooled=len(parcels) + len(envelope.elsewhere))

    async def recover(self) -> int:
        """Resume what earlier processes accepted and did not finish (spool_dispatch.py)."""
        return await self._spooling.take_up()

    # ------------------------------------------------------------ answers and the log

    def _accepted(self, envelope: Envelope, octets: int, *, delivered: int = 0, spooled: int = 0) -> Accepted:
        client = envelope.client
        if client.signed_in is not None:
            for mailbox_id in (client.signed_in.mailbox_id, *envelope.written_as):
                self._access.used(mailbox_id)
        written_as = [self._access.snapshot.entries[mailbox_id].address for mailbox_id in envelope.written_as]
        self._told.accepted(envelope, octets, written_as)
        return Accepted(envelope.trace_id, octets, delivered, spooled)

    def refusal_of(self, envelope: Envelope, error: Exception) -> Refusal:
        """Map an error of the lower layers to a refusal, which is always temporary."""
        if isinstance(error, OverQuota):
            return self._over_quota(envelope)
        if isinstance(error, DiskFull | SpoolFull):
            return envelope.refusal(Cause.DISK_FULL)
        if not isinstance(error, MicMailError):
            self._log.event("delivery_failed", trace=envelope.trace_id, **failure(error))
        return envelope.refusal(Cause.UNAVAILABLE)

    def _over_quota(self, envelope: Envelope) -> Refusal:
        return envelope.refusal(Cause.OVER_QUOTA, address=str(envelope.recipients[0].address))

    def refused(self, envelope: Envelope, refusal: Refusal) -> Refusal:
        self._senders.discount(envelope)
        self._told.message_refused(envelope, refusal)
        return refusal

    # ------------------------------------------------------------ background tasks

    def start(self, errand: Coroutine[object, object, T]) -> "asyncio.Task[T]":
        """Start a task that runs to its end whether or not anybody waits for it."""
        task = asyncio.get_running_loop().create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task

    async def run_to_its_end(self, errand: Coroutine[object, object, T]) -> T:
        """Wait for a durable step that no cancellation stops."""
        return await asyncio.shield(self.start(errand))

    def look_at_journal(self) -> None:
        """Empty the journal if it is full; called after something was stored."""
        self._delivering.look_at_journal()

    async def settle(self) -> None:
        """Wait until no task is running: the end of a drain."""
        while self._errands:
            await asyncio.wait(list(self._errands))
        await self._delivering.settle()


def _is_for_one(envelope: Envelope, parcels: list[LocalDelivery]) -> bool:
    """Return whether the message is for one local mailbox alone and needs no success report.

    Success reports: RFC 3461 §4.1.
    """
    return len(parcels) == 1 and not envelope.elsewhere and not envelope.wants_success
