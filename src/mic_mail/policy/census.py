"""The census of mailboxes that each unit makes and signs every 6 months (Reg. 14.6).

Each list holds the people and mailboxes of a unit, and what changed since the last list.

In: the last list and the current one, days, the months in which a census falls due. Out: changes, periods, overdue units. Pure;
a list is a value that can be stored and read back unchanged, so that "changes since" is exact.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256

from mic_mail.policy.calendar import add_months, start_of

CLAUSE = "14.6"


class Group(StrEnum):
    """The subject of a line."""

    PERSON = "person"
    """A person of the unit, with or without a mailbox."""
    MAILBOX = "mailbox"
    """A mailbox of the unit itself, or of a group that it sponsors."""


@dataclass(frozen=True, slots=True)
class CensusLine:
    """One line of a unit's list; `key` is the same in every census for the same person or mailbox."""

    group: Group
    key: str
    name: str
    position: str
    """The person's position, or the mailbox's kind."""
    address: str
    """Empty for a person without a mailbox."""
    states: tuple[str, ...]
    """Names of `policy.states.MailboxState`."""
    quota_octets: int
    used_octets: int
    keepers: str
    """The people in charge of a unit's mailbox, or the members of a group (Reg. 12.3, 5.2)."""

    @property
    def has_mailbox(self) -> bool:
        """Return whether the line has a mailbox that is not reclaimed."""
        return bool(self.address) and "reclaimed" not in self.states


@dataclass(frozen=True, slots=True)
class Census:
    """The list of one unit at one instant; `census_id` 0: not recorded yet."""

    census_id: int
    unit_id: int
    period: date
    """The first day of the period."""
    made_at: datetime
    actor: str
    lines: tuple[CensusLine, ...]
    confirmed_at: datetime | None = None
    confirmed_by: str | None = None
    document: str | None = None

    @property
    def digest(self) -> str:
        """A digest by which a signed document is matched to this list."""
        return sha256(encode(self.lines).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Dispute:
    """A request by which a unit asks for a correction of a line (Reg. 14.3)."""

    request_id: int
    census_id: int
    key: str
    """The line's key."""


def meant(lines: Iterable[CensusLine], address: str | None, name: str | None) -> CensusLine | None:
    """Return the line that a request is about, by its address or else its name.

    None if there is no such line, or if several have that name.
    """
    listed = list(lines)
    if address is not None:
        return next((line for line in listed if line.address == address), None)
    named = [line for line in listed if name is not None and line.name.casefold() == name.casefold()]
    return named[0] if len(named) == 1 else None


@dataclass(frozen=True, slots=True)
class LineChange:
    """One line's difference from the last list: it appeared, disappeared, or has other fields.

    `fields`: name of the field, old value, new value.
    """

    line: CensusLine
    what: str
    """`came`, `went` or `altered`."""
    fields: tuple[tuple[str, str, str], ...] = ()


_COMPARED = ("name", "position", "address", "keepers")


def changes(before: Iterable[CensusLine], now: Iterable[CensusLine]) -> list[LineChange]:
    """Return the changes in the order of the lists, new lines first.

    Usage is no change; quota and states are.
    """
    old, new = {line.key: line for line in before}, {line.key: line for line in now}
    came = [LineChange(line, "came") for key, line in new.items() if key not in old]
    went = [LineChange(line, "went") for key, line in old.items() if key not in new]
    altered = [
        LineChange(line, "altered", fields)
        for key, line in new.items()
        if key in old and (fields := _differences(old[key], line))
    ]
    return [*came, *went, *altered]


def _differences(old: CensusLine, new: CensusLine) -> tuple[tuple[str, str, str], ...]:
    found = [(name, str(getattr(old, name)), str(getattr(new, name))) for name in _COMPARED]
    found.append(("states", " ".join(old.states), " ".join(new.states)))
    found.append(("quota_octets", str(old.quota_octets), str(new.quota_octets)))
    return tuple(each for each in found if each[1] != each[2])


def encode(lines: Sequence[CensusLine]) -> str:
    """Return the lines as they are stored."""
    return json.dumps([asdict(line) for line in lines], ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def decode(text: str) -> tuple[CensusLine, ...]:
    return tuple(_line(members) for members in json.loads(text))


def _line(members: Mapping[str, object]) -> CensusLine:
    stored = {**members, "group": Group(str(members["group"])), "states": tuple(members["states"])}  # type: ignore[arg-type]  # as `encode` wrote it
    return CensusLine(**stored)  # type: ignore[arg-type]  # as `encode` wrote it


# ---------------------------------------------------------------- when


def period_of(day: date, months: Sequence[int]) -> date:
    """Return the first day of the period that contains `day`; each of `months` (1 to 12) begins a period."""
    begins = [date(year, month, 1) for year in (day.year - 1, day.year) for month in sorted(months)]
    return max(first for first in begins if first <= day)


def due_at(period: date) -> datetime:
    """Return the deadline for a unit's list: the end of the period's first month (Reg. 14.6)."""
    return start_of(add_months(period, 1))


class CensusStanding(StrEnum):
    """The standing of a unit in a period."""

    CONFIRMED = "confirmed"
    WAITING = "waiting"
    """The month is not over yet."""
    OVERDUE = "overdue"
    NOT_YET = "not_yet"
    """The unit had no mailbox when the period began."""


def standing(period: date, censuses: Iterable[Census], has_mailboxes_since: datetime | None, now: datetime) -> CensusStanding:
    """Return the standing of the unit that made these censuses.

    `has_mailboxes_since`: the instant at which its first mailbox was recorded.
    """
    if any(census.period == period and census.confirmed_at is not None for census in censuses):
        return CensusStanding.CONFIRMED
    if has_mailboxes_since is None or start_of(period) < has_mailboxes_since:
        return CensusStanding.NOT_YET
    return CensusStanding.OVERDUE if due_at(period) <= now else CensusStanding.WAITING


def last_before(censuses: Iterable[Census], period: date) -> Census | None:
    """Return the list to compare a new one with.

    The newest of an earlier period; signed lists come before all others.
    """
    earlier = [census for census in censuses if census.period < period]
    signed = [census for census in earlier if census.confirmed_at is not None]
    return max(signed or earlier, key=lambda census: (census.period, census.made_at), default=None)
