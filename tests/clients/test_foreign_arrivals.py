"""Mail that Postfix, Exim and OpenSMTPD bring to us: as it was, once, under TLS; what their senders hear of our refusals."""

import email
import email.policy
import imaplib
import re
from collections.abc import Iterator

import pytest

from peers.messages import ODD, PASSWORD, Inbox, message, submit
from peers.neighbours import ALL, EACH, Neighbours, neighbours
from waiting import wait_for

QUICK = [*EACH[:2], pytest.param("opensmtpd", marks=[pytest.mark.slow, pytest.mark.needs_tool("opensmtpd")])]
"""Of these OpenSMTPD takes some seconds."""
LARGE = ("Một dòng dài vừa phải, có dấu. " * 2 + "\r\n") * 10_000
FULL = 100_000
HALF = ("y" * 68 + "\r\n") * 1_000
"""More than that, twice."""


@pytest.fixture(scope="module")
def near() -> Iterator[Neighbours]:
    """Our server; the others bring it mail under TLS with its certificate, or not at all."""
    with neighbours() as near:
        near.ours.issue("dvbe", password=PASSWORD)
        for name in ALL:
            near.ours.issue(f"full.{name}", password=PASSWORD, quota_octets=FULL)
        for number in range(49):
            near.ours.population.issue(f"r{number}", password=PASSWORD)
        near.ours.refresh()
        yield near


@pytest.fixture(scope="module")
def inbox(near: Neighbours) -> Inbox:
    return Inbox(near.ours, "dvbe")


def nothing_of_ours(near: Neighbours) -> None:
    """We have nothing to send to anybody: no report, no bounce."""
    assert near.ours.running.context.queue.names() == []


def bounce(near: Neighbours, name: str, mark: str) -> str:
    """The one report on this message in the mailbox of its sender there, as a person reads it."""
    (found,) = wait_for(
        lambda: [each for each in near[name].stored() if is_report(each) and mark.encode() in each], f"bounce at {name}"
    )
    parsed = email.message_from_bytes(found, policy=email.policy.default)
    return " ".join((parsed.get_body() or next(parsed.walk())).get_content().split())  # type: ignore[union-attr]


def is_report(octets: bytes) -> bool:
    return b"\nreturn-path: <>" in b"\n" + octets[:2000].lower() or b"delivery-status" in octets


@pytest.mark.parametrize("name", EACH)
def test_as_it_was(near: Neighbours, inbox: Inbox, name: str) -> None:
    """Octet for octet behind what they put in front; TLS 1.3 in our trace."""
    mark, sender = f"came-{name}", f"a@{name}.example"
    octets = message(mark, ODD, sender)
    near[name].submit(sender, ["dvbe@mic.gov.vn"], octets)
    (found,) = wait_for(lambda: inbox.having(f"Subject: {mark}"), mark)
    assert found.endswith(octets)
    assert b"with ESMTPS (TLSv1.3" in found.split(b"\r\n\r\n")[0]


@pytest.mark.parametrize("name", EACH)
def test_a_large_one(near: Neighbours, inbox: Inbox, name: str) -> None:
    """Exim brings it by BDAT (RFC 3030)."""
    mark, sender = f"much-{name}", f"a@{name}.example"
    octets = message(mark, LARGE, sender)
    near[name].submit(sender, ["dvbe@mic.gov.vn"], octets)
    (found,) = wait_for(lambda: inbox.having(f"Subject: {mark}"), mark)
    assert found.endswith(octets)
    if name == "exim":
        wait_for(lambda: [line for line in near[name].log().splitlines() if "=> dvbe@" in line and " K " in line], "no BDAT")


@pytest.mark.parametrize("name", QUICK)
def test_fifty_of_whom_one_is_refused(near: Neighbours, name: str) -> None:
    """Each has it once, and its sender there reads why one has not: our words, whom to ask, the reference."""
    mark, sender = f"many-{name}", f"many@{name}.example"
    to = [f"r{number}@mic.gov.vn" for number in range(49)]
    for some in (to[:15], to[15:30], to[30:45], [*to[45:], f"nobody.{name}@mic.gov.vn"]):  # they take twenty at once
        near[name].submit(sender, some, message(mark, sender=sender))
    wait_for(lambda: sum(len(Inbox(near.ours, one).having(mark)) for one in ("r0", "r14", "r29", "r44", "r48")) == 5, mark)
    text = bounce(near, name, f"nobody.{name}@mic.gov.vn")
    assert f"nobody.{name}@mic.gov.vn" in text
    assert re.search(r"550[ -]5\.1\.1", text), text
    assert "support@mic.gov.vn" in text, text
    assert re.search(r"\b1[0-9A-Z]{15}\b", text), text
    events = near.ours.events()
    traces = {e["trace"] for e in events if e["event"] == "message_accepted" and e["sender"] == sender}
    delivered = [e["recipient"] for e in events if e["event"] == "message_delivered" and e["trace"] in traces]
    assert sorted(delivered) == sorted(to)
    nothing_of_ours(near)


@pytest.mark.parametrize("name", QUICK)
def test_full_and_empty_again(near: Neighbours, name: str) -> None:
    """452 as long as there is no room; the retry brings it, once."""
    local, sender = f"full.{name}", f"a@{name}.example"
    full = Inbox(near.ours, local)
    near[name].submit(sender, [f"{local}@mic.gov.vn"], message("first", HALF, sender))
    wait_for(lambda: full.having("first"))
    near[name].submit(sender, [f"{local}@mic.gov.vn"], message("second", HALF, sender))
    wait_for(lambda: re.search(r"452.{0,9}4\.2\.2", near[name].log()), "deferred")
    assert full.having("second") == []
    with imaplib.IMAP4_SSL("localhost", near.ours.ports["imaps"], ssl_context=near.ours.tls()) as imap:
        imap.login(local, PASSWORD)
        imap.select("INBOX")
        imap.store("1:*", "+FLAGS.SILENT", "(\\Deleted)")
        imap.expunge()
    wait_for(lambda: near[name].flush() or full.having("Subject: second"), "second")
    wait_for(lambda: not near[name].queued())
    assert len(full.having("Subject: second")) == 1
    nothing_of_ours(near)


@pytest.mark.parametrize("name", EACH[:2])
def test_our_words_beyond_ascii(near: Neighbours, name: str) -> None:
    """RFC 6531 §3.7.4: who takes SMTPUTF8 hears Vietnamese, and hands it on readable; Exim writes octets beyond ASCII in octal,
    whatever is asked of it, and the code and the reference are to be read all the same."""
    sender = f"đỗ@{name}.example"
    near[name].submit(
        sender,
        [f"ai.đó.{name}@mic.gov.vn"],
        message(f"words-{name}", sender=sender),
        mail_options=("BODY=8BITMIME", "SMTPUTF8"),
    )
    text = bounce(near, name, f"words-{name}")
    assert re.search(r"550[ -]5\.1\.1", text), text
    assert "không" in text.lower() or name == "exim", text


@pytest.mark.parametrize("name", QUICK)
def test_a_loop_ends(near: Neighbours, inbox: Inbox, name: str) -> None:
    """A domain whose exchanger hands all of it to us, who are not home to it: refused then, and the sender hears of it once."""
    mark = f"loop-{name}"
    near.names.zone[f"{mark}.test", "MX"] = [f"10 mx.{name}.example."]
    submit(near.ours, message(mark), f"b@{mark}.test")
    (report,) = wait_for(lambda: inbox.reports_on(f"b@{mark}.test"), f"report on {mark}")
    assert "5.7.1" in report.as_string() or "relay" in report.as_string().lower()
    wait_for(lambda: not near.ours.running.context.queue.names())
    nothing_of_ours(near)


@pytest.mark.parametrize("name", EACH[:2])
def test_round_and_round(near: Neighbours, inbox: Inbox, name: str) -> None:
    """RFC 5321 §6.3: what has gone round too often is refused, and who brought it tells its own. OpenSMTPD does so earlier."""
    sender, mark = f"round@{name}.example", f"round-{name}"
    hops = b"Received: from a by b; Thu, 26 Nov 2026 09:00:00 +0700\r\n" * 120
    near[name].submit(sender, ["dvbe@mic.gov.vn"], hops + message(mark, sender=sender))
    assert "5.4.6" in bounce(near, name, mark)
    assert inbox.having(f"Subject: {mark}\r\n") == []
    nothing_of_ours(near)


@pytest.mark.parametrize("name", EACH)
def test_no_bounce_of_a_bounce(near: Neighbours, name: str) -> None:
    """To nobody, from the null sender, as a report would come: refused, and no mail of ours follows, to whomever."""
    before = len(near.ours.events())
    near[name].submit("", [f"nobody.{name}@mic.gov.vn"], message(f"null-{name}", sender=f"mailer-daemon@{name}.example"))
    wait_for(lambda: [e for e in near.ours.events()[before:] if f"nobody.{name}" in str(e.get("recipient"))], "refused")
    nothing_of_ours(near)
    assert [e for e in near.ours.events()[before:] if e["event"] in ("message_queued", "report_sent", "message_sent")] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_twenty_at_once(near: Neighbours, inbox: Inbox, name: str) -> None:
    """A queue that is emptied in one go: each has come once."""
    sender = f"burst@{name}.example"
    for number in range(20):
        near[name].submit(sender, ["dvbe@mic.gov.vn"], message(f"burst-{name}-{number}.", sender=sender))
    wait_for(lambda: len(inbox.having(f"Subject: burst-{name}-")) == 20, "burst")
    assert len(inbox.having(f"Subject: burst-{name}-")) == 20
