"""Reg. 6.1: only the Information Centre issues, changes, reclaims; units ask and read their own, auditors read."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.policy.roles import (
    RIGHTS,
    NotAuthorised,
    Officer,
    Right,
    Role,
    authorise,
    must_begin_with_centre,
    must_leave_one,
)

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def officer(login: str, role: Role, unit: int | None = None, since: int = -10, until: int | None = None) -> Officer:
    return Officer(login, login, role, unit, NOW + since * DAY, None if until is None else NOW + until * DAY)


LAN, HOA, BE = officer("lan", Role.CENTRE), officer("hoa", Role.UNIT, 7), officer("be", Role.AUDITOR)
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


@given(st.sampled_from(Right), st.sampled_from(Role), st.integers(-3, 3), st.integers(-3, 3) | st.none())
def test_clause_6_1_a_term_begins_and_ends(right: Right, role: Role, since: int, until: int | None) -> None:
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
    terms = (officer("hoa", Role.UNIT, 7), officer("hoa", Role.CENTRE))
    found = authorise(terms, "hoa", Right.ACT, NOW)
    assert found is terms[1]


def test_clause_6_1_a_new_server_is_the_centres() -> None:
    """Until the first officer is entered, who is one of the Centre; the last one stays."""
    assert authorise((), "root", Right.ACT, NOW) is None
    for role in (Role.UNIT, Role.AUDITOR):
        with pytest.raises(NotAuthorised):
            must_begin_with_centre((), role, NOW)
        must_begin_with_centre(ALL, role, NOW)
    must_begin_with_centre((), Role.CENTRE, NOW)
    with pytest.raises(NotAuthorised):
        must_leave_one(ALL, "lan", NOW)
    with pytest.raises(NotAuthorised):
        must_leave_one((*ALL, officer("moi", Role.CENTRE, since=1)), "lan", NOW)
    must_leave_one((*ALL, officer("moi", Role.CENTRE)), "lan", NOW)
