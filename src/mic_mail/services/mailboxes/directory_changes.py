"""Changes of the directory ordered by the Centre: people, addresses, units, levels and domains.

Reg. 6.2, 6.4.b, 6.5. In: the change, its day, the actor and the document. Out: the order on record, carried out where
its day has come, or a refusal with its clause. The rules of names, employment and addresses are checked here;
`directory.change_plan` decides what the directory allows. Blocking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord, PersonRecord, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.calendar import add_days, local_day, start_of
from mic_mail.policy.directory_changes import ChangeRefused, Json, Order, OrderEntry, OrderKind
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Level, MailboxKind
from mic_mail.policy.naming import addresses
from mic_mail.policy.naming.transliteration import tidy, words
from mic_mail.services.mailboxes.address_settings import address_settings
from mic_mail.services.use_cases import UseCases


@dataclass(frozen=True, slots=True)
class Contract:
    """A person's employment; the days are those of a contract."""

    employment: Employment
    begins: date | None = None
    ends: date | None = None


@dataclass(frozen=True, slots=True)
class PersonChange:
    """The changes to a person; None: unchanged."""

    full_name: str | None = None
    position: str | None = None
    level: Level | None = None
    """Given with a position that the table of levels does not know; else the level follows the position."""
    unit: UnitRecord | None = None
    contract: Contract | None = None


@dataclass(frozen=True, slots=True)
class UnitChange:
    """The changes to a unit; None: unchanged."""

    name: str | None = None
    symbol: str | None = None
    parent: UnitRecord | None = None
    at_the_top: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """A person, mailbox or sub-unit that moves from a unit being split to another one."""

    what: PersonRecord | MailboxRecord | UnitRecord
    to: UnitRecord


class DirectoryChanges(UseCases):
    """The use cases; each returns the order as it is then on record."""

    def __init__(self, directory: Directory, config: Config, clock: Clock) -> None:
        super().__init__(directory, config, clock)
        self._rules = address_settings(config)

    def person(
        self,
        person: PersonRecord,
        wanted: PersonChange,
        origin: ActContext,
        on: date | None = None,
        *,
        address: str | None = None,
        keep_days: int | None = None,
    ) -> OrderEntry:
        """Change a person's name, position, level, unit, employment or personal address (Reg. 6.2, 6.4.b)."""
        changes: dict[str, Json] = {}
        details: dict[str, Json] = {"person": person.person_id, "set": changes}
        if wanted.full_name is not None:
            changes["full_name"] = tidy(wanted.full_name)
            words(wanted.full_name)
        if wanted.position is not None:
            changes["position"] = tidy(wanted.position)
        if wanted.level is not None:
            changes["level"] = wanted.level.value
        if wanted.unit is not None:
            changes["unit_id"] = wanted.unit.unit_id
            if on is None:
                details["unit_from"] = person.unit_id
        if (contract := wanted.contract) is not None:
            check_contract(contract)
            changes["employment"] = contract.employment.value
            changes["contract_from"] = contract.begins.isoformat() if contract.begins else None
            changes["contract_until"] = contract.ends.isoformat() if contract.ends else None
        if address is not None:
            mailbox = next(iter(self._directory.mailboxes_of(person_id=person.person_id)), None)
            if mailbox is None:
                raise ChangeRefused(Text("Cá nhân chưa có hộp thư.", "The person has no mailbox."), clause="6.2")
            name, unit = wanted.full_name or person.full_name, wanted.unit.unit_id if wanted.unit else person.unit_id
            details["moves"] = [[mailbox.mailbox_id, self._fitting(mailbox, address, name=name, unit_id=unit)]]
            details["until"] = self._until(on, keep_days)
        return self._order(OrderKind.PERSON, details, origin, on)

    def level(self, title: str, level: Level | None, origin: ActContext) -> OrderEntry:
        """Set the level of a title (Reg. 6.4.c); None: unknown, and asked for."""
        return self._order(OrderKind.LEVEL, {"title": title, "level": level.value if level else None}, origin, None)

    def address(
        self, mailbox: MailboxRecord, address: str, origin: ActContext, on: date | None = None, *, keep_days: int | None = None
    ) -> OrderEntry:
        """Change a mailbox's address by the rules of Reg. 5; the old one stays an alias for `keep_days`."""
        return self.addresses({mailbox.mailbox_id: self._fitting(mailbox, address)}, origin, on, keep_days=keep_days)

    def _fitting(self, mailbox: MailboxRecord, address: str, *, name: str | None = None, unit_id: int | None = None) -> str:
        """Return the wanted address, or refuse it by Reg. 5; `name`, `unit_id`: the person's by then."""
        address = address.lower() if "@" in address else f"{address.lower()}@{mailbox.address.rpartition('@')[2]}"
        local, _, _ = address.rpartition("@")
        addresses.check_form(local)
        self._must_be_nobody_elses(mailbox, local)
        if mailbox.address.partition("@")[0] == local:  # only the domain differs: the name was assigned before
            return address
        match mailbox.kind:
            case MailboxKind.PERSONAL:
                person = self._directory.person(mailbox.person_id or 0)
                unit_local = self._unit_local(unit_id or person.unit_id)
                addresses.check_choice(local, name or person.full_name, unit_local, settings=self._rules)
            case MailboxKind.UNIT if local != self._unit_local(mailbox.unit_id or 0):
                raise addresses.AddressRefused(
                    Text(
                        "Địa chỉ hộp thư đơn vị theo ký hiệu đơn vị.",
                        "The address of a unit's mailbox follows from the unit's symbol.",
                    ),
                    clause="5.1",
                    remedy=Text("mic-mail unit change --symbol", "mic-mail unit change --symbol"),
                )
            case _:
                pass
        return address

    def _unit_local(self, unit_id: int) -> str:
        return addresses.unit_local_part(self._directory.units_by_id()[unit_id].symbol, self._rules)

    def addresses(
        self, moves: Mapping[int, str], origin: ActContext, on: date | None = None, *, keep_days: int | None = None
    ) -> OrderEntry:
        details: dict[str, Json] = {"moves": [[number, address] for number, address in moves.items()]}
        return self._order(OrderKind.ADDRESS, {**details, "until": self._until(on, keep_days)}, origin, on)

    def move_domain(
        self, old: str, new: str, origin: ActContext, on: date | None = None, *, keep_days: int | None = None
    ) -> OrderEntry:
        """Move all mailboxes whose own address is under `old` to the same local part under `new`."""
        moves = {
            each.mailbox_id: f"{each.address.partition('@')[0]}@{new.lower()}"
            for each in self._directory.mailboxes()
            if each.address.rpartition("@")[2] == old.lower()
        }
        return self.addresses(moves, origin, on, keep_days=keep_days)

    def domain(self, name: str, origin: ActContext, *, is_local: bool) -> OrderEntry:
        """Make a domain local besides the others, or no longer local (Reg. 3.2)."""
        if not is_local and name.lower() in self._config.domains:
            raise ChangeRefused(
                Text(f"Tệp cấu hình khai báo tên miền {name}.", f"The configuration names the domain {in_ascii(name)}."),
                clause="3.2",
                remedy=Text("Bỏ khỏi server.more_domains trước.", "Remove it from server.more_domains first."),
            )
        return self._order(OrderKind.DOMAIN, {"name": name.lower(), "is_local": is_local}, origin, None)

    def _must_be_nobody_elses(self, mailbox: MailboxRecord, local: str) -> None:
        """Refuse a local part that another mailbox has or had under any domain: readers confuse the two."""
        for domain in self._directory.domains():
            other = f"{local}@{domain}"
            known = [each for each in self._directory.addresses(mailbox.mailbox_id) if each.address == other]
            if not known and self._directory.is_taken(other):
                raise ChangeRefused(
                    Text(f"Địa chỉ {other} đã được sử dụng.", f"The address {other} is or was in use."), clause="5.4.a"
                )

    def _until(self, on: date | None, keep_days: int | None) -> str | None:
        days = self._config.address.alias_days if keep_days is None else keep_days
        return add_days(on or local_day(self._clock.now()), days).isoformat()

    def unit(
        self,
        unit: UnitRecord,
        wanted: UnitChange,
        origin: ActContext,
        on: date | None = None,
        *,
        domain: str | None = None,
        keep_days: int | None = None,
    ) -> OrderEntry:
        """Change a unit's name, symbol or parent; a new symbol changes its mailbox's address (Reg. 5.1).

        `domain`: the unit's mailboxes and those of its people get their addresses under it.
        """
        changes: dict[str, Json] = {}
        details: dict[str, Json] = {"unit": unit.unit_id, "set": changes, "until": self._until(on, keep_days)}
        if wanted.name is not None:
            changes["name"] = tidy(wanted.name)
        if wanted.symbol is not None:
            changes["symbol"] = wanted.symbol.strip()
        if wanted.parent is not None or wanted.at_the_top:
            changes["parent_id"] = wanted.parent.unit_id if wanted.parent is not None else None
        if changes and origin.document:
            changes["document"] = origin.document
        local = addresses.unit_local_part(wanted.symbol or unit.symbol, self._rules)
        people = {person.person_id for person in self._directory.people(unit.unit_id)}
        moves: list[Json] = []
        for each in self._directory.mailboxes():
            if each.unit_id != unit.unit_id and each.person_id not in people:
                continue
            before, _, under = each.address.rpartition("@")
            after = local if wanted.symbol is not None and each.kind is MailboxKind.UNIT else before
            moved = f"{after}@{domain or under}"
            if moved != each.address:
                moves.append([each.mailbox_id, moved])
        return self._order(OrderKind.UNIT, {**details, "moves": moves}, origin, on)

    def merge(self, units: Sequence[UnitRecord], into: UnitRecord, origin: ActContext, on: date | None = None) -> OrderEntry:
        """End units, and move everything of theirs to another one."""
        details: dict[str, Json] = {
            "units": [unit.unit_id for unit in units],
            "into": into.unit_id,
            "own": self._unit_addresses([into]),
        }
        return self._order(OrderKind.MERGE, details, origin, on)

    def split(
        self, unit: UnitRecord, moves: Sequence[Move], rest: UnitRecord | None, origin: ActContext, on: date | None = None
    ) -> OrderEntry:
        """Move the named parts to other units; with `rest` move everything else there and end the unit."""
        named: list[Json] = []
        for move in moves:
            match move.what:
                case PersonRecord(person_id=number):
                    named.append({"person": number, "to": move.to.unit_id})
                case MailboxRecord(mailbox_id=number, person_id=None):
                    named.append({"mailbox": number, "to": move.to.unit_id})
                case MailboxRecord(person_id=int(number)):
                    named.append({"person": number, "to": move.to.unit_id})
                case UnitRecord(unit_id=number):
                    named.append({"part": number, "to": move.to.unit_id})
        own = self._unit_addresses([*(move.to for move in moves), *([rest] if rest is not None else [])])
        details: dict[str, Json] = {"unit": unit.unit_id, "moves": named, "own": own}
        if rest is not None:
            details["rest"] = rest.unit_id
        return self._order(OrderKind.SPLIT, details, origin, on)

    def close(self, unit: UnitRecord, origin: ActContext, on: date | None = None) -> OrderEntry:
        """End a unit that has nothing left."""
        return self._order(OrderKind.CLOSE, {"unit": unit.unit_id}, origin, on)

    def _unit_addresses(self, units: Sequence[UnitRecord]) -> Json:
        domain = self._config.server.domain
        return [
            [unit.unit_id, f"{addresses.unit_local_part(unit.symbol, self._rules)}@{domain}"]
            for unit in {each.unit_id: each for each in units}.values()
        ]

    def cancel(self, number: int) -> OrderEntry:
        """Cancel an order whose day is still to come."""
        return self._directory.changes.cancel(number, self._clock.now())

    def _order(self, act: OrderKind, details: Mapping[str, Json], origin: ActContext, on: date | None) -> OrderEntry:
        missing = Text("Thay đổi danh bạ phải có văn bản.", "A change of the directory needs a document.")
        document = origin.must_have_document("6.2", missing)
        now = self._clock.now()
        order = Order(
            act=act,
            details=details,
            effective_at=now if on is None else start_of(on),
            actor=origin.actor,
            reason=origin.reason,
            document=document,
            request=origin.request,
        )
        return self._directory.changes.give(order, now)


def check_contract(contract: Contract) -> None:
    """Refuse days that do not belong to a contract, or form none (Reg. 6.3)."""
    is_contract, begins, ends = contract.employment is Employment.CONTRACT, contract.begins, contract.ends
    if is_contract and begins is None:
        raise BadInput(Text("Thiếu ngày bắt đầu hợp đồng.", "The contract's first day is missing."), clause="6.3")
    if not is_contract and (begins or ends):
        raise BadInput(
            Text("Chỉ hợp đồng mới có ngày bắt đầu, ngày hết hạn.", "Only a contract has a first and a last day."), clause="6.3"
        )
    if begins and ends and ends < begins:
        raise BadInput(
            Text("Hợp đồng hết hạn trước ngày bắt đầu.", "The contract ends before its first day."),
            clause="6.3",
            remedy=Text("Xem lại --contract-from, --contract-until.", "Check --contract-from and --contract-until."),
        )
