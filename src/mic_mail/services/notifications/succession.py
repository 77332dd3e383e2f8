"""Vacancies of unit mailboxes, by a mailbox's facts and those of its keepers. Pure."""

from collections.abc import Mapping, Sequence

from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.policy.facts import Fact, MailboxKind
from mic_mail.policy.unit_mail.delegation import named_person_ids
from mic_mail.policy.unit_mail.keeper_succession import Vacancy, vacancies


def basis(entry: Entry, snapshot: Snapshot) -> tuple[Entry, ...]:
    """Return the entries that decide a mailbox's vacancies: its own, and those of all ever named in it."""
    if entry.kind is not MailboxKind.UNIT:
        return (entry,)
    own = (snapshot.entry(snapshot.own.get(person, 0)) for person in sorted(named_person_ids(entry.facts)))
    return (entry, *(each for each in own if each is not None))


def vacancies_on(found: Sequence[Entry]) -> tuple[Vacancy, ...]:
    """Return the vacancies of a mailbox, from it and the people named in it (`basis`)."""
    entry, *named = found
    by_person: Mapping[int, Sequence[Fact]] = {each.owner.person_id or 0: each.facts for each in named}
    return vacancies(entry.kind, entry.facts, by_person)


def vacancies_of(entry: Entry, snapshot: Snapshot) -> tuple[Vacancy, ...]:
    return vacancies_on(basis(entry, snapshot))
