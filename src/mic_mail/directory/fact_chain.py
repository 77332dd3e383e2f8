"""Facts appended to the mailboxes' records, each chained to the one before it; never altered."""

import json
from collections.abc import Sequence

from sqlalchemy import select

from mic_mail.directory import mailbox_rows, snapshot_loader
from mic_mail.directory.engine import rows_of
from mic_mail.directory.model import FactRow
from mic_mail.directory.records import RECORD_CHANGED, DoneBefore, Superseded
from mic_mail.directory.transactions import WriteSession, row_of
from mic_mail.policy.facts import REQUEST, Draft, Fact, record


def append(session: WriteSession, mailbox_id: int, drafts: Sequence[Draft], after: int | None = None) -> list[Fact]:
    """Append facts in order; with `after`, only if that is still the number of the newest fact (else `Superseded`)."""
    mailbox_rows.changing(session, mailbox_id)
    previous = snapshot_loader.newest_fact(rows_of(session.connection()), mailbox_id)
    if after is not None and after != (previous.seq if previous else 0):
        raise Superseded(RECORD_CHANGED)
    recorded: list[Fact] = []
    _must_be_first(session, mailbox_id, drafts)
    for draft in drafts:
        previous = record(draft, mailbox_id=mailbox_id, previous=previous, recorded_at=session.clock.steady_now())
        recorded.append(previous)
        data = json.dumps(dict(previous.data), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        session.add(row_of(FactRow, previous, data=data))
    session.flush()
    return recorded


def _must_be_first(session: WriteSession, mailbox_id: int, drafts: Sequence[Draft]) -> None:
    """Refuse a fact of a request (Reg. 6.2) that was already recorded: a request is carried out once."""
    for draft in drafts:
        number = draft.data.get(REQUEST)
        if number is None:
            continue
        same = select(FactRow.data).where(FactRow.mailbox_id == mailbox_id, FactRow.kind == draft.kind)
        if any(json.loads(data).get(REQUEST) == number for data in session.scalars(same)):
            raise DoneBefore(number)
