"""Reg. 4.3: a mailbox writes as itself alone."""

import base64
import smtplib

import pytest

from harness import english
from mic_mail.policy.facts import FactKind
from mic_mail.policy.naming.send_as import AddressPlace, check_envelope, check_header, check_names
from population import PASSWORD, draft

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
    assert (foreign.place, foreign.address, foreign.clause) == (AddressPlace.ENVELOPE, sender, "4.3")


BE, CHIEF = "dvbe@mic.gov.vn", "bo.truong@mic.gov.vn"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ([(AddressPlace.FROM, [BE])], None),
        ([(AddressPlace.FROM, [BE, "be.do@mic.gov.vn"]), (AddressPlace.SENDER, [BE])], None),
        (
            [
                (AddressPlace.FROM, [BE]),
                (AddressPlace.RESENT_FROM, [BE]),
                (AddressPlace.RESENT_SENDER, [BE]),
                (AddressPlace.RESENT_FROM, [BE]),
            ],
            None,
        ),
        ([], AddressPlace.FROM),
        ([(AddressPlace.SENDER, [BE])], AddressPlace.FROM),
        ([(AddressPlace.FROM, [])], AddressPlace.FROM),
        ([(AddressPlace.FROM, [CHIEF])], AddressPlace.FROM),
        ([(AddressPlace.FROM, [BE, CHIEF]), (AddressPlace.SENDER, [BE])], AddressPlace.FROM),
        ([(AddressPlace.FROM, [BE]), (AddressPlace.SENDER, [CHIEF])], AddressPlace.SENDER),
        ([(AddressPlace.FROM, [BE]), (AddressPlace.SENDER, [])], AddressPlace.SENDER),
        ([(AddressPlace.FROM, [BE]), (AddressPlace.SENDER, [BE, BE])], AddressPlace.SENDER),
        ([(AddressPlace.FROM, [BE]), (AddressPlace.RESENT_FROM, [CHIEF])], AddressPlace.RESENT_FROM),
        (
            [(AddressPlace.FROM, [BE]), (AddressPlace.RESENT_FROM, [BE]), (AddressPlace.RESENT_SENDER, [CHIEF])],
            AddressPlace.RESENT_SENDER,
        ),
        (
            [(AddressPlace.FROM, [BE]), (AddressPlace.RESENT_FROM, [BE]), (AddressPlace.RESENT_FROM, [])],
            AddressPlace.RESENT_FROM,
        ),
        ([(AddressPlace.FROM, [""])], AddressPlace.FROM),
        ([(AddressPlace.FROM, [BE] * 17)], AddressPlace.FROM),
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
    assert (foreign.place, foreign.address) == (AddressPlace.NAME, CHIEF)


@pytest.mark.parametrize("lines", [1, 5_000])
def test_an_address_that_is_lost_while_a_message_comes(serve, lines):
    """Small or large, it is refused at its end as it would have been at its beginning; the session goes on."""
    server = serve()
    be = server.population.issue("dvbe", aliases=["be.do"])
    lan = server.issue("ttlan")
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls(), timeout=60) as client:
        client.ehlo()
        plain = base64.b64encode(f"\0{BE}\0{PASSWORD}".encode()).decode()
        assert client.docmd("AUTH", f"PLAIN {plain}")[0] == 235
        for line in ("MAIL FROM:<be.do@mic.gov.vn>", f"RCPT TO:<{lan.address}>"):
            assert client.docmd(line)[0] == 250
        assert client.docmd("DATA")[0] == 354
        client.send(b"From: dvbe@mic.gov.vn\r\n\r\n" + (b"x" * 70 + b"\r\n") * lines)
        removed = draft(FactKind.ALIAS_REMOVED, server.clock.now(), address="be.do@mic.gov.vn")
        server.population.directory.remove_alias(be.mailbox_id, "be.do@mic.gov.vn", removed)
        server.refresh()
        client.send(b".\r\n")
        for code, text in (client.getreply(), client.docmd("MAIL FROM:<be.do@mic.gov.vn>")):
            assert code == 550
            assert english(text).startswith(b"5.7.1 be.do@mic.gov.vn is not an address of your mailbox (Reg. 4.3)")
        client.sendmail(BE, [lan.address], b"From: dvbe@mic.gov.vn\r\nSubject: sau\r\n\r\nx\r\n")
    server.call(server.running.context.mailflow.settle())
    letters = list((server.config.mail_root / lan.home / "Maildir" / "cur").iterdir())
    assert [b"Subject: sau" in letter.read_bytes() for letter in letters] == [True]
