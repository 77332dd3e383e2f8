"""Mail of ours at Postfix, Exim and OpenSMTPD: stored octet for octet, signed, and what they say of each recipient."""

import re
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dkim
import dns.resolver
import pytest

import programs
from harness import MailServer
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.mime.dkim import strings_of
from mic_mail.queue.notifications import notify_decided
from mic_mail.services.operations.dkim import DkimKeys
from mic_mail.smtpclient.dkim_keys import Algorithm, KeyFolder
from peers.messages import ODD, PASSWORD, Inbox, message, per_recipient, statuses, submit
from peers.neighbours import EACH, Neighbours, neighbours
from waiting import wait_for


@pytest.fixture(scope="module")
def near() -> Iterator[Neighbours]:
    """Our server with signing keys, and the others."""
    with neighbours() as near:
        near.ours.issue("dvbe", password=PASSWORD)
        keys = DkimKeys(KeyFolder(near.ours.config.server.data_dir), near.ours.running.clock)
        made = keys.add(["mic.gov.vn"], Algorithm.RSA, 2048, "s1") + keys.add(["mic.gov.vn"], Algorithm.ED25519, 0, "e1")
        for key in made:
            near.names.zone[key.name, "TXT"] = [strings_of(key.record)]
        near.ours.housekeep()
        yield near


@pytest.fixture(scope="module")
def inbox(near: Neighbours) -> Inbox:
    return Inbox(near.ours, "dvbe")


def submit_raw(server: MailServer, octets: bytes, to: str) -> None:
    """To one address, written as it is; smtplib has ideas of its own about quotes."""
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls()) as smtp:
        smtp.login("dvbe", PASSWORD)
        assert smtp.docmd("MAIL", "FROM:<dvbe@mic.gov.vn> BODY=8BITMIME")[0] == 250
        assert smtp.docmd("RCPT", f"TO:<{to}>")[0] == 250
        assert smtp.data(octets)[0] == 250


def stored(near: Neighbours, name: str, mark: str) -> bytes:
    """The one message with this mark that the other server keeps."""
    (found,) = wait_for(lambda: near[name].stored_with(mark.encode()), f"{mark} at {name}")
    return found  # type: ignore[no-any-return]


def copies(near: Neighbours, name: str, mark: str) -> int:
    """How many recipients have it: Exim writes one message for all."""
    found = 0
    for octets in near[name].stored_with(mark.encode()):
        lines = octets.split(b"\n\n")[0].replace(b"\n ", b" ").replace(b"\n\t", b" ").splitlines()
        found += next((line for line in lines if line.startswith(b"Envelope-to:")), b"@").count(b"@")
    return found


def left(near: Neighbours) -> None:
    """Nothing waits here any more."""
    wait_for(lambda: not near.ours.running.context.queue.names(), "the queue is not empty")


def retry(near: Neighbours, entry: Any) -> None:
    entry.retry()
    notify_decided(near.ours.config.run_dir, entry.entry_id)


def signers(near: Neighbours, found: bytes) -> list[str]:
    """The selectors of our signatures over what was stored, each of which verifies."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], near.names.port

    def ask(name: bytes, timeout: float = 5) -> bytes:
        (answer,) = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
        return b"".join(answer.strings)

    octets = found.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    selectors = []
    for which in range(octets.split(b"\r\n\r\n")[0].count(b"\td=mic.gov.vn;")):
        one = dkim.DKIM(octets)
        assert one.verify(which, dnsfunc=ask)
        selectors.append(one.selector.decode())
    return selectors


def by_opendkim(near: Neighbours, folder: Path, found: bytes) -> str:
    """What OpenDKIM says of it, by the same records."""
    keys = DkimKeys(KeyFolder(near.ours.config.server.data_dir), near.ours.running.clock).all()
    (folder / "dns").write_text("".join(f"{key.name} {key.record}\n" for key in keys))
    (folder / "conf").write_text(f"Mode v\nTestDNSData {folder}/dns\n")
    (folder / "message").write_bytes(found.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    command = [programs.need("opendkim"), "-x", str(folder / "conf"), "-t", str(folder / "message"), "-vv"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("name", EACH)
def test_octet_for_octet(near: Neighbours, tmp_path: Path, name: str) -> None:
    """Vietnamese, dots, long lines, empty ones at the end, under TLS: what is stored ends with what was submitted, and our
    signatures verify."""
    octets, to = message(f"octets-{name}", ODD), f"octets@{name}.example"
    submit(near.ours, octets, to)
    found = stored(near, name, f"octets-{name}")
    assert found.replace(b"\r\n", b"\n").endswith(octets.replace(b"\r\n", b"\n"))
    assert signers(near, found) == ["s1", "e1"]
    if not programs.missing("opendkim"):
        said = by_opendkim(near, tmp_path, found)
        assert said.count("dkim=pass") == 2, said
        assert "dkim=pass" not in by_opendkim(near, tmp_path, found.replace("Kính".encode(), b"Kinh"))
    (sent,) = wait_for(lambda: [e for e in near.ours.events() if e["event"] == "message_sent" and e["recipient"] == to])
    assert (sent["secured_by"], sent["tls"].partition(" ")[0]) == ("opportunistic", "TLSv1.3")


@pytest.mark.parametrize("name", EACH)
def test_some_refused_some_deferred(near: Neighbours, inbox: Inbox, name: str) -> None:
    """In one transaction: who can has it once, who is refused is told of, who is deferred has it later, once."""
    mark, domain = f"mixed-{name}", f"{name}.example"
    near[name].grey(True)
    submit(near.ours, message(mark), f"b@{domain}", f"refused.one@{domain}", f"grey@{domain}", f"c@{domain}")
    queue = near.ours.running.context.queue
    (entry,) = wait_for(lambda: [each for each in queue.entries() if all(one.attempts for one in each.state.recipients)])
    assert entry.state.recipients[1].reason.startswith("5.1.1 550")
    assert entry.state.recipients[2].reason.startswith("4.7.1 451")
    near[name].grey(False)
    retry(near, entry)
    assert statuses(inbox.report_on(f"refused.one@{domain}")) == {f"refused.one@{domain}": "5.1.1"}
    left(near)
    wait_for(lambda: copies(near, name, mark) == 3)


@pytest.mark.parametrize("name", EACH)
def test_too_large_for_them(near: Neighbours, inbox: Inbox, name: str) -> None:
    """Over what they say they take: told of, and not one octet of it sent."""
    mark, to = f"large-{name}", f"large@{name}.example"
    submit(near.ours, message(mark, ("y" * 70 + "\r\n") * 15_000), to)
    assert statuses(inbox.report_on(to)) == {to: "5.3.4"}
    assert near[name].stored_with(mark.encode()) == []


LOCAL_PARTS = (
    "john doe", "a@b", "boss@other.test> NOTIFY=NEVER ORCPT=rfc822;", 'a"b', "a\\b", "a,b;c", "<x>", "a..b", ".a", "o'neil+tag",
    "!#$&*+-/=?^_`{|}~", "x" * 64, "X.y-Z",
)  # fmt: skip
NO_QUOTES = {"opensmtpd"}
"""Servers that take no quoted local part."""
RECIPIENT = re.compile(rb"^(?:Delivered-To|Envelope-to): (.*)$", re.MULTILINE)


@pytest.mark.parametrize("name", EACH)
def test_any_local_part_is_the_same_one_there(near: Neighbours, inbox: Inbox, name: str) -> None:
    """RFC 5321 §4.1.2: quoted or not, the other server stores it for the address that was meant; of one that it takes for
    nobody the sender hears by name."""
    wanted = [MailboxAddress(local_part, f"{name}.example") for local_part in LOCAL_PARTS]
    for number, address in enumerate(wanted):
        submit_raw(near.ours, message(f"local-{name}-{number}."), str(address))
    for number, address in enumerate(wanted):
        if name in NO_QUOTES and str(address).startswith('"'):
            assert statuses(inbox.report_on(str(address))) == {str(address): "5.1.3"}
            assert near[name].stored_with(f"local-{name}-{number}.".encode()) == []
        else:
            recipients = RECIPIENT.findall(stored(near, name, f"local-{name}-{number}."))
            assert [MailboxAddress.parse(each.decode()) for each in recipients] == [address]
    left(near)


@pytest.mark.parametrize("name", EACH)
def test_addresses_beyond_ascii(near: Neighbours, inbox: Inbox, name: str) -> None:
    """RFC 6531 where it is offered, which OpenSMTPD does not: then the sender hears of it."""
    mark, to = f"utf8-{name}", f"đỗ.văn.bê@{name}.example"
    octets = message(mark).replace(b"Subject: ", "Subject: Đề nghị ".encode())
    submit(near.ours, octets, to, options=("BODY=8BITMIME", "SMTPUTF8"))
    if name == "opensmtpd":
        wait_for(lambda: [e for e in near.ours.events() if e["event"] == "report_sent" and e["recipients"] == [to]])
        status = wait_for(lambda: inbox.parts("message/global-delivery-status"), "RFC 6533")[0].decode()
        assert f"Final-Recipient: utf-8; {to}" in status
        assert "Status: 5.6.7" in status
    else:
        assert stored(near, name, mark).endswith(octets.replace(b"\r\n", b"\n"))


@pytest.mark.parametrize("name", EACH)
def test_nobody_promises_to_protect_it(near: Neighbours, inbox: Inbox, name: str) -> None:
    """RFC 8689 §4.2.1: none of them offers REQUIRETLS, and nobody vouches for the name."""
    mark, to = f"protected-{name}", f"protected@{name}.example"
    submit(near.ours, message(mark), to, options=("BODY=8BITMIME", "REQUIRETLS"))
    assert statuses(inbox.report_on(to))[to] in ("5.7.30", "5.7.10")
    assert near[name].stored_with(mark.encode()) == []


@pytest.mark.parametrize("name", EACH)
def test_more_recipients_than_they_take_at_once(near: Neighbours, inbox: Inbox, name: str) -> None:
    """Fifty, one of them refused; two of the servers take twenty in a transaction: everybody has it once."""
    mark, domain = f"fifty-{name}", f"{name}.example"
    submit(near.ours, message(mark), *(f"r{number}@{domain}" for number in range(49)), f"refused.fifty@{domain}")
    assert statuses(inbox.report_on(f"refused.fifty@{domain}")) == {f"refused.fifty@{domain}": "5.1.1"}
    left(near)
    wait_for(lambda: copies(near, name, mark) == 49)


def test_null_mx(near: Neighbours, inbox: Inbox) -> None:
    submit(near.ours, message("null-mx"), "b@null.example")
    assert statuses(inbox.report_on("b@null.example")) == {"b@null.example": "5.1.10"}


@pytest.mark.parametrize("name", EACH)
def test_a_confirmation_that_was_asked_for(near: Neighbours, inbox: Inbox, name: str) -> None:
    """RFC 3461 §5.2.2: what was asked goes on to who offers DSN, and his confirmation comes to us."""
    mark, to = f"confirmed-{name}", f"confirmed@{name}.example"
    options = ("BODY=8BITMIME", "RET=HDRS", f"ENVID=env-{name}")
    submit(near.ours, message(mark), to, options=options, rcpt=("NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;asked@{name}.example"))
    stored(near, name, mark)
    report = inbox.report_on(to)
    (one,) = per_recipient(report)
    assert one["Action"] == "delivered"
    (about,) = [part for part in report.walk() if part["Reporting-MTA"]]
    if name != "opensmtpd":  # which keeps neither
        assert one["Original-Recipient"].replace(" ", "") == f"rfc822;asked@{name}.example"
        assert about["Original-Envelope-Id"] == f"env-{name}"
    assert "mic.gov.vn" not in about["Reporting-MTA"]


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_killed_in_the_middle(near: Neighbours, name: str) -> None:
    """When it has all of a message and has not said so yet: it waits here, and is there once after the server is back."""
    mark, other = f"killed-{name}", near[name]
    other.stall(True)
    submit(near.ours, message(mark), f"killed@{name}.example")
    wait_for(lambda: near.ours.running.server.report()["sending"] == 1 and other.is_stalled())
    (entry,) = near.ours.running.context.queue.entries()
    other.kill()
    other.stall(False)
    wait_for(entry_was_tried(near, entry.entry_id))
    entry.refresh()
    assert entry.state.recipients[0].reason.startswith("4.4."), entry.state.recipients
    other.start()
    retry(near, entry)
    stored(near, name, mark)
    left(near)
    assert copies(near, name, mark) == 1


def entry_was_tried(near: Neighbours, entry_id: str) -> Callable[[], bool]:
    def was_tried() -> bool:
        entry = near.ours.running.context.queue.read(entry_id)
        return entry is not None and entry.state.recipients[0].attempts > 0

    return was_tried
