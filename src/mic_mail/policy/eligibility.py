"""Eligibility for a new personal mailbox (Reg. 6.3). A later, shorter contract takes nothing away.

Officials, civil servants and public employees are eligible; others with a contract of at least twelve months that has not
ended. A full calendar year counts: 01/01 to 31/12. An open-ended contract is long enough.
"""

from datetime import date

from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.calendar import ONE_DAY, add_months

CLAUSE = "6.3"
CONTRACT_MONTHS = 12


class Employment(LabelledEnum):
    """The kinds of employment."""

    OFFICIAL = "official", "cán bộ", "official"
    CIVIL_SERVANT = "civil_servant", "công chức", "civil servant"
    PUBLIC_EMPLOYEE = "public_employee", "viên chức", "public employee"
    CONTRACT = "contract", "hợp đồng lao động", "contract"


def refusal_reason(employment: Employment, contract_from: date | None, contract_until: date | None, today: date) -> Text | None:
    """Return the reason why no new personal mailbox may be issued; None: it may."""
    if employment is not Employment.CONTRACT:
        return None
    if contract_from is None or (contract_until is not None and contract_until < last_day(contract_from)):
        return Text(
            "Chỉ cấp hộp thư cá nhân cho cán bộ, công chức, viên chức hoặc hợp đồng từ 01 năm trở lên.",
            "Personal mailboxes are for officials, civil servants, public employees, and people with a contract of at least a "
            "year.",
        )
    if contract_until is not None and contract_until < today:
        ended = dates.day(contract_until)
        return Text(f"Hợp đồng đã hết hạn ngày {ended.vi}.", f"The contract ended on {ended.en}.")
    return None


def last_day(contract_from: date) -> date:
    """Return the last day of the shortest contract that is long enough."""
    end = add_months(contract_from, CONTRACT_MONTHS)
    return end - ONE_DAY if end.day == contract_from.day else end  # from 29/02 on, the year is complete on 28/02
