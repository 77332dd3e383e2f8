"""The value of evidence, the functions that supply it for a clause, and the records they read."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import PersonRecord, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import Text
from mic_mail.log.audit import Audit
from mic_mail.log.counters import EventCounts, count_events
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.clauses import CLAUSES
from mic_mail.policy.facts import Fact, FactKind
from mic_mail.policy.lifecycle import Decision
from mic_mail.policy.states import FINAL
from mic_mail.services.requests.register import Due, Register
from mic_mail.services.settings import lifecycle_settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure of today's evidence for a clause."""

    what: Text
    count: int | None = None
    at: datetime | None = None
    """When it was last so, or last done."""
    overdue: bool = False
    """Somebody has to act on it."""
    overdue_item: Text | None = None
    """The overdue item, where it is not what was counted."""


def dated(what: Text, instants: Collection[datetime], *, overdue: bool = False) -> Finding:
    """Return the count of what happened at these instants, and the last of them."""
    return Finding(what, len(instants), max(instants, default=None), overdue)


Act = Mapping[str, object]


def dated_acts(what: Text, acts: Sequence[Act]) -> Finding:
    """Return the count of these acts, and the time of the last."""
    return dated(what, [datetime.fromisoformat(str(act["at"])) for act in acts])


class Records:
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
    def today(self) -> EventCounts:
        """The mail log's counts since 00:00."""
        return count_events(self.config.log_dir, start_of(local_day(self.now)))

    @cached_property
    def _acts(self) -> Mapping[str, Sequence[Act]]:
        found: dict[str, list[Act]] = {}
        for act in Audit(self.config.log_dir, clock=self.clock).acts():
            found.setdefault(str(act.get("act")), []).append(act)
        return found

    def acts(self, name: str) -> Sequence[Act]:
        """Return the acts of one name on record, oldest first."""
        return self._acts.get(name, ())

    @cached_property
    def requests(self) -> Sequence[Due]:
        return Register(self.directory, self.config, self.clock).all()

    @cached_property
    def decisions(self) -> Mapping[int, Decision]:
        """The present decision on each mailbox, without damaged records (`directory check` names them)."""
        settings = lifecycle_settings(self.config, self.snapshot.working_days)
        decided = {entry.mailbox_id: entry.decide_if_readable(self.now, settings) for entry in self.snapshot}
        return {mailbox_id: decision for mailbox_id, decision in decided.items() if decision is not None}

    def decided(self) -> Iterator[tuple[Entry, Decision]]:
        for mailbox_id, decision in self.decisions.items():
            yield self.snapshot.entries[mailbox_id], decision

    @cached_property
    def live(self) -> Sequence[Entry]:
        """Mailboxes that are issued and not reclaimed."""
        return [entry for entry, decision in self.decided() if not decision.states & set(FINAL)]

    @cached_property
    def _facts(self) -> Mapping[FactKind, Sequence[Fact]]:
        found: dict[FactKind, list[Fact]] = {}
        for entry in self.snapshot:
            for fact in entry.facts:
                found.setdefault(fact.kind, []).append(fact)
        return found

    def facts(self, kind: FactKind) -> Sequence[Fact]:
        return self._facts.get(kind, ())

    @cached_property
    def _unit_of(self) -> Mapping[int, int]:
        return {person.person_id: person.unit_id for person in self.people}

    def unit_of(self, entry: Entry) -> int | None:
        """Return the unit that has a mailbox, itself or by its person."""
        owner = entry.owner
        return owner.unit_id if owner.person_id is None else self._unit_of.get(owner.person_id)


Source = Callable[[Records], Iterator[Finding]]
SOURCES: Mapping[str, list[Source]] = {clause_id: [] for clause_id in CLAUSES}
"""The functions that supply the evidence for each clause."""


def evidence(*clauses: str) -> Callable[[Source], Source]:
    def register(source: Source) -> Source:
        for clause_id in clauses:
            SOURCES[clause_id].append(source)
        return source

    return register
