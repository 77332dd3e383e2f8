"""What must hold for every history, however strange: checked on random ones."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.clock import HO_CHI_MINH
from mic_mail.policy.calendar import ONE_DAY, add_months, local_day, start_of
from mic_mail.policy.facts import Draft, FactKind, Level, MailboxKind, first_broken, known_at, record
from mic_mail.policy.leavers import TERMS, leaves
from mic_mail.policy.lifecycle import LifecycleSettings, MailboxState, decide, timeline
from mic_mail.policy.states import ACCESS

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 900

offsets = st.integers(0, DAYS * 24).map(lambda hours: timedelta(hours=hours))
instants = offsets.map(lambda offset: START + offset)
kinds = st.sampled_from(list(MailboxKind))


def _data(kind, day):
    return {
        FactKind.LEFT: {"level": "division"},
        FactKind.LEAVE_CORRECTED: {"level": "department"},
        FactKind.SUSPENDED: {"cause": "abc"[day % 3]},
        FactKind.ABSENCE: {"until": (local_day(START) + timedelta(days=day + 40)).isoformat()},
        FactKind.CLOCK_STOPPED: {"until": (local_day(START) + timedelta(days=day + 5)).isoformat()},
    }.get(kind, {})


RECORDED = tuple(kind for kind in FactKind if kind is not FactKind.UNREADABLE)


@st.composite
def histories(draw, among=RECORDED, *, at_once=False):
    """An issue on the first day and up to ten facts; `at_once`: each recorded when it takes effect."""
    facts = [record(Draft(FactKind.ISSUED, START, "t"), mailbox_id=1, previous=None, recorded_at=START)]
    events = draw(
        st.lists(
            st.tuples(st.sampled_from(among), st.integers(0, DAYS), st.integers(0, 23), st.integers(-200, 200)), max_size=10
        )
    )
    for kind, day, hour, lateness in sorted(events, key=lambda event: (event[1], event[2])):
        recorded = START + timedelta(days=day, hours=hour)
        effective = recorded if at_once else recorded + timedelta(days=lateness)
        document = "1/QĐ" if kind is FactKind.RESTORED and day % 2 else None
        draft = Draft(kind, effective, "t", document=document, data=_data(kind, max(0, day)))
        facts.append(record(draft, mailbox_id=1, previous=facts[-1], recorded_at=recorded))
    return tuple(facts)


LEAVING = (FactKind.LEFT, FactKind.LEAVE_CORRECTED, FactKind.LEAVE_WITHDRAWN, FactKind.RETURNED)
lifecycle_settings = st.builds(LifecycleSettings, password_days=st.sampled_from([None, 90]), breach_document=st.booleans())


def _essence(decision):
    return decision.states, decision.reasons


@pytest.mark.slow
@given(kinds, histories(), instants, st.none() | instants, lifecycle_settings, st.floats(0, 1))
@settings(max_examples=600, deadline=None)
def test_valid_until_is_honest(kind, facts, now, used, chosen, part):
    """Nothing changes before `valid_until`, something does at it, and `next_change` says what."""

    def at(instant):
        return decide(kind, facts, instant, last_activity=used, settings=chosen)

    decision = at(now)
    if decision.valid_until is None:
        assert _essence(at(now + timedelta(days=5000))) == _essence(decision)
        return
    span = decision.valid_until - now
    assert span > timedelta()
    for instant in (now + span * part, decision.valid_until - timedelta(microseconds=1)):
        assert _essence(at(instant)) == _essence(decision) or instant >= decision.valid_until
    then = at(decision.valid_until)
    assert _essence(then) != _essence(decision)
    assert then.states == decision.next_change.states


@given(kinds, histories(), instants, st.none() | instants)
def test_doors_follow_from_states(kind, facts, now, used):
    """What a mailbox may do is the least of what its states allow; active excludes every restriction."""
    decision = decide(kind, facts, now, last_activity=used)
    assert decision.receives == all(ACCESS[s].receives for s in decision.states)
    assert decision.signs_in == all(ACCESS[s].signs_in for s in decision.states)
    assert decision.sends == (decision.states == {MailboxState.ACTIVE})
    assert (MailboxState.ACTIVE in decision.states) == (decision.states <= {MailboxState.ACTIVE, MailboxState.PASSWORD_DUE})
    assert {reason.state for reason in decision.reasons} == decision.states - {MailboxState.ACTIVE}


@given(kinds, histories(), instants, st.none() | instants)
def test_same_question_same_answer(kind, facts, now, used):
    """The decision depends on its arguments alone."""
    assert decide(kind, facts, now, last_activity=used) == decide(kind, list(facts), now, last_activity=used)


@given(histories(), instants)
def test_reclaim_never_before_its_term(facts, now):
    """No personal mailbox is reclaimed by 6.4.c before the months from some official day are over."""
    decision = decide(MailboxKind.PERSONAL, facts, now)
    reason = decision.reason(MailboxState.RECLAIMED)
    if reason is None or "left_on" not in reason.params:  # on request, or deleted from the server already
        return
    left = date.fromisoformat(str(reason.params["left_on"]))
    months = TERMS[Level(str(reason.params["level"]))].reclaim_months
    assert now >= start_of(add_months(left, months) + ONE_DAY)
    assert any(local_day(f.effective_at) == left for f in facts if f.kind in {FactKind.LEFT, FactKind.LEAVE_CORRECTED})


@given(kinds, histories(among=(*LEAVING, FactKind.RECLAIMED, FactKind.FREED), at_once=True), instants)
def test_what_was_freed_stays_reclaimed(kind, facts, now):
    """Whatever is recorded of the leave afterwards: nothing but an issue, or a word after which its mail is back, opens it."""
    if any(fact.kind is FactKind.FREED and fact.effective_at <= now for fact in facts):
        assert decide(kind, facts, now).states == {MailboxState.RECLAIMED}


def _due(notice):
    level = Level(notice.text("level") or "department")
    return start_of(add_months(local_day(notice.effective_at), TERMS[level].reclaim_months) + ONE_DAY)


@given(histories(), instants)
def test_reclaim_waits_for_late_notices(facts, now):
    """No reclaim comes within seven days of the first notice that made it overdue."""
    reason = decide(MailboxKind.PERSONAL, facts, now).reason(MailboxState.RECLAIMED)
    if reason is None or "left_on" not in reason.params:  # on request, or deleted from the server already
        return
    leave = next(leave for leave in leaves(facts) if leave.fact.seq == reason.fact_seqs[0])
    if _due(leave.notices[0]) <= leave.notices[0].recorded_at:
        assert reason.since >= start_of(local_day(leave.notices[0].recorded_at) + timedelta(days=8))
    assert reason.since >= _due(leave.fact)


notices = st.tuples(st.integers(-400, 100), st.integers(0, 500), st.sampled_from(Level))
"""Days from the recording of the notice to the official day, days since the notice before, the rank."""


@given(st.lists(notices, min_size=2, max_size=4), st.integers(0, 60))
@settings(max_examples=400)
def test_a_correction_that_is_past_due_never_opens_again(told, days):
    """What was reclaimed by 6.4.c stays so when the leave is corrected to a day whose term is over too."""
    facts, recorded = [record(Draft(FactKind.ISSUED, START, "t"), mailbox_id=1, previous=None, recorded_at=START)], START
    for offset, since, level in told:
        recorded += timedelta(days=since)
        kind = FactKind.LEFT if len(facts) == 1 else FactKind.LEAVE_CORRECTED
        draft = Draft(kind, start_of(local_day(recorded) + timedelta(days=offset)), "t", data={"level": level.value})
        facts.append(record(draft, mailbox_id=1, previous=facts[-1], recorded_at=recorded))
    before = decide(MailboxKind.PERSONAL, facts[:-1], recorded)
    if before.states == {MailboxState.RECLAIMED} and _due(facts[-1]) <= recorded:
        assert decide(MailboxKind.PERSONAL, facts, recorded + timedelta(days=days)).states == {MailboxState.RECLAIMED}


LIFTING = {FactKind.RESTORED, FactKind.ISSUED}


@pytest.mark.slow
@given(kinds, histories(), instants, instants, st.none() | instants)
@settings(max_examples=400)
def test_only_a_restore_ends_a_suspension(kind, facts, one, other, used):
    """Between two instants without a restore or a new issue, what was suspended stays suspended, or is reclaimed."""
    earlier, later = sorted((one, other))
    before = decide(kind, facts, earlier, last_activity=used)
    if MailboxState.SUSPENDED in before.states and not any(
        f.kind in LIFTING and earlier < f.effective_at <= later for f in facts
    ):
        assert decide(kind, facts, later, last_activity=used).states & {MailboxState.SUSPENDED, MailboxState.RECLAIMED}


@given(kinds, histories(), instants, st.none() | instants)
def test_facts_without_bearing_change_nothing(kind, facts, now, used):
    """A quota, a transfer, an alias are facts, but the state does not follow from them."""
    idle = {FactKind.QUOTA_SET, FactKind.TRANSFERRED, FactKind.ALIAS_ADDED, FactKind.ALIAS_REMOVED}
    kept = tuple(f for f in facts if f.kind not in idle)
    assert _essence(decide(kind, facts, now, last_activity=used)) == _essence(decide(kind, kept, now, last_activity=used))


NEVER_BACKWARDS = tuple(
    set(RECORDED)
    - {FactKind.LEAVE_CORRECTED, FactKind.LEAVE_WITHDRAWN, FactKind.LEFT, FactKind.CLOCK_STOPPED, FactKind.RETURNED}
)


@given(kinds, histories(NEVER_BACKWARDS, at_once=True), instants)
def test_known_then_is_known_now(kind, facts, now):
    """Where every fact was recorded when it took effect and none corrects another, hindsight changes no state."""
    then, hindsight = decide(kind, known_at(facts, now), now), decide(kind, facts, now)
    assert then.states == hindsight.states


@given(histories())
def test_chain_is_monotone_and_whole(facts):
    """Numbers rise by one from 1, recording times never fall, and the hashes hold."""
    assert [f.seq for f in facts] == list(range(1, len(facts) + 1))
    assert all(a.recorded_at <= b.recorded_at for a, b in pairwise(facts))
    assert first_broken(facts) is None


@given(kinds, histories(), st.none() | instants)
def test_spans_are_never_empty(kind, facts, used):
    """Every span of a timeline has a length; none ends before it begins."""
    assert all(span.until is None or span.since < span.until for span in timeline(kind, facts, last_activity=used))


@given(kinds, instants, lifecycle_settings)
def test_a_mailbox_of_which_nothing_is_known_yet(kind, now, chosen):
    """Before the first fact was recorded there is no mailbox: a state like others, not an error."""
    decision = decide(kind, (), now, last_activity=None, settings=chosen)
    assert decision.states == {MailboxState.NOT_ISSUED}
    assert (decision.receives, decision.signs_in, decision.sends) == (False, False, False)


@given(kinds, lifecycle_settings)
def test_an_imported_mailbox_keeps_its_password(kind, chosen):
    """Nothing else on record than that it came from another system: it works, and no password has to be changed."""
    imported = record(Draft(FactKind.IMPORTED, START, "t"), mailbox_id=1, previous=None, recorded_at=START)
    decision = decide(kind, (imported,), START + ONE_DAY, last_activity=None, settings=chosen)
    assert decision.states == {MailboxState.ACTIVE}


far_days = st.dates() | st.dates(max_value=date(1, 3, 1)) | st.dates(min_value=date(9998, 6, 1))
far = far_days.map(lambda day: datetime.combine(day, datetime.min.time(), UTC))
far_data = far_days.map(lambda day: {"until": day.isoformat(), "level": "division", "cause": "c"})
strange_facts = st.lists(st.tuples(st.sampled_from(RECORDED), far, far_data), max_size=6)


@given(kinds, strange_facts, far, st.none() | far, lifecycle_settings)
@settings(max_examples=300)
def test_no_recorded_date_makes_a_mailbox_unreadable(kind, events, now, used, chosen):
    """Whatever days stand in the facts, from the calendar's first to its last, every door gets an answer."""
    facts = [record(Draft(FactKind.ISSUED, START, "t"), mailbox_id=1, previous=None, recorded_at=START)]
    for fact, effective, data in events:
        facts.append(record(Draft(fact, effective, "t", data=data), mailbox_id=1, previous=facts[-1], recorded_at=START))
    decision = decide(kind, facts, now, last_activity=used, settings=chosen)
    assert decision.states
    for instant in (decision.valid_until, *(reason.since for reason in decision.reasons)):
        assert instant is None or instant.astimezone(HO_CHI_MINH)
