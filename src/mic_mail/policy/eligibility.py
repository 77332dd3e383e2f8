"""Reg. 6.3: who may be given a new personal mailbox. A later, shorter contract takes nothing away.

Officials, civil servants and public employees; others with a contract of at least twelve months. A full calendar year
counts: 01/01 to 31/12. A contract without an end is longer than any.
"""

from datetime import date
from enum import StrEnum

from mic_mail.policy.calendar import ONE_DAY, add_months

CLAUSE = "6.3"
CONTRACT_MONTHS = 12


class Employment(StrEnum):
    """How a person is employed."""

    OFFICIAL = "official"
    CIVIL_SERVANT = "civil_servant"
    PUBLIC_EMPLOYEE = "public_employee"
    CONTRACT = "contract"


def may_have_mailbox(employment: Employment, contract_from: date | None, contract_until: date | None) -> bool:
    """Whether a new personal mailbox may be issued."""
    if employment is not Employment.CONTRACT:
        return True
    if contract_from is None:
        return False
    return contract_until is None or contract_until >= last_day(contract_from)


def last_day(contract_from: date) -> date:
    """The last day of the shortest contract that is long enough."""
    end = add_months(contract_from, CONTRACT_MONTHS)
    return end - ONE_DAY if end.day == contract_from.day else end  # from 29/02 the year is full with 28/02
