"""The guard: which way a password goes to be hashed."""

import asyncio
from collections.abc import Awaitable, Callable

from mic_mail.auth.guard import Claim, Guard, HashLanes, Outcome, Wait
from mic_mail.auth.hearsay import SharedThrottle
from mic_mail.auth.passwords import Decoys, HashSettings

ADDRESS, HOME, ABROAD, HOTEL = "dvbe@mic.gov.vn", "192.0.2.1", "198.51.100.1", "203.0.113.9"


async def test_who_signed_in_from_there_before_waits_in_a_line_of_his_own() -> None:
    """Guesses from everywhere fill the line of the others; a network is known for a mailbox only by a sign-in."""
    went: list[str] = []
    right = False

    def lane(name: str) -> Callable[[Callable[[], bool]], Awaitable[bool]]:
        async def run(_question: Callable[[], bool]) -> bool:
            went.append(name)
            return right

        return run

    guard = Guard(
        bytes(32),
        throttle=SharedThrottle(lambda _: None),
        decoys=Decoys(bytes(32), HashSettings()),
        cache_seconds=0,
        lanes=HashLanes(known=lane("known"), others=lane("others")),
        monotonic=lambda: 1.0,
    )
    assert await guard.check(Claim(ADDRESS, None, "one"), HOME) is Outcome.WRONG
    right = True
    assert await guard.check(Claim(ADDRESS, None, "two"), HOME) is Outcome.RIGHT
    assert await guard.check(Claim(ADDRESS, None, "two"), HOME) is Outcome.RIGHT
    assert await guard.check(Claim(ADDRESS, None, "two"), ABROAD) is Outcome.RIGHT
    assert await guard.check(Claim("ttlan@mic.gov.vn", None, "two"), HOME) is Outcome.RIGHT
    assert went == ["others", "others", "known", "others", "others"]


async def test_who_has_to_wait_does_not_hear_the_answer_to_another_connection() -> None:
    """While the owner's password is hashed, a guess that is the same one tells nothing to a network without tries; from another
    network that has some it is no second hash, and counts there."""
    owner_waits, hashed = asyncio.Event(), 0

    async def lane(question: Callable[[], bool]) -> bool:
        nonlocal hashed
        hashed += 1
        if owner_waits.is_set():
            await asyncio.sleep(0.05)
        return owner_waits.is_set() and answer

    answer = True
    guard = Guard(
        bytes(32),
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
