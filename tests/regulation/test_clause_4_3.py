"""Reg. 4.3: a mailbox writes as itself alone."""

import pytest

from mic_mail.policy.sending import Place, check_envelope, check_header

OWN = ("dvbe@mic.gov.vn", "be.do@mic.gov.vn")


@pytest.mark.parametrize("sender", ["dvbe@mic.gov.vn", "DVBE@Mic.Gov.VN", "be.do@mic.gov.vn", "dvbe+orders@mic.gov.vn", ""])
def test_own_envelope_senders(sender):
    """Own addresses, aliases and details of them pass, and the null sender of notifications."""
    assert check_envelope(OWN, sender) is None


@pytest.mark.parametrize("sender", ["ttlan@mic.gov.vn", "dvbe@mic.gov.vn.evil.org", "dvbe", "+dvbe@mic.gov.vn", "@mic.gov.vn"])
def test_foreign_envelope_senders(sender):
    """Anybody else's is refused, and said where it stood."""
    foreign = check_envelope(OWN, sender)
    assert foreign is not None
    assert (foreign.place, foreign.address, foreign.clause) == (Place.ENVELOPE, sender, "4.3")


@pytest.mark.parametrize(
    ("authors", "sender", "wrong"),
    [
        (["dvbe@mic.gov.vn"], [], None),
        (["dvbe@mic.gov.vn", "be.do@mic.gov.vn"], ["dvbe@mic.gov.vn"], None),
        ([], [], Place.FROM),
        (["bo.truong@mic.gov.vn"], [], Place.FROM),
        (["dvbe@mic.gov.vn", "bo.truong@mic.gov.vn"], ["dvbe@mic.gov.vn"], Place.FROM),
        (["dvbe@mic.gov.vn"], ["bo.truong@mic.gov.vn"], Place.SENDER),
        ([""], [], Place.FROM),
        (["dvbe@mic.gov.vn"] * 17, [], Place.FROM),
    ],
)
def test_header(authors, sender, wrong):
    """Every author and the sender are the mailbox itself; a letter without author is nobody's."""
    foreign = check_header(OWN, authors, sender)
    assert (foreign.place if foreign else None) == wrong
