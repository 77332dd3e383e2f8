"""Reg. 12.3, 12.3.d: when a unit's mailbox has nobody in charge, because a keeper's authority ends and nobody follows.

In: the mailbox's kind and facts, those of the persons who were ever named in it. Out: its vacancies, past and to come. Pure.

A keeper's authority ends with the term, by a revocation, with the official day of leaving, or with a transfer to another unit.
A mailbox that never had a keeper has no vacancy: the regulation lets the head name one and does not ask for it. A substitute
stands in for a keeper and fills none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mic_mail.policy.authority import Grant, Part, grants, in_service
from mic_mail.policy.facts import Fact, MailboxKind
from mic_mail.policy.handover import running


@dataclass(frozen=True, slots=True)
class Vacancy:
    """Nobody is in charge over [since, until)."""

    since: datetime
    until: datetime | None
    """When the one takes over who is named by now; None: nobody is."""
    last: Grant
    """Whose authority ends."""
    is_being_filled: bool
    """A handover to a successor runs."""

    def holds(self, instant: datetime) -> bool:
        return self.since <= instant and (self.until is None or instant < self.until)


def vacancies(kind: MailboxKind, facts: Sequence[Fact], person_facts: Mapping[int, Sequence[Fact]]) -> tuple[Vacancy, ...]:
    """In order of time. `person_facts`: those of each named person's own mailbox."""
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


def _served(grant: Grant, person_facts: Sequence[Fact]) -> Grant:
    """A grant as long as it lasted; of one whose person had left before it began the moment at which it was to begin."""
    return in_service(grant, person_facts) or replace(grant, until=grant.since)
