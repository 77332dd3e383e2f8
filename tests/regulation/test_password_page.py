"""Reg. 3.2, 6.4.a, 7.3.c, 15.2 at the page where people change their password."""

from collections.abc import Iterator

import pytest

from mic_mail.auth.password_hash import WeakPassword
from mic_mail.config.model import Config
from mic_mail.directory.records import Superseded
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.calendar import local_day
from mic_mail.policy.facts import Departure, FactKind, Level, SuspensionCause
from mic_mail.policy.lifecycle import MailboxState
from mic_mail.policy.states import ACCESS
from mic_mail.services.authentication.own_password import OwnPassword, own_state
from mic_mail.services.mailboxes.credentials import hashing, set_password, verifiers
from mic_mail.services.mailboxes.issue import Ground
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from regulation.centre_acts import ASKED, CENTRE, GIB, Centre

FIRST, SECOND = "con mèo trèo cây cau", "bảy con vịt xiêm bơi ngang"
CHEAP = Config.model_validate({"auth": {"argon2_memory": 8 << 20, "argon2_time": 1}})


class Page(Centre):
    """The Centre, and the page beside it."""

    def __init__(self, path):
        super().__init__(path)
        self.page = OwnPassword(self.directory, CHEAP, self.clock)

    def change(self, mailbox, new=SECOND):
        version = self.directory.entry(mailbox.mailbox_id).credential.version
        return self.page.change(mailbox.mailbox_id, version, new)


@pytest.fixture
def office(tmp_path) -> Iterator[Page]:
    page = Page(tmp_path)
    yield page
    page.directory.close()


def restored(office):
    mailbox = office.mailbox()
    office.accounts.suspend(mailbox, SuspensionCause.COMPROMISED, CENTRE)
    office.accounts.restore(mailbox, ASKED, verifiers(FIRST, hashing(CHEAP)), CENTRE)
    return mailbox


def test_clause_3_2_the_page_is_at_the_host_of_the_regulation():
    """https://mail.mic.gov.vn unless somebody decides otherwise."""
    assert Config().password_page == "https://mail.mic.gov.vn/"
    assert Config.model_validate({"listen": {"doors": ["imaps"]}}).password_page is None


def test_clause_6_4_a_the_first_password_is_changed_by_its_person(office):
    """The fact names the person; from then on the mailbox is used."""
    mailbox = office.issuing.issue_personal(office.person(), FIRST, Ground(CENTRE))
    assert office.states(mailbox) == {MailboxState.ACTIVE, MailboxState.PASSWORD_DUE}
    office.directory.set_credential(mailbox.mailbox_id, verifiers(FIRST, hashing(CHEAP)))
    office.change(mailbox)
    fact = office.directory.facts(mailbox.mailbox_id)[-1]
    assert (fact.kind, fact.actor) == (FactKind.PASSWORD_SET, mailbox.address)
    assert office.states(mailbox) == {MailboxState.ACTIVE}


def test_clause_7_3_c_only_the_page_is_open_until_the_password_is_changed(office):
    """Neither mailbox nor submission; afterwards both."""
    mailbox = restored(office)
    before = office.accounts.state_of(mailbox)
    assert (before.signs_in, before.sends, before.changes_password) == (False, False, True)
    office.change(mailbox)
    after = office.accounts.state_of(mailbox)
    assert (after.signs_in, after.sends, after.changes_password) == (True, True, True)


def test_clause_7_1_who_is_suspended_changes_nothing(office):
    """What lifts a suspension is a restore, not a new password."""
    mailbox = restored(office)
    office.accounts.suspend(mailbox, SuspensionCause.COMPROMISED, CENTRE)
    with pytest.raises(NotAllowed) as refused:
        office.change(mailbox)
    assert refused.value.clause == "7.2.c"
    assert {state for state, door in ACCESS.items() if not door.password_page} == {
        MailboxState.SUSPENDED, MailboxState.RECLAIMED, MailboxState.NOT_ISSUED,
    }  # fmt: skip


def test_clause_15_2_no_password_comes_back_too_soon(office):
    """Not the present one, not a former one, whoever had set it; the sixth before may."""
    mailbox = restored(office)
    office.change(mailbox)
    for again in (SECOND, FIRST):
        with pytest.raises(WeakPassword) as weak:
            office.change(mailbox, again)
        assert weak.value.clause == "15.2"
    for number in range(6):
        office.change(mailbox, f"{SECOND} lần {number}")
    office.change(mailbox, SECOND)
    with pytest.raises(WeakPassword):  # at the Centre's desk too
        set_password(office.directory, CHEAP, mailbox, SECOND, at=office.clock.now(), origin=ActContext("x"), must_change=False)


def test_clause_15_2_of_two_changes_one_is_made(office):
    """The second was decided on a password that is not there any more."""
    mailbox = restored(office)
    version = office.directory.entry(mailbox.mailbox_id).credential.version
    office.page.change(mailbox.mailbox_id, version, SECOND)
    with pytest.raises(Superseded):
        office.page.change(mailbox.mailbox_id, version, SECOND + " nữa")


@pytest.mark.parametrize(("days", "warned"), [(100, False), (107, True)])
def test_clause_15_2_the_page_warns_before_a_password_is_too_old(office, days, warned):
    """`auth.password_warn_days` ahead, with the day."""
    config = Config.model_validate({"auth": {"password_age": 120 * 86_400}})
    mailbox = office.mailbox()
    office.later(days=days)
    entry = office.directory.entry(mailbox.mailbox_id)
    state = own_state(
        office.directory.load_snapshot(),
        entry,
        office.accounts.decide(entry),
        used=office.clock.now(),
        config=config,
        now=office.clock.now(),
    )
    assert state.password.is_ending is warned
    assert state.password.days == days
    assert [one.state for one in state.upcoming] == [MailboxState.PASSWORD_DUE, MailboxState.SUSPENDED]


def test_clause_6_4_c_a_leaver_reads_there_when_it_ends(office):
    """What comes next stops with the reclaim: after it nothing counts."""
    mailbox = office.mailbox()
    office.accounts.leave(mailbox, local_day(office.clock.now()), Level.DIVISION, Departure.RETIRED, CENTRE)
    entry = office.directory.entry(mailbox.mailbox_id)
    state = own_state(
        office.directory.load_snapshot(),
        entry,
        office.accounts.decide(entry),
        used=office.clock.now(),
        config=Config(),
        now=office.clock.now(),
    )
    assert state.upcoming[-1].state is MailboxState.RECLAIMED
    assert entry.quota_octets == GIB
