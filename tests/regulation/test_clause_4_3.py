"""Reg. 4.3: a mailbox writes as itself alone."""

import pytest

from mic_mail.policy.sending import Place, check_envelope, check_header, check_names

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


BE, CHIEF = "dvbe@mic.gov.vn", "bo.truong@mic.gov.vn"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ([(Place.FROM, [BE])], None),
        ([(Place.FROM, [BE, "be.do@mic.gov.vn"]), (Place.SENDER, [BE])], None),
        ([(Place.FROM, [BE]), (Place.RESENT_FROM, [BE]), (Place.RESENT_SENDER, [BE]), (Place.RESENT_FROM, [BE])], None),
        ([], Place.FROM),
        ([(Place.SENDER, [BE])], Place.FROM),
        ([(Place.FROM, [])], Place.FROM),
        ([(Place.FROM, [CHIEF])], Place.FROM),
        ([(Place.FROM, [BE, CHIEF]), (Place.SENDER, [BE])], Place.FROM),
        ([(Place.FROM, [BE]), (Place.SENDER, [CHIEF])], Place.SENDER),
        ([(Place.FROM, [BE]), (Place.SENDER, [])], Place.SENDER),
        ([(Place.FROM, [BE]), (Place.SENDER, [BE, BE])], Place.SENDER),
        ([(Place.FROM, [BE]), (Place.RESENT_FROM, [CHIEF])], Place.RESENT_FROM),
        ([(Place.FROM, [BE]), (Place.RESENT_FROM, [BE]), (Place.RESENT_SENDER, [CHIEF])], Place.RESENT_SENDER),
        ([(Place.FROM, [BE]), (Place.RESENT_FROM, [BE]), (Place.RESENT_FROM, [])], Place.RESENT_FROM),
        ([(Place.FROM, [""])], Place.FROM),
        ([(Place.FROM, [BE] * 17)], Place.FROM),
    ],
)
def test_header(fields, wrong):
    """Every author, sender and resender is the mailbox itself; a letter without author is nobody's, nor is an empty field."""
    foreign = check_header(OWN, fields)
    assert (foreign.place if foreign else None) == wrong


def test_names():
    """An address in the words beside the author's is one's own, or somebody else's name."""
    assert check_names(OWN, [BE, "be.do+x@mic.gov.vn"]) is None
    foreign = check_names(OWN, [BE, CHIEF])
    assert foreign is not None
    assert (foreign.place, foreign.address) == (Place.NAME, CHIEF)
