"""Evidence of the care of unit mailboxes: openings, documents passed on, answers, reports, exports."""

from collections.abc import Iterator

from mic_mail.errors import Text
from mic_mail.policy.calendar import ONE_DAY, local_day
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.unit_mail.opening_windows import WindowOutcome
from mic_mail.services.compliance.finding import Finding, Records, dated_acts, evidence
from mic_mail.services.unit_mail import document_handoff, unanswered
from mic_mail.services.unit_mail.openings import Openings, unit_mailboxes
from mic_mail.services.unit_mail.weekly_reminders import week_of

NAMED = 10
"""Mailboxes that a finding names; `report openings` has all."""


@evidence("12.3.a")
def openings(records: Records) -> Iterator[Finding]:
    day = local_day(records.now) - ONE_DAY
    while records.snapshot.working_days.is_rest(day):
        day -= ONE_DAY
    finder = Openings(records.snapshot, records.directory.downtimes.all(), records.config, records.clock)
    found = finder.of(unit_mailboxes(records.live), DateRange(day, day))
    due = [each for each in found if each.count(WindowOutcome.OPENED) or each.missed]
    late = [each for each in due if each.missed]
    never = [each.entry.address for each in late if not each.count(WindowOutcome.OPENED)]
    name = f"{day:%d/%m/%Y}"
    yield Finding(Text(f"hộp thư đơn vị phải mở ngày {name}", f"unit mailboxes to open on {name}"), len(due))
    what = Text(f"hộp thư chưa mở đủ các khung giờ ngày {name}", f"not opened in every window of {name}")
    yield Finding(what, len(late), overdue=bool(late))
    if never:
        listed = ", ".join(never[:NAMED]) + (", ..." if len(never) > NAMED else "")
        what = Text(f"không mở lần nào ngày {name}: {listed}", f"not opened at all on {name}: {listed}")
        yield Finding(what, len(never), overdue=True)


@evidence("12.3.c")
def passed_on(records: Records) -> Iterator[Finding]:
    what = Text("hộp thư có thư quá hạn chuyển, đã nhắc tuần này", "mailboxes reminded this week of mail to pass on")
    yield _reminded(records, document_handoff.DUTY, what)


@evidence("12.4")
def answers(records: Records) -> Iterator[Finding]:
    what = Text("hộp thư có thư quá hạn trả lời, đã nhắc tuần này", "mailboxes reminded this week of late answers")
    yield _reminded(records, unanswered.DUTY, what)


def _reminded(records: Records, duty: str, what: Text) -> Finding:
    """Count the reminders by the register of notices; no mailbox is read."""
    reminded = len(records.directory.sent.beginning(f"{week_of(duty, records.now)}:"))
    return Finding(what, reminded, overdue=reminded > 0)


@evidence("12.3.b", "11.1", "11.2", "11.3")
def correspondence(records: Records) -> Iterator[Finding]:
    """Count the correspondence reports, which hold copies, drafts and sent mail."""
    yield dated_acts(Text("báo cáo gửi nhận đã lập", "correspondence reports made"), records.acts("report_correspondence"))


@evidence("11.4")
def exports(records: Records) -> Iterator[Finding]:
    yield dated_acts(Text("lần xuất thư để lưu trữ", "exports for the records"), records.acts("mailbox_exported"))
