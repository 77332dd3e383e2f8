"""The directory in memory: no message and no sign-in waits for a database.

In: records from `repository.Directory.load_snapshot`. Out: immutable `Snapshot`s, one per worker, swapped whole. Never reads a
database and never changes; a newer state is a newer snapshot, which shares the entries that stayed the same.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mic_mail.policy.calendar import WEEKENDS, WorkingDays
from mic_mail.policy.credentials.verifiers import AppCredential, Costs, Credential
from mic_mail.policy.downtime import Downtime
from mic_mail.policy.facts import Fact, MailboxKind
from mic_mail.policy.lifecycle import Decision, FactsUnreadable, LifecycleSettings, decide, timeline
from mic_mail.policy.states import Span
from mic_mail.policy.unit_mail import delegation


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a mailbox: a person, or the unit that owns or sponsors it."""

    person_id: int | None
    unit_id: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One mailbox with everything that the protocols need to know about it."""

    mailbox_id: int
    kind: MailboxKind
    address: str
    home: str
    quota_octets: int
    facts: tuple[Fact, ...]
    credential: Credential | None
    last_activity: datetime | None
    display_name: str
    owner: Owner
    aliases: tuple[str, ...] = ()
    former_own: frozenset[str] = frozenset()
    """Aliases that were the mailbox's own address and are retained for a time."""
    capabilities_hidden: frozenset[str] = frozenset()
    app_passwords: tuple[AppCredential, ...] = field(default=(), repr=False)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address that is this mailbox's own, and that it may send as (Reg. 4.3)."""
        return (self.address, *self.aliases)

    @property
    def last_seq(self) -> int:
        """The number of the newest fact; 0: there is none."""
        return self.facts[-1].seq if self.facts else 0

    def decide(self, now: datetime, settings: LifecycleSettings) -> Decision:
        """Return what the mailbox may do at `now`; `FactsUnreadable` as in `policy.lifecycle.decide`."""
        return decide(self.kind, self.facts, now, last_activity=self.last_activity, settings=settings)

    def decide_if_readable(self, now: datetime, settings: LifecycleSettings) -> Decision | None:
        """Return the decision; None for a record with unreadable data, which `directory check` names."""
        try:
            return self.decide(now, settings)
        except FactsUnreadable:
            return None

    def timeline(self, settings: LifecycleSettings) -> tuple[Span, ...]:
        """Return every span of the mailbox's life; `FactsUnreadable` as in `policy.lifecycle.timeline`."""
        return timeline(self.kind, self.facts, last_activity=self.last_activity, settings=settings)


@dataclass(frozen=True, slots=True)
class AliasEntry:
    """Another address of a mailbox."""

    address: str
    mailbox_id: int
    was_own: bool = False
    """The mailbox's former own address, retained for a time: its person still signs in with it (Reg. 2.3)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole directory at one version."""

    version: int
    """A number that grows with every change of the directory."""
    fact_seq: int
    """The number of the newest fact of all mailboxes."""
    domains: frozenset[str]
    entries: Mapping[int, Entry] = field(repr=False)
    addresses: Mapping[str, Entry | AliasEntry] = field(repr=False)
    own: Mapping[int, int] = field(repr=False)
    """Person -> personal mailbox."""
    named_in: Mapping[int, frozenset[int]] = field(repr=False)
    """Person -> the mailboxes of units and groups in whose record they were ever named (Reg. 12.3)."""
    costs: Mapping[Costs, int]
    """The number of passwords by their cost parameters."""
    working_days: WorkingDays = WEEKENDS
    """The calendar by which terms of working days count."""
    downtimes: tuple[Downtime, ...] = ()
    """The newest downtimes that were not cancelled, also those that are over (Reg. 10.3)."""

    def find(self, address: str) -> Entry | AliasEntry | None:
        """Return the holder of `address` (lower case, with its domain, without subaddress)."""
        return self.addresses.get(address)

    def resolve(self, address: str) -> Entry | None:
        """Return the mailbox that `address` leads to, directly or by an alias."""
        found = self.addresses.get(address)
        return self.entries.get(found.mailbox_id) if found is not None else None

    def facts_of(self, person_id: int) -> Sequence[Fact]:
        """Return the record of a person's own mailbox; empty where there is none."""
        own = self.entry(self.own.get(person_id, 0))
        return () if own is None else own.facts

    def entry(self, mailbox_id: int) -> Entry | None:
        return self.entries.get(mailbox_id)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def __len__(self) -> int:
        return len(self.entries)


EMPTY = Snapshot(version=0, fact_seq=0, domains=frozenset(), entries={}, addresses={}, own={}, named_in={}, costs={})


def assemble(
    version: int,
    fact_seq: int,
    domains: Iterable[str],
    changed: Iterable[Entry],
    *,
    previous: Snapshot = EMPTY,
    working_days: WorkingDays = WEEKENDS,
    downtimes: Iterable[Downtime] = (),
) -> Snapshot:
    """Return `previous` with the entries in `changed` added or replaced.

    A mailbox never leaves the directory.
    """
    entries, addresses = dict(previous.entries), dict(previous.addresses)
    own, named_in, costs = dict(previous.own), dict(previous.named_in), Counter(previous.costs)
    for entry in changed:
        old = entries.get(entry.mailbox_id)
        for gone in old.addresses if old is not None else ():
            had = addresses.get(gone)
            if had is not None and had.mailbox_id == entry.mailbox_id:  # otherwise a unit's successor has it by now
                del addresses[gone]
        if old is not None and old.credential is not None:
            costs[old.credential.costs] -= 1
        if entry.credential is not None:
            costs[entry.credential.costs] += 1
        entries[entry.mailbox_id] = entry
        addresses[entry.address] = entry
        for alias in entry.aliases:
            addresses[alias] = AliasEntry(alias, entry.mailbox_id, alias in entry.former_own)
        if entry.kind is not MailboxKind.PERSONAL:
            for person in delegation.named_person_ids(entry.facts):
                named_in[person] = named_in.get(person, frozenset()) | {entry.mailbox_id}
        elif entry.owner.person_id is not None:
            own[entry.owner.person_id] = entry.mailbox_id
    present = frozenset(domains)
    return Snapshot(version, fact_seq, present, entries, addresses, own, named_in, +costs, working_days, tuple(downtimes))
