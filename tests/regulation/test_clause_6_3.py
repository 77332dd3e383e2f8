"""Reg. 6.3: who may be given a new personal mailbox."""

from datetime import date

import pytest

from mic_mail.policy.eligibility import Employment, refusal_reason

TODAY = date(2026, 5, 1)


@pytest.mark.parametrize("employment", [e for e in Employment if e is not Employment.CONTRACT])
def test_permanent_staff(employment):
    """Officials, civil servants and public employees may, whatever dates stand beside them."""
    assert refusal_reason(employment, None, None, TODAY) is None
    assert refusal_reason(employment, date(2020, 1, 1), date(2020, 12, 31), TODAY) is None


@pytest.mark.parametrize(
    ("begins", "ends", "may"),
    [
        (date(2026, 1, 1), date(2026, 12, 31), True),  # a full calendar year
        (date(2026, 1, 1), date(2026, 12, 30), False),
        (date(2026, 3, 15), date(2027, 3, 14), True),
        (date(2026, 3, 15), date(2027, 3, 13), False),
        (date(2028, 2, 29), date(2029, 2, 28), True),
        (date(2028, 2, 29), date(2029, 2, 27), False),
        (date(2027, 3, 1), date(2028, 2, 29), True),
        (date(2026, 1, 1), None, True),  # without an end
        (None, None, False),
    ],
)
def test_contracts(begins, ends, may):
    """A contract has to last twelve months, the full year counted from its first day to its last."""
    assert (refusal_reason(Employment.CONTRACT, begins, ends, TODAY) is None) is may


def test_a_contract_that_has_ended():
    """It counts up to its last day, and the refusal says which that was."""
    contract = Employment.CONTRACT, date(2020, 1, 1), date(2020, 12, 31)
    assert refusal_reason(*contract, date(2020, 12, 31)) is None
    refusal = refusal_reason(*contract, date(2021, 1, 1))
    assert "31/12/2020" in refusal.vi
    assert "ended" in refusal.en
