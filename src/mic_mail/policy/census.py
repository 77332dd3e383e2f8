"""Reg. 14.6: every 6 months each unit lists who and what uses mailboxes, what changed since the last list, and signs it.

In: what was listed then and what is listed now, days, the months in which a census falls due. Out: changes, periods, what is
overdue. Pure; a list is a value that can be stored and read back as it was, so that "changes since" is exact.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256

from mic_mail.policy.calendar import add_months, start_of

CLAUSE = "14.6"
LIST_CLAUSE = "14.3"


class Group(StrEnum):
    """What a line is about."""

    PERSON = "person"
    """A person of the unit, with or without a mailbox."""
    MAILBOX = "mailbox"
    """A mailbox of the unit itself, or of a group that it sponsors."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a unit's list; `key` is the same in every census for the same person or mailbox."""

    group: Group
    key: str
    name: str
    position: str
    """Of a person; of a mailbox its kind."""
    address: str
    """Empty for a person without a mailbox."""
    states: tuple[str, ...]
    """Names of `policy.states.State`."""
    quota_octets: int
    used_octets: int
    keepers: str
    """Who is in charge of a unit's mailbox, who is in a group (Reg. 12.3, 5.2)."""

    @property
    def has_mailbox(self) -> bool:
        """Whether there is one that is not reclaimed."""
        return bool(self.address) and "reclaimed" not in self.states


@dataclass(frozen=True, slots=True)
class Census:
    """What one unit listed at one instant; `census_id` 0 is not on record yet."""

    census_id: int
    unit_id: int
    period: date
    """The first day of the period."""
    made_at: datetime
    actor: str
    lines: tuple[Line, ...]
    confirmed_at: datetime | None = None
    confirmed_by: str | None = None
    document: str | None = None

    @property
    def digest(self) -> str:
        """By which a signed paper is found to be of this list."""
        return sha256(encode(self.lines).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Dispute:
    """A request by which a unit wants a line of a list put right (Reg. 14.3)."""

    request_id: int
    census_id: int
    key: str
    """Of the line."""


def meant(lines: Iterable[Line], address: str | None, name: str | None) -> Line | None:
    """The line that a request is about, by its address or else its name; None: no line, or one of several."""
    listed = list(lines)
    if address is not None:
        return next((line for line in listed if line.address == address), None)
    named = [line for line in listed if name is not None and line.name.casefold() == name.casefold()]
    return named[0] if len(named) == 1 else None


@dataclass(frozen=True, slots=True)
class Change:
    """How one line differs from the last list: it came, it went, or fields of it are others (names of fields, old, new)."""

    line: Line
    what: str
    """came, went or altered."""
    fields: tuple[tuple[str, str, str], ...] = ()


_COMPARED = ("name", "position", "address", "keepers")


def changes(before: Iterable[Line], now: Iterable[Line]) -> list[Change]:
    """In the order of the lists, what came first; usage is no change, quota and states are."""
    old, new = {line.key: line for line in before}, {line.key: line for line in now}
    came = [Change(line, "came") for key, line in new.items() if key not in old]
    went = [Change(line, "went") for key, line in old.items() if key not in new]
    altered = [
        Change(line, "altered", fields) for key, line in new.items() if key in old and (fields := _differences(old[key], line))
    ]
    return [*came, *went, *altered]


def _differences(old: Line, new: Line) -> tuple[tuple[str, str, str], ...]:
    found = [(name, str(getattr(old, name)), str(getattr(new, name))) for name in _COMPARED]
    found.append(("states", " ".join(old.states), " ".join(new.states)))
    found.append(("quota_octets", str(old.quota_octets), str(new.quota_octets)))
    return tuple(each for each in found if each[1] != each[2])


def encode(lines: Sequence[Line]) -> str:
    """As it is stored."""
    return json.dumps([asdict(line) for line in lines], ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def decode(text: str) -> tuple[Line, ...]:
    """As it was stored."""
    return tuple(_line(members) for members in json.loads(text))


def _line(members: Mapping[str, object]) -> Line:
    stored = {**members, "group": Group(str(members["group"])), "states": tuple(members["states"])}  # type: ignore[arg-type]  # as `encode` wrote it
    return Line(**stored)  # type: ignore[arg-type]  # likewise


# ---------------------------------------------------------------- when


def period_of(day: date, months: Sequence[int]) -> date:
    """The first day of the period that `day` is in; each of `months` (1 to 12) begins one."""
    begins = [date(year, month, 1) for year in (day.year - 1, day.year) for month in sorted(months)]
    return max(first for first in begins if first <= day)


def due_at(period: date) -> datetime:
    """The end of the month that the period begins with: until then a unit may send its list (Reg. 14.6)."""
    return start_of(add_months(period, 1))


class Standing(StrEnum):
    """How a unit stands in a period."""

    CONFIRMED = "confirmed"
    WAITING = "waiting"
    """The month is not over."""
    OVERDUE = "overdue"
    NOT_YET = "not_yet"
    """It had no mailbox when the period began."""


def standing(period: date, censuses: Iterable[Census], has_mailboxes_since: datetime | None, now: datetime) -> Standing:
    """How a unit stands whose censuses these are; `has_mailboxes_since`: when its first mailbox was put on record."""
    if any(census.period == period and census.confirmed_at is not None for census in censuses):
        return Standing.CONFIRMED
    if has_mailboxes_since is None or start_of(period) < has_mailboxes_since:
        return Standing.NOT_YET
    return Standing.OVERDUE if due_at(period) <= now else Standing.WAITING


def last_before(censuses: Iterable[Census], period: date) -> Census | None:
    """The list that a new one is compared with: the newest of an earlier period, one that was signed before all others."""
    earlier = [census for census in censuses if census.period < period]
    signed = [census for census in earlier if census.confirmed_at is not None]
    return max(signed or earlier, key=lambda census: (census.period, census.made_at), default=None)
