"""Reg. 7.2.c: which sign-ins look like a stolen password; an office behind one address and a phone on its way do not."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.auth.throttle import Throttle, ThrottleDecision, ThrottleSettings
from mic_mail.policy.credentials import anomalies
from mic_mail.policy.credentials.anomalies import (
    GRACE,
    Anomaly,
    AnomalyDetector,
    AnomalyLimits,
    AnomalyRule,
    Attempt,
    network_of,
    wider,
)

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OFFICE, ABROAD = "203.113.131.0/24", "198.51.100.0/24"


class Story:
    """What happened, one thing after the other, and what came of it."""

    def __init__(self, limits: AnomalyLimits | None = None) -> None:
        self.watch = AnomalyDetector(limits or AnomalyLimits())
        self.now = NOW
        self.found: list[Anomaly] = []

    def passes(self, time: timedelta) -> "Story":
        self.now += time
        self.found += self.watch.due(self.now)
        return self

    def wrong(self, mailbox: str, network: str, times: int = 1) -> "Story":
        for _ in range(times):
            self.watch.take(Attempt(self.now, mailbox, network, ok=False))
            self.passes(SECOND)
        return self

    def right(self, mailbox: str, network: str) -> "Story":
        self.watch.take(Attempt(self.now, mailbox, network, ok=True))
        return self.passes(SECOND)

    def rules(self) -> list[AnomalyRule]:
        """After everything that may still come has come."""
        self.passes(GRACE)
        return [each.rule for each in self.found]


def sprayed(story: Story, names: int = 20, network: str = ABROAD) -> Story:
    for number in range(names):
        story.wrong(f"m{number}", network)
    return story


# ------------------------------------------------------------ what is an anomaly


def test_clause_7_2_c_many_mailboxes_tried_and_one_opened() -> None:
    """With mailbox, network and figure; one try less is none; names that are none of ours count too."""
    story = sprayed(Story()).right("be", ABROAD)
    assert story.rules() == [AnomalyRule.SPRAYED]
    (found,) = story.found
    assert (found.mailbox, found.network, found.count, found.rule.is_strong) == ("be", ABROAD, 20, True)
    assert sprayed(Story(), 19).right("be", ABROAD).rules() == []
    nobody = Story()
    for number in range(20):
        nobody.wrong(f"?@mic.gov.vn {number}", ABROAD)
    assert nobody.right("be", ABROAD).rules() == [AnomalyRule.SPRAYED]
    assert Story().wrong("?@mic.gov.vn 1", ABROAD, 100).right("be", ABROAD).rules() == [], "one name, however often"
    assert story.passes(DAY).found == [found]


def test_clause_7_2_c_a_thief_s_network_does_not_become_a_known_one() -> None:
    """Who got in by force once, and comes by force again after the password was reset, is found again."""
    story = sprayed(Story()).right("be", ABROAD).passes(GRACE).passes(2 * MINUTE * 60)
    assert sprayed(story).right("be", ABROAD).rules() == [AnomalyRule.SPRAYED, AnomalyRule.SPRAYED]
    home = Story().right("be", ABROAD).passes(DAY)  # where nobody forced anything it is known, as ever
    assert sprayed(home).right("be", ABROAD).rules() == []


def test_clause_7_2_c_a_thief_who_gets_into_two_mailboxes_is_no_office() -> None:
    """Two, or five, within ten minutes: each is found, and those after them, for most of what was tried was in vain."""
    story = sprayed(Story(), 30).right("be", ABROAD).passes(5 * MINUTE).right("an", ABROAD)
    assert story.rules() == [AnomalyRule.SPRAYED, AnomalyRule.SPRAYED]
    assert [each.mailbox for each in story.found] == ["be", "an"]
    assert story.right("cuc", ABROAD).rules() == [AnomalyRule.SPRAYED] * 3
    many = sprayed(Story(), 30)
    for name in ("a", "b", "c", "d", "e"):
        many.right(name, ABROAD)
    assert many.rules() == [AnomalyRule.SPRAYED] * 5
    within = sprayed(Story().right("be", ABROAD), 30).right("an", ABROAD)  # the first one at once, the list after it
    assert within.rules() == [AnomalyRule.SPRAYED]


def test_clause_7_2_c_two_mailboxes_forced_by_guesses_do_not_excuse_one_another() -> None:
    """Who gets in without force still shows an office."""
    story = Story().wrong("be", ABROAD, 15).right("be", ABROAD).wrong("an", ABROAD, 15).right("an", ABROAD)
    assert story.rules() == [AnomalyRule.GUESSED, AnomalyRule.GUESSED]
    hotel = Story().wrong("be", ABROAD, 15).right("be", ABROAD).wrong("an", ABROAD, 2).right("an", ABROAD)
    assert hotel.rules() == []


def test_clause_7_2_c_many_passwords_of_one_mailbox() -> None:
    """Fifteen different ones and then the right one, from where it never signed in; it is told, and suspends nothing."""
    assert Story().wrong("be", ABROAD, 15).right("be", ABROAD).rules() == [AnomalyRule.GUESSED]
    assert Story().wrong("be", ABROAD, 14).right("be", ABROAD).rules() == []
    assert not AnomalyRule.GUESSED.is_strong


def test_clause_7_2_c_one_mailbox_from_all_over_the_world() -> None:
    """Fifteen networks in eight wider ones within an hour; told once, and again if it goes on."""
    story = Story()
    for number in range(15):
        story.right("be", f"{20 + number % 8}.1.{number}.0/24")
    assert story.rules() == [AnomalyRule.SCATTERED]
    assert not AnomalyRule.SCATTERED.is_strong


# ------------------------------------------------------------ what is none


def test_clause_7_2_c_an_office_behind_one_address() -> None:
    """Sixty people, half of whom mistype; whoever comes first, on a line that nobody has used before."""
    story = Story()
    for number in range(60):
        story.wrong(f"m{number}", OFFICE, 3 if number % 2 else 0)
    for number in range(60):
        story.right(f"m{number}", OFFICE)
    assert story.rules() == []


def test_clause_7_2_c_an_office_on_a_new_line_after_all_passwords_were_changed() -> None:
    """All programs come with the old password; half of the people through it within the grace show that it is an office."""
    story = Story()
    for number in range(40):
        story.wrong(f"m{number}", OFFICE)
    for number in range(20):
        story.right(f"m{number}", OFFICE).passes(20 * SECOND)
    assert story.rules() == []


def test_clause_7_2_c_a_newcomer_in_an_office_that_is_known() -> None:
    """Others signed in from there within 30 days; after 30 days nobody has."""
    story = Story().right("an", OFFICE)
    assert sprayed(story.passes(29 * DAY), network=OFFICE).right("be", OFFICE).rules() == []
    forgotten = Story().right("an", OFFICE)
    assert sprayed(forgotten.passes(31 * DAY), network=OFFICE).right("be", OFFICE).rules() == [AnomalyRule.SPRAYED]


def test_clause_7_2_c_a_phone_between_wi_fi_and_its_provider() -> None:
    """Every minute another address of the provider's pool, home and office in between, for a day."""
    story = Story()
    for minute in range(24 * 60):
        network = ("113.160.7.0/24", OFFICE, f"27.{64 + minute % 3}.{minute % 200}.0/24")[minute % 3]
        story.right("be", network).passes(59 * SECOND)
    assert story.rules() == []


def test_clause_7_2_c_a_person_who_has_forgotten_the_password() -> None:
    """Tries what comes to mind at home, and then has it; the home is known, or the tries are few."""
    assert Story().wrong("be", ABROAD, 10).right("be", ABROAD).rules() == []
    assert Story().right("be", ABROAD).wrong("be", ABROAD, 50).right("be", ABROAD).rules() == []
    assert Story().wrong("be", ABROAD, 14).passes(61 * MINUTE).wrong("be", ABROAD, 14).right("be", ABROAD).rules() == []


def test_clause_7_2_c_old_telephones_that_ask_all_day_are_no_thief() -> None:
    """Each with one old password, every minute, by what the throttle calls a new one: four mailboxes, and three telephones of
    one. The first person on that network, after an hour or three, got in by no force; nor with a longer window."""
    for window, hours in ((HOUR, 1), (HOUR, 3), (3 * HOUR, 3)):
        seconds = window.total_seconds()
        throttle = Throttle(ThrottleSettings(per_pair=10, per_network=60, window_seconds=600, stale_seconds=seconds))
        story = Story(AnomalyLimits(window=window))
        for minute in range(60 * hours):
            for phone in range(7):
                at, mailbox = minute * 60.0 + phone, "be" if phone < 3 else f"m{phone}"
                if throttle.check(mailbox, "198.51.100.7", b"%d" % phone, at).answer is ThrottleDecision.TRY:
                    throttle.wrong(mailbox, "198.51.100.7", b"%d" % phone, at)
                    story.wrong(mailbox, ABROAD)
            story.passes(NOW + (minute + 1) * MINUTE - story.now)
        assert sum(len(network["wrong"]) for network in story.watch.kept()["networks"].values()) <= 7 * hours  # type: ignore[attr-defined]
        assert story.right("be", ABROAD).right("an", ABROAD).rules() == []


def test_clause_7_2_c_a_program_that_proves_an_old_password_all_night() -> None:
    """A SCRAM proof does not show which password it was made of: it counts once."""
    story = Story()
    for _ in range(500):
        story.watch.take(Attempt(story.now, "be", ABROAD, ok=False, differs=False))
        story.passes(SECOND)
    assert story.right("be", ABROAD).rules() == []


@settings(deadline=None, max_examples=60)
@given(st.permutations([("wrong", n) for n in range(25)] + [("right", n) for n in range(20, 33)]))
def test_clause_7_2_c_whatever_the_order_an_office_is_none(steps: list[tuple[str, int]]) -> None:
    """Where half as many people get in from a network within the grace as mistype, nothing is an anomaly."""
    story = Story()
    for what, number in steps:
        (story.wrong if what == "wrong" else story.right)(f"m{number}", OFFICE)
    assert story.rules() == []


# ------------------------------------------------------------ kept


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "?"]), st.integers(0, 3), st.booleans(), st.integers(0, 900)), max_size=60),
    st.integers(0, 60),
)
def test_clause_7_2_c_what_was_seen_can_be_put_down_and_taken_up(steps: list[tuple[str, int, bool, int]], stop: int) -> None:
    """A process that goes on from what another kept finds what that one would have found."""
    limits = AnomalyLimits(sprayed=3, guesses=3, networks=2)
    one, other = Story(limits), Story(limits)
    for number, (mailbox, network, ok, seconds) in enumerate(steps):
        if number == stop:
            other.watch.forget(other.now)
            other.watch = AnomalyDetector.of(json.loads(json.dumps(other.watch.kept())), limits)
        for story in (one, other):
            (story.right if ok else story.wrong)(mailbox, f"{10 + network}.0.0.0/24").passes(seconds * SECOND)
    assert one.rules() == other.rules()


def test_clause_7_2_c_a_state_of_another_form_is_refused() -> None:
    """A mailbox of a network has two instants: its first sign-in and its last."""
    network = {"signed_in": {"an": (NOW - 2 * HOUR).isoformat()}, "wrong": []}
    with pytest.raises(TypeError):
        AnomalyDetector.of({"networks": {OFFICE: network}, "places": {}, "waiting": []}, AnomalyLimits())


def test_clause_7_2_c_a_flood_of_networks_has_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks at what can be forgotten as well; those that were busy last stay."""
    monkeypatch.setattr(anomalies, "MOST_NETWORKS", 50)
    story = sprayed(Story())
    for number in range(500):
        story.wrong("be", f"2001:db8:{number:x}::/48")
        if number % 20 == 0:
            sprayed(story, 1)
    assert len(story.watch.kept()["networks"]) <= 100  # type: ignore[arg-type]
    assert story.right("be", ABROAD).rules() == [AnomalyRule.SPRAYED]


def test_networks() -> None:
    """/24 and /48, IPv4 in IPv6 clothes as what it is; wider ones for what lies apart."""
    assert network_of("198.51.100.7") == network_of("::ffff:198.51.100.9") == ABROAD
    assert network_of("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network_of("nowhere") is None
    assert (wider(ABROAD), wider("2001:db8:1::/48")) == ("198.51.0.0/16", "2001:db8::/32")
