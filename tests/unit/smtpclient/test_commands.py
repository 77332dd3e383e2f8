"""MAIL and RCPT by what the other server offers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addresses import Spelling, parsed, spellings
from mic_mail.mailbox_address import NULL_PATH
from mic_mail.mime.original_recipient import OriginalRecipient
from mic_mail.queue.queue import QueueRecipient
from mic_mail.smtp.grammar import parse_mail, parse_rcpt
from mic_mail.smtpclient.commands import NOTHING, CannotSend, EhloResponse, MailParameters, mail, rcpt
from mic_mail.smtpclient.replies import Reply

OFFERED = "PIPELINING/SIZE 1000/8BITMIME/smtputf8/CHUNKING/BINARYMIME/DSN/AUTH PLAIN"
ALL = EhloResponse.of(Reply(250, ("mx.example Hello", *OFFERED.split("/"))))


def test_the_offer() -> None:
    assert ALL.has("SMTPUTF8")
    assert not ALL.has("MX.EXAMPLE")
    assert (ALL.size_limit, ALL.extensions["AUTH"]) == (1000, "PLAIN")
    assert EhloResponse.of(Reply(250, ("mx", "SIZE 5", "SIZE 9"))).size_limit == 5


@pytest.mark.parametrize("size", ["SIZE", "SIZE 0", "SIZE x", "SIZE -1", "SIZE 1e3", "SIZE " + "9" * 30, "SIZE ٣"])
def test_no_limit(size: str) -> None:
    """RFC 1870 §4: none is told, or 0; and what is no number is none."""
    assert EhloResponse.of(Reply(250, ("mx", size))).size_limit is None


@pytest.mark.parametrize(
    ("sending", "offer", "line"),
    [
        (MailParameters(parsed("a@mic.gov.vn"), 9), NOTHING, "MAIL FROM:<a@mic.gov.vn>"),
        (MailParameters(NULL_PATH, 9), ALL, "MAIL FROM:<> SIZE=9"),
        (
            MailParameters(parsed("a@mic.gov.vn"), 1000, "8BITMIME"),
            ALL,
            "MAIL FROM:<a@mic.gov.vn> SIZE=1000 BODY=8BITMIME",
        ),
        (MailParameters(parsed("a@mic.gov.vn"), 9, "8BITMIME"), NOTHING, "MAIL FROM:<a@mic.gov.vn>"),
        (
            MailParameters(parsed("a@mic.gov.vn"), 9, "BINARYMIME"),
            ALL,
            "MAIL FROM:<a@mic.gov.vn> SIZE=9 BODY=BINARYMIME",
        ),
        (MailParameters(parsed("bê@mic.gov.vn"), 9, smtputf8=True), ALL, "MAIL FROM:<bê@mic.gov.vn> SIZE=9 SMTPUTF8"),
        (MailParameters(parsed("a@mic.gov.vn"), 9, smtputf8=True), ALL, "MAIL FROM:<a@mic.gov.vn> SIZE=9 SMTPUTF8"),
        (MailParameters(parsed("a@bộ.vn"), 9), NOTHING, "MAIL FROM:<a@xn--b-8xm.vn>"),
        (MailParameters(parsed("a@bộ.vn"), 9), ALL, "MAIL FROM:<a@xn--b-8xm.vn> SIZE=9"),
        (
            MailParameters(parsed("a@mic.gov.vn"), 9, ret="HDRS", envid="q+2Bx"),
            ALL,
            "MAIL FROM:<a@mic.gov.vn> SIZE=9 RET=HDRS ENVID=q+2Bx",
        ),
        (MailParameters(parsed("a@mic.gov.vn"), 9, ret="HDRS", envid="q"), NOTHING, "MAIL FROM:<a@mic.gov.vn>"),
    ],
)
def test_mail(sending: MailParameters, offer: EhloResponse, line: str) -> None:
    assert mail(sending, offer) == f"{line}\r\n".encode()


@pytest.mark.parametrize(
    ("sending", "offer", "status"),
    [
        (MailParameters(parsed("a@mic.gov.vn"), 1001), ALL, "5.3.4"),
        (MailParameters(parsed("a@mic.gov.vn"), 9, smtputf8=True), NOTHING, "5.6.7"),
        (MailParameters(parsed("a@mic.gov.vn"), 9, "BINARYMIME"), NOTHING, "5.6.1"),
        (MailParameters(parsed("a@mic.gov.vn"), 9, "BINARYMIME"), EhloResponse({"BINARYMIME": ""}), "5.6.1"),
        (MailParameters(parsed("bê@mic.gov.vn"), 9), NOTHING, "5.6.7"),
    ],
)
def test_what_cannot_be_sent_there(sending: MailParameters, offer: EhloResponse, status: str) -> None:
    with pytest.raises(CannotSend) as refused:
        mail(sending, offer)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("addressee", "offer", "utf8", "line"),
    [
        (QueueRecipient(parsed("b@example.org")), ALL, False, "RCPT TO:<b@example.org>"),
        (QueueRecipient(parsed('"a b"@example.org'), ("SUCCESS", "FAILURE"), OriginalRecipient.parse("rfc822;b@x")), ALL, True,
         'RCPT TO:<"a b"@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@x'),
        (QueueRecipient(parsed("b@example.org"), ("NEVER",), OriginalRecipient.parse("rfc822;b@x")), NOTHING, False,
         "RCPT TO:<b@example.org>"),
        (QueueRecipient(parsed("b@bücher.example")), NOTHING, False, "RCPT TO:<b@xn--bcher-kva.example>"),
        (QueueRecipient(parsed("b@bücher.example")), ALL, False, "RCPT TO:<b@xn--bcher-kva.example>"),
        (QueueRecipient(parsed("b@bücher.example")), ALL, True, "RCPT TO:<b@bücher.example>"),
        (QueueRecipient(parsed("b@x.example"), (), OriginalRecipient.parse("utf-8;bê@x.example")), ALL, True,
         "RCPT TO:<b@x.example> ORCPT=utf-8;bê@x.example"),
        (QueueRecipient(parsed("b@x.example"), (), OriginalRecipient.parse("utf-8;bê@x.example")), ALL, False,
         "RCPT TO:<b@x.example> ORCPT=utf-8;b\\x{EA}@x.example"),
    ],
)  # fmt: skip
def test_rcpt(addressee: QueueRecipient, offer: EhloResponse, utf8: bool, line: str) -> None:
    """Beyond ASCII nothing is said where MAIL has not said SMTPUTF8, whatever is offered (RFC 6531 §3.4, RFC 6533 §3)."""
    assert rcpt(addressee, offer, utf8=utf8) == f"{line}\r\n".encode()


def test_one_recipient_that_cannot_be_named_there() -> None:
    with pytest.raises(CannotSend, match=r"\(SMTPUTF8\)"):
        rcpt(QueueRecipient(parsed("bê@example.org")), NOTHING, utf8=False)


@given(spellings(), st.booleans())
def test_an_address_is_one_word_of_its_command(spelling: Spelling, dsn: bool) -> None:
    """Nothing in an address ends it: the next server reads the parameters that were meant, and no other (RFC 5321 §4.1.2)."""
    offer, address = ALL if dsn else NOTHING, spelling.address
    line = rcpt(QueueRecipient(address, ("NEVER",)), offer, utf8=True)
    read, parameters = parse_rcpt(line.removeprefix(b"RCPT ").removesuffix(b"\r\n"), smtputf8=True)
    assert (read, parameters.notify, parameters.orcpt) == (address, {"NEVER"} if dsn else set(), None)
    assert read is not None
    assert read.local_part == address.local_part
    line = mail(MailParameters(address, 7, smtputf8=True), ALL)
    path, said = parse_mail(line.removeprefix(b"MAIL ").removesuffix(b"\r\n"))
    assert (path, said.size, said.ret, said.envid) == (address, 7, None, None)
