"""Evidence of the check of markings: clause 4.1."""

from mic_mail.clock import instant_of
from mic_mail.errors import Text
from mic_mail.quarantine.held_messages import OPEN, Held, Record, State
from mic_mail.services.compliance.finding import Evidence, Finding, Office

_FIGURES = (
    ({*OPEN}, Text("thư bị từ chối đang giữ", "refused messages that are held")),
    ({State.RELEASED, State.SUBMITTED}, Text("thư được hai người cho chuyển", "messages that two people released")),
    ({State.FLAGGED}, Text("thư đến có dấu độ mật", "marked messages from outside")),
)


def evidence(office: Office) -> Evidence:
    """Yield the records, and requests that wait for a second person."""
    records = list(Held(office.config.held_dir).records())
    for states, what in _FIGURES:
        yield "4.1", _finding(what, [record for record in records if record.state in states])
    waiting = [record for record in records if record.state is State.ASKED]
    if waiting:
        yield (
            "4.1",
            _finding(Text("đề nghị chờ người thứ hai", "requests that wait for a second person"), waiting, overdue=True),
        )


def _finding(what: Text, records: list[Record], *, overdue: bool = False) -> Finding:
    last = max((record.at_us for record in records), default=None)
    return Finding(what, len(records), None if last is None else instant_of(last), overdue=overdue)
