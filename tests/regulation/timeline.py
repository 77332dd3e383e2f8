"""Tables of what becomes of a mailbox: its facts, and the states that it has at given moments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from mic_mail.policy.facts import FactKind
from mic_mail.policy.lifecycle import LifecycleSettings, MailboxState
from regulation.conftest import History

ACTIVE, LOCKED, SUSPENDED, RECLAIMED = (
    {MailboxState.ACTIVE},
    {MailboxState.SEND_LOCKED},
    {MailboxState.SUSPENDED},
    {MailboxState.RECLAIMED},
)
ALWAYS = "always"


@dataclass(frozen=True)
class Timeline:
    """One row: the facts of a personal mailbox, its last use, and its states at moments of the ministry's clock."""

    rule: str
    """The sentence that the row shows."""
    facts: tuple[tuple[FactKind, str, Mapping[str, Any]], ...] = ()
    states: Mapping[str, set[MailboxState]] = field(default_factory=dict)
    """By all facts."""
    then: Mapping[str, set[MailboxState]] = field(default_factory=dict)
    """By the facts that were recorded by that moment."""
    used: str | None = ALWAYS
    """The last use; None: never."""
    settings: LifecycleSettings | None = None

    def check(self) -> None:
        history = History(settings=self.settings)
        for kind, effective, how in self.facts:
            history.add(kind, effective, **how)
        if self.used != ALWAYS:
            history.used(self.used)
        assert {moment: history.states(moment) for moment in self.states} == self.states
        assert {moment: history.states(moment, known=moment) for moment in self.then} == self.then


def fact(kind: FactKind, effective: str, **how: Any) -> tuple[FactKind, str, Mapping[str, Any]]:
    """A fact of a row; `how` as in `History.add`."""
    return kind, effective, how


def left(day: str, level: str = "division", **how: Any) -> tuple[FactKind, str, Mapping[str, Any]]:
    """A person of this rank left on that day."""
    return fact(FactKind.LEFT, day, level=level, **how)


def timelines(*rows: Timeline) -> Callable[..., Any]:
    """Run the test over these rows, each under its rule."""
    return pytest.mark.parametrize("row", rows, ids=[row.rule for row in rows])
