"""What a sender hears of mail for mailboxes here: that it is in them, that it waits, that it waits no longer (RFC 3461, 3464).

In: what a try of a spool entry has come to. Out: reports, durable before the entry says that they are due, and brought after
that, so that a kill at any step neither doubles one nor loses it (`outbound.owed`). A sender here has his in the mailbox, one
elsewhere by the queue, from the null sender. To the null sender nothing is reported (RFC 3461 §4.1).

    NOTIFY        in the mailbox    waits for `warn_after`    waits for `give_up`    the mailbox is reclaimed
    SUCCESS       delivered
    DELAY                           delayed, once
    FAILURE                                                   failed                 failed, at once
    nothing                         delayed, once             failed                 failed, at once

Whatever NOTIFY says, the end of a target is in the log (Reg. 4.2). Nothing is told here of what was refused: whoever handed it
in has heard so. No report is made on junk, nor on a stranger's message whose sender SPF does not authenticate
(`SpoolEnvelope.may_be_reported`, decision 0100); on other messages of strangers reports return the header alone
(`SpoolEnvelope.ret`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from mic_mail.clock import Clock
from mic_mail.errors import MicMailError
from mic_mail.i18n.notices import delivery_reports as letters
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.log.error_fields import failure
from mic_mail.log.maillog import MailLog
from mic_mail.mailbox_address import NULL_PATH, MailboxAddress, ReversePath
from mic_mail.mime.compose import Mailbox
from mic_mail.mime.dsn_mdn import MOST_OCTETS, Action, DeliveryReport, read_report
from mic_mail.policy.facts import MailboxKind
from mic_mail.process.executors import AccountExecutors, Executors
from mic_mail.queue import dsn
from mic_mail.queue.pending_reports import PendingReports, name_of
from mic_mail.queue.queue import Envelope, Queue, Recipient
from mic_mail.queue.spool import ELSEWHERE, Entry, Spool, SpoolEnvelope, Target
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.notifications.notices import RETURN_PATH, Notices
from mic_mail.services.queue.dsn_writer import READ_OCTETS, Original, accepted, owner_of, reader, write
from mic_mail.storage.types import AccountRef

SUCCESS, FULL = "SUCCESS", "OverQuota"
LEFT, RECLAIMED = "reclaimed", "reclaimed-on-request"
"""Hurdles that stay (`transport.envelope.Cause`): Reg. 6.4.c and 6.2."""
_NOTIFY = {Action.FAILED: "FAILURE", Action.DELAYED: "DELAY"}


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """What the configuration says."""

    hostname: str
    warn_after: timedelta
    give_up: timedelta


@dataclass(frozen=True, slots=True)
class ReportDecision:
    """What the slip has to keep of a try."""

    given_up: tuple[Target, ...] = ()
    """Tried no more."""
    told: tuple[str, ...] = ()
    """The reports that are due once this is written down."""
    warned: bool = False


@dataclass(frozen=True, slots=True)
class _Kind:
    """One report."""

    what: str
    action: Action
    status: str
    letter: Callable[[str, datetime, datetime, Sequence[str]], NoticeText]


_DELIVERED = _Kind(
    "delivered", Action.DELIVERED, "2.0.0", lambda subject, at, _until, names: letters.delivered(subject, at, names)
)
_WAITS = {
    True: _Kind("full", Action.DELAYED, "4.2.2", letters.mailbox_full.write),
    False: _Kind("waits", Action.DELAYED, "4.3.0", letters.mailbox_unavailable.write),
}
_ENDED = {
    True: _Kind(
        "stayedfull",
        Action.FAILED,
        "5.2.2",
        lambda subject, at, _until, names: letters.mailbox_stayed_full(subject, at, names),
    ),
    False: _Kind(
        "ended",
        Action.FAILED,
        "5.4.7",
        lambda subject, at, _until, names: letters.mailbox_stayed_unavailable(subject, at, names),
    ),
}
"""By whether the mailbox is full."""


def _gone(what: str, number: str) -> _Kind:
    return _Kind(
        what,
        Action.FAILED,
        "5.2.1",
        lambda subject, at, _until, names: letters.mailbox_reclaimed(subject, at, names, number),
    )


_GONE = {LEFT: _gone("left", "6.4.c"), RECLAIMED: _gone("reclaimed", "6.2")}
"""By what is in the way."""


class SpoolReports:
    """The reports of one process about what goes through the spool."""

    def __init__(
        self,
        settings: ReportSettings,
        owed: PendingReports,
        spool: Spool,
        queue: Queue,
        *,
        notices: Callable[[], Notices],
        separator: Callable[[], str],
        access: SignInService,
        lanes: Executors,
        accounts: AccountExecutors,
        queued: Callable[[str], None],
        clock: Clock,
        log: MailLog,
    ) -> None:
        self._settings = settings
        self._owed = owed
        self._spool = spool
        self._queue = queue
        self._notices = notices
        self._separator = separator
        self._access = access
        self._lanes = lanes
        self._accounts = accounts
        self._queued = queued
        self._clock = clock
        self._log = log

    # ------------------------------------------------------------ before a try is written down

    async def weigh(self, entry: Entry, outcomes: Sequence[tuple[Target, str | None]], *, doubtful: bool) -> ReportDecision:
        """Make the reports that this try owes; `outcomes`: what was in the way of each target, None where it is done.

        `doubtful`: somebody may have been killed in the midst of this.
        """
        slip = entry.slip
        age = timedelta(seconds=self._clock.age_seconds(slip.accepted_at_us))
        gone = [target for target, hurdle in outcomes if hurdle in _GONE]
        open_now = [(target, hurdle) for target, hurdle in outcomes if hurdle is not None and hurdle not in _GONE]
        is_over = age >= self._settings.give_up
        is_late = not is_over and not slip.warned and age >= self._settings.warn_after
        pairs: list[tuple[_Kind, list[Target]]] = []
        delivered = [target for target, hurdle in outcomes if hurdle is None and _wants_success(target)]
        if delivered:
            pairs.append((_DELIVERED, delivered))
        pairs.extend((kind, [target for target, hurdle in outcomes if hurdle == why]) for why, kind in _GONE.items())
        if is_over or is_late:
            kinds = _ENDED if is_over else _WAITS
            for is_full, kind in kinds.items():
                pairs.append((kind, [target for target, hurdle in open_now if (hurdle == FULL) is is_full]))
        wanted = [(kind, _wanted(kind, targets)) for kind, targets in pairs]
        if doubtful:
            await self._lanes.io(self._owed.forget, entry.spool_id, slip.told)
        wanted = [(kind, targets) for kind, targets in wanted if targets]
        if (reason := _reason_to_be_silent(slip)) is not None:
            self._log_withheld(slip, wanted, reason)
            wanted = []
        told = await self._keep(entry, wanted)
        given_up = [*gone, *(target for target, _ in open_now if is_over)]
        return ReportDecision(tuple(given_up), told, warned=is_late and bool(open_now))

    async def _keep(self, entry: Entry, wanted: Sequence[tuple[_Kind, list[Target]]]) -> tuple[str, ...]:
        if not wanted:
            return ()
        sender, snapshot = entry.slip.sender, self._access.snapshot
        is_here = isinstance(sender, MailboxAddress) and sender.domain in snapshot.domains
        owner = owner_of(self._access, sender, self._separator()) if is_here else None
        if not isinstance(sender, MailboxAddress) or (is_here and owner is None):
            for kind, targets in wanted:
                self._log_unreported(entry.slip.trace_id, sender, kind.action, [target.address for target in targets])
            return ()
        to = Mailbox(owner.display_name if owner else str(sender), sender)
        names = []
        for kind, targets in wanted:
            name = name_of(entry.spool_id, entry.slip.attempts + 1, kind.what)
            await self._lanes.io(self._make, entry, name, kind, targets, (to, owner.kind if owner else None))
            names.append(name)
        return tuple(names)

    def _make(
        self, entry: Entry, name: str, kind: _Kind, targets: Sequence[Target], reader: tuple[Mailbox, MailboxKind | None]
    ) -> None:
        to, of_kind = reader
        slip = entry.slip
        at, until = accepted(slip), accepted(slip) + self._settings.give_up
        is_late = kind.action is Action.DELAYED
        reports = [
            dsn.Report(
                target.address,
                kind.action,
                kind.status,
                target.orcpt,
                last_try=None if kind is _DELIVERED else self._clock.steady_now(),
                retry_until=until if is_late else None,
            )
            for target in targets
        ]
        addresses = [str(target.address) for target in targets]
        original = Original(self._settings.hostname, slip, _beginning(entry))
        message = write(
            self._notices(),
            to,
            original,
            lambda subject: kind.letter(subject, at, until, addresses),
            reports,
            kind=of_kind,
        )
        self._owed.keep(name, message, _envelope(slip, to.address, message, self._clock.steady_us()))

    # ------------------------------------------------------------ after it

    async def bring(self, names: Iterable[str]) -> None:
        """Into mailboxes and the queue; what cannot be brought now comes with the next look."""
        for name in names:
            try:
                await self._bring(name)
            except Exception as error:  # noqa: BLE001 - it is durable, and one's trouble is not the others'
                self._log.event("report_waits", report=name, **failure(error))

    async def run_once(self) -> None:
        """Bring whatever is due."""
        try:
            await self.bring(await self._lanes.io(self._owed.due, self._spool))
        except (MicMailError, OSError) as error:
            self._log.event("report_waits", **failure(error))

    async def _bring(self, name: str) -> None:
        found = await self._lanes.io(self._owed.read, name)
        if found is None:
            return
        message, envelope = found
        (recipient,) = envelope.recipients
        action, about = _report_fields(message)
        if recipient.domain not in self._access.snapshot.domains:
            if await self._lanes.io(self._owed.hand_over, name, self._queue):
                self._log.event(
                    "report_queued", trace=envelope.trace_id, reader=recipient.address, action=action, recipients=about
                )
                self._queued(name)
            return
        mailbox = reader(self._access, recipient.address, self._separator())
        if mailbox is None:
            self._log_unreported(envelope.trace_id, recipient.address, action, about)
        else:
            ref = AccountRef(mailbox.mailbox_id, mailbox.home)
            put = partial(self._notices().put, mailbox, message, origin=f"dsn:{name}")
            published = await self._accounts.write(ref, put)
            if not published.duplicate:
                self._log.event(
                    "report_sent",
                    trace=envelope.trace_id,
                    mailbox=mailbox.address,
                    action=action,
                    recipients=about,
                    uid=published.uid,
                )
        await self._lanes.io(self._owed.done, name)

    def _log_withheld(self, slip: SpoolEnvelope, wanted: Sequence[tuple[_Kind, list[Target]]], reason: str) -> None:
        """Log each report that its sender does not get (Reg. 4.2)."""
        for kind, targets in wanted if slip.sender else ():
            addresses = [target.address for target in targets]
            about = {"trace": slip.trace_id, "sender": slip.sender, "action": kind.action, "recipients": addresses}
            self._log.event("report_withheld", **about, reason=reason)

    def _log_unreported(self, trace: str, sender: ReversePath, action: str, recipients: Sequence[object]) -> None:
        self._log.event("report_without_reader", trace=trace, sender=sender, action=action, recipients=recipients)


def _reason_to_be_silent(slip: SpoolEnvelope) -> str | None:
    """Why the sender of a message gets no report on it: the named one has perhaps not written it (decision 0100)."""
    if not slip.may_be_reported:
        return "sender-not-authenticated"
    return "junk" if slip.verdict else None


def _wants_success(target: Target) -> bool:
    """Of those elsewhere whoever sends tells."""
    return SUCCESS in target.notify and target.mailbox_id != ELSEWHERE


def _wanted(kind: _Kind, targets: Sequence[Target]) -> list[Target]:
    word = _NOTIFY.get(kind.action)
    return [target for target in targets if word is None or not target.notify or word in target.notify]


def _beginning(entry: Entry) -> bytes:
    """Of a message that cannot be read any more its sender hears all the same."""
    try:
        return entry.beginning(READ_OCTETS)
    except OSError:
        return b""


def _envelope(slip: SpoolEnvelope, to: MailboxAddress, message: bytes, now_us: int) -> Envelope:
    """RFC 3461 §6.1, §7.2: the null sender, NOTIFY=NEVER; RFC 8689 §5: as well protected as what it tells of."""
    is_ascii = message.isascii()
    return Envelope(
        trace_id=slip.trace_id,
        sender=NULL_PATH,
        accepted_at_us=now_us,
        return_path_octets=len(RETURN_PATH),
        smtputf8=not (is_ascii and to.is_ascii),
        body="7BIT" if is_ascii else "8BITMIME",
        requires_tls=slip.requires_tls,
        recipients=(Recipient(to, ("NEVER",)),),
    )


def _report_fields(message: bytes) -> tuple[str, list[str]]:
    """What a report of ours says, for the log."""
    report = read_report(message[:MOST_OCTETS])
    if not isinstance(report, DeliveryReport) or not report.recipients:
        return "", []
    return report.recipients[0].action, [each.final for each in report.recipients]
