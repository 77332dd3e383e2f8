"""The directory in its database: units, people, mailboxes, addresses, credentials, facts.

Synchronous; for the command line, the services and the workers' executors (safe from several threads). Every change is one
transaction that is durable when the method returns and that raises `version()`. Facts are only ever appended, each chained to
the one before it. The services check whether a change is allowed; the database enforces what must always hold (an address
belongs to one mailbox for ever). Registers beside the mailboxes have modules of their own, and are attributes here. Changes of
units, people and addresses are ordered in `changes`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from mic_mail.clock import Clock, SystemClock
from mic_mail.directory import address_book_rows, fact_chain, rows, snapshot_loader
from mic_mail.directory.calendar_years import Years
from mic_mail.directory.connection import PlainChange
from mic_mail.directory.downtimes import Downtimes
from mic_mail.directory.instants import from_microseconds, to_microseconds
from mic_mail.directory.officers import Officers
from mic_mail.directory.records import (
    IDS_END,
    AddressRecord,
    MailboxRecord,
    Mended,
    NotFound,
    PersonRecord,
    UnitEnded,
    UnitRecord,
    not_found,
)
from mic_mail.directory.registers import Registers
from mic_mail.directory.snapshot import EMPTY, Entry, Snapshot
from mic_mail.directory.source import Source
from mic_mail.directory.tables import Tables
from mic_mail.errors import Text, in_ascii
from mic_mail.policy.calendar import FIRST_INSTANT, local_day
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.facts import Draft, Fact

if TYPE_CHECKING:  # loaded for a change
    from sqlalchemy import Engine

    from mic_mail.directory.writes import Writes

_USED = """
    INSERT INTO activity (mailbox_id, last_used_at) VALUES (:mailbox_id, :used_at)
    ON CONFLICT (mailbox_id) DO UPDATE SET last_used_at = excluded.last_used_at
    WHERE activity.last_used_at < excluded.last_used_at
"""
_IS_AHEAD = """
    SELECT EXISTS (SELECT 1 FROM activity WHERE last_used_at > :late)
        OR EXISTS (SELECT 1 FROM app_password WHERE used_at > :late)
        OR EXISTS (SELECT 1 FROM sent_notice WHERE sent_at > :late)
"""


class Directory(Registers):
    """The directory behind one database URL."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.url = url
        self._source = Source(url)
        tables = Tables(self._source, clock or SystemClock())
        super().__init__(tables)
        self.years = Years(tables)
        self.officers = Officers(tables)
        self.downtimes = Downtimes(tables)

    @property
    def clock(self) -> Clock:
        """The clock by which facts are recorded."""
        return self._tables.clock

    def migrate(self, *, must_exist: bool = False) -> None:
        """Create the tables, or migrate them to this program's version.

        Raise `DirectoryUnavailable` if they `must_exist` and do not. Tables of an SQLite file that are current need no
        SQLAlchemy: each process of a server looks, and would take a copy of its own of what SQLAlchemy writes to.
        """
        if self._source.is_known_to_be_current():
            return
        from mic_mail.directory import engine

        engine.migrate(self._engine, must_exist=must_exist)

    def must_be_current(self) -> None:
        """Raise `DirectoryUnavailable` with what to do unless the tables are of this program's version."""
        self._source.must_be_current()

    def copy_into(self, empty: "Directory") -> dict[str, int]:
        """Copy all of it into another database, which has no directory yet; return the number of rows by table."""
        from mic_mail.directory import copying

        return copying.copy_into(self._engine, empty._engine)

    def close(self) -> None:
        self._source.close()

    @property
    def _engine(self) -> "Engine":
        return self._source.engine

    @cached_property
    def _writes(self) -> "Writes":
        from mic_mail.directory.writes import Writes

        return Writes(self._tables)

    # ------------------------------------------------------------ reading

    def version(self) -> int:
        """Return the number that grows with every change; cheap enough for a poll every two seconds."""
        with self._source.reading() as read:
            return snapshot_loader.version(read)

    def newest_fact(self) -> datetime:
        """Return when the last fact was recorded, by the clock of then; before all time where there is none."""
        with self._source.reading() as read:
            newest = next(read("SELECT max(recorded_at) FROM fact"))[0]
        return FIRST_INSTANT if newest is None else from_microseconds(newest)

    def load_snapshot(self, previous: Snapshot = EMPTY) -> Snapshot:
        """Load the whole directory: only what changed since `previous`, which is returned if nothing did."""
        with self._source.reading() as read:
            return snapshot_loader.load(read, previous)

    def roll(self) -> address_book_rows.AddressBookRows:
        with self._source.reading() as read:
            return address_book_rows.load(read)

    def facts(self, mailbox_id: int) -> list[Fact]:
        with self._source.reading() as read:
            return snapshot_loader.facts_of(read, mailbox_id)

    def domains(self) -> list[str]:
        with self._source.reading() as read:
            return rows.domains(read)

    def units(self) -> list[UnitRecord]:
        """Return all units, also those that have ended."""
        with self._source.reading() as read:
            return rows.units(read)

    def units_by_id(self) -> dict[int, UnitRecord]:
        return {unit.unit_id: unit for unit in self.units()}

    def unit(self, symbol: str) -> UnitRecord:
        """Return the unit with this symbol, in any case, even if it has ended; else the last one that had it."""
        wanted = symbol.casefold()
        units = self.units()
        found = next((unit for unit in units if unit.symbol.casefold() == wanted), None)
        if found is None:
            had = self._former_symbols().get(wanted)
            found = next((unit for unit in units if unit.unit_id == had), None)
        if found is None:
            raise NotFound(Text(f"Không có đơn vị {symbol}.", f"No such unit: {in_ascii(symbol)}."))
        return found

    def living_unit(self, symbol: str) -> UnitRecord:
        """Return the unit with this symbol, to which something new shall belong; refused where it has ended."""
        unit = self.unit(symbol)
        if not unit.is_living:
            successor = self.units_by_id().get(unit.successor_id or 0)
            after = successor and successor.symbol
            raise UnitEnded(
                Text(
                    f"Đơn vị {unit.symbol} không còn{f', nay là {after}' if after else ''}.",
                    f"Unit {in_ascii(unit.symbol)} has ended{f', its successor is {in_ascii(after)}' if after else ''}.",
                ),
                clause="6.5",
            )
        return unit

    def successor(self, unit_id: int) -> int:
        """Return the unit itself, or the one that replaced it if it has ended."""
        units, seen = self.units_by_id(), {unit_id}
        while (unit := units.get(unit_id)) is not None and unit.successor_id is not None and unit.successor_id not in seen:
            unit_id = unit.successor_id
            seen.add(unit_id)
        return unit_id

    def _former_symbols(self) -> dict[str, int]:
        """Return the former symbols of units, case-folded -> unit; of several units the last one that had it."""
        with self._source.reading() as read:
            return {old.casefold(): unit_id for old, unit_id in rows.former_symbols(read)}

    def people(self, unit_id: int | None = None) -> list[PersonRecord]:
        """Return all people, or those of a unit, by name."""
        with self._source.reading() as read:
            return rows.people(read, **({} if unit_id is None else {"unit_id": unit_id}))

    def person(self, person_id: int) -> PersonRecord:
        if not 0 < person_id < IDS_END:
            raise not_found("cá nhân mã", "person", person_id)
        with self._source.reading() as read:
            found = rows.people(read, person_id=person_id)
        if not found:
            raise not_found("cá nhân mã", "person", person_id)
        return found[0]

    def mailboxes(self) -> list[MailboxRecord]:
        with self._source.reading() as read:
            return rows.mailboxes(read)

    def mailboxes_of(self, *, person_id: int | None = None, unit_id: int | None = None) -> list[MailboxRecord]:
        """Return the mailboxes of one person, or those that one unit owns or sponsors."""
        owners = {"person_id": person_id, "unit_id": unit_id}
        with self._source.reading() as read:
            return rows.mailboxes(read, **{name: number for name, number in owners.items() if number is not None})

    def is_taken(self, address: str) -> bool:
        with self._source.reading() as read:
            return any(read("SELECT 1 FROM address WHERE address = :address", address=address.lower()))

    def mailbox(self, address: str) -> MailboxRecord:
        """Return the mailbox whose own address or alias this is."""
        address = address.lower()
        with self._source.reading() as read:
            found = rows.mailbox_of(read, address)
        if found is None:
            raise NotFound(Text(f"Không có hộp thư {address}.", f"No such mailbox: {in_ascii(address)}."))
        return found

    def entry(self, mailbox_id: int) -> Entry:
        """Return the mailbox with its facts, its verifiers and its last use, as of now."""
        with self._source.reading() as read:
            found = snapshot_loader.entry_of(read, mailbox_id)
        if found is None:
            raise not_found("hộp thư mã", "mailbox", mailbox_id)
        return found

    def former_verifiers(self, mailbox_id: int, most: int) -> list[str]:
        """Return the argon2 hashes of the mailbox's passwords before the present one, the newest first.

        At most `most` of them.
        """
        former = "SELECT argon2 FROM former_credential WHERE mailbox_id = :mailbox_id ORDER BY version DESC LIMIT :most"
        with self._source.reading() as read:
            return [argon2 for (argon2,) in read(former, mailbox_id=mailbox_id, most=most)]

    def addresses(self, mailbox_id: int | None = None) -> list[AddressRecord]:
        """Return every address that was ever given out, or those of one mailbox."""
        with self._source.reading() as read:
            return rows.addresses(read, **({} if mailbox_id is None else {"mailbox_id": mailbox_id}))

    # ------------------------------------------------------------ writing

    def add_domain(self, name: str) -> None:
        """Make `name` local; a domain that is already local stays."""
        self._writes.add_domain(name)

    def add_unit(self, unit: UnitRecord) -> UnitRecord:
        """Add a new unit; its id is assigned here."""
        return self._writes.add_unit(unit)

    def add_person(self, person: PersonRecord) -> PersonRecord:
        return self._writes.add_person(person)

    def issue_mailbox(self, mailbox: MailboxRecord, *drafts: Draft, credential: Credential | None = None) -> MailboxRecord:
        """Add a new mailbox with its first facts and, where given, its verifiers; its id is assigned here."""
        return self._writes.issue_mailbox(mailbox, *drafts, credential=credential)

    def add_alias(self, mailbox_id: int, address: str, draft: Draft) -> None:
        """Add another address to the mailbox; one that it had before becomes live again."""
        self._writes.add_alias(mailbox_id, address, draft)

    def remove_alias(self, mailbox_id: int, address: str, draft: Draft) -> None:
        """Remove an alias: it delivers nowhere from now on, and stays taken (Reg. 5.4.a)."""
        self._writes.remove_alias(mailbox_id, address, draft)

    def append_fact(self, mailbox_id: int, draft: Draft, *, after: int | None = None) -> Fact:
        return self.append_facts(mailbox_id, [draft], after=after)[0]

    def append_to(self, entry: Entry, draft: Draft) -> Fact:
        """Append one fact, if nothing was recorded since `entry` was read (else `Superseded`)."""
        return self.append_fact(entry.mailbox_id, draft, after=entry.last_seq)

    def append_facts(self, mailbox_id: int, drafts: Sequence[Draft], *, after: int | None = None) -> list[Fact]:
        """Append facts in order.

        With `after`, only if that is still the number of the newest fact (else `Superseded`).
        """
        return self._tables.change_plainly(lambda change: fact_chain.append(change, mailbox_id, drafts, after))

    def set_quota(self, mailbox_id: int, octets: int, draft: Draft, *, after: int | None = None) -> None:
        """Set another quota, with its fact (Reg. 8.3); `after` as in `append_facts`."""
        self._writes.set_quota(mailbox_id, octets, draft, after=after)

    def hide_capabilities(self, mailbox_id: int, names: frozenset[str]) -> None:
        self._writes.hide_capabilities(mailbox_id, names)

    def set_credential(self, mailbox_id: int, credential: Credential, *drafts: Draft, after: int | None = None) -> Credential:
        """Store verifiers together with the facts that explain them.

        Their version is assigned here, one more than before. `after` as in `append_facts`.
        """
        return self._writes.set_credential(mailbox_id, credential, *drafts, after=after)

    def touch_activity(self, mailbox_id: int, used_at: datetime) -> bool:
        """Record that the mailbox was used (Reg. 7.2.a); return whether it was written now.

        Written at most once a day, which is precise enough for terms of months.
        """
        with self._source.reading() as read:
            last = next(read("SELECT last_used_at FROM activity WHERE mailbox_id = :mailbox_id", mailbox_id=mailbox_id), None)
        if last is not None and local_day(from_microseconds(last[0])) >= local_day(used_at):
            return False

        def work(change: PlainChange) -> None:
            fact_chain.concern(change, mailbox_id)
            change.run(_USED, mailbox_id=mailbox_id, used_at=to_microseconds(used_at))

        self._tables.change_plainly(work)
        return True

    def mend_instants_ahead(self, clock: Callable[[], datetime], tolerance: timedelta) -> Mended:
        """Correct instants that are ahead of the clock: uses become the present, notices become void.

        Instants up to `tolerance` ahead stay. Only for a caller whose clock is trusted; it is read within the change. Where
        nothing is ahead, nothing is changed.
        """
        with self._source.reading() as read:
            is_ahead = next(read(_IS_AHEAD, late=to_microseconds(clock() + tolerance)))[0]
        if not is_ahead:
            return Mended(0, 0, 0)
        return self._writes.mend_instants_ahead(clock, tolerance)
