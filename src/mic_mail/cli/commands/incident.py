"""`mic-mail incident open|show|list|note|close|export`: the register of incidents (Reg.

14.4, 16.3, 10.1).

A unit's administrator records the unit's incidents and adds to them; only the Centre decides what they were and how they ended.
A unit also records one by mail, with the request form.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import Act, DocumentedAct
from mic_mail.cli.audited import audited
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.date_args import read_day, read_instant
from mic_mail.cli.options import ActorOption, JsonOption, ReasonOption
from mic_mail.cli.output import Cell, Column, Row, say
from mic_mail.cli.output_files import check_kind, must_be_a_place_for_files, write_paper
from mic_mail.clock import HO_CHI_MINH
from mic_mail.directory.records import UnitRecord
from mic_mail.documents import pdf
from mic_mail.errors import BadInput, Text
from mic_mail.i18n.labels import labels
from mic_mail.log.export import export as write_export
from mic_mail.log.search import Search
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.calendar import local_day
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.incidents import Change, Incident, IncidentReport, Kind, Severity, State
from mic_mail.policy.requests import Channel
from mic_mail.services.operations.incidents import Incidents
from mic_mail.services.operations.log_maintenance import anchor_now
from mic_mail.services.reports.incident_documents import IncidentPapers

app = typer.Typer(help=say("Sổ sự cố (14.4, 16.3).", "The register of incidents (14.4, 16.3)."), no_args_is_help=True)

COLUMNS = (
    Column("incident_id", "Số", "No.", right=True),
    Column("state", "Tình trạng", "State", names=labels(State)),
    Column("kind", "Loại", "Kind", names=labels(Kind)),
    Column("severity", "Mức độ", "Severity", names=labels(Severity)),
    Column("title", "Nội dung", "What"),
    Column("began_at", "Từ", "From"),
    Column("ended_at", "Đến", "Until"),
    Column("unit", "Đơn vị báo", "Reported by unit"),
    Column("mailboxes", "Hộp thư", "Mailboxes"),
    Column("report", "Báo cáo", "Report"),
)
ONE = (
    *COLUMNS,
    Column("reporter", "Người báo", "Reported by"),
    Column("channel", "Kênh", "Channel", names=labels(Channel)),
    Column("document", "Văn bản", "Document"),
    Column("units", "Đơn vị liên quan", "Units concerned"),
    Column("request_id", "Yêu cầu số", "Request no."),
    Column("opened_at", "Ghi sổ lúc", "Recorded"),
    Column("opened_by", "Người ghi", "Recorded by"),
    Column("suspensions", "Tạm khóa theo 7.2.c", "Suspended by 7.2.c"),
    Column("downtimes", "Đợt tạm ngừng", "Downtimes"),
    Column("closed_at", "Kết thúc lúc", "Closed"),
    Column("closed_by", "Người kết thúc", "Closed by"),
    Column("result", "Kết quả", "Result"),
    Column("notes", "Diễn biến", "Notes", json_only=True),
)
NOTES = (
    Column("at", "Lúc", "At"),
    Column("actor", "Người ghi", "By"),
    Column("measure", "Biện pháp", "Measure"),
    Column("text", "Nội dung", "What"),
)
EXPORTED = (
    Column("file", "Tệp", "File"),
    Column("sha256", "SHA-256", "SHA-256"),
    Column("octets", "Kích cỡ", "Size", size=True),
    Column("events", "Sự kiện", "Events"),
    Column("acts", "Việc quản trị", "Acts"),
)

Number = Annotated[int, typer.Argument(metavar="NUMBER", help=say("Số sự cố.", "Number of the incident."))]
MailboxesOption = Annotated[
    list[str] | None,
    typer.Option("--mailbox", help=say("Hộp thư liên quan; lặp lại được.", "A mailbox concerned; repeatable.")),
]
ConcernsOption = Annotated[
    list[str] | None,
    typer.Option("--concerns", help=say("Đơn vị khác liên quan; lặp lại được.", "Another unit concerned; repeatable.")),
]
EndOption = Annotated[str | None, typer.Option("--until", help=say("Sự cố kết thúc lúc.", "The end of the incident."))]
OutOption = Annotated[
    Path | None, typer.Option("--out", help=say("Ghi ra tệp .pdf, .xlsx, .html, .csv.", "Write a .pdf, .xlsx, .html, .csv."))
]


@app.command("open", help=say("Ghi một sự cố vào sổ.", "Record an incident."))
@requires(Right.REQUEST, act="incident_open", clauses="10.1 14.4")
def open_incident(
    kind: Annotated[Kind, typer.Argument(help=say("Loại sự cố.", "What happened."))],
    title: Annotated[str, typer.Argument(metavar="WHAT", help=say("Nội dung, một câu.", "A description in one sentence."))],
    *,
    severity: Annotated[Severity, typer.Option("--severity", help=say("Mức độ.", "The severity."))] = Severity.SERIOUS,
    unit: Annotated[
        str | None,
        typer.Option("--unit", help=say("Đơn vị báo; bỏ trống: Trung tâm.", "The reporting unit; default: the Centre.")),
    ] = None,
    reporter: Annotated[str | None, typer.Option("--told-by", help=say("Họ tên người báo.", "Name of the reporter."))] = None,
    channel: Annotated[
        Channel | None, typer.Option("--channel", help=say("Báo qua kênh nào.", "The channel of the report."))
    ] = None,
    began: Annotated[
        str | None, typer.Option("--from", help=say("Bắt đầu lúc; mặc định: bây giờ.", "The start; default: now."))
    ] = None,
    ended: EndOption = None,
    mailboxes: MailboxesOption = None,
    concerns: ConcernsOption = None,
    act: DocumentedAct,
    as_json: JsonOption = False,
) -> None:
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
    output.record(ONE, _one(here, found), as_json=as_json)


@app.command(help=say("Xem một sự cố, hoặc lập báo cáo sự cố.", "Show an incident, or write its document."))
@requires(Right.READ, clauses="14.4 16.3")
def show(
    ctx: typer.Context, number: Number, *, out: OutOption = None, actor: ActorOption = None, as_json: JsonOption = False
) -> None:
    here = frame(ctx)
    incident = here.directory.incidents.one(number)
    if out is not None:
        check_kind(out)
        _incident_report(write_paper(here, out, _papers(here).one(incident)))
        return
    output.record(ONE, _one(here, incident), as_json=as_json)
    if not as_json and incident.notes:
        output.listing(NOTES, _notes(incident), as_json=False)


@app.command("list", help=say("Sổ sự cố.", "The register of incidents."))
@requires(Right.READ, clauses="14.4")
def list_incidents(
    ctx: typer.Context,
    *,
    state: Annotated[State | None, typer.Option("--state", help=say("Chỉ tình trạng này.", "Only this state."))] = None,
    kind: Annotated[Kind | None, typer.Option("--kind", help=say("Chỉ loại này.", "Only this kind."))] = None,
    first: Annotated[str | None, typer.Option("--from", help=say("Từ ngày.", "From this day."))] = None,
    last: Annotated[str | None, typer.Option("--until", help=say("Đến hết ngày.", "To the end of this day."))] = None,
    out: OutOption = None,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    span = _span(here, first, last)
    wanted = [
        each
        for each in here.directory.incidents.all()
        if state in {None, each.state} and kind in {None, each.told.kind} and (span is None or each.within(*span.instants))
    ]
    if out is not None:
        check_kind(out)
        _incident_report(write_paper(here, out, _papers(here).register(wanted, span)))
        return
    units = _symbols(here)
    output.listing(COLUMNS, (_cells(each, units) for each in wanted), as_json=as_json)


@app.command(help=say("Ghi diễn biến hoặc biện pháp.", "Add a finding or a measure."))
@requires(Right.REQUEST, act="incident_note", clauses="14.4")
def note(
    number: Number,
    text: Annotated[str, typer.Argument(metavar="TEXT", help=say("Nội dung.", "The note."))],
    *,
    measure: Annotated[
        bool, typer.Option("--measure", help=say("Là biện pháp đã làm.", "The note is a measure taken."))
    ] = False,
    kind: Annotated[Kind | None, typer.Option("--kind", help=say("Xác định lại loại (Trung tâm).", "Change the kind."))] = None,
    severity: Annotated[
        Severity | None, typer.Option("--severity", help=say("Xác định lại mức độ (Trung tâm).", "Change the severity."))
    ] = None,
    ended: EndOption = None,
    mailboxes: MailboxesOption = None,
    concerns: ConcernsOption = None,
    act: Act,
) -> Text:
    here = act.here
    incident = here.directory.incidents.one(number)
    change = Change(kind, severity, read_instant(ended) if ended else None, _units(here, concerns), tuple(mailboxes or ()))
    act.because(text)
    right = Right.ACT if change.assesses else Right.REQUEST
    with act.recorded(
        incident.number, right=right, concerns=_teller(here, incident), kind=kind, severity=severity, mailboxes=mailboxes
    ):
        found = _incidents(here).note(incident, act.origin.actor, text, change, measure=measure)
    return Text(f"Đã ghi vào sự cố {found.number}.", f"Recorded with incident {found.number}.")


@app.command(help=say("Kết thúc một sự cố.", "Close an incident."))
@requires(Right.ACT, act="incident_close", clauses="10.1 14.4")
def close(
    number: Number,
    *,
    result: Annotated[str, typer.Option("--result", help=say("Kết quả xử lý.", "The result."))],
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


@app.command(help=say("Trích xuất nhật ký của sự cố thành một tệp (14.4, 16.3).", "Export the log of an incident as one file."))
@requires(Right.READ_LOG, whole=True, act="log_export", clauses="16.3")
def export(
    number: Number,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=say("Tệp ZIP sẽ ghi.", "The ZIP file to write."))],
    *,
    began: Annotated[
        str | None, typer.Option("--from", help=say("Từ lúc khác.", "Start of the excerpt; default: of the incident."))
    ] = None,
    ended: Annotated[
        str | None, typer.Option("--until", help=say("Đến lúc khác.", "End of the excerpt; default: of the incident."))
    ] = None,
    reason: ReasonOption,
    act: DocumentedAct,
    as_json: JsonOption = False,
) -> None:
    """Export the log of the incident's mailboxes, for its duration or the given span.

    The whole log where the incident names no mailbox. The incident's report is added as a PDF.
    """
    here = act.here
    must_be_a_place_for_files(here, file)
    incident, incidents = here.directory.incidents.one(number), _incidents(here)
    since, until = incidents.span(incident)
    span = read_instant(began) if began else since, read_instant(ended) if ended else until
    if span[1] < span[0]:
        raise BadInput(Text("Thời gian kết thúc trước thời gian bắt đầu.", "The end is before the start."))
    asked: dict[str, object] = {
        "incident": incident.number,
        "actor": act.origin.actor,
        "reason": reason,
        "document": act.document,
        "mailboxes": list(incident.told.mailboxes),
        "from": span[0].astimezone(HO_CHI_MINH).isoformat(),
        "until": span[1].astimezone(HO_CHI_MINH).isoformat(),
        "server": here.config.server.hostname,
    }
    folder = here.config.log_dir
    details: dict[str, Any] = {name: asked[name] for name in ("mailboxes", "from", "until")}
    with act.recorded(incident.number, file=str(file), **details):
        found = incidents.log(Search(folder), incident, span)
        anchor_now(folder, here.directory.load_snapshot(), here.clock.now())  # so that it holds each exported line
        papers = {f"{incident.number}.pdf": pdf.write(_papers(here).one(incident))}
        done = write_export(folder, file, found, asked, here.clock.now(), papers=papers)
    with audited(here, "log_exported", incident.number, act.origin, right=Right.READ_LOG, file=str(file), sha256=done.sha256):
        pass
    row: dict[str, Cell] = {
        "file": str(file), "sha256": done.sha256, "octets": done.octets, "events": done.events, "acts": done.acts,
    }  # fmt: skip
    output.record(EXPORTED, row, as_json=as_json)


# ------------------------------------------------------------ rows


def _cells(incident: Incident, units: dict[int, str]) -> dict[str, Cell]:
    told = incident.told
    return {
        "incident_id": incident.incident_id,
        "state": incident.state.value,
        "kind": told.kind.value,
        "severity": told.severity.value,
        "title": told.title,
        "began_at": told.began_at,
        "ended_at": told.ended_at,
        "unit": units.get(told.unit_id) if told.unit_id is not None else None,
        "mailboxes": list(told.mailboxes) or None,
        "report": incident.report,
    }


def _one(here: CliContext, incident: Incident) -> Row:
    told, units, incidents = incident.told, _symbols(here), _incidents(here)
    return {
        **_cells(incident, units),
        "reporter": told.reporter,
        "channel": told.channel.value if told.channel else None,
        "document": told.document,
        "units": sorted(units[unit] for unit in told.units if unit in units) or None,
        "request_id": incident.request_id,
        "opened_at": incident.opened_at,
        "opened_by": incident.opened_by,
        "suspensions": [each.address for each in incidents.suspensions(incident)] or None,
        "downtimes": [str(number) for number in incident.downtimes] or None,
        "closed_at": incident.closed_at,
        "closed_by": incident.closed_by,
        "result": incident.result,
        "notes": _notes(incident),
    }


def _notes(incident: Incident) -> list[dict[str, Cell]]:
    return [{"at": each.at, "actor": each.actor, "measure": each.measure, "text": each.text} for each in incident.notes]


def _units(here: CliContext, symbols: list[str] | None) -> frozenset[int]:
    return frozenset(here.directory.unit(symbol).unit_id for symbol in symbols or ())


def _symbols(here: CliContext) -> dict[int, str]:
    return {unit.unit_id: unit.symbol for unit in here.directory.units()}


def _teller(here: CliContext, incident: Incident) -> UnitRecord | None:
    """Return the unit that reported the incident; None: the Centre."""
    units = here.whole_directory.units()
    return next((unit for unit in units if unit.unit_id == incident.told.unit_id), None)


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


def _incident_report(written: list[Path]) -> None:
    names = ", ".join(map(str, written))
    output.note(Text(f"Đã ghi {names}.", f"{len(written)} files are written." if len(written) > 1 else "The file is written."))
