"""Vacancies in charge of a unit's mailbox, and keepers who have not handed it over.

Reg. 12.3, 12.3.d. In: the mailbox's kind and facts, those of the persons ever named in it. Out: its vacancies, past and future;
the keeper who must hand over before somebody else is in charge. Pure.

A keeper's grant ends with the term, by a revocation, on the official day of leaving, or by a transfer to another unit. A
mailbox that never had a keeper has no vacancy: the regulation lets the head name one and does not require it. A substitute
stands in for a keeper and fills no vacancy.

A grant ends by itself, a password does not: a keeper has handed over once the Centre has set a new one after the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mic_mail.policy.calendar import Period
from mic_mail.policy.facts import Fact, FactKind, MailboxKind
from mic_mail.policy.unit_mail.delegation import Grant, Part, grants, in_service
from mic_mail.policy.unit_mail.handover import running

_NEW_PASSWORD = frozenset({FactKind.PASSWORD_RESET, FactKind.ISSUED})
"""Facts by which the Centre gives the mailbox a password that no earlier keeper knows."""


@dataclass(frozen=True, slots=True)
class Vacancy(Period):
    """A vacancy: nobody is in charge over [since, until)."""

    since: datetime
    until: datetime | None
    """The instant at which the next named keeper takes over; None: nobody is named."""
    last: Grant
    """The grant that ends."""
    is_being_filled: bool
    """A handover to a successor runs."""


def vacancies(kind: MailboxKind, facts: Sequence[Fact], person_facts: Mapping[int, Sequence[Fact]]) -> tuple[Vacancy, ...]:
    """Return the vacancies in order of time; `person_facts`: those of each named person's own mailbox."""
    if kind is not MailboxKind.UNIT:
        return ()
    keepers = [grant for grant in grants(kind, facts) if grant.part is Part.KEEPER]
    served = [_served(grant, person_facts.get(grant.person_id, ())) for grant in keepers]
    served.sort(key=lambda span: span.since)
    is_being_filled = running(facts) is not None
    found: list[Vacancy] = []
    last: Grant | None = None
    for span in served:
        if last is not None and last.until is not None and last.until < span.since:
            found.append(Vacancy(last.until, span.since, last, is_being_filled))
        if last is None or (last.until is not None and (span.until is None or span.until > last.until)):
            last = span
    if last is not None and last.until is not None:
        found.append(Vacancy(last.until, None, last, is_being_filled))
    return tuple(found)


def owing(
    kind: MailboxKind, facts: Sequence[Fact], person_facts: Mapping[int, Sequence[Fact]], successor_id: int
) -> Grant | None:
    """Return the keeper, other than the successor, who has not handed over yet; None: nobody.

    Of several, the one whose grant ends last. A keeper in charge now, or named from a later day on, has not handed over. A
    mailbox issued again has a new password too.
    """
    if kind is not MailboxKind.UNIT:
        return None
    reset = max((fact.effective_at for fact in facts if fact.kind in _NEW_PASSWORD), default=None)
    others = [grant for grant in grants(kind, facts) if grant.part is Part.KEEPER and grant.person_id != successor_id]
    limited = (in_service(grant, person_facts.get(grant.person_id, ())) for grant in others)
    served = [grant for grant in limited if grant is not None]
    owed = [grant for grant in served if grant.until is None or reset is None or grant.until > reset]
    return max(owed, key=lambda grant: (grant.until is None, grant.until or grant.since), default=None)


def _served(grant: Grant, person_facts: Sequence[Fact]) -> Grant:
    """Return a grant as long as it lasted.

    If its person had left before it began, it ends at its beginning.
    """
    return in_service(grant, person_facts) or replace(grant, until=grant.since)
