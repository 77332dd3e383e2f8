"""What Rspamd's actions come to, from outside and from inside: the whole table."""

import pytest

from mic_mail.filters.rspamd import Action
from mic_mail.services.transport.envelope import Act
from mic_mail.services.transport.inbound.rspamd_check import act_on, act_on_submitted


@pytest.mark.clause("4.2", "10.2")
@pytest.mark.parametrize("reject", ["refuse", "quarantine", "junk"])
def test_from_outside(reject: str) -> None:
    """Nothing is discarded, whatever Rspamd says; `greylist` is no reason to put off what its module has let through."""
    assert {action: act_on(action, reject) for action in Action} == {
        Action.NONE: Act.PASS,
        Action.GREYLIST: Act.PASS,
        Action.ADD_HEADER: Act.JUNK,
        Action.REWRITE_SUBJECT: Act.JUNK,
        Action.SOFT_REJECT: Act.LATER,
        Action.QUARANTINE: Act.HOLD,
        Action.REJECT: Act(reject),
        Action.DISCARD: Act(reject),
    }


@pytest.mark.clause("7.2.c")
def test_from_inside() -> None:
    """It leaves as it is, or it is refused."""
    assert {action: act_on_submitted(action) for action in Action} == {
        Action.NONE: Act.PASS,
        Action.GREYLIST: Act.PASS,
        Action.ADD_HEADER: Act.PASS,
        Action.REWRITE_SUBJECT: Act.PASS,
        Action.SOFT_REJECT: Act.LATER,
        Action.QUARANTINE: Act.REFUSE,
        Action.REJECT: Act.REFUSE,
        Action.DISCARD: Act.REFUSE,
    }
