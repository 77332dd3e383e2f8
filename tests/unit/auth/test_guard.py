"""The guard: which way a password goes to be hashed."""

from collections.abc import Awaitable, Callable

from mic_mail.auth.guard import Claim, Guard, HashLanes, Outcome
from mic_mail.auth.hearsay import SharedThrottle
from mic_mail.auth.passwords import Decoys, HashSettings

ADDRESS, HOME, ABROAD = "dvbe@mic.gov.vn", "192.0.2.1", "198.51.100.1"


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
