"""The guard: which way a password goes to be hashed."""

import asyncio
from collections.abc import Callable

from mic_mail.auth.guard import Claim, Guard, HashLane, HashLanes, Outcome, Wait
from mic_mail.auth.hearsay import SharedThrottle
from mic_mail.auth.passwords import Decoys, HashSettings, VerifiedCache

ADDRESS, HOME, ABROAD, HOTEL = "dvbe@mic.gov.vn", "192.0.2.1", "198.51.100.1", "203.0.113.9"


class World:
    """A guard of one process, whose hashes say what `right` says; `went`: by which way they went, for whom, how suspected."""

    def __init__(self, said: list[bytes] | None = None, cache_seconds: float = 0) -> None:
        self.right = False
        self.went: list[tuple[str, str, int]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.guard = Guard(
            VerifiedCache(bytes(32)),
            throttle=SharedThrottle((said if said is not None else []).append),
            decoys=Decoys(bytes(32), HashSettings()),
            cache_seconds=cache_seconds,
            lanes=HashLanes(known=self.lane("known"), others=self.lane("others")),
            monotonic=lambda: 1.0,
        )

    def lane(self, name: str) -> HashLane:
        async def run(_question: Callable[[], bool], source: str, suspicion: Callable[[], int]) -> bool:
            self.went.append((name, source, suspicion()))
            await self.may_end.wait()
            return self.right

        return run

    async def check(self, password: str, peer: str, address: str = ADDRESS) -> object:
        return await self.guard.check(Claim(address, None, password), peer)


async def test_who_signed_in_from_there_before_waits_in_a_line_of_his_own() -> None:
    """Guesses from everywhere fill the line of the others; a network is known for a mailbox only by a sign-in."""
    world = World()
    assert await world.check("one", HOME) is Outcome.WRONG
    world.right = True
    assert await world.check("two", HOME) is Outcome.RIGHT
    assert await world.check("two", HOME) is Outcome.RIGHT
    assert await world.check("two", ABROAD) is Outcome.RIGHT
    assert await world.check("two", HOME, "ttlan@mic.gov.vn") is Outcome.RIGHT
    assert [way for way, _, _ in world.went] == ["others", "others", "known", "others", "others"]
    assert world.went[2] == ("known", ADDRESS, 0), "an office does not wait for being large"


async def test_guesses_make_a_network_suspected_and_sign_ins_an_office() -> None:
    """What was wrong from a network lets its strangers wait longer, unless as many mailboxes sign in from there."""
    world = World()
    for number in range(8):
        await world.check(f"{number}", ABROAD, f"{number}@mic.gov.vn")
    assert [suspicion for _, _, suspicion in world.went] == [1, 2, 3, 3, 4, 4, 4, 4]
    assert {source for _, source, _ in world.went} == {"198.51.100.0/24"}
    await world.check("x", "198.51.100.2", "x@mic.gov.vn")
    assert world.went[-1] == ("others", "198.51.100.0/24", 1), "a neighbour takes turns with it and is not suspected"
    world.right = True
    for number in range(7):
        await world.check("right", ABROAD, f"colleague{number}@mic.gov.vn")
    assert [suspicion for _, _, suspicion in world.went[-7:]] == [5, 4, 4, 4, 4, 3, 3]
    await world.check("right", ABROAD, "last@mic.gov.vn")
    await world.check("right", ABROAD, "new@mic.gov.vn")
    assert [suspicion for _, _, suspicion in world.went[-2:]] == [2, 0]


async def test_who_comes_with_many_others_is_not_suspected_for_it() -> None:
    """The first morning of an office on a new line: fifty passwords at once count as wrong for a while, not here."""
    world = World()
    world.right = True
    world.may_end.clear()
    tasks = [asyncio.create_task(world.check("right", HOME, f"{number}@mic.gov.vn")) for number in range(50)]
    await asyncio.sleep(0.01)
    assert [suspicion for _, _, suspicion in world.went] == [1] * 50
    world.may_end.set()
    assert await asyncio.gather(*tasks) == [Outcome.RIGHT] * 50
    assert not world.guard._asked
    await world.check("right", HOME, "later@mic.gov.vn")
    assert world.went[-1][2] == 0


async def test_a_password_is_hashed_by_one_process_alone() -> None:
    """What was right in one process is right in the others without a hash, as long as it is remembered; a wrong one is not."""
    said = list[bytes]()
    here, there = World(said, cache_seconds=10), World(cache_seconds=10)
    assert await here.check("wrong", HOME) is Outcome.WRONG
    here.right = True
    assert await here.check("right", HOME) is Outcome.RIGHT
    for word in said:
        there.guard.hear(word)
    assert await there.check("right", ABROAD) is Outcome.RIGHT
    assert there.went == []
    assert await there.check("wrong", HOME) is Outcome.WRONG
    assert await there.check("right", HOME, "ttlan@mic.gov.vn") is Outcome.WRONG
    assert len(there.went) == 2
    forgetful = World(cache_seconds=0)
    for word in said:
        forgetful.guard.hear(word)
    await forgetful.check("right", HOME)
    assert len(forgetful.went) == 1


async def test_who_has_to_wait_does_not_hear_the_answer_to_another_connection() -> None:
    """While the owner's password is hashed, a guess that is the same one tells nothing to a network without tries; from another
    network that has some it is no second hash, and counts there."""
    owner_waits, hashed = asyncio.Event(), 0

    async def lane(_question: Callable[[], bool], _source: str, _suspicion: Callable[[], int]) -> bool:
        nonlocal hashed
        hashed += 1
        if owner_waits.is_set():
            await asyncio.sleep(0.05)
        return owner_waits.is_set() and answer

    answer = True
    guard = Guard(
        VerifiedCache(bytes(32)),
        throttle=SharedThrottle(lambda _: None),
        decoys=Decoys(bytes(32), HashSettings()),
        cache_seconds=0,
        lanes=HashLanes(known=lane, others=lane),
        monotonic=lambda: 1.0,
    )
    for number in range(10):
        assert await guard.check(Claim(ADDRESS, None, f"guess {number}"), ABROAD) is Outcome.WRONG
    owner_waits.set()
    owner = asyncio.ensure_future(guard.check(Claim(ADDRESS, None, "right"), HOME))
    await asyncio.sleep(0)
    assert isinstance(await guard.check(Claim(ADDRESS, None, "right"), ABROAD), Wait)
    both = guard.check(Claim(ADDRESS, None, "right"), HOME), guard.check(Claim(ADDRESS, None, "right"), HOTEL)
    assert await asyncio.gather(owner, *both) == [Outcome.RIGHT] * 3
    assert hashed == 11
    answer = False
    wrong = [guard.check(Claim(ADDRESS, None, "wrong"), peer) for peer in (HOME, HOTEL)]
    assert await asyncio.gather(*wrong) == [Outcome.WRONG] * 2
    assert hashed == 12
    assert await guard.check(Claim(ADDRESS, None, "wrong"), HOTEL) is Outcome.WRONG_AGAIN
