"""Second factors in the directory: sealed secrets, used-up codes, recovery codes.

A step is taken by one statement that succeeds once, so of ten clients with the same code one gets in, over all processes and
after a restart (RFC 6238 §5.2). Facts of a mailbox are written in the same transaction as the rows that they describe.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from mic_mail.directory import fact_chain
from mic_mail.directory.model import RecoveryCodeRow, SecondFactorRow
from mic_mail.directory.tables import BaseRegister, transaction
from mic_mail.directory.transactions import WriteSession, plainly
from mic_mail.policy.facts import Draft, Fact


@dataclass(frozen=True, slots=True)
class Factor:
    """The second factor of one holder."""

    holder: str
    number: int
    """The number of the fact that set a mailbox's factor; 0 for an officer's."""
    sealed: bytes = field(repr=False)
    set_at: datetime
    wrong: int
    recovery_left: int


def mailbox_holder(mailbox_id: int) -> str:
    return f"mailbox/{mailbox_id}"


def officer_holder(login: str) -> str:
    return f"officer/{login}"


class SecondFactors(BaseRegister):
    """The factors of all holders."""

    def of(self, holder: str) -> Factor | None:
        """Return the factor of one holder; None where there is none."""
        return self._tables.read(lambda session: _factor(session, session.get(SecondFactorRow, holder)))

    def officers(self) -> list[Factor]:
        wanted = select(SecondFactorRow).where(SecondFactorRow.holder.startswith("officer/")).order_by(SecondFactorRow.holder)
        return self._tables.read(lambda s: [each for row in s.scalars(wanted) if (each := _factor(s, row)) is not None])

    @transaction
    def set_of_mailbox(
        self,
        session: WriteSession,
        mailbox_id: int,
        draft: Draft,
        sealed: bytes,
        step: int,
        *,
        recovery: Iterable[bytes],
        after: int,
    ) -> Fact:
        """Set the factor of a mailbox, after a code of `step` was shown.

        Raise `Superseded` unless `after` is still the number of the newest fact.
        """
        (fact,) = fact_chain.append(plainly(session), mailbox_id, [draft], after)
        _put(session, _row(mailbox_holder(mailbox_id), fact.seq, sealed, fact.clocked_at, step), recovery)
        return fact

    @transaction
    def remove_of_mailbox(self, session: WriteSession, mailbox_id: int, draft: Draft, *, after: int) -> Fact:
        """Remove the factor of a mailbox; nothing of the secret is left."""
        (fact,) = fact_chain.append(plainly(session), mailbox_id, [draft], after)
        _drop(session, mailbox_holder(mailbox_id))
        return fact

    @transaction
    def set_of_officer(self, session: Session, login: str, sealed: bytes, step: int, at: datetime) -> None:
        """Set the factor of an officer, in place of an earlier one."""
        _put(session, _row(officer_holder(login), 0, sealed, at, step))

    @transaction
    def remove_of_officer(self, session: Session, login: str) -> bool:
        """Remove the factor of an officer; return whether there was one."""
        return _drop(session, officer_holder(login))

    @transaction
    def take(self, session: Session, holder: str, number: int, step: int) -> bool:
        """Use up the code of `step` and all before it.

        Return False where it was used already, or the factor is another one by now.
        """
        taken = (
            update(SecondFactorRow)
            .where(SecondFactorRow.holder == holder, SecondFactorRow.number == number, SecondFactorRow.last_step < step)
            .values(last_step=step, wrong=0)
            .returning(SecondFactorRow.holder)
        )
        return session.scalars(taken).first() is not None

    @transaction
    def take_recovery(self, session: Session, holder: str, digest: bytes, at: datetime) -> bool:
        """Use up a recovery code; return False where there is no such code, or it was used."""
        mine = (RecoveryCodeRow.holder == holder, RecoveryCodeRow.digest == digest)
        taken = (
            update(RecoveryCodeRow)
            .where(*mine, RecoveryCodeRow.used_at.is_(None))
            .values(used_at=at)
            .returning(RecoveryCodeRow.holder)
        )
        if session.scalars(taken).first() is None:
            return False
        session.execute(update(SecondFactorRow).where(SecondFactorRow.holder == holder).values(wrong=0))
        return True

    def mend_steps_ahead(self, clock: Callable[[], int], tolerance: int) -> int:
        """Reset factors whose last code is of a step that lies ahead; return how many there are.

        Steps up to `tolerance` ahead stay. Codes after the present step are accepted again. `clock` returns that step, and is
        called within the change: a code that was used before is then not ahead of a reading from before.
        """
        ahead = "SELECT EXISTS (SELECT 1 FROM second_factor WHERE last_step > :late)"
        with self._tables.reading() as read:
            is_ahead = next(read(ahead, late=clock() + tolerance))[0]
        return self._mend_steps_ahead(clock, tolerance) if is_ahead else 0

    @transaction
    def _mend_steps_ahead(self, session: Session, clock: Callable[[], int], tolerance: int) -> int:
        present = clock()
        ahead = update(SecondFactorRow).where(SecondFactorRow.last_step > present + tolerance).values(last_step=present)
        return len(session.scalars(ahead.returning(SecondFactorRow.holder)).all())

    @transaction
    def was_wrong(self, session: Session, holder: str) -> None:
        """Count one more wrong code since the last right one."""
        wrong = SecondFactorRow.wrong + 1
        session.execute(update(SecondFactorRow).where(SecondFactorRow.holder == holder).values(wrong=wrong))


def _factor(session: Session, row: SecondFactorRow | None) -> Factor | None:
    if row is None:
        return None
    unused = select(func.count()).where(RecoveryCodeRow.holder == row.holder, RecoveryCodeRow.used_at.is_(None))
    return Factor(row.holder, row.number, row.sealed, row.set_at, row.wrong, session.scalars(unused).one())


def _row(holder: str, number: int, sealed: bytes, at: datetime, step: int) -> SecondFactorRow:
    return SecondFactorRow(holder=holder, number=number, sealed=sealed, set_at=at, last_step=step, wrong=0)


def _put(session: Session, row: SecondFactorRow, recovery: Iterable[bytes] = ()) -> None:
    """Store a factor in place of whatever the holder had."""
    _drop(session, row.holder)
    session.add(row)
    session.add_all(RecoveryCodeRow(holder=row.holder, digest=digest) for digest in recovery)


def _drop(session: Session, holder: str) -> bool:
    session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.holder == holder))
    gone = delete(SecondFactorRow).where(SecondFactorRow.holder == holder).returning(SecondFactorRow.holder)
    return session.scalars(gone).first() is not None
