"""Every address that our grammar takes, from the door to the next server and into the mailbox."""

import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addresses import Spelling, parsed, spellings, strict_path
from certificate_authority import Authority
from clients.outgoing import PASSWORD, office
from harness import MailServer
from mic_mail.mailbox_address import MailboxAddress
from unit.services.queue.relay import PASSWORD as RELAY_PASSWORD
from unit.services.queue.relay import Relay
from waiting import wait_for

OFFER = b"250-SMTPUTF8\r\n250-DSN\r\n250-8BITMIME\r\n250-SIZE 1000000\r\n"
NUMBERS = count(1)


@dataclass
class Leaving:
    """Our server, and the one to which everything goes that is not for us."""

    server: MailServer
    relay: Relay

    def submit(self, wanted: list[Spelling]) -> tuple[list[MailboxAddress], int]:
        """Hand in one message for all of them; who was accepted, and how many were not."""
        with smtplib.SMTP_SSL("localhost", self.server.ports["submissions"], context=self.server.tls()) as smtp:
            smtp.login("dvbe", PASSWORD)
            smtp.command_encoding = "utf-8"
            assert smtp.docmd("MAIL", "FROM:<dvbe@mic.gov.vn> SMTPUTF8")[0] == 250
            accepted = [each.address for each in wanted if smtp.docmd("RCPT", f"TO:<{each.text}>")[0] == 250]
            if accepted:
                assert smtp.data(f"From: dvbe@mic.gov.vn\r\nSubject: n{next(NUMBERS)}\r\n\r\nx\r\n")[0] == 250
        return accepted, len(wanted) - len(accepted)

    def recipients(self) -> list[tuple[str, str, list[str]]]:
        """The recipients of which the other server was told in one transaction, read by somebody else's grammar."""
        wait_for(lambda: self.relay.messages)
        wait_for(lambda: not self.server.running.context.queue.names())
        found = [strict_path(line.decode()) for line in self.relay.lines if line.startswith(b"RCPT")]
        self.relay.messages.clear()
        self.relay.lines.clear()
        return found


@pytest.fixture(scope="module")
def leaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leaving]:
    folder: Path = tmp_path_factory.mktemp("leaving")
    authority, secret = Authority(folder / "ca"), folder / "password"
    secret.write_text(RELAY_PASSWORD + "\n")
    secret.chmod(0o600)
    relay = Relay(context=authority.context("mx.one.example"), more=OFFER)
    how = {"smarthost": "mx.one.example:PORT", "smarthost_ca": authority.file, "smarthost_login": "ours"}
    with office(folder / "data", other=relay, sending={**how, "smarthost_password": secret}) as (server, _):
        yield Leaving(server, relay)


def check_leaves(leaving: Leaving, wanted: list[Spelling]) -> None:
    accepted, refused = leaving.submit(wanted)
    assert refused == sum(each.domain.startswith("[") for each in wanted), "only literals lead nowhere"
    if not accepted:
        return
    heard = leaving.recipients()
    assert [rest for _, _, rest in heard] == [[]] * len(accepted), "no parameter that nobody gave"
    said = [(local, domain) for local, domain, _ in heard]
    assert sorted(map(str, accepted)) == sorted(str(MailboxAddress(*each)) for each in said)
    assert {(each.local_part, each.domain) for each in accepted} == set(said)
    queued = [event for event in leaving.server.events() if event["event"] == "message_queued"][-1]
    assert [parsed(each) for each in queued["recipients"]] == accepted, "the log names them"


FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(FEW, max_examples=200)
WANTED = st.lists(spellings(), min_size=1, max_size=8, unique_by=lambda each: each.address)


@FEW
@given(WANTED)
def test_every_address_is_the_same_one_at_the_next_server(leaving: Leaving, wanted: list[Spelling]) -> None:
    """Through submission, spool, queue, log and wire: a strict parser reads the same local part and domain, no parameter."""
    check_leaves(leaving, wanted)


@pytest.mark.slow
@pytest.mark.timeout(900)
@MANY
@given(WANTED)
def test_very_many_addresses_are_the_same_ones_at_the_next_server(leaving: Leaving, wanted: list[Spelling]) -> None:
    """Likewise."""
    check_leaves(leaving, wanted)


def test_an_address_gives_no_command_a_parameter(leaving: Leaving) -> None:
    """A quoted local part in which the end of a path and parameters stand leaves as that local part."""
    local_part = "boss@other.test> NOTIFY=NEVER ORCPT=rfc822;"
    leaving.submit([Spelling(f'"{local_part}"@victim.test', local_part, "victim.test")])
    assert leaving.recipients() == [(local_part, "victim.test", [])]


SENDERS = spellings().filter(lambda each: not each.domain.startswith("["))


@FEW
@given(SENDERS)
def test_a_sender_elsewhere_is_named_as_who_it_is(leaving: Leaving, sender: Spelling) -> None:
    """The Return-Path of a delivered message and the log have the reverse-path that the other server said (RFC 5321 §4.4)."""
    server = leaving.server
    with smtplib.SMTP("localhost", server.ports["smtp"]) as smtp:
        smtp.ehlo("mx.one.example")
        smtp.command_encoding = "utf-8"
        assert smtp.docmd("MAIL", f"FROM:<{sender.text}> SMTPUTF8")[0] == 250
        assert smtp.docmd("RCPT", "TO:<ttlan@mic.gov.vn>")[0] == 250
        code, said = smtp.data(f"From: b@one.example\r\nSubject: n{next(NUMBERS)}\r\n\r\nx\r\n")
        assert code == 250
    trace = said.decode().split()[-1]
    (path,) = [path for path in server.config.mail_root.rglob("cur/*") if trace.encode() in path.read_bytes()]
    line = path.read_bytes().partition(b"\r\n")[0].decode()
    local_part, domain, rest = strict_path(line.replace("Return-Path: ", "MAIL FROM:"))
    assert (MailboxAddress(local_part, domain), rest) == (sender.address, [])
    event = wait_for(lambda: next((each for each in server.events() if each.get("trace") == trace and "sender" in each), None))
    assert parsed(event["sender"]) == sender.address
