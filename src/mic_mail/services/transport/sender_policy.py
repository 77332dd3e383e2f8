"""Who may send, as whom, and how much in an hour and a day (Reg. 4.3, 7.1, 7.2.c, 12.3).

In: a client and what it says; the snapshot, the decisions and the authorities in memory. Out: nothing, or a `Refusal`. Asked at
MAIL, at each RCPT, and again at the end of a message: what ended while it came is over. Belongs to the event loop.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

from mic_mail.clock import Clock
from mic_mail.log.error_fields import failure
from mic_mail.log.maillog import MailLog
from mic_mail.mailbox_address import ReversePath
from mic_mail.policy.addresses import candidates
from mic_mail.policy.send_as import check_envelope
from mic_mail.process.send_counters import Amounts
from mic_mail.services.abuse.send_limits import HOUR, Full, Rates
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import RefusalKind
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.settings.ceilings import Ceilings
from mic_mail.services.settings.flowsettings import FlowSettings
from mic_mail.services.transport.envelope import Cause, Client, Envelope, Refusal, Role

_STATES = {
    RefusalKind.SEND_LOCKED: Cause.SEND_LOCKED,
    RefusalKind.SUSPENDED: Cause.SUSPENDED,
    RefusalKind.PASSWORD_DUE: Cause.PASSWORD_DUE,
    RefusalKind.UNAVAILABLE: Cause.UNAVAILABLE,
}


_Judge = Callable[[int, Amounts, Ceilings, float], Full | None]


class SenderPolicy:
    """The senders of one process."""

    def __init__(
        self,
        access: SignInService,
        settings: Callable[[], FlowSettings],
        clock: Clock,
        *,
        rates: Rates,
        log: MailLog,
        runaway: Callable[[int, str, int], None],
    ) -> None:
        """`runaway` hears of a mailbox that goes on to send far too many `messages` or name far too many `recipients`."""
        self._access = access
        self._settings = settings
        self._clock = clock
        self._rates = rates
        self._log = log
        self._runaway = runaway
        self._is_told = False
        self.limited: Counter[str] = Counter()
        """How often each limit refused something."""

    def may_send(self, client: Client, trace_id: str) -> Refusal | None:
        """Asked at MAIL and again at the end of the message: a suspension in between counts (Reg. 7.1)."""
        if client.role is Role.MX:
            return None
        if client.signed_in is None:
            return Refusal(Cause.NOT_SIGNED_IN, trace_id)
        stopped = self._access.check_send(client.signed_in, client.peer)
        if stopped is None:
            return None
        return Refusal(_STATES.get(stopped.kind, Cause.NOT_SIGNED_IN), stopped.ref, text=stopped.text)

    def may_send_as(self, sender: ReversePath, client: Client, trace_id: str) -> Refusal | None:
        """Reg. 4.3. On the MX the sender is whoever it says it is, until the checks look at it."""
        if client.role is Role.MX:
            return None
        foreign = check_envelope(self.addresses(client), str(sender), separator=self._settings().separator)
        if foreign is None:
            return None
        return self.locked(str(sender), client) or Refusal(Cause.SENDER_NOT_YOURS, trace_id, {"address": foreign.address})

    def addresses(self, client: Client) -> tuple[str, ...]:
        """What the person may write as: the own addresses, and those of the units and groups that allow it (Reg. 12.3)."""
        return (*self.own_addresses(client), *self.writes_as(client))

    def own_addresses(self, client: Client) -> tuple[str, ...]:
        mailbox = self._access.snapshot.entry(client.signed_in.mailbox_id) if client.signed_in else None
        return () if mailbox is None else mailbox.addresses

    def writes_as(self, client: Client) -> Mapping[str, int]:
        """The addresses, each with its mailbox, of the units and groups in whose name the person may write now."""
        return {} if client.signed_in is None else self._access.sharing.writes_as(client.signed_in.mailbox_id)

    def locked(self, address: str, client: Client) -> Refusal | None:
        """Why somebody who may use the mailbox of `address` may not send from it: its own state, in its words."""
        stopped = client.signed_in and self._access.check_send_as(client.signed_in, address, self._settings().separator)
        return Refusal(_STATES[stopped.kind], stopped.ref, text=stopped.text) if stopped else None

    def still_written_as(self, envelope: Envelope) -> Refusal | None:
        """Asked at the end of the message: an authority that ended while it came is over."""
        client = envelope.client
        if (refusal := self.may_send_as(envelope.sender, client, envelope.trace_id)) is not None:
            return refusal
        for mailbox_id in envelope.written_as:
            assert client.signed_in is not None
            if not self._access.sharing.holding(client.signed_in.mailbox_id, mailbox_id).may_post:
                address = self._access.snapshot.entries[mailbox_id].address
                return self.locked(address, client) or Refusal(Cause.SENDER_NOT_YOURS, envelope.trace_id, {"address": address})
        return None

    def note_written_as(self, envelope: Envelope, addresses: Collection[str], others: Mapping[str, int]) -> None:
        """Whose addresses, of those of `others`, the message bears (`addresses`): asked again at its end."""
        if others:
            written = {str(envelope.sender), *addresses}
            known = {known for address in written for known in candidates(address, self._settings().separator)}
            envelope.written_as.update(others[address] for address in known & others.keys())

    # ------------------------------------------------------------ how much

    def exceeded_limit(self, client: Client, trace_id: str, octets: int) -> Refusal | None:
        """Asked at MAIL: the limit that one more message of this size would pass."""
        return self._judged(client, trace_id, Amounts(1, 0, octets), self._rates.full, self._now())

    def name_recipient(self, client: Client, trace_id: str) -> Refusal | None:
        """Count a recipient, whatever becomes of the message."""
        return self._judged(client, trace_id, Amounts(recipients=1), self._rates.take, self._now())

    def count(self, envelope: Envelope, octets: int) -> Refusal | None:
        """Count a message that is complete; `discount` it if it is not taken after all."""
        wanted, now = Amounts(1, 0, octets), self._now()
        refusal = self._judged(envelope.client, envelope.trace_id, wanted, self._rates.take, now)
        counted = envelope.counted
        counted.octets, counted.at, counted.is_counted = octets, now, refusal is None
        return refusal

    def discount(self, envelope: Envelope) -> None:
        """The message was not taken: who sends it again is not counted twice."""
        counted, sender = envelope.counted, envelope.client.signed_in
        if counted.is_counted and sender is not None:
            counted.is_counted = False
            with self._log_counts_unusable():
                self._rates.give_back(sender.mailbox_id, Amounts(1, 0, counted.octets), counted.at)

    def _judged(self, client: Client, trace_id: str, wanted: Amounts, judge: _Judge, now: float) -> Refusal | None:
        sender, settings = client.signed_in, self._settings()
        if sender is None:
            return None
        with self._log_counts_unusable():
            full = judge(sender.mailbox_id, wanted, settings.ceilings_of(sender.address), now)
            if full is None:
                return None
            self.limited[f"{full.what}-{full.span}"] += 1
            self._refused(sender, wanted, full, settings)
            return Refusal(
                Cause.SENDING_RATE,
                trace_id,
                {"what": full.what, "span": full.span, "amount": full.limit, "room_at": full.room_at},
            )
        return None

    def _refused(self, sender: SignedIn, wanted: Amounts, full: Full, settings: FlowSettings) -> None:
        """Only an hour's messages and recipients suspend: a program that tries all night would reach twice a day's limit by its
        patience, and many octets are no spam."""
        if full.span != HOUR or full.what == "octets":
            return
        tried = self._rates.refused(sender.mailbox_id, wanted.messages, wanted.recipients, self._now())
        if settings.suspend_beyond and sender.address not in settings.bulk_senders:
            count = getattr(tried, full.what)
            if count >= settings.suspend_beyond * full.limit:
                self._runaway(sender.mailbox_id, full.what, count)

    def _now(self) -> float:
        return self._clock.steady_us() / 1e6

    @contextlib.contextmanager
    def _log_counts_unusable(self) -> Iterator[None]:
        """Counts that cannot be read or written keep nobody from sending; it is said once."""
        try:
            yield
            self._is_told = False
        except OSError as error:
            if not self._is_told:
                self._log.event("sending_not_counted", **failure(error))
            self._is_told = True
