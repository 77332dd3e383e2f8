"""Rows of units, people, mailboxes, addresses and officers as records, read by plain SQL (`source.Rows`).

A database without a type of its own for days has them as ISO text; `_day` takes both forms.
"""

import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from mic_mail.directory.connection import Rows
from mic_mail.directory.instants import from_microseconds
from mic_mail.directory.records import AddressRecord, MailboxRecord, PersonRecord, UnitRecord
from mic_mail.policy.authorization.roles import Officer, OfficerRole
from mic_mail.policy.calendar import Year
from mic_mail.policy.downtime import Downtime
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Level, MailboxKind

_UNITS = "SELECT unit_id, symbol, name, parent_id, document, ended_on, successor_id FROM unit ORDER BY symbol"
_PEOPLE = """
    SELECT person_id, full_name, unit_id, position, level, employment, contract_from, contract_until FROM person{where}
    ORDER BY full_name, person_id
"""
_MAILBOXES = """
    SELECT mailbox.mailbox_id, kind, address.address, home, display_name, quota_octets, person_id, unit_id, capabilities_hidden
    FROM mailbox JOIN address ON address.mailbox_id = mailbox.mailbox_id AND address.role = 'primary'{where}
    ORDER BY address.address
"""
_HAS_ADDRESS = "mailbox.mailbox_id IN (SELECT mailbox_id FROM address WHERE address = :address AND role != 'former')"
_ADDRESSES = "SELECT address, mailbox_id, role, until FROM address{where} ORDER BY address"
_OFFICERS = """
    SELECT login, full_name, role, unit_id, since, until, document, person_id FROM officer ORDER BY officer_id
"""
_YEARS = "SELECT year, off, worked, document, provisional FROM calendar_year ORDER BY year"
_DOWNTIMES = """
    SELECT downtime_id, starts_at, ends_at, reason, document, incident, announced_at, actor, cancelled_at, report, reported_at
    FROM downtime{rest}
"""


def domains(rows: Rows) -> list[str]:
    return [name for (name,) in rows("SELECT name FROM domain ORDER BY name")]


def units(rows: Rows) -> list[UnitRecord]:
    return [
        UnitRecord(unit_id, symbol, name, parent_id, document, _day(ended_on), successor_id)
        for unit_id, symbol, name, parent_id, document, ended_on, successor_id in rows(_UNITS)
    ]


def former_symbols(rows: Rows) -> Iterator[tuple[str, int]]:
    """Yield the former symbols of units with their units, the oldest first."""
    had = "SELECT old, key FROM directory_change WHERE subject = 'unit' AND field = 'symbol' ORDER BY change_id"
    return ((old, int(key)) for old, key in rows(had) if old is not None)


def people(rows: Rows, **equal: int) -> list[PersonRecord]:
    """Return the people whose columns have these values, by name."""
    return [
        PersonRecord(
            person_id,
            full_name,
            unit_id,
            position,
            Level(level) if level else None,
            Employment(employment),
            _day(begin),
            _day(end),
        )
        for person_id, full_name, unit_id, position, level, employment, begin, end in rows(
            _PEOPLE.format(where=_where(equal)), **equal
        )
    ]


def mailboxes(rows: Rows, **equal: int) -> list[MailboxRecord]:
    """Return the mailboxes whose columns have these values, by address."""
    return _mailboxes(rows(_MAILBOXES.format(where=_where(equal)), **equal))


def mailbox_of(rows: Rows, address: str) -> MailboxRecord | None:
    """Return the mailbox whose own address or alias this is."""
    return next(iter(_mailboxes(rows(_MAILBOXES.format(where=f" WHERE {_HAS_ADDRESS}"), address=address))), None)


def addresses(rows: Rows, **equal: int) -> list[AddressRecord]:
    """Return the addresses, former ones too, whose columns have these values."""
    return [
        AddressRecord(address, mailbox_id, role, _day(until))
        for address, mailbox_id, role, until in rows(_ADDRESSES.format(where=_where(equal)), **equal)
    ]


def alias_ends(rows: Rows) -> list[date]:
    """Return the last days of the aliases that are retained for a time."""
    found = rows("SELECT until FROM address WHERE role = 'alias' AND until IS NOT NULL")
    return [end for (until,) in found if (end := _day(until)) is not None]


def officers(rows: Rows) -> list[Officer]:
    return [
        Officer(
            login=login,
            full_name=full_name,
            role=OfficerRole(role),
            unit_id=unit_id,
            since=from_microseconds(since),
            until=_instant(until),
            document=document,
            person_id=person_id,
        )
        for login, full_name, role, unit_id, since, until, document, person_id in rows(_OFFICERS)
    ]


def years(rows: Rows) -> list[Year]:
    return [
        Year(year, _days(off), _days(worked), document, provisional=bool(provisional))
        for year, off, worked, document, provisional in rows(_YEARS)
    ]


def downtimes(rows: Rows, rest: str = " ORDER BY downtime_id") -> list[Downtime]:
    """Return the downtimes, as the end of the statement selects them."""
    return [
        Downtime(
            downtime_id=downtime_id,
            starts_at=from_microseconds(starts_at),
            ends_at=from_microseconds(ends_at),
            reason=reason,
            document=document,
            incident=bool(incident),
            announced_at=from_microseconds(announced_at),
            actor=actor,
            cancelled_at=_instant(cancelled_at),
            report=report,
            reported_at=_instant(reported_at),
        )
        for (
            downtime_id,
            starts_at,
            ends_at,
            reason,
            document,
            incident,
            announced_at,
            actor,
            cancelled_at,
            report,
            reported_at,
        ) in rows(_DOWNTIMES.format(rest=rest))
    ]


def _mailboxes(found: Iterator[tuple[Any, ...]]) -> list[MailboxRecord]:
    return [
        MailboxRecord(
            mailbox_id, MailboxKind(kind), address, home, display_name, quota, person_id, unit_id, frozenset(hidden.split())
        )
        for mailbox_id, kind, address, home, display_name, quota, person_id, unit_id, hidden in found
    ]


def _where(equal: dict[str, int]) -> str:
    """Return the condition that columns have the values of the parameters of their names."""
    return f" WHERE {' AND '.join(f'{name} = :{name}' for name in equal)}" if equal else ""


def _day(value: date | str | None) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) else value


def _instant(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)


def _days(texts: str) -> frozenset[date]:
    return frozenset(map(date.fromisoformat, json.loads(texts)))
