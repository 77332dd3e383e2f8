"""Second factors in the directory: a code is used once, whoever brings it at the same time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from mic_mail.clock import ManualClock
from mic_mail.directory.records import Superseded
from mic_mail.directory.repository import Directory
from mic_mail.directory.second_factors import mailbox_holder, officer_holder
from mic_mail.policy.credentials.second_factor import second_factor
from mic_mail.policy.facts import Draft, FactKind
from unit.directory.conftest import is_being_changed


@pytest.fixture
def enrolled(directory, clock, issue):
    """A mailbox with a factor whose code of step 100 was shown, and two recovery codes; its holder and the fact's number."""
    mailbox = issue()
    draft = Draft(FactKind.SECOND_FACTOR_SET, clock.now(), mailbox.address)
    fact = directory.second_factors.set_of_mailbox(
        mailbox.mailbox_id, draft, b"sealed", 100, recovery=[b"a" * 32, b"b" * 32], after=1
    )
    return mailbox, mailbox_holder(mailbox.mailbox_id), fact.seq


def test_a_step_is_taken_once_and_none_before_it(directory, enrolled):
    """The code that set it is used up as well; wrong ones are counted until a right one."""
    _, holder, number = enrolled
    factors = directory.second_factors
    assert not factors.take(holder, number, 100)
    assert not factors.take(holder, number, 99)
    factors.was_wrong(holder)
    factors.was_wrong(holder)
    assert factors.of(holder).wrong == 2
    assert factors.take(holder, number, 102)
    assert factors.of(holder).wrong == 0
    assert not factors.take(holder, number, 102)
    assert not factors.take(holder, number, 101)
    assert not factors.take(holder, number + 1, 103)  # another factor has been set meanwhile


def test_codes_that_lie_ahead_are_accepted_again(directory, enrolled):
    """Up to a tolerance they stay used: clocks of telephones are ahead, too."""
    _, holder, number = enrolled
    assert directory.second_factors.mend_steps_ahead(lambda: 90, 10) == 0
    assert not directory.second_factors.take(holder, number, 100)
    assert directory.second_factors.mend_steps_ahead(lambda: 90, 9) == 1
    assert not directory.second_factors.take(holder, number, 90)
    assert directory.second_factors.take(holder, number, 91)


def test_the_clock_by_which_codes_lie_ahead_is_read_within_the_change(directory, enrolled):
    """No code can be used between a reading and the repair: it would be taken for one that lies ahead, and be valid again."""
    _, holder, number = enrolled

    def present():
        yield 90  # before the change: is anything ahead at all?
        assert is_being_changed(directory)
        yield 100

    assert directory.second_factors.mend_steps_ahead(present().__next__, 0) == 0
    assert not directory.second_factors.take(holder, number, 100)


def test_it_is_set_at_the_instant_of_the_clock(url, clock, directory, issue):
    """Also where a fact of a clock that was ahead lies before it."""
    mailbox = issue()
    ahead = Directory(url, clock=ManualClock(clock.now() + timedelta(days=1000)))
    ahead.append_fact(mailbox.mailbox_id, Draft(FactKind.PASSWORD_SET, clock.now(), "person"))
    ahead.close()
    draft = Draft(FactKind.SECOND_FACTOR_SET, clock.now(), mailbox.address)
    directory.second_factors.set_of_mailbox(mailbox.mailbox_id, draft, b"sealed", 100, recovery=[], after=2)
    assert directory.second_factors.of(mailbox_holder(mailbox.mailbox_id)).set_at == clock.now()


def test_of_ten_at_once_one_takes_it(url, clock, directory, enrolled):
    """Ten processes' worth of connections, the same code and the same recovery code: one each."""
    _, holder, number = enrolled
    others = [Directory(url, clock=clock) for _ in range(10)]
    with ThreadPoolExecutor(10) as threads:
        steps = list(threads.map(lambda each: each.second_factors.take(holder, number, 101), others))
        codes = list(threads.map(lambda each: each.second_factors.take_recovery(holder, b"a" * 32, clock.now()), others))
    assert sum(steps) == 1
    assert sum(codes) == 1
    assert directory.second_factors.of(holder).recovery_left == 1
    for each in others:
        each.close()


def test_fact_and_secret_come_and_go_together(directory, clock, enrolled):
    """Removed: nothing is left of the secret; set again: what was used before is no obstacle, old recovery codes are none."""
    mailbox, holder, number = enrolled
    assert second_factor(directory.facts(mailbox.mailbox_id)).seq == number
    factors = directory.second_factors
    removed = Draft(FactKind.SECOND_FACTOR_REMOVED, clock.now(), "test")
    with pytest.raises(Superseded):
        factors.remove_of_mailbox(mailbox.mailbox_id, removed, after=1)
    assert factors.of(holder) is not None
    factors.remove_of_mailbox(mailbox.mailbox_id, removed, after=number)
    assert factors.of(holder) is None
    assert second_factor(directory.facts(mailbox.mailbox_id)) is None
    draft = Draft(FactKind.SECOND_FACTOR_SET, clock.now(), mailbox.address)
    again = factors.set_of_mailbox(mailbox.mailbox_id, draft, b"other", 50, recovery=[b"c" * 32], after=number + 1)
    assert factors.take(holder, again.seq, 51)
    assert not factors.take_recovery(holder, b"b" * 32, clock.now())
    assert factors.take_recovery(holder, b"c" * 32, clock.now())


@pytest.mark.parametrize("kind", [FactKind.HANDOVER_FINISHED, FactKind.ISSUED])
def test_who_has_the_mailbox_next_is_not_asked_for_the_device_of_who_had_it(directory, clock, enrolled, kind):
    """Reg. 12.3.d, 6.4.a."""
    mailbox, _, _ = enrolled
    directory.append_fact(mailbox.mailbox_id, Draft(kind, clock.now(), "test"))
    assert second_factor(directory.facts(mailbox.mailbox_id)) is None


def test_officers_have_theirs(directory, clock):
    """By login; set anew in place of what was there, and removed."""
    factors = directory.second_factors
    factors.set_of_officer("mai", b"one", 5, clock.now())
    factors.set_of_officer("mai", b"two", 7, clock.now())
    assert [(each.holder, each.sealed) for each in factors.officers()] == [("officer/mai", b"two")]
    assert not factors.take(officer_holder("mai"), 0, 7)
    assert factors.take(officer_holder("mai"), 0, 8)
    assert factors.remove_of_officer("mai")
    assert not factors.remove_of_officer("mai")
    assert factors.of(officer_holder("mai")) is None
