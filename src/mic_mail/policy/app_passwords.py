"""Passwords of single devices and programs, beside the mailbox's own: which there were, and which still open something.

In: a mailbox's facts, an instant. Out: `AppPassword`s, each with how it ended. Pure; "revoked" is stored nowhere, facts say it.

An app password ends when it is revoked, and all of them end with whatever gives the mailbox into other hands or takes it out
of use: a suspension and its restore (Reg. 7.1, 7.3.b), a reset by the Centre or a password that others have (15.2), a leave
(6.4.c), a reclaim, another issue (6.4.a), and any fact that says `ends_app_passwords`. What its person changes otherwise leaves
them (docs/decisions/0082).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mic_mail.policy.facts import Fact, FactKind

CLAUSE = "15.2"
ENDS = "ends_app_passwords"
"""The data member by which a fact of any kind ends all of them."""
NUMBER = "app_password"
"""The data member that names one, by the number of the fact that added it."""
LONGEST_NAME = 60
"""Characters."""
MOST_A_DAY = 20
"""How many of a mailbox may be added within a day: facts stay for ever."""
ONE_DAY = timedelta(days=1)

_LEAVES = frozenset({FactKind.LEFT, FactKind.LEAVE_CORRECTED})
_TAKES_BACK = dict.fromkeys(_LEAVES, _LEAVES | {FactKind.LEAVE_WITHDRAWN}) | {
    FactKind.RECLAIMED: frozenset({FactKind.RECLAIM_WITHDRAWN})
}
"""What is recorded before the day of such a fact comes, and takes it back."""
_END_ALL = _LEAVES | {
    FactKind.SUSPENDED,
    FactKind.RESTORED,
    FactKind.PASSWORD_RESET,
    FactKind.PASSWORD_EXPOSED,
    FactKind.RECLAIMED,
    FactKind.ISSUED,
}


class AppPasswordScope(StrEnum):
    """What an app password may open; the page where passwords change is none of these."""

    IMAP = "imap"
    POP3 = "pop3"
    SUBMISSION = "submission"
    LDAP = "ldap"
    CARDDAV = "carddav"


_DOORS = {
    "imap": AppPasswordScope.IMAP,
    "imaps": AppPasswordScope.IMAP,
    "pop3": AppPasswordScope.POP3,
    "pop3s": AppPasswordScope.POP3,
    "smtp": AppPasswordScope.SUBMISSION,
    "submission": AppPasswordScope.SUBMISSION,
    "submissions": AppPasswordScope.SUBMISSION,
    "ldap": AppPasswordScope.LDAP,
    "ldaps": AppPasswordScope.LDAP,
    "carddav": AppPasswordScope.CARDDAV,
}


def scope_of_protocol(protocol: str) -> AppPasswordScope | None:
    """Which of these a listening door is; None: none, so that no app password opens it."""
    return _DOORS.get(protocol)


@dataclass(frozen=True, slots=True)
class AppPassword:
    """One that was ever added. `ended_by` is the fact that ends it, `ended_at` from when on: it may be still to come."""

    number: int
    name: str
    doors: frozenset[AppPasswordScope]
    """Empty: all."""
    added_at: datetime
    added_by: str
    ended_at: datetime | None = None
    ended_by: Fact | None = None

    def lives(self, now: datetime) -> bool:
        """Whether it opens anything at `now`."""
        return self.ended_at is None or now < self.ended_at

    def opens(self, protocol: str) -> bool:
        """Whether it is meant for this door."""
        door = scope_of_protocol(protocol)
        return door is not None and (not self.doors or door in self.doors)


def app_passwords(facts: Sequence[Fact]) -> list[AppPassword]:
    """All of a mailbox, in the order in which they were added. One walk: a record may hold thousands of facts."""
    if not any(fact.kind is FactKind.APP_PASSWORD_ADDED for fact in facts):
        return []
    revoked, ahead = _revocations(facts), [end for end in _ends_of_all(facts) if end.at > end.fact.clocked_at]
    ends = {end.fact.seq: end for end in _ends_of_all(facts)}
    found: list[AppPassword] = []
    later: _End | None = None  # the first end of all among the facts after this one
    for fact in reversed(facts):
        if fact.seq in ends:
            later = min(filter(None, (ends[fact.seq], later)), key=_order)
        elif fact.kind is FactKind.APP_PASSWORD_ADDED:
            to_come = (end for end in ahead if end.at > fact.clocked_at)
            found.append(
                _app_password(fact, min(filter(None, (later, revoked.get(fact.seq), *to_come)), key=_order, default=None))
            )
    return found[::-1]


def living(facts: Sequence[Fact], now: datetime) -> list[AppPassword]:
    """Those that open something at `now`."""
    return [each for each in app_passwords(facts) if each.lives(now)]


def added_within_a_day(facts: Sequence[Fact], now: datetime) -> int:
    """How many were added in the last 24 hours, also of those that have ended."""
    return sum(fact.kind is FactKind.APP_PASSWORD_ADDED and fact.clocked_at > now - ONE_DAY for fact in facts)


@dataclass(frozen=True, slots=True)
class _End:
    """A fact that ends app passwords, and from when on."""

    at: datetime
    fact: Fact


def _order(end: _End) -> tuple[datetime, int]:
    return end.at, end.fact.seq


def _app_password(added: Fact, end: _End | None) -> AppPassword:
    return AppPassword(
        number=added.seq,
        name=added.text("name") or "",
        doors=frozenset(
            AppPasswordScope(word) for word in (added.text("doors") or "").split() if word in set(AppPasswordScope)
        ),
        added_at=added.effective_at,
        added_by=added.actor,
        ended_at=end.at if end else None,
        ended_by=end.fact if end else None,
    )


def _at(fact: Fact) -> datetime:
    """When it takes effect: what is recorded afterwards ends nothing before that."""
    return max(fact.effective_at, fact.clocked_at)


def _revocations(facts: Sequence[Fact]) -> dict[int, _End]:
    """The first revocation of each, by its number."""
    found: dict[int, _End] = {}
    for fact in facts:
        number = fact.data.get(NUMBER)
        if fact.kind is FactKind.APP_PASSWORD_REVOKED and isinstance(number, int):
            found.setdefault(number, _End(_at(fact), fact))
    return found


def _ends_of_all(facts: Sequence[Fact]) -> Iterator[_End]:
    """What ends every one that is there by then."""
    for fact in facts:
        if fact.data.get(ENDS) is True or (fact.kind in _END_ALL and not _was_taken_back(fact, facts)):
            yield _End(_at(fact), fact)


def _was_taken_back(fact: Fact, facts: Sequence[Fact]) -> bool:
    """Whether a leave was corrected, or it or a reclaim was withdrawn, before its day came."""
    takes_back = _TAKES_BACK.get(fact.kind)
    return takes_back is not None and any(
        later.kind in takes_back and later.seq > fact.seq and later.clocked_at < fact.effective_at for later in facts
    )
