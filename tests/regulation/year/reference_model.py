"""What becomes of each mailbox, day after day, written from the clauses alone: no spans, no facts, nothing of the program.

One object a mailbox. `begin(day)` is midnight; the acts of the day follow; then it says what its owner and the world meet.
Slow and simple on purpose: what it has in common with the program is the regulation.
"""

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date, timedelta
from unicodedata import combining, normalize

ONE = timedelta(days=1)


def same_day(day: date, months: int) -> date:
    """Civil Code 2015, Article 148: the day of the same number, or the last of a month that has none."""
    year, month = day.year, day.month
    for _ in range(months):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def plain_form(full_name: str) -> str:
    """5.3: the initials of family and middle names and the given name, without diacritics."""
    bare = "".join(letter for letter in normalize("NFD", full_name.lower().replace("đ", "d")) if not combining(letter))
    *others, given = bare.split()
    return "".join(word[0] for word in others) + given


@dataclass
class Leave:
    """6.4.c: the official day, whether a leader of department level, and the day of the first notice that came too late."""

    official: date
    high: bool
    noticed: date

    def locked_on(self) -> date:
        """At once, or after one month: the month ends with its last day."""
        return same_day(self.official, 1) + ONE if self.high else self.official

    def last_day(self) -> date:
        """The last of the six or twelve months, or of the seven days after a notice that came later than that."""
        last = same_day(self.official, 12 if self.high else 6)
        return self.noticed + 7 * ONE if last < self.noticed else last


@dataclass
class Mailbox:
    """One mailbox of a person."""

    address: str
    issued: date
    counted_from: date
    """7.2.a: the day from which six months without use are counted."""
    absent_until: date | None = None
    leave: Leave | None = None
    suspended: set[str] = field(default_factory=set)
    password_due: bool = False
    reclaimed: bool = False
    hand_locked: bool = False

    def begin(self, day: date) -> None:
        """Midnight: what the clock alone does."""
        if self.reclaimed:
            return
        if self.leave is not None and day > self.leave.last_day():
            self.reclaimed = True
            return
        on = self.suspended_on()
        if on is not None and day >= on:
            self.suspended.add("a")

    def reclaimed_on(self) -> date | None:
        """6.4.c: the day that begins with it, if nothing else comes."""
        return None if self.reclaimed or self.leave is None else self.leave.last_day() + ONE

    def suspended_on(self) -> date | None:
        """7.2.a: the day after six months without use, or after those that follow an absence."""
        if self.reclaimed or "a" in self.suspended:
            return None
        start = self.counted_from
        if self.absent_until is not None and self.absent_until > start:
            start = self.absent_until
        return same_day(start, 6) + ONE

    # ------------------------------------------------------------ acts

    def used(self, day: date) -> None:
        self.counted_from = max(self.counted_from, day)

    def chose_password(self) -> None:
        self.password_due = False

    def reset_password(self) -> None:
        self.password_due = True

    def suspend(self, point: str) -> None:
        self.suspended.add(point)

    def restore(self, day: date) -> None:
        """7.3: reactivated, the password reset; six months begin anew."""
        self.suspended.clear()
        self.password_due = True
        self.counted_from = max(self.counted_from, day)

    def absent(self, until: date) -> None:
        """7.2.a: a notified reason counts if it came before the suspension."""
        if "a" not in self.suspended:
            self.absent_until = max(until, self.absent_until or until)

    def left(self, official: date, high: bool, today: date) -> None:
        self.leave = Leave(official, high, today)
        self._at_once(today)

    def corrected(self, official: date, high: bool, today: date) -> None:
        assert self.leave is not None
        self.leave = Leave(official, high, today)
        self._at_once(today)

    def _at_once(self, today: date) -> None:
        assert self.leave is not None
        if today > self.leave.last_day():
            self.reclaimed = True

    def withdrawn(self) -> None:
        self.leave = None

    def returned(self, day: date) -> None:
        self.leave = None
        self.counted_from = max(self.counted_from, day)

    def lock(self) -> None:
        self.hand_locked = True

    def unlock(self) -> None:
        self.hand_locked = False

    def reclaim(self) -> None:
        """6.2: the unit asked for it."""
        self.reclaimed = True

    def issue_again(self, day: date) -> None:
        """6.4.a: the person is back after all; everything begins anew."""
        self.reclaimed = False
        self.leave = None
        self.suspended.clear()
        self.hand_locked = False
        self.absent_until = None
        self.password_due = True
        self.issued = self.counted_from = day

    # ------------------------------------------------------------ what holds

    def states(self, day: date) -> frozenset[str]:
        """By the words of the table at the end of the clauses."""
        if self.reclaimed:
            return frozenset({"reclaimed"})
        found = set()
        if (self.leave is not None and day >= self.leave.locked_on()) or self.hand_locked:
            found.add("send_locked")
        if self.suspended:
            found.add("suspended")
        if self.password_due:
            found.add("password_due")
        if not found - {"password_due"}:
            found.add("active")
        return frozenset(found)

    def receives(self) -> bool:
        return not self.reclaimed

    def signs_in(self) -> bool:
        return not (self.reclaimed or self.suspended or self.password_due)

    def sends(self, day: date) -> bool:
        return self.signs_in() and "send_locked" not in self.states(day)
