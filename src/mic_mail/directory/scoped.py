"""The directory as a unit's administrator sees it: the own unit, the units below it, and their data.

A `Directory` whose reads answer as if nothing else existed (Reg. 6.1, 14.3), so that no caller learns anything of other units:
lists are shorter, and what belongs to another unit is not found. It is not refused, because a refusal would say that it exists.
Changes are not limited: a unit's administrator has the right to none but requests.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from mic_mail.directory import snapshot as snapshots
from mic_mail.directory.address_book_rows import AddressBookRows
from mic_mail.directory.app_passwords import LastUse
from mic_mail.directory.records import AddressRecord, MailboxRecord, NotFound, PersonRecord, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.second_factors import Factor, mailbox_holder
from mic_mail.directory.snapshot import EMPTY, Entry, Snapshot
from mic_mail.errors import Text, in_ascii
from mic_mail.policy.authorization.roles import CLAUSE, NotAuthorised
from mic_mail.policy.census import Census, Dispute
from mic_mail.policy.facts import Fact
from mic_mail.policy.migration_plans import MigrationPlan

Chosen = Callable[[dict[int, int | None]], frozenset[int]]
"""Returns the visible units, given all units with their superior units."""


class PartialDirectory(Directory):
    """The part of the directory `whole` that belongs to some units; uses the same database.

    The calendar and the downtimes are everybody's. Each other register answers for the units alone, or not at all.
    """

    def __init__(self, whole: Directory, chosen: Chosen) -> None:
        super().__init__(whole.url, clock=whole.clock)
        self._whole = whole
        self._chosen = chosen
        self.requests = self.requests.narrowed(self._units)
        self.incidents = self.incidents.narrowed(self._units, self._known)
        self.censuses = _register(of=self._censuses_of, disputes=self._disputes)
        self.migration_plans = _register(all=self._plans)
        self.app_passwords = _register(uses=self._uses)
        self.second_factors = _register(of=self._factor)
        self.changes = _register(levels=whole.changes.levels)
        self.officers = self.content = self.sent = self.signatories = _register()

    def _units(self) -> frozenset[int]:
        """Return the visible units, computed each time: the tree may change while a command runs."""
        return self._chosen({unit.unit_id: unit.parent_id for unit in super().units()})

    def units(self) -> list[UnitRecord]:
        seen = self._units()
        return [
            unit if unit.parent_id in seen else replace(unit, parent_id=None)
            for unit in super().units()
            if unit.unit_id in seen
        ]

    def unit(self, symbol: str) -> UnitRecord:
        wanted = symbol.casefold()
        found = next((unit for unit in self.units() if unit.symbol.casefold() == wanted), None)
        return found or _not_here("đơn vị", "unit", symbol)

    def people(self, unit_id: int | None = None) -> list[PersonRecord]:
        seen = self._units()
        return [person for person in super().people(unit_id) if person.unit_id in seen]

    def person(self, person_id: int) -> PersonRecord:
        found = next((person for person in self.people() if person.person_id == person_id), None)
        return found or _not_here("cá nhân mã", "person", person_id)

    def roll(self) -> AddressBookRows:
        return super().roll().only(self._units())

    def mailboxes(self) -> list[MailboxRecord]:
        return self._visible(super().mailboxes())

    def mailboxes_of(self, *, person_id: int | None = None, unit_id: int | None = None) -> list[MailboxRecord]:
        return self._visible(super().mailboxes_of(person_id=person_id, unit_id=unit_id))

    def mailbox(self, address: str) -> MailboxRecord:
        try:
            found = self._visible([super().mailbox(address)])
        except NotFound:
            found = []
        return found[0] if found else _not_here("hộp thư", "mailbox", address.lower())

    def entry(self, mailbox_id: int) -> Entry:
        self._must_see(mailbox_id)
        return super().entry(mailbox_id)

    def facts(self, mailbox_id: int) -> list[Fact]:
        self._must_see(mailbox_id)
        return super().facts(mailbox_id)

    def former_verifiers(self, mailbox_id: int, most: int) -> list[str]:
        self._must_see(mailbox_id)
        return super().former_verifiers(mailbox_id, most)

    def addresses(self, mailbox_id: int | None = None) -> list[AddressRecord]:
        seen = {mailbox.mailbox_id for mailbox in self.mailboxes()}
        return [address for address in super().addresses(mailbox_id) if address.mailbox_id in seen]

    def load_snapshot(self, previous: Snapshot = EMPTY) -> Snapshot:
        whole = super().load_snapshot()
        if whole.version == previous.version:
            return previous
        seen = {mailbox.mailbox_id for mailbox in self.mailboxes()}
        entries = [entry for entry in whole if entry.mailbox_id in seen]
        return snapshots.assemble(
            whole.version,
            whole.fact_seq,
            whole.domains,
            entries,
            working_days=whole.working_days,
            downtimes=whole.downtimes,
        )

    def _censuses_of(self, unit_id: int | None = None) -> list[Census]:
        return [census for census in self._whole.censuses.of(unit_id) if census.unit_id in self._units()]

    def _disputes(self, unit_id: int) -> list[Dispute]:
        return self._whole.censuses.disputes(unit_id) if unit_id in self._units() else []

    def _plans(self) -> list[MigrationPlan]:
        return [plan for plan in self._whole.migration_plans.all() if plan.unit_id in self._units()]

    def _factor(self, holder: str) -> Factor | None:
        visible = any(mailbox_holder(mailbox.mailbox_id) == holder for mailbox in self.mailboxes())
        return self._whole.second_factors.of(holder) if visible else None

    def _uses(self, mailbox_id: int) -> dict[int, LastUse]:
        self._must_see(mailbox_id)
        return self._whole.app_passwords.uses(mailbox_id)

    def _visible(self, mailboxes: Iterable[MailboxRecord]) -> list[MailboxRecord]:
        units, people = self._units(), {person.person_id for person in self.people()}
        return [mailbox for mailbox in mailboxes if mailbox.unit_id in units or mailbox.person_id in people]

    def _known(self, addresses: Sequence[str]) -> tuple[str, ...]:
        """Return those of these addresses that belong to visible mailboxes."""
        known = {each.address for each in self.addresses()} if addresses else set[str]()
        return tuple(address for address in addresses if address in known)

    def _must_see(self, mailbox_id: int) -> None:
        if all(mailbox.mailbox_id != mailbox_id for mailbox in self.mailboxes()):
            _not_here("hộp thư mã", "mailbox", mailbox_id)


class _Register:
    """A register of which a unit's administrator may ask some questions; any other is refused."""

    def __init__(self, answers: dict[str, Callable[..., object]]) -> None:
        self._answers = answers

    def __getattr__(self, question: str) -> Callable[..., object]:
        if question not in self._answers:
            raise NotAuthorised(
                Text("Sổ này không thuộc phạm vi một đơn vị.", "This register is not for the administrator of a unit."),
                clause=CLAUSE,
            )
        return self._answers[question]


def _register(**answers: Callable[..., object]) -> Any:
    """Return a register with these answers alone; it stands in the place of the whole one."""
    return _Register(answers)


def _not_here(what_vi: str, what_en: str, which: object) -> NoReturn:
    raise NotFound(
        Text(
            f"Trong phạm vi đơn vị được giao không có {what_vi} {which}.",
            f"No such {what_en} in the unit or below it: {in_ascii(which)}.",
        )
    )
