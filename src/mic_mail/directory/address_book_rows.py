"""Rows of units and people, as an address book needs them (Reg. 2.6).

In: a read transaction. Out: `AddressBookRows`. Rows instead of ORM entities, so that 30,000 people
take 50 ms.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from mic_mail.directory.connection import Rows


class PersonLine(NamedTuple):
    """A person, without rank and employment."""

    person_id: int
    full_name: str
    unit_id: int
    position: str


class UnitLine(NamedTuple):
    """A unit."""

    unit_id: int
    symbol: str
    name: str


@dataclass(frozen=True, slots=True)
class AddressBookRows:
    """All people and the units that have not ended, at one moment."""

    units: Mapping[int, UnitLine]
    people: tuple[PersonLine, ...]

    def only(self, units: frozenset[int]) -> "AddressBookRows":
        return replace(
            self,
            units={unit_id: line for unit_id, line in self.units.items() if unit_id in units},
            people=tuple(line for line in self.people if line.unit_id in units),
        )


def load(rows: Rows) -> AddressBookRows:
    units = rows("SELECT unit_id, symbol, name FROM unit WHERE ended_on IS NULL")
    people = rows("SELECT person_id, full_name, unit_id, position FROM person")
    return AddressBookRows({row[0]: UnitLine(*row) for row in units}, tuple(PersonLine(*row) for row in people))
