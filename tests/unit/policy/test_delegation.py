"""Who holds which rights in a unit's or group's mailbox: the rules one by one, then on random histories."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.policy.calendar import local_day
from mic_mail.policy.facts import Draft, FactKind, MailboxKind, record
from mic_mail.policy.lifecycle import MailboxState, decide
from mic_mail.policy.unit_mail.delegation import PARTS, RIGHTS, Part, after_day, grants, judge

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BE, LAN = 1, 2


def chain(*events, mailbox_id=1):
    """Facts in order of recording: (kind, day from START, data); recorded on the same day unless data has `recorded`."""
    facts = []
    for kind, day, details in ((FactKind.ISSUED, 0, {}), *events):
        data = dict(details)
        recorded = START + data.pop("recorded", day) * DAY
        draft = Draft(kind, START + day * DAY, "t", document="1/QĐ", data=data)
        facts.append(record(draft, mailbox_id=mailbox_id, previous=facts[-1] if facts else None, recorded_at=recorded))
    return tuple(facts)


def named(day, person, part=Part.KEEPER, **data):
    return FactKind.AUTHORISED, day, {"person": person, "holder": f"p{person}", "part": part.value, **data}


def revoked(day, person, **data):
    return FactKind.AUTHORITY_REVOKED, day, {"person": person, **data}


def last_day(day):
    return local_day(START + day * DAY).isoformat()


def holding(facts, person, day, own=(), kind=MailboxKind.UNIT):
    """What `person` holds on a day, as `Sharing` asks."""
    now, own = START + day * DAY, chain(*own, mailbox_id=9)
    mailbox = decide(kind, facts, now, last_activity=now)
    state = decide(MailboxKind.PERSONAL, own, now, last_activity=now)
    return judge(grants(kind, facts), person, own, now, mailbox=mailbox, person=state)


def holders(facts, day, kind=MailboxKind.UNIT):
    return {person for person in (BE, LAN, 3) if holding(facts, person, day, kind=kind)}


def test_a_new_keeper_ends_the_old_one():
    """One at a time: the new one's first day is the old one's last, and the old one does not come back."""
    facts = chain(named(10, BE), named(20, LAN, until=last_day(30)))
    assert [holders(facts, day) for day in (9, 10, 19, 20, 29, 40)] == [set(), {BE}, {BE}, {LAN}, {LAN}, set()]


def test_a_naming_to_come_leaves_the_one_before_it_alone():
    """What is named for later days stands when somebody is named for the days before it."""
    facts = chain(named(50, LAN, recorded=1), named(10, BE, until=last_day(30)))
    assert [holders(facts, day) for day in (20, 40, 60)] == [{BE}, set(), {LAN}]


def test_a_term_ends_with_the_end_of_its_last_day():
    """Civil Code 2015, Article 148."""
    facts = chain(named(10, BE, until=last_day(12)))
    end = after_day(local_day(START + 12 * DAY))
    assert grants(MailboxKind.UNIT, facts)[0].until == end
    assert holding(facts, BE, 11).valid_until == end


def test_a_substitute_stands_beside_the_keeper_for_some_days():
    """Both hold; a substitute without a last day is none: there are no standing deputies."""
    facts = chain(named(10, BE), named(20, LAN, Part.SUBSTITUTE, until=last_day(25)), named(30, 3, Part.SUBSTITUTE))
    assert [holders(facts, day) for day in (15, 22, 28, 40)] == [{BE}, {BE, LAN}, {BE}, {BE}]


def test_members_of_a_group_are_many():
    """Reg. 5.2: for common use; a keeper is a unit's alone."""
    facts = chain(named(10, BE, Part.MEMBER), named(11, LAN, Part.MEMBER, rights="lr"), named(12, 3))
    assert holders(facts, 20, MailboxKind.GROUP) == {BE, LAN}
    assert holding(facts, LAN, 20, kind=MailboxKind.GROUP).rights == "lr"
    assert holders(facts, 20, MailboxKind.UNIT) == {3}


def test_nobody_holds_anything_of_a_personal_mailbox():
    """Reg. 15.2, whatever its record says."""
    assert holders(chain(named(1, BE), named(1, LAN, Part.MEMBER)), 5, MailboxKind.PERSONAL) == set()


def test_revoked():
    """From its day on, in one part or in all; others stay."""
    facts = chain(named(1, BE), named(2, LAN, Part.SUBSTITUTE, until=last_day(90)), revoked(10, BE))
    assert [holders(facts, day) for day in (9, 10)] == [{BE, LAN}, {LAN}]
    facts = chain(named(1, BE), revoked(10, BE, part="substitute"))
    assert holders(facts, 20) == {BE}


LEFT = FactKind.LEFT, 20, {"level": "department"}


@pytest.mark.parametrize(
    ("own", "held"),
    [
        ([], [True, True, True]),
        ([LEFT], [True, False, False]),
        ([LEFT, (FactKind.LEAVE_WITHDRAWN, 25, {})], [True, True, True]),
        ([LEFT, (FactKind.RETURNED, 35, {})], [True, False, False]),
        ([LEFT, (FactKind.RETURNED, 20, {})], [True, True, True]),
        ([LEFT, (FactKind.RETURNED, 35, {}), (FactKind.LEAVE_WITHDRAWN, 36, {})], [True, True, True]),
        ([(FactKind.SUSPENDED, 20, {"cause": "c"})], [True, False, False]),
        ([(FactKind.SUSPENDED, 20, {"cause": "c"}), (FactKind.RESTORED, 35, {})], [True, False, True]),
        ([(FactKind.TRANSFERRED, 20, {"unit_from": "CNTT", "unit_to": "VP"})], [True, False, False]),
        ([(FactKind.TRANSFERRED, 5, {"unit_from": "VP", "unit_to": "CNTT"})], [True, True, True]),
        ([(FactKind.RECLAIMED, 20, {})], [True, False, False]),
    ],
)
def test_who_has_left_is_suspended_or_works_elsewhere_holds_nothing(own, held):
    """Reg. 6.4.c, 7.1, 12.3 (a person of the unit): from the official day on, also while sending is not locked yet. A
    restoration gives back what a suspension took; after a return the head of the unit names anew."""
    facts = chain(named(10, BE))
    assert [bool(holding(facts, BE, day, own)) for day in (15, 30, 40)] == held


@pytest.mark.parametrize("part", [Part.KEEPER, Part.SUBSTITUTE, Part.MEMBER])
@pytest.mark.parametrize(
    ("since", "recorded", "held"),
    [
        (10, 10, False),
        (36, 10, False),  # named before the leave, for after the return
        (36, 30, True),  # named meanwhile, for after it
        (36, 36, True),
        (10, 40, True),  # named after it, for days that are past too
    ],
)
def test_after_a_return_a_new_naming_counts_and_no_old_one(part, since, recorded, held):
    """Reg. 12.3: away from day 20 until day 35."""
    facts = chain(named(since, BE, part, recorded=recorded, until=last_day(90)))
    own = [LEFT, (FactKind.RETURNED, 35, {})]
    kind = MailboxKind.GROUP if part is Part.MEMBER else MailboxKind.UNIT
    assert bool(holding(facts, BE, 45, own, kind=kind)) is held


@pytest.mark.parametrize(
    ("effective", "recorded", "held"),
    [(15, 15, False), (25, 15, False), (5, 15, False), (8, 8, True), (5, 8, True)],
)
def test_who_goes_between_the_naming_and_its_first_day(effective, recorded, held):
    """Named on day 10 for day 20 on, from the unit: a transfer that was recorded later takes the person out of it, whenever it
    took effect; one that was recorded before had brought the person there."""
    facts = chain(named(20, BE, recorded=10))
    own = [(FactKind.TRANSFERRED, effective, {"unit_from": "CNTT", "unit_to": "VP", "recorded": recorded})]
    assert bool(holding(facts, BE, 30, own)) is held


def test_a_member_of_a_group_may_work_anywhere():
    """A group is of no unit."""
    own = [(FactKind.TRANSFERRED, 20, {"unit_from": "CNTT", "unit_to": "VP"})]
    assert holding(chain(named(10, BE, Part.MEMBER)), BE, 30, own, MailboxKind.GROUP)


@pytest.mark.parametrize(
    ("events", "rights"),
    [
        ([], RIGHTS),
        ([(FactKind.SENDING_LOCKED, 20, {})], RIGHTS.replace("p", "")),
        ([(FactKind.SUSPENDED, 20, {"cause": "b"})], ""),
        ([(FactKind.SUSPENDED, 20, {"cause": "c"}), (FactKind.RESTORED, 21, {})], ""),
        ([(FactKind.SUSPENDED, 20, {"cause": "c"}), (FactKind.RESTORED, 21, {}), (FactKind.PASSWORD_SET, 22, {})], RIGHTS),
        ([(FactKind.PASSWORD_RESET, 20, {})], RIGHTS),
        ([(FactKind.RECLAIMED, 20, {})], ""),
        ([(FactKind.RECLAIMED, 20, {}), (FactKind.ISSUED, 21, {})], ""),
    ],
)
def test_the_state_of_the_mailbox_itself(events, rights):
    """Reg. 7.1: nobody uses a suspended one; 7.3.c: nor one restored whose password is still the old; issued anew: nobody."""
    assert holding(chain(named(10, BE), *events), BE, 30).rights == rights


def test_facts_that_make_no_sense_give_nothing():
    """No person, no such part, no day: nobody."""
    for data in ({"part": "keeper"}, {"person": "x", "part": "keeper"}, {"person": BE}, {"person": BE, "part": "boss"}):
        assert grants(MailboxKind.UNIT, chain((FactKind.AUTHORISED, 1, data))) == ()
    assert grants(MailboxKind.UNIT, chain(named(1, BE, until="mai"))) == ()


# ------------------------------------------------------------------ random histories

events = st.lists(
    st.tuples(
        st.sampled_from(["keeper", "substitute", "member", "revoke", "reissue"]),
        st.integers(0, 100),
        st.sampled_from([BE, LAN, 3]),
        st.none() | st.integers(0, 60),
        st.none() | st.sampled_from(["lr", "lrsw", RIGHTS]),
    ),
    max_size=12,
)


@st.composite
def histories(draw):
    facts = [(FactKind.PASSWORD_SET, 0, {})]
    for recorded, (what, day, person, length, rights) in enumerate(draw(events), start=1):
        if what == "revoke":
            facts.append(revoked(day, person, recorded=recorded))
        elif what == "reissue":
            facts.append((FactKind.ISSUED, day, {"recorded": recorded}))
        else:
            more = {"until": last_day(day + length)} if length is not None else {}
            more |= {"rights": rights} if rights else {}
            facts.append(named(day, person, Part(what), recorded=recorded, **more))
    return chain(*facts)


kinds = st.sampled_from(list(MailboxKind))
days = st.integers(0, 200)


@given(kinds, histories(), days)
@settings(max_examples=400, deadline=None)
def test_one_keeper_and_one_substitute(kind, facts, day):
    """At every instant there is one keeper and one substitute at most, and nobody in a part that the kind does not have."""
    now = START + day * DAY
    held = [grant for grant in grants(kind, facts) if grant.holds(now)]
    assert {grant.part for grant in held} <= PARTS[kind]
    for part in (Part.KEEPER, Part.SUBSTITUTE):
        assert sum(grant.part is part for grant in held) <= 1
    assert all(grant.until is not None for grant in grants(kind, facts) if grant.part is Part.SUBSTITUTE)
    assert all(set(grant.rights) <= set(RIGHTS) for grant in held)


@given(histories(), days, st.sampled_from([BE, LAN, 3]))
@settings(max_examples=400, deadline=None)
def test_a_revocation_is_final_until_a_new_naming(facts, day, person):
    """After a revocation that is recorded last, the person holds nothing from its day on."""
    later = (*facts, record(
        Draft(FactKind.AUTHORITY_REVOKED, START + day * DAY, "t", data={"person": person}),
        mailbox_id=1, previous=facts[-1], recorded_at=START + 400 * DAY,
    ))  # fmt: skip
    for kind in MailboxKind:
        assert not any(g.person_id == person and (g.until is None or g.until > START + day * DAY) for g in grants(kind, later))
        others = [g for g in grants(kind, facts) if g.person_id != person]
        assert [g for g in grants(kind, later) if g.person_id != person] == others


@pytest.mark.slow
@given(kinds, histories(), days, st.integers(0, 100), st.sampled_from([BE, LAN, 3]))
@settings(max_examples=400, deadline=None)
def test_valid_until_is_honest(kind, facts, day, ahead, person):
    """Nothing changes before `valid_until` by the clock alone."""

    def at(instant):
        mailbox = decide(kind, facts, instant, last_activity=instant)
        own = decide(MailboxKind.PERSONAL, (facts[0],), instant, last_activity=instant)
        return judge(grants(kind, facts), person, (), instant, mailbox=mailbox, person=own)

    now = START + day * DAY
    first = at(now)
    then = now + ahead * DAY
    if first.valid_until is not None:
        then = min(then, first.valid_until - timedelta(microseconds=1))
    if MailboxState.SUSPENDED not in decide(kind, facts, then, last_activity=now).states:
        assert at(then).rights == first.rights


@given(kinds, histories(), st.integers(1, 12))
def test_a_later_fact_brings_no_earlier_naming_back(kind, facts, number):
    """What had no effect when it was recorded has none ever after."""
    before = facts[:number]
    assert {g.fact_seqs[0] for g in grants(kind, before)} >= {
        g.fact_seqs[0] for g in grants(kind, facts) if g.fact_seqs[0] <= len(before)
    }
