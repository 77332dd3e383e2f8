"""Reg. 6.1: only the Information Centre issues, changes, reclaims; units ask and read their own, auditors read."""

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.errors import BadInput
from mic_mail.policy.authorization.roles import (
    RIGHTS,
    NotAuthorised,
    Officer,
    OfficerRole,
    Right,
    authorise,
    must_fit,
    must_keep_centre,
    must_leave_a_way,
    must_not_pose,
    officer_of,
    tidy_login,
    units_above,
    units_below,
)

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def officer(login: str, role: OfficerRole, unit: int | None = None, since: int = -10, until: int | None = None) -> Officer:
    return Officer(login, login, role, unit, NOW + since * DAY, None if until is None else NOW + until * DAY)


LAN, HOA, BE = officer("lan", OfficerRole.CENTRE), officer("hoa", OfficerRole.UNIT, 7), officer("be", OfficerRole.AUDITOR)
ALL = (LAN, HOA, BE)


def test_clause_6_1_only_the_centre_acts() -> None:
    """And it may do everything else as well."""
    for right in Right:
        assert authorise(ALL, "lan", right, NOW) is LAN
    for login in ("hoa", "be", "root", ""):
        with pytest.raises(NotAuthorised) as refused:
            authorise(ALL, login, Right.ACT, NOW, units=frozenset({7}))
        assert refused.value.clause == "6.1"


def test_clause_6_1_a_unit_asks_and_reads_its_own() -> None:
    """What concerns the unit or one below it; nothing of others, nothing of the whole, no logs."""
    for right in (Right.REQUEST, Right.READ):
        assert authorise(ALL, "hoa", right, NOW, units=frozenset({7, 1})) is HOA
        for units in (frozenset({8}), frozenset[int](), None):
            with pytest.raises(NotAuthorised):
                authorise(ALL, "hoa", right, NOW, units=units)
    with pytest.raises(NotAuthorised):
        authorise(ALL, "hoa", Right.READ_LOG, NOW, units=frozenset({7}))


def test_clause_6_1_an_auditor_reads() -> None:
    """Everything on record, and files nothing."""
    for right in (Right.READ, Right.READ_LOG):
        assert authorise(ALL, "be", right, NOW) is BE
    with pytest.raises(NotAuthorised):
        authorise(ALL, "be", Right.REQUEST, NOW)


@given(st.sampled_from(Right), st.sampled_from(OfficerRole), st.integers(-3, 3), st.integers(-3, 3) | st.none())
def test_clause_6_1_a_term_begins_and_ends(right: Right, role: OfficerRole, since: int, until: int | None) -> None:
    """Outside of it the officer is nobody; within it the role decides."""
    one = officer("x", role, 7, since, until)
    allowed = since <= 0 and (until is None or until > 0) and right in RIGHTS[role]
    try:
        assert authorise((LAN, one), "x", right, NOW, units=frozenset({7})) is one
    except NotAuthorised:
        assert not allowed
    else:
        assert allowed


def test_clause_6_1_the_newest_term_counts() -> None:
    """Who went from a unit to the Centre acts as the latter."""
    terms = (officer("hoa", OfficerRole.UNIT, 7), officer("hoa", OfficerRole.CENTRE))
    found = authorise(terms, "hoa", Right.ACT, NOW)
    assert found is terms[1]


def test_clause_6_1_a_new_server_is_the_centres() -> None:
    """Until the first officer is entered, who is one of the Centre and serves at once."""
    assert authorise((), "root", Right.ACT, NOW) is None
    for first in (HOA, BE, officer("lan", OfficerRole.CENTRE, since=1)):
        with pytest.raises(NotAuthorised):
            must_keep_centre((first,), NOW)
    must_keep_centre((LAN,), NOW)
    must_keep_centre(ALL, NOW)


def test_clause_6_1_one_of_the_centre_remains() -> None:
    """At every instant to come, not now alone: an end in March counts today."""
    moi = officer("moi", OfficerRole.CENTRE, since=5)
    leaving = replace(LAN, until=NOW + 3 * DAY)
    for left in ((replace(LAN, until=NOW), HOA), (leaving, HOA), (leaving, moi), (leaving, replace(moi, until=NOW + 9 * DAY))):
        with pytest.raises(NotAuthorised):
            must_keep_centre(left, NOW)
    must_keep_centre((replace(LAN, until=NOW + 5 * DAY), moi), NOW)
    must_keep_centre((leaving, officer("moi", OfficerRole.CENTRE, since=3)), NOW)


@given(
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.sampled_from(OfficerRole), st.integers(-2, 4), st.integers(-1, 5) | st.none()),
        max_size=6,
    )
)
def test_clause_6_1_one_of_the_centre_remains_every_day(terms: list[tuple[str, OfficerRole, int, int | None]]) -> None:
    """Asked of each day for itself, naively, the answer is the same."""
    officers = [officer(login, role, 7, since, until) for login, role, since, until in terms]
    days = [NOW + number * DAY for number in range(8)]
    serves = all(
        any((found := officer_of(officers, login, day)) and found.role is OfficerRole.CENTRE for login in "xyz") for day in days
    )
    try:
        must_keep_centre(officers, NOW)
    except NotAuthorised:
        assert not serves
    else:
        assert serves


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from("xyz"),
            st.sampled_from(OfficerRole),
            st.integers(0, 4),
            st.integers(1, 6) | st.none(),
        ),
        max_size=12,
    ),
    st.sets(st.sampled_from("xyz")),
)
def test_clause_6_1_somebody_who_can_sign_in_acts_every_day(
    steps: list[tuple[bool, str, OfficerRole, int, int | None]], known: set[str]
) -> None:
    """Whatever a person adds and ends: as soon as there is an officer, on each day one of the Centre has a login. The first
    two are what passes most often: one who is there for good, and another one."""
    officers: list[Officer] = []
    first = [(True, login, OfficerRole.CENTRE, 0, None) for login in "xy"]
    for adds, login, role, day, until in [*first, *steps]:
        new = officer(login, role, 7, day, until)
        ends = [replace(each, until=new.since) if each.login == login and each.holds(new.since) else each for each in officers]
        after = [*officers, new] if adds else ends
        if after == officers or (adds and until is not None and until <= day):
            continue
        try:
            if adds:
                must_fit(officers, new)
            must_keep_centre(after, NOW)
            must_leave_a_way(officers, after, NOW, known.__contains__)
        except NotAuthorised:
            continue
        officers = after
        for number in range(8):
            serving = [each for each in officers if each.login in known and each.holds(NOW + number * DAY)]
            assert any(each.role is OfficerRole.CENTRE for each in serving), (officers, number)


def test_clause_6_1_one_term_at_a_time() -> None:
    """A second one for the same login would leave open as what it acts."""
    with pytest.raises(NotAuthorised):
        must_fit(ALL, officer("hoa", OfficerRole.CENTRE))
    must_fit(ALL, officer("moi", OfficerRole.CENTRE))
    ended = replace(HOA, until=NOW)
    must_fit((LAN, ended), officer("hoa", OfficerRole.CENTRE, since=0))


@pytest.mark.parametrize("since", [-10, 3])
@pytest.mark.parametrize("until", [None, -1])
def test_clause_6_1_an_officer_acts_under_the_own_name(since: int, until: int | None) -> None:
    """Whoever is, was or will be one, and any other person; automation, which never was, names one."""
    known = (LAN, officer("hoa", OfficerRole.UNIT, 7, since, until))
    for login, automatic in (("hoa", False), ("hoa", True), ("stranger", False)):
        with pytest.raises(NotAuthorised):
            must_not_pose(known, login, "lan", automatic=automatic)
    must_not_pose(known, "hoa", "hoa", automatic=False)
    must_not_pose(known, "root", "lan", automatic=True)
    must_not_pose((), "stranger", "lan", automatic=False)


@given(st.dictionaries(st.integers(1, 6), st.integers(1, 6) | st.none(), min_size=1))
def test_clause_6_1_units_of_any_tree(parents: dict[int, int | None]) -> None:
    """Above and below are each other's mirror, in trees with loops and with parents that are not there."""
    for unit in parents:
        assert unit in units_above(parents, unit) & units_below(parents, unit)
        for other in parents:
            assert (unit in units_below(parents, other)) == (other in units_above(parents, unit))


@pytest.mark.parametrize("login", ["", "lan ", "a b", "lan\n", "la\u200bn", "\u202elan", "x" * 256, "lan\x00"])
def test_clause_6_1_logins_that_could_be_taken_for_others(login: str) -> None:
    """Blanks and letters that nobody sees make no login."""
    with pytest.raises(BadInput):
        tidy_login(login)


def test_clause_6_1_logins_with_diacritics() -> None:
    """One login however its letters are composed; capitals count, as on the machine."""
    assert tidy_login(unicodedata.normalize("NFD", "đỗ.bê")) == "đỗ.bê"
    assert tidy_login("MIC\\Lan") == "MIC\\Lan"
