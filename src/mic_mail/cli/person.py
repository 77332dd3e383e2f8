"""`mic-mail person add|list|show|move|employment`: the people of the directory, with or without a mailbox (Reg. 2.6, 6.3,
6.4.b)."""

from datetime import date
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.days import read_day
from mic_mail.cli.frame import Frame, frame
from mic_mail.cli.gate import asks
from mic_mail.cli.options import ActorOption, DocumentOption, JsonOption, WhyOption
from mic_mail.cli.output import Cell, Column, say
from mic_mail.cli.record import on_record
from mic_mail.directory.records import PersonRecord
from mic_mail.errors import BadInput, Text
from mic_mail.policy.calendar import local_day
from mic_mail.policy.eligibility import Employment, why_not
from mic_mail.policy.facts import Level
from mic_mail.policy.names import by_given_name, tidy, words
from mic_mail.policy.ranks import level_of
from mic_mail.policy.roles import Right
from mic_mail.policy.wording import EMPLOYMENTS, LEVELS
from mic_mail.services.mailboxes.accounts import Accounts
from mic_mail.services.mailboxes.credentials import Origin
from mic_mail.services.settings.readings import ranks

app = typer.Typer(help=say("Cá nhân.", "People."), no_args_is_help=True)

COLUMNS = (
    Column("person_id", "Mã", "Id", right=True),
    Column("full_name", "Họ và tên", "Name"),
    Column("unit", "Đơn vị", "Unit"),
    Column("position", "Chức danh", "Position"),
    Column("level", "Cấp (6.4.c)", "Rank (6.4.c)", json_only=True),
    Column("level_name", "Cấp (6.4.c)", "Rank (6.4.c)"),
    Column("employment", "Diện", "Employment", json_only=True),
    Column("employment_name", "Diện", "Employment"),
    Column("mailbox", "Hộp thư", "Mailbox"),
)
ONE = (
    *COLUMNS,
    Column("contract_from", "Hợp đồng từ", "Contract from"),
    Column("contract_until", "Hợp đồng đến", "Contract until"),
    Column("eligible", "Đủ điều kiện cấp (6.3)", "Eligible (6.3)"),
)

PersonId = Annotated[int, typer.Argument(help=say("Mã cá nhân.", "The person's id."))]
LevelOption = Annotated[
    Level | None,
    typer.Option("--level", help=say("Cấp theo 6.4.c: division hoặc department.", "Rank of 6.4.c: division or department.")),
]

FromOption = Annotated[str | None, typer.Option("--contract-from", help=say("Ngày bắt đầu hợp đồng.", "First day."))]
UntilOption = Annotated[str | None, typer.Option("--contract-until", help=say("Ngày hết hợp đồng.", "Last day."))]


@app.command(help=say("Thêm cá nhân.", "Add a person."))
@asks(Right.ACT)
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help=say("Họ và tên đầy đủ, có dấu.", "Full name, with diacritics."))],
    *,
    unit: Annotated[str, typer.Option("--unit", help=say("Ký hiệu đơn vị.", "The unit's symbol."))],
    position: Annotated[str, typer.Option("--position", help=say("Chức danh.", "Position."))] = "Chuyên viên",
    level: LevelOption = None,
    employment: Annotated[
        Employment, typer.Option("--employment", help=say("Diện tuyển dụng.", "How employed."))
    ] = Employment.CIVIL_SERVANT,
    contract_from: FromOption = None,
    contract_until: UntilOption = None,
    document: DocumentOption = None,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    begins, ends = _contract(employment, contract_from, contract_until)
    name = tidy(name)
    words(name)  # refuses what no address can be made from, before it spreads
    person = PersonRecord(
        person_id=0,
        full_name=name,
        unit_id=here.directory.unit(unit).unit_id,
        position=position,
        level=level or level_of(position, ranks(here.config)),
        employment=employment,
        contract_from=begins,
        contract_until=ends,
    )
    with on_record(here, "person_add", person.full_name, Origin(here.actor(actor), "", document), unit=unit):
        stored = here.directory.add_person(person)
    output.record(ONE, _row(here, stored), as_json=as_json)


@app.command("list", help=say("Liệt kê cá nhân.", "List people."))
@asks(Right.READ)
def list_people(
    ctx: typer.Context,
    unit: Annotated[str | None, typer.Option("--unit", help=say("Chỉ đơn vị này.", "Only this unit."))] = None,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    people = here.directory.people(here.directory.unit(unit).unit_id if unit else None)
    people.sort(key=lambda person: by_given_name(person.full_name))
    units = {u.unit_id: u.symbol for u in here.directory.units()}
    mailboxes = {m.person_id: m.address for m in here.directory.mailboxes() if m.person_id is not None}
    output.listing(COLUMNS, (_cells(person, units, mailboxes) for person in people), as_json=as_json)


@app.command(help=say("Xem một cá nhân.", "Show a person."))
@asks(Right.READ)
def show(ctx: typer.Context, person_id: PersonId, as_json: JsonOption = False) -> None:
    here = frame(ctx)
    output.record(ONE, _row(here, here.directory.person(person_id)), as_json=as_json)


@app.command(
    help=say("Thuyên chuyển theo thông báo của đơn vị tiếp nhận (6.4.b).", "Transfer on the receiving unit's notice (6.4.b).")
)
@asks(Right.ACT)
def move(
    ctx: typer.Context,
    person_id: PersonId,
    unit: Annotated[str, typer.Argument(help=say("Ký hiệu đơn vị tiếp nhận.", "Symbol of the receiving unit."))],
    *,
    document: DocumentOption = None,
    reason: WhyOption = "",
    actor: ActorOption = None,
) -> None:
    here = frame(ctx)
    person, to = here.directory.person(person_id), here.directory.unit(unit)
    origin = Origin(here.actor(actor), reason, document)
    with on_record(here, "person_move", person.full_name, origin, unit=to.symbol):
        Accounts(here.directory, here.config, here.clock).transfer(person, to, origin)
    output.note(Text(f"{person.full_name} thuộc {to.symbol}.", "The person works for the other unit now."))


@app.command(
    "employment",
    help=say(
        "Ghi diện tuyển dụng hoặc hợp đồng mới của cá nhân (6.3).",
        "Record how a person is employed by now, or a contract (6.3).",
    ),
)
@asks(Right.ACT)
def employ(
    ctx: typer.Context,
    person_id: PersonId,
    employment: Annotated[Employment, typer.Argument(help=say("Diện tuyển dụng.", "How employed."))],
    *,
    contract_from: FromOption = None,
    contract_until: UntilOption = None,
    document: DocumentOption = None,
    reason: WhyOption = "",
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    begins, ends = _contract(employment, contract_from, contract_until)
    person, origin = here.directory.person(person_id), Origin(here.actor(actor), reason, document)
    with on_record(
        here, "person_employment", person.full_name, origin,
        person_id=person_id, employment=employment.value, contract_from=begins, contract_until=ends,
        before=person.employment.value, before_from=person.contract_from, before_until=person.contract_until,
    ):  # fmt: skip
        here.directory.employ(person_id, employment, begins, ends)
    output.record(ONE, _row(here, here.directory.person(person_id)), as_json=as_json)


def _contract(employment: Employment, begins: str | None, ends: str | None) -> tuple[date | None, date | None]:
    """The days of a contract, or a refusal of what is none."""
    first, last = (read_day(day) if day is not None else None for day in (begins, ends))
    if employment is Employment.CONTRACT and first is None:
        raise BadInput(Text("Thiếu ngày bắt đầu hợp đồng.", "The contract's first day is missing."), clause="6.3")
    if employment is not Employment.CONTRACT and (first or last):
        raise BadInput(Text("Chỉ hợp đồng mới có ngày bắt đầu, ngày hết hạn.", "A contract alone has days."), clause="6.3")
    if first and last and last < first:
        raise BadInput(
            Text("Hợp đồng hết hạn trước ngày bắt đầu.", "The contract ends before its first day."),
            clause="6.3",
            remedy=Text("Xem lại --contract-from, --contract-until.", "Look at --contract-from and --contract-until."),
        )
    return first, last


def _row(here: Frame, person: PersonRecord) -> dict[str, Cell]:
    units = {u.unit_id: u.symbol for u in here.directory.units()}
    mailboxes = {m.person_id: m.address for m in here.directory.mailboxes_of(person_id=person.person_id) if m.person_id}
    today = local_day(here.clock.now())
    return {
        **_cells(person, units, mailboxes),
        "contract_from": person.contract_from,
        "contract_until": person.contract_until,
        "eligible": why_not(person.employment, person.contract_from, person.contract_until, today) is None,
    }


def _cells(person: PersonRecord, units: dict[int, str], mailboxes: dict[int, str]) -> dict[str, Cell]:
    return {
        "person_id": person.person_id,
        "full_name": person.full_name,
        "unit": units[person.unit_id],
        "position": person.position,
        "level": person.level.value if person.level else None,
        "level_name": LEVELS[person.level] if person.level else None,
        "employment": person.employment.value,
        "employment_name": EMPLOYMENTS[person.employment],
        "mailbox": mailboxes.get(person.person_id),
    }
