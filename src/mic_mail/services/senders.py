"""Who may send, as whom, and to how many an hour (Reg. 4.3, 7.1, 7.2.c, 12.3).

In: a client and what it says; the snapshot, the decisions and the authorities in memory. Out: nothing, or a `Refusal`. Asked at
MAIL, at each RCPT, and again at the end of a message: what ended while it came is over. Belongs to the event loop.
"""

from collections.abc import Callable

from mic_mail.clock import Clock
from mic_mail.policy.addresses import candidates
from mic_mail.policy.sending import check_envelope
from mic_mail.services import authorship
from mic_mail.services.access import Access
from mic_mail.services.envelope import Cause, Client, Envelope, Refusal, Role
from mic_mail.services.flowsettings import FlowSettings
from mic_mail.services.identity import SignedIn
from mic_mail.services.rates import HourlyRate
from mic_mail.services.refusals import RefusalKind

_STATES = {
    RefusalKind.SEND_LOCKED: Cause.SEND_LOCKED,
    RefusalKind.SUSPENDED: Cause.SUSPENDED,
    RefusalKind.PASSWORD_DUE: Cause.PASSWORD_DUE,
    RefusalKind.UNAVAILABLE: Cause.UNAVAILABLE,
}


class Senders:
    """The senders of one process."""

    def __init__(
        self, access: Access, settings: Callable[[], FlowSettings], clock: Clock, runaway: Callable[[int, int], None]
    ) -> None:
        """`runaway` hears of a mailbox that goes on to name far too many recipients."""
        self._access = access
        self._settings = settings
        self._clock = clock
        self._runaway = runaway
        self._rate = HourlyRate()

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

    def may_send_as(self, sender: str, client: Client, trace_id: str) -> Refusal | None:
        """Reg. 4.3. On the MX the sender is whoever it says it is, until the checks look at it."""
        if client.role is Role.MX:
            return None
        foreign = check_envelope(self.addresses(client), sender, separator=self._settings().separator)
        if foreign is None:
            return None
        return self.locked(sender, client) or Refusal(Cause.SENDER_NOT_YOURS, trace_id, {"address": foreign.address})

    def addresses(self, client: Client) -> tuple[str, ...]:
        """What the person may write as: the own addresses, and those of the units and groups that allow it (Reg. 12.3)."""
        signed_in = client.signed_in
        mailbox = self._access.snapshot.entry(signed_in.mailbox_id) if signed_in else None
        if mailbox is None:
            return ()
        return (*mailbox.addresses, *self._access.sharing.writes_as(mailbox.mailbox_id))

    def locked(self, address: str, client: Client) -> Refusal | None:
        """Why somebody who may use the mailbox of `address` may not send from it: its own state, in its words."""
        stopped = client.signed_in and self._access.check_send_as(client.signed_in, address, self._settings().separator)
        return Refusal(_STATES[stopped.kind], stopped.ref, text=stopped.text) if stopped else None

    def still_written_as(self, envelope: Envelope) -> Refusal | None:
        """Asked at the end of the message: an authority that ended while it came is over."""
        client = envelope.client
        for mailbox_id in envelope.written_as:
            assert client.signed_in is not None
            if not self._access.sharing.holding(client.signed_in.mailbox_id, mailbox_id).may_post:
                address = self._access.snapshot.entries[mailbox_id].address
                return self.locked(address, client) or Refusal(Cause.SENDER_NOT_YOURS, envelope.trace_id, {"address": address})
        return None

    def note_written_as(self, envelope: Envelope, fields: list[tuple[bytes, bytes]]) -> None:
        """Whose addresses, of those that are not the sender's own, the message bears: asked again at its end."""
        assert envelope.client.signed_in is not None
        others = self._access.sharing.writes_as(envelope.client.signed_in.mailbox_id)
        if others:
            written = {envelope.sender, *authorship.written_addresses(fields)}
            known = {known for address in written for known in candidates(address, self._settings().separator)}
            envelope.written_as.update(others[address] for address in known & others.keys())

    def sends_too_much(self, sender: SignedIn) -> bool:
        """Whether the mailbox has to wait; else this recipient is counted, whatever becomes of the message."""
        settings = self._settings()
        too_much = self._rate.take(sender.mailbox_id, settings.recipients_per_hour, self._clock.monotonic()) > 0
        if too_much and settings.runaway_recipients and sender.address not in settings.bulk_senders:
            tried = self._rate.tried(sender.mailbox_id)
            if tried >= settings.runaway_recipients:
                self._runaway(sender.mailbox_id, tried)
        return too_much
