"""`mic-mail log`: search, trace, verify, anchor and export the mail log and the record of acts.

Reading others' traffic is an act (Reg. 4.3), recorded before it is answered. Works beside a running server and without one.
Days are those of Ho Chi Minh City; the files' names are in UTC.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import DocumentedAct, GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.date_args import read_day, read_instant
from mic_mail.cli.log_export import export_log
from mic_mail.cli.log_faults import fault_text
from mic_mail.cli.log_messages import message_for
from mic_mail.cli.options import Commands, JsonOption, ReasonOption, argument, option
from mic_mail.cli.output import Cell, Column, ResultRecord, Row, row_of
from mic_mail.clock import HO_CHI_MINH
from mic_mail.errors import BadInput, MicMailError, Refused, Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.log.anchor_chain import AnchorFile
from mic_mail.log.query import Query
from mic_mail.log.search import FoundLine, LogSearch
from mic_mail.log.verify import LogVerification
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.calendar import start_of
from mic_mail.services.operations.log_maintenance import anchor_now, excerpt, message_traces, verify_all

app = Commands()

LINES = (
    Column("time", "Thời gian", "Time"),
    Column("at", "Thời gian", "Time", json_only=True),
    Column("event", "Sự kiện", "Event", json_only=True),
    Column("trace", "Mã thư", "Trace id"),
    Column("told", "Nội dung", "What happened"),
    Column("file", "Tệp", "File", json_only=True),
    Column("offset", "Vị trí", "Offset", json_only=True),
    Column("fields", "Dữ liệu", "Fields", json_only=True),
)
STEPS = tuple(column for column in LINES if column.key not in ("trace", "event"))
FINDINGS = (
    Column("wrong", "Mã", "Code", json_only=True),
    Column("fault", "Lỗi", "Fault", of="is_fault"),
    Column("file", "Tệp", "File"),
    Column("told", "Vấn đề", "What is wrong"),
    Column("place", "Vị trí", "Place", json_only=True),
    Column("detail", "Chi tiết", "Detail", json_only=True),
)
ANCHOR = (
    Column("number", "Bản ghi số", "Record no."),
    Column("at", "Lúc", "At"),
    Column("head", "Mã niêm phong", "Head"),
    Column("closed_until", "Đã đóng đến ngày (UTC)", "Days closed until (UTC)"),
)

MailboxOption = Annotated[str | None, option("--mailbox", "Địa chỉ, ở bất kỳ vai trò nào.", "An address, in any part.")]
UntilOption = Annotated[str | None, option("--until", "Đến hết ngày, hoặc đến giờ.", "To the end of this day, or an instant.")]


@app.command("Tìm trong nhật ký.", "Search the log.")
@requires(Right.READ_LOG, whole=True, act="log_search", clauses="8.2 16.3")
def search(
    *,
    mailbox: MailboxOption = None,
    message_id: Annotated[str | None, typer.Option("--message-id", help="Message-ID.")] = None,
    trace: Annotated[str | None, option("--trace", "Mã thư, hoặc mã lỗi.", "Trace id, or a reference.")] = None,
    session: Annotated[str | None, option("--session", "Mã phiên.", "Session id.")] = None,
    event: Annotated[str | None, option("--event", "Tên sự kiện hoặc việc.", "Name of an event or an act.")] = None,
    since: Annotated[str | None, option("--from", "Từ ngày, giờ.", "From this day or instant.")] = None,
    until: UntilOption = None,
    limit: Annotated[int, option("--limit", "Số dòng mới nhất.", "Number of entries, latest first.", min=1, max=100_000)] = 100,
    act: GroundedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    query = Query(mailbox, message_id, trace, session, event, _since(since), _until(until))
    asked_at = _microseconds(here.clock.now())
    with act.recorded(mailbox or "*", **_asked(query)):
        if query.until_us is None:
            query = replace(query, until_us=asked_at)  # the act of asking is not among the answers
        found = LogSearch(here.config.log_dir).newest(query, limit)
    output.listing(LINES, (_row(one) for one in found), as_json=as_json)
    if len(found) == limit:
        output.note(f"Chỉ {limit} dòng mới nhất; xem thêm: --limit.", f"Only the latest {limit} are shown; see --limit.")


@app.command("Xem toàn bộ đường đi của một thư.", "Trace one message from submission to delivery.")
@requires(Right.READ_LOG, whole=True, act="log_trace", clauses="4.2 8.2 9.2")
def trace(
    message: Annotated[str, argument("ID", "Mã thư hoặc Message-ID.", "Trace id or Message-ID.")],
    *,
    act: GroundedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    with act.recorded(message):
        found = message_traces(LogSearch(here.config.log_dir), message)
    if not found:
        raise BadInput(
            Text(f"Nhật ký không có thư {message}.", f"The log has no message {in_ascii(message)}."),
            remedy=Text(
                "Tìm theo hộp thư: mic-mail log search --mailbox.", "Search by mailbox: mic-mail log search --mailbox."
            ),
        )
    if as_json:
        shown = [{column.key: row.get(column.key) for column in LINES} for each in found for row in map(_row, each.lines)]
        output.print_json(shown)
        return
    for each in found:
        output.listing(
            STEPS,
            map(_row, each.lines),
            as_json=False,
            title=Text(f"Thư {each.trace}", f"Message {each.trace}"),
        )


@app.command("Kiểm tra nhật ký có nguyên vẹn.", "Check that the log is complete and unaltered.")
@requires(Right.READ_LOG, whole=True, act="log_verify", clauses="8.2 17")
def verify(
    *,
    head: Annotated[str | None, option("--head", "Mã niêm phong đã ghi lại trước đây.", "A previously noted head.")] = None,
    act: GroundedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    if head is not None and (len(head.strip()) < 16 or not set(head.strip().lower()) <= set("0123456789abcdef")):
        raise BadInput(Text("--head: ít nhất 16 chữ số thập lục phân.", "--head: at least 16 hexadecimal digits."))
    config, noted = here.config, head and head.strip()
    with act.recorded("*", head=head):
        snapshot, months = here.directory.load_snapshot(), config.log.retain_months
        verdict = verify_all(config.log_dir, snapshot, months=months, now=here.clock.now(), noted_head=noted)
    if as_json:
        output.print_json({**_summary(verdict), "findings": _findings(verdict)})
    else:
        if verdict.findings:
            output.listing(FINDINGS, _findings(verdict), as_json=False)
        _print_verdict(verdict)
    if not verdict.holds:
        raise typer.Exit(1)


@app.command("In mã niêm phong để ghi lại nơi khác.", "Print the head of the chain, to be noted outside the server.")
@requires(Right.READ_LOG, whole=True, act="log_anchor", clauses="8.2")
def anchor(
    *, now: Annotated[bool, option("--now", "Niêm phong ngay.", "Anchor new log lines first.")] = False, act: GroundedAct
) -> ResultRecord:
    here = act.here
    with act.recorded("*"):
        if now:
            anchor_now(here.config.log_dir, here.directory.load_snapshot(), here.clock.now())
        known = AnchorFile(here.config.log_dir).known()
    if not known.count:
        raise Refused(
            Text("Nhật ký chưa được niêm phong lần nào.", "The log has no anchor yet."),
            remedy=Text("Chạy mic-mail log anchor --now.", "Run mic-mail log anchor --now."),
        )
    row: dict[str, Cell] = {
        "number": known.count,
        "at": datetime.fromisoformat(known.at),
        "head": known.head,
        "closed_until": known.closed,
    }
    return ResultRecord(ANCHOR, row)


@app.command("Trích xuất phục vụ xử lý sự cố (14.4, 16.3).", "Export an excerpt for an incident (14.4, 16.3).")
@requires(Right.READ_LOG, whole=True, act="log_export", clauses="14.4 16.3 17")
def export(
    file: Annotated[Path, argument("FILE", "Tệp ZIP sẽ ghi.", "The ZIP file to write.")],
    *,
    since: Annotated[str, option("--from", "Từ ngày, giờ.", "From this day or instant.")],
    until: Annotated[str, option("--until", "Đến hết ngày, hoặc đến giờ.", "To the end of this day, or an instant.")],
    mailbox: MailboxOption = None,
    reason: ReasonOption,
    act: DocumentedAct,
    as_json: JsonOption = False,
) -> None:
    query = Query(mailbox=mailbox, since_us=_since(since), until_us=_until(until))
    export_log(
        act,
        mailbox or "*",
        file,
        lambda search: excerpt(search, query),
        scope={"mailbox": mailbox, "from": _instant(query.since_us), "until": _instant(query.until_us)},
        details=_asked(query),
        as_json=as_json,
    )


def _asked(query: Query) -> dict[str, Any]:
    """Return the query as details, under names of their own: no search finds the act as a message."""
    asked = {
        "message": query.message_id,
        "looked_for": query.trace or query.session,
        "event_looked_for": query.event,
        "from": _instant(query.since_us),
        "until": _instant(query.until_us),
    }
    return {key: value for key, value in asked.items() if value}


def _since(text: str | None) -> int | None:
    return None if text is None else _microseconds(read_instant(text))


def _until(text: str | None) -> int | None:
    """Parse an instant; a day alone means its end."""
    if text is None:
        return None
    try:
        day = read_day(text)
    except MicMailError:
        return _microseconds(read_instant(text))
    return _microseconds(start_of(day + timedelta(days=1)))


def _microseconds(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000 + instant.microsecond


def _instant(at_us: int | None) -> str | None:
    return None if at_us is None else datetime.fromtimestamp(at_us / 1_000_000, HO_CHI_MINH).isoformat()


def _row(found: FoundLine) -> Row:
    at = datetime.fromtimestamp(found.at_us / 1_000_000, HO_CHI_MINH)
    fields = found.fields
    trace_id = fields.get("trace", fields.get("ref"))
    return {
        "time": f"{at:%d/%m/%Y %H:%M:%S}",
        "at": at,
        "event": found.event,
        "trace": str(trace_id) if trace_id else None,
        "told": message_for(fields),
        "file": found.name,
        "offset": found.start,
        "fields": dict(fields),
    }


def _findings(verdict: LogVerification) -> Sequence[Row]:
    return [
        row_of(
            FINDINGS, each, file=each.file or None, told=fault_text(each), place=each.place or None, detail=each.detail or None
        )
        for each in verdict.findings
    ]


def _summary(verdict: LogVerification) -> dict[str, Cell]:
    counts = {name: getattr(verdict, name) for name in ("files", "lines", "octets", "expired", "anchors", "head")}
    return {"holds": verdict.holds, "since": verdict.since, "closed_until": verdict.closed, **counts}


def _print_verdict(verdict: LogVerification) -> None:
    octets = dates.size(verdict.octets)
    output.line(
        Text(
            f"Đã kiểm tra {verdict.files} tệp, {verdict.lines} dòng, {octets.vi}; {verdict.anchors} bản ghi niêm phong; "
            f"{verdict.expired} tệp đã hết hạn lưu.",
            f"{verdict.files} files, {verdict.lines} lines, {octets.en}; {verdict.anchors} anchors; "
            f"{verdict.expired} files past their retention.",
        )
    )
    if verdict.since is not None and verdict.closed is not None and verdict.closed >= verdict.since:
        first, last = dates.day(verdict.since), dates.day(verdict.closed)
        output.line(
            Text(f"Các ngày (UTC) từ {first.vi} đến {last.vi} đã đóng, liên tục.",
                 f"All days (UTC) from {first.en} to {last.en} are closed, without a gap.")
        )  # fmt: skip
    if verdict.holds:
        output.line(Text("Nhật ký nguyên vẹn (khoản 2 Điều 8 Quy chế).", "The log is complete and unaltered (Reg. 8.2)."))
    else:
        count = sum(finding.is_fault for finding in verdict.findings)
        output.note(f"NHẬT KÝ KHÔNG NGUYÊN VẸN: {count} lỗi.", f"THE LOG IS DAMAGED OR ALTERED: {count} faults.")
