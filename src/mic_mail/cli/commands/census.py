"""`mic-mail census`: half-yearly lists of mailbox users, signed by the units (Reg. 14.6, 14.3)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, JsonOption, argument, option
from mic_mail.cli.output import Column, Row, row_of
from mic_mail.cli.output_files import write_paper
from mic_mail.directory.records import UnitRecord
from mic_mail.documents.document import Document
from mic_mail.errors import Text
from mic_mail.i18n.plurals import counted
from mic_mail.policy import census as rules
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.census import CensusLine, CensusStanding
from mic_mail.policy.labels import state_names
from mic_mail.policy.naming.addresses import AddressRefused, unit_local_part
from mic_mail.policy.states import MailboxState
from mic_mail.services.mailboxes.address_settings import address_settings
from mic_mail.services.reports.census import Censuses

app = Commands()

STANDINGS: Mapping[str, Text] = {
    CensusStanding.CONFIRMED: Text("đã xác nhận", "confirmed"),
    CensusStanding.WAITING: Text("trong hạn", "within its time"),
    CensusStanding.OVERDUE: Text("quá hạn", "overdue"),
    CensusStanding.NOT_YET: Text("chưa đến kỳ", "not yet due"),
}
UNITS = (
    Column("unit", "Ký hiệu", "Symbol"),
    Column("name", "Đơn vị", "Unit"),
    Column("period", "Kỳ", "Period"),
    Column("standing", "Tình trạng", "State", names=STANDINGS),
    Column("made_at", "Lập lúc", "Made"),
    Column("confirmed_at", "Xác nhận lúc", "Confirmed"),
    Column("document", "Văn bản", "Document"),
)
LINES = (
    Column("group", "Nhóm", "Group", names={"person": Text("cá nhân", "person"), "mailbox": Text("hộp thư", "mailbox")}),
    Column("name", "Tên", "Name"),
    Column("position", "Chức vụ, loại", "Position, kind"),
    Column("address", "Hộp thư", "Mailbox"),
    Column("states", "Tình trạng", "State"),
    Column("keepers", "Người quản lý", "Keepers"),
    Column("quota_octets", "Dung lượng", "Quota", right=True, size=True),
    Column("used_octets", "Đã dùng", "Used", right=True, size=True),
    Column("requests", "Yêu cầu sửa", "Disputed by"),
)
CHANGES = (
    Column(
        "what",
        "Thay đổi",
        "Change",
        names={"came": Text("thêm", "added"), "went": Text("bớt", "removed"), "altered": Text("thay đổi", "changed")},
    ),
    Column("name", "Tên", "Name"),
    Column("fields", "Nội dung", "What"),
)
UnitOption = Annotated[str | None, option("--unit", "Ký hiệu đơn vị; mặc định: tất cả.", "One unit; else all.")]
UnitName = Annotated[str, argument("UNIT", "Ký hiệu đơn vị.", "The unit's symbol.")]


@app.command("Lập danh sách của kỳ này: XLSX và PDF cho từng đơn vị, một bản tổng hợp.", "Write this period's lists.")
@requires(Right.ACT, act="census_make", clauses="14.6")
def make(
    *,
    unit: UnitOption = None,
    out: Annotated[Path, option("--out", "Thư mục để ghi các tệp.", "The folder for the files.")] = Path(),
    act: GroundedAct,
) -> Text:
    here = act.here
    censuses = here.use_cases(Censuses)
    wanted = [here.directory.unit(unit)] if unit else censuses.units()
    prefix = f"{censuses.period:%Y-%m}"
    written: list[Path] = []
    with act.recorded(f"{censuses.period:%m/%Y}", units=[each.symbol for each in wanted]):
        for each in wanted:
            made = censuses.make(each, act.origin.actor)
            written += _write(here, out, f"{prefix}-{_file_name(here, each)}", censuses.paper_of(each, made))
        if unit is None:
            written += _write(here, out, f"{prefix}-tong-hop", censuses.roll_up())
    return Text(
        f"Đã lập {len(wanted)} danh sách, ghi {len(written)} tệp vào {out}.",
        f"{counted(len(wanted), 'list is', 'lists are')} made, {counted(len(written), 'file', 'files')} written.",
    )


@app.command("Xem danh sách hiện nay của một đơn vị.", "Show the list of a unit as it is now.")
@requires(Right.READ, clauses="14.3")
def show(
    here: CliContext,
    unit: UnitName,
    *,
    changes: Annotated[
        bool, option("--changes", "Chỉ thay đổi so với danh sách đã ký gần nhất.", "Only changes since the last signed list.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    censuses, which = here.use_cases(Censuses), here.directory.unit(unit)
    lines = censuses.lines(which)
    if not changes:
        disputed: dict[str, list[str]] = {}
        for line, request in censuses.disputed(which):
            disputed.setdefault(line.key, []).append(str(request.request_id))
        rows = ({**_line(line, as_json=as_json), "requests": disputed.get(line.key)} for line in lines)
        output.listing(LINES, rows, as_json=as_json)
        return
    before = censuses.last_signed(which) or censuses.before(which)
    changed: list[Row] = [
        {
            "what": each.what,
            "name": each.line.name,
            "fields": [f"{name}: {old or '-'} -> {new or '-'}" for name, old, new in each.fields] or each.line.address,
        }
        for each in (rules.changes(before.lines, lines) if before else ())
    ]
    output.listing(CHANGES, changed, as_json=as_json)
    if before is None:
        output.note("Đơn vị chưa xác nhận danh sách nào để so sánh.", "The unit has no earlier signed list to compare with.")


@app.command(
    "Liệt kê đơn vị đã xác nhận và đơn vị quá hạn.", "List the units that have confirmed, and those overdue.", name="list"
)
@requires(Right.READ, clauses="14.6")
def list_units(here: CliContext, as_json: JsonOption = False) -> None:
    censuses = here.use_cases(Censuses)

    def row(unit: UnitRecord) -> Row:
        standing = censuses.standing(unit)
        period = f"{censuses.period:%Y-%m}" if as_json else f"{censuses.period:%m/%Y}"
        return row_of(UNITS, censuses.newest(unit), unit=unit.symbol, name=unit.name, period=period, standing=standing)

    output.listing(UNITS, map(row, censuses.units()), as_json=as_json)


@app.command("Ghi văn bản xác nhận danh sách của một đơn vị.", "Record that a unit has signed its list.")
@requires(Right.ACT, act="census_confirm", clauses="14.6")
def confirm(unit: UnitName, *, act: GroundedAct) -> Text:
    here = act.here
    which, censuses = here.directory.unit(unit), here.use_cases(Censuses)
    with act.recorded(which.symbol):
        missing = Text("Xác nhận phải có số văn bản.", "A confirmation needs a document number.")
        number = act.origin.must_have_document(rules.CLAUSE, missing)
        found = here.directory.censuses.confirm(
            which.unit_id, censuses.period, actor=act.origin.actor, document=number, at=here.clock.now()
        )
    return Text(
        f"Đơn vị {which.symbol} đã xác nhận kỳ {found.period:%m/%Y} bằng văn bản {found.document}.",
        f"The unit has confirmed the census of {found.period:%m/%Y}.",
    )


def _write(here: CliContext, folder: Path, name: str, paper: Document) -> list[Path]:
    return [*write_paper(here, folder / f"{name}.pdf", paper), *write_paper(here, folder / f"{name}.xlsx", paper)]


def _file_name(here: CliContext, unit: UnitRecord) -> str:
    """Return the symbol in the form of Reg. 5.1; the unit's number where it has no such form."""
    try:
        return unit_local_part(unit.symbol, address_settings(here.config))
    except AddressRefused:
        return str(unit.unit_id)


def _line(line: CensusLine, *, as_json: bool) -> Row:
    states = line.states if as_json else state_names([MailboxState(state) for state in line.states])
    return row_of(LINES[:-1], line, address=line.address or None, states=states, keepers=line.keepers or None)
