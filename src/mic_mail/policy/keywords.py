"""The words that people may write for the codes of requests, people, mailboxes and incidents.

They are read in the form, its table and commands.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeVar

from mic_mail.i18n.keywords import normalized
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy import requests
from mic_mail.policy.authorization.roles import OfficerRole
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Departure, Level
from mic_mail.policy.unit_mail.delegation import Part

E = TypeVar("E", bound=Enum)

SHORT: Mapping[Enum, tuple[str, ...]] = {
    requests.RequestKind.LEAVE: ("nghỉ", "chuyển đi"),
    requests.RequestKind.RESET: ("mật khẩu", "reset"),
    requests.RequestKind.GROUP: ("nhóm", "group"),
    requests.RequestKind.ISSUE: ("cấp",),
    requests.RequestChannel.MAIL: ("thư", "thư điện tử", "email"),
    Departure.MOVED: ("chuyển công tác",),
    Employment.CONTRACT: ("hợp đồng",),
    Level.DIVISION: ("phòng", "ban"),
    Level.DEPARTMENT: ("vụ", "cục"),
    Part.KEEPER: ("quản lý",),
    Part.SUBSTITUTE: ("thay thế",),
    Part.MEMBER: ("thành viên",),
    OfficerRole.CENTRE: ("trung tâm",),
    OfficerRole.UNIT: ("đơn vị",),
    OfficerRole.AUDITOR: ("kiểm tra",),
}
"""Other words for a code; help shows the first one if the code's name is a sentence."""


def spellings(code: Enum) -> tuple[str, ...]:
    """Return the words for a code: the code itself, its label in both languages, its short forms."""
    label = (code.label.vi, code.label.en) if isinstance(code, LabelledEnum) else ()
    return (str(code.value), *label, *SHORT.get(code, ()))


def code_of(codes: Iterable[E], text: str) -> E | None:
    """Return the code that `text` means; None: no such code."""
    wanted = normalized(text)
    meant = (code for code in codes if any(normalized(each) == wanted for each in spellings(code)))
    return next(meant, None) if wanted else None
