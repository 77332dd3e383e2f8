"""No stranger makes this server write to a third party: real names, signatures and connections (decision 0100)."""

import itertools
import smtplib
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import signed_messages
from dns_server import BROKEN, NameServer, name_server
from harness import MailServer, config_for
from mic_mail.clock import ManualClock
from mic_mail.queue.queue import QueueEntry
from mic_mail.storage.types import AccountRef

pytestmark = pytest.mark.clause("4.2")
NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
STRANGER, OWN_HOST = "127.0.0.1", "127.0.0.2"
SPF = {
    "pass": f"v=spf1 ip4:{STRANGER} -all",
    "fail": "v=spf1 -all",
    "softfail": "v=spf1 ~all",
    "neutral": "v=spf1 ?all",
    "none": None,
    "permerror": "v=spf1 nonsense:",
    "temperror": None,
}
SIGNERS = ("nobody", "own", "above", "beside", "below", "foreign", "changed", "partial")
TEXT = b"the stranger's own words\r\n"
TTLAN, FULL, DAMAGED = "ttlan@mic.gov.vn", "htnam@mic.gov.vn", "pqkhanh@mic.gov.vn"


def domain(spf: str) -> str:
    return f"mail.{spf}.example"


def zone() -> dict[tuple[str, str], list[str]]:
    records: dict[tuple[str, str], list[str]] = {("nobody.example", "A"): ["127.0.0.9"]}
    for spf, text in SPF.items():
        records[domain(spf), "MX"] = ["10 nobody.example."]
        if text is not None:
            records[domain(spf), "TXT"] = [f'"{text}"']
        for name in (domain(spf), f"{spf}.example", f"www.{spf}.example", f"host.{domain(spf)}"):
            records |= signed_messages.zone(signed_messages.records(name))
    return records | signed_messages.zone(signed_messages.records("foreign.example"))


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with name_server(zone(), troubles={(domain("temperror"), "TXT"): BROKEN}) as one:
        yield one


def serving(folder: Path, names: NameServer, clock: ManualClock | None = None) -> MailServer:
    tree: dict[str, Any] = {
        "dns": {"nameservers": (names.place,)},
        "inbound": {"trusted_networks": (f"{OWN_HOST}/32",), "spf_fail": "none", "seconds": 5},
        "smtp": {"confirms": True},
        "sending": {"port": 1},
    }
    server = MailServer(config_for(folder, tree), clock)
    server.issue("ttlan")
    server.issue("htnam", quota_octets=2_000)
    damaged = server.issue("pqkhanh")
    server.running.context.store.account(AccountRef(damaged.mailbox_id, damaged.home)).folder("INBOX")
    tmp = server.config.mail_root / damaged.home / "Maildir" / "tmp"
    for path in tmp.glob("*"):
        path.unlink()
    tmp.rmdir()
    tmp.write_text("damaged")
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, names: NameServer) -> Iterator[MailServer]:
    server = serving(tmp_path_factory.mktemp("strangers") / "data", names)
    yield server
    server.stop()


def message(spf: str = "none", signer: str = "nobody", octets: int = 0) -> bytes:
    body = TEXT + (b"x" * 70 + b"\r\n") * (octets // 72)
    plain = b"From: Somebody <b@list.example>\r\nTo: ttlan@mic.gov.vn\r\nSubject: x\r\nMessage-ID: <1@b>\r\n\r\n" + body
    where = {
        "above": f"{spf}.example",
        "beside": f"www.{spf}.example",
        "below": f"host.{domain(spf)}",
        "foreign": "foreign.example",
    }
    if signer == "nobody":
        return plain
    signed = signed_messages.sign(plain, domain=where.get(signer, domain(spf)), length=signer == "partial")
    return signed + b"added\r\n" if signer in {"changed", "partial"} else signed


def hand_in(
    server: MailServer, sender: str, to: list[str], octets: bytes, notify: str = "", peer: str = STRANGER
) -> tuple[list[int], int, bytes]:
    """Codes of RCPT, code and text of the end of the message; nothing is said of its size."""
    options = [f"NOTIFY={notify}"] if notify else []
    with smtplib.SMTP(server.host, server.ports["smtp"], "mx.example", timeout=60, source_address=(peer, 0)) as client:
        client.ehlo()
        assert client.mail(sender)[0] == 250
        named = [client.rcpt(each, options)[0] for each in to]
        return named, *client.data(octets)


def events(server: MailServer, *kinds: str) -> list[dict[str, Any]]:
    server.running.context.log.flush()
    return [event for event in server.events() if event["event"] in kinds]


def settle(server: MailServer) -> None:
    server.call(server.running.context.mailflow.settle())


def queued(server: MailServer) -> list[QueueEntry]:
    queue = server.running.context.queue
    found = [queue.look_at(name) for name in queue.names()]
    return [each for each in found if isinstance(each, QueueEntry)]


def test_only_who_is_authenticated_hears(server: MailServer) -> None:
    """Of all results of SPF and DKIM a confirmation leaves where SPF passes alone: a signature is of the message, and whoever
    has that can send it again in the name of anybody."""
    expected, outcome = {}, defaultdict(set)
    for spf, signer in itertools.product(SPF, SIGNERS):
        sender = f"a@{domain(spf)}"
        codes, code, said = hand_in(server, sender, [TTLAN], message(spf, signer), "SUCCESS")
        assert (codes, code) == ([250], 250), (spf, signer, said)
        expected[said.split()[-1].decode()] = spf == "pass"
    settle(server)
    for event in events(server, "report_queued"):
        outcome[event["trace"]].add(event["reader"])
    assert {trace for trace in expected if outcome[trace]} == {trace for trace, allowed in expected.items() if allowed}
    returned = [entry.path.read_bytes() for entry in queued(server)]
    assert len(returned) == sum(expected.values())
    assert not any(TEXT in each for each in returned)
    assert all(b"Content-Type: text/rfc822-headers" in each for each in returned)


def test_what_cannot_be_reported_is_not_promised(server: MailServer) -> None:
    """Two recipients, one of them full: 452 to a stranger, at RCPT where it is known, and nothing leaves."""
    before = len(events(server, "message_accepted")), server.running.context.queue.names()
    codes, code, said = hand_in(server, "victim@third.example", [TTLAN, FULL], message(octets=9_000))
    assert (codes, code) == ([250, 250], 452)
    assert b"4.2.2" in said
    assert FULL.encode() in said
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=60) as client:
        client.ehlo()
        client.mail("victim@third.example", ["SIZE=9000"])
        assert [client.rcpt(each)[0] for each in (TTLAN, FULL)] == [250, 452]
        assert client.data(message(octets=9_000))[0] == 250
    settle(server)
    assert (len(events(server, "message_accepted")) - 1, server.running.context.queue.names()) == before


def test_each_recipient_state_and_each_wish(tmp_path: Path, names: NameServer) -> None:
    """Delayed, failed or delivered, whatever NOTIFY says: a stranger who is nobody's hears nothing, and the log has it;
    those who are authenticated, and our own hosts, hear what they asked for."""
    clock = ManualClock(NOW)
    server = serving(tmp_path / "data", names, clock)
    senders = {"stranger": ("none", STRANGER), "known": ("pass", STRANGER), "own": ("none", OWN_HOST)}
    wishes = ("", "NEVER", "SUCCESS", "DELAY", "FAILURE", "SUCCESS,DELAY,FAILURE")
    wanted, whose = {}, {}
    for who, wish in itertools.product(senders, wishes):
        spf, peer = senders[who]
        named, code, said = hand_in(server, f"{who}@{domain(spf)}", [TTLAN, DAMAGED], message(), wish, peer)
        assert (named, code) == ([250, 250], 250)
        trace = said.split()[-1].decode()
        words = set(wish.split(",")) if wish else {"DELAY", "FAILURE"}
        meant = {("SUCCESS", TTLAN): "delivered", ("DELAY", DAMAGED): "delayed", ("FAILURE", DAMAGED): "failed"}
        wanted[trace] = {(action, to) for (word, to), action in meant.items() if word in words}
        whose[trace] = who
    settle(server)
    for later in (timedelta(hours=5), timedelta(days=5, hours=1)):
        server.move_clock_to(NOW + later)
        server.housekeep()
        settle(server)
    found: dict[str, dict[str, set[tuple[str, str]]]] = defaultdict(lambda: defaultdict(set))
    for event in events(server, "report_queued", "report_withheld"):
        found[event["event"]][event["trace"]] |= {(event["action"], to) for to in event["recipients"]}
    for trace, who in whose.items():
        kind, other = ("report_withheld", "report_queued") if who == "stranger" else ("report_queued", "report_withheld")
        assert (found[kind][trace], found[other][trace]) == (wanted[trace], set()), (who, wanted[trace])
    for entry in queued(server):
        (reader,) = entry.envelope.recipients
        assert (TEXT in entry.path.read_bytes()) <= (reader.address.local_part == "own")
    server.stop()
