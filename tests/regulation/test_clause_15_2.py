"""Reg. 15.2: nobody else uses a personal mailbox; nothing that can be recorded shares it."""

from pathlib import Path

import pytest

from mic_mail.policy.facts import FactKind, MailboxKind
from mic_mail.policy.unit_mail.delegation import Part, grants
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from regulation.unit_roles import HEAD, Office


@pytest.mark.parametrize("part", list(Part))
def test_a_personal_mailbox_is_not_given_to_anybody(tmp_path: Path, part: Part) -> None:
    """In no part, not even with the head's document."""
    office = Office(tmp_path)
    for act in (
        lambda: office.grant("be", part, mailbox=office.directory.mailbox("lan@mic.gov.vn")),
        lambda: office.delegations.revoke(office.directory.mailbox("lan@mic.gov.vn"), "be", HEAD),
    ):
        with pytest.raises(NotAllowed) as error:
            act()
        assert error.value.clause == "15.2"


@pytest.mark.parametrize("part", list(Part))
def test_a_record_that_says_so_all_the_same_gives_nothing(make_history, part):
    """Written past the command line, by whatever means."""
    history = make_history(MailboxKind.PERSONAL)
    history.add(FactKind.AUTHORISED, "2026-01-02", person=5, part=part.value, until="2027-01-01")
    assert grants(MailboxKind.PERSONAL, history.facts) == ()
    assert len(grants(MailboxKind.UNIT, history.facts) + grants(MailboxKind.GROUP, history.facts)) == 1
