"""Plan what an order changes: rows with old and new values, and facts for the mailboxes' records.

In: an order and the part of the directory that it concerns, read in one transaction. Out: a `ChangePlan`, which `changes`
writes in the same transaction; or `ChangeRefused`. Reads and writes nothing itself.

After every plan each person, mailbox and subordinate unit belongs to a unit that has not ended, a unit has at most one mailbox
of its own, and each address belongs to one mailbox. An address is never given to another mailbox (Reg. 5.4.a), with one
exception: the addresses of a unit's mailbox lead to the mailbox of the unit's successor, which answers for it from then on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

from mic_mail.directory.change_world import World
from mic_mail.directory.records import AddressRecord, AddressRole, MailboxRecord, PersonRecord, Superseded, UnitRecord
from mic_mail.errors import Text, in_ascii
from mic_mail.policy.calendar import ONE_DAY, local_day
from mic_mail.policy.directory_changes import Change, ChangeRefused, Order, OrderKind, Subject
from mic_mail.policy.facts import Detail, FactKind, Level, MailboxKind
from mic_mail.policy.ranks import level_of, title_of
from mic_mail.policy.unit_mail.delegation import POST, RIGHTS, Grant, Part

T = TypeVar("T")
Owned = TypeVar("Owned", PersonRecord, MailboxRecord)

FORMER_SUFFIX = "cu"
"""The suffix after the dot in the address of an ended unit's mailbox, for "cũ" (old).

Used where the unit's successor has a mailbox of its own.
"""
MEMBER_RIGHTS = RIGHTS.replace(POST, "")
"""The rights that the keeper of an ended unit's mailbox retains: all but sending as the unit."""


@dataclass(slots=True)
class ChangePlan:
    """The changes and facts of an order, in order."""

    changes: list[Change] = field(default_factory=list)
    facts: list[tuple[int, FactKind, dict[str, Detail]]] = field(default_factory=list)
    """Triples of mailbox, kind, data."""

    def change(self, subject: Subject, key: object, name: str, old: object, new: object) -> bool:
        """Plan a change of one value; return whether the value differs."""
        before, after = _text(old), _text(new)
        if before == after:
            return False
        self.changes.append(Change(subject, str(key), name, before, after))
        return True

    def fact(self, mailbox_id: int, kind: FactKind, **data: Detail) -> None:
        self.facts.append((mailbox_id, kind, data))


def plan(order: Order, world: World, is_taken: Callable[[str], bool]) -> ChangePlan:
    """Return what `order` changes; raise `ChangeRefused` where it changes nothing.

    `is_taken` returns whether an address is or was in use.
    """
    planner = _Planner(order, world, is_taken)
    acts = {
        OrderKind.PERSON: planner.person,
        OrderKind.ADDRESS: planner.address,
        OrderKind.UNIT: planner.unit,
        OrderKind.MERGE: planner.merge,
        OrderKind.SPLIT: planner.split,
        OrderKind.CLOSE: planner.close,
        OrderKind.LEVEL: planner.level,
        OrderKind.DOMAIN: planner.domain,
    }
    acts[order.act]()
    if not planner.plan.changes:
        raise _refused("Không có gì thay đổi so với danh bạ.", "Nothing would change in the directory.", "6.5")
    return planner.plan


class _Planner:
    """Plans one order; `_roles` and `_unit_mailboxes` follow what was planned so far."""

    def __init__(self, order: Order, world: World, is_taken: Callable[[str], bool]) -> None:
        self.plan = ChangePlan()
        self._details: Mapping[str, Any] = order.details
        self._request = order.request
        """The request behind the order: closing a unit does not count it among the unit's open requests."""
        self._day = local_day(order.effective_at)
        self._world = world
        self._is_taken = is_taken
        self._roles = {each.address: each for each in world.addresses}
        self._unit_mailboxes = {
            each.unit_id: each for each in world.mailboxes if each.kind is MailboxKind.UNIT and each.unit_id is not None
        }

    # ------------------------------------------------------------ people

    def person(self) -> None:
        """Plan another name, position, level, unit or employment (Reg. 6.2, 6.4.b)."""
        person, wanted = self._person(self._details["person"]), dict(self._details["set"])
        if wanted.get("position", person.position) != person.position and "level" not in wanted:
            wanted["level"] = level_of(wanted["position"], self._world.levels)
        if self._details.get("unit_from", person.unit_id) != person.unit_id:
            raise Superseded(
                Text(
                    "Đơn vị của cá nhân vừa thay đổi; đề nghị xem lại.",
                    "The person's unit has just changed; check it and try again.",
                )
            )
        data: dict[str, Detail] = {}
        for name, new in wanted.items():
            old = getattr(person, name)
            if self.plan.change(Subject.PERSON, person.person_id, name, old, new) and name != "unit_id":
                data |= {name: _text(new), f"{name}_before": _text(old)}
        unit_id = wanted.get("unit_id", person.unit_id)
        if unit_id != person.unit_id:
            self._living(unit_id)
            data |= {"unit_from": self._symbol(person.unit_id), "unit_to": self._symbol(unit_id)}
        self.address()
        if not data:
            return
        kind = FactKind.TRANSFERRED if "unit_to" in data else FactKind.DETAILS_CHANGED
        for mailbox in self._mailboxes_of_person(person.person_id):
            self._rename(mailbox, person.full_name, wanted.get("full_name", person.full_name))
            self.plan.fact(mailbox.mailbox_id, kind, **data)

    def level(self) -> None:
        """Plan another level for a title (Reg. 6.4.c).

        A person whose level followed the table follows it again.
        """
        title, new = title_of(self._details["title"]), _level(self._details["level"])
        if not title:
            raise _refused("Chức danh để trống.", "The title is empty.", "6.4.c")
        before = self._world.levels
        after = {**before, title: new}
        self.plan.change(Subject.LEVEL, title, "level", level_of(title, before), new)
        for person in self._world.people:
            old, now = level_of(person.position, before), level_of(person.position, after)
            if old == now or person.level not in {old, None}:
                continue
            if self.plan.change(Subject.PERSON, person.person_id, "level", person.level, now):
                data: dict[str, Detail] = {"level": _text(now), "level_before": _text(person.level)}
                for mailbox in self._mailboxes_of_person(person.person_id):
                    self.plan.fact(mailbox.mailbox_id, FactKind.DETAILS_CHANGED, **data)

    # ------------------------------------------------------------ addresses

    def address(self) -> None:
        """Plan other addresses for mailboxes; the old ones stay aliases for a time."""
        for mailbox_id, address in self._details.get("moves", ()):
            self._readdress(self._mailbox(mailbox_id), address, _day(self._details.get("until")))

    def domain(self) -> None:
        """Plan whether a domain is local; it cannot cease to be while addresses under it are in use."""
        name, is_local = self._details["name"], self._details["is_local"]
        if not is_local and self._world.addresses:
            some = ", ".join(each.address for each in self._world.addresses[:3])
            raise _refused(
                f"Còn địa chỉ thuộc tên miền {name}: {some}.",
                f"Addresses under {name} are in use: {some}.",
                "3.2",
                Text("mic-mail domain move, mic-mail alias remove", "mic-mail domain move, mic-mail alias remove"),
            )
        self.plan.change(Subject.DOMAIN, name, "is_local", name in self._world.domains, is_local)

    def _readdress(self, mailbox: MailboxRecord, address: str, until: date | None) -> None:
        if address == mailbox.address:
            return
        if address.rpartition("@")[2] not in self._world.domains:
            raise _refused(f"Tên miền của {address} không thuộc hệ thống.", f"The domain of {address} is not local.", "3.2")
        if self._is_anothers(address, mailbox):
            raise _refused(f"Địa chỉ {address} đã được sử dụng.", f"The address {address} is or was in use.", "5.4.a")
        self._give(mailbox.address, mailbox.mailbox_id, AddressRole.ALIAS, until)
        self._give(address, mailbox.mailbox_id, AddressRole.PRIMARY, None)
        data: dict[str, Detail] = {"address": address, "address_before": mailbox.address}
        if until is not None:
            data["until"] = until.isoformat()
        self.plan.fact(mailbox.mailbox_id, FactKind.READDRESSED, **data)

    def _give(self, address: str, mailbox_id: int, role: AddressRole, until: date | None) -> None:
        old = self._roles.get(address)
        self.plan.change(Subject.ADDRESS, address, "mailbox_id", old.mailbox_id if old else None, mailbox_id)
        self.plan.change(Subject.ADDRESS, address, "role", old.role if old else None, role)
        self.plan.change(Subject.ADDRESS, address, "until", old.until if old else None, until)
        self._roles[address] = AddressRecord(address, mailbox_id, role, until)

    # ------------------------------------------------------------ units

    def unit(self) -> None:
        """Plan another name, symbol or superior unit.

        Where the symbol changes, the unit's mailbox gets the new address that the order names.
        """
        unit, wanted = self._living(self._details["unit"]), dict(self._details["set"])
        symbol = wanted.get("symbol", unit.symbol)
        for other in self._world.units.values():
            if other.unit_id != unit.unit_id and other.symbol.casefold() == symbol.casefold():
                raise _refused(f"Đã có đơn vị {symbol}.", f"Unit {other.symbol} already exists.", "5.1")
        if (above := wanted.get("parent_id")) is not None:
            self._living(above)
            if unit.unit_id in self._above(above):
                raise _refused("Đơn vị không thể thuộc chính nó.", "A unit cannot be below itself.", "6.5")
        data: dict[str, Detail] = {}
        for name, new in wanted.items():
            if name == "document" and not self.plan.changes:  # the values' source, no change by itself
                continue
            old = getattr(unit, name)
            if self.plan.change(Subject.UNIT, unit.unit_id, name, old, new) and name in {"symbol", "name"}:
                data |= {name: _text(new), f"{name}_before": _text(old)}
        own = self._unit_mailboxes.get(unit.unit_id)
        if own is not None and data:
            self._rename(own, unit.name, wanted.get("name", unit.name))
            self.plan.fact(own.mailbox_id, FactKind.DETAILS_CHANGED, **data)
        self.address()

    def merge(self) -> None:
        into = self._living(self._details["into"])
        for unit_id in dict.fromkeys(self._details["units"]):
            if unit_id == into.unit_id:
                raise _refused(
                    f"{into.symbol} không thể sáp nhập vào chính nó.", f"{into.symbol} cannot be merged into itself.", "6.5"
                )
            self._end(self._living(unit_id), into, frozenset())

    def split(self) -> None:
        """Plan a split: people, mailboxes and subordinate units of a unit go to other units.

        With `rest` the unit ends, and what is left goes to that unit.
        """
        unit, moves = self._living(self._details["unit"]), self._details["moves"]
        to_of = {("person", each["person"]) if "person" in each else ("mailbox", each["mailbox"]): each["to"]
                 for each in moves if "part" not in each}  # fmt: skip
        if len(to_of) + sum("part" in each for each in moves) != len(moves):
            raise _refused("Có người hoặc hộp thư được nêu hai lần.", "A person or mailbox is named twice.", "6.5")
        rest = self._details.get("rest")
        own = self._unit_mailboxes.get(unit.unit_id)
        seat = to_of.get(("mailbox", own.mailbox_id), rest or unit.unit_id) if own is not None else None
        for each in moves:
            to = self._living(each["to"])
            if to.unit_id == unit.unit_id:
                raise _refused("Đơn vị nhận trùng với đơn vị được chia, tách.", "The receiving unit is the unit itself.", "6.5")
            if "person" in each:
                person = self._of_unit(unit, self._person(each["person"]))
                self._take_person(person, to, stays_with_mailbox=seat in {None, to.unit_id})
            elif "mailbox" in each:
                self._take_mailbox(self._of_unit(unit, self._mailbox(each["mailbox"])), to)
            else:
                self._take_part(self._living(each["part"]), unit, to)
        if rest is not None:
            self._end(unit, self._living(rest), frozenset(to_of), seat=seat)

    def close(self) -> None:
        """Plan the end of a unit that has nothing left; its reclaimed mailboxes go to the superior unit."""
        unit = self._living(self._details["unit"])
        above = self._world.units.get(unit.parent_id or 0)
        goes_up = {
            each.mailbox_id: each
            for each in self._world.mailboxes
            if above is not None and each.unit_id == unit.unit_id and each.mailbox_id in self._world.reclaimed
        }
        names = [
            *(each.full_name for each in self._world.people if each.unit_id == unit.unit_id),
            *(
                each.address
                for each in self._world.mailboxes
                if each.unit_id == unit.unit_id and each.mailbox_id not in goes_up
            ),
            *(each.symbol for each in self._world.units.values() if each.parent_id == unit.unit_id and each.is_living),
        ]
        rows = [
            Text(f"{subject.label.vi} số {number}", f"{subject.label.en} {number}")
            for subject, rows in self._world.open_rows.items()
            for number, of in rows.items()
            if of == unit.unit_id and (subject, number) != (Subject.REQUEST, self._request)
        ]
        left = [*(Text(name, in_ascii(name)) for name in names), *rows][:5]
        if left:
            raise _refused(
                f"Đơn vị {unit.symbol} còn: {', '.join(each.vi for each in left)}.",
                f"Unit {unit.symbol} still has: {', '.join(each.en for each in left)}.",
                "6.5",
                Text(
                    "`mic-mail unit merge`, `unit split` hoặc `mailbox reclaim`",
                    "`mic-mail unit merge`, `unit split` or `mailbox reclaim`",
                ),
            )
        for mailbox in goes_up.values():
            assert above is not None
            self._take_mailbox(mailbox, above)
        self._close(unit, None)

    def _end(self, unit: UnitRecord, into: UnitRecord, moved: frozenset[tuple[str, int]], *, seat: int | None = None) -> None:
        """Move everything of the unit that was not `moved` to `into`, and end the unit.

        `seat` is the unit that got the unit's own mailbox.
        """
        if unit.unit_id in self._above(into.unit_id):  # a subordinate unit takes over: it moves up to the unit's place
            self.plan.change(Subject.UNIT, into.unit_id, "parent_id", into.parent_id, unit.parent_id)
        for part in self._world.units.values():
            is_part = part.parent_id == unit.unit_id and part.unit_id != into.unit_id and part.is_living
            if is_part and not self._was_moved(Subject.UNIT, part.unit_id):
                self._take_part(part, unit, into)
        for person in self._world.people:
            if person.unit_id == unit.unit_id and ("person", person.person_id) not in moved:
                self._take_person(person, into, stays_with_mailbox=seat in {None, into.unit_id})
        for mailbox in self._world.mailboxes:
            if mailbox.unit_id == unit.unit_id and ("mailbox", mailbox.mailbox_id) not in moved:
                self._take_mailbox(mailbox, into)
        for subject, rows in self._world.open_rows.items():
            for number, of in rows.items():
                if of == unit.unit_id:
                    self.plan.change(subject, number, "unit_id", of, into.unit_id)
        self._close(unit, into)

    def _close(self, unit: UnitRecord, into: UnitRecord | None) -> None:
        for number, of in self._world.officers.items():  # a successor has to name its own administrators
            if of == unit.unit_id:
                self.plan.change(Subject.OFFICER, number, "until", None, self._day)
        self.plan.change(Subject.UNIT, unit.unit_id, "ended_on", None, self._day)
        self.plan.change(Subject.UNIT, unit.unit_id, "successor_id", None, into.unit_id if into else None)

    def _take_part(self, part: UnitRecord, unit: UnitRecord, to: UnitRecord) -> None:
        if part.parent_id != unit.unit_id:
            raise _refused(
                f"{part.symbol} không trực thuộc {unit.symbol}.", f"{part.symbol} is not part of {unit.symbol}.", "6.5"
            )
        self.plan.change(Subject.UNIT, part.unit_id, "parent_id", part.parent_id, to.unit_id)

    def _take_person(self, person: PersonRecord, to: UnitRecord, *, stays_with_mailbox: bool) -> None:
        """Move a person to another unit.

        A keeper of the unit's mailbox remains its keeper where both go to the same unit (Reg. 12.3: a person of the unit).
        """
        self.plan.change(Subject.PERSON, person.person_id, "unit_id", person.unit_id, to.unit_id)
        kind = FactKind.REORGANISED if stays_with_mailbox else FactKind.TRANSFERRED
        for mailbox in self._mailboxes_of_person(person.person_id):
            self.plan.fact(mailbox.mailbox_id, kind, unit_from=self._symbol(person.unit_id), unit_to=to.symbol)

    def _take_mailbox(self, mailbox: MailboxRecord, to: UnitRecord) -> None:
        """Move a unit's or group's mailbox to another unit.

        A unit's mailbox becomes the own mailbox of a unit that has none. Otherwise it becomes a group mailbox, and its
        addresses lead to the mailbox of that unit.
        """
        assert mailbox.unit_id is not None, "a personal mailbox goes with its person"
        self.plan.change(Subject.MAILBOX, mailbox.mailbox_id, "unit_id", mailbox.unit_id, to.unit_id)
        self.plan.fact(mailbox.mailbox_id, FactKind.REORGANISED, unit_from=self._symbol(mailbox.unit_id), unit_to=to.symbol)
        if mailbox.kind is not MailboxKind.UNIT:
            return
        self._unit_mailboxes.pop(mailbox.unit_id, None)
        own = self._unit_mailboxes.get(to.unit_id)
        if own is None and mailbox.mailbox_id not in self._world.reclaimed:
            self._unit_mailboxes[to.unit_id] = mailbox
            self._rename(mailbox, self._world.units[mailbox.unit_id].name, to.name)
            wanted = dict(self._details["own"]).get(to.unit_id) if "own" in self._details else None
            if wanted is not None and not self._is_anothers(wanted, mailbox):
                self._readdress(mailbox, wanted, None)
            return
        if mailbox.mailbox_id in self._world.handed_over:
            raise _refused(
                f"Hộp thư {mailbox.address} đang được bàn giao.",
                f"{mailbox.address} is being handed over.",
                "12.3.d",
                Text("mic-mail handover finish, hoặc cancel", "mic-mail handover finish, or cancel"),
            )
        self.plan.change(Subject.MAILBOX, mailbox.mailbox_id, "kind", mailbox.kind, MailboxKind.GROUP)
        for grant in self._world.keepers.get(mailbox.mailbox_id, ()):
            self._make_member(mailbox, grant)
        if mailbox.mailbox_id in self._world.reclaimed:
            return
        assert own is not None
        if own.mailbox_id in self._world.reclaimed:
            raise _refused(
                f"Hộp thư {own.address} của {to.symbol} đã thu hồi.",
                f"{own.address} of {to.symbol} is reclaimed.",
                "6.5",
                Text(f"mic-mail mailbox issue --unit {to.symbol}", in_ascii(f"mic-mail mailbox issue --unit {to.symbol}")),
            )
        self._lead_to(mailbox, own)

    def _make_member(self, mailbox: MailboxRecord, grant: Grant) -> None:
        data: dict[str, Detail] = {
            "person": grant.person_id, "holder": grant.holder, "part": Part.MEMBER.value, "rights": MEMBER_RIGHTS,
        }  # fmt: skip
        if grant.until is not None:
            data["until"] = (local_day(grant.until) - ONE_DAY).isoformat()
        self.plan.fact(mailbox.mailbox_id, FactKind.AUTHORISED, **data)

    def _lead_to(self, mailbox: MailboxRecord, own: MailboxRecord) -> None:
        """Let the addresses of a unit's mailbox lead to its successor's mailbox.

        The messages stay in the old mailbox, which gets another address.
        """
        local, _, domain = mailbox.address.rpartition("@")
        former = next(each for each in _former(local, domain) if not self._is_taken(each) and each not in self._roles)
        for each in [each for each in self._roles.values() if each.mailbox_id == mailbox.mailbox_id]:
            if each.role == AddressRole.FORMER:
                continue
            self._give(each.address, own.mailbox_id, AddressRole.ALIAS, each.until)
            self.plan.fact(own.mailbox_id, FactKind.ALIAS_ADDED, address=each.address)
            if each.role != AddressRole.PRIMARY:
                self.plan.fact(mailbox.mailbox_id, FactKind.ALIAS_REMOVED, address=each.address, led_to=own.address)
        self._give(former, mailbox.mailbox_id, AddressRole.PRIMARY, None)
        self.plan.fact(
            mailbox.mailbox_id, FactKind.READDRESSED, address=former, address_before=mailbox.address, led_to=own.address
        )

    # ------------------------------------------------------------ look-ups

    def _living(self, unit_id: int) -> UnitRecord:
        unit = self._world.units[unit_id]
        if not unit.is_living:
            after = self._world.units.get(unit.successor_id or 0)
            raise _refused(
                f"Đơn vị {unit.symbol} không còn{f', nay là {after.symbol}' if after else ''}.",
                f"Unit {unit.symbol} has ended{f', its successor is {after.symbol}' if after else ''}.",
                "6.5",
            )
        return unit

    def _above(self, unit_id: int) -> Iterator[int]:
        seen: set[int] = set()
        at: int | None = unit_id
        while at is not None and at not in seen:
            yield at
            seen.add(at)
            at = self._world.units[at].parent_id

    def _symbol(self, unit_id: int) -> str:
        return self._world.units[unit_id].symbol

    def _person(self, person_id: int) -> PersonRecord:
        return _found((each for each in self._world.people if each.person_id == person_id), f"cá nhân mã {person_id}")

    def _mailbox(self, mailbox_id: int) -> MailboxRecord:
        return _found((each for each in self._world.mailboxes if each.mailbox_id == mailbox_id), f"hộp thư mã {mailbox_id}")

    def _mailboxes_of_person(self, person_id: int) -> list[MailboxRecord]:
        return [each for each in self._world.mailboxes if each.person_id == person_id]

    def _of_unit(self, unit: UnitRecord, one: Owned) -> Owned:
        if one.unit_id != unit.unit_id:
            name = one.full_name if isinstance(one, PersonRecord) else one.address
            raise _refused(f"{name} không thuộc {unit.symbol}.", f"{name} does not belong to {unit.symbol}.", "6.5")
        return one

    def _was_moved(self, subject: Subject, key: int) -> bool:
        return any(each.subject is subject and each.key == str(key) for each in self.plan.changes)

    def _is_anothers(self, address: str, mailbox: MailboxRecord) -> bool:
        known = self._roles.get(address)
        return known.mailbox_id != mailbox.mailbox_id if known is not None else self._is_taken(address)

    def _rename(self, mailbox: MailboxRecord, old: str, new: str) -> None:
        """Rename a mailbox that bears the name of its person or unit."""
        if mailbox.display_name == old:
            self.plan.change(Subject.MAILBOX, mailbox.mailbox_id, "display_name", old, new)


def _refused(vi: str, en: str, clause: str, remedy: Text | None = None) -> ChangeRefused:
    return ChangeRefused(Text(vi, in_ascii(en)), clause=clause, remedy=remedy)


def _former(local: str, domain: str) -> Iterator[str]:
    yield f"{local}.{FORMER_SUFFIX}@{domain}"
    for number in range(2, 1_000):
        yield f"{local}.{FORMER_SUFFIX}{number}@{domain}"


def _found(those: Iterable[T], what: str) -> T:
    found = next(iter(those), None)
    if found is None:
        raise _refused(f"Không có {what}.", "There is no such person or mailbox.", "6.5")
    return found


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _level(text: str | None) -> Level | None:
    return None if text is None else Level(text)


def _text(value: object) -> str | None:
    match value:
        case None | "":
            return None
        case bool():
            return "yes" if value else "no"
        case date():
            return value.isoformat()
        case _:
            return str(value)
