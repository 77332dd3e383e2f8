"""Several processes that tell each other what they count: together they are one throttle."""

from hypothesis import given
from hypothesis import strategies as st

from mic_mail.auth.shared_throttle import LONGEST, SharedThrottle
from mic_mail.auth.throttle import Throttle, ThrottleDecision, ThrottleSettings

SETTINGS = ThrottleSettings(per_pair=3, per_mailbox=5, per_network=6, window_seconds=100.0, capacity=50)


class Processes:
    """Throttles that hear each other at once, at the same clock."""

    def __init__(self, number: int) -> None:
        self.now = 0.0
        self.throttles = [SharedThrottle(lambda word, me=me: self.spread(me, word)) for me in range(number)]  # type: ignore[misc]
        for throttle in self.throttles:
            throttle.configure(SETTINGS)

    def spread(self, speaker: int, word: bytes) -> None:
        for me, throttle in enumerate(self.throttles):
            if me != speaker:
                throttle.on_message(word, self.now)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["wrong", "right", "right with digest", "seen"]),
        st.integers(0, 2),
        st.sampled_from(["dvbe@mic.gov.vn", "ttlan@mic.gov.vn", "đỗ"]),
        st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
        st.integers(0, 8),
        st.floats(0, 60),
    ),
    max_size=40,
)


@given(EVENTS)
def test_all_processes_decide_as_one_would(events: list[tuple[str, int, str, str, int, float]]) -> None:
    """Whatever is counted in which of them."""
    processes, one = Processes(3), Throttle(SETTINGS)
    for what, where, mailbox, peer, number, seconds in events:
        processes.now += seconds
        now, digest = processes.now, b"digest %d" % number
        for throttle in (processes.throttles[where], one):
            match what:
                case "wrong":
                    throttle.wrong(mailbox, peer, digest, now)
                case "right":
                    throttle.right(mailbox, peer, None, now)
                case "seen":
                    throttle.seen(mailbox, peer, now)
                case _:
                    throttle.right(mailbox, peer, digest, now)
        expected = one.check(mailbox, peer, digest, now)
        assert [throttle.check(mailbox, peer, digest, now) for throttle in processes.throttles] == [expected] * 3


def test_what_is_still_being_checked_is_nobody_elses_business() -> None:
    """The right password at two processes at once: neither refuses it, whatever becomes of the other process."""
    processes = Processes(2)
    here, there = processes.throttles
    here.suspect("a", "192.0.2.1", b"right", 0.0)
    assert here.check("a", "192.0.2.1", b"right", 0.0).answer is ThrottleDecision.KNOWN_WRONG  # who verifies lets it wait
    assert there.check("a", "192.0.2.1", b"right", 0.0).answer is ThrottleDecision.TRY
    there.right("a", "192.0.2.1", b"right", 1.0)
    assert here.check("a", "192.0.2.1", b"right", 1.0).answer is ThrottleDecision.TRY


@given(st.binary(max_size=200))
def test_nonsense_counts_nothing(word: bytes) -> None:
    """The socket is open to whoever has the folder."""
    throttle = SharedThrottle(lambda told: None)
    throttle.on_message(word, 0.0)
    assert throttle.check("a", "192.0.2.1", b"x", 0.0).answer is ThrottleDecision.TRY


def test_what_would_not_fit_is_kept_to_oneself() -> None:
    """A name of any length may be typed; here it counts."""
    told: list[bytes] = []
    throttle = SharedThrottle(told.append)
    throttle.configure(SETTINGS)
    for guess in range(3):
        throttle.wrong("x" * LONGEST, "192.0.2.1", b"%d" % guess, 0.0)
    assert not told
    assert throttle.check("x" * LONGEST, "192.0.2.1", b"new", 0.0).answer is ThrottleDecision.WAIT


def test_other_limits_keep_what_was_counted() -> None:
    """A reload forgives nobody, and forgets no network that is known."""
    throttle = SharedThrottle(lambda told: None)
    throttle.configure(SETTINGS)
    throttle.right("a", "192.0.2.7", None, 0.0)
    for guess in range(3):
        throttle.wrong("a", "192.0.2.1", b"%d" % guess, 1.0)
    throttle.configure(ThrottleSettings(per_pair=4, per_mailbox=3, per_network=6, window_seconds=100.0, capacity=50))
    assert throttle.check("a", "192.0.2.1", b"new", 2.0).rule == "mailbox"
    assert throttle.check("a", "192.0.2.7", b"new", 2.0).answer is ThrottleDecision.TRY
    throttle.configure(ThrottleSettings(per_pair=2, per_mailbox=9, per_network=9, window_seconds=100.0, capacity=50))
    verdict = throttle.check("a", "192.0.2.1", b"new", 2.0)
    assert (verdict.answer, verdict.rule) == (ThrottleDecision.WAIT, "pair")


def test_a_mail_program_at_work_is_news_once_an_hour() -> None:
    """It signs in some times a minute with what is known to be right; after a mistyping, or a password looked at, all hear."""
    told: list[bytes] = []
    throttle = SharedThrottle(told.append)
    for now in (0.0, 10.0, 3_600.0):
        throttle.right("a", "192.0.2.1", None, now)
    assert len(told) == 1
    throttle.right("a", "192.0.2.1", None, 3_601.0)
    assert len(told) == 2
    throttle.right("a", "192.0.2.2", None, 3_602.0)
    assert len(told) == 3
    throttle.wrong("a", "192.0.2.1", b"mistyped", 3_603.0)
    throttle.right("a", "192.0.2.1", None, 3_604.0)
    assert len(told) == 5
    throttle.right("a", "192.0.2.1", b"looked at", 3_605.0)
    assert len(told) == 6
