"""Evidence of installation and operation: names, certificate, downtimes, incidents, migration."""

from collections.abc import Iterator
from datetime import datetime

from mic_mail.errors import Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.net.tls import BadCertificate
from mic_mail.policy.calendar import local_day
from mic_mail.policy.downtime import announced
from mic_mail.policy.incidents import IncidentSeverity, IncidentState
from mic_mail.policy.migration_plans import PlanStanding, standing
from mic_mail.services.compliance.finding import Finding, Records, dated, evidence
from mic_mail.services.importers.ledger import taken
from mic_mail.services.operations.certificates import open_front


@evidence("3.2")
def place(records: Records) -> Iterator[Finding]:
    config = records.config
    names = ", ".join(sorted(config.domains))
    yield Finding(Text(f"tên miền: {names}", f"domains: {names}"), len(config.domains))
    page = config.password_page
    if page is None:
        yield Finding(Text("không mở dịch vụ https", "the listener https is not open"))
    else:
        yield Finding(Text(f"trang web tại {page}", f"web access at {in_ascii(page)}"))
    try:
        tls = open_front(config)
    except BadCertificate as error:
        yield Finding(error.text, overdue=True)
        return
    until = dates.short(tls.ends_at)
    ending = tls.ends_within(records.now, config.tls.warn_days)
    yield Finding(Text(f"chứng thư số có hiệu lực đến {until}", f"certificate valid until {until}"), overdue=ending)


@evidence("10.3")
def planned_downtimes(records: Records) -> Iterator[Finding]:
    downtimes = records.directory.downtimes.all()
    planned = [each.announced_at for each in downtimes if not each.incident]
    yield dated(Text("đợt tạm ngừng đã thông báo", "announced downtimes"), planned)
    ahead = announced(downtimes, records.now)
    if ahead:
        yield Finding(Text("đợt sắp hoặc đang tạm ngừng", "downtimes announced or in progress"), len(ahead))


@evidence("10.1")
def unplanned_downtimes(records: Records) -> Iterator[Finding]:
    incidents = [each for each in records.directory.downtimes.all() if each.incident and each.cancelled_at is None]
    yield dated(Text("sự cố đã ghi", "incidents recorded"), [each.starts_at for each in incidents])
    unreported = sum(each.owes_report(records.now) for each in incidents)
    if unreported:
        yield Finding(Text("sự cố chưa có báo cáo", "incidents without a report"), unreported, overdue=True)


@evidence("14.4")
def reported_incidents(records: Records) -> Iterator[Finding]:
    reported = [each.opened_at for each in records.directory.incidents.all() if each.told.unit_id is not None]
    yield dated(Text("sự cố do đơn vị báo", "incidents reported by units"), reported)


@evidence("16.3")
def grave_incidents(records: Records) -> Iterator[Finding]:
    grave = [each.opened_at for each in records.directory.incidents.all() if each.told.severity is not IncidentSeverity.MINOR]
    yield dated(Text("sự cố nghiêm trọng trở lên", "incidents, serious or critical"), grave)


@evidence("14.4", "10.1")
def open_incidents(records: Records) -> Iterator[Finding]:
    waiting = sum(each.state is IncidentState.OPEN for each in records.directory.incidents.all())
    yield Finding(Text("sự cố đang xử lý", "incidents that are open"), waiting)


@evidence("10.4")
def imports(records: Records) -> Iterator[Finding]:
    seen = {entry.mailbox_id for entry in records.snapshot}
    sources = [each for each in taken(records.config.server.data_dir) if each.mailbox_id in seen]
    last = max((datetime.fromisoformat(each.last.at) for each in sources if each.last), default=None)
    mailboxes = len({each.mailbox_id for each in sources})
    yield Finding(Text("hộp thư đã nhập thư từ hệ thống khác", "mailboxes with imported mail"), mailboxes, last)
    unfinished = sum(each.last is None or not each.last.complete for each in sources)
    if unfinished:
        yield Finding(Text("lần nhập chưa hết", "unfinished imports"), unfinished)


@evidence("14.5")
def units_elsewhere(records: Records) -> Iterator[Finding]:
    units = {unit.unit_id for unit in records.directory.units()}
    plans = [plan for plan in records.directory.migration_plans.all() if plan.unit_id in units]
    open_plans = [plan for plan in plans if plan.is_open]
    newest = max((plan.recorded_at for plan in plans), default=None)
    count = len({plan.unit_id for plan in open_plans})
    yield Finding(Text("đơn vị còn dùng hệ thống khác", "units that still use another system"), count, newest)
    overdue = sum(standing(plan, local_day(records.now)) is PlanStanding.OVERDUE for plan in open_plans)
    if overdue:
        yield Finding(Text("kế hoạch chuyển quá hạn", "overdue migration plans"), overdue, overdue=True)
