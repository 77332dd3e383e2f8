"""Evidence of downtimes: announced in time, incidents reported (Reg. 10.1, 10.3)."""

from mic_mail.errors import Text
from mic_mail.policy.downtime import CLAUSE, INCIDENT_CLAUSE, announced
from mic_mail.services.compliance.finding import Evidence, Finding, Office


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    downtimes = office.directory.downtimes.all()
    planned = [each for each in downtimes if not each.incident]
    last = max((each.announced_at for each in planned), default=None)
    yield CLAUSE, Finding(Text("đợt tạm ngừng đã thông báo", "announced downtimes"), len(planned), last)
    ahead = announced(downtimes, office.now)
    if ahead:
        yield CLAUSE, Finding(Text("đợt sắp hoặc đang tạm ngừng", "downtimes ahead or running"), len(ahead))
    incidents = [each for each in downtimes if each.incident and each.cancelled_at is None]
    last = max((each.starts_at for each in incidents), default=None)
    yield INCIDENT_CLAUSE, Finding(Text("sự cố đã ghi", "incidents on record"), len(incidents), last)
    owed = sum(each.owes_report(office.now) for each in incidents)
    if owed:
        yield INCIDENT_CLAUSE, Finding(Text("sự cố chưa có báo cáo", "incidents without a report"), owed, overdue=True)
