"""Evidence from the register of incidents (Reg. 14.4, 16.3, 10.1)."""

from mic_mail.errors import Text
from mic_mail.policy.downtime import INCIDENT_CLAUSE
from mic_mail.policy.incidents import CLAUSE, INVESTIGATED_BY, Severity, State
from mic_mail.services.compliance.finding import Evidence, Finding, Office


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    incidents = office.directory.incidents.all()
    of_units = [each for each in incidents if each.told.unit_id is not None]
    last = max((each.opened_at for each in of_units), default=None)
    yield CLAUSE, Finding(Text("sự cố do đơn vị báo", "incidents that units told of"), len(of_units), last)
    grave = [each for each in incidents if each.told.severity is not Severity.MINOR]
    last = max((each.opened_at for each in grave), default=None)
    yield INVESTIGATED_BY, Finding(Text("sự cố nghiêm trọng trở lên", "incidents, serious or critical"), len(grave), last)
    waiting = sum(each.state is State.OPEN for each in incidents)
    for clause in (CLAUSE, INCIDENT_CLAUSE):
        yield clause, Finding(Text("sự cố đang xử lý", "incidents that are open"), waiting)
