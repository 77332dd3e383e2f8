"""The register of requests to open the content of a mailbox, and of the exports under them (Reg. 4.3).

A request is entered and decided, never altered or deleted; the rules for a decision are checked within its transaction. An
export is on record before its first message is copied, so that one that was killed can be recognised, and its remains be found.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from mic_mail.directory.model import Address
from mic_mail.directory.records import IDS_END, AddressRole, not_found
from mic_mail.directory.register_model import ContentAccessRow, ContentExportRow
from mic_mail.directory.tables import BaseRegister, transaction
from mic_mail.directory.transactions import add_record, to_record
from mic_mail.policy.authorization.content_access import Access, ContentDecision, DecisionOutcome, Scope


@dataclass(frozen=True, slots=True)
class Export:
    """One export; without `finished_at` it is in progress, or was killed."""

    export_id: int
    access_id: int
    officer: str
    begun_at: datetime
    staging: str
    """The path where the export is made; empty once it is finished."""
    target: str
    finished_at: datetime | None = None
    messages: int | None = None
    octets: int | None = None
    digest: str | None = None
    """SHA-256 of SHA256SUMS, which lists everything else; in hexadecimal."""


class ContentRegister(BaseRegister):
    """The requests and exports on record."""

    def all(self) -> list[Access]:
        wanted = _ACCESSES.order_by(ContentAccessRow.access_id)
        return self._tables.read(lambda session: [_access(row, address) for row, address in session.execute(wanted)])

    def get(self, access_id: int) -> Access:
        return self._tables.read(lambda session: _access(*_existing(session, access_id)))

    def ask(self, access: Access) -> Access:
        """Enter a new request; its number is assigned here."""

        def work(session: Session) -> int:
            scope = {field.name: getattr(access.scope, field.name) for field in fields(access.scope)}
            return add_record(session, ContentAccessRow, access, expires_at=None, **scope).access_id

        return self.get(self._tables.change(work))

    @transaction
    def decide(
        self,
        session: Session,
        access_id: int,
        decision: ContentDecision,
        check: Callable[[Access], None],
        expires_at: datetime | None = None,
    ) -> Access:
        """Record the decision of a second person, unless `check` refuses it."""
        row, address = _existing(session, access_id)
        check(_access(row, address))
        row.verdict = decision.verdict
        row.decided_by = decision.officer
        row.decided_login = decision.login
        row.decided_at = decision.at
        row.decision_reason = decision.reason
        row.decision_document = decision.document
        row.expires_at = expires_at
        session.flush()
        return _access(row, address)

    @transaction
    def begin_export(self, session: Session, access_id: int, officer: str, at: datetime, *, staging: str, target: str) -> int:
        """Record the start of an export and return its number."""
        row = ContentExportRow(access_id=access_id, officer=officer, begun_at=at, staging=staging, target=target)
        session.add(row)
        session.flush()
        return row.export_id

    @transaction
    def fill_export(self, session: Session, export_id: int, messages: int, octets: int, digest: str) -> None:
        """Record the content of the export, before it is moved to its target."""
        row = session.get_one(ContentExportRow, export_id)
        row.messages, row.octets, row.digest = messages, octets, digest

    @transaction
    def finish_export(self, session: Session, export_id: int, at: datetime) -> None:
        session.get_one(ContentExportRow, export_id).finished_at = at

    def exports(self, access_id: int | None = None) -> list[Export]:
        """Return the exports of one request or of all, oldest first."""
        if not self._tables.has_rows("content_export"):
            return []
        wanted = select(ContentExportRow).order_by(ContentExportRow.export_id)
        if access_id is not None:
            wanted = wanted.where(ContentExportRow.access_id == access_id)
        return self._tables.read(lambda session: [to_record(row, Export) for row in session.scalars(wanted)])


_ACCESSES: Select[ContentAccessRow, str] = select(ContentAccessRow, Address.address).join(
    Address, (Address.mailbox_id == ContentAccessRow.mailbox_id) & (Address.role == AddressRole.PRIMARY)
)


def _existing(session: Session, access_id: int) -> tuple[ContentAccessRow, str]:
    wanted = _ACCESSES.where(ContentAccessRow.access_id == access_id)
    for row, address in session.execute(wanted) if 0 < access_id < IDS_END else ():
        return row, address
    raise not_found("đề nghị", "content request", access_id)


def _access(row: ContentAccessRow, address: str) -> Access:
    decision = None
    if row.verdict is not None and row.decided_at is not None:
        decision = ContentDecision(
            DecisionOutcome(row.verdict),
            row.decided_by or "",
            row.decided_login or "",
            row.decided_at,
            row.decision_reason or "",
            row.decision_document,
        )
    scope = to_record(row, Scope)
    return to_record(row, Access, address=address, scope=scope, decision=decision)
