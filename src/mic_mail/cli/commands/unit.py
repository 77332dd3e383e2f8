"""`mic-mail unit`: units and their symbols (Reg. 5.1, 6.5)."""

from typing import Annotated

from mic_mail.cli.acts import DocumentedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.directory_orders import KeepOption, OrderAct
from mic_mail.cli.options import Commands, argument, option
from mic_mail.cli.output import Column, ResultRecord, ResultTable, Row, row_of
from mic_mail.directory.records import UnitRecord
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.naming.addresses import AddressRefused, unit_local_part
from mic_mail.policy.naming.transliteration import alphabetical, by_given_name, tidy
from mic_mail.services.mailboxes.address_settings import address_settings
from mic_mail.services.mailboxes.directory_changes import Move, UnitChange

app = Commands()

COLUMNS = (
    Column("unit_id", "Mã", "Id", right=True),
    Column("symbol", "Ký hiệu", "Symbol"),
    Column("name", "Tên", "Name"),
    Column("parent", "Thuộc", "Below"),
    Column("document", "Văn bản", "Document"),
)
ENDED = (*COLUMNS, Column("ended_on", "Kết thúc ngày", "Ended on"), Column("successor", "Nay thuộc", "Now in"))
ONE = (
    *ENDED,
    Column("local_part", "Tên hộp thư theo 5.1", "Local part by 5.1"),
    Column("people", "Cá nhân", "People"),
    Column("mailboxes", "Hộp thư", "Mailboxes"),
)

Symbol = Annotated[str, argument("SYMBOL", "Ký hiệu đơn vị, ví dụ PTTH&TTĐT.", "The unit's symbol, e.g. PTTH&TTDT.")]


@app.command("Thêm đơn vị theo danh mục ký hiệu.", "Add a unit as the register of symbols has it.")
@requires(Right.ACT, act="unit_add", clauses="5.1")
def add(
    symbol: Symbol,
    name: Annotated[str, argument("NAME", "Tên đầy đủ.", "Full name.")],
    *,
    parent: Annotated[str | None, option("--parent", "Ký hiệu đơn vị cấp trên.", "Symbol of the unit above.")] = None,
    act: DocumentedAct,
) -> Text:
    here = act.here
    symbol, name = symbol.strip(), tidy(name)
    unit_local_part(symbol, address_settings(here.config))  # refuses a symbol from which no address can be made
    above = here.directory.living_unit(parent).unit_id if parent else None
    origin = act.origin
    origin.must_have_document("5.1")
    with act.recorded(symbol, name=name):
        unit = here.directory.add_unit(UnitRecord(0, symbol, name, above, origin.document))
    return Text(f"Đã thêm đơn vị {unit.symbol}, mã {unit.unit_id}.", f"Unit {unit.unit_id} is added.")


@app.command("Liệt kê đơn vị.", "List the units.", name="list")
@requires(Right.READ, clauses="2.6")
def list_units(
    here: CliContext,
    *,
    ended: Annotated[bool, option("--ended", "Chỉ đơn vị đã kết thúc.", "Only units that have ended.")] = False,
) -> ResultTable:
    units = sorted(here.directory.units(), key=lambda unit: alphabetical(unit.symbol))
    symbols = {unit.unit_id: unit.symbol for unit in units}
    wanted = (_row(unit, symbols) for unit in units if unit.is_living is not ended)
    return ResultTable(ENDED if ended else COLUMNS, wanted)


@app.command("Xem một đơn vị, người và hộp thư của đơn vị.", "Show a unit with its people and mailboxes.")
@requires(Right.READ, clauses="5.1 14.3")
def show(here: CliContext, symbol: Symbol) -> ResultRecord:
    unit = here.directory.unit(symbol)
    symbols = here.symbols()
    people = sorted(here.directory.people(unit.unit_id), key=lambda person: by_given_name(person.full_name))
    ids = {person.person_id for person in people}
    mailboxes = [m.address for m in here.directory.mailboxes() if m.unit_id == unit.unit_id or m.person_id in ids]
    more: Row = {
        "local_part": _local_part(here, unit),
        "people": [person.full_name for person in people],
        "mailboxes": mailboxes,
    }
    return ResultRecord(ONE, {**_row(unit, symbols), **more})


@app.command("Thay đổi tên, ký hiệu, đơn vị cấp trên (6.5).", "Change name, symbol or the unit above (6.5).")
@requires(Right.ACT, act="unit_change", clauses="5.1 6.5")
def change(
    symbol: Symbol,
    *,
    name: Annotated[str | None, option("--name", "Tên mới.", "The new name.")] = None,
    new_symbol: Annotated[
        str | None, option("--symbol", "Ký hiệu mới; hộp thư đổi địa chỉ theo.", "New symbol; the address follows.")
    ] = None,
    parent: Annotated[
        str | None, option("--parent", "Đơn vị cấp trên mới; - nếu không có.", "New unit above; - for none.")
    ] = None,
    keep_days: KeepOption = None,
    act: OrderAct,
) -> None:
    here = act.here
    unit = here.directory.living_unit(symbol)
    above = here.directory.living_unit(parent) if parent not in {None, "-"} and parent else None
    wanted = UnitChange(name, new_symbol, above, at_the_top=parent == "-")
    act.give(
        unit.symbol,
        lambda changes, origin: changes.unit(unit, wanted, origin, act.first_day, keep_days=keep_days),
        name=name,
        new_symbol=new_symbol,
        parent=parent,
    )


@app.command(
    "Sáp nhập: người, hộp thư, đơn vị trực thuộc, yêu cầu chuyển sang đơn vị kế thừa.",
    "Merge units: people, mailboxes, parts and requests go to the successor.",
)
@requires(Right.ACT, act="unit_merge", clauses="6.5")
def merge(
    symbols: Annotated[list[str], argument("SYMBOL...", "Đơn vị bị sáp nhập.", "Units that end.")],
    *,
    into: Annotated[str, option("--into", "Đơn vị kế thừa, đã có trong danh bạ.", "The successor.")],
    act: OrderAct,
) -> None:
    here = act.here
    units, successor = [here.directory.living_unit(symbol) for symbol in symbols], here.directory.living_unit(into)
    act.give(
        successor.symbol,
        lambda changes, origin: changes.merge(units, successor, origin, act.first_day),
        units=[unit.symbol for unit in units],
    )


@app.command(
    "Chia, tách: người, hộp thư, đơn vị trực thuộc được nêu chuyển sang đơn vị khác.",
    "Split a unit: the named people, mailboxes and parts go to other units.",
)
@requires(Right.ACT, act="unit_split", clauses="6.5")
def split(
    symbol: Symbol,
    *,
    gives: Annotated[
        list[str] | None,
        option(
            "--give",
            "Mã cá nhân, địa chỉ hoặc ký hiệu đơn vị=đơn vị nhận.",
            "Person's id, address or symbol=receiving unit.",
            metavar="WHAT=SYMBOL",
        ),
    ] = None,
    rest: Annotated[
        str | None,
        option("--rest", "Phần còn lại về đơn vị này; đơn vị kết thúc.", "The unit that gets the rest; the split unit ends."),
    ] = None,
    act: OrderAct,
) -> None:
    here = act.here
    unit, moves = here.directory.living_unit(symbol), [_move(here, give) for give in gives or ()]
    left = here.directory.living_unit(rest) if rest is not None else None
    act.give(
        unit.symbol, lambda changes, origin: changes.split(unit, moves, left, origin, act.first_day), gives=gives, rest=rest
    )


@app.command("Kết thúc đơn vị không còn người và hộp thư.", "Close a unit without people, mailboxes and parts.")
@requires(Right.ACT, act="unit_close", clauses="6.5")
def close(symbol: Symbol, *, act: OrderAct) -> None:
    here = act.here
    unit = here.directory.living_unit(symbol)
    act.give(unit.symbol, lambda changes, origin: changes.close(unit, origin, act.first_day))


def _move(here: CliContext, text: str) -> Move:
    """Parse a move: `12=KTS`, `ptth@mic.gov.vn=KTS`, `PTTH-1=KTS`."""
    what, sign, to = text.rpartition("=")
    if not sign or not what.strip():
        raise BadInput(
            Text(f"Không hiểu “{text}”.", "This is not WHAT=SYMBOL."),
            remedy=Text("Viết như 12=KTS hoặc ptth@mic.gov.vn=KTS.", "Write as in 12=KTS or ptth@mic.gov.vn=KTS."),
        )
    directory, what = here.directory, what.strip()
    if what.isdecimal():
        return Move(directory.person(int(what)), directory.living_unit(to))
    return Move(directory.mailbox(what) if "@" in what else directory.living_unit(what), directory.living_unit(to))


def _local_part(here: CliContext, unit: UnitRecord) -> str | None:
    """Return the local part that Reg. 5.1 makes of the symbol; None where none can be made."""
    try:
        return unit_local_part(unit.symbol, address_settings(here.config))
    except AddressRefused:
        return None


def _row(unit: UnitRecord, symbols: dict[int, str]) -> Row:
    parent = symbols[unit.parent_id] if unit.parent_id is not None else None
    return row_of(ENDED, unit, parent=parent, successor=symbols.get(unit.successor_id or 0))
