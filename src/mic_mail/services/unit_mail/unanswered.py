"""Mail that waits for an answer (Reg. 12.4): found in a mailbox's index, with a reminder once a week.

In: mailboxes by their indexes (`message_facts`), submissions by the log, `DAYS_BACK` days back. Out: a list with
deadlines; a reminder in the mailbox itself. Others see sender and time, and never the subject (Reg. 4.3).
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from mic_mail.config.model import Config
from mic_mail.directory.instants import to_microseconds
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.i18n.notices import announcements
from mic_mail.log.query import Query
from mic_mail.log.search import LogSearch
from mic_mail.mime.encoded_words import decode_text
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.naming.transliteration import excerpt
from mic_mail.policy.unit_mail import reply_deadlines
from mic_mail.policy.unit_mail.reply_deadlines import Addressed, ReplySettings
from mic_mail.services.unit_mail.message_facts import NOT_INCOMING, MessageFacts, PendingMessage, account_facts, holders_of
from mic_mail.services.unit_mail.weekly_reminders import Prepare, Reminder, Round, listed
from mic_mail.storage.mailstore import MailStore

DUTY = "unanswered"


def reply_settings(config: Config) -> ReplySettings:
    reply = config.reply
    return ReplySettings(Addressed(reply.addressed), reply.skip_bulk, reply.own_unit, config.office.closes)


class Replies:
    """The unanswered mail in any mailbox of one store."""

    def __init__(self, store: MailStore, config: Config) -> None:
        self._store = store
        self._settings = reply_settings(config)
        self._hostname = config.server.hostname
        self._search = LogSearch(config.log_dir)

    def waiting(self, entry: Entry, snapshot: Snapshot, now: datetime, unit: Collection[str] = ()) -> list[PendingMessage]:
        """Return one mailbox's unanswered mail, oldest first; `unit`: the addresses of its unit. Blocking."""
        since = now - timedelta(days=reply_deadlines.DAYS_BACK)
        own = frozenset(entry.addresses)
        incoming: dict[int, MessageFacts] = {}
        named: set[str] = set()
        for folder, facts in account_facts(self._store.account_of(entry), since, self._hostname):
            if facts.is_from(own, folder):
                named |= facts.refers
            elif folder.special_use not in NOT_INCOMING and not facts.is_junk:
                incoming[id(facts.incoming)] = facts
        found = reply_deadlines.unanswered((each.incoming for each in incoming.values()), own, unit, named, self._settings)
        if found:
            named |= self._submitted(entry.addresses, since)
            if entry.kind is not MailboxKind.PERSONAL:
                named |= self._named_by_holders(entry, snapshot, since)
            found = [each for each in found if not reply_deadlines.is_answered(each, named)]
        calendar = snapshot.working_days
        return [
            PendingMessage(
                each.sender,
                excerpt(decode_text(incoming[id(each)].subject)),
                each.received_at,
                reply_deadlines.due_at(each, calendar, self._settings.closes),
            )
            for each in found
        ]

    def _named_by_holders(self, entry: Entry, snapshot: Snapshot, since: datetime) -> set[str]:
        """Return the messages that the users of the mailbox have answered from their own (Reg. 12.3)."""
        named: set[str] = set()
        for holder in holders_of(entry, snapshot):
            named |= self._submitted(holder.addresses, since)
            for _, facts in account_facts(self._store.account_of(holder), since, self._hostname, sent_only=True):
                named |= facts.refers
        return named

    def _submitted(self, addresses: Collection[str], since: datetime) -> set[str]:
        """Return the messages answered by mail from or as `addresses`, by the log: also without a copy in any mailbox.

        The log names the signed-in mailbox, so no outsider can answer in another's name.
        """
        named: set[str] = set()
        for address in addresses:
            query = Query(mailbox=address, event="message_accepted", since_us=to_microseconds(since))
            for _, fields in self._search.each(query):
                refers, written_as = fields.get("refers_to"), fields.get("written_as")
                by = {fields.get("login"), *(written_as if isinstance(written_as, list) else ())}
                if fields.get("login") and isinstance(refers, list) and not by.isdisjoint(addresses):
                    named.update(f"<{name}>" for name in refers)
        return named


def addresses_of_units(directory: Directory, snapshot: Snapshot) -> Callable[[Entry], frozenset[str]]:
    """Return a function from an entry to the addresses of all mailboxes of its unit."""
    unit_of_person = {person.person_id: person.unit_id for person in directory.people()}

    def unit_of(entry: Entry) -> int | None:
        owner = entry.owner
        return owner.unit_id if owner.person_id is None else unit_of_person.get(owner.person_id)

    by_unit: dict[int, set[str]] = {}
    for entry in snapshot:
        if (unit := unit_of(entry)) is not None:
            by_unit.setdefault(unit, set()).update(entry.addresses)
    return lambda entry: frozenset(by_unit.get(unit_of(entry) or 0, ()))


def reply_reminders(store: MailStore, directory: Directory) -> Prepare:
    """Return the weekly reminder (`weekly_reminders`) to each mailbox that may send and is late."""

    def prepare(config: Config, snapshot: Snapshot, now: datetime) -> Round:
        finder, units = Replies(store, config), addresses_of_units(directory, snapshot)

        def find(entry: Entry) -> Reminder | None:
            late = [each for each in finder.waiting(entry, snapshot, now, units(entry)) if each.due_at <= now]
            return Reminder(len(late), announcements.replies_late(len(late), listed(late))) if late else None

        return Round(tuple(snapshot), lambda decision: decision.sends, find)

    return prepare
