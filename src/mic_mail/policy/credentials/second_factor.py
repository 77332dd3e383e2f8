"""The second factor of a mailbox, and the facts that end it (docs/decisions/0083).

In: a mailbox's facts. Out: the fact by which its page asks for a code, or None. Pure.

A factor ends when it is removed, and with anything that gives the mailbox into other hands: a finished handover (Reg. 12.3.d),
another issue (6.4.a). A new password, a suspension and a restore leave it: the device still belongs to the owner.
"""

from collections.abc import Sequence

from mic_mail.policy.facts import Fact, FactKind

CLAUSE = "15.2"
_ENDS = frozenset({FactKind.SECOND_FACTOR_REMOVED, FactKind.HANDOVER_FINISHED, FactKind.ISSUED})


def second_factor(facts: Sequence[Fact]) -> Fact | None:
    """Return the fact that set the mailbox's present factor; None: it has none."""
    for fact in reversed(facts):
        if fact.kind is FactKind.SECOND_FACTOR_SET:
            return fact
        if fact.kind in _ENDS:
            return None
    return None


def latest_change(facts: Sequence[Fact]) -> int:
    """Return the number of the newest fact that set or ended a second factor; 0 if there is none.

    A session at the page belongs to the state that this number names: setting and removing a factor both end all others.
    """
    return next((fact.seq for fact in reversed(facts) if fact.kind is FactKind.SECOND_FACTOR_SET or fact.kind in _ENDS), 0)
