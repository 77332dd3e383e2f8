"""The guard: which way a password goes to be hashed."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from mic_mail.auth.password_hash import Decoys, HashSettings
from mic_mail.auth.shared_throttle import SharedThrottle
from mic_mail.auth.verifier import (
    HashExecutor,
    HashExecutors,
    PasswordAttempt,
    PasswordVerifier,
    TooManyWaiting,
    VerifyResult,
    Wait,
)
from waiting import wait_on_loop

ADDRESS, HOME, ABROAD, HOTEL = "dvbe@mic.gov.vn", "192.0.2.1", "198.51.100.1", "203.0.113.9"


def guard_of(executors: HashExecutors, said: list[bytes] | None = None, cache_seconds: float = 0) -> PasswordVerifier:
    return PasswordVerifier(
        bytes(32),
        throttle=SharedThrottle((said if said is not None else []).append),
        decoys=Decoys(bytes(32), HashSettings(), dict),
        cache_seconds=cache_seconds,
        executors=executors,
        monotonic=lambda: 1.0,
    )


class World:
    """A guard of one process, whose hashes say what `right` says; `went`: by which way they went, for whom, how suspected."""

    def __init__(self, said: list[bytes] | None = None, cache_seconds: float = 0) -> None:
        self.right = False
        self.went: list[tuple[str, str, int]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.guard = guard_of(HashExecutors(known=self.lane("known"), others=self.lane("others")), said, cache_seconds)

    def lane(self, name: str) -> HashExecutor:
        async def run(_question: Callable[[], bool], source: str, suspicion: Callable[[], int]) -> bool:
            self.went.append((name, source, suspicion()))
            await self.may_end.wait()
            await asyncio.sleep(0)
            return self.right

        return run

    async def check(self, password: str, peer: str, address: str = ADDRESS) -> object:
        return await self.guard.check(PasswordAttempt(address, None, password), peer)


async def test_who_signed_in_from_there_before_waits_in_a_line_of_his_own() -> None:
    """Guesses from everywhere fill the line of the others; a network is known for a mailbox only by a sign-in."""
    world = World()
    assert await world.check("one", HOME) is VerifyResult.WRONG
    world.right = True
    assert await world.check("two", HOME) is VerifyResult.RIGHT
    assert await world.check("two", HOME) is VerifyResult.RIGHT
    assert await world.check("two", ABROAD) is VerifyResult.RIGHT
    assert await world.check("two", HOME, "ttlan@mic.gov.vn") is VerifyResult.RIGHT
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
    await wait_on_loop(lambda: len(world.went) == 50)
    assert [suspicion for _, _, suspicion in world.went] == [1] * 50
    world.may_end.set()
    assert await asyncio.gather(*tasks) == [VerifyResult.RIGHT] * 50
    assert not world.guard._asked
    await world.check("right", HOME, "later@mic.gov.vn")
    assert world.went[-1][2] == 0


def counted(answers: Iterable[object]) -> Counter[str]:
    return Counter(answer.name if isinstance(answer, VerifyResult) else type(answer).__name__ for answer in answers)


async def test_an_office_that_comes_at_once_gets_in_as_a_whole() -> None:
    """Three times as many as a network may have wrong: what is being looked at sends nobody away, and every password is
    hashed once, in the order in which they came."""
    world = World()
    world.right = True
    names = [f"{number}@mic.gov.vn" for number in range(300)]
    five = [world.check("right", HOME, names[250]) for _ in range(5)]
    answers = await asyncio.gather(*(world.check("right", HOME, name) for name in names), *five)
    assert counted(answers) == {"RIGHT": 305}
    assert len(world.went) == 300
    assert not world.guard._asked
    assert not world.guard._lines


async def test_guesses_that_come_at_once_get_no_more_tries() -> None:
    """A thousand from one network, at as many mailboxes: as many as one after the other; each of the others hears to wait. Also
    where each answer lets another one look, and with the right passwords of colleagues among them."""
    world = World()
    names = [f"{number}@mic.gov.vn" for number in range(1_000)]
    answers = await asyncio.gather(*(world.check("guess", HOME, name) for name in names))
    assert counted(answers) == {"WRONG": 100, "Wait": 900}
    assert len(world.went) == 100
    colleagues = 0

    async def lane(_question: Callable[[], bool], _source: str, _suspicion: Callable[[], int]) -> bool:
        nonlocal colleagues
        await asyncio.sleep(0)
        colleagues += 1
        return colleagues % 3 == 0

    mixed = guard_of(HashExecutors(known=lane, others=lane))
    found = counted(await asyncio.gather(*(mixed.check(PasswordAttempt(name, None, "x"), HOME) for name in names)))
    assert found["WRONG"] == 100
    assert 40 <= found["RIGHT"] <= 50
    assert found["Wait"] == 1_000 - found["WRONG"] - found["RIGHT"]


async def test_who_stands_in_line_for_answers_to_others_may_go_and_nobody_waits_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those behind him come in; a line that does not move, and one that is too long, end in `Trouble`, which is no wrong
    password; a proof and a code wait as well."""
    world = World()
    world.right = True
    world.may_end.clear()
    tasks = [asyncio.create_task(world.check("right", HOME, f"{number}@mic.gov.vn")) for number in range(140)]
    await wait_on_loop(lambda: sum(map(len, world.guard._lines.values())) == 40)
    proof = asyncio.create_task(world.guard.may_try("proof@mic.gov.vn", HOME))

    async def look() -> bool:
        return True

    code = asyncio.create_task(world.guard.check_code("code@mic.gov.vn", HOME, look))
    await asyncio.sleep(0)
    monkeypatch.setattr("mic_mail.auth.verifier.MOST_WAITING", 42)
    monkeypatch.setattr("mic_mail.auth.verifier.PATIENCE", 0.01)
    with pytest.raises(TooManyWaiting):
        await world.check("right", HOME, "too-long@mic.gov.vn")
    for task in tasks[100:120]:
        task.cancel()
    await asyncio.sleep(0)
    with pytest.raises(TooManyWaiting):
        await world.check("right", HOME, "impatient@mic.gov.vn")
    assert not proof.done()
    world.may_end.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert counted(answers) == {"RIGHT": 120, "CancelledError": 20}
    assert await proof is None
    assert await code is True
    assert not world.guard._asked
    assert not world.guard._lines


async def test_other_settings_in_the_middle_of_a_hash() -> None:
    """A reload refuses nobody: a second connection still joins the first, and what was right stays known, unless it shall be
    forgotten sooner."""
    world = World(cache_seconds=10)
    world.right = True
    world.may_end.clear()
    first = asyncio.create_task(world.check("right", HOME))
    await asyncio.sleep(0)
    world.guard.configure(decoys=Decoys(bytes(32), HashSettings(), dict), cache_seconds=10)
    second = asyncio.create_task(world.check("right", HOME))
    await asyncio.sleep(0)
    world.may_end.set()
    assert await asyncio.gather(first, second) == [VerifyResult.RIGHT] * 2
    world.guard.configure(decoys=Decoys(bytes(32), HashSettings(), dict), cache_seconds=20)
    assert await world.check("right", HOME) is VerifyResult.RIGHT
    assert len(world.went) == 1
    world.guard.configure(decoys=Decoys(bytes(32), HashSettings(), dict), cache_seconds=5)
    assert await world.check("right", HOME) is VerifyResult.RIGHT
    assert len(world.went) == 2


async def test_a_password_is_hashed_by_one_process_alone() -> None:
    """What was right in one process is right in the others without a hash, as long as it is remembered; a wrong one is wrong
    at the same mailbox from the same network."""
    said = list[bytes]()
    here, there = World(said, cache_seconds=10), World(cache_seconds=10)
    assert await here.check("wrong", HOME) is VerifyResult.WRONG
    here.right = True
    assert await here.check("right", HOME) is VerifyResult.RIGHT
    for word in said:
        there.guard.on_message(word)
    assert await there.check("right", ABROAD) is VerifyResult.RIGHT
    assert there.went == []
    assert await there.check("wrong", HOME) is VerifyResult.WRONG_AGAIN, "also after the right one"
    assert await there.check("wrong", ABROAD) is VerifyResult.WRONG
    assert await there.check("right", HOME, "ttlan@mic.gov.vn") is VerifyResult.WRONG
    assert len(there.went) == 2
    forgetful = World(cache_seconds=0)
    for word in said:
        forgetful.guard.on_message(word)
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
            await asyncio.sleep(0.05)  # the others ask meanwhile
        return owner_waits.is_set() and answer

    answer = True
    guard = guard_of(HashExecutors(known=lane, others=lane))
    for number in range(10):
        assert await guard.check(PasswordAttempt(ADDRESS, None, f"guess {number}"), ABROAD) is VerifyResult.WRONG
    owner_waits.set()
    owner = asyncio.ensure_future(guard.check(PasswordAttempt(ADDRESS, None, "right"), HOME))
    await asyncio.sleep(0)
    assert isinstance(await guard.check(PasswordAttempt(ADDRESS, None, "right"), ABROAD), Wait)
    both = (
        guard.check(PasswordAttempt(ADDRESS, None, "right"), HOME),
        guard.check(PasswordAttempt(ADDRESS, None, "right"), HOTEL),
    )
    assert await asyncio.gather(owner, *both) == [VerifyResult.RIGHT] * 3
    assert hashed == 11
    answer = False
    wrong = [guard.check(PasswordAttempt(ADDRESS, None, "wrong"), peer) for peer in (HOME, HOTEL)]
    assert await asyncio.gather(*wrong) == [VerifyResult.WRONG] * 2
    assert hashed == 12
    assert await guard.check(PasswordAttempt(ADDRESS, None, "wrong"), HOTEL) is VerifyResult.WRONG_AGAIN
