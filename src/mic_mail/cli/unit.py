"""`mic-mail unit add|list|show`: the ministry's units and their registered symbols (Reg. 5.1)."""

from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.frame import Frame, frame
from mic_mail.cli.gate import asks
from mic_mail.cli.options import ActorOption, DocumentOption, JsonOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.cli.record import on_record
from mic_mail.directory.records import UnitRecord
from mic_mail.errors import Text
from mic_mail.policy.addresses import AddressRefused, unit_local_part
from mic_mail.policy.names import alphabetical, by_given_name, tidy
from mic_mail.policy.roles import Right
from mic_mail.services.mailboxes.credentials import Origin
from mic_mail.services.mailboxes.issuing import address_settings

app = typer.Typer(help=say("Cơ quan, đơn vị.", "Units."), no_args_is_help=True)

COLUMNS = (
    Column("unit_id", "Mã", "Id", right=True),
    Column("symbol", "Ký hiệu", "Symbol"),
    Column("name", "Tên", "Name"),
    Column("parent", "Thuộc", "Below"),
    Column("document", "Văn bản", "Document"),
)
ONE = (
    *COLUMNS,
    Column("local_part", "Tên hộp thư theo 5.1", "Local part by 5.1"),
    Column("people", "Cá nhân", "People"),
    Column("mailboxes", "Hộp thư", "Mailboxes"),
)

Symbol = Annotated[str, typer.Argument(help=say("Ký hiệu đơn vị, ví dụ PTTH&TTĐT.", "The unit's symbol, e.g. PTTH&TTDT."))]


@app.command(help=say("Thêm đơn vị theo danh mục ký hiệu.", "Add a unit as the register of symbols has it."))
@asks(Right.ACT)
def add(
    ctx: typer.Context,
    symbol: Symbol,
    name: Annotated[str, typer.Argument(help=say("Tên đầy đủ.", "Full name."))],
    *,
    parent: Annotated[
        str | None, typer.Option("--parent", help=say("Ký hiệu đơn vị cấp trên.", "Symbol of the unit above."))
    ] = None,
    document: DocumentOption = None,
    actor: ActorOption = None,
) -> None:
    here = frame(ctx)
    symbol, name = symbol.strip(), tidy(name)
    unit_local_part(symbol, address_settings(here.config))  # refuses a symbol from which no address can be made
    above = here.directory.unit(parent).unit_id if parent else None
    with on_record(here, "unit_add", symbol, Origin(here.actor(actor), "", document), name=name):
        unit = here.directory.add_unit(UnitRecord(0, symbol, name, above, document))
    output.note(Text(f"Đã thêm đơn vị {unit.symbol}, mã {unit.unit_id}.", f"Unit {unit.unit_id} is added."))


@app.command("list", help=say("Liệt kê đơn vị.", "List the units."))
@asks(Right.READ)
def list_units(ctx: typer.Context, as_json: JsonOption = False) -> None:
    units = sorted(frame(ctx).directory.units(), key=lambda unit: alphabetical(unit.symbol))
    symbols = {unit.unit_id: unit.symbol for unit in units}
    output.listing(COLUMNS, (_row(unit, symbols) for unit in units), as_json=as_json)


@app.command(help=say("Xem một đơn vị, người và hộp thư của đơn vị.", "Show a unit with its people and mailboxes."))
@asks(Right.READ)
def show(ctx: typer.Context, symbol: Symbol, as_json: JsonOption = False) -> None:
    here = frame(ctx)
    unit = here.directory.unit(symbol)
    symbols = {other.unit_id: other.symbol for other in here.directory.units()}
    people = sorted(here.directory.people(unit.unit_id), key=lambda person: by_given_name(person.full_name))
    ids = {person.person_id for person in people}
    mailboxes = [m.address for m in here.directory.mailboxes() if m.unit_id == unit.unit_id or m.person_id in ids]
    more: Row = {
        "local_part": _local_part(here, unit),
        "people": [person.full_name for person in people],
        "mailboxes": mailboxes,
    }
    output.record(ONE, {**_row(unit, symbols), **more}, as_json=as_json)


def _local_part(here: Frame, unit: UnitRecord) -> str | None:
    """What Reg. 5.1 makes of the symbol; None for one from which no address can be made."""
    try:
        return unit_local_part(unit.symbol, address_settings(here.config))
    except AddressRefused:
        return None


def _row(unit: UnitRecord, symbols: dict[int, str]) -> Row:
    return {
        "unit_id": unit.unit_id,
        "symbol": unit.symbol,
        "name": unit.name,
        "parent": symbols[unit.parent_id] if unit.parent_id is not None else None,
        "document": unit.document,
    }
