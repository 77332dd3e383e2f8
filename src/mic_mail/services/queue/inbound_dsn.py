"""Delivery reports on mail for local mailboxes: delivered, delayed, failed (RFC 3461, 3464).

A report is durable before the spool entry records that it is due, and is sent after that, so that a kill at any step
neither doubles nor loses it (`queue.pending_reports`). A local sender gets it in its mailbox, another one through the
queue, from the null sender. Nothing is reported to the null sender (RFC 3461 §4.1).

    NOTIFY        in the mailbox    waits for `warn_after`    waits for `give_up`    the mailbox is reclaimed
    SUCCESS       delivered
    DELAY                           delayed, once
    FAILURE                                                   failed                 failed, at once
    absent                          delayed, once             failed                 failed, at once

Whatever NOTIFY says, the end of a target is in the log (Reg. 4.2). No report is made on junk, nor on a message from
outside whose sender SPF does not authenticate (decision 0100); reports on other messages from outside return the header
alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from mic_mail.errors import MicMailError
from mic_mail.i18n.notices import delivery_reports as letters
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.log.error_fields import failure
from mic_mail.mailbox_address import NULL_PATH, MailboxAddress
from mic_mail.mime.compose import Mailbox
from mic_mail.mime.dsn_mdn import MOST_OCTETS, DeliveryReport, DsnAction, read_report
from mic_mail.policy.facts import MailboxKind
from mic_mail.process.runtime import Runtime
from mic_mail.queue import dsn
from mic_mail.queue.errors import UNREADABLE, SpoolUnavailable
from mic_mail.queue.pending_reports import PendingReports, name_of
from mic_mail.queue.queue import Queue, QueueEnvelope, QueueRecipient
from mic_mail.queue.spool import ELSEWHERE, SpoolEntry, SpoolEnvelope, SpoolTarget
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.notifications.notices import RETURN_PATH
from mic_mail.services.queue.dsn_writer import DsnWriter, accepted, beginning

SUCCESS, FULL = "SUCCESS", "OverQuota"
LEFT, RECLAIMED = "reclaimed", "reclaimed-on-request"
"""Permanent delay reasons (`transport.envelope.Cause`): Reg. 6.4.c and 6.2."""
_NOTIFY = {DsnAction.FAILED: "FAILURE", DsnAction.DELAYED: "DELAY"}


@dataclass(frozen=True, slots=True)
class ReportDecision:
    """The outcome of an attempt that the spool envelope records."""

    given_up: tuple[SpoolTarget, ...] = ()
    """Targets that are no longer tried."""
    told: tuple[str, ...] = ()
    """Names of the reports that are due once this is written."""
    warned: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """A kind of report."""

    what: str
    action: DsnAction
    status: str
    letter: Callable[..., NoticeText]
    """Takes the subject, the time of acceptance, if delayed the time of giving up, and the recipients."""


_DELIVERED = _Kind("delivered", DsnAction.DELIVERED, "2.0.0", letters.delivered)
_WAITS = {
    True: _Kind("full", DsnAction.DELAYED, "4.2.2", letters.mailbox_full.write),
    False: _Kind("waits", DsnAction.DELAYED, "4.3.0", letters.mailbox_unavailable.write),
}
"""Reports on targets that wait, by whether the mailbox is full."""
_ENDED = {
    True: _Kind("stayedfull", DsnAction.FAILED, "5.2.2", letters.mailbox_stayed_full),
    False: _Kind("ended", DsnAction.FAILED, "5.4.7", letters.mailbox_stayed_unavailable),
}
"""Reports on targets given up, by whether the mailbox is full."""
_GONE = {
    LEFT: _Kind("left", DsnAction.FAILED, "5.2.1", partial(letters.mailbox_reclaimed, number="6.4.c")),
    RECLAIMED: _Kind("reclaimed", DsnAction.FAILED, "5.2.1", partial(letters.mailbox_reclaimed, number="6.2")),
}
"""Reports on reclaimed mailboxes, by delay reason."""
_KINDS = (_DELIVERED, *_GONE.values(), *_ENDED.values(), *_WAITS.values())
"""All kinds, in the order in which reports are written."""


class InboundReports:
    """The reports of one process on mail that goes through the spool."""

    def __init__(
        self,
        runtime: Runtime,
        pending: PendingReports,
        queue: Queue,
        writer: DsnWriter,
        *,
        access: SignInService,
        queued: Callable[[str], None],
    ) -> None:
        self._runtime = runtime
        sending = runtime.config().sending
        self._warn_after, self._give_up = timedelta(seconds=sending.warn_after), timedelta(seconds=sending.give_up)
        self._pending = pending
        self._queue = queue
        self._writer = writer
        self._access = access
        self._queued = queued

    # ------------------------------------------------------------ before an attempt is recorded

    async def decide(
        self, entry: SpoolEntry, outcomes: Sequence[tuple[SpoolTarget, str | None]], *, doubtful: bool
    ) -> ReportDecision:
        """Write the reports that this attempt causes, and return what the spool envelope must record.

        `outcomes` holds the delay reason of each target, None if it is delivered. `doubtful`: an earlier process may
        have been killed during this step.
        """
        envelope = entry.envelope
        age = timedelta(seconds=self._runtime.clock.age_seconds(envelope.accepted_at_us))
        is_over = age >= self._give_up
        is_late = not is_over and not envelope.warned and age >= self._warn_after
        gone = [target for target, reason in outcomes if reason in _GONE]
        waiting = [target for target, reason in outcomes if reason is not None and reason not in _GONE]
        by_kind: dict[_Kind, list[SpoolTarget]] = {kind: [] for kind in _KINDS}
        for target, reason in outcomes:
            kind = _kind(target, reason, _ENDED if is_over else _WAITS if is_late else {})
            if kind is not None and _is_wanted(kind, target):
                by_kind[kind].append(target)
        wanted = [(kind, targets) for kind, targets in by_kind.items() if targets]
        if doubtful:
            await self._runtime.executors.io(self._pending.forget, entry.spool_id, envelope.told)
        if (silence := _reason_to_be_silent(envelope)) is not None:
            self._log_withheld(envelope, wanted, silence)
            wanted = []
        told = await self._keep(entry, wanted)
        return ReportDecision((*gone, *(waiting if is_over else ())), told, warned=is_late and bool(waiting))

    async def _keep(self, entry: SpoolEntry, wanted: Sequence[tuple[_Kind, list[SpoolTarget]]]) -> tuple[str, ...]:
        if not wanted:
            return ()
        sender, snapshot = entry.envelope.sender, self._access.snapshot
        is_here = isinstance(sender, MailboxAddress) and sender.domain in snapshot.domains
        owner = self._writer.owner_of(sender) if is_here else None
        if not isinstance(sender, MailboxAddress) or (is_here and owner is None):
            for kind, targets in wanted:
                self._writer.log_unreported(
                    entry.envelope.trace_id, sender, kind.action, [target.address for target in targets]
                )
            return ()
        to = Mailbox(owner.display_name if owner else str(sender), sender)
        names = []
        for kind, targets in wanted:
            name = name_of(entry.spool_id, entry.envelope.attempts + 1, kind.what)
            await self._runtime.executors.io(self._make, entry, name, kind, targets, (to, owner.kind if owner else None))
            names.append(name)
        return tuple(names)

    def _make(
        self,
        entry: SpoolEntry,
        name: str,
        kind: _Kind,
        targets: Sequence[SpoolTarget],
        reader: tuple[Mailbox, MailboxKind | None],
    ) -> None:
        to, of_kind = reader
        envelope = entry.envelope
        at, until = accepted(envelope), accepted(envelope) + self._give_up
        is_late = kind.action is DsnAction.DELAYED
        reports = [
            dsn.RecipientReport(
                target.address,
                kind.action,
                kind.status,
                target.orcpt,
                last_try=None if kind is _DELIVERED else self._runtime.clock.steady_now(),
                retry_until=until if is_late else None,
            )
            for target in targets
        ]
        addresses = [str(target.address) for target in targets]
        message = self._writer.write(
            to,
            envelope,
            _beginning(entry),
            lambda subject: kind.letter(subject, at, *([until] if is_late else []), addresses),
            reports,
            kind=of_kind,
        )
        self._pending.keep(name, message, _envelope(envelope, to.address, message, self._runtime.clock.steady_us()))

    # ------------------------------------------------------------ after it is recorded

    async def deliver(self, names: Iterable[str]) -> None:
        """Deliver reports to mailboxes and the queue; one that fails is retried in the next run."""
        for name in names:
            try:
                await self._deliver(name)
            except Exception as error:  # noqa: BLE001 - the report is durable, and one's failure does not affect the others
                self._runtime.log.event("report_waits", report=name, **failure(error))

    async def run_once(self) -> None:
        """Deliver all reports that are due."""
        try:
            await self.deliver(await self._runtime.executors.io(self._pending.due))
        except (MicMailError, OSError) as error:
            self._runtime.log.event("report_waits", **failure(error))

    async def _deliver(self, name: str) -> None:
        found = await self._runtime.executors.io(self._pending.read, name)
        if found is None:
            return
        message, envelope = found
        (recipient,) = envelope.recipients
        action, about = _report_fields(message)
        if recipient.domain not in self._access.snapshot.domains:
            if await self._runtime.executors.io(self._pending.hand_over, name, self._queue):
                self._runtime.log.event(
                    "report_queued", trace=envelope.trace_id, reader=recipient.address, action=action, recipients=about
                )
                self._queued(name)
            return
        mailbox = self._writer.reader(recipient.address)
        if mailbox is None:
            self._writer.log_unreported(envelope.trace_id, recipient.address, action, about)
        else:
            published = await self._writer.deliver(mailbox, message, f"dsn:{name}")
            if not published.duplicate:
                self._writer.log_sent(envelope.trace_id, mailbox, action, about, published)
        await self._runtime.executors.io(self._pending.done, name)

    def _log_withheld(self, envelope: SpoolEnvelope, wanted: Sequence[tuple[_Kind, list[SpoolTarget]]], reason: str) -> None:
        """Log each report that is withheld from the sender (Reg. 4.2)."""
        for kind, targets in wanted if envelope.sender else ():
            addresses = [target.address for target in targets]
            about = {"trace": envelope.trace_id, "sender": envelope.sender, "action": kind.action, "recipients": addresses}
            self._runtime.log.event("report_withheld", **about, reason=reason)


def _beginning(entry: SpoolEntry) -> bytes:
    try:
        return beginning(entry.path, entry.envelope)
    except (*UNREADABLE, SpoolUnavailable):  # as there
        return b""


def _reason_to_be_silent(envelope: SpoolEnvelope) -> str | None:
    """Return why the sender gets no report, or None; the named sender may be forged (decision 0100)."""
    if not envelope.may_be_reported:
        return "sender-not-authenticated"
    return "junk" if envelope.verdict else None


def _kind(target: SpoolTarget, reason: str | None, late_kinds: Mapping[bool, _Kind]) -> _Kind | None:
    """Return the kind of report that this delay reason calls for; None: delivered."""
    if reason is None:
        return _DELIVERED if target.mailbox_id != ELSEWHERE else None  # the queue reports those on other servers
    return _GONE.get(reason) or late_kinds.get(reason == FULL)


def _is_wanted(kind: _Kind, target: SpoolTarget) -> bool:
    if kind is _DELIVERED:
        return SUCCESS in target.notify
    return not target.notify or _NOTIFY[kind.action] in target.notify


def _envelope(envelope: SpoolEnvelope, to: MailboxAddress, message: bytes, now_us: int) -> QueueEnvelope:
    """Return the envelope of a report: null sender, NOTIFY=NEVER, TLS as the message.

    RFC 3461 §6.1, §7.2; RFC 8689 §5.
    """
    is_ascii = message.isascii()
    return QueueEnvelope(
        trace_id=envelope.trace_id,
        sender=NULL_PATH,
        accepted_at_us=now_us,
        return_path_octets=len(RETURN_PATH),
        smtputf8=not (is_ascii and to.is_ascii),
        body="7BIT" if is_ascii else "8BITMIME",
        requires_tls=envelope.requires_tls,
        recipients=(QueueRecipient(to, ("NEVER",)),),
    )


def _report_fields(message: bytes) -> tuple[str, list[str]]:
    """Return the action and the recipients of one of our reports, for the log."""
    report = read_report(message[:MOST_OCTETS])
    if not isinstance(report, DeliveryReport) or not report.recipients:
        return "", []
    return report.recipients[0].action, [each.final for each in report.recipients]
