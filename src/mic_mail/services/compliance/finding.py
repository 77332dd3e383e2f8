"""The value of evidence, and the records it is taken from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import PersonRecord, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import Text
from mic_mail.log.counters import Tally, tally
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.lifecycle import Decision, FactsUnreadable, decide
from mic_mail.services.settings.readings import lifecycle_settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure of today's evidence for a clause."""

    what: Text
    count: int | None = None
    at: datetime | None = None
    """When it was last so, or last done."""
    overdue: bool = False
    """Somebody has to act on it."""
    owed: Text | None = None
    """The overdue item, where it is not what was counted."""


Evidence = Iterator[tuple[str, Finding]]
"""A clause and a finding."""


class Office:
    """All records at one instant."""

    def __init__(self, directory: Directory, config: Config, clock: Clock) -> None:
        self.directory = directory
        self.config = config
        self.clock = clock
        self.now = clock.now()

    @cached_property
    def snapshot(self) -> Snapshot:
        return self.directory.load_snapshot()

    @cached_property
    def people(self) -> Sequence[PersonRecord]:
        return self.directory.people()

    @cached_property
    def units(self) -> Sequence[UnitRecord]:
        return [unit for unit in self.directory.units() if unit.is_living]

    @cached_property
    def today(self) -> Tally:
        """The mail log's counts since 00:00."""
        return tally(self.config.log_dir, start_of(local_day(self.now)))

    @cached_property
    def decisions(self) -> Mapping[int, Decision]:
        """The present decision on each mailbox, without damaged records (`directory check` names them)."""
        settings = lifecycle_settings(self.config, self.snapshot.working_days)
        found: dict[int, Decision] = {}
        for entry in self.snapshot:
            try:
                decision = decide(entry.kind, entry.facts, self.now, last_activity=entry.last_activity, settings=settings)
            except FactsUnreadable:
                continue
            found[entry.mailbox_id] = decision
        return found

    def decided(self) -> Iterator[tuple[Entry, Decision]]:
        """Yield each mailbox with its decision."""
        for mailbox_id, decision in self.decisions.items():
            yield self.snapshot.entries[mailbox_id], decision
