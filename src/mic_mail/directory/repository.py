"""The directory in its database: units, people, mailboxes, addresses, credentials, facts.

Synchronous; for the command line, the services and the workers' executors (safe from several threads). Every change is one
transaction that is durable when the method returns and that raises `version()`. Facts are only ever appended, each chained to
the one before it. The services check whether a change is allowed; the database enforces what must always hold (an address
belongs to one mailbox for ever). Registers beside the mailboxes have modules of their own, and are attributes here. Changes of
units, people and addresses are ordered in `changes`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from mic_mail.clock import Clock, SystemClock
from mic_mail.config.auth import FORMER_PASSWORDS
from mic_mail.directory import address_book_rows, fact_chain, mailbox_rows, person_rows, snapshot_loader
from mic_mail.directory import engine as database
from mic_mail.directory.calendar_years import Years
from mic_mail.directory.credential_rows import set_keys
from mic_mail.directory.downtimes import Downtimes
from mic_mail.directory.model import (
    Activity,
    Address,
    AddressRole,
    AppPasswordRow,
    CredentialRow,
    Domain,
    FactRow,
    FormerCredentialRow,
    Mailbox,
    Person,
    Unit,
)
from mic_mail.directory.officers import Officers
from mic_mail.directory.records import (
    AddressRecord,
    AlreadyThere,
    MailboxRecord,
    Mended,
    NotFound,
    PersonRecord,
    UnitEnded,
    UnitRecord,
)
from mic_mail.directory.registers import Registers
from mic_mail.directory.snapshot import EMPTY, Entry, Snapshot
from mic_mail.directory.transactions import (
    IDS_END,
    Tables,
    WriteSession,
    add_record,
    not_found,
    to_record,
    transaction,
)
from mic_mail.errors import Text, in_ascii
from mic_mail.policy.calendar import FIRST_INSTANT, local_day
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.directory_changes import Subject
from mic_mail.policy.facts import Draft, Fact, MailboxKind


class Directory(Registers):
    """The directory behind one database URL."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.url = url
        self._engine = database.connect(url)
        tables = Tables(self._engine, clock or SystemClock())
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

        Raise `DirectoryUnavailable` if they `must_exist` and do not.
        """
        database.migrate(self._engine, must_exist=must_exist)

    def must_be_current(self) -> None:
        """Raise `DirectoryUnavailable` with what to do unless the tables are of this program's version."""
        database.must_be_current(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    # ------------------------------------------------------------ reading

    def version(self) -> int:
        """Return the number that grows with every change; cheap enough for a poll every two seconds."""
        with database.reading(self._engine) as connection:
            return snapshot_loader.version(connection)

    def newest_fact(self) -> datetime:
        """Return when the last fact was recorded, by the clock of then; before all time where there is none."""
        with database.reading(self._engine) as connection:
            return connection.scalar(select(func.max(FactRow.recorded_at))) or FIRST_INSTANT

    def load_snapshot(self, previous: Snapshot = EMPTY) -> Snapshot:
        """Load the whole directory: only what changed since `previous`, which is returned if nothing did."""
        with database.reading(self._engine) as connection:
            return snapshot_loader.load(connection, previous)

    def roll(self) -> address_book_rows.AddressBookRows:
        with database.reading(self._engine) as connection:
            return address_book_rows.load(connection)

    def facts(self, mailbox_id: int) -> list[Fact]:
        with database.reading(self._engine) as connection:
            return snapshot_loader.facts_of(connection, mailbox_id)

    def domains(self) -> list[str]:
        return self._tables.read(lambda session: list(session.scalars(select(Domain.name).order_by(Domain.name))))

    def units(self) -> list[UnitRecord]:
        """Return all units, also those that have ended."""
        wanted = select(Unit).order_by(Unit.symbol)
        return self._tables.read(lambda session: [to_record(row, UnitRecord) for row in session.scalars(wanted)])

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
        from mic_mail.directory.register_model import ChangeRow

        had = (
            select(ChangeRow.old, ChangeRow.key)
            .where(ChangeRow.subject == Subject.UNIT, ChangeRow.field == "symbol")
            .order_by(ChangeRow.change_id)
        )
        rows = self._tables.read(lambda session: list(session.execute(had)))
        return {old.casefold(): int(key) for old, key in rows if old is not None}

    def people(self, unit_id: int | None = None) -> list[PersonRecord]:
        """Return all people, or those of a unit, by name."""
        wanted = [] if unit_id is None else [Person.unit_id == unit_id]
        return self._tables.read(lambda session: person_rows.read(session, *wanted))

    def person(self, person_id: int) -> PersonRecord:
        known = 0 < person_id < IDS_END
        found = self._tables.read(lambda session: person_rows.read(session, Person.person_id == person_id)) if known else []
        if not found:
            raise not_found("cá nhân mã", "person", person_id)
        return found[0]

    def mailboxes(self) -> list[MailboxRecord]:
        return self._mailboxes()

    def mailboxes_of(self, *, person_id: int | None = None, unit_id: int | None = None) -> list[MailboxRecord]:
        """Return the mailboxes of one person, or those that one unit owns or sponsors."""
        conditions = []
        if person_id is not None:
            conditions.append(Mailbox.person_id == person_id)
        if unit_id is not None:
            conditions.append(Mailbox.unit_id == unit_id)
        return self._mailboxes(*conditions)

    def is_taken(self, address: str) -> bool:
        return self._tables.read(lambda session: session.get(Address, address.lower())) is not None

    def mailbox(self, address: str) -> MailboxRecord:
        """Return the mailbox whose own address or alias this is."""
        address = address.lower()
        leads = select(Address.mailbox_id).where(Address.address == address, Address.role != AddressRole.FORMER)
        found = self._mailboxes(Mailbox.mailbox_id.in_(leads))
        if not found:
            raise NotFound(Text(f"Không có hộp thư {address}.", f"No such mailbox: {in_ascii(address)}."))
        return found[0]

    def entry(self, mailbox_id: int) -> Entry:
        """Return the mailbox with its facts, its verifiers and its last use, as of now."""
        with database.reading(self._engine) as connection:
            found = snapshot_loader.entry_of(connection, mailbox_id)
        if found is None:
            raise not_found("hộp thư mã", "mailbox", mailbox_id)
        return found

    def former_verifiers(self, mailbox_id: int, most: int) -> list[str]:
        """Return the argon2 hashes of the mailbox's passwords before the present one, the newest first.

        At most `most` of them.
        """
        wanted = (
            select(FormerCredentialRow.argon2)
            .where(FormerCredentialRow.mailbox_id == mailbox_id)
            .order_by(FormerCredentialRow.version.desc())
            .limit(most)
        )
        return self._tables.read(lambda session: list(session.scalars(wanted)))

    def addresses(self, mailbox_id: int | None = None) -> list[AddressRecord]:
        """Return every address that was ever given out, or those of one mailbox."""
        wanted = select(Address).order_by(Address.address)
        if mailbox_id is not None:
            wanted = wanted.where(Address.mailbox_id == mailbox_id)
        return self._tables.read(lambda s: [to_record(row, AddressRecord) for row in s.scalars(wanted)])

    # ------------------------------------------------------------ writing

    @transaction
    def add_domain(self, session: Session, name: str) -> None:
        """Make `name` local; a domain that is already local stays."""
        if session.get(Domain, name.lower()) is None:
            session.add(Domain(name=name.lower()))

    @transaction
    def add_unit(self, session: Session, unit: UnitRecord) -> UnitRecord:
        """Add a new unit; its id is assigned here."""
        wanted = unit.symbol.casefold()
        above = session.get(Unit, unit.parent_id) if unit.parent_id is not None else None
        if above is None and unit.parent_id is not None:
            raise NotFound(Text(f"Không có đơn vị mã {unit.parent_id}.", f"There is no unit {unit.parent_id}."))
        if above is not None and above.ended_on is not None:
            raise UnitEnded(
                Text(f"Đơn vị {above.symbol} không còn.", f"Unit {in_ascii(above.symbol)} has ended."), clause="6.5"
            )
        if any(symbol.casefold() == wanted for symbol in session.scalars(select(Unit.symbol))):
            raise AlreadyThere(
                Text(f"Đã có đơn vị {unit.symbol}.", f"Unit {in_ascii(unit.symbol)} already exists."), clause="5.1"
            )
        return to_record(add_record(session, Unit, unit), UnitRecord)

    @transaction
    def add_person(self, session: Session, person: PersonRecord) -> PersonRecord:
        return person_rows.record(person_rows.enter(session, person))

    @transaction
    def issue_mailbox(
        self, session: WriteSession, mailbox: MailboxRecord, *drafts: Draft, credential: Credential | None = None
    ) -> MailboxRecord:
        """Add a new mailbox with its first facts and, where given, its verifiers; its id is assigned here."""
        _must_have_none(session, mailbox)
        home_taken = session.scalars(select(Mailbox.mailbox_id).where(Mailbox.home == mailbox.home)).first()
        if home_taken is not None or session.get(Address, mailbox.address.lower()) is not None:
            raise _taken(mailbox.address)
        hidden = " ".join(sorted(mailbox.capabilities_hidden))
        row = add_record(session, Mailbox, mailbox, capabilities_hidden=hidden, changed_version=session.version)
        _take(session, mailbox.address, row.mailbox_id, AddressRole.PRIMARY)
        fact_chain.append(session, row.mailbox_id, drafts)
        if credential is not None:
            _store(session, row.mailbox_id, credential)
        return mailbox_rows.record(row, mailbox.address.lower())

    @transaction
    def add_alias(self, session: WriteSession, mailbox_id: int, address: str, draft: Draft) -> None:
        """Add another address to the mailbox; one that it had before becomes live again."""
        _take(session, address, mailbox_id, AddressRole.ALIAS)
        fact_chain.append(session, mailbox_id, [draft])

    @transaction
    def remove_alias(self, session: WriteSession, mailbox_id: int, address: str, draft: Draft) -> None:
        """Remove an alias: it delivers nowhere from now on, and stays taken (Reg. 5.4.a)."""
        row = session.get(Address, address.lower())
        if row is None or row.mailbox_id != mailbox_id or row.role != AddressRole.ALIAS:
            raise NotFound(
                Text(f"{address} không phải là bí danh của hộp thư.", f"{in_ascii(address)} is not an alias of the mailbox.")
            )
        row.role = AddressRole.FORMER
        fact_chain.append(session, mailbox_id, [draft])

    def append_fact(self, mailbox_id: int, draft: Draft, *, after: int | None = None) -> Fact:
        return self.append_facts(mailbox_id, [draft], after=after)[0]

    def append_to(self, entry: Entry, draft: Draft) -> Fact:
        """Append one fact, if nothing was recorded since `entry` was read (else `Superseded`)."""
        return self.append_fact(entry.mailbox_id, draft, after=entry.last_seq)

    @transaction
    def append_facts(
        self, session: WriteSession, mailbox_id: int, drafts: Sequence[Draft], *, after: int | None = None
    ) -> list[Fact]:
        """Append facts in order.

        With `after`, only if that is still the number of the newest fact (else `Superseded`).
        """
        return fact_chain.append(session, mailbox_id, drafts, after)

    @transaction
    def set_quota(self, session: WriteSession, mailbox_id: int, octets: int, draft: Draft, *, after: int | None = None) -> None:
        """Set another quota, with its fact (Reg. 8.3); `after` as in `append_facts`."""
        session.execute(update(Mailbox).where(Mailbox.mailbox_id == mailbox_id).values(quota_octets=octets))
        fact_chain.append(session, mailbox_id, [draft], after)

    @transaction
    def hide_capabilities(self, session: WriteSession, mailbox_id: int, names: frozenset[str]) -> None:
        mailbox_rows.changing(session, mailbox_id).capabilities_hidden = " ".join(sorted(names))

    @transaction
    def set_credential(
        self, session: WriteSession, mailbox_id: int, credential: Credential, *drafts: Draft, after: int | None = None
    ) -> Credential:
        """Store verifiers together with the facts that explain them.

        Their version is assigned here, one more than before. `after` as in `append_facts`.
        """
        fact_chain.append(session, mailbox_id, drafts, after)
        return _store(session, mailbox_id, credential)

    def touch_activity(self, mailbox_id: int, used_at: datetime) -> bool:
        """Record that the mailbox was used (Reg. 7.2.a); return whether it was written now.

        Written at most once a day, which is precise enough for terms of months.
        """

        day = local_day(used_at)
        written = select(Activity.last_used_at).where(Activity.mailbox_id == mailbox_id)
        last = self._tables.read(lambda session: session.scalars(written).one_or_none())
        if last is not None and local_day(last) >= day:
            return False

        def work(session: WriteSession) -> bool:
            mailbox_rows.changing(session, mailbox_id)
            row = session.get(Activity, mailbox_id)
            if row is None:
                session.add(Activity(mailbox_id=mailbox_id, last_used_at=used_at))
            else:
                row.last_used_at = max(row.last_used_at, used_at)
            return True

        return self._tables.change(work)

    @transaction
    def mend_instants_ahead(self, session: WriteSession, now: datetime, tolerance: timedelta) -> Mended:
        """Correct instants that are ahead of the clock: uses become `now`, notices become void.

        Instants up to `tolerance` ahead stay. Only for a caller whose clock is trusted.
        """
        from mic_mail.directory import sent_notices

        late = now + tolerance
        used = list(session.scalars(select(Activity).where(Activity.last_used_at > late)))
        for activity in used:
            activity.last_used_at = now
            mailbox_rows.changing(session, activity.mailbox_id)
        apps = list(session.scalars(select(AppPasswordRow).where(AppPasswordRow.used_at > late)))
        for app in apps:
            app.used_at = now
        return Mended(len(used), len(apps), sent_notices.void_ahead(session, late))

    def _mailboxes(self, *conditions: ColumnElement[bool]) -> list[MailboxRecord]:
        return self._tables.read(lambda session: mailbox_rows.read(session, *conditions, by=Address.address))


def _must_have_none(session: Session, mailbox: MailboxRecord) -> None:
    """Refuse a second personal mailbox of a person, or a second own mailbox of a unit.

    Checked here because two officers who issue at the same time have both seen none.
    """
    match mailbox.kind:
        case MailboxKind.PERSONAL if mailbox.person_id is not None:
            owned, clause = Mailbox.person_id == mailbox.person_id, "5.3"
        case MailboxKind.UNIT if mailbox.unit_id is not None:
            owned, clause = Mailbox.unit_id == mailbox.unit_id, "5.1"
        case _:
            return
    wanted = select(Address.address).join(Mailbox, mailbox_rows.PRIMARY).where(owned, Mailbox.kind == mailbox.kind)
    if (there := session.scalars(wanted).first()) is not None:
        raise AlreadyThere(Text(f"Đã có hộp thư {there}.", f"Mailbox {in_ascii(there)} already exists."), clause=clause)


def _take(session: Session, address: str, mailbox_id: int, role: AddressRole) -> None:
    """Assign `address` to the mailbox, unless another one has or had it."""
    address = address.lower()
    row = session.get(Address, address)
    if row is None:
        session.add(Address(address=address, mailbox_id=mailbox_id, role=role))
    elif row.mailbox_id == mailbox_id and (row.role == AddressRole.FORMER or (row.role == role and row.until is not None)):
        row.role, row.until = role, None
    else:
        raise _taken(address)
    session.flush()


def _taken(address: str) -> AlreadyThere:
    return AlreadyThere(
        Text(f"Địa chỉ {address} đã được sử dụng.", f"The address {in_ascii(address)} is or was in use."), clause="5.4.a"
    )


def _store(session: Session, mailbox_id: int, credential: Credential) -> Credential:
    """Replace the verifiers; the old ones become the newest former ones.

    Caches drop the old verifiers by their version.
    """
    row = session.get(CredentialRow, mailbox_id)
    if row is None:
        row = CredentialRow(mailbox_id=mailbox_id, version=0)
        session.add(row)
    elif row.version > 0:
        session.add(FormerCredentialRow(mailbox_id=mailbox_id, version=row.version, argon2=row.argon2))
        forgotten = FormerCredentialRow.version <= row.version - FORMER_PASSWORDS
        session.execute(delete(FormerCredentialRow).where(FormerCredentialRow.mailbox_id == mailbox_id, forgotten))
    row.version += 1
    row.argon2 = credential.argon2
    set_keys(row, credential.scram)
    return Credential(row.version, credential.argon2, credential.scram)
