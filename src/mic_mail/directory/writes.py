"""Changes of mailboxes, units and people; `repository.Directory` has them as its own methods.

Apart from it, so that a process that only reads loads no SQLAlchemy.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from mic_mail.config.auth import FORMER_PASSWORDS
from mic_mail.directory import fact_chain, mailbox_rows, person_rows
from mic_mail.directory.credential_rows import set_keys
from mic_mail.directory.instants import to_microseconds
from mic_mail.directory.model import (
    Activity,
    Address,
    AppPasswordRow,
    CredentialRow,
    Domain,
    FormerCredentialRow,
    Mailbox,
    Unit,
)
from mic_mail.directory.records import (
    AddressRole,
    AlreadyThere,
    MailboxRecord,
    Mended,
    NotFound,
    PersonRecord,
    UnitEnded,
    UnitRecord,
)
from mic_mail.directory.tables import BaseRegister, transaction
from mic_mail.directory.transactions import WriteSession, add_record, plainly, to_record
from mic_mail.errors import Text, in_ascii
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.facts import Draft, MailboxKind


class Writes(BaseRegister):
    """The changes of the directory's own tables."""

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
        fact_chain.append(plainly(session), row.mailbox_id, drafts)
        if credential is not None:
            _store(session, row.mailbox_id, credential)
        return mailbox_rows.record(row, mailbox.address.lower())

    @transaction
    def add_alias(self, session: WriteSession, mailbox_id: int, address: str, draft: Draft) -> None:
        """Add another address to the mailbox; one that it had before becomes live again."""
        _take(session, address, mailbox_id, AddressRole.ALIAS)
        fact_chain.append(plainly(session), mailbox_id, [draft])

    @transaction
    def remove_alias(self, session: WriteSession, mailbox_id: int, address: str, draft: Draft) -> None:
        """Remove an alias: it delivers nowhere from now on, and stays taken (Reg. 5.4.a)."""
        row = session.get(Address, address.lower())
        if row is None or row.mailbox_id != mailbox_id or row.role != AddressRole.ALIAS:
            raise NotFound(
                Text(f"{address} không phải là bí danh của hộp thư.", f"{in_ascii(address)} is not an alias of the mailbox.")
            )
        row.role = AddressRole.FORMER
        fact_chain.append(plainly(session), mailbox_id, [draft])

    @transaction
    def set_quota(self, session: WriteSession, mailbox_id: int, octets: int, draft: Draft, *, after: int | None = None) -> None:
        """Set another quota, with its fact (Reg. 8.3); `after` as in `append_facts`."""
        session.execute(update(Mailbox).where(Mailbox.mailbox_id == mailbox_id).values(quota_octets=octets))
        fact_chain.append(plainly(session), mailbox_id, [draft], after)

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
        fact_chain.append(plainly(session), mailbox_id, drafts, after)
        return _store(session, mailbox_id, credential)

    @transaction
    def mend_instants_ahead(self, session: WriteSession, clock: Callable[[], datetime], tolerance: timedelta) -> Mended:
        """Correct instants that are ahead of the clock: uses become the present, notices become void.

        Instants up to `tolerance` ahead stay. Only for a caller whose clock is trusted. It is read within the change: what was
        recorded before is then not ahead of a reading from before.
        """
        from mic_mail.directory import sent_notices

        now = clock()
        late = now + tolerance
        used = list(session.scalars(select(Activity).where(Activity.last_used_at > late)))
        for activity in used:
            activity.last_used_at = now
            mailbox_rows.changing(session, activity.mailbox_id)
        apps = list(session.scalars(select(AppPasswordRow).where(AppPasswordRow.used_at > late)))
        for app in apps:
            app.used_at = now
        return Mended(len(used), len(apps), sent_notices.void_ahead(plainly(session), to_microseconds(late)))


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
