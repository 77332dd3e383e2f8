"""`mic-mail officer`: the administrators, their roles and terms (Reg. 6.1).

The first one is of the Centre; from then on only officers act, and one of the Centre always remains.
"""

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import ExplainedAct, GroundedAct, audited
from mic_mail.cli.authorization import requires
from mic_mail.cli.caller import knows_login
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_day, read_instant
from mic_mail.cli.options import Commands, JsonOption, argument, option
from mic_mail.cli.output import Cell, Column, coded, row_of
from mic_mail.directory.records import NotFound, UnitRecord
from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.policy.authorization.grounds import ActContext, must_have_document
from mic_mail.policy.authorization.roles import (
    CLAUSE,
    Officer,
    OfficerRole,
    Right,
    must_be_a_persons,
    must_be_known,
    must_fit,
    must_keep_centre,
    must_leave_a_way,
    tidy_login,
)
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.naming.transliteration import tidy
from mic_mail.policy.unit_mail.delegation import after_day

app = Commands()

COLUMNS = (
    Column("login", "Tên đăng nhập", "Login"),
    Column("full_name", "Họ và tên", "Name"),
    *coded("role", "Vai trò", "Role"),
    Column("unit", "Đơn vị", "Unit"),
    Column("serves", "Có hiệu lực", "In force"),
    Column("since", "Từ", "From"),
    Column("until", "Đến", "Until"),
    Column("document", "Văn bản", "Document"),
    Column("person_id", "Mã cá nhân", "Person"),
)

Login = Annotated[str, argument("LOGIN", "Tài khoản trên máy chủ này.", "Login on this machine.")]


@app.command("Ghi nhận cán bộ quản trị (6.1).", "Enter an officer (6.1).")
@requires(Right.ACT, act="officer_add", clauses="6.1")
def add(
    login: Login,
    name: Annotated[str, argument("NAME", "Họ và tên đầy đủ.", "Full name.")],
    *,
    role: Annotated[OfficerRole, option("--role", "Trung tâm, đơn vị, kiểm tra.", "Of the Centre, a unit, or an auditor.")],
    document: Annotated[str, option("--document", "Quyết định phân công.", "The decision that appoints the officer.")],
    unit: Annotated[str | None, option("--unit", "Vai trò đơn vị: ký hiệu đơn vị.", "unit: the unit's symbol.")] = None,
    person: Annotated[
        int | None, option("--person", "Mã trong danh bạ; phân biệt người trùng tên.", "Id in the directory.")
    ] = None,
    begins: Annotated[str | None, option("--from", "Từ ngày; mặc định: ngay.", "First day; default: now.")] = None,
    until: Annotated[str | None, option("--until", "Đến hết ngày.", "Last day.")] = None,
    no_login: Annotated[
        bool,
        option(
            "--no-login",
            "Tài khoản chưa có trên máy này, hoặc cán bộ không có (container).",
            "The login is not on this machine yet, or never will be (container).",
        ),
    ] = False,
    act: ExplainedAct,
) -> None:
    here = act.here
    if (role is OfficerRole.UNIT) != (unit is not None):
        raise BadInput(
            Text("--unit đi cùng vai trò “đơn vị”.", "--role unit needs --unit, and no other role takes it."), clause=CLAUSE
        )
    document = must_have_document(
        document, CLAUSE, Text("Cần số quyết định phân công.", "The number of the decision is required.")
    )
    now = here.clock.now()
    officer = Officer(
        login=tidy_login(login),
        full_name=tidy(name),
        role=role,
        unit_id=here.directory.living_unit(unit).unit_id if unit is not None else None,
        since=_beginning(begins, now),
        until=after_day(read_day(until)) if until is not None else None,
        document=document.strip(),
        person_id=here.directory.person(person).person_id if person is not None else None,
    )
    if officer.until is not None and officer.until <= max(now, officer.since):
        raise BadInput(Text("Thời hạn kết thúc trước khi bắt đầu.", "The term ends before it begins."))
    enter(here, officer, act.origin, unit=unit, no_login=no_login)


def enter(here: CliContext, officer: Officer, origin: ActContext, *, unit: str | None = None, no_login: bool = False) -> None:
    """Enter an officer; the login must exist on this machine, unless the officer is to have none."""
    now = here.clock.now()
    is_first = not here.whole_directory.officers.all()

    def check(before: Sequence[Officer], after: Sequence[Officer]) -> None:
        must_be_a_persons(officer.login, here.config.server.user)
        must_fit(before, officer)
        must_keep_centre(after, now)
        if not no_login:
            must_be_known(officer.login, knows_login)
        _must_leave_a_way(here, before, after, now)

    with audited(
        here, "officer_add", officer.login, origin, role=officer.role.value, unit=unit, since=officer.since, until=officer.until
    ):
        here.directory.officers.add(officer, check)
    _print_added(here, officer, is_first=is_first)


def _must_leave_a_way(here: CliContext, before: Sequence[Officer], after: Sequence[Officer], now: datetime) -> None:
    if not here.is_automatic:  # root names an officer by --actor, whoever that is
        must_leave_a_way(before, after, now, knows_login)


def _print_added(here: CliContext, officer: Officer, *, is_first: bool) -> None:
    named, since = officer.role.label, officer.since
    output.note(
        f"{officer.login} ({officer.full_name}): {named.vi}, từ {dates.short(since)}.",
        f"{in_ascii(officer.login)}: {named.en}, from {dates.short(since)} on.",
    )
    if is_first:
        output.note(
            "Từ nay chỉ cán bộ đã ghi nhận được thực hiện lệnh quản trị.",
            "From now on only recorded officers can run administrative commands.",
        )
        if here.login != officer.login:
            output.note(_how_to_go_on(here, officer))


def _how_to_go_on(here: CliContext, officer: Officer) -> Text:
    """Return how a person who entered the first officer, and is none, goes on from now."""
    acting = f"{here.program} --actor {shlex.quote(officer.login)}"
    if here.is_automatic:
        return Text(
            f"Tài khoản {here.login} không phải cán bộ, vì vậy phải nêu tên cán bộ: {acting} ...",
            f"{in_ascii(here.login)} is not an officer, and has to name one from now on: {in_ascii(acting)} ...",
        )
    return Text(
        f"Ông/Bà ({here.login}) không phải cán bộ: từ nay {officer.login} đăng nhập vào máy này, chạy sudo {here.program} ... "
        "và ghi nhận thêm cán bộ khác nếu cần. Khi không cán bộ nào đăng nhập được, root chạy: "
        f"systemd-run --pipe --wait {acting} ...",
        f"You ({in_ascii(here.login)}) are not an officer: from now on {in_ascii(officer.login)} signs in to this machine, "
        "runs "
        f"sudo {in_ascii(here.program)} ... and enters further officers. When no officer can sign in, root runs: "
        f"systemd-run --pipe --wait {in_ascii(acting)} ...",
    )


@app.command("Chấm dứt nhiệm vụ quản trị.", "End an officer's term.")
@requires(Right.ACT, act="officer_end", clauses="6.1")
def end(
    login: Login,
    *,
    begins: Annotated[
        str | None, option("--from", "Thôi nhiệm vụ từ ngày; mặc định: ngay.", "First day after the term; default: now.")
    ] = None,
    act: GroundedAct,
) -> Text:
    here = act.here
    now = here.clock.now()
    at = _beginning(begins, now)
    login = tidy_login(login)

    def check(before: Sequence[Officer], after: Sequence[Officer]) -> None:
        if list(before) == list(after):
            raise NotFound(
                Text(f"{login} không phải là cán bộ vào lúc đó.", f"{in_ascii(login)} is not an officer then."), clause=CLAUSE
            )
        must_keep_centre(after, now)
        _must_leave_a_way(here, before, after, now)

    with act.recorded(login, until=at):
        here.directory.officers.end(login, at, check)
    when = dates.short(at)
    return Text(f"{login} thôi nhiệm vụ từ {when}.", f"{in_ascii(login)} is not an officer from {when} on.")


@app.command("Liệt kê cán bộ quản trị.", "List the officers.", name="list")
@requires(Right.READ, whole=True, clauses="6.1")
def list_officers(
    here: CliContext,
    at: Annotated[
        str | None, option("--at", "Chỉ cán bộ có hiệu lực tại thời điểm đó.", "Only the officers at that time.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the officers; without --at all past, present and future ones."""
    officers = here.directory.officers.all()
    instant = here.clock.now() if at is None else read_instant(at)
    units = here.directory.units_by_id()
    rows = [_row(officer, units, instant) for officer in officers if at is None or officer.holds(instant)]
    output.listing(COLUMNS, rows, as_json=as_json)
    if not officers:
        output.note(no_officer_yet())


def no_officer_yet() -> Text:
    return Text(
        "Chưa ghi nhận cán bộ quản trị nào: ai chạy được lệnh trên máy này đều được coi là Trung tâm Thông tin. "
        "Ghi nhận bằng `mic-mail officer add`.",
        "No officer is recorded yet: anybody who runs commands on this machine counts as the Centre. "
        "Enter the first by `mic-mail officer add`.",
    )


def _beginning(day: str | None, now: datetime) -> datetime:
    """Return now, or the first instant of a later day: past roles are never changed afterwards."""
    if day is None:
        return now
    named = read_day(day)
    if named < local_day(now):
        raise BadInput(Text("Ngày đã qua.", "The day is in the past."), clause=CLAUSE)
    return max(now, start_of(named))


def _row(officer: Officer, units: dict[int, UnitRecord], at: datetime) -> dict[str, Cell]:
    unit = units[officer.unit_id].symbol if officer.unit_id is not None else None
    return row_of(COLUMNS, officer, unit=unit, serves=officer.holds(at))


def officer_now(here: CliContext, actor: str) -> Officer:
    """Return the acting officer; raise `NotAuthorised` where none is on record."""
    from mic_mail.policy.authorization.roles import NotAuthorised

    officer = here.authorise(actor, Right.ACT)
    if officer is None:
        raise NotAuthorised(no_officer_yet(), clause=CLAUSE)
    return officer
