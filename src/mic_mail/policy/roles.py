"""Reg. 6.1, 4.3: who may do what as an administrator. Only the Centre issues, changes, reclaims.

In: the officers on record, who acts, an instant. Out: the officer as whom somebody acts, or `NotAuthorised`. Pure.

A unit's administrator files the unit's requests and reads what concerns the unit; an auditor reads everything but content and
changes nothing. Content of others' mailboxes nobody reads by his role: that takes a basis on record and a second person.

Before anybody is on record the server has just been installed: whoever can run its commands is the Centre until the first
officer is entered, who has to be one of the Centre.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mic_mail.errors import Refused, Text

CLAUSE = "6.1"


class Role(StrEnum):
    """What an officer is."""

    CENTRE = "centre"
    UNIT = "unit"
    AUDITOR = "auditor"


class Right(StrEnum):
    """What an act asks for."""

    ACT = "act"
    """To change anything: mailboxes, people, units, the calendar, officers."""
    REQUEST = "request"
    """To file a request for a unit."""
    READ = "read"
    """To read lists, states and reports."""
    READ_LOG = "read_log"
    """To read who wrote to whom and who did what."""


RIGHTS = {
    Role.CENTRE: frozenset(Right),
    Role.UNIT: frozenset({Right.REQUEST, Right.READ}),
    Role.AUDITOR: frozenset({Right.READ, Right.READ_LOG}),
}


@dataclass(frozen=True, slots=True)
class Officer:
    """The term of one officer; `unit_id` says for which unit a unit's administrator is there, and all units below it."""

    login: str
    """As the machine knows the person."""
    full_name: str
    role: Role
    unit_id: int | None
    since: datetime
    until: datetime | None = None
    document: str | None = None

    def serves(self, instant: datetime) -> bool:
        """Whether the term has begun and is not over."""
        return self.since <= instant and (self.until is None or instant < self.until)


class NotAuthorised(Refused):
    """The actor is no officer, or none whose role allows the act."""


def officer_of(officers: Iterable[Officer], login: str, now: datetime) -> Officer | None:
    """The officer of this login whose term it is; of several terms the one that was entered last."""
    serving = [officer for officer in officers if officer.login == login and officer.serves(now)]
    return serving[-1] if serving else None


def authorise(
    officers: Sequence[Officer], login: str, right: Right, now: datetime, *, units: frozenset[int] | None = None
) -> Officer | None:
    """The officer as whom `login` does something that asks for `right`; None while no officer is on record.

    `units`: the unit that the act concerns and those above it; None: it concerns the whole ministry.
    """
    if not officers:
        return None
    officer = officer_of(officers, login, now)
    if officer is None:
        raise NotAuthorised(
            Text(f"{login} không phải cán bộ quản trị hệ thống.", "The actor is no officer of this server."),
            clause=CLAUSE,
            remedy=Text(
                "Nêu --actor là cán bộ đã đăng ký: mic-mail officer list", "Name an officer by --actor: mic-mail officer list"
            ),
        )
    if right not in RIGHTS[officer.role]:
        raise NotAuthorised(
            Text(
                "Chỉ Trung tâm Thông tin được cấp, thay đổi, thu hồi hộp thư.",
                "Only the Information Centre issues, changes and reclaims.",
            )
            if right is Right.ACT
            else Text("Vai trò của cán bộ không cho phép việc này.", "The officer's role does not allow this."),
            clause=CLAUSE,
        )
    if officer.role is Role.UNIT and (units is None or officer.unit_id not in units):
        raise NotAuthorised(
            Text("Quản trị viên đơn vị chỉ làm việc cho đơn vị mình.", "A unit's administrator acts for the own unit alone."),
            clause=CLAUSE,
        )
    return officer


def must_leave_one(officers: Sequence[Officer], login: str, now: datetime) -> None:
    """Refuse to end the last officer of the Centre: nobody could enter the next one."""
    others = [each for each in officers if each.role is Role.CENTRE and each.login != login and each.serves(now)]
    if not others:
        raise NotAuthorised(
            Text("Phải còn ít nhất một cán bộ của Trung tâm Thông tin.", "At least one officer of the Centre has to remain."),
            clause=CLAUSE,
        )


def must_begin_with_centre(officers: Sequence[Officer], role: Role, now: datetime) -> None:
    """The first officer is one of the Centre."""
    if role is not Role.CENTRE and not any(each.role is Role.CENTRE and each.serves(now) for each in officers):
        raise NotAuthorised(
            Text(
                "Cán bộ đầu tiên phải thuộc Trung tâm Thông tin.", "The first officer has to be one of the Information Centre."
            ),
            clause=CLAUSE,
        )
