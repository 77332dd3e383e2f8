"""Load a `Snapshot` from the tables: everything, or what changed since the one before.

Plain SQL in one read transaction, grouped by mailbox in Python; ORM entities would take several times as long.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from mic_mail.directory import downtimes, revisions, rows, snapshot
from mic_mail.directory.connection import Rows
from mic_mail.directory.instants import from_microseconds
from mic_mail.directory.records import AddressRole
from mic_mail.directory.snapshot import Entry, Owner, Snapshot
from mic_mail.policy.calendar import WorkingDays
from mic_mail.policy.credentials.app_passwords import living
from mic_mail.policy.credentials.verifiers import AppCredential, Credential, ScramKeys
from mic_mail.policy.facts import Fact, FactKind, MailboxKind

_CHANGED = "mailbox.changed_version > :number"
_ONE = "mailbox.mailbox_id = :number"
"""Conditions for the mailboxes of a snapshot; `:number` is a version or a mailbox."""

_FACT = "fact.mailbox_id, seq, fact.kind, effective_at, recorded_at, actor, reason, document, data, digest"
FactColumns = Sequence[Any]

_EPOCH = from_microseconds(0)

_MAILBOXES = """
    SELECT mailbox.mailbox_id, kind, home, display_name, quota_octets, mailbox.person_id, mailbox.unit_id, capabilities_hidden,
        person.full_name, unit.name, credential.version, argon2, scram_salt, scram_iterations, scram_stored_key,
        scram_server_key, last_used_at
    FROM mailbox
    LEFT OUTER JOIN person ON person.person_id = mailbox.person_id
    LEFT OUTER JOIN unit ON unit.unit_id = mailbox.unit_id
    LEFT OUTER JOIN credential ON credential.mailbox_id = mailbox.mailbox_id
    LEFT OUTER JOIN activity ON activity.mailbox_id = mailbox.mailbox_id
    WHERE {wanted}
"""
_FACTS = f"""
    SELECT {_FACT} FROM fact JOIN mailbox ON mailbox.mailbox_id = fact.mailbox_id WHERE {{wanted}}
    ORDER BY fact.mailbox_id, seq
"""  # noqa: S608  constants of this module
_CHAIN = f"SELECT {_FACT} FROM fact WHERE mailbox_id = :mailbox_id ORDER BY seq"  # noqa: S608  likewise
_ADDRESSES = """
    SELECT address.mailbox_id, address, role, until FROM address JOIN mailbox ON mailbox.mailbox_id = address.mailbox_id
    WHERE {wanted} AND role != 'former' ORDER BY address
"""
_APP_PASSWORDS = """
    SELECT app_password.mailbox_id, number, salt, digest, scram_salt, scram_iterations, scram_stored_key, scram_server_key
    FROM app_password JOIN mailbox ON mailbox.mailbox_id = app_password.mailbox_id
    WHERE {wanted} AND digest IS NOT NULL ORDER BY app_password.mailbox_id, number
"""


def load(read: Rows, previous: Snapshot) -> Snapshot:
    """Load the directory as one read transaction sees it; unchanged entries are those of `previous`."""
    now = version(read)
    if now == previous.version:
        return previous
    fact_seq = next(read("SELECT max(fact_id) FROM fact"))[0] or 0
    domains = rows.domains(read)
    working_days = WorkingDays.of(rows.years(read))
    newest = downtimes.newest(read)
    changed = _entries(read, _CHANGED, previous.version)
    return snapshot.assemble(now, fact_seq, domains, changed, previous=previous, working_days=working_days, downtimes=newest)


def version(read: Rows) -> int:
    found: tuple[int] | None = next(read("SELECT version FROM revision"), None)
    if found is None:
        raise revisions.unavailable("no revision")
    return found[0]


def facts_of(read: Rows, mailbox_id: int) -> list[Fact]:
    return [to_fact(row) for row in read(_CHAIN, mailbox_id=mailbox_id)]


def newest_fact(read: Rows, mailbox_id: int) -> Fact | None:
    row = next(read(f"{_CHAIN} DESC LIMIT 1", mailbox_id=mailbox_id), None)
    return None if row is None else to_fact(row)


def to_fact(row: FactColumns) -> Fact:
    """Return a row of facts as a fact.

    A damaged one becomes `UNREADABLE`, so that all others can be read.
    """
    mailbox_id, seq, kind, effective_at, recorded_at, actor, reason, document, data, digest = row
    try:
        known, effective, recorded = FactKind(kind), from_microseconds(effective_at), from_microseconds(recorded_at)
        details, octets = dict(json.loads(data)), bytes(memoryview(digest))
    except (ValueError, TypeError, OverflowError, RecursionError):
        known, effective, recorded, details, octets = FactKind.UNREADABLE, _EPOCH, _EPOCH, {}, b""
    return Fact(mailbox_id, seq, known, effective, recorded, actor, reason, document, details, octets)


def entry_of(read: Rows, mailbox_id: int) -> Entry | None:
    """Return one mailbox as a snapshot would hold it."""
    return next(_entries(read, _ONE, mailbox_id), None)


def _entries(read: Rows, wanted: str, number: int) -> Iterator[Entry]:
    facts = _facts(read, wanted, number)
    apps = _app_passwords(read, wanted, number)
    primary, aliases, kept = _addresses(read, wanted, number)
    for (
        mailbox_id,
        kind,
        home,
        display_name,
        quota_octets,
        person_id,
        unit_id,
        hidden,
        person_name,
        unit_name,
        credential_version,
        argon2,
        salt,
        iterations,
        stored_key,
        server_key,
        last_used_at,
    ) in read(_MAILBOXES.format(wanted=wanted), number=number):
        keys = _keys(salt, iterations, stored_key, server_key)
        yield Entry(
            mailbox_id=mailbox_id,
            kind=MailboxKind(kind),
            address=primary[mailbox_id],
            home=home,
            quota_octets=quota_octets,
            facts=tuple(facts.get(mailbox_id, ())),
            credential=Credential(credential_version, argon2, keys) if credential_version is not None else None,
            last_activity=None if last_used_at is None else from_microseconds(last_used_at),
            display_name=display_name,
            owner=Owner(person_id, unit_id, person_name or unit_name or ""),
            aliases=tuple(aliases.get(mailbox_id, ())),
            former_own=frozenset(kept.get(mailbox_id, ())),
            capabilities_hidden=frozenset(hidden.split()),
            app_passwords=_usable(apps.get(mailbox_id, ()), facts.get(mailbox_id, ())),
        )


def _addresses(read: Rows, wanted: str, number: int) -> tuple[dict[int, str], dict[int, list[str]], dict[int, list[str]]]:
    """Return the mailboxes' own addresses, their aliases, and the aliases that were their own address."""
    primary: dict[int, str] = {}
    aliases: dict[int, list[str]] = defaultdict(list)
    kept: dict[int, list[str]] = defaultdict(list)
    for mailbox_id, address, role, until in read(_ADDRESSES.format(wanted=wanted), number=number):
        if role == AddressRole.PRIMARY:
            primary[mailbox_id] = address
        else:
            aliases[mailbox_id].append(address)
            if until is not None:
                kept[mailbox_id].append(address)
    return primary, aliases, kept


def _app_passwords(read: Rows, wanted: str, number: int) -> dict[int, list[AppCredential]]:
    """Return the verifiers of the app passwords that were not revoked themselves."""
    found: dict[int, list[AppCredential]] = defaultdict(list)
    for mailbox_id, fact, salt, digest, *scram in read(_APP_PASSWORDS.format(wanted=wanted), number=number):
        keys = _keys(*scram)
        if salt is not None and keys is not None:
            found[mailbox_id].append(AppCredential(fact, bytes(salt), bytes(digest), keys))
    return found


def _keys(salt: bytes | None, iterations: int, stored_key: bytes, server_key: bytes) -> ScramKeys | None:
    """Return the keys for SCRAM; None where there are none, or damaged ones."""
    if salt is None:
        return None
    try:
        return ScramKeys(bytes(memoryview(salt)), iterations, bytes(memoryview(stored_key)), bytes(memoryview(server_key)))
    except TypeError:  # a text in place of octets
        return None


def _usable(made: Sequence[AppCredential], facts: Sequence[Fact]) -> tuple[AppCredential, ...]:
    """Return those that are usable, or were when the newest fact was recorded; no reader needs the others."""
    if not made:
        return ()
    alive = {each.number for each in living(facts, facts[-1].clocked_at)}
    return tuple(each for each in made if each.number in alive)


def _facts(read: Rows, wanted: str, number: int) -> dict[int, list[Fact]]:
    facts: dict[int, list[Fact]] = defaultdict(list)
    for row in read(_FACTS.format(wanted=wanted), number=number):
        fact = to_fact(row)
        facts[fact.mailbox_id].append(fact)
    return facts
