"""From the door to the mailbox: who may send, who receives, and how a message becomes durable before anyone says `250`.

In: an envelope and the octets of a message. Out: an `Outcome`. One local mailbox is published straight into its store; several
go through one durable spool entry and are fanned out at once. Every answer has a trace id that is also in the log (Reg. 4.2: no
message is dropped, redirected or copied in silence).
Never here: protocol syntax, reply codes, SQL. Temporary trouble is never turned into a final refusal.
"""

import asyncio
import traceback
from collections.abc import Coroutine
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import Entry as Mailbox
from mic_mail.errors import MicMailError
from mic_mail.log.maillog import MailLog
from mic_mail.mime.render import Answers
from mic_mail.outbound.spool import Draft, Slip, Spool, SpoolFull, Target
from mic_mail.outbound.spool import Entry as SpoolEntry
from mic_mail.policy.addresses import candidates
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.lifecycle import State
from mic_mail.policy.sending import check_envelope
from mic_mail.process.lanes import AccountLanes, Lanes
from mic_mail.services import trace
from mic_mail.services.access import Access, RefusalKind
from mic_mail.services.delivery import Delivering, Parcel, account_ref, scanned
from mic_mail.services.envelope import Accepted, Cause, Client, Envelope, Outcome, Recipient, Refusal, Role
from mic_mail.services.reception import Reception, Sink, Stream
from mic_mail.storage.errors import DiskFull, OverQuota
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import Staged

T = TypeVar("T")
MAX_RECOVERED = 500
"""Entries taken up at once: each keeps a file open until it is delivered."""
USAGE_SECONDS = 10.0
"""How old a usage may be that lets a recipient pass; a refusal asks anew."""

_STATES = {
    RefusalKind.SEND_LOCKED: Cause.SEND_LOCKED,
    RefusalKind.SUSPENDED: Cause.SUSPENDED,
    RefusalKind.PASSWORD_DUE: Cause.PASSWORD_DUE,
    RefusalKind.UNAVAILABLE: Cause.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """What the mail flow takes from the configuration."""

    hostname: str
    domain: str
    """That of `<Postmaster>`."""
    message_octets: int
    attachment_octets: int
    support: str
    separator: str = "+"


@dataclass(frozen=True, slots=True)
class _Usage:
    octets: int
    known_at: float


class MailFlow:
    """What every door that takes mail calls. Belongs to the event loop."""

    def __init__(
        self,
        settings: FlowSettings,
        *,
        store: MailStore,
        spool: Spool,
        lanes: Lanes,
        accounts: AccountLanes,
        access: Access,
        log: MailLog,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self._store = store
        self._spool = spool
        self._lanes = lanes
        self._accounts = accounts
        self._access = access
        self._log = log
        self._clock = clock
        self._delivering = Delivering(store, lanes, accounts, log, clock)
        self._usage: dict[int, _Usage] = {}
        self._errands: set[asyncio.Task[object]] = set()
        self._has_recovered = False

    # ------------------------------------------------------------ the envelope

    async def check_sender(
        self, sender: str, client: Client, trace_id: str, *, declared_octets: int | None = None
    ) -> Refusal | None:
        """May this transaction begin?"""
        refusal = self._may_send(client, trace_id) or self._may_send_as(sender, client, trace_id)
        if refusal is None and declared_octets is not None and declared_octets > self.settings.message_octets:
            refusal = Refusal(Cause.MESSAGE_TOO_LARGE, trace_id, self.size_words())
        if refusal is not None:
            self._tell_refused("sender_refused", refusal, client, sender=sender)
        return refusal

    def _may_send(self, client: Client, trace_id: str) -> Refusal | None:
        """Asked at MAIL and again at the end of the message: a suspension in between counts (Reg. 7.1)."""
        if client.role is Role.MX:
            return None
        if client.signed_in is None:
            return Refusal(Cause.NOT_SIGNED_IN, trace_id)
        stopped = self._access.check_send(client.signed_in, client.peer)
        if stopped is None:
            return None
        return Refusal(_STATES.get(stopped.kind, Cause.NOT_SIGNED_IN), stopped.ref, text=stopped.text)

    def _may_send_as(self, sender: str, client: Client, trace_id: str) -> Refusal | None:
        """Reg. 4.3. On the MX the sender is whoever it says it is, until the checks look at it."""
        if client.role is Role.MX:
            return None
        foreign = check_envelope(self.own_addresses(client), sender, separator=self.settings.separator)
        return None if foreign is None else Refusal(Cause.SENDER_NOT_YOURS, trace_id, {"address": foreign.address})

    def own_addresses(self, client: Client) -> tuple[str, ...]:
        mailbox = self._access.snapshot.entry(client.signed_in.mailbox_id) if client.signed_in else None
        return () if mailbox is None else mailbox.addresses

    async def check_recipient(
        self,
        local: str,
        domain: str,
        client: Client,
        trace_id: str,
        *,
        declared_octets: int | None = None,
        notify: frozenset[str] = frozenset(),
        orcpt: str | None = None,
    ) -> Recipient | Refusal:
        """Where an address leads. Answered from memory but for a mailbox whose usage is not known."""
        address = f"{local}@{domain}" if domain else local
        cause, mailbox = self._find(local, domain or self.settings.domain, client.role)
        if cause is None and mailbox is not None and await self._is_full(mailbox, declared_octets or 1):
            cause = Cause.OVER_QUOTA
        if cause is None:
            assert mailbox is not None
            detail = local.partition(self.settings.separator)[2] if self.settings.separator else ""
            return Recipient(address, (mailbox.mailbox_id,), detail or None, notify, orcpt)
        refusal = Refusal(cause, trace_id, {"address": address})
        self._tell_refused("recipient_refused", refusal, client, recipient=address)
        return refusal

    def _find(self, local: str, domain: str, role: Role) -> tuple[Cause | None, Mailbox | None]:
        """The mailbox that receives for an address, or why there is none.

        The domain alone decides whether an address is ours. Whatever the local part looks like (`user%elsewhere`,
        `host!user`, `"user@elsewhere"`), it is looked up as it is and never taken apart into another address.
        """
        snapshot = self._access.snapshot
        if domain not in snapshot.domains:
            return (Cause.NO_ROUTE_YET if role is Role.SUBMISSION else Cause.RELAY_DENIED), None
        if local.lower() == "postmaster":
            return None, self._postmaster(domain)
        for candidate in candidates(f"{local}@{domain}", self.settings.separator):
            mailbox = snapshot.resolve(candidate)
            if mailbox is not None:
                return self._receives(mailbox), mailbox
        return Cause.NO_SUCH_MAILBOX, None

    def _receives(self, mailbox: Mailbox) -> Cause | None:
        """Reg. 7.1: a suspended mailbox receives; 6.4.c: a reclaimed one does not; one not issued yet does not exist."""
        decision = self._access.decide(mailbox.mailbox_id)
        if decision is None or State.NOT_ISSUED in decision.states:
            return Cause.NO_SUCH_MAILBOX
        return None if decision.receives else Cause.RECLAIMED

    def _postmaster(self, domain: str) -> Mailbox | None:
        """RFC 5321 §4.5.1: postmaster always receives: the one of the domain, else the Centre, else the oldest unit."""
        snapshot = self._access.snapshot
        named = (f"postmaster@{domain}", f"postmaster@{self.settings.domain}", self.settings.support)
        units = (mailbox.address for mailbox in sorted(snapshot, key=lambda m: (m.kind is not MailboxKind.UNIT, m.mailbox_id)))
        for address in (*named, *units):
            mailbox = snapshot.resolve(address)
            if mailbox is not None and self._receives(mailbox) is None:
                return mailbox
        return None

    async def _is_full(self, mailbox: Mailbox, more_octets: int) -> bool:
        """Whether `more_octets` certainly do not fit. What is not certain is decided when the message is published."""
        limit = mailbox.quota_octets
        known = self._usage.get(mailbox.mailbox_id)
        now = self._clock.monotonic()
        if known is not None and now - known.known_at < USAGE_SECONDS and known.octets + more_octets <= limit:
            return False
        try:
            account = self._store.account(account_ref(mailbox))
            quota = await self._accounts.read(account_ref(mailbox), account.quota)
        except MicMailError:
            return False
        self._usage[mailbox.mailbox_id] = _Usage(quota.octets, now)
        return quota.octets + more_octets > limit

    def _grew(self, parcels: list[Parcel], octets: int) -> None:
        """What was just delivered counts at once, until the store is asked again."""
        for parcel in parcels:
            known = self._usage.get(parcel.mailbox.mailbox_id)
            if known is not None:
                self._usage[parcel.mailbox.mailbox_id] = _Usage(known.octets + octets, known.known_at)

    # ------------------------------------------------------------ the message

    def begin(self, envelope: Envelope) -> Reception:
        """A message follows."""
        return Reception(self, envelope)

    def trace_header(self, envelope: Envelope) -> bytes:
        now = self._clock.now()
        return trace.return_path(envelope) + trace.received(envelope, self.settings.hostname, now)

    def missing_fields(self, envelope: Envelope, *, dated: bool, identified: bool) -> bytes:
        return trace.missing(envelope, self.settings.hostname, self._clock.now(), dated=dated, identified=identified)

    def size_words(self) -> dict[str, object]:
        return {"size_octets": self.settings.message_octets, "limit_octets": self.settings.attachment_octets}

    def attachment_words(self, octets: int) -> dict[str, object]:
        return {"size_octets": octets, "limit_octets": self.settings.attachment_octets}

    async def accept_small(self, envelope: Envelope, octets: bytes, received_octets: int) -> Outcome:
        """A whole message, trace header in front."""
        try:
            stopped = self._may_send(envelope.client, envelope.trace_id)
            if stopped is not None:
                return self.refused(envelope, stopped)
            # What measures less than the limit on the wire cannot hold more than the limit.
            if len(octets) > self.settings.attachment_octets:
                attached = (await self._lanes.cpu(scanned, octets)).attachment_octets
                if attached > self.settings.attachment_octets:
                    words = self.attachment_words(attached)
                    return self.refused(envelope, self.refusal(envelope, Cause.ATTACHMENTS_TOO_LARGE, **words))
            parcels = self._parcels(envelope)
            if len(parcels) == 1:
                return await self._deliver_small(envelope, parcels[0], octets, received_octets)
            return await self.run_to_its_end(self._spool_small(envelope, parcels, octets, received_octets))
        except Exception as error:  # noqa: BLE001 - the client hears a temporary refusal, the log has the rest
            return self.refused(envelope, self.refusal_of(envelope, error))

    async def _deliver_small(self, envelope: Envelope, parcel: Parcel, octets: bytes, received_octets: int) -> Outcome:
        await self._delivering.small(parcel, octets)
        self._grew([parcel], len(octets))
        return self._accepted(envelope, received_octets, delivered=1)

    async def _spool_small(self, envelope: Envelope, parcels: list[Parcel], octets: bytes, received_octets: int) -> Outcome:
        def commit() -> tuple[SpoolEntry, Answers]:
            draft = self._spool.draft(envelope.trace_id)
            draft.write(octets)
            return draft.commit(self._slip(envelope, parcels)), scanned(octets)

        entry, answered = await self._lanes.io(commit)
        return self._spooled(envelope, entry, parcels, answered, received_octets)

    async def open_stream(self, envelope: Envelope) -> Stream:
        """A place for a message that is too large to be held."""
        parcels = self._parcels(envelope)

        def open_sink() -> Sink:
            if len(parcels) == 1:
                return self._store.account(account_ref(parcels[0].mailbox)).stage()
            return self._spool.draft(envelope.trace_id)

        opening = self._lanes.io_lane.submit(open_sink)
        try:
            return Stream(self._lanes, await asyncio.shield(opening))
        except asyncio.CancelledError:
            self.start(self._discard_when_open(opening))
            raise

    async def _discard_when_open(self, opening: "asyncio.Future[Sink]") -> None:
        sink = await opening
        await self._lanes.io(sink.discard)

    async def accept_stream(self, envelope: Envelope, sink: Sink, answered: Answers, received_octets: int) -> Outcome:
        """A large message whose content is durable already."""
        stopped = self._may_send(envelope.client, envelope.trace_id)
        if stopped is not None:
            await self._lanes.io(sink.discard)
            return self.refused(envelope, stopped)
        parcels = self._parcels(envelope)
        if isinstance(sink, Draft):
            entry = await self._lanes.io(sink.commit, self._slip(envelope, parcels))
            return self._spooled(envelope, entry, parcels, answered, received_octets)
        staged: Staged = sink  # type: ignore[assignment]  # the only other sink that `open_stream` makes
        await self._delivering.staged(parcels[0], staged, answered)
        self._grew(parcels, answered.size)
        return self._accepted(envelope, received_octets, delivered=1)

    def _parcels(self, envelope: Envelope) -> list[Parcel]:
        """One for each mailbox, however many addresses lead there."""
        parcels: dict[int, Parcel] = {}
        for recipient in envelope.recipients:
            for mailbox_id in recipient.mailboxes:
                mailbox = self._access.snapshot.entry(mailbox_id)
                if mailbox is not None and mailbox_id not in parcels:
                    parcels[mailbox_id] = Parcel(envelope.trace_id, envelope.sender, recipient, mailbox)
        return list(parcels.values())

    # ------------------------------------------------------------ the spool

    def _slip(self, envelope: Envelope, parcels: list[Parcel]) -> Slip:
        targets = tuple(
            Target(
                parcel.mailbox.mailbox_id,
                parcel.recipient.address,
                parcel.recipient.detail,
                tuple(sorted(parcel.recipient.notify)),
                parcel.recipient.orcpt,
            )
            for parcel in parcels
        )
        return Slip(
            envelope.trace_id,
            envelope.sender,
            targets,
            self._clock.now_us(),
            return_path_octets=len(trace.return_path(envelope)),
            smtputf8=envelope.smtputf8,
            body=envelope.body,
            ret=envelope.ret,
            envid=envelope.envid,
        )

    def _spooled(
        self, envelope: Envelope, entry: SpoolEntry, parcels: list[Parcel], answered: Answers, received_octets: int
    ) -> Accepted:
        self._delivering.fan_out(entry, self._parcels_of(entry), answered)
        self._grew(parcels, answered.size)
        return self._accepted(envelope, received_octets, spooled=len(parcels))

    async def recover(self) -> int:
        """Take up what earlier processes acknowledged and did not finish, and what could not be delivered then."""
        entries = await self._lanes.io(lambda: list(islice(self._spool.recover(), MAX_RECOVERED)))
        for entry in entries:
            # Later attempts are this process's own, which lives: it knows that they ended.
            doubtful = not self._has_recovered or entry.slip.attempts == 0
            self._delivering.fan_out(entry, self._parcels_of(entry), None, doubtful=doubtful)
        self._has_recovered = self._has_recovered or len(entries) < MAX_RECOVERED
        return len(entries)

    def _parcels_of(self, entry: SpoolEntry) -> list[Parcel]:
        slip = entry.slip
        parcels = []
        for target in entry.open_targets:
            mailbox = self._access.snapshot.entry(target.mailbox_id)
            if mailbox is not None:
                recipient = Recipient(
                    target.address, (target.mailbox_id,), target.detail, frozenset(target.notify), target.orcpt
                )
                parcels.append(Parcel(slip.trace_id, slip.sender, recipient, mailbox, entry.origin(target.mailbox_id)))
        return parcels

    # ------------------------------------------------------------ answers and the log

    def _accepted(self, envelope: Envelope, octets: int, *, delivered: int = 0, spooled: int = 0) -> Accepted:
        client = envelope.client
        if client.signed_in is not None:
            self._access.used(client.signed_in.mailbox_id)
        self._log.event(
            "message_accepted",
            trace=envelope.trace_id,
            sender=envelope.sender,
            recipients=[recipient.address for recipient in envelope.recipients],
            octets=octets,
            peer=client.peer.address,
            session=client.peer.session_id,
            login=client.signed_in.address if client.signed_in else None,
        )
        return Accepted(envelope.trace_id, octets, delivered, spooled)

    def refusal(self, envelope: Envelope, cause: Cause, **words: object) -> Refusal:
        return Refusal(cause, envelope.trace_id, words)

    def refusal_of(self, envelope: Envelope, error: Exception) -> Refusal:
        """What an error of the rooms below means to the client: always something temporary."""
        if isinstance(error, OverQuota):
            return self.refusal(envelope, Cause.OVER_QUOTA, address=envelope.recipients[0].address)
        if isinstance(error, DiskFull | SpoolFull):
            return self.refusal(envelope, Cause.DISK_FULL)
        if not isinstance(error, MicMailError):
            where = "".join(traceback.format_exception(error, limit=-8))
            self._log.event("delivery_failed", trace=envelope.trace_id, error=repr(error), where=where)
        return self.refusal(envelope, Cause.UNAVAILABLE)

    def refused(self, envelope: Envelope, refusal: Refusal) -> Refusal:
        recipients = [recipient.address for recipient in envelope.recipients]
        self._tell_refused("message_refused", refusal, envelope.client, sender=envelope.sender, recipients=recipients)
        return refusal

    def _tell_refused(self, event: str, refusal: Refusal, client: Client, **fields: object) -> None:
        self._log.event(
            event,
            trace=refusal.trace_id,
            reason=refusal.cause,
            **fields,
            peer=client.peer.address,
            session=client.peer.session_id,
            login=client.signed_in.address if client.signed_in else None,
        )

    # ------------------------------------------------------------ errands

    def start(self, errand: Coroutine[object, object, T]) -> "asyncio.Task[T]":
        """Something that ends whether anybody waits for it or not."""
        task = asyncio.get_running_loop().create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task

    async def run_to_its_end(self, errand: Coroutine[object, object, T]) -> T:
        """Wait for a durable step that no cancellation stops."""
        return await asyncio.shield(self.start(errand))

    async def settle(self) -> None:
        """Wait until nothing is under way: the end of a drain."""
        while self._errands:
            await asyncio.wait(list(self._errands))
        await self._delivering.settle()
