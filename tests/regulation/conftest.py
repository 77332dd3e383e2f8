"""A mailbox's history, told as the regulation's readers would tell it: local dates, facts, questions.

The regulation is about rules and not about disks, and its tests waited for disks a fifth of their time: their folders are in
memory.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memory_folder import folder_in_memory
from mic_mail.clock import HO_CHI_MINH
from mic_mail.policy.facts import Detail, Draft, Fact, FactKind, MailboxKind, known_at, record
from mic_mail.policy.lifecycle import Decision, LifecycleSettings, MailboxState, decide


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory, gone after the test."""
    with folder_in_memory() as folder:
        yield folder


def local(moment: str) -> datetime:
    """`2026-08-31` or `2026-08-31 10:00` on the ministry's clock."""
    return datetime.fromisoformat(moment).replace(tzinfo=HO_CHI_MINH).astimezone(UTC)


class History:
    """The facts of one mailbox that was issued on 02/01/2020 and whose person chose a password on the same day.

    Its person uses it all the time, unless `used` says when they last did.
    """

    def __init__(self, kind: MailboxKind = MailboxKind.PERSONAL, settings: LifecycleSettings | None = None) -> None:
        self.kind = kind
        self.settings = settings or LifecycleSettings()
        self.facts: list[Fact] = []
        self._used: datetime | None = None
        self._always_used = True
        self.add(FactKind.ISSUED, "2020-01-02")
        self.add(FactKind.PASSWORD_SET, "2020-01-02 09:00")

    def add(
        self, kind: FactKind, effective: str, *, recorded: str | None = None, document: str | None = None, **data: Detail
    ) -> Fact:
        """One more fact, recorded when it takes effect unless said otherwise."""
        draft = Draft(kind, local(effective), "test", document=document, data=data)
        previous = self.facts[-1] if self.facts else None
        fact = record(draft, mailbox_id=1, previous=previous, recorded_at=local(recorded or effective))
        self.facts.append(fact)
        return fact

    def used(self, moment: str | None) -> None:
        """The last use; None: never."""
        self._always_used, self._used = False, local(moment) if moment else None

    def at(self, moment: str, *, known: str | None = None) -> Decision:
        """The decision at `moment`, from what was known then (`known`) or is known now."""
        facts = known_at(self.facts, local(known)) if known else tuple(self.facts)
        used = local(moment) if self._always_used else self._used
        return decide(self.kind, facts, local(moment), last_activity=used, settings=self.settings)

    def states(self, moment: str, *, known: str | None = None) -> set[MailboxState]:
        return set(self.at(moment, known=known).states)


@pytest.fixture
def make_history() -> Callable[..., History]:
    """Makes histories."""
    return History


@pytest.fixture
def history() -> History:
    """A personal mailbox."""
    return History()


@pytest.fixture
def moment() -> Callable[[str], datetime]:
    """Reads a moment of the ministry's clock."""
    return local
