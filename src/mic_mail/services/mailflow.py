"""From the door to the mailbox: who may send, who receives, and how a message becomes durable before anyone says `250`.

In: an envelope and the octets of a message. Out: an `Outcome`. One local mailbox is published straight into its store; several
go through one durable spool entry and are fanned out at once. Every answer has a trace id that is also in the log (Reg. 4.2: no
message is dropped, redirected or copied in silence).
Never here: protocol syntax, reply codes, SQL. Temporary trouble is never turned into a final refusal.
"""

import asyncio
import traceback
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import Entry as Mailbox
from mic_mail.errors import MicMailError
from mic_mail.log.maillog import MailLog, stamp
from mic_mail.mime import headers
from mic_mail.mime.render import Answers, answers_of
from mic_mail.outbound.spool import Draft, Slip, Spool, SpoolFull, Target
from mic_mail.outbound.spool import Entry as SpoolEntry
from mic_mail.policy.addresses import candidates
from mic_mail.policy.sending import check_envelope
from mic_mail.process.lanes import AccountLanes, Lanes
from mic_mail.services import authorship, trace
from mic_mail.services.access import Access, SignedIn
from mic_mail.services.delivery import Delivering
from mic_mail.services.envelope import Accepted, Cause, Client, Envelope, Outcome, Recipient, Refusal, Role
from mic_mail.services.posting import Parcel, account_ref
from mic_mail.services.rates import HourlyRate
from mic_mail.services.reception import Reception, Sink, Stream
from mic_mail.services.recipients import Recipients
from mic_mail.services.refusals import RefusalKind
from mic_mail.services.secrecy import Checked, Passage, Secrecy, Way
from mic_mail.storage.errors import DiskFull, OverQuota
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import Staged

T = TypeVar("T")
MAX_RECOVERED = 500
"""Entries taken up at once: each keeps a file open until it is delivered."""

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
    recipients_per_hour: int = 2_000
    """Of one mailbox, on submission."""
    runaway_recipients: int = 4_000
    """Named within an hour: then the mailbox is suspended (Reg. 7.2.c); 0: never."""
    bulk_senders: frozenset[str] = frozenset()
    """Addresses of mailboxes that are not suspended for it."""


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
        secrecy: Secrecy,
        log: MailLog,
        clock: Clock,
        runaway: Callable[[int, int], None] = lambda mailbox_id, recipients: None,
    ) -> None:
        """`runaway` hears, on the loop, of a mailbox that goes on to name far too many recipients."""
        self.settings = settings
        self._secrecy = secrecy
        self._runaway = runaway
        self._store = store
        self._spool = spool
        self._lanes = lanes
        self._access = access
        self._log = log
        self._clock = clock
        self._delivering = Delivering(store, lanes, accounts, log, clock, arrived=access.arrived)
        self._recipients = Recipients(access, store, accounts, log, clock)
        self._rate = HourlyRate()
        self._errands: set[asyncio.Task[object]] = set()
        self._has_looked = False
        self._held: set[str] = set()
        """The entries that wait because their sender is suspended, as last seen."""

    # ------------------------------------------------------------ the envelope

    async def check_sender(
        self, sender: str, client: Client, trace_id: str, *, declared_octets: int | None = None
    ) -> Refusal | None:
        """May this transaction begin?"""
        refusal = self._may_send(client, trace_id) or self._may_send_as(sender, client, trace_id)
        if refusal is None and declared_octets is not None and declared_octets > self.settings.message_octets:
            sizes = {"size_octets": self.message_octets, "limit_octets": self.attachment_octets}
            refusal = Refusal(Cause.MESSAGE_TOO_LARGE, trace_id, sizes)
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
        foreign = check_envelope(self._addresses(client), sender, separator=self.settings.separator)
        if foreign is None:
            return None
        return self._locked(sender, client) or Refusal(Cause.SENDER_NOT_YOURS, trace_id, {"address": foreign.address})

    def _addresses(self, client: Client) -> tuple[str, ...]:
        """What the person may write as: the own addresses, and those of the units and groups that allow it (Reg. 12.3)."""
        signed_in = client.signed_in
        mailbox = self._access.snapshot.entry(signed_in.mailbox_id) if signed_in else None
        if mailbox is None:
            return ()
        return (*mailbox.addresses, *self._access.sharing.writes_as(mailbox.mailbox_id))

    def _locked(self, address: str, client: Client) -> Refusal | None:
        """Why somebody who may use the mailbox of `address` may not send from it: its own state, in its words."""
        stopped = client.signed_in and self._access.check_send_as(client.signed_in, address, self.settings.separator)
        return Refusal(_STATES[stopped.kind], stopped.ref, text=stopped.text) if stopped else None

    def _still_written_as(self, envelope: Envelope) -> Refusal | None:
        """Asked at the end of the message: an authority that ended while it came is over."""
        client = envelope.client
        for mailbox_id in envelope.written_as:
            assert client.signed_in is not None
            if not self._access.sharing.holding(client.signed_in.mailbox_id, mailbox_id).may_post:
                address = self._access.snapshot.entries[mailbox_id].address
                return self._locked(address, client) or self.refusal(envelope, Cause.SENDER_NOT_YOURS, address=address)
        return None

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
        settings = self.settings
        address = f"{local}@{domain}" if domain else local
        found = self._recipients.find(
            local,
            domain or settings.domain,
            client.role,
            separator=settings.separator,
            home=settings.domain,
            support=settings.support,
        )
        if isinstance(found, Mailbox):
            octets = declared_octets or 1
            if not self._recipients.has_room(found, octets) and await self._recipients.is_full(found, octets):
                found = Cause.OVER_QUOTA
        if isinstance(found, Mailbox) and client.signed_in is not None and self._sends_too_much(client.signed_in):
            refusal = Refusal(Cause.SENDING_RATE, trace_id, {"limit": str(settings.recipients_per_hour)})
            self._tell_refused("recipient_refused", refusal, client, recipient=address)
            return refusal
        if isinstance(found, Mailbox):
            detail = local.partition(settings.separator)[2] if settings.separator else ""
            return Recipient(address, (found.mailbox_id,), detail or None, notify, orcpt)
        refusal = Refusal(found, trace_id, {"address": address})
        self._tell_refused("recipient_refused", refusal, client, recipient=address)
        return refusal

    def _sends_too_much(self, sender: SignedIn) -> bool:
        """Whether the mailbox has to wait; else this recipient is counted, whatever becomes of the message."""
        settings = self.settings
        too_much = self._rate.take(sender.mailbox_id, settings.recipients_per_hour, self._clock.monotonic()) > 0
        if too_much and settings.runaway_recipients and sender.address not in settings.bulk_senders:
            tried = self._rate.tried(sender.mailbox_id)
            if tried >= settings.runaway_recipients:
                self._runaway(sender.mailbox_id, tried)
        return too_much

    # ------------------------------------------------------------ the message

    def begin(self, envelope: Envelope) -> Reception:
        """A message follows."""
        return Reception(self, envelope)

    @property
    def message_octets(self) -> int:
        return self.settings.message_octets

    @property
    def attachment_octets(self) -> int:
        return self.settings.attachment_octets

    def head(self, envelope: Envelope) -> bytes:
        """The trace lines (RFC 5321 §4.4)."""
        return trace.return_path(envelope) + trace.received(envelope, self.settings.hostname, self._clock.now_us())

    def check_header(self, envelope: Envelope, header: bytes) -> Refusal | bytes:
        """Why a message with this header may not pass, or the lines that submission adds to it."""
        envelope.header.message_id = trace.message_id(header)
        if authorship.goes_in_a_circle(header):
            return self.refusal(envelope, Cause.LOOP)
        if envelope.client.role is not Role.SUBMISSION:
            return b""
        fields = headers.fields(header)
        own, separator = self._addresses(envelope.client), self.settings.separator
        objection = authorship.objection_to_author(header, fields, own, separator)
        if objection is not None:
            locked = self._locked(objection.address, envelope.client) if objection.address else None
            return locked or self.refusal(envelope, objection.cause, address=objection.address, field=objection.field)
        self._note_written_as(envelope, fields)
        envelope.header.message_id = envelope.header.message_id or trace.own_message_id(envelope, self.settings.hostname)
        return authorship.missing_fields(fields, envelope, self.settings.hostname, self._clock.now_us())

    def _note_written_as(self, envelope: Envelope, fields: list[tuple[bytes, bytes]]) -> None:
        assert envelope.client.signed_in is not None
        others = self._access.sharing.writes_as(envelope.client.signed_in.mailbox_id)
        if others:
            written = {envelope.sender, *authorship.written_addresses(fields)}
            known = {known for address in written for known in candidates(address, self.settings.separator)}
            envelope.written_as.update(others[address] for address in known & others.keys())

    async def accept_small(self, envelope: Envelope, octets: bytes, received_octets: int) -> Outcome:
        """A whole message, trace header in front."""
        try:
            stopped = self._may_send(envelope.client, envelope.trace_id) or self._still_written_as(envelope)
            if stopped is not None:
                return self.refused(envelope, stopped)
            parcels = self._parcels(envelope)
            checked = await self._secrecy.check(self._passage(envelope, parcels), octets)
            # The look may have taken seconds: what ended meanwhile counts too.
            stopped = self._marked(envelope, checked) or self._may_send(envelope.client, envelope.trace_id)
            if stopped is not None:
                return self.refused(envelope, stopped)
            answered = checked.answers
            # What measures less than the limit on the wire cannot hold more than the limit.
            if len(octets) > self.settings.attachment_octets:
                if answered is None:
                    answered = await self._lanes.cpu(answers_of, octets)
                attached = answered.attachment_octets
                if attached > self.settings.attachment_octets:
                    limit = self.settings.attachment_octets
                    refusal = self.refusal(envelope, Cause.ATTACHMENTS_TOO_LARGE, size_octets=attached, limit_octets=limit)
                    return self.refused(envelope, refusal)
            if len(parcels) == 1:
                return await self._deliver_small(envelope, parcels[0], octets, received_octets, answered)
            return await self.run_to_its_end(self._spool_small(envelope, parcels, octets, received_octets, answered))
        except Exception as error:  # noqa: BLE001 - the client hears a temporary refusal, the log has the rest
            return self.refused(envelope, self.refusal_of(envelope, error))

    async def _deliver_small(
        self, envelope: Envelope, parcel: Parcel, octets: bytes, received_octets: int, answered: Answers | None
    ) -> Outcome:
        await self._delivering.small(parcel, octets, answered)
        self._recipients.grew(parcel.mailbox.mailbox_id, len(octets))
        return self._accepted(envelope, received_octets, delivered=1)

    async def _spool_small(
        self, envelope: Envelope, parcels: list[Parcel], octets: bytes, received_octets: int, known: Answers | None
    ) -> Outcome:
        def commit() -> tuple[SpoolEntry, Answers]:
            draft = self._spool.draft(envelope.trace_id)
            draft.write(octets)
            return draft.commit(self._slip(envelope, parcels)), known or answers_of(octets)

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
        await asyncio.wait([opening])
        if not opening.cancelled() and opening.exception() is None:  # else there is nothing to discard
            await self._lanes.io(opening.result().discard)

    async def accept_stream(self, envelope: Envelope, sink: Sink, answered: Answers, received_octets: int) -> Outcome:
        """A large message whose content is durable already."""
        stopped = self._may_send(envelope.client, envelope.trace_id) or self._still_written_as(envelope)
        if stopped is not None:
            await self._lanes.io(sink.discard)
            return self.refused(envelope, stopped)
        parcels = self._parcels(envelope)
        checked = await self._secrecy.check(self._passage(envelope, parcels), Path(sink.path))
        stopped = self._marked(envelope, checked) or self._may_send(envelope.client, envelope.trace_id)
        if stopped is not None:
            await self._lanes.io(sink.discard)
            return self.refused(envelope, stopped)
        if isinstance(sink, Draft):
            entry = await self._lanes.io(sink.commit, self._slip(envelope, parcels))
            return self._spooled(envelope, entry, parcels, answered, received_octets)
        staged: Staged = sink  # type: ignore[assignment]  # the only other sink that `open_stream` makes
        await self._delivering.staged(parcels[0], staged, answered)
        self._recipients.grew(parcels[0].mailbox.mailbox_id, answered.size)
        return self._accepted(envelope, received_octets, delivered=1)

    def _passage(self, envelope: Envelope, parcels: list[Parcel]) -> Passage:
        """The message as the check of markings knows it (Reg. 4.1)."""
        client = envelope.client
        is_submitted = client.role is Role.SUBMISSION
        return Passage(
            Way.SUBMISSION if is_submitted else Way.INBOUND,
            envelope.trace_id,
            envelope.sender,
            tuple(recipient.address for recipient in envelope.recipients),
            login=client.signed_in.address if client.signed_in else None,
            peer=client.peer.address,
            session=client.peer.session_id,
            slip=(lambda: self._slip(envelope, parcels)) if is_submitted else None,
        )

    def _marked(self, envelope: Envelope, checked: Checked) -> Refusal | None:
        if checked.stop is None:
            return None
        return self.refusal(envelope, Cause.NOT_INSPECTED if checked.stop.found is None else Cause.MARKED_SECRET)

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
            submitted_by=envelope.client.signed_in.mailbox_id if envelope.client.signed_in else 0,
        )

    def _spooled(
        self, envelope: Envelope, entry: SpoolEntry, parcels: list[Parcel], answered: Answers, received_octets: int
    ) -> Accepted:
        self._delivering.fan_out(entry, self._parcels_of(entry), answered)
        for parcel in parcels:
            self._recipients.grew(parcel.mailbox.mailbox_id, answered.size)
        return self._accepted(envelope, received_octets, spooled=len(parcels))

    async def recover(self) -> int:
        """Take up what earlier processes acknowledged and did not finish, and what could not be delivered then.

        The first time everything, since what was in the way may be why somebody restarted us; after that what is due. What a
        mailbox sent that is suspended or reclaimed now stays in the spool (Reg. 7.1, 7.2.c; decision 0061).
        """
        now_us = self._clock.now_us() if self._has_looked else None
        self._has_looked = True
        held: list[Slip] = []
        entries = await self._lanes.io(lambda: list(islice(self._spool.recover(now_us, self._waits(held)), MAX_RECOVERED)))
        self._tell_held(held)
        for entry in entries:
            slip = entry.slip
            self._log.event(
                "message_taken_up",
                trace=slip.trace_id,
                sender=slip.sender,
                recipients=[target.address for target in entry.open_targets],
                attempts=slip.attempts,
                accepted_at=stamp(slip.accepted_at_us),
            )
            self._delivering.fan_out(entry, self._parcels_of(entry), None, doubtful=True)
        return len(entries)

    def _waits(self, held: list[Slip]) -> Callable[[Slip], bool]:
        """Whether an entry's sender may not send now, asked once for each; those that wait are noted. In a thread."""
        stopped: dict[int, bool] = {}

        def waits(slip: Slip) -> bool:
            sender = slip.submitted_by
            if sender and sender not in stopped:
                stopped[sender] = self._access.is_stopped(sender)
            if sender and stopped[sender]:
                held.append(slip)
            return bool(sender) and stopped[sender]

        return waits

    def _tell_held(self, held: Sequence[Slip]) -> None:
        """Once for each entry and process: that it waits (Reg. 4.2)."""
        for slip in held:
            if slip.trace_id not in self._held:
                recipients = [target.address for target in slip.targets if not target.settled]
                self._log.event("delivery_held", trace=slip.trace_id, sender=slip.sender, recipients=recipients)
        self._held = {slip.trace_id for slip in held}

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
            for mailbox_id in (client.signed_in.mailbox_id, *envelope.written_as):
                self._access.used(mailbox_id)
        written_as = [self._access.snapshot.entries[mailbox_id].address for mailbox_id in envelope.written_as]
        self._log.event(
            "message_accepted",
            trace=envelope.trace_id,
            message_id=envelope.header.message_id,
            sender=envelope.sender,
            recipients=[recipient.address for recipient in envelope.recipients],
            octets=octets,
            peer=client.peer.address,
            session=client.peer.session_id,
            login=client.signed_in.address if client.signed_in else None,
            written_as=written_as or None,
            **({"envid": envelope.envid} if envelope.envid else {}),  # by it a report of delivery may name it (RFC 3464)
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
        told: dict[str, object] = {
            "sender": envelope.sender,
            "recipients": recipients,
            "message_id": envelope.header.message_id,
        }
        self._tell_refused("message_refused", refusal, envelope.client, **told)
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

    def look_at_journal(self) -> None:
        """Something was stored: if the journal is full now, make room in it."""
        self._delivering.look_at_journal()

    async def settle(self) -> None:
        """Wait until nothing is under way: the end of a drain."""
        while self._errands:
            await asyncio.wait(list(self._errands))
        await self._delivering.settle()
