"""Delivery reports on queued mail, into the mailbox of its envelope sender (RFC 3464).

A report is durable when `report` returns; a repeated call for the same results adds none. Mail that leaves has a local
sender (decision 0005), so no such report leaves the server. The null sender gets none (RFC 5321 §4.5.5, RFC 3461 §5).

NOTIFY decides which recipients are reported (RFC 3461 §4.1); without it, failures and delays are. If the Centre drops a
message, the sender is notified whatever NOTIFY says (Reg. 4.2), with the reason. After a suspension under Reg. 7.2.c the
mailbox that submitted the message is notified, without any content, which may be an intruder's.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256

from mic_mail.directory.snapshot import Entry as Owner
from mic_mail.errors import Text
from mic_mail.i18n.notices import delivery_reports as letters
from mic_mail.i18n.notices import mailbox as about_mailboxes
from mic_mail.i18n.notices.delivery_reports import Word
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.mime.compose import Mailbox
from mic_mail.mime.dsn_mdn import DsnAction
from mic_mail.process.runtime import Runtime
from mic_mail.queue import dsn
from mic_mail.queue.queue import QueueEntry
from mic_mail.queue.recipient_log import NOBODY, AdminDecision, Standing
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.queue.delivery_log import SUCCESS, FinishedRecipients
from mic_mail.services.queue.dsn_writer import DsnWriter, accepted

DROPPED = "dropped"
"""The action name of a dropped message in the log."""
_NOTIFY = {DsnAction.FAILED: "FAILURE", DsnAction.DELAYED: "DELAY", DsnAction.RELAYED: SUCCESS}
"""The NOTIFY keyword each report needs; the first two are also sent without NOTIFY."""


class OutboundReports:
    """Writes the reports of one process."""

    def __init__(self, runtime: Runtime, access: SignInService, writer: DsnWriter) -> None:
        self._runtime = runtime
        self._access = access
        self._writer = writer
        self._give_up = timedelta(seconds=runtime.config().sending.give_up)

    async def report(self, finished: FinishedRecipients) -> None:
        """Notify the sender as NOTIFY asks; returns when the reports are durable or have no reader."""
        entry = finished.entry
        for decision, places in _dropped(finished).items():
            await self._report_dropped(entry, decision, places)
        recipients = entry.state.recipients
        groups = (
            (DsnAction.FAILED, [place for place in finished.ended if recipients[place].standing is Standing.FAILED]),
            (DsnAction.RELAYED, [place for place in finished.ended if recipients[place].standing is Standing.RELAYED]),
            (DsnAction.DELAYED, list(finished.late)),
        )
        for action, places in groups:
            wanted = [place for place in places if _is_wanted(action, entry.envelope.recipients[place].notify)]
            if wanted:
                compose = partial(self._compose, entry, action, wanted, partial(_letter, action))
                await self._deliver(entry, self._writer.reader(entry.envelope.sender), wanted, action, compose)

    async def _report_dropped(self, entry: QueueEntry, decision: AdminDecision, places: Sequence[int]) -> None:
        envelope, writer = entry.envelope, self._writer
        submitter = self._access.snapshot.entry(envelope.submitted_by) if envelope.submitted_by else None
        if decision.clause == "7.2.c" and submitter is not None:
            recipients = [str(envelope.recipients[place].address) for place in places]
            letter = about_mailboxes.not_sent(submitter.address, accepted(envelope), recipients)
            await self._deliver(
                entry, writer.if_it_receives(submitter), places, DROPPED, partial(self._without_content, letter)
            )
            return
        mailbox = writer.reader(envelope.sender) or writer.if_it_receives(submitter)
        compose = partial(self._compose, entry, DsnAction.FAILED, places, partial(_dropped_letter, decision.reason))
        await self._deliver(entry, mailbox, places, DROPPED, compose)

    def _without_content(self, letter: NoticeText, mailbox: Owner) -> bytes:
        address = MailboxAddress.parse(mailbox.address)
        return self._writer.notices().compose(mailbox.display_name, address, letter, kind=mailbox.kind)

    async def _deliver(
        self,
        entry: QueueEntry,
        mailbox: Owner | None,
        places: Sequence[int],
        action: str,
        compose: Callable[[Owner], bytes],
    ) -> None:
        """Deliver a report; `action` is a `DsnAction` or DROPPED."""
        envelope = entry.envelope
        recipients = [envelope.recipients[place].address for place in places]
        if mailbox is None:
            self._writer.log_unreported(envelope.trace_id, envelope.sender, action, recipients)
            return
        message = await self._runtime.executors.io(compose, mailbox)
        origin = f"dsn:{entry.entry_id}:{action}:{sha256(repr(sorted(places)).encode()).hexdigest()[:16]}"
        published = await self._writer.deliver(mailbox, message, origin)
        # Also if the mailbox had it already: the process that put it there was killed before the entry, and perhaps the
        # log, had it.
        self._writer.log_sent(envelope.trace_id, mailbox, action, recipients, published)

    def _compose(
        self, entry: QueueEntry, action: DsnAction, places: Sequence[int], letter: "_Wording", mailbox: Owner
    ) -> bytes:
        envelope, accepted_at = entry.envelope, accepted(entry.envelope)
        until = datetime.fromtimestamp(entry.free_since_us // 1_000_000, UTC) + self._give_up
        words, reports = [], []
        for place in places:
            recipient, (status, text) = envelope.recipients[place], _last_result(entry, place)
            words.append(Word(str(recipient.address), text or "-"))
            late_until = until if action is DsnAction.DELAYED else None
            reports.append(
                dsn.RecipientReport(
                    recipient.address,
                    action,
                    status,
                    recipient.orcpt,
                    str(text) or None,
                    entry.state.recipients[place].server,
                    retry_until=late_until,
                )
            )
        return self._writer.write(
            Mailbox(mailbox.display_name, envelope.sender or MailboxAddress.parse(mailbox.address)),
            envelope,
            entry.beginning(dsn.RETURNED_OCTETS + 1),
            lambda subject: letter(subject, accepted_at, until, words),
            reports,
            kind=mailbox.kind,
        )


def _is_wanted(action: DsnAction, notify: Sequence[str]) -> bool:
    return _NOTIFY[action] in notify or (not notify and action is not DsnAction.RELAYED)


_Wording = Callable[[str, datetime, datetime, Sequence[Word]], NoticeText]
"""Words a report: subject, times of acceptance and of giving up, last result of each recipient."""


def _last_result(entry: QueueEntry, place: int) -> tuple[str, Text | str]:
    """Return the enhanced status code and text of the last result; a dropped recipient has no text."""
    recipient = entry.state.recipients[place]
    if recipient.standing is Standing.DROPPED:
        return "5.7.1", ""
    status, _, text = recipient.reason.partition(" ")
    vi = recipient.reason_vi
    return status, text if vi is None else Text(vi.removeprefix(status).lstrip(), text)


def _dropped(finished: FinishedRecipients) -> dict[AdminDecision, list[int]]:
    """Group the dropped recipients by the decision that dropped them."""
    found: dict[AdminDecision, list[int]] = {}
    for place in finished.ended:
        if finished.entry.state.recipients[place].standing is Standing.DROPPED:
            found.setdefault(finished.entry.state.dropped_by(place) or NOBODY, []).append(place)
    return found


def _dropped_letter(reason: str, subject: str, accepted_at: datetime, _until: datetime, words: Sequence[Word]) -> NoticeText:
    return letters.dropped(subject, accepted_at, [word.address for word in words], reason)


def _letter(action: DsnAction, subject: str, accepted_at: datetime, until: datetime, words: Sequence[Word]) -> NoticeText:
    match action:
        case DsnAction.FAILED:
            return letters.not_delivered(subject, accepted_at, words)
        case DsnAction.DELAYED:
            return letters.not_delivered_yet(subject, accepted_at, until, words)
        case _:
            return letters.relayed(subject, accepted_at, words)
