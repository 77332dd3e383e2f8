"""Delivery reports on queued mail, into the mailbox of its envelope sender (RFC 3464).

In: the results of recipients of a queue entry. Out: one message in that mailbox, durable when `report` returns; a
repeated call for the same results adds none. Mail that leaves has a local sender (decision 0005), so no such report
leaves the server. `services.queue.inbound_dsn` reports on mail for local mailboxes. The null sender gets no report (RFC
5321 §4.5.5, RFC 3461 §5).

NOTIFY decides which recipients are reported (RFC 3461 §4.1); without it, failures and delays are. If the Centre drops a
message, the sender is notified whatever NOTIFY says (Reg. 4.2), with the reason. After a suspension under Reg. 7.2.c the
mailbox that submitted the message is notified, without any content, which may be an intruder's.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256

from mic_mail.directory.snapshot import Entry as Owner
from mic_mail.i18n.notices import delivery_reports as letters
from mic_mail.i18n.notices import mailbox as about_mailboxes
from mic_mail.i18n.notices.delivery_reports import Word
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.mailbox_address import MailboxAddress, ReversePath
from mic_mail.mime.compose import Mailbox
from mic_mail.mime.dsn_mdn import Action
from mic_mail.process.runtime import Runtime
from mic_mail.queue import dsn
from mic_mail.queue.queue import Entry
from mic_mail.queue.recipient_log import NOBODY, AdminDecision, Standing
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.notifications.notices import Notices
from mic_mail.services.queue.delivery_log import SUCCESS, FinishedRecipients
from mic_mail.services.queue.dsn_writer import READ_OCTETS, Original, accepted, if_it_receives, reader, write
from mic_mail.storage.types import AccountRef

DROPPED = "dropped"
"""The action name of a dropped message in the log."""
_NOTIFY = {Action.FAILED: "FAILURE", Action.DELAYED: "DELAY", Action.RELAYED: SUCCESS}
"""The NOTIFY keyword each report needs; the first two are also sent without NOTIFY."""


class Reports:
    """Writes the reports of one process."""

    def __init__(self, runtime: Runtime, access: SignInService, notices: Callable[[], Notices]) -> None:
        """`notices` is called when they are needed, since a reload replaces them."""
        self._runtime = runtime
        self._access = access
        self._notices = notices
        self._give_up = timedelta(seconds=runtime.config().sending.give_up)

    async def report(self, finished: FinishedRecipients) -> None:
        """Notify the sender as NOTIFY asks; returns when the reports are durable or have no reader."""
        entry = finished.entry
        for said, places in _dropped(finished).items():
            await self._log_dropped(entry, said, places)
        groups = (
            (Action.FAILED, [place for place in finished.ended if entry.state.standings[place] is Standing.FAILED]),
            (Action.RELAYED, [place for place in finished.ended if entry.state.standings[place] is Standing.RELAYED]),
            (Action.DELAYED, list(finished.late)),
        )
        for action, places in groups:
            wanted = [place for place in places if _is_wanted(action, entry.envelope.recipients[place].notify)]
            if wanted:
                await self._send(entry, action, wanted)

    async def _send(self, entry: Entry, action: Action, places: Sequence[int]) -> None:
        mailbox = self._reader(entry.envelope.sender)
        compose = partial(self._compose, entry, action, places, partial(_letter, action))
        await self._put(entry, mailbox, places, str(action), compose)

    async def _log_dropped(self, entry: Entry, said: AdminDecision, places: Sequence[int]) -> None:
        envelope = entry.envelope
        submitter = self._access.snapshot.entry(envelope.submitted_by) if envelope.submitted_by else None
        if said.clause == "7.2.c" and submitter is not None:
            recipients = [envelope.recipients[place].address for place in places]
            letter = about_mailboxes.not_sent(submitter.address, accepted(envelope), [str(each) for each in recipients])
            plain = partial(self._plain, letter)
            await self._put(entry, self._if_it_receives(submitter), places, DROPPED, plain)
            return
        mailbox = self._reader(envelope.sender) or self._if_it_receives(submitter)
        compose = partial(self._compose, entry, Action.FAILED, places, partial(_dropped_letter, said.reason))
        await self._put(entry, mailbox, places, DROPPED, compose)

    def _plain(self, letter: NoticeText, mailbox: Owner) -> bytes:
        return self._notices().compose(mailbox.display_name, MailboxAddress.parse(mailbox.address), letter, kind=mailbox.kind)

    async def _put(
        self,
        entry: Entry,
        mailbox: Owner | None,
        places: Sequence[int],
        action: str,
        compose: Callable[[Owner], bytes],
    ) -> None:
        """Deliver a report; `action` is an `Action` or DROPPED."""
        envelope = entry.envelope
        recipients = [envelope.recipients[place].address for place in places]
        if mailbox is None:
            self._runtime.log.event(
                "report_without_reader", trace=envelope.trace_id, sender=envelope.sender, action=action, recipients=recipients
            )
            return
        message = await self._runtime.executors.io(compose, mailbox)
        origin = f"dsn:{entry.entry_id}:{action}:{sha256(repr(sorted(places)).encode()).hexdigest()[:16]}"
        ref = AccountRef(mailbox.mailbox_id, mailbox.home)
        published = await self._runtime.account_executors.write(
            ref, partial(self._notices().put, mailbox, message, origin=origin)
        )
        # Also if the mailbox had it already: the process that put it there was killed before the entry, and perhaps the
        # log, had it.
        self._runtime.log.event(
            "report_sent",
            trace=envelope.trace_id,
            mailbox=mailbox.address,
            action=action,
            recipients=recipients,
            uid=published.uid,
        )

    def _reader(self, sender: ReversePath) -> Owner | None:
        return reader(self._access, sender, self._runtime.config().smtp.subaddress)

    def _if_it_receives(self, mailbox: Owner | None) -> Owner | None:
        return if_it_receives(self._access, mailbox)

    def _compose(self, entry: Entry, action: Action, places: Sequence[int], letter: "_Wording", mailbox: Owner) -> bytes:
        envelope, state = entry.envelope, entry.state
        accepted_at = accepted(envelope)
        until = datetime.fromtimestamp(entry.free_since_us // 1_000_000, UTC) + self._give_up
        words = [Word(str(envelope.recipients[place].address), _last_word(entry, place)[1] or "-") for place in places]
        reports = []
        for place in places:
            recipient = envelope.recipients[place]
            status, said = _last_word(entry, place)
            reports.append(
                dsn.Report(
                    recipient.address,
                    action,
                    status,
                    recipient.orcpt,
                    said or None,
                    state.servers[place],
                    retry_until=until if action is Action.DELAYED else None,
                )
            )
        return write(
            self._notices(),
            Mailbox(mailbox.display_name, envelope.sender or MailboxAddress.parse(mailbox.address)),
            Original(self._runtime.config().server.hostname, envelope, _beginning(entry)),
            lambda subject: letter(subject, accepted_at, until, words),
            reports,
            kind=mailbox.kind,
        )


def _beginning(entry: Entry) -> bytes:
    """Return the beginning of the message, or nothing if it cannot be read.

    That may be why it was not sent, and its sender is notified all the same.
    """
    try:
        return entry.beginning(READ_OCTETS)
    except OSError:
        return b""


def _is_wanted(action: Action, notify: Sequence[str]) -> bool:
    return _NOTIFY[action] in notify or (not notify and action is not Action.RELAYED)


_Wording = Callable[[str, datetime, datetime, Sequence[Word]], NoticeText]
"""A function that words a report.

It takes the subject, the times of acceptance and of giving up, and the last result of each recipient.
"""


def _last_word(entry: Entry, place: int) -> tuple[str, str]:
    """Return the enhanced status code (RFC 3463) and text of a recipient's last result.

    A dropped recipient has no text: its reason is in the report, and no server gave one.
    """
    if entry.state.standings[place] is Standing.DROPPED:
        return "5.7.1", ""
    status, _, text = entry.state.reasons[place].partition(" ")
    return status, text


def _dropped(finished: FinishedRecipients) -> dict[AdminDecision, list[int]]:
    """Group the dropped recipients by the decision that dropped them."""
    found: dict[AdminDecision, list[int]] = {}
    for place in finished.ended:
        if finished.entry.state.standings[place] is Standing.DROPPED:
            found.setdefault(finished.entry.state.dropped_by(place) or NOBODY, []).append(place)
    return found


def _dropped_letter(reason: str, subject: str, accepted_at: datetime, _until: datetime, words: Sequence[Word]) -> NoticeText:
    return letters.dropped(subject, accepted_at, [word.address for word in words], reason)


def _letter(action: Action, subject: str, accepted_at: datetime, until: datetime, words: Sequence[Word]) -> NoticeText:
    match action:
        case Action.FAILED:
            return letters.not_delivered(subject, accepted_at, words)
        case Action.DELAYED:
            return letters.not_delivered_yet(subject, accepted_at, until, words)
        case _:
            return letters.relayed(subject, accepted_at, words)
