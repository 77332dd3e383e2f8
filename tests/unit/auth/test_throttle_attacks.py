"""What the limits on wrong passwords do under attack, by the defaults of a server: who waits, and who never does."""

import random
from dataclasses import replace

import pytest

from mic_mail.auth.throttle import Throttle, ThrottleDecision, ThrottleSettings

# The defaults of `auth.failures_*`, as `services.signin.access` hands them on.
SERVER = ThrottleSettings(per_pair=10, per_mailbox=50, per_network=60, window_seconds=600.0)
OFFICE = "203.0.113.7"


def digest(text: str) -> bytes:
    return text.encode()


def attempt(throttle: Throttle, mailbox: str, peer: str, password: str, now: float, *, right: bool = False) -> ThrottleDecision:
    verdict = throttle.check(mailbox, peer, digest(password), now)
    if verdict.answer is ThrottleDecision.TRY:
        if right:
            throttle.right(mailbox, peer, digest(password), now)
        else:
            throttle.wrong(mailbox, peer, digest(password), now)
    return verdict.answer


def test_an_office_with_wrong_phones() -> None:
    """300 people behind one address, 30 of whose phones send last year's password each minute for a day: nobody ever waits,
    also not who comes for the first time at the end."""
    throttle = Throttle(SERVER)
    for minute in range(24 * 60):
        now = minute * 60.0
        for person in range(30):
            answer = attempt(throttle, f"p{person}", OFFICE, f"old {person}", now)
            assert answer is not ThrottleDecision.WAIT
        if minute % 10 == 0:
            for person in range(290):
                assert attempt(throttle, f"p{person}", OFFICE, f"new {person}", now + 1, right=True) is ThrottleDecision.TRY
    assert attempt(throttle, "p299", OFFICE, "new 299", 86_400.0, right=True) is ThrottleDecision.TRY


def test_the_day_on_which_all_passwords_change() -> None:
    """300 phones with the old one at once: the address waits for strangers, and those who signed in from it before go on."""
    throttle = Throttle(SERVER)
    for person in range(290):
        attempt(throttle, f"p{person}", OFFICE, f"old {person}", 0.0, right=True)
    for person in range(290):
        attempt(throttle, f"p{person}", OFFICE, f"old {person}", 86_400.0)
    for person in range(290):
        assert attempt(throttle, f"p{person}", OFFICE, f"new {person}", 86_460.0, right=True) is ThrottleDecision.TRY
    assert attempt(throttle, "p299", OFFICE, "new 299", 86_460.0, right=True) is ThrottleDecision.WAIT
    assert throttle.check("p299", "198.51.100.9", digest("new 299"), 86_460.0).answer is ThrottleDecision.TRY


@pytest.mark.slow
def test_a_sprayer_from_a_thousand_addresses() -> None:
    """5,000 mailboxes, half the attacker's addresses /64s of IPv6: each address has 60 guesses in 10 minutes and each mailbox
    50, whatever they do; owners who signed in from somewhere before never wait there."""
    throttle, rng = Throttle(SERVER), random.Random(7)
    addresses = [f"192.0.{n // 250}.{n % 250}" for n in range(500)] + [f"2001:db8:{n:x}::{n:x}" for n in range(500)]
    mailboxes = [f"m{n}" for n in range(5_000)]
    owners = [(mailboxes[n], f"198.51.{n % 200}.{n // 200}") for n in range(0, 5_000, 10)]
    for mailbox, home in owners:
        attempt(throttle, mailbox, home, "right", 0.0, right=True)
    tried = 0
    for n in range(80_000):
        now = 1.0 + n * 0.0075  # ten minutes
        peer, mailbox = rng.choice(addresses), rng.choice(mailboxes)
        tried += attempt(throttle, mailbox, peer, f"guess {n}", now) is ThrottleDecision.TRY
        if n % 200 == 0:
            mailbox, home = owners[n // 200]
            assert attempt(throttle, mailbox, home, "right", now, right=True) is ThrottleDecision.TRY
    assert tried <= 60 * len(addresses)


def test_one_mailbox_from_a_thousand_addresses() -> None:
    """50 guesses in 10 minutes in all; the owner's office and a phone's provider go on, a hotel waits."""
    throttle = Throttle(SERVER)
    attempt(throttle, "dvbe", OFFICE, "right", 0.0, right=True)
    attempt(throttle, "dvbe", "2001:db8:aaaa:1::5", "right", 0.0, right=True)
    tried = 0
    for n in range(20_000):
        now = 1.0 + n * 0.0299
        tried += attempt(throttle, "dvbe", f"192.0.{n % 1_000 // 250}.{n % 250}", f"guess {n}", now) is ThrottleDecision.TRY
        if n % 100 == 0:
            assert attempt(throttle, "dvbe", OFFICE, "right", now, right=True) is ThrottleDecision.TRY
            assert attempt(throttle, "dvbe", "2001:db8:aaaa:1::77", "right", now, right=True) is ThrottleDecision.TRY
    assert tried <= 50
    assert throttle.check("dvbe", "198.51.100.200", digest("right"), 600.0).answer is ThrottleDecision.WAIT


def test_names_that_do_not_exist_do_not_make_room() -> None:
    """Who wants his counters forgotten has to fill a table with as many guesses as it holds: until then the limit holds."""
    throttle = Throttle(replace(SERVER, capacity=5_000))
    for n in range(50):
        attempt(throttle, "dvbe", f"192.0.2.{n}", f"guess {n}", 0.0)
    for n in range(4_900):
        throttle.wrong(f"nobody{n}", f"10.{n % 250}.{n // 250 % 250}.1", digest(f"x{n}"), 1.0)
    assert throttle.check("dvbe", "192.0.2.200", digest("next"), 2.0).answer is ThrottleDecision.WAIT


def test_what_was_known_before_a_restart() -> None:
    """Handed on, it counts as long as it would have; what is known in this life is newer; an attack locks no owner out."""
    before, after = Throttle(SERVER), Throttle(SERVER)
    attempt(before, "dvbe", OFFICE, "right", 1_000.0, right=True)
    attempt(before, "old", OFFICE, "right", 1_000.0 - SERVER.known_seconds, right=True)
    known = before.known(1_500.0)
    assert known == [("dvbe", OFFICE, 500.0)]
    for mailbox, network, ago in known:
        after.remember(mailbox, network, 20.0 - ago)
    for n in range(60):
        attempt(after, "dvbe", f"192.0.2.{n}", f"guess {n}", 21.0)
    assert after.check("dvbe", "192.0.2.200", digest("right"), 22.0).answer is ThrottleDecision.WAIT
    assert after.check("dvbe", OFFICE, digest("right"), 22.0).answer is ThrottleDecision.TRY
    assert after.check("dvbe", OFFICE, digest("right"), SERVER.known_seconds).answer is ThrottleDecision.TRY
    after.remember("dvbe", OFFICE, -1e9)
    assert after.check("dvbe", OFFICE, digest("right"), 22.0).answer is ThrottleDecision.TRY


def test_who_gets_in_makes_no_room_for_guesses() -> None:
    """A password is counted as wrong until it proves right; that takes nothing of what was wrong before it."""
    throttle = Throttle(SERVER)
    for n in range(50):
        attempt(throttle, "dvbe", f"192.0.2.{n}", f"guess {n}", 0.0)
    throttle.right("dvbe", OFFICE, None, 1.0)
    for n in range(20):
        throttle.wrong("dvbe", OFFICE, digest(f"suspected {n}"), 2.0)
        throttle.right("dvbe", OFFICE, digest(f"suspected {n}"), 2.0)
        assert throttle.check("dvbe", "192.0.2.200", digest("next"), 3.0).answer is ThrottleDecision.WAIT
