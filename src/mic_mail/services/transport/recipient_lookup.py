"""Recipient lookup: the mailbox that receives for an address, or why there is none.

Answered from the directory in memory and the cached decision of the policy. Only the usage of a mailbox that may be
full is read from disk, and the recipient is refused only if it is certainly full.

The domain alone decides whether an address is ours. Whatever the form of the local part (`user%elsewhere`, `host!user`,
`"user@elsewhere"`), it is never parsed into another address: no form relays. An address literal is not a local domain,
not even for postmaster: RFC 5321 §4.5.1 requires postmaster at the domains that are served, and behind NAT the address
that a connection came in on is not the one that was written.
"""

from dataclasses import dataclass
from datetime import datetime

from mic_mail.directory.snapshot import Entry as Mailbox
from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import failure
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.leavers import CLAUSE as LEAVING
from mic_mail.policy.lifecycle import FactsUnreadable, MailboxState
from mic_mail.policy.naming.addresses import candidates
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.transport.check import CompleteMessage, MaybeRefusal, RcptCommand
from mic_mail.services.transport.envelope import TEMPORARY, Cause, Refusal, Role
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import AccountRef

USAGE_SECONDS = 10.0
"""The maximum age of a cached usage that lets a recipient pass; a refusal always reads it again."""


def _elsewhere(domain: str) -> Cause | None:
    """Check whether the domain can exist: a name invalid in the DNS is refused now, not by a report."""
    try:
        name = to_ascii(domain)
    except NotAName:
        return Cause.BAD_DOMAIN
    return None if "." in name and not domain.startswith("[") else Cause.BAD_DOMAIN


@dataclass(slots=True)
class _Usage:
    octets: int
    """Usage read from the store, plus what was delivered since."""
    known_at: float


class RecipientLookup:
    """The recipient lookup of one process."""

    def __init__(self, runtime: Runtime, access: SignInService, store: MailStore) -> None:
        self._runtime = runtime
        self._access = access
        self._store = store
        self._usage: dict[int, _Usage] = {}

    # ------------------------------------------------------------ at RCPT

    def look_up(self, rcpt: RcptCommand) -> Refusal | None:
        """Find the mailbox of a recipient, or refuse it; None without a mailbox: it is on another server."""
        found = self._find(rcpt.address, rcpt.client.role)
        if isinstance(found, Cause):
            return rcpt.refusal(found)
        rcpt.mailbox = found
        return None

    def check_room(self, rcpt: RcptCommand) -> MaybeRefusal:
        """Refuse a recipient whose mailbox is certainly full; usually known without a look at the disk."""
        octets = rcpt.declared_octets or 1
        if rcpt.mailbox is None or self._fits(rcpt.mailbox, octets):
            return None
        return self._refuse_full(rcpt, rcpt.mailbox, octets)

    async def _refuse_full(self, rcpt: RcptCommand, mailbox: Mailbox, octets: int) -> Refusal | None:
        return rcpt.refusal(Cause.OVER_QUOTA) if await self._is_full(mailbox, octets) else None

    def _find(self, address: MailboxAddress, role: Role) -> Mailbox | Cause | None:
        """Find the mailbox that receives for `address`; None: another server does."""
        snapshot, domain, separator = self._access.snapshot, address.domain, self._runtime.config().smtp.subaddress
        if domain not in snapshot.domains:
            return _elsewhere(domain) if role is Role.SUBMISSION else Cause.RELAY_DENIED
        if address.local_part.lower() == "postmaster":
            return self._postmaster(domain)
        mailbox = snapshot.resolve(address.folded())
        if mailbox is None and separator in address.local_part:
            known = candidates(str(address), separator)
            mailbox = next(filter(None, map(snapshot.resolve, known)), None)
            if mailbox is None and f"postmaster@{domain}" in known:
                return self._postmaster(domain)
        return Cause.NO_SUCH_MAILBOX if mailbox is None else self.refusal_reason(mailbox) or mailbox

    def refusal_reason(self, mailbox: Mailbox) -> Cause | None:
        """Return why a mailbox receives nothing, or None.

        Reg. 7.1: a suspended mailbox receives; 6.2, 6.4.c: a reclaimed one does not; one not issued yet does not exist.
        Called at RCPT, and again when the message is complete, which may be long after: a message delivered to a mailbox
        that was reclaimed and freed meanwhile would be deleted with the rest of it. If the clock is not trusted and the
        result depends on it, the refusal is temporary.
        """
        causes = {self._why_not(mailbox, now) for now in self._runtime.clock.readings()}
        return causes.pop() if len(causes) == 1 else Cause.UNAVAILABLE

    def _why_not(self, mailbox: Mailbox, now: datetime) -> Cause | None:
        try:
            decision = self._access.decide(mailbox.mailbox_id, now)
        except FactsUnreadable:
            return Cause.UNAVAILABLE
        if decision is None or MailboxState.NOT_ISSUED in decision.states:
            return Cause.NO_SUCH_MAILBOX
        if decision.receives:
            return None
        leavers = any(reason.clause == LEAVING for reason in decision.reasons)
        return Cause.RECLAIMED if leavers else Cause.RECLAIMED_ON_REQUEST

    def _postmaster(self, domain: str) -> Mailbox | Cause:
        """Return the mailbox for postmaster: the configured one, else the oldest unit's, else the oldest."""
        snapshot, config = self._access.snapshot, self._runtime.config()
        for address in (f"postmaster@{domain}", f"postmaster@{config.server.domain}", config.support):
            mailbox = snapshot.resolve(address)
            if mailbox is not None and self.refusal_reason(mailbox) is None:
                return mailbox
        receiving = (mailbox for mailbox in snapshot if self.refusal_reason(mailbox) is None)
        oldest = min(receiving, key=lambda mailbox: (mailbox.kind is not MailboxKind.UNIT, mailbox.mailbox_id), default=None)
        return oldest or Cause.UNAVAILABLE

    # ------------------------------------------------------------ at the end of a message

    def check_receiving(self, message: CompleteMessage) -> Refusal | None:
        """Refuse a message that no recipient may receive any more, though each might at RCPT.

        If some still may, the spool reports the others.
        """
        envelope = message.envelope
        causes = [self.refusal_reason(delivery.mailbox) for delivery in message.deliveries]
        if envelope.elsewhere or None in causes:
            return None
        causes.sort(key=lambda cause: cause not in TEMPORARY)  # the client then tries again, and gets a reply for each
        cause = next(iter(causes), None) or Cause.NO_SUCH_MAILBOX
        return envelope.refusal(cause, address=str(envelope.recipients[0].address))

    def check_room_now(self, message: CompleteMessage) -> MaybeRefusal:
        """Refuse a message that would be lost in the spool; a mailbox refuses by itself."""
        goes_there = message.goes_by_spool and not message.envelope.checked.held_for
        return self._refuse_unreportable(message) if goes_there else None

    async def _refuse_unreportable(self, message: CompleteMessage) -> Refusal | None:
        """Refuse a message that certainly does not fit and whose failure could not be reported later.

        That is a message for one mailbox, and a message whose sender gets no reports, for any number of mailboxes: if
        accepted, it would be lost for the full mailbox silently. If the server tries again with SIZE, only that
        recipient is refused.
        """
        envelope, deliveries, octets = message.envelope, message.deliveries, message.stored_octets
        if len(deliveries) == 1 and not envelope.elsewhere:
            return envelope.over_quota() if await self._is_full(deliveries[0].mailbox, octets) else None
        for delivery in () if envelope.may_be_reported else deliveries:
            mailbox = delivery.mailbox
            if not self._fits(mailbox, octets) and await self._is_full(mailbox, octets):
                return envelope.refusal(Cause.ONE_IS_FULL, address=delivery.recipient.address)
        return None

    # ------------------------------------------------------------ usage

    def _fits(self, mailbox: Mailbox, more_octets: int) -> bool:
        """Return whether `more_octets` fit by a recent cached usage. False means that the store must be asked."""
        known = self._usage.get(mailbox.mailbox_id)
        if known is None or self._runtime.clock.monotonic() - known.known_at >= USAGE_SECONDS:
            return False
        return known.octets + more_octets <= mailbox.quota_octets

    async def _is_full(self, mailbox: Mailbox, more_octets: int) -> bool:
        """Return whether `more_octets` certainly do not fit. If it is uncertain, publication decides."""
        now = self._runtime.clock.monotonic()
        ref = AccountRef.of(mailbox)
        try:
            used = (await self._runtime.account_executors.read(ref, self._store.account(ref).quota)).octets
            full = used + more_octets > mailbox.quota_octets
        except MicMailError:
            return False
        except Exception as error:  # noqa: BLE001 - a defect in one mailbox must not end the sender's connection
            self._runtime.log.event("usage_unknown", mailbox=mailbox.address, **failure(error))
            return False
        self._usage[mailbox.mailbox_id] = _Usage(used, now)
        return full

    def grew(self, mailbox_id: int, octets: int) -> None:
        """Add a delivery to the cached usage, until the store is read again."""
        known = self._usage.get(mailbox_id)
        if known is not None:
            known.octets += octets
