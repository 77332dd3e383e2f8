"""`mic-mail incident`: the register of incidents (Reg. 14.4, 16.3, 10.1).

A unit's administrator records the unit's incidents and adds to them; only the Centre decides on their kind and closes them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from mic_mail.cli.acts import Act, DocumentedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_day, read_instant
from mic_mail.cli.log_export import export_log
from mic_mail.cli.options import ActorOption, Commands, JsonOption, ReasonOption, argument, option
from mic_mail.cli.output import Column, Part, ResultRecord, ResultTable, Row, row_of
from mic_mail.cli.output_files import OptionalDocumentFile, print_written, write_paper
from mic_mail.clock import HO_CHI_MINH
from mic_mail.directory.records import UnitRecord
from mic_mail.documents import pdf
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.calendar import local_day
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.incidents import Incident, IncidentChange, IncidentKind, IncidentReport, IncidentSeverity, IncidentState
from mic_mail.policy.requests import RequestChannel
from mic_mail.services.operations.incidents import Incidents
from mic_mail.services.reports.incident_documents import IncidentPapers

app = Commands()

COLUMNS = (
    Column("incident_id", "Số", "No.", right=True),
    Column("state", "Tình trạng", "State"),
    Column("kind", "Loại", "Kind", of="told.kind"),
    Column("severity", "Mức độ", "Severity", of="told.severity"),
    Column("title", "Nội dung", "What", of="told.title"),
    Column("began_at", "Từ", "From", of="told.began_at"),
    Column("ended_at", "Đến", "Until", of="told.ended_at"),
    Column("unit", "Đơn vị báo", "Reported by unit"),
    Column("mailboxes", "Hộp thư", "Mailboxes"),
    Column("report", "Báo cáo", "Report"),
)
ONE = (
    *COLUMNS,
    Column("reporter", "Người báo", "Reported by", of="told.reporter"),
    Column("channel", "Kênh", "Channel", of="told.channel"),
    Column("document", "Văn bản", "Document", of="told.document"),
    Column("units", "Đơn vị liên quan", "Units concerned"),
    Column("request_id", "Yêu cầu số", "Request no."),
    Column("opened_at", "Ghi sổ lúc", "Recorded"),
    Column("opened_by", "Người ghi", "Recorded by"),
    Column("suspensions", "Tạm khóa theo 7.2.c", "Suspended by 7.2.c"),
    Column("downtimes", "Đợt tạm ngừng", "Downtimes"),
    Column("closed_at", "Kết thúc lúc", "Closed"),
    Column("closed_by", "Người kết thúc", "Closed by"),
    Column("result", "Kết quả", "Result"),
)
NOTES = (
    Column("at", "Lúc", "At"),
    Column("actor", "Người ghi", "By"),
    Column("measure", "Biện pháp", "Measure"),
    Column("text", "Nội dung", "What"),
)
Number = Annotated[int, argument("NUMBER", "Số sự cố.", "Number of the incident.")]
MailboxesOption = Annotated[
    list[str] | None, option("--mailbox", "Hộp thư liên quan; có thể lặp lại.", "A mailbox concerned; repeatable.")
]
ConcernsOption = Annotated[
    list[str] | None, option("--concerns", "Đơn vị khác liên quan; có thể lặp lại.", "Another unit concerned; repeatable.")
]
EndOption = Annotated[str | None, option("--until", "Sự cố kết thúc lúc.", "The end of the incident.")]


@app.command("Ghi một sự cố vào sổ.", "Record an incident.", name="open")
@requires(Right.REQUEST, act="incident_open", clauses="10.1 14.4")
def open_incident(
    kind: Annotated[IncidentKind, argument("KIND", "Loại sự cố.", "What happened.")],
    title: Annotated[str, argument("WHAT", "Nội dung, một câu.", "A description in one sentence.")],
    *,
    severity: Annotated[IncidentSeverity, option("--severity", "Mức độ.", "The severity.")] = IncidentSeverity.SERIOUS,
    unit: Annotated[
        str | None, option("--unit", "Đơn vị báo; bỏ trống: Trung tâm.", "The reporting unit; default: the Centre.")
    ] = None,
    reporter: Annotated[str | None, option("--told-by", "Họ tên người báo.", "Name of the reporter.")] = None,
    channel: Annotated[RequestChannel | None, option("--channel", "Kênh báo.", "The channel of the report.")] = None,
    began: Annotated[str | None, option("--from", "Bắt đầu lúc; mặc định: bây giờ.", "The start; default: now.")] = None,
    ended: EndOption = None,
    mailboxes: MailboxesOption = None,
    concerns: ConcernsOption = None,
    act: DocumentedAct,
) -> ResultRecord:
    here = act.here
    act.because(title)
    of = here.directory.unit(unit) if unit else None
    with act.recorded(kind.value, concerns=of, mailboxes=mailboxes):
        told = IncidentReport(
            kind,
            severity,
            title.strip(),
            (reporter or act.origin.actor).strip()[:255],
            of.unit_id if of else None,
            read_instant(began) if began else here.clock.now(),
            read_instant(ended) if ended else None,
            channel,
            act.document,
            _units(here, concerns),
            tuple(mailboxes or ()),
        )
        found = _incidents(here).open(told, act.origin.actor)
    return ResultRecord(ONE, _one(here, found), _notes(found))


@app.command("Xem một sự cố, hoặc lập báo cáo sự cố.", "Show an incident, or write its document.")
@requires(Right.READ, clauses="14.4 16.3")
def show(
    here: CliContext, number: Number, *, out: OptionalDocumentFile = None, actor: ActorOption = None
) -> ResultRecord | None:
    incident = here.directory.incidents.one(number)
    if out is not None:
        print_written(write_paper(here, out, _papers(here).one(incident)))
        return None
    return ResultRecord(ONE, _one(here, incident), _notes(incident))


@app.command("Sổ sự cố.", "The register of incidents.", name="list")
@requires(Right.READ, clauses="14.4")
def list_incidents(
    here: CliContext,
    *,
    state: Annotated[IncidentState | None, option("--state", "Chỉ tình trạng này.", "Only this state.")] = None,
    kind: Annotated[IncidentKind | None, option("--kind", "Chỉ loại này.", "Only this kind.")] = None,
    first: Annotated[str | None, option("--from", "Từ ngày.", "From this day.")] = None,
    last: Annotated[str | None, option("--until", "Đến hết ngày.", "To the end of this day.")] = None,
    out: OptionalDocumentFile = None,
    actor: ActorOption = None,
) -> ResultTable | None:
    span = _span(here, first, last)
    wanted = [
        each
        for each in here.directory.incidents.all()
        if state in {None, each.state} and kind in {None, each.told.kind} and (span is None or each.within(*span.instants))
    ]
    if out is not None:
        print_written(write_paper(here, out, _papers(here).register(wanted, span)))
        return None
    units = here.symbols()
    return ResultTable(COLUMNS, (_cells(each, units) for each in wanted))


@app.command("Ghi diễn biến hoặc biện pháp.", "Add a finding or a measure.")
@requires(Right.REQUEST, act="incident_note", clauses="14.4")
def note(
    number: Number,
    text: Annotated[str, argument("TEXT", "Nội dung.", "The note.")],
    *,
    measure: Annotated[bool, option("--measure", "Là biện pháp đã làm.", "The note is a measure taken.")] = False,
    kind: Annotated[IncidentKind | None, option("--kind", "Xác định lại loại (Trung tâm).", "Change the kind.")] = None,
    severity: Annotated[
        IncidentSeverity | None, option("--severity", "Xác định lại mức độ (Trung tâm).", "Change the severity.")
    ] = None,
    ended: EndOption = None,
    mailboxes: MailboxesOption = None,
    concerns: ConcernsOption = None,
    act: Act,
) -> Text:
    here = act.here
    incident = here.directory.incidents.one(number)
    change = IncidentChange(
        kind, severity, read_instant(ended) if ended else None, _units(here, concerns), tuple(mailboxes or ())
    )
    act.because(text)
    right = Right.ACT if change.assesses else Right.REQUEST
    with act.recorded(
        incident.number,
        right=right,
        concerns=_reporting_unit(here, incident),
        kind=kind,
        severity=severity,
        mailboxes=mailboxes,
    ):
        found = _incidents(here).note(incident, act.origin.actor, text, change, measure=measure)
    return Text(f"Đã ghi vào sự cố {found.number}.", f"Recorded with incident {found.number}.")


@app.command("Kết thúc một sự cố.", "Close an incident.")
@requires(Right.ACT, act="incident_close", clauses="10.1 14.4")
def close(
    number: Number,
    *,
    result: Annotated[str, option("--result", "Kết quả xử lý.", "The result.")],
    ended: EndOption = None,
    act: DocumentedAct,
) -> Text:
    here = act.here
    incident = here.directory.incidents.one(number)
    act.because(result)
    with act.recorded(incident.number):
        ends = read_instant(ended) if ended else None
        found = _incidents(here).close(incident, act.origin.actor, result, act.document, ends)
    return Text(f"Sự cố {found.number} đã kết thúc.", f"Incident {found.number} is closed.")


@app.command("Trích xuất nhật ký của sự cố thành một tệp (14.4, 16.3).", "Export the log of an incident as one file.")
@requires(Right.READ_LOG, whole=True, act="log_export", clauses="16.3")
def export(
    number: Number,
    file: Annotated[Path, argument("FILE", "Tệp ZIP sẽ ghi.", "The ZIP file to write.")],
    *,
    began: Annotated[str | None, option("--from", "Từ lúc khác.", "Start of the excerpt; default: of the incident.")] = None,
    ended: Annotated[str | None, option("--until", "Đến lúc khác.", "End of the excerpt; default: of the incident.")] = None,
    reason: ReasonOption,
    act: DocumentedAct,
    as_json: JsonOption = False,
) -> None:
    """Export the log of its mailboxes, or the whole log where it names none, with its report as a PDF."""
    here = act.here
    incident, incidents = here.directory.incidents.one(number), _incidents(here)
    since, until = incidents.span(incident)
    span = read_instant(began) if began else since, read_instant(ended) if ended else until
    if span[1] < span[0]:
        raise BadInput(Text("Thời gian kết thúc trước thời gian bắt đầu.", "The end is before the start."))
    first, last = (instant.astimezone(HO_CHI_MINH).isoformat() for instant in span)
    scope = {"mailboxes": list(incident.told.mailboxes), "from": first, "until": last}
    export_log(
        act,
        incident.number,
        file,
        lambda search: incidents.log(search, incident, span),
        scope={"incident": incident.number, **scope},
        details=scope,
        papers=lambda: {f"{incident.number}.pdf": pdf.write(_papers(here).one(incident))},
        as_json=as_json,
    )


def _cells(incident: Incident, symbols: dict[int, str], columns: Sequence[Column] = COLUMNS, **more: Any) -> Row:
    unit, mailboxes = symbols.get(incident.told.unit_id or 0), incident.told.mailboxes or None
    return row_of(columns, incident, unit=unit, mailboxes=mailboxes, **more)


def _one(here: CliContext, incident: Incident) -> Row:
    symbols = here.symbols()
    return _cells(
        incident,
        symbols,
        ONE,
        units=sorted(symbols[unit] for unit in incident.told.units if unit in symbols) or None,
        suspensions=[each.address for each in _incidents(here).suspensions(incident)] or None,
        downtimes=[str(number) for number in incident.downtimes] or None,
    )


def _notes(incident: Incident) -> Part:
    return Part("notes", NOTES, [row_of(NOTES, note) for note in incident.notes])


def _units(here: CliContext, symbols: list[str] | None) -> frozenset[int]:
    return frozenset(here.directory.unit(symbol).unit_id for symbol in symbols or ())


def _reporting_unit(here: CliContext, incident: Incident) -> UnitRecord | None:
    """Return the unit that reported the incident; None: the Centre."""
    return here.whole_directory.units_by_id().get(incident.told.unit_id or 0)


def _span(here: CliContext, first: str | None, last: str | None) -> DateRange | None:
    if first is None and last is None:
        return None
    today = local_day(here.clock.now())
    ends = read_day(last) if last else today
    return DateRange(read_day(first) if first else ends.replace(month=1, day=1), ends)


def _incidents(here: CliContext) -> Incidents:
    return Incidents(here.directory, here.clock)


def _papers(here: CliContext) -> IncidentPapers:
    return IncidentPapers(here.directory, here.config, _incidents(here), here.clock.now())
