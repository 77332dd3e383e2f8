"""App passwords in the directory: what recognises each, and where it was used last.

Which there are and which still open anything is in the mailboxes' facts (`policy.apppasswords`); a fact and its row come in one
transaction. Of a revoked one the row stays, without what verified it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mic_mail.directory.model import AppPasswordRow
from mic_mail.directory.snapshot import AppCredential, ScramKeys
from mic_mail.directory.transactions import Tables
from mic_mail.policy.calendar import local_day
from mic_mail.policy.facts import Draft, Fact

Append = Callable[[Session, int, int, Sequence[Draft], int | None], list[Fact]]
"""Puts facts into a mailbox's chain: session, version, mailbox, drafts, the number that must be the newest before."""


@dataclass(frozen=True, slots=True)
class Use:
    """Where an app password was used last; within the day of it."""

    at: datetime
    door: str
    network: str


class AppPasswords:
    """The rows of all mailboxes."""

    def __init__(self, tables: Tables, append: Append) -> None:
        self._tables = tables
        self._append = append

    def uses(self, mailbox_id: int) -> dict[int, Use]:
        """The last use of each that was ever used, by its number."""
        wanted = select(AppPasswordRow).where(AppPasswordRow.mailbox_id == mailbox_id, AppPasswordRow.used_at.is_not(None))

        def work(session: Session) -> dict[int, Use]:
            return {
                row.number: Use(row.used_at, row.used_door or "", row.used_network or "")
                for row in session.scalars(wanted)
                if row.used_at is not None
            }

        return self._tables.read(work)

    def add(self, mailbox_id: int, draft: Draft, made: AppCredential, *, after: int) -> Fact:
        """A new one, and the fact that gives it its number; `Superseded` unless `after` is that of the newest fact still."""

        def work(session: Session, version: int) -> Fact:
            (fact,) = self._append(session, version, mailbox_id, [draft], after)
            scram = made.scram
            session.add(
                AppPasswordRow(
                    mailbox_id=mailbox_id,
                    number=fact.seq,
                    salt=made.salt,
                    digest=made.digest,
                    scram_salt=scram.salt,
                    scram_iterations=scram.iterations,
                    scram_stored_key=scram.stored_key,
                    scram_server_key=scram.server_key,
                )
            )
            return fact

        return self._tables.change(work)

    def revoke(self, mailbox_id: int, drafts: Sequence[Draft], numbers: Sequence[int], *, after: int) -> list[Fact]:
        """The facts that say so, and nothing left by which these are recognised; `Superseded` as above."""

        def work(session: Session, version: int) -> list[Fact]:
            facts = self._append(session, version, mailbox_id, drafts, after)
            session.execute(
                update(AppPasswordRow)
                .where(AppPasswordRow.mailbox_id == mailbox_id, AppPasswordRow.number.in_(numbers))
                .values(
                    salt=None, digest=None, scram_salt=None, scram_iterations=None, scram_stored_key=None, scram_server_key=None
                )
            )
            return facts

        return self._tables.change(work)

    def used(self, mailbox_id: int, number: int, use: Use) -> bool:
        """It was used; written once a day at most. Whether it was written now. No mailbox counts as changed by it."""
        mine = (AppPasswordRow.mailbox_id == mailbox_id, AppPasswordRow.number == number)
        last = self._tables.read(lambda session: session.scalars(select(AppPasswordRow.used_at).where(*mine)).first())
        if last is not None and local_day(last) >= local_day(use.at):
            return False

        def work(session: Session, _version: int) -> bool:
            row = session.get(AppPasswordRow, (mailbox_id, number))
            if row is None:
                return False
            row.used_at, row.used_door, row.used_network = use.at, use.door, use.network
            return True

        return self._tables.change(work)


def credential(row: AppPasswordRow) -> AppCredential | None:
    """What recognises it, if it was not revoked."""
    if (
        row.salt is None
        or row.digest is None
        or row.scram_salt is None
        or row.scram_iterations is None
        or row.scram_stored_key is None
        or row.scram_server_key is None
    ):
        return None
    keys = ScramKeys(row.scram_salt, row.scram_iterations, row.scram_stored_key, row.scram_server_key)
    return AppCredential(row.number, row.salt, row.digest, keys)
