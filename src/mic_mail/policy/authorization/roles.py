"""The roles of administrators and their rights (Reg. 6.1, 4.3).

Only the Centre issues, changes, reclaims. In: the recorded officers, the actor, an instant, the tree of units. Out: the officer
as whom the actor acts, or `NotAuthorised`. Pure.

A unit's administrator files the unit's requests and reads the data of the unit and those below it; an auditor reads everything
but content and changes nothing. No role allows reading the content of others' mailboxes: that requires a recorded basis and a
second person (`policy.authorization.content_access`).

Until an officer is recorded, the server counts as just installed: any account that can run its commands acts as the Centre.
From then on some officer of the Centre must serve at every future instant.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.calendar import Period, edges_after

CLAUSE = "6.1"
LONGEST_LOGIN = 255


class OfficerRole(LabelledEnum):
    """The roles of officers."""

    CENTRE = "centre", "Trung tâm Thông tin", "Information Centre"
    UNIT = "unit", "quản trị viên đơn vị", "unit administrator"
    AUDITOR = "auditor", "kiểm tra viên", "auditor"


class Right(StrEnum):
    """The rights that acts require."""

    ACT = "act"
    """Change anything: mailboxes, people, units, the calendar, officers."""
    REQUEST = "request"
    """File a request for a unit."""
    READ = "read"
    """Read lists, states and reports."""
    READ_LOG = "read_log"
    """Read who wrote to whom and who did what."""


RIGHTS = {
    OfficerRole.CENTRE: frozenset(Right),
    OfficerRole.UNIT: frozenset({Right.REQUEST, Right.READ}),
    OfficerRole.AUDITOR: frozenset({Right.READ, Right.READ_LOG}),
}


@dataclass(frozen=True, slots=True)
class Officer(Period):
    """The term of one officer.

    `unit_id`: the unit of a unit's administrator, who also acts for all units below it.
    """

    login: str
    """The person's login on the machine."""
    full_name: str
    role: OfficerRole
    unit_id: int | None
    since: datetime
    until: datetime | None = None
    document: str | None = None
    person_id: int | None = None
    """The number of the officer in the directory, if known."""


class NotAuthorised(Refused):
    """The actor is no officer, or has no role that allows the act."""


# ------------------------------------------------------------ logins


def tidy_login(text: str) -> str:
    """Return a login in the form stored and compared: NFC.

    `BadInput` for one that a reader cannot distinguish from another.
    """
    login = unicodedata.normalize("NFC", text)
    odd = [letter for letter in login if unicodedata.category(letter)[0] in "CZ"]  # control characters, invisible ones, blanks
    if not login or odd or len(login) > LONGEST_LOGIN:
        raise BadInput(
            Text(f"Tên đăng nhập “{text}” không dùng được.", f"Not a login: {in_ascii(text)}."),
            clause=CLAUSE,
            remedy=Text(
                "Viết tên tài khoản của hệ điều hành, không có dấu cách.", "Give a login of this machine, without blanks."
            ),
        )
    return login


def officer_of(officers: Iterable[Officer], login: str, now: datetime) -> Officer | None:
    """Return the officer of this login whose term holds; of several, the one entered last."""
    serving = [officer for officer in officers if officer.login == login and officer.holds(now)]
    return serving[-1] if serving else None


def must_not_pose(officers: Sequence[Officer], login: str, actor: str, *, automatic: bool) -> None:
    """Refuse an act under another's name; only automatic processes (`automatic`) may name an officer.

    An account that is, was or will be an officer's is a person's. While no officer is recorded, names mean nothing yet.
    """
    if officers and actor != login and (not automatic or any(officer.login == login for officer in officers)):
        raise NotAuthorised(
            Text(f"{login} không được ghi tên người khác.", "A person signed in to the machine cannot act under another name."),
            clause=CLAUSE,
            remedy=Text("Bỏ --actor và biến MIC_MAIL_ACTOR.", "Omit --actor and unset MIC_MAIL_ACTOR."),
        )


# ------------------------------------------------------------ acts

_SIGN_IN = Text("Đăng nhập vào máy này bằng tài khoản của cán bộ.", "Sign in to the machine as an officer.")


def _root_access(officers: Sequence[Officer], now: datetime) -> Text:
    """Return the advice for root, who is no officer: name one, of those listed."""
    logins = dict.fromkeys(each.login for each in officers if each.role is OfficerRole.CENTRE and each.holds(now))
    named = ", ".join(logins)
    return Text(
        f"Đăng nhập bằng tài khoản của cán bộ, hoặc nêu tên cán bộ bằng --actor (của Trung tâm: {named}).",
        f"Sign in to the machine as an officer, or name one with --actor (of the Centre: {in_ascii(named)}).",
    )


def admit(officers: Sequence[Officer], login: str, right: Right, now: datetime, *, automatic: bool = False) -> Officer | None:
    """Return the officer whose `right` `login` uses, at least for one unit; None while none is recorded."""
    if not officers:
        return None
    officer = officer_of(officers, login, now)
    if officer is None:
        raise NotAuthorised(
            Text(f"{login} không phải cán bộ quản trị hệ thống.", "The actor is not an officer of this server."),
            clause=CLAUSE,
            remedy=_root_access(officers, now) if automatic else _SIGN_IN,
        )
    if right not in RIGHTS[officer.role]:
        raise NotAuthorised(
            Text(
                "Chỉ Trung tâm Thông tin được cấp, thay đổi, thu hồi hộp thư.",
                "Only the Information Centre may issue, change and reclaim mailboxes.",
            )
            if right is Right.ACT
            else Text("Vai trò của cán bộ không cho phép việc này.", "The officer's role does not allow this."),
            clause=CLAUSE,
        )
    return officer


def authorise(
    officers: Sequence[Officer],
    login: str,
    right: Right,
    now: datetime,
    *,
    units: frozenset[int] | None = None,
    automatic: bool = False,
) -> Officer | None:
    """Return the officer whose `right` `login` uses for an act; None while no officer is recorded.

    `units`: the unit that the act concerns and those above it; None: it concerns the whole ministry.
    """
    officer = admit(officers, login, right, now, automatic=automatic)
    if officer is not None and officer.role is OfficerRole.UNIT and (units is None or officer.unit_id not in units):
        raise NotAuthorised(
            Text("Quản trị viên đơn vị chỉ làm việc cho đơn vị mình.", "A unit's administrator may act only for the own unit."),
            clause=CLAUSE,
        )
    return officer


# ------------------------------------------------------------ units


def units_above(parents: Mapping[int, int | None], unit_id: int) -> frozenset[int]:
    """Return the unit and those above it; a cycle in the tree ends the walk."""
    found: set[int] = set()
    at: int | None = unit_id
    while at is not None and at not in found:
        found.add(at)
        at = parents.get(at)
    return frozenset(found)


def units_below(parents: Mapping[int, int | None], unit_id: int) -> frozenset[int]:
    """Return the unit and those below it."""
    return frozenset(each for each in parents if unit_id in units_above(parents, each)) | {unit_id}


# ------------------------------------------------------------ officers


def must_fit(officers: Sequence[Officer], new: Officer) -> None:
    """Refuse a second term of the same login at the same time: its role would be ambiguous."""
    if any(each.login == new.login and each.overlaps(new.since, new.until) for each in officers):
        raise NotAuthorised(
            Text(f"{new.login} đã là cán bộ trong thời gian này.", "This login is already an officer at that time."),
            clause=CLAUSE,
            remedy=Text("Trước hết: mic-mail officer end.", "Run mic-mail officer end first."),
        )


def must_be_a_persons(login: str, server_account: str) -> None:
    """Refuse `root` and the account that the server runs as, which name no person.

    An account that was an officer's could not name another officer, either.
    """
    if login in ("root", server_account):
        raise NotAuthorised(
            Text(f"{login} không phải là tài khoản của một người.", f"{in_ascii(login)} is not a personal login."),
            clause=CLAUSE,
            remedy=Text(
                "Ghi nhận tài khoản riêng của cán bộ; root vẫn chạy được lệnh khi nêu --actor.",
                "Enter the officer's own login; root can still run commands with --actor.",
            ),
        )


def must_be_known(login: str, knows: Callable[[str], bool]) -> None:
    """Refuse a login that this machine does not know: nobody could sign in and act as that officer."""
    if not knows(login):
        raise NotAuthorised(
            Text(f"Máy này không có tài khoản {login}.", f"This machine has no login {in_ascii(login)}."),
            clause=CLAUSE,
            remedy=Text(
                f"Tạo tài khoản trước (kiểm tra: getent passwd {login}). Nếu cán bộ không có tài khoản trên máy này, như trong "
                "container, dùng `mic-mail officer add` với --no-login: khi đó chỉ lệnh của root nêu --actor mới thực hiện "
                "thay được.",
                f"Make the account first (see: getent passwd {in_ascii(login)}). Where the officer is to have none here, as in "
                "a container, use `mic-mail officer add` with --no-login: then only root can act for the officer, by --actor.",
            ),
        )


def must_leave_a_way(before: Sequence[Officer], after: Sequence[Officer], now: datetime, knows: Callable[[str], bool]) -> None:
    """Refuse a change that leaves no officer of the Centre who can sign in to this machine.

    This applies today and on any future day, if one could before.
    """
    known_before, known_after = ([each for each in terms if knows(each.login)] for terms in (before, after))
    for instant in {now, *edges_after(after, now)}:
        if (not before or _centre_serves(known_before, instant)) and not _centre_serves(known_after, instant):
            raise NotAuthorised(
                Text(
                    "Sẽ không còn cán bộ nào của Trung tâm Thông tin có tài khoản trên máy này.",
                    "No officer of the Information Centre would be left with a login on this machine.",
                ),
                clause=CLAUSE,
                remedy=Text(
                    "Trước hết ghi nhận một cán bộ có tài khoản trên máy này, không có thời hạn.",
                    "First add an officer with a login on this machine, without an end date.",
                ),
            )


def must_keep_centre(officers: Sequence[Officer], now: datetime) -> None:
    """Refuse a list by which, at some instant from `now` on, no officer of the Centre serves.

    Nobody could enter one then.
    """
    if all(_centre_serves(officers, instant) for instant in {now, *edges_after(officers, now)}):
        return
    if not _centre_serves(officers, now) and not any(each.role is OfficerRole.CENTRE for each in officers):
        raise NotAuthorised(
            Text("Cán bộ đầu tiên phải thuộc Trung tâm Thông tin.", "The first officer must be of the Information Centre."),
            clause=CLAUSE,
            remedy=Text("Dùng --role trung-tâm.", "Use --role centre."),
        )
    raise NotAuthorised(
        Text(
            "Lúc nào cũng phải còn ít nhất một cán bộ của Trung tâm Thông tin.",
            "At least one officer of the Information Centre must remain at any time.",
        ),
        clause=CLAUSE,
        remedy=Text("Trước hết thêm cán bộ khác không có thời hạn.", "First add another officer, without an end date."),
    )


def _centre_serves(officers: Sequence[Officer], instant: datetime) -> bool:
    logins = {each.login for each in officers}
    return any(
        (found := officer_of(officers, login, instant)) is not None and found.role is OfficerRole.CENTRE for login in logins
    )
