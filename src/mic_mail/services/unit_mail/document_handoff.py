"""The handoff of unit mail to the document system: pending messages, and marking (Reg. 12.3.c).

In: unit mailboxes by their indexes (`message_facts`), the settings. Out: the pending messages, with deadlines; a mark
on messages named by Message-ID; a weekly reminder into the mailbox. Others see sender and time, and never a subject
(Reg. 4.3).
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from mic_mail.config.model import Config
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.i18n.notices import unit_mail
from mic_mail.mime.encoded_words import decode_text
from mic_mail.policy.naming.transliteration import excerpt
from mic_mail.policy.states import FINAL
from mic_mail.policy.unit_mail import document_handoff as rules
from mic_mail.policy.unit_mail.document_handoff import HandoffMark, HandoffMessage
from mic_mail.services.unit_mail.message_facts import DRAFTS, NOT_INCOMING, SENT, PendingMessage, bits_of, folder_facts
from mic_mail.services.unit_mail.openings import unit_mailboxes
from mic_mail.services.unit_mail.weekly_reminders import Prepare, Reminder, Round, listed
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import FolderInfo

DUTY = "passedon"
"""The key in the register of notices."""
_PIECE = 1_000


@dataclass(frozen=True, slots=True)
class Pending(PendingMessage):
    """One message that was not passed on."""

    message_id: str
    age: int
    """Working days since it came."""


def mark_of(config: Config) -> HandoffMark:
    settings = config.unit.passed_on
    return HandoffMark(frozenset(keyword.lower() for keyword in settings.keywords), settings.folder)


class PassedOn:
    """The marks in the unit mailboxes of one store."""

    def __init__(self, store: MailStore, config: Config) -> None:
        self._store = store
        self._config = config
        self._mark = mark_of(config)

    def pending(self, entry: Entry, snapshot: Snapshot, now: datetime) -> list[Pending]:
        """Return the messages of one mailbox that were not passed on, oldest first. Blocking."""
        own, subjects, arrivals = frozenset(entry.addresses), {}, []
        for arrival, subject in self._arrivals(self._store.account_of(entry), now - timedelta(days=rules.DAYS_BACK)):
            arrivals.append(arrival)
            subjects[id(arrival.message)] = subject
        calendar, closes, days = snapshot.working_days, self._config.office.closes, self._config.unit.passed_on.days
        return [
            Pending(
                each.sender,
                excerpt(decode_text(subjects[id(each)])),
                each.received_at,
                rules.due_at(each, calendar, days, closes),
                each.message_id,
                rules.age(each.received_at, now, calendar),
            )
            for each in rules.waiting(arrivals, own)
        ]

    def is_marked(self, folder: FolderInfo) -> Callable[[int], bool]:
        """Return a test, by a message's flags, whether a message of this folder was passed on."""
        if self._mark.is_folder(folder.name):
            return lambda flags: True
        bits = bits_of(folder, self._mark.keywords)
        return lambda flags: bool(flags & bits)

    def _arrivals(self, account: Account, since: datetime) -> Iterator[tuple[HandoffMessage, bytes]]:
        for folder in account.folders():
            if not folder.selectable or folder.special_use in {SENT, DRAFTS}:
                continue
            is_marked, counts = self.is_marked(folder), folder.special_use not in NOT_INCOMING
            for facts in folder_facts(account, folder, since, self._config.server.hostname):
                yield HandoffMessage(facts.incoming, is_marked(facts.flags), counts and not facts.is_junk), facts.subject

    def mark(self, entry: Entry, message_ids: Collection[str]) -> list[str]:
        """Mark every copy of these messages, durably; return the Message-IDs that were not found."""
        wanted = {f"<{each.strip().removeprefix('<').removesuffix('>')}>" for each in message_ids}
        keyword = next(iter(self._config.unit.passed_on.keywords), None)
        if keyword is None:
            return sorted(wanted)
        account, found = self._store.account_of(entry), set[str]()
        for folder in account.folders():
            uids = list(account.view(folder.folder_id).uids) if folder.selectable else []
            for start in range(0, len(uids), _PIECE):
                rows = account.rows(folder.folder_id, uids[start : start + _PIECE], ("uid", "message_id"))
                marked = {uid: name for uid, octets in rows if (name := octets.decode("utf-8", "replace").strip()) in wanted}
                if marked:
                    account.store_flags(folder.folder_id, sorted(marked), "+", 0, (keyword,))
                    found.update(marked.values())
        return sorted(wanted - found)


def passed_on_reminders(store: MailStore) -> Prepare:
    """Return the weekly reminder (`weekly_reminders`) to each unit mailbox with overdue messages."""

    def prepare(config: Config, snapshot: Snapshot, now: datetime) -> Round | None:
        if not config.unit.passed_on.remind:
            return None
        finder = PassedOn(store, config)

        def find(entry: Entry) -> Reminder | None:
            late = [each for each in finder.pending(entry, snapshot, now) if each.due_at <= now]
            return Reminder(len(late), unit_mail.not_passed_on(len(late), listed(late))) if late else None

        return Round(unit_mailboxes(snapshot), lambda decision: not decision.states & set(FINAL), find)

    return prepare
