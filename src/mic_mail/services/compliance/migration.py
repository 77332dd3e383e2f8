"""Evidence of migration (Reg. 10.4, 14.5): imported mail, and units still on another system."""

from datetime import datetime

from mic_mail.errors import Text
from mic_mail.policy.calendar import local_day
from mic_mail.policy.migration_plans import CLAUSE, HELP_CLAUSE, Standing, standing
from mic_mail.services.compliance.finding import Evidence, Finding, Office
from mic_mail.services.importers.ledger import taken


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    seen = {entry.mailbox_id for entry in office.snapshot}
    sources = [each for each in taken(office.config.server.data_dir) if each.mailbox_id in seen]
    last = max((datetime.fromisoformat(each.last.at) for each in sources if each.last), default=None)
    mailboxes = len({each.mailbox_id for each in sources})
    yield (
        HELP_CLAUSE,
        Finding(Text("hộp thư đã nhập thư từ hệ thống khác", "mailboxes with imported mail"), mailboxes, last),
    )
    unfinished = sum(each.last is None or not each.last.complete for each in sources)
    if unfinished:
        yield HELP_CLAUSE, Finding(Text("lần nhập chưa hết", "imports that have not come to their end"), unfinished)
    units = {unit.unit_id for unit in office.directory.units()}
    plans = [plan for plan in office.directory.elsewhere.all() if plan.unit_id in units]
    open_plans = [plan for plan in plans if plan.is_open]
    newest = max((plan.recorded_at for plan in plans), default=None)
    count = len({plan.unit_id for plan in open_plans})
    yield CLAUSE, Finding(Text("đơn vị còn dùng hệ thống khác", "units that still use another system"), count, newest)
    overdue = sum(standing(plan, local_day(office.now)) is Standing.OVERDUE for plan in open_plans)
    if overdue:
        yield CLAUSE, Finding(Text("kế hoạch chuyển quá hạn", "plans to leave that are overdue"), overdue, overdue=True)
