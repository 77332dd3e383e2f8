"""What Rspamd's actions come to, from outside and from inside: the whole table."""

import pytest

from mic_mail.filters.rspamd import RspamdAction
from mic_mail.services.transport.envelope import InboundAction
from mic_mail.services.transport.inbound.rspamd_check import act_on, act_on_submitted


@pytest.mark.clause("4.2", "10.2")
@pytest.mark.parametrize("reject", ["refuse", "quarantine", "junk"])
def test_from_outside(reject: str) -> None:
    """Nothing is discarded, whatever Rspamd says; `greylist` is no reason to put off what its module has let through."""
    assert {action: act_on(action, reject) for action in RspamdAction} == {
        RspamdAction.NONE: InboundAction.PASS,
        RspamdAction.GREYLIST: InboundAction.PASS,
        RspamdAction.ADD_HEADER: InboundAction.JUNK,
        RspamdAction.REWRITE_SUBJECT: InboundAction.JUNK,
        RspamdAction.SOFT_REJECT: InboundAction.LATER,
        RspamdAction.QUARANTINE: InboundAction.HOLD,
        RspamdAction.REJECT: InboundAction(reject),
        RspamdAction.DISCARD: InboundAction(reject),
    }


@pytest.mark.clause("7.2.c")
def test_from_inside() -> None:
    """It leaves as it is, or it is refused."""
    assert {action: act_on_submitted(action) for action in RspamdAction} == {
        RspamdAction.NONE: InboundAction.PASS,
        RspamdAction.GREYLIST: InboundAction.PASS,
        RspamdAction.ADD_HEADER: InboundAction.PASS,
        RspamdAction.REWRITE_SUBJECT: InboundAction.PASS,
        RspamdAction.SOFT_REJECT: InboundAction.LATER,
        RspamdAction.QUARANTINE: InboundAction.REFUSE,
        RspamdAction.REJECT: InboundAction.REFUSE,
        RspamdAction.DISCARD: InboundAction.REFUSE,
    }
