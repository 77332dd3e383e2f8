"""A year of a ministry on a moved clock: at every day the state of every mailbox is what the clauses say, by a naive count.

All mailboxes are compared each day as the running server decides them; those in which something changed, and others at random,
by real connections at each door: RCPT from outside, AUTH and MAIL at submission, sign-in by IMAP. The housekeeper is a process
of its own and is killed at random times; what it had to do is done once all the same.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from random import Random

import pytest

from harness import MailServer, config_for
from memory_folder import folder_in_memory
from mic_mail.clock import ManualClock
from mic_mail.config.manual import write
from mic_mail.policy.facts import FactKind
from mic_mail.policy.reclamation import is_empty
from mic_mail.storage.types import INBOX, AccountRef
from regulation.year.centre import Centre
from regulation.year.housekeeper import VISITS, Keeper
from regulation.year.listeners import Doors
from regulation.year.ministry import Ministry, at
from regulation.year.reference_model import ONE
from regulation.year.reports import Month, Reports

FIRST = date(2026, 1, 5)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.clause("6.4.c", "7.1", "7.2.a", "7.2.b", "7.2.c", "7.3.b", "7.3.c", "5.4.b")
def test_a_year_of_few() -> None:
    """A hundred and twenty people for a year and a day, looked at every fifth day."""
    with founded(120, seed=1, without=VISITS) as year:
        year.live(366, step=5, rate=1.2, sample=2, kills=4, reports=3)


@pytest.mark.campaign
def test_a_year() -> None:
    """Three thousand people, looked at every day."""
    with founded(3_000, seed=2026, without=VISITS) as year:
        year.live(366, step=1, rate=1.0, sample=4, kills=25, reports=3)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.clause("6.4.c", "7.2.a")
def test_a_housekeeper_that_is_killed_changes_nothing() -> None:
    """Twice the same months, once in peace: the same facts, and each letter as often."""
    ends = []
    for kills in (0, 10):
        with founded(60, seed=5) as year:
            year.live(261, step=10, rate=1.0, sample=0, kills=kills, together=False)
            ends.append((facts_of(year), letters_in(year)))
    peaceful, killed = ends
    assert peaceful[0] == killed[0]
    assert peaceful[1] == killed[1]
    assert {FactKind.ARCHIVED, FactKind.FREED} <= {kind for kind, _, _ in peaceful[0]}
    assert len(peaceful[1]) > 100


def facts_of(year: "Year") -> Counter[tuple[FactKind, int, datetime]]:
    """What is on record of all mailboxes, but for names and digests that are made by chance."""
    snapshot = year.server.population.directory.load_snapshot()
    return Counter((fact.kind, entry.mailbox_id, fact.effective_at) for entry in snapshot for fact in entry.facts)


def letters_in(year: "Year") -> Counter[tuple[int, bytes]]:
    """Every message in every INBOX, from its subject on."""
    store, found = year.server.running.context.store, Counter[tuple[int, bytes]]()
    for entry in year.server.population.directory.load_snapshot():
        if is_empty(entry.facts):
            continue
        account = store.account(AccountRef(entry.mailbox_id, entry.home))
        view = account.view(account.folder(INBOX).folder_id)
        for header, *_ in account.rows(view.info.folder_id, view.uids, ["header"]):
            found[entry.mailbox_id, header[header.index(b"Subject:") : header.index(b"Message-ID:")]] += 1
    return found


@contextmanager
def founded(people: int, *, seed: int, without: Sequence[str] = ()) -> Iterator["Year"]:
    """A server with so many people on the first day, and a housekeeper without these duties."""
    clock = ManualClock(at(FIRST, 9))
    with folder_in_memory() as folder:
        config = config_for(folder / "data", {"auth": {"cleartext": True, "cache_seconds": "1d"}})
        file = folder / "mic-mail.toml"
        file.write_text(write(config))
        server = MailServer(config, clock, housekeeper=False)
        year = Year(server, clock, file, seed, without)
        try:
            year.ministry.people_of_before(people)
            server.refresh()
            yield year
        finally:
            year.keeper.stop()
            server.stop()


class Year:
    """The ministry, its server and its housekeeper, from day to day."""

    def __init__(self, server: MailServer, clock: ManualClock, file: Path, seed: int, without: Sequence[str]) -> None:
        self.server = server
        self.centre = Centre(file, clock)
        self.ministry = Ministry(server, self.centre, clock, seed)
        self.keeper = Keeper(file, Random(seed), without=without)
        self.reports = Reports(self.centre, file.parent / "reports")
        self.ended: Month | None = None
        """A month that has ended and was not reported yet."""
        self.day = FIRST

    def live(
        self, days: int, *, step: int, rate: float, sample: int, kills: int, reports: int = 1, together: bool = True
    ) -> None:
        """Let so many days pass, act and compare each `step`, report after each `reports` months.

        `rate`: 1 has as many acts as a ministry of three thousand; `sample`: mailboxes tried at the doors; `kills`: in all;
        `together`: people read while the housekeeper works, so that it may warn who uses his mailbox in that moment, or not.
        """
        seen = range(0, days, step)
        killed = set(Random(days).sample(seen, kills))
        for number in range(days):
            for person in self.ministry.people:
                person.naive.begin(self.day)
            if self.day.day == 1 and (self.day.month - 1) % reports == 0:
                self.ended = self.ministry.month_that_ends(self.day)
            if number in seen:
                self._one_day(rate, sample, killed=number in killed, together=together)
            self.day += ONE
        self.keeper.finish()
        self.server.refresh()
        if days - 1 in seen:
            self._compare_all(self.day - ONE)
        ministry = self.ministry
        print(f"{len(ministry.people)} people, {self.centre.commands} commands, {self.keeper.kills} kills")
        assert self.keeper.kills == kills
        self._everything_once()

    def _one_day(self, rate: float, sample: int, *, killed: bool, together: bool) -> None:
        day, server, ministry = self.day, self.server, self.ministry
        self.keeper.finish()
        server.move_clock_to(at(day, 9))
        if self.ended is not None:
            self.reports.of_month(ministry.people, self.ended, day)
            self.ended = None
        ministry.changed.clear()
        if day.weekday() < 5:
            ministry.day(rate)
        server.move_clock_to(at(day, 12))
        self.centre.done("clock", "confirm", "--reason", "máy chủ vừa được bật lại")  # nothing ran between two instants
        server.refresh()
        with Doors(server) as doors:
            self.keeper.begin(at(day, 12), killed=killed)
            if not together:
                self.keeper.finish()
            for person in ministry.who_reads_today():
                if doors.reads(person):
                    person.naive.used(day)
            self._compare_all(day)
            looked_at = [p for p in ministry.people if p.address in ministry.changed]
            for person in (*looked_at[:sample], *ministry.rng.sample(ministry.people, sample)):
                doors.must_be(person, day)

    def _compare_all(self, day: date) -> None:
        """The server's own decision on each mailbox."""
        access = self.server.running.context.access
        wrong = []
        for person in self.ministry.people:
            decision = access.decide(person.mailbox_id)
            assert decision is not None
            states = {state.value for state in decision.states}
            if states != person.naive.states(day):
                wrong.append((person.naive, states, person.naive.states(day)))
        assert wrong == [], f"{day}: {wrong[:3]}"

    def _everything_once(self) -> None:
        """What the housekeeper did it did once, whenever it was killed."""
        for person in self.ministry.people:
            facts = Counter(fact.kind for fact in self.server.population.directory.facts(person.mailbox_id))
            assert facts[FactKind.FREED] <= facts[FactKind.ARCHIVED] <= facts[FactKind.RECLAIMED] + facts[FactKind.LEFT], facts
