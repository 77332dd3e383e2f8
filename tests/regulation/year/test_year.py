"""A year of a ministry on a moved clock: at every day the state of every mailbox is what the clauses say, by a naive count.

All mailboxes are compared each day as the running server decides them; those in which something changed, and others at random,
by real connections at each door: RCPT from outside, AUTH and MAIL at submission, sign-in by IMAP.
"""

import base64
import imaplib
import smtplib
from datetime import date

import pytest

from harness import MailServer, config_for
from memory import folder_in_memory
from mic_mail.clock import ManualClock
from population import PASSWORD
from regulation.year.ministry import Ministry, Person, at
from regulation.year.naive import ONE

FIRST = date(2026, 1, 5)


@pytest.mark.clause("6.4.c", "7.1", "7.2.a", "7.2.b", "7.2.c", "7.3.b", "7.3.c", "5.4.b")
def test_a_season() -> None:
    """Two hundred people for seven months: the terms of six months end within it."""
    live(200, 210, seed=1, sample=1, rate=0.5)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_year() -> None:
    """Three thousand people for a year and a day."""
    live(3_000, 366, seed=2026, sample=6, rate=1.0)


def live(people: int, days: int, *, seed: int, sample: int, rate: float) -> None:
    """Let a ministry live, and compare; `rate`: 1 has as many acts as a ministry of three thousand."""
    clock = ManualClock(at(FIRST, 9))
    with folder_in_memory() as folder:
        server = MailServer(config_for(folder, {"auth": {"cleartext": True, "cache_seconds": "1d"}}), clock)
        try:
            ministry = Ministry(server, clock, seed)
            for _ in range(people):
                ministry.hire(seasoned=True)
            server.refresh()
            day = FIRST
            for _ in range(days):
                _one_day(ministry, day, rate, sample)
                day += ONE
            print(f"{len(ministry.people)} mailboxes, {ministry.acts} acts, {ministry.refused} refused")
        finally:
            server.stop()


def _one_day(ministry: Ministry, day: date, rate: float, sample: int) -> None:
    server = ministry.server
    for person in ministry.people:
        person.naive.begin(day)
    server.move_clock_to(at(day, 9))
    ministry.changed.clear()
    if day.weekday() < 5:
        ministry.day(rate)
    server.refresh()
    with Doors(server) as doors:
        for person in ministry.who_reads_today():
            if doors.reads(person):
                person.naive.used(day)
        server.move_clock_to(at(day, 12))
        _compare_all(ministry, day)
        looked_at = [p for p in ministry.people if p.naive.address in ministry.changed]
        for person in (*looked_at[:sample], *ministry.chance.sample(ministry.people, sample)):
            doors.must_be(person, day)


def _compare_all(ministry: Ministry, day: date) -> None:
    """The server's own decision on each mailbox."""
    access = ministry.server.running.rooms.access
    wrong = []
    for person in ministry.people:
        decision = access.decide(person.mailbox.mailbox_id)
        assert decision is not None
        states = {state.value for state in decision.states}
        if states != person.naive.states(day):
            wrong.append((person.naive, states, person.naive.states(day)))
    assert wrong == [], f"{day}: {wrong[:3]}"


class Doors:
    """Connections of one day."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._world: smtplib.SMTP | None = None

    def __enter__(self) -> "Doors":
        return self

    def __exit__(self, *_: object) -> None:
        if self._world is not None:
            self._world.close()

    def reads(self, person: Person) -> bool:
        """Whether the person gets in and opens INBOX; then the mailbox is used (7.2.a)."""
        return self._signs_in(person, opens=True)

    def must_be(self, person: Person, day: date) -> None:
        """Each door says what the clauses say."""
        naive = person.naive
        met = (self._receives(person), self._signs_in(person, opens=False), self._sends(person))
        assert met == (naive.receives(), naive.signs_in(), naive.sends(day)), (day, naive)
        if naive.signs_in():
            naive.used(day)

    def _receives(self, person: Person) -> bool:
        """What the world hears at RCPT."""
        if self._world is None:
            self._world = smtplib.SMTP("127.0.0.1", self._server.ports["smtp"], "client.example", timeout=30)
            self._world.ehlo()
        self._world.mail("a@a.example")
        code, _ = self._world.rcpt(person.naive.address)
        self._world.rset()
        return code == 250

    def _signs_in(self, person: Person, *, opens: bool) -> bool:
        client = imaplib.IMAP4("127.0.0.1", self._server.ports["imap"], timeout=30)
        try:
            client.authenticate("PLAIN", lambda _: f"\0{person.naive.address}\0{PASSWORD}".encode())
            return not opens or client.select("INBOX")[0] == "OK"
        except imaplib.IMAP4.error:
            return False
        finally:
            client.shutdown()

    def _sends(self, person: Person) -> bool:
        """Whether the mailbox may begin a message; none is sent."""
        with smtplib.SMTP("127.0.0.1", self._server.ports["submission"], "client.example", timeout=30) as client:
            client.ehlo()
            initial = base64.b64encode(f"\0{person.naive.address}\0{PASSWORD}".encode()).decode()
            if client.docmd("AUTH PLAIN", initial)[0] != 235:
                return False
            return client.mail(person.naive.address)[0] == 250
