"""Evidence of handovers (Reg. 12.3.d): finished, running, and missing ones.

A handover is missing where a keeper's authority ended without one.
"""

from mic_mail.errors import Text
from mic_mail.policy.handover import CLAUSE, Standing, handovers
from mic_mail.policy.lifecycle import State
from mic_mail.services.compliance.finding import Evidence, Finding, Office
from mic_mail.services.notifications.succession import vacancies_of


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    found = [each for entry in office.snapshot for each in handovers(entry.facts)]
    ended = [each.ended.effective_at for each in found if each.standing is Standing.FINISHED and each.ended is not None]
    running = [each.since for each in found if each.is_running]
    live = [entry for entry, decision in office.decided() if not decision.states & {State.RECLAIMED, State.NOT_ISSUED}]
    vacant = sum(any(each.holds(office.now) for each in vacancies_of(entry, office.snapshot)) for entry in live)
    yield CLAUSE, Finding(Text("lần bàn giao hộp thư", "mailboxes handed over"), len(ended), max(ended, default=None))
    if running:
        yield CLAUSE, Finding(Text("đang bàn giao", "handovers that run"), len(running), min(running))
    if vacant:
        what = Text("hết phân công mà chưa bàn giao", "whose keeper's authority ended without a handover")
        yield CLAUSE, Finding(what, vacant, overdue=True)
