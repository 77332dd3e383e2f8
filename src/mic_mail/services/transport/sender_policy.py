"""Sender policy: who may send, as whom, and how much per hour and day (Reg. 4.3, 7.1, 7.2.c, 12.3).

Checked at MAIL, at each RCPT, and again at the end of a message, so that a right that ended meanwhile no longer counts.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

from mic_mail.log.error_fields import failure
from mic_mail.mailbox_address import ReversePath
from mic_mail.policy.naming.addresses import candidates
from mic_mail.policy.naming.send_as import check_envelope
from mic_mail.process.runtime import Runtime
from mic_mail.process.send_counters import Amounts
from mic_mail.services.abuse.send_limits import HOUR, Ceilings, LimitReached, SendLimits, ceilings_of, is_bulk_sender
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import RefusalKind
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.transport.check import MailCommand, MaybeRefusal, RcptCommand
from mic_mail.services.transport.envelope import Cause, Client, Envelope, Refusal, Role

_STATES = {
    RefusalKind.SEND_LOCKED: Cause.SEND_LOCKED,
    RefusalKind.SUSPENDED: Cause.SUSPENDED,
    RefusalKind.PASSWORD_DUE: Cause.PASSWORD_DUE,
    RefusalKind.UNAVAILABLE: Cause.UNAVAILABLE,
}


_Limiter = Callable[[int, Amounts, Ceilings, float], LimitReached | None]


class SenderPolicy:
    """The sender checks of one process."""

    def __init__(
        self, runtime: Runtime, access: SignInService, rates: SendLimits, *, exceeds_limit: Callable[[int, str, int], None]
    ) -> None:
        """`exceeds_limit` is called with a mailbox that keeps exceeding a limit by far.

        Its second argument is `messages` or `recipients`, its third the count.
        """
        self._runtime = runtime
        self._access = access
        self._rates = rates
        self._exceeds_limit = exceeds_limit
        self._has_failed = False
        """Set while the counts are unusable, which has been logged."""
        self.limited: Counter[str] = Counter()
        """Number of refusals by each limit."""

    @property
    def _separator(self) -> str:
        return self._runtime.config().smtp.subaddress

    def may_send(self, client: Client, trace_id: str) -> Refusal | None:
        """Check at MAIL and again at the end of the message; a suspension in between counts (Reg. 7.1)."""
        if client.role is Role.MX:
            return None
        if client.signed_in is None:
            return Refusal(Cause.NOT_SIGNED_IN, trace_id)
        stopped = self._access.check_send(client.signed_in, client.peer)
        if stopped is None:
            return None
        return Refusal(_STATES.get(stopped.kind, Cause.NOT_SIGNED_IN), stopped.ref, text=stopped.text)

    def still_may_send(self, envelope: Envelope) -> Refusal | None:
        return self.may_send(envelope.client, envelope.trace_id)

    def may_send_as(self, sender: ReversePath, client: Client, trace_id: str) -> Refusal | None:
        """Check the reverse-path (Reg. 4.3). On the MX any is taken until the message checks run."""
        if client.role is Role.MX:
            return None
        foreign = check_envelope(self.addresses(client), str(sender), separator=self._separator)
        if foreign is None:
            return None
        return self.locked(str(sender), client) or Refusal(Cause.SENDER_NOT_YOURS, trace_id, {"address": foreign.address})

    def addresses(self, client: Client) -> tuple[str, ...]:
        """Return the addresses the person may write as: own ones, and of units and groups (Reg. 12.3)."""
        return (*self.own_addresses(client), *self.writes_as(client))

    def own_addresses(self, client: Client) -> tuple[str, ...]:
        mailbox = self._access.snapshot.entry(client.signed_in.mailbox_id) if client.signed_in else None
        return () if mailbox is None else mailbox.addresses

    def writes_as(self, client: Client) -> Mapping[str, int]:
        """Map the addresses of units and groups the person may write as now to their mailboxes."""
        return {} if client.signed_in is None else self._access.sharing.writes_as(client.signed_in.mailbox_id)

    def locked(self, address: str, client: Client) -> Refusal | None:
        """Return why a person with rights in the mailbox of `address` may not send from it, in its own text."""
        stopped = client.signed_in and self._access.check_send_as(client.signed_in, address, self._separator)
        return Refusal(_STATES[stopped.kind], stopped.ref, text=stopped.text) if stopped else None

    def still_written_as(self, envelope: Envelope) -> Refusal | None:
        """Check at the end of the message that the authorities it was written under still hold."""
        client = envelope.client
        if (refusal := self.may_send_as(envelope.sender, client, envelope.trace_id)) is not None:
            return refusal
        for mailbox_id in envelope.written_as:
            assert client.signed_in is not None
            if not self._access.sharing.holding(client.signed_in.mailbox_id, mailbox_id).may_post:
                address = self._access.snapshot.entries[mailbox_id].address
                return self.locked(address, client) or envelope.refusal(Cause.SENDER_NOT_YOURS, address=address)
        return None

    def note_written_as(self, envelope: Envelope, addresses: Collection[str], others: Mapping[str, int]) -> None:
        """Record which mailboxes of `others` the message names, to check their authorities again at its end."""
        if others:
            written = {str(envelope.sender), *addresses}
            known = {known for address in written for known in candidates(address, self._separator)}
            envelope.written_as.update(others[address] for address in known & others.keys())

    # ------------------------------------------------------------ how much

    def check_limit(self, mail: MailCommand) -> Refusal | None:
        """Return a refusal at MAIL if one more message of this size would exceed a limit."""
        return self._refusal_by(
            mail.client, mail.trace_id, Amounts(1, 0, mail.declared_octets or 0), self._rates.full, self._now()
        )

    def name_recipient(self, rcpt: RcptCommand) -> Refusal | None:
        """Count a recipient, whatever happens to the message."""
        return self._refusal_by(rcpt.client, rcpt.trace_id, Amounts(recipients=1), self._rates.take, self._now())

    def count(self, envelope: Envelope, octets: int) -> MaybeRefusal:
        """Count a complete message; `discount` it if it is not accepted after all."""
        sender = envelope.client.signed_in
        if self._rates.is_shared and sender is not None:
            return self._count_with_others(envelope, sender, octets)
        wanted, now = Amounts(1, 0, octets), self._now()
        refusal = self._refusal_by(envelope.client, envelope.trace_id, wanted, self._rates.take, now)
        counted = envelope.counted
        counted.octets, counted.at, counted.is_counted = octets, now, refusal is None
        return refusal

    async def _count_with_others(self, envelope: Envelope, sender: SignedIn, octets: int) -> Refusal | None:
        """Count it over all nodes; raises `Unavailable` where these cannot be asked."""
        now, wanted, counted = self._now(), Amounts(1, 0, octets), envelope.counted
        ceilings = ceilings_of(self._runtime.config(), sender.address)
        named = len(envelope.recipients) + len(envelope.elsewhere)
        counted.octets, counted.at, counted.is_counted = octets, now, True
        full = await self._runtime.executors.io(self._rates.take_with_others, sender.mailbox_id, wanted, named, ceilings, now)
        if full is None:
            return None
        counted.is_counted = False
        return self._limited(sender, envelope.trace_id, wanted, full)

    def discount(self, envelope: Envelope) -> None:
        """Undo the count of a message that was not accepted, so that a retry is not counted twice."""
        counted, sender = envelope.counted, envelope.client.signed_in
        if counted.is_counted and sender is not None:
            counted.is_counted = False
            with self._log_counts_unusable():
                self._rates.give_back(sender.mailbox_id, Amounts(1, 0, counted.octets), counted.at)

    def _refusal_by(self, client: Client, trace_id: str, wanted: Amounts, limiter: _Limiter, now: float) -> Refusal | None:
        sender = client.signed_in
        if sender is None:
            return None
        with self._log_counts_unusable():
            full = limiter(sender.mailbox_id, wanted, ceilings_of(self._runtime.config(), sender.address), now)
            if full is None:
                return None
            return self._limited(sender, trace_id, wanted, full)
        return None

    def _limited(self, sender: SignedIn, trace_id: str, wanted: Amounts, full: LimitReached) -> Refusal:
        self.limited[f"{full.what}-{full.span}"] += 1
        self._refused(sender, wanted, full)
        return Refusal(
            Cause.SENDING_RATE, trace_id, {"what": full.what, "span": full.span, "amount": full.limit, "room_at": full.room_at}
        )

    def _refused(self, sender: SignedIn, wanted: Amounts, full: LimitReached) -> None:
        """Suspend a mailbox that goes on far beyond an hourly limit of messages or recipients.

        A program that retries all night would reach twice a daily limit by persistence, and many octets are not spam.
        """
        if full.span != HOUR or full.what == "octets":
            return
        tried = self._rates.refused(sender.mailbox_id, wanted.messages, wanted.recipients, self._now())
        config = self._runtime.config()
        beyond = config.limits.suspend_beyond
        if beyond and not is_bulk_sender(config, sender.address):
            count = getattr(tried, full.what)
            if count >= beyond * full.limit:
                self._exceeds_limit(sender.mailbox_id, full.what, count)

    def _now(self) -> float:
        return self._runtime.clock.steady_us() / 1e6

    @contextlib.contextmanager
    def _log_counts_unusable(self) -> Iterator[None]:
        """Let mail pass if the counts cannot be read or written; log that once."""
        try:
            yield
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                self._runtime.log.event("sending_not_counted", **failure(error))
            self._has_failed = True
