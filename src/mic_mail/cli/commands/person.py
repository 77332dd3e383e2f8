"""`mic-mail person`: the people of the directory, with or without a mailbox (Reg. 2.6, 6.2-6.4)."""

from typing import Annotated

from mic_mail.cli.acts import DocumentedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import optional_day
from mic_mail.cli.directory_orders import KeepOption, OrderAct
from mic_mail.cli.options import Commands, argument, option
from mic_mail.cli.output import Cell, Column, ResultRecord, ResultTable, coded, row_of
from mic_mail.directory.records import PersonRecord
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.calendar import local_day
from mic_mail.policy.eligibility import Employment, refusal_reason
from mic_mail.policy.facts import Level
from mic_mail.policy.naming.transliteration import by_given_name, tidy, words
from mic_mail.policy.ranks import level_of
from mic_mail.services.mailboxes.directory_changes import Contract, PersonChange, check_contract

app = Commands()

COLUMNS = (
    Column("person_id", "Mã", "Id", right=True),
    Column("full_name", "Họ và tên", "Name"),
    Column("unit", "Đơn vị", "Unit"),
    Column("position", "Chức danh", "Position"),
    *coded("level", "Cấp (6.4.c)", "Rank (6.4.c)"),
    *coded("employment", "Diện", "Employment"),
    Column("mailbox", "Hộp thư", "Mailbox"),
)
ONE = (
    *COLUMNS,
    Column("contract_from", "Hợp đồng từ", "Contract from"),
    Column("contract_until", "Hợp đồng đến", "Contract until"),
    Column("eligible", "Đủ điều kiện cấp (6.3)", "Eligible (6.3)"),
)

PersonId = Annotated[int, argument("PERSON_ID", "Mã cá nhân.", "The person's id.")]
LevelOption = Annotated[
    Level | None, option("--level", "Cấp theo 6.4.c: phòng hoặc vụ.", "Rank of 6.4.c: division or department.")
]

PositionOption = Annotated[
    str | None, option("--position", "Chức danh mới; cấp theo bảng chức danh.", "New position; its level by the table.")
]
FromOption = Annotated[str | None, option("--contract-from", "Ngày bắt đầu hợp đồng.", "First day of the contract.")]
UntilOption = Annotated[str | None, option("--contract-until", "Ngày hết hợp đồng.", "Last day of the contract.")]


@app.command("Thêm cá nhân.", "Add a person.")
@requires(Right.ACT, act="person_add", clauses="2.6")
def add(
    name: Annotated[str, argument("NAME", "Họ và tên đầy đủ, có dấu.", "Full name, with diacritics.")],
    *,
    unit: Annotated[str, option("--unit", "Ký hiệu đơn vị.", "The unit's symbol.")],
    position: Annotated[str, option("--position", "Chức danh.", "Position.")] = "Chuyên viên",
    level: LevelOption = None,
    employment: Annotated[
        Employment, option("--employment", "Diện tuyển dụng.", "Kind of employment.")
    ] = Employment.CIVIL_SERVANT,
    contract_from: FromOption = None,
    contract_until: UntilOption = None,
    act: DocumentedAct,
) -> ResultRecord:
    here = act.here
    contract = _contract(employment, contract_from, contract_until)
    name = tidy(name)
    words(name)  # refuses early a name from which no address can be made
    person = PersonRecord(
        person_id=0,
        full_name=name,
        unit_id=here.directory.living_unit(unit).unit_id,
        position=position,
        level=level or level_of(position, here.directory.changes.levels()),
        employment=employment,
        contract_from=contract.begins,
        contract_until=contract.ends,
    )
    with act.recorded(person.full_name, unit=unit):
        stored = here.directory.add_person(person)
    return ResultRecord(ONE, _row(here, stored))


@app.command("Liệt kê cá nhân.", "List people.", name="list")
@requires(Right.READ, clauses="2.6")
def list_people(
    here: CliContext, unit: Annotated[str | None, option("--unit", "Chỉ đơn vị này.", "Only this unit.")] = None
) -> ResultTable:
    people = here.directory.people(here.directory.unit(unit).unit_id if unit else None)
    people.sort(key=lambda person: by_given_name(person.full_name))
    units = here.symbols()
    mailboxes = {m.person_id: m.address for m in here.directory.mailboxes() if m.person_id is not None}
    return ResultTable(COLUMNS, (_cells(person, units, mailboxes) for person in people))


@app.command("Xem một cá nhân.", "Show a person.")
@requires(Right.READ, clauses="6.3")
def show(here: CliContext, person_id: PersonId) -> ResultRecord:
    return ResultRecord(ONE, _row(here, here.directory.person(person_id)))


@app.command("Thay đổi họ tên, chức danh, cấp (6.2).", "Change name, position or level (6.2).")
@requires(Right.ACT, act="person_change", clauses="6.2")
def change(
    person_id: PersonId,
    *,
    name: Annotated[str | None, option("--name", "Họ và tên mới.", "The new name.")] = None,
    position: PositionOption = None,
    level: LevelOption = None,
    address: Annotated[
        str | None, option("--address", "Địa chỉ mới của hộp thư cá nhân.", "New address of the mailbox.")
    ] = None,
    keep_days: KeepOption = None,
    act: OrderAct,
) -> None:
    here = act.here
    person, wanted = here.directory.person(person_id), PersonChange(name, position, level)
    act.give(
        person.full_name,
        lambda changes, origin: changes.person(person, wanted, origin, act.first_day, address=address, keep_days=keep_days),
        person_id=person_id,
        name=name,
        position=position,
        level=level,
        address=address,
    )


@app.command("Thuyên chuyển theo thông báo của đơn vị tiếp nhận (6.4.b).", "Transfer on the receiving unit's notice (6.4.b).")
@requires(Right.ACT, act="person_move", clauses="6.4.b")
def move(
    person_id: PersonId,
    unit: Annotated[str, argument("UNIT", "Ký hiệu đơn vị tiếp nhận.", "Symbol of the receiving unit.")],
    *,
    position: PositionOption = None,
    level: LevelOption = None,
    act: OrderAct,
) -> None:
    here = act.here
    person, to = here.directory.person(person_id), here.directory.living_unit(unit)
    wanted = PersonChange(position=position, level=level, unit=to)
    act.give(
        person.full_name,
        lambda changes, origin: changes.person(person, wanted, origin, act.first_day),
        unit=to.symbol,
        position=position,
        level=level,
    )


@app.command(
    "Ghi diện tuyển dụng hoặc hợp đồng mới của cá nhân (6.3).",
    "Record a change of employment, or a contract (6.3).",
    name="employment",
)
@requires(Right.ACT, act="person_employment", clauses="6.3")
def employ(
    person_id: PersonId,
    employment: Annotated[Employment, argument("EMPLOYMENT", "Diện tuyển dụng.", "Kind of employment.")],
    *,
    contract_from: FromOption = None,
    contract_until: UntilOption = None,
    act: OrderAct,
) -> None:
    here = act.here
    contract, person = _contract(employment, contract_from, contract_until), here.directory.person(person_id)
    act.give(
        person.full_name,
        lambda changes, origin: changes.person(person, PersonChange(contract=contract), origin, act.first_day),
        person_id=person_id,
        employment=employment.value,
        contract_from=contract.begins,
        contract_until=contract.ends,
    )


def _contract(employment: Employment, begins: str | None, ends: str | None) -> Contract:
    """Return the employment with its contract; refuse an invalid contract."""
    first, last = (optional_day(day) for day in (begins, ends))
    contract = Contract(employment, first, last)
    check_contract(contract)
    return contract


def _row(here: CliContext, person: PersonRecord) -> dict[str, Cell]:
    units = here.symbols()
    mailboxes = {m.person_id: m.address for m in here.directory.mailboxes_of(person_id=person.person_id) if m.person_id}
    today = local_day(here.clock.now())
    return {
        **_cells(person, units, mailboxes),
        "contract_from": person.contract_from,
        "contract_until": person.contract_until,
        "eligible": refusal_reason(person.employment, person.contract_from, person.contract_until, today) is None,
    }


def _cells(person: PersonRecord, units: dict[int, str], mailboxes: dict[int, str]) -> dict[str, Cell]:
    return row_of(COLUMNS, person, unit=units[person.unit_id], mailbox=mailboxes.get(person.person_id))
