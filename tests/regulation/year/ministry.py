"""A ministry that lives: recruits, transfers, leavers, absences, compromises, corrections, day by day.

Each act goes to the program by its use cases, as the commands have it, and to the naive mailbox; where the regulation refuses
an act, the program has to. What people do themselves (read, change a password) they do by real connections.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from random import Random

import pytest

from harness import MailServer
from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.directory.records import MailboxRecord, PersonRecord, UnitRecord
from mic_mail.errors import Refused
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Cause, Departure, Draft, FactKind, Level
from mic_mail.services.accounts import Accounts, Asked, Conclusion
from mic_mail.services.credentials import Origin
from mic_mail.services.issuing import Issuing, Request
from population import PASSWORD, credential
from regulation.year.naive import ONE, Mailbox

FAMILIES = "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Trịnh Mai Tô Cao Chu Đoàn".split()
MIDDLES = "Văn Thị Đức Minh Hữu Ngọc Quang Thanh Xuân Thu Hồng Công Đình Bảo Gia Hải Kim Mỹ Tuấn Việt".split()
GIVENS = (
    "An Anh Bình Châu Chi Cường Dũng Dung Duy Giang Hà Hải Hạnh Hằng Hiền Hiếu Hoa Hòa Hùng Hương Khánh Lan Linh Long Mai "
    "Nam Nga Ngân Nhung Phong Phúc Phương Quân Quỳnh Sơn Tâm Thảo Thắng Thủy Trang Trung Tú Tuấn Tùng Uyên Vân Vinh Yến Ưng Đạt"
).split()
UNITS = "CNTT VP TCCB KHTC PTTH&TTĐT XB,I&PH CB BC TTTH QHQT PC T.Tra KH&CN VT CĐ".split()

CENTRE = Origin("lan", "theo văn bản", "15/TB-VP")


class Person:
    """Somebody with a mailbox: what the program has, and what the clauses say."""

    def __init__(self, record: PersonRecord, mailbox: MailboxRecord, naive: Mailbox) -> None:
        self.record = record
        self.mailbox = mailbox
        self.naive = naive
        self.uses_it = True
        self.next_use: date = date.max

    @property
    def local(self) -> str:
        return self.naive.address.partition("@")[0]


class Ministry:
    """Its people, and the program that serves them."""

    def __init__(self, server: MailServer, clock: ManualClock, seed: int) -> None:
        self.server = server
        self.clock = clock
        self.chance = Random(seed)
        directory, config = server.population.directory, server.config
        directory._clock = clock
        self.accounts = Accounts(directory, config, clock)
        self.issuing = Issuing(directory, config, clock, credential)
        self.directory = directory
        self.units = [directory.add_unit(UnitRecord(0, symbol, symbol, document="1553/QĐ-BTTTT")) for symbol in UNITS]
        self.people: list[Person] = []
        self.due: dict[date, list[Callable[[], None]]] = {}
        self.changed: set[str] = set()
        self.acts = 0
        self.refused = 0

    @property
    def today(self) -> date:
        return self.clock.now().astimezone(HO_CHI_MINH).date()

    # ------------------------------------------------------------ people come

    def hire(self, *, seasoned: bool = False) -> Person:
        """6.4.a: a recruit; who was there before the year began has a password and a history of use."""
        chance = self.chance
        name = f"{chance.choice(FAMILIES)} {' '.join(chance.sample(MIDDLES, chance.randint(1, 2)))} {chance.choice(GIVENS)}"
        high = chance.random() < 0.04
        unit = chance.choice(self.units)
        person = self.directory.add_person(
            PersonRecord(
                person_id=0,
                full_name=name,
                unit_id=unit.unit_id,
                position="Vụ trưởng" if high else "Chuyên viên",
                level=None,
                employment=Employment.CIVIL_SERVANT,
            )
        )
        mailbox = self._issue(person)
        naive = Mailbox(mailbox.address, self.today, self.today, password_due=True)
        found = Person(person, mailbox, naive)
        self.people.append(found)
        found.uses_it = chance.random() > 0.03
        if seasoned:
            self._choose_password(found)
        else:
            self._later(chance.randint(0, 5), lambda: self._choose_password(found))
        self._plan_use(found)
        self._acted(found)
        return found

    def _issue(self, person: PersonRecord) -> MailboxRecord:
        """5.4.b: a namesake chooses, here anything that is offered."""
        request = Request(CENTRE, self.today)
        offered = self.issuing.suggest(person)
        plain = self.issuing.suggest(person)[0] if len(offered) == 1 else None
        chosen = None if plain else self.chance.choice(offered)
        return self.issuing.issue_personal(person, PASSWORD, request, chosen=chosen)

    def _choose_password(self, person: Person) -> None:
        """7.3.c: as the password page and `password set` record it."""
        if person.naive.reclaimed:
            return
        draft = Draft(FactKind.PASSWORD_SET, self.clock.now(), person.naive.address)
        self.directory.set_credential(person.mailbox.mailbox_id, credential(PASSWORD), draft)
        person.naive.chose_password()
        self._acted(person)

    # ------------------------------------------------------------ what happens to them

    def day(self, rate: float) -> None:
        """The acts of one working day; `rate` is the number of people by 3,000."""
        for act, yearly in self._acts().items():
            expected = yearly * rate / 250
            count = int(expected) + (self.chance.random() < expected % 1)
            for _ in range(count):
                act()
        for errand in self.due.pop(self.today, []):
            errand()

    def _acts(self) -> dict[Callable[[], object], int]:
        return {
            self.hire: 150,
            self._transfer: 120,
            self._leave: 190,
            self._correct: 25,
            self._withdraw: 12,
            self._return: 12,
            self._absence: 80,
            self._compromise: 50,
            self._breach: 8,
            self._reset: 100,
            self._lock: 15,
            self._unlock: 12,
            self._reclaim_on_request: 5,
            self._issue_again: 15,
            self._forbidden: 60,
        }

    def _some(self, fits: Callable[[Mailbox], bool]) -> Person | None:
        for _ in range(200):
            person = self.chance.choice(self.people)
            if fits(person.naive):
                return person
        return next((person for person in self.people if fits(person.naive)), None)

    def _transfer(self) -> None:
        person = self._some(lambda m: not m.reclaimed)
        if person is not None:
            at = self.directory.person(person.record.person_id).unit_id
            to = self.chance.choice([unit for unit in self.units if unit.unit_id != at])
            self.accounts.transfer(self.directory.person(person.record.person_id), to, CENTRE)
            self._acted(person)

    def _leave(self) -> None:
        """6.4.c: today, in some days, or noticed late, a few so late that the term is over."""
        person = self._some(lambda m: m.leave is None and not m.reclaimed)
        if person is None:
            return
        days = self.chance.choices([0, self.chance.randint(1, 60), -self.chance.randint(1, 60), -self.chance.randint(150, 420)],
                                   [40, 30, 20, 10])[0]  # fmt: skip
        official = max(self.today + days * ONE, person.naive.issued)
        high = person.record.position == "Vụ trưởng"
        self.accounts.leave(person.mailbox, official, None, self.chance.choice(list(Departure)), CENTRE)
        person.naive.left(official, high, self.today)
        self._acted(person)

    def _correct(self) -> None:
        """Another day or rank, as long as nothing has ended by the first."""
        person = self._some(
            lambda m: m.leave is not None and not m.reclaimed and m.leave.last_day() > m.leave.noticed + 8 * ONE
        )
        if person is None:
            return
        leave = person.naive.leave
        assert leave is not None
        official = max(leave.official + self.chance.randint(-20, 20) * ONE, person.naive.issued)
        high = leave.high if self.chance.random() < 0.7 else not leave.high
        last = Mailbox("", self.today, self.today)
        last.left(official, high, self.today)
        assert last.leave is not None
        if last.leave.last_day() <= self.today + 8 * ONE:
            return
        level = Level.DEPARTMENT if high else Level.DIVISION
        self.accounts.correct_leave(person.mailbox, official, level, None, CENTRE)
        person.naive.corrected(official, high, self.today)
        self._acted(person)

    def _withdraw(self) -> None:
        person = self._some(lambda m: m.leave is not None and not m.reclaimed)
        if person is not None:
            self.accounts.withdraw_leave(person.mailbox, CENTRE)
            person.naive.withdrawn()
            self._acted(person)

    def _return(self) -> None:
        person = self._some(lambda m: m.leave is not None and not m.reclaimed and m.leave.official < self.today)
        if person is not None:
            self.accounts.come_back(person.mailbox, self.today, CENTRE)
            person.naive.returned(self.today)
            self._acted(person)

    def _absence(self) -> None:
        """7.2.a: a long course, a sick leave; also of people who do not use their mailbox at all."""
        person = self._some(lambda m: not m.reclaimed and m.absent_until is None)
        if person is not None:
            until = self.today + self.chance.randint(20, 300) * ONE
            self.accounts.note_absence(person.mailbox, self.today, until, CENTRE)
            person.naive.absent(until)
            person.next_use = max(person.next_use, until + 5 * ONE)
            self._acted(person)

    def _compromise(self) -> None:
        """7.2.c, and within a working day or two the restore that is asked for."""
        person = self._some(lambda m: not m.reclaimed and not m.suspended)
        if person is not None:
            self.accounts.suspend(person.mailbox, Cause.COMPROMISED, CENTRE)
            person.naive.suspend("c")
            self._acted(person)
            self._later(self.chance.randint(1, 4), lambda: self._restore(person))

    def _breach(self) -> None:
        """7.2.b: only on the leadership's conclusion; lifted, if at all, by a document."""
        person = self._some(lambda m: not m.reclaimed and not m.suspended)
        if person is not None:
            conclusion = Conclusion("07/KL-BTTTT", self.today - 3 * ONE, "Thứ trưởng")
            self.accounts.suspend(person.mailbox, Cause.BREACH, CENTRE, conclusion)
            person.naive.suspend("b")
            self._acted(person)
            if self.chance.random() < 0.7:
                self._later(self.chance.randint(20, 60), lambda: self._restore(person))

    def _restore(self, person: Person) -> None:
        if not person.naive.suspended or person.naive.reclaimed:
            return
        self.accounts.restore(person.mailbox, Asked("đơn vị", "letter", self.today), credential(PASSWORD), CENTRE)
        person.naive.restore(self.today)
        self._acted(person)
        self._later(self.chance.randint(0, 3), lambda: self._choose_password(person))

    def _reset(self) -> None:
        """15.2: by letter; the person changes it soon."""
        person = self._some(lambda m: not m.reclaimed and not m.suspended)
        if person is not None:
            draft = Draft(FactKind.PASSWORD_RESET, self.clock.now(), CENTRE.actor, CENTRE.reason, CENTRE.document)
            self.directory.set_credential(person.mailbox.mailbox_id, credential(PASSWORD), draft)
            person.naive.reset_password()
            self._acted(person)
            self._later(self.chance.randint(0, 4), lambda: self._choose_password(person))

    def _lock(self) -> None:
        person = self._some(lambda m: not m.reclaimed and not m.hand_locked)
        if person is not None:
            self.accounts.lock_sending(person.mailbox, CENTRE)
            person.naive.lock()
            self._acted(person)

    def _unlock(self) -> None:
        person = self._some(lambda m: not m.reclaimed and m.hand_locked)
        if person is not None:
            self.accounts.unlock_sending(person.mailbox, CENTRE)
            person.naive.unlock()
            self._acted(person)

    def _reclaim_on_request(self) -> None:
        person = self._some(lambda m: not m.reclaimed)
        if person is not None:
            self.accounts.reclaim(person.mailbox, CENTRE)
            person.naive.reclaim()
            self._acted(person)

    def _issue_again(self) -> None:
        """A reclaimed mailbox goes back to its own person under its old address, and to nobody else (5.4.a)."""
        person = self._some(lambda m: m.reclaimed and not m.suspended and not m.hand_locked)
        if person is not None and person.naive.reclaimed and not person.naive.suspended:
            before = person.mailbox.address
            again = self.issuing.issue_personal(person.record, PASSWORD, Request(CENTRE, self.today))
            assert again.address == before
            person.naive.issue_again(self.today)
            self._acted(person)
            self._later(1, lambda: self._choose_password(person))
            self._plan_use(person)

    def _forbidden(self) -> None:
        """What a clause refuses is refused, and changes nothing."""
        person = self.chance.choice(self.people)
        mailbox, naive = person.mailbox, person.naive
        tries: list[Callable[[], object]] = [
            lambda: self.accounts.suspend(mailbox, Cause.BREACH, CENTRE, None),
            lambda: self.accounts.set_quota(mailbox, 1 << 29, CENTRE),
        ]
        if naive.leave is not None and not naive.reclaimed:
            tries.append(lambda: self.accounts.leave(mailbox, self.today, None, Departure.RETIRED, CENTRE))
        if not naive.suspended and not naive.reclaimed:
            tries.append(lambda: self.accounts.restore(mailbox, Asked("x", "letter"), credential(PASSWORD), CENTRE))
        if naive.suspended == {"b"} and not naive.reclaimed:
            bare = Origin("lan", "xin lại")
            tries.append(lambda: self.accounts.restore(mailbox, Asked("x", "letter"), credential(PASSWORD), bare))
        if naive.reclaimed:
            tries.append(lambda: self.accounts.suspend(mailbox, Cause.COMPROMISED, CENTRE))
        with pytest.raises(Refused):
            self.chance.choice(tries)()
        self.refused += 1

    # ------------------------------------------------------------ use

    def _plan_use(self, person: Person) -> None:
        """The next reading: often enough, but for those who forget their mailbox."""
        if person.uses_it:
            person.next_use = self.today + self.chance.randint(60, 170) * ONE
        else:
            person.next_use = date.max

    def who_reads_today(self) -> Iterator[Person]:
        """Those whose day it is; they try whatever their state is."""
        for person in self.people:
            if person.next_use <= self.today:
                yield person
                self._plan_use(person)

    def _later(self, days: int, errand: Callable[[], None]) -> None:
        if days == 0:
            errand()
        else:
            self.due.setdefault(self.today + days * ONE, []).append(errand)

    def _acted(self, person: Person) -> None:
        self.acts += 1
        self.changed.add(person.naive.address)


def at(day: date, hour: int) -> datetime:
    """An hour of a day of the ministry."""
    return datetime.combine(day, time(hour), HO_CHI_MINH) + timedelta(0)
