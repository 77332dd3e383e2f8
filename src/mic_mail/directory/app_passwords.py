"""App passwords in the directory: their verifiers, and their last uses.

The mailboxes' facts say which app passwords exist and which are usable (`policy.credentials.app_passwords`); a fact and its row
are written in one transaction. The row of a revoked app password stays, without its verifiers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mic_mail.directory import fact_chain
from mic_mail.directory.credential_rows import set_keys
from mic_mail.directory.model import AppPasswordRow
from mic_mail.directory.tables import BaseRegister, transaction
from mic_mail.directory.transactions import WriteSession, plainly
from mic_mail.policy.calendar import local_day
from mic_mail.policy.credentials.verifiers import AppCredential
from mic_mail.policy.facts import Draft, Fact


@dataclass(frozen=True, slots=True)
class LastUse:
    """The last use of an app password; precise to its day, as later uses of that day are not written."""

    at: datetime
    door: str
    network: str


class AppPasswords(BaseRegister):
    """The app password rows of all mailboxes."""

    def uses(self, mailbox_id: int) -> dict[int, LastUse]:
        """Return the last use of each app password that was ever used, by its number."""
        wanted = select(AppPasswordRow).where(AppPasswordRow.mailbox_id == mailbox_id, AppPasswordRow.used_at.is_not(None))

        def look(session: Session) -> dict[int, LastUse]:
            return {
                row.number: LastUse(row.used_at, row.used_door or "", row.used_network or "")
                for row in session.scalars(wanted)
                if row.used_at is not None
            }

        return self._tables.read(look)

    @transaction
    def add(self, session: WriteSession, mailbox_id: int, draft: Draft, made: AppCredential, *, after: int) -> Fact:
        """Add an app password, and the fact that gives it its number.

        Raise `Superseded` unless `after` is still the number of the newest fact.
        """
        (fact,) = fact_chain.append(plainly(session), mailbox_id, [draft], after)
        row = AppPasswordRow(mailbox_id=mailbox_id, number=fact.seq, salt=made.salt, digest=made.digest)
        set_keys(row, made.scram)
        session.add(row)
        return fact

    @transaction
    def revoke(
        self, session: WriteSession, mailbox_id: int, drafts: Sequence[Draft], numbers: Sequence[int], *, after: int
    ) -> list[Fact]:
        """Append the facts of the revocation and delete the verifiers; `Superseded` as in `add`."""
        facts = fact_chain.append(plainly(session), mailbox_id, drafts, after)
        session.execute(
            update(AppPasswordRow)
            .where(AppPasswordRow.mailbox_id == mailbox_id, AppPasswordRow.number.in_(numbers))
            .values(
                salt=None, digest=None, scram_salt=None, scram_iterations=None, scram_stored_key=None, scram_server_key=None
            )
        )
        return facts

    def used(self, mailbox_id: int, number: int, use: LastUse) -> bool:
        """Record a use, at most once a day; return whether it was written now.

        The mailbox does not count as changed by it.
        """
        mine = (AppPasswordRow.mailbox_id == mailbox_id, AppPasswordRow.number == number)
        last = self._tables.read(lambda session: session.scalars(select(AppPasswordRow.used_at).where(*mine)).first())
        if last is not None and local_day(last) >= local_day(use.at):
            return False

        def work(session: Session) -> bool:
            row = session.get(AppPasswordRow, (mailbox_id, number))
            if row is None:
                return False
            row.used_at, row.used_door, row.used_network = use.at, use.door, use.network
            return True

        return self._tables.change(work)
