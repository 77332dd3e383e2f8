"""Evidence from the register of requests: Reg. 6.2, 7.3, 14.3, 15.2, 18."""

from collections.abc import Sequence
from datetime import datetime

from mic_mail.errors import Text
from mic_mail.policy.requests import PENDING, Kind, State
from mic_mail.services.compliance.finding import Evidence, Finding, Office
from mic_mail.services.requests.register import Due, Register

_CLAUSES: Sequence[tuple[str, Kind, Text]] = (
    ("7.3.a", Kind.RESTORE, Text("yêu cầu khôi phục", "requests to restore")),
    ("14.3", Kind.CORRECTION, Text("yêu cầu đính chính", "requests for a correction")),
    ("15.2", Kind.RESET, Text("yêu cầu đặt lại mật khẩu", "requests for a reset")),
    ("18", Kind.PROBLEM, Text("vướng mắc được phản ánh", "problems told")),
)


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    register = Register(office.directory, office.config, office.clock)
    everything = register.all()
    waiting = [due for due in everything if due.request.state in PENDING]
    yield "6.2", Finding(Text("yêu cầu trong sổ", "requests on record"), len(everything), _last(everything))
    yield "6.2", Finding(Text("đang chờ", "waiting"), len(waiting))
    yield "6.2", _late(everything)
    done = [due for due in everything if due.request.state is State.DONE]
    yield "6.2", Finding(Text("đã giải quyết", "done"), len(done))
    for clause, kind, name in _CLAUSES:
        of_kind = [due for due in everything if due.request.kind is kind]
        yield clause, Finding(name, len(of_kind), _last(of_kind))
    yield "7.3.b", _late([due for due in everything if due.request.kind is Kind.RESTORE])


def _late(requests: Sequence[Due]) -> Finding:
    late = sum(due.overdue for due in requests)
    return Finding(Text("yêu cầu quá hạn", "overdue requests"), late, overdue=late > 0)


def _last(requests: Sequence[Due]) -> datetime | None:
    return max((due.request.filing.received_at for due in requests), default=None)
