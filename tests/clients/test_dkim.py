"""Mail leaves signed: a real server, keys made by commands, records from a name server, verified as the other side does it."""

import email.policy
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import dkim
import dns.resolver
import pytest

from clients.outgoing import PASSWORD, ZONE, elsewhere, letter, submit
from dkim_corpus import messages
from dns_server import NameServer, name_server
from harness import MailServer, config_for
from mic_mail.mime.dkim import strings_of
from mic_mail.queue.notifications import notify_decided
from mic_mail.services.operations.dkim import DkimKeys
from mic_mail.smtpclient.dkim_keys import Algorithm, Key, KeyFolder, KeyState
from unit.smtpclient.server import Server
from waiting import wait_for

DOMAIN = "mic.gov.vn"
LONGEST_LINE = 60_000
"""That the other server reads."""


class Office:
    """Our server, its keys, the other one, and the DNS."""

    def __init__(self, server: MailServer, other: Server, names: NameServer) -> None:
        self.server, self.other, self.names = server, other, names
        self.keys = DkimKeys(KeyFolder(server.config.server.data_dir), server.running.clock)

    def publish(self, *keys: Key) -> None:
        for key in keys:
            self.names.zone[key.name, "TXT"] = [strings_of(key.record)]

    def arrived(self, count: int = 1) -> list[bytes]:
        """The messages, without the dots of DATA."""
        wait_for(lambda: len(self.other.messages) >= count)
        return [(b"\r\n" + each).removesuffix(b".\r\n").replace(b"\r\n.", b"\r\n")[2:] for each in self.other.messages]

    def signers(self, message: bytes) -> list[str]:
        """The selectors of our signatures, which stand first, and each of which verifies by what the DNS says."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], self.names.port

        def ask(name: bytes, timeout: float = 5) -> bytes:
            (answer,) = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
            return b"".join(answer.strings)

        found = []
        for which in range(message.split(b"\r\n\r\n")[0].count(b"\td=mic.gov.vn;")):
            one = dkim.DKIM(message)
            assert one.verify(which, dnsfunc=ask)
            assert one.domain == DOMAIN.encode()
            found.append(one.selector.decode())
        return found


@contextmanager
def office(folder: Path, offer: bytes | None = None) -> Iterator[Office]:
    with elsewhere() as (other, port), name_server(ZONE) as names:
        other.ehlo = offer or other.ehlo
        server = MailServer(
            config_for(folder, {"dns": {"nameservers": (names.place,), "seconds": 1}, "sending": {"port": port}})
        )
        try:
            server.issue("dvbe", password=PASSWORD)
            yield Office(server, other, names)
        finally:
            server.stop()


def test_from_the_first_key_to_the_second(tmp_path: Path) -> None:
    """Unsigned without keys; signed once the DNS has the record and the housekeeper has seen it; by the next key likewise."""
    with office(tmp_path) as here:
        submit(here.server, letter("b@one.example"))
        assert here.signers(here.arrived()[0]) == []
        made = here.keys.add([DOMAIN], Algorithm.RSA, 2048, "s1") + here.keys.add([DOMAIN], Algorithm.ED25519, 0, "e1")
        here.server.housekeep()
        submit(here.server, letter("b@one.example"))
        assert here.signers(here.arrived(2)[1]) == []
        here.publish(*made)
        here.server.housekeep()
        submit(here.server, letter("b@one.example", "c@one.example"))
        message = here.arrived(3)[2]
        assert here.signers(message) == ["s1", "e1"]
        assert message.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; s=s1;")
        assert b"Return-Path" not in message
        (new,) = [key for key in here.keys.rotate([DOMAIN]) if key.algorithm is Algorithm.RSA]
        here.names.troubles[new.name] = "silent"
        here.server.housekeep()
        submit(here.server, letter("b@one.example"))
        assert here.signers(here.arrived(4)[3]) == ["s1", "e1"]
        del here.names.troubles[new.name]
        here.publish(new)
        here.server.housekeep()
        submit(here.server, letter("b@one.example"))
        assert here.signers(here.arrived(5)[4]) == ["e1", new.selector]
        assert {key.selector: key.state for key in here.keys.all()}["s1"] is KeyState.RETIRED


def test_its_size_counts_in_the_signature(tmp_path: Path) -> None:
    with office(tmp_path) as here:
        here.publish(*here.keys.add([DOMAIN], Algorithm.RSA, 2048, "s1"))
        here.server.housekeep()
        submit(here.server, letter("b@one.example"))
        (message,) = here.arrived()
        assert here.signers(message) == ["s1"]
        assert f" SIZE={len(message)}".encode() in b"\n".join(here.other.lines)


@pytest.mark.slow
def test_what_is_odd_arrives_as_it_was_signed(tmp_path: Path) -> None:
    """The corpus through submission, spool, queue and DATA; what submission refuses does not count."""
    with office(tmp_path, b"250-mx.example\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n") as here:
        here.publish(*here.keys.add([DOMAIN], Algorithm.RSA, 2048, "s1"), *here.keys.add([DOMAIN], Algorithm.ED25519, 0, "e1"))
        here.server.housekeep()
        sent = 0
        for message in dict(messages()).values():
            if max(map(len, message.split(b"\r\n"))) < LONGEST_LINE:
                sent += _handed_in(here.server, message)
        assert sent >= 50
        for message in here.arrived(sent):
            if b"\r\nSubject : " in message:  # dkimpy does not read that
                continue
            assert here.signers(message) == ["s1", "e1"], message[:4_000]


def _handed_in(server: MailServer, message: bytes) -> bool:
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls()) as smtp:
        smtp.login("dvbe", PASSWORD)
        try:
            smtp.sendmail("dvbe@mic.gov.vn", ["b@one.example"], message, ["BODY=8BITMIME", "SMTPUTF8"])
        except smtplib.SMTPDataError:
            return False
    return True


def test_while_a_key_cannot_be_read_mail_waits(tmp_path: Path) -> None:
    """And leaves signed once the file is mended; the log names it."""
    with office(tmp_path) as here:
        (key,) = here.keys.add([DOMAIN], Algorithm.RSA, 2048, "s1")
        here.publish(key)
        here.server.housekeep()
        file = here.server.config.server.data_dir / "dkim" / f"{key.name}.pem"
        file.chmod(0o644)
        submit(here.server, letter("b@one.example"))
        deferred = wait_for(lambda: [each for each in here.server.events() if each["event"] == "sending_deferred"])
        assert (deferred[0]["status"], deferred[0]["reply"]) == (
            "4.3.0",
            {"vi": "thư chưa ký được (DKIM)", "en": "the message cannot be signed now"},
        )
        (why,) = [each["error"] for each in here.server.events() if each["event"] == "dkim_key_unusable"]
        assert {str(file) in why[side] for side in ("vi", "en")} == {True}
        assert here.other.connections == 0
        file.chmod(0o600)
        queue = here.server.running.context.queue
        (entry_id,) = queue.names()
        # The log tells of an attempt a moment before the entry knows of it: what is decided until then is overtaken.
        entry = wait_for(
            lambda: (entry := queue.read(entry_id)) and any(each.attempts for each in entry.state.recipients) and entry
        )
        entry.retry()
        notify_decided(here.server.config.run_dir, entry_id)
        assert here.signers(here.arrived()[0]) == ["s1"]


def test_a_header_that_others_added_does_not_stop_it(tmp_path: Path) -> None:
    """A message with a signature of its own keeps it, behind ours."""
    with office(tmp_path) as here:
        here.publish(*here.keys.add([DOMAIN], Algorithm.ED25519, 0, "e1"))
        here.server.housekeep()
        message = EmailMessage(policy=email.policy.SMTP)
        message["DKIM-Signature"] = "v=1; a=rsa-sha256; d=other.example; s=x; h=from; bh=AAAA; b=BBBB"
        message["From"], message["To"], message["Subject"] = "dvbe@mic.gov.vn", "b@one.example", "x"
        message.set_content("hello\n")
        submit(here.server, message)
        (arrived,) = here.arrived()
        assert arrived.count(b"DKIM-Signature:") == 2
        assert arrived.index(b"s=e1;") < arrived.index(b"Received: ") < arrived.index(b"s=x")
