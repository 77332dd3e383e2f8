"""The rows of mailboxes, with their own addresses."""

from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from mic_mail.directory.model import Address, Mailbox
from mic_mail.directory.records import AddressRole, MailboxRecord
from mic_mail.directory.transactions import WriteSession, existing, to_record
from mic_mail.policy.facts import MailboxKind

PRIMARY = (Address.mailbox_id == Mailbox.mailbox_id) & (Address.role == AddressRole.PRIMARY)
"""Joins a mailbox with its own address."""


def record(row: Mailbox, address: str) -> MailboxRecord:
    hidden = frozenset(row.capabilities_hidden.split())
    return to_record(row, MailboxRecord, kind=MailboxKind(row.kind), address=address, capabilities_hidden=hidden)


def read(
    session: Session, *conditions: ColumnElement[bool], by: InstrumentedAttribute[Any] = Mailbox.mailbox_id
) -> list[MailboxRecord]:
    """Return the mailboxes for which the conditions hold, in the order of the column `by`."""
    wanted = select(Mailbox, Address.address).join(Address, PRIMARY).where(*conditions).order_by(by)
    return [record(row, address) for row, address in session.execute(wanted)]


def changing(session: WriteSession, mailbox_id: int) -> Mailbox:
    """Return the row of a mailbox that this change concerns; snapshots load the mailbox anew."""
    row = existing(session, Mailbox, mailbox_id, "hộp thư mã", "mailbox")
    row.changed_version = session.version
    return row
