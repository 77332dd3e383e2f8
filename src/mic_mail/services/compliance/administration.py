"""Evidence of the administration: officers, requests, openings of content, reports."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import partial

from mic_mail.errors import Text
from mic_mail.policy.authorization.content_access import AccessStage
from mic_mail.policy.authorization.roles import OfficerRole
from mic_mail.policy.calendar import add_months, local_day
from mic_mail.policy.requests import PENDING, RequestKind, RequestState
from mic_mail.services.compliance.finding import Finding, Records, dated, dated_acts, evidence
from mic_mail.services.requests.register import Due


@evidence("6.1")
def officers(records: Records) -> Iterator[Finding]:
    """Count the officers; while none is on record, everybody at the machine is the Centre."""
    serving = [officer for officer in records.directory.officers.all() if officer.holds(records.now)]
    for role in OfficerRole:
        name = role.label
        count = sum(officer.role is role for officer in serving)
        missing = role is OfficerRole.CENTRE and count == 0
        overdue_item = Text(f"chưa ghi nhận cán bộ {name.vi}", f"no officer recorded for the {name.en}") if missing else None
        yield Finding(Text(f"cán bộ: {name.vi}", f"officers: {name.en}"), count, overdue=missing, overdue_item=overdue_item)


@evidence("14.3")
def unit_administrators(records: Records) -> Iterator[Finding]:
    serving = [officer for officer in records.directory.officers.all() if officer.holds(records.now)]
    units = {officer.unit_id for officer in serving if officer.role is OfficerRole.UNIT}
    yield Finding(Text("đơn vị có quản trị viên", "units with an administrator"), len(units))


def _received(what: Text, requests: Sequence[Due]) -> Finding:
    return dated(what, [due.request.filing.received_at for due in requests])


def _late(requests: Sequence[Due]) -> Finding:
    late = sum(due.overdue for due in requests)
    return Finding(Text("yêu cầu quá hạn", "overdue requests"), late, overdue=late > 0)


@evidence("6.2")
def requests(records: Records) -> Iterator[Finding]:
    states = [due.request.state for due in records.requests]
    yield _received(Text("yêu cầu trong sổ", "requests recorded"), records.requests)
    yield Finding(Text("đang chờ", "waiting"), sum(state in PENDING for state in states))
    yield _late(records.requests)
    yield Finding(Text("đã giải quyết", "done"), states.count(RequestState.DONE))


def _of_kind(kind: RequestKind, what: Text, records: Records) -> Iterator[Finding]:
    yield _received(what, [due for due in records.requests if due.request.kind is kind])


for _clause, _kind, _what in (
    ("7.3.a", RequestKind.RESTORE, Text("yêu cầu khôi phục", "requests to restore")),
    ("14.3", RequestKind.CORRECTION, Text("yêu cầu đính chính", "requests for a correction")),
    ("15.2", RequestKind.RESET, Text("yêu cầu đặt lại mật khẩu", "requests for a reset")),
    ("18", RequestKind.PROBLEM, Text("vướng mắc được phản ánh", "problems reported")),
):
    evidence(_clause)(partial(_of_kind, _kind, _what))


@evidence("7.3.b")
def late_restores(records: Records) -> Iterator[Finding]:
    yield _late([due for due in records.requests if due.request.kind is RequestKind.RESTORE])


@evidence("4.3")
def openings(records: Records) -> Iterator[Finding]:
    requested = records.directory.content.all()
    waiting = sum(request.stage(records.now) is AccessStage.ASKED for request in requested)
    yield Finding(Text("đề nghị mở nội dung", "requests to open content"), len(requested))
    yield Finding(Text("chờ phê duyệt", "waiting for approval"), waiting)
    yield dated(Text("lần xuất nội dung", "exports of content"), _exports(records))


@evidence("16.5")
def content_exports(records: Records) -> Iterator[Finding]:
    yield dated(Text("lần xuất làm chứng cứ", "exports as evidence"), _exports(records))


def _exports(records: Records) -> Sequence[datetime]:
    return [export.begun_at for export in records.directory.content.exports() if export.finished_at is not None]


@evidence("16.2")
def usage_reports(records: Records) -> Iterator[Finding]:
    """Count the ministry's usage reports; without any, the interval runs from the first mailbox."""
    acts = [act for act in records.acts("report_usage") if act.get("subject") == "*"]
    yield dated_acts(Text("báo cáo sử dụng đã lập", "usage reports made"), acts)
    begun = min((local_day(entry.facts[0].recorded_at) for entry in records.snapshot if entry.facts), default=None)
    counted_from = max((date.fromisoformat(str(act["last"])) for act in acts), default=begun)
    if counted_from is not None and add_months(counted_from, records.config.report.usage_months) < local_day(records.now):
        what = Text(
            f"đến kỳ báo cáo, kỳ trước tính đến {counted_from:%d/%m/%Y}",
            f"the report is due, the last one ended on {counted_from:%d/%m/%Y}",
        )
        yield Finding(what, overdue=True)


@evidence("16.1.b", "16.1.c")
def unit_reports(records: Records) -> Iterator[Finding]:
    acts = [act for act in records.acts("report_usage") if act.get("subject") != "*"]
    yield dated_acts(Text("báo cáo theo đơn vị đã lập", "reports of units made"), acts)


@evidence("18")
def collected_problems(records: Records) -> Iterator[Finding]:
    yield dated_acts(Text("bản tổng hợp vướng mắc đã lập", "collections of problems made"), records.acts("report_problems"))
