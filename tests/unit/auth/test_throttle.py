"""The limits on wrong passwords: who waits, who does not, and that everything is bounded."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mic_mail.auth.throttle import MOST_NETWORKS, Throttle, ThrottleDecision, ThrottleSettings, neighbourhood, network

SETTINGS = ThrottleSettings(per_pair=3, per_mailbox=6, per_network=8, window_seconds=100.0, capacity=50)
OFFICE, HOME, ATTACKER = "203.0.113.7", "198.51.100.9", "192.0.2.66"


def word(n: int) -> bytes:
    return b"digest %d" % n


def test_the_same_stale_password_counts_once() -> None:
    """An old phone that sends one wrong password a thousand times neither blocks itself nor its owner."""
    throttle = Throttle(SETTINGS)
    for minute in range(1000):
        throttle.wrong("dvbe", OFFICE, word(1), minute * 0.01)
    assert throttle.check("dvbe", OFFICE, word(1), 11.0).answer is ThrottleDecision.KNOWN_WRONG
    assert throttle.check("dvbe", OFFICE, word(2), 11.0).answer is ThrottleDecision.TRY


def test_a_network_waits_for_a_mailbox_and_only_for_it() -> None:
    """Three different wrong passwords: that mailbox waits from there; other mailboxes and other networks do not."""
    throttle = Throttle(SETTINGS)
    for n in range(3):
        throttle.wrong("dvbe", OFFICE, word(n), 10.0 + n)
    verdict = throttle.check("dvbe", OFFICE, word(9), 20.0)
    assert (verdict.answer, verdict.rule, verdict.seconds) == (ThrottleDecision.WAIT, "pair", 90.0)
    assert throttle.check("ttlan", OFFICE, word(9), 20.0).answer is ThrottleDecision.TRY
    assert throttle.check("dvbe", HOME, word(9), 20.0).answer is ThrottleDecision.TRY
    assert throttle.check("dvbe", OFFICE, word(9), 110.5).answer is ThrottleDecision.TRY


def test_nobody_locks_an_owner_out_from_afar() -> None:
    """When many networks guess at a mailbox, only networks that never signed in to it wait."""
    throttle = Throttle(SETTINGS)
    throttle.right("dvbe", HOME, None, 0.0)
    for n in range(6):
        throttle.wrong("dvbe", f"192.0.2.{n}", word(n), 1.0)
    assert throttle.check("dvbe", "192.0.2.200", None, 2.0).rule == "mailbox"
    assert throttle.check("dvbe", HOME, None, 2.0).answer is ThrottleDecision.TRY


def test_an_office_is_never_banned_whole() -> None:
    """Spraying from inside an office stops strangers there; colleagues who signed in from it go on."""
    throttle = Throttle(SETTINGS)
    throttle.right("ttlan", OFFICE, None, 0.0)
    for n in range(8):
        throttle.wrong(f"victim{n}", OFFICE, word(n), 1.0)
    assert throttle.check("victim99", OFFICE, None, 2.0).rule == "network"
    assert throttle.check("ttlan", OFFICE, None, 2.0).answer is ThrottleDecision.TRY
    assert throttle.check("victim99", HOME, None, 2.0).answer is ThrottleDecision.TRY


def test_success_forgives_mistypings() -> None:
    """Who signs in after two mistypings starts again from none."""
    throttle = Throttle(SETTINGS)
    for n in range(2):
        throttle.wrong("dvbe", HOME, word(n), 1.0)
    throttle.right("dvbe", HOME, None, 2.0)
    for n in range(2):
        throttle.wrong("dvbe", HOME, word(10 + n), 3.0)
    assert throttle.check("dvbe", HOME, word(99), 4.0).answer is ThrottleDecision.TRY


def test_what_was_counted_in_advance_is_taken_back() -> None:
    """A password counted as wrong before it was checked leaves no trace once it proved right."""
    throttle = Throttle(SETTINGS)
    for n in range(20):
        throttle.wrong("dvbe", HOME, word(n), 1.0)
        throttle.right("dvbe", HOME, word(n), 1.0)
    assert throttle.check("dvbe", ATTACKER, None, 2.0).answer is ThrottleDecision.TRY


def test_networks() -> None:
    """IPv4 counts by address, IPv6 by /64, a mapped address as the IPv4 that it is."""
    assert network("203.0.113.7") == "203.0.113.7"
    assert network("::ffff:203.0.113.7") == "203.0.113.7"
    assert network("2001:db8:1:2:3:4:5:6") == network("2001:db8:1:2:ffff::1") != network("2001:db8:1:3::1")
    assert network("fe80::1%eth0") == "fe80::/64"
    assert network("nonsense") == "nonsense"


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(0, 5), st.floats(0, 1000)), max_size=300))
def test_memory_is_bounded(tries: list[tuple[int, int, int, float]]) -> None:
    """Whoever tries whatever, no table outgrows its capacity."""
    throttle = Throttle(SETTINGS)
    for mailbox, net, digest, at in sorted(tries, key=lambda t: t[3]):
        throttle.wrong(str(mailbox), f"10.0.0.{net}", word(digest), at)
        throttle.right(str(mailbox), f"10.0.1.{net}", None, at)
    tables = (throttle._pairs, throttle._mailboxes, throttle._networks)
    assert all(len(table._seen) <= SETTINGS.capacity for table in tables)
    assert all(len(seen) <= SETTINGS.per_network for table in tables for seen in table._seen.values())
    assert len(throttle._known) <= SETTINGS.capacity


def test_what_counts_no_more_is_forgotten() -> None:
    """A guess each minute for months, each from another network at another name, leaves no more than a window of them."""
    throttle = Throttle(replace(SETTINGS, capacity=1_000))
    for n in range(2_000):
        throttle.wrong(f"nobody{n}", f"10.0.{n // 250}.{n % 250}", word(n), n * 60.0)
    window = SETTINGS.window_seconds / 60 + 1
    assert all(len(table._seen) <= window for table in (throttle._pairs, throttle._mailboxes, throttle._networks))


def test_one_mailbox_fills_no_table() -> None:
    """Who has the password of one mailbox and all of a /48 makes no other mailbox's network unknown."""
    throttle = Throttle(replace(SETTINGS, capacity=200))
    throttle.right("dvbe", HOME, None, 0.0)
    for n in range(500):
        throttle.right("ttlan", f"2001:db8:0:{n:x}::1", None, 1.0 + n)
    assert throttle.knows("dvbe", HOME, 5_000.0)
    assert throttle.knows("ttlan", "2001:db8:0:1f3::1", 5_000.0)
    assert not throttle.knows("ttlan", "2001:db8:0:0::1", 5_000.0)
    assert len(throttle.known(5_000.0)) <= MOST_NETWORKS + 1


def test_a_neighbourhood() -> None:
    """What one customer easily has and changes addresses in; what is no address stays what it is."""
    assert neighbourhood("192.0.2.66") == neighbourhood("::ffff:192.0.2.1") == "192.0.2.0/24"
    assert neighbourhood("2001:db8:1:2::3%eth0") == neighbourhood("2001:db8:1:ffff::1") == "2001:db8:1::/48"
    assert neighbourhood("unix") == "unix"


@given(st.lists(st.tuples(st.sampled_from(["right", "seen", "remember"]), st.integers(0, 30), st.integers(0, 3)), max_size=150))
def test_how_many_mailboxes_a_network_is_known_for(steps: list[tuple[str, int, int]]) -> None:
    """It is counted as the pairs are: also where the longest untouched are forgotten."""
    throttle = Throttle(ThrottleSettings(capacity=5))
    for now, (what, mailbox, net) in enumerate(steps):
        peer = f"192.0.2.{net}"
        match what:
            case "right":
                throttle.right(f"{mailbox}", peer, None, now)
            case "seen":
                throttle.seen(f"{mailbox}", peer, now)
            case "remember":
                throttle.remember(f"{mailbox}", peer, now)
    known = [net for _, net, _ in throttle.known(len(steps))]
    assert throttle._known._homes == Counter(known)
    assert len(known) <= 5


def test_what_was_wrong_long_ago_is_no_suspicion() -> None:
    """The window that limits guesses also ends the suspicion."""
    throttle = Throttle(SETTINGS)
    for n in range(4):
        throttle.wrong(f"{n}", ATTACKER, word(n), 1.0)
    assert throttle.suspicion(ATTACKER, 2.0) == 4
    assert throttle.suspicion(ATTACKER, 102.0) == throttle.suspicion(HOME, 2.0) == 1
