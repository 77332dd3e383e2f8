"""Delegation: the people who may use a unit's or group's mailbox, in which part, until when.

Reg. 12.3, 5.2: this is beside the mailbox's own password.

In: the mailbox's kind and facts, the facts of the person's own mailbox, both lifecycle decisions, an instant. Out: `Grant`s,
and a `Holding`: the rights of one person now (letters of RFC 4314 §2.1), and until when that holds at least. Nothing is stored:
every service calls this module, as it does `lifecycle.decide`.

A unit's mailbox has one keeper, named by the head of the unit, and at most one substitute for a named range of days (Reg.
12.3). A group's mailbox has members with equal rights (Reg. 5.2: for common use). A personal mailbox belongs to nobody else,
whatever its record says (Reg. 15.2).

Facts are read in the order in which they were recorded. A naming ends what it overlaps of earlier namings in the same part: the
new keeper's first day is the old one's last, and the old one does not come back when the new term ends. A member's naming
affects that member alone.
A person who leaves the ministry holds nothing from the official day on (6.4.c), and nothing after a return unless named anew
(12.3). A keeper or substitute who moves to another unit loses the part (12.3: a person *of the unit*), by a transfer that takes
effect after the first day, or that was recorded after the naming, whose first day may be in the future. A reclaimed mailbox
that is issued again begins without anybody.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.calendar import Period, add_days, edges_after, start_of
from mic_mail.policy.facts import Fact, FactKind, MailboxKind
from mic_mail.policy.leavers import Leave, leaves
from mic_mail.policy.lifecycle import Decision, MailboxState

CLAUSE = "12.3"
PERSONAL_CLAUSE = "15.2"
RESTORED_CLAUSE = "7.3.c"
"""The one reason for which a pending password change also keeps out the people named."""

RIGHTS = "lrswipkxte"
"""All rights that anybody can hold in a mailbox of others.

`a`, to name who may use it, belongs to the Centre (Reg. 6.1, 12.3).
"""
POST = "p"


class Part(LabelledEnum):
    """The part in which a person uses a mailbox that is not their own."""

    KEEPER = "keeper", "người quản lý hộp thư", "keeper"
    SUBSTITUTE = "substitute", "người thay thế", "substitute"
    MEMBER = "member", "thành viên nhóm", "member"


PARTS = {
    MailboxKind.PERSONAL: frozenset[Part](),
    MailboxKind.UNIT: frozenset({Part.KEEPER, Part.SUBSTITUTE}),
    MailboxKind.GROUP: frozenset({Part.MEMBER}),
}


@dataclass(frozen=True, slots=True)
class Grant(Period):
    """The rights of one person in one part, over [since, until)."""

    person_id: int
    holder: str
    """The address of the person's own mailbox when the naming was recorded, for people to read."""
    part: Part
    rights: str
    since: datetime
    until: datetime | None
    named_at: datetime
    """The instant at which the naming was recorded."""
    fact_seqs: tuple[int, ...]
    """The naming, and the fact that ended it early."""


@dataclass(frozen=True, slots=True)
class Holding:
    """The rights of one person in one mailbox at an instant; falsy if there are none."""

    rights: str
    """In the order of RIGHTS; empty: none."""
    grants: tuple[Grant, ...]
    """The grants it rests on, present even if a state of the mailbox or of the person leaves no right."""
    valid_until: datetime | None
    """The earliest instant at which the clock alone changes it; None: never."""

    def __bool__(self) -> bool:
        return bool(self.rights)

    @property
    def may_post(self) -> bool:
        return POST in self.rights


NOTHING = Holding("", (), None)


def after_day(last: date) -> datetime:
    """Return the end of a term by its last day: the end of that day (Civil Code 2015, Article 148)."""
    return start_of(add_days(last, 1))


def ordered(rights: str) -> str:
    """Return each letter once, in the order of RIGHTS; letters that nobody can hold are dropped."""
    return "".join(letter for letter in RIGHTS if letter in rights)


def grants(kind: MailboxKind, facts: Sequence[Fact]) -> tuple[Grant, ...]:
    """Return all grants, past, present and future, in the order of recording; no span is empty."""
    found: list[Grant] = []
    for fact in facts:
        match fact.kind:
            case FactKind.AUTHORISED:
                grant = _read(kind, fact)
                if grant is not None:
                    found = [_after_naming(old, grant, fact) for old in found]
                    found.append(grant)
            case FactKind.AUTHORITY_REVOKED:
                found = [_after_revoking(old, fact) for old in found]
            case FactKind.ISSUED if found:
                found = [_ended(old, fact.effective_at, fact.seq) for old in found]
            case _:
                pass
    return tuple(grant for grant in found if grant.until is None or grant.since < grant.until)


def judge(
    grants_of_mailbox: Sequence[Grant],
    person_id: int,
    person_facts: Sequence[Fact],
    now: datetime,
    *,
    mailbox: Decision,
    person: Decision,
    withheld: str = "",
) -> Holding:
    """Return what the person holds at `now`.

    `mailbox` and `person` are the decisions on both mailboxes at that instant. `withheld`: rights that nobody holds in the
    mailbox now (`handover.withheld`).
    """
    named = (in_service(grant, person_facts) for grant in grants_of_mailbox if grant.person_id == person_id)
    own = tuple(grant for grant in named if grant is not None)
    if not own:
        return NOTHING
    held = tuple(grant for grant in own if grant.holds(now))
    edges = edges_after(own, now)
    edges.update(edge for edge in (mailbox.valid_until, person.valid_until) if edge is not None)
    letters = "".join(grant.rights for grant in held) if _is_open(mailbox) and _is_in(person) else ""
    if MailboxState.SEND_LOCKED in mailbox.states:
        letters = letters.replace(POST, "")
    letters = "".join(letter for letter in letters if letter not in withheld)
    return Holding(ordered(letters), held, min(edges, default=None))


def serving(
    kind: MailboxKind, facts: Sequence[Fact], facts_of: Callable[[int], Sequence[Fact]], instant: datetime
) -> tuple[Grant, ...]:
    """Return the grants that hold at `instant` for people who still work where they were named for.

    `facts_of` returns the facts of a person's own mailbox.
    """
    return tuple(
        grant
        for grant in grants(kind, facts)
        if grant.holds(instant)
        and (limited := in_service(grant, facts_of(grant.person_id))) is not None
        and limited.holds(instant)
    )


def named_person_ids(facts: Sequence[Fact]) -> frozenset[int]:
    """Return every person ever named in the record: candidates to check, not holders of rights."""
    return frozenset(
        person for fact in facts if fact.kind is FactKind.AUTHORISED and isinstance(person := fact.data.get("person"), int)
    )


def _is_open(mailbox: Decision) -> bool:
    """Return whether the mailbox may be used by the people named.

    Reg. 7.1: nobody uses a suspended mailbox. 7.3.c: nor a restored one before its password was changed. Any other pending
    password change concerns only the person who signs in with that password.
    """
    closed = {MailboxState.SUSPENDED, MailboxState.RECLAIMED, MailboxState.NOT_ISSUED}
    return not any(reason.state in closed or reason.clause == RESTORED_CLAUSE for reason in mailbox.reasons)


def _is_in(person: Decision) -> bool:
    return not person.states & {MailboxState.SUSPENDED, MailboxState.RECLAIMED, MailboxState.NOT_ISSUED}


def _read(kind: MailboxKind, fact: Fact) -> Grant | None:
    """Return the grant that a fact records, or None if it records none.

    None: no person, an invalid part or day, or a mailbox of the wrong kind.
    """
    person = fact.data.get("person")
    rights = fact.text("rights")
    try:
        part = Part(fact.text("part") or "")
        last = fact.text("until")
        until = None if last is None else after_day(date.fromisoformat(last))
    except ValueError:
        return None
    if part not in PARTS[kind] or not isinstance(person, int) or (part is Part.SUBSTITUTE and until is None):
        return None
    return Grant(
        person_id=person,
        holder=fact.text("holder") or "",
        part=part,
        rights=RIGHTS if rights is None else ordered(rights),
        since=fact.effective_at,
        until=until,
        named_at=fact.clocked_at,
        fact_seqs=(fact.seq,),
    )


def _after_naming(old: Grant, new: Grant, fact: Fact) -> Grant:
    """End an older grant as the new one requires: one holder for each part, except members.

    A second naming of the same person replaces the first in any part.
    """
    if old.part is not new.part or (new.part is Part.MEMBER and old.person_id != new.person_id):
        return old
    return _ended(old, new.since, fact.seq) if old.overlaps(new.since, new.until) else old


def _after_revoking(old: Grant, fact: Fact) -> Grant:
    part = fact.text("part")
    meant = old.person_id == fact.data.get("person") and part in {None, old.part.value}
    return _ended(old, fact.effective_at, fact.seq) if meant else old


def _ended(grant: Grant, at: datetime, seq: int) -> Grant:
    if grant.until is not None and grant.until <= at:
        return grant
    return replace(grant, until=at, fact_seqs=(grant.fact_seqs[0], seq))


def in_service(grant: Grant, person_facts: Sequence[Fact]) -> Grant | None:
    """Return a grant limited to the time for which its person works where they were named; None: no time.

    A grant ended by a leave or a transfer does not come back with the person: the head of the unit names anew (Reg. 12.3).
    """
    end = min(_ends(grant, person_facts), default=None)
    if end is None or (grant.until is not None and grant.until <= end):
        return grant
    return replace(grant, until=end) if grant.since < end else None


def _ends_by_leave(grant: Grant, leave: Leave) -> bool:
    if leave.returned is None:
        return True
    left, back = leave.fact.effective_at, leave.returned.effective_at
    return not (
        back <= left  # the leave never took effect
        or back <= grant.named_at  # it was over when the person was named
        or (left < grant.named_at and back <= grant.since)  # the person was named while away, for a time after the return
    )


def _ends(grant: Grant, person_facts: Sequence[Fact]) -> Iterator[datetime]:
    """Yield the instants at which the person leaves, or left between the naming and its first day."""
    for leave in leaves(person_facts):
        if _ends_by_leave(grant, leave):
            yield leave.fact.effective_at
    if grant.part is not Part.MEMBER:
        moves = (f for f in person_facts if f.kind is FactKind.TRANSFERRED)
        yield from (f.effective_at for f in moves if f.effective_at > grant.since or f.clocked_at > grant.named_at)
