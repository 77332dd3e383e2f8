"""App passwords in the directory: rows beside facts, loaded while they open something."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from mic_mail.auth import app_passwords
from mic_mail.directory import engine as database
from mic_mail.directory.app_passwords import LastUse
from mic_mail.directory.records import Superseded
from mic_mail.policy.credentials.app_passwords import NUMBER
from mic_mail.policy.credentials.verifiers import AppCredential, ScramKeys
from mic_mail.policy.facts import Draft, FactKind, first_broken


def made():
    """What is kept of a new one, in the directory's words."""
    kept = app_passwords.make(app_passwords.generate(), None, 4096)
    scram = kept.scram
    return AppCredential(0, kept.salt, kept.digest, ScramKeys(scram.salt, scram.iterations, scram.stored_key, scram.server_key))


@pytest.fixture
def add(directory, clock):
    """Adds one to a mailbox."""

    def add_one(mailbox, name="Điện thoại", **how):
        after = how.pop("after", directory.facts(mailbox.mailbox_id)[-1].seq)
        draft = Draft(FactKind.APP_PASSWORD_ADDED, clock.now(), mailbox.address, data={"name": name})
        return directory.app_passwords.add(mailbox.mailbox_id, draft, made(), after=after)

    return add_one


def numbers(directory, mailbox):
    return [each.number for each in directory.load_snapshot().entries[mailbox.mailbox_id].app_passwords]


def test_a_row_comes_with_its_fact_and_goes_with_it(directory, clock, issue, add):
    """Added: in the snapshot, under the number of the fact; revoked: nothing verifies it any more, and the chain holds."""
    mailbox = issue()
    first, second = add(mailbox), add(mailbox)
    assert numbers(directory, mailbox) == [first.seq, second.seq]
    draft = Draft(FactKind.APP_PASSWORD_REVOKED, clock.now(), "test", data={NUMBER: first.seq})
    directory.app_passwords.revoke(mailbox.mailbox_id, [draft], [first.seq], after=second.seq)
    assert numbers(directory, mailbox) == [second.seq]
    with database.reading(directory._engine) as connection:
        kept = connection.execute(text("select number, digest, scram_stored_key from app_password order by number")).all()
    assert kept[0] == (first.seq, None, None)
    assert kept[1][1] is not None
    assert first_broken(directory.facts(mailbox.mailbox_id)) is None


def test_of_two_at_once_one_is_added(directory, issue, add):
    """The newest fact has to be the one that was looked at: neither a fact nor a row is left of the other."""
    mailbox = issue()
    add(mailbox, after=1)
    with pytest.raises(Superseded):
        add(mailbox, after=1)
    assert len(numbers(directory, mailbox)) == 1


def test_whatever_ends_them_takes_them_out_of_memory(directory, clock, issue, add):
    """A suspension is one fact, and no row was touched; a change by the person leaves them."""
    mailbox = issue()
    add(mailbox)
    directory.append_fact(mailbox.mailbox_id, Draft(FactKind.PASSWORD_SET, clock.now(), mailbox.address))
    assert len(numbers(directory, mailbox)) == 1
    directory.append_fact(mailbox.mailbox_id, Draft(FactKind.SUSPENDED, clock.now(), "test", data={"cause": "c"}))
    assert numbers(directory, mailbox) == []


def test_a_use_is_put_down_once_a_day(directory, clock, issue, add):
    """The first of the day; no mailbox is loaded anew for it."""
    mailbox = issue()
    fact = add(mailbox)
    before = directory.load_snapshot()
    use = LastUse(clock.now(), "imaps", "192.0.2.1")
    assert directory.app_passwords.used(mailbox.mailbox_id, fact.seq, use)
    assert not directory.app_passwords.used(mailbox.mailbox_id, fact.seq, LastUse(clock.now(), "ldaps", "192.0.2.9"))
    assert directory.app_passwords.uses(mailbox.mailbox_id) == {fact.seq: use}
    after = directory.load_snapshot(before)
    assert after.version > before.version
    assert after.entries[mailbox.mailbox_id] is before.entries[mailbox.mailbox_id]
    clock.move_to(clock.now() + timedelta(days=1))
    assert directory.app_passwords.used(mailbox.mailbox_id, fact.seq, LastUse(clock.now(), "ldaps", "192.0.2.9"))
    assert not directory.app_passwords.used(mailbox.mailbox_id, 99, use)
