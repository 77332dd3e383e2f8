"""A ministry that lives: recruits, transfers, leavers, absences, compromises, corrections, day by day.

Each act is a command of the Centre, and told to the naive mailbox; where the regulation refuses an act, the command has
to. What people do themselves at their mailboxes they do by real connections (`doors`); the passwords that they choose are put
on record as the password page does it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from functools import partial
from random import Random

from harness import MailServer
from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.directory.records import PersonRecord, UnitRecord
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Departure, Draft, FactKind
from mic_mail.services.mailboxes.issue import Ground, Issuing
from population import PASSWORD
from population import credential as credential_of
from regulation.year.centre import DOCUMENT, REASON, SIGNATORY, Centre
from regulation.year.reference_model import ONE, Mailbox, plain_form
from regulation.year.reports import Month

FAMILIES = "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Trịnh Mai Tô Cao Chu Đoàn".split()
MIDDLES = "Văn Thị Đức Minh Hữu Ngọc Quang Thanh Xuân Thu Hồng Công Đình Bảo Gia Hải Kim Mỹ Tuấn Việt".split()
GIVENS = (
    "An Anh Bình Châu Chi Cường Dũng Dung Duy Giang Hà Hải Hạnh Hằng Hiền Hiếu Hoa Hòa Hùng Hương Khánh Lan Linh Long Mai "
    "Nam Nga Ngân Nhung Phong Phúc Phương Quân Quỳnh Sơn Tâm Thảo Thắng Thủy Trang Trung Tú Tuấn Tùng Uyên Vân Vinh Yến Ưng Đạt"
).split()
COUNTED = ("Cấp hộp thư", "Thuyên chuyển", "Nghỉ, chuyển đi", "Tạm khóa theo quyết định", "Khôi phục", "Đặt lại mật khẩu")
UNITS = "CNTT VP TCCB KHTC PTTH&TTĐT XB,I&PH CB BC TTTH QHQT PC T.Tra KH&CN VT CĐ".split()

credential = partial(credential_of, memory_kib=64)
"""As light as can be: thousands sign in once in many weeks, whom no cache knows."""

CENTRE = ActContext("lan", "theo văn bản", "15/TB-VP")


class Person:
    """Somebody with a mailbox: what the program has, and what the clauses say."""

    def __init__(self, person_id: int, mailbox_id: int, unit: str, naive: Mailbox, *, high: bool) -> None:
        self.person_id = person_id
        self.mailbox_id = mailbox_id
        self.unit = unit
        self.naive = naive
        self.high = high
        """Of department level (6.4.c)."""
        self.password = PASSWORD
        self.uses_it = True
        self.next_use: date = date.max

    @property
    def address(self) -> str:
        return self.naive.address


class Ministry:
    """Its people, and the program that serves them."""

    def __init__(self, server: MailServer, centre: Centre, clock: ManualClock, seed: int) -> None:
        self.server = server
        self.centre = centre
        self.clock = clock
        self.rng = Random(seed)
        self.directory = server.population.directory
        self.directory._tables.clock = clock
        for symbol in UNITS:
            self.directory.add_unit(UnitRecord(0, symbol, symbol, document="1553/QĐ-BTTTT"))
        self.people: list[Person] = []
        self.taken: set[str] = set()
        """Local parts that somebody has or had."""
        self.due: dict[date, list[Callable[[], None]]] = {}
        self.changed: set[str] = set()
        self.acts = 0
        self.done: dict[tuple[int, int], Counter[str]] = {}
        """By month, what was done, by its name in the usage report (16.2)."""
        self.refused = 0

    @property
    def today(self) -> date:
        return self.clock.now().astimezone(HO_CHI_MINH).date()

    # ------------------------------------------------------------ people come

    def people_of_before(self, count: int) -> None:
        """Who was there when the year began: with passwords of their own; put straight into the directory."""
        issuing = Issuing(self.directory, self.server.config, self.clock, credential)
        issuing.issue_group("support", "CNTT", PASSWORD, Ground(CENTRE, self.today), chosen="support")
        self._did("Cấp hộp thư")
        self.centre.done("signatory", "add", SIGNATORY, "--position", "Thứ trưởng", "--from", "01/01/2020", *DOCUMENT)
        for symbol in UNITS:
            unit = issuing.issue_unit(symbol, PASSWORD, Ground(CENTRE, self.today))
            self.taken.add(unit.address.partition("@")[0])
            self._did("Cấp hộp thư")
        units = {symbol: self.directory.unit(symbol).unit_id for symbol in UNITS}
        for _ in range(count):
            name, unit, high = self._somebody()
            record = PersonRecord(0, name, units[unit], _position(high=high), None, Employment.CIVIL_SERVANT)
            person = self.directory.add_person(record)
            chosen = self.rng.choice(issuing.suggest(person)) if plain_form(name) in self.taken else None
            mailbox = issuing.issue_personal(person, PASSWORD, Ground(CENTRE, self.today), chosen=chosen)
            naive = Mailbox(mailbox.address, self.today, self.today)
            found = Person(person.person_id, mailbox.mailbox_id, unit, naive, high=high)
            self._choose_password(found)
            self._joins(found)
            self._did("Cấp hộp thư")

    def hire(self) -> Person:
        """6.4.a: a recruit; 5.4.b: a namesake chooses, here anything that is offered."""
        name, unit, high = self._somebody()
        person_id = self.centre.json("person", "add", name, "--unit", unit, "--position", _position(high=high))["person_id"]
        issue = ("mailbox", "issue", "--person", str(person_id), *DOCUMENT, "--received", f"{self.today:%d/%m/%Y}")
        if plain_form(name) in self.taken:
            offered = self.centre.refused(*issue).partition("free forms: ")[2].partition(".\n")[0].split(", ")
            issue = (*issue, "--address", self.rng.choice(offered))
        issued = self.centre.json(*issue)
        naive = Mailbox(issued["address"], self.today, self.today, password_due=True)
        found = Person(person_id, issued["mailbox_id"], unit, naive, high=high)
        found.password = issued["password"]
        self._later(self.rng.randint(0, 5), lambda: self._choose_password(found))
        self._joins(found)
        self._did("Cấp hộp thư")
        return found

    def _somebody(self) -> tuple[str, str, bool]:
        """A name, a unit, and whether of department level."""
        rng = self.rng
        name = f"{rng.choice(FAMILIES)} {' '.join(rng.sample(MIDDLES, rng.randint(1, 2)))} {rng.choice(GIVENS)}"
        return name, rng.choice(UNITS), rng.random() < 0.04

    def _joins(self, person: Person) -> None:
        self.people.append(person)
        self.taken.add(person.address.partition("@")[0])
        person.uses_it = self.rng.random() > 0.03
        self._plan_use(person)
        self._acted(person)

    def _choose_password(self, person: Person) -> None:
        """7.3.c: as the password page records it."""
        if person.naive.reclaimed:
            return
        draft = Draft(FactKind.PASSWORD_SET, self.clock.now(), person.address)
        self.directory.set_credential(person.mailbox_id, credential(PASSWORD), draft)
        person.password = PASSWORD
        person.naive.chose_password()
        self._acted(person)

    # ------------------------------------------------------------ what happens to them

    def day(self, rate: float) -> None:
        """The acts of one working day; `rate` is the number of people by 3,000."""
        for act, yearly in self._acts().items():
            expected = yearly * rate / 250
            count = int(expected) + (self.rng.random() < expected % 1)
            for _ in range(count):
                act()
        for due in [day for day in self.due if day <= self.today]:
            for errand in self.due.pop(due):
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
            self._give_back: 15,
            self._forbidden: 60,
        }

    def _some(self, fits: Callable[[Mailbox], bool]) -> Person | None:
        for _ in range(200):
            person = self.rng.choice(self.people)
            if fits(person.naive):
                return person
        return next((person for person in self.people if fits(person.naive)), None)

    def _mailbox(self, act: str, person: Person, *words: str) -> None:
        self.centre.done("mailbox", act, person.address, *words)
        self._acted(person)

    def _transfer(self) -> None:
        person = self._some(lambda m: not m.reclaimed)
        if person is not None:
            person.unit = self.rng.choice([unit for unit in UNITS if unit != person.unit])
            self.centre.done("person", "move", str(person.person_id), person.unit, *DOCUMENT)
            self._did("Thuyên chuyển")
            self._acted(person)

    def _leave(self) -> None:
        """6.4.c: today, in some days, or noticed late, a few so late that the term is over."""
        person = self._some(lambda m: m.leave is None and not m.reclaimed)
        if person is None:
            return
        days = self.rng.choices([0, self.rng.randint(1, 60), -self.rng.randint(1, 60), -self.rng.randint(150, 420)],
                                   [40, 30, 20, 10])[0]  # fmt: skip
        official = max(self.today + days * ONE, person.naive.issued)
        self._mailbox("leave", person, _typed(official), "--cause", self.rng.choice(list(Departure)).value, *DOCUMENT)
        person.naive.left(official, person.high, self.today)
        self._did("Nghỉ, chuyển đi")

    def _correct(self) -> None:
        """Another day or rank, as long as nothing has ended by the first."""
        person = self._some(
            lambda m: m.leave is not None and not m.reclaimed and m.leave.last_day() > m.leave.noticed + 8 * ONE
        )
        if person is None:
            return
        leave = person.naive.leave
        assert leave is not None
        official = max(leave.official + self.rng.randint(-20, 20) * ONE, person.naive.issued)
        high = leave.high if self.rng.random() < 0.7 else not leave.high
        last = Mailbox("", self.today, self.today)
        last.left(official, high, self.today)
        assert last.leave is not None
        if last.leave.last_day() <= self.today + 8 * ONE:
            return
        level = "department" if high else "division"
        self._mailbox("leave", person, _typed(official), "--correct", "--level", level, *REASON, *DOCUMENT)
        person.naive.corrected(official, high, self.today)

    def _withdraw(self) -> None:
        person = self._some(lambda m: m.leave is not None and not m.reclaimed)
        if person is not None:
            self._mailbox("leave", person, "--withdraw", *REASON, *DOCUMENT)
            person.naive.withdrawn()

    def _return(self) -> None:
        person = self._some(lambda m: m.leave is not None and not m.reclaimed and m.leave.official < self.today)
        if person is not None:
            self._mailbox("return", person, _typed(self.today), *DOCUMENT)
            person.naive.returned(self.today)

    def _absence(self) -> None:
        """7.2.a: a long course, a sick leave; also of people who do not use their mailbox at all."""
        person = self._some(lambda m: not m.reclaimed and m.absent_until is None)
        if person is not None:
            until = self.today + self.rng.randint(20, 300) * ONE
            self._mailbox("absence", person, "--from", _typed(self.today), "--until", _typed(until), *REASON, *DOCUMENT)
            person.naive.absent(until)
            person.next_use = max(person.next_use, until + 5 * ONE)

    def _compromise(self) -> None:
        """7.2.c, and within a working day or two the restore that is asked for."""
        person = self._some(lambda m: not m.reclaimed and not m.suspended)
        if person is not None:
            self._mailbox("suspend", person, "--cause", "c", *REASON)
            person.naive.suspend("c")
            self._did("Tạm khóa theo quyết định")
            self._later(self.rng.randint(1, 4), lambda: self._restore(person))

    def _breach(self) -> None:
        """7.2.b: only on the leadership's conclusion; lifted, if at all, by a document."""
        person = self._some(lambda m: not m.reclaimed and not m.suspended)
        if person is not None:
            on = _typed(self.today - 3 * ONE)
            conclusion = (
                "--conclusion",
                "07/KL-BTTTT",
                "--concluded-on",
                on,
                "--signatory",
                SIGNATORY,
            )
            self._mailbox("suspend", person, "--cause", "b", *REASON, *conclusion)
            person.naive.suspend("b")
            self._did("Tạm khóa theo quyết định")
            if self.rng.random() < 0.7:
                self._later(self.rng.randint(20, 60), lambda: self._restore(person))

    def _restore(self, person: Person) -> None:
        if not person.naive.suspended or person.naive.reclaimed:
            return
        asked = ("--asked-by", "đơn vị", "--received", _typed(self.today))
        person.password = self.centre.json("mailbox", "restore", person.address, *asked, *DOCUMENT)["password"]
        person.naive.restore(self.today)
        self._did("Khôi phục")
        self._acted(person)
        self._later(self.rng.randint(0, 3), lambda: self._choose_password(person))

    def _reset(self) -> None:
        """15.2: by letter; the person changes it soon."""
        person = self._some(lambda m: not m.reclaimed and not m.suspended)
        if person is not None:
            person.password = self.centre.json("password", "reset", person.address, *DOCUMENT)["password"]
            person.naive.reset_password()
            self._did("Đặt lại mật khẩu")
            self._acted(person)
            self._later(self.rng.randint(0, 4), lambda: self._choose_password(person))

    def _lock(self) -> None:
        person = self._some(lambda m: not m.reclaimed and not m.hand_locked)
        if person is not None:
            self._mailbox("lock-sending", person, *REASON)
            person.naive.lock()

    def _unlock(self) -> None:
        person = self._some(lambda m: not m.reclaimed and m.hand_locked)
        if person is not None:
            self._mailbox("unlock-sending", person, *REASON)
            person.naive.unlock()

    def _reclaim_on_request(self) -> None:
        person = self._some(lambda m: not m.reclaimed)
        if person is not None:
            self._mailbox("reclaim", person, *REASON, *DOCUMENT)
            person.naive.reclaim()

    def _give_back(self) -> None:
        """A reclaimed mailbox goes back to its own person under its old address, with its mail, and to nobody else (5.4.a)."""
        person = self._some(lambda m: m.reclaimed and not m.suspended and not m.hand_locked)
        if person is not None and person.naive.reclaimed and not person.naive.suspended:
            given = self.centre.json("mailbox", "restore-reclaimed", person.address, *REASON, *DOCUMENT)
            person.password = given["password"]
            person.naive.issue_again(self.today)
            self._did("Cấp hộp thư")
            self._acted(person)
            self._later(1, lambda: self._choose_password(person))
            self._plan_use(person)

    def _forbidden(self) -> None:
        """What a clause refuses is refused, and changes nothing."""
        person = self.rng.choice(self.people)
        address, naive = person.address, person.naive
        again = ("--asked-by", "x")
        tries: list[tuple[str, ...]] = [("suspend", address, "--cause", "b", *REASON), ("quota", address, "512 MiB", *REASON)]
        if naive.leave is not None and not naive.reclaimed:
            tries.append(("leave", address, _typed(self.today), *DOCUMENT))
        if not naive.suspended and not naive.reclaimed:
            tries.append(("restore", address, *again, *DOCUMENT))
        if naive.suspended == {"b"} and not naive.reclaimed:
            tries.append(("restore", address, *again, *REASON))
        if naive.reclaimed:
            tries.append(("suspend", address, "--cause", "c", *REASON))
        self.centre.refused("mailbox", *self.rng.choice(tries))
        self.refused += 1

    # ------------------------------------------------------------ use

    def _plan_use(self, person: Person) -> None:
        """The next reading: often enough, but for those who forget their mailbox."""
        if person.uses_it:
            person.next_use = self.today + self.rng.randint(100, 170) * ONE
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

    def month_that_ends(self, day: date) -> Month:
        """At 0:00 of `day`, the first of the next."""
        last = day - ONE
        states = Counter(state for person in self.people for state in person.naive.states(day))
        return Month(last, len(self.people), states, self.done[last.year, last.month])

    def _did(self, what: str) -> None:
        month = self.today.year, self.today.month
        self.done.setdefault(month, Counter(dict.fromkeys(COUNTED, 0)))[what] += 1

    def _acted(self, person: Person) -> None:
        self.acts += 1
        self.changed.add(person.address)


def _position(*, high: bool) -> str:
    return "Vụ trưởng" if high else "Chuyên viên"


def _typed(day: date) -> str:
    """As people write it."""
    return f"{day:%d/%m/%Y}"


def at(day: date, hour: int) -> datetime:
    """An hour of a day of the ministry."""
    return datetime.combine(day, time(hour), HO_CHI_MINH) + timedelta(0)
