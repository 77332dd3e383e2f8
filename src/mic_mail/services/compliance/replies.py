"""Evidence of answers (Reg. 12.4): mailboxes that this week's run reminded; no mailbox is read for it."""

from mic_mail.errors import Text
from mic_mail.policy.reply_deadlines import CLAUSE
from mic_mail.services.compliance.finding import Evidence, Finding, Office
from mic_mail.services.unit_mail.unanswered import DUTY
from mic_mail.services.unit_mail.weekly_reminders import week_of


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    reminded = len(office.directory.sent.beginning(f"{week_of(DUTY, office.now)}:"))
    what = Text("hộp thư có thư quá hạn trả lời, đã nhắc tuần này", "mailboxes with late answers, reminded this week")
    yield CLAUSE, Finding(what, reminded, overdue=reminded > 0)
