"""Mail that waits for an answer (Reg. 12.4): found in a mailbox's index, with a reminder once a week.

In: mailboxes by their indexes (`message_facts`), submissions by the log, `DAYS_BACK` days back. Out: a list with
deadlines; a reminder (wording 12) in the mailbox itself. Others see sender and time, and never the subject (Reg. 4.3).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.i18n.notices import announcements
from mic_mail.mime.encoded_words import decode_text
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.naming.transliteration import excerpt
from mic_mail.policy.reclamation import is_empty
from mic_mail.policy.unit_mail import delegation, reply_deadlines
from mic_mail.policy.unit_mail.reply_deadlines import Addressed, ReplySettings
from mic_mail.services.unit_mail.message_facts import DRAFTS, NOT_INCOMING, SENT, Letter, letters_since
from mic_mail.services.unit_mail.submitted_answers import SubmittedAnswers
from mic_mail.services.unit_mail.weekly_reminders import Prepare, Reminder, Round, listed
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import AccountRef

DUTY = "unanswered"
"""The key in the register of notices."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message that waits for an answer."""

    sender: str
    subject: str
    """For the mailbox's own people only."""
    received_at: datetime
    due_at: datetime


def reply_settings(config: Config) -> ReplySettings:
    """Return the configured reading of Reg. 12.4."""
    reply = config.reply
    return ReplySettings(Addressed(reply.addressed), reply.skip_bulk, reply.own_unit, config.office.closes)


class Replies:
    """The unanswered mail in any mailbox of one store."""

    def __init__(self, store: MailStore, config: Config) -> None:
        self._store = store
        self._settings = reply_settings(config)
        self._hostname = config.server.hostname
        self._submitted = SubmittedAnswers(config.log_dir)

    def waiting(self, entry: Entry, snapshot: Snapshot, now: datetime, unit: Collection[str] = ()) -> list[Waiting]:
        """Return one mailbox's unanswered mail, oldest first; `unit`: the addresses of its unit. Blocking."""
        since = now - timedelta(days=reply_deadlines.DAYS_BACK)
        own = frozenset(entry.addresses)
        incoming: dict[int, Letter] = {}
        named: set[str] = set()
        account = self._account(entry)
        for folder in account.folders():
            if not folder.selectable or folder.special_use == DRAFTS:
                continue
            for row in letters_since(account, folder, since, self._hostname):
                if row.is_from(own, folder):
                    named |= row.refers
                elif folder.special_use not in NOT_INCOMING and not row.is_junk:
                    incoming[id(row.incoming)] = row
        found = reply_deadlines.unanswered((row.incoming for row in incoming.values()), own, unit, named, self._settings)
        if found:
            named |= self._submitted.named_by(entry.addresses, since)
            if entry.kind is not MailboxKind.PERSONAL:
                named |= self._named_by_holders(entry, snapshot, since)
            found = [each for each in found if not reply_deadlines.is_answered(each, named)]
        calendar = snapshot.working_days
        return [
            Waiting(
                each.sender,
                excerpt(decode_text(incoming[id(each)].subject)),
                each.received_at,
                reply_deadlines.due_at(each, calendar, self._settings.closes),
            )
            for each in found
        ]

    def _account(self, entry: Entry) -> Account:
        return self._store.account(AccountRef(entry.mailbox_id, entry.home))

    def _named_by_holders(self, entry: Entry, snapshot: Snapshot, since: datetime) -> set[str]:
        """Return the messages that the users of the mailbox have answered from their own (Reg. 12.3)."""
        named: set[str] = set()
        for person in delegation.names(entry.facts):
            holder = snapshot.entries.get(snapshot.own.get(person, 0))
            if holder is None or is_empty(holder.facts):
                continue
            named |= self._submitted.named_by(holder.addresses, since)
            account = self._account(holder)
            for folder in account.folders():
                if folder.special_use == SENT:
                    for row in letters_since(account, folder, since, self._hostname):
                        named |= row.refers
        return named


def addresses_of_units(directory: Directory, snapshot: Snapshot) -> Callable[[Entry], frozenset[str]]:
    """Return a function from an entry to the addresses of all mailboxes of its unit.

    Reads the directory once.
    """
    unit_of_person = {person.person_id: person.unit_id for person in directory.people()}

    def unit_of(entry: Entry) -> int | None:
        owner = entry.owner
        return owner.unit_id if owner.person_id is None else unit_of_person.get(owner.person_id)

    by_unit: dict[int, set[str]] = {}
    for entry in snapshot:
        if (unit := unit_of(entry)) is not None:
            by_unit.setdefault(unit, set()).update(entry.addresses)
    return lambda entry: frozenset(by_unit.get(unit_of(entry) or 0, ()))


# ---------------------------------------------------------------- reminders


def reply_reminders(store: MailStore, directory: Directory) -> Prepare:
    """Return the weekly reminder (`weekly_reminders`) to each mailbox that may send and is late."""

    def prepare(config: Config, snapshot: Snapshot, now: datetime) -> Round:
        finder, units = Replies(store, config), addresses_of_units(directory, snapshot)

        def find(entry: Entry) -> Reminder | None:
            late = [each for each in finder.waiting(entry, snapshot, now, units(entry)) if each.due_at <= now]
            return Reminder(len(late), announcements.replies_late(len(late), listed(late))) if late else None

        return Round(tuple(snapshot), lambda decision: decision.sends, find)

    return prepare
