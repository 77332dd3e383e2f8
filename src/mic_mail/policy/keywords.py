"""The words that people may write for the codes of requests, people, mailboxes and incidents.

They are read in the form, its table and commands.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from mic_mail.errors import Text
from mic_mail.i18n import keywords
from mic_mail.policy import clauses, incidents, requests
from mic_mail.policy.authorization.roles import Role
from mic_mail.policy.credentials.app_passwords import AppPasswordScope
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Departure, Level, MailboxKind
from mic_mail.policy.labels import DEPARTURES, DOORS, EMPLOYMENTS, KINDS, LEVELS, PARTS, ROLES, STANDINGS, STATES
from mic_mail.policy.states import State
from mic_mail.policy.unit_mail.delegation import Part

NAMES: Mapping[type[Enum], Mapping[Any, Text]] = {
    requests.Kind: requests.KINDS,
    requests.Channel: requests.CHANNELS,
    requests.State: requests.STATES,
    incidents.Kind: incidents.KINDS,
    incidents.Severity: incidents.SEVERITIES,
    incidents.State: incidents.STATES,
    clauses.Standing: STANDINGS,
    Departure: DEPARTURES,
    AppPasswordScope: DOORS,
    Employment: EMPLOYMENTS,
    Level: LEVELS,
    MailboxKind: KINDS,
    Part: PARTS,
    Role: ROLES,
    State: STATES,
}
SHORT: Mapping[Enum, tuple[str, ...]] = {
    requests.Kind.LEAVE: ("nghỉ", "chuyển đi"),
    requests.Kind.RESET: ("mật khẩu", "reset"),
    requests.Kind.GROUP: ("nhóm", "group"),
    requests.Kind.ISSUE: ("cấp",),
    requests.Channel.MAIL: ("thư", "thư điện tử", "email"),
    Departure.MOVED: ("chuyển công tác",),
    Employment.CONTRACT: ("hợp đồng",),
    Level.DIVISION: ("phòng", "ban"),
    Level.DEPARTMENT: ("vụ", "cục"),
    Part.KEEPER: ("quản lý",),
    Part.SUBSTITUTE: ("thay thế",),
    Part.MEMBER: ("thành viên",),
    Role.CENTRE: ("trung tâm",),
    Role.UNIT: ("đơn vị",),
    Role.AUDITOR: ("kiểm tra",),
}
"""Other words for a code; help shows the first one if the code's name is a sentence."""


def code_of(codes: type[keywords.E], text: str) -> keywords.E | None:
    """Return the code that `text` means; None: no such code."""
    return keywords.code_of(codes, NAMES.get(codes, {}), SHORT, text)
