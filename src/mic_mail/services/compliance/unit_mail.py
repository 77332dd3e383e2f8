"""Evidence of the care of unit mailboxes (Reg. 11, 12.3.a to 12.3.c): openings, reports, exports.

Openings are those of the last working day.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from mic_mail.clock import ManualClock
from mic_mail.errors import Text
from mic_mail.log.audit import Audit
from mic_mail.policy import correspondence, document_handoff, records_export
from mic_mail.policy import opening_windows as rules
from mic_mail.policy.calendar import ONE_DAY, local_day
from mic_mail.policy.date_ranges import Span
from mic_mail.policy.opening_windows import Verdict
from mic_mail.policy.states import FINAL
from mic_mail.services.compliance.finding import Evidence, Finding, Office
from mic_mail.services.unit_mail.document_handoff import DUTY
from mic_mail.services.unit_mail.openings import Openings, unit_mailboxes
from mic_mail.services.unit_mail.weekly_reminders import week_of

NAMED = 10
"""Mailboxes that a finding names; `report openings` has all."""
_COPIES = ("11.1", "11.2", "11.3")


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    yield from _openings(office)
    yield from _passed_on(office)
    acts = list(Audit(office.config.log_dir, clock=ManualClock(office.now)).acts())
    reports = _of(acts, "report_correspondence")
    for clause in (correspondence.CLAUSE, *_COPIES):
        yield clause, Finding(Text("báo cáo gửi nhận đã lập", "correspondence reports made"), len(reports), _last(reports))
    exports = _of(acts, "mailbox_exported")
    yield (
        records_export.CLAUSE,
        Finding(Text("lần xuất thư để lưu trữ", "exports for the records"), len(exports), _last(exports)),
    )


def _openings(office: Office) -> Evidence:
    """Yield the unit mailboxes not opened in every window of the last working day, or not at all."""
    day = local_day(office.now) - ONE_DAY
    while office.snapshot.working_days.is_rest(day):
        day -= ONE_DAY
    used = [entry for entry, decision in office.decided() if not decision.states & set(FINAL)]
    finder = Openings(office.snapshot, office.directory.downtimes.all(), office.config, ManualClock(office.now))
    found = finder.of(unit_mailboxes(used), Span(day, day))
    due = [each for each in found if each.count(Verdict.OPENED) or each.missed]
    late = [each for each in due if each.missed]
    never = [each.entry.address for each in late if not each.count(Verdict.OPENED)]
    name = f"{day:%d/%m/%Y}"
    yield rules.CLAUSE, Finding(Text(f"hộp thư đơn vị phải mở ngày {name}", f"unit mailboxes to open on {name}"), len(due))
    what = Text(f"hộp thư chưa mở đủ các khung giờ ngày {name}", f"not opened in every window of {name}")
    yield rules.CLAUSE, Finding(what, len(late), overdue=bool(late))
    if never:
        listed = ", ".join(never[:NAMED]) + (", ..." if len(never) > NAMED else "")
        what = Text(f"không mở lần nào ngày {name}: {listed}", f"not opened at all on {name}: {listed}")
        yield rules.CLAUSE, Finding(what, len(never), overdue=True)


def _passed_on(office: Office) -> Evidence:
    """Yield the mailboxes that this week's run reminded, by the register of notices; no mailbox is read."""
    reminded = len(office.directory.sent.beginning(f"{week_of(DUTY, office.now)}:"))
    what = Text("hộp thư có thư quá hạn chuyển, đã nhắc tuần này", "mailboxes late in passing on, reminded this week")
    yield document_handoff.CLAUSE, Finding(what, reminded, overdue=reminded > 0)


def _of(acts: Iterable[Mapping[str, object]], name: str) -> list[Mapping[str, object]]:
    return [act for act in acts if act.get("act") == name]


def _last(acts: Iterable[Mapping[str, object]]) -> datetime | None:
    return max((datetime.fromisoformat(str(act["at"])) for act in acts), default=None)
