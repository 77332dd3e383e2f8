"""Directory changes that become due: orders whose day has come, aliases whose last day is over.

Reg. 6.2, 6.5. In: the register of changes. Out: orders carried out, addresses released, a log event for each.
Idempotent: a run after a kill, or a second one, leaves alone what is done. Nothing is done by a clock that is not
trusted. Blocking.
"""

from mic_mail.clock import Clock
from mic_mail.directory.repository import Directory
from mic_mail.log.maillog import MailLog

ACTOR = "clock"


def carry_out_due(directory: Directory, clock: Clock, log: MailLog) -> bool:
    """Carry out what is due; return whether anything has changed."""
    now, is_changed = clock.steady_now(), False
    for entry in directory.changes.pending():
        if entry.order.effective_at > now:
            break
        done = directory.changes.carry_out(entry.number, now)
        if done.applied_at is not None:
            is_changed = True
            log.event("directory_changed", order=entry.number, act=entry.order.act.value, changes=len(done.changes))
        elif done.hindrance != entry.hindrance:
            log.event("directory_change_hindered", order=entry.number, act=entry.order.act.value, why=done.hindrance)
    released = directory.changes.release_aliases(now, ACTOR)
    if released:
        log.event("aliases_released", addresses=released)
    return is_changed or bool(released)
