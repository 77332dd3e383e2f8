"""The times at which a person must choose a new password before using the mailbox.

Reg. 7.3.c, 6.4.a, 15.2: after an issue, a reset and a restore, until the person has chosen one; with `auth.password_age` also
when the chosen one has grown too old. An imported mailbox keeps the password that its person already had.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest

from mic_mail.policy.calendar import after_days, local_day
from mic_mail.policy.facts import Fact, FactKind
from mic_mail.policy.states import LifecycleSettings, MailboxState, Span

DUE_AFTER = {
    FactKind.ISSUED: "6.4.a",
    FactKind.PASSWORD_RESET: "15.2",
    FactKind.RESTORED: "7.3.c",
    FactKind.PASSWORD_EXPOSED: "15.2",
}


def password_due(facts: Sequence[Fact], settings: LifecycleSettings) -> list[Span]:
    """Return the spans in which a password change is due."""
    turns = sorted(
        (f for f in facts if f.kind in DUE_AFTER or f.kind is FactKind.PASSWORD_SET),
        key=lambda f: (f.effective_at, f.seq),
    )
    spans: list[Span] = []
    for turn, following in zip_longest(turns, turns[1:]):
        until = None if following is None else following.effective_at
        since = _due_from(turn, settings)
        if since is not None:
            spans.append(Span(MailboxState.PASSWORD_DUE, DUE_AFTER.get(turn.kind, "15.2"), (turn.seq,), since, until))
    return spans


def _due_from(turn: Fact, settings: LifecycleSettings) -> datetime | None:
    if turn.kind is not FactKind.PASSWORD_SET:
        return turn.effective_at
    if settings.password_days is None:
        return None
    return after_days(local_day(turn.effective_at), settings.password_days, settings.term_end)
