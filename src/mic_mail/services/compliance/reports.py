"""Evidence of reports (Reg. 16.1, 16.2, 18): the last one, and whether the next is due."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime

from mic_mail.clock import ManualClock
from mic_mail.errors import Text
from mic_mail.log.audit import Audit
from mic_mail.policy.calendar import add_months, local_day
from mic_mail.services.compliance.finding import Evidence, Finding, Office

CLAUSE = "16.2"
PROBLEMS = "18"
UNIT_CLAUSES = ("16.1.b", "16.1.c")


def evidence(office: Office) -> Evidence:
    """Yield today's figures; without any report, the interval runs from the first mailbox."""
    audit = Audit(office.config.log_dir, clock=ManualClock(office.now))
    acts = [act for act in audit.acts() if act.get("act") == "report_usage"]
    whole = [act for act in acts if act.get("subject") == "*"]
    ends = [date.fromisoformat(str(act["last"])) for act in whole]
    yield CLAUSE, Finding(Text("báo cáo sử dụng đã lập", "usage reports made"), len(whole), _last(whole))
    for clause in UNIT_CLAUSES:
        of_units = [act for act in acts if act.get("subject") != "*"]
        yield clause, Finding(Text("báo cáo theo đơn vị đã lập", "reports of units made"), len(of_units), _last(of_units))
    collected = [act for act in audit.acts() if act.get("act") == "report_problems"]
    yield (
        PROBLEMS,
        Finding(Text("bản tổng hợp vướng mắc đã lập", "collections of problems made"), len(collected), _last(collected)),
    )
    begun = min((local_day(entry.facts[0].recorded_at) for entry in office.snapshot if entry.facts), default=None)
    counted_from = max(ends, default=begun)
    if counted_from is not None and add_months(counted_from, office.config.report.usage_months) < local_day(office.now):
        what = Text(
            f"đến kỳ báo cáo, kỳ trước tính đến {counted_from:%d/%m/%Y}",
            f"the report is due, the last one ended on {counted_from:%d/%m/%Y}",
        )
        yield CLAUSE, Finding(what, overdue=True)


def _last(acts: Iterable[Mapping[str, object]]) -> datetime | None:
    return max((datetime.fromisoformat(str(act["at"])) for act in acts), default=None)
