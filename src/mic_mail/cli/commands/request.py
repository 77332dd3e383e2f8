"""`mic-mail request add|list|show|form|import`: requests to the Centre (Reg. 6.2, 7.3, 15.2, 18)."""

import sys
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import DocumentedAct
from mic_mail.cli.authorization import open_to_all, requires
from mic_mail.cli.commands.request_bulk import asked_for
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_instant
from mic_mail.cli.labels import REQUEST_ITEMS
from mic_mail.cli.options import ActorOption, Commands, JsonOption, argument, option
from mic_mail.cli.output import Cell, Column, ResultRecord, ResultTable, coded, row_of
from mic_mail.cli.output_files import read_file, write_file
from mic_mail.directory.records import UnitRecord
from mic_mail.documents.csv_writer import MOST_OCTETS
from mic_mail.errors import Refused, Text, in_ascii
from mic_mail.i18n.clause_names import clause as cite
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.requests import Item, Request, RequestChannel, RequestKind, RequestState, deadline_clause
from mic_mail.services.requests import form as forms
from mic_mail.services.requests.form import DOCUMENT_DATE, KIND, FormContext, FormReader, FormRow
from mic_mail.services.requests.register import Due, Register

app = Commands()

COLUMNS = (
    Column("request_id", "Số", "No.", right=True, of="request.request_id"),
    *coded("kind", "Loại", "Kind", of="request.kind"),
    Column("unit", "Đơn vị", "Unit"),
    Column("subject", "Về", "About"),
    Column("asker", "Người đề nghị", "Asked by", of="request.filing.asker"),
    *coded("channel", "Kênh", "Channel", of="request.filing.channel"),
    Column("document", "Văn bản", "Document", of="request.filing.document"),
    Column("received_at", "Nhận lúc", "Received", of="request.filing.received_at"),
    Column("due_at", "Hạn", "Due", of="at"),
    Column("due_by", "Hạn theo", "Due by"),
    Column("overdue", "Quá hạn", "Overdue"),
    *coded("state", "Trạng thái", "State", of="request.state"),
)
ONE = (
    *COLUMNS,
    Column("document_date", "Ngày văn bản", "Document date", of="request.filing.document_date"),
    Column("items", "Nội dung", "Content", names=REQUEST_ITEMS),
    Column("opened_by", "Người ghi", "Entered by", of="request.opened_by"),
    Column("opened_at", "Ghi lúc", "Entered", of="request.opened_at"),
    Column("handler", "Người xử lý", "Handled by", of="request.handler"),
    Column("handled_at", "Xử lý lúc", "Handled", of="request.handled_at"),
    Column("result", "Kết quả", "Result", of="request.result"),
    Column("hindrance", "Chưa thực hiện được vì", "Not done because", of="request.hindrance"),
    Column("mailbox", "Hộp thư", "Mailbox"),
    Column("census_line", "Dòng thống kê", "Line of the census"),
    Column("batch", "Cùng thư, tệp", "Mail or file", of="request.batch"),
    Column("row", "Dòng", "Row", of="request.row"),
)
ROWS = (
    Column("row", "Dòng", "Row", right=True, of="number"),
    Column("request_id", "Số", "No.", right=True),
    Column("kind_name", "Loại", "Kind", of="filing.kind.label"),
    Column("subject", "Về", "About"),
    Column("due_at", "Hạn", "Due"),
    Column("state", "Trạng thái", "State"),
    Column("refused", "Từ chối vì", "Refused because", of="refusal.text"),
    Column("clause", "Căn cứ", "Clause", of="refusal.clause", cites=True),
)
TARGET = Text("mục tiêu của Trung tâm", "the Centre's own target")

Number = Annotated[int, argument("NUMBER", "Số yêu cầu.", "Number of the request.")]

UnitOption = Annotated[str | None, option("--unit", "Ký hiệu đơn vị đề nghị.", "Symbol of the asking unit.")]
AskerOption = Annotated[str, option("--asked-by", "Họ tên người đề nghị.", "Name of the person who asks.")]
ChannelOption = Annotated[
    RequestChannel | None, option("--channel", "Văn bản, thư, fax, điện thoại, trực tiếp.", "The channel.")
]
ReceivedOption = Annotated[str | None, option("--received", "Nhận lúc, 24/11/2026 09:00.", "When received, 24/11/2026 09:00.")]


@app.command("Ghi một yêu cầu vào sổ (6.2).", "Enter a request (6.2).")
@requires(Right.REQUEST, act="request_add", clauses="6.2 7.3.a 14.3 14.4 15.2 18")
def add(
    kind: Annotated[RequestKind, argument("KIND", "Loại yêu cầu.", "The kind of request.")],
    *,
    unit: UnitOption,
    asker: AskerOption,
    channel: ChannelOption = RequestChannel.LETTER,
    dated: Annotated[str | None, option("--dated", "Ngày văn bản.", "Date of the document.")] = None,
    received: ReceivedOption = None,
    address: Annotated[str | None, option("--address", "Hộp thư liên quan.", "The mailbox concerned.")] = None,
    name: Annotated[str | None, option("--name", "Họ tên, hoặc tên nhóm.", "Name of person or group.")] = None,
    position: Annotated[str | None, option("--position", "Chức danh.", "Position.")] = None,
    level: Annotated[str | None, option("--level", "Cấp: phòng, vụ.", "Rank of 6.4.c: division or department.")] = None,
    employment: Annotated[str | None, option("--employment", "Diện tuyển dụng.", "Kind of employment.")] = None,
    contract_from: Annotated[str | None, option("--contract-from", "Hợp đồng từ.", "First day of the contract.")] = None,
    contract_until: Annotated[str | None, option("--contract-until", "Hợp đồng đến.", "Last day of the contract.")] = None,
    day: Annotated[str | None, option("--day", "Ngày nghỉ, ngày có hiệu lực.", "The effective day.")] = None,
    cause: Annotated[str | None, option("--cause", "Nguyên nhân nghỉ.", "The cause of leaving.")] = None,
    chosen: Annotated[str | None, option("--chosen", "Địa chỉ muốn có.", "The address wanted.")] = None,
    new_name: Annotated[str | None, option("--new-name", "Tên mới (thay đổi).", "New name (change).")] = None,
    new_symbol: Annotated[str | None, option("--new-symbol", "Ký hiệu mới.", "New symbol.")] = None,
    parent: Annotated[str | None, option("--parent", "Đơn vị cấp trên mới.", "New unit above.")] = None,
    into: Annotated[str | None, option("--into", "Sáp nhập vào đơn vị.", "Unit to merge into.")] = None,
    gives: Annotated[
        str | None,
        option(
            "--give",
            "Chia, tách: người, hộp thư, đơn vị=đơn vị nhận.",
            "Split: what goes to which unit.",
            metavar="WHAT=SYMBOL;...",
        ),
    ] = None,
    rest: Annotated[str | None, option("--rest", "Phần còn lại về đơn vị.", "The unit that gets the rest.")] = None,
    closes: Annotated[str | None, option("--close", "Đơn vị kết thúc.", "Unit that ends.")] = None,
    domain: Annotated[str | None, option("--domain", "Tên miền mới.", "New domain.")] = None,
    text: Annotated[str | None, option("--note", "Nội dung.", "A description.")] = None,
    act: DocumentedAct,
) -> ResultRecord:
    here = act.here
    of = _unit(here, unit)
    act.because(text or "")
    known = FormContext(of, channel, _received(here, received), asker, act.document)
    options = {
        KIND: kind.value, DOCUMENT_DATE: dated,
        Item.ADDRESS: address, Item.NAME: name, Item.POSITION: position, Item.LEVEL: level, Item.EMPLOYMENT: employment,
        Item.CONTRACT_FROM: contract_from, Item.CONTRACT_UNTIL: contract_until, Item.DAY: day, Item.CAUSE: cause,
        Item.CHOSEN: chosen, Item.NEW_NAME: new_name, Item.NEW_SYMBOL: new_symbol, Item.PARENT: parent, Item.INTO: into,
        Item.GIVES: gives, Item.REST: rest, Item.CLOSES: closes, Item.DOMAIN: domain, Item.NOTE: text,
    }  # fmt: skip
    given = {key: value for key, value in options.items() if value is not None}
    with act.recorded(kind.value, concerns=of, unit=of and of.symbol):
        filing = _reader(here).filing(given, known)
        due = here.use_cases(Register).file(filing, act.origin.actor)
    return ResultRecord(ONE, one(here, due))


@app.command("Liệt kê yêu cầu và hạn giải quyết.", "List requests and their deadlines.", name="list")
@requires(Right.READ, clauses="6.2 7.3.b 18")
def list_requests(
    here: CliContext,
    *,
    state: Annotated[RequestState | None, option("--state", "Chỉ trạng thái này.", "Only this state.")] = None,
    kind: Annotated[RequestKind | None, option("--kind", "Chỉ loại này.", "Only this kind.")] = None,
    unit: UnitOption = None,
    late: Annotated[bool, option("--overdue", "Chỉ yêu cầu quá hạn.", "Only what is overdue.")] = False,
    actor: ActorOption = None,
) -> ResultTable:
    of = _unit(here, unit)
    units = here.symbols()
    wanted = [
        due
        for due in here.use_cases(Register).all()
        if state in {None, due.request.state}
        and kind in {None, due.request.kind}
        and (of is None or due.request.filing.unit_id == of.unit_id)
        and (due.overdue or not late)
    ]
    return ResultTable(COLUMNS, (_cells(due, units) for due in wanted))


@app.command("Xem một yêu cầu.", "Show a request.")
@requires(Right.READ, clauses="6.2")
def show(here: CliContext, number: Number, actor: ActorOption = None) -> ResultRecord:
    request = here.directory.requests.get(number)
    return ResultRecord(ONE, one(here, here.use_cases(Register).due(request)))


@app.command("Ghi mẫu yêu cầu ra tệp, để đơn vị điền và gửi.", "Write the form that units fill in and send.")
@open_to_all(clauses="6.2")
def form(
    here: CliContext,
    file: Annotated[Path, argument("FILE", "Tệp; - là đầu ra chuẩn.", "The file; - is standard output.")],
    *,
    as_csv: Annotated[bool, option("--csv", "CSV thay cho XLSX.", "CSV instead of XLSX.")] = False,
) -> None:
    octets = forms.empty_form(here.clock.now(), as_csv=as_csv)
    if str(file) == "-":
        sys.stdout.buffer.write(octets)
        return
    write_file(here, file, octets)
    output.note(f"Đã ghi mẫu yêu cầu: {file}", f"The form is written: {in_ascii(file)}")


@app.command("Ghi nhiều yêu cầu từ một tệp theo mẫu.", "Enter many requests from a file made from the form.", name="import")
@requires(Right.REQUEST, act="request_import", clauses="6.2")
def import_file(
    file: Annotated[Path, argument("FILE", "Tệp XLSX hoặc CSV.", "An XLSX or CSV file.")],
    *,
    dry_run: Annotated[bool, option("--dry-run", "Chỉ kiểm tra, không ghi.", "Check only.")] = False,
    unit: UnitOption = None,
    asker: AskerOption = "",
    channel: ChannelOption = None,
    received: ReceivedOption = None,
    act: DocumentedAct,
    as_json: JsonOption = False,
) -> None:
    """Enter the rows of a file and print a result for each; rows of the same file are entered once."""
    here = act.here
    of = _unit(here, unit)
    octets = read_file(here, file, MOST_OCTETS)
    at = _received(here, received)
    # Without a unit the file may concern any unit: only the Centre may do that.
    with act.recorded(file.name, concerns=of, unit=of and of.symbol, dry_run=dry_run):
        known = FormContext(of, channel, at, asker, act.document, fixed=False, by_centre=here.is_centre)
        rows = [_must_be_own(here, row, of) for row in _reader(here).rows(forms.read_table(octets), known)]
        wanted = [(row.number, row.filing) for row in rows if row.filing is not None]
        batch = f"file:{sha256(octets).hexdigest()[:40]}"
        now = here.clock.now()
        entered = [] if dry_run else here.directory.requests.add_rows(batch, wanted, act.origin.actor, now)
    requests = {request.row: request for request in entered}
    register = here.use_cases(Register)
    output.listing(ROWS, (_row(row, register, requests.get(row.number)) for row in rows), as_json=as_json)
    before = sum(request.opened_at < now for request in entered)
    new, refused = len(wanted) - before, len(rows) - len(wanted)
    verb = Text("sẽ được ghi", "would be entered") if dry_run else Text("đã ghi", "entered")
    earlier = Text(f", {before} đã ghi từ trước", f", {before} entered before") if before else Text("", "")
    output.note(
        f"{new} yêu cầu {verb.vi}{earlier.vi}, {refused} bị từ chối.", f"{new} {verb.en}{earlier.en}, {refused} refused."
    )
    if refused:
        raise typer.Exit(1)


def _must_be_own(here: CliContext, row: FormRow, of: UnitRecord | None) -> FormRow:
    """Refuse a row for another unit in a file that is filed for one unit."""
    if of is None or row.filing is None or row.filing.unit_id == of.unit_id:
        return row
    refusal = Refused(Text("Đơn vị chỉ gửi yêu cầu của mình.", "A unit may ask only for itself."), clause="6.2")
    return FormRow(row.number, refusal=refusal)


def _received(here: CliContext, text: str | None) -> datetime:
    """Return when the request was received; only the Centre may name another time than now (Reg. 5.4.a)."""
    if text is None:
        return here.clock.now()
    if not here.is_centre:
        raise Refused(Text("Ngày nhận do Trung tâm ghi.", "Only the Centre states the time of receipt."), clause="6.2")
    return read_instant(text)


def _row(row: FormRow, register: Register, request: Request | None) -> dict[str, Cell]:
    filing = row.filing
    return row_of(
        ROWS,
        row,
        request_id=request.request_id if request else None,
        subject=output.localized(filing.subject) if filing else None,
        due_at=register.deadline(filing) if filing else None,
        state=request.state if request else None,
    )


def one(here: CliContext, due: Due) -> dict[str, Cell]:
    request = due.request
    mailboxes = here.addresses()
    return _cells(
        due,
        here.symbols(),
        ONE,
        items=asked_for(request.filing),
        mailbox=mailboxes.get(request.mailbox_id or 0),
        census_line=_census_line(here, request),
    )


def _census_line(here: CliContext, request: Request) -> Text | None:
    """Return the census line that a correction is about (Reg. 14.3)."""
    unit_id = request.filing.unit_id
    link = next((each for each in here.directory.censuses.disputes(unit_id) if each.request_id == request.request_id), None)
    census = next((each for each in here.directory.censuses.of(unit_id) if link and each.census_id == link.census_id), None)
    if link is None or census is None:
        return None
    name = next(line.name for line in census.lines if line.key == link.key)
    return Text(f"kỳ {census.period:%m/%Y}: {name}", f"{census.period:%m/%Y}: {in_ascii(name)}")


def unit_of(here: CliContext, request: Request) -> UnitRecord:
    return here.directory.units_by_id()[request.filing.unit_id]


def _cells(due: Due, units: dict[int, str], columns: Sequence[Column] = COLUMNS, **more: Cell) -> dict[str, Cell]:
    by, unit = deadline_clause(due.request.kind), units[due.request.filing.unit_id]
    subject = output.localized(due.request.filing.subject) or unit
    return row_of(columns, due, unit=unit, subject=subject, due_by=cite(by) if by else TARGET, **more)


def _unit(here: CliContext, symbol: str | None) -> UnitRecord | None:
    return here.directory.unit(symbol) if symbol is not None else None


def _reader(here: CliContext) -> FormReader:
    """Return a reader of the whole directory: who moves to a unit belongs to another one (Reg. 6.4.b)."""
    return FormReader(here.whole_directory, here.config, here.clock)
