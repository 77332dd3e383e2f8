"""Passwords of single devices and programs (app passwords), beside the mailbox's own.

In: a mailbox's facts, an instant. Out: `AppPassword`s, each with how it ended. Pure; "revoked" is stored nowhere, it follows
from the facts.

An app password ends when it is revoked. All of them end with anything that gives the mailbox into other hands or takes it out
of use: a suspension and its restore (Reg. 7.1, 7.3.b), a reset by the Centre or an exposed password (15.2), a leave (6.4.c), a
reclaim, another issue (6.4.a), and any fact with `ends_app_passwords`. Other changes by the person leave them alone
(docs/decisions/0082).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.facts import Fact, FactKind

CLAUSE = "15.2"
ENDS = "ends_app_passwords"
"""The data member by which a fact of any kind ends all app passwords."""
NUMBER = "app_password"
"""The data member that names one app password, by the number of the fact that added it."""
LONGEST_NAME = 60
"""In characters."""
MOST_A_DAY = 20
"""The most app passwords a mailbox may add within a day; a bound, because facts stay for ever."""
ONE_DAY = timedelta(days=1)

_LEAVES = frozenset({FactKind.LEFT, FactKind.LEAVE_CORRECTED})
_TAKES_BACK = dict.fromkeys(_LEAVES, _LEAVES | {FactKind.LEAVE_WITHDRAWN}) | {
    FactKind.RECLAIMED: frozenset({FactKind.RECLAIM_WITHDRAWN})
}
"""Facts that take back a leave or a reclaim if they are recorded before its day comes."""
_END_ALL = _LEAVES | {
    FactKind.SUSPENDED,
    FactKind.RESTORED,
    FactKind.PASSWORD_RESET,
    FactKind.PASSWORD_EXPOSED,
    FactKind.RECLAIMED,
    FactKind.ISSUED,
}


class AppPasswordScope(LabelledEnum):
    """The services that an app password may open; the page where passwords are changed is not among them."""

    IMAP = "imap", "IMAP", "IMAP"
    POP3 = "pop3", "POP3", "POP3"
    SUBMISSION = "submission", "gửi thư", "sending"
    LDAP = "ldap", "danh bạ LDAP", "LDAP address book"
    CARDDAV = "carddav", "danh bạ CardDAV", "CardDAV address book"


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
    """Return the scope of a listener's protocol; None: no app password opens it."""
    return _DOORS.get(protocol)


@dataclass(frozen=True, slots=True)
class AppPassword:
    """An app password that was ever added.

    `ended_by` is the fact that ends it, `ended_at` the instant from which it is ended, which may be in the future.
    """

    number: int
    name: str
    doors: frozenset[AppPasswordScope]
    """Empty: all services."""
    added_at: datetime
    added_by: str
    ended_at: datetime | None = None
    ended_by: Fact | None = None

    def lives(self, now: datetime) -> bool:
        return self.ended_at is None or now < self.ended_at

    def opens(self, protocol: str) -> bool:
        """Return whether it is meant for this protocol."""
        door = scope_of_protocol(protocol)
        return door is not None and (not self.doors or door in self.doors)


def app_passwords(facts: Sequence[Fact]) -> list[AppPassword]:
    """Return all app passwords of a mailbox, in the order in which they were added.

    One pass: a record may hold thousands of facts.
    """
    if not any(fact.kind is FactKind.APP_PASSWORD_ADDED for fact in facts):
        return []
    revoked, ahead = _revocations(facts), [end for end in _ends_of_all(facts) if end.at > end.fact.clocked_at]
    ends = {end.fact.seq: end for end in _ends_of_all(facts)}
    found: list[AppPassword] = []
    later: _End | None = None  # the first end-of-all among the facts after this one
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
    """Return those that open something at `now`."""
    return [each for each in app_passwords(facts) if each.lives(now)]


def added_within_a_day(facts: Sequence[Fact], now: datetime) -> int:
    """Return how many were added in the last 24 hours, ended ones included."""
    return sum(fact.kind is FactKind.APP_PASSWORD_ADDED and fact.clocked_at > now - ONE_DAY for fact in facts)


@dataclass(frozen=True, slots=True)
class _End:
    """A fact that ends app passwords, and the instant from which it does."""

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
    """Return when a fact takes effect: never before it was recorded."""
    return max(fact.effective_at, fact.clocked_at)


def _revocations(facts: Sequence[Fact]) -> dict[int, _End]:
    """Return the first revocation of each app password, by its number."""
    found: dict[int, _End] = {}
    for fact in facts:
        number = fact.data.get(NUMBER)
        if fact.kind is FactKind.APP_PASSWORD_REVOKED and isinstance(number, int):
            found.setdefault(number, _End(_at(fact), fact))
    return found


def _ends_of_all(facts: Sequence[Fact]) -> Iterator[_End]:
    """Yield the facts that end every app password added before them."""
    for fact in facts:
        if fact.data.get(ENDS) is True or (fact.kind in _END_ALL and not _was_taken_back(fact, facts)):
            yield _End(_at(fact), fact)


def _was_taken_back(fact: Fact, facts: Sequence[Fact]) -> bool:
    """Return whether a leave was corrected, or a leave or reclaim withdrawn, before its day came."""
    takes_back = _TAKES_BACK.get(fact.kind)
    return takes_back is not None and any(
        later.kind in takes_back and later.seq > fact.seq and later.clocked_at < fact.effective_at for later in facts
    )
