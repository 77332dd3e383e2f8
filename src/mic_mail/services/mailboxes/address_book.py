"""The server's address book: units, people and mailboxes as cards, renewed when they change.

Reg. 2.6. In: the directory, the snapshot of a process. Out: a `Book`, or the form that a listener makes of one
(`AddressBookCache`). `policy.directory_visibility` decides which people and addresses are in it; a mailbox whose record
is damaged is left out (`directory check` names it).

A search never waits long for a database: while a new book takes its time, the previous one answers.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from mic_mail.addressbook.cards import Book, Card, CardKind, Ministry, UnitName, key_of
from mic_mail.clock import TimedCache, Validity
from mic_mail.config.model import Config
from mic_mail.directory.address_book_rows import AddressBookRows
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.policy.directory_visibility import Visibility, visibility
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.lifecycle import FactsUnreadable, LifecycleSettings
from mic_mail.policy.naming.transliteration import one_line
from mic_mail.process.runtime import Runtime
from mic_mail.services.settings import lifecycle_settings

T = TypeVar("T")

PATIENCE_SECONDS = 0.2
RESTS = 5
"""The pause after making a book, in times of its making; 30,000 people take half a second."""
HIDDEN = Visibility(address=False, person=True, until=None)


def ministry(config: Config) -> Ministry:
    return Ministry(config.regulation.ministry, config.server.domain)


class AddressBookBuilder:
    """A maker of books, for one thread; it caches the visibility of each mailbox."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._known = TimedCache[int, Visibility]()
        self._settings: LifecycleSettings | None = None
        self.until: datetime | None = None
        """The instant from which the last book may change by the clock alone."""

    def book(self, roll: AddressBookRows, snapshot: Snapshot, now: datetime) -> Book:
        settings = lifecycle_settings(self._config, snapshot.working_days)
        if settings != self._settings:
            self._settings = settings
            self._known.clear()
        of_people: dict[int, list[str]] = defaultdict(list)
        of_units: dict[int, list[str]] = defaultdict(list)
        gone: set[int] = set()
        groups: list[Card] = []
        # Names are tidied when they are recorded; those of an import, and positions, may not have been.
        units = {number: UnitName(line.symbol, one_line(line.name)) for number, line in roll.units.items()}
        self.until = None
        for entry in sorted(snapshot, key=lambda entry: entry.mailbox_id):
            found = self._visibility(entry, settings, now)
            person, unit = entry.owner.person_id, entry.owner.unit_id
            if entry.kind is MailboxKind.PERSONAL and person is not None:
                if not found.person:
                    gone.add(person)
                if found.address:
                    of_people[person].append(entry.address)
            elif found.address and unit in units:
                if entry.kind is MailboxKind.UNIT:
                    of_units[unit].append(entry.address)
                else:
                    groups.append(
                        Card(CardKind.GROUP, entry.mailbox_id, one_line(entry.display_name), units[unit], "", (entry.address,))
                    )
        people = [
            Card(
                CardKind.PERSON, line.person_id, one_line(line.full_name), units[line.unit_id], one_line(line.position),
                tuple(of_people.get(line.person_id, ())),
            )
            for line in roll.people
            if line.unit_id in units and (line.person_id not in gone or line.person_id in of_people)
        ]  # fmt: skip
        own = [
            Card(CardKind.UNIT, number, name.name, name, "", tuple(of_units.get(number, ()))) for number, name in units.items()
        ]
        cards = [*people, *own, *groups]
        known = {key_of(CardKind.PERSON, line.person_id) for line in roll.people}
        known |= {key_of(CardKind.GROUP, entry.mailbox_id) for entry in snapshot if entry.kind is MailboxKind.GROUP}
        return Book.of(ministry(self._config), cards, known - {card.key for card in cards})

    def _visibility(self, entry: Entry, settings: LifecycleSettings, now: datetime) -> Visibility:
        found = self._known.get(entry.mailbox_id, (entry,), now)
        if found is None:
            try:
                decision = entry.decide(now, settings)
                found = visibility(entry.facts, decision, now)
            except FactsUnreadable:
                found = HIDDEN
            self._known.put(entry.mailbox_id, (entry,), Validity(now, found.until), found)
        if found.until is not None and (self.until is None or found.until < self.until):
            self.until = found.until
        return found


def make_book(directory: Directory, config: Config, now: datetime, units: frozenset[int] | None = None) -> Book:
    """Make a book once, of a whole directory or of some of its units."""
    roll = directory.roll()
    return AddressBookBuilder(config).book(roll if units is None else roll.only(units), directory.load_snapshot(), now)


class AddressBookCache(Generic[T]):
    """The book of one process in the form of its listener, made in an executor at its first use."""

    def __init__(self, runtime: Runtime, shape: Callable[[Book, T | None], T], *, directory: Directory) -> None:
        """`shape` makes the form of a book, given the form made of the book before."""
        self._runtime = runtime
        self._shape = shape
        self._directory = directory
        self._made: tuple[Book, T] | None = None
        self._version = -1
        self._validity: Validity | None = None
        """The period in which the current form is valid by the clock."""
        self._not_before = 0.0
        self._task: asyncio.Task[None] | None = None
        self._making = AddressBookBuilder(runtime.config())

    def apply_reload(self) -> None:
        """Apply new settings: the next request makes a new book."""
        self._making = AddressBookBuilder(self._runtime.config())
        self._version = -1

    async def current(self) -> T:
        """Return the form of the newest book, or the previous one if the new takes over PATIENCE_SECONDS.

        Where the directory cannot be read, the last form there was; raises `Trouble` if there was none.
        """
        if self._made is not None and (self._is_current() or self._runtime.clock.monotonic() < self._not_before):
            return self._made[1]
        task = self._renewal()
        if self._made is None:
            await asyncio.shield(task)
        else:
            await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        assert self._made is not None, "a task that ends without trouble has made one"
        return self._made[1]

    async def renew(self) -> None:
        """Make a new book now if anything has changed; does nothing where nobody has asked for the book yet."""
        while self._made is not None and not self._is_current():
            await asyncio.shield(self._renewal())

    def _renewal(self) -> "asyncio.Task[None]":
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._make())
            self._task.add_done_callback(_retrieved)
        return self._task

    def _is_current(self) -> bool:
        return (
            self._version == self._runtime.snapshot().version
            and self._validity is not None
            and self._validity.holds(self._runtime.clock.now())
        )

    async def _make(self) -> None:
        try:
            making, snapshot, begun, now = (
                self._making,
                self._runtime.snapshot(),
                self._runtime.clock.monotonic(),
                self._runtime.clock.now(),
            )
            roll = await self._runtime.executors.io(self._directory.roll)
            made = await self._runtime.executors.io(self._shaped, making, roll, snapshot, now)
            if making is self._making:
                self._made, self._version, self._validity = made, snapshot.version, Validity(now, making.until)
            elif self._made is None:
                self._made = made
        finally:
            self._task = None
        ended = self._runtime.clock.monotonic()
        self._not_before = ended + RESTS * (ended - begun)

    def _shaped(self, making: AddressBookBuilder, roll: AddressBookRows, snapshot: Snapshot, now: datetime) -> tuple[Book, T]:
        book = making.book(roll, snapshot, now)
        if self._made is not None and self._made[0] == book:
            return self._made
        return book, self._shape(book, self._made[1] if self._made is not None else None)


def _retrieved(task: "asyncio.Task[None]") -> None:
    """Retrieve the exception, or asyncio logs it: nobody may be waiting, and the next request tries again."""
    if not task.cancelled():
        task.exception()
