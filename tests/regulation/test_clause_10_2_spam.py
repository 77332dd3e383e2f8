"""Reg. 10.2, 15.5, 4.2: what the filter says of mail from other servers, and what becomes of it, over real sockets."""

import email
import email.policy
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dns_server import name_server
from harness import MailServer, config_for
from mic_mail.config.manual import write
from mic_mail.policy.facts import FactKind
from mic_mail.quarantine.quarantine import Quarantine, QuarantineState, Reason
from regulation.abuse_setup import suspensions
from regulation.console import Console
from regulation.spam_server import (
    OUTSIDE,
    READER,
    SECOND,
    SENDER,
    STRANGER,
    SUPPORT,
    events,
    found,
    furnished,
    message,
    one_of,
    sent,
    submitted,
)
from rspamd_server import Pretender, scan_result

pytestmark = pytest.mark.clause("10.2", "15.5", "4.2")


@pytest.fixture(scope="module")
def pretender() -> Iterator[Pretender]:
    one = Pretender()
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def says_nothing(pretender: Pretender) -> None:
    pretender.says, pretender.status, pretender.pause = scan_result("no action", 0.5), 200, 0.0
    pretender.checked.clear()


@pytest.fixture
def serving(serve: Callable[..., MailServer], pretender: Pretender) -> Callable[..., MailServer]:
    def make(rspamd: dict[str, Any] | None = None, **more: Any) -> MailServer:
        settings = {"inbound": OUTSIDE, "rspamd": {"url": pretender.place, "seconds": 5, **(rspamd or {})}, **more}
        return furnished(serve(settings))

    return make


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, pretender: Pretender) -> Iterator[MailServer]:
    """With default settings."""
    settings = {"inbound": OUTSIDE, "rspamd": {"url": pretender.place, "seconds": 5}}
    one = furnished(MailServer(config_for(tmp_path_factory.mktemp("spam"), settings)))
    yield one
    one.stop()


FILED = {
    "no action": "INBOX",
    "greylist": "INBOX",
    "made up": "INBOX",
    "add header": "Junk",
    "rewrite subject": "Junk",
}


@pytest.mark.parametrize("padding", [0, 400_000], ids=["in memory", "as a file"])
@pytest.mark.parametrize("action", FILED)
def test_what_is_taken(server: MailServer, pretender: Pretender, action: str, padding: int) -> None:
    """Into INBOX or Junk, with one field of ours and none of theirs; the rest of the message is as it came."""
    pretender.says = scan_result(action, 7.5, BAYES_SPAM=5.1, FROM_NO_DN=0.0)
    subject = f"{action} {padding}"
    octets = message(subject, fields="X-Spam-Status: No,\r\n\tscore=-99\r\nx-spam-FLAG: NO\r\nX-Other: y\r\n", padding=padding)
    assert sent(server, octets)[0] == 250
    stored = one_of(server, FILED[action], subject)
    assert stored.endswith(message(subject, fields="X-Other: y\r\n", padding=padding))
    text = email.message_from_bytes(stored, policy=email.policy.default)
    (status,) = text.get_all("X-Spam-Status")
    spam = FILED[action] == "Junk"
    assert re.sub(r"\s+", " ", status) == (
        f"{'Yes' if spam else 'No'}, score=7.50 required=15.00 "
        f"action={action.replace(' ', '_') if action != 'made up' else 'no_action'} tests=[BAYES_SPAM=5.10, FROM_NO_DN=0.00]"
    )
    assert text["X-Spam-Flag"] is None


def test_what_rspamd_is_told(server: MailServer, pretender: Pretender) -> None:
    """The message as it came, without a line of ours; the envelope."""
    octets = message("told")
    assert sent(server, octets, READER, SECOND)[0] == 250
    ((fields, seen),) = pretender.checked
    assert seen == octets.replace(b"\r\n.\r\n", b"\r\n.\r\n")
    assert (fields["IP"], fields["Helo"], fields["From"]) == ("127.0.0.1", "mx.example.org", f"<{STRANGER}>")
    assert fields.get_all("Rcpt") == [f"<{READER}>", f"<{SECOND}>"]
    assert fields["User"] is None
    (judged,) = [event for event in events(server, "message_judged") if event["trace"] == fields["Queue-Id"]]
    assert (judged["spam"], judged["score"], judged["required"], judged["action"]) == ("no action", 0.5, 15.0, "passed")


def test_rspamd_is_told_what_the_address_is_called(serving: Callable[..., MailServer], pretender: Pretender) -> None:
    """Where its name leads back to it (RFC 8601 §2.7.3): Rspamd holds it against those that have none."""
    zone = {("1.0.0.127.in-addr.arpa", "PTR"): ["mx.example.org."], ("mx.example.org", "A"): ["127.0.0.1"]}
    with name_server(zone) as names:
        server = serving(inbound={"trusted_networks": ()}, dns={"nameservers": (names.place,)})
        assert sent(server, message("hostname"))[0] == 250
    ((fields, _),) = pretender.checked
    assert fields["Hostname"] == "mx.example.org"
    stored = one_of(server, "INBOX", "hostname")
    assert stored.index(b"Authentication-Results:") < stored.index(b"X-Spam-Status:") < stored.index(b"Received:")


def test_junk_for_several(server: MailServer, pretender: Pretender) -> None:
    """Each has it in Junk, by way of the spool."""
    pretender.says = scan_result("add header")
    assert sent(server, message("several"), READER, SECOND)[0] == 250
    server.call(server.running.context.mailflow.settle())
    for address in (READER, SECOND):
        assert b"X-Spam-Status: Yes" in one_of(server, "Junk", "several", address)


@pytest.mark.parametrize(("action", "code", "words"), [
    ("reject", 550, "5.7.1 The message looks like spam"),
    ("discard", 550, "5.7.1 The message looks like spam"),
    ("soft reject", 451, "4.7.1 The filter asks to send the message again"),
])  # fmt: skip
@pytest.mark.parametrize("padding", [0, 400_000], ids=["in memory", "as a file"])
def test_what_is_not_taken(server: MailServer, pretender: Pretender, action: str, code: int, words: str, padding: int) -> None:
    """Its sender hears so, with the clause; nothing is left of it."""
    pretender.says = scan_result(action, 20.0)
    subject = f"{action} {padding}"
    told = sent(server, message(subject, padding=padding))
    assert (told[0], words in told[1], "10.2" in told[1]) == (code, True, True)
    assert not any(subject.encode() in octets for folder in ("INBOX", "Junk") for octets in found(server, folder))


def test_reject_into_junk(serving: Callable[..., MailServer], pretender: Pretender) -> None:
    """`rspamd.reject = "junk"`."""
    server = serving({"reject": "junk"})
    pretender.says = scan_result("reject", 20.0)
    assert sent(server, message("rejected"))[0] == 250
    assert b"X-Spam-Status: Yes, score=20.00" in one_of(server, "Junk", "rejected")


@pytest.mark.parametrize("wrong", ["500", "no answer", "nobody"])
@pytest.mark.parametrize("absent", ["refuse", "pass"])
def test_a_filter_that_is_away(
    serving: Callable[..., MailServer], pretender: Pretender, tmp_path: Path, wrong: str, absent: str
) -> None:
    """Its sender tries again, or it passes and says so."""
    place = f"unix:{tmp_path}/nobody" if wrong == "nobody" else pretender.place
    server = serving({"url": place, "absent": absent, "seconds": 1})
    pretender.status, pretender.pause = (500, 0.0) if wrong == "500" else (200, 3.0)
    code, words = sent(server, message("away"))
    if absent == "refuse":
        assert (code, "4.7.1 The message cannot be checked for spam now" in words) == (451, True)
    else:
        assert code == 250
        assert b"\r\nX-Spam-Status: Unknown, not looked at\r\n" in one_of(server, "INBOX", "away")
    (judged,) = events(server, "message_judged")
    assert judged["spam"] == "not-scored"
    assert judged["spam_error"]


def test_what_is_too_large_for_it(serving: Callable[..., MailServer], pretender: Pretender) -> None:
    """It passes unseen, and says so."""
    server = serving({"largest": "100 KiB"})
    for padding in (0, 150_000):
        assert sent(server, message(f"large {padding}", padding=padding))[0] == 250
    assert len(pretender.checked) == 1
    assert b"\r\nX-Spam-Status: Unknown, too large to be looked at\r\n" in one_of(server, "INBOX", "large 150000")


def test_ten_at_once_with_two_connections(serving: Callable[..., MailServer], pretender: Pretender) -> None:
    """They wait for their turn; each gets its own answer."""
    server = serving({"connections": 2})
    pretender.pause = 0.05
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(sent(server, message("many"))[0])) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert codes == [250] * 10
    assert len(found(server, "INBOX")) == 10


# ------------------------------------------------------------ quarantine


def console_of(server: MailServer, folder: Path) -> Console:
    (folder / "mic-mail.toml").write_text(write(server.config))
    return Console(folder)


@pytest.mark.parametrize("action", ["quarantine", "reject"])
@pytest.mark.parametrize("padding", [0, 400_000], ids=["in memory", "as a file"])
def test_quarantine(
    serving: Callable[..., MailServer], pretender: Pretender, tmp_path: Path, action: str, padding: int
) -> None:
    """Taken, in nobody's mailbox, told to whom it is for; released it comes as it was taken, into INBOX of all of them."""
    server = serving({"reject": "quarantine"})
    pretender.says = scan_result(action, 20.0, GTUBE=19.5)
    octets = message("=?utf-8?B?xJDhu5c=?=", padding=padding)
    assert sent(server, octets, READER, SECOND)[0] == 250
    assert found(server, "INBOX") == found(server, "Junk") == []
    (record,) = Quarantine(server.config.quarantine_dir).records()
    assert (record.reason, record.state, record.subject) == (Reason.SPAM, QuarantineState.HELD, "Đỗ")
    assert (record.what, record.symbols, record.author) == (f"{action} 20/15", ("GTUBE=19.5",), STRANGER)
    assert (record.sender, record.recipients, len(record.mailboxes)) == (STRANGER, (READER, SECOND), 2)
    (told,) = events(server, "message_quarantined")
    assert (told["trace"], told["reason"], told["clause"]) == (record.held_id, "spam", "4.2")

    server.housekeep()
    (notice,) = found(server, "INBOX")
    assert record.held_id.encode() in notice
    console = console_of(server, tmp_path)
    console.done("quarantine", "release", record.held_id, "--reason", "nhầm")
    server.housekeep()
    server.call(server.running.context.mailflow.settle())
    for address in (READER, SECOND):
        stored = one_of(server, "INBOX", "=?utf-8?B?xJDhu5c=?=", address)
        assert stored.startswith(f"Return-Path: <{STRANGER}>\r\n".encode())
        assert stored.endswith(octets)
        assert b"X-Spam-Status" not in stored


def test_a_quarantine_without_room(serving: Callable[..., MailServer], pretender: Pretender) -> None:
    """Its sender tries again; nothing is said to be kept that is not."""
    server = serving({"reject": "quarantine"}, quarantine={"space": "1 MiB"})
    pretender.says = scan_result("reject", 20.0)
    assert sent(server, message("first", padding=900_000))[0] == 250
    assert sent(server, message("second", padding=900_000))[0] == 451
    assert sent(server, message("third"))[0] == 250
    assert len(list(Quarantine(server.config.quarantine_dir).records())) == 2
    server.housekeep()
    assert not list(server.config.mail_root.glob("*/*/Maildir/tmp/*"))
    assert not list((server.config.spool_dir / "tmp").iterdir())


# ------------------------------------------------------------ from inside


@pytest.mark.clause("7.2.c")
def test_from_inside_nothing_is_asked(server: MailServer, pretender: Pretender) -> None:
    """Unless it is set; but nobody inside writes into it either what the filter has said."""
    pretender.says = scan_result("reject", 20.0)
    assert submitted(server, message("inside", fields="X-Spam-Status: No\r\n")) == 250
    assert pretender.checked == []
    assert b"X-Spam" not in one_of(server, "INBOX", "inside")
    (told,) = events(server, "results_removed")[-1:]
    assert told["login"] == SENDER


@pytest.mark.clause("7.2.c")
@pytest.mark.parametrize(
    ("action", "code"),
    [("no action", 250), ("add header", 250), ("greylist", 250), ("soft reject", 451), ("reject", 550), ("quarantine", 550)],
)
@pytest.mark.parametrize("padding", [0, 400_000], ids=["in memory", "as a file"])
def test_from_inside(serving: Callable[..., MailServer], pretender: Pretender, action: str, code: int, padding: int) -> None:
    """`rspamd.outgoing`: it leaves as it is, or is refused; Rspamd knows who signed in."""
    server = serving({"outgoing": True})
    pretender.says = scan_result(action, 20.0)
    assert submitted(server, message("inside", padding=padding)) == code
    ((fields, _),) = pretender.checked
    assert fields["User"] == SENDER
    assert len(found(server, "INBOX")) == (code == 250)
    assert found(server, "Junk") == []
    assert suspensions(server, SENDER) == []


@pytest.mark.clause("7.2.c")
def test_clause_7_2_c_who_goes_on_sending_spam_is_suspended(serving: Callable[..., MailServer], pretender: Pretender) -> None:
    """Beyond `rspamd.suspend_beyond` within an hour; once; the Centre is told for what."""
    server = serving({"outgoing": True, "suspend_beyond": 3})
    pretender.says = scan_result("reject", 20.0)
    assert [submitted(server, message("spam")) for _ in range(3)] == [550] * 3
    assert suspensions(server, SENDER) == []
    assert submitted(server, message("spam")) == 550
    server.call(server.running.context.mailflow.settle())
    server.housekeep()
    (fact,) = suspensions(server, SENDER)
    assert (fact.kind, fact.data["trigger"], fact.data["messages"]) == (FactKind.SUSPENDED, "spam", 4)
    letters = [email.message_from_bytes(octets, policy=email.policy.default) for octets in found(server, "INBOX", SUPPORT)]
    assert any("sent 4 messages within an hour that the spam filter rejected" in each.get_content() for each in letters)
