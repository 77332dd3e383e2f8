"""Sessions that interrupt one another at every point at which the store is asked, by dice that can be thrown again.

Six mirrors work on one folder of one account, in two processes' stores; before and after each piece of work of one, others run
whole commands, mail arrives, names follow flags, the index is lost, folders are renamed, in turn interrupted by others. No
network and no thread: a seed gives the same history each time. At quiet points each mirror's picture is what the store holds.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest

from faults.client_mirror import Mirror
from faults.wire import Cut
from mic_mail.connection.actions import Action
from mic_mail.errors import MicMailError
from mic_mail.imap.actions import Work
from mic_mail.imap.parser.command import SYSTEM_FLAGS
from session_harness import REF, Talk, open_store
from store_harness import deliver

FOLDER = "Chung"
PERSONS = ("cu@x", "an@x", "ba@x")
"""The first has no read marks on record when the others begin."""
SELECTING = 50
"""Tries to open a folder that others keep deleting."""


@dataclass(frozen=True)
class Weather:
    """What may come between, beside mail and other sessions."""

    rate: float = 0.15
    """How often a piece of work is interrupted."""
    renames: bool = False
    loses_index: bool = False
    each_seen: bool = False
    """Every person has read marks of their own."""


WEATHERS = {
    "calm": Weather(),
    "storm": Weather(rate=0.3),
    "renames": Weather(renames=True),
    "lost": Weather(loses_index=True, renames=True),
    "persons": Weather(each_seen=True),
}


class Interrupted(Talk):
    """A session whose every piece of work may find the world changed."""

    world: "World | None" = None

    def carry_out(self, action: Action) -> None:
        is_work = isinstance(action, Work) and self.world is not None
        if is_work:
            self.world.interrupt()  # type: ignore[union-attr]  # just asked
        super().carry_out(action)
        if is_work:
            self.world.interrupt()  # type: ignore[union-attr]  # likewise


class Line:
    """What a mirror has instead of a connection."""

    def __init__(self, ctx: Talk) -> None:
        self.ctx = ctx
        self.heard = b""

    def send(self, octets: bytes) -> None:
        if self.ctx.over:
            raise Cut("over")
        self.heard += self.ctx.say(octets)

    def line(self) -> bytes:
        head, end, self.heard = self.heard.partition(b"\r\n")
        if not end:
            raise Cut("nothing more comes")
        return head + end

    def response(self) -> list[bytes]:
        return [self.line()]

    def command(self, octets: bytes) -> None:
        self.send(b"z " + octets + b"\r\n")
        while not (line := self.line()).startswith(b"z "):
            pass
        assert line.startswith(b"z OK"), line

    def close(self) -> None:
        self.ctx.session.close()
        self.ctx.over = True


class Nested(Mirror):
    """A mirror of a world without a network."""

    def __init__(self, world: "World", number: int) -> None:
        super().__init__(dict, "", f"{world.seed}.{number}", qresync=number % 2 == number // 2 % 2, folder=FOLDER.encode())
        self.world = world
        self.store = world.stores[number % 2]
        self.person = PERSONS[number % 3] if world.weather.each_seen else None
        self.busy = False
        self.lives = 0

    @property
    def ctx(self) -> Talk | None:
        return self._client.ctx if self._client is not None else None  # type: ignore[attr-defined]  # a Line

    def connect(self) -> None:
        if self.ctx is not None and not self.ctx.over:
            return
        ctx = Interrupted(self.store)
        ctx.account = self.store.account(REF, self.person)
        ctx.sign_in()
        ctx.world = self.world
        self.lives += 1
        self._client = Line(ctx)  # type: ignore[assignment]  # it does what a connection does
        if self._qresync:
            self._client.command(b"ENABLE QRESYNC")
        for _ in range(SELECTING):
            self.send_select()
            if self.selected().startswith(b"OK"):
                return
            self.world.bring_folder_back()
        raise AssertionError("the folder cannot be opened")

    def _take(self, number: int, line: bytes) -> int:
        modseq = super()._take(number, line)
        if b"\\Recent" in line and (uid := self._entries[number - 1].uid) is not None:
            self.world.recent[self._validity, uid].add((self.name, self.lives))
        return modseq

    def follow_changes(self) -> None:
        """The change feed reaches it while it waits."""
        if not self.busy:
            self._hear_now()

    def _hear_now(self) -> None:
        ctx = self.ctx
        if ctx is not None and not ctx.over and ctx.session.noticed(self.world.modseq()):
            self._client.heard += ctx.run()  # type: ignore[union-attr]  # a Line

    def _idle(self) -> None:
        """While others work, and with what the change feed brings."""
        line = self._client
        assert line is not None
        self._tag += 1
        tag = b"M%d " % self._tag
        line.send(tag + b"IDLE\r\n")
        for _ in range(self._dice.randrange(4)):
            self.world.come_between()
            self._hear_now()
        line.send(b"DONE\r\n")
        heard: list[bytes] = []
        while not (told := b"".join(line.response())).startswith(tag):
            if told.startswith(b"* BYE"):
                raise Cut(told.decode())
            if not told.startswith(b"+"):
                heard.append(told)
        self._believe(tag, told, heard, counts=False, expected=())

    def _bring_back(self) -> None:
        """What was moved away; by somebody else."""
        ctx = Talk(self.store).sign_in()
        ctx.say(b"s SELECT Khac\r\nm UID MOVE 1:* " + self.folder + b"\r\n")
        ctx.session.close()

    def act(self) -> None:
        """One command of any kind; a cut costs the connection."""
        self.busy = True
        try:
            self.connect()
            self._dice.choice(self._acts())()
        except Cut:
            self.cuts += 1
            self.close()
        except AssertionError as error:
            error.add_note(self.transcript())
            raise
        finally:
            self.busy = False


class World:
    """Two stores of one account, and who works in them."""

    def __init__(self, path: Path, seed: int, weather: Weather) -> None:
        self.path = path
        self.seed = seed
        self.weather = weather
        self.dice = random.Random(seed)
        self.stores = [open_store(path), open_store(path)]
        self.recent: dict[tuple[int, int], set[tuple[str, int]]] = defaultdict(set)
        """By message, the sessions that were told it was \\Recent."""
        self._depth = 0
        self._quiet = True
        first = Talk(self.stores[0]).sign_in()
        first.say(f"c CREATE {FOLDER}\r\nd CREATE Khac\r\n".encode())
        first.session.close()
        if weather.each_seen:
            self.stores[0].account(REF).keep_seen(each=True, persons=PERSONS[1:])
        self.mirrors = [Nested(self, number) for number in range(6)]

    def modseq(self) -> int:
        return self.stores[0].account(REF).highest_modseq()

    def bring_folder_back(self) -> None:
        ctx = Talk(self.stores[0]).sign_in()
        ctx.say(f"c CREATE {FOLDER}\r\n".encode())
        ctx.session.close()

    # ------------------------------------------------------------ what happens

    def live(self, steps: int) -> None:
        for step in range(steps):
            self._quiet = False
            self.dice.choice(self.mirrors).act()
            if self.dice.random() < 0.4:
                self._event()
            self._quiet = True
            if step % 30 == 29:
                self.compare()

    def interrupt(self) -> None:
        """Perhaps; those who interrupt are interrupted less deep."""
        if not self._quiet and self._depth < 2 and self.dice.random() < self.weather.rate:
            self.come_between()

    def come_between(self) -> None:
        """Somebody else does something, or something happens."""
        self._depth += 1
        try:
            free = [mirror for mirror in self.mirrors if not mirror.busy]
            if not free or self.dice.random() < 0.4:
                self._event()
            else:
                self.dice.choice(free).act()
        finally:
            self._depth -= 1

    def _event(self) -> None:
        store = self.dice.choice(self.stores)
        with suppress(MicMailError):  # of a folder that is away just now
            self.dice.choice(list(self._events()))(store.account(REF).folder_id(FOLDER))

    def _events(self) -> Iterator[Callable[[int], object]]:
        store = self.dice.choice(self.stores)
        account = store.account(REF)
        arriving = [f"t{self.dice.random()}" for _ in range(self.dice.randint(1, 3))]
        yield lambda folder_id: deliver(account, folder_id, arriving)
        yield lambda folder_id: deliver(account, folder_id, arriving)
        yield lambda _: store.flush_names()
        yield lambda _: store.store(REF).rest(float("inf"))
        yield lambda _: [mirror.follow_changes() for mirror in self.mirrors]
        if self.weather.renames:
            yield lambda _: (account.rename(FOLDER, "Tam"), account.rename("Tam", FOLDER))
        if self.weather.loses_index:
            yield lambda _: self._lose_index()

    def _lose_index(self) -> None:
        for store in self.stores:
            store.flush_names()
        for file in self.path.rglob("index.sqlite*"):
            file.unlink()

    # ------------------------------------------------------------ what has to hold

    def compare(self) -> None:
        """Every mirror's picture is what the store holds; \\Recent was one session's alone (RFC 3501 §2.3.2)."""
        for mirror in self.mirrors:
            pictured, held = mirror.picture(), self._held(mirror.person)
            wrong = [both for both in zip_longest(pictured, held) if both[0] != both[1]]
            assert not wrong, f"{mirror.name} {wrong[:5]} of {len(wrong)}\n{mirror.transcript()}"
        if not self.weather.loses_index:  # what is made anew may be recent again
            twice = {message: sessions for message, sessions in self.recent.items() if len(sessions) > 1}
            assert not twice, twice

    def _held(self, person: str | None) -> list[tuple[int, frozenset[str]]]:
        store = open_store(self.path)
        try:
            account = store.account(REF, person)
            view = account.view(account.folder_id(FOLDER))
            names = [*(flag.decode() for flag in SYSTEM_FLAGS), *view.info.keywords]
            flags = [frozenset(name for bit, name in enumerate(names) if mask >> bit & 1) for mask in view.flags]
            return list(zip(view.uids, flags, strict=True))
        finally:
            store.close()


@contextmanager
def world(path: Path, seed: int, weather: Weather) -> Iterator[World]:
    made = World(path, seed, weather)
    try:
        yield made
    finally:
        for store in made.stores:
            store.close()


def live_and_check(path: Path, seed: int, weather: Weather) -> None:
    with world(path, seed, weather) as made:
        made.live(120)
        repaired = made.stores[0].account(REF).repair(check=True)
        assert repaired.clean, repaired.findings
        notes = [note for mirror in made.mirrors if mirror.ctx for note in mirror.ctx.notes if note.event == "imap_bug"]
        assert not notes, notes


@pytest.mark.parametrize("weather", WEATHERS)
def test_some_histories(tmp_path: Path, weather: str) -> None:
    """One of each weather."""
    live_and_check(tmp_path, 1, WEATHERS[weather])


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "seeds", [pytest.param(range(2, 8), marks=pytest.mark.slow), pytest.param(range(8, 42), marks=pytest.mark.campaign)]
)
@pytest.mark.parametrize("weather", WEATHERS)
def test_many_histories(tmp_path: Path, weather: str, seeds: range) -> None:
    """Forty of each weather, the first six of them more often."""
    for seed in seeds:
        live_and_check(tmp_path / f"{seed}", seed, WEATHERS[weather])
